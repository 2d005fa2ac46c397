"""True keypoints and laboratory markers of a body.

Markers are those of `kinefit.fit.mesh_markers`, each fixed to its bone. Keypoints are the body's
own, and the means that skeletons derive from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from kinefit.body.model import BodyModel
from kinefit.fit.mesh_markers import laboratory_markers
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray, IntArray

_MEANS = skeleton("markers22").derived
_AT_ONCE = 64  # poses whose skin is in memory at once: 0.2 MB each


@dataclass(frozen=True, eq=False)
class BodyPoints:
    """Named points of a body: keypoints, each a weighted sum of vertices and joints, and markers.

    keypoints: their names, in the order of the rows. vertices: (n,) that they need.
    on_vertices: (K, n), on_joints: (K, B) shares.
    """

    body: BodyModel
    keypoints: tuple[str, ...]
    vertices: IntArray
    on_vertices: sparse.csr_array
    on_joints: sparse.csr_array

    @classmethod
    def of(cls, body: BodyModel) -> BodyPoints:
        """All keypoints of `body`, and those of the 43 laboratory markers that it can carry."""
        rows = _keypoint_rows(body)
        items = list(rows.values())
        V, B = len(body.vertices), len(body.joint_names)
        on_skin = _shares([i if i[2] else None for i in items], V)
        used = np.unique(on_skin.indices)
        return cls(
            body=body,
            keypoints=tuple(rows),
            vertices=used.astype(np.int64),
            on_vertices=on_skin[:, used],
            on_joints=_shares([None if i[2] else i for i in items], B),
        )

    @property
    def markers(self) -> tuple[str, ...]:
        return tuple(laboratory_markers(self.body).regressors)

    def at(
        self, rotations: FloatArray, translation: FloatArray, shape: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Keypoints (T, K, 3) and markers (T, M, 3), metres, of poses.

        rotations: (T, B, 3, 3) local. translation: (T, 3) metres. shape: (S,).
        """
        markers = laboratory_markers(self.body).posed_vertices(rotations, translation, shape)
        return self.keypoints_at(rotations, translation, shape), markers

    def keypoints_at(
        self, rotations: FloatArray, translation: FloatArray, shape: FloatArray
    ) -> FloatArray:
        """Only the keypoints of `at`: the places of markers on a new body take half a second."""
        body, out = self.body, np.empty((len(rotations), len(self.keypoints), 3))
        for first in range(0, len(rotations), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            posed = body.posed_vertices(rotations[some], translation[some], shape, self.vertices)
            _, joints = body.pose(rotations[some], translation[some], body.rest_joints(shape))
            out[some] = self._sum(posed, joints)
        return out

    def _sum(self, vertices: FloatArray, joints: FloatArray) -> FloatArray:
        T = len(vertices)
        flat = self.on_vertices @ vertices.transpose(1, 0, 2).reshape(-1, 3 * T)
        flat += self.on_joints @ joints.transpose(1, 0, 2).reshape(-1, 3 * T)
        return np.asarray(flat.reshape(-1, T, 3).transpose(1, 0, 2))

    def depth_below_skin(self, shape: FloatArray) -> FloatArray:
        """(K,) metres from each keypoint to the nearest vertex, in the rest pose of `shape`."""
        rest = np.asarray(self.body.rest_vertices(shape))
        points = self._sum(rest[None, self.vertices], self.body.rest_joints(shape)[None])[0]
        distance, _ = cKDTree(rest).query(points)
        return np.asarray(distance)


@lru_cache(maxsize=4)
def body_points(body: BodyModel) -> BodyPoints:
    """`BodyPoints.of`, remembered."""
    return BodyPoints.of(body)


_Row = tuple[IntArray, FloatArray, bool]  # index, shares, on the skin or on joints


def _keypoint_rows(body: BodyModel) -> dict[str, _Row]:
    """Keypoints of the body, and the means of them that skeletons have."""
    rows: dict[str, _Row] = {}
    for name in body.regressors:
        source = body.regressor(name)
        if isinstance(source, str):
            rows[name] = (np.array([body.joint_names.index(source)]), np.ones(1), False)
        else:
            rows[name] = (*source, True)
    for name, parts in _MEANS.items():
        if name not in rows and all(part in rows and rows[part][2] for part in parts):
            rows[name] = (
                np.concatenate([rows[part][0] for part in parts]),
                np.concatenate([rows[part][1] for part in parts]) / len(parts),
                True,
            )
    return rows


def _shares(items: Sequence[_Row | None], columns: int) -> sparse.csr_array:
    """(len(items), columns) with the shares of each item in its row; None is an empty row."""
    count = [0 if item is None else len(item[0]) for item in items]
    some = [item for item in items if item is not None]
    index = np.concatenate([np.zeros(0, np.int64), *(item[0] for item in some)])
    value = np.concatenate([np.zeros(0), *(item[1] for item in some)])
    row = np.repeat(np.arange(len(items)), count)
    out = sparse.csr_array((value, (row, index)), (len(items), columns))
    out.sum_duplicates()
    return out
