"""Mirrored, retimed, spliced and joined motions of Anny, and where bodies are put."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.body import BodyModel
from kinefit.body.contact import FEET
from kinefit.geometry import rotations as so3
from kinefit.synth.motion_clip import Clip, hip_height, part
from kinefit.synth.motion_library import built_in
from kinefit.synth.placing import (
    contacts,
    feet_of,
    lowest_candidates,
    placed,
    standing_heights,
)
from kinefit.synth.recombine import depth, joined, mirrored, retimed, spliced
from kinefit.types import FloatArray, InvalidData


@pytest.fixture(scope="module")
def body() -> BodyModel:
    from kinefit.body.anny import load_anny

    return load_anny(child=True)


@pytest.fixture(scope="module")
def clips() -> dict[str, Clip]:
    return built_in()


def shape_of(body: BodyModel, **values: float) -> FloatArray:
    shape = body.shape.neutral.copy()
    for name, value in ({"age": 2 / 3} | values).items():
        shape[body.shape.names.index(name)] = value
    return shape


SHAPES = {
    "adult": {},
    "child": {"age": 1 / 3, "height": 0.4},
    "heavy": {"weight": 0.9, "height": 0.8, "gender": 0.1, "lowerleg_length": 0.5},
}


def joints_at(body: BodyModel, clip: Clip, times: FloatArray, names: list[str]) -> FloatArray:
    """(T, n, 3) metres, of the neutral shape."""
    rotations, root = clip.at(times)
    heads = body.rest_joints(shape_of(body))
    places = body.pose(rotations, root - heads[0], heads)[1]
    return places[:, [body.joint_names.index(body.anatomy[name]) for name in names]]


def test_mirroring_twice_changes_nothing(clips: dict[str, Clip]) -> None:
    clip = clips["boxing"]
    twice = mirrored(mirrored(clip))
    np.testing.assert_array_equal(twice.rotations, clip.rotations)
    np.testing.assert_array_equal(twice.root_path, clip.root_path)


def test_a_mirror_exchanges_the_sides(body: BodyModel, clips: dict[str, Clip]) -> None:
    clip = clips["lunge"]
    at = np.linspace(*clip.times[[0, -1]], 9)
    right, left = ["RKnee", "RWrist", "RAnkle"], ["LKnee", "LWrist", "LAnkle"]
    seen = joints_at(body, clip, at, right)
    image = joints_at(body, mirrored(clip), at, left)
    # Anny is its own mirror image to a few micrometres.
    np.testing.assert_allclose(image, seen * [-1, 1, 1], atol=1e-4)
    # A lunge with the right leg: the sides do differ.
    assert np.abs(joints_at(body, clip, at, left) - image).max() > 0.2


def test_retiming_keeps_the_poses(clips: dict[str, Clip]) -> None:
    clip = clips["walk"]
    slow = retimed(clip, 1.5)
    assert slow.duration_s == pytest.approx(1.5 * clip.duration_s)
    at = np.linspace(0, clip.duration_s, 23)
    np.testing.assert_allclose(slow.at(1.5 * at)[0], clip.at(at)[0], atol=1e-9)
    np.testing.assert_allclose(slow.at(1.5 * at)[1], clip.at(at)[1], atol=1e-9)
    with pytest.raises(InvalidData, match="factor"):
        retimed(clip, -1.0)


def test_a_splice_keeps_the_legs(body: BodyModel, clips: dict[str, Clip]) -> None:
    lower, upper = clips["walk"], clips["boxing"]
    mixed = spliced(lower, upper, body)
    shared, heads = mixed.times, body.rest_joints(shape_of(body))
    world = [body.pose(c.at(shared)[0], np.zeros(3), heads)[0] for c in (lower, upper, mixed)]
    legs = [body.joint_names.index(body.anatomy[s + n]) for s in "LR" for n in ("Hip", "Ankle")]
    np.testing.assert_allclose(world[2][:, legs], world[0][:, legs], atol=1e-9)
    np.testing.assert_array_equal(mixed.root_path, lower.at(shared)[1])
    arm = body.joint_names.index(body.anatomy["RElbow"])
    np.testing.assert_allclose(mixed.rotations[:, arm], upper.at(shared)[0][:, arm], atol=1e-9)
    deepest = max(depth(body, c.at(shared)[0]) for c in (lower, upper))
    assert depth(body, mixed.rotations) <= deepest + 0.01  # what `spliced` promises


def test_a_splice_gives_way_to_the_legs(body: BodyModel, clips: dict[str, Clip]) -> None:
    """Arms that hang would be inside the thighs of one who sits bent forward."""
    lower, upper = clips["floor_sit"], clips["boxing"]
    mixed = spliced(lower, upper, body)
    deepest = max(depth(body, c.at(mixed.times)[0]) for c in (lower, upper))
    assert depth(body, mixed.rotations) <= deepest + 0.01


def test_joining_goes_on_where_the_first_ends(body: BodyModel, clips: dict[str, Clip]) -> None:
    from kinefit.synth.motion_clip import moved

    first = clips["walk"]
    second = moved(clips["squat"], 2.0, np.array([3.0, 0.0, -1.0]))  # elsewhere, turned away
    both = joined(first, second, 0.5)
    assert both.duration_s == pytest.approx(first.duration_s + second.duration_s - 0.5)
    before = first.times < first.times[-1] - 0.5
    np.testing.assert_array_equal(both.rotations[: before.sum()], first.rotations[before])
    # No jump: a walking body's hips make 2.5 cm in a sixtieth of a second, and joints turn by 7
    # degrees in it; the squat is sampled at thirtieths.
    steps = np.diff(both.times)
    assert (so3.norm(np.diff(both.root_path, axis=0)) / steps).max() < 2.5
    turns = so3.norm(so3.log(np.swapaxes(both.rotations[:-1], -1, -2) @ both.rotations[1:]))
    assert np.degrees((turns / steps[:, None]).max()) < 600
    # The squat looks where the walk went.
    forward = both.rotations[-1, 0] @ [0, 0, 1]
    assert forward[2] > 0.95
    with pytest.raises(InvalidData, match="does not fit"):
        joined(first, second, 60.0)


@pytest.mark.parametrize("who", SHAPES)
@pytest.mark.parametrize(
    ("name", "start", "end"), [("walk", 1.0, 3.0), ("jump", 0.0, 2.8), ("floor_sit", 1.0, 3.9)]
)
def test_bodies_stand_on_the_floor(
    body: BodyModel, clips: dict[str, Clip], name: str, start: float, end: float, who: str
) -> None:
    clip, shape = part(clips[name], start, end), shape_of(body, **SHAPES[who])
    times = np.linspace(start, end, 25)
    rotations, translation = placed(clip, body, shape, times)
    low = np.array(
        [
            body.posed_vertices(R, t, shape)[:, 1].min()
            for R, t in zip(rotations, translation, strict=True)
        ]
    )
    if name == "jump":
        air = (times > 1.4) & (times < 1.65)
        scale = hip_height(body, shape) / clip.hip_height_m
        # The arc is 24 cm high for the body that the clip is of.
        assert 0.12 * scale < low[air].max() < 0.3 * scale
        low = low[(times < 1.2) | (times > 1.85)]
    # 5 mm: the heights are smoothed over 15 ms, and some vertices are passed over.
    assert np.abs(low).max() < 0.005


@pytest.mark.parametrize("who", SHAPES)
def test_standing_feet_of_a_walk_do_not_slide(
    body: BodyModel, clips: dict[str, Clip], who: str
) -> None:
    clip, shape = part(clips["walk"], 1.0, 3.2), shape_of(body, **SHAPES[who])
    times = np.arange(1.0, 3.2, 1 / 60)
    feet = feet_of(body, *placed(clip, body, shape, times), shape)
    stands = contacts(times, feet, standing_heights(body, shape))
    share = stands.mean(axis=0)
    # Heels stand for 35 to 45, toes for 45 to 60 % of a cycle; one foot or the other always does.
    assert (share > 0.25).all()
    assert (share < 0.7).all()
    assert stands.any(axis=1).mean() > 0.95
    both = stands[1:] & stands[:-1]
    speed = so3.norm(np.diff(feet, axis=0) * [1, 0, 1]) * 60
    # A heel that rises or comes down moves by up to the 0.3 m/s that still count as standing.
    assert np.median(speed[both]) < 0.03
    assert speed[both].mean() < 0.06


def test_a_scaled_path_alone_does_not_do(body: BodyModel, clips: dict[str, Clip]) -> None:
    """The control of the two tests above: other proportions, and only the path scaled."""
    clip, shape = part(clips["walk"], 1.0, 3.2), shape_of(body, lowerleg_length=1.0)
    times = np.arange(1.0, 3.2, 1 / 30)
    rotations, root = clip.at(times)
    scale = hip_height(body, shape) / clip.hip_height_m
    bare = scale * root - body.rest_joints(shape)[0]
    heights, speeds = [], []
    for translation in (bare, placed(clip, body, shape, times)[1]):
        feet = feet_of(body, rotations, translation, shape)
        stands = contacts(times, feet, standing_heights(body, shape) + 0.02)
        both = stands[1:] & stands[:-1]
        speeds.append((so3.norm(np.diff(feet, axis=0) * [1, 0, 1]) * 30)[both].mean())
        skin = body.posed_vertices(rotations, translation, shape, lowest_candidates(body))
        heights.append(np.abs(skin[..., 1].min(axis=1)).max())
    assert heights[0] > 0.005 > heights[1]
    assert speeds[0] > 1.3 * speeds[1]


def test_contacts_are_the_same_at_any_frame_rate() -> None:
    """A foot that slides at 0.25 m/s stands, one at 0.35 does not; nor does one 4 cm up."""
    for rate in (25, 30, 60, 240):
        times = np.arange(0, 1, 1 / rate)
        feet = np.zeros((len(times), 4, 3))
        feet[:, 0, 0], feet[:, 1, 0] = 0.25 * times, 0.35 * times
        feet[:, :, 1] = [0.03, 0.02, 0.07, 0.02]
        stands = contacts(times, feet, np.array([0.03, 0.02, 0.03, 0.02]))
        assert stands.all(axis=0).tolist() == [True, False, False, True]
        assert stands.any(axis=0).tolist() == [True, False, False, True]


def test_the_lowest_vertex_is_among_the_candidates(body: BodyModel) -> None:
    rng = np.random.default_rng(5)
    shape, worst = shape_of(body), 0.0
    for _ in range(12):
        rotations = np.tile(np.eye(3), (len(body.joint_names), 1, 1))
        rotations[0] = so3.exp(rng.normal(0, 1.5, 3))
        every = body.posed_vertices(rotations, np.zeros(3), shape)[:, 1]
        worst = max(worst, every[lowest_candidates(body)].min() - every.min())
    assert worst < 0.006  # 5 mm measured over 300 recorded poses in any orientation
    assert len(lowest_candidates(body)) < len(body.vertices) / 2


def test_standing_heights_are_those_of_the_rest_pose(body: BodyModel) -> None:
    heights = standing_heights(body, shape_of(body))
    assert FEET == ("LHeel", "LBigToe", "RHeel", "RBigToe")
    np.testing.assert_allclose(heights[:2], heights[2:], atol=1e-3)
    assert (heights > 0).all()
    assert (heights < 0.06).all()
