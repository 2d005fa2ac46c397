"""Errors of points and limbs with what they may depend on: view, visibility, score, size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.evaluate.detection_scores import frames_of, own_points, person_sizes
from kinefit.evaluate.limb_scores import in_camera
from kinefit.evaluate.position_scores import columns
from kinefit.evaluate.truth_at_times import markers_at
from kinefit.metrics import angles_between, limb_directions, point_errors
from kinefit.skeletons import skeleton
from kinefit.skeletons.limbs import LIMBS
from kinefit.synth.truth import SceneTruth, Visibility
from kinefit.types import FloatArray, IntArray, PoseTrack

_BLAZE = skeleton("blazepose33").points


@dataclass(frozen=True, eq=False)
class ErrorSources:
    """N errors of one kind.

    names: of what the errors are of. error: (N,) in `unit`. name: (N,) index in `names`.
    azimuth_deg: (N,) of the camera around the person: 0 sees the front, 90 their left side, 180
    the back. visibility: (N,) of `Visibility`, the worse of a limb's ends. score: (N,) the
    detector's, the lower of a limb's ends. size_px: (N,) longer side of the person's box.
    """

    unit: str
    names: tuple[str, ...]
    error: FloatArray
    name: IntArray
    azimuth_deg: FloatArray
    visibility: NDArray[np.uint8]
    score: FloatArray
    size_px: FloatArray

    def known(self) -> ErrorSources:
        """Without missing errors."""
        rows = np.isfinite(self.error)
        arrays = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return ErrorSources(self.unit, self.names, **arrays)


_ARRAYS = ("error", "name", "azimuth_deg", "visibility", "score", "size_px")


def joined(parts: Sequence[ErrorSources]) -> ErrorSources:
    """Errors of the same kind and names, of several cameras."""
    arrays = {f: np.concatenate([getattr(part, f) for part in parts]) for f in _ARRAYS}
    return ErrorSources(parts[0].unit, parts[0].names, **arrays)


def of_pairs(rows: Mapping[str, NDArray[Any]]) -> tuple[ErrorSources, ErrorSources]:
    """Errors of points, % of the person's size, and of limbs, degrees, in `synth.pairs` rows."""
    return _sources(
        names=_BLAZE,
        found=rows["detected_33"],
        true=rows["true_33"],
        score=rows["score_33"],
        visibility=rows["sight_33"],
        body=rows["world_33"],
        xyz=rows["xyz_33"],
        size=person_sizes(rows["true_33"]),
    )


def of_track(
    track: PoseTrack, truth: SceneTruth, camera: str, person: int = 0
) -> tuple[ErrorSources, ErrorSources]:
    """The same of a detector's track; raises as `kinefit.evaluate.detection_scores.score_track`."""
    view, someone = truth.view(camera), truth.people[person]
    index = frames_of(view, track.image.timeline.time)
    kept = index >= 0
    index = index[kept]
    xyz = in_camera(view, index, markers_at(someone, view.time[index]))
    names = own_points(track.image.names, truth)
    ours, real = columns(track.image.names, names), columns(truth.point_names, names)
    nowhere = np.full((int(kept.sum()), len(names), 3), np.nan)
    return _sources(
        names=names,
        found=track.image.xy[kept][:, ours],
        true=view.xy[person][index][:, real],
        score=track.image.score[kept][:, ours],
        visibility=view.visibility[person][index][:, real],
        body=nowhere if track.body is None else track.body.xyz[kept][:, ours],
        xyz=xyz[:, columns(someone.markers.names, names)],
        size=person_sizes(view.xy[person][index]),
    )


def camera_azimuths(names: Sequence[str], xyz: FloatArray) -> FloatArray:
    """(T,) degrees, -180..180: direction of the camera from the trunk; see `ErrorSources`.

    xyz: (T, J, 3), camera axes from the camera. NaN without shoulders and hips.
    """
    trunk = ("LShoulder", "RShoulder", "LHip", "RHip")
    if any(name not in names for name in trunk):
        return np.full(len(xyz), np.nan)
    ls, rs, lh, rh = np.moveaxis(xyz[:, columns(names, trunk)], 1, 0)
    left, up = ls - rs + lh - rh, ls + rs - lh - rh
    ahead = np.cross(left, up)
    aside = np.cross(up, ahead)
    to_camera = -(ls + rs + lh + rh)
    forward, sideways = (
        (to_camera * v).sum(-1) / np.linalg.norm(v, axis=-1) for v in (ahead, aside)
    )
    return np.asarray(np.degrees(np.arctan2(sideways, forward)))


def _sources(
    names: Sequence[str],
    found: FloatArray,
    true: FloatArray,
    score: FloatArray,
    visibility: NDArray[np.uint8],
    body: FloatArray,
    xyz: FloatArray,
    size: FloatArray,
) -> tuple[ErrorSources, ErrorSources]:
    azimuth = camera_azimuths(names, xyz)
    pct = 100 * point_errors(found, true) / size[:, None]
    pct = np.where(visibility == Visibility.OUTSIDE, np.nan, pct)
    points = _table("% of the person's size", names, pct, azimuth, visibility, score, size)
    angle = angles_between(limb_directions(body, names), limb_directions(xyz, names))
    limbs = [i for i, one in enumerate(LIMBS) if one.start in names and one.end in names]
    ends = [columns(names, (LIMBS[i].start, LIMBS[i].end)) for i in limbs]
    worse = visibility[:, ends].min(axis=-1)
    lower = score[:, ends].min(axis=-1)
    labels = [LIMBS[i].name for i in limbs]
    return points, _table("degrees", labels, angle[:, limbs], azimuth, worse, lower, size)


def _table(
    unit: str,
    names: Sequence[str],
    error: FloatArray,
    azimuth: FloatArray,
    visibility: NDArray[np.uint8],
    score: FloatArray,
    size: FloatArray,
) -> ErrorSources:
    T, J = error.shape
    return ErrorSources(
        unit=unit,
        names=tuple(names),
        error=error.ravel(),
        name=np.tile(np.arange(J), T),
        azimuth_deg=np.repeat(azimuth, J),
        visibility=visibility.ravel(),
        score=score.ravel(),
        size_px=np.repeat(size, J),
    ).known()
