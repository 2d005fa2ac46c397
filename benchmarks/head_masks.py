"""Head masks on rendered people of every hair style: overlap with the truth, step by step.

    python -m benchmarks.head_masks OUT.md --work DIR [--scenes 3] [--seed 90000]

`kinefit synth` renders people with each style before four cameras around them. kinefit's detector
follows them, its landmark network gives the person's mask, and `kinefit.detect.masks.head` the
head's: with the keypoints alone, then with each further step. The overlap (intersection over union,
IoU) is that in the picture, with the visible head, hair and headwear included. Thresholds and
shares of the method were chosen on other scenes (seeds 7000 to 7107).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from kinefit.api import make_scenes
from kinefit.detect.blazepose import NAMES, LandmarkNetwork, region
from kinefit.detect.embedded import BlazePoseDetector
from kinefit.detect.masks.head import STEPS, head_masks
from kinefit.io.atomic import write_text
from kinefit.io.video import Clip, Picture, frames
from kinefit.synth.scene_options import HAIR_STYLES, SynthOptions
from kinefit.synth.truth import SceneTruth, ViewTruth, read_truth
from kinefit.types import BoolArray, FloatArray, NobodyFound, PersonMasks

TARGET = 0.8
BUDGET_MS = 15.0  # of processor time, person and head, a frame of 1080p
SIDES = ("front", "side", "back")
SMALLEST = 80  # pixels of a head; of less, one row of pixels is a tenth
EVERY = 3  # points are missing in each third frame, where that is tried
# Codes of scores that are no number of steps: the person's mask; all steps within the true person;
# all steps but tracking, and all, in a frame without points.
PERSON, TRUE_PERSON, GAP, GAP_TRACKED = 0, -1, -2, -3
SETTING = {"views": 4, "rate": 8.0, "seconds": 0.75, "width": 360, "height": 480}


@dataclass(frozen=True, eq=False)
class Video:
    """One person before one camera. side: (N,) of the head that is seen. nobody: frames in which
    the detector found nobody."""

    pictures: list[Picture]
    points: FloatArray
    persons: PersonMasks
    true_head: list[BoolArray]
    true_person: list[BoolArray]
    side: list[str]
    nobody: int
    mask_ms: float


@dataclass(frozen=True)
class Score:
    """Of one frame. step: number of steps done, or one of the codes below."""

    style: str
    side: str
    step: int
    overlap: float


def watched(scene: Path) -> Iterator[Video | int]:
    """The views of a scene; of one in which nobody was found, the number of its frames."""
    truth, network = read_truth(scene), LandmarkNetwork(masks=True)
    for view in truth.views:
        path = scene / f"{view.camera.name}.mp4"
        try:
            people = BlazePoseDetector(threads=1).people(Clip(path))
        except NobodyFound:
            yield len(view.timeline)
            continue
        assert people.place is not None
        rows = [i for i in range(len(people.frame)) if len(people.points[i])]
        films = [frame.rgb for frame in frames(path)]
        chosen = [_nearest(people.points[i], view, i) for i in rows]
        pictures, start = [p for i in rows if (p := films[i]) is not None], time.process_time()
        places = [people.place[i][k] for i, k in zip(rows, chosen, strict=True)]
        poses = [network(p, place) for p, place in zip(pictures, places, strict=True)]
        spent = 1000 * (time.process_time() - start) / max(len(rows), 1)
        yield Video(
            pictures,
            np.stack([people.points[i][k] for i, k in zip(rows, chosen, strict=True)]),
            PersonMasks(
                people.frame[rows],
                np.stack([np.uint8(255 * p.mask) for p in poses if p.mask is not None]),
                np.stack([region(place) for place in places]),
                view.camera.size,
                np.array([min(max(p.sure, 0.0), 1.0) for p in poses]),
                ("the network is not sure",) * len(rows),
            ),
            [view.masks.head(i, 0) for i in rows],
            [view.masks.person(i, 0) for i in rows],
            [_side(truth, view, i) for i in rows],
            len(films) - len(rows),
            spent,
        )


def _nearest(points: FloatArray, view: ViewTruth, row: int) -> int:
    middle = np.nanmedian(view.xy[0, row], axis=0)
    return int(np.argmin(np.linalg.norm(np.nanmean(points[..., :2], axis=1) - middle, axis=-1)))


def _side(truth: SceneTruth, view: ViewTruth, row: int) -> str:
    """The side of the head that the camera sees: by the direction from the ears to the nose."""
    points = truth.people[0].points
    nose, left, right = (points.xyz[row, points.names.index(n)] for n in ("Nose", "LEar", "REar"))
    forward = view.R[row] @ (nose - (left + right) / 2)
    share = -forward[2] / np.linalg.norm(forward)
    return "front" if share > 0.5 else "back" if share < -0.5 else "side"


def scores(style: str, video: Video) -> Iterator[Score]:
    """Each step in each frame whose head is large enough."""
    persons = video.persons
    seen = [i for i, head in enumerate(video.true_head) if head.sum() >= SMALLEST]
    for i in seen:
        found = _in_picture(persons, i)
        yield Score(style, video.side[i], PERSON, _overlap(found, video.true_person[i]))
    for count in range(1, len(STEPS) + 1):
        masks = head_masks(video.pictures, video.points, persons, steps=STEPS[:count]).masks
        for i in seen:
            found = _in_picture(masks, i)
            yield Score(style, video.side[i], count, _overlap(found, video.true_head[i]))
    masks = head_masks(video.pictures, video.points, _true_persons(video)).masks
    for i in seen:
        found = _in_picture(masks, i)
        yield Score(style, video.side[i], TRUE_PERSON, _overlap(found, video.true_head[i]))
    gaps = video.points.copy()
    gaps[EVERY - 1 :: EVERY, : NAMES.index("LShoulder")] = np.nan
    for step, used in ((GAP, STEPS[:-1]), (GAP_TRACKED, STEPS)):
        masks = head_masks(video.pictures, gaps, persons, steps=used).masks
        for i in seen:
            if i % EVERY == EVERY - 1:
                found = _in_picture(masks, i)
                yield Score(style, video.side[i], step, _overlap(found, video.true_head[i]))


def _true_persons(video: Video) -> PersonMasks:
    side, flags = video.persons.grey.shape[-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pairs = zip(video.true_person, video.persons.into, strict=True)
    grey = [cv2.warpAffine(np.uint8(255) * p, into, (side, side), flags=flags) for p, into in pairs]
    return replace(video.persons, grey=np.stack(grey))


def _in_picture(masks: PersonMasks, i: int) -> BoolArray:
    return np.asarray(cv2.warpAffine(masks.grey[i], masks.into[i], masks.size) > 127)


def _overlap(a: BoolArray, b: BoolArray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def full_hd_ms(video: Video) -> list[float]:
    """Milliseconds of processor time a frame for each number of steps, the picture 1080 high."""
    scale = 1080 / video.persons.size[1]
    large = [cv2.resize(p, None, fx=scale, fy=scale) for p in video.pictures]
    points = video.points * [scale, scale, 1]
    into = video.persons.into * scale
    size = (large[0].shape[1], large[0].shape[0])
    persons = PersonMasks(
        video.persons.frame, video.persons.grey, into, size, video.persons.confidence,
        video.persons.reason,
    )  # fmt: skip
    spent = []
    for count in range(1, len(STEPS) + 1):
        start = time.process_time()
        head_masks(large, points, persons, steps=STEPS[:count])
        spent.append(1000 * (time.process_time() - start) / len(large))
    return spent


def page(found: Sequence[Score], nobody: int, mask_ms: float, head_ms: Sequence[float]) -> str:
    """The tables as Markdown."""

    def overlaps(step: int, style: str = "", side: str = "") -> list[float]:
        return [
            s.overlap
            for s in found
            if s.step == step and style in ("", s.style) and side in ("", s.side)
        ]

    def mean(step: int, **of: str) -> str:
        chosen = overlaps(step, **of)
        return f"{np.mean(chosen):.2f}" if chosen else "-"

    def row(name: str, seen_from: str, **of: str) -> str:
        last = overlaps(len(STEPS), **of)
        if not last:
            return f"| {name} | {seen_from} | 0 |" + " - |" * (len(STEPS) + 4)
        cells = [mean(step, **of) for step in range(len(STEPS) + 1)]
        good = np.mean(np.array(last) >= TARGET)
        tail = f"{np.median(last):.2f} | {100 * good:.0f} % | {mean(TRUE_PERSON, **of)}"
        return f"| {name} | {seen_from} | {len(last)} | " + " | ".join(cells) + f" | {tail} |"

    head = ["keypoints", "+ face", "+ hair", "+ tracking"]
    lines = [
        f"| hair | seen from | frames | person's mask | {' | '.join(head)} | median | "
        f"IoU >= {TARGET} | within the true person |",
        "| --- " * (len(STEPS) + 7) + "|",
        *(row(s, side, style=s, side=side) for s in HAIR_STYLES[1:] for side in SIDES),
        *(row("all", side, side=side) for side in SIDES),
        row("all", "all"),
        "",
        f"Every third frame without points of the head, IoU there: {mean(GAP)} without tracking, "
        f"{mean(GAP_TRACKED)} with it. Left out, since the detector found nobody: {nobody} frames.",
        "",
        "| processor time, ms a frame at 1080 rows | |",
        "| --- | --- |",
        f"| landmarks with the person's mask | {mask_ms:.1f} |",
        *(f"| head: {name} | {ms:.1f} |" for name, ms in zip(head, head_ms, strict=True)),
        f"| person and head (budget {BUDGET_MS:.0f}) | {mask_ms + head_ms[-1]:.1f} |",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=3, help="of each style")
    parser.add_argument("--seed", type=int, default=90000)
    options = parser.parse_args()
    found: list[Score] = []
    nobody, mask_ms, head_ms = 0, [], []
    for k, style in enumerate(HAIR_STYLES[1:]):
        for n in range(options.scenes):
            chosen = SynthOptions(**SETTING, seed=options.seed + 100 * n + k, hair=style)
            (scene,) = make_scenes(options.work / f"{style}_{n}", chosen, processes=1)
            for video in watched(scene):
                if isinstance(video, int):
                    nobody += video
                    continue
                found += scores(style, video)
                nobody += video.nobody
                mask_ms.append(video.mask_ms)
                head_ms.append(full_hd_ms(video))
            print(style, n, flush=True)
    write_text(options.out, page(found, nobody, np.median(mask_ms), np.median(head_ms, axis=0)))


if __name__ == "__main__":
    main()
