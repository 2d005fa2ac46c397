"""Helpers on arrays."""

import numpy as np
import pytest

from kinefit.types import true_runs


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], []),
        ([0, 0], []),
        ([1, 1], [(0, 2)]),
        ([1, 0, 1, 1], [(0, 1), (2, 4)]),
        ([0, 1, 0], [(1, 2)]),
    ],
)
def test_runs_of_true(flags, expected):
    assert true_runs(np.array(flags, bool)) == expected
