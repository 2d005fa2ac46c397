"""What kinefit does, one function per job: for scripts, and for the command line.

>>> from kinefit.pipeline.config import run_config
>>> config = run_config({"height": 1.78, "mass": 75})
>>> result = process_video(Path("walk.mp4"), Path("out"), config)  # doctest: +SKIP

What a function needs beyond detection is imported inside it; see `_load_rest`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from kinefit.io.packages import pose2sim_folder
from kinefit.pipeline import multiview
from kinefit.pipeline.config import (
    FitOptions,
    FrameOptions,
    MarkerFileOptions,
    PictureOptions,
    RunConfig,
)
from kinefit.pipeline.monocular import Monocular, refuse_early
from kinefit.pipeline.provenance import sha256_file, sha256_json
from kinefit.pipeline.run import Progress, SinkMaker
from kinefit.pipeline.store import open_run
from kinefit.render.mask import MaskWriter
from kinefit.render.skeleton_overlay import OverlayWriter
from kinefit.types import InputError, Markers, MissingMarkers, Subject, TooFewPoints

if TYPE_CHECKING:
    from kinefit.biomech.angles.compare import DofError
    from kinefit.biomech.opensim import IkResult
    from kinefit.evaluate.poses import Alignment
    from kinefit.pipeline.body_fit import BodyResult
    from kinefit.pipeline.image_fit import PictureResult
    from kinefit.pipeline.publish import RunResult
    from kinefit.pipeline.rig_fit import FramesResult
    from kinefit.render.rig_overlay import Scene
    from kinefit.synth.options import PairOptions, SynthOptions

# Nobody measured the demo's subject: Pose2Sim's own estimate of the height, its default mass.
DEMO_OPTIONS = {"height": 1.68, "mass": 70.0, "plot_all_joint_angles": True}


def demo_video() -> Path:
    """The real video of the demo (Pose2Sim's, camera 1); raises MissingDependency."""
    return pose2sim_folder("The demo") / "Demo_SinglePerson" / "videos" / "cam01.mp4"


def demo_views() -> tuple[tuple[Path, ...], Path]:
    """The four real videos of the same scene, and their calibration; raises MissingDependency."""
    folder = pose2sim_folder("The demo") / "Demo_SinglePerson"
    videos = tuple(sorted((folder / "videos").glob("*.mp4")))
    return videos, folder / "calibration" / "Calib.qca.txt"


def process_video(
    video: Path,
    out: Path,
    config: RunConfig,
    *,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> RunResult:
    """Video to markers, joint angles and a report in the folder `out`.

    What is there already from the same input, options and version is reused. Raises InputError
    and its kin for input that cannot be used; folders made by this call are then removed again.
    """
    if config.calibration is not None:
        raise InputError(
            "--calibration", "it is for several cameras", "give two or more videos, or leave it out"
        )
    with _one_camera(video, out, config, overwrite, progress) as run:
        run.run()
        from kinefit.pipeline.publish import publish

        return publish(run)


@contextmanager
def _one_camera(
    video: Path, out: Path, config: RunConfig, overwrite: bool, progress: Progress
) -> Iterator[Monocular]:
    """The run of one video, its folder open."""
    refuse_early(video, config)
    sinks = _sinks(config)
    if config.overlay:
        sinks["_overlay.mp4"] = OverlayWriter
    sha256 = sha256_file(video)
    with (
        open_run(out, source=video, input_sha256=sha256, overwrite=overwrite) as folder,
        _blamed_on(video, "film the whole person, or lower --visibility-min"),
    ):
        source = ((video.name, sha256),)
        progress = _loading_beside(progress)
        yield Monocular(folder, config, video.stem, source, progress, video, sinks)


def process_views(
    videos: Sequence[Path],
    out: Path,
    config: RunConfig,
    *,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> RunResult:
    """Videos of several calibrated cameras to markers, joint angles and a report in `out`.

    A video belongs to the camera of the calibration that has its name (without the suffix); the
    order of the files means nothing. The videos are looked at in processes of their own: a script
    calls this under `if __name__ == "__main__":`. Otherwise as `process_video`.
    """
    with _several_cameras(videos, out, config, overwrite, progress) as run:
        run.run()
        from kinefit.pipeline.publish import publish

        return publish(run)


@contextmanager
def _several_cameras(
    videos: Sequence[Path], out: Path, config: RunConfig, overwrite: bool, progress: Progress
) -> Iterator[multiview.Multiview]:
    """The run of several videos, its folder open."""
    named = _by_camera(videos)
    multiview.refuse_early(named, config)
    hashes = {camera: sha256_file(video) for camera, video in named.items()}
    sources = tuple((video.name, hashes[camera]) for camera, video in named.items())
    source = videos[0].parent / f"{len(named)} videos"
    hint = "film the whole person from all sides, or lower --visibility-min"
    with (
        open_run(
            out, source=source, input_sha256=sha256_json(hashes), overwrite=overwrite
        ) as folder,
        _blamed_on(videos[0].parent, hint),
    ):
        yield multiview.Multiview(
            folder,
            config,
            multiview.STEM,
            sources,
            _loading_beside(progress),
            named,
            _sinks(config),
            _draw_views if config.overlay else None,
        )


def fit_video(
    video: Path,
    out: Path,
    config: RunConfig,
    options: FitOptions,
    *,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> BodyResult:
    """One body through the video of one camera; raises as `process_video`, and for a body."""
    with _one_camera(video, out, config, overwrite, progress) as run:
        return _fit_run(run, options)


def fit_views(
    videos: Sequence[Path],
    out: Path,
    config: RunConfig,
    options: FitOptions,
    *,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> BodyResult:
    """One body through the videos of calibrated cameras; raises as `process_views`."""
    with _several_cameras(videos, out, config, overwrite, progress) as run:
        return _fit_run(run, options)


def fit_marker_file(file: Path, out: Path, options: MarkerFileOptions) -> BodyResult:
    """One body through the markers of a TRC or C3D file, as files in `out`."""
    from kinefit.pipeline import body_fit

    return body_fit.fit_marker_file(file, out, options)


def fit_bundle(
    bundle: Path, out: Path, options: FitOptions, stature_m: float | None = None
) -> BodyResult:
    """One body through triangulated points with their covariances, as files in `out`."""
    from kinefit.pipeline import body_fit

    return body_fit.fit_bundle(bundle, out, options, stature_m)


def fit_pictures(
    pictures: Sequence[Path],
    out: Path,
    options: PictureOptions,
    *,
    focal_px: float | None = None,
    fov_deg: float | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> list[PictureResult]:
    """A body for the person in each picture; see `kinefit.pipeline.image_fit.fit_pictures`."""
    from kinefit.pipeline import image_fit
    from kinefit.render.body_overlay import write_body_picture

    return image_fit.fit_pictures(
        pictures,
        out,
        options,
        focal_px=focal_px,
        fov_deg=fov_deg,
        draw=write_body_picture,
        progress=lambda done, total: progress("detect", done, total),
    )


def fit_frames(
    bundle: Path,
    out: Path,
    options: FrameOptions,
    views: Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> FramesResult:
    """Poses of a body frame by frame, from triangulated points and SAM 3D Body's outputs.

    views: those outputs, by camera; None: poses begin with the points. See
    `kinefit.pipeline.rig_fit.fit_bundle_frames`.
    """
    from kinefit.pipeline.rig_fit import fit_bundle_frames

    return fit_bundle_frames(bundle, out, options, views, overwrite=overwrite, progress=progress)


def export_motion(
    motion: Path, kinds: Sequence[str], body: str = "anny", influences: int = 4
) -> tuple[list[Path], list[str]]:
    """A fitted motion for other programs, beside its file: the files, and what to know of them.

    kinds: of glb, bvh, obj, amass. body: the one that was fitted. Raises InputError for an unknown
    kind, a file that is no motion, and a motion of another body.
    """
    from kinefit.body.load import load_body
    from kinefit.io.body_npz import read_motion
    from kinefit.pipeline.body_fit import check_kinds, export_as

    moving, model = read_motion(motion), load_body(body)
    if moving.body != model.name:
        raise InputError(motion, f"it moves {moving.body}, not {model.name}", "give that --body")
    if influences not in (0, 4, 8):
        raise InputError("--influences", f"{influences} is none", "choose 4, 8, or 0 for all")
    check_kinds(kinds, model, moving)
    files: list[Path] = []
    notes: list[str] = []
    for kind in kinds:
        written, said = export_as(motion.with_suffix(""), kind, model, moving, influences)
        files += written
        notes += said
    return files, notes


def export_smpl_body(target: Path, shapes: int = 10) -> str:
    """Write Anny in SMPL's format; returns how far it is from Anny, in words.

    Raises InputError for a name that ends in neither .npz nor .pkl.
    """
    from kinefit.body.anny import SMPL_JOINTS, load_anny
    from kinefit.export.smpl_body import as_smpl
    from kinefit.io.smpl import write_smpl

    found = as_smpl(load_anny(), SMPL_JOINTS, shapes, signed=True)
    write_smpl(target, found.data)
    return (
        f"With {shapes} shape directions, vertices are {found.shape_residual_mm:.1f} mm (RMS) from "
        "those of Anny's own shapes."
    )


def _fit_run(run: Monocular | multiview.Multiview, options: FitOptions) -> BodyResult:
    from kinefit.pipeline.body_fit import fit_run

    if not run.config.overlay:
        return fit_run(run, options)
    from kinefit.render.body_overlay import write_body_overlay

    return fit_run(run, options, write_body_overlay)


def _by_camera(videos: Sequence[Path]) -> dict[str, Path]:
    """Camera name -> video, sorted by name; raises InputError for two of one name."""
    named: dict[str, Path] = {}
    for video in sorted(videos, key=lambda path: path.stem):
        if video.stem in named:
            raise InputError(
                video,
                f"{named[video.stem]} is camera {video.stem!r} already",
                "name each video as its camera is named in the calibration",
            )
        named[video.stem] = video
    return named


def _sinks(config: RunConfig) -> dict[str, SinkMaker]:
    return {"_mask.mp4": MaskWriter} if config.save_mask else {}


def _draw_views(path: Path, scene: Scene, progress: Callable[[int, int], None]) -> None:
    from kinefit.render.rig_overlay import write_views_overlay

    write_views_overlay(path, scene, progress)


def _loading_beside(progress: Progress) -> Progress:
    """`progress`, which also starts to load what follows detection at its first frame."""
    loader = Thread(target=_load_rest, daemon=True)

    def report(stage: str, done: int, total: int) -> None:
        if stage == "detect" and done and loader.ident is None:
            loader.start()
        progress(stage, done, total)

    return report


@contextmanager
def _blamed_on(path: Path, hint: str) -> Iterator[None]:
    """Name the file in errors about its content."""
    try:
        yield
    except (MissingMarkers, TooFewPoints) as error:
        raise InputError(path, error.bare_reason, hint) from error


def _load_rest() -> None:
    """Load what comes after detection while the detector works on the first frames.

    The libraries take about as long to load as the demo's video takes to look at. Loading holds
    Python's lock, which the detector needs for a moment a few times per frame: a short switch
    interval keeps it from waiting.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        from kinefit.biomech.markers.augment import load_networks

        load_networks()
        importlib.import_module("kinefit.pipeline.stages")
        importlib.import_module("kinefit.pipeline.publish")
    finally:
        sys.setswitchinterval(interval)


def angles_of_file(trc: Path, out: Path, *, plots: bool = False) -> tuple[list[Path], list[str]]:
    """Joint angles of a TRC file, of this or another program, as files in the folder `out`.

    Returns the files written and what to know before using them. Raises InputError for a file
    that cannot be read, or from which no joint can be computed.
    """
    from kinefit.biomech.angles import joint_angles, missing_landmarks
    from kinefit.io.trc import read_trc
    from kinefit.pipeline.stages import write_joint_angles
    from kinefit.quality.assessment import assess
    from kinefit.quality.verdict import warnings
    from kinefit.report.plots import plot_all

    markers = read_trc(trc)
    said = _check_body(trc, markers)
    with _blamed_on(trc, "name anatomical markers as the augmenter does, e.g. r.ASIS_study"):
        angles = joint_angles(markers)
    files = write_joint_angles(angles, markers, out, trc.stem)
    if plots:
        files += plot_all(angles, out, f"{trc.stem}_angles")
    said += warnings(assess(markers, angles=angles))
    lacking = missing_landmarks(markers).items()
    said += [f"Not computed: {group} (no {', '.join(marks)})." for group, marks in lacking]
    return files, said


def augment_file(
    trc: Path, target: Path, subject: Subject, *, cycles: int, seed: int, complete: bool
) -> tuple[list[Path], list[str]]:
    """Add the augmenter's 43 markers to a TRC file, of this or another program.

    complete: also estimate clusters and hip joint centres that are missing. Returns the files
    written (the markers, and beside them what is estimated and how uncertain each one is) and
    what to know before using them. Raises InputError for a file without the needed markers.
    """
    from kinefit.biomech.markers import OUTSIDE_TRAINING, augment, force_complete, within_training
    from kinefit.io.tables import write_uncertainty_csv
    from kinefit.io.trc import read_trc, write_trc

    markers = read_trc(trc)
    said = _check_body(trc, markers)
    if not within_training(subject):
        said.append(OUTSIDE_TRAINING)
    with _blamed_on(trc, "name hips, shoulders, legs and arms as Pose2Sim does (RHip, LKnee, ...)"):
        markers = augment(markers, subject, cycles=cycles, seed=seed)
    if complete:
        markers = force_complete(markers)
    write_trc(target, markers)
    table = target.with_name(f"{target.stem}_uncertainty.csv")
    write_uncertainty_csv(table, markers)
    return [target, table], said


def inverse_kinematics_of_file(
    markers: Path, out: Path, *, subject: Subject | None = None, **options: Any
) -> IkResult:
    """Scale an OpenSim model to a TRC or C3D file and find its motion, as files in `out`.

    options: the other fields of `kinefit.biomech.opensim.Options` (model, static, scaled, setup,
    allow_missing). Raises as `kinefit.biomech.opensim.inverse_kinematics_of_file` does.
    """
    from kinefit.biomech.opensim import Options, inverse_kinematics_of_file

    return inverse_kinematics_of_file(markers, out, Options(subject, **options))


def _check_body(path: Path, markers: Markers) -> list[str]:
    """Warnings about the vertical axis; InputError when the markers cannot be one person's."""
    from kinefit.quality.assessment import body_extent, upside_down

    extent = body_extent(markers)
    if not 0.3 < extent < 4.0:  # a crouching child, a man with his arms up
        raise InputError(
            path,
            f"its markers span {extent:.3g} m, which is no person",
            "check the Units in the header",
        )
    if upside_down(markers):
        return ["The upper body is not above the feet along Y: is the vertical axis another one?"]
    return []


def make_scenes(
    out: Path,
    options: SynthOptions,
    count: int = 1,
    *,
    processes: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> list[Path]:
    """Videos of people with known truth: the folders of `count` scenes in `out`.

    Scenes are drawn in processes of their own: a script calls this under
    `if __name__ == "__main__":`. See `kinefit.synth.make.make_scenes`.
    """
    from kinefit.synth import make

    return make.make_scenes(
        options,
        out,
        count,
        processes=processes,
        progress=lambda done, total: progress("film", done, total),
    )


def make_pairs(
    out: Path,
    options: PairOptions,
    *,
    processes: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> list[Path]:
    """What the detector says beside what is true: the shards in `out`.

    In processes of their own, as `make_scenes`. See `kinefit.synth.pairs.make_pairs`.
    """
    from kinefit.synth import pairs

    return pairs.make_pairs(
        out,
        options,
        processes=processes,
        progress=lambda done, total: progress("pairs", done, total),
    )


def fit_detector_errors(pairs: Path, out: Path) -> int:
    """Rows that the model of the detector's error in the file `out` was fitted to.

    pairs: a folder of `make_pairs`. The model draws detections: `kinefit.synth.errors.draw`.
    """
    from kinefit.synth import error_fit

    return error_fit.fit_file(pairs, out)


def evaluate_run(run: Path, scene: Path, person: int = 0) -> dict[str, Any]:
    """A run's folder against the truth of the scene that it was made from.

    See `kinefit.evaluate.synth.score_run`.
    """
    from kinefit.evaluate.synth import score_run

    return score_run(run, scene, person)


def evaluate_poses_of_file(
    file: Path, reference: Path, align: Alignment = "none", person: int = 0
) -> dict[str, Any]:
    """Points in space against others of the same names: `kinefit.evaluate.poses.score_poses`."""
    from kinefit.evaluate.poses import score_poses

    return score_poses(file, reference, align, person)


def evaluate_angles_of_file(file: Path, reference: Path, person: int = 0) -> dict[str, DofError]:
    """Joint angles of a file against an OpenSim motion, or a scene's folder or truth.npz.

    See `kinefit.biomech.angles.compare.evaluate_file`; person: of the scene.
    """
    if reference.is_dir() or reference.suffix.lower() == ".npz":
        from kinefit.evaluate.joint_angles import score_coordinates
        from kinefit.evaluate.scenes import read_reference

        return score_coordinates(file, read_reference(reference, person), reference.name)
    from kinefit.biomech.angles.compare import evaluate_file

    return evaluate_file(file, reference)


def evaluate_limbs(
    folder: Path, scene: Path | None = None, person: int = 0, plots: Path | None = None
) -> dict[str, Any]:
    """Limb directions of a folder of pairs, or of a run against its `scene`, by camera.

    plots: folder for figures of where the errors come from.
    See `kinefit.evaluate.limbs.score_limbs`.
    """
    from kinefit.evaluate.limbs import score_limbs

    return score_limbs(folder, scene, person, plots)
