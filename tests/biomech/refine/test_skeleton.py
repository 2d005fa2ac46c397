"""A skeleton turned by changed angles: its own posture again, and bones as long as they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.biomech.angles import GROUPS
from kinefit.biomech.refine.skeleton import BONES, POINTS, joint_of_point, turned_skeleton
from kinefit.types import FloatArray, JointAngles

from .conftest import Person


def _changed(angles: JointAngles, name: str, by: float) -> JointAngles:
    degrees = angles.degrees.copy()
    degrees[:, angles.names.index(name)] += by
    return replace(angles, degrees=degrees)


def _between(xyz: FloatArray, a: str, b: str, c: str) -> FloatArray:
    """(T,) degrees at b."""
    first, corner, last = (xyz[:, POINTS.index(name)] for name in (a, b, c))
    u, v = first - corner, last - corner
    cosine = (u * v).sum(-1) / np.linalg.norm(u, axis=-1) / np.linalg.norm(v, axis=-1)
    return np.degrees(np.arccos(cosine))


def test_unchanged_angles_leave_it_where_it_is(squatter: Person) -> None:
    found = turned_skeleton(squatter.markers, squatter.angles, squatter.angles)
    # A micrometre: rounding.
    assert np.abs(found - squatter.markers.select(POINTS).xyz).max() < 1e-6


@pytest.mark.parametrize("name", ["pelvis_rot", "trunk_abd", "hip_l_flex", "knee_r_flex",
                                  "ankle_l_flex", "shoulder_r_abd", "elbow_l_flex"])  # fmt: skip
def test_bones_keep_their_lengths_and_only_what_hangs_on_a_joint_moves(
    squatter: Person, name: str
) -> None:
    before = squatter.markers.select(POINTS).xyz
    after = turned_skeleton(squatter.markers, squatter.angles, _changed(squatter.angles, name, 12))
    for a, b in BONES:
        pair = [POINTS.index(a), POINTS.index(b)]
        lengths = [np.linalg.norm(v[:, pair[1]] - v[:, pair[0]], axis=-1) for v in (before, after)]
        assert np.allclose(*lengths, atol=1e-9)
    still = np.abs(after - before).max(axis=(0, 2)) < 1e-6
    group = name.rpartition("_")[0]
    side = {"r": "L", "l": "R"}.get(group[-1] if group[-2] == "_" else "")
    if side:  # nothing of the other side
        assert all(still[i] for i, point in enumerate(POINTS) if point[0] == side)
    assert not still.all()


@pytest.mark.parametrize("side", ["R", "L"])
def test_a_knee_bends_by_what_its_flexion_was_changed_by(squatter: Person, side: str) -> None:
    changed = _changed(squatter.angles, f"knee_{side.lower()}_flex", 10)
    after = turned_skeleton(squatter.markers, squatter.angles, changed)
    corner = f"{side}Hip", f"{side}Knee", f"{side}Ankle"
    moved = _between(squatter.markers.select(POINTS).xyz, *corner) - _between(after, *corner)
    # The shank turns about the epicondyles' axis, which is about square to the leg's plane.
    assert np.median(moved) == pytest.approx(10, abs=0.5)


def test_every_point_hangs_on_a_joint() -> None:
    assert {joint_of_point(name) for name in POINTS} == set(GROUPS)
    assert joint_of_point("LWrist") == "elbow_l"
    assert joint_of_point("Neck") == joint_of_point("Nose") == "trunk"
