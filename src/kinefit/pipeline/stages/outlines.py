"""Stage `outlines`: masks of the person in a few frames of each video, for girths."""

from __future__ import annotations

import cv2
import numpy as np

from kinefit.detect.masks.frame_mask import WHITE, places_of
from kinefit.detect.masks.head import Step, head_masks
from kinefit.detect.masks.network import LandmarkSegmenter, person_masks
from kinefit.fit.recipes.image_start import FACE
from kinefit.fit.recipes.silhouette import MaskedView, Outlines, outline_rows
from kinefit.io.masks import read_masks, write_masks
from kinefit.io.observations import load_observations
from kinefit.pipeline.artifacts import load_arrays, load_track
from kinefit.pipeline.context import Context
from kinefit.pipeline.stages.masks import head_points
from kinefit.types import (
    BoolArray,
    FloatArray,
    IntArray,
    Keypoints2D,
    Observations,
    PersonMasks,
    Timeline,
)

# Around the middle of the face's landmarks, times their farthest distance: hair, buns and caps.
_HEAD_REACH = 2.5
# The frames are far apart: nothing is carried from one to the next.
_ALONE: tuple[Step, ...] = ("keypoints", "face", "hair")
_NEAREST = 0.6  # of the time from one frame to the next
_HEAD_EDGE = 4  # pixels of a mask around the head, about 4 cm


def outlines(context: Context) -> None:
    """The frames' masks: the user's own or those of the run where there are some."""
    camera, clip = context.camera, context.clip
    observations = load_observations(context.read_internal("observations.npz"))
    track = load_track(context.read_internal(f"track_{camera}.npz")).image
    wanted = _frames(context, observations, camera, track)
    frames = np.unique(wanted[wanted >= 0])
    own = f"{camera}_masks.npz"
    if own in context.readable:
        masks = read_masks(context.read(own), frames)
    else:
        place_file = f"place_{camera}.npz"
        known = context.has_internal(place_file)
        places = (
            load_arrays(context.read_internal(place_file))["place"] if known else places_of(track)
        )
        model = context.config.detector_model if context.config.detector == "blazepose" else None
        masks = person_masks(
            clip, places, frames, segmenter=LandmarkSegmenter(model), points=track,
            progress=context.progress,
        )  # fmt: skip
    write_masks(context.internal(f"outlines_{camera}.npz"), masks)
    at = np.searchsorted(track.timeline.frame, masks.frame)
    pictures = clip.pictures_at(track.timeline.time[at])
    found = head_masks(pictures, head_points(track, masks), masks, steps=_ALONE)
    write_masks(context.internal(f"heads_{camera}.npz"), found.masks)


def _frames(context: Context, data: Observations, camera: str, track: Keypoints2D) -> IntArray:
    """(N,) the camera's frames at the moments chosen in the fit's clock; -1 where it has none."""
    names = data.rig.names if len(data.rig) > 1 else (camera,)
    if camera not in names:
        return np.full(len(outline_rows(data)), -1)
    moments = load_arrays(context.read_internal("moments.npz"))["moments"][names.index(camera)]
    return frames_at(track.timeline, moments[outline_rows(data)])


def frames_at(timeline: Timeline, moments: FloatArray) -> IntArray:
    """(N,) numbers of the frames that were taken at moments (N,), seconds, as nearly as a camera of
    another clock can; -1 where it did not record."""
    if len(timeline) < 2:
        return np.full(len(moments), -1)
    away = np.abs(timeline.time - moments[:, None])
    nearest = away.argmin(axis=1)
    there = away[np.arange(len(moments)), nearest] <= _NEAREST / timeline.rate_hz
    return np.where(there, timeline.frame[nearest], -1)


def read_outlines(context: Context, data: Observations) -> Outlines | None:
    """What the stage left, for the fit; None where it was not done."""
    views = {}
    for camera in context.job.inputs:
        name = f"outlines_{camera}.npz"
        if not context.has_internal(name):
            return None
        track = load_track(context.read_internal(f"track_{camera}.npz")).image
        masks = read_masks(context.read_internal(name))
        wanted = _frames(context, data, camera, track)
        index = np.searchsorted(masks.frame, wanted)
        there = np.append(masks.frame, -2)[index] == wanted
        heads = read_masks(context.read_internal(f"heads_{camera}.npz"))
        at = np.searchsorted(track.timeline.frame, masks.frame)
        hidden = around_heads(heads, track.xy[at], track.names)
        own = camera if len(data.rig) > 1 else data.rig.names[0]
        views[own] = MaskedView(masks, np.where(there, index, -1), hidden)
    return Outlines.of(outline_rows(data), data.rig, views) if views else None


def around_heads(heads: PersonMasks, xy: FloatArray, names: tuple[str, ...]) -> BoolArray:
    """(M, S, S) True where an edge may be of hair, a cap or a hood: near masks of the head, and
    around keypoints (M, J, 2) pixels of the face, where these fail."""
    face = xy[:, [names.index(name) for name in FACE if name in names]]
    side = heads.grey.shape[-1]
    v, u = np.mgrid[:side, :side]
    near = np.ones((2 * _HEAD_EDGE + 1, 2 * _HEAD_EDGE + 1), np.uint8)
    out = np.array([cv2.dilate(grey, near) >= WHITE for grey in heads.grey]).reshape(-1, side, side)
    for k, points in enumerate(face):
        known = points[np.isfinite(points).all(axis=1)]
        if len(known) < 2:
            continue
        at = (known - heads.into[k, :, 2]) @ np.linalg.inv(heads.into[k, :, :2]).T
        middle = at.mean(axis=0)
        reach = _HEAD_REACH * np.linalg.norm(at - middle, axis=1).max()
        out[k] |= np.hypot(u - middle[0], v - middle[1]) <= reach
    return out
