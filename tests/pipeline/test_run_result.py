"""What a run left, opened again in Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kinefit as kf
from kinefit.body.load import load_body
from kinefit.io.body_npz import write_motion
from kinefit.io.tables import write_angles_csv
from kinefit.pipeline.artifacts import save_markers
from kinefit.types import BodyMotion, JointAngles, Markers, Timeline

TIMELINE = Timeline.regular(3, 30.0, start_frame=5)
ANGLES = JointAngles(TIMELINE, ("knee_r_flex",), np.array([[1.0], [np.nan], [3.0]]))
MARKERS = Markers(TIMELINE, ("RHip", "LHip"), np.arange(18.0).reshape(3, 2, 3))
CAUTION = {"level": "caution", "what": "It is short.", "where": "", "meaning": "", "action": ""}


def motion() -> BodyMotion:
    body = load_body("anny")
    B, S = len(body.joint_names), len(body.shape.names)
    rotations = np.tile(np.eye(3), (3, B, 1, 1))
    return BodyMotion("anny", TIMELINE, body.joint_names, rotations, np.zeros((3, 3)),
                      np.zeros(S), body.shape.names)  # fmt: skip


def result(folder: Path, **stale: bool) -> Path:
    """A folder with the files of a run of walk.mp4; stale: the stages that are."""
    (folder / "joint_angles").mkdir(parents=True)
    (folder / ".kinefit").mkdir()
    write_angles_csv(folder / "joint_angles/walk_angles_all.csv", ANGLES)
    save_markers(folder / ".kinefit/final.npz", MARKERS)
    write_motion(folder / "walk_body.npz", motion())
    files = {"angles": "joint_angles/walk_angles_all.csv", "markers": ".kinefit/final.npz",
             "fit": "walk_body.npz"}  # fmt: skip
    stages = {
        f"walk.{stage}": {"files": {file: "0" * 64}, "stale": stale.get(stage, False)}
        for stage, file in files.items()
    }
    told: dict[str, Any] = {"verdict": "caution", "findings": [CAUTION], "stages": stages}
    told["findings"].append(CAUTION | {"level": "information", "what": "It was put right."})
    (folder / "run.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize("kind", [str, Path])
def test_the_numbers_of_a_folder(tmp_path: Path, kind: Any) -> None:
    found = kf.open(kind(result(tmp_path / "out")))
    assert isinstance(found, kf.RunResult)
    assert found.verdict == "caution"
    assert found.warnings == ["It is short."]
    assert [finding.level for finding in found.findings] == ["caution", "information"]
    np.testing.assert_array_equal(found.angles.degrees, ANGLES.degrees)
    np.testing.assert_array_equal(found.markers.xyz, MARKERS.xyz)
    assert found.motion.timeline == TIMELINE
    assert found.path("_body.npz") == tmp_path / "out" / "walk_body.npz"
    assert "run.json" in dict(found.files)


def test_tables(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    found = kf.open(result(tmp_path / "out"))
    angles, markers = found.angles.to_dataframe(), found.markers.to_dataframe()
    assert list(angles.columns) == ["time_s", "knee_r_flex_deg", "knee_r_flex_gimbal"]
    assert list(angles.index) == [5, 6, 7]
    assert angles["knee_r_flex_deg"].isna().tolist() == [False, True, False]
    assert markers["LHip_z_m"].tolist() == [5.0, 11.0, 17.0]
    assert not markers["RHip_estimated"].any()


def test_numbers_of_an_earlier_fit_are_not_given(tmp_path: Path) -> None:
    found = kf.open(result(tmp_path / "out", angles=True))
    with pytest.raises(kf.KinefitError, match=r"walk_angles_all.csv is of an earlier fit"):
        _ = found.angles
    assert found.markers.names == MARKERS.names
    assert "(of an earlier fit)" in dict(found.files)["joint_angles/walk_angles_all.csv"]


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    folder = result(tmp_path / "out")
    with pytest.raises(kf.KinefitError, match=r"no file whose name ends in .bvh"):
        kf.open(folder).path(".bvh")
    with pytest.raises(kf.KinefitError, match="no result of kinefit"):
        kf.open(tmp_path)


@pytest.mark.parametrize("stages", [[], {"a": {}}, {"a": {"files": 3, "stale": False}}, None])
def test_a_damaged_run_json_is_an_error_with_a_reason(tmp_path: Path, stages: Any) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"stages": stages}))
    with pytest.raises(kf.KinefitError, match=r"run.json"):
        kf.open(tmp_path)


def test_a_name_that_kinefit_does_not_have() -> None:
    assert {"run", "open", "RunResult", "KinefitError"} <= set(dir(kf))
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        _ = kf.analyse
