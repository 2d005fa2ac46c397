"""Fitted bodies on the videos and the photo that they were fitted to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike

from kinefit.body.model import BodyModel
from kinefit.geometry import rotations as so3
from kinefit.io.pictures import write_picture
from kinefit.io.video import Clip, Picture
from kinefit.render.mesh import MeshPainter
from kinefit.render.palette import PAPER, SKIN, SKIN_OF_SIDE, rgb
from kinefit.render.tiles import Tiles, film_frames, label, playing_slowmo
from kinefit.types import (
    BodyMotion,
    Camera,
    CameraRig,
    FloatArray,
    IntArray,
    Timeline,
    all_finite,
)

_NO_POSE, _SKIN = "no pose", rgb(SKIN)
_WARNING = (255, 140, 120)  # the palette's ALERT, light enough to read on a dark rim
_PANEL_SIDE = 1280  # pixels: the longer side of a photo's panels, at most
_TOGETHER = 32  # frames whose meshes are made at once: 1.5 ms each with Anny, one by one 3 ms


def write_body_overlay(
    path: Path,
    clips: Sequence[Clip],
    rig: CameraRig,
    moments: FloatArray,
    body: BodyModel,
    motion: BodyMotion,
    progress: Callable[[int, int], None],
) -> None:
    """Write one video that shows every camera with the body on it, one camera or many.

    The right limbs are blue and the left ones orange. Frames without a pose say so. Which frames
    are shown: see `kinefit.render.tiles.film_frames`.
    clips: C, in the order of `rig`. moments: (C, T) true seconds of each frame of `motion` since
    the first frame of each camera's video. progress: called with frames done and in all.
    Errors are those of `Tiles.write`.
    """
    shown = film_frames(motion.timeline, playing_slowmo(clips))
    motion = _at(motion, shown)
    painter = MeshPainter(body.faces, color=face_colors(body))
    vertices_of = meshes_of(body, motion)

    def paint(t: int, pictures: list[Picture]) -> None:
        vertices = vertices_of(t)
        for camera, picture in zip(rig, pictures, strict=True):
            if vertices is None:
                label(picture, _NO_POSE, line=2, color=_WARNING)
            else:
                painter.draw(picture, camera, vertices)

    Tiles.of(rig).write(path, clips, moments[:, shown], motion.timeline, paint, progress)


def _at(motion: BodyMotion, rows: slice) -> BodyMotion:
    """The motion in some of its frames."""
    clock = motion.timeline
    return replace(
        motion,
        timeline=Timeline(clock.frame[rows], clock.time[rows]),
        rotations=motion.rotations[rows],
        translation=motion.translation[rows],
    )


def meshes_of(body: BodyModel, motion: BodyMotion) -> Callable[[int], FloatArray | None]:
    """The posed mesh (V, 3) metres of each frame of a motion, or None where there is no pose.

    Made some frames at a time, as they are asked for in order: memory does not grow with the clip.
    """
    posed = all_finite(motion.translation)
    body = body.fixed(motion.shape)

    @lru_cache(maxsize=1)
    def together(first: int) -> FloatArray:
        rows = slice(first, first + _TOGETHER)
        return body.posed_vertices(motion.rotations[rows], motion.translation[rows], np.zeros(0))

    def vertices(t: int) -> FloatArray | None:
        if not posed[t]:
            return None
        return np.asarray(together(t // _TOGETHER * _TOGETHER)[t % _TOGETHER])

    return vertices


def face_colors(body: BodyModel) -> FloatArray:
    """(F, 3) RGB: right and left limbs in the colours of their sides, as far as each face turns
    with the joints of the limb; so left and right that were exchanged show at once.
    """
    on_side = {side: np.zeros(len(body.joint_names)) for side in SKIN_OF_SIDE}
    # A side's limbs are what hangs on its shoulder and hip.
    first = {body.anatomy.get(side[0].upper() + name): side
             for side in SKIN_OF_SIDE for name in ("Shoulder", "Hip")}  # fmt: skip
    for b, joint in enumerate(body.joint_names):  # parents come first
        for side, share in on_side.items():
            above = share[body.parents[b]] if b else 0.0
            share[b] = float(first.get(joint) == side) or above
    color = np.full((len(body.vertices), 3), rgb(SKIN), np.float64)
    for side, share in on_side.items():
        weight = (body.skin_weights * share[body.skin_joints]).sum(axis=1)[:, None]
        color += weight * (np.array(rgb(SKIN_OF_SIDE[side])) - rgb(SKIN))
    return np.asarray(color[body.faces].mean(axis=1))


def write_body_picture(
    path: Path, photo: Picture, camera: Camera, body: BodyModel, vertices: FloatArray
) -> None:
    """`body_picture` as a file. Errors are those of `write_picture`."""
    write_picture(path, body_picture(photo, camera, vertices, body.faces, face_colors(body)))


def body_picture(
    photo: Picture, camera: Camera, vertices: FloatArray, faces: IntArray, color: ArrayLike = _SKIN
) -> Picture:
    """The photo, the body on it, and the body seen from its side, next to each other.

    photo: (height, width, 3) uint8 RGB, scaled down where it is large. camera: that took it.
    vertices: (V, 3) metres, world, Y up. faces: (F, 3). color: as `MeshPainter` takes it.
    The side view is what the same camera would see had the body turned by 90 degrees where it
    stands: leaning and depth, which the photo hides, show there.
    """
    height, width = photo.shape[:2]
    scale = min(1.0, _PANEL_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    plain = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
    fitted, side = plain.copy(), np.full_like(plain, rgb(PAPER))
    MeshPainter(faces, color=color).draw(fitted, camera, vertices)
    MeshPainter(faces, color=color, opacity=1.0).draw(side, camera, rotated_quarter(vertices))
    return np.concatenate([plain, fitted, side], axis=1)


def rotated_quarter(vertices: FloatArray) -> FloatArray:
    """(V, 3) a quarter turn to the left about the vertical through the middle of the mesh."""
    middle = (np.nanmin(vertices, axis=0) + np.nanmax(vertices, axis=0)) / 2
    quarter = so3.exp(np.array([0.0, np.pi / 2, 0.0]))
    return np.asarray((vertices - middle) @ quarter.T + middle)
