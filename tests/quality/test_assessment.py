"""Numbers about a run against motions whose faults are known, and the words made from them."""

import json
from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.angles import joint_angles
from kinefit.io.trc import read_trc
from kinefit.quality.assessment import Quality, assess, frame_pairs, jumps
from kinefit.quality.verdict import frame_text, marker_words, verdict, warnings
from kinefit.types import (
    InvalidData,
    JointAngles,
    Keypoints2D,
    Markers,
    PoseTrack,
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


def track(xy: np.ndarray | None = None, score: float = 0.9, damaged: tuple[int, ...] = ()):
    xy = np.full((FRAMES, len(NAMES), 2), 5.0) if xy is None else xy
    image = Keypoints2D(TIMELINE, NAMES, xy, np.full(xy.shape[:2], score), (100, 200))
    return PoseTrack(image, None, damaged, "test")


def test_a_clean_motion_has_no_warnings():
    quality = quality_of(standing(), track=track())
    assert warnings(quality) == []
    assert verdict(quality, warnings(quality)) == "good"
    assert max(s.cv_pct for s in quality.segments) < 1e-9
    assert quality.points_found.tolist() == [len(NAMES)] * FRAMES


@pytest.mark.parametrize("frames", [0, FRAMES])
def test_no_data_is_never_a_success(frames):
    markers = Markers(
        Timeline.regular(frames, 60.0), NAMES, np.full((frames, len(NAMES), 3), np.nan)
    )
    quality = assess(markers)
    assert verdict(quality, []) == "unusable"
    assert len(warnings(quality)) == 1
    json.dumps(quality.to_json(), allow_nan=False)


def test_a_nearly_empty_motion_is_unusable():
    xyz = standing()
    xyz[FRAMES // 20 :] = np.nan
    assert verdict(quality_of(xyz), []) == "unusable"


def test_missing_markers_are_counted_and_named():
    xyz = standing()
    xyz[30:57, column("RWrist")] = np.nan  # 27 of 120: 22.5 %
    quality = quality_of(xyz)
    wrist = next(m for m in quality.final if m.name == "RWrist")
    assert wrist.present_pct == pytest.approx(77.5)
    assert wrist.longest_gap_s == pytest.approx(27 / 60)
    assert "The right wrist is missing in 22 % of frames." in warnings(quality)
    assert verdict(quality, warnings(quality)) == "care"


def test_estimated_positions_are_said_and_do_not_vouch_for_a_bone():
    flags = np.zeros((FRAMES, len(NAMES)), bool)
    flags[:, column("LWrist")] = True
    quality = assess(Markers(TIMELINE, NAMES, standing(), flags))
    assert any("left wrist is estimated" in text for text in warnings(quality))
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
    text = next(t for t in warnings(quality) if t.startswith("Bone lengths"))
    assert "right thigh 9 %" in text
    assert "left thigh" not in text


def test_unequal_sides_are_said():
    xyz = standing()
    xyz[:, column("LKnee"), 1] += 0.06  # thigh 0.39 m against 0.45 m: 14 %
    text = " ".join(warnings(quality_of(xyz)))
    assert "right thigh by 14 % (landmarks)" in text


def test_a_jump_is_found_at_its_frames_and_fast_motion_is_not_one():
    xyz = standing()
    # A hand that swings at up to 7 m/s is fast, and no jump.
    xyz[:, column("RWrist"), 0] += 0.7 * np.sin(10 * TIMELINE.time)
    assert not jumps(Markers(TIMELINE, NAMES, xyz)).any()
    xyz[40, column("LAnkle")] += (0.2, 0, 0)
    found = jumps(Markers(TIMELINE, NAMES, xyz))
    assert np.argwhere(found).tolist() == [[40, column("LAnkle")], [41, column("LAnkle")]]
    # Frames are called by their numbers in the video, which begin at 10 here.
    assert "Points jump as no body can in frames 50-51 (left ankle)." in warnings(quality_of(xyz))


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
    quality = quality_of(standing(), swaps={"legs": legs, "arms": np.zeros(FRAMES, bool)})
    assert warnings(quality) == [
        "Left and right legs were swapped by the detector in frames 41-74."
    ]
    assert warnings(quality, swaps_repaired=True) == [
        "Left and right legs were swapped by the detector in frames 41-74; put right again."
    ]


def test_lost_damaged_and_dim_frames():
    xy = np.full((FRAMES, len(NAMES), 2), 5.0)
    xy[[3, 4, 7]] = np.nan
    quality = quality_of(standing(), track=track(xy, damaged=(17,)))  # frame 17 is sample 7
    text = " ".join(warnings(quality))
    assert "Nobody was found in frames 13-14:" in text
    assert "damaged in frame 17:" in text
    assert quality.points_found[3] == 0
    assert np.isnan(quality.visibility[3])
    assert "hardly visible" in " ".join(warnings(quality_of(standing(), track=track(score=0.3))))


def knees(degrees: np.ndarray) -> JointAngles:
    return JointAngles(TIMELINE, ("knee_r_flex",), degrees[:, None])


def test_knees_the_wrong_way():
    flexion = np.full(FRAMES, 20.0)
    flexion[5:8] = -40.0
    quality = quality_of(standing(), angles=knees(flexion))
    assert any("right knee bends backwards" in t and "15-17" in t for t in warnings(quality))
    flexion[5:8] = -8.0  # hypermobile, not wrong
    assert warnings(quality_of(standing(), angles=knees(flexion))) == []


def test_feet_under_the_floor_and_sliding():
    xyz = standing()
    feet = [column(n) for n in ("RHeel", "RBigToe")]
    xyz[:30, feet, 1] -= 0.05  # 3 cm under the floor for a quarter of the time
    xyz[:, [column("LHeel"), column("LBigToe")], 0] += 0.3 * TIMELINE.time[:, None]
    quality = quality_of(xyz)
    right, left = quality.feet
    assert (right.below_pct, left.below_pct) == (25.0, 0.0)
    assert left.skate_pct == 100.0
    assert left.skate_m_s == pytest.approx(0.3)
    assert right.skate_pct < 5  # only where it comes up through the floor
    text = " ".join(warnings(quality))
    assert "The right foot is below the floor in 25 % of frames." in text
    assert "The left foot slides while on the floor, at 30 cm/s" in text


def test_walking_is_recognised_judged_and_goes_forward():
    if not OPENCAP.is_dir():
        pytest.skip("needs shared/data/opencap")
    markers = read_trc(OPENCAP / "walking1_model_markers.trc")
    angles = joint_angles(markers)
    quality = assess(markers, angles=angles)
    assert quality.gait is not None
    assert 1.0 < quality.gait.speed_m_s < 1.6  # comfortable walking
    assert quality.gait.forward > 0.98
    assert warnings(quality) == []
    # The same walk with right and left exchanged goes backwards.
    swapped = markers.names
    for a, b in (("r.", "L."), ("r_", "L_"), ("RHJC", "LHJC")):
        swapped = tuple(
            b + n[len(a) :] if n.startswith(a) else a + n[len(b) :] if n.startswith(b) else n
            for n in swapped
        )
    exchanged = Markers(markers.timeline, swapped, markers.xyz)
    assert any("goes backwards" in t for t in warnings(assess(exchanged, angles=angles)))
    # Stiff knees are noticed.
    stiff = angles.degrees.copy()
    knee = angles.names.index("knee_r_flex")
    stiff[:, knee] *= 0.4
    lame = JointAngles(angles.timeline, angles.names, stiff)
    assert any("right knee flexes over" in t for t in warnings(assess(markers, angles=lame)))


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
    (text,) = warnings(quality)
    assert "right hip abd" in text
    assert "shoulder" not in text


def test_parts_of_another_length_are_refused():
    with pytest.raises(InvalidData, match=r"swaps\[legs\] has 3 frames"):
        quality_of(standing(), swaps={"legs": np.zeros(3, bool)})


def test_json_holds_the_numbers_without_nan():
    xyz = standing()
    xyz[:, column("RWrist")] = np.nan
    quality = quality_of(xyz, track=track(), swaps={"legs": np.arange(FRAMES) < 3})
    stored = json.loads(json.dumps(quality.to_json(), allow_nan=False))
    assert stored["swaps"]["legs"] == [[10, 12]]
    assert stored["frames"]["frame"][:2] == [10, 11]
    assert stored["final_markers"][column("RWrist")]["present_pct"] == 0
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
