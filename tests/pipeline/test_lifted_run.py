"""A run of real video with a network for depth: what it uses, says, and does not say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kinefit.api import process
from kinefit.biomech.angles.intervals import calibrated_sd, kind_of
from kinefit.io.observations import load_observations
from kinefit.io.tables import read_angles_csv
from kinefit.lift.inputs import LIMBS
from kinefit.pipeline.config import run_config
from kinefit.types import InputError

OPTIONS = {"height": 1.68, "mass": 70.0, "overlay": False, "export": "", "camera_pof": True,
           "quality": "fast"}  # fmt: skip


@pytest.fixture(scope="module")
def lifted(demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lifted") / "out"
    process(demo_clip, out, run_config(OPTIONS))
    return out


def test_the_fit_gets_the_network_s_directions(lifted: Path) -> None:
    found = load_observations(lifted / ".kinefit" / "observations.npz")
    assert found.limbs == tuple((limb.start, limb.end) for limb in LIMBS)
    assert np.isfinite(found.directions).all()
    # A deviation of its own for each limb and frame, unlike the detector's table.
    assert (np.ptp(found.direction_sd, axis=0) > 0).all()
    world = json.loads((lifted / ".kinefit" / "world.json").read_text())
    assert world["lifter"] == "ensemble"


def test_the_demo_s_camera_looks_down_and_is_rolled(lifted: Path) -> None:
    """Its calibration says by 22.5 and -13.4 degrees; one camera tells it to a few."""
    camera = json.loads((lifted / ".kinefit" / "world.json").read_text())["camera"]
    assert camera["tilt_deg"] == pytest.approx(22.5, abs=8)
    assert camera["roll_deg"] == pytest.approx(-13.4, abs=8)


def test_deviations_are_those_that_were_checked_with_this_network(
    lifted: Path, demo_clip: Path, tmp_path: Path
) -> None:
    angles = read_angles_csv(lifted / "joint_angles" / "clip_angles_all.csv")
    assert angles.sd is not None
    stated = np.isfinite(angles.sd).any(axis=0)
    kinds = {kind_of(name) for name, is_ in zip(angles.names, stated, strict=True) if is_}
    assert "knee_flex" in kinds
    assert all(calibrated_sd("lifted", kind, np.ones(1)) is not None for kind in kinds)
    # Nobody knows how far another network's are off, or this one's with signs turned.
    for i, other in enumerate(({"pof_model": "gcn"}, {"pof_signs": True})):
        out = tmp_path / str(i)
        process(demo_clip, out, run_config({**OPTIONS, **other}))
        angles = read_angles_csv(out / "joint_angles" / "clip_angles_all.csv")
        assert np.isfinite(angles.degrees).any()
        assert angles.sd is None or not np.isfinite(angles.sd).any()


def test_the_report_says_where_depth_is_from(lifted: Path) -> None:
    page = (lifted / "report.html").read_text("utf-8")
    assert "Depth from" in page
    assert "network ensemble" in page


def test_a_network_that_is_not_there_is_an_input_error(demo_clip: Path, tmp_path: Path) -> None:
    config = run_config({**OPTIONS, "pof_model": str(tmp_path / "mine.onnx")})
    with pytest.raises(InputError, match=r"mine\.onnx"):
        process(demo_clip, tmp_path / "out", config)
