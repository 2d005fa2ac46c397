"""Clips of one camera whose joint angles are known: rendered, drawn, or of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.biomech.angles import joint_angles
from kinefit.body.anny import load_anny
from kinefit.fit.mesh_markers import mesh_markers
from kinefit.fit.recipes.clip import fit_clip
from kinefit.lift.inputs import POINTS
from kinefit.skeletons import skeleton
from kinefit.synth.pair_clips import clip_track, clips_of
from kinefit.synth.subjects import stature
from kinefit.train.lift.drawn import Take
from kinefit.train.lift.sequences import converted_clip, parts, swapped
from kinefit.types import (
    CameraRig,
    FloatArray,
    JointAngles,
    Keypoints2D,
    Keypoints3D,
    Markers,
    Observations,
    PoseTrack,
    Timeline,
    all_finite,
)

LABORATORY = skeleton("augmented43").points
_BLAZE = skeleton("blazepose33").points
_COLUMNS = [_BLAZE.index(name) for name in POINTS]
_POINT_SD_M = 0.01  # of points that a data set calls true
_FEWEST = 30  # frames of a clip that is worth a fit
_MASS_INDEX = 22.0  # kg per square metre of a person whose mass is not known


@dataclass(frozen=True, eq=False)
class Filmed:
    """T frames. track: what the detector said. K: (3, 3) true. R: (T, 3, 3) world (Y up) to
    camera. markers: (T, 43, 3) metres, camera axes, of `LABORATORY`. swapped: (T,) whether the
    detector exchanged left and right. balanced: whether how the person moves tells the vertical.
    """

    track: PoseTrack
    K: FloatArray
    R: FloatArray
    markers: FloatArray
    stature_m: float
    mass_kg: float
    swapped: FloatArray
    balanced: bool = True

    def angles(self, R: FloatArray) -> JointAngles:
        """The truth in the axes of a run's world, whose camera is turned by R (3, 3): with the true
        vertical and the run's heading."""
        off = R.T @ self.R[0]
        heading = np.arctan2(off[0, 2] - off[2, 0], off[0, 0] + off[2, 2])
        c, s = np.cos(heading), np.sin(heading)
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        world = np.einsum("ij,tjk,tnk->tni", turn, np.swapaxes(self.R, -1, -2), self.markers)
        return joint_angles(Markers(self.track.image.timeline, LABORATORY, world))


def of_pairs(rows: Mapping[str, NDArray[Any]]) -> Iterator[Filmed]:
    """Clips of rows of `kinefit synth pairs --consecutive`."""
    for clip in clips_of(rows):
        first = clip[0]
        tall = float(rows["stature_m"][first])
        xy, true = rows["detected_33"][clip][:, _COLUMNS], rows["true_33"][clip][:, _COLUMNS]
        yield Filmed(
            clip_track(rows, clip), rows["K"][first].astype(np.float64),
            rows["camera_R"][clip].astype(np.float64), rows["markers_43"][clip].astype(np.float64),
            tall, _MASS_INDEX * tall**2, swapped(xy, true).astype(np.float64),
            bool(np.isfinite(rows["contact"][clip]).all()),  # unknown on a treadmill
        )  # fmt: skip


def of_take(take: Take) -> Iterator[Filmed]:
    """The clips of a take."""
    clips = take.clips
    for i, first in enumerate(clips.start[:-1]):
        rows = slice(first, clips.start[i + 1])
        track = _track(clips.detected[rows], clips.K[i], float(clips.rate[i]))
        yield Filmed(
            track, clips.K[i], take.R[i], take.markers[i], take.stature_m, take.mass_kg,
            clips.swapped[rows], take.balanced,
        )  # fmt: skip


def _track(detected: FloatArray, K: FloatArray, rate_hz: float) -> PoseTrack:
    """detected: (T, 27, 6) as of `Sequences`; the picture is as large as K says."""
    timeline = Timeline.regular(len(detected), rate_hz)
    size = (round(2 * K[0, 2] + 1), round(2 * K[1, 2] + 1))
    score = np.nan_to_num(detected[..., 2])
    image = Keypoints2D(timeline, POINTS, np.array(detected[..., :2]), score, size)
    own = Keypoints3D(timeline, POINTS, np.array(detected[..., 3:]), "camera")
    return PoseTrack(image, own, (), "BlazePose (drawn)")


def of_converted(rows: Mapping[str, NDArray[Any]]) -> Iterator[Filmed]:
    """Clips of a shard of `kinefit train convert --videos`. Their true angles are those of markers
    on the body that fits their true points. Feet are not among these, and ankles are unknown."""
    for part in parts(rows):
        clip, R = converted_clip(part, detected=True), part["camera_R"].astype(np.float64)
        if all_finite(clip.detected).any(axis=1).sum() < _FEWEST:
            continue
        rate = float(clip.rate[0])
        markers, tall = _fitted(Timeline.regular(len(R), rate), _to_world(R, part["xyz"]))
        yield Filmed(
            _track(clip.detected, clip.K[0], rate), clip.K[0], R,
            np.einsum("tij,tnj->tni", R, markers), tall, _MASS_INDEX * tall**2, clip.swapped,
        )  # fmt: skip


def _to_world(R: FloatArray, xyz: FloatArray) -> FloatArray:
    """(T, J, 3) turned by the transposed (T, 3, 3)."""
    return np.asarray(np.einsum("tji,tnj->tni", R, xyz.astype(np.float64)))


def _fitted(timeline: Timeline, xyz: FloatArray) -> tuple[FloatArray, float]:
    """The laboratory's markers (T, 43, 3) on the body that fits COCO's points (T, 17, 3), without
    those of the feet; and its stature. Metres, Y up."""
    names, body = skeleton("coco17").points, load_anny()
    none = np.empty((len(xyz), 0, len(names)))
    covariance = np.broadcast_to(_POINT_SD_M**2 * np.eye(3), (*xyz.shape, 3))
    seen = Observations(
        timeline, CameraRig(()), names, np.empty((*none.shape, 2)), none, xyz, covariance
    )
    motion = fit_clip(body, seen).motion
    markers = mesh_markers(body, motion).select(LABORATORY).xyz.copy()
    markers[:, [i for i, name in enumerate(LABORATORY) if _of_foot(name)]] = np.nan
    return markers, stature(body, motion.shape)


def _of_foot(name: str) -> bool:
    return any(part in name for part in ("calc", "toe", "5meta"))
