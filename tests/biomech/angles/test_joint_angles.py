"""Joint angles of a body whose angles are known, and what must not change them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.biomech.angles import GIMBAL_DEG, GROUPS, group_names, joint_angles, missing_landmarks
from kinefit.biomech.angles.spread import AngleSpread
from kinefit.skeletons.table import mirror_name
from kinefit.types import FloatArray, JointAngles, Markers, MissingMarkers, Timeline

Build = Callable[..., Markers]

# Degrees; positions of about 1 m rounded at 1e-16 over levers of 0.1 m, times 57.
EXACT = 1e-9
LIMBS = ("hip", "knee", "ankle", "elbow")
SIGNS = {
    "pelvis": (-1, 1, 1), "trunk": (-1, 1, 1), "knee": (-1, -1, 1),
    "hip": (1, -1, 1), "ankle": (1, -1, 1), "elbow": (1, -1, 1), "shoulder": (1, -1, 1),
}  # fmt: skip
PEOPLE = 40


def truth(seed: int = 0, frames: int = PEOPLE) -> dict[str, FloatArray]:
    """Smooth angles in degrees, (T, 3) by group, far from any singularity."""
    rng = np.random.default_rng(seed)
    phase = np.linspace(0, 2, frames)[:, None]
    return {
        group: rng.uniform(-35, 35, 3)
        + rng.uniform(5, 15, 3) * np.sin(phase + rng.uniform(0, 6, 3))
        for group in GROUPS
    }


def rotation(group: str, angles: FloatArray) -> Rotation:
    """The rotation that the documented signs and sequences give to (T, 3) degrees."""
    joint = group.split("_")[0]
    z, x, y = (np.radians(angles) * SIGNS[joint]).T
    if joint == "shoulder":
        still = np.zeros_like(z)
        swing = Rotation.from_rotvec(np.stack([x, still, z], -1))
        return swing * Rotation.from_rotvec(np.stack([still, y, still], -1))
    return Rotation.from_euler("ZXY", np.stack([z, x, y], -1))


def body(build: Build, angles: dict[str, FloatArray]) -> Markers:
    turns = {g: rotation(g, a) for g, a in angles.items() if g != "pelvis"}
    return build(rotation("pelvis", angles["pelvis"]), turns)


def columns(angles: JointAngles, group: str) -> FloatArray:
    return np.stack([angles.column(f"{group}_{part}") for part in ("flex", "abd", "rot")], -1)


def moved(markers: Markers, change: Callable[[FloatArray], FloatArray]) -> Markers:
    return replace(markers, xyz=change(markers.xyz))


@pytest.mark.parametrize("group", GROUPS)
def test_known_angles_are_recovered(build: Build, group: str) -> None:
    known = truth()
    found = joint_angles(body(build, known))
    np.testing.assert_allclose(columns(found, group), known[group], atol=EXACT)
    assert not found.gimbal[:, [found.names.index(f"{group}_flex")]].any()


@pytest.mark.parametrize("side", ["r", "l"])
def test_shoulder_in_isb_terms(build: Build, side: str) -> None:
    plane, elev, axial = np.array([[70.0, 80.0], [40.0, 95.0], [-20.0, 10.0]])
    # Wu 2005: Y by the plane, X' by minus the elevation, Y'' by the axial rotation.
    turn = Rotation.from_euler("YXY", np.stack([plane, -elev, axial], -1), degrees=True)
    found = joint_angles(build(Rotation.identity(2), {f"shoulder_{side}": turn}))
    for name, known in (("plane", plane), ("elev", elev), ("axial", axial)):
        np.testing.assert_allclose(found.column(f"shoulder_{side}_{name}"), known, atol=EXACT)


def test_plane_of_elevation_is_0_in_abduction_and_90_in_flexion(build: Build) -> None:
    known = {g: np.zeros((2, 3)) for g in GROUPS} | {
        "shoulder_r": np.array([[0.0, 60.0, 0.0], [60.0, 0.0, 0.0]])
    }
    found = joint_angles(body(build, known))
    np.testing.assert_allclose(found.column("shoulder_r_elev"), [60, 60], atol=EXACT)
    np.testing.assert_allclose(found.column("shoulder_r_plane"), [0, 90], atol=EXACT)


def test_signs_by_where_things_go(build: Build) -> None:
    """+X is forward, +Z right: no sign convention, only positions."""

    def step(group: str, part: int) -> dict[str, FloatArray]:
        known = {g: np.zeros((1, 3)) for g in GROUPS}
        known[group][0, part] = 20.0
        markers, still = body(build, known), body(build, {g: np.zeros((1, 3)) for g in GROUPS})
        change = markers.xyz[0] - still.xyz[0]
        return dict(zip(markers.names, change, strict=True))

    x, z = 0, 2
    assert step("pelvis", 0)["r_shoulder_study"][x] > 0.1  # tilt to the front
    assert step("trunk", 0)["r_shoulder_study"][x] > 0.1
    assert step("trunk", 1)["r_shoulder_study"][z] > 0.1  # bends to the right
    assert step("pelvis", 2)["r.ASIS_study"][x] > 0.01  # turns to the left
    for side, out in (("r", 1), ("l", -1)):
        s = "r" if side == "r" else "L"
        assert step(f"hip_{side}", 0)[f"{s}_knee_study"][x] > 0.1
        assert step(f"hip_{side}", 1)[f"{s}_knee_study"][z] * out > 0.1
        assert step(f"hip_{side}", 2)[f"{s}_toe_study"][z] * out < -0.01
        assert step(f"knee_{side}", 0)[f"{s}_ankle_study"][x] < -0.1
        assert step(f"knee_{side}", 1)[f"{s}_ankle_study"][z] * out > 0.1
        assert step(f"ankle_{side}", 0)[f"{s}_toe_study"][1] > 0.03  # toes up
        assert step(f"ankle_{side}", 1)[f"{s}_5meta_study"][1] > 0.005  # outer edge up
        assert step(f"ankle_{side}", 2)[f"{s}_toe_study"][z] * out < -0.03
        assert step(f"shoulder_{side}", 0)[f"{s}_lelbow_study"][x] > 0.05
        assert step(f"shoulder_{side}", 1)[f"{s}_lelbow_study"][z] * out > 0.05
        assert step(f"elbow_{side}", 0)[f"{s}_mwrist_study"][x] > 0.05
        assert step(f"elbow_{side}", 1)[f"{s}_mwrist_study"][z] * out > 0.05
        assert step(f"elbow_{side}", 2)[f"{s}_lwrist_study"][x] > 0.01  # thumb to the front


def test_the_mirror_image_swaps_the_sides(build: Build) -> None:
    markers = body(build, truth())

    names = tuple(mirror_name(name) for name in markers.names)
    image = replace(markers, names=names, xyz=markers.xyz * [1, 1, -1])
    straight, mirrored = joint_angles(markers), joint_angles(image)
    for group in GROUPS:
        twin = group[:-1] + {"r": "l", "l": "r"}[group[-1]] if group[-2] == "_" else group
        for name in group_names(group):
            sign = -1 if twin == group and not name.endswith("flex") else 1
            np.testing.assert_allclose(
                mirrored.column(name.replace(group, twin)), sign * straight.column(name), atol=EXACT
            )


def test_heading_changes_pelvis_rotation_only_and_place_nothing(build: Build) -> None:
    markers = body(build, truth())
    # Pelvis Z-X-Y in the world: a turn of the person about the vertical is no turn about the
    # pelvis' own Y unless the pelvis is level, so the pelvis is compared level.
    level = body(build, truth() | {"pelvis": np.zeros((PEOPLE, 3))})
    yaw = Rotation.from_euler("Y", 50, degrees=True).as_matrix()
    still, turned = joint_angles(level), joint_angles(moved(level, lambda x: x @ yaw.T))
    change = turned.degrees - still.degrees
    rot = still.names.index("pelvis_rot")
    np.testing.assert_allclose(change[:, rot], 50, atol=EXACT)
    np.testing.assert_allclose(np.delete(change, rot, axis=1), 0, atol=EXACT)
    base, turned = joint_angles(markers), joint_angles(moved(markers, lambda x: x @ yaw.T))
    np.testing.assert_allclose(turned.degrees[:, 3:], base.degrees[:, 3:], atol=EXACT)
    away = joint_angles(moved(markers, lambda x: x + np.array([3.0, -1.0, 2.0])))
    np.testing.assert_allclose(away.degrees, base.degrees, atol=EXACT)


def test_every_frame_is_on_its_own(build: Build) -> None:
    markers = body(build, truth())
    whole = joint_angles(markers)
    back = joint_angles(moved(markers, lambda x: x[::-1]))
    np.testing.assert_allclose(back.degrees[::-1], whole.degrees, atol=EXACT)
    part = Markers(Timeline.regular(5, 100.0), markers.names, markers.xyz[7:12])
    np.testing.assert_allclose(joint_angles(part).degrees, whole.degrees[7:12], atol=EXACT)


@pytest.mark.parametrize(
    ("marker", "touched"),
    [
        ("r_5meta_study", {"ankle_r"}),
        ("L_knee_study", {"hip_l", "knee_l", "ankle_l"}),
        ("L_mwrist_study", {"elbow_l"}),
        ("RHJC_study", {"hip_r", "knee_r"}),
        ("r_shoulder_study", {"trunk", "shoulder_r", "shoulder_l", "elbow_r", "elbow_l"}),
    ],
)
def test_a_missing_marker_touches_its_groups_in_its_frame(
    build: Build, marker: str, touched: set[str]
) -> None:
    markers = body(build, truth())
    xyz = markers.xyz.copy()
    xyz[11, markers.names.index(marker)] = np.nan
    whole, holed = joint_angles(markers), joint_angles(replace(markers, xyz=xyz))
    lost = np.isnan(holed.degrees)
    assert {n.rsplit("_", 1)[0] for n in np.array(holed.names)[lost.any(axis=0)]} == touched
    assert np.flatnonzero(lost.any(axis=1)).tolist() == [11]
    np.testing.assert_allclose(holed.degrees[~lost], whole.degrees[~lost], atol=EXACT)


def test_names_of_other_programs_and_absent_groups(build: Build) -> None:
    markers = body(build, truth())
    plain = replace(markers, names=tuple(n.removesuffix("_study") for n in markers.names))
    np.testing.assert_array_equal(joint_angles(plain).degrees, joint_angles(markers).degrees)

    legs = [n for n in markers.names if "wrist" not in n and "mknee" not in n]
    some = joint_angles(markers.select(legs))
    assert {n.rsplit("_", 1)[0] for n in some.names} == {
        "pelvis", "trunk", "shoulder_r", "shoulder_l",
    }  # fmt: skip
    lacking = missing_landmarks(markers.select(legs))
    assert lacking["elbow_l"] == ("wrist_med_l", "wrist_lat_l")
    assert lacking["hip_r"] == ("knee_med_r",)
    assert missing_landmarks(markers) == {}


def test_nothing_to_compute_is_an_error() -> None:
    markers = Markers(Timeline.regular(2, 60.0), ("RKnee", "LKnee"), np.zeros((2, 2, 3)))
    with pytest.raises(MissingMarkers, match="asis_r"):
        joint_angles(markers)


def test_hip_centres_are_regressed_when_they_are_not_given(build: Build) -> None:
    markers = body(build, truth())
    without = markers.select([n for n in markers.names if "HJC" not in n])
    given, regressed = joint_angles(markers), joint_angles(without)
    change = np.abs(columns(given, "hip_r") - columns(regressed, "hip_r"))
    # The body's hip lies within 2 cm of the regression's, over a thigh of 40 cm.
    assert 0 < change.max() < 5


def test_the_spread_over_marker_sets_is_that_of_the_angles(build: Build) -> None:
    """Twenty bodies whose right knee bends by so much more: its angle spreads, and no other's."""
    at = {g: np.zeros((3, 3)) for g in GROUPS}
    more = np.random.default_rng(7).normal(0, 4, 20)
    spread = None
    for degrees in more:
        bent = body(build, at | {"knee_r": at["knee_r"] + [degrees, 0, 0]})
        spread = spread or AngleSpread(bent.timeline, bent.names)
        spread.add(bent.xyz)
    assert spread is not None
    np.testing.assert_allclose(spread.sd["knee_r_flex"], more.std(ddof=1), rtol=1e-9)
    assert spread.sd["knee_l_flex"].max() < 1e-9
    assert joint_angles(body(build, at)).sd is None


def test_the_spread_of_an_angle_that_goes_around_is_small(build: Build) -> None:
    timeline, names = None, ()
    for degrees in (179.0, -179.0):
        turned = body(build, {g: np.zeros((2, 3)) for g in GROUPS} | {
            "pelvis": np.tile([0.0, 0.0, degrees], (2, 1))
        })  # fmt: skip
        if timeline is None:
            timeline, names = turned.timeline, turned.names
            spread = AngleSpread(timeline, names)
        spread.add(turned.xyz)
    np.testing.assert_allclose(spread.sd["pelvis_rot"], np.sqrt(2), rtol=1e-6)
    assert not AngleSpread(timeline, names).sd


def test_gimbal_flags_only_what_is_blurred(build: Build) -> None:
    at_rest = {g: np.zeros((2, 3)) for g in GROUPS}
    at_rest["shoulder_r"] = np.array([[0.0, GIMBAL_DEG - 1, 30.0], [0.0, GIMBAL_DEG + 1, 30.0]])
    found = joint_angles(body(build, at_rest))
    flags = {n: found.gimbal[:, i].tolist() for i, n in enumerate(found.names)}
    assert flags["shoulder_r_plane"] == flags["shoulder_r_axial"] == [True, False]
    for name in ("elev", "flex", "abd", "rot"):
        assert flags[f"shoulder_r_{name}"] == [False, False]
    np.testing.assert_allclose(found.column("shoulder_r_rot"), [30, 30], atol=EXACT)
    overhead = at_rest | {"shoulder_r": np.array([[175.0, 0.0, 0.0], [165.0, 0.0, 0.0]])}
    found = joint_angles(body(build, overhead))
    assert found.gimbal[:, found.names.index("shoulder_r_flex")].tolist() == [True, False]


def test_an_arm_that_swings_through_rest_does_not_jump(build: Build) -> None:
    known = {g: np.zeros((101, 3)) for g in GROUPS}
    known["shoulder_r"] = np.stack(
        [np.linspace(-40, 60, 101), np.zeros(101), np.full(101, 15.0)], -1
    )
    found = joint_angles(body(build, known))
    np.testing.assert_allclose(columns(found, "shoulder_r"), known["shoulder_r"], atol=EXACT)
    for name in group_names("shoulder_r"):
        # One degree a frame; at rest itself plane and axial rotation hold rounding.
        assert np.abs(np.diff(found.column(name))).max() < 1.001
