"""Joint angles as refiners see them: reversible, mirrored as bodies are, silent of the unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.biomech.angles import GROUPS, joint_angles
from kinefit.biomech.refine.table import (
    ANGLES,
    CHANNELS,
    MIRROR_SIGNS,
    OFFSETS,
    TWIN,
    heading_first,
    heading_last,
    make_inputs,
    mirrored,
    near_turning,
    seen_of,
    steps_apart,
    values_of,
    with_values,
)
from kinefit.geometry.rotations import compose, difference_deg
from kinefit.skeletons import mirror_name
from kinefit.types import Markers

from .conftest import Person

PELVIS = GROUPS.index("pelvis")


def test_the_way_back_is_the_way_there(walker: Person) -> None:
    """Also for the columns that follow from others, which are read anew."""
    values, sd = values_of(walker.angles)
    assert values.shape == sd.shape == (len(walker.angles.timeline), 12, 3)
    every = np.ones(values.shape[:2], bool)
    again = with_values(walker.angles, values, sd, every)
    # 1e-9 degrees: rounding of a few rotations.
    assert np.abs(difference_deg(again.degrees, walker.angles.degrees)).max() < 1e-9


def test_tilt_and_list_do_not_depend_on_where_a_person_faces(walker: Person) -> None:
    turn = compose(np.array([0.0, 1.1, 0.0]), "XYZ")
    turned = joint_angles(replace(walker.markers, xyz=walker.markers.xyz @ turn.T))
    before, after = values_of(walker.angles)[0], values_of(turned)[0]
    off = difference_deg(after, before)
    off[:, PELVIS, 2] = difference_deg(off[:, PELVIS, 2], np.full(len(off), np.degrees(1.1)))
    assert np.abs(off).max() < 1e-9
    # As they are in files, about axes of the world, they do.
    assert np.abs(turned.column("pelvis_flex") - walker.angles.column("pelvis_flex")).max() > 3


def test_a_mirror_of_the_angles_is_the_angles_of_the_mirror(walker: Person) -> None:
    """The mirror hangs along the axis of a camera that looks along Z: x is -x."""
    markers = walker.markers
    at = [markers.names.index(_other(name)) for name in markers.names]
    image = Markers(markers.timeline, markers.names, markers.xyz[:, at] * [-1, 1, 1])
    seen, told = values_of(joint_angles(image))[0], mirrored(values_of(walker.angles)[0])
    assert np.abs(difference_deg(seen, told)).max() < 1e-9
    assert np.abs(difference_deg(mirrored(told), values_of(walker.angles)[0])).max() < 1e-9


def _other(name: str) -> str:
    if name == "C7_study":
        return name
    if "HJC" in name:
        return {"R": "L", "L": "R"}[name[0]] + name[1:]
    if name.endswith("_study"):
        return {"r": "L", "L": "r"}[name[0]] + name[1:]
    return mirror_name(name)


def test_corrections_are_mirrored_as_angles_are() -> None:
    rng = np.random.default_rng(0)
    values, change = rng.uniform(-40, 40, (2, 12, 3))
    both = difference_deg(mirrored(values + change), mirrored(values))
    assert np.allclose(both, change[TWIN] * MIRROR_SIGNS)


def test_heading_may_come_first_or_last() -> None:
    values = np.random.default_rng(1).uniform(-60, 60, (50, 12, 3))
    assert np.abs(difference_deg(heading_last(heading_first(values)), values)).max() < 1e-9


def test_joints_are_as_far_apart_as_along_the_body() -> None:
    apart = steps_apart()
    at = {group: i for i, group in enumerate(GROUPS)}
    assert np.array_equal(apart, apart.T)
    assert apart[at["hip_r"], at["knee_r"]] == 1
    assert apart[at["knee_r"], at["knee_l"]] == 4
    assert apart[at["ankle_r"], at["elbow_l"]] == 6
    assert np.array_equal(apart[TWIN][:, TWIN], apart)


def test_what_is_unknown_is_nothing_to_a_network() -> None:
    rng = np.random.default_rng(2)
    values, sd, seen = rng.normal(size=(5, 12, 3)), rng.random((5, 12, 3)), rng.random((5, 12))
    values[2, 4, 1] = np.nan
    sd[0, 0] = np.nan
    found = make_inputs(values, sd, seen)
    assert found.shape == (5, 12, CHANNELS)
    assert not found[2, 4].any()
    assert found[0, 0, -1] == 1
    assert not found[0, 0, 6:9].any()
    assert np.isfinite(found).all()


def test_an_angle_near_its_opposite_is_told_but_not_a_heading() -> None:
    values = np.zeros((12, 3))
    values[3, 0], values[PELVIS, 2] = -171.0, 179.0
    assert np.argwhere(near_turning(values)).tolist() == [[3, 0]]


def test_a_joint_is_seen_as_far_as_its_keypoints_are(walker: Person) -> None:
    flags = np.zeros((len(walker.markers.timeline), len(walker.markers.names)), bool)
    flags[:10, walker.markers.names.index("RKnee")] = True
    seen = seen_of(replace(walker.markers, estimated=flags))
    at = {group: i for i, group in enumerate(GROUPS)}
    assert seen[0, at["hip_r"]] == 0.5
    assert seen[0, at["knee_r"]] == pytest.approx(2 / 3)
    assert seen[0, at["knee_l"]] == seen[20, at["knee_r"]] == 1


def test_conventions_are_alike_on_both_sides_and_in_the_middle() -> None:
    assert np.array_equal(OFFSETS, OFFSETS[TWIN] * MIRROR_SIGNS)
    assert len(ANGLES) == OFFSETS.size == 36
