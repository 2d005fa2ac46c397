"""Masks of a person: what is checked at construction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kinefit.types import InvalidData, PersonMasks


def _masks(**other: Any) -> PersonMasks:
    parts: dict[str, Any] = {
        "frame": np.array([2, 5]), "grey": np.zeros((2, 8, 8), np.uint8),
        "into": np.tile(np.eye(2, 3), (2, 1, 1)), "size": (64, 48),
        "confidence": np.array([1.0, 0.0]), "reason": ("", "nobody is there"),
    }  # fmt: skip
    return PersonMasks(**(parts | other))


def test_masks_are_read_only_and_know_which_are_usable() -> None:
    masks = _masks()
    assert masks.usable.tolist() == [True, False]
    with pytest.raises(ValueError, match="read-only"):
        masks.grey[0, 0, 0] = 1


def test_the_region_of_what_is_not_used_may_be_unknown() -> None:
    into = np.stack([np.eye(2, 3), np.full((2, 3), np.nan)])
    np.testing.assert_array_equal(_masks(into=into).into, into)


@pytest.mark.parametrize(
    "wrong",
    [
        {"frame": np.array([5, 2])},
        {"grey": np.zeros((2, 8, 9), np.uint8)},
        {"into": np.zeros((2, 3, 3))},
        {"into": np.full((2, 2, 3), np.nan)},
        {"into": np.tile([[1, 0, np.inf], [0, 1, 0]], (2, 1, 1))},
        {"into": np.tile([[0.1, 0.3, 5], [0.2, 0.6, 5]], (2, 1, 1))},
        {"confidence": np.array([1.0, 1.2])},
        {"confidence": np.array([np.nan, 1.0])},
        {"reason": ("",)},
    ],
)
def test_what_disagrees_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidData):
        _masks(**wrong)
