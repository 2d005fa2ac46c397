"""TRC: golden files, round trips, OpenSim itself as the second reader, and nasty input."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinefit.io.trc import read_trc, write_trc
from kinefit.types import InputError, Markers, Timeline

GOLDEN = Path(__file__).parent / "golden"
DATA = Path(__file__).parents[2].parent / "shared" / "data"
MICROMETRE = 0.5e-6 + 1e-12  # half the last of six decimals, and the rounding of the sum
NAN3 = [np.nan] * 3

WALK = Markers(
    Timeline.regular(3, 60.0),
    ("C7", "r_knee_study"),
    np.array(
        [
            [[0.1, 1.45, -0.02], [0.15, 0.48, 0.1]],
            [NAN3, [0.1600011, 0.4800018, 0.1000034]],
            [[0.12, 1.451, -0.021], NAN3],
        ]
    ),
)


def edited(path: Path, *changes: tuple[str, str]) -> Path:
    """A copy of the golden walk.trc with pieces of its text replaced."""
    text = (GOLDEN / "walk.trc").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_bytes(text.encode())
    return path


def random_markers(rng: np.random.Generator, frames: int, count: int, rate: float) -> Markers:
    xyz = rng.normal(size=(frames, count, 3)) * rng.choice([1e-4, 1.0, 100.0])
    xyz[rng.random((frames, count)) < 0.2] = np.nan
    start = int(rng.integers(0, 5000))
    return Markers(
        Timeline.regular(frames, rate, start), tuple(f"M.{i} b" for i in range(count)), xyz
    )


def test_writing_gives_the_golden_file(tmp_path: Path) -> None:
    write_trc(tmp_path / "walk.trc", WALK)
    assert (tmp_path / "walk.trc").read_bytes() == (GOLDEN / "walk.trc").read_bytes()


def test_reading_the_golden_file() -> None:
    markers = read_trc(GOLDEN / "walk.trc")
    assert markers.names == WALK.names
    assert markers.timeline == WALK.timeline  # 0.016667 came back as exactly 1/60
    np.testing.assert_allclose(markers.xyz, WALK.xyz, atol=MICROMETRE, rtol=0)


def test_nasty_file() -> None:
    """Latin-1, CRLF, padded header, no blank line, stale NumFrames, three spellings of missing."""
    markers = read_trc(GOLDEN / "nasty.trc")
    assert markers.names == ("R.Knee", "Genou gauche, médial")
    assert markers.timeline == Timeline([1, 2, 3, 4, 6], np.array([1, 2, 3, 4, 6]) / 60)
    assert markers.present.tolist() == [[1, 1], [0, 1], [1, 0], [0, 1], [1, 0]]
    np.testing.assert_array_equal(
        markers.xyz[0], [[0.1005, 0.48025, -0.02], [0.15, 0.481, -0.030125]]
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    frames=st.integers(2, 12),
    count=st.integers(1, 6),
    rate=st.sampled_from([24.0, 25.0, 30000 / 1001, 59.94, 60.0, 100.0, 119.88, 240.0, 1000.0]),
)
@settings(max_examples=60, deadline=None)
def test_round_trip(tmp_path_factory, seed: int, frames: int, count: int, rate: float) -> None:
    markers = random_markers(np.random.default_rng(seed), frames, count, rate)
    path = tmp_path_factory.mktemp("trc") / "a.trc"
    write_trc(path, markers)
    back = read_trc(path)
    assert back.names == markers.names
    np.testing.assert_allclose(back.xyz, markers.xyz, atol=MICROMETRE, rtol=0)
    np.testing.assert_array_equal(back.timeline.frame, markers.timeline.frame)
    # The header's ten digits of rate, over 5000 frames at 24 Hz: 200 s * 5e-11.
    np.testing.assert_allclose(back.timeline.time, markers.timeline.time, atol=1e-8, rtol=0)
    assert back.timeline.is_uniform
    again = path.with_name("b.trc")
    write_trc(again, back)
    assert again.read_bytes() == path.read_bytes().replace(b"a.trc", b"b.trc")


def test_opensim_reads_what_we_write(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # OpenSim drops its log file where it stands
    import opensim as osim

    osim.Logger.setLevelString("Off")
    for markers in (WALK, random_markers(np.random.default_rng(1), 9, 4, 100.0)):
        write_trc("a.trc", markers)
        table = osim.TimeSeriesTableVec3("a.trc")
        assert tuple(table.getColumnLabels()) == markers.names
        assert table.getTableMetaDataString("DataRate") == f"{markers.timeline.rate_hz:.10g}"
        assert table.getTableMetaDataString("Units") == "m"
        np.testing.assert_allclose(
            table.getIndependentColumn(), markers.timeline.time, atol=0.5e-6 + 1e-12, rtol=0
        )
        rows = [table.getRowAtIndex(i) for i in range(table.getNumRows())]
        xyz = [[[row[m][k] for k in range(3)] for m in range(row.size())] for row in rows]
        np.testing.assert_allclose(xyz, markers.xyz, atol=MICROMETRE, rtol=0)
        # The older reader, which OpenSim's inverse kinematics and scaling tools use.
        assert osim.MarkerData("a.trc").getNumFrames() == len(markers.timeline)


@pytest.mark.parametrize("decimals", [3, 4, 5])
def test_rounded_times_come_back_regular(tmp_path: Path, decimals: int) -> None:
    path = tmp_path / "a.trc"
    for cut in (np.round, lambda t, n: np.floor(t * 10**n) / 10**n):
        times = cut(np.arange(1, 600) / 60, decimals)
        path.write_text(simple_trc(np.arange(1, 600), times, decimals, 60))
        timeline = read_trc(path).timeline
        assert timeline == Timeline(np.arange(1, 600), np.arange(1, 600) / 60)


@pytest.mark.parametrize("dropped", [[40], [40, 41, 70]])
@pytest.mark.parametrize("renumbered", [True, False])
@pytest.mark.parametrize(("rate", "decimals"), [(100, 2), (60, 3), (30, 2), (30, 6)])
def test_dropped_frames_survive(
    tmp_path: Path, rate: int, decimals: int, renumbered: bool, dropped: list[int]
) -> None:
    kept = np.delete(np.arange(100), dropped)
    frame = np.arange(len(kept)) if renumbered else kept
    (tmp_path / "a.trc").write_text(simple_trc(frame, kept / rate, decimals, rate))
    timeline = read_trc(tmp_path / "a.trc").timeline
    assert not timeline.is_uniform
    np.testing.assert_allclose(timeline.time, kept / rate, atol=0.51 * 10.0**-decimals, rtol=0)


def test_a_wrong_rate_in_the_header_does_not_bend_the_times(tmp_path: Path) -> None:
    times = np.arange(50) / 60
    (tmp_path / "a.trc").write_text(simple_trc(np.arange(50), times, 6, 30))
    np.testing.assert_allclose(read_trc(tmp_path / "a.trc").timeline.time, times, atol=0.5e-6)


@pytest.mark.parametrize("rate", ["0", "nan", "inf", "1e-300", "1e300", "-60"])
def test_a_senseless_rate_in_the_header_does_not_either(tmp_path: Path, rate: str) -> None:
    path = edited(tmp_path / "a.trc", ("60\t60\t3", f"{rate}\t60\t3"))
    assert read_trc(path).timeline.time.tolist() == [0, 0.016667, 0.033333]


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    ticks = np.cumsum(np.random.default_rng(0).integers(2700, 3300, 80))  # 1/90000 s, 30 Hz +- 10 %
    markers = Markers(Timeline(np.arange(80), ticks / 90000), ("A",), np.zeros((80, 1, 3)))
    write_trc(tmp_path / "a.trc", markers)
    back = read_trc(tmp_path / "a.trc").timeline
    np.testing.assert_allclose(back.time, ticks / 90000, atol=0.51e-6, rtol=0)
    assert not back.is_uniform


def simple_trc(frame: np.ndarray, time: np.ndarray, decimals: int, rate: float) -> str:
    """One still marker; the times printed with some decimals."""
    rows = "".join(f"{n}\t{t:.{decimals}f}\t0\t1\t2\n" for n, t in zip(frame, time, strict=True))
    head = (GOLDEN / "walk.trc").read_text().split("\n")[:2]
    values = f"{rate}\t{rate}\t{len(frame)}\t1\tm\t{rate}\t{frame[0]}\t{len(frame)}"
    return "\n".join([*head, values, "Frame#\tTime\tA\t\t", "\t\tX1\tY1\tZ1", "", rows])


@pytest.mark.parametrize(("units", "factor"), [("m", 1), ("cm", 100), ("mm", 1000), ("MM", 1000)])
def test_units(tmp_path: Path, units: str, factor: float) -> None:
    path = edited(tmp_path / "a.trc", ("\tm\t", f"\t{units}\t"))
    np.testing.assert_allclose(read_trc(path).xyz[0, 0], np.array([0.1, 1.45, -0.02]) / factor)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("PathFileType", "Pathfile"), "not a TRC file"),
        (("C7\t\t\tr_knee_study", "C7\tr_knee\tx"), "states 2 markers, line 4 names 3"),
        (("\tm\t", "\tinch\t"), "unknown unit 'inch'"),
        (("60\t60\t3\t2\tm\t60\t0\t3", "60\t60"), "no usable DataRate, NumMarkers or Units"),
        (("60\t60\t3", "fast\t60\t3"), "no usable DataRate"),
        (("0.100003\t", "0.100003\t7\t"), "line 8 has 10 cells, expected 8"),
        (("\t0.480002\t0.100003\t", ""), "line 8 has 6 cells, expected 8"),
        (("1.451000", "1,451"), "line 9: '1,451' is not a number"),
        (("0.033333", "0.016667"), "line 9: the time does not increase"),
        (("0.033333", ""), "line 9: the time is not a number"),
        (("0.000000", "-inf"), "line 7: the time is not a number"),
        (("0.033333", "1e300"), "line 9: the time is not a number"),
        (("2\t0.033333", "-inf\t0.033333"), "line 9: the frame number is not a whole number"),
        (("2\t0.033333", "1\t0.033333"), "line 9: the frame number does not increase"),
        (("2\t0.033333", "2.5\t0.033333"), "line 9: the frame number is not a whole number"),
        (("2\t0.033333", "1e300\t0.033333"), "line 9: the frame number is not a whole number"),
        (("C7", "C\0"), "binary"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = edited(tmp_path / "bad.trc", change)
    with pytest.raises(InputError, match=r"bad\.trc.*") as error:
        read_trc(path)
    assert message in str(error.value)
    assert "Next: " in str(error.value)


HEAD = "60\t60\t3\t2\tm\t60\t0\t3"


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ([(HEAD, "\t\t3\t2\tm\t\t0\t3")], ""),
        ([(HEAD, "60\t60\t3\t2\t\t60\t0\t3")], "The file states no unit: m was taken"),
        ([("0.016667", "16.667"), ("0.033333", "33.333")], "Times were taken for milliseconds"),
        ([("\t0.016667", "\t0.0"), ("\t0.033333", "\t0")], "frame numbers / 60 Hz were taken"),
        ([(HEAD, "100\t100\t3\t2\tm\t100\t0\t3")], "states 100 Hz, the times 60 Hz"),
    ],
    ids=["no rate", "no unit", "milliseconds", "no times", "another rate"],
)
def test_headers_that_say_too_little_or_something_else(
    tmp_path: Path, changes: list[tuple[str, str]], note: str
) -> None:
    markers = read_trc(edited(tmp_path / "a.trc", *changes))
    np.testing.assert_allclose(markers.xyz, WALK.xyz, atol=MICROMETRE)
    np.testing.assert_allclose(markers.timeline.time, WALK.timeline.time, atol=1e-6)
    assert len(markers.notes) == bool(note)
    assert note in "".join(markers.notes)


def test_decimal_commas_and_blanks_between_cells(tmp_path: Path) -> None:
    head, rows = (GOLDEN / "walk.trc").read_text().split("Z2\t\n")
    (tmp_path / "a.trc").write_text(f"{head}Z2\t\n{rows.replace('.', ',')}")
    assert read_trc(tmp_path / "a.trc").notes == ("Decimal commas were read as points.",)
    blanks = "\n".join(
        "  ".join("nan" if cell == "" else cell for cell in row.rstrip("\t").split("\t"))
        + ("  nan" * 3 if i == 2 else "")
        for i, row in enumerate(rows.strip().split("\n"))
    )
    (tmp_path / "b.trc").write_text(f"{head}Z2\t\n\n{blanks}\n")
    for name in "ab":
        markers = read_trc(tmp_path / f"{name}.trc")
        np.testing.assert_allclose(markers.xyz, WALK.xyz, atol=MICROMETRE)


@pytest.mark.parametrize("cells", [5, 11], ids=["missing", "too many"])
def test_blanks_do_not_tell_which_marker_is_missing(tmp_path: Path, cells: int) -> None:
    head, _ = (GOLDEN / "walk.trc").read_text().split("Z2\t\n")
    whole = "0.1 0.2 0.3  0.4 0.5 0.6"
    other = " ".join(["0.4 0.5 0.6"] * ((cells - 2) // 3))
    rows = f"1 0.0  {whole}\n2 0.016667  {other}\n3 0.033333  {whole}\n"
    (tmp_path / "a.trc").write_text(f"{head}Z2\t\n\n{rows}")
    with pytest.raises(InputError, match=f"line 8: has {cells} .* expected 8") as error:
        read_trc(tmp_path / "a.trc")
    assert "write nan for a missing marker" in str(error.value)


@pytest.mark.parametrize("mark", [",", ";"])
def test_other_separators_are_named(tmp_path: Path, mark: str) -> None:
    text = (GOLDEN / "walk.trc").read_text().replace("\t", mark)
    (tmp_path / "a.trc").write_text(text)
    with pytest.raises(InputError, match="line 2: columns are not between tabs"):
        read_trc(tmp_path / "a.trc")


def test_commas_that_may_separate_thousands_are_refused(tmp_path: Path) -> None:
    head, _ = (GOLDEN / "walk.trc").read_text().split("Z2\t\n")
    first = "1\t0\t1,234\t-1,450\t100\t200\t300\t400\n"
    (tmp_path / "a.trc").write_text(f"{head}Z2\t\n\n{first}{first.replace('1', '2', 1)}")
    with pytest.raises(InputError, match=r"line 7: 1,234 may be 1\.234 or 1234"):
        read_trc(tmp_path / "a.trc")
    for decimal in ("0,017", "0,02", "1234,567"):  # one that is no thousands tells of all
        second = first.replace("1\t0\t1,234", f"2\t1\t{decimal}")
        (tmp_path / "b.trc").write_text(f"{head}Z2\t\n\n{first}{second}")
        assert read_trc(tmp_path / "b.trc").xyz[0, 0, 0] == 1.234


@pytest.mark.parametrize("time", ["", "0.0"], ids=["empty", "the same"])
def test_one_time_too_few_replaces_no_other(tmp_path: Path, time: str) -> None:
    """Three rows: an empty one leaves no step between known times."""
    file = edited(tmp_path / "a.trc", ("\t0.016667", f"\t{time}"))
    with pytest.raises(InputError, match=r"line 8: the time (is not|does not)"):
        read_trc(file)


LABELS, AXES = "C7\t\t\tr_knee_study\t\t\t", "X1\tY1\tZ1\tX2\tY2\tZ2\t"


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [(LABELS, "C7 r_knee_study")],  # OpenSim's GUI writes blanks
        [("0.100003\t", "0.100003\t7\t8\t9")],  # Cortex has trajectories without a name
        [("Units", "UNITS"), ("\tm\t", "\tMeters\t"), ("UNITS", "Units")],
    ],
)
def test_as_other_programs_write_it(tmp_path: Path, changes: list[tuple[str, str]]) -> None:
    read = read_trc(edited(tmp_path / "a.trc", *changes))
    same = read_trc(GOLDEN / "walk.trc")
    assert read.names == same.names
    np.testing.assert_array_equal(read.xyz, same.xyz)


def test_missing_markers_whose_cells_are_cut_off_at_the_end_of_a_row(tmp_path: Path) -> None:
    text = (GOLDEN / "walk.trc").read_text()
    lines = text.split("\n")
    lines[6] = "\t".join(lines[6].split("\t")[:5])
    (tmp_path / "a.trc").write_text("\n".join(lines))
    read = read_trc(tmp_path / "a.trc")
    assert np.isnan(read.xyz[0, 1]).all()
    np.testing.assert_array_equal(read.xyz[1:], read_trc(GOLDEN / "walk.trc").xyz[1:])
    # The last row alone: a file that is cut off looks like that.
    lines = text.rstrip("\n").split("\n")
    lines[-1] = "\t".join(lines[-1].split("\t")[:5])
    (tmp_path / "b.trc").write_text("\n".join(lines))
    with pytest.raises(InputError, match="expected 8"):
        read_trc(tmp_path / "b.trc")


def test_what_windows_prints_for_no_number_and_zeros_are_missing(tmp_path: Path) -> None:
    for word in ("1.#QNAN", "-1.#IND00", "1.#INF", "-nan(ind)", "inf", "1e999"):
        read = read_trc(edited(tmp_path / "a.trc", ("1.451000", word)))
        assert (~read.present).sum() == (~WALK.present).sum() + 1
    rows = simple_trc(np.arange(3), np.arange(3) / 10, 2, 10)
    (tmp_path / "b.trc").write_text(rows.replace("\t0\t1\t2", "\t0\t0\t0.0", 1))
    assert read_trc(tmp_path / "b.trc").present.tolist() == [[False], [True], [True]]


@pytest.mark.parametrize("stated", [1, 2, 3, 40])
def test_labels_over_their_columns_need_no_count(tmp_path: Path, stated: int) -> None:
    markers = read_trc(edited(tmp_path / "a.trc", ("\t2\tm", f"\t{stated}\tm")))
    assert markers.names == WALK.names
    np.testing.assert_allclose(markers.xyz, WALK.xyz, atol=MICROMETRE, rtol=0)
    said = (
        ()
        if stated == 2
        else (f"Line 3 states {stated} markers, line 4 names 2: the latter were read.",)
    )
    assert markers.notes == said


def test_trajectories_without_a_name(tmp_path: Path) -> None:
    """Between others one is numbered and does not shift them; behind them it is left out."""
    labels = ("C7\t\t\tr_knee_study", "\t\t\tr_knee_study")
    markers = read_trc(edited(tmp_path / "a.trc", labels))
    assert markers.names == ("marker_1", "r_knee_study")
    np.testing.assert_allclose(markers.xyz, WALK.xyz, atol=MICROMETRE, rtol=0)
    behind = read_trc(edited(tmp_path / "b.trc", ("\tr_knee_study", "\t")))
    assert behind.names == ("C7",)
    np.testing.assert_allclose(behind.xyz, WALK.xyz[:, :1], atol=MICROMETRE, rtol=0)
    assert behind.notes[-1] == "1 trajectories without a name were left out."


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "latin-1"])
def test_text_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "a.trc").write_bytes((mark + (GOLDEN / "walk.trc").read_text()).encode(encoding))
    assert read_trc(tmp_path / "a.trc").names == WALK.names


def test_text_of_excel(tmp_path: Path) -> None:
    (tmp_path / "a.trc").write_bytes((GOLDEN / "walk.trc").read_text().encode("utf-16"))
    np.testing.assert_array_equal(
        read_trc(tmp_path / "a.trc").xyz, read_trc(GOLDEN / "walk.trc").xyz
    )


def test_a_file_of_line_ends_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.trc"
    path.write_text((GOLDEN / "walk.trc").read_text() + "\n" * 3_000_000)
    assert len(read_trc(path).timeline) == 3
    path.write_text((GOLDEN / "walk.trc").read_text() + "\n" * 6_000_000 + "x")
    with pytest.raises(InputError, match="over 5000000 lines"):
        read_trc(path)


def test_devices_and_pipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.trc").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "b.trc")
    for name in ("a.trc", "b.trc"):
        with pytest.raises(InputError, match="is a device or a pipe"):
            read_trc(tmp_path / name)


@pytest.mark.parametrize("kept", [0, 1, 4, 6])
def test_a_file_without_rows_is_refused(tmp_path: Path, kept: int) -> None:
    lines = (GOLDEN / "walk.trc").read_text().split("\n")[:kept]
    (tmp_path / "a.trc").write_text("\n".join(lines))
    with pytest.raises(InputError):
        read_trc(tmp_path / "a.trc")


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_trc(tmp_path / "absent.trc")
    with pytest.raises(InputError, match="folder"):
        read_trc(tmp_path)


@given(st.binary(max_size=400), st.integers(0, 500), st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_damage_never_escapes_as_another_error(tmp_path_factory, junk, at, removed) -> None:
    content = (GOLDEN / "walk.trc").read_bytes()
    path = tmp_path_factory.mktemp("trc") / "a.trc"
    path.write_bytes(content[:at] + junk + content[at + removed :])
    with suppress(InputError):
        assert isinstance(read_trc(path), Markers)


@pytest.mark.parametrize(
    "markers",
    [
        Markers(Timeline.regular(1, 60.0), ("A",), np.zeros((1, 1, 3))),
        Markers(Timeline.regular(0, 60.0), ("A",), np.zeros((0, 1, 3))),
        Markers(Timeline.regular(2, 60.0), (), np.zeros((2, 0, 3))),
        Markers(Timeline.regular(2, 60.0), ("A\tB",), np.zeros((2, 1, 3))),
        Markers(Timeline.regular(2, 60.0), (" A",), np.zeros((2, 1, 3))),
    ],
)
def test_what_the_format_cannot_say_is_not_written(tmp_path: Path, markers: Markers) -> None:
    with pytest.raises(InputError):
        write_trc(tmp_path / "a.trc", markers)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not DATA.exists(), reason="shared recordings are not beside the repository")
@pytest.mark.parametrize(
    ("name", "shape", "missing"),
    [
        ("opensim_walk/motion_capture_walk.trc", (238, 41), None),
        ("opencap/Subject4/walking1.trc", (131, 51), 0.0187),
        ("opencap/Subject4/walking1_model_markers.trc", (131, 31), 0.0),
    ],
)
def test_recordings(name: str, shape: tuple[int, int], missing: float | None) -> None:
    markers = read_trc(DATA / name)
    assert markers.xyz.shape == (*shape, 3)
    assert markers.timeline.is_uniform
    assert markers.timeline.rate_hz == pytest.approx(100, rel=1e-9)
    assert 1.3 < np.nanmax(markers.xyz[..., 1]) < 2.0  # metres: a standing person's markers
    if missing is not None:
        assert 1 - markers.present.mean() == pytest.approx(missing, abs=1e-4)
