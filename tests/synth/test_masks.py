"""Label pictures as runs: nothing is lost, and damage is seen."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.synth.truth import BACKGROUND, PROP, LabelRuns, PersonPart, encode, person_label
from kinefit.types import InvalidData

SIZE = (7, 5)


def pictures(seed: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    values = np.array([0, 1, 2, 3, 4, PROP], np.uint8)
    return [values[rng.integers(6, size=SIZE[::-1])] for _ in range(count)]


def test_pictures_come_back_as_they_were() -> None:
    frames = [*pictures(0, 4), np.zeros(SIZE[::-1], np.uint8), np.full(SIZE[::-1], PROP, np.uint8)]
    runs = LabelRuns.of(SIZE, (encode(frame) for frame in frames))
    assert len(runs) == len(frames)
    for k, frame in enumerate(frames):
        np.testing.assert_array_equal(runs.labels(k), frame)


def test_a_person_is_body_head_and_hair() -> None:
    frame = np.array([[0, 1, 2, 129], [3, 4, 130, 255]], np.uint8)
    runs = LabelRuns.of((4, 2), [encode(frame)])
    first = person_label(0), person_label(0, "head"), person_label(0, "hair")
    assert (*first, person_label(1), person_label(1, "hair")) == (1, 2, 129, 3, 130)
    np.testing.assert_array_equal(runs.person(0, 0), [[0, 1, 1, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(runs.head(0, 1), [[0, 0, 0, 0], [0, 1, 1, 0]])
    np.testing.assert_array_equal(runs.hair(0, 1), [[0, 0, 0, 0], [0, 0, 1, 0]])


def test_labels_of_people_differ() -> None:
    parts: tuple[PersonPart, ...] = ("body", "head", "hair")
    used = [person_label(p, part) for p in range(63) for part in parts]
    assert len({*used, BACKGROUND, PROP}) == 63 * 3 + 2
    assert max(used) < PROP


def test_runs_that_do_not_fill_a_picture_are_refused() -> None:
    runs = LabelRuns.of(SIZE, (encode(frame) for frame in pictures(1, 2)))
    for first, label, length in (
        (runs.first, runs.label, runs.length + np.uint32(1)),
        (runs.first, runs.label[:-1], runs.length[:-1]),
        (runs.first[:-1], runs.label, runs.length),
        (runs.first[[0, 0, 2]], runs.label, runs.length),
        (np.zeros(0, np.int64), runs.label[:0], runs.length[:0]),
    ):
        with pytest.raises(InvalidData, match="do not fill"):
            LabelRuns(SIZE, first, label, length)
