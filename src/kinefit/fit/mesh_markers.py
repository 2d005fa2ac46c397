"""The laboratory's markers on a posed body, each fixed to its bone."""

from __future__ import annotations

from functools import lru_cache

from kinefit.body.attached_points import with_attached_points
from kinefit.body.model import BodyModel
from kinefit.fit.recipes.marker_places import Skin, marker_place
from kinefit.skeletons import skeleton
from kinefit.types import BodyMotion, Markers


@lru_cache(maxsize=4)
def laboratory_markers(body: BodyModel) -> BodyModel:
    """The body with the markers of the skeleton "augmented43" that it can carry for its vertices;
    its `regressors` name them in their order.

    Remembered: the rays that place markers take half a second.
    """
    skin = Skin.of(body)
    places = {name: marker_place(skin, name) for name in skeleton("augmented43").points}
    found = {name: place for name, place in places.items() if place is not None}
    return with_attached_points(body, found)


def mesh_markers(body: BodyModel, motion: BodyMotion) -> Markers:
    """The anatomical markers of a motion, by the names of the skeleton "augmented43".

    As a laboratory would stick them onto the body, and with a hip joint centre on either side.
    Those that the body has no place for are left out; NaN in frames without a pose. How far they,
    and the joint angles from them, are off: docs/measurements/mesh_markers.md.
    """
    marked = laboratory_markers(body)
    return Markers(motion.timeline, tuple(marked.regressors), marked.motion_vertices(motion))
