"""Which frames' masks the fit is given, and what of them says nothing of the body."""

from __future__ import annotations

import numpy as np

from kinefit.pipeline.stages.outlines import around_heads, frames_at
from kinefit.types import PersonMasks, Timeline


def test_moments_are_those_of_the_nearest_frame() -> None:
    clip = Timeline(np.array([10, 12, 14, 16]), np.array([0.0, 0.1, 0.2, 0.3]))
    assert frames_at(clip, np.array([0.0, 0.14, 0.31])).tolist() == [10, 12, 16]


def test_what_a_camera_did_not_record_has_no_frame() -> None:
    """It began two seconds after the others, paused, and ended before them."""
    clip = Timeline(np.arange(4), np.array([0.0, 0.1, 0.2, 1.0]))
    moments = np.array([-2.0, -0.07, -0.05, 0.6, 1.0, 1.2, np.nan])
    assert frames_at(clip, moments).tolist() == [-1, -1, 0, -1, 3, -1, -1]


def test_one_frame_has_no_rate() -> None:
    assert frames_at(Timeline(np.array([3]), np.array([0.0])), np.array([0.0])).tolist() == [-1]


def _masks(grey: np.ndarray) -> PersonMasks:
    n = len(grey)
    into = np.tile(np.array([[2.0, 0, 10], [0, 2.0, 20]]), (n, 1, 1))
    return PersonMasks(np.arange(n), grey, into, (200, 200), np.ones(n), ("",) * n)


def test_edges_near_the_head_are_ignored() -> None:
    grey = np.zeros((2, 64, 64), np.uint8)
    grey[0, 8:20, 26:38] = 255  # the head's mask; in the second frame it failed
    face = np.array([[70.0, 50], [82, 50], [76, 56]])  # (33, 16) in the mask's pixels
    xy = np.stack([np.full((3, 2), np.nan), face])
    hidden = around_heads(_masks(grey), xy, ("LEar", "REar", "Nose"))
    assert hidden[0, 4, 30]  # hair beyond the mask's edge
    assert not hidden[0, 40, 30]
    assert hidden[1, 16, 33]
    assert hidden[1, 10, 33]
    assert not hidden[1, 40, 33]


def test_no_landmark_and_no_mask_hide_nothing() -> None:
    xy = np.full((1, 3, 2), np.nan)
    assert not around_heads(_masks(np.zeros((1, 64, 64), np.uint8)), xy, ("A", "B", "Nose")).any()
