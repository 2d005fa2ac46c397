"""The table of marker names, and what commands find by it."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.biomech.angles.landmarks import find_columns
from kinefit.biomech.opensim.sets import renamed
from kinefit.fit.recipes.marker_places import _table as placed
from kinefit.skeletons import skeleton, skeleton_names
from kinefit.skeletons.marker_names import is_known, marker_table, place_of, same_places
from kinefit.types import Markers, Timeline

# One marker of the knee's outer side, the heel, the pelvis and the wrist, as each set has them.
SETS = {
    "OpenCap": ("r_knee", "r_calc", "r.ASIS", "r_lwrist"),
    "OpenCap, augmented": ("r_knee_study", "r_calc_study", "r.ASIS_study", "r_lwrist_study"),
    "Rajagopal": ("RLFC", "RCAL", "RASI", "RFAradius"),
    "OpenSim's walking example": ("R.Knee", "R.Heel", "R.ASIS", "R.Wrist"),
    "Plug-in Gait": ("RKNE", "RHEE", "RASI", "RWRA"),
    "CMU": ("RKNE", "RHEE", "RFWT", "RWRA"),
    "Qualisys": ("R_FLE", "R_FCC", "R_IAS", "R_RSP"),
    "OptiTrack": ("RFLE", "RFCC", "RIAS", "RRSP"),
    "capitals": ("R_KNEE", "R_CALC", "R.ASIS", "R_LWRIST"),
}
PLACES = ("knee_lat", "heel", "asis", "wrist_lat")


@pytest.mark.parametrize("names", SETS.values(), ids=SETS)
def test_every_command_knows_the_sets(names: tuple[str, ...]) -> None:
    assert find_columns(names) == {f"{place}_r": i for i, place in enumerate(PLACES)}
    assert all(name.lower().removesuffix("_study") in placed() for name in names)
    markers = Markers(Timeline.regular(2, 10.0), names, np.zeros((2, 4, 3)))
    study = ("r_knee_study", "r_calc_study", "r.ASIS_study", "r_lwrist_study")
    assert renamed(markers, study)[0].names == study


def test_no_keypoint_is_taken_for_a_marker() -> None:
    keypoints = {p.lower() for name in skeleton_names() for p in skeleton(name).points}
    augmented = {p.lower() for p in skeleton("augmented43").points}
    assert not keypoints - augmented & set(marker_table())
    assert place_of("RKnee") is None
    assert is_known("RKnee")
    assert is_known("LKNE")
    assert not is_known("Box1")


def test_the_preferred_of_two_names_is_taken() -> None:
    assert find_columns(("R.ASIS", "r.ASIS_study", "RASI"))["asis_r"] == 1
    assert same_places(("RASI", "r.ASIS"), ("r.ASIS_study",)) == {"r.ASIS": "r.ASIS_study"}
    assert same_places(("RASI", "r.ASIS_study"), ("r.ASIS_study",)) == {}


def test_clusters_are_not_renamed_for_a_model_that_cannot_place_them() -> None:
    markers = Markers(Timeline.regular(2, 10.0), ("r_thigh1", "RKNE"), np.zeros((2, 2, 3)))
    new, taken = renamed(markers, ["r_thigh1_study", "r_knee_study"])
    assert taken == {"RKNE": "r_knee_study"}
    assert new.names == ("r_thigh1", "r_knee_study")
