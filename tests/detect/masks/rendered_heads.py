"""People whose heads are known: rendered walkers before four cameras."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from kinefit.body.anny import load_anny
from kinefit.detect.blazepose import LandmarkNetwork, PersonNetwork, region
from kinefit.detect.masks.head import HeadMasks, head_masks
from kinefit.io.video import Picture
from kinefit.synth.motion_library import motion_library
from kinefit.synth.scene import sample_scene
from kinefit.synth.scene_options import HairStyle, SynthOptions
from kinefit.synth.scene_renderer import SceneRenderer
from kinefit.synth.truth import LabelRuns
from kinefit.types import BoolArray, FloatArray, PersonMasks

FRAMES, VIEWS = 3, 4
SIZE = (240, 320)


@dataclass(frozen=True, eq=False)
class Video:
    """A person who walks, before one camera."""

    pictures: list[Picture]
    points: FloatArray
    persons: PersonMasks
    heads: list[BoolArray]

    def found(self, **options: object) -> HeadMasks:
        return head_masks(self.pictures, self.points, self.persons, **options)  # type: ignore[arg-type]

    def overlap(self, masks: PersonMasks) -> FloatArray:
        """(N,) intersection over union with the truth, in the picture."""
        return np.array([
            (a & b).sum() / (a | b).sum()
            for a, b in zip(in_picture(masks), self.heads, strict=True)
        ])  # fmt: skip


def in_picture(masks: PersonMasks) -> list[BoolArray]:
    return [
        np.asarray(cv2.warpAffine(grey, into, masks.size) > 127)
        for grey, into in zip(masks.grey, masks.into, strict=True)
    ]


@cache
def rendered(style: HairStyle) -> tuple[Video, ...]:
    """Before four cameras around the person."""
    options = SynthOptions(
        seed=5, hair=style, clip="walk", mix=False, treadmill=True, children=0.0, views=VIEWS,
        rate=10.0, seconds=FRAMES / 10, width=SIZE[0], height=SIZE[1], distance=1.0, shutter=0.0,
    )  # fmt: skip
    body = load_anny()
    rows = SceneRenderer(sample_scene(options, 0, body, motion_library(None)), body).render(
        0, FRAMES
    )
    people, landmarks = PersonNetwork(), LandmarkNetwork(masks=True)
    videos = []
    for c in range(VIEWS):
        pictures = [row[c].picture for row in rows]
        labels = LabelRuns.of(SIZE, [row[c].runs for row in rows])
        first = landmarks(pictures[0], people(pictures[0])[1][0])
        poses = [landmarks(picture, first.place) for picture in pictures]
        persons = PersonMasks(
            np.arange(FRAMES),
            np.stack([np.uint8(255 * pose.mask) for pose in poses if pose.mask is not None]),
            np.tile(region(first.place), (FRAMES, 1, 1)),
            SIZE,
            np.ones(FRAMES),
            ("",) * FRAMES,
        )
        points = np.stack([pose.values[:, :3] for pose in poses])
        heads = [labels.head(i, 0) for i in range(FRAMES)]
        videos.append(Video(pictures, points, persons, heads))
    return tuple(videos)
