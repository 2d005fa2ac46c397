"""Joint angles: planted differences, offsets, deviations, gimbal lock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.angles import to_opensim
from kinefit.evaluate.run_scores import score_angles, score_coordinates
from kinefit.io.mot import write_mot
from kinefit.io.tables import write_angles_csv
from kinefit.io.trc import write_trc
from kinefit.types import InputError, InvalidData, JointAngles, Timeline

from .scenes import scene


def truth() -> JointAngles:
    return scene().people[0].angles


def test_an_offset_is_bias_and_nothing_else() -> None:
    found = score_angles(replace(truth(), degrees=truth().degrees + 3), truth())
    knee = found["dofs"]["knee_r_flex"]
    assert (knee["bias"], knee["mae"], knee["rmse"]) == pytest.approx((3, 3, 3))
    assert (knee["mae_centred"], knee["sd"], knee["rom_error"]) == pytest.approx(
        (0, 0, 0), abs=1e-9
    )
    assert knee["r"] == pytest.approx(1)
    assert found["overall"]["mae"] == pytest.approx(3)


def test_whole_turns_do_not_count() -> None:
    found = score_angles(replace(truth(), degrees=truth().degrees - 360), truth())
    assert found["overall"]["rmse"] == pytest.approx(0, abs=1e-9)


def test_samples_near_gimbal_lock_are_left_out() -> None:
    degrees, gimbal = truth().degrees.copy(), np.array(truth().gimbal)
    degrees[:4] += 90
    gimbal[:4] = True
    found = score_angles(replace(truth(), degrees=degrees, gimbal=gimbal), truth())
    assert found["overall"]["rmse"] == pytest.approx(0, abs=1e-9)
    assert found["dofs"]["knee_r_flex"]["missing"] == 4


def test_deviations_are_judged() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 2.0, truth().degrees.shape)
    sd = np.full_like(noise, 2.0)
    found = score_angles(replace(truth(), degrees=truth().degrees + noise, sd=sd), truth())
    # 24 frames of 40 angles and more: one standard deviation of the share is 0.007 or less.
    assert found["coverage"]["absolute"]["95%"]["share"] == pytest.approx(0.95, abs=0.022)
    shifted = replace(truth(), degrees=truth().degrees + noise + 10, sd=sd)
    found = score_angles(shifted, truth())["coverage"]
    assert found["absolute"]["95%"]["share"] < 0.01
    assert found["centred"]["95%"]["share"] == pytest.approx(0.95, abs=0.022)


def test_other_angles_are_refused() -> None:
    other = replace(truth(), names=tuple(f"x_{n}" for n in truth().names))
    with pytest.raises(InvalidData, match="No common"):
        score_angles(other, truth())


def test_files_of_every_kind_against_a_scene(tmp_path: Path) -> None:
    someone = scene().people[0]
    trc, csv, mot = (tmp_path / f"a.{end}" for end in ("trc", "csv", "mot"))
    write_trc(trc, someone.markers)
    write_angles_csv(csv, someone.angles)
    write_mot(mot, to_opensim(someone.angles, someone.markers), "a")
    for path in (trc, csv, mot):
        found = score_coordinates(path, someone, "scene")
        assert "knee_angle_r" in found
        # Files hold 1e-6 m and 1e-4 degrees.
        assert max(one.rmse for one in found.values() if one.rmse is not None) < 0.01, path
    late = replace(someone.angles, timeline=Timeline.regular(len(someone.angles.timeline), 30, 900))
    write_angles_csv(csv, late)
    with pytest.raises(
        InputError, match=r"No common times: .* s against 0 to .* s of the reference"
    ):
        score_coordinates(csv, someone, "scene")
    with pytest.raises(InputError, match="neither"):
        score_coordinates(tmp_path / "a.txt", someone, "scene")
