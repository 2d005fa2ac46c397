"""The augmenter against measured motion, and against the naive way its peers run it."""

import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from kinefit.biomech.markers.augment import augment, missing_inputs, within_training
from kinefit.skeletons import skeleton
from kinefit.types import (
    InputError,
    InvalidData,
    Markers,
    MissingMarkers,
    Subject,
    Timeline,
    TooFewPoints,
)

PERSON = Subject(1.75, 70.0)
NEW = skeleton("augmented43").points
LOWER, UPPER = NEW[:35], NEW[35:]
LOWER_INPUTS = [
    *("Neck", "RShoulder", "LShoulder", "RHip", "LHip", "RKnee", "LKnee", "RAnkle", "LAnkle"),
    *("RHeel", "LHeel", "RSmallToe", "LSmallToe", "RBigToe", "LBigToe"),
]


def naive_lower(markers: Markers, subject: Subject) -> np.ndarray:
    """(T, 35, 3): one pass from a zero state, as it comes; what Pose2Sim and OpenCap do."""
    folder = Path(str(files("kinefit") / "weights"))
    model = folder / "augmenter_lower.onnx"
    mean, std = (folder / f"augmenter_lower_{n}.npy" for n in ("mean", "std"))
    hip = markers.select(["Hip"]).xyz
    relative = (markers.select(LOWER_INPUTS).xyz - hip) / subject.height_m
    body = np.tile([subject.height_m, subject.mass_kg], (len(hip), 1))
    features = np.concatenate([relative.reshape(len(hip), -1), body], axis=1)
    features = (features - np.load(mean)) / np.load(std)
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {"inputs": features[None].astype(np.float32)})
    return out[0].reshape(len(hip), 35, 3) * subject.height_m + hip


def distance_mm(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a - b, axis=-1) * 1000


def turned(markers: Markers, yaw: float) -> Markers:
    return replace(markers, xyz=markers.xyz @ about_y(yaw).T)


def about_y(yaw: float) -> np.ndarray:
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def without(markers: Markers, name: str, frames) -> Markers:
    xyz = markers.xyz.copy()
    xyz[frames, markers.names.index(name)] = np.nan
    return replace(markers, xyz=xyz)


# Mean distance to the model's markers, mm, the worst of the four clips (pelvis 31, thigh and shank
# 33, foot 43, trunk 23, arm 39) and 3 mm on top, for other versions of the runtime and of BLAS.
# No independent accuracy: two input offsets were fitted on these clips (see detector_like).
LIMIT_MM = {
    "PSIS": 34, "ASIS": 33, "knee": 25, "ankle": 36, "toe": 23, "meta": 46, "calc": 45,
    "shoulder": 26, "C7": 20, "HJC": 20, "elbow": 42, "wrist": 36,
}  # fmt: skip


@pytest.mark.parametrize("name", ["walking1", "squats1", "STS1", "DJ1"])
def test_markers_lie_where_they_were_measured(clip, name):
    inputs, truth, subject = clip(name)
    out = augment(inputs, subject, cycles=8)
    for marker in set(truth.names) & set(NEW):
        (limit,) = {v for k, v in LIMIT_MM.items() if k in marker}
        miss = distance_mm(out.select([marker]).xyz, truth.select([marker]).xyz)
        assert miss.mean() < limit, marker


def test_averaging_headings_beats_one_pass(clip):
    inputs, truth, subject = clip("STS1")
    known = [n for n in NEW if n in truth.names]

    def spread(out: Markers) -> float:
        error = out.select(known).xyz - truth.select(known).xyz
        return float(np.sqrt(error.var(axis=0).sum(axis=-1)).mean() * 1000)

    # Measured 9.0 against 9.9 mm over all markers; 0.95 leaves half of the gain.
    assert spread(augment(inputs, subject)) < 0.95 * spread(augment(inputs, subject, cycles=1))


def test_the_first_frame_is_as_good_as_the_settled_ones(standing):
    out = augment(standing, PERSON, cycles=4)
    # Of the upper body's start up to 1.7 mm is left after 120 frames, on a cruder pose than this.
    assert distance_mm(out.xyz[0], out.xyz[-1]).max() < 2.0
    lower = naive_lower(standing, PERSON)
    assert distance_mm(lower[0], lower[-1]).max() > 10.0  # negative control: 17 mm


def test_a_clip_cut_from_a_longer_one_starts_like_it(clip):
    inputs, _, subject = clip("squats1")
    cut = replace(
        inputs,
        timeline=Timeline(inputs.timeline.frame[420:520], inputs.timeline.time[420:520]),
        xyz=inputs.xyz[420:520],
        estimated=None,
    )
    whole, part = (augment(m, subject, cycles=4).select(LOWER).xyz for m in (inputs, cut))
    # What is left at the cut is the history that the cut took away: 3.6 mm on average.
    assert distance_mm(whole[420], part[0]).mean() < 6.0
    assert distance_mm(whole[480], part[60]).max() < 0.5  # forgotten by then
    hip = cut.select(["RHip", "LHip"]).xyz.mean(axis=1, keepdims=True)
    full = augment(cut, subject, cycles=1)  # for its Hip and Neck
    assert np.allclose(full.select(["Hip"]).xyz, hip)
    assert distance_mm(naive_lower(full, subject)[0], whole[420]).mean() > 8.0  # negative control


@pytest.mark.parametrize("cycles", [1, 3, 20])
@pytest.mark.parametrize("yaw", [0.7, -2.5])
def test_the_heading_does_not_matter(clip, cycles, yaw):
    inputs, _, subject = clip("walking1")
    straight = augment(inputs, subject, cycles=cycles)
    other = augment(turned(inputs, yaw), subject, cycles=cycles)
    # Only float32 rounding of the inputs is left (measured 1e-4 mm).
    assert distance_mm(other.xyz @ about_y(yaw), straight.xyz)[:, 22:].max() < 0.01


def test_the_naive_way_depends_on_the_heading(clip):
    inputs, _, subject = clip("walking1")
    full = augment(inputs, subject, cycles=1)
    a = naive_lower(full, subject)
    b = naive_lower(turned(full, 2.5), subject) @ about_y(2.5)
    assert distance_mm(a, b)[30:].mean() > 2.0


def test_left_and_right_feet_have_their_own_order(standing):
    out = augment(standing, PERSON, cycles=4)
    at = dict(zip(out.names, out.xyz[-1], strict=True))
    for side, s in (("R", "r"), ("L", "L")):
        # Heel and fifth metatarsal are 20 cm apart; exchanged, each would be off by that.
        assert distance_mm(at[f"{s}_calc_study"], at[f"{side}Heel"]) < 60
        assert distance_mm(at[f"{s}_5meta_study"], at[f"{side}SmallToe"]) < 80
        assert distance_mm(at[f"{s}_toe_study"], at[f"{side}BigToe"]) < 80


def test_a_gap_blanks_its_own_outputs_and_poisons_nothing(clip):
    inputs, _, subject = clip("walking1")
    gap = np.arange(40, 50)
    whole = augment(inputs, subject, cycles=4)
    out = augment(without(inputs, "RKnee", gap), subject, cycles=4)
    lower, upper = out.select(LOWER), out.select(UPPER)
    assert np.flatnonzero(~lower.present.all(1)).tolist() == gap.tolist()
    assert not lower.present[gap].any()
    assert np.array_equal(upper.xyz, whole.select(UPPER).xyz)
    assert np.isnan(lower.sd[gap]).all()
    after = distance_mm(lower.xyz, whole.select(LOWER).xyz)[50:]
    # 0.1 s of interpolated knee, remembered for a few frames.
    assert after.max() < 10.0
    assert after[20:].max() < 0.5
    full = augment(inputs, subject, cycles=1)
    naive = naive_lower(without(full, "RKnee", gap), subject)
    # Negative control: fed as it is, a gap is in the networks' state long after its end.
    assert distance_mm(naive, naive_lower(full, subject))[55:].max() > 100


def test_gaps_at_the_ends_and_of_the_hip(clip):
    inputs, _, subject = clip("walking1")
    gone = np.r_[0:15, 120:131]
    out = augment(without(inputs, "LWrist", gone), subject, cycles=2).select(UPPER)
    assert np.flatnonzero(~out.present.any(1)).tolist() == gone.tolist()
    hipless = without(inputs, "RHip", slice(30, 35))
    out = augment(hipless, subject, cycles=2)
    assert np.flatnonzero(~out.select(NEW).present.any(1)).tolist() == [30, 31, 32, 33, 34]


def test_slow_clips_are_brought_to_the_networks_pace(clip):
    inputs, truth, subject = clip("DJ1")
    # Every third frame: 33 Hz. Fed as it is, the fast jump loses the network.
    slow, known = [
        Markers(Timeline.regular(37, 100 / 3), m.names, m.xyz[::3]) for m in (inputs, truth)
    ]
    names = [n for n in LOWER if n in truth.names]
    out = augment(slow, subject, cycles=1)

    def spread(xyz: np.ndarray) -> float:
        error = xyz - known.select(names).xyz
        return float(np.sqrt(error.var(axis=0).sum(axis=-1)).mean() * 1000)

    naive = naive_lower(out, subject)[:, [LOWER.index(n) for n in names]]
    assert spread(out.select(names).xyz) < 0.75 * spread(naive)  # measured 0.6


def test_uneven_time_stamps_move_nothing_much(clip):
    inputs, _, subject = clip("walking1")
    time = inputs.timeline.time
    keep = np.delete(np.arange(len(time)), np.arange(5, len(time) - 5, 9))  # dropped frames
    cut = Markers(Timeline(keep, time[keep]), inputs.names, inputs.xyz[keep])
    assert not cut.timeline.is_uniform
    a, b = augment(inputs, subject, cycles=2), augment(cut, subject, cycles=2)
    assert b.timeline == cut.timeline
    assert distance_mm(b.xyz, a.xyz[keep])[:, 22:].mean() < 1.0


def test_runs_are_identical_and_the_seed_counts(standing):
    short = replace(
        standing,
        timeline=Timeline.regular(50, 60.0),
        xyz=standing.xyz[:50],
        estimated=None,
    )
    first, again = (augment(short, PERSON, cycles=5, seed=7) for _ in range(2))
    assert first.xyz.tobytes() == again.xyz.tobytes()
    assert first.sd.tobytes() == again.sd.tobytes()
    assert augment(short, PERSON, cycles=5, seed=8).xyz.tobytes() != first.xyz.tobytes()


def test_batches_do_not_change_the_result(standing, monkeypatch):
    whole = augment(standing, PERSON, cycles=5)
    # The package shows its function under the module's own name, so the module is fetched by path.
    monkeypatch.setattr(sys.modules["kinefit.biomech.markers.augment"], "_FRAMES_AT_ONCE", 900)
    split = augment(standing, PERSON, cycles=5)
    assert distance_mm(whole.xyz, split.xyz).max() < 0.01  # sums in another order
    np.testing.assert_allclose(split.sd[:, 22:], whole.sd[:, 22:], atol=1e-5)


def test_the_spread_is_that_of_the_passes(clip):
    inputs, _, subject = clip("walking1")
    out = augment(inputs, subject, cycles=20)
    assert np.isnan(out.sd[:, :22]).all()  # nobody said how sure the inputs are
    size = np.linalg.norm(out.sd[:, 22:], axis=-1) * 1000
    # Measured 4.6 (lower) and 6.9 mm (upper).
    assert 2 < size[:, :35].mean() < 8
    assert 3 < size[:, 35:].mean() < 12
    assert augment(inputs, subject, cycles=1).sd is None
    given = replace(inputs, sd=np.full(inputs.xyz.shape, 0.01))
    np.testing.assert_allclose(
        augment(given, subject, cycles=1).select(["RKnee"]).sd, 0.01, atol=1e-12
    )


def test_columns_and_flags(standing):
    estimated = np.zeros((len(standing.timeline), 22), bool)
    estimated[10:20, standing.names.index("RKnee")] = True
    estimated[:, standing.names.index("RSmallToe")] = True  # as with any detector without it
    out = augment(replace(standing, estimated=estimated), PERSON, cycles=2)
    assert out.names == (*skeleton("markers22").points, *NEW)
    lower = out.select(LOWER).estimated
    assert lower[10:20].all()
    assert lower.sum() == 350
    assert not out.select(UPPER).estimated.any()
    assert np.array_equal(out.xyz[:, :22][:, [0, 5]], standing.xyz[:, [0, 5]])


@pytest.mark.parametrize(
    ("lost", "kept", "blank"), [("LWrist", LOWER, UPPER), ("RBigToe", UPPER, LOWER)]
)
def test_one_half_alone_is_done(standing, lost, kept, blank):
    names = [n for n in standing.names if n != lost]
    half = standing.select(names)
    out = augment(half, PERSON, cycles=2)
    assert out.select(kept).present.all()
    assert not out.select(blank).present.any()
    absent = missing_inputs(half)
    assert lost in absent["upper" if kept is LOWER else "lower"]
    assert not absent["lower" if kept is LOWER else "upper"]


def test_a_child_and_a_giant_are_held_to_the_training_range(clip):
    inputs, truth, _ = clip("DJ1")
    assert within_training(Subject(1.70, 65))
    for subject in (Subject(1.10, 20), Subject(1.70, 140)):
        assert not within_training(subject)
        size = subject.height_m / 1.70
        out = augment(replace(inputs, xyz=inputs.xyz * size), subject, cycles=2)
        known = [n for n in NEW if n in truth.names]
        miss = distance_mm(out.select(known).xyz / size, truth.select(known).xyz)
        assert miss.mean() < 28  # 24 for the person himself


def test_what_cannot_be_augmented_is_said(standing):
    with pytest.raises(InputError, match="cycles"):
        augment(standing, PERSON, cycles=0)
    lab = replace(standing, names=tuple(f"lab_{n}" for n in standing.names))
    with pytest.raises(MissingMarkers, match="RKnee"):
        augment(lab, PERSON)
    never = without(without(standing, "Neck", slice(0, 150)), "RShoulder", slice(0, 150))
    never = without(without(never, "RHip", slice(150, 300)), "Hip", slice(150, 300))
    with pytest.raises(TooFewPoints):
        augment(never, PERSON)
    empty = Markers(Timeline.regular(0, 60.0), standing.names, np.empty((0, 22, 3)))
    with pytest.raises(MissingMarkers):
        augment(empty, PERSON)


def test_one_frame_is_enough(standing):
    one = Markers(Timeline.regular(1, 60.0), standing.names, standing.xyz[:1])
    out = augment(one, PERSON, cycles=3)
    settled = augment(standing, PERSON, cycles=3)
    assert distance_mm(out.xyz[0], settled.xyz[-1]).max() < 3.0


def test_a_time_stamp_that_is_wrong_fills_no_memory(standing, monkeypatch):
    slow = Timeline(standing.timeline.frame, 2.4 * np.arange(len(standing.timeline)))
    monkeypatch.setattr(sys.modules[augment.__module__], "_MOST_STEPS", 10_000)
    with pytest.raises(InvalidData, match="too long"):
        augment(replace(standing, timeline=slow), PERSON, cycles=1)


@pytest.mark.parametrize("pause_s", [3.0, 300.0, 1e9])
def test_behind_a_pause_a_clip_begins_anew(clip, pause_s):
    """As a file that is cut there does; and it takes no time."""
    inputs, _, subject = clip("squats1")
    frame, time, half = np.arange(300), np.arange(300) / 100, 150
    given = replace(inputs, timeline=Timeline(frame, time), xyz=inputs.xyz[:300], estimated=None)
    paused = replace(given, timeline=Timeline(frame, time + pause_s * (frame >= half)))
    whole = augment(paused, subject, cycles=2)
    np.testing.assert_array_equal(whole.timeline.time, paused.timeline.time)
    later = replace(
        given, timeline=Timeline(frame[half:], time[half:]), xyz=given.xyz[half:], estimated=None
    )
    alone, straight = (augment(one, subject, cycles=2) for one in (later, given))
    # What the networks remember of the pose before, and the noise of two passes: millimetres.
    assert np.nanmax(distance_mm(whole.xyz[half:], alone.xyz)) < 6.0
    assert np.nanmax(distance_mm(whole.xyz[:half], straight.xyz[:half])) < 6.0


def test_frames_a_minute_apart_are_done_one_by_one(standing):
    few = replace(
        standing,
        timeline=Timeline(np.arange(5), 60.0 * np.arange(5)),
        xyz=standing.xyz[:5],
        estimated=standing.estimated[:5],
    )
    settled = augment(standing, PERSON, cycles=2)
    assert distance_mm(augment(few, PERSON, cycles=2).xyz, settled.xyz[-1:]).max() < 5.0


@pytest.mark.parametrize("off_m", [6.0, 100.0, 1e6, 1e300])
def test_a_point_that_no_body_reaches_spoils_its_own_frame_alone(standing, off_m):
    xyz = standing.xyz.copy()
    xyz[20, standing.names.index("RHeel"), 1] = off_m
    out = augment(replace(standing, xyz=xyz), PERSON, cycles=1)
    lower = out.select(LOWER).present.all(axis=1)
    assert np.flatnonzero(~lower).tolist() == [20]
    assert out.select(UPPER).present.all()
    (note,) = out.notes
    assert note.endswith("were taken as missing: RHeel in frame 20.")
    plain = augment(standing, PERSON, cycles=1)
    assert distance_mm(out.xyz[21:], plain.xyz[21:]).max() < 5.0
