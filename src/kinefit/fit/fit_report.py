"""What to know about a fit before using it, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kinefit.body.girths import girths
from kinefit.body.model import BodyModel
from kinefit.fit.recipes.clip import ClipFit
from kinefit.fit.recipes.markers import MarkerFit
from kinefit.fit.recipes.silhouette import GIRTH_ERROR_M
from kinefit.quality.quantities import frame_pairs
from kinefit.types import BodyMotion, BoolArray, FloatArray

# Bones of the body whose lengths are told, by their anatomical joints.
_BONES = {
    "upper arm": ("Shoulder", "Elbow"),
    "forearm": ("Elbow", "Wrist"),
    "thigh": ("Hip", "Knee"),
    "shank": ("Knee", "Ankle"),
}
# Frames that are so many times as far off as the median one, and at least this far, are told.
_BAD_RATIO, _BAD_PX, _BAD_M, _BAD_MM = 3.0, 10.0, 0.05, 20.0


def clip_report(
    body: BodyModel, fit: ClipFit, beyond_deg: Mapping[str, FloatArray] | None = None
) -> dict[str, Any]:
    """Shape, residuals, feet, joint limits, and frames not to use.

    beyond_deg: joint -> (T,) degrees outside its limits, where these were looked at.
    """
    lost = np.array([bool(reason) for reason in fit.reason])
    error = np.where(lost[:, None, None], np.nan, fit.reprojection)
    return {
        **_person(body, fit.motion),
        **_girths(body, fit),
        "frames_without_pose": frame_pairs(lost, fit.motion.timeline.frame),
        "frames_far_off": frame_pairs(_clip_far_off(fit, error, lost), fit.motion.timeline.frame),
        "points_off_mm": _median(1000 * fit.off_m[~lost]),
        "reprojection_px": _reprojection(fit, error),
        "keypoint_offsets_mm": _named(
            fit.names, 1000 * np.linalg.norm(fit.state.offset[: len(fit.names)], axis=1), 1
        ),
        "keypoint_sd_mm": {
            name: _median(1000 * fit.sd_m[:, k]) for k, name in enumerate(fit.names)
        },
        "feet": _feet(fit),
        "solver": {"steps": fit.steps, "converged": fit.converged},
        **_limits(beyond_deg),
    }


def marker_report(
    body: BodyModel, fit: MarkerFit, beyond_deg: Mapping[str, FloatArray] | None = None
) -> dict[str, Any]:
    """The same of a fit to markers: how far they are from the body, and where they were put."""
    lost = np.array([bool(reason) for reason in fit.reason])
    frame, rms = fit.motion.timeline.frame, fit.frame_rms_mm
    offset = 1000 * np.linalg.norm(fit.offset, axis=1)
    return {
        **_person(body, fit.motion),
        "frame_step": int(np.median(np.diff(frame))) if len(frame) > 1 else 1,
        "frames_without_pose": frame_pairs(lost, frame),
        "frames_far_off": frame_pairs(_far_off(rms, _BAD_MM), frame),
        "rms_mm": _rounded(float(np.sqrt(_mean(rms**2, (0,)))), 3),
        "markers": {
            name: {"rms_mm": round(float(off), 2), "offset_mm": round(float(moved), 1)}
            for name, off, moved in zip(fit.names, fit.marker_rms_mm, offset, strict=True)
        },
        "markers_ignored": list(fit.ignored),
        "solver": {"converged": fit.converged},
        **_limits(beyond_deg),
    }


def _person(body: BodyModel, motion: BodyMotion) -> dict[str, Any]:
    return {
        "body": body.name,
        "shape": _named(motion.shape_names, motion.shape, 4),
        "stature_m": round(float(np.ptp(body.rest_vertices(motion.shape)[:, 1])), 4),
        "bones_m": bone_lengths(body, motion.shape),
        "frames": len(motion.timeline),
    }


def _girths(body: BodyModel, fit: ClipFit) -> dict[str, Any]:
    """Only from masks: keypoints leave a waist unknown to 12 cm. How far they are off is known of
    adults on Anny."""
    if fit.masks is None:
        return {}
    found = girths(body, fit.motion.shape) if fit.masks.any() else {}
    measured = body.name == "anny" and not _is_child(fit.motion)
    error = GIRTH_ERROR_M[int((fit.masks > 0).sum()) > 1] if measured else {}
    return {
        "masks_used": int(fit.masks.sum()),
        "girths": {
            name: {"m": round(value, 3), "rms_error_m": error.get(name)}
            for name, value in found.items()
            if np.isfinite(value)
        },
    }


def _is_child(motion: BodyMotion) -> bool:
    """Whether Anny's age is a child's."""
    return "age" in motion.shape_names and motion.shape[motion.shape_names.index("age")] < 0.6


def _limits(beyond_deg: Mapping[str, FloatArray] | None) -> dict[str, Any]:
    if beyond_deg is None:
        return {}
    worst = {joint: float(np.nanmax(v, initial=0)) for joint, v in beyond_deg.items()}
    return {"beyond_joint_limits_deg": {j: round(v, 2) for j, v in worst.items() if v > 0}}


def bone_lengths(body: BodyModel, shape: FloatArray) -> dict[str, float]:
    """Metres, the same in every frame: the body has one shape."""
    joints = body.rest_joints(shape)
    at = {name: joints[body.joint_names.index(joint)] for name, joint in body.anatomy.items()}
    return {
        f"{side} {bone}": round(float(np.linalg.norm(at[s + a] - at[s + b])), 4)
        for bone, (a, b) in _BONES.items()
        for s, side in (("L", "left"), ("R", "right"))
        if s + a in at and s + b in at
    }


def _clip_far_off(fit: ClipFit, error: FloatArray, lost: BoolArray) -> BoolArray:
    """(T,) frames whose keypoints are: in pictures, where there are any; else in space."""
    frame = _mean(error, (1, 2))
    if np.isfinite(frame).any():
        return _far_off(frame, _BAD_PX)
    return _far_off(_mean(np.where(lost[:, None], np.nan, fit.off_m), (1,)), _BAD_M)


def _far_off(distance: FloatArray, least: float) -> BoolArray:
    """(T,) frames whose distance stands out; see `_BAD_RATIO`."""
    typical = float(np.nanmedian(distance)) if np.isfinite(distance).any() else np.inf
    return np.asarray(np.nan_to_num(distance) > max(_BAD_RATIO * typical, least))


def _reprojection(fit: ClipFit, error: FloatArray) -> dict[str, Any] | None:
    if not np.isfinite(error).any():
        return None
    return {
        "mean": round(float(np.nanmean(error)), 3),
        "cameras": _named(fit.rig.names, _mean(error, (0, 2)), 3),
        "keypoints": _named(fit.names, _mean(error, (0, 1)), 3),
    }


def _feet(fit: ClipFit) -> dict[str, Any]:
    contacts = fit.contacts
    standing = {
        name: frame_pairs(contacts.standing[:, p], fit.motion.timeline.frame)
        for p, name in enumerate(contacts.names)
    }
    slides = contacts.slides
    return {
        "standing": standing,
        "most_sliding_mm": _rounded(1000 * slides.max(), 2) if slides.size else None,
        "floor_m": _rounded(contacts.floor, 4),
    }


def _median(values: FloatArray) -> float | None:
    known = values[np.isfinite(values)]
    return _rounded(np.median(known), 2) if known.size else None


def _mean(values: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """Mean over `axes` of what is finite; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axes)
    total = np.where(known, values, 0).sum(axis=axes)
    return np.asarray(total / np.where(count > 0, count, np.nan))


def _named(names: tuple[str, ...], values: FloatArray, digits: int) -> dict[str, float | None]:
    return {name: _rounded(value, digits) for name, value in zip(names, values, strict=True)}


def _rounded(value: float, digits: int) -> float | None:
    return None if np.isnan(value) else round(float(value), digits)
