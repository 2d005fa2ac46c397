"""Cases on points: no error without errors, and each line moves with what it is about."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.suite.known_subjects import SubjectSpec, known_subject
from benchmarks.suite.measure import Measurement
from benchmarks.suite.noise_levels import Errors, NoiseLevel
from benchmarks.suite.peers import Peers
from benchmarks.suite.point_cases import (
    PointScores,
    PointSetting,
    fit_case,
    levels_case,
    views_case,
)

SETTING = PointSetting((SubjectSpec("walk", 1),), 1.0, 4)
PEERS = Peers(wanted=False)


def values(lines: tuple[Measurement, ...]) -> dict[str, float]:
    """Of all lines, each of which has one."""
    found = {line.name: line.value for line in lines if line.value is not None}
    assert len(found) == len(lines)
    return found


def test_scores_of_the_truth_and_of_a_shift() -> None:
    truth = known_subject(SubjectSpec("walk", 1), 1.0).truth
    assert PointScores.of(truth, truth).mean == 0.0
    moved = truth + np.array([0.03, 0.0, 0.04])
    moved[:, 0] = np.nan
    scores = PointScores.of(moved, truth)
    # A 3-4-5 triangle: 50 mm for every point, whatever its place; rounding of metres, 1e-9 mm.
    assert scores.mean == pytest.approx(50.0, abs=1e-9)
    assert scores.p95 == pytest.approx(50.0, abs=1e-9)
    assert scores.missing == pytest.approx(100 / 22)
    # A body's bones between its keypoints hardly change: skin slides by millimetres.
    assert scores.bones < 1.5


def test_exact_views_give_exact_points() -> None:
    level = NoiseLevel("exact", Errors(noise=0.0, tail=0.0))
    found = values(levels_case(SETTING, [level], PEERS))
    # Double precision through a lens: a hundredth of a millimetre is far above it.
    assert found["exact: triangulated"] == pytest.approx(0.0, abs=0.01)
    assert found["exact: trajectory, missing"] == 0.0


def test_more_noise_is_more_error_and_more_cameras_less() -> None:
    levels = [NoiseLevel(str(noise), Errors(noise=noise)) for noise in (0.005, 0.02)]
    found = values(levels_case(SETTING, levels, PEERS))
    few, much = found["0.005: triangulated"], found["0.02: triangulated"]
    assert 2.5 < much / few < 6  # four times the noise; gates and tails make it not quite so
    with_2, with_8 = (
        values(views_case(PointSetting(SETTING.specs, 1.0, n), PEERS))["triangulated, mean error"]
        for n in (2, 8)
    )
    assert with_8 < with_2


def test_swaps_are_counted_against_what_was_done() -> None:
    found = values(levels_case(SETTING, [NoiseLevel("s", Errors(swapped=0.2))], PEERS))
    assert found["s: swaps found"] > 90
    assert found["s: called swapped wrongly"] < 10


def test_every_line_has_a_value_and_peers_that_are_not_asked_have_none() -> None:
    lines = (*views_case(SETTING, PEERS), *fit_case(SETTING))
    assert len(values(lines)) == len(lines)
    given = [value for line in lines for value in line.peers.values()]
    assert given
    assert set(given) == {None}
    assert set(PEERS.versions.values()) == {"not asked"}


def test_several_subjects_are_averaged() -> None:
    specs = (SubjectSpec("walk", 1), SubjectSpec("squat", 2))
    both = values(views_case(PointSetting(specs, 1.0), PEERS))
    alone = [values(views_case(PointSetting((spec,), 1.0), PEERS)) for spec in specs]
    name = "triangulated, mean error"
    first, second = (one[name] for one in alone)
    assert first != second
    assert both[name] == pytest.approx((first + second) / 2)
