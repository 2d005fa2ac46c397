"""From one person's points in a video to the directions of their limbs: a network at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from scipy.special import expit

from kinefit.geometry.rotations import unit
from kinefit.lift.inputs import (
    LIMBS,
    PERSON_CHANNELS,
    POINT_CHANNELS,
    POINTS,
    Inputs,
    make_inputs,
)
from kinefit.lift.reconstruct import correct_depth_sign
from kinefit.lift.windows import (
    WINDOW,
    WindowMean,
    at_times,
    blocks,
    grid_times,
    resampled,
    resampler,
    unbroken,
    windows,
)
from kinefit.skeletons import map_points, skeleton
from kinefit.skeletons.limbs import Limb
from kinefit.types import (
    BoolArray,
    FloatArray,
    InputError,
    Keypoints2D,
    Keypoints3D,
    PoseTrack,
    Timeline,
    TooFewPoints,
)

ENSEMBLE = ("sequence", "gcn", "semgcn")  # its members
NETWORKS = (*ENSEMBLE, "transformer", "semgcn-temporal")
MODELS = ("ensemble", *NETWORKS)


@dataclass(frozen=True, eq=False)
class Lifted:
    """What a network says of one person over T frames, in camera axes; None for what it does not.

    limbs: L of them. directions: (T, L, 3) unit vectors. sd: (T, L) radians, one standard deviation
    about each of the two axes across. away: (T, L) probability that a limb points away from the
    camera. contact: (T, 4) probability that `kinefit.body.contact.FEET` stand. up: (T, 3) unit
    vectors; up_sd: (T,) radians. shift: (T, J, 2) pixels to be added to the track's points, 0 for
    points that it does not know; sigma: (T, J) pixels, standard deviation of each coordinate after
    that, NaN for those. swapped: (T,) probability that left and right are exchanged.
    """

    timeline: Timeline
    limbs: tuple[Limb, ...]
    directions: FloatArray
    sd: FloatArray
    away: FloatArray | None = None
    contact: FloatArray | None = None
    up: FloatArray | None = None
    up_sd: FloatArray | None = None
    shift: FloatArray | None = None
    sigma: FloatArray | None = None
    swapped: FloatArray | None = None


class Lifter(Protocol):
    """Anything that lifts."""

    @property
    def name(self) -> str: ...

    def lift(self, track: PoseTrack, K: FloatArray) -> Lifted:
        """track: one person in one video; K: (3, 3) intrinsics of a pinhole camera."""
        ...


class OnnxLifter:
    """A network of `kinefit train pof`, as an ONNX file.

    correct_signs: limbs that point away from the camera by their direction and towards it by the
    network's own head for that, or the reverse, are mirrored in depth.

    Raises InputError for a file that is no such network.
    """

    def __init__(self, content: bytes, source: str | Path, correct_signs: bool = False) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1  # the same bytes on every machine; 0.07 to 1.8 ms a frame
        self.name, self.correct_signs = str(source), correct_signs
        try:
            self._session = ort.InferenceSession(content, options)
        except Exception as error:  # onnxruntime's errors share no base
            hint = f"give {', '.join(MODELS)}, or an .onnx file of `kinefit train pof`"
            raise InputError(source, "is no network that can be run", hint) from error
        self._outputs = tuple(one.name for one in self._session.get_outputs())
        self._check()

    def _check(self) -> None:
        """Raises InputError unless the network answers two empty windows as it must."""
        shapes = {
            "points": (2, WINDOW, len(POINTS), POINT_CHANNELS),
            "person": (2, WINDOW, PERSON_CHANNELS),
        }
        hint = "make it with this version's `kinefit train pof`"
        reason = "is no lifter: its inputs or outputs are others"
        try:
            nothing = (np.zeros(shape, np.float32) for shape in shapes.values())
            said = self._answers(dict(zip(shapes, nothing, strict=True)))
        except Exception as error:  # onnxruntime's errors share no base
            raise InputError(self.name, reason, hint) from error
        limbs = said.get("directions", np.empty(0)).shape[2:3]
        wanted = {name: (2, WINDOW, *limbs, *end) for name, end in _OF_LIMBS.items()} | {
            name: (2, WINDOW, *end) for name, end in _OF_FRAMES.items()
        }
        right = all(said[name].shape == wanted.get(name) for name in said)
        pairs = all((a in said) == (b in said) for a, b in _TOGETHER_ONLY)
        if not (right and pairs and "directions" in said and 1 <= limbs[0] <= len(LIMBS)):
            raise InputError(self.name, reason, hint)

    def lift(self, track: PoseTrack, K: FloatArray) -> Lifted:
        """As `Lifter.lift`. Raises TooFewPoints where no frame has a point."""
        image = track.image
        if not image.found.any():
            raise TooFewPoints("Frames to lift", found=0, needed=1)
        xy, score, own = _named(image, track.body)
        seen = np.concatenate([xy, score[..., None]], axis=-1)
        time = image.timeline.time
        parts = [self._part(time[rows], seen[rows], own[rows], K) for rows in unbroken(time)]
        said = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return _lifted(image.timeline, said, image.names, K)

    def _part(
        self, time: FloatArray, seen: FloatArray, own: FloatArray, K: FloatArray
    ) -> dict[str, FloatArray]:
        """The answers to frames that follow one another, at their own times (T,).

        seen: (T, J, 3) x, y, score; own: (T, J, 3).
        """
        grid = grid_times(time)
        back = resampler(time, grid)
        seen, own = resampled(back, seen), resampled(back, own)
        mean = WindowMean(len(grid))
        for rows in blocks(windows(len(grid))):
            inside = np.asarray((rows >= 0) & (rows < len(grid)))
            at = np.clip(rows, 0, len(grid) - 1)
            some, depth = (np.where(inside[..., None, None], v[at], np.nan) for v in (seen, own))
            inputs = make_inputs(some[..., :2], np.nan_to_num(some[..., 2]), depth, K)
            mean.add(rows, inside, self._in_camera(inputs))
        said = _bridged(mean.values(), np.asarray(np.isfinite(seen[..., 0]).any(axis=1)))
        return {name: at_times(time, grid, values) for name, values in said.items()}

    def _in_camera(self, inputs: Inputs) -> dict[str, FloatArray]:
        """The answers to windows, in the camera's axes, and lengths as tangents of angles.

        Directions are as long as their spread lets their mean be: see `_resultant_length`.
        """
        given = {name: np.asarray(getattr(inputs, name), np.float32) for name in _INPUTS}
        said = self._answers(given)
        if self.correct_signs and "away" in said:
            away = expit(said["away"])
            said["directions"] = correct_depth_sign(said["directions"], away)
        for name, spread in (("directions", "concentration"), ("up", "up_concentration")):
            if name in said:
                said[name] = said[name] * _resultant_length(said.pop(spread))[..., None]
        said["directions"] = said["directions"] @ inputs.rotation
        if "up" in said:
            said["up"] = (said["up"][..., None, :] @ inputs.rotation)[..., 0, :]
        if "shift" in said:
            said["shift"] = said["shift"] * inputs.size[:, None, None, None]
            said["log_sigma"] = said["log_sigma"] + np.log(inputs.size)[:, None, None]
        return said

    def _answers(self, given: Mapping[str, NDArray[np.float32]]) -> dict[str, FloatArray]:
        found = self._session.run(None, dict(given))
        return {n: v.astype(np.float64) for n, v in zip(self._outputs, found, strict=True)}


_INPUTS = ("points", "person")
# Output -> its shape after windows, frames (and limbs); and outputs that come together or not.
_OF_LIMBS: Mapping[str, tuple[int, ...]] = {"directions": (3,), "concentration": (), "away": ()}
_OF_FRAMES: Mapping[str, tuple[int, ...]] = {
    "contact": (4,), "up": (3,), "up_concentration": (), "shift": (len(POINTS), 2),
    "log_sigma": (len(POINTS),), "swapped": (),
}  # fmt: skip
_TOGETHER_ONLY = (("directions", "concentration"), ("up", "up_concentration"),
                  ("shift", "log_sigma"))  # fmt: skip


def _named(
    image: Keypoints2D, body: Keypoints3D | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(T, J, 2), (T, J), (T, J, 3): the points of `POINTS`, NaN and 0 where there is none."""
    blaze = skeleton("blazepose33")
    columns = [blaze.points.index(name) for name in POINTS]
    scored = np.concatenate([image.xy, image.score[..., None]], axis=-1)
    found = map_points(scored, image.names, blaze)[:, columns]
    own = (
        np.full((*found.shape[:2], 3), np.nan)
        if body is None
        else map_points(body.xyz, body.names, blaze)[:, columns]
    )
    return found[..., :2], np.nan_to_num(found[..., 2]), own


_FORGOTTEN = 30.0  # frames: within which a direction is no longer what it was


def _bridged(said: dict[str, FloatArray], found: BoolArray) -> dict[str, FloatArray]:
    """Frames without a person are answered from the nearest with one on both sides, directions the
    less surely the further these are. (A network's own answers to nothing are 56 degrees off.)"""
    if found.all() or not found.any():
        return said
    frames = np.arange(len(found), dtype=np.float64)
    known = frames[found]
    out = {name: at_times(frames, known, values[found]) for name, values in said.items()}
    after = known[np.clip(np.searchsorted(known, frames), 0, len(known) - 1)]
    before = known[np.clip(np.searchsorted(known, frames, "right") - 1, 0, len(known) - 1)]
    away = np.minimum(np.abs(frames - after), np.abs(frames - before))
    for name in {"directions", "up"} & set(out):
        sure = np.exp(-away / _FORGOTTEN)
        out[name] = out[name] * sure.reshape(-1, *[1] * (out[name].ndim - 1))
    return out


def _resultant_length(concentration: FloatArray) -> FloatArray:
    """Length of the mean of unit vectors of that von Mises-Fisher concentration.

    coth k - 1 / k (Mardia & Jupp 2000, Directional statistics, equation 9.3.9).
    """
    return np.asarray(1 / np.tanh(concentration) - 1 / concentration)


def _spread(mean: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Unit vectors (..., 3), and radians (...), one deviation about each axis across, of means: two
    windows that disagree leave a short one. Banerjee et al. 2005, JMLR 6:1345, equation 4.4."""
    length = np.clip(np.linalg.norm(mean, axis=-1), _SHORTEST, 1 - _SHORTEST)
    concentration = length * (3 - length**2) / (1 - length**2)
    away = np.array([0.0, 0.0, 1.0])  # of a mean of nothing, whose spread is everything
    known = np.linalg.norm(mean, axis=-1, keepdims=True) > _SHORTEST
    return np.where(known, unit(np.where(known, mean, away)), away), concentration**-0.5


_SHORTEST = 1e-6
# A coordinate's deviation, of errors in the plane with density exp(-r / s): see the losses.
_LAPLACE = 3.0**0.5


def _lifted(
    timeline: Timeline, said: Mapping[str, FloatArray], names: tuple[str, ...], K: FloatArray
) -> Lifted:
    """The answers at the frames' own times."""
    found: dict[str, FloatArray] = {
        name: expit(said[name]) for name in ("away", "contact", "swapped") if name in said
    }
    if "up" in said:
        found["up"], found["up_sd"] = _spread(said["up"])
    if "shift" in said:
        found |= _points_of(names, K[0, 0] * said["shift"], K[0, 0] * np.exp(said["log_sigma"]))
    directions, sd = _spread(said["directions"])
    return Lifted(timeline, LIMBS[: directions.shape[1]], directions, sd, **found)


def _points_of(
    names: tuple[str, ...], shift: FloatArray, scale: FloatArray
) -> dict[str, FloatArray]:
    """Shifts (T, J, 2) and deviations (T, J), pixels, of `POINTS`: those of the points `names`."""
    at = np.array([POINTS.index(name) if name in POINTS else -1 for name in names])
    known = at >= 0
    return {
        "shift": np.where(known[:, None], shift[:, at], 0.0),
        "sigma": np.where(known, _LAPLACE * scale[:, at], np.nan),
    }
