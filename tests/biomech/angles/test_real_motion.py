"""Real motions: OpenCap's recordings with the angles that OpenSim found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.angles import joint_angles, missing_landmarks
from kinefit.biomech.angles.compare import DofError, evaluate_file
from kinefit.io.tables import write_angles_csv
from kinefit.io.trc import read_trc

TRIALS = ("STS1", "squats1", "walking1", "DJ1")
# Degrees SD about the mean: what the project promises for exact model markers.
LIMITS = {
    "pelvis_tilt": 0.5, "pelvis_list": 0.5, "pelvis_rotation": 0.5,
    "hip_flexion": 0.2, "hip_adduction": 0.5, "hip_rotation": 0.5,
    "knee_angle": 1.0, "ankle_angle": 3.0,
    # Not promised; measured 1.7, 0.2, 0.1, 0.1 at most, kept within twice that.
    "subtalar_angle": 1.6, "lumbar_extension": 0.4, "lumbar_bending": 0.2, "lumbar_rotation": 0.2,
}  # fmt: skip


def errors(folder: Path, trial: str) -> dict[str, DofError]:
    return evaluate_file(folder / f"{trial}_model_markers.trc", folder / f"{trial}.mot")


# Degrees: what this subject's marker places leave of the offsets between the frames of the
# landmarks and of the bodies; 3.8, 2.8, 7.5, 3.1, 2.3 and 5.5 were measured; without the
# table of the unscaled model the pelvis would be off by 8.5.
OFFSETS = {
    "pelvis_tilt": 5, "hip_flexion": 5, "hip_rotation": 10, "knee_angle": 5,
    "lumbar_extension": 5, "arm_flex": 8,
}  # fmt: skip


@pytest.mark.parametrize("trial", TRIALS)
def test_model_markers_give_opensims_angles(opencap: Path, trial: str) -> None:
    found = errors(opencap, trial)
    for name, error in found.items():
        limit = LIMITS.get(name.removesuffix("_r").removesuffix("_l"))
        if limit is not None:
            assert error.sd is not None
            assert error.sd <= limit, name
        offset = OFFSETS.get(name.removesuffix("_r").removesuffix("_l"))
        if offset is not None:
            assert abs(error.bias) < offset, name
    for name in ("hip_flexion_r", "hip_flexion_l", "knee_angle_r", "knee_angle_l"):
        assert found[name].r is not None
        assert found[name].r >= 0.99, name
    # Both sides have the reference's sign in everything that moves by more than a degree or two.
    for name in ("hip_adduction", "hip_rotation", "ankle_angle", "subtalar_angle", "arm_flex"):
        for side in "rl":
            assert found[f"{name}_{side}"].r > 0.95, (name, side)


def test_the_wrong_side_would_be_noticed(opencap: Path) -> None:
    """Negative control: the right hip against the left one's reference."""
    markers = read_trc(opencap / "walking1_model_markers.trc")
    right, left = (joint_angles(markers).column(f"hip_{s}_flex") for s in "rl")
    assert np.corrcoef(right, left)[0, 1] < 0


def test_walking_looks_like_walking(opencap: Path) -> None:
    markers = read_trc(opencap / "walking1_model_markers.trc")
    angles = joint_angles(markers)
    hip = (markers.xyz[-1] - markers.xyz[0])[markers.names.index("r.ASIS_study")]
    facing = np.cos(np.radians(angles.column("pelvis_rot")))
    assert hip[0] * np.median(facing) > 0.5  # walks where it faces, along the lab's X
    for side in "rl":
        # Bands of the literature for level walking (hip 30-55, knee 45-75, ankle 18-40).
        for name, low, high in (("hip", 30, 55), ("knee", 45, 75), ("ankle", 18, 40)):
            assert low < np.ptp(angles.column(f"{name}_{side}_flex")) < high, (name, side)
        knee = angles.column(f"knee_{side}_flex")
        assert knee.min() > -10  # knees bend backwards only
        assert knee.max() > 45


def test_squats_bend_hips_and_knees_the_right_way(opencap: Path) -> None:
    angles = joint_angles(read_trc(opencap / "squats1_model_markers.trc"))
    for side in "rl":
        knee, hip = (angles.column(f"{name}_{side}_flex") for name in ("knee", "hip"))
        assert knee.max() > 80
        assert np.corrcoef(knee, hip)[0, 1] > 0.9
        assert angles.column(f"ankle_{side}_flex")[knee.argmax()] > 15  # dorsiflexed at the bottom
    assert not angles.gimbal[:, [n.endswith("_flex") for n in angles.names]].any()


def test_measured_markers_give_trunk_and_arms(opencap: Path) -> None:
    """Without the medial knee and ankle there are no leg angles, and the rest still works."""
    lacking = missing_landmarks(read_trc(opencap / "squats1.trc"))
    assert set(lacking) == {f"{j}_{s}" for j in ("hip", "knee", "ankle") for s in "rl"}
    found = evaluate_file(opencap / "squats1.trc", opencap / "squats1.mot")
    # Skin and shoulder girdle move against the bones: measured 1.8, 1.3, 2.1 and 2.8 degrees.
    for name, limit in (
        ("pelvis_tilt", 3), ("lumbar_extension", 3), ("arm_flex_r", 4), ("elbow_flex_r", 5),
    ):  # fmt: skip
        assert found[name].sd is not None
        assert found[name].sd < limit
        assert found[name].r > 0.98
    assert missing_landmarks(read_trc(opencap / "static1.trc")) == {}


def test_standing_upright_reads_near_zero(opencap: Path) -> None:
    angles = joint_angles(read_trc(opencap / "static1.trc"))
    for name in angles.names:
        if name.endswith("_flex") and not name.startswith("elbow"):
            assert abs(np.median(angles.column(name))) < 15, name


def test_the_angle_table_compares_like_its_markers(opencap: Path, tmp_path: Path) -> None:
    trc, mot = opencap / "walking1_model_markers.trc", opencap / "walking1.mot"
    write_angles_csv(tmp_path / "angles.csv", joint_angles(read_trc(trc)))
    from_table, from_markers = evaluate_file(tmp_path / "angles.csv", mot), evaluate_file(trc, mot)
    assert list(from_table) == list(from_markers)
    for name, error in from_markers.items():
        # The table has four decimals.
        assert from_table[name].rmse == pytest.approx(error.rmse, abs=1e-3)


def test_opensims_own_example_has_the_landmarks(opencap: Path) -> None:
    walk = opencap.parents[1] / "opensim_walk"
    static = read_trc(walk / "static_walk_1.trc")
    assert set(missing_landmarks(static)) == {"elbow_r", "elbow_l"}
    knees = joint_angles(static)
    for side in "rl":
        assert abs(np.median(knees.column(f"knee_{side}_flex"))) < 10
