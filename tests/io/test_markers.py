"""Names of markers and points that are not there, in TRC and C3D files alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinefit.io.c3d import read_c3d, write_c3d
from kinefit.io.markers import likely_unit, one_subject, unit_of
from kinefit.io.trc import read_trc, write_trc
from kinefit.types import FloatArray, Markers, Timeline

FILES = [(write_trc, read_trc, ".trc"), (write_c3d, read_c3d, ".c3d")]
Case = tuple[Callable[[Path, Markers], None], Callable[[Path], Markers], str]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["Anna:LASI", "Anna:RASI"], ("LASI", "RASI")),
        (["Trial 3:Anna:LASI", "Trial 3:Anna:RASI"], ("LASI", "RASI")),
        (["Anna:LASI", "*12", "Anna:RASI"], ("LASI", "*12", "RASI")),  # most share one
        (["Box:1", "Anna:RASI"], ("RASI",)),
        (["Anna:RASI", "Box:1", "Box:2", "Box:3"], ("RASI",)),
        (["Ben:LASI", "Anna:LASI", "Anna:RASI"], ("LASI", "RASI")),
        (["Ben:LASI", "Anna:LASI"], ("LASI",)),
        (["Legs:LKNE", "Arms:LELB"], ("LKNE", "LELB")),  # parts of one person
        (["A:LASI", "A:LKNE", "B:L_IAS", "B:LELB"], ("LASI", "LKNE")),  # two people, two sets
        (["A:1", "B:2"], ("1", "2")),
        (["Jo_LASI", "Jo_RASI", "Jo_LKNE", "Jo_x_1"], ("LASI", "RASI", "LKNE", "x_1")),
        (
            ["L_LASI", "L_LKNE", "L_LANK", "R_RASI", "R_RKNE", "R_RANK"],
            ("LASI", "LKNE", "LANK", "RASI", "RKNE", "RANK"),
        ),
        (["Jo_LASI", "RASI", "LKNE", "Jo_1"], ("Jo_LASI", "RASI", "LKNE", "Jo_1")),  # by chance?
        (["R_LASI", "R_FCC", "R_FM1", "R_FM5"], ("R_LASI", "R_FCC", "R_FM1", "R_FM5")),
        (["A:1", "B:1"], ("A:1", "B:1")),
        (["LASI", "Anna:LASI"], ("LASI_2", "LASI")),
        (["LASI", "LASI", "", "LASI"], ("LASI", "LASI_2", "marker_3", "LASI_3")),
        (["Anna:LASI", "Anna:LASI", "Anna:"], ("LASI", "LASI_2", "Anna:")),
        ([], ()),
    ],
)
def test_names_of_one_person(labels: list[str], expected: tuple[str, ...]) -> None:
    named = one_subject(labels)
    assert named.names == expected
    changed = list(expected) != labels
    assert bool(named.notes) == changed
    assert len(named.columns) == len(expected)


def test_many_labels_of_one_name_take_no_time() -> None:
    assert one_subject(["A"] * 60_000).names[-1] == "A_60000"


def test_it_is_said_who_was_left_out() -> None:
    _, _, notes = one_subject(["Box:1", "Anna:RASI", "Box:2"])
    assert notes[0] == "The subject's name was dropped from the markers' names: Anna."
    assert "2 markers of Box were left out" in notes[1]


@pytest.mark.parametrize(
    ("text", "unit"),
    [("MM", "mm"), (" Meters ", "m"), ("mete", "m"), ("mill", "mm"), ("Millimetres", "mm"),
     ("cm\0\0", "cm"), ("furlong", None), ("", None)],
)  # fmt: skip
def test_units_as_people_spell_them(text: str, unit: str | None) -> None:
    assert unit_of(text) == unit


@pytest.mark.parametrize(("unit", "per_metre"), [("m", 1), ("cm", 100), ("mm", 1000)])
def test_the_likely_unit_is_not_told_by_damaged_numbers(unit: str, per_metre: float) -> None:
    """Of a person 1.7 m tall who walks through 4 m."""
    heights = np.broadcast_to(np.linspace(0.05, 1.7, 20), (60, 20))
    along = np.broadcast_to(np.linspace(-2, 2, 60)[:, None], (60, 20))
    xyz = per_metre * np.stack([along, heights, 0.2 * np.ones((60, 20))], axis=-1)
    xyz[3, 1], xyz[5, 2], xyz[6, 4] = np.inf, 1e6, np.nan
    assert likely_unit(xyz)[0] == unit


def test_files_without_a_point_have_no_likely_unit() -> None:
    for xyz in (np.full((2, 3, 3), np.nan), np.empty((0, 3, 3)), np.empty((2, 0, 3))):
        unit, note = likely_unit(xyz)
        assert unit == "m"
        assert "no marker is seen" in note


def walking(frames: int = 20) -> FloatArray:
    """(frames, 3, 3) metres: one marker that stays far away, one through the origin at 3 m/s, one
    that turns round a millimetre from it."""
    t = np.arange(frames) - frames // 2
    far = np.column_stack([0.5 + 0.01 * t, np.full(frames, 0.9), 0.3 + 0.0 * t])
    through = np.column_stack([0.03 * t, 0.01 * t, 0.0 * t])
    near = np.column_stack([0.001 * np.abs(t), 0.0 * t, 0.0 * t])
    return np.stack([far, through, near], axis=1)


@pytest.mark.parametrize("case", FILES, ids=["trc", "c3d"])
@pytest.mark.parametrize("lost", [[4], [0, 1], [18, 19], [5, 6, 7, 12], list(range(20))])
def test_zeros_are_gaps_where_the_marker_was_elsewhere(
    tmp_path: Path, case: Case, lost: list[int]
) -> None:
    write, read, suffix = case
    xyz = walking()
    xyz[lost, 0] = 0
    path = tmp_path / f"a{suffix}"
    write(path, Markers(Timeline.regular(20, 100.0), ("A", "B", "C"), xyz))
    markers = read(path)
    present = np.ones((20, 3), bool)
    present[lost, 0] = False
    np.testing.assert_array_equal(markers.present, present)
    (note,) = markers.notes
    assert "at exactly (0, 0, 0)" in note
    assert f"A in {len(lost)} frames" in note or f"A in frame {lost[0]}" in note
    assert "B" not in note
