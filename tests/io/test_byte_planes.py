"""Integers in byte planes come back as they were, and the planes end where they may."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.io.byte_planes import byte_planes, scaled_integers
from kinefit.types import InvalidData


@pytest.mark.parametrize("reach", [0, 1, 100, 20_000, 5_000_000, 2**29])
def test_integers_come_back(reach: int) -> None:
    rng = np.random.default_rng(reach)
    values = rng.integers(-reach, reach + 1, (4, 50, 3))
    out = np.full(values.shape, np.nan)
    scaled_integers(byte_planes(values), 0.5, out)
    np.testing.assert_array_equal(out, values / 2)


def test_higher_bytes_end_with_the_last_row_that_has_them() -> None:
    values = np.zeros((5, 7, 3), dtype=np.int64)
    values[1, 3, 2] = 100_000
    values[2, 3, 1] = -300
    values[4, 0, 0] = 60
    assert [len(plane) for plane in byte_planes(values)] == [5, 3, 2]


def test_the_same_difference_everywhere_is_one_byte() -> None:
    slope = np.broadcast_to(100 * np.arange(1000)[None, :, None], (1, 1000, 3))
    assert len(byte_planes(slope)) == 1


def test_integers_too_far_apart_are_refused() -> None:
    values = np.zeros((1, 2, 3), dtype=np.int64)
    values[0, 1] = 2**31
    with pytest.raises(InvalidData, match="differ by more"):
        byte_planes(values)
