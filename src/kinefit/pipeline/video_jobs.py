"""Jobs on video: the plan, parts of it, and the plan for everybody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.pipeline.config import RunConfig, run_config
from kinefit.pipeline.context import CancelToken, Job, Progress
from kinefit.pipeline.execute import run_plan
from kinefit.pipeline.manifest import read_manifest
from kinefit.pipeline.plan import MARKERS_AND_ANGLES, WITHOUT_BODY, stages_of
from kinefit.pipeline.preflight import check_job
from kinefit.pipeline.results import RIG_STEM, default_folder, files_of
from kinefit.pipeline.run_result import RunResult, findings_of
from kinefit.pipeline.stages.observe import people_of
from kinefit.pipeline.store import open_folder
from kinefit.quality.verdict import frames_words
from kinefit.types import Finding, InputError

Files = str | Path | Sequence[str | Path]


def run(
    videos: Files,
    *,
    height: float | None = None,
    mass: float | None = None,
    out: str | Path | None = None,
    until: str | None = None,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
    cancel: CancelToken | None = None,
    **options: Any,
) -> RunResult:
    """`kinefit run` in Python: video, or videos of calibrated cameras, to everything.

    height: metres; sets the scale of everything. mass: kilograms. out: the folder of results; by
    default that of the command line, e.g. kinefit_output/walk. options: those of `kinefit run`,
    with underscores (calibration, person, fov, start, ...). Otherwise as `process`.

    Raises InputError for input or options that cannot be used.

    >>> run("walk.mp4", height=178)
    Traceback (most recent call last):
        ...
    kinefit.types.errors.InputError: --height: 178 m is not the height of a person. Next: \
give 1.78 if you mean 178 centimetres.
    """
    given = {"height": height, "mass": mass, **options}
    config = run_config({name: value for name, value in given.items() if value is not None})
    folder = default_folder(_paths(videos)) if out is None else out
    return process(videos, folder, config, until=until, overwrite=overwrite, progress=progress,
                   cancel=cancel)  # fmt: skip


def process(
    videos: Files,
    out: str | Path,
    config: RunConfig,
    *,
    until: str | None = None,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
    cancel: CancelToken | None = None,
) -> RunResult:
    """The whole plan: video, or videos of calibrated cameras, to everything, in the folder `out`.

    A video belongs to the camera of the calibration that has its name (without the suffix); the
    order of the files means nothing. What is there already from the same input, options and
    version is reused; what is not, and is in the way of nothing, stays.

    until: the last stage to do. cancel: asked between frames; then Cancelled is raised.
    Raises InputError and its kin for input that cannot be used.
    """
    _one_person(config)
    job = _job(videos, config, progress, cancel)
    return _done(job, out, until=until, overwrite=overwrite)


def fit(
    sources: Files,
    out: str | Path,
    config: RunConfig,
    *,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
    cancel: CancelToken | None = None,
) -> RunResult:
    """The plan without markers and angles: the body, what it is exported as, overlay and report.

    sources: as for `process`; or one bundle (.npz) of triangulated points with their covariances.
    """
    _one_person(config)
    job = _job(sources, config, progress, cancel)
    return _done(job, out, without=MARKERS_AND_ANGLES, overwrite=overwrite)


@dataclass(frozen=True)
class MaskResult:
    """files: what was written. cameras: name -> what its `_masks.json` says."""

    files: tuple[Path, ...]
    cameras: dict[str, dict[str, Any]]

    def doubts(self, camera: str) -> list[str]:
        """Each reason for which masks of a camera are doubtful, and in which frames."""
        frames: dict[str, list[int]] = {}
        for one in self.cameras[camera]["doubtful"]:
            frames.setdefault(one["reason"], []).append(one["frame"])
        return [f"{reason} ({frames_words(_runs(found))})" for reason, found in frames.items()]


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of whole numbers, which increase."""
    ends = np.flatnonzero(np.diff(numbers) > 1)
    runs = np.split(np.asarray(numbers), ends + 1)
    return [(int(run[0]), int(run[-1])) for run in runs]


def person_masks(
    videos: Files,
    out: str | Path,
    config: RunConfig,
    *,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
    cancel: CancelToken | None = None,
) -> MaskResult:
    """The plan up to the masks of one person, in every camera; no height is needed.

    `config.masks` or `config.segmenter` say where they come from; else from the detector's own
    network. Otherwise as `process`; `kinefit.io.masks.read_masks` reads the result.
    """
    if config.people == "all":
        hint = "give --person 1, 2, ... in turn, or kinefit run --people all --save-mask"
        raise InputError("--people all", "these are masks of one person", hint)
    chosen = config.model_copy(update={"save_mask": True})
    job = _job(videos, chosen, progress, cancel, body=False)
    if job.kind == "bundle":
        raise InputError(job.source, "it is no video", "give the video, or those of all cameras")
    last = "heads" if config.head_mask else "masks"
    folder = run_plan(job, Path(out), until=last, without=WITHOUT_BODY, overwrite=overwrite)
    ends = ["_masks.npz", "_masks.json", "_mask.mp4"]
    ends += ["_heads.npz", "_heads.json"] if config.head_mask else []
    files = tuple(folder.file(f"{camera}{end}") for camera in job.inputs for end in ends)
    told = {c: json.loads(folder.file(f"{c}_masks.json").read_text("utf-8")) for c in job.inputs}
    return MaskResult(files, told)


def _one_person(config: RunConfig) -> None:
    if config.people == "all":
        hint = "in Python call kinefit.api.everybody, which gives one result for each person"
        raise InputError("people", "this gives the result of one person", hint)


def everybody(
    sources: Files,
    out: str | Path,
    config: RunConfig,
    *,
    markers: bool = True,
    until: str | None = None,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
    cancel: CancelToken | None = None,
) -> list[RunResult]:
    """`process` for each person of the recording, in folders `person_1`, ... of `out`.

    The videos are looked at once. markers: False for what `fit` does. Who cannot be fitted has the
    verdict "unusable" and the reason; raises as `process` where nobody can.
    """
    out, whole = Path(out), _job(sources, config, progress, cancel)
    without = () if markers else MARKERS_AND_ANGLES
    how: dict[str, Any] = {"until": until, "overwrite": overwrite, "without": without}
    names = [stage.name for stage in stages_of(whole, until=until, without=how["without"])]
    looked = "depth" if "depth" in names else "detect"
    run_plan(whole, out, until=looked, overwrite=overwrite)
    done: list[RunResult] = []
    errors: list[InputError] = []
    with open_folder(out) as found:
        for number in range(1, people_of(whole, found) + 1):
            one = config.model_copy(update={"person": number, "people": "one"})
            job, folder = replace(whole, config=one), out / f"person_{number}"
            try:
                done.append(_done(job, folder, lender=found, **how))
            except InputError as error:
                errors.append(error)
                done.append(RunResult(folder, "unusable", (Finding("refusal", str(error)),), ()))
    if len(errors) == len(done) and errors:
        raise errors[0]
    return done


def _job(
    sources: Files,
    config: RunConfig,
    progress: Progress,
    cancel: CancelToken | None,
    *,
    body: bool = True,
) -> Job:
    """What the plan is run for; InputError for input that it would refuse later."""
    files = _paths(sources)
    if not files:
        raise InputError("videos", "no video is named", "name one, or those of several cameras")
    first, how = files[0], (config, progress, cancel)
    if len(files) > 1:
        job = Job("rig", RIG_STEM, _by_camera(files), *how)
    elif first.suffix == ".npz":
        job = Job("bundle", first.stem, {"bundle": first}, *how)
    else:
        job = Job("video", first.stem, {first.stem: first}, *how)
    check_job(job, body=body)
    return job


def _paths(sources: Files) -> list[Path]:
    return [Path(sources)] if isinstance(sources, (str, Path)) else [Path(one) for one in sources]


def _done(job: Job, out: str | Path, **how: Any) -> RunResult:
    folder = run_plan(job, out := Path(out), **how)
    manifest, files = read_manifest(out), tuple(files_of(folder))
    return RunResult(out, str(manifest.get("verdict", "")), findings_of(manifest), files)


def _by_camera(videos: Sequence[Path]) -> dict[str, Path]:
    """Camera name -> video, sorted by name; raises InputError for two of one name."""
    named: dict[str, Path] = {}
    for video in sorted(videos, key=lambda path: path.stem):
        if video.stem in named:
            reason = f"{named[video.stem]} is camera {video.stem!r} already"
            hint = "name each video as its camera is named in the calibration"
            raise InputError(video, reason, hint)
        named[video.stem] = video
    return named
