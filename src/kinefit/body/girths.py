"""Girths of a body: what a tape measures around chest, waist, hip and thigh.

The body stands at rest; the tape is the convex hull of a horizontal cut through its trunk or
thigh (tapes bridge hollows). Heights follow ISO 8559-1 as far as joints tell them: waist and chest
between hips and shoulders, hip at the widest cut of the trunk near the hip joints, thigh below the
crotch.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull

from kinefit.body.model import BodyModel
from kinefit.types import BoolArray, FloatArray, IntArray

GIRTHS = ("chest", "waist", "hip", "thigh")

# Shares of the way from the hip joints to the shoulder joints, and from the hip to the knee.
_CHEST, _WAIST, _THIGH = 0.78, 0.40, 0.25
_HIP = (-0.12, 0.16)  # the hip's girth is the largest between these shares of the trunk


def girths(body: BodyModel, shape: FloatArray) -> dict[str, float]:
    """Metres of each of `GIRTHS` for a shape (S,); of the left thigh.

    Joints of the body must be named in its anatomy (hips, shoulders, knee), else there are none.
    """
    needed = ("LHip", "RHip", "LShoulder", "RShoulder", "LKnee")
    if any(name not in body.anatomy for name in needed):
        return {}
    rest, joints = np.asarray(body.rest_vertices(shape)), body.rest_joints(shape)
    at = {name: joints[body.joint_names.index(body.anatomy[name])] for name in needed}
    hip, shoulder = ((at[f"L{name}"][1] + at[f"R{name}"][1]) / 2 for name in ("Hip", "Shoulder"))
    owner = body.owner
    trunk = _faces(body, ~body.below(("LShoulder", "RShoulder"))[owner])
    left = _faces(body, body.below(("LHip",))[owner])
    thigh = at["LHip"][1] + _THIGH * (at["LKnee"][1] - at["LHip"][1])

    def of_trunk(share: float) -> float:
        return _around(rest, trunk, hip + share * (shoulder - hip))

    return {
        "chest": of_trunk(_CHEST),
        "waist": of_trunk(_WAIST),
        "hip": max(of_trunk(share) for share in np.linspace(*_HIP, 8)),
        "thigh": _around(rest, left, thigh),
    }


def _faces(body: BodyModel, inside: BoolArray) -> IntArray:
    """Triangles all of whose corners are `inside` (V,)."""
    return body.faces[inside[body.faces].all(axis=1)]


def _around(vertices: FloatArray, faces: IntArray, height: float) -> float:
    """Metres: perimeter of the convex hull of the cut at a height; NaN where nothing is cut."""
    a, b = (vertices[faces[:, i]] for i in ([0, 1, 2], [1, 2, 0]))
    share = (height - a[..., 1]) / np.where(a[..., 1] == b[..., 1], np.inf, b[..., 1] - a[..., 1])
    cut = (share > 0) & (share < 1)
    if cut.sum() < 3:
        return float("nan")
    at = (a + share[..., None] * (b - a))[cut][:, [0, 2]]
    return float(ConvexHull(at).area)  # of a hull in the plane, `area` is the perimeter
