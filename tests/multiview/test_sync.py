"""Offsets between cameras are right to a fraction of a frame, or refused in words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from kinefit.multiview.lags import PairLag, _samples_per_second
from kinefit.multiview.sync import _one_clock, find_offsets
from kinefit.multiview.velocities import ImageMotion
from kinefit.skeletons import skeleton
from kinefit.types import InputError, Keypoints2D, Timeline

DEMO = Path(__file__).parent / "data" / "demo_views.npz"
CMU = Path(__file__).parents[3] / "shared" / "data" / "cmu" / "cmu_30fps.npz"
SIZE = (1920, 1080)

# Metres: left side's distance from the middle, and height.
BODY = {"Shoulder": (0.18, 1.45), "Elbow": (0.25, 1.15), "Wrist": (0.28, 0.9)}
BODY |= {"Hip": (0.09, 0.95), "Knee": (0.1, 0.5), "Ankle": (0.1, 0.08)}
NAMES = ("Nose", *(side + joint for side in "LR" for joint in BODY))
MIRROR = [NAMES.index({"L": "R", "R": "L"}.get(n[0], "N") + n[1:]) for n in NAMES]
REST = np.array([[0, 1.6, 0.1]] + [[s * x, y, 0] for s in (1, -1) for x, y in BODY.values()])


def wander(rng, time, count, metres, hz):
    """(T, count, 3) smooth random paths."""
    white = rng.normal(size=(len(time), count, 3))
    smooth = gaussian_filter1d(white, 0.13 / hz / (time[1] - time[0]), axis=0)
    return metres * smooth / smooth.std()


def dancer(seed, seconds=20.0):
    """A person who moves at random: a function from times to (T, 13, 3) metres, Y up."""
    rng = np.random.default_rng(seed)
    time = np.arange(-2, seconds + 2, 0.01)
    reach = np.linalg.norm(REST - REST[[7, 1]].mean(axis=0), axis=1)[:, None]
    moves = wander(rng, time, 1, 0.15, 0.7) + reach * wander(rng, time, len(NAMES), 0.15, 1.2)
    return CubicSpline(time, REST + moves)


def walker(time):
    """The same stride for ever: 1.1 s, 8 cm of bob, arms and legs that lift."""
    phase = 2 * np.pi * np.asarray(time)[:, None] / 1.1
    xyz = np.repeat(REST[None], len(time), axis=0)
    xyz[..., 1] += 0.04 * np.cos(2 * phase)
    for side, sign in (("L", 0.0), ("R", np.pi)):
        for joint, lift in (("Wrist", 0.1), ("Elbow", 0.05), ("Knee", 0.08), ("Ankle", 0.12)):
            xyz[:, NAMES.index(side + joint), 1] += lift * np.maximum(np.sin(phase[:, 0] + sign), 0)
    return xyz


def look(azimuth, rng=None, roll=0.0, height=1.4, distance=4.5):
    """A camera's rotation and place, aimed at the middle of the body."""
    place = np.array([distance * np.sin(azimuth), height, distance * np.cos(azimuth)])
    ahead = np.array([0, 1.0, 0]) - place
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0, 1, 0]) / np.linalg.norm(np.cross(ahead, [0, 1, 0]))
    turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return turn @ np.array([right, np.cross(ahead, right), ahead]), place


def film(motion, camera, times, *, clock=None, noise=0.0, dirt=0.0, seed=0, focal=1300.0):
    """Keypoints at `times` of the motion; stamps `clock` (own time from 0 if not given).

    noise: px. dirt: share of points that are 60 px off, and of those that are missing; a fifth of
    the frames has left and right exchanged in runs.
    """
    rng = np.random.default_rng(seed)
    R, place = camera
    seen = (motion(times) - place) @ R.T
    xy = focal * seen[..., :2] / seen[..., 2:] + [960, 540]
    xy += rng.normal(0, noise, xy.shape) if noise else 0
    if dirt:
        off = rng.random(xy.shape[:2]) < dirt
        xy[off] += rng.normal(0, 60, (off.sum(), 2))
        swapped = np.repeat(rng.random(len(xy) // 10 + 1) < 0.2, 10)[: len(xy)]
        xy[swapped] = xy[swapped][:, MIRROR]
        xy[rng.random(xy.shape[:2]) < dirt] = np.nan
        xy[len(xy) // 2 :, 3][: len(xy) // 8] = np.nan
    clock = times - times[0] if clock is None else clock
    timeline = Timeline(np.arange(len(times)), clock)
    return Keypoints2D(timeline, NAMES, xy, np.full(xy.shape[:2], 0.9), SIZE)


def rig(motion, offsets, rates, seconds, **kwargs):
    """One track per offset: camera c's own time 0 is the motion's time offsets[c]."""
    cameras = [look(0.4 + 1.45 * c, height=1.0 + 0.4 * c) for c in range(len(offsets))]
    return [
        film(motion, camera, offset + np.arange(0, seconds, 1 / rate), seed=c, **kwargs)
        for c, (camera, offset, rate) in enumerate(zip(cameras, offsets, rates, strict=True))
    ]


def names(count):
    return [f"cam{c + 1}" for c in range(count)]


@pytest.fixture(scope="module")
def pair():
    """Two clean cameras, the second 0.1237 s late."""
    return rig(dancer(1), (0.0, 0.1237), (60, 60), 12.0, noise=1.0)


@pytest.mark.parametrize("seed", range(3))
def test_four_cameras_of_different_rates_with_dirty_points(seed):
    truth = np.array([0.5, 0.8111, 0.2345, 1.0])
    rates = (30, 60, 59.94, 25)
    tracks = rig(dancer(seed), truth, rates, 18.0, noise=2.0, dirt=0.03)
    sync = find_offsets(tracks, names(4))
    assert sync.reference == 0
    assert sync.determined.all(), sync.reasons
    assert sync.reasons == ("",) * 4
    error = sync.offset_s - (truth - truth[0])
    # A quarter of a frame is what is promised, and three standard deviations what the sd means.
    assert (np.abs(error) < 0.25 / 30).all()
    assert (np.abs(error) <= 3 * sync.sd_s).all()
    assert len(sync.pairs) == 6
    offset = dict(zip(sync.names, sync.offset_s, strict=True))
    for p in (p for p in sync.pairs if not p.reason):
        a, b = p.cameras
        assert abs(p.lag_s - (offset[b] - offset[a])) < 3 * p.sd_s + 1e-3


def test_without_noise_the_error_is_that_of_perspective():
    truth = np.array([0.0, 0.3, -0.2, 0.0123])
    sync = find_offsets(rig(dancer(4), truth, (60,) * 4, 15.0), names(4))
    # 3 ms: what differences of perspective leave in CMU motion without noise (median 1.8, 8 s).
    assert np.abs(sync.offset_s - truth).max() < 0.003


def test_swapped_sides_change_nothing(pair):
    swapped = replace(pair[1], xy=pair[1].xy[:, MIRROR])
    before, after = (find_offsets([pair[0], t], names(2)) for t in (pair[1], swapped))
    assert after.offset_s[1] == pytest.approx(before.offset_s[1], abs=1e-9)  # sums in another order


@pytest.mark.parametrize("angle", [0.3, np.pi / 2, np.pi, 4.0])
def test_a_turned_camera_changes_nothing(pair, angle):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = replace(pair[1], xy=2.5 * (pair[1].xy - 500) @ turn.T + 300)
    before, after = (find_offsets([pair[0], t], names(2)) for t in (pair[1], turned))
    # Exact but for single jumps in x or y, which the median takes out per axis.
    assert after.offset_s[1] == pytest.approx(before.offset_s[1], abs=5e-4)
    assert after.determined[1]


def test_a_mirrored_image_changes_nothing(pair):
    mirrored = replace(pair[1], xy=pair[1].xy * [-1, 1] + [1919, 0])
    before, after = (find_offsets([pair[0], t], names(2)) for t in (pair[1], mirrored))
    assert after.offset_s[1] == pytest.approx(before.offset_s[1], abs=1e-9)


def test_the_order_of_cameras_turns_the_sign(pair):
    forward, backward = find_offsets(pair, names(2)), find_offsets(pair[::-1], names(2))
    # A tenth of a grid step: the covariances around the peak are of slightly different stretches.
    assert backward.offset_s[1] == pytest.approx(-forward.offset_s[1], abs=1e-3)


def test_a_track_that_begins_after_frame_0_has_the_same_offset(pair):
    t = pair[1]
    tail = Timeline(t.timeline.frame[90:], t.timeline.time[90:])
    late = Keypoints2D(tail, NAMES, t.xy[90:], t.score[90:], SIZE)
    sync = find_offsets([pair[0], late], names(2))
    assert sync.offset_s[1] == pytest.approx(0.1237, abs=0.25 / 60)


def test_dropped_frames_are_told_by_their_stamps():
    motion, rng = dancer(5), np.random.default_rng(0)
    times = [np.arange(0, 15, 1 / 30) + o for o in (0.0, 0.21)]
    times[1] = np.delete(times[1], rng.choice(np.arange(1, len(times[1])), 60, replace=False))
    tracks = [
        film(motion, look(a), t, noise=1.0, seed=i)
        for i, (a, t) in enumerate(zip((0, 1.5), times, strict=True))
    ]
    sync = find_offsets(tracks, names(2))
    assert sync.offset_s[1] == pytest.approx(0.21, abs=0.25 / 30)


def refused(tracks, **kwargs):
    """The reasons, after checking that nothing but the reference claims an offset."""
    sync = find_offsets(tracks, names(len(tracks)), **kwargs)
    others = np.arange(len(tracks)) != sync.reference
    assert not sync.determined[others].any()
    assert np.isnan(sync.offset_s[others]).all()
    assert all(sync.reasons[c] for c in np.flatnonzero(others))
    return " | ".join(r for r in sync.reasons if r)


def test_unrelated_motions_are_refused():
    for seed in range(10, 20):
        tracks = [
            film(dancer(s), look(a), np.arange(0, 12, 1 / 30), noise=2.0, seed=s)
            for s, a in ((seed, 0.0), (seed + 100, 1.5))
        ]
        assert any(words in refused(tracks) for words in ("from chance", "about equally well"))


def test_motions_that_swing_at_different_rates_do_not_count_as_much_evidence():
    time = np.arange(0, 12, 0.01)[:, None, None]
    swings = [np.sin(2 * np.pi * hz * time) * np.ones((1, 5, 2)) for hz in (1.0, 0.75)]
    motions = [ImageMotion(v, np.ones(v.shape[:2]), 0.0, 1 / 30) for v in swings]
    # All joints move alike, and velocities smoothed over 0.06 s change in 0.113 s at the least.
    assert _samples_per_second(*motions) <= 1 / 0.1128 + 0.01


def test_one_unrelated_camera_does_not_spoil_the_others():
    tracks = rig(dancer(1), (0, 0.1, 0.2), (60, 60, 60), 15.0, noise=1.0)
    tracks[0] = film(dancer(2), look(0.4), np.arange(0, 15, 1 / 60), noise=1.0)
    sync = find_offsets(tracks, names(3))
    assert sync.reference == 1
    assert sync.determined.tolist() == [False, True, True]
    assert sync.offset_s[2] == pytest.approx(0.1, abs=0.25 / 60)


def test_a_still_person_is_refused():
    still = lambda times: np.repeat(REST[None], len(times), axis=0)  # noqa: E731
    assert "hardly moves" in refused(rig(still, (0, 0.2), (30, 30), 12.0, noise=2.0))


def test_walking_without_end_is_refused_as_periodic():
    reason = refused(rig(walker, (0, 0.2, 0.1), (60, 60, 60), 12.0, noise=1.0))
    assert "the motion repeats" in reason


def test_a_short_clip_is_refused():
    assert "are needed" in refused(rig(dancer(1), (0, 0.0), (60, 60), 1.67))


def test_an_offset_beyond_the_range_is_refused():
    tracks = rig(dancer(1), (0, 1.5), (60, 60), 15.0, noise=1.0)
    assert "end of the range" in refused(tracks, max_offset_s=1.0)
    found = find_offsets(tracks, names(2), max_offset_s=3.0, within_frames=0.5)
    assert found.offset_s[1] == pytest.approx(1.5, abs=0.5 / 60)


def test_an_offset_that_is_not_known_well_enough_is_refused():
    tracks = rig(dancer(1), (0, 0.2), (60, 60), 12.0, noise=2.0)
    assert "ms are wanted" in refused(tracks, within_frames=0.02)


def test_a_camera_that_sees_nobody_does_not_spoil_the_others(pair):
    blind = replace(pair[0], xy=np.full_like(pair[0].xy, np.nan))
    sync = find_offsets([blind, *pair], names(3))
    assert sync.determined.tolist() == [False, True, True]
    assert "0.0 s of motion in common" in sync.reasons[0]


def test_tracks_of_no_and_one_frame_are_refused(pair):
    for count in (0, 1, 2):
        short = Keypoints2D(
            Timeline.regular(count, 30), NAMES, pair[0].xy[:count], pair[0].score[:count], SIZE
        )
        assert not find_offsets([pair[0], short], names(2)).determined[1]


def demo_tracks():
    data = np.load(DEMO, allow_pickle=False)
    points = skeleton("blazepose33").points
    return [
        Keypoints2D(
            Timeline(np.arange(len(time)), time),
            points,
            data["xy"][c].astype(float),
            data["visibility"][c].astype(float),
            tuple(int(n) for n in data["image_size"][c]),
        )
        for c, time in enumerate(data["time"])
    ]


def test_the_real_demo_is_refused():
    # 1.67 s of walking and turning, on which a peer finds 50, 50 and 0 frames; the truth is 0.
    assert "1.6 s of motion in common" in refused(demo_tracks())


def test_the_real_demo_s_lags_are_0_within_their_deviations(monkeypatch):
    monkeypatch.setattr("kinefit.multiview.lags._LEAST_OVERLAP_S", 1.2)
    sync = find_offsets(demo_tracks(), names(4))
    assert not sync.determined[1:].any()  # even if so short a clip were let through
    lags, sds = np.array([[p.lag_s, p.sd_s] for p in sync.pairs]).T
    assert np.abs(lags).max() < 2 / 60  # two frames, where the peer is 50 off
    # A real detector, and deviations from three stretches of time: wider than a normal curve.
    assert (np.abs(lags) < 4 * sds).all()
    assert np.median(np.abs(lags) / sds) < 1


def lag(a, b, seconds, reason=""):
    return PairLag((a, b), seconds, 0.002, 0.9, 1.0, 0.3, 50.0, 10.0, reason)


def still_motion():
    return ImageMotion(np.zeros((1, 3, 2)), np.zeros((1, 3)), 0.0, 1 / 30)


def test_of_three_lags_that_contradict_each_other_none_is_believed():
    pairs = [lag("a", "b", 0.1), lag("a", "c", 0.2), lag("b", "c", 0.4)]
    sync = _one_clock(("a", "b", "c"), [still_motion()] * 3, pairs, 0.25)
    assert sync.determined.tolist() == [True, False, False]
    assert "contradict each other" in sync.reasons[1]
    assert np.isnan(sync.offset_s[1:]).all()


def test_a_fourth_camera_tells_which_lag_is_wrong():
    truth = dict(zip("abcd", (0.0, 0.1, 0.2, -0.3), strict=True))
    pairs = [
        lag(i, j, truth[j] - truth[i] + (0.5 if i + j == "bc" else 0))
        for i, j in ("ab", "ac", "ad", "bc", "bd", "cd")
    ]
    sync = _one_clock(tuple("abcd"), [still_motion()] * 4, pairs, 0.25)
    assert sync.determined.all()
    assert np.allclose(sync.offset_s, list(truth.values()), atol=1e-12)  # exact arithmetic
    wrong = next(p for p in sync.pairs if p.cameras == ("b", "c"))
    assert "contradicts those of the other pairs by 0.500 s" in wrong.reason
    assert all(not p.reason for p in sync.pairs if p is not wrong)


def test_the_deviation_of_an_offset_does_not_shrink_by_counting_pairs():
    pairs = [lag(i, j, 0.0) for i, j in ("ab", "ac", "ad", "bc", "bd", "cd")]
    sync = _one_clock(tuple("abcd"), [still_motion()] * 4, pairs, 0.25)
    # Each camera has its own error, and a lag those of two: the mean over ways is no better.
    assert sync.sd_s[1:] == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, n: (t[:1], n[:1]), "at least 2"),
        (lambda t, n: (t, n[:1]), "1 names for 2 tracks"),
        (lambda t, n: (t, n, {"max_offset_s": 0.0}), "not positive"),
        (lambda t, n: (t, n, {"within_frames": float("nan")}), "not positive"),
        (lambda t, n: ([t[0], renamed(t[1])], n), "0 pairs of joints in common"),
    ],
)
def test_what_cannot_be_used_is_an_error(pair, change, words):
    tracks, cameras, *options = change(list(pair), names(2))
    with pytest.raises(InputError, match=words):
        find_offsets(tracks, cameras, **(options[0] if options else {}))


def renamed(track):
    return replace(track, names=tuple("x" + n for n in track.names))


@pytest.mark.skipif(not CMU.is_file(), reason="needs shared/data/cmu")
def test_motion_capture_is_synchronised_rightly_or_not_at_all():
    data = np.load(CMU, allow_pickle=False)
    joints = [str(j) for j in data["joints"]]
    column = ["head" if n == "Nose" else n[0].lower() + n[1:].lower() for n in NAMES]
    column = [joints.index(c) for c in column]
    lengths = np.diff(data["start"]) / 30
    rng = np.random.default_rng(3)
    claims = []
    for seconds, wanted in ((4.0, 6), (8.0, 8), (14.0, 6)):
        for trial in rng.choice(np.flatnonzero(lengths > 1.3 * seconds), wanted):
            first = data["start"][trial]
            raw = data["pos_i16"][first : data["start"][trial + 1], column]
            xyz = raw * float(data["pos_scale"])
            xyz[..., [0, 2]] -= xyz[:, :, [0, 2]].mean(axis=(0, 1))
            motion = CubicSpline(np.arange(len(xyz)) / 30, xyz)
            truth = rng.uniform(0, 0.1 * seconds, 3)
            rates = rng.choice([30, 60, 59.94], 3)
            tracks = rig(motion, truth, rates, seconds, noise=3.0, dirt=0.02)
            sync = find_offsets(tracks, names(3))
            frame = 1 / np.minimum(rates, rates[sync.reference])
            error = np.abs(sync.offset_s - (truth - truth[sync.reference])) / frame
            claims += [error[c] for c in range(3) if sync.determined[c] and c != sync.reference]
    assert len(claims) >= 8  # of 40: not by refusing everything
    assert max(claims) < 0.3  # a quarter is two deviations: some may pass it, none by much
