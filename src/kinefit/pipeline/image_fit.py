"""Bodies in pictures: detection, SMPLify, and what is written of each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kinefit.body.load import load_body
from kinefit.detect import make_detector
from kinefit.fit.fit_report import bone_lengths
from kinefit.fit.recipes.image import (
    DEFAULT_FOCAL_PX,
    ImageFit,
    ImageOptions,
    ImagePoints,
    fit_image,
)
from kinefit.geometry.projection import focal_from_fov, to_camera
from kinefit.io.atomic import write_json
from kinefit.io.body_npz import write_motion
from kinefit.io.focal_length import focal_of_file
from kinefit.io.obj import write_obj
from kinefit.io.video import Clip, frames
from kinefit.multiview.people import find_in_view
from kinefit.pipeline.config import PictureOptions
from kinefit.pipeline.context import Progress
from kinefit.pipeline.provenance import versions
from kinefit.pipeline.results import words_about
from kinefit.pipeline.single_step import run_job
from kinefit.pipeline.stages.scene import figure_of
from kinefit.pipeline.store import check_folder
from kinefit.quality.verdict import marker_words, picture_findings
from kinefit.render.body_overlay import write_body_picture
from kinefit.report.page import ReportData, body_table, write_report
from kinefit.report.parts import Cell, Table
from kinefit.report.scene import Scene, pack_scene
from kinefit.tracking.view_people import ViewPeople
from kinefit.types import InputError, Keypoints2D, NobodyFound, Timeline


@dataclass(frozen=True)
class PictureResult:
    """One person of a picture: the report that was written, and the files; `reason` where there is
    no body."""

    picture: Path
    reason: str
    report: dict[str, Any]
    files: tuple[Path, ...]


def fit_pictures(
    pictures: Sequence[Path],
    out: Path,
    options: PictureOptions,
    *,
    focal_px: float | None = None,
    fov_deg: float | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> list[PictureResult]:
    """A body for the person in each picture; files in `out`, named like the pictures.

    focal_px, or fov_deg across the longer side: of the camera; with neither, what it noted in the
    file, or 5000 px. Pictures without a person, or whose body cannot be found, have a reason.
    Raises InputError for a file that is no picture, two of one name, contradicting options, and
    when no picture has a body: then nothing is written.
    """
    check_folder(out)
    if focal_px is not None and fov_deg is not None:
        raise InputError("--fov", "the focal length is given too", "give one of the two")
    if focal_px is not None and not focal_px > 0:
        raise InputError("--focal-px", f"{focal_px:g} is no length", "give it in pixels")
    if fov_deg is not None and not 0 < fov_deg < 180:
        raise InputError("--fov", f"{fov_deg:g} degrees is no field of view", "give 5 to 170")
    stems = [picture.stem for picture in pictures]
    if len(set(stems)) < len(stems):
        twice = next(s for s in stems if stems.count(s) > 1)
        raise InputError(twice, "two pictures have this name", "fit them into different folders")
    body = load_body(options.body, options.gender, child=options.child)
    seen = _detected(pictures, options, progress)
    chosen = ImageOptions() if options.head else ImageOptions(face_weight=0.0)
    lenses = [_lens(one, focal_px, fov_deg) for one in seen]
    fit = fit_image(body, _points([one.image for one in seen], lenses), chosen)
    reasons = [one.reason or why for one, why in zip(seen, fit.reason, strict=True)]
    if all(reasons):
        said = f"none of {len(pictures)} pictures has a body" if len(pictures) > 1 else reasons[0]
        hint = "show a whole person, upright and well lit"
        raise InputError(pictures[0], said, hint)

    def write(folder: Path, _: Path) -> list[PictureResult]:
        everybody = options.people == "all"
        return [_write(folder, replace(one, reason=reasons[i]), everybody, fit, i, lenses[i])
                for i, one in enumerate(seen)]  # fmt: skip

    inputs = {picture.name: picture for picture in pictures}
    settings = options.model_dump(mode="json") | {"focal_px": focal_px, "fov_deg": fov_deg}
    _, found = run_job(out, "fit image", inputs, settings, write, stem=pictures[0].stem)
    assert found is not None
    return [replace(one, files=tuple(out / file.name for file in one.files)) for one in found]


_NOBODY = "no person was found in it"


@dataclass(frozen=True, eq=False)
class _Person:
    """Somebody in a picture: `number` of `count` people in it, the largest and surest first.

    reason: why nobody is meant.
    """

    picture: Path
    image: Keypoints2D
    number: int = 1
    count: int = 1
    reason: str = ""

    def stem(self, everybody: bool) -> str:
        """How the names of the files begin."""
        several = everybody and self.count > 1
        return f"{self.picture.stem}_person{self.number}" if several else self.picture.stem


def _detected(
    pictures: Sequence[Path], options: PictureOptions, progress: Progress
) -> list[_Person]:
    """The landmarks of who is meant in each picture, or of everybody."""
    detector, pointer = make_detector("blazepose"), options.pointer
    found: list[_Person] = []
    for i, picture in enumerate(pictures):
        clip = Clip(picture)
        info = clip.probe()
        if info.n_frames != 1:
            reason = f"it has {info.n_frames} frames"
            raise InputError(picture, reason, "give it to `kinefit fit video`")
        try:
            view = ViewPeople(detector.people(clip), Timeline.regular(1, 1.0), info.size)
            recorded = find_in_view(picture.stem, view, options.person, pointer)
        except InputError as error:
            count = len(detector.names)
            points, score = np.full((1, count, 2), np.nan), np.zeros((1, count))
            timeline = Timeline.regular(1, 1.0)
            nobody = Keypoints2D(timeline, detector.names, points, score, info.size)
            reason = _NOBODY if isinstance(error, NobodyFound) else error.bare_reason
            found.append(_Person(picture, nobody, reason=reason))
        else:
            count = len(recorded.people)
            wanted = range(1, count + 1) if options.people == "all" else [recorded.number]
            found += [
                _Person(picture, replace(recorded, number=n).tracks()[picture.stem].image, n, count)
                for n in wanted
            ]
        progress("detect", i + 1, len(pictures))
    return found


class _Lens(NamedTuple):
    """focal_px: pixels. source: given, file or assumed. notes: where it is from, in sentences."""

    focal_px: float
    source: str
    notes: tuple[str, ...] = ()


def _lens(one: _Person, focal_px: float | None, fov_deg: float | None) -> _Lens:
    size = one.image.image_size
    if fov_deg is not None:
        return _Lens(focal_from_fov(np.radians(fov_deg), size), "given")
    if focal_px is not None:
        return _Lens(focal_px, "given")
    noted, ignored = focal_of_file(one.picture, size)
    if noted is None:
        said = f"Focal length not known: {DEFAULT_FOCAL_PX:.0f} pixels were assumed."
        return _Lens(DEFAULT_FOCAL_PX, "assumed", (*ignored, said))
    said = f"Focal length from what the camera noted in the file ({noted.tag}; give or take "
    return _Lens(noted.focal_px, "file", (f"{said}{noted.sd:.0%}).",))


def _points(seen: Sequence[Keypoints2D], lenses: Sequence[_Lens]) -> ImagePoints:
    return ImagePoints(
        seen[0].names,
        np.concatenate([image.xy for image in seen]),
        np.concatenate([image.score for image in seen]),
        np.array([image.image_size for image in seen], dtype=np.float64),
        np.array([lens.focal_px for lens in lenses]),
    )


def _write(
    folder: Path, one: _Person, everybody: bool, fit: ImageFit, i: int, lens: _Lens
) -> PictureResult:
    """`<stem>_body.json`, and with a pose `.npz`, `.obj`, `.png` and the pages."""
    body, picture, reason = fit.body, one.picture, one.reason
    report = _report(one, fit, i, lens)
    stem = folder / f"{one.stem(everybody)}_body"
    pages = ("_viewer.html", "_report.html")
    ends = (".json",) if reason else (".json", ".npz", ".obj", ".png", *pages)
    files = tuple(stem.with_name(f"{stem.name}{end}") for end in ends)
    write_json(files[0], report)
    if not reason:
        motion = fit.motion(i)
        vertices = body.motion_vertices(motion)[0]
        write_motion(files[1], motion)
        write_obj(files[2], vertices, body.faces)
        photo = next(iter(frames(picture))).rgb
        assert photo is not None  # it was decoded for the detector
        write_body_picture(files[3], photo, fit.view(i), body, vertices)
        _write_page(files[5], one, fit, i, report)
    return PictureResult(picture, reason, report, files)


def _write_page(path: Path, one: _Person, fit: ImageFit, i: int, report: Mapping[str, Any]) -> None:
    camera, motion = fit.view(i), fit.motion(i)
    depth = float(to_camera(camera, fit.body.motion_vertices(motion)[0])[:, 2].mean())
    off_cm = 100 * report["mean_residual_px"] * depth / float(camera.K[0, 0])
    stature = float(np.ptp(fit.body.rest_vertices(motion.shape)[:, 1]))
    width, height = camera.size
    stem = path.stem.removesuffix("_report")
    rows: list[list[Cell]] = [[marker_words(k), v] for k, v in report["residual_px"].items()]
    data = ReportData(
        title=one.picture.stem,
        kind="one picture",
        findings=picture_findings(report, off_cm),
        facts=[
            ("Picture", one.picture.name),
            *_who(one),
            ("Size", f"{width} × {height} px"),
            ("Focal length", f"{camera.K[0, 0]:.0f} px, {report['camera']['focal_from']}"),
            ("Distance from the points", f"{report['mean_residual_px']:.1f} px, {off_cm:.1f} cm"),
        ],
        film=path.with_name(f"{stem}.png"),
        scene=pack_scene(
            Scene(
                one.picture.stem,
                motion.timeline,
                [figure_of(fit.body, motion)],
                cameras=[camera],
                floor=False,
            )
        ),
        tables=[
            body_table(stature, bone_lengths(fit.body, motion.shape)),
            Table("Points", ("Point", "Distance, px"), rows, folded=True),
        ],
        assumed=report["notes"],
        files=words_about({file.name: False for file in path.parent.glob(f"{stem}*")}),
        versions=versions(),
    )
    write_report(path, data)


def _who(one: _Person) -> list[tuple[str, str]]:
    """Which of several people it is, and how to choose another."""
    if one.count < 2:
        return []
    return [("Person", f"{one.number} of {one.count}: choose with --person, or --people all")]


def _report(one: _Person, fit: ImageFit, i: int, lens: _Lens) -> dict[str, Any]:
    report: dict[str, Any] = {
        "picture": one.picture.name,
        "person": one.number,
        "people": one.count,
        "body": fit.body.name,
        "reason": one.reason,
    }
    if one.reason:
        return report
    camera = fit.view(i)  # in the world of the .npz and the .obj
    residual = {
        name: None if np.isnan(v) else round(float(v), 2)
        for name, v in zip(fit.names, fit.residual_px[i], strict=True)
    }
    return report | {
        "camera": {
            "image_size": list(camera.size),
            "K": camera.K.tolist(),
            "R": camera.R.tolist(),
            "t_m": camera.t.tolist(),
            "focal_from": lens.source,
        },
        "notes": list(lens.notes),
        "shape": dict(zip(fit.body.shape.names, fit.shape[i].round(4).tolist(), strict=True)),
        "residual_px": residual,
        "mean_residual_px": round(float(np.nanmean(fit.residual_px[i])), 2),
        "orientation": _orientation(fit, i),
        "converged": bool(fit.converged[i]),
    }


def _orientation(fit: ImageFit, i: int) -> dict[str, Any]:
    """Which way round the body faces, and how sure that is."""
    if not np.isfinite(fit.loss[i]).all():
        return {"tried_both": False, "turned_won": False, "won_by": None, "decided": True}
    margin = float(fit.margin[i])
    return {
        "tried_both": True,
        "turned_won": bool(fit.flipped[i]),
        "won_by": round(margin, 4),
        "decided": margin > _DECIDED,
    }


# Two fits whose losses differ by less ended in one pose, or in two that the picture cannot tell
# apart.
_DECIDED = 0.01
