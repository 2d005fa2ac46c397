"""Stage `masks`: where the chosen person is in every pixel of one video."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.detect.blazepose import NAMES
from kinefit.detect.masks.files import masks_of_files
from kinefit.detect.masks.frame_mask import FrameMask, in_picture
from kinefit.detect.masks.head import head_masks
from kinefit.detect.masks.network import LandmarkSegmenter, Segmenter, SelfieSegmenter, segment
from kinefit.detect.masks.smooth import smoothed
from kinefit.detect.masks.validate import Judge
from kinefit.detect.overlap import ahead
from kinefit.io.atomic import write_json
from kinefit.io.masks import MaskPacker, read_masks, write_masks
from kinefit.io.video import Clip, Picture, VideoFrame, VideoWriter
from kinefit.pipeline.artifacts import load_arrays, load_track
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.context import Context
from kinefit.types import FloatArray, InputError, Keypoints2D, PersonMasks

_VIDEO_QUALITY = 10  # x264 rate factor: the grey levels stay within a few steps of the mask's


def masks(context: Context) -> None:
    """`<camera>_masks.npz`, what each mask is worth in `_masks.json`, and `_mask.mp4`: the masks at
    full size.

    In the video white is person, black is not, grey in between as sure as the network is; a frame
    in which the person was not found (or that is damaged) is black.
    """
    camera, config, clip, info = context.camera, context.config, context.clip, context.clip.probe()
    points = load_track(context.read_internal(f"who_{camera}.npz")).image
    places = load_arrays(context.read_internal(f"where_{camera}.npz"))["place"]
    judge, packer = Judge(info.size, points), MaskPacker()
    frame: list[int] = []
    into: list[FloatArray] = []
    rate = info.rate_hz if np.isfinite(info.rate_hz) else 30.0
    path = context.new("_mask.mp4", camera)
    with (
        closing(_found(config, camera, clip, places, points)) as found,
        VideoWriter(path, info.size, rate_hz=rate, quality=_VIDEO_QUALITY) as video,
    ):
        watched = judge.watched(found)
        # What a user hands in is left as it is.
        for one in smoothed(watched) if config.masks is None and config.smooth_mask else watched:
            packer.add(one.grey)
            frame.append(one.frame)
            into.append(one.into)
            video.add(np.repeat(in_picture(one, info.size)[..., None], 3, axis=-1), one.time)
            context.progress(len(frame), info.n_frames)
    verdict = judge.verdict()
    packer.write(
        context.new("_masks.npz", camera), np.array(frame), np.array(into), info.size,
        verdict.confidence, verdict.reason,
    )  # fmt: skip
    told = summary_of(frame, verdict.confidence, verdict.reason)
    write_json(context.new("_masks.json", camera), told)


def heads(context: Context) -> None:
    """`<camera>_heads.npz`: the head in each of the person's masks, and `_heads.json`."""
    camera, clip = context.camera, context.clip
    persons = read_masks(context.read(f"{camera}_masks.npz"))
    track = load_track(context.read_internal(f"who_{camera}.npz")).image
    with ahead(clip.frames()) as frames:
        found = head_masks(
            _pictures(context, frames, persons), head_points(track, persons), persons
        )
    write_masks(context.new("_heads.npz", camera), found.masks)
    told = summary_of(persons.frame.tolist(), found.masks.confidence, found.masks.reason)
    write_json(context.new("_heads.json", camera), told)


def _pictures(
    context: Context, frames: Iterable[VideoFrame], persons: PersonMasks
) -> Iterator[Picture | None]:
    wanted = set(persons.frame.tolist())
    chosen = (frame.rgb for frame in frames if frame.index in wanted)
    for done, picture in enumerate(chosen, start=1):
        yield picture
        context.progress(done, len(persons))


def head_points(track: Keypoints2D, persons: PersonMasks) -> FloatArray:
    """(N, 33, 3) x, y in pixels and score of BlazePose's landmarks in the masks' frames; NaN for
    those that another detector does not have."""
    out = np.full((len(persons), len(NAMES), 3), np.nan)
    row = np.flatnonzero(np.isin(persons.frame, track.timeline.frame))
    at = np.searchsorted(track.timeline.frame, persons.frame[row])
    for column, name in enumerate(NAMES):
        if name in track.names:
            j = track.names.index(name)
            out[row, column] = np.column_stack([track.xy[at, j], track.score[at, j]])
    return out


def summary_of(frame: list[int], confidence: FloatArray, reason: Sequence[str]) -> dict[str, Any]:
    """What the JSON files say: how many masks can be used, and each that is not sure."""
    rows = zip(frame, confidence.tolist(), reason, strict=True)
    doubtful = [
        {"frame": number, "confidence": round(sure, 3), "reason": why}
        for number, sure, why in rows
        if sure < 1
    ]
    return {
        "frames": len(frame),
        "usable": int((confidence > 0).sum()),
        "mean_confidence": round(float(confidence.mean()), 3) if frame else 0.0,
        "doubtful": doubtful,
    }


def _found(
    config: RunConfig, camera: str, clip: Clip, places: FloatArray, points: Keypoints2D
) -> Generator[FrameMask, None, None]:
    if config.masks is not None:
        return masks_of_files(files_of_camera(config.masks, camera), clip, places, points)
    segmenter: Segmenter
    if config.segmenter is not None:
        segmenter = SelfieSegmenter(config.segmenter)
    else:
        own = config.detector_model if config.detector == "blazepose" else None
        segmenter = LandmarkSegmenter(own)
    return segment(clip, places, segmenter)


def files_of_camera(path: Path, camera: str) -> Path:
    """`path` itself, or what is named as the camera in that folder; raises InputError."""
    if not path.exists():
        raise InputError(path, "there is no such file or folder", "check the path")
    if not path.is_dir() or any(p.suffix.lower() == ".png" for p in path.iterdir()):
        return path
    inside = [p for p in path.iterdir() if not p.name.startswith(".")]
    found = [p for p in inside if camera == (p.name if p.is_dir() else p.stem)]
    if len(found) != 1:
        reason = f"it has {'several' if found else 'no'} masks of camera {camera!r}"
        hint = f"name them {camera} (a folder of PNG files), {camera}.mp4 or {camera}.json"
        raise InputError(path, reason, hint)
    return found[0]
