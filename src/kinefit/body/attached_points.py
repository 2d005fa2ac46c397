"""Points fixed to a body's bones, beside the keypoints it has: markers, other models' joints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class AttachedPoint:
    """A point that one joint carries.

    place: (3,) metres, where it is at rest in the template. dirs: (C, 3) metres, how it moves with
    each shape coefficient. on: the joint that carries it, by its name in the body.
    """

    place: FloatArray
    dirs: FloatArray
    on: str

    @classmethod
    def at_joints(cls, body: BodyModel, shares: Mapping[str, float], on: str) -> AttachedPoint:
        """A weighted sum of joints."""
        index = [body.joint_names.index(name) for name in shares]
        weight = np.array(list(shares.values()), dtype=np.float64)
        return cls(
            weight @ body.joints[index],
            np.einsum("j,cji->ci", weight, body.joint_dirs[:, index]),
            on,
        )

    @classmethod
    def on_skin(
        cls, body: BodyModel, vertices: IntArray, shares: FloatArray, on: str
    ) -> AttachedPoint:
        """A weighted sum of vertices."""
        return cls(
            shares @ body.vertices[vertices],
            np.einsum("v,cvi->ci", shares, body.vertex_dirs[:, vertices].astype(np.float64)),
            on,
        )


def with_attached_points(
    body: BodyModel, marks: Mapping[str, AttachedPoint], keypoints: Sequence[str] = ()
) -> BodyModel:
    """The body with marks as keypoints of their names, for use in a `Chain`.

    Of its mesh only the vertices are left that `keypoints`, by which it can still be seen, are
    made of, and one more per mark, which follows that mark's joint alone: a body of a few hundred
    vertices instead of ten thousand.
    """
    sources = {name: body.regressor(name) for name in keypoints}
    meshed = {name: s for name, s in sources.items() if not isinstance(s, str)}
    used = np.unique(np.concatenate([np.zeros(0, np.int64), *(s[0] for s in meshed.values())]))
    n, W = len(used) + len(marks), body.skin_joints.shape[1]
    joints, weights = np.zeros((n, W), dtype=np.int64), np.zeros((n, W))
    joints[: len(used)], weights[: len(used)] = body.skin_joints[used], body.skin_weights[used]
    joints[len(used) :, 0] = [body.joint_names.index(mark.on) for mark in marks.values()]
    weights[len(used) :, 0] = 1.0
    place = np.array([mark.place for mark in marks.values()]).reshape(-1, 3)
    dirs = np.array([mark.dirs for mark in marks.values()])
    dirs = dirs.reshape(len(marks), len(body.joint_dirs), 3)
    one = np.ones(1)
    return replace(
        body,
        vertices=np.concatenate([body.vertices[used], place]),
        vertex_dirs=np.concatenate([body.vertex_dirs[:, used], dirs.transpose(1, 0, 2)], axis=1),
        faces=np.zeros((0, 3), dtype=np.int64),
        skin_joints=joints,
        skin_weights=weights,
        regressors={
            **{name: s for name, s in sources.items() if isinstance(s, str)},
            **{name: (np.searchsorted(used, s[0]), s[1]) for name, s in meshed.items()},
            **{name: (np.array([len(used) + i]), one) for i, name in enumerate(marks)},
        },
        pose_dirs=None,
    )
