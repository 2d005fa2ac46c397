"""Anatomical frames: the same motion means the same in bodies of any rest pose; and the limits."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from kinefit.body import BodyModel
from kinefit.body.anatomy import (
    JOINTS,
    SIDED,
    Anatomy,
    Ranges,
    swing_twist_jacobian,
    violations,
)
from kinefit.body.anny import load_anny
from kinefit.geometry import rotations as so3
from kinefit.types import BodyMotion, FloatArray, InvalidData, Timeline

from .synthetic import tube_body

MIRROR = np.diag([-1.0, 1, 1])


@cache
def _body(name: str) -> BodyModel:
    """T-pose ("tubes"), the same standing with arms forward ("posed"), or Anny's A-pose."""
    if name == "tubes":
        return tube_body()
    if name == "posed":
        return _arms_forward(tube_body())
    return load_anny()


def _arms_forward(body: BodyModel) -> BodyModel:
    """The same bones at rest with the arms raised 30 degrees, half forward, elbows bent by 60."""
    place = {name: i for i, name in enumerate(body.joint_names)}
    local = np.tile(np.eye(3), (len(place), 1, 1))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        raised = so3.exp(np.radians([0, -sign * 45.0, 0])) @ so3.exp(
            np.radians([0, 0, sign * 30.0])
        )
        local[place[f"{side}_shoulder"]] = raised
        local[place[f"{side}_elbow"]] = so3.exp(np.radians([0, -sign * 60.0, 0]))
    _, joints = body.pose(local, np.zeros(3), body.joints)
    return replace(body, joints=joints, joint_dirs=np.zeros_like(body.joint_dirs))


BODIES = ("tubes", "posed", "anny")


def _posed(body: BodyModel, moved: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """World places of anatomical joints, with these anatomical rotations and zero elsewhere."""
    anatomy = Anatomy.of(body)
    anatomical = np.tile(np.eye(3), (len(anatomy.names), 1, 1))
    for name, rotation in moved.items():
        anatomical[anatomy.names.index(name)] = rotation
    local = np.tile(np.eye(3), (len(body.joint_names), 1, 1))
    local[anatomy.index] = anatomy.local(anatomical)
    _, c = body.pose(local, np.zeros(3), body.rest_joints(body.shape.neutral))
    return {name: c[body.joint_names.index(joint)] for name, joint in body.anatomy.items()}


def _direction(c: dict[str, FloatArray], start: str, end: str) -> FloatArray:
    return so3.unit(c[end] - c[start])


@pytest.mark.parametrize("name", BODIES)
def test_zero_is_standing_with_arms_and_legs_straight_down(name: str) -> None:
    c = _posed(_body(name), {})
    for side in "LR":
        for start, end in (("Shoulder", "Elbow"), ("Elbow", "Wrist"), ("Hip", "Knee"),
                           ("Knee", "Ankle")):  # fmt: skip
            # Algebra: 1e-9 is rounding of a few products and a square root.
            np.testing.assert_allclose(
                _direction(c, side + start, side + end), [0, -1, 0], atol=1e-9
            )


# Joint, axis, degrees: where the limb below points then, for the left side (x away from the body).
MOVES = [
    ("Shoulder", "Z", 90, "Elbow", (0, 0, 1)),
    ("Shoulder", "X", -90, "Elbow", (1, 0, 0)),
    ("Elbow", "Z", 90, "Wrist", (0, 0, 1)),
    ("Hip", "Z", 90, "Knee", (0, 0, 1)),
    ("Hip", "X", -90, "Knee", (1, 0, 0)),
    ("Knee", "Z", -90, "Ankle", (0, 0, -1)),
]


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(("joint", "axis", "degrees", "end", "wanted"), MOVES)
def test_motions_have_the_signs_of_the_table_on_both_sides(
    name: str, joint: str, axis: str, degrees: float, end: str, wanted: tuple[float, ...]
) -> None:
    turn = so3.exp(np.radians(degrees) * np.eye(3)["XYZ".index(axis)])
    for side, mirror in (("L", np.eye(3)), ("R", MIRROR)):
        c = _posed(_body(name), {side + joint: turn})
        direction = _direction(c, side + joint, side + end)
        np.testing.assert_allclose(direction, mirror @ np.array(wanted), atol=1e-9)


def test_shoulder_rotation_turns_the_forearm_inwards() -> None:
    bent = {"LElbow": so3.exp(np.array([0, 0, np.pi / 2])),
            "LShoulder": so3.exp(np.array([0, np.radians(60), 0]))}  # fmt: skip
    x, y, z = _direction(_posed(_body("tubes"), bent), "LElbow", "LWrist")
    assert (x, y, z) == pytest.approx((-np.sin(np.radians(60)), 0, 0.5), abs=1e-9)


@pytest.mark.parametrize("other", ["posed", "anny"])
def test_one_anatomical_pose_points_limbs_alike_in_every_body(other: str) -> None:
    rng = np.random.default_rng(1)
    names = [n for n in Anatomy.of(_body(other)).names if not n.endswith("Toes")]
    turns = {name: so3.exp(rng.normal(0, 0.5, 3)) for name in names}
    a, b = _posed(_body("tubes"), turns), _posed(_body(other), turns)
    for side in "LR":
        for start, end in (("Shoulder", "Elbow"), ("Elbow", "Wrist"), ("Knee", "Ankle")):
            np.testing.assert_allclose(
                _direction(a, side + start, side + end), _direction(b, side + start, side + end),
                atol=1e-9,
            )  # fmt: skip


def test_local_rotations_alone_do_not_transfer() -> None:
    """Control of the test above: the same local rotation points the arms elsewhere."""
    arms = []
    for name in ("tubes", "posed"):
        body = _body(name)
        _, c = body.pose(np.tile(np.eye(3), (24, 1, 1)), np.zeros(3), body.joints)
        a, b = (body.joint_names.index(f"left_{j}") for j in ("shoulder", "elbow"))
        arms.append(so3.unit(c[b] - c[a]))
    assert np.degrees(np.arccos(arms[0] @ arms[1])) > 30


@pytest.mark.parametrize("name", BODIES)
def test_left_frames_mirror_right_ones_exactly(name: str) -> None:
    anatomy = Anatomy.of(_body(name))
    place = {n: i for i, n in enumerate(anatomy.names)}
    for joint in SIDED:
        if "L" + joint in place:
            left, right = place["L" + joint], place["R" + joint]
            np.testing.assert_array_equal(anatomy.proximal[left], MIRROR @ anatomy.proximal[right])
            np.testing.assert_array_equal(anatomy.distal[left], MIRROR @ anatomy.distal[right])


@pytest.mark.parametrize("name", BODIES)
def test_local_and_anatomical_rotations_are_inverse_and_proper(name: str) -> None:
    anatomy = Anatomy.of(_body(name))
    R = so3.exp(np.random.default_rng(2).normal(0, 1, (4, len(anatomy.names), 3)))
    local = anatomy.local(R)
    np.testing.assert_allclose(np.linalg.det(local), 1, atol=1e-12)
    np.testing.assert_allclose(anatomy.rotations(local), R, atol=1e-12)


@pytest.mark.parametrize("name", BODIES)
def test_increments_move_the_anatomical_rotation_as_they_say(name: str) -> None:
    anatomy = Anatomy.of(_body(name))
    rng = np.random.default_rng(3)
    local = so3.exp(rng.normal(0, 1, (len(anatomy.names), 3)))
    d = rng.normal(0, 0.3, (len(anatomy.names), 3))
    turned = anatomy.rotations(local @ so3.exp(d))
    own = (anatomy.increments @ d[..., None])[..., 0]
    np.testing.assert_allclose(turned, anatomy.rotations(local) @ so3.exp(own), atol=1e-12)


def test_a_joint_that_is_not_there_is_named() -> None:
    body = replace(tube_body(), anatomy={"Pelvis": "pelvis"})
    with pytest.raises(InvalidData, match="LKnee"):
        Anatomy.of(body, ["LKnee"])
    with pytest.raises(InvalidData, match="Tail"):
        Ranges.of(["Tail"])


def test_a_bone_without_length_is_refused() -> None:
    body = tube_body()
    joints = body.joints.copy()
    for side in ("left", "right"):
        knee, hip = (body.joint_names.index(f"{side}_{j}") for j in ("knee", "hip"))
        joints[knee] = joints[hip]
    collapsed = replace(body, joints=joints, joint_dirs=np.zeros_like(body.joint_dirs))
    with pytest.raises(InvalidData, match="LHip"):
        Anatomy.of(collapsed)


def _turns(*turns: tuple[str, float]) -> FloatArray:
    """Rotations one after another about the moving axes, degrees."""
    R = np.eye(3)
    for axis, degrees in turns:
        R = R @ so3.exp(np.radians(degrees) * np.eye(3)["XYZ".index(axis)])
    return R


# Mean ranges of AAOS 1965, as tabulated in Norkin & White, and what they make together.
POSSIBLE = {
    "Shoulder": [
        [("Z", 170)], [("Z", -60)], [("X", -175), ("Y", -90)], [("X", -90), ("Y", -90)],
        [("X", -90), ("Y", 70)], [("Y", 135), ("X", -90)], [("Y", -45), ("X", -90)], [("Z", 90)],
        [("Y", 70)], [("Y", -90)], [("Z", 30), ("X", 30)], [("Z", -40), ("X", 20), ("Y", 80)],
    ],
    "Elbow": [[("Z", 150), ("Y", 80)], [("Z", 90), ("Y", -80)], []],
    "Wrist": [[("Z", 80)], [("Z", -70)], [("X", 30)], [("X", -20)]],
    "Hip": [
        [("Z", 120)], [("Z", -30)], [("X", -45)], [("X", 30)], [("Z", 90), ("Y", 45)],
        [("Y", -45), ("Z", 90)], [("Y", -45), ("Z", 100), ("Y", -45)],
    ],
    "Knee": [[("Z", -150)], [("Z", -90), ("Y", 30)], [("Z", 5)]],
    "Ankle": [[("Z", 20)], [("Z", -50)], [("X", 35)], [("X", -15)]],
    "Clavicle": [[("X", -45)], [("X", 10)], [("Y", 30)], [("Y", -30)]],
}  # fmt: skip
IMPOSSIBLE = {
    "Shoulder": [[("Y", -120), ("X", -90)], [("Z", -120)], [("X", 80)]],
    "Elbow": [[("Z", -30)], [("X", 60)]],
    "Wrist": [[("Z", 130)], [("X", 90)]],
    "Hip": [[("Z", -80)], [("X", 80)], [("Y", 120)]],
    "Knee": [[("Z", 40)], [("X", 45)], [("Z", -179)]],
    "Ankle": [[("Z", 80)], [("Y", 90)]],
    "Clavicle": [[("X", -90)], [("Y", 70)]],
}


def _worst(joint: str, turns: list[tuple[str, float]]) -> float:
    ranges = Ranges.of(["R" + joint])
    return float(np.degrees(np.abs(ranges.outside(ranges.angles(_turns(*turns)[None]))).max()))


@pytest.mark.parametrize("joint", POSSIBLE)
def test_what_healthy_adults_do_is_within_the_limits(joint: str) -> None:
    assert max(_worst(joint, turns) for turns in POSSIBLE[joint]) == 0


@pytest.mark.parametrize("joint", IMPOSSIBLE)
def test_what_nobody_does_is_outside(joint: str) -> None:
    assert min(_worst(joint, turns) for turns in IMPOSSIBLE[joint]) > 8


def test_every_joint_has_a_row_that_holds_zero_and_its_centre() -> None:
    ranges = Ranges.of(JOINTS)
    assert (ranges.lower < 0).all()
    assert (ranges.upper > 0).all()
    assert ((ranges.lower < ranges.centre) & (ranges.centre < ranges.upper)).all()
    np.testing.assert_allclose(ranges.angles(np.tile(np.eye(3), (21, 1, 1))), 0, atol=1e-12)
    np.testing.assert_allclose(ranges.angles(ranges.middle), ranges.centre, atol=1e-12)


def test_hinges_read_their_flexion() -> None:
    angles = Ranges.of(["LKnee"]).angles(_turns(("Z", -70), ("Y", 20))[None])
    np.testing.assert_allclose(np.degrees(angles[0]), [0, 20, -70], atol=1e-9)


def test_swing_twist_jacobian_is_the_derivative() -> None:
    rng = np.random.default_rng(4)
    R, step = so3.exp(rng.normal(0, 0.8, (50, 3))), 1e-5
    numeric = np.stack(
        [
            (so3.swing_twist(R @ so3.exp(step * e)) - so3.swing_twist(R @ so3.exp(-step * e)))
            / (2 * step)
            for e in np.eye(3)
        ],
        axis=-1,
    )
    analytic = swing_twist_jacobian(so3.swing_twist(R))
    # Curvature leaves 1e-10 of steps of 1e-5, rounding 1e-11, swings of two radians a factor 10.
    np.testing.assert_allclose(numeric, analytic, atol=1e-6)


def _motion(body: BodyModel, local: FloatArray) -> BodyMotion:
    T = len(local)
    return BodyMotion(
        body=body.name,
        timeline=Timeline.regular(T, 30.0),
        joint_names=body.joint_names,
        rotations=local,
        translation=np.where(np.isnan(local[:, 0, 0, :1]), np.nan, np.zeros((T, 3))),
        shape=body.shape.neutral,
        shape_names=body.shape.names,
    )


@pytest.mark.parametrize("name", ["tubes", "anny"])
def test_violations_are_degrees_beyond_the_limit(name: str) -> None:
    body = _body(name)
    anatomy = Anatomy.of(body)
    local = np.tile(np.eye(3), (3, len(body.joint_names), 1, 1))
    for frame, joint in ((0, "LKnee"), (0, "RKnee")):
        i = anatomy.names.index(joint)
        bent = np.tile(np.eye(3), (len(anatomy.names), 1, 1))
        bent[i] = _turns(("Z", 30))
        local[frame, anatomy.index[i]] = anatomy.local(bent)[i]
    local[2] = np.nan
    names, degrees = violations(body, _motion(body, local))
    limit = np.degrees(Ranges.of(["LKnee"]).upper[0, 2])
    for joint in ("LKnee", "RKnee"):
        assert degrees[0, names.index(joint)] == pytest.approx(30 - limit, abs=1e-9)
    others = [i for i, n in enumerate(names) if not n.endswith("Knee")]
    assert (degrees[:2][:, others] == 0).all()
    assert np.isnan(degrees[2]).all()


def test_violations_of_another_body_are_refused() -> None:
    body = tube_body()
    motion = _motion(body, np.tile(np.eye(3), (2, 24, 1, 1)))
    with pytest.raises(InvalidData, match="joints"):
        violations(tube_body(extras=True), motion)
