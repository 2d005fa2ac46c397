"""Masks that are right keep their confidence, each kind of wrong one loses it, with the reason."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from kinefit.detect.masks.frame_mask import FrameMask, without_mask
from kinefit.detect.masks.validate import Judge, Verdict

from .moving import SIZE, clip_masks, frame_mask, keypoints, mask_of, places, points_of

T, BAD = 12, 6


def judged(masks: list[FrameMask], score: float = 0.9, in_sequence: bool = True) -> Verdict:
    judge = Judge(SIZE, keypoints(points_of(len(masks)), score), in_sequence)
    assert list(judge.watched(masks)) == masks
    return judge.verdict()


def with_bad(change: Callable[[np.ndarray], np.ndarray]) -> Verdict:
    masks = clip_masks(T)
    masks[BAD] = masks[BAD]._replace(grey=change(masks[BAD].grey).astype(np.uint8))
    return judged(masks)


def pixel(grey: np.ndarray) -> np.ndarray:
    out = np.zeros_like(grey)
    out[120, 130] = 255
    return out


def test_right_masks_are_believed() -> None:
    found = judged(clip_masks(T))
    assert found.confidence.tolist() == [1.0] * T
    assert found.reason == ("",) * T


@pytest.mark.parametrize(
    ("change", "words", "most"),
    [
        (np.zeros_like, "the mask is empty", 0.0),
        (lambda g: np.full_like(g, 255), "covers nearly everything", 0.0),
        (pixel, "too small", 0.0),
        (lambda g: np.roll(g, 60, axis=1), "keypoints of the person lie outside", 0.0),
        (lambda g: np.where(np.arange(256)[:, None] < 110, g, 0), "much larger or smaller", 0.5),
        (lambda g: np.maximum(g, np.roll(g, 90, axis=1)), "far from the person's keypoints", 0.3),
        (lambda g: cv2.dilate(g, np.ones((41, 41))), "much larger or smaller", 0.5),
    ],
    ids=["empty", "full", "pixel", "beside", "half", "two people", "swollen"],
)
def test_a_wrong_one_is_flagged_and_its_neighbours_are_not(
    change: Callable[[np.ndarray], np.ndarray], words: str, most: float
) -> None:
    found = with_bad(change)
    assert found.confidence[BAD] <= most
    assert words in found.reason[BAD]
    others = np.delete(found.confidence, BAD)
    assert others.tolist() == [1.0] * (T - 1)


def test_flicker_is_flagged_where_a_mask_shows_nothing() -> None:
    masks = clip_masks(T)
    masks[1::2] = [m._replace(grey=np.zeros_like(m.grey)) for m in masks[1::2]]
    found = judged(masks)
    assert found.confidence.tolist() == [1.0, 0.0] * (T // 2)


def test_a_mask_that_jumps_to_something_else_and_stays_there_is_flagged() -> None:
    masks = clip_masks(T)
    masks[BAD:] = [m._replace(grey=np.roll(m.grey, 60, axis=1)) for m in masks[BAD:]]
    found = judged(masks)
    assert found.confidence[:BAD].tolist() == [1.0] * BAD
    assert found.confidence[BAD:].max() == 0.0
    assert "changes at once" in found.reason[BAD]
    assert "changes at once" not in found.reason[BAD + 1]


def test_chosen_frames_are_not_held_against_each_other() -> None:
    """Frames far apart show other poses: the same masks, a different one in between."""
    masks = clip_masks(T)
    lying = cv2.rotate(masks[BAD].grey, cv2.ROTATE_90_CLOCKWISE)
    masks[BAD] = masks[BAD]._replace(grey=lying)
    masks[2] = masks[2]._replace(grey=cv2.dilate(masks[2].grey, np.ones((41, 41))))
    said, apart = judged(masks).reason, judged(masks, in_sequence=False).reason
    for k, words in ((BAD, "those before and after"), (2, "much larger or smaller")):
        assert words in said[k]
        assert words not in apart[k]


def test_a_missing_mask_says_why() -> None:
    masks = clip_masks(T)
    masks[BAD] = without_mask(BAD, BAD / 30, "the frame is damaged")
    found = judged(masks)
    assert found.confidence[BAD] == 0
    assert found.reason[BAD] == "the frame is damaged"
    assert np.delete(found.confidence, BAD).tolist() == [1.0] * (T - 1)


def test_what_cannot_be_checked_is_half_believed() -> None:
    found = judged(clip_masks(T), score=0.2)
    assert found.confidence.tolist() == [0.5] * T
    assert "no keypoint" in found.reason[0]
    alone = Judge(SIZE)
    list(alone.watched(clip_masks(T)))
    assert alone.verdict().confidence.tolist() == [1.0] * T


def test_the_border_is_told() -> None:
    xy = points_of(1)
    xy[..., 0] -= 110
    judge = Judge(SIZE, keypoints(xy))
    judge.add(frame_mask(0, mask_of(xy[0]), places(xy)[0]))
    (confidence,), (reason,) = judge.verdict()
    assert confidence == pytest.approx(0.9)
    assert reason == "the picture's border cuts the person off"


def test_nothing_is_judged_of_nothing() -> None:
    assert Judge(SIZE).verdict().reason == ()
