"""Sequences: second tries, bridges, repair, smoothing, resume; and a thousand corruptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.fit.recipes.frames.frame_fits import PREVIOUS
from kinefit.fit.recipes.frames.frame_options import RigFitOptions, SequenceOptions
from kinefit.fit.recipes.frames.frame_sequence import SequenceFit, fit_sequence
from kinefit.fit.recipes.frames.rig_frames import FrameStore, as_view, fit_frames
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome
from kinefit.fit.recipes.frames.rigfit import RigFit
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.io.sam3d_outputs import Sam3dPerson, read_outputs, write_outputs
from kinefit.pipeline.config import checked
from kinefit.types import BoolArray, FloatArray, InputError, InvalidData, Timeline

from .rig_scene import CAMERAS, POINTS, Scene, changed, off, scene
from .tubes import tube_chain

ALONE = RigFitOptions(w_temporal_velocity=0.0, temporal_init_blend=0.0)
PLAIN = SequenceOptions(max_gap=0.0, repair=False, smooth=0.0)


def copied(views: dict[str, State]) -> dict[str, State]:
    """The same poses in arrays of their own, to be damaged."""
    return {
        name: replace(v, rotations=v.rotations.copy(), translation=v.translation.copy())
        for name, v in views.items()
    }


def statuses(found: SequenceFit) -> list[str]:
    return [report.status for report in found.reports]


@pytest.fixture(scope="module")
def clip() -> Scene:
    return scene(24)


@pytest.fixture(scope="module")
def noisy(clip: Scene) -> FloatArray:
    return clip.xyz + np.random.default_rng(1).normal(0, 0.008, clip.xyz.shape)


def test_a_clip_is_fitted_to_the_noise_of_its_points(clip: Scene, noisy: FloatArray) -> None:
    found = fit_sequence(clip.work(clip.targets(noisy)), clip.views)
    assert statuses(found) == ["good"] * 24
    error = off(clip, found.points)
    # Bones of known length and 24 frames: below the points' own 8 mm per axis (13 mm in space).
    assert error.mean() < 0.010
    motion_ = found.motion
    assert motion_.body == "tubes"
    assert motion_.timeline == clip.timeline
    np.testing.assert_allclose(motion_.shape, clip.truth.shape)


def test_frames_alone_are_what_they_are_one_by_one(clip: Scene, noisy: FloatArray) -> None:
    """Solved together or not, and whatever the others are."""
    targets = clip.targets(noisy)
    together = fit_frames(clip.work(targets, ALONE), clip.views)
    spoiled = noisy.copy()
    spoiled[[3, 7]] = np.nan
    others = fit_frames(clip.work(clip.targets(spoiled), ALONE), clip.views)
    for t in (0, 4, 8, 23):
        # Products of matrices in blocks of other sizes round otherwise.
        np.testing.assert_allclose(others[t].rotations, together[t].rotations, atol=1e-6)
        assert others[t].camera == together[t].camera


def test_a_bad_start_is_tried_again_from_other_cameras_and_the_previous_pose(
    clip: Scene, noisy: FloatArray
) -> None:
    views = copied(clip.views)
    # cam3 alone is there, and its pose of frame 10 bends every joint by two radians or more.
    for name in CAMERAS[:3]:
        views[name].rotations[8:] = np.nan
    views["cam3"].rotations[10] = so3.exp(np.random.default_rng(5).normal(0, 2.0, (12, 3)))[
        np.arange(len(tube_chain().joint_names)) % 12
    ]
    options = RigFitOptions(temporal_init_blend=0.0, w_pose_reg=3e-3)  # holds to a bad start
    found = fit_sequence(clip.work(clip.targets(noisy), options), views, PLAIN)
    report = found.reports[10]
    assert report.status == "retried"
    assert report.attempts > 1
    assert report.camera == PREVIOUS
    assert off(clip, found.points)[10].max() < 0.05
    alone = fit_frames(clip.work(clip.targets(noisy), changed(options, w_temporal_velocity=0.0)),
                       views)  # fmt: skip
    assert alone[10].reason != FrameOutcome.OK  # the control: without a past there is no second try


def test_short_gaps_are_turned_through_and_flagged(clip: Scene, noisy: FloatArray) -> None:
    lost = noisy.copy()
    lost[10:13] = np.nan
    found = fit_sequence(clip.work(clip.targets(lost)), clip.views)
    expected = ["good"] * 10 + ["recovered"] * 3 + ["good"] * 11
    assert statuses(found) == expected
    assert found.reports[11].reason == FrameOutcome.NO_WEIGHT.words
    # A tenth of a second of swings at half a hertz, from noisy ends.
    assert off(clip, found.points)[10:13].max() < 0.05
    assert all(np.isnan(found.reports[t].loss) for t in (10, 11, 12))  # no points to judge it by


def test_long_gaps_and_ends_stay_missing(clip: Scene, noisy: FloatArray) -> None:
    lost = noisy.copy()
    lost[:2], lost[5:16], lost[-1] = np.nan, np.nan, np.nan
    found = fit_sequence(clip.work(clip.targets(lost)), clip.views)
    gone = np.array([s == "unusable" for s in statuses(found)])
    np.testing.assert_array_equal(np.flatnonzero(gone), [0, 1, *range(5, 16), 23])
    np.testing.assert_array_equal(np.isnan(found.points).all(axis=(1, 2)), gone)
    np.testing.assert_array_equal(np.isnan(found.motion.translation).any(axis=1), gone)


def test_no_bridge_where_either_way_round_may_be_right() -> None:
    """The body turns by 170 degrees while nobody sees it: halfway on raw parameters is nonsense,
    and halfway on rotations a guess."""
    clip = scene(16)
    turned = replace(clip.truth, rotations=clip.truth.rotations.copy())
    turned.rotations[8:, 0] = so3.exp(np.array([0, 2.97, 0])) @ turned.rotations[8:, 0]
    chain = tube_chain()
    xyz = turned.posed(chain).points[:, [chain.column(name) for name in POINTS]]
    xyz[6:9] = np.nan
    found = fit_sequence(clip.work(clip.targets(xyz)), clip.views)
    assert statuses(found)[6:9] == ["unusable"] * 3
    xyz = clip.xyz.copy()
    xyz[6:9] = np.nan
    assert (
        statuses(fit_sequence(clip.work(clip.targets(xyz)), clip.views))[6:9] == ["recovered"] * 3
    )


def test_single_wild_joints_are_repaired_and_named(clip: Scene, noisy: FloatArray) -> None:
    """A twist that no point sees comes from the camera; there it jumps for one frame."""
    views = {"cam0": copied(clip.views)["cam0"]}
    elbow = tube_chain().joint_names.index("left_elbow")
    views["cam0"].rotations[12, elbow] = views["cam0"].rotations[12, elbow] @ so3.exp(
        np.array([2.0, 0, 0])  # about the forearm
    )
    work = clip.work(clip.targets(noisy), ALONE)
    raw = fit_sequence(work, views, PLAIN)
    mended = fit_sequence(work, views, changed(PLAIN, repair=True))
    assert "left_elbow" in mended.reports[12].repaired
    # Feet may be named, too: 8 mm of noise on a lever of 10 cm.
    assert not any("left_elbow" in r.repaired for r in mended.reports if r.frame != 12)
    step = [
        so3.norm(so3.log(np.swapaxes(f.state.rotations[11, elbow], -1, -2)
                         @ f.state.rotations[12, elbow]))
        for f in (raw, mended)
    ]  # fmt: skip
    assert step[0] > 1.0
    assert step[1] < 0.3


def test_the_shape_is_one_for_the_clip_or_the_cameras_own(clip: Scene, noisy: FloatArray) -> None:
    views = {
        name: replace(view, shape=view.shape + 0.1 * i)
        for i, (name, view) in enumerate(clip.views.items())
    }
    work = clip.work(clip.targets(noisy), ALONE)
    one = fit_sequence(work, views)
    np.testing.assert_allclose(one.motion.shape, clip.truth.shape + 0.15)  # the median of four
    each = fit_sequence(work, views, changed(PLAIN, one_shape=False))
    for t, report in enumerate(each.reports):
        np.testing.assert_allclose(each.state.shape[t], views[report.camera].shape)
    if len({r.camera for r in each.reports}) > 1:
        with pytest.raises(InvalidData, match="several shapes"):
            _ = each.motion


def test_summary_as_json(clip: Scene, noisy: FloatArray) -> None:
    lost = noisy.copy()
    lost[3:5], lost[20, 2] = np.nan, np.nan
    found = fit_sequence(clip.work(clip.targets(lost)), clip.views)
    stored = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert stored["status"] == {"good": 22, "recovered": 2}
    assert stored["reasons"] == {FrameOutcome.NO_WEIGHT.words: 2}
    assert [f["finite_points"] for f in stored["per_frame"]] == [16] * 3 + [0] * 2 + [16] * 15 + [
        15, 16, 16, 16,
    ]  # fmt: skip
    assert stored["per_frame"][3]["loss"] is None
    assert set(stored["per_frame"][0]["scores_m"]) == set(CAMERAS)


def test_diagnostics_go_into_files_of_arrays(
    clip: Scene, noisy: FloatArray, tmp_path: Path
) -> None:
    lost = noisy.copy()
    lost[1] = np.nan
    found = fit_sequence(clip.work(clip.targets(lost), ALONE), clip.views, PLAIN)
    for t, fit in enumerate(found.fits[:2]):
        write_outputs(tmp_path / "person.npz", [Sam3dPerson(extra=found.opt_arrays(t))])
        (person,) = read_outputs(tmp_path / "person.npz")
        assert person.extra["opt_best_cam"] == fit.camera
        np.testing.assert_array_equal(person.extra["opt_view_scores_m"], fit.scores)
        known = fit.history[np.isfinite(fit.history)]
        np.testing.assert_array_equal(person.extra["opt_loss_history"], known)
        assert len(known) == (0 if t == 1 else 7)
        assert bool(person.extra["opt_is_unusable"]) == (t == 1)
        assert person.extra["opt_finite_points"] == (0 if t == 1 else 16)


def test_a_killed_run_goes_on_from_its_finished_frames(
    clip: Scene, noisy: FloatArray, tmp_path: Path
) -> None:
    work, store = clip.work(clip.targets(noisy)), FrameStore(tmp_path)

    def killed(done: int, _: int) -> None:
        if done == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_sequence(work, clip.views, store=store, progress=killed)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == 15
    again = fit_sequence(work, clip.views, store=store)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(after) == 24
    assert {name: after[name] for name in before} == before  # read, not written again
    fresh = fit_sequence(work, clip.views)
    np.testing.assert_array_equal(again.state.rotations, fresh.state.rotations)
    assert again.as_json() == fresh.as_json()


def test_damaged_and_foreign_files_in_the_store_are_done_again(
    clip: Scene, noisy: FloatArray, tmp_path: Path
) -> None:
    work, store = clip.work(clip.targets(noisy), ALONE), FrameStore(tmp_path)
    fresh = fit_sequence(work, clip.views, store=store)
    files = sorted(tmp_path.iterdir())
    files[0].write_bytes(b"PK\x03\x04 no")
    files[1].write_bytes(files[2].read_bytes())  # another frame under this name
    arrays = dict(np.load(files[3], allow_pickle=False))
    np.savez(files[3], **arrays | {"rotations": arrays["rotations"][:3]})
    np.savez(files[4], **{k: v for k, v in arrays.items() if k != "scores"})
    np.savez(files[5], **arrays | {"reason": np.array(99)})
    other = dict(np.load(files[6], allow_pickle=False))
    np.savez(files[6], **other | {"rotations": 2 * other["rotations"]})
    again = fit_sequence(work, clip.views, store=store)
    assert again.as_json() == fresh.as_json()


def test_cameras_are_known_by_their_names_only(clip: Scene) -> None:
    with pytest.raises(InvalidData, match="no camera cam, cam00"):
        fit_sequence(clip.work(), {"cam": clip.views["cam0"], "cam00": clip.views["cam0"]})
    short = {"cam1": clip.views["cam1"].at(slice(0, 5))}
    with pytest.raises(InvalidData, match="Camera cam1: poses"):
        fit_sequence(clip.work(), short)


def test_a_view_is_the_chains_part_of_a_whole_body(clip: Scene) -> None:
    chain = tube_chain()
    whole = so3.exp(np.random.default_rng(6).normal(0, 0.3, (24, len(chain.body.joint_names), 3)))
    view = as_view(chain, whole, np.zeros((24, 3)), clip.truth.shape)
    knee = chain.joint_names.index("left_knee")
    np.testing.assert_array_equal(
        view.rotations[:, knee], whole[:, chain.body.joint_names.index("left_knee")]
    )


@pytest.mark.parametrize("count", [0, 1, 2])
def test_clips_of_hardly_any_frames(count: int) -> None:
    clip = scene(max(count, 1))
    timeline = Timeline.regular(count, 30.0)
    clip = Scene(timeline, clip.truth.at(slice(0, count)), clip.xyz[:count],
                 {name: view.at(slice(0, count)) for name, view in clip.views.items()})  # fmt: skip
    found = fit_sequence(clip.work(), clip.views)
    assert statuses(found) == ["good"] * count


@pytest.mark.parametrize(
    ("name", "value"), [("max_gap", -1.0), ("smooth", np.nan), ("most_turn", 4.0)]
)
def test_options_that_mean_nothing_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError):
        checked(SequenceOptions, {name: value})


# ---- A thousand corruptions ----


class Spoiled:
    """A scene with noise of 5 mm of which every frame is corrupted in one way, or clean."""

    def __init__(self, count: int, seed: int) -> None:
        self.clip, self.rng = scene(count, seed=seed), np.random.default_rng(seed + 1)
        shape = self.clip.xyz.shape
        self.xyz = self.clip.xyz + self.rng.normal(0, 0.005, shape)
        self.weight, self.wrong = np.ones(shape[:2]), np.zeros(shape[:2], dtype=bool)
        self.views = copied(self.clip.views)
        ways: list[Callable[[int], None]] = [
            self.clean, self.missing, self.weightless, self.outliers, self.one_view,
            self.limb, self.far, self.no_numbers, self.no_view, self.bad_views, self.extreme,
            self.line,
        ]  # fmt: skip
        self.way = self.rng.integers(len(ways), size=count)
        for t, way in enumerate(self.way):
            ways[way](t)

    def clean(self, t: int) -> None: ...

    def missing(self, t: int) -> None:
        self.xyz[t, self.rng.random(len(POINTS)) < self.rng.random()] = np.nan

    def weightless(self, t: int) -> None:
        self.weight[t, self.rng.random(len(POINTS)) < 1.5 * self.rng.random()] = 0

    def outliers(self, t: int) -> None:
        half = self.rng.permutation(len(POINTS))[: len(POINTS) // 2]
        self.displace(t, half, 0.2, 1.5)

    def one_view(self, t: int) -> None:
        for c in self.rng.permutation(4)[:3]:
            self.views[CAMERAS[c]].rotations[t] = np.nan

    def limb(self, t: int) -> None:
        side, part = self.rng.choice(["L", "R"]), self.rng.integers(2)
        names = [side + n for n in (("Shoulder", "Elbow", "Wrist"), ("Hip", "Knee", "Ankle", "Heel",
                                                                     "BigToe"))[part]]  # fmt: skip
        self.xyz[t, [POINTS.index(n) for n in names]] = np.nan

    def far(self, t: int) -> None:
        self.displace(t, self.rng.integers(len(POINTS), size=1), 1.0, 1.0)

    def no_numbers(self, t: int) -> None:
        self.xyz[t, self.rng.integers(len(POINTS), size=3)] = self.rng.choice(
            [np.inf, -np.inf, 1e300, 1e5]
        )

    def no_view(self, t: int) -> None:
        for view in self.views.values():
            view.rotations[t] = np.nan

    def bad_views(self, t: int) -> None:
        for view in self.views.values():
            view.rotations[t] = so3.exp(self.rng.normal(0, 1.5, (view.rotations.shape[1], 3)))

    def extreme(self, t: int) -> None:
        scale = self.rng.choice([1e-320, 1e300, 1e-12])
        self.weight[t] = scale * self.rng.uniform(1, 2, len(POINTS))
        self.views["cam0"].translation[t] = 1e300
        self.views["cam1"].rotations[t] *= 3

    def line(self, t: int) -> None:
        along = np.linspace(0, 1, len(POINTS))[:, None]
        self.xyz[t] = self.xyz[t, :1] + along * [0.3, 1.0, 0.0]
        self.wrong[t] = True

    def displace(self, t: int, points: FloatArray, near: float, far: float) -> None:
        way = so3.unit(self.rng.normal(size=(len(points), 3)))
        self.xyz[t, points] += way * self.rng.uniform(near, far, (len(points), 1))
        self.wrong[t, points] = True

    def work(self, options: RigFitOptions) -> RigFit:
        return self.clip.work(self.clip.targets(self.xyz, self.weight), options)

    @property
    def hopeless(self) -> BoolArray:
        """Frames of which no camera, or no point, says how the body is turned."""
        return np.isin(self.way, [8, 11])

    def check(self, found: SequenceFit) -> None:
        """No NaN in a pose, everything unusable flagged, nothing good flagged bad."""
        status = np.array(statuses(found))
        state, bad = found.state, status == "unusable"
        poses = np.isfinite(state.rotations).all(axis=(1, 2, 3))
        poses &= np.isfinite(state.translation).all(axis=1) & np.isfinite(state.shape).all(axis=1)
        np.testing.assert_array_equal(poses, ~bad)
        fitted = np.isin(status, ["good", "retried"])
        usable = found.work.targets.usable
        few = usable.sum(axis=1) < 6
        assert not (fitted & few).any()
        assert all(r.reason for r, ok in zip(found.reports, fitted, strict=True) if not ok)
        assert all(np.isfinite(r.loss) for r, ok in zip(found.reports, fitted, strict=True) if ok)
        error = np.where(usable & ~self.wrong, off(self.clip, found.points), np.nan)
        # Half of the right points within 3 cm, six deviations of their noise: an honest pose.
        assert np.nanmedian(error[fitted], axis=1).max() < 0.03
        sound = ~few & ~self.hopeless & (self.wrong.sum(axis=1) <= 1)
        assert fitted[sound].all()


def test_a_thousand_corruptions() -> None:
    spoiled = Spoiled(1000, seed=0)
    found = fit_sequence(spoiled.work(ALONE), spoiled.views, PLAIN)
    assert len(set(spoiled.way)) == 12
    spoiled.check(found)
    tried = np.array([report.attempts > 0 for report in found.reports])
    few = found.work.targets.usable.sum(axis=1) < 6
    np.testing.assert_array_equal(tried, ~few & ~spoiled.hopeless)


def test_corruptions_in_a_row_with_everything_on() -> None:
    """Temporal terms, repair, bridges and smoothing, and hardly a clean frame."""
    spoiled = Spoiled(60, seed=5)
    found = fit_sequence(spoiled.work(RigFitOptions()), spoiled.views)
    spoiled.check(found)
    assert "recovered" in statuses(found)
    assert PREVIOUS in {report.camera for report in found.reports}  # where no camera has a pose
