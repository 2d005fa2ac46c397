"""Anatomical landmarks by name, seen from either side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kinefit.geometry.hip_centre import hip_joint_centres
from kinefit.geometry.rotations import cross, norm, unit
from kinefit.skeletons.marker_names import place_of
from kinefit.types import FloatArray, Markers


def _hip_centre(*spines: FloatArray) -> FloatArray:
    return hip_joint_centres(*spines)[0]


def _lumbar_joint(
    asis_r: FloatArray, asis_l: FloatArray, psis_r: FloatArray, psis_l: FloatArray
) -> FloatArray:
    """Where OpenSim's full-body model has its lumbar joint (Rajagopal 2016): 0.735 of the depth
    of the pelvis behind the middle of the anterior spines and 0.237 of their distance above."""
    front, back, across = (asis_r + asis_l) / 2, (psis_r + psis_l) / 2, asis_r - asis_l
    up = unit(cross(across, front - back)) * norm(across)[..., None]
    return front - 0.735 * (front - back) + 0.237 * up


def _shoulder_centre(near: FloatArray, far: FloatArray, lumbar: FloatArray) -> FloatArray:
    """17 % of the distance of the acromia below the near one (Rab et al. 2002, Gait Posture 15).

    Down is along the trunk. With the acromion itself for the centre arm_flex misses OpenSim's
    by 2.9-9.3 degrees SD in motions with raised arms, with this by 1.3-4.3.
    """
    return near + 0.17 * norm(near - far)[..., None] * unit(lumbar - (near + far) / 2)


_SPINES = ("asis_r", "asis_l", "psis_r", "psis_l")
# Landmarks that can be computed from others: name -> (inputs, function of their positions).
_DERIVED: dict[str, tuple[tuple[str, ...], Callable[..., FloatArray]]] = {
    "hip_r": (_SPINES, _hip_centre),
    "lumbar": (_SPINES, _lumbar_joint),
    "shoulder_r": (("acromion_r", "acromion_l", "lumbar"), _shoulder_centre),
}
_MIRROR = np.array([1.0, 1.0, -1.0])


def find_columns(names: Sequence[str]) -> dict[str, int]:
    """Landmark ("knee_lat_r", "c7") -> column of the marker in `names` that stands for it.

    Landmarks are the places of `kinefit.skeletons.marker_names`; augmented markers are preferred.
    """
    found: dict[str, tuple[int, int]] = {}
    for i, name in enumerate(names):
        if (at := place_of(name)) is not None:
            mark = f"{at.place}_{at.side.lower()}" if at.side else at.place
            found[mark] = min(found.get(mark, (at.rank, i)), (at.rank, i))
    return {mark: i for mark, (_, i) in found.items()}


class Landmarks:
    """Landmarks of a recording as if the side of interest were the right one.

    For the left, positions are reflected at the plane z = 0 and the sides exchange their names:
    the mirror image of a left leg is a right leg, so that one set of formulas serves both sides
    and equal motion reads the same on both.

    The lumbar joint and the shoulder centres, and hip centres that are not among the markers,
    are regressed.
    """

    def __init__(self, markers: Markers, side: str = "r") -> None:
        self._markers = markers
        self._mirrored = side == "l"
        ever = np.asarray(markers.present.any(axis=0))
        seen = {mark: i for mark, i in find_columns(markers.names).items() if ever[i]}
        self._columns = {self._side(mark): i for mark, i in seen.items()}
        self._positions: dict[str, FloatArray] = {}

    def __contains__(self, name: str) -> bool:
        inputs, _ = _DERIVED.get(name, ((), None))
        return name in self._columns or (bool(inputs) and all(n in self for n in inputs))

    def missing(self, names: Sequence[str]) -> tuple[str, ...]:
        """The landmarks that the data lack for `names`, as the person's own right and left."""
        absent: list[str] = []
        for name in names:
            if name not in self and name in _DERIVED:
                absent += self.missing(_DERIVED[name][0])
            elif name not in self:
                absent.append(self._side(name))
        return tuple(dict.fromkeys(absent))

    def position(self, name: str) -> FloatArray:
        """(T, 3) metres; NaN where the marker, or one that it is derived from, is missing."""
        if name not in self._positions:
            if name in self._columns:
                xyz = self._markers.xyz[:, self._columns[name]]
                self._positions[name] = xyz * _MIRROR if self._mirrored else xyz
            else:
                inputs, compute = _DERIVED[name]
                self._positions[name] = compute(*(self.position(n) for n in inputs))
        return self._positions[name]

    def _side(self, mark: str) -> str:
        if not self._mirrored or mark[-2:] not in ("_r", "_l"):
            return mark
        return mark[:-1] + ("l" if mark.endswith("_r") else "r")
