"""Bodies in pictures: detection, SMPLify, and what is written of each picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.body.load import load_body
from kinefit.body.model import BodyModel
from kinefit.detect import make_detector
from kinefit.fit.image import DEFAULT_FOCAL_PX, ImageFit, ImagePoints, fit_image
from kinefit.geometry.projection import focal_from_fov
from kinefit.io.atomic import write_json
from kinefit.io.body_npz import write_motion
from kinefit.io.obj import write_obj
from kinefit.io.video import Picture, frames, probe
from kinefit.pipeline.config import FitOptions
from kinefit.types import (
    Camera,
    FloatArray,
    InputError,
    IntArray,
    Keypoints2D,
    NobodyFound,
    Timeline,
)

# (file, photo, camera, vertices (V, 3), faces)
PictureWriter = Callable[[Path, Picture, Camera, FloatArray, IntArray], None]


@dataclass(frozen=True)
class PictureResult:
    """One picture: the report that was written, and the files; `reason` where it has no body."""

    picture: Path
    reason: str
    report: dict[str, Any]
    files: tuple[Path, ...]


def fit_pictures(
    pictures: Sequence[Path],
    out: Path,
    options: FitOptions,
    *,
    focal_px: float | None = None,
    fov_deg: float | None = None,
    draw: PictureWriter | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[PictureResult]:
    """A body for the person in each picture; files in `out`, named like the pictures.

    focal_px, or fov_deg across the longer side: of the camera; with neither, 5000 px. draw: writes
    the body on the photo. Pictures without a person, or whose body cannot be found, have a reason.
    Raises InputError for a file that is no picture, two of one name, and contradicting options.
    """
    if focal_px is not None and fov_deg is not None:
        raise InputError("--fov", "the focal length is given too", "give one of the two")
    stems = [picture.stem for picture in pictures]
    if len(set(stems)) < len(stems):
        twice = next(s for s in stems if stems.count(s) > 1)
        raise InputError(twice, "two pictures have this name", "fit them into different folders")
    body = load_body(options.body, options.gender, child=options.child)
    seen = _detected(pictures, progress)
    fit = fit_image(body, _points(seen, focal_px, fov_deg))
    out.mkdir(parents=True, exist_ok=True)
    return [
        _write(out / f"{p.stem}_body", p, body, fit, i, options, draw)
        for i, p in enumerate(pictures)
    ]


def _detected(pictures: Sequence[Path], progress: Callable[[int, int], None]) -> list[Keypoints2D]:
    """The landmarks of the person in each picture."""
    detector = make_detector("mediapipe")
    found = []
    for i, picture in enumerate(pictures):
        info = probe(picture)
        if info.n_frames != 1:
            hint = "give it to `kinefit fit video`"
            raise InputError(picture, f"it has {info.n_frames} frames", hint)
        try:
            found.append(detector.track(picture).image)
        except NobodyFound:
            count = len(detector.names)
            points, score = np.full((1, count, 2), np.nan), np.zeros((1, count))
            timeline = Timeline.regular(1, 1.0)
            found.append(Keypoints2D(timeline, detector.names, points, score, info.size))
        progress(i + 1, len(pictures))
    return found


def _points(
    seen: Sequence[Keypoints2D], focal_px: float | None, fov_deg: float | None
) -> ImagePoints:
    def focal(image: Keypoints2D) -> float:
        if fov_deg is not None:
            return focal_from_fov(np.radians(fov_deg), image.image_size)
        return DEFAULT_FOCAL_PX if focal_px is None else focal_px

    return ImagePoints(
        seen[0].names,
        np.concatenate([image.xy for image in seen]),
        np.concatenate([image.score for image in seen]),
        np.array([image.image_size for image in seen], dtype=np.float64),
        np.array([focal(image) for image in seen]),
    )


def _write(
    stem: Path,
    picture: Path,
    body: BodyModel,
    fit: ImageFit,
    i: int,
    options: FitOptions,
    draw: PictureWriter | None,
) -> PictureResult:
    """`<stem>.json`, and with a pose `<stem>.npz`, `.obj` and `.png`."""
    files = [stem.with_name(f"{stem.name}.json")]
    report = _report(picture, body, fit, i)
    if not fit.reason[i]:
        motion = fit.motion(i)
        for kind in ("npz", "obj"):
            files.append(stem.with_name(f"{stem.name}.{kind}"))
        vertices = body.motion_vertices(motion)[0]
        write_motion(files[1], motion)
        write_obj(files[2], vertices, body.faces)
        if draw is not None:
            files.append(stem.with_name(f"{stem.name}.png"))
            photo = next(iter(frames(picture))).rgb
            assert photo is not None  # it was decoded for the detector
            draw(files[3], photo, fit.view(i), vertices, body.faces)
    write_json(files[0], report)
    return PictureResult(picture, fit.reason[i], report, tuple(files))


def _report(picture: Path, body: BodyModel, fit: ImageFit, i: int) -> dict[str, Any]:
    report: dict[str, Any] = {"picture": picture.name, "body": body.name, "reason": fit.reason[i]}
    if fit.reason[i]:
        return report
    camera, both = fit.camera(i), bool(np.isfinite(fit.loss[i]).all())
    residual = {
        name: None if np.isnan(v) else round(float(v), 2)
        for name, v in zip(fit.names, fit.residual_px[i], strict=True)
    }
    return report | {
        "camera": {
            "focal_px": float(fit.focal_px[i]),
            "R": camera.R.tolist(),
            "t_m": camera.t.tolist(),
        },
        "shape": {
            name: round(float(v), 4) for name, v in zip(body.shape.names, fit.shape[i], strict=True)
        },
        "residual_px": residual,
        "mean_residual_px": round(float(np.nanmean(fit.residual_px[i])), 2),
        "orientation": {
            "tried_both": both,
            "turned_won": bool(fit.turned[i]) if both else False,
            "won_by": round(float(fit.margin[i]), 4) if both else None,
        },
        "converged": bool(fit.converged[i]),
    }
