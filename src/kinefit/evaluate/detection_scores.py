"""Detected points of a video against the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinefit.evaluate.position_scores import columns, common_names
from kinefit.evaluate.truth_at_times import nearest
from kinefit.metrics.points import correct_points, point_errors
from kinefit.metrics.statistics import mean_of, plain, summary
from kinefit.skeletons import skeleton
from kinefit.synth.truth import SceneTruth, ViewTruth, Visibility
from kinefit.tracking.sides import SPEED_LIMIT
from kinefit.types import BoolArray, FloatArray, IntArray, Keypoints2D, TooFewPoints, all_finite

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
