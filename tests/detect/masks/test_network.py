"""Masks of networks against the truth of a render that no network has seen."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from kinefit.detect.embedded import BlazePoseDetector
from kinefit.detect.masks.network import SelfieSegmenter, person_masks
from kinefit.io.video import Clip
from kinefit.pipeline.config import checked
from kinefit.synth.make import make_scenes
from kinefit.synth.scene_options import SynthOptions
from kinefit.synth.truth import LabelRuns, read_truth
from kinefit.tracking.view_people import ViewPeople
from kinefit.types import FloatArray, InputError, Keypoints2D, PersonMasks


class Render(NamedTuple):
    clip: Clip
    places: FloatArray
    points: Keypoints2D
    truth: LabelRuns


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    out = tmp_path_factory.mktemp("render")
    chosen = {"seed": 901, "views": 1, "seconds": 0.4, "rate": 30, "children": 0.0}
    make_scenes(out, checked(SynthOptions, chosen), processes=1)
    (view,), clip = read_truth(out / "truth.npz").views, Clip(out / "cam01.mp4")
    people = BlazePoseDetector(threads=1).people(clip)
    seen = ViewPeople(people, clip.timeline(), clip.probe().size)
    chosen_rows = seen.persons[0].place
    places = seen.places(chosen_rows)
    assert places is not None
    return Render(clip, places, seen.track(chosen_rows).image, view.masks)


@pytest.fixture(scope="module")
def masks(render: Render) -> PersonMasks:
    return person_masks(render.clip, render.places, points=render.points)


def overlap(masks: PersonMasks, row: int, truth: LabelRuns) -> float:
    found = cv2.warpAffine(masks.grey[row], masks.into[row], masks.size) >= 128
    true = truth.person(int(masks.frame[row]), 0)
    return float((found & true).sum() / (found | true).sum())


def test_masks_are_those_of_the_person(render: Render, masks: PersonMasks) -> None:
    """Nine tenths is asked for; 960 frames of eight other scenes have .956 on average."""
    overlaps = [overlap(masks, k, render.truth) for k in range(len(masks))]
    assert len(masks) == 12
    assert min(overlaps) > 0.9
    assert masks.confidence.min() == 1.0
    assert masks.size == render.clip.probe().size


def test_chosen_frames_have_the_same_masks_but_for_the_smoothing(
    render: Render, masks: PersonMasks
) -> None:
    some = person_masks(render.clip, render.places, [2, 7], points=render.points)
    assert some.frame.tolist() == [2, 7]
    for k, frame in enumerate((2, 7)):
        np.testing.assert_array_equal(some.into[k], masks.into[frame])
        white, other = some.grey[k] >= 128, masks.grey[frame] >= 128
        assert (white & other).sum() / (white | other).sum() > 0.97
        assert overlap(some, k, render.truth) > 0.9
    with pytest.raises(InputError, match="no frame 99"):
        person_masks(render.clip, render.places, [2, 99])


def test_where_nobody_is_there_is_no_mask(render: Render) -> None:
    places = render.places.copy()
    places[3] = np.nan
    told: list[tuple[int, int]] = []
    found = person_masks(
        render.clip, places, [2, 3], progress=lambda done, total: told.append((done, total))
    )
    assert found.usable.tolist() == [True, False]
    assert found.reason[1] == "the person was not found in this frame"
    assert not found.grey[1].any()
    assert told == [(1, 2), (2, 2)]


def test_nothing_is_masked_outside_of_the_picture(render: Render) -> None:
    """A place beside the picture: networks see the border's pixels repeated there."""
    places = render.places + np.array([260.0, 0, 260, 0])
    found = person_masks(render.clip, places, [0])
    u, v = np.meshgrid(np.arange(256), np.arange(256))
    x = found.into[0] @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    outside = (x[0] > found.size[0]).reshape(256, 256)
    assert outside.sum() > 10_000
    assert not found.grey[0][outside].any()


def _selfie(name: str) -> Path:
    spec = find_spec("mediapipe")
    folder = (
        Path(spec.submodule_search_locations[0])
        if spec and spec.submodule_search_locations
        else None
    )
    file = folder and folder / "modules" / "selfie_segmentation" / name
    if file is None or not file.is_file():
        pytest.skip("mediapipe, whose wheel carries a selfie segmenter, is not installed")
    return file


@pytest.mark.parametrize(
    "name", ["selfie_segmentation.tflite", "selfie_segmentation_landscape.tflite"]
)
def test_the_selfie_segmenter_finds_the_person(render: Render, name: str) -> None:
    """It is made for calls, not for whole bodies: .88 and .84 in 960 frames of eight scenes."""
    segmenter = SelfieSegmenter(_selfie(name))
    found = person_masks(render.clip, render.places, [0, 6], segmenter=segmenter)
    assert min(overlap(found, k, render.truth) for k in range(2)) > 0.7


def test_other_files_are_no_segmenter(tmp_path: Path) -> None:
    (tmp_path / "text.tflite").write_text("nothing")
    with pytest.raises(InputError, match="not a selfie segmenter"):
        SelfieSegmenter(tmp_path / "text.tflite")
    from kinefit.detect.blazepose import weights

    (tmp_path / "pose.tflite").write_bytes(weights("pose_detection"))
    with pytest.raises(InputError, match="not a selfie segmenter"):
        SelfieSegmenter(tmp_path / "pose.tflite")
    with pytest.raises(InputError):
        SelfieSegmenter(tmp_path / "absent.tflite")
