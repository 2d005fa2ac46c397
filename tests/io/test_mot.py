"""MOT and STO: golden files, both headers, OpenSim as the second reader, missing values."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinefit.io.mot import MotTable, read_mot, write_mot
from kinefit.types import InputError, InvalidData, Timeline, TooFewPoints

GOLDEN = Path(__file__).parent / "golden"
DATA = Path(__file__).parents[2].parent / "shared" / "data"
PRINTED = 0.5e-8 + 1e-14  # half the last of eight decimals

WALK = MotTable(
    Timeline.regular(3, 60.0),
    ("pelvis_tx", "knee_angle_r"),
    np.array([[0.1, 5.25], [0.11, 6.5], [0.12, -0.125]]),
    in_degrees=True,
)


def test_golden_file_both_ways(tmp_path: Path) -> None:
    write_mot(tmp_path / "walk.mot", WALK, "walk")
    assert (tmp_path / "walk.mot").read_bytes() == (GOLDEN / "walk.mot").read_bytes()
    table = read_mot(GOLDEN / "walk.mot")
    assert (table.names, table.in_degrees) == (WALK.names, True)
    np.testing.assert_array_equal(table.values, WALK.values)
    np.testing.assert_allclose(table.timeline.time, WALK.timeline.time, atol=PRINTED, rtol=0)


def test_decimal_commas_and_other_words_for_yes(tmp_path: Path) -> None:
    head, rows = (GOLDEN / "walk.mot").read_text().split("knee_angle_r\n")
    head = head.replace("inDegrees=yes", "inDegrees=true")
    (tmp_path / "a.mot").write_text(f"{head}knee_angle_r\n{rows.replace('.', ',')}")
    table = read_mot(tmp_path / "a.mot")
    np.testing.assert_array_equal(table.values, WALK.values)
    assert table.in_degrees is True
    assert table.notes == ("Decimal commas were read as points.",)


def test_simm_header_is_in_degrees(tmp_path: Path) -> None:
    table = read_mot(GOLDEN / "simm.mot")
    assert table.names == ("hip_flexion_r", "knee_angle_r")
    np.testing.assert_array_equal(table.values, [[10.5, -3.25], [-20.0, -4.0]])
    np.testing.assert_array_equal(table.timeline.time, [0.0, 0.5])
    assert table.in_degrees is True
    text = (GOLDEN / "simm.mot").read_text()
    (tmp_path / "simm.sto").write_text(text)
    assert read_mot(tmp_path / "simm.sto").in_degrees is None


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 8),
    columns=st.integers(1, 5),
    in_degrees=st.sampled_from([True, False, None]),
)
@settings(max_examples=40, deadline=None)
def test_round_trip(tmp_path_factory, seed: int, rows: int, columns: int, in_degrees) -> None:
    rng = np.random.default_rng(seed)
    time = np.cumsum(rng.uniform(1e-3, 1, rows))
    names = tuple(f"/jointset/q_{i}/value" for i in range(columns))
    values = rng.normal(size=(rows, columns)) * 10.0 ** rng.integers(-6, 4)
    table = MotTable(Timeline(np.arange(rows), time), names, values, in_degrees)
    path = tmp_path_factory.mktemp("mot") / "a.sto"
    write_mot(path, table, "a")
    back = read_mot(path)
    assert (back.names, back.in_degrees) == (names, in_degrees)
    # 1e4 * 2e-16 of rounding is far below the printed digits.
    np.testing.assert_allclose(back.values, values, atol=PRINTED, rtol=1e-15)
    np.testing.assert_allclose(back.timeline.time, time, atol=PRINTED, rtol=1e-15)


def opensim(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # OpenSim drops its log file where it stands
    import opensim as osim

    osim.Logger.setLevelString("Off")
    return osim


@pytest.mark.parametrize("suffix", [".mot", ".sto"])
def test_opensim_reads_what_we_write(tmp_path: Path, monkeypatch, suffix: str) -> None:
    osim = opensim(tmp_path, monkeypatch)
    write_mot(f"a{suffix}", WALK, "a walk")
    table, storage = osim.TimeSeriesTable(f"a{suffix}"), osim.Storage(f"a{suffix}")
    assert tuple(table.getColumnLabels()) == WALK.names
    np.testing.assert_array_equal(table.getMatrix().to_numpy(), WALK.values)
    np.testing.assert_allclose(table.getIndependentColumn(), WALK.timeline.time, atol=PRINTED)
    assert (storage.isInDegrees(), storage.getName()) == (True, "a walk")


@pytest.mark.skipif(not DATA.exists(), reason="shared recordings are not beside the repository")
@pytest.mark.parametrize("name", ["walking1.mot", "walking1_grf.mot"])
def test_we_read_what_opensim_reads(tmp_path: Path, monkeypatch, name: str) -> None:
    path = DATA / "opencap" / "Subject4" / name
    table = read_mot(path)
    osim = opensim(tmp_path, monkeypatch)
    reference = osim.TimeSeriesTable(str(path))
    assert tuple(reference.getColumnLabels()) == table.names
    np.testing.assert_array_equal(reference.getMatrix().to_numpy(), table.values)
    np.testing.assert_array_equal(reference.getIndependentColumn(), table.timeline.time)
    assert osim.Storage(str(path)).isInDegrees() is bool(table.in_degrees)


def test_missing_values_are_named_not_written(tmp_path: Path) -> None:
    values = np.array(WALK.values)
    values[1, 1] = np.nan
    holed = MotTable(Timeline.regular(3, 60.0, 40), WALK.names, values, True)
    with pytest.raises(InputError, match="knee_angle_r has no value in frame 41"):
        write_mot(tmp_path / "a.mot", holed, "a")
    assert not list(tmp_path.iterdir())


def test_largest_complete_block() -> None:
    values = np.arange(24.0).reshape(8, 3)
    values[:, 1] = np.nan  # a column without any value
    values[[0, 3], [0, 2]] = np.nan
    table = MotTable(Timeline.regular(8, 10.0, 5), ("a", "b", "c"), values, True)
    whole = table.largest_complete()
    assert whole.names == ("a", "c")
    assert whole.timeline.frame.tolist() == [9, 10, 11, 12]
    np.testing.assert_array_equal(whole.values, values[4:][:, [0, 2]])
    assert whole.complete.all()
    with pytest.raises(TooFewPoints):
        MotTable(table.timeline, ("a",), np.full((8, 1), np.nan), True).largest_complete()


def test_columns_by_name() -> None:
    assert WALK.column("knee_angle_r").tolist() == [5.25, 6.5, -0.125]
    with pytest.raises(InvalidData, match="pelvis_tx, knee_angle_r"):
        WALK.column("knee")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("endheader", "", "not a MOT or STO file"),
        ("time\t", "seconds\t", "not a MOT or STO file"),
        ("inDegrees=yes", "inDegrees=maybe", "neither yes nor no"),
        ("6.50000000", "x", "line 9: 'x' is not a number"),
        ("\t6.50000000", "", "line 9 has 2 cells, expected 3"),
        ("0.03333333", "0.01", "line 10: the time does not increase"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (GOLDEN / "walk.mot").read_text()
    assert old in text
    (tmp_path / "bad.mot").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=r"bad\.mot") as error:
        read_mot(tmp_path / "bad.mot")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("old", "new"), [("nRows=3", "nRows=4"), ("nColumns=3", "nColumns=2"), ("", "")]
)
def test_counts_in_the_header_are_not_believed(tmp_path: Path, old: str, new: str) -> None:
    """OpenSim reads such files, and published ones state other numbers."""
    (tmp_path / "a.mot").write_text((GOLDEN / "walk.mot").read_text().replace(old, new))
    np.testing.assert_array_equal(read_mot(tmp_path / "a.mot").values, WALK.values)


def test_coordinates_of_a_table_of_states() -> None:
    names = (
        "/jointset/knee_r/knee_angle_r/value", "/jointset/knee_r/knee_angle_r/speed",
        "/forceset/soleus_r/activation", "/jointset/hip_r/hip_flexion_r/value",
    )  # fmt: skip
    table = MotTable(WALK.timeline, names, np.arange(12.0).reshape(3, 4), in_degrees=False)
    found = table.coordinates()
    assert found.names == ("knee_angle_r", "hip_flexion_r")
    np.testing.assert_array_equal(found.values, table.values[:, [0, 3]])
    assert WALK.coordinates() is WALK


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    """SIMM's motions have ground forces twice."""
    text = (GOLDEN / "walk.mot").read_text().replace("pelvis_tx", "knee_angle_r")
    (tmp_path / "a.mot").write_text(text)
    assert read_mot(tmp_path / "a.mot").names == ("knee_angle_r", "knee_angle_r_2")


@pytest.mark.parametrize("name", ["a b", "a\tb", " a"])
def test_names_that_would_shift_the_columns_are_refused(tmp_path: Path, name: str) -> None:
    table = MotTable(Timeline.regular(2, 1.0), (name,), np.zeros((2, 1)), True)
    with pytest.raises(InputError, match="name"):
        write_mot(tmp_path / "a.mot", table, "a")


def test_a_column_that_costs_more_than_it_has_goes() -> None:
    values = np.ones((40, 5))
    values[2:, 4] = np.nan  # an arm, seen in two frames
    values[20, 0] = np.nan
    table = MotTable(Timeline.regular(40, 60.0), tuple("abcde"), values, True).largest_complete()
    assert table.names == ("b", "c", "d")
    assert len(table.timeline) == 40
