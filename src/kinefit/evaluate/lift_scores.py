"""What a lifter says of people, against the truth: directions, depth, contacts, gravity, points.

A lifter is asked as a run asks it: about whole clips, after left and right were put right, in
pixels without lens distortion; but with the true focal length. Frames in which nobody was detected
are in no score.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinefit.body.contact import STANDS
from kinefit.evaluate.detection_scores import (
    along_ray,
    any_swapped,
    beside_truth,
    found_share,
    in_camera,
    person_sizes,
    score_directions,
    swapped_rows,
)
from kinefit.evaluate.position_scores import columns, score_covariances
from kinefit.evaluate.run_folder import at_times
from kinefit.evaluate.truth_at_times import Clock, markers_at
from kinefit.geometry.projection import without_lens
from kinefit.lift import Lifter
from kinefit.lift.inputs import LIMBS, POINTS
from kinefit.lift.windows import nearest
from kinefit.metrics.points import (
    DEEP,
    angles_between,
    limb_directions,
    point_errors,
    sign_agreement,
)
from kinefit.metrics.statistics import mean_of, plain, roc_auc, summary
from kinefit.skeletons.limbs import LIMBS as FIELDS
from kinefit.synth.pair_clips import BLAZE, Rows, clip_track, clips_of, sides_put_right
from kinefit.synth.truth import SceneTruth, ViewTruth, Visibility
from kinefit.tracking.sides import find_side_swaps, undo_side_swaps
from kinefit.types import BoolArray, FloatArray, PoseTrack

Scores = dict[str, Any]


class Answers(NamedTuple):
    """What a lifter says of N frames; NaN where nobody was detected. See `kinefit.lift.Lifted`.

    directions: (N, 16, 3) of `kinefit.lift.inputs.LIMBS`, camera axes. sd: (N, 16) radians. away:
    (N, 16). contact: (N, 4). up: (N, 3). shift: (N, J, 2) pixels. swapped: (N,).
    """

    directions: FloatArray
    sd: FloatArray
    away: FloatArray
    contact: FloatArray
    up: FloatArray
    shift: FloatArray
    swapped: FloatArray


class AnswersTruth(NamedTuple):
    """The truth of N frames in camera axes; NaN where unknown.

    directions: (N, 16, 3). ray: (N, 3) to the person. up: (N, 3). contact: (N, 4) 0 or 1. shift:
    (N, J, 2) pixels from the detected to the true points, of those inside the picture that a
    lifter looks at. size: (N,) pixels, of the person. swapped: (N,) left and right are swapped in
    what the lifter was given.
    """

    directions: FloatArray
    ray: FloatArray
    up: FloatArray
    contact: FloatArray
    shift: FloatArray
    size: FloatArray
    swapped: BoolArray


def ask(lifter: Lifter, track: PoseTrack, K: FloatArray) -> Answers:
    """Of the T frames of a track without lens distortion, K: (3, 3)."""
    said, found = lifter.lift(track, K), track.image.found
    out = _no_answers(len(found), len(track.image.names))
    theirs = [i for i, limb in enumerate(said.limbs) if limb in LIMBS]
    ours = [LIMBS.index(said.limbs[i]) for i in theirs]
    for name, values in out._asdict().items():
        given = getattr(said, name)
        if given is not None and name in _OF_LIMBS:
            values[:, ours] = given[:, theirs]
        elif given is not None:
            values[:] = given
        values[~found] = np.nan
    return out


_OF_LIMBS = ("directions", "sd", "away")


def _no_answers(count: int, points: int) -> Answers:
    """NaN throughout."""
    L = len(LIMBS)
    shapes = (L, 3), (L,), (L,), (4,), (3,), (points, 2), ()
    return Answers(*(np.full((count, *shape), np.nan) for shape in shapes))


def lift_pairs(rows: Rows, lifter: Lifter) -> tuple[dict[str, NDArray[Any]], Answers]:
    """Rows with sides put right, and the answers to their clips, in the order of the rows."""
    clips, count = clips_of(rows), len(rows["time_s"])
    right = sides_put_right(rows, clips)
    whole = _no_answers(count, len(BLAZE))
    for clip in clips:
        track = clip_track(right, clip)
        if track.image.found.any():
            K = np.asarray(rows["K"][clip[0]], np.float64)
            for values, part in zip(whole, ask(lifter, track, K), strict=True):
                values[clip] = part
    return right, whole


def score_lifted_pairs(rows: Rows, said: Answers) -> Scores:
    """Answers to rows of `kinefit.synth.pairs` with sides put right, both of `lift_pairs`."""
    return {"found": found_share(rows), **score_answers(said, _truth_of_pairs(rows))}


def _truth_of_pairs(rows: Rows) -> AnswersTruth:
    shift = rows["true_33"] - rows["detected_33"]
    known = (rows["sight_33"] != Visibility.OUTSIDE) & np.isin(BLAZE, POINTS)
    return AnswersTruth(
        directions=limb_directions(rows["xyz_33"], BLAZE, LIMBS),
        ray=mean_of(rows["xyz_33"], 1),
        up=rows["camera_R"][:, :, 1],
        contact=rows["contact"],
        shift=np.where(known[..., None], shift, np.nan),
        size=person_sizes(rows["true_33"]),
        swapped=swapped_rows(rows),
    )


def lift_track(track: PoseTrack, view: ViewTruth, lifter: Lifter) -> tuple[PoseTrack, Answers]:
    """A track of the view's video (at its file's time stamps) with sides put right, and answers.

    The lifter sees it in seconds of life, through the true camera without its lens.
    """
    clock = Clock(view.timeline.time, view.time)
    live = at_times(track, clock.to_scene(track.image.timeline.time))
    swaps = find_side_swaps(live)
    live = undo_side_swaps(live, swaps)
    image = replace(live.image, xy=without_lens(view.camera, live.image.xy))
    said = ask(lifter, replace(live, image=image), view.camera.K)
    return undo_side_swaps(track, swaps), said


def score_lifted_track(
    track: PoseTrack,
    said: Answers,
    truth: SceneTruth,
    camera: str,
    person: int = 0,
    *,
    treadmill: bool = False,
) -> Scores:
    """Answers to a track with sides put right, both of `lift_track`; treadmill: no foot rests.

    Raises InvalidData for an unknown camera and without a common name, and TooFewPoints without a
    common time.
    """
    view, someone = truth.view(camera), truth.people[person]
    both = beside_truth(track.image, truth, camera, person)
    time = view.time[both.frame]
    xyz = in_camera(view, both.frame, markers_at(someone, time))
    contact = someone.contact[nearest(someone.points.timeline.time, time)].astype(np.float64)
    known = (both.visibility != Visibility.OUTSIDE) & np.isin(both.names, POINTS)
    true, found = (without_lens(view.camera, xy) for xy in (both.true, both.found))
    real = AnswersTruth(
        directions=limb_directions(xyz, someone.markers.names, LIMBS),
        ray=mean_of(xyz, 1),
        up=view.R[both.frame][:, :, 1],
        contact=np.where(treadmill, np.nan, contact),
        shift=np.where(known[..., None], true - found, np.nan),
        size=both.size,
        swapped=any_swapped(both.names, both.found, both.true, both.size),
    )
    said = Answers(*(values[both.kept] for values in said))
    shift = said.shift[:, columns(track.image.names, both.names)]
    return score_answers(said._replace(shift=shift), real)


def score_answers(said: Answers, true: AnswersTruth) -> Scores:
    """Everything that a lifter says.

    Of directions as `score_directions`. z_sign: see `_z_signs`. coverage: of the stated spread,
    by set of limbs. contact: of heels and toes. gravity_deg: of the vertical. shift_pct: distance
    of points from the truth, median, percent of the person's size, before and after the
    correction. swap: frames with sides swapped, told from the others.
    """
    return {
        **score_directions(said.directions, true.directions, true.ray, true.swapped, LIMBS),
        "z_sign": _z_signs(said, true),
        "coverage": dict(_coverages(said, true)),
        "contact": _recall(said.contact, true.contact),
        "gravity_deg": summary(angles_between(said.up, true.up)).to_json(),
        "shift_pct": _shifts(said.shift, true),
        "swap": _swaps(said.swapped, true.swapped),
    }


def _z_signs(said: Answers, true: AnswersTruth) -> Scores:
    """Share of the 14 limbs that point away from the camera, along the ray to the person, where the
    truth does. away: by the probability; own: by the direction; deep: where the true |z| > 0.2."""
    fields = slice(len(FIELDS))
    own, real = (along_ray(one.directions[:, fields], true.ray) for one in (said, true))
    z = said.away[:, fields, None] - 0.5
    away = np.concatenate([np.zeros_like(z), np.zeros_like(z), z], axis=-1)
    return plain(
        {
            f"{name}{deep}": float(mean_of(sign_agreement(one, real, least)))
            for name, one in (("away", away), ("own", own))
            for deep, least in (("", 0.0), ("_deep", DEEP))
        }
    )


def _coverages(said: Answers, true: AnswersTruth) -> Iterator[tuple[str, Scores]]:
    """Set of limbs -> whether the deviations about the two axes across hold their errors.

    95 %: within 2.448 deviations, the limit of a concentrated von Mises-Fisher distribution.
    """
    angle = np.radians(angles_between(said.directions, true.directions))
    clean, fields = ~true.swapped, len(FIELDS)
    for name, frames, limbs in (
        ("all", slice(None), slice(fields)),
        ("unswapped", clean, slice(fields)),
        ("feet", slice(None), slice(fields, None)),
    ):
        error, sd = angle[frames][:, limbs], said.sd[frames][:, limbs]
        across = np.stack([error, np.zeros_like(error)], axis=-1)
        yield name, score_covariances(across, sd[..., None, None] ** 2 * np.eye(2))


def _recall(probability: FloatArray, truth: FloatArray) -> Scores:
    """Of probabilities and truths (0, 1, NaN) of one shape, at 0.5: the share of what is that is
    found (recall), and of what is not that is said to be (false_rate)."""
    known = np.isfinite(probability) & np.isfinite(truth)
    says, is_so = probability[known] >= STANDS, truth[known] == 1
    return plain(
        {
            "count": int(known.sum()),
            "true_share": float(mean_of(is_so)),
            "recall": float(mean_of(says[is_so])),
            "false_rate": float(mean_of(says[~is_so])),
        }
    )


def _shifts(shift: FloatArray, true: AnswersTruth) -> Scores:
    before = point_errors(np.zeros_like(true.shift), true.shift)
    after = point_errors(shift, true.shift)
    pct = [summary(100 * one / true.size[:, None]) for one in (before, after)]
    return plain({"before": pct[0].median, "after": pct[1].median, "count": pct[1].count})


def _swaps(probability: FloatArray, swapped: BoolArray) -> Scores:
    """As `_recall`; auc: area under the ROC curve."""
    auc = roc_auc(probability, swapped)
    return _recall(probability, swapped.astype(np.float64)) | plain({"auc": auc})
