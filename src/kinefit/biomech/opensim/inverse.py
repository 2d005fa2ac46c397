"""From a file of markers to a scaled model and its motion: the whole job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinefit import __version__
from kinefit.biomech.checked_markers import read_checked_markers
from kinefit.biomech.opensim.frame import NOISE_M, Task
from kinefit.biomech.opensim.model import BodyModel
from kinefit.biomech.opensim.observability import (
    LIMIT,
    Undetermined,
    is_optional,
    undetermined,
)
from kinefit.biomech.opensim.opencap import write_opencap_json
from kinefit.biomech.opensim.osim import load_opensim, read_model, scale_model
from kinefit.biomech.opensim.results import summarise, write_errors
from kinefit.biomech.opensim.scaling import Sizes, fit_sizes
from kinefit.biomech.opensim.sets import (
    KEYPOINTS,
    SHIPPED,
    MarkerSet,
    keypoint_bodies,
    own_set,
    renamed,
    shipped_sets,
    without_clusters,
)
from kinefit.biomech.opensim.solve import Solution, solve
from kinefit.io.atomic import atomic_path, write_json
from kinefit.io.guarded import guarded
from kinefit.io.mot import MotTable, write_mot
from kinefit.io.text import check_file
from kinefit.types import (
    BoolArray,
    FloatArray,
    InputError,
    Markers,
    Subject,
    Timeline,
    TooFewPoints,
)

# rad, m: a coordinate of which the poses of most frames say nothing at all is left out. Holding
# those between LIMIT and this instead put wrists 40 mm off: at 0.34, pronation fits far better.
_NOTHING = 0.8
# Cosine: bending forward turns a pelvis by 60 degrees at most for a while, lying by 90.
_LYING, _POSES_FOR_UP = 0.4, 30
# A child process is given 20 times what it was seen to need: 10-25 ms a frame, whose markers take
# 600-1200 bytes of a file, and 0.4 GiB.
_CHILD_S, _BYTES_PER_S, _CHILD_MIB = 120.0, 2000.0, 8192
_GENERIC_HEIGHT_M = 1.70  # Pose2Sim's models, from the sole's to the skull's mesh
_HEIGHT_OFF = 0.1
# Drillis & Contini 1966, as in Winter, Biomechanics and Motor Control, fig. 4.1: shares of stature
# of thigh and shank; the rest (foot, trunk, head) goes to the trunk's factor.
_SHARES = {"femur_r": 0.245, "tibia_r": 0.246, "torso": 0.509}


@dataclass(frozen=True)
class Options:
    """What a run of inverse kinematics can be told.

    subject: the person; may be None for a model that is scaled already.
    model: "simple" or "muscles", Pose2Sim's models, or the path of a model with its own markers.
    scaled: the model is this person's already; use it as it is.
    setup: an OpenSim IK setup file with the weights of the markers of one's own model.
    static: a file of the same person's markers to scale from, instead of the motion itself.
    allow_missing: leave out the joints that the markers do not determine, instead of refusing.
    up, units: of the marker files; see `kinefit.biomech.checked_markers.read_checked_markers`.
    """

    subject: Subject | None = None
    model: str | Path = "muscles"
    scaled: bool = False
    setup: Path | None = None
    static: Path | None = None
    allow_missing: bool = False
    up: str | None = None
    units: str | None = None

    def read(self, file: Path) -> Markers:
        """The markers of a TRC or C3D file."""
        return read_checked_markers(file, up=self.up, units=self.units)


@dataclass(frozen=True)
class IkResult:
    """What was written and what to know: files, the summary's content, warnings."""

    files: list[Path]
    summary: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Job:
    """Markers matched to a model."""

    source: Path
    markers: Markers
    chosen: MarkerSet
    model: BodyModel
    weights: FloatArray
    open: list[Undetermined]
    renamed: dict[str, str]

    def target(self, markers: Markers) -> FloatArray:
        """(T, M, 3) positions of `markers` in the model's order, NaN where missing."""
        nowhere = np.full((len(markers.timeline), 3), np.nan)
        column = dict(zip(markers.names, np.moveaxis(markers.xyz, 1, 0), strict=True))
        return np.stack([column.get(name, nowhere) for name in self.model.markers], axis=1)

    @property
    def refused(self) -> list[Undetermined]:
        """The open joints that a result needs."""
        return [joint for joint in self.open if not joint.optional]

    @property
    def task(self) -> Task:
        goals = [self.chosen.goals.get(name, 0.0) for name in self.model.names]
        held = [name for joint in self.open for name in joint.coordinates]
        free = self.model.free & ~np.isin(self.model.names, held)
        return Task(self.weights, free, np.array(goals))


def inverse_kinematics_of_file(source: Path, out: Path, options: Options) -> IkResult:
    """Scale a model to the markers of a TRC or C3D file and find its motion.

    Writes into the folder `out`: the scaled model (`_scaled.osim`), the motion (`_ik.mot`, degrees
    and metres, the file's own times), marker errors per frame (`_ik_errors.csv`) and a summary
    (`_ik_summary.json`). Nothing is written when the markers leave a joint open that the motion
    would contain, unless `allow_missing`: then, and always for toes, hands and head, such
    coordinates are held at the model's default and left out of the motion, where OpenSim reads
    them as that default. Frames whose missing markers leave a coordinate open are left out too.

    A model of one's own is worked on in a child process, which OpenSim may end.

    Raises InputError and its kin for files, markers and options that cannot be used.
    """
    if options.model in SHIPPED:
        return _inverse_kinematics_of_file(source, out, options)
    check_file(source)
    seconds = _CHILD_S + source.stat().st_size / _BYTES_PER_S
    return guarded(
        Path(options.model), seconds, _CHILD_MIB,
        _inverse_kinematics_of_file, source, out, options,
    )  # fmt: skip


def _inverse_kinematics_of_file(source: Path, out: Path, options: Options) -> IkResult:
    load_opensim()
    markers = options.read(source)
    if not options.scaled and options.subject is None:
        raise InputError("options", "scaling needs the person's height and mass",
                         "give --height and --mass, or --scaled for a model that fits")  # fmt: skip
    job = _match(source, markers, options)
    _refuse_open(job, options)
    sizes = Sizes({}) if options.scaled else _scale(job, options)
    job, solution = _solve(job)
    kept = _kept_frames(job, solution)
    warnings = _warnings(job, options, sizes, solution, kept)
    return _write(job, out, options, sizes, solution, kept, warnings)


def _match(source: Path, markers: Markers, options: Options) -> _Job:
    """The marker set that determines most joints, on the model that was asked for."""
    if options.model not in SHIPPED:
        path = Path(options.model)
        model = BodyModel(path)
        chosen = own_set(path, model.markers, options.setup)
        if not options.scaled:
            chosen = without_clusters(chosen)
        return _job(source, markers, chosen, {}, model)
    if options.setup or options.scaled:
        raise InputError(
            "options", "--setup and --scaled are for a model of one's own", "add --model FILE.osim"
        )
    jobs = []
    for chosen in shipped_sets(markers.names, str(options.model)):
        known = keypoint_bodies() if chosen.name in KEYPOINTS else {}
        jobs.append(_job(source, markers, chosen, known))
        if not jobs[-1].refused:
            return jobs[-1]
    if not jobs:
        raise InputError(
            source, "has none of the markers that kinefit's models have",
            "name them as in one of those sets, or give --model with markers of your own",
        )  # fmt: skip
    return min(jobs, key=lambda job: len(job.refused))


def _job(
    source: Path,
    markers: Markers,
    chosen: MarkerSet,
    known: dict[str, str],
    model: BodyModel | None = None,
) -> _Job:
    model = model or BodyModel(chosen.model, chosen.markers)
    markers, taken = renamed(markers, model.markers)
    has = {
        n for n, seen in zip(markers.names, np.any(markers.present, axis=0), strict=True) if seen
    }
    weights = np.array([chosen.weights.get(n, 0.0) * (n in has) for n in model.markers])
    if not weights.any():
        raise InputError(
            source, f"has none of the markers of {chosen.model.name}",
            f"the model's are {', '.join(model.markers[:8])} ...",
        )  # fmt: skip
    left = undetermined(model, weights > 0, known)
    return _Job(source, markers, chosen, model, weights, left, taken)


def _refuse_open(job: _Job, options: Options) -> None:
    """Raise for joints that the markers leave open, or that are the whole model's base."""
    refused, named = job.refused, _listed(job.refused)
    base = job.model.coordinates[0].joint
    if any(joint.joint == base for joint in refused):
        raise InputError(
            job.source, f"its markers do not say where the model is ({named})",
            "bring the markers that are named",
        )  # fmt: skip
    if refused and not options.allow_missing:
        raise InputError(
            job.source,
            f"its markers ({job.chosen.about}) leave {len(refused)} joints open: {named}",
            "bring the markers that are named, or leave these joints out of the result with "
            "--allow-missing",
        )


def _listed(joints: Sequence[Undetermined]) -> str:
    return "; ".join(map(str, joints))


def _scale(job: _Job, options: Options) -> Sizes:
    """Scale the job's model in place."""
    source = options.static or job.source
    markers = job.markers
    if options.static is not None:
        markers = renamed(options.read(options.static), job.model.markers)[0]
    try:
        sizes = fit_sizes(job.model, job.task, job.target(markers))
    except TooFewPoints as error:
        raise InputError(source, "no frame has three of the markers", "check the file") from error
    if sizes.implausible:
        raise InputError(
            source,
            f"the markers make {', '.join(sizes.implausible[:4])} of a size that no person has",
            "check the units in the file and that left and right are not mixed up",
        )
    return sizes


def _solve(job: _Job) -> tuple[_Job, Solution]:
    """Solve all frames; coordinates that most poses leave open are then held, and all solved anew.

    A straight arm does not say how it is turned: with one marker per joint, the solver would
    return noise for that coordinate.
    """
    xyz = job.target(job.markers)
    solution = solve(job.model, job.task, xyz)
    unknown = (np.median(solution.sd_if_seen, axis=0) > _NOTHING) & job.task.free
    if unknown.any():
        open_: dict[str, list[str]] = {joint.name: [] for joint in job.model.joints}
        for i in np.flatnonzero(unknown):
            open_[job.model.coordinates[i].joint].append(job.model.names[i])
        more = [Undetermined(j, tuple(n), (), is_optional(j)) for j, n in open_.items() if n]
        job = replace(job, open=[*job.open, *more])
        solution = solve(job.model, job.task, xyz)
    return job, solution


def _reported(job: _Job) -> BoolArray:
    """(C,) True for coordinates whose values the markers determine, directly or through others."""
    free = dict(zip(job.model.names, job.task.free, strict=True))
    return np.array([all(free[n] for n in c.tied_to or (c.name,)) for c in job.model.coordinates])


def _kept_frames(job: _Job, solution: Solution) -> BoolArray:
    """(T,) True where no coordinate is open that would not be with all markers there."""
    lost = (solution.sd > LIMIT) & (solution.sd_if_seen <= LIMIT) & _reported(job)
    seen = np.isfinite(solution.error).any(1)
    kept = seen & ~lost.any(1)
    if not kept.any():
        raise InputError(
            job.source, "no frame has markers enough to determine the model",
            "fill the gaps, or bring more markers",
        )  # fmt: skip
    return np.asarray(kept)


def _warnings(
    job: _Job, options: Options, sizes: Sizes, solution: Solution, kept: BoolArray
) -> list[str]:
    warnings = [*job.markers.notes]
    if not (options.up or any("--up" in note for note in warnings)):
        warnings += _lying(job.model, solution.q[kept])
    if job.renamed:
        pairs = ", ".join(f"{a} as {b}" for a, b in list(job.renamed.items())[:4])
        warnings.append(f"{len(job.renamed)} markers were taken under other names: {pairs} ...")
    if job.chosen.weights_from == "all equal":
        warnings.append("All markers weigh the same: give --setup with weights for this model.")
    if job.open:
        warnings.append(
            f"Not determined by the markers, so held at the model's default and not in the .mot: "
            f"{_listed(job.open)}."
        )
    free = job.task.free
    for i in np.flatnonzero(free):
        share = float((solution.sd_if_seen[kept, i] > LIMIT).mean())
        if share > 0.05:
            warnings.append(
                f"{job.model.names[i]} is uncertain in {100 * share:.0f} % of the frames: in those "
                "poses the markers hardly say anything about it."
            )
    if not kept.all():
        frames = job.markers.timeline.frame[~kept]
        warnings.append(
            f"Left out of the .mot, for want of markers: frames {_ranges(frames)} "
            f"({len(frames)} of {len(kept)})."
        )
    if sizes.factors and job.chosen.markers is not None and options.subject is not None:
        implied = _GENERIC_HEIGHT_M * sum(s * sizes.factors[b][1] for b, s in _SHARES.items())
        if abs(implied / options.subject.height_m - 1) > _HEIGHT_OFF:
            warnings.append(
                f"The markers are those of a person of {implied:.2f} m, the height given is "
                f"{options.subject.height_m:.2f} m: the markers' scale or the height is off."
            )
    return warnings


def _lying(model: BodyModel, poses: FloatArray) -> list[str]:
    """A warning where the body at the model's base mostly lies: laboratories record with Z up,
    and OpenSim's world has Y up. poses: (T, C)."""
    base = model.coordinates[0].body
    some = np.concatenate(
        [model.tie(model.default)[None], poses[:: len(poses) // _POSES_FOR_UP + 1]]
    )
    axes = model.body_frames(some)[0][:, model.bodies.index(base)]
    up = (axes[1:] @ axes[0].T)[:, :, 1].mean(axis=0)
    if up[1] > _LYING:
        return []
    axis = int(np.abs(up).argmax())
    named = f"{'-' if up[axis] < 0 else '+'}{'XYZ'[axis]}"
    return [
        f"The person's {base} points along {named}, and up is +Y for OpenSim: unless the person "
        f"lies, give --up {named}. Angles of the pelvis are wrong otherwise, and so are forces."
    ]


def _ranges(frames: Any) -> str:
    """12-14, 20, 31-40: at most six ranges."""
    edges = np.flatnonzero(np.diff(frames) > 1)
    starts, ends = np.append(frames[:1], frames[edges + 1]), np.append(frames[edges], frames[-1:])
    texts = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    more = f" and {len(texts) - 6} further stretches" if len(texts) > 6 else ""
    return ", ".join(texts[:6]) + more


def _write(
    job: _Job,
    out: Path,
    options: Options,
    sizes: Sizes,
    solution: Solution,
    kept: BoolArray,
    warnings: list[str],
) -> IkResult:
    stem = job.source.stem
    osim, mot = out / f"{stem}_scaled.osim", out / f"{stem}_ik.mot"
    errors, summary_file = out / f"{stem}_ik_errors.csv", out / f"{stem}_ik_summary.json"
    _write_model(osim, job, options, sizes)
    write_mot(mot, _motion(job, solution, kept), f"{stem} inverse kinematics")
    used = job.weights > 0
    names = [n for n, u in zip(job.model.markers, used, strict=True) if u]
    write_errors(errors, job.markers.timeline, names, solution.error[:, used], kept)
    result = summarise(errors, mot)
    summary = _provenance(job, options, sizes, kept) | result | {"warnings": warnings}
    write_json(summary_file, summary)
    shown = out / f"{stem}_ik_opencap.json"
    write_opencap_json(shown, job.model, job.markers.timeline.time[kept], solution.q[kept])
    return IkResult([osim, mot, errors, summary_file, shown], summary, warnings)


def _motion(job: _Job, solution: Solution, kept: BoolArray) -> MotTable:
    """Reported coordinates of the kept frames, in the units in which OpenSim reads them.

    In a table with inDegrees=yes OpenSim turns what it calls rotations into radians, and leaves
    coupled coordinates alone (SimbodyEngine::convertDegreesToRadians): those stay in radians or
    metres, as OpenSim's own inverse kinematics writes them.
    """
    reported = _reported(job)
    rotates = np.array([c.motion == "rotation" for c in job.model.coordinates])
    values = np.where(rotates, np.degrees(solution.q), solution.q)[kept][:, reported]
    timeline = job.markers.timeline
    names = tuple(n for n, r in zip(job.model.names, reported, strict=True) if r)
    return MotTable(Timeline(timeline.frame[kept], timeline.time[kept]), names, values, True)


def _write_model(path: Path, job: _Job, options: Options, sizes: Sizes) -> None:
    """The full model, muscles and all, scaled, of the person's mass, with the set's markers."""
    model = read_model(job.chosen.model, job.chosen.markers)
    if sizes.factors:
        scale_model(model, sizes.factors, options.subject.mass_kg if options.subject else None)
    model.setName(job.source.stem)
    with atomic_path(path) as temporary:
        if not model.printToXML(str(temporary)):
            raise OSError(f"OpenSim could not write {path.name}")


def _provenance(job: _Job, options: Options, sizes: Sizes, kept: BoolArray) -> dict[str, Any]:
    frames = job.markers.timeline.frame
    weights = zip(job.model.markers, job.weights.tolist(), strict=True)
    return {
        "source": job.source.name,
        "model": job.chosen.model.name,
        "marker_set": {"name": job.chosen.name, "about": job.chosen.about},
        "marker_weights": {name: weight for name, weight in weights if weight},
        "marker_weights_from": job.chosen.weights_from,
        "renamed_markers": job.renamed,
        "scaled_from": "not scaled: the model as it is"
        if options.scaled
        else (options.static or job.source).name,
        "scale_factors": {b: [round(x, 4) for x in f] for b, f in sizes.factors.items()},
        "height_m": options.subject.height_m if options.subject else None,
        "mass_kg": options.subject.mass_kg if options.subject else None,
        "not_determined": [
            {"joint": j.joint, "coordinates": list(j.coordinates), "markers": list(j.markers)}
            for j in job.open
        ],
        "determined_means": f"standard deviation up to {LIMIT} rad under {NOISE_M} m of noise",
        "frames_left_out": [int(frame) for frame in frames[~kept]],
        "versions": {"kinefit": __version__, "opensim": load_opensim().GetVersion()},
    }
