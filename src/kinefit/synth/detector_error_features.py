"""What a detector's error depends on: the person's pose, view and size, and each point in it.

Lengths in the image are in units of the person's size there: focal length times stature over the
depth of the mid-hip. A bounding box would shrink when the person squats, though the detector sees
each limb at the same resolution; this size changes only with the resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kinefit.skeletons import skeleton
from kinefit.synth.truth import Visibility
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData

BLAZE = skeleton("blazepose33").points
# The body has no corners of eyes and mouth: their errors are unknown.
_UNKNOWN = {side + name for side in "LR" for name in ("EyeInner", "EyeOuter", "Mouth")}
KNOWN: IntArray = np.array([i for i, name in enumerate(BLAZE) if name not in _UNKNOWN])
NAMES = tuple(BLAZE[i] for i in KNOWN)

# Point -> start of the limb that ends in it.
_FROM = {
    "Eye": ("Ear",), "Ear": ("Shoulder",), "Shoulder": ("Hip",), "Hip": ("Shoulder",),
    "Elbow": ("Shoulder",), "Wrist": ("Elbow",), "Pinky": ("Wrist",), "Index": ("Wrist",),
    "Thumb": ("Wrist",), "Knee": ("Hip",), "Ankle": ("Knee",), "Heel": ("Ankle",),
    "BigToe": ("Ankle",),
}  # fmt: skip
_ARM = ("Elbow", "Wrist", "Pinky", "Index", "Thumb")
_LEG = ("Knee", "Ankle", "Heel", "BigToe")
# Groups of points that a detector swaps with the other side as a whole.
SWAP_GROUPS = {"legs": _LEG, "arms": _ARM, "trunk": ("Hip", "Shoulder", "Ear", "Eye")}
_PARTS = (
    *(tuple(side + name for name in part) for part in (_ARM, _LEG) for side in "LR"),
    tuple(side + name for side in "LR" for name in ("Shoulder", "Hip")),
)
_SIZE_PX = 300.0  # whose logarithm is 0
_NEAR = 0.05  # of the size: points of both sides that lie this near in the image get mixed up


def columns(names: Sequence[str]) -> IntArray:
    """Places of points among `NAMES`."""
    return np.array([NAMES.index(name) for name in names])


def twins(group: str) -> tuple[IntArray, IntArray]:
    """Columns of a group's left and right points."""
    left, right = (columns([side + name for name in SWAP_GROUPS[group]]) for side in "LR")
    return left, right


def _limbs() -> FloatArray:
    """(J, J) matrix from points to the vectors of the limbs that end in them."""
    out = np.eye(len(NAMES))
    for row, name in enumerate(NAMES):
        start = [name[0] + what for what in _FROM[name[1:]]] if name != "Nose" else ["LEar", "REar"]
        out[row, columns(start)] -= 1 / len(start)
    return out


@dataclass(frozen=True, eq=False)
class Views:
    """N people in images; the points are `NAMES`, J of them.

    xy: (N, J, 2) pixels. xyz: (N, J, 3) metres, camera axes. visibility: (N, J) of
    `Visibility`. K: (N, 3, 3) intrinsics. stature: (N,) metres.
    """

    xy: FloatArray
    xyz: FloatArray
    visibility: NDArray[np.uint8]
    K: FloatArray
    stature: FloatArray

    @classmethod
    def of(
        cls,
        xy: FloatArray,
        xyz: FloatArray,
        visibility: NDArray[np.integer],
        K: FloatArray,
        stature: float | FloatArray,
    ) -> Views:
        """Of arrays over the 33 points of blazepose33.

        K: (3, 3) or (N, 3, 3). stature: one number or (N,).

        Raises InvalidData for other shapes, points that are missing, or hips behind the camera.
        """
        N = len(xy)
        if xy.shape != (N, 33, 2) or xyz.shape != (N, 33, 3) or visibility.shape != (N, 33):
            shapes = f"{xy.shape}, {xyz.shape}, {visibility.shape}"
            raise InvalidData(f"Points are {shapes}; (N, 33, 2), (N, 33, 3), (N, 33) are needed.")
        new = cls(
            np.asarray(xy, np.float64)[:, KNOWN],
            np.asarray(xyz, np.float64)[:, KNOWN],
            np.asarray(visibility, np.uint8)[:, KNOWN],
            np.broadcast_to(K, (N, 3, 3)),
            np.broadcast_to(np.asarray(stature, np.float64), (N,)),
        )
        finite = np.isfinite(new.xyz).all(axis=(1, 2)) & np.isfinite(new.xy).all(axis=(1, 2))
        good = finite & (new._hips[:, 2] > 0)
        if not good.all():
            raise InvalidData(f"Row {good.argmin()}: points are missing or behind the camera.")
        return new

    def rows(self, chosen: IntArray | BoolArray) -> Views:
        """Some of the people."""
        return Views(
            self.xy[chosen], self.xyz[chosen], self.visibility[chosen],
            self.K[chosen], self.stature[chosen],
        )  # fmt: skip

    @cached_property
    def size(self) -> FloatArray:
        """(N,) pixels: the person's size in the image."""
        return np.asarray(self.K[:, 0, 0] * self.stature / self._hips[:, 2])

    @cached_property
    def around_hips(self) -> FloatArray:
        """(N, J, 3) camera axes, from the mid-hip, in statures."""
        return np.asarray((self.xyz - self._hips[:, None]) / self.stature[:, None, None])

    @cached_property
    def along(self) -> FloatArray:
        """(N, J, 2) unit vectors of the limbs in the image."""
        return _unit(np.einsum("jk,nkc->njc", _limbs(), self.xy))

    @cached_property
    def azimuth(self) -> FloatArray:
        """(N,) radians: 0 facing the camera, pi/2 facing the image's right, +-pi away."""
        forward, _ = self._trunk
        return np.asarray(np.arctan2(forward[:, 0], -forward[:, 2]))

    @property
    def _hips(self) -> FloatArray:
        return np.asarray(self.xyz[:, columns(["LHip", "RHip"])].mean(axis=1))

    @cached_property
    def _trunk(self) -> tuple[FloatArray, FloatArray]:
        """(N, 3) unit vectors, camera axes: forward and upward of the trunk."""
        hips, shoulders = (self.xyz[:, columns(["L" + n, "R" + n])] for n in ("Hip", "Shoulder"))
        left = (hips[:, 0] - hips[:, 1]) + (shoulders[:, 0] - shoulders[:, 1])
        up = shoulders.mean(axis=1) - hips.mean(axis=1)
        return _unit(np.cross(left, up)), _unit(up)

    @cached_property
    def alike(self) -> FloatArray:
        """(N, 12) similarity for a detector: forward and up of the trunk, hidden parts, size."""
        forward, up = self._trunk
        unseen = self.visibility != Visibility.VISIBLE
        parts = [unseen[:, columns(part)].mean(axis=1) for part in _PARTS]
        return np.column_stack([forward, up, *parts, np.log(self.size / _SIZE_PX)])

    @cached_property
    def person(self) -> FloatArray:
        """(N, P): 1, `alike`, second harmonics of the heading, ray to the person, perspective."""
        forward, _ = self._trunk
        return np.column_stack([
            np.ones(len(self.xy)), self.alike,
            forward[:, 2] * forward[:, 0], forward[:, 2] ** 2,
            self._ray, self.stature / self._hips[:, 2],
        ])  # fmt: skip

    @property
    def _ray(self) -> FloatArray:
        return np.asarray(self._hips[:, :2] / self._hips[:, 2:])

    @cached_property
    def point(self) -> FloatArray:
        """(N, J, F): `person`, and each point's limb, place, visibility and nearness of its twin.

        The place times the ray is a feature because a detector's own 3D has axes along the ray.
        Points outside the image count as occluded: training images show the whole person.
        """
        limb = _unit(np.einsum("jk,nkc->njc", _limbs(), self.xyz))
        place, ray = self.around_hips, self._ray[:, None]
        hidden = np.stack(
            [self.visibility == Visibility.SELF_OCCLUDED, self.visibility <= Visibility.OCCLUDED],
            axis=-1,
        )
        return np.concatenate([
            np.broadcast_to(self.person[:, None], (*self.visibility.shape, self.person.shape[1])),
            limb, limb[..., 2:] ** 2, place, ray * place[..., :2], ray * place[..., 2:],
            hidden, self._mixed_up[..., None],
        ], axis=-1)  # fmt: skip

    @cached_property
    def _mixed_up(self) -> FloatArray:
        """(N, J) 1 where both sides' points coincide in the image, 0 where far apart; nose: 0."""
        out = np.zeros(self.visibility.shape)
        for group in SWAP_GROUPS:
            left, right = twins(group)
            gap = np.linalg.norm(self.xy[:, left] - self.xy[:, right], axis=-1)
            out[:, left] = out[:, right] = np.exp(-gap / self.size[:, None] / _NEAR)
        return out

    @cached_property
    def exchange(self) -> FloatArray:
        """(N, E) features of swapped sides and missed people."""
        near = [self._mixed_up[:, twins(group)[0]].mean(axis=1) for group in SWAP_GROUPS]
        hidden = (self.visibility <= Visibility.OCCLUDED).mean(axis=1)
        return np.column_stack([self.person, *near, hidden])


def _unit(v: FloatArray) -> FloatArray:
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9))
