"""Renders the frames of a scene: image, labels, and the points with their visibility."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kinefit.body.model import BodyModel
from kinefit.geometry.projection import project, to_camera
from kinefit.io.video import Picture
from kinefit.synth.body_points import body_points
from kinefit.synth.cameras import apply_sensor, moved
from kinefit.synth.look import dress
from kinefit.synth.painter import PROPS_FROM, Painter, Shot
from kinefit.synth.pieces import with_pieces
from kinefit.synth.scene import Scene
from kinefit.synth.subjects import stature
from kinefit.synth.truth import PROP, Labels, Visibility, encode, person_label
from kinefit.types import Camera, FloatArray

NO_PICTURE: Picture = np.zeros((0, 0, 3), np.uint8)  # where only the truth is wanted


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """One frame of one camera.

    picture: as the sensor gives it. runs: of labels. xy: (P, K, 2) pixels of the points.
    visibility: (P, K) of `Visibility`. camera: in this frame.
    """

    picture: Picture
    runs: tuple[Labels, NDArray[np.uint32]]
    xy: FloatArray
    visibility: NDArray[np.uint8]
    camera: Camera


class SceneRenderer:
    """Renders one scene; each process has its own.

    points: of the body. statures: metres, of each person.
    """

    def __init__(self, scene: Scene, body: BodyModel) -> None:
        self.scene, self.body = scene, body
        self.points = body_points(body)
        shapes = [np.array(person.shape) for person in scene.people]
        self.statures = [stature(body, shape) for shape in shapes]
        # Bodies of one shape: with parameters, most of the time would go into the rest pose.
        self._bodies = [body.fixed(shape) for shape in shapes]
        self._points = [replace(self.points, body=fixed) for fixed in self._bodies]
        self._figures = [dress(body, np.array(p.shape), p.look) for p in scene.people]
        # The points are the bare body's, so only what is drawn has hair and skirts.
        self._drawn = [
            with_pieces(fixed, figure.pieces)
            for fixed, figure in zip(self._bodies, self._figures, strict=True)
        ]
        self._inside = [self.points.depth_below_skin(shape) for shape in shapes]

    def render(self, first: int, count: int) -> list[list[RenderedFrame]]:
        """`count` frames from `first` on: a list of the cameras' images for each."""
        by_camera = [self.render_view(c, first, count) for c in range(len(self.scene.cameras))]
        return [list(row) for row in zip(*by_camera, strict=True)]

    def visibility_pass(self, frame: int) -> list[RenderedFrame]:
        """A frame of every camera without its image: labels, points and visibility."""
        out = []
        for c, spec in enumerate(self.scene.cameras):
            time = np.array([frame / self.scene.options.rate + spec.offset_s])
            (camera,) = moved(spec.camera, spec.sway, time)
            shot = self._painters[c].outline(camera, [m[0] for m in self._meshes(time)])
            seen = self._points_seen(camera, shot, [p[0] for p in self.keypoints(time)])
            out.append(RenderedFrame(NO_PICTURE, encode(self._labels(shot)), *seen, camera))
        return out

    def render_view(self, c: int, first: int, count: int) -> list[RenderedFrame]:
        """`count` frames of camera `c` from `first` on."""
        spec = self.scene.cameras[c]
        step = 1 / self.scene.options.rate
        times = np.asarray(np.arange(first, first + count) * step + spec.offset_s, np.float64)
        shutter = spec.shutter_s / 2
        meshes, points = self._meshes(times), self.keypoints(times)
        later = self._meshes(times + shutter) if shutter else meshes
        out = []
        for k in range(count):
            moments = times[k] + np.array([-shutter, 0.0, shutter] if shutter else [0.0])
            cameras = moved(spec.camera, spec.sway, moments)
            # Half an exposure is nearly a straight line: the mesh is posed twice, not three times.
            before = [2 * m[k] - n[k] for m, n in zip(meshes, later, strict=True)]
            now, after = [m[k] for m in meshes], [n[k] for n in later]
            shots = [before, now, after] if shutter else [now]
            shot = self._painters[c].draw(cameras, shots)
            noise = np.random.default_rng((*self.scene.seed, c, first + k))
            camera = cameras[len(cameras) // 2]
            seen = self._points_seen(camera, shot, [p[k] for p in points])
            picture = apply_sensor(shot.picture, spec.sensor, noise)
            out.append(RenderedFrame(picture, encode(self._labels(shot)), *seen, camera))
        return out

    @cached_property
    def _painters(self) -> list[Painter]:
        """One per camera: each caches its backdrop."""
        s = self.scene
        things = [*s.props, *(person.seat for person in s.people if person.seat is not None)]
        size = s.options.size
        return [Painter(s.room, s.light, self._figures, things, size, f.camera) for f in s.cameras]

    def keypoints(self, times: FloatArray) -> list[FloatArray]:
        """(N, K, 3) metres, world: the points of each person at `times` (N,) seconds."""
        return [
            points.keypoints_at(*moving.at(times), np.zeros(0))
            for moving, points in zip(self.scene.moving, self._points, strict=True)
        ]

    def _meshes(self, times: FloatArray) -> list[FloatArray]:
        """(N, V, 3) of each person at `times` (N,), with hair and skirts."""
        return [
            body.posed_vertices(*moving.at(times), np.zeros(0))
            for moving, body in zip(self.scene.moving, self._drawn, strict=True)
        ]

    def _labels(self, shot: Shot) -> Labels:
        labels = np.zeros(shot.surface.shape, np.uint8)
        for p, figure in enumerate(self._figures):
            mine = shot.surface == p
            face = shot.face[mine]
            parts = [figure.hair[face], figure.head[face]]
            codes = [person_label(p, "hair"), person_label(p, "head")]
            labels[mine] = np.select(parts, codes, person_label(p))
        labels[shot.surface >= PROPS_FROM] = PROP
        return labels

    def _points_seen(
        self, camera: Camera, shot: Shot, points: Sequence[FloatArray]
    ) -> tuple[FloatArray, NDArray[np.uint8]]:
        """Pixels (P, K, 2) of the points, and their visibility (P, K)."""
        xyz = np.stack(points)
        xy, depth = project(camera, xyz), to_camera(camera, xyz)[..., 2]
        width, height = camera.size
        with np.errstate(invalid="ignore"):
            pixel = np.round(np.nan_to_num(xy, nan=-1.0, posinf=-1, neginf=-1))
        inside = np.asarray(((pixel >= 0) & (pixel < (width, height))).all(axis=-1))
        u, v = np.where(inside[..., None], pixel, 0).astype(np.int64).transpose(2, 0, 1)
        surface, before = shot.surface[v, u], depth - shot.depth[v, u]
        own = surface == np.arange(len(points))[:, None]  # the surface is the person's
        # One no further in front than twice the point's depth below its skin, and a little, is the
        # skin of that joint.
        hidden = before > np.where(own, 2 * np.stack(self._inside) + 0.03, 0.0)
        out = np.where(own, Visibility.SELF_OCCLUDED, Visibility.OCCLUDED)
        out = np.where(hidden, out, Visibility.VISIBLE)
        return xy, np.where(inside, out, Visibility.OUTSIDE).astype(np.uint8)
