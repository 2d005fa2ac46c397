"""3D points of any two files against one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from kinefit.body.load import load_body
from kinefit.evaluate.body_scores import body_keypoints
from kinefit.evaluate.position_scores import aligned, columns, common_names, root_of
from kinefit.evaluate.run_folder import read_reference
from kinefit.evaluate.truth_at_times import SLACK_S
from kinefit.io.arrays import read_npz
from kinefit.io.body_npz import read_motion
from kinefit.io.marker_files import READERS, read_markers
from kinefit.lift.windows import nearest
from kinefit.metrics.points import acceleration_errors, centred, one_rigid, point_errors
from kinefit.metrics.statistics import mean_of, plain, summary
from kinefit.multiview.bundle import read_bundle
from kinefit.synth.truth import interpolated
from kinefit.types import FloatArray, InputError, InvalidData, Markers, NoCommonTime

Alignment = Literal["none", "root", "rigid", "similarity"]
ALIGNMENTS: tuple[Alignment, ...] = get_args(Alignment)
_SAME_S = 1e-5  # files hold microseconds


class Points(NamedTuple):
    """(T,) seconds, J names, (T, J, 3) metres; what their reader changed, in sentences."""

    time: FloatArray
    names: tuple[str, ...]
    xyz: FloatArray
    notes: tuple[str, ...] = ()


def score_poses(
    path: Path, reference: Path, align: Alignment = "none", person: int = 0
) -> dict[str, Any]:
    """The points of a file against those of another; see `compare_points`.

    path, reference: .trc, .c3d, a bundle of triangulated points or the motion of Anny (.npz), a
    scene's folder or its truth.npz. person: of a scene. Units and axes are believed: what is wrong
    with them is an error of the file.
    The result has `notes` of the files' readers besides.
    Raises InputError for files that cannot be read, and without a common name or time.
    """
    points, truth = read_points(path, person), read_points(reference, person)
    notes = [
        f"{file.name}: {n}" for file, p in ((path, points), (reference, truth)) for n in p.notes
    ]
    try:
        return compare_points(points, truth, align) | {"notes": notes}
    except (InvalidData, NoCommonTime) as error:
        reason = f"cannot be compared with {reference.name}: {error.bare_reason}"
        raise InputError(path, reason, "give two files of the same people and moments") from error


def compare_points(points: Points, reference: Points, align: Alignment = "none") -> dict[str, Any]:
    """Points against a reference at the sample times of `points` inside the reference.

    mpjpe_mm: the mean error under every alignment (`kinefit.evaluate.position_scores.aligned`).
    aligned: the scores of one alignment in full. none: unaligned; root: each frame from the middle
    of the hips; rigid, similarity: one motion (and scale) for the clip.
    Raises InvalidData without a common name and NoCommonTime without a common time.
    """
    names = common_names(points.names, reference.names)
    truth = _at(reference, points.time)[:, columns(reference.names, names)]
    kept = np.isfinite(truth).any(axis=(1, 2))
    if not kept.any():
        ends = ((float(t[0]), float(t[-1])) for t in (points.time, reference.time))
        raise NoCommonTime(*ends)
    xyz, truth = points.xyz[kept][:, columns(points.names, names)], truth[kept]
    moved, target, root = xyz, truth, root_of(names)
    if align == "root":
        if not root:
            raise InvalidData("No hips among the common points, from which to align by root.")
        moved, target = centred(xyz, root), centred(truth, root)
    elif align != "none":
        moved = one_rigid(xyz, truth, with_scale=align == "similarity")
    errors = 1000 * point_errors(moved, target)
    acceleration = acceleration_errors(moved, target, points.time[kept])
    return {
        "frames": int(kept.sum()),
        "points": len(names),
        "mpjpe_mm": {
            kind: summary(1000 * e).to_json()
            for kind, e in aligned(names, xyz, truth, placed=True).items()
        },
        "aligned": {
            "by": align,
            "error_mm": summary(errors).to_json(),
            "by_point_mm": plain(dict(zip(names, mean_of(errors, 0).tolist(), strict=True))),
            "acceleration_m_s2": summary(acceleration).to_json(),
        },
    }


def _at(points: Points, time: FloatArray) -> FloatArray:
    """(N, J, 3) metres at `time` (N,); NaN outside, and between samples of which one is missing.

    A sample at exactly that time is taken. Else points without missing samples are interpolated by
    cubic splines, others linearly.
    """
    at, flat = points.time, points.xyz.reshape(len(points.time), -1)
    inside = (time >= at[0] - SLACK_S) & (time <= at[-1] + SLACK_S)
    clipped = np.clip(time, at[0], at[-1])
    whole = np.isfinite(flat).all(axis=0)
    out = np.full((len(time), flat.shape[1]), np.nan)
    if len(at) > 1:
        out[:, whole] = interpolated(clipped, at, flat[:, whole])
    for i in np.flatnonzero(~whole if len(at) > 1 else np.ones_like(whole)):
        out[:, i] = np.interp(clipped, at, flat[:, i])  # NaN on either side gives NaN
    k = nearest(at, clipped)
    same = np.abs(at[k] - clipped) < _SAME_S
    out = np.where(same[:, None], flat[k], out)
    return np.where(inside[:, None], out, np.nan).reshape(len(time), -1, 3)


def read_points(path: Path, person: int = 0) -> Points:
    """The points of a file or a scene's folder; see `score_poses`. Raises InputError."""
    if path.is_dir():
        return _of(read_reference(path, person).markers)
    match path.suffix.lower():
        case suffix if suffix in READERS:
            return _of(read_markers(path))
        case ".npz":
            return _archive(path, person)
    raise InputError(path, "is neither .trc, .c3d, .npz nor a scene's folder", "give one of these")


def _of(markers: Markers) -> Points:
    return Points(markers.timeline.time, markers.names, markers.xyz, markers.notes)


def _archive(path: Path, person: int) -> Points:
    """Points of a .npz file of triangulated points, a body's motion or a scene's truth."""
    known = read_npz(path, only=("format", "points3d_refined"))
    if "points3d_refined" in known:
        bundle = read_bundle(path)
        return Points(bundle.timeline.time, bundle.names, bundle.points)
    kind = str(known.get("format", ""))
    if kind.startswith("kinefit truth"):
        return _of(read_reference(path, person).markers)
    if not kind.startswith("kinefit body"):
        reason = "holds neither triangulated points, a body's motion nor a scene's truth"
        raise InputError(path, reason, "give a file that kinefit wrote")
    motion, body = read_motion(path), load_body("anny")
    if motion.body != body.name:
        reason = f"is the motion of {motion.body}, whose mesh kinefit does not have"
        raise InputError(path, reason, "give the .trc that was written beside it")
    names, xyz = body_keypoints(body, motion)
    return Points(motion.timeline.time, names, xyz)
