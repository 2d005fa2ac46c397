"""Detected points of a video, and limb directions of a detector's 3D points, against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinefit.evaluate.position_scores import aligned, columns, common_names
from kinefit.evaluate.truth_at_times import markers_at
from kinefit.geometry.align import align, rotation_between
from kinefit.lift.windows import nearest
from kinefit.metrics.points import (
    angles_between,
    correct_points,
    direction_errors,
    limb_directions,
    point_errors,
)
from kinefit.metrics.statistics import mean_of, plain, summary
from kinefit.skeletons import skeleton
from kinefit.skeletons.limbs import LIMBS, Limb
from kinefit.synth.truth import SceneTruth, ViewTruth, Visibility
from kinefit.tracking.sides import SPEED_LIMIT
from kinefit.types import (
    BoolArray,
    FloatArray,
    IntArray,
    InvalidData,
    Keypoints2D,
    PoseTrack,
    TooFewPoints,
    all_finite,
)

PCK_SHARES = (0.02, 0.05, 0.1)  # of the longer side of the person's box
# Left and right nearer to one another than this share of the person's size: noise alone would
# decide which is which.
_LEAST_APART = 0.05
_MEANS = skeleton("markers22").derived


def frames_of(view: ViewTruth, time: FloatArray) -> IntArray:
    """(T,) index of the view's frame at time stamps (T,) of its own clock; -1 without one.

    Raises TooFewPoints when no time stamp has a frame.
    """
    at = view.timeline.time
    index = nearest(at, time)
    half = 0.5 * float(np.median(np.diff(at))) if len(at) > 1 else np.inf
    index = np.where(np.abs(at[index] - time) < half, index, -1)
    if not (index >= 0).any():
        what = f"Frames of camera {view.camera.name} at the times of the track"
        raise TooFewPoints(what, found=0, needed=1, hint="check that the track is of this video")
    return index


def person_sizes(xy: FloatArray) -> FloatArray:
    """(...,) pixels: longer side of the box around points (..., K, 2); NaN around nothing."""
    known = np.isfinite(xy).all(axis=-1, keepdims=True)
    low = np.where(known, xy, np.inf).min(axis=-2)
    high = np.where(known, xy, -np.inf).max(axis=-2)
    side = (high - low).max(axis=-1)
    return np.where(np.isfinite(side), side, np.nan)


def own_points(names: Sequence[str], truth: SceneTruth) -> tuple[str, ...]:
    """Those of a detector's points that the body itself has.

    Means of other points are left out: "Head" is the middle of the ears here and the crown in
    Halpe, and detectors learn "Neck" and "Hip" from where annotators put them.
    """
    return common_names(names, [n for n in truth.point_names if n not in _MEANS])


class TruthBeside(NamedTuple):
    """A track beside the truth: N frames of both, J points that the body itself has.

    kept: (T,) frames of the track. frame: (N,) those of the view. found, true: (N, J, 2) pixels.
    visibility: (N, J). size: (N,) of the person. people: (P, N, J, 2) pixels of everybody.
    """

    kept: BoolArray
    frame: IntArray
    names: tuple[str, ...]
    found: FloatArray
    true: FloatArray
    visibility: NDArray[np.uint8]
    size: FloatArray
    people: FloatArray


def beside_truth(
    image: Keypoints2D, truth: SceneTruth, camera: str, person: int = 0
) -> TruthBeside:
    """Raises InvalidData for an unknown camera and without a common name, TooFewPoints without a
    common time."""
    view = truth.view(camera)
    index = frames_of(view, image.timeline.time)
    kept = index >= 0
    index = index[kept]
    names = own_points(image.names, truth)
    pick = columns(truth.point_names, names)
    found = image.xy[kept][:, columns(image.names, names)]
    people = view.xy[:, index][:, :, pick]
    visibility = view.visibility[person][index][:, pick]
    size = person_sizes(view.xy[person][index])
    return TruthBeside(kept, index, names, found, people[person], visibility, size, people)


def score_track(
    image: Keypoints2D, truth: SceneTruth, camera: str, person: int = 0
) -> dict[str, Any]:
    """A detector's points of one person in one camera's video.

    Errors are in pixels and in percent of the person's size in the picture: the longer side of the
    box around all of the body's points. Points outside the picture are in no mean.
    Raises as `beside_truth`.
    """
    kept, _, names, found, true, visibility, size, people = beside_truth(
        image, truth, camera, person
    )
    inside = np.where((visibility != Visibility.OUTSIDE)[..., None], true, np.nan)
    px = point_errors(found, inside)
    pct = 100 * px / size[:, None]
    return {
        "frames": int(kept.sum()),
        "error_px": summary(px).to_json(),
        "error_pct": summary(pct).to_json(),
        "by_visibility": {
            kind.name.lower(): {
                "px": summary(px[visibility == kind]).to_json(),
                "pct": summary(pct[visibility == kind]).to_json(),
            }
            for kind in (Visibility.VISIBLE, Visibility.SELF_OCCLUDED, Visibility.OCCLUDED)
        },
        "by_point": {
            name: plain({"px": float(mean_of(px[:, i])), "pct": float(mean_of(pct[:, i]))})
            for i, name in enumerate(names)
        },
        # A lost point counts as wrong.
        "pck": plain(
            {
                f"{share:g}": float(
                    mean_of(correct_points(found, inside, size, share, lost_is_wrong=True))
                )
                for share in PCK_SHARES
            }
        ),
        "swapped": plain(
            {
                group: float(mean_of(flags))
                for group, flags in swapped_frames(names, found, true, size).items()
            }
        ),
        "dropped": _dropped(found, visibility),
        "followed": _followed(found, people, person),
    }


def swapped_frames(
    names: Sequence[str], found: FloatArray, true: FloatArray, size: FloatArray
) -> dict[str, FloatArray]:
    """Group of limbs ("arms", "legs") -> (T,) 1 where left and right are swapped, else 0.

    found, true: (T, J, 2) pixels. size: (T,) of the person. Swapped: the group's points are nearer
    to the true places of the other side than to their own, in sum. NaN where both sides lie so
    near to one another in the image (a side view) that noise alone would decide.
    """
    out = {}
    for group, joints in SPEED_LIMIT.items():
        pairs = [(f"L{j}", f"R{j}") for j in joints if f"L{j}" in names and f"R{j}" in names]
        if not pairs:
            continue
        left, right = (columns(names, side) for side in zip(*pairs, strict=True))
        apart = point_errors(true[:, left], true[:, right])
        own, other = (
            point_errors(found[:, left], true[:, a]) + point_errors(found[:, right], true[:, b])
            for a, b in ((left, right), (right, left))
        )
        known = np.isfinite(own) & np.isfinite(other)
        apart_enough = np.where(known, apart, 0.0).max(axis=1) > _LEAST_APART * size
        apart_enough &= known.any(axis=1)
        crossed = np.where(known, other - own, 0.0).sum(axis=1) < 0
        out[group] = np.where(apart_enough, crossed, np.nan)
    return out


def _dropped(found: FloatArray, visibility: NDArray[np.uint8]) -> dict[str, Any]:
    """Shares of frames without a detection, and of visible points that were not detected."""
    lost = ~all_finite(found)
    return plain(
        {
            "frames": float(lost.all(axis=1).mean()),
            "seen_points": float(mean_of(lost[visibility == Visibility.VISIBLE])),
        }
    )


def _followed(found: FloatArray, people: FloatArray, person: int) -> float | None:
    """Share of frames in which this person is the nearest of all (P, T, J, 2); None if alone."""
    if len(people) < 2:
        return None
    far = np.stack([mean_of(point_errors(found, one), 1) for one in people])
    judged = np.asarray(np.isfinite(far).any(axis=0))
    best = np.where(np.isfinite(far), far, np.inf).argmin(axis=0)
    share = float(mean_of((best == person)[judged]))
    return None if np.isnan(share) else share


COCO = skeleton("coco17").points
_JOINTS = COCO[5:]  # the 12 of arms and legs, as published: points of the face would lower the mean
_TRUNK = [{limb.start[1:], limb.end[1:]} <= {"Shoulder", "Hip"} for limb in LIMBS]
# Name -> (L,) indices of limbs.
PARTS: Mapping[str, IntArray] = {
    "all": np.arange(len(LIMBS)),
    "arms_and_legs": np.flatnonzero(np.logical_not(_TRUNK)),
    "trunk": np.flatnonzero(_TRUNK),
}


def score_pof(track: PoseTrack, truth: SceneTruth, camera: str, person: int = 0) -> dict[str, Any]:
    """A detector's own 3D against the truth in that camera's axes; see `score_own_3d`.

    Raises InvalidData for a track without 3D, an unknown camera and without a common name, and
    TooFewPoints without a common time.
    """
    if track.body is None:
        raise InvalidData("The detector gives no 3D of its own.")
    view, someone = truth.view(camera), truth.people[person]
    both = beside_truth(track.image, truth, camera, person)
    true = in_camera(view, both.frame, markers_at(someone, view.time[both.frame]))
    swapped = any_swapped(both.names, both.found, both.true, both.size)
    names, xyz = track.body.names, track.body.xyz[both.kept]
    return score_own_3d(names, xyz, someone.markers.names, true, mean_of(true, 1), swapped)


def in_camera(view: ViewTruth, index: IntArray, world: FloatArray) -> FloatArray:
    """World points (T, N, 3) in the axes of the camera in its frames `index` (T,), metres."""
    R, t = view.R[index], view.t[index]
    return np.asarray(world @ np.swapaxes(R, -1, -2) + t[:, None])


def any_swapped(
    names: Sequence[str], found: FloatArray, true: FloatArray, size: FloatArray
) -> BoolArray:
    """(T,) True where arms or legs are swapped in the image; see `swapped_frames`."""
    groups = swapped_frames(names, found, true, size)
    out = np.zeros(len(found), bool)
    for flags in groups.values():
        out |= flags == 1
    return out


def score_pairs(rows: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Rows of `kinefit.synth.pairs` (its FIELDS): the detector's own 3D against the truth.

    Positions are compared after both are scaled to the true length of the torso.
    """
    scale = np.asarray(rows["gt_scale"], np.float64)[:, None, None]
    return {
        "found": found_share(rows),
        **score_own_3d(
            COCO, scale * rows["corrupted"], COCO, scale * rows["ground_truth"],
            mean_of(rows["xyz_33"], 1), swapped_rows(rows),
        ),
    }  # fmt: skip


def found_share(rows: Mapping[str, NDArray[Any]]) -> float:
    """Share of the rows of `kinefit.synth.pairs` in which the person was detected."""
    return float(all_finite(rows["pose_2d"]).any(axis=-1).mean())


def swapped_rows(rows: Mapping[str, NDArray[Any]]) -> BoolArray:
    """(N,) True in rows of `kinefit.synth.pairs` where arms or legs are swapped in the image."""
    size = person_sizes(rows["true_33"])
    return any_swapped(COCO, rows["pose_2d"], rows["projected_2d"], size)


def score_own_3d(
    names: Sequence[str], xyz: FloatArray, truth_names: Sequence[str], truth: FloatArray,
    ray: FloatArray, swapped: BoolArray,
) -> dict[str, Any]:  # fmt: skip
    """Directions of 14 limbs (`score_directions`), and positions of the 12 joints of arms and legs.

    xyz, truth: (T, J, 3) and (T, K, 3) metres, camera axes, each of any origin. ray: (T, 3) from
    the camera to the person. swapped: (T,) left and right are swapped in the image.
    """
    both = [name for name in _JOINTS if name in names and name in truth_names]
    ours, real = xyz[:, columns(names, both)], truth[:, columns(truth_names, both)]
    errors = aligned(both, ours, real, placed=True)
    ours, real = limb_directions(xyz, names), limb_directions(truth, truth_names)
    return {
        **score_directions(ours, real, ray, swapped),
        "mpjpe_mm": {k: summary(1000 * errors[k]).to_json() for k in ("root", "pa") if k in errors},
    }


def score_directions(
    ours: FloatArray,
    real: FloatArray,
    ray: FloatArray,
    swapped: BoolArray,
    limbs: Sequence[Limb] = LIMBS,
) -> dict[str, Any]:
    """Directions of limbs against the true ones.

    ours, real: (T, L, 3) unit vectors, camera axes, of `limbs`: the 14 fields, and after them the
    feet, if any. ray: (T, 3) from the camera to the person. swapped: (T,) left and right are
    swapped in the image: these frames have directions of the wrong side, and `unswapped` (the 14)
    leaves them out.

    For each set of limbs: angle: degrees; ray: against the truth rotated so that the ray to the
    person is the camera's axis, as for a detector that does not know the focal length; rotated:
    after the best rotation of each frame; flat: of the true directions without their depth, for
    comparison.
    """
    versions = (ours, real, along_ray(real, ray), _rotated(ours, real))
    parts = dict(PARTS)
    if len(limbs) > len(LIMBS):
        parts["feet"] = np.arange(len(LIMBS), len(limbs))

    def row(frames: BoolArray | slice, part: IntArray) -> dict[str, Any]:
        return _row([limbs[i] for i in part], *(v[frames][:, part] for v in versions))

    return {
        "frames": len(ours),
        "swapped": float(swapped.mean()),
        **{name: row(slice(None), part) for name, part in parts.items()},
        "unswapped": row(~swapped, PARTS["all"]),
    }


def along_ray(directions: FloatArray, ray: FloatArray) -> FloatArray:
    """Vectors (T, L, 3), camera axes, in axes turned the least, with z along the ray (T, 3)."""
    ahead = np.broadcast_to([0.0, 0.0, 1.0], ray.shape)
    return np.asarray(directions @ np.swapaxes(rotation_between(ray, ahead), -1, -2))


def _row(
    limbs: Sequence[Limb],
    ours: FloatArray, real: FloatArray, straight: FloatArray, rotated: FloatArray,
) -> dict[str, Any]:  # fmt: skip
    return {
        **direction_errors(ours, real, limbs).to_json(),
        "ray": summary(angles_between(ours, straight)).to_json(),
        "rotated": summary(angles_between(rotated, real)).to_json(),
        **plain({"flat": float(mean_of(angles_between(real * [1, 1, 0], real)))}),
    }


def _rotated(directions: FloatArray, truth: FloatArray) -> FloatArray:
    """Unit vectors (T, L, 3) after the best rotation of each frame's 14 limbs onto the truth.

    Each vector enters with its opposite: their mean is the origin, so that `align` only rotates.
    """
    fields = (v[:, : len(LIMBS)] for v in (directions, truth))
    both, real = (np.concatenate([v, -v], axis=1) for v in fields)
    return np.asarray(directions @ np.swapaxes(align(both, real).R, -1, -2))
