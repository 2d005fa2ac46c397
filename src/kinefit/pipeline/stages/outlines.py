"""Stage `outlines`: masks of the person in a few frames of each video, for girths."""

from __future__ import annotations

import cv2
import numpy as np

from kinefit.detect.masks.frame_mask import WHITE, places_of
from kinefit.detect.masks.head import Step, head_masks
from kinefit.detect.masks.network import LandmarkSegmenter, person_masks
from kinefit.fit.recipes.silhouette import MaskedView, Outlines, outline_rows
from kinefit.io.masks import read_masks, write_masks
from kinefit.io.observations import load_observations
from kinefit.pipeline.artifacts import load_arrays, load_track
from kinefit.pipeline.context import Context
from kinefit.pipeline.stages.masks import head_points
from kinefit.types import BoolArray, FloatArray, IntArray, Keypoints2D, Observations, PersonMasks

_FACE = ("Nose", "LEye", "REye", "LEar", "REar")
# Around the middle of the face's landmarks, times their farthest distance: hair, buns and caps.
_HEAD_REACH = 2.5
# The frames are far apart: nothing is carried from one to the next.
_ALONE: tuple[Step, ...] = ("keypoints", "face", "hair")
_HEAD_EDGE = 4  # pixels of a mask around the head, about 4 cm


def outlines(context: Context) -> None:
    """The frames' masks: the user's own or those of the run where there are some."""
    camera, clip = context.camera, context.clip
    observations = load_observations(context.read_internal("observations.npz"))
    track = load_track(context.read_internal(f"track_{camera}.npz")).image
    frames = np.unique(track.timeline.frame[_frames(context, observations, camera, track)])
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
    """(N,) which of the camera's frames are nearest to the frames chosen in the fit's clock."""
    at = data.rig.names.index(camera) if len(data.rig) > 1 else 0
    moments = load_arrays(context.read_internal("moments.npz"))["moments"][at]
    time = track.timeline.time
    return np.asarray(np.abs(time - moments[outline_rows(data), None]).argmin(axis=1))


def read_outlines(context: Context, data: Observations) -> Outlines | None:
    """What the stage left, for the fit; None where it was not done."""
    views = []
    for camera in context.job.inputs:
        name = f"outlines_{camera}.npz"
        if not context.has_internal(name):
            return None
        track = load_track(context.read_internal(f"track_{camera}.npz")).image
        masks = read_masks(context.read_internal(name))
        frames = track.timeline.frame
        wanted = frames[_frames(context, data, camera, track)]
        place = np.searchsorted(masks.frame, wanted)
        there = np.append(masks.frame, -1)[place] == wanted
        heads = read_masks(context.read_internal(f"heads_{camera}.npz"))
        hidden = around_heads(heads, track.xy[np.searchsorted(frames, masks.frame)], track.names)
        views.append(MaskedView(masks, np.where(there, place, -1), hidden))
    return Outlines.of(outline_rows(data), data.rig, views) if views else None


def around_heads(heads: PersonMasks, xy: FloatArray, names: tuple[str, ...]) -> BoolArray:
    """(M, S, S) True where an edge may be of hair, a cap or a hood: near masks of the head, and
    around keypoints (M, J, 2) pixels of the face, where these fail."""
    face = xy[:, [names.index(name) for name in _FACE if name in names]]
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
