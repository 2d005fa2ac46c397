"""Limb directions of a detector's 3D points against the true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.evaluate.detection_scores import beside_truth, person_sizes, swapped_frames
from kinefit.evaluate.position_scores import aligned, columns
from kinefit.evaluate.truth_at_times import markers_at
from kinefit.geometry.align import align, rotation_between
from kinefit.metrics.points import angles_between, direction_errors, limb_directions
from kinefit.metrics.statistics import mean_of, plain, summary
from kinefit.skeletons import skeleton
from kinefit.skeletons.limbs import LIMBS
from kinefit.synth.truth import SceneTruth, ViewTruth
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData, PoseTrack

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
    """A detector's own 3D against the truth in that camera's axes; see `score_directions`.

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
    return score_directions(names, xyz, someone.markers.names, true, mean_of(true, 1), swapped)


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
    swapped = any_swapped(
        COCO, rows["pose_2d"], rows["projected_2d"], person_sizes(rows["true_33"])
    )
    found = np.isfinite(rows["pose_2d"]).all(axis=-1).any(axis=-1)
    return {
        "found": float(found.mean()),
        **score_directions(
            COCO, scale * rows["corrupted"], COCO, scale * rows["ground_truth"],
            mean_of(rows["xyz_33"], 1), swapped,
        ),
    }  # fmt: skip


def score_directions(
    names: Sequence[str],
    xyz: FloatArray,
    truth_names: Sequence[str],
    truth: FloatArray,
    ray: FloatArray,
    swapped: BoolArray,
) -> dict[str, Any]:
    """Directions of 14 limbs, camera axes, and positions of the 12 joints of arms and legs.

    xyz, truth: (T, J, 3) and (T, K, 3) metres, camera axes, each of any origin. ray: (T, 3) from
    the camera to the person. swapped: (T,) left and right are swapped in the image: these frames
    have directions of the wrong side, and `unswapped` leaves them out.

    For each set of limbs: angle: degrees; ray: against the truth rotated so that the ray to the
    person is the camera's axis, as for a detector that does not know the focal length; rotated:
    after the best rotation of each frame; flat: of the true directions without their depth, for
    comparison.
    """
    ours, real = limb_directions(xyz, names), limb_directions(truth, truth_names)
    ahead = np.broadcast_to([0.0, 0.0, 1.0], ray.shape)
    straight = real @ np.swapaxes(rotation_between(ray, ahead), -1, -2)
    rotated = _rotated(ours, real)
    clean = ~swapped
    out = {name: _row(ours, real, straight, rotated, limbs) for name, limbs in PARTS.items()}
    out["unswapped"] = _row(ours[clean], real[clean], straight[clean], rotated[clean], PARTS["all"])
    both = [name for name in _JOINTS if name in names and name in truth_names]
    errors = aligned(
        both, xyz[:, columns(names, both)], truth[:, columns(truth_names, both)], placed=True
    )
    return {
        "frames": len(xyz),
        "swapped": float(swapped.mean()),
        **out,
        "mpjpe_mm": {k: summary(1000 * errors[k]).to_json() for k in ("root", "pa") if k in errors},
    }


def _row(
    ours: FloatArray, real: FloatArray, straight: FloatArray, rotated: FloatArray, limbs: IntArray
) -> dict[str, Any]:
    ours, real, straight, rotated = (v[:, limbs] for v in (ours, real, straight, rotated))
    found = direction_errors(ours, real, [LIMBS[i] for i in limbs])
    return {
        **found.to_json(),
        "ray": summary(angles_between(ours, straight)).to_json(),
        "rotated": summary(angles_between(rotated, real)).to_json(),
        **plain({"flat": float(mean_of(angles_between(real * [1, 1, 0], real)))}),
    }


def _rotated(directions: FloatArray, truth: FloatArray) -> FloatArray:
    """Unit vectors (T, L, 3) after the best rotation of each frame onto the truth.

    Each vector enters with its opposite: their mean is the origin, so that `align` only rotates.
    """
    both, real = (np.concatenate([v, -v], axis=1) for v in (directions, truth))
    return np.asarray(directions @ np.swapaxes(align(both, real).R, -1, -2))
