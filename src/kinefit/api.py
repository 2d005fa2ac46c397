"""What kinefit does, one function per job: for scripts, the command line and the web site.

`run` is where a script begins (`import kinefit as kf; kf.run(...)`); it is `process` with the
options by name. The others take checked options, as the command line does:

>>> from kinefit.pipeline.config import run_config
>>> config = run_config({"height": 1.78, "mass": 75})
>>> config.subject
Subject(height_m=1.78, mass_kg=75.0)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kinefit.pipeline.config import RunConfig, run_config
from kinefit.pipeline.context import RIG_STEM, CancelToken, Job, Progress
from kinefit.pipeline.execute import blamed_on, read_manifest, run_job, run_plan
from kinefit.pipeline.plan import MARKERS_AND_ANGLES, WITHOUT_BODY, stages_of
from kinefit.pipeline.preflight import check_job
from kinefit.pipeline.results import default_folder, files_of
from kinefit.pipeline.run_result import RunResult, findings_of, open_result
from kinefit.pipeline.store import open_folder
from kinefit.quality.verdict import frames_words
from kinefit.types import Finding, InputError, Markers, Subject

Files = str | Path | Sequence[str | Path]

if TYPE_CHECKING:
    from kinefit.biomech.angles.compare import DofError
    from kinefit.biomech.opensim import IkResult
    from kinefit.evaluate.point_files import score_poses as evaluate_poses_of_file
    from kinefit.evaluate.run_scores import score_limbs as evaluate_limbs
    from kinefit.evaluate.run_scores import score_run as evaluate_run
    from kinefit.pipeline.image_fit import fit_pictures
    from kinefit.pipeline.marker_fit import fit_marker_file
    from kinefit.pipeline.refine_file import refine_file
    from kinefit.pipeline.rig_fit import fit_bundle_frames as fit_frames
    from kinefit.pipeline.view import view
    from kinefit.synth.detector_error_fit import fit_file as fit_detector_errors
    from kinefit.synth.make import make_scenes
    from kinefit.synth.pairs import make_pairs
    from kinefit.train.convert.aistpp import convert_aistpp
    from kinefit.train.convert.panoptic import convert_panoptic

__all__ = [
    "DEMO_OPTIONS", "RunResult", "angles_of_file", "augment_file", "convert_aistpp",
    "convert_panoptic", "demo_video", "demo_views", "evaluate_angles_of_file", "evaluate_limbs",
    "evaluate_poses_of_file", "evaluate_run",
    "everybody", "export_motion", "export_smpl_body", "fit", "fit_detector_errors", "fit_frames",
    "fit_marker_file", "fit_pictures", "inverse_kinematics_of_file", "make_pairs", "make_scenes",
    "open_result", "person_masks", "process", "refine_file", "run", "view",
]  # fmt: skip

# Jobs of other modules, loaded when a name is asked for: each brings libraries of its own.
_ELSEWHERE = {
    "convert_aistpp": "train.convert.aistpp.convert_aistpp",
    "convert_panoptic": "train.convert.panoptic.convert_panoptic",
    "evaluate_limbs": "evaluate.run_scores.score_limbs",
    "evaluate_poses_of_file": "evaluate.point_files.score_poses",
    "evaluate_run": "evaluate.run_scores.score_run",
    "fit_detector_errors": "synth.detector_error_fit.fit_file",
    "fit_frames": "pipeline.rig_fit.fit_bundle_frames",
    "fit_marker_file": "pipeline.marker_fit.fit_marker_file",
    "fit_pictures": "pipeline.image_fit.fit_pictures",
    "refine_file": "pipeline.refine_file.refine_file",
    "make_pairs": "synth.pairs.make_pairs",
    "make_scenes": "synth.make.make_scenes",
    "view": "pipeline.view.view",
}


def __getattr__(name: str) -> Any:
    module, _, job = _ELSEWHERE.get(name, "").rpartition(".")
    if not job:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"kinefit.{module}"), job)


_DEMO = Path(str(files("kinefit"))) / "demo"
# Nobody measured the demo's subject: Pose2Sim's own estimate of the height, its default mass.
DEMO_OPTIONS = {"height": 1.68, "mass": 70.0, "plot_all_joint_angles": True}


def demo_video() -> Path:
    """The real video of the demo (Pose2Sim's, camera 1)."""
    return _DEMO / "cam01.mp4"


def demo_views() -> tuple[tuple[Path, ...], Path]:
    """The four real videos of the same scene, and their calibration."""
    return tuple(sorted(_DEMO.glob("*.mp4"))), _DEMO / "Calib.qca.txt"


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
    from kinefit.pipeline.stages.observe import people_of

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


def export_motion(
    motion: str | Path, kinds: Sequence[str], body: str = "anny", influences: int = 4
) -> tuple[list[Path], list[str]]:
    """A motion for other programs, beside its file: the files, and what to know of them.

    motion: a fitted one, or a recording of motion capture (BVH, AMC, AMASS), which is brought to
    the body. kinds: of glb, bvh, obj, amass. body: the one that was fitted. Raises InputError for
    an unknown kind, a file that is no motion, and a motion of another body.
    """
    from kinefit.body.load import load_body
    from kinefit.export.recordings import is_recording, motion_of_recording
    from kinefit.io.body_npz import read_motion
    from kinefit.pipeline.stages.export import check_kinds, export_as

    _refuse_other_files(motion := Path(motion))
    model, stem = load_body(body), motion.with_suffix("")
    said: tuple[str, ...] = ()
    if is_recording(motion):
        moving, said = motion_of_recording(motion, model)
        stem = stem.with_name(f"{stem.name}_body")
    else:
        moving = read_motion(motion)
    if moving.body != model.name:
        raise InputError(
            motion,
            f"it moves {moving.body}, not {model.name}",
            "give the body that was fitted: --body FILE, or --body anny",
        )
    if influences not in (0, 4, 8):
        raise InputError(
            "--influences",
            f"{influences} joints a vertex cannot be written",
            "choose 4, 8, or 0 for all",
        )
    check_kinds(kinds, model, moving)
    done = [export_as(stem, kind, model, moving, influences) for kind in kinds]
    return [f for files, _ in done for f in files], [*said, *(n for _, ns in done for n in ns)]


def _refuse_other_files(file: Path) -> None:
    """InputError that says what to do with a file whose kind holds no motion of a body."""
    match file.suffix.lower():
        case ".trc" | ".c3d":
            hint = f"fit a body to them: `kinefit fit markers {file.name}` also writes glb and bvh"
            raise InputError(file, "holds markers, not the motion of a body", hint)
        case ".mot" | ".sto" | ".csv":
            hint = "name the _body.npz of a fit, or a BVH, AMC or AMASS file"
            raise InputError(file, "holds a table over time, not the motion of a body", hint)


def export_smpl_body(target: str | Path, shapes: int = 10) -> str:
    """Write Anny in SMPL's format; returns how far it is from Anny, in words.

    Raises InputError for a name that ends in neither .npz nor .pkl.
    """
    from kinefit.body.anny import SMPL_JOINTS, load_anny
    from kinefit.export.smpl_body import as_smpl
    from kinefit.io.smpl import write_smpl

    found = as_smpl(load_anny(), SMPL_JOINTS, shapes, signed=True)
    write_smpl(Path(target), found.data)
    off = f"{found.shape_residual_mm:.1f} mm (RMS)"
    return f"With {shapes} shape directions, vertices are {off} from those of Anny's own shapes."


def angles_of_file(
    file: str | Path, out: str | Path, *, plots: bool = False, up: str | None = None,
    units: str | None = None,
) -> tuple[list[Path], list[str]]:  # fmt: skip
    """Joint angles of a TRC or C3D file, of this or another program, as files in the folder `out`.

    up, units: of the file; see `kinefit.biomech.checked_markers.read_checked_markers`. Returns the
    files written and what to know before using them. Raises InputError for a file that cannot be
    read, or from which no joint can be computed.
    """
    from kinefit.biomech.angles import joint_angles, missing_landmarks
    from kinefit.biomech.checked_markers import read_checked_markers
    from kinefit.pipeline.stages.angles import write_joint_angles
    from kinefit.quality.assessment import assess
    from kinefit.quality.verdict import find
    from kinefit.report.plots import plot_all

    file, out = Path(file), Path(out)
    markers = read_checked_markers(file, up=up, units=units)
    said = list(markers.notes)
    with blamed_on(file, _how_to_get_landmarks(file, markers)):
        angles = joint_angles(markers)

    def write(folder: Path, _: Path) -> None:
        write_joint_angles(angles, markers, folder, file.stem)
        if plots:
            plot_all(angles, folder, f"{file.stem}_angles")

    chosen = {"plots": plots, "up": up, "units": units}
    record, _ = run_job(out, "angles", {"markers": file}, chosen, write, stem=file.stem)
    files = [out / name for name in record.files]
    said += [str(one) for one in find(assess(markers, angles=angles)) if one.level != "information"]
    lacking = missing_landmarks(markers).items()
    said += [f"Not computed: {group} (no {', '.join(marks)})." for group, marks in lacking]
    return files, said


def _how_to_get_landmarks(file: Path, markers: Markers) -> str:
    """The next thing to do with a file that lacks them: keypoints can be augmented."""
    from kinefit.biomech.markers import missing_inputs

    if not all(missing_inputs(markers).values()):
        target = file.with_name(f"{file.stem}_augmented.trc").name
        make = f"kinefit augment {file.name} --height METRES --mass KILOGRAMS"
        return f"it holds a detector's keypoints: `{make}`, then the angles of {target}"
    return (
        "name markers as OpenCap, Plug-in Gait, Qualisys or the augmenter do (docs/file-formats.md)"
    )


def augment_file(
    file: str | Path,
    target: str | Path,
    subject: Subject,
    *,
    cycles: int,
    seed: int,
    complete: bool,
    up: str | None = None,
    units: str | None = None,
) -> tuple[list[Path], list[str]]:
    """Add the augmenter's 43 markers to a TRC or C3D file, of this or another program.

    complete: also estimate clusters and hip joint centres that are missing. up, units: of the file;
    see `kinefit.biomech.checked_markers.read_checked_markers`. Returns the files
    written (the markers, and beside them what is estimated and how uncertain each one is) and
    what to know before using them. Raises InputError for a file without the needed markers.
    """
    from kinefit.biomech.checked_markers import read_checked_markers
    from kinefit.biomech.markers import OUTSIDE_TRAINING, augment, force_complete, within_training
    from kinefit.io.tables import write_uncertainty_csv
    from kinefit.io.trc import write_trc

    file, target = Path(file), Path(target)
    markers = read_checked_markers(file, up=up, units=units)
    said = list(markers.notes)
    if not within_training(subject):
        said.append(OUTSIDE_TRAINING)
    with blamed_on(file, "name hips, shoulders, legs and arms as Pose2Sim does (RHip, LKnee, ...)"):
        # How far the passes differ is no deviation of the markers: it holds half of the errors.
        markers = replace(augment(markers, subject, cycles=cycles, seed=seed), sd=None)
    said += markers.notes
    if complete:
        markers = force_complete(markers)
    write_trc(target, markers)
    table = target.with_name(f"{target.stem}_uncertainty.csv")
    write_uncertainty_csv(table, markers)
    return [target, table], said


def inverse_kinematics_of_file(
    markers: str | Path, out: str | Path, *, subject: Subject | None = None, **options: Any
) -> IkResult:
    """Scale an OpenSim model to a TRC or C3D file and find its motion, as files in `out`.

    options: the other fields of `kinefit.biomech.opensim.Options` (model, static, scaled, setup,
    allow_missing, up, units). Raises as `kinefit.biomech.opensim.inverse_kinematics_of_file` does.
    """
    from kinefit.biomech import opensim

    markers, out = Path(markers), Path(out)
    chosen = opensim.Options(subject, **options)
    read = {"markers": markers, "setup": chosen.setup, "static": chosen.static}
    read["model"] = Path(chosen.model) if Path(chosen.model).exists() else None
    inputs = {name: path for name, path in read.items() if path is not None}

    def work(folder: Path, _: Path) -> IkResult:
        return opensim.inverse_kinematics_of_file(markers, folder, chosen)

    record, found = run_job(out, "ik", inputs, asdict(chosen), work, stem=markers.stem)
    assert found is not None
    return replace(found, files=[out / name for name in record.files])


def evaluate_angles_of_file(
    file: Path,
    reference: Path,
    person: int = 0,
    on_note: Callable[[str], None] = lambda note: None,
) -> dict[str, DofError]:
    """Joint angles of a file against an OpenSim motion, or a scene's folder or truth.npz.

    See `kinefit.biomech.angles.compare.evaluate_file`; person: of the scene. on_note: called with
    what a reader changed or assumed.
    """
    if reference.is_dir() or reference.suffix.lower() == ".npz":
        from kinefit.evaluate.run_folder import read_reference
        from kinefit.evaluate.run_scores import score_coordinates

        return score_coordinates(file, read_reference(reference, person), reference.name)
    from kinefit.biomech.angles.compare import evaluate_file

    return evaluate_file(file, reference, on_note)
