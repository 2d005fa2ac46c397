"""`kinefit refine`: joint angles of a table, or of a run's folder, corrected by a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from kinefit.biomech.angles import GROUPS, to_opensim
from kinefit.biomech.checked_markers import read_checked_markers
from kinefit.biomech.refine import JointRefiner
from kinefit.biomech.refine.skeleton import BONES, POINTS, joint_of_point, turned_skeleton
from kinefit.biomech.refine.table import ANGLES, HEADING, REFINED, seen_of, values_of
from kinefit.geometry.rotations import difference_deg
from kinefit.io.calibration import read_calibration
from kinefit.io.mot import write_mot
from kinefit.io.tables import read_angles_csv, write_angles_csv
from kinefit.io.text import read_json
from kinefit.io.trc import read_trc
from kinefit.io.video import Clip
from kinefit.lift.windows import nearest
from kinefit.pipeline.artifacts import load_markers
from kinefit.pipeline.provenance import sha256_path
from kinefit.pipeline.results import INTERNAL
from kinefit.pipeline.single_step import run_job
from kinefit.render.tiles import Tiles, film_frames
from kinefit.report.parts import Cell, Table
from kinefit.report.scene import Points, Scene, pack_scene
from kinefit.report.viewer import Recording, write_viewer
from kinefit.types import (
    Camera,
    CameraRig,
    FloatArray,
    InputError,
    JointAngles,
    KinefitError,
    Markers,
    MissingMarkers,
    Timeline,
    TooFewPoints,
)

_RED_DEG = 15.0  # by so much and more a joint was moved that is red
_COLORS = {"Before": "#d55e00", "After": "#0072b2", "Truth": "#8a8f98"}
_KEY = (
    "Orange: before. Blue: after; its joints by how far their angles were moved, from green (not) "
    f"to red ({_RED_DEG:.0f} degrees or more). Grey: the truth, where it was given."
)
_SAME_S = 0.02  # a truth further away in time is none


@dataclass(frozen=True, eq=False)
class _Given:
    """angles: to be refined. markers: in their posture; camera: that saw them; seen: see
    `JointRefiner.refine`; each None where unknown. stem: how names of files begin. sha256, slowmo:
    of the run's video, and how many times slower than life it plays."""

    angles: JointAngles
    stem: str
    inputs: Mapping[str, Path]
    markers: Markers | None = None
    camera: Camera | None = None
    seen: FloatArray | None = None
    sha256: str = ""
    slowmo: float = 1.0


def refine_file(
    source: Path, out: Path, *, model: Path | None = None, compare: bool = False,
    markers: Path | None = None, video: Path | None = None, truth: Path | None = None,
) -> tuple[list[Path], list[str]]:  # fmt: skip
    """Refined angles as `<stem>_refined.csv` and `.mot` in `out`; the files, and what to know.

    source: a table of joint angles, or the folder of a run with one camera. model: an ONNX file of
    `kinefit train refine`. compare: also a page that shows both. markers: a TRC file in the posture
    of a table, for the skeletons on it; a run has its own. video: of the run, for its pictures.
    truth: a table of what the angles really were, by markers where the augmenter has its own.

    Raises InputError for files that cannot be read, and for what a page needs and is not there.
    """
    given = _of_run(source) if source.is_dir() else _of_table(source, markers)
    if compare and given.markers is None:
        raise InputError("--compare", "there are no markers", "give --markers, or a run's folder")
    if video is not None and given.camera is None:
        raise InputError("--video", "the camera is not known", "give the run's folder")
    if video is not None and sha256_path(video) != given.sha256:
        raise InputError(video, "is not the video of this run", "give the one that was run")
    extra = {"video": video, "truth": truth, "model": model}
    inputs = dict(given.inputs) | {n: path for n, path in extra.items() if path is not None}
    real = None if truth is None else _at_times(read_angles_csv(truth), given.angles)
    after = JointRefiner(model).refine(given.angles, given.seen)

    def write(folder: Path, _: Path) -> None:
        write_angles_csv(folder / f"{given.stem}_refined.csv", after)
        try:
            motion = to_opensim(after, given.markers).largest_complete()
            write_mot(folder / f"{given.stem}_refined.mot", motion, given.stem)
        except (TooFewPoints, MissingMarkers):  # no whole joint, or no frame with all
            pass
        if compare:
            _write_comparison(folder / f"{given.stem}_comparison.html", given, after, real, video)

    record, _ = run_job(out, "refine", inputs, {"compare": compare}, write, stem=given.stem)
    return [out / name for name in record.files], _words(given.angles, after, real)


def _of_table(file: Path, markers: Path | None) -> _Given:
    angles = read_angles_csv(file)
    if not set(ANGLES) & set(angles.names):
        raise InputError(file, "holds none of kinefit's joint angles", "make it: kinefit angles")
    stem = file.stem.removesuffix("_angles_all")
    if markers is None:
        return _Given(angles, stem, {"angles": file})
    held = read_checked_markers(markers)
    if len(held.timeline) != len(angles.timeline):
        raise InputError(markers, f"has other frames than {file.name}", "give the markers of it")
    return _Given(angles, stem, {"angles": file, "markers": markers}, held)


def _of_run(folder: Path) -> _Given:
    """Raises InputError for the folder of anything but a finished run of one camera."""
    hint = "give the --out folder of kinefit run, of one camera"
    try:
        told = read_json(folder / "run.json")
        (one,) = told["inputs"]
        stem = Path(one["name"]).stem
        made = told["stages"][f"{stem}.angles"]
        tables = [f"joint_angles/{stem}_angles_{kind}.csv" for kind in ("unrefined", "all")]
        table = folder / next(name for name in tables if name in made["files"])
        stale = bool(made["stale"])
        sha256, slowmo = str(one["sha256"]), float(one["part"]["slowmo"])
    except (
        InputError, KeyError, TypeError, StopIteration,
        ValueError, OverflowError,  # a number of 400 digits
    ) as error:  # fmt: skip
        reason = "holds no joint angles of a finished run of one camera"
        raise InputError(folder, reason, hint) from error
    if stale:
        raise InputError(folder, "its joint angles are of an earlier fit", "make that run again")
    try:
        keypoints = load_markers(folder / INTERNAL / "keypoints.npz")
        rig = read_calibration(folder / INTERNAL / "fitted_cameras.toml").rig
    except KinefitError as error:
        raise InputError(folder, f"is incomplete ({error})", hint) from error
    trc = folder / f"{stem}_final.trc"
    return _Given(
        read_angles_csv(table), stem, {"angles": table, "markers": trc}, read_trc(trc),
        rig.cameras[0], seen_of(keypoints), sha256, slowmo,
    )  # fmt: skip


def _at_times(real: JointAngles, angles: JointAngles) -> JointAngles:
    """The truth at the frames of `angles`, in their columns; NaN where it has none."""
    time = angles.timeline.time
    rows = nearest(real.timeline.time, time)
    there = np.abs(real.timeline.time[rows] - time) <= _SAME_S
    degrees = np.full(angles.degrees.shape, np.nan)
    for i, name in enumerate(angles.names):
        if name in real.names:
            degrees[:, i] = np.where(there, real.column(name)[rows], np.nan)
    return replace(angles, degrees=degrees, sd=None, gimbal=np.zeros(degrees.shape, bool))


def _moved(a: JointAngles, b: JointAngles) -> FloatArray:
    """(T, 12, 3) absolute degrees between two tables, of what is refined."""
    off = np.abs(difference_deg(values_of(a)[0], values_of(b)[0]))
    return np.where(REFINED, off, np.nan)


def _errors(a: JointAngles, real: JointAngles) -> FloatArray:
    """The same from the truth; without heading, which each world counts from axes of its own."""
    off = _moved(a, real)
    off[:, HEADING[0], HEADING[1]] = np.nan
    return off


def _mean(values: FloatArray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _words(before: JointAngles, after: JointAngles, real: JointAngles | None) -> list[str]:
    if real is not None:
        errors = [_mean(_errors(one, real)) for one in (before, after)]
        return [f"Mean absolute error: {errors[0]:.1f} degrees before, {errors[1]:.1f} after "
                "(without heading, and what is not refined)."]  # fmt: skip
    return [f"The angles were moved by {_mean(_moved(after, before)):.1f} degrees on average. That "
            "is no accuracy: whether they are nearer to the truth, only a comparison with it can "
            "say."]  # fmt: skip


def _write_comparison(
    page: Path, given: _Given, after: JointAngles, real: JointAngles | None, video: Path | None
) -> None:
    """The viewer with the skeletons before and after, and what was changed by how much."""
    assert given.markers is not None
    angles, markers = given.angles, given.markers
    tables = {"Before": angles, "After": after} | ({} if real is None else {"Truth": real})
    moved = np.nan_to_num(_moved(after, angles), nan=-1.0).max(axis=2)
    moved[moved < 0] = np.nan  # of joints of which nothing is known
    heat = np.clip(moved / _RED_DEG, 0, 1)[:, [GROUPS.index(joint_of_point(n)) for n in POINTS]]
    points = [
        Points(name, POINTS, turned_skeleton(markers, angles, one), BONES, _COLORS[name],
               heat=heat if name == "After" else None)
        for name, one in tables.items()
    ]  # fmt: skip
    cameras = [] if given.camera is None else [given.camera]
    scene = Scene(given.stem, angles.timeline, (), points, cameras, slowmo=given.slowmo)
    with TemporaryDirectory() as room:
        film = None
        if video is not None:
            film = Path(room) / "film.mp4"
            _write_film(film, given, Clip(video, slowmo=given.slowmo))
        shown = Recording(given.stem, [pack_scene(scene)], film, after)
        words = [*_words(angles, after, real), _KEY]
        write_viewer(page, [shown], title=f"{given.stem}, joint angles refined", notes=words,
                     tables=[_table(angles, after, real)])  # fmt: skip


def _write_film(path: Path, given: _Given, clip: Clip) -> None:
    """The video as the page shows it: what browsers play, at a size for it."""
    assert given.camera is not None
    clock = given.angles.timeline
    rows = film_frames(clock, clip.slowmo)
    shown = Timeline(clock.frame[rows], clock.time[rows])
    tiles = Tiles.of(CameraRig((given.camera,)))
    tiles.write(path, [clip], shown.time[None], shown, lambda *_: None, lambda *_: None)


def _table(before: JointAngles, after: JointAngles, real: JointAngles | None) -> Table:
    heads = ["Joint", "Moved, mean", "Moved, most"]
    heads += [] if real is None else ["Error before", "Error after"]
    moved = _moved(after, before)
    errors = [] if real is None else [_errors(before, real), _errors(after, real)]
    rows: list[Sequence[Cell]] = []
    for j, group in enumerate(GROUPS):
        known = moved[:, j][np.isfinite(moved[:, j])]
        cells: list[Cell] = [_mean(known), float(known.max()) if known.size else float("nan")]
        cells += [_mean(error[:, j]) for error in errors]
        rows.append((group.replace("_r", ", right").replace("_l", ", left").capitalize(), *cells))
    return Table("What was changed", heads, rows, "Degrees, means over the joint's three angles.")
