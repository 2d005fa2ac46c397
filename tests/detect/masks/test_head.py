"""Head masks: on rendered people whose truth is known, and on input with nothing to find."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kinefit.detect.blazepose import NAMES
from kinefit.detect.masks.head import STEPS, HairNetwork, head_masks
from kinefit.io.video import Picture
from kinefit.skeletons import skeleton
from kinefit.synth.scene_options import HairStyle
from kinefit.types import FloatArray, InvalidData, PersonMasks

from .rendered_heads import FRAMES, SIZE, Video, rendered

HEAD = slice(0, NAMES.index("LShoulder"))
MIRROR = skeleton("blazepose33").mirror()


@pytest.fixture(scope="module")
def video() -> Video:
    return rendered("bun")[0]


@pytest.mark.parametrize("style", ["bun", "long", "short"])
def test_heads_are_found_from_all_sides(style: HairStyle) -> None:
    for video in rendered(style):
        found = video.found()
        assert video.overlap(found.masks).mean() >= 0.8  # what is asked for
        assert (found.masks.confidence > 0).all()


@pytest.mark.parametrize(("style", "gain"), [("long", 0.3), ("bun", 0.1)])
def test_without_the_step_hair_it_is_lost(style: HairStyle, gain: float) -> None:
    lost = [video.overlap(video.found(steps=STEPS[:2]).masks).mean() for video in rendered(style)]
    found = [video.overlap(video.found().masks).mean() for video in rendered(style)]
    # From the front, a bun is hidden by the head.
    assert np.max(np.subtract(found, lost)) > gain


def test_the_truth_of_another_view_does_not_pass() -> None:
    first, second = rendered("bun")[:2]
    assert replace(first, heads=second.heads).overlap(first.found().masks).max() < 0.8


def test_steps_say_how_sure_they_are(video: Video) -> None:
    every = video.found().step_confidence
    assert every.shape == (FRAMES, len(STEPS))
    assert ((every >= 0) & (every <= 1)).all()
    few = video.found(steps=("keypoints", "hair")).step_confidence
    np.testing.assert_array_equal(np.isnan(few[0]), [False, True, False, True])


def test_every_mask_that_is_not_sure_says_why(video: Video) -> None:
    masks = video.found().masks
    assert all(masks.reason[i] for i in np.flatnonzero(masks.confidence < 1))


def test_a_head_is_within_its_person(video: Video) -> None:
    assert (video.found().masks.grey <= video.persons.grey).all()


def test_a_mirrored_video_gives_mirrored_masks() -> None:
    for video in rendered("bun"):
        flipped = video.points[:, MIRROR].copy()
        flipped[..., 0] = SIZE[0] - 1 - flipped[..., 0]
        side = video.persons.grey.shape[-1]
        over = np.array([[-1.0, 0, SIZE[0] - 1], [0, 1, 0], [0, 0, 1]])
        back = np.array([[-1.0, 0, side - 1], [0, 1, 0], [0, 0, 1]])
        into = (over @ np.vstack([video.persons.into[0], [0, 0, 1]]) @ back)[:2]
        persons = replace(
            video.persons,
            grey=np.ascontiguousarray(video.persons.grey[..., ::-1]),
            into=np.tile(into, (FRAMES, 1, 1)),
        )
        pictures = [np.ascontiguousarray(p[:, ::-1]) for p in video.pictures]
        there = head_masks(pictures, flipped, persons).masks.grey[..., ::-1] > 127
        here = video.found().masks.grey > 127
        # The face detector is not symmetric, and moves the head by a pixel or two.
        assert (here & there).sum() > 0.85 * (here | there).sum()


def test_the_head_is_carried_over_frames_without_points(video: Video) -> None:
    points = video.points.copy()
    points[1, HEAD] = np.nan
    gap = replace(video, points=points)
    tracked, alone = gap.found().masks, gap.found(steps=STEPS[:3]).masks
    assert gap.overlap(tracked)[1] > 0.75  # a walker's head moves by a tenth of itself in 0.1 s
    assert "frames before" in tracked.reason[1]
    assert 0 < tracked.confidence[1] < tracked.confidence[0]
    assert alone.confidence[1] == 0
    assert "missing" in alone.reason[1]


def test_frames_that_cannot_be_read_have_a_mask_from_the_pose(video: Video) -> None:
    pictures = [video.pictures[0], None, video.pictures[2]]
    masks = head_masks(pictures, video.points, video.persons).masks
    assert video.overlap(masks).min() > 0.7
    assert "could not be read" in masks.reason[1]


def test_a_video_that_ends_early_leaves_masks_from_the_pose(video: Video) -> None:
    masks = head_masks(iter(video.pictures[:1]), video.points, video.persons).masks
    assert all("could not be read" in reason for reason in masks.reason[1:])


def test_without_points_nothing_is_found(video: Video) -> None:
    found = replace(video, points=np.full_like(video.points, np.nan)).found()
    assert (found.masks.confidence == 0).all()
    assert not found.masks.grey.any()
    assert all("missing" in reason for reason in found.masks.reason)


@pytest.mark.parametrize("value", [0, 255])
def test_empty_and_full_masks_are_flagged(video: Video, value: int) -> None:
    persons = replace(video.persons, grey=np.full_like(video.persons.grey, value))
    masks = replace(video, persons=persons).found().masks
    assert (masks.confidence < 0.9).all()
    assert all(masks.reason)
    if value == 0:
        assert not masks.grey.any()
    else:  # no more than the skull
        assert (masks.grey > 127).mean() < 0.05


def test_one_bad_frame_does_not_end_the_clip(video: Video) -> None:
    points, into = video.points.copy(), video.persons.into.copy()
    points[0] = 1e9
    into[1, 0] *= -1  # a mirror is no region
    pictures = [*video.pictures[:2], np.zeros((0, 0, 3), np.uint8)]
    persons = replace(video.persons, into=into)
    masks = head_masks(pictures, points, persons).masks
    assert (masks.confidence == 0).all()
    assert all(masks.reason)


def test_points_of_another_clip_are_refused(video: Video) -> None:
    with pytest.raises(InvalidData, match="do not go with"):
        head_masks(video.pictures, video.points[:1], video.persons)


def test_no_frames_give_no_masks(video: Video) -> None:
    nobody = PersonMasks(
        np.zeros(0, int), np.zeros((0, 256, 256), np.uint8), np.zeros((0, 2, 3)), SIZE,
        np.zeros(0), (),
    )  # fmt: skip
    found = head_masks([], np.zeros((0, 33, 3)), nobody)
    assert len(found.masks) == 0
    assert found.step_confidence.shape == (0, len(STEPS))


class TestHairNetwork:
    @staticmethod
    def hair_of(video: Video, wide: int) -> HairNetwork:
        """One that tells the true head, wider by so many pixels of the picture."""
        kernel = np.ones((2 * wide + 1, 2 * wide + 1), np.uint8)
        heads = iter(video.heads)

        def network(rgb: Picture, into: FloatArray, side: int) -> NDArray[np.float32]:
            head = cv2.dilate(next(heads).astype(np.uint8), kernel)
            flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
            return cv2.warpAffine(head, into, (side, side), flags=flags).astype(np.float32)

        return network

    def test_it_takes_the_place_of_colours(self) -> None:
        for video in rendered("long"):
            masks = video.found(hair=self.hair_of(video, 0), steps=STEPS[:3]).masks
            assert video.overlap(masks).min() > 0.85

    def test_what_leaks_into_clothes_is_refused(self) -> None:
        video = rendered("long")[0]
        found = video.found(hair=self.hair_of(video, 40))
        assert all("of clothes or face hair" in reason for reason in found.masks.reason)
        np.testing.assert_array_equal(found.masks.grey, video.found().masks.grey)

    def test_when_it_fails_colours_tell(self, video: Video) -> None:
        def broken(rgb: Picture, into: FloatArray, side: int) -> NDArray[np.float32]:
            raise RuntimeError("out of paper")

        found = video.found(hair=broken)
        assert "out of paper" in found.masks.reason[0]
        np.testing.assert_array_equal(found.masks.grey, video.found().masks.grey)


def test_time_and_memory_are_linear(video: Video) -> None:
    def repeated(count: int) -> tuple[float, float]:
        def pictures() -> Iterator[Picture]:
            for _ in range(count):
                yield video.pictures[0].copy()

        persons = PersonMasks(
            np.arange(count), np.repeat(video.persons.grey[:1], count, axis=0),
            np.repeat(video.persons.into[:1], count, axis=0), SIZE, np.ones(count), ("",) * count,
        )  # fmt: skip
        points = np.repeat(video.points[:1], count, axis=0)
        tracemalloc.start()
        start = time.process_time()
        head_masks(pictures(), points, persons)
        spent = time.process_time() - start
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return spent, most

    repeated(2)
    few, many = repeated(10), repeated(80)
    assert many[0] < 3 * 8 * few[0]  # other processes disturb
    side = video.persons.grey.shape[-1]
    # Two masks a frame while the result is made; pictures, 3.5 times as large, do not stay.
    assert many[1] - few[1] < 70 * 3 * side * side
