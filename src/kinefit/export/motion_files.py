"""A moving body for other programs: glTF, BVH, OBJ, and the files of AMASS.

Every writer here takes a body model and a motion of it. What a format cannot say is either
refused or comes back as notes in plain words, with the measured difference; nothing is dropped
silently. kinefit's own file of a motion is `kinefit.io.body_npz`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.geometry.rotations import exp, log
from kinefit.io.amass import GENDERS, write_amass
from kinefit.io.bvh import PER_METRE, write_bvh
from kinefit.io.gltf import SkinnedMesh, strongest_influences, write_glb
from kinefit.io.obj import write_obj_frames
from kinefit.types import BodyMotion, FloatArray, InputError, IntArray, InvalidData, Timeline

# Takes vectors of a world with Y up to the same world with Z up, X the same.
_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_SAME_TIME = 1e-6  # seconds: above the rounding of times, far below any step between frames
_COMPARED_FRAMES = 12  # over the motion, in which the mesh of a file is compared with the body's


def export_glb(
    path: str | Path, body: BodyModel, motion: BodyMotion, influences: Literal[4, 8] | None = None
) -> tuple[str, ...]:
    """Write the skinned, animated mesh as `kinefit.io.gltf.write_glb` does; notes.

    influences: joints per vertex; None: as many as the body has. The notes say how far vertices
    of the file, and of a viewer that reads four joints only, are from the body's.
    Raises InvalidData when the motion is another body's, InputError as `write_glb`.
    """
    _check(body, motion)
    mesh = skinned_mesh(body, motion.shape, influences)
    write_glb(path, mesh, motion)
    written = replace(body, skin_joints=mesh.skin_joints, skin_weights=mesh.skin_weights)
    return _glb_notes(body, written, motion)


def skinned_mesh(
    body: BodyModel, shape: FloatArray, influences: Literal[4, 8] | None = None
) -> SkinnedMesh:
    """The body at rest as `kinefit.io.gltf` takes it; influences: as in `export_glb`."""
    joints, weights = strongest_influences(body.skin_joints, body.skin_weights, influences)
    return SkinnedMesh(
        name=body.name,
        vertices=body.rest_vertices(shape),
        faces=body.faces,
        joint_names=body.joint_names,
        parents=body.parents,
        joints=body.rest_joints(shape),
        skin_joints=joints,
        skin_weights=weights,
    )


def export_bvh(
    path: str | Path, body: BodyModel, motion: BodyMotion, *, per_metre: float = PER_METRE
) -> tuple[str, ...]:
    """Write the skeleton and its motion as `kinefit.io.bvh.write_bvh` does; notes.

    Gaps are bridged by `without_gaps`, and the notes name the frames. A bone without a joint at
    its end is drawn to twice the way from its joint to the middle of its skin.
    Raises InvalidData when the motion is another body's; InputError as `write_bvh`, so for
    uneven times: see `at_constant_rate`.
    """
    _check(body, motion)
    whole, notes = _gapless(path, motion)
    joints = body.rest_joints(motion.shape)
    ends = _bone_ends(body, joints, body.rest_vertices(motion.shape))
    write_bvh(path, whole, body.parents, joints, ends, per_metre=per_metre)
    return notes


def export_obj_frames(
    folder: str | Path, name: str, body: BodyModel, motion: BodyMotion
) -> tuple[Path, ...]:
    """Write `folder/name_000012.obj` of every frame with a pose, by its number; the paths.

    One frame is in memory at a time. Raises InvalidData when the motion is another body's.
    """
    _check(body, motion)

    frames = enumerate(motion.timeline.frame.tolist())
    meshes = ((frame, _posed(body, motion, i)) for i, frame in frames)
    return write_obj_frames(folder, name, meshes, body.faces)


def export_amass(path: str | Path, body: BodyModel, motion: BodyMotion) -> tuple[str, ...]:
    """Write a motion of an SMPL body under the names of AMASS, with Z up as there; notes.

    Gaps are bridged by `without_gaps`, and the notes name the frames. The gender is what the body's
    name says, else "neutral".
    Raises InvalidData when the motion is another body's; InputError as `write_amass`.
    """
    _check(body, motion)
    whole, notes = _gapless(path, motion)
    gender = body.name.rpartition("-")[2]  # "smplh-female"
    betas = body.shape.coefficients(motion.shape)
    known = gender if gender in GENDERS else "neutral"
    write_amass(path, turned(body, whole, _Z_UP), betas, known)
    return notes


def turned(body: BodyModel, motion: BodyMotion, R: FloatArray) -> BodyMotion:
    """The motion with the whole world turned by R (3, 3) about its origin.

    The root turns about its own place, not the origin: with h that place at rest and t the
    translation, its new place is R (h + t), so the new translation R (h + t) - h.
    """
    _check(body, motion)
    head = body.rest_joints(motion.shape)[0]
    rotations = motion.rotations.copy()
    rotations[:, 0] = R @ rotations[:, 0]
    return replace(
        motion, rotations=rotations, translation=(head + motion.translation) @ R.T - head
    )


def without_gaps(motion: BodyMotion) -> tuple[BodyMotion, IntArray]:
    """The motion from its first to its last pose with the gaps between bridged; their frames.

    In a gap every joint turns evenly on the shortest arc (slerp) and the translation moves
    evenly, from the pose before to the one after. Nothing is made up before the first pose and
    after the last: those frames are left out.
    Raises InvalidData for a motion without a pose.
    """
    poses = _poses(motion)
    span = slice(poses[0], poses[-1] + 1)
    timeline = Timeline(motion.timeline.frame[span], motion.timeline.time[span])
    filled = np.setdiff1d(timeline.frame, motion.timeline.frame[poses])
    return _sampled(motion, timeline, np.inf), filled


# Beyond ten minutes of a pause at 30 Hz beside a recording a twentieth as long, a file of hundreds
# of megabytes says nothing.
_MOSTLY_PAUSE, _FEW_FRAMES = 20, 20_000


def at_constant_rate(
    motion: BodyMotion, rate_hz: float | None = None, max_gap_s: float = 0.2
) -> BodyMotion:
    """The motion from its first to its last pose on an even clock, for formats without another.

    rate_hz: None: the median rate. Frames count from 0; times go on from the first pose's.
    Rotations go on the shortest arc and the translation straight between the two poses around a
    new frame; where these are more than `max_gap_s` seconds apart, it has no pose.
    Raises InvalidData for a motion without a pose or a rate that is no positive number, InputError
    where pauses in the recording would make nearly all of it.
    """
    poses = _poses(motion)
    first, last = motion.timeline.time[poses[0]], motion.timeline.time[poses[-1]]
    rate = motion.timeline.rate_hz if rate_hz is None else rate_hz
    if not (np.isfinite(rate) and rate > 0):
        raise InvalidData(f"A motion of one frame or at {rate} Hz has no constant rate.")
    # A frame that rounding puts behind the last pose is the last pose.
    count = int((last - first) * rate + 1e-6) + 1
    if count > _MOSTLY_PAUSE * len(poses) + _FEW_FRAMES and rate_hz is None:
        reason = f"{count} frames on an even clock, of which {len(poses)} were recorded"
        hint = "cut the recording at its pauses, or choose glb or obj, which keep the frames' times"
        raise InputError("--to", reason, hint)
    time = np.minimum(first + np.arange(count) / rate, last)
    return _sampled(motion, Timeline(np.arange(count), time), max_gap_s)


def _sampled(motion: BodyMotion, timeline: Timeline, max_gap_s: float) -> BodyMotion:
    """The motion at the times of `timeline`, between its first and its last pose."""
    poses = _poses(motion)
    time, at = motion.timeline.time[poses], timeline.time
    before = np.searchsorted(time, at + _SAME_TIME, side="right") - 1
    after = np.minimum(before + 1, len(poses) - 1)
    late, gap = at - time[before], time[after] - time[before]
    rotations, translation = (v[poses[before]] for v in (motion.rotations, motion.translation))
    moved = np.flatnonzero(late > _SAME_TIME)  # the others are poses, kept to the last bit
    target, s = poses[after[moved]], (late[moved] / gap[moved])[:, None]
    arc = log(np.swapaxes(rotations[moved], -1, -2) @ motion.rotations[target])
    rotations[moved] = rotations[moved] @ exp(s[..., None] * arc)
    translation[moved] += s * (motion.translation[target] - translation[moved])
    lost = moved[gap[moved] > max_gap_s]
    rotations[lost], translation[lost] = np.nan, np.nan
    return replace(motion, timeline=timeline, rotations=rotations, translation=translation)


def _poses(motion: BodyMotion) -> IntArray:
    """Indices of the frames with a pose, at least one."""
    poses = np.flatnonzero(np.isfinite(motion.translation).all(axis=1))
    if not len(poses):
        raise InvalidData(f"The motion of {motion.body} has no frame with a pose.")
    return poses


def _gapless(path: str | Path, motion: BodyMotion) -> tuple[BodyMotion, tuple[str, ...]]:
    """`without_gaps`, and what it did, in words."""
    if not np.isfinite(motion.translation).any():
        raise InputError(path, "no frame of the motion has a pose", "check what it was made from")
    whole, filled = without_gaps(motion)
    every, kept = motion.timeline.frame, whole.timeline.frame
    notes = []
    if len(kept) < len(every):
        some = f"{kept[0]}-{kept[-1]} of {every[0]}-{every[-1]}"
        left_out = "the others are before the first or after the last pose"
        notes.append(f"The file has frames {some}: {left_out}.")
    if len(filled):
        runs = np.split(filled, np.flatnonzero(np.diff(np.searchsorted(kept, filled)) > 1) + 1)
        words = ", ".join(f"{r[0]}" if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
        notes.append(f"Frames without a pose, bridged from the poses around them: {words}.")
    return whole, tuple(notes)


def _glb_notes(body: BodyModel, written: BodyModel, motion: BodyMotion) -> tuple[str, ...]:
    """How far vertices are from the body's: as written, and with four joints each."""
    plain = replace(body, pose_dirs=None)
    notes = []
    if body.pose_dirs is not None:
        off = _deviation(body, plain, motion)
        notes.append(f"The offsets that depend on the pose are left out: vertices are {off} off.")
    used = strongest_influences(body.skin_joints, body.skin_weights)[0].shape[1]
    kept = written.skin_joints.shape[1]
    if kept < used:
        off = _deviation(plain, replace(written, pose_dirs=None), motion)
        notes.append(f"Vertices follow {kept} joints of up to {used}: they are {off} off.")
    elif kept > 4:
        joints, weights = strongest_influences(body.skin_joints, body.skin_weights, 4)
        four = replace(plain, skin_joints=joints, skin_weights=weights)
        off = _deviation(plain, four, motion)
        seen = f"in viewers that read four they are {off} off"
        notes.append(f"Vertices follow up to {kept} joints; {seen}.")
    return tuple(notes)


def _deviation(exact: BodyModel, other: BodyModel, motion: BodyMotion) -> str:
    """Distance between the vertices of two models, over frames from the whole motion."""
    poses = _poses(motion)
    chosen = poses[np.unique(np.linspace(0, len(poses) - 1, _COMPARED_FRAMES).astype(int))]
    apart = 1000 * np.linalg.norm(
        _posed(exact, motion, chosen) - _posed(other, motion, chosen), axis=-1
    )
    return f"{np.mean(apart):.1f} mm (most {np.max(apart):.1f} mm)"


def _posed(body: BodyModel, motion: BodyMotion, index: int | IntArray) -> FloatArray:
    still = body.fixed(motion.shape)
    return still.posed_vertices(motion.rotations[index], motion.translation[index], np.zeros(0))


def _bone_ends(body: BodyModel, joints: FloatArray, vertices: FloatArray) -> FloatArray:
    """(B, 3) metres: from each joint twice the way to the middle of its skin.

    A joint without skin continues its bone by half.
    """
    B, W = len(joints), body.skin_weights.shape[1]
    owner, weights = body.skin_joints.ravel(), body.skin_weights.ravel()
    total = np.bincount(owner, weights, B)
    moments = [np.bincount(owner, weights * np.repeat(x, W), B) for x in vertices.T]
    bare = total == 0
    ends = 2 * np.stack(moments, axis=-1) / np.where(bare, 1, total)[:, None] - joints
    bones = joints - joints[np.maximum(body.parents, 0)]
    ends[bare] = (joints + bones / 2)[bare]
    return ends


def _check(body: BodyModel, motion: BodyMotion) -> None:
    """Raise InvalidData unless the motion is of this body."""
    mine = (body.name, body.joint_names, tuple(body.shape.names))
    its = (motion.body, motion.joint_names, motion.shape_names)
    if mine != its:
        what = "name" if mine[0] != its[0] else "joints" if mine[1] != its[1] else "shape"
        bodies = f"A motion of the body {motion.body} is none of the body {body.name}"
        hint = "Next: load the body that the motion was made with."
        raise InvalidData(f"{bodies}: their {what} differ. {hint}")
