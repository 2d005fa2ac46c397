"""Errors per degree of freedom, against numbers made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.angles.compare import as_json, compare, evaluate_file
from kinefit.io.mot import MotTable, write_mot
from kinefit.types import FloatArray, InputError, InvalidData, NoCommonTime, Timeline


def table(
    values: FloatArray | list[float], name: str = "knee_angle_r", *, rate: float = 100.0,
    start: int = 0, degrees: bool = True,
) -> MotTable:  # fmt: skip
    columns = np.asarray(values, dtype=float).reshape(len(values), -1)
    timeline = Timeline.regular(len(columns), rate, start)
    return MotTable(timeline, (name,), columns, degrees)


CURVE = 30 + 20 * np.sin(np.linspace(0, 6, 201))


def test_offset_and_noise_are_told_apart() -> None:
    error = np.tile([1.0, 3.0], 100)
    found = compare(table(CURVE[:200] + error), table(CURVE[:200]))["knee_angle_r"]
    assert found.bias == pytest.approx(2)
    assert found.sd == pytest.approx(1)
    assert found.rmse == pytest.approx(np.sqrt(5))
    assert found.mae == pytest.approx(2)
    assert found.r == pytest.approx(np.corrcoef(CURVE[:200], CURVE[:200] + error)[0, 1])


def test_times_are_matched_not_rows() -> None:
    slow = table(CURVE[::2], rate=50.0)
    # The slow curve starts 20 rows later than the fast one and ends with it.
    late = MotTable(Timeline.regular(181, 100.0, 20), ("knee_angle_r",), CURVE[20:, None], True)
    assert compare(slow, late)["knee_angle_r"].rmse == pytest.approx(0, abs=1e-9)
    assert compare(late, slow)["knee_angle_r"].rmse == pytest.approx(0, abs=0.01)  # linear


def test_whole_turns_do_not_count() -> None:
    around = np.linspace(150, 210, 61)
    wrapped = (around + 180) % 360 - 180
    found = compare(table(wrapped, "pelvis_rotation"), table(around + 720, "pelvis_rotation"))
    assert found["pelvis_rotation"].rmse == pytest.approx(0, abs=1e-9)
    assert found["pelvis_rotation"].r == pytest.approx(1)
    # Interpolating a wrapped reference between 179 and -179 must not pass through 0.
    shifted = compare(table(around, "x", rate=50.0), table(np.repeat(wrapped, 2), "x"))
    assert shifted["x"].rmse < 1


def test_radians_are_understood() -> None:
    found = compare(table(np.radians(CURVE), degrees=False), table(CURVE))
    assert found["knee_angle_r"].rmse == pytest.approx(0, abs=1e-9)


def test_gaps_are_left_out_and_never_bridged() -> None:
    holed = CURVE.copy()
    holed[50:150] = np.nan
    found = compare(table(CURVE), table(holed))["knee_angle_r"]
    assert found.rmse == pytest.approx(0, abs=1e-12)
    assert compare(table(holed), table(CURVE))["knee_angle_r"].rmse == pytest.approx(0, abs=1e-12)
    # Between two samples of which one is missing there is nothing, on either side of the gap.
    beside = MotTable(Timeline([0, 1], [0.495, 1.495]), ("knee_angle_r",), [[0.0], [0.0]], True)
    assert compare(beside, table(holed))["knee_angle_r"].rmse is None


def test_nothing_is_invented() -> None:
    nothing = compare(table(np.full(201, np.nan)), table(CURVE))["knee_angle_r"]
    assert (nothing.rmse, nothing.mae, nothing.bias, nothing.sd, nothing.r) == (None,) * 5
    constant = compare(table(np.full(201, 5.0)), table(CURVE))["knee_angle_r"]
    assert constant.r is None
    assert constant.rmse is not None
    one = compare(table(CURVE[:1]), table(CURVE))["knee_angle_r"]
    assert (one.rmse, one.r) == (pytest.approx(0), None)


def test_what_cannot_be_compared() -> None:
    with pytest.raises(InvalidData, match="No common joint angle"):
        compare(table(CURVE), table(CURVE, "hip_flexion_r"))
    with pytest.raises(NoCommonTime, match=r"5 to 7 s against 0 to 2 s"):
        compare(table(CURVE, start=500), table(CURVE))
    # Places, the dependent angle, states of muscles, loads and speeds are no joint angles.
    for name in (
        "pelvis_tx", "knee_angle_r_beta", "/forceset/soleus_r/activation", "soleus_r.fiber_length",
        "reserve_hip_flexion_r", "ground_force_vx", "knee_angle_r_u", "hip_flexion_r_moment", "FX",
        "/jointset/hip_r/hip_flexion_r/speed", "pelvis_ty_force",
    ):  # fmt: skip
        with pytest.raises(InvalidData):
            compare(table(CURVE, name), table(CURVE, name))


def test_what_a_reader_assumed_is_told(tmp_path: Path) -> None:
    write_mot(tmp_path / "a.mot", table(CURVE), "a")
    text = (tmp_path / "a.mot").read_text().replace(f"nRows={len(CURVE)}", "nRows=7")
    (tmp_path / "b.mot").write_text(text)
    told: list[str] = []
    evaluate_file(tmp_path / "b.mot", tmp_path / "a.mot", told.append)
    counts = f"The header states 7 rows, the table has {len(CURVE)}: these were read."
    assert told == [f"b.mot: {counts}"]


@pytest.mark.parametrize("in_degrees", [True, False])
def test_a_header_that_cannot_be_is_told(tmp_path: Path, in_degrees: bool) -> None:
    """Degrees under "radians", and radians under "degrees"; what is possible is not doubted."""
    curves = np.column_stack([CURVE, CURVE - 20])
    names = ("knee_angle_r", "hip_flexion_r")
    for name, unit in (("right", in_degrees), ("wrong", not in_degrees)):
        values = curves if in_degrees else np.radians(curves)
        write_mot(
            tmp_path / f"{name}.mot",
            MotTable(Timeline.regular(201, 100.0), names, values, unit), "x",
        )  # fmt: skip
    notes: list[str] = []
    evaluate_file(tmp_path / "wrong.mot", tmp_path / "right.mot", notes.append)
    (note,) = notes
    assert f"look like {'degrees' if in_degrees else 'radians'}" in note


def test_a_header_that_states_no_unit_is_not_said_to(tmp_path: Path) -> None:
    names, curves = ("knee_angle_r", "hip_flexion_r"), np.column_stack([CURVE, CURVE - 20])
    for name, unit in (("right", True), ("silent", None)):
        motion = MotTable(Timeline.regular(201, 100.0), names, curves, unit)
        write_mot(tmp_path / f"{name}.mot", motion, "x")
    notes: list[str] = []
    evaluate_file(tmp_path / "silent.mot", tmp_path / "right.mot", notes.append)
    (note,) = notes
    assert "as radians, which is how OpenSim reads a file that states no unit" in note
    assert "look like degrees" in note


def test_files(tmp_path: Path) -> None:
    first, second, wrong = (tmp_path / n for n in ("a.mot", "b.mot", "a.txt"))
    write_mot(first, table(CURVE + 1), "a")
    write_mot(second, table(CURVE), "b")
    found = as_json(evaluate_file(first, second))
    assert list(found) == ["dofs"]
    assert list(found["dofs"]["knee_angle_r"]) == ["rmse", "mae", "bias", "sd", "r"]
    assert found["dofs"]["knee_angle_r"]["bias"] == pytest.approx(1)
    wrong.write_text("no table")
    with pytest.raises(InputError, match=r"neither \.trc"):
        evaluate_file(wrong, second)
    write_mot(second, table(CURVE, "hip_flexion_r"), "b")
    with pytest.raises(InputError, match="No common joint angle"):
        evaluate_file(first, second)
