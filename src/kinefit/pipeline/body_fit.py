"""A body through a run's videos: the stage that follows the initial markers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinefit.body.anatomy import violations
from kinefit.body.load import load_body
from kinefit.body.model import BodyModel
from kinefit.export.motion_files import (
    at_constant_rate,
    export_amass,
    export_bvh,
    export_glb,
    export_obj_frames,
)
from kinefit.fit.fit_report import clip_report, marker_report
from kinefit.fit.recipes.clip import ClipFit, ClipOptions, fit_clip
from kinefit.fit.recipes.markers import fit_markers
from kinefit.io.atomic import write_json
from kinefit.io.body_npz import write_motion
from kinefit.io.c3d import read_c3d
from kinefit.io.trc import read_trc, write_trc
from kinefit.metric import observe_camera
from kinefit.multiview.bundle import load_triangulation
from kinefit.pipeline import stages, view_stages
from kinefit.pipeline.artifacts import load_arrays
from kinefit.pipeline.config import FitOptions, MarkerFileOptions
from kinefit.pipeline.monocular import Monocular
from kinefit.pipeline.multiview import Multiview
from kinefit.pipeline.run import option_hash
from kinefit.pipeline.store import check_folder
from kinefit.types import (
    BodyMotion,
    CameraRig,
    FloatArray,
    InputError,
    Markers,
    MissingMarkers,
    Observations,
    TooFewPoints,
)

_LEAST_SCORE = 0.05  # a landmark that is hardly visible counts a twentieth, never nothing


# (file, videos, rig, moments (C, T) s, body, motion, progress)
MeshWriter = Callable[
    [
        Path,
        Sequence[Path],
        CameraRig,
        FloatArray,
        BodyModel,
        BodyMotion,
        Callable[[int, int], None],
    ],
    None,
]


_MARKERS_FAR_MM, _STATURE_OFF_M = 25.0, 0.05


@dataclass(frozen=True)
class BodyResult:
    """What a fit left. report: the content of its JSON file. files: what was written."""

    report: dict[str, Any]
    files: tuple[Path, ...]

    @property
    def warnings(self) -> list[str]:
        """What to know before using the numbers."""
        said = list(self.report["notes"])
        for key, words in _WARNED.items():
            if self.report[key]:
                frames = ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in self.report[key][:6])
                said.append(f"{words}: frames {frames}.")
        if not self.report["solver"]["converged"]:
            said.append("The solver stopped before it had come to rest; the last steps were small.")
        return said


_WARNED = {
    "frames_without_pose": "No pose, too few keypoints",
    "frames_far_off": "The body is far from the keypoints",
}


@dataclass(frozen=True, eq=False)
class _Fitted:
    """videos: C files in the order of the rig. moments: (C, T) seconds on their clocks."""

    body: BodyModel
    rig: CameraRig
    fit: ClipFit
    videos: tuple[Path, ...]
    moments: FloatArray


def fit_run(
    run: Monocular | Multiview, options: FitOptions, overlay: MeshWriter | None = None
) -> BodyResult:
    """Fit a body to the run and write it; what the folder has already is reused.

    overlay: draws the body on the videos. Raises what the run's stages raise, and InputError for
    a body that cannot be read.
    """
    exports, body = (
        options.exports,
        load_body(options.body, options.gender, child=options.child),
    )  # refuse early
    run.prepare()
    found: list[_Fitted] = []

    def fitted() -> _Fitted:
        if not found:
            found.append(_fit(run, body, options))
        return found[0]

    def work() -> list[Path]:
        stem = run.file("_body")
        about = {"videos": [video.name for video in fitted().videos]}
        return write_body(stem, body, fitted().fit, exports, about)

    def draw() -> list[Path]:
        assert overlay is not None
        path, one = run.file("_body_overlay.mp4"), fitted()
        overlay(
            path, one.videos, one.rig, one.moments, body, one.fit.motion,
            lambda done, total: run.progress("body overlay", done, total),
        )  # fmt: skip
        return [path]

    parameters = options.model_dump(mode="json") | {"body_sha256": _body_hash(options.body)}
    run.stage("body", work, parameters, after=("initial",))
    if overlay is not None:
        run.stage("body overlay", draw, parameters, after=("body",))
    stages_done = ["body"] if overlay is None else ["body", "body overlay"]
    names = [name for stage in stages_done for name in run.folder.records[stage].files]
    report = json.loads(run.file("_body.json").read_text("utf-8"))
    return BodyResult(report, tuple(run.folder.path / name for name in names))


def fit_bundle(
    bundle: Path, out: Path, options: FitOptions, stature_m: float | None = None
) -> BodyResult:
    """Fit a body to the triangulated points of a bundle, with their covariances; files in `out`.

    stature_m: height of the person, if known.
    Raises InputError for a file that is no bundle of kinefit's, and for too few points.
    """
    check_folder(out)
    points = load_triangulation(bundle)
    body = load_body(options.body, options.gender, child=options.child)
    rig = CameraRig(())
    none = np.empty((len(points.timeline), 0, len(points.names)))
    data = Observations(
        points.timeline, rig, points.names, np.empty((*none.shape, 2)), none,
        points.refined, points.covariance, stature_m=stature_m,
    )  # fmt: skip
    try:
        fit = fit_clip(body, data, _clip_options(options))
    except TooFewPoints as error:
        raise InputError(bundle, error.bare_reason, "triangulate more of the body") from error
    out.mkdir(parents=True, exist_ok=True)
    stem = out / f"{bundle.stem}_body"
    files = write_body(stem, body, fit, options.exports, {"bundle": bundle.name})
    return BodyResult(
        json.loads(stem.with_name(f"{stem.name}.json").read_text("utf-8")), tuple(files)
    )


def _clip_options(options: FitOptions) -> ClipOptions:
    return ClipOptions(head=options.head, hold_feet=options.hold_feet)


def _body_hash(body: str) -> str | None:
    return None if body == "anny" else option_hash(Path(body))


def _fit(run: Monocular | Multiview, body: BodyModel, options: FitOptions) -> _Fitted:
    if isinstance(run, Multiview):
        data, videos, moments = _views_data(run)
    else:
        data, videos, moments = _video_data(run)
    fit = fit_clip(body, data, _clip_options(options))
    return _Fitted(body, data.rig, fit, videos, moments)


def _video_data(run: Monocular) -> tuple[Observations, tuple[Path, ...], FloatArray]:
    track, _ = stages.observed(run)
    config = run.config
    data, _ = observe_camera(
        track, config.height, focal_px=config.focal_px, fov_deg=config.fov, tilt_deg=config.tilt,
        roll_deg=config.roll, visibility_min=config.visibility_min,
    )  # fmt: skip
    time = track.image.timeline.time
    return data, (run.video,), (time - time[0])[None]


def _views_data(run: Multiview) -> tuple[Observations, tuple[Path, ...], FloatArray]:
    points = load_triangulation(run.file("_triangulated.npz"))
    views = load_arrays(run.folder.internal("views.npz"))
    scene = view_stages.scene(run)
    xy, score = (views[name].swapaxes(0, 1).astype(np.float64) for name in ("xy", "score"))
    xy = np.where((score > 0)[..., None], xy, np.nan)
    sigma = points.sd_px[None] / np.sqrt(np.clip(score, _LEAST_SCORE, 1))
    data = Observations(points.timeline, scene.rig, points.names, xy, sigma, scene.xyz)
    return data, scene.videos, scene.moments


def write_body(
    stem: Path, body: BodyModel, fit: ClipFit, exports: Sequence[str], about: dict[str, Any]
) -> list[Path]:
    """The motion as `<stem>.npz`, keypoints as TRC, a report, and what else was asked for."""
    paths = {kind: stem.with_name(f"{stem.name}.{kind}") for kind in ("npz", "trc", "json")}
    write_motion(paths["npz"], fit.motion)
    write_trc(paths["trc"], _markers(fit))
    written = [*paths.values()]
    notes: list[str] = []
    for kind in exports:
        files, said = export_as(stem, kind, body, fit.motion)
        written += files
        notes += said
    report = clip_report(body, fit, _beyond(body, fit.motion))
    write_json(paths["json"], {**about, **report, "notes": notes})
    return written


def _markers(fit: ClipFit) -> Markers:
    lost = np.array([bool(reason) for reason in fit.reason])
    xyz = np.where(lost[:, None, None], np.nan, fit.points)
    return Markers(fit.motion.timeline, fit.names, xyz)


def check_kinds(kinds: Sequence[str], body: BodyModel, motion: BodyMotion) -> None:
    """InputError for a kind of file that `export_as` cannot make of this motion."""
    for kind in kinds:
        if kind not in ("glb", "bvh", "obj", "amass"):
            raise InputError("--to", f"no such kind: {kind}", "choose from glb, bvh, obj, amass")
        if kind == "amass" and not body.name.startswith("smpl"):
            hint = "leave amass out of --to"
            raise InputError("--to", f"AMASS holds SMPL bodies, not {body.name}", hint)
        if kind in ("bvh", "amass") and len(motion.timeline) < 2:
            raise InputError("--to", f"one frame is no motion for {kind}", "choose glb or obj")


def export_as(
    stem: Path, kind: str, body: BodyModel, motion: BodyMotion, influences: int = 4
) -> tuple[list[Path], tuple[str, ...]]:
    """A motion as `<stem>.glb`, `.bvh`, `<stem>_obj/` or `<stem>_amass.npz`; and notes.

    influences: joints per vertex in the .glb, 0: all. A motion on an uneven clock gets an even one
    for BVH and AMASS, which have no other. Raises InputError as `check_kinds`.
    """
    check_kinds([kind], body, motion)
    path = stem.with_name(f"{stem.name}.{kind}")
    if kind == "glb":
        most: dict[int, Literal[4, 8] | None] = {4: 4, 8: 8, 0: None}
        return [path], export_glb(path, body, motion, most[influences])
    if kind == "obj":
        folder = stem.with_name(f"{stem.name}_obj")
        return list(export_obj_frames(folder, stem.name, body, motion)), ()
    even = motion if motion.timeline.is_uniform else at_constant_rate(motion)
    if kind == "bvh":
        return [path], export_bvh(path, body, even)
    path = stem.with_name(f"{stem.name}_amass.npz")
    return [path], export_amass(path, body, even)


def fit_marker_file(file: Path, out: Path, options: MarkerFileOptions) -> BodyResult:
    """One body through the markers of a TRC or C3D file; files in `out`.

    Raises InputError for a file that cannot be read, or whose markers are no body's.
    """
    check_folder(out)
    markers = read_c3d(file) if file.suffix.lower() == ".c3d" else read_trc(file)
    body = load_body(options.body, options.gender, child=options.child)
    try:
        fit = fit_markers(body, markers, stature_m=options.height)
    except (MissingMarkers, TooFewPoints) as error:
        hint = "name markers as kinefit, Pose2Sim or OpenCap's laboratory do"
        raise InputError(file, error.bare_reason, hint) from error
    out.mkdir(parents=True, exist_ok=True)
    stem = out / f"{file.stem}_body"
    path = stem.with_name(f"{stem.name}.npz")
    write_motion(path, fit.motion)
    report = marker_report(body, fit, _beyond(body, fit.motion))
    written, notes = [path], _doubts(report, options.height)
    for kind in options.exports:
        files, said = export_as(stem, kind, body, fit.motion)
        written += files
        notes += said
    table = stem.with_name(f"{stem.name}.json")
    write_json(table, {"markers_file": file.name, **report, "notes": notes})
    return BodyResult(json.loads(table.read_text("utf-8")), (*written, table))


def _beyond(body: BodyModel, motion: BodyMotion) -> dict[str, FloatArray]:
    """Joint -> (T,) degrees outside its limits."""
    joints, degrees = violations(body, motion)
    return dict(zip(joints, degrees.T, strict=True))


def _doubts(report: dict[str, Any], height_m: float | None) -> list[str]:
    """What speaks against a fit to markers, in words."""
    said = []
    if report["markers_ignored"]:
        said.append(f"Not on the body that was fitted: {', '.join(report['markers_ignored'])}.")
    if report["rms_mm"] > _MARKERS_FAR_MM:
        said.append(
            f"The body is {report['rms_mm']:.0f} mm from its markers (laboratories: 4): check the "
            "file's units and names, and the height."
        )
    if height_m is not None and abs(report["stature_m"] - height_m) > _STATURE_OFF_M:
        said.append(f"The markers are those of a body {report['stature_m']:.2f} m tall.")
    return said
