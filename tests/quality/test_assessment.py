"""Numbers about a run against motions whose faults are known, and the words made from them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.angles import joint_angles
from kinefit.geometry.projection import intrinsics, project
from kinefit.io.trc import read_trc
from kinefit.quality.assessment import assess, jumps
from kinefit.quality.quantities import Quality, View, frame_pairs
from kinefit.quality.verdict import find, frame_text, marker_words, verdict
from kinefit.types import (
    Camera,
    CameraRig,
    Finding,
    InvalidData,
    JointAngles,
    Keypoints2D,
    Markers,
    Timeline,
)

OPENCAP = Path(__file__).parents[2].parent / "shared" / "data" / "opencap" / "Subject4"
FRAMES = 120
TIMELINE = Timeline.regular(FRAMES, 60.0, start_frame=10)

# A standing person facing +x, metres; the right is at +z.
BODY = {
    "Neck": (0, 1.45, 0), "RShoulder": (0, 1.45, 0.18), "LShoulder": (0, 1.45, -0.18),
    "RElbow": (0, 1.15, 0.2), "LElbow": (0, 1.15, -0.2),
    "RWrist": (0, 0.9, 0.2), "LWrist": (0, 0.9, -0.2),
    "Hip": (0, 0.95, 0), "RHip": (0, 0.95, 0.1), "LHip": (0, 0.95, -0.1),
    "RKnee": (0, 0.5, 0.1), "LKnee": (0, 0.5, -0.1),
    "RAnkle": (0, 0.08, 0.1), "LAnkle": (0, 0.08, -0.1),
    "RHeel": (-0.05, 0.02, 0.1), "LHeel": (-0.05, 0.02, -0.1),
    "RBigToe": (0.15, 0.02, 0.1), "LBigToe": (0.15, 0.02, -0.1),
}  # fmt: skip
NAMES = tuple(BODY)


def standing() -> np.ndarray:
    return np.repeat(np.array(list(BODY.values()), float)[None], FRAMES, axis=0)


def column(name: str) -> int:
    return NAMES.index(name)


def quality_of(xyz: np.ndarray, **parts: object) -> Quality:
    return assess(Markers(TIMELINE, NAMES, xyz), **parts)  # type: ignore[arg-type]


def camera(name="cam", metres=4.0) -> Camera:
    """Upright, at hip height, looking along -z at the origin from `metres` away."""
    size = (600, 800)
    R = np.diag([1.0, -1.0, -1.0])
    return Camera(name, size, intrinsics(700.0, size), R, -R @ np.array([0, 0.9, metres]))


def view(xyz: np.ndarray, score: float | np.ndarray = 0.9, **more: object) -> View:
    """What a camera sees of the motion, NaN where it is."""
    scores = np.broadcast_to(score, xyz.shape[:2])
    here = camera(str(more.pop("name", "cam")))
    image = Keypoints2D(TIMELINE, NAMES, project(here, xyz), scores, here.size)
    return View(here.name, image, **more)  # type: ignore[arg-type]


def texts(quality: Quality, level: str | None = None) -> str:
    found = find(quality)
    # Whatever limits the use of the numbers says what it means for them, and what to do.
    assert all(one.meaning and one.action for one in found if one.level != "information")
    return " ".join(str(one) for one in found if level in (None, one.level))


def test_a_clean_motion_is_good():
    quality = quality_of(standing(), views=[view(standing())], rig=CameraRig((camera(),)))
    assert find(quality) == []
    assert verdict([]) == "good"
    assert max(s.cv_pct for s in quality.segments) < 1e-9
    (seen,) = quality.views
    assert (seen.seen_pct, seen.hidden_pct, seen.outside_pct) == (100.0, {}, {})
    assert seen.off_px < 1e-9


def test_the_verdict_is_the_highest_level():
    information, caution, refusal = (
        Finding(level, "x.") for level in ("information", "caution", "refusal")
    )
    assert verdict([]) == verdict([information]) == "good"
    assert verdict([information, caution, information]) == "caution"
    assert verdict([caution, refusal]) == "unusable"
    with pytest.raises(InvalidData):
        Finding("doubt", "x.")  # type: ignore[arg-type]
    full = Finding("caution", "What.", "Where.", "Meaning.", "Action.")
    assert str(full) == "What. Where. Meaning. Action."
    assert Finding.from_json(json.loads(json.dumps(full.to_json()))) == full


@pytest.mark.parametrize("frames", [0, FRAMES])
def test_no_data_is_never_a_success(frames):
    markers = Markers(
        Timeline.regular(frames, 60.0), NAMES, np.full((frames, len(NAMES), 3), np.nan)
    )
    quality = assess(markers)
    (only,) = find(quality)
    assert only.level == "refusal"
    json.dumps(quality.to_json(), allow_nan=False)


def test_a_nearly_empty_motion_is_unusable():
    xyz = standing()
    xyz[FRAMES // 20 :] = np.nan
    assert verdict(find(quality_of(xyz))) == "unusable"


@pytest.mark.parametrize(("count", "wanted"), [(10, "unusable"), (30, "caution"), (60, "good")])
def test_short_recordings_are_cautioned_and_very_short_ones_refused(count, wanted):
    markers = Markers(Timeline.regular(count, 60.0), NAMES, standing()[:count])
    assert verdict(find(assess(markers))) == wanted


def test_missing_markers_are_counted_and_named():
    xyz = standing()
    xyz[30:57, column("RWrist")] = np.nan  # 27 of 120: 22.5 %
    quality = quality_of(xyz)
    wrist = next(m for m in quality.final if m.name == "RWrist")
    assert wrist.present_pct == pytest.approx(77.5)
    assert wrist.longest_gap_s == pytest.approx(27 / 60)
    assert "Markers are missing in 22 % of the frames: right wrist." in texts(quality, "caution")


def test_frames_without_the_person_are_said_once_and_leave_the_rest_good():
    xyz = standing()
    xyz[:30] = np.nan
    quality = quality_of(xyz, views=[view(xyz)])
    (only,) = find(quality)
    assert only.level == "information"
    assert only.where == "Frames 10-39."
    # The same with positions where nobody was seen: those are guesses.
    bridged = quality_of(standing(), views=[view(xyz)])
    assert [one.level for one in find(bridged)] == ["caution"]
    assert "bridged" in texts(bridged)


def test_estimated_positions_are_said_and_do_not_vouch_for_a_bone():
    flags = np.zeros((FRAMES, len(NAMES)), bool)
    flags[:, column("LWrist")] = True
    quality = assess(Markers(TIMELINE, NAMES, standing(), flags))
    assert "not measured, in 100 % of the frames: left wrist." in texts(quality, "caution")
    forearm = next(s for s in quality.segments if s.name == "left forearm")
    assert forearm.frames == 0
    assert np.isnan(forearm.cv_pct)


def test_bone_length_variation_is_standard_deviation_over_mean():
    xyz = standing()
    # The knee moves along the thigh: +-0.0405 m of 0.45 m is a coefficient of exactly 9 %.
    xyz[:, column("RKnee"), 1] += 0.0405 * np.where(np.arange(FRAMES) % 2, 1, -1)
    quality = quality_of(xyz)
    thigh = next(s for s in quality.segments if s.name == "right thigh")
    assert thigh.cv_pct == pytest.approx(9.0, abs=1e-9)
    assert thigh.mean_m == pytest.approx(0.45)
    # The shank of 0.42 m changes by as many millimetres.
    assert "Segment lengths change by up to 10 % (right shank). Also: right thigh." in texts(
        quality
    )
    assert "uncertain by about 40 mm" in texts(quality, "caution")
    assert "left thigh" not in texts(quality)


def test_shoulders_that_come_together_are_no_fault():
    xyz = standing()
    xyz[:, column("RShoulder"), 2] -= 0.05 * np.sin(TIMELINE.time) ** 2
    quality = quality_of(xyz)
    assert next(s for s in quality.segments if s.name == "shoulders").cv_pct > 4
    assert find(quality) == []


def test_unequal_sides_are_said():
    xyz = standing()
    xyz[:, column("LKnee"), 1] += 0.06  # thigh 0.39 m against 0.45 m: 14 %
    assert "right thigh by 14 %" in texts(quality_of(xyz), "caution")


def test_a_jump_is_found_at_its_frames_and_fast_motion_is_not_one():
    xyz = standing()
    # A hand that swings at up to 7 m/s is fast, and no jump.
    xyz[:, column("RWrist"), 0] += 0.7 * np.sin(10 * TIMELINE.time)
    assert not jumps(Markers(TIMELINE, NAMES, xyz)).any()
    xyz[40, column("LAnkle")] += (0.2, 0, 0)
    found = jumps(Markers(TIMELINE, NAMES, xyz))
    assert np.argwhere(found).tolist() == [[40, column("LAnkle")], [41, column("LAnkle")]]
    # Frames are called by their numbers in the video, which begin at 10 here.
    (jump,) = (one for one in find(quality_of(xyz)) if "jumps" in one.what)
    assert jump.where == "Frames 50-51 (left ankle)."
    assert jump.level == "information"  # brief


@pytest.mark.parametrize("rate", [30.0, 60.0, 120.0, 240.0])
def test_findings_do_not_depend_on_the_frame_rate(rate):
    """A second of standing, a jump aside by 0.3 m within 10 ms, feet that slide, a lost second."""
    timeline = Timeline.regular(int(4 * rate), rate)
    at = np.interp(timeline.time, np.arange(FRAMES) / 30, np.arange(FRAMES)).round().astype(int)
    xyz = standing()[np.minimum(at, FRAMES - 1)]
    xyz[timeline.time > 1.0, column("RWrist"), 0] += 0.3
    xyz[:, [column("LHeel"), column("LBigToe")], 0] += 0.3 * timeline.time[:, None]
    xyz[timeline.time > 3.0] = np.nan
    found = [(one.level, str(one)) for one in find(assess(Markers(timeline, NAMES, xyz)))]
    for (level, text), (wanted, words) in zip(
        found,
        [
            ("caution", "Segment lengths change by up to"),
            ("caution", "right forearm by"),
            ("caution", "The left foot slides at 30 cm/s"),
            ("information", "There are implausible jumps. Frame"),
            ("information", "The person was not found"),
        ],
        strict=True,
    ):
        assert level == wanted
        assert words in text


def test_jumps_are_rare_in_measured_motion():
    if not OPENCAP.is_dir():
        pytest.skip("needs shared/data/opencap")
    for name in ("walking1", "DJ1", "squats1", "STS1"):
        found = jumps(read_trc(OPENCAP / f"{name}.trc"))
        # Real markers flicker now and then (walking1 has steps of 59 mm within 10 ms).
        assert found.mean() < 5e-4


def test_swaps_are_reported_with_their_frames():
    legs = np.zeros(FRAMES, bool)
    legs[31:65] = True
    swaps = {"legs": legs, "arms": np.zeros(FRAMES, bool)}
    quality = quality_of(standing(), views=[view(standing(), swaps=swaps)])
    (one,) = find(quality)
    assert (one.level, one.where) == ("information", "Frames 41-74.")
    assert one.what == "The detector took the left and right legs for each other."
    (left,) = find(quality, swaps_repaired=False)
    assert left.level == "caution"
    both = [view(standing(), name="a"), view(standing(), swaps=swaps, name="b")]
    assert "each other in b. Frames 41-74." in texts(quality_of(standing(), views=both))


def test_lost_damaged_and_dim_frames():
    seen = standing()
    seen[[3, 4, 7]] = np.nan
    damaged = np.arange(FRAMES) == 7
    quality = quality_of(standing(), views=[view(seen, damaged=damaged)])
    assert "bridged. Frames 13-14." in texts(quality, "information")
    assert "The video is damaged. Frame 17." in texts(quality, "information")
    assert np.isnan(quality.visibility[3])
    dark = quality_of(standing(), views=[view(standing(), score=0.3)])
    assert verdict(find(dark)) == "unusable"
    assert "hardly visible" in texts(dark)


def test_two_cameras_that_see_the_person_are_enough():
    lost = standing()
    lost[40:80] = np.nan
    fine = [view(standing(), name=name) for name in "ab"]
    assert find(quality_of(standing(), views=[*fine, view(lost, name="c")])) == []
    quality = quality_of(standing(), views=[fine[0], view(lost, name="c")])
    assert "Fewer than two cameras saw the person" in texts(quality, "caution")


def test_a_body_beside_the_person_is_noticed_in_metres():
    aside = standing()
    aside[30:90, :, 0] += 0.12
    quality = quality_of(aside, views=[view(standing())], rig=CameraRig((camera(),)))
    assert np.flatnonzero(quality.flags["beside the person"]).tolist() == list(range(30, 90))
    assert "Frames 40-99." in texts(quality, "caution")
    aside[:, :, 0] += 0.12
    other = quality_of(aside, views=[view(standing())], rig=CameraRig((camera(),)))
    # Along the optical axis all is as far as the person; at the picture's edge a little more.
    assert other.views[0].off_cm == pytest.approx(18, abs=7)
    assert verdict(find(other)) == "unusable"


def test_joints_outside_the_picture_and_hidden_ones():
    low = standing() - np.array([0, 1.6, 0])
    quality = quality_of(standing(), views=[view(low)])
    assert "outside the picture in 100 % of the frames: " in texts(quality, "caution")
    assert "right ankle" in texts(quality)
    score = np.full(len(NAMES), 0.9)
    score[column("LElbow")] = 0.2
    quality = quality_of(standing(), views=[view(standing(), score)])
    assert "hidden from the camera in 100 % of the frames: left elbow." in texts(quality)
    assert verdict(find(quality)) == "good"
    score[column("LKnee")] = 0.2
    assert verdict(find(quality_of(standing(), views=[view(standing(), score)]))) == "caution"


def test_a_person_upside_down_is_refused_and_one_who_lies_is_not():
    turned = standing() * [1, -1, 1] + [0, 1.7, 0]
    assert verdict(find(quality_of(turned))) == "unusable"
    lying = standing()[..., [1, 0, 2]] * [1, 0.1, 1] + [0, 0.1, 0]
    (only,) = find(quality_of(lying))
    assert only.level == "caution"


def knees(degrees: np.ndarray) -> JointAngles:
    return JointAngles(TIMELINE, ("knee_r_flex",), degrees[:, None])


def test_knees_the_wrong_way():
    flexion = np.full(FRAMES, 20.0)
    flexion[5:8] = -40.0
    quality = quality_of(standing(), angles=knees(flexion))
    assert "right knee bends backwards by more than 15°. Frames 15-17." in texts(quality)
    flexion[5:8] = -8.0  # hypermobile, not wrong
    assert find(quality_of(standing(), angles=knees(flexion))) == []


def test_feet_under_the_floor_and_sliding():
    xyz = standing()
    feet = [column(n) for n in ("RHeel", "RBigToe")]
    xyz[:30, feet, 1] -= 0.05  # 3 cm under the floor for a quarter of the time
    xyz[:, [column("LHeel"), column("LBigToe")], 0] += 0.3 * TIMELINE.time[:, None]
    quality = quality_of(xyz)
    right, left = quality.feet
    assert (right.below_pct, left.below_pct) == (25.0, 0.0)
    assert left.slide_pct == 100.0
    assert left.slide_m_s == pytest.approx(0.3)
    assert right.slide_pct < 5  # only where it comes up through the floor
    text = texts(quality, "caution")
    assert "The right foot goes more than 2 cm below the floor in up to 25 % of the frames." in text
    assert "The left foot slides at 30 cm/s while standing." in text


def test_walking_is_recognised_judged_and_goes_forward():
    if not OPENCAP.is_dir():
        pytest.skip("needs shared/data/opencap")
    markers = read_trc(OPENCAP / "walking1_model_markers.trc")
    angles = joint_angles(markers)
    quality = assess(markers, angles=angles)
    assert quality.gait is not None
    assert 1.0 < quality.gait.speed_m_s < 1.6  # comfortable walking
    assert quality.gait.forward > 0.98
    assert find(quality) == []
    # The same walk with right and left exchanged goes backwards.
    swapped = markers.names
    for a, b in (("r.", "L."), ("r_", "L_"), ("RHJC", "LHJC")):
        swapped = tuple(
            b + n[len(a) :] if n.startswith(a) else a + n[len(b) :] if n.startswith(b) else n
            for n in swapped
        )
    exchanged = Markers(markers.timeline, swapped, markers.xyz)
    assert "walks backwards" in texts(assess(exchanged, angles=angles), "caution")
    # Stiff knees are noticed.
    stiff = angles.degrees.copy()
    knee = angles.names.index("knee_r_flex")
    stiff[:, knee] *= 0.4
    lame = JointAngles(angles.timeline, angles.names, stiff)
    assert "unusual for walking: knee right 2" in texts(assess(markers, angles=lame), "caution")


def test_a_range_is_judged_as_it_is_shown():
    if not OPENCAP.is_dir():
        pytest.skip("needs shared/data/opencap")
    markers = read_trc(OPENCAP / "walking1_model_markers.trc")
    quality = assess(markers, angles=joint_angles(markers))
    for above, said in ((0.4, 0), (0.6, 1)):  # 75.4 degrees are shown as 75, which is usual
        ranges = {**quality.gait.ranges, "knee_r_flex": 75 + above}
        odd = replace(quality, gait=replace(quality.gait, ranges=ranges))
        assert len(find(odd)) == said


@pytest.mark.parametrize("name", ["squats1", "STS1", "DJ1"])
def test_other_movements_are_not_walking(name):
    if not OPENCAP.is_dir():
        pytest.skip("needs shared/data/opencap")
    markers = read_trc(OPENCAP / f"{name}_model_markers.trc")
    assert assess(markers, angles=joint_angles(markers)).gait is None


def test_gimbal_shares_are_reported_except_for_a_hanging_arm():
    names = ("hip_r_abd", "shoulder_r_plane")
    angles = JointAngles(
        TIMELINE, names, np.zeros((FRAMES, 2)), np.ones((FRAMES, 2), bool), np.ones((FRAMES, 2))
    )
    quality = quality_of(standing(), angles=angles)
    assert [a.gimbal_pct for a in quality.angles] == [100.0, 100.0]
    (only,) = find(quality)
    assert only.level == "information"
    assert "right hip abd" in only.what
    assert "shoulder" not in only.what


def test_parts_of_another_length_are_refused():
    with pytest.raises(InvalidData, match="initial has 3 frames"):
        quality_of(standing(), initial=Markers(Timeline.regular(3, 60.0), NAMES, standing()[:3]))


def test_json_holds_the_numbers_without_nan():
    xyz = standing()
    xyz[:, column("RWrist")] = np.nan
    quality = quality_of(xyz, views=[view(xyz, swaps={"legs": np.arange(FRAMES) < 3})])
    stored = json.loads(json.dumps(quality.to_json(), allow_nan=False))
    assert stored["swaps"]["legs"] == [[10, 12]]
    assert stored["frames"]["frame"][:2] == [10, 11]
    assert stored["final"][column("RWrist")]["present_pct"] == 0
    assert stored["segments"][0]["cv_pct"] == pytest.approx(0, abs=1e-4)


def test_frame_text():
    frame = np.arange(40, 60)
    flags = np.zeros(20, bool)
    flags[[1, 2, 3, 9]] = True
    assert frame_text(flags, frame) == "frames 41-43, 49"
    assert frame_text(np.arange(20) == 9, frame) == "frame 49"
    assert (
        frame_text(np.arange(20) % 2 == 0, frame, most=2) == "frames 40, 42 and 8 further stretches"
    )
    assert frame_pairs(np.ones(20, bool), frame) == [[40, 59]]


def test_marker_words():
    assert marker_words("LBigToe") == "left big toe"
    assert marker_words("Neck") == "neck"
    assert marker_words("r.ASIS_study") == "r.ASIS_study"
