"""Where markers are on a body: keypoints by their names, laboratory markers by a table.

A marker of the table is where a ray from inside the body, in an anatomical direction, has left
the skin at rest by the marker's own radius; it moves with one bone, as those on bony landmarks do.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from kinefit.body.anatomy import SIDED, Anatomy
from kinefit.body.attached_points import AttachedPoint, with_attached_points
from kinefit.body.model import BodyModel
from kinefit.fit.solver.chain import PointSum
from kinefit.geometry import rotations as so3
from kinefit.skeletons import skeleton
from kinefit.skeletons.marker_names import marker_table
from kinefit.types import FloatArray, IntArray, InvalidData

# Means that other points stand for. Not Head: it is the crown in one detector's set and between
# the ears in another's, 15 cm apart.
_MEANS = {name: skeleton("markers22").derived[name] for name in ("Neck", "Hip")}

# A ray in the plane of symmetry meets edges: rounding must not let it slip through.
_EDGE = 1e-9

# The middle of a marker is this far off the skin: balls of 12 to 16 mm on a base.
_RADIUS_M = 0.01


def marker_points(
    body: BodyModel, names: Sequence[str]
) -> tuple[BodyModel, dict[str, dict[str, float]]]:
    """The body with what it takes to carry markers, and what each of `names` is a sum of.

    Both are for `Chain.of`. Markers whose place is not known are left out.
    """
    skin = Skin.of(body)
    points: dict[str, dict[str, float]] = {}
    marks: dict[str, AttachedPoint] = {}
    for name in names:
        if (parts := _keypoints(body, name)) is not None:
            points[name] = parts
        elif (place := marker_place(skin, name)) is not None:
            marks[f"marker {name}"] = place
            points[name] = {f"marker {name}": 1.0}
    keypoints = {part for parts in points.values() for part in parts if part not in marks}
    return with_attached_points(body, marks, sorted(keypoints)), points


def _keypoints(body: BodyModel, name: str) -> dict[str, float] | None:
    """The body's own keypoint of that name, or those whose mean it is."""
    parts = (name,) if name in body.regressors else _MEANS.get(name, ())
    if not parts or any(part not in body.regressors for part in parts):
        return None
    return dict.fromkeys(parts, 1 / len(parts))


def marker_place(skin: Skin, name: str) -> AttachedPoint | None:
    """A marker of the table; None for one that is not in it or that the body has no place for."""
    body, key = skin.body, name.lower().removesuffix("_study")
    if key not in _table():
        return None
    side, row = _table()[key]
    on = body.anatomy.get(_sided(row["on"] if "on" in row else row["axes"], side))
    if on is None:
        return None
    if "joint" in row:
        joint = body.anatomy.get(side + row["joint"])
        return None if joint is None else AttachedPoint.at_joints(body, {joint: 1.0}, on)
    at = {_sided(point, side): share for point, share in row["at"].items()}
    # Clavicles have the trunk's axes, Z to their side.
    trunk = f"{side}Clavicle" if side else "Neck"
    axes = trunk if row["axes"] == "Trunk" else side + row["axes"]
    if axes not in body.anatomy or any(n not in {*body.anatomy, *body.regressors} for n in at):
        return None
    vertices, shares, outward = skin.exit(at, axes, np.array(row["facing"], dtype=np.float64))
    on_skin = AttachedPoint.on_skin(body, vertices, shares, on)
    return replace(on_skin, place=on_skin.place + _RADIUS_M * outward)


def _sided(name: str, side: str) -> str:
    return side + name if name in (*SIDED, "Heel", "BigToe", "SmallToe") else name


@cache
def _table() -> dict[str, tuple[str, dict[str, Any]]]:
    """Marker name in lower case -> side ("L", "R" or "") and row of `marker_places.toml`."""
    text = (files("kinefit.fit.recipes") / "marker_places.toml").read_text("utf-8")
    rows = {row["name"]: row for row in tomllib.loads(text)["place"]}
    return {
        name: (found.side, rows[found.place])
        for name, found in marker_table().items()
        if found.place in rows
    }


@dataclass(frozen=True, eq=False)
class Skin:
    """A body's mesh as it stands at rest, in its neutral shape.

    joints: (B, 3), vertices: (V, 3) metres. triangles: (F, 3) of vertices.
    """

    body: BodyModel
    joints: FloatArray
    vertices: FloatArray
    triangles: IntArray

    @classmethod
    def of(cls, body: BodyModel) -> Skin:
        shape = body.shape.neutral
        # Polygons as fans of triangles.
        fans = [body.faces[:, [0, k, k + 1]] for k in range(1, body.faces.shape[1] - 1)]
        vertices = body.rest_vertices(shape)
        return cls(body, body.rest_joints(shape), vertices, np.concatenate(fans))

    def exit(
        self, at: PointSum, axes: str, facing: FloatArray
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """Where a ray from inside first leaves the skin: three vertices, their shares, and the
        ray's direction (3,).

        at: anatomical joints, or keypoints, whose sum the ray begins at. axes: the anatomical joint
        in whose distal frame (see `Anatomy`) `facing` (3,) is. Raises InvalidData where the ray
        meets no skin.
        """
        body = self.body
        origin = np.array(list(at.values())) @ np.array([self._place(name) for name in at])
        direction = so3.unit(Anatomy.of(body, [axes]).distal[0] @ facing)
        distance, shares = _exits(self.vertices[self.triangles], origin, direction)
        if not np.isfinite(distance).any():
            raise InvalidData(f"Body {body.name}: no skin in that direction from {', '.join(at)}.")
        first = int(np.nanargmin(distance))
        return self.triangles[first], shares[first], direction

    def _place(self, name: str) -> FloatArray:
        """(3,) an anatomical joint, or else a keypoint."""
        source = self.body.anatomy.get(name) or self.body.regressor(name)
        if isinstance(source, str):
            return np.asarray(self.joints[self.body.joint_names.index(source)])
        return np.asarray(source[1] @ self.vertices[source[0]])


def _exits(
    corners: FloatArray, origin: FloatArray, direction: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """How far along a ray it leaves each triangle's outer side, (F,), NaN where it does not;
    and the corners' shares in that point, (F, 3).

    corners: (F, 3, 3), counter-clockwise from outside (Moeller & Trumbore 1997, J Graphics Tools
    2(1):21).
    """
    a = corners[:, 1] - corners[:, 0]
    b = corners[:, 2] - corners[:, 0]
    p = np.cross(direction, b)
    det = (a * p).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        s = origin - corners[:, 0]
        u = (s * p).sum(axis=1) / det
        q = np.cross(s, a)
        v = (q @ direction) / det
        distance = (q * b).sum(axis=1) / det
    outward = np.cross(a, b) @ direction > 0
    inside = np.minimum(np.minimum(u, v), 1 - u - v) >= -_EDGE
    hit = outward & inside & (distance > 0)
    return np.where(hit, distance, np.nan), np.stack([1 - u - v, u, v], axis=1)
