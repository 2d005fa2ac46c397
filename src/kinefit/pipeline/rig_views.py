"""Where poses of a rig begin: what each camera saw for itself, or the points that they go to.

SAM 3D Body tells a pose twice: as parameters of the Momentum Human Rig, and as keypoints in
space. The first are poses of that rig as they are; the second make poses of any body. A camera's
poses stand in its own axes, somewhere: placing them is the fit's first step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kinefit.body.mhr import MhrModel
from kinefit.body.mhr_params import flip_axes
from kinefit.body.mhr_pose import pose_of_parameters
from kinefit.fit.recipes.clip import ClipOptions, fit_clip
from kinefit.fit.recipes.frames.rig_frames import as_view
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome, RigTargets
from kinefit.fit.recipes.frames.rigfit import RigFit
from kinefit.fit.recipes.initial import from_points
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.state import State
from kinefit.io.sam3d import SUFFIXES, frames_of, match_cameras
from kinefit.io.sam3d_outputs import Sam3dPerson, read_outputs
from kinefit.skeletons import skeleton
from kinefit.tracking.posed_people import choose_subject
from kinefit.types import (
    CameraRig,
    FloatArray,
    InputError,
    IntArray,
    Observations,
    Timeline,
    all_finite,
)

POINTS = "points"  # what stands for a camera where poses begin at the points themselves
# Of an output only what tells who it is and how the body is bent: meshes of a clip fill memory.
_KEPT = ("bbox", "pred_keypoints_2d", "pred_keypoints_3d", "shape_params", "mhr_model_params")
# The points of MHR by their number, where a file does not name them.
NAMES = {len(skeleton(name).points): skeleton(name).points for name in ("mhr70", "mhr46")}
_FEWEST = 6  # points that a pose from points rests on
# The shape rests on frames over the whole clip; more of them say no more about bones.
_SHAPE_FRAMES = 30
_POINT_SD_M = 0.01  # of triangulated points of a person, where nothing else is known


@dataclass(frozen=True, eq=False)
class Seen:
    """One person in the pictures of one camera.

    rows: (N,) frames of the clip that show it. persons: N. files: N, which they were read from.
    """

    rows: IntArray
    persons: tuple[Sam3dPerson, ...]
    files: tuple[Path, ...]

    def values(self, name: str) -> NDArray[np.float64]:
        """(N, ...) the array of that name; raises InputError naming the first file without it."""
        found = [getattr(person, name) for person in self.persons]
        for file, value in zip(self.files, found, strict=True):
            if value is None or value.shape != found[0].shape:
                reason = f"it has no {name}" if value is None else f"its {name} is {value.shape}"
                raise InputError(
                    file, reason, "give whole outputs of SAM 3D Body, or leave --views out"
                )
        return np.array(found, dtype=np.float64)


def read_views(folder: Path, cameras: Sequence[str], timeline: Timeline) -> dict[str, Seen]:
    """The subject in the outputs of SAM 3D Body, by camera.

    folder: an entry for each of `cameras`, by its exact name, as `kinefit triangulate` reads it;
    files are frames by their number. Who of several persons is the subject, all pictures decide
    together (`choose_subject`); a camera that never shows the subject is left out.

    Raises InputError where names do not fit, for a file that cannot be read, and when no file is
    of a frame of the clip.
    """
    if not folder.is_dir():
        raise InputError(folder, "is no folder", "give the folder with an entry per camera")
    entries = match_cameras(folder, cameras, SUFFIXES)
    files = {camera: frames_of(entry) for camera, entry in entries.items()}
    numbers = timeline.frame.tolist()
    if not any(number in named for named in files.values() for number in numbers):
        first = sorted(number for named in files.values() for number in named)[:3]
        raise InputError(
            folder, f"no file is of a frame of the clip ({numbers[0]}..{numbers[-1]}, not {first})",
            "number the files as the frames that were triangulated",
        )  # fmt: skip
    crowd = [
        [_read(named[number]) if number in named else () for number in numbers]
        for named in files.values()
    ]
    chosen = choose_subject(crowd)
    found = {}
    for c, (camera, named) in enumerate(files.items()):
        rows = np.flatnonzero(chosen[c] >= 0)
        persons = tuple(crowd[c][t][chosen[c, t]] for t in rows)
        if persons:
            found[camera] = Seen(rows, persons, tuple(named[numbers[t]] for t in rows))
    return found


def mhr_views(
    model: MhrModel, chain: Chain, seen: Mapping[str, Seen], count: int
) -> dict[str, State]:
    """Each camera's poses, as its parameters of the rig say them, for `count` frames."""
    views = {}
    for camera, one in seen.items():
        parameters, identity = one.values("mhr_model_params"), one.values("shape_params")
        pose = pose_of_parameters(model, parameters, identity)
        part = as_view(chain, pose.rotations, pose.translation, pose.shape)
        views[camera] = part.among(count, one.rows)
    return views


def keypoint_views(
    chain: Chain, shape: FloatArray, seen: Mapping[str, Seen], count: int
) -> dict[str, State]:
    """Each camera's poses of any body, in closed form from its keypoints in space."""
    views = {}
    for camera, one in seen.items():
        xyz = one.values("pred_keypoints_3d")
        names = NAMES.get(xyz.shape[1])
        if names is None:
            raise InputError(
                one.files[0], f"its {xyz.shape[1]} keypoints are no known set",
                "give outputs with the 70 keypoints of mhr70",
            )  # fmt: skip
        views[camera] = _from_points(chain, shape, names, flip_axes(xyz), one.rows, count)
    return views


def point_views(chain: Chain, shape: FloatArray, targets: RigTargets) -> dict[str, State]:
    """Poses in closed form from the targets themselves, as if a camera `POINTS` had seen them."""
    rows = np.flatnonzero(targets.reasons(_FEWEST) == FrameOutcome.OK)
    xyz = np.where(targets.usable[..., None], targets.xyz, np.nan)[rows]
    return {POINTS: _from_points(chain, shape, targets.names, xyz, rows, len(targets))}


def from_points_alone(targets: RigTargets) -> RigTargets:
    """The same targets with `POINTS` as their only camera."""
    nothing = np.full((len(targets), 1), np.nan)
    return replace(targets, cameras=(POINTS,), error_px=nothing)


def shape_of_points(work: RigFit) -> FloatArray:
    """(S,) the shape of the body that the targets show, from frames over the whole clip.

    The neutral shape where no frame has enough points. Raises TooFewPoints when there are frames,
    but not with points that the body's anatomy hangs on.
    """
    targets = work.targets
    good = np.flatnonzero(targets.reasons(_FEWEST) == FrameOutcome.OK)
    if not len(good):
        return work.chain.shape.neutral
    rows = good[np.unique(np.linspace(0, len(good) - 1, _SHAPE_FRAMES).round().astype(np.int64))]
    M = len(targets.names)
    xyz = np.where(targets.usable[..., None], targets.xyz, np.nan)[rows]
    covariance = np.broadcast_to(_POINT_SD_M**2 * np.eye(3), (len(rows), M, 3, 3))
    clock = Timeline(targets.timeline.frame[rows], targets.timeline.time[rows])
    none = np.empty((len(rows), 0, M))
    data = Observations(
        clock, CameraRig(()), targets.names, np.empty((*none.shape, 2)), none, xyz, covariance
    )
    # No offsets: a rig fit has none, so that bones have to make up for what keypoints are off.
    options = ClipOptions(offset_m=0.0, hold_feet=False)
    return fit_clip(work.chain.body, data, options).motion.shape


def _from_points(
    chain: Chain, shape: FloatArray, names: Sequence[str], points: FloatArray, rows: IntArray,
    count: int,
) -> State:  # fmt: skip
    """Poses of `count` frames from points (N, M, 3) in frames `rows`; NaN where too few are.

    Only joints of the body's anatomy turn: those between them, which a fit holds, would bend
    limbs for good (4 cm off with Anny, whose thigh has two).
    """
    body, kept = chain.body, [m for m, name in enumerate(names) if name in chain.point_names]
    joints = (body.joint_names[0], *body.anatomy.values())
    small = Chain.of(body, joints, {names[m]: {names[m]: 1.0} for m in kept})
    xyz = points[:, kept]
    known = all_finite(xyz)
    enough = np.flatnonzero(known.sum(axis=1) >= _FEWEST)
    found = from_points(small, shape, xyz[enough], within_limits=True)
    state = replace(State.rest(chain, len(enough)), translation=found.translation, shape=shape)
    at = [chain.joint_names.index(name) for name in small.joint_names]
    state.rotations[:, at] = found.rotations
    return state.with_shape_each().among(count, rows[enough])


def _read(file: Path) -> tuple[Sam3dPerson, ...]:
    return tuple(
        Sam3dPerson(**{name: getattr(person, name) for name in _KEPT})
        for person in read_outputs(file)
    )
