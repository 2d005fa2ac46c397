"""Folders of runs whose detector made no error: all later stages are the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from kinefit.io.people import People
from kinefit.pipeline import plan
from kinefit.pipeline.artifacts import save_people
from kinefit.pipeline.config import run_config
from kinefit.pipeline.context import Context, Job, Kind
from kinefit.pipeline.execute import run_plan
from kinefit.pipeline.plan import MARKERS_AND_ANGLES
from kinefit.pipeline.results import RIG_STEM
from kinefit.synth.truth import SceneTruth
from kinefit.types import PoseTrack, Timeline

from .scenes import track


def one_camera(
    scene: Path, truth: SceneTruth, out: Path, camera: str = "cam01", **options: object
) -> Path:
    """As `kinefit run cam01.mp4` leaves it."""
    return _run("video", camera, {camera: scene / f"{camera}.mp4"}, truth, out, **options)


def several_cameras(
    scene: Path,
    truth: SceneTruth,
    out: Path,
    *,
    whole: bool = True,
    **more: object,
) -> Path:
    """As `kinefit run *.mp4 --calibration ...` leaves it; not `whole`: as a fit does."""
    videos = {name: scene / f"{name}.mp4" for name in truth.rig.names}
    options = {"calibration": scene / "calibration.toml", **more}
    without = () if whole else MARKERS_AND_ANGLES
    return _run("rig", RIG_STEM, videos, truth, out, without, **options)


def _run(
    kind: Kind,
    stem: str,
    videos: Mapping[str, Path],
    truth: SceneTruth,
    out: Path,
    without: tuple[str, ...] = (),
    **options: object,
) -> Path:
    someone = truth.people[0]
    subject = {"height": someone.stature_m, "mass": someone.mass_kg}
    config = run_config({**subject, "overlay": False, "export": "", **options})
    stages = tuple(
        replace(stage, work=_true_detection(truth), per_camera=False)
        if stage.name == "detect"
        else stage
        for stage in plan.PLAN
    )
    with patch.object(plan, "PLAN", stages):
        run_plan(Job(kind, stem, videos, config), out, without=without)
    return out


def part_of(found: PoseTrack, timeline: Timeline) -> PoseTrack:
    """The frames of a whole video's track that are in `timeline`, at its times."""
    rows, body = timeline.frame, found.body
    assert body is not None
    return replace(
        found,
        image=replace(
            found.image, timeline=timeline, xy=found.image.xy[rows], score=found.image.score[rows]
        ),
        body=replace(body, timeline=timeline, xyz=body.xyz[rows]),
    )


def _true_detection(truth: SceneTruth) -> Callable[[Context], None]:
    def work(context: Context) -> None:
        for name, clip in context.clips.items():
            found = part_of(track(truth, name), clip.timeline())
            save_people(context.internal(f"people_{name}.npz"), _alone(found))

    return work


def _alone(track: PoseTrack) -> People:
    """A detector's list in which this is the only person."""
    image, body = track.image, track.body
    assert body is not None
    points = np.concatenate([image.xy, image.score[..., None]], axis=-1)
    seen = [slice(int(found)) for found in image.found]
    return People(
        image.names,
        image.timeline.frame,
        tuple(row[None][there] for row, there in zip(points, seen, strict=True)),
        tuple(row[None][there] for row, there in zip(body.xyz, seen, strict=True)),
        source=track.source,
    )
