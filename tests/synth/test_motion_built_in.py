"""kinefit's own motions: within what bodies can do, in contact where they say so, as published."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.body import BodyModel
from kinefit.body.anatomy import Anatomy, violations
from kinefit.body.anny import load_anny
from kinefit.geometry import rotations as so3
from kinefit.quality.assessment import GAIT_RANGES
from kinefit.synth.contact_ik import ContactBody, solve_contacts
from kinefit.synth.keyframes import motion, motion_names, sampled
from kinefit.synth.motion_clip import Clip, hip_height
from kinefit.synth.motion_library import built_in
from kinefit.synth.recombine import depth
from kinefit.types import BodyMotion, FloatArray, InvalidData, Timeline


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_anny()


@pytest.fixture(scope="module")
def clips() -> dict[str, Clip]:
    return built_in()


def test_all_kinds_are_there(clips: dict[str, Clip]) -> None:
    wanted = {"walk", "run", "squat", "sit", "jumping_jack", "reach", "lunge", "kneel",
              "floor_sit", "lie", "boxing", "jump", "all_fours"}  # fmt: skip
    assert wanted <= set(clips)
    for clip in clips.values():
        np.testing.assert_allclose(clip.root_path[0, [0, 2]], 0, atol=0.15)


@pytest.mark.parametrize("name", motion_names())
def test_joints_keep_within_their_limits(
    body: BodyModel, clips: dict[str, Clip], name: str
) -> None:
    clip = clips[name]
    timeline = Timeline.regular(len(clip), 60.0)
    motion = BodyMotion("anny", timeline, body.joint_names, clip.rotations, clip.root_path,
                        body.shape.neutral, body.shape.names)  # fmt: skip
    _, beyond = violations(body, motion)
    assert beyond.max() < 2.0  # degrees; measured: 0.1
    # Of capsules, wider than flesh where the belly meets the thighs; measured: 38 mm, sitting down
    # on the floor.
    assert depth(body, clip.rotations) < 0.05


@pytest.mark.parametrize("name", motion_names())
def test_hips_move_as_masses_do(clips: dict[str, Clip], name: str) -> None:
    clip = clips[name]
    times = np.arange(clip.times[0], clip.times[-1], 1 / 30)
    change = np.diff(clip.at(times)[1], n=2, axis=0) * 900
    # A runner's hips take 2 to 3 g at impact (Derrick 2004); 8 to 20 m/s^2 measured here.
    assert so3.norm(change).max() < 30


def flexion(body: BodyModel, clip: Clip, names: list[str]) -> FloatArray:
    """(T, n) degrees."""
    anatomy = Anatomy.of(body, names)
    return np.degrees(so3.swing_twist(anatomy.rotations(clip.rotations[:, anatomy.index])))[..., 2]


def test_walking_is_as_published(body: BodyModel, clips: dict[str, Clip]) -> None:
    walk = clips["walk"]
    for name, (low, high) in GAIT_RANGES.items():
        for side in "LR":
            angle = flexion(body, walk, [side + name.title()])[:, 0]
            assert low <= np.ptp(angle) <= high
    speed = (walk.root_path[-1, 2] - walk.root_path[0, 2]) / walk.duration_s
    assert 1.1 < speed < 1.5  # m/s at natural cadence (Perry & Burnfield 2010: 1.36)
    assert abs(walk.root_path[-1, 0]) < 0.1
    # Hips rise and fall twice a cycle, by 2 to 6 cm.
    assert 0.02 < np.ptp(walk.root_path[60:-60, 1]) < 0.06


def test_sides_alternate(body: BodyModel, clips: dict[str, Clip]) -> None:
    walk = clips["walk"]
    middle, half = walk.times[len(walk) // 2] - 0.5 + np.linspace(0, 1, 20), 1.08 / 2
    here, later = walk.at(middle)[0], walk.at(middle + half)[0]
    left, right = (
        [body.joint_names.index(body.anatomy[s + n]) for n in ("Hip", "Knee", "Shoulder")]
        for s in "LR"
    )
    mirror = np.diag([-1.0, 1, 1])
    off = so3.log(np.swapaxes(mirror @ here[:, left] @ mirror, -1, -2) @ later[:, right])
    assert np.degrees(so3.norm(off)).max() < 1.0  # the fit of feet leaves tenths of a degree


def test_what_is_in_contact_stays(body: BodyModel, clips: dict[str, Clip]) -> None:
    """Heels on the mesh while the table says that they stand, in every motion that plants them."""
    index, share = body.regressor("LHeel")
    head = body.rest_joints(body.shape.neutral)[0]
    for name in ("squat", "sit", "sit_low", "reach", "jump", "boxing"):
        clip = clips[name]
        held = next(c for c in sampled(name).contacts if c.point == "LHeel" and c.start_s <= 0)
        times = np.linspace(0, held.end_s - 0.12 * (held.end_s < clip.times[-1]), 12)
        rotations, root = clip.at(times)
        skin = body.posed_vertices(rotations, root - head, body.shape.neutral, index)
        heel = share @ skin
        # 2 mm is one standard deviation in the fit.
        assert np.abs(heel - heel[0]).max() < 0.004


@pytest.mark.parametrize(("name", "seat"), [("sit_low", 0.36), ("sit", 0.45), ("sit_high", 0.5)])
def test_seats_are_as_high_as_the_table_says(
    body: BodyModel, clips: dict[str, Clip], name: str, seat: float
) -> None:
    clip, head = clips[name], body.rest_joints(body.shape.neutral)[0]
    rotations, root = clip.at(np.array([clip.duration_s / 2]))
    skin = body.posed_vertices(rotations[0], root[0] - head, body.shape.neutral)
    near = np.abs(skin[:, [0, 2]] - root[0, [0, 2]]).max(axis=1) < 0.12
    scale = hip_height(body, body.shape.neutral) / 0.99
    # The point that sits is one vertex; the thigh beside it is up to 1.5 cm lower.
    assert skin[near, 1].min() == pytest.approx(seat * scale, abs=0.02)


def test_lying_down_is_flat(body: BodyModel, clips: dict[str, Clip]) -> None:
    clip = clips["lie"]
    rotations, root = clip.at(np.array([clip.duration_s / 2]))
    head = body.rest_joints(body.shape.neutral)[0]
    skin = body.posed_vertices(rotations[0], root[0] - head, body.shape.neutral)
    assert skin[:, 1].max() < 0.35  # feet and chest
    assert skin[:, 1].min() > -0.03  # shoulder blades, beside the points that lie


def test_fits_are_reproducible(body: BodyModel, clips: dict[str, Clip]) -> None:
    again = solve_contacts(ContactBody.of(body), sampled("squat"))
    kept = clips["squat"]
    # To rounding: the kept one went through rotation vectors.
    np.testing.assert_allclose(again.rotations, kept.rotations, atol=1e-12)
    np.testing.assert_array_equal(again.root_path, kept.root_path)


def test_unknown_motions_are_refused() -> None:
    with pytest.raises(InvalidData, match="No motion"):
        motion("fly", 30.0)
