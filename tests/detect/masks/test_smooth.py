"""Smoothing over time: what it must leave alone, and what it repairs."""

from __future__ import annotations

import numpy as np

from kinefit.detect.masks.frame_mask import without_mask
from kinefit.detect.masks.smooth import smoothed

from .moving import clip_masks


def test_masks_that_do_not_change_stay_to_the_last_bit() -> None:
    one = clip_masks(1)[0]
    still = [one._replace(frame=k) for k in range(4)]
    for found in smoothed(still):
        np.testing.assert_array_equal(found.grey, one.grey)


def test_order_of_time_does_not_matter() -> None:
    masks = clip_masks(5)
    there, back = list(smoothed(masks)), list(smoothed(masks[::-1]))
    for one, other in zip(there, back[::-1], strict=True):
        np.testing.assert_array_equal(one.grey, other.grey)
        assert one.frame == other.frame


def test_a_person_who_moves_keeps_their_mask() -> None:
    """Right masks stay right: the flow carries them along (2 % of the area are half a pixel of the
    outline of these limbs)."""
    masks = clip_masks(6)
    for one, found in zip(masks, smoothed(masks), strict=True):
        white = one.grey >= 128
        assert ((found.grey >= 128) != white).sum() < 0.02 * white.sum()


def test_a_hole_of_one_frame_is_filled() -> None:
    masks = clip_masks(5)
    hole = masks[2].grey.copy()
    hole[110:130, 118:138] = 0
    assert (masks[2].grey[110:130, 118:138] >= 128).all()
    masks[2] = masks[2]._replace(grey=hole)
    found = list(smoothed(masks))[2]
    assert (found.grey[110:130, 118:138] >= 128).mean() > 0.95


def test_pictures_that_differ_say_nothing() -> None:
    """Where the neighbours show something else, the mask is its own: no ghosts."""
    masks = clip_masks(3)
    for k, level in ((0, 255), (1, 0), (2, 255)):
        masks[k] = masks[k]._replace(picture=np.full_like(masks[k].picture, level))
    for k in (0, 2):
        masks[k] = masks[k]._replace(grey=255 - masks[1].grey)
    found = list(smoothed(masks))[1]
    np.testing.assert_array_equal(found.grey, masks[1].grey)


def test_frames_without_a_mask_are_handed_on_and_asked_nothing() -> None:
    masks = clip_masks(3)
    missing = without_mask(1, 1 / 30, "the frame is damaged")
    found = list(smoothed([masks[0], missing, masks[2]]))
    assert found[1] is missing
    np.testing.assert_array_equal(found[0].grey, masks[0].grey)
    np.testing.assert_array_equal(found[2].grey, masks[2].grey)
    assert list(smoothed([])) == []
