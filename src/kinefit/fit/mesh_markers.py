"""The laboratory's markers on a posed body, each fixed to its bone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.fit.recipes.marker_places import Skin, marker_place
from kinefit.skeletons import skeleton
from kinefit.types import BodyMotion, FloatArray, IntArray, Markers


@dataclass(frozen=True, eq=False)
class LaboratoryMarkers:
    """The markers of the skeleton "augmented43" that a body can carry.

    names: M of them. place: (M, 3) metres, at rest in the template. dirs: (C, M, 3) metres, how
    that moves with each shape coefficient. on: (M,) the joints that carry them.
    """

    body: BodyModel
    names: tuple[str, ...]
    place: FloatArray
    dirs: FloatArray
    on: IntArray

    @classmethod
    def of(cls, body: BodyModel) -> LaboratoryMarkers:
        skin = Skin.of(body)
        named = [(name, marker_place(skin, name)) for name in skeleton("augmented43").points]
        found = {name: place for name, place in named if place is not None}
        C = len(body.joint_dirs)
        dirs = [place.dirs for place in found.values()]
        return cls(
            body=body,
            names=tuple(found),
            place=np.array([place.place for place in found.values()]).reshape(-1, 3),
            dirs=np.array(dirs).reshape(len(found), C, 3).transpose(1, 0, 2),
            on=np.array([body.joint_names.index(p.on) for p in found.values()], dtype=np.int64),
        )

    def at(self, rotations: FloatArray, translation: FloatArray, shape: FloatArray) -> FloatArray:
        """(T, M, 3) metres, world.

        rotations: (T, B, 3, 3) local. translation: (T, 3) metres. shape: (S,). NaN where these are.
        """
        heads = self.body.rest_joints(shape)
        G, c = self.body.pose(rotations, translation, heads)
        rest = self.place + np.tensordot(self.body.shape.coefficients(shape), self.dirs, axes=1)
        arm = (rest - heads[self.on])[..., None]
        return np.asarray(c[:, self.on] + (G[:, self.on] @ arm)[..., 0])


@lru_cache(maxsize=4)
def laboratory_markers(body: BodyModel) -> LaboratoryMarkers:
    """`LaboratoryMarkers.of`, remembered: the rays that place markers take half a second."""
    return LaboratoryMarkers.of(body)


def mesh_markers(body: BodyModel, motion: BodyMotion) -> Markers:
    """The anatomical markers of a motion, by the names of the skeleton "augmented43".

    As a laboratory would stick them onto the body, and with a hip joint centre on either side.
    Those that the body has no place for are left out; NaN in frames without a pose. How far they,
    and the joint angles from them, are off: docs/measurements/mesh_markers.md.
    """
    found = laboratory_markers(body)
    xyz = found.at(motion.rotations, motion.translation, motion.shape)
    return Markers(motion.timeline, found.names, xyz)
