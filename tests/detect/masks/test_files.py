"""Masks of other programs, brought to the person's region."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from kinefit.detect.masks.files import FILE_SIDE, masks_of_files
from kinefit.detect.masks.frame_mask import FrameMask, in_picture, places_of
from kinefit.detect.masks.validate import Judge
from kinefit.io.video import Clip, VideoWriter
from kinefit.types import Keypoints2D, Timeline

from .moving import SIZE, keypoints, mask_of, picture_of, places, points_of

T = 4
XY = points_of(T)


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    path = tmp_path / "v.mp4"
    with VideoWriter(path, SIZE, rate_hz=30.0) as writer:
        for k in range(T):
            writer.add(picture_of(mask_of(XY[k])), k / 30)
    return Clip(path)


def folder_of(tmp_path: Path, pictures: list[np.ndarray]) -> Path:
    folder = tmp_path / "masks"
    folder.mkdir()
    for k, picture in enumerate(pictures):
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{k:04d}.png")
    return folder


def found(tmp_path: Path, clip: Clip, pictures: list[np.ndarray], place=None) -> list[FrameMask]:
    folder = folder_of(tmp_path, pictures)
    where = places(XY) if place is None else place
    return list(masks_of_files(folder, clip, where, keypoints(XY)))


def test_a_mask_goes_to_the_region_and_back(tmp_path: Path, clip: Clip) -> None:
    """Its edge stays to a twentieth of a pixel on average."""
    for k, one in enumerate(found(tmp_path, clip, [255 * mask_of(xy) for xy in XY])):
        assert one.grey.shape == (FILE_SIDE, FILE_SIDE)
        true = mask_of(XY[k])
        outline = true.sum() - cv2.erode(true.astype(np.uint8), np.ones((3, 3))).sum()
        back = in_picture(one, SIZE) >= 128
        assert (back != true).sum() < 0.05 * outline


def test_right_masks_are_believed(tmp_path: Path, clip: Clip) -> None:
    judge = Judge(SIZE, keypoints(XY))
    list(judge.watched(found(tmp_path, clip, [255 * mask_of(xy) for xy in XY])))
    assert judge.verdict().confidence.tolist() == [1.0] * T


def test_of_several_people_the_one_with_the_keypoints(tmp_path: Path, clip: Clip) -> None:
    other = np.zeros(SIZE[::-1], np.uint8)
    other[:, 250:] = 1  # larger than the person
    pictures = [np.where(mask_of(xy), 2, other) for xy in XY]
    for k, one in enumerate(found(tmp_path, clip, pictures)):
        back = in_picture(one, SIZE) >= 128
        assert (back & mask_of(XY[k])).sum() / (back | mask_of(XY[k])).sum() > 0.97


def test_where_the_person_was_not_found_the_region_lies_between(tmp_path: Path, clip: Clip) -> None:
    gap = places(XY)
    gap[1:3] = np.nan
    masks = found(tmp_path, clip, [255 * mask_of(xy) for xy in XY], gap)
    for k, one in enumerate(masks):
        back = in_picture(one, SIZE) >= 128
        assert (back & mask_of(XY[k])).sum() / (back | mask_of(XY[k])).sum() > 0.97


def test_without_any_place_nothing_is_known(tmp_path: Path, clip: Clip) -> None:
    nowhere = np.full((T, 4), np.nan)
    masks = found(tmp_path, clip, [255 * mask_of(xy) for xy in XY], nowhere)
    assert {one.missing for one in masks} == {"the person was not found in this frame"}


def test_a_missing_file_is_a_missing_mask(tmp_path: Path, clip: Clip) -> None:
    folder = folder_of(tmp_path, [255 * mask_of(xy) for xy in XY])
    (folder / "0002.png").unlink()
    masks = list(masks_of_files(folder, clip, places(XY), keypoints(XY)))
    assert [bool(one.missing) for one in masks] == [False, False, True, False]
    assert masks[2].grey.shape == masks[0].grey.shape


def test_places_follow_from_keypoints() -> None:
    """Where the detector gives none: around all sure points, upright along the trunk."""
    found = places_of(keypoints(XY))
    np.testing.assert_allclose(found[:, :2], XY[:, 3:5].mean(axis=1))
    np.testing.assert_allclose(found[:, 2] - found[:, 0], 0, atol=1e-9)
    reach = np.linalg.norm(XY[0] - found[0, :2], axis=1).max()
    np.testing.assert_allclose(found[:, 1] - found[:, 3], reach)
    assert np.isnan(places_of(keypoints(XY, score=0.1))).all()
    half = keypoints(np.where(np.arange(13)[:, None] < 3, XY, np.nan))
    assert np.isfinite(places_of(half)).all()


def test_where_the_person_is_without_hips_or_shoulders() -> None:
    """Around the middle of what there is, upright."""
    legs = Keypoints2D(
        Timeline(np.array([0]), np.array([0.0])), ("LKnee", "RKnee"),
        np.array([[[10.0, 20], [30, 20]]]), np.ones((1, 2)), SIZE,
    )  # fmt: skip
    assert places_of(legs).tolist() == [[20, 20, 20, 10]]
