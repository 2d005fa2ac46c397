"""Clips drawn without pictures."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from kinefit.body.anny import load_anny
from kinefit.fit.priors import PriorJoints
from kinefit.fit.priors.weights import read_safetensors
from kinefit.lift.inputs import LIMBS, POINTS
from kinefit.lift.windows import RATE_HZ
from kinefit.pipeline.config import checked
from kinefit.skeletons.limbs import ends
from kinefit.synth.detector_errors import detector_errors
from kinefit.synth.motion_library import motion_library
from kinefit.synth.scene_options import PairOptions
from kinefit.train.lift.data import RENDERED, Drawing, make_data, read_data, same_inputs
from kinefit.train.lift.drawn import FRAMES, Donors, _camera, _chain, draw_take, self_hidden, varied
from kinefit.train.lift.sequences import Sequences
from kinefit.types import FloatArray, InputError

BODY = load_anny()
OPTIONS = checked(
    PairOptions, {"seconds": FRAMES / RATE_HZ + 0.2, "treadmill": False, "clip": "squat"}
)


def standing() -> FloatArray:
    """(1, J, 3) metres, 4 m before the camera, facing it."""
    height = {"Nose": -1.6, "Eye": -1.65, "Ear": -1.62, "Shoulder": -1.4, "Elbow": -1.1,
              "Wrist": -0.85, "Pinky": -0.78, "Index": -0.76, "Thumb": -0.8, "Hip": -0.9,
              "Knee": -0.45, "Ankle": -0.08, "Heel": -0.03, "BigToe": -0.02}  # fmt: skip
    aside = {"Nose": 0.0, "Eye": 0.03, "Ear": 0.07, "Hip": 0.1, "Knee": 0.1, "Ankle": 0.1,
             "Heel": 0.1, "BigToe": 0.1}  # fmt: skip
    out = np.zeros((1, len(POINTS), 3))
    for i, name in enumerate(POINTS):
        kind = name if name == "Nose" else name[1:]
        sign = {"L": 1, "R": -1}.get(name[0], 0)
        out[0, i] = (sign * aside.get(kind, 0.2), height[kind] + 1, 4.0)
    return out


@pytest.fixture(scope="module")
def donors() -> Donors:
    """Without residuals: the detector is wrong by what it is on average."""
    model = detector_errors()
    none = np.zeros((2, FRAMES, len(POINTS), 6), np.float32)
    return Donors(model, none, np.zeros((2, 12)), np.ones(12))


def take(donors: Donors, seed: int) -> Sequences:
    rng = np.random.default_rng(seed)
    return draw_take(BODY, motion_library(None), donors, rng, OPTIONS, 3).clips


def test_an_arm_behind_the_trunk_is_hidden_and_one_before_it_is_not() -> None:
    xyz = standing()
    wrist = POINTS.index("LWrist")
    assert not self_hidden(xyz).any()
    for z, hidden in ((4.4, True), (3.6, False)):
        xyz[0, wrist] = np.array([0.0, 0.0, 0.0])
        xyz[0, wrist] = np.array([0.02, -0.15, 4.0]) * z / 4.0
        assert self_hidden(xyz)[0, wrist] == hidden


def test_postures_vary_within_the_limits_of_joints() -> None:
    rest = np.tile(np.eye(3), (30, len(BODY.joint_names), 1, 1))
    new = varied(BODY, np.random.default_rng(1), rest, np.arange(30) / 30)
    chain = _chain(BODY)
    assert not np.allclose(new, rest, atol=0.05)
    assert np.allclose(new[:, 0], rest[:, 0])  # the root is where it was
    inside = PriorJoints.of(chain).within(new[:, chain.joint_index])
    assert np.allclose(inside, new[:, chain.joint_index], atol=1e-6)


def test_cameras_look_at_the_person_from_all_sides() -> None:
    world = standing() * [1, -1, 1] * np.array([1, 1, 0]) + [0, 0, 0]
    rng, pitch, seen = np.random.default_rng(0), [], []
    for _ in range(200):
        K, R, t = _camera(rng, np.repeat(world, 4, axis=0), 1.7)
        xyz = world @ np.swapaxes(R[:1], -1, -2) + t[:1, None]
        flat = (xyz @ K.T)[0]
        middle = (flat[:, :2] / flat[:, 2:]).mean(axis=0)
        seen.append(((middle > 0) & (middle < 2 * K[:2, 2])).all() and (xyz[..., 2] > 0).all())
        pitch.append(np.degrees(np.arcsin(np.clip(-R[0, 2, 1], -1, 1))))
    assert np.mean(seen) > 0.97
    assert max(pitch) > 40
    assert min(pitch) < -30


def test_a_take_is_its_motion_in_several_views(donors: Donors) -> None:
    clips = take(donors, 4)
    assert len(clips) == 3
    assert clips.lengths.tolist() == [FRAMES] * 3
    thigh = [POINTS.index("LHip"), POINTS.index("LKnee")]
    first, second = (clips.xyz[clips.start[i] : clips.start[i + 1]][:, thigh] for i in (0, 1))
    lengths = [np.linalg.norm(v[:, 1] - v[:, 0], axis=-1) for v in (first, second)]
    assert np.allclose(*lengths, atol=1e-5)  # one body, seen from two sides
    flat = clips.xyz[:FRAMES] @ clips.K[0].T
    assert np.allclose(flat[..., :2] / flat[..., 2:], clips.xy[:FRAMES], rtol=1e-6)


def test_contacts_and_balance_are_known_of_motions_as_recorded(donors: Donors) -> None:
    """On a treadmill, too. Where postures are varied, feet slide and hover: there is no telling."""
    rng, treadmill = np.random.default_rng, OPTIONS.model_copy(update={"treadmill": True})
    for seed in range(6):
        a, b = (
            draw_take(BODY, motion_library(None), donors, rng(seed), options, 1).clips
            for options in (OPTIONS, treadmill)
        )
        assert np.array_equal(a.contact, b.contact, equal_nan=True)
        known = np.isfinite(a.contact)
        assert known.all() or not known.any()
        np.testing.assert_array_equal(np.isfinite(a.up).all(axis=1), known.all(axis=1))
        if known.all():
            assert a.contact.mean() > 0.5  # of a squat
            break
    else:
        pytest.fail("no motion is as recorded")


def test_errors_are_the_detector_s(donors: Donors) -> None:
    """Right to a few percent of the person, and flattened in depth as its own 3D is."""
    clips = take(donors, 5)
    size = np.ptp(clips.xy[..., 1], axis=1)[:, None]
    off = np.linalg.norm(clips.detected[..., :2] - clips.xy, axis=-1) / size
    kept = (clips.swapped < 0.5) & np.isfinite(clips.detected[:, 0, 0])
    assert 0.001 < np.median(off[kept]) < 0.05


def test_the_same_seed_gives_the_same_clips(donors: Donors) -> None:
    one, two = take(donors, 6), take(donors, 6)
    assert np.array_equal(one.detected, two.detected, equal_nan=True)
    assert not np.array_equal(one.xy, take(donors, 7).xy)


def test_rendered_and_drawn_clips_are_drawn_in_their_shares(donors: Donors, tmp_path: Path) -> None:
    few = take(donors, 8)
    few.write(tmp_path / RENDERED)
    for part in ("drawn_00000", "drawn_00001"):
        few.write(tmp_path / part)
    (tmp_path / "drawn_00002").mkdir()  # of a run that was cut off
    clips, shares = read_data(tmp_path, made_share=0.25)
    assert len(clips) == 9
    assert shares[:3].sum() == pytest.approx(0.25)
    assert shares.sum() == pytest.approx(1)
    with pytest.raises(InputError, match="no clips"):
        read_data(tmp_path / "absent")


def test_the_errors_that_kinefit_brings_along_last_as_a_detector_s_do() -> None:
    """Depth of limbs is wrong by nearly the same for seconds, and by much more than the picture."""
    found = take(Donors.read(), 9)
    at = ends(POINTS, LIMBS[:8])
    z = []
    for a, b in pairwise(found.start):
        own, true = found.detected[a:b, :, 3:], found.xyz[a:b]
        both = [v[:, at[:, 1]] - v[:, at[:, 0]] for v in (own, true)]
        both = [v / np.linalg.norm(v, axis=-1, keepdims=True) for v in both]
        z.append((both[0] - both[1])[..., 2])
    error = np.stack(z)
    assert 0.1 < np.nanstd(error) < 0.6
    lagged = np.nanmean(error[:, :-10] * error[:, 10:]) / np.nanmean(error**2)
    assert 0.3 < lagged < 0.98


def test_errors_of_clips_are_written_and_read(donors: Donors, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    new = replace(donors, residual=rng.normal(size=donors.residual.shape).astype(np.float32))
    file = tmp_path / "errors.safetensors"
    new.write(file, {"clips": "2"})
    arrays, about = read_safetensors(file)
    assert about == {"clips": "2"}
    assert np.allclose(arrays["clips"], new.residual, atol=2e-3)
    assert np.allclose(arrays["bias"], donors.model.bias, atol=1e-6)


def test_drawn_clips_alone_are_enough(donors: Donors, tmp_path: Path) -> None:
    take(donors, 8).write(tmp_path / "drawn_00000")
    _, shares = read_data(tmp_path)
    assert shares == pytest.approx([1 / 3] * 3)
    with pytest.raises(InputError, match="there are none"):
        make_data(tmp_path / "new", [], Drawing(0, 0, None))


def test_other_inputs_are_not_mixed_with_what_is_there(tmp_path: Path) -> None:
    """A folder is of one seed, motion and set of rows."""
    same_inputs(tmp_path, [], Drawing(1, 5, None))
    same_inputs(tmp_path, [], Drawing(9, 5, None))  # more parts of the same
    with pytest.raises(InputError, match="other inputs"):
        same_inputs(tmp_path, [], Drawing(1, 6, None))


def test_clips_that_are_too_short_give_no_errors(donors: Donors) -> None:
    clips = take(donors, 8)
    with pytest.raises(InputError, match="96 frames at 30 Hz"):
        Donors.of(replace(clips, rate=clips.rate * 2))
