"""What is known of one person over a clip before a body is fitted: where both branches end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kinefit.types.arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    all_finite,
    check_names,
    freeze,
    freeze_arrays,
)
from kinefit.types.camera import CameraRig
from kinefit.types.errors import InvalidData
from kinefit.types.timeline import Timeline

# Unit vectors are checked to this: above the rounding of single precision, below any mistake.
_UNIT_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Observations:
    """One person over T frames, seen by C cameras (one camera is a rig of one; none for points).

    timeline: T frames. rig: C cameras in the world. names: J keypoints.
    xy: (T, C, J, 2) pixels, NaN where not seen. sigma: (T, C, J) pixels, one standard deviation
        of each coordinate; a point without a positive one is not seen.
    xyz: (T, J, 3) metres, world, Y up: where a fit begins; NaN where unknown.
    covariance: (T, J, 3, 3) square metres: then `xyz` is evidence too. None: only a beginning.
    limbs: L pairs of keypoint names. directions: (T, L, 3) unit vectors, world, from the first to
        the second; NaN where unknown. direction_sd: (T, L) radians, one standard deviation about
        each of the two axes across the limb.
    contact_names: P keypoints of the feet. contact: (T, P) probability that each stands on the
        floor, 0..1; NaN where it is not known. Without names the fit looks for contacts itself.
    gravity_sd: radians, one standard deviation of the world's up about each horizontal axis; a
        positive one makes the direction an unknown of the fit. 0: up is known.
    focal_sd: relative standard deviation of the focal lengths; 0: they are known.
    stature_m: height of the person, metres, if known.

    Raises InvalidData for shapes that disagree, limbs or contacts of unknown keypoints, directions
    that are not of length one, and probabilities or deviations out of range.
    """

    timeline: Timeline
    rig: CameraRig
    names: tuple[str, ...]
    xy: FloatArray
    sigma: FloatArray
    xyz: FloatArray
    covariance: FloatArray | None = None
    limbs: tuple[tuple[str, str], ...] = ()
    directions: FloatArray = None  # type: ignore[assignment]
    direction_sd: FloatArray = None  # type: ignore[assignment]
    contact_names: tuple[str, ...] = ()
    contact: FloatArray = None  # type: ignore[assignment]
    gravity_sd: float = 0.0
    focal_sd: float = 0.0
    stature_m: float | None = None

    def __post_init__(self) -> None:
        names = check_names("Observations", self.names)
        T, C, J, L = len(self.timeline), len(self.rig), len(names), len(self.limbs)
        contacts = check_names("Observations", self.contact_names)
        parts = {"directions": (T, L, 3), "direction_sd": (T, L), "contact": (T, len(contacts))}
        for name, shape in parts.items():
            if getattr(self, name) is None:  # of no limb, or no foot
                freeze(self, **{name: np.empty(shape) if not shape[1] else np.array(np.nan)})
        freeze(self, names=names, limbs=tuple((a, b) for a, b in self.limbs),
               contact_names=contacts)  # fmt: skip
        freeze_arrays(self, xy=(T, C, J, 2), sigma=(T, C, J), xyz=(T, J, 3),
                      covariance=(T, J, 3, 3), **parts)  # fmt: skip
        self._check()

    def _check(self) -> None:
        known = set(self.names)
        strange = sorted({*(n for limb in self.limbs for n in limb), *self.contact_names} - known)
        if strange:
            raise InvalidData(
                f"Observations: {', '.join(strange)} in limbs or contacts is no keypoint of it."
            )
        length = np.linalg.norm(self.directions, axis=-1)
        if (np.abs(length[np.isfinite(length)] - 1) > _UNIT_TOLERANCE).any():
            raise InvalidData("Observations.directions holds a vector that is not of length one.")
        if (self.direction_sd <= 0).any():
            raise InvalidData("Observations.direction_sd must be positive, or NaN.")
        if ((self.contact < 0) | (self.contact > 1)).any():
            raise InvalidData("Observations.contact must lie in 0..1, or be NaN.")
        for name in ("gravity_sd", "focal_sd"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise InvalidData(f"Observations.{name} must not be negative, got {value}.")
        if self.stature_m is not None and not 0.3 <= self.stature_m <= 3:
            raise InvalidData(f"Observations.stature_m is {self.stature_m}, which is no height.")

    @property
    def seen(self) -> BoolArray:
        """(T, C, J) keypoints with a place in a picture and a positive deviation."""
        return np.asarray(all_finite(self.xy) & (self.sigma > 0))

    def select(self, names: Sequence[str]) -> Observations:
        """Only these keypoints, in this order, with the limbs and contacts among them.

        Raises InvalidData for an unknown keypoint.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise InvalidData(f"Observations have no keypoint {', '.join(unknown)}.")
        at = [self.names.index(name) for name in names]
        limbs = [i for i, pair in enumerate(self.limbs) if set(pair) <= set(names)]
        feet = [i for i, name in enumerate(self.contact_names) if name in names]
        return Observations(
            self.timeline, self.rig, tuple(names),
            self.xy[:, :, at], self.sigma[:, :, at], self.xyz[:, at],
            None if self.covariance is None else self.covariance[:, at],
            tuple(self.limbs[i] for i in limbs),
            self.directions[:, limbs], self.direction_sd[:, limbs],
            tuple(self.contact_names[i] for i in feet), self.contact[:, feet],
            self.gravity_sd, self.focal_sd, self.stature_m,
        )  # fmt: skip

    def at(self, rows: IntArray) -> Observations:
        """Only these frames (N,), in increasing order."""
        time = Timeline(self.timeline.frame[rows], self.timeline.time[rows])
        by_frame = ("xy", "sigma", "xyz", "covariance", "directions", "direction_sd", "contact")
        parts = {name: getattr(self, name) for name in by_frame}
        some = {name: values[rows] for name, values in parts.items() if values is not None}
        return replace(self, timeline=time, **some)

    def moved(self, Q: FloatArray, shift: FloatArray) -> Observations:
        """The same in another world: x_new = Q @ x_old + shift, Q (3, 3) a rotation, metres."""
        return replace(
            self,
            rig=self.rig.moved(Q, shift),
            xyz=self.xyz @ Q.T + shift,
            covariance=None if self.covariance is None else Q @ self.covariance @ Q.T,
            directions=self.directions @ Q.T,
        )
