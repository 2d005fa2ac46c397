"""3D points against the truth: positions after each alignment, smoothness, feet, bones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kinefit.body.contact import FEET
from kinefit.metrics.points import (
    FIRST_FRAMES,
    acceleration_errors,
    aligned_frames,
    bone_lengths,
    centred,
    foot_sliding,
    jitter,
    one_rigid,
    point_errors,
    root_translation_errors,
    variation_pct,
    world_errors,
)
from kinefit.metrics.statistics import (
    LEVELS,
    gaussian_nll,
    interval_coverage,
    mean_of,
    plain,
    region_coverage,
    sparsification,
    summary,
)
from kinefit.skeletons.limbs import LIMBS
from kinefit.types import FloatArray, InvalidData

HIPS = ("LHip", "RHip")
BONES = tuple(limb for limb in LIMBS if "trunk" not in limb.name and "diagonal" not in limb.name)


def common_names(names: Sequence[str], truth: Sequence[str]) -> tuple[str, ...]:
    """Names of both, in the order of `names`; raises InvalidData when there is none."""
    known = set(truth)
    both = tuple(name for name in names if name in known)
    if not both:
        one, other = (", ".join(some[:12]) for some in (names, truth))
        raise InvalidData(f"No common point: one has {one}, the reference has {other}.")
    return both


def columns(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where `wanted` stand in `names`."""
    at = {name: i for i, name in enumerate(names)}
    return [at[name] for name in wanted]


def root_of(names: Sequence[str]) -> list[int]:
    """Indices of the points whose mean is the root: both hips, else "Hip"; none without them."""
    hips = [i for i, name in enumerate(names) if name in HIPS]
    return hips if len(hips) == len(HIPS) else [i for i, n in enumerate(names) if n == "Hip"]


def aligned(
    names: Sequence[str], xyz: FloatArray, truth: FloatArray, *, placed: bool
) -> dict[str, FloatArray]:
    """(T, J) metres from `xyz` to `truth` (T, J, 3) by alignment.

    absolute: unaligned. root: in each frame from the middle of the hips (or "Hip"). These two need
    the same axes: without `placed` they are left out. rigid, similarity: one motion (and
    scale) for the clip. w, wa: chunks of 100 frames by a similarity of their own, from their first
    two frames or all (`world_errors`). pa: a similarity for each frame.
    """
    root = root_of(names)
    out = {}
    if placed:
        out["absolute"] = point_errors(xyz, truth)
        if root:
            out["root"] = point_errors(centred(xyz, root), centred(truth, root))
    return out | {
        "rigid": point_errors(one_rigid(xyz, truth), truth),
        "similarity": point_errors(one_rigid(xyz, truth, with_scale=True), truth),
        "w": world_errors(xyz, truth, first=FIRST_FRAMES),
        "wa": world_errors(xyz, truth),
        "pa": point_errors(aligned_frames(xyz, truth), truth),
    }


def score_points(
    time: FloatArray,
    names: Sequence[str],
    xyz: FloatArray,
    truth_names: Sequence[str],
    truth: FloatArray,
    *,
    placed: bool = True,
) -> dict[str, Any]:
    """Points `xyz` (T, J, 3) metres against `truth` (T, K, 3) at `time` (T,) seconds.

    The names that both have are compared; frames without truth are left out.
    placed: whether both are in one world; else scores that depend on it are left out.
    Raises InvalidData without a common name.
    """
    both = common_names(names, truth_names)
    known = np.isfinite(truth).all(axis=(1, 2))
    time = time[known]
    xyz = xyz[known][:, columns(names, both)]
    truth = truth[known][:, columns(truth_names, both)]
    errors = aligned(both, xyz, truth, placed=placed)
    # Accelerations and heights need the truth's axes; the clip's rigid motion gives them.
    moved = xyz if placed else one_rigid(xyz, truth)
    shown, root = ("absolute", "root", "rigid", "pa"), root_of(both)
    path = None  # errors of the root's path, percent of its length (RTE)
    if root:
        path = root_translation_errors(xyz[:, root].mean(axis=1), truth[:, root].mean(axis=1))
    return {
        "frames": int(known.sum()),
        "points": len(both),
        "mpjpe_mm": {kind: summary(1000 * e).to_json() for kind, e in errors.items()},
        "by_set_mm": {
            kind: _means({k: e[:, pick] for k, e in errors.items()}) for kind, pick in _sets(both)
        },
        "by_point_mm": {
            name: _means({k: errors[k][:, i] for k in shown if k in errors})
            for i, name in enumerate(both)
        },
        "root_translation_pct": None if path is None else summary(path).to_json(),
        "acceleration_m_s2": summary(acceleration_errors(moved, truth, time)).to_json(),
        **_smoothness(time, both, moved, truth),
        "bones": _bones(both, xyz, truth),
    }


def _means(errors: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Millimetres of errors in metres, by alignment."""
    return plain({kind: float(1000 * mean_of(e)) for kind, e in errors.items()})


def _sets(names: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Points that the detector sees, and the laboratory markers that the augmenter adds."""
    added = [name.endswith("_study") for name in names]
    sets = [("keypoints", False), ("laboratory", True)]
    found = [(kind, [i for i, a in enumerate(added) if a is is_added]) for kind, is_added in sets]
    return [(kind, pick) for kind, pick in found if pick]


def _smoothness(
    time: FloatArray, names: Sequence[str], xyz: FloatArray, truth: FloatArray
) -> dict[str, Any]:
    """Jitter and sliding of the result, beside those of the truth: real motion has some."""
    feet = [i for i, name in enumerate(names) if name in FEET]
    ours, real = xyz[:, feet], truth[:, feet]
    return {
        "jitter_m_s3": _both(jitter(xyz, time), jitter(truth, time)),
        "foot_sliding": {
            "result": foot_sliding(ours, real, time).to_json(),
            "truth": foot_sliding(real, real, time).to_json(),
        },
    }


def _bones(names: Sequence[str], xyz: FloatArray, truth: FloatArray) -> dict[str, Any]:
    """Coefficient of variation over time, percent, and error of the mean length, mm."""
    bones = [bone for bone in BONES if bone.start in names and bone.end in names]
    ends = [(names.index(bone.start), names.index(bone.end)) for bone in bones]
    ours, real = bone_lengths(xyz, ends), bone_lengths(truth, ends)
    off = 1000 * (mean_of(ours, 0) - mean_of(real, 0))
    return {
        "variation_pct": _both(variation_pct(ours), variation_pct(real)),
        "length_error_mm": plain(dict(zip([b.name for b in bones], off.tolist(), strict=True))),
    }


def _both(ours: FloatArray, real: FloatArray) -> dict[str, Any]:
    return plain({"result": float(mean_of(ours)), "truth": float(mean_of(real))})


def score_deviations(errors: FloatArray, sd: FloatArray) -> dict[str, Any]:
    """Whether standard deviations `sd` (...,) of `errors` (...,), of one unit, are true.

    "68%", "95%": share of the errors within these intervals. nll: mean negative log-likelihood,
    nats. ause: whether large deviations mark large errors (`sparsification`), 0 at best.
    """
    shares = {f"{level:.0%}": interval_coverage(errors, sd, level).to_json() for level in LEVELS}
    return shares | _likelihood(errors[..., None], sd[..., None, None] ** 2)


def score_covariances(errors: FloatArray, covariance: FloatArray) -> dict[str, Any]:
    """The same for vectors `errors` (..., D) and their covariances (..., D, D)."""
    shares = {
        f"{level:.0%}": region_coverage(errors, covariance, level).to_json() for level in LEVELS
    }
    return shares | _likelihood(errors, covariance)


def _likelihood(errors: FloatArray, covariance: FloatArray) -> dict[str, Any]:
    spread = np.sqrt(np.trace(covariance, axis1=-2, axis2=-1))
    ranking = sparsification(np.linalg.norm(errors, axis=-1), spread)
    nll = float(mean_of(gaussian_nll(errors, covariance)))
    return plain({"nll": nll, "ause": ranking.ause})


def score_marker_deviations(
    names: Sequence[str],
    xyz: FloatArray,
    sd: FloatArray,
    truth_names: Sequence[str],
    truth: FloatArray,
    *,
    placed: bool = True,
) -> dict[str, Any]:
    """`score_deviations` of `sd` (T, J, 3) metres per axis of markers `xyz` (T, J, 3).

    All in the axes of the deviations. absolute: of unaligned errors, where the position is known;
    rigid: after one rigid motion of the clip, for deviations without the error of position.
    """
    both = common_names(names, truth_names)
    pick = columns(names, both)
    xyz, sd, truth = xyz[:, pick], sd[:, pick], truth[:, columns(truth_names, both)]
    out = {"absolute": score_deviations(xyz - truth, sd)} if placed else {}
    # The truth is moved to the result: the deviations are in the result's axes.
    return out | {"rigid": score_deviations(xyz - one_rigid(truth, xyz), sd)}
