"""Anatomical landmarks by name, seen from either side, with their dependence on the markers."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files

import numpy as np

from kinefit.geometry.hip_centre import hip_joint_centres
from kinefit.geometry.rotations import cross, unit
from kinefit.types import FloatArray, Markers


def _hip_centre(*spines: FloatArray) -> FloatArray:
    return hip_joint_centres(*spines)[0]


def _lumbar_joint(
    asis_r: FloatArray, asis_l: FloatArray, psis_r: FloatArray, psis_l: FloatArray
) -> FloatArray:
    """Where OpenSim's full-body model has its lumbar joint (Rajagopal 2016): 0.735 of the depth
    of the pelvis behind the middle of the anterior spines and 0.237 of their distance above."""
    front, back, across = (asis_r + asis_l) / 2, (psis_r + psis_l) / 2, asis_r - asis_l
    up = unit(cross(across, front - back)) * _length(across)
    return front - 0.735 * (front - back) + 0.237 * up


def _shoulder_centre(near: FloatArray, far: FloatArray, *spines: FloatArray) -> FloatArray:
    """17 % of the distance of the acromia below the near one (Rab et al. 2002, Gait Posture 15).

    Down is along the trunk. Without it, with the acromion itself for the centre, arm_flex misses
    OpenSim's by two to three times as much.
    """
    down = unit(_lumbar_joint(*spines) - (near + far) / 2)
    return near + 0.17 * _length(near - far) * down


def _length(vector: FloatArray) -> FloatArray:
    """(..., 1) length of `vector` (..., 3)."""
    return np.asarray(np.linalg.norm(vector, axis=-1, keepdims=True))


_SPINES = ("asis_r", "asis_l", "psis_r", "psis_l")
# Landmarks that can be computed from others: name -> (inputs, function of their positions).
_DERIVED: dict[str, tuple[tuple[str, ...], Callable[..., FloatArray]]] = {
    "hip_r": (_SPINES, _hip_centre),
    "lumbar": (_SPINES, _lumbar_joint),
    "shoulder_r": (("acromion_r", "acromion_l", *_SPINES), _shoulder_centre),
}
_STEP_M = 1e-5  # central differences: curvature below 1e-9, rounding below 1e-10 of the slope
_MIRROR = np.array([1.0, 1.0, -1.0])


@cache
def aliases() -> dict[str, tuple[str, ...]]:
    """Marker names by landmark, in order of preference, from `aliases.toml`."""
    text = (files("kinefit.angles") / "aliases.toml").read_text("utf-8")
    table = tomllib.loads(text)["landmarks"]
    return {
        mark: tuple(full for name in names for full in (f"{name}_study", name))
        for mark, names in table.items()
    }


def find_columns(names: Sequence[str]) -> dict[str, int]:
    """Landmark -> column of the marker in `names` that stands for it."""
    column = {name: i for i, name in enumerate(names)}
    found = {
        mark: next((column[n] for n in options if n in column), None)
        for mark, options in aliases().items()
    }
    return {mark: i for mark, i in found.items() if i is not None}


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
        self._derived = {
            mark: inputs
            for mark, (inputs, _) in _DERIVED.items()
            if mark not in self._columns and all(name in self._columns for name in inputs)
        }

    def __contains__(self, name: str) -> bool:
        return name in self._columns or name in self._derived

    def missing(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of `names` that cannot be had, under the names of the person's own sides."""
        return tuple(self._side(name) for name in names if name not in self)

    def position(self, name: str) -> FloatArray:
        """(T, 3) metres; NaN where the marker, or one that it is derived from, is missing."""
        if name in self._derived:
            inputs, compute = _DERIVED[name]
            return compute(*(self.position(n) for n in inputs))
        xyz = self._markers.xyz[:, self._columns[name]]
        return xyz * _MIRROR if self._mirrored else xyz

    def derivatives(self, name: str) -> dict[int, FloatArray | None]:
        """Marker column -> (T, 3, 3) of d position / d marker, None for the marker itself."""
        if name not in self._derived:
            return {self._columns[name]: None}
        inputs, compute = _DERIVED[name]
        points = [self.position(n) for n in inputs]
        out: dict[int, FloatArray | None] = {}
        for i, mark in enumerate(inputs):
            slopes = []
            for step in np.eye(3) * _STEP_M:
                ahead = compute(*(p + step * (k == i) for k, p in enumerate(points)))
                behind = compute(*(p - step * (k == i) for k, p in enumerate(points)))
                slopes.append((ahead - behind) / (2 * _STEP_M))
            out[self._columns[mark]] = np.stack(slopes, axis=-1)
        return out

    def _side(self, mark: str) -> str:
        if not self._mirrored or mark[-2:] not in ("_r", "_l"):
            return mark
        return mark[:-1] + ("l" if mark.endswith("_r") else "r")
