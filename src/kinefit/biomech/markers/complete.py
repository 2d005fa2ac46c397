"""Markers that were not seen, put where anatomy says they should be, and flagged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kinefit.biomech.markers.initial import fill
from kinefit.geometry.align import align
from kinefit.geometry.hip_centre import hip_joint_centres
from kinefit.skeletons import mirror_name
from kinefit.types import BoolArray, FloatArray, Markers, all_finite

# What is mirrored at the pelvis and what at the trunk; the same on the other side.
_LOWER = ("RKnee", "RAnkle", "RHeel", "RSmallToe", "RBigToe")
_UPPER = ("RElbow", "RWrist")

# Markers on one bone (or nearly: the acromia and shoulders on the trunk). In the augmented set
# `sh` is short for shank, so the "shoulder clusters" of some descriptions are r_sh1..3 and
# L_sh1..3 on the shanks; the shoulder itself has one marker a side, on the acromion.
_TRUNK = ("C7_study", "r_shoulder_study", "L_shoulder_study", "RShoulder", "LShoulder")
_PELVIS = ("r.ASIS_study", "L.ASIS_study", "r.PSIS_study", "L.PSIS_study")
_THIGH = ("RHJC", "r_knee", "r_mknee", "r_thigh1", "r_thigh2", "r_thigh3")
_SHANK = ("r_ankle", "r_mankle", "r_sh1", "r_sh2", "r_sh3")
_RIGHT = tuple(tuple(f"{n}_study" for n in bone) for bone in (_THIGH, _SHANK))
_LEFT = tuple(tuple(mirror_name(n) for n in bone) for bone in _RIGHT)
_CLUSTERS = (_TRUNK, _PELVIS, *_RIGHT, *_LEFT)

# Metres. Joints nearer than this give no direction to mirror along.
_MIN_WIDTH = 0.05
# Metres, root-mean-square thickness across the line that fits best. Points thinner than this let
# a segment turn about that line at will.
_MIN_SPREAD = 0.01


def estimate_missing(markers: Markers) -> Markers:
    """Fill a limb's missing markers with the mirror image of the other side's; flag them.

    Knee to toes are mirrored at the sagittal plane of the pelvis (through the mid-hip, square to
    the hip axis), elbow and wrist at the trunk's (mid-shoulder, shoulder axis). Where that plane's
    two joints or the other side are missing too, NaN stays. The sd of a filled value is NaN:
    how far a mirrored limb is off depends on the motion (standing centimetres, walking the
    length of a step).
    """
    xyz, estimated = markers.xyz.copy(), markers.estimated.copy()
    for joint, limb in (("RHip", _LOWER), ("RShoulder", _UPPER)):
        pair = markers.index([joint, mirror_name(joint)], needed_for="estimating missing limbs")
        right, left = (markers.xyz[:, i] for i in pair)
        for name in (*limb, *map(mirror_name, limb)):
            if name in markers.names and mirror_name(name) in markers.names:
                i, other = markers.index([name, mirror_name(name)], needed_for="mirroring")
                image = _mirrored(markers.xyz[:, other], right, left)
                fill(xyz, estimated, i, image)
    return _rebuilt(markers, markers.names, xyz, estimated)


def force_complete(markers: Markers) -> Markers:
    """Complete an augmented set: hip joint centres first, then the markers of each bone.

    A missing hip joint centre (also one that has no column yet) comes from the four pelvic
    markers by Harrington's regression. Then any missing marker of trunk, pelvis, thighs and
    shanks is placed by the rigid motion that carries the clip's mean shape of that bone onto its
    present markers, of which three that are not on one line are needed. What cannot be placed
    stays NaN. Everything placed is flagged, with an sd of NaN.
    """
    markers = _with_hip_centres(markers)
    xyz, estimated = markers.xyz.copy(), markers.estimated.copy()
    for bone in _CLUSTERS:
        columns = [i for i, name in enumerate(markers.names) if name in bone]
        placed = _placed(markers.xyz[:, columns])
        for k, i in enumerate(columns):
            fill(xyz, estimated, i, placed[:, k])
    return _rebuilt(markers, markers.names, xyz, estimated)


def _with_hip_centres(markers: Markers) -> Markers:
    if not set(_PELVIS) <= set(markers.names):
        return markers
    spines = markers.select(_PELVIS).xyz
    centres = hip_joint_centres(*(spines[:, i] for i in range(4)))
    names, frames = list(markers.names), len(markers.timeline)
    names += [n for n in ("RHJC_study", "LHJC_study") if n not in names]
    new = len(names) - len(markers.names)
    xyz = np.concatenate([markers.xyz, np.full((frames, new, 3), np.nan)], axis=1)
    estimated = np.concatenate([markers.estimated, np.zeros((frames, new), bool)], axis=1)
    for name, centre in zip(("RHJC_study", "LHJC_study"), centres, strict=True):
        fill(xyz, estimated, names.index(name), centre)
    return _rebuilt(markers, names, xyz, estimated)


def _rebuilt(
    markers: Markers, names: Sequence[str], xyz: FloatArray, estimated: BoolArray
) -> Markers:
    """`markers` with new values; sd is NaN for what was missing before."""
    sd = markers.sd
    if sd is not None:
        sd = np.concatenate([sd, np.full((*xyz.shape[:1], len(names) - sd.shape[1], 3), np.nan)], 1)
        before = np.zeros(xyz.shape[:2], bool)
        before[:, : len(markers.names)] = markers.present
        sd = np.where(before[..., None], sd, np.nan)
    return replace(markers, names=tuple(names), xyz=xyz, estimated=estimated, sd=sd)


def _mirrored(point: FloatArray, right: FloatArray, left: FloatArray) -> FloatArray:
    """`point` (T, 3) mirrored at the plane half-way between `right` and `left`."""
    axis = right - left
    width = np.linalg.norm(axis, axis=-1, keepdims=True)
    axis = axis / np.where(width >= _MIN_WIDTH, width, np.nan)
    offset = ((point - (right + left) / 2) * axis).sum(axis=-1, keepdims=True)
    return np.asarray(point - 2 * offset * axis)


def _placed(points: FloatArray) -> FloatArray:
    """Where a rigid bone puts its M markers: (T, M, 3), NaN where it cannot be said.

    points: (T, M, 3). The mean shape is that of the frames with all M markers, each carried onto
    the first of them.
    """
    present = all_finite(points)
    full = points[present.all(axis=1)]
    nowhere = np.full_like(points, np.nan)
    if points.shape[1] < 3 or not len(full):
        return nowhere
    shape = align(full, np.broadcast_to(full[0], full.shape)).apply(full).mean(axis=0)
    if not np.isfinite(shape).all():  # all on one line
        return nowhere
    shapes = np.broadcast_to(shape, points.shape)
    placed = align(shapes, points).apply(shapes)
    thin = _spread(shape, present) < _MIN_SPREAD
    return np.where(thin[:, None, None], np.nan, placed)


def _spread(shape: FloatArray, present: BoolArray) -> FloatArray:
    """(T,) metres, how far the present (T, M) points of `shape` (M, 3) lie off one line."""
    count = np.maximum(present.sum(axis=1), 1)[:, None]
    offset = (shape - (present @ shape / count)[:, None]) * present[..., None]
    return np.asarray(np.linalg.svd(offset, compute_uv=False)[:, 1] / np.sqrt(count[:, 0]))
