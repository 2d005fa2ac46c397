"""Renders people and objects in a room, with light, shadow and exposure.

Everything is one mesh for the rasteriser, so occlusion is exact. An exposure consists of
sub-frames with samples shifted by fractions of a pixel, which smooths edges without extra cost; the
middle one is not shifted and gives the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project, to_camera
from kinefit.render.mesh import Visible, rasterise
from kinefit.synth.backdrop import Backdrop, Room
from kinefit.synth.look import Color, Figure, Pattern, sample_reflectance
from kinefit.synth.noise import smooth_noise
from kinefit.types import Camera, FloatArray, IntArray

PropKind = Literal["box", "post", "table"]

PROPS_FROM = 1000  # what `Shot.surface` holds for the first prop

# Shifts of the samples of sub-frames, pixels.
_JITTER = np.array([[-0.33, 0.25], [0.0, 0.0], [0.33, -0.25]])
# The shadow map.
_SHADOW_PX_M = 0.012
_SHADOW_SKIN_M = 0.03  # a surface nearer in front of a point than this is the point's own
_HIGH = 20.0  # metres: above everything, for depths seen from the light
_GRAIN_M = 0.012  # of cloth and skin


@dataclass(frozen=True)
class Light:
    """toward: unit vector to the sun or lamp, world. key, ambient: light on a surface that faces
    it, and from all around; linear. warmth: gain of red over blue of the key. softness_m: blur of
    shadows on the floor. shadow: share of the key light that a shadow takes away.
    """

    toward: Color
    key: float
    ambient: float
    warmth: float
    softness_m: float
    shadow: float


def sample_light(rng: np.random.Generator) -> Light:
    """Random light, from hard sun to a cloudy day, never from below."""
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(30, 75))
    ambient = rng.uniform(0.3, 0.75)
    return Light(
        toward=(
            float(np.cos(height) * np.sin(azimuth)),
            float(np.sin(height)),
            float(np.cos(height) * np.cos(azimuth)),
        ),
        key=float(1.15 - ambient),
        ambient=float(ambient),
        warmth=float(rng.normal(0, 0.08)),
        softness_m=float(rng.uniform(0.01, 0.12)),
        shadow=float(rng.uniform(0.4, 0.95)),
    )


@dataclass(frozen=True)
class Prop:
    """An object that may occlude people. size: metres along its own x, y, z. place: x, z of its
    middle, metres, on the floor. yaw: radians. color: reflectance."""

    kind: PropKind
    size: tuple[float, float, float]
    place: tuple[float, float]
    yaw: float
    color: Color

    def mesh(self) -> tuple[FloatArray, IntArray]:
        """Vertices (V, 3) metres, world, and faces (F, 3)."""
        whole = [(np.zeros(3), np.array(self.size))]
        boxes = _table(*self.size) if self.kind == "table" else whole
        corners = np.concatenate([low + size * (_UNIT - [0.5, 0, 0.5]) for low, size in boxes])
        faces = np.concatenate([_UNIT_FACES + 8 * i for i in range(len(boxes))])
        corners = corners @ so3.exp(np.array([0.0, self.yaw, 0.0])).T
        corners[:, [0, 2]] += self.place
        return corners, faces


def _table(x: float, y: float, z: float) -> list[tuple[FloatArray, FloatArray]]:
    """Boxes of a table top and four legs: the middle of each one's underside, and its size."""
    thick = 0.04
    top = (np.array([0, y - thick, 0]), np.array([x, thick, z]))
    legs = [
        (np.array([i * (x - thick) / 2, 0, k * (z - thick) / 2]), np.array([thick, y, thick]))
        for i in (-1, 1)
        for k in (-1, 1)
    ]
    return [top, *legs]


_UNIT = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
_UNIT_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)  # fmt: skip


def sample_prop(rng: np.random.Generator, place: tuple[float, float]) -> Prop:
    """A box to the knee or chest, a post, or a table."""
    kinds: tuple[PropKind, ...] = ("box", "post", "table")
    kind = kinds[int(rng.integers(len(kinds)))]
    size = {
        "box": rng.uniform([0.25, 0.3, 0.25], [0.9, 1.2, 0.6]),
        "post": rng.uniform([0.05, 1.5, 0.05], [0.18, 2.5, 0.18]),
        "table": rng.uniform([0.7, 0.6, 0.5], [1.4, 0.95, 0.8]),
    }[kind]
    return Prop(
        kind=kind,
        size=(float(size[0]), float(size[1]), float(size[2])),
        place=place,
        yaw=float(rng.uniform(0, np.pi)),
        color=sample_reflectance(rng),
    )


@dataclass(frozen=True, eq=False)
class Shot:
    """One exposure before the sensor.

    picture: (H, W, 3) linear light. surface: (H, W) at each pixel's centre: -1 the
    backdrop, p person p, `PROPS_FROM` + k prop k. face: (H, W) triangle of that surface, -1 none.
    depth: (H, W) metres along the camera's axis, infinite for the backdrop. The last three are of
    the middle of the exposure.
    """

    picture: NDArray[np.float32]
    surface: NDArray[np.int16]
    face: NDArray[np.int32]
    depth: NDArray[np.float32]


class Painter:
    """Renders people, objects and room for one camera.

    size: (width, height) of pictures. home: as in `Backdrop`.
    """

    def __init__(
        self,
        room: Room,
        light: Light,
        figures: Sequence[Figure],
        props: Sequence[Prop],
        size: tuple[int, int],
        home: Camera | None = None,
    ) -> None:
        self._light, self._size, self._home = light, size, home
        self._room = room
        self._scene = _Meshes.of(figures, props)
        self._key = light.key * np.array([1 + light.warmth, 1.0, 1 - light.warmth])

    def draw(self, cameras: Sequence[Camera], vertices: Sequence[Sequence[FloatArray]]) -> Shot:
        """An exposure.

        cameras: of each sub-frame, three or one. vertices: [sub-frame][person] (V, 3) metres,
        world, of bodies without clothes. The middle ones give the truth; a single one serves for
        all sub-frames. The backdrop is that of the middle camera.
        """
        middle = len(cameras) // 2
        worn, normals = self._scene.dressed(vertices[middle])
        shadow = _Shadow.of(worn, self._scene.faces, self._light)
        shade = self._shade(worn, normals, shadow)
        backdrop, floor = self._backdrop.draw(cameras[middle])
        behind = backdrop * shadow.on_floor(floor)[..., None]
        total = np.zeros(behind.shape, np.float32)
        for s, shift in enumerate(_JITTER):
            k = s if len(cameras) == len(_JITTER) else middle
            at = worn + self._scene.step(vertices[middle], vertices[k]) if k != middle else worn
            seen = self._visible(cameras[k], at, shift)
            corner, share = self._scene.faces[seen.face].T, seen.shares.astype(np.float32)
            light = behind.copy()
            reflected = self._scene.reflectance(seen.face, corner, share)
            light[seen.y, seen.x] = reflected * _mixed(shade, corner, share)
            total += light
            if s == len(_JITTER) // 2:
                truth = seen
        return self._shot(total / np.float32(len(_JITTER)), truth)

    def outline(self, camera: Camera, bodies: Sequence[FloatArray]) -> Shot:
        """Labels and depth of people (V, 3) metres, with a black image."""
        worn, _ = self._scene.dressed(bodies)
        seen = self._visible(camera, worn, np.zeros(2))
        return self._shot(np.zeros((*self._size[::-1], 3), np.float32), seen)

    @cached_property
    def _backdrop(self) -> Backdrop:
        """Painted when it is first seen: an outline needs none."""
        return Backdrop(self._room, self._size, self._home)

    def _visible(self, camera: Camera, at: FloatArray, shift: FloatArray) -> Visible:
        uv = project(camera, at) + shift
        return rasterise(uv, to_camera(camera, at)[:, 2], self._scene.faces, self._size)

    def _shade(self, at: FloatArray, normals: FloatArray, shadow: _Shadow) -> NDArray[np.float32]:
        """(V, 3) light on each vertex: triangles are small enough for that."""
        facing = np.maximum(normals @ np.array(self._light.toward), 0)
        facing *= shadow.on_points(at)
        sky = self._light.ambient * (0.65 + 0.35 * normals[:, 1])  # the floor reflects less
        light = sky[:, None] + facing[:, None] * self._key
        return np.asarray(light * self._scene.grain[:, None], np.float32)

    def _shot(self, picture: NDArray[np.float32], seen: Visible) -> Shot:
        shape = self._size[::-1]
        surface, face = np.full(shape, -1, np.int16), np.full(shape, -1, np.int32)
        depth = np.full(shape, np.inf, np.float32)
        surface[seen.y, seen.x] = self._scene.surface[seen.face]
        face[seen.y, seen.x] = seen.face - self._scene.first[seen.face]
        depth[seen.y, seen.x] = seen.depth
        return Shot(picture, surface, face, depth)


@dataclass(frozen=True, eq=False)
class _Meshes:
    """All surfaces as one mesh, people first.

    faces: (F, 3). surface: (F,) as in `Shot`. first: (F,) index of the first face of its surface.
    part: (F,) row of palette. palette: (N, 3). cloth: row of the palette -> its pattern. rest: (V,
    3) places for patterns. grain: (V,) of reflectance. offset: (V,) metres of clothes and hair.
    props: (Vp, 3) of things.
    around: (V, F) sparse, which faces are around each vertex.
    """

    faces: IntArray
    surface: NDArray[np.int16]
    first: IntArray
    part: IntArray
    palette: NDArray[np.float32]
    cloth: dict[int, Pattern]
    rest: NDArray[np.float32]
    grain: FloatArray
    offset: FloatArray
    props: FloatArray
    around: csr_array

    @classmethod
    def of(cls, figures: Sequence[Figure], props: Sequence[Prop]) -> _Meshes:
        things = [prop.mesh() for prop in props]
        meshes = [f.faces for f in figures] + [faces for _, faces in things]
        places = [f.rest for f in figures] + [at.astype(np.float32) for at, _ in things]
        palettes = [f.palette for f in figures] + [np.array([p.color]) for p in props]
        parts = [f.part.astype(np.int64) for f in figures]
        parts += [np.zeros(len(faces), np.int64) for _, faces in things]
        offsets = [f.offset for f in figures] + [np.zeros(len(at)) for at, _ in things]
        ids = [*range(len(figures)), *(PROPS_FROM + k for k in range(len(props)))]
        lengths = [len(faces) for faces in meshes]
        start, first, base = (
            np.cumsum([0, *counts]) for counts in (map(len, places), lengths, map(len, palettes))
        )
        faces = np.concatenate([f + s for f, s in zip(meshes, start[:-1], strict=True)])
        rows = np.repeat(np.arange(len(faces)), 3)
        return cls(
            faces=faces,
            surface=np.repeat(np.array(ids, np.int16), lengths),
            first=np.repeat(first[:-1], lengths),
            part=np.concatenate([p + b for p, b in zip(parts, base[:-1], strict=True)]),
            palette=np.concatenate(palettes).astype(np.float32),
            cloth={
                int(base[i]) + row: pattern
                for i, figure in enumerate(figures)
                for row, pattern in figure.patterns.items()
                if pattern.kind != "plain"
            },
            rest=np.concatenate(places),
            grain=0.88 + 0.24 * smooth_noise(np.concatenate(places) / _GRAIN_M),
            offset=np.concatenate(offsets),
            props=np.concatenate([np.zeros((0, 3)), *(at for at, _ in things)]),
            around=csr_array((np.ones(faces.size), (faces.ravel(), rows)), (start[-1], len(faces))),
        )

    def dressed(self, bodies: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
        """(V, 3) all vertices with clothes and hair on, and (V, 3) their normals."""
        bare = np.concatenate([*bodies, self.props])
        a, b, c = (bare[corner] for corner in self.faces.T)
        total = self.around @ so3.cross(b - a, c - a)
        normals = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
        return bare + self.offset[:, None] * normals, normals

    def step(self, before: Sequence[FloatArray], now: Sequence[FloatArray]) -> FloatArray:
        """(V, 3) metres from one time to another; objects do not move."""
        moved = np.concatenate(now) - np.concatenate(before)
        return np.concatenate([moved, np.zeros_like(self.props)])

    def reflectance(
        self, face: IntArray, corner: IntArray, share: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(N, 3) of pixels on `face` (N,), with `share` (3, N) of its corners (3, N)."""
        part = self.part[face]
        out = self.palette[part]
        for row, pattern in self.cloth.items():
            mine = np.flatnonzero(part == row)
            at = _mixed(self.rest, corner[:, mine], share[:, mine])
            out[mine[_patterned(pattern, at)]] = np.array(pattern.color, np.float32)
        return out


def _patterned(pattern: Pattern, at: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N,) True where the pattern has its other colour, at positions (N, 3) at rest."""
    x, y, z = (np.floor(at / (pattern.scale_m / 2)).astype(np.int64) % 2 == 0).T
    match pattern.kind:
        case "stripes":
            return np.asarray(y)
        case "bars":
            return np.asarray(x)
        case "checks":
            return np.asarray(x ^ y ^ z)
        case "blotches":
            return np.asarray(smooth_noise(at / pattern.scale_m) > 0.55)
        case _:
            return np.zeros(len(at), bool)


def _mixed(
    values: NDArray[np.float32], corner: IntArray, share: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N, 3) of vertex values (V, 3) at shares (3, N) of corners (3, N)."""
    a, b, c = (values[at] * of[:, None] for at, of in zip(corner, share, strict=True))
    return np.asarray(a + b + c)


@dataclass(frozen=True, eq=False)
class _Shadow:
    """Shadow map: an image of the floor along the light's rays.

    A point's place in it is where its light ray would meet the floor. corner: (2,) metres x, z
    of its first pixel. slope: (2,) metres x, z per metre of height. highest: (h, w) metres, height
    of the first thing that a ray meets there; -1 nothing. soft: (h, w) share of light on the floor.
    """

    corner: NDArray[np.float32]
    slope: NDArray[np.float32]
    highest: NDArray[np.float32]
    soft: NDArray[np.float32]
    strength: float

    @classmethod
    def of(cls, at: FloatArray, faces: IntArray, light: Light) -> _Shadow:
        toward = np.array(light.toward)
        slope = toward[[0, 2]] / toward[1]
        down = at[:, [0, 2]] - at[:, 1:2] * slope
        margin = 4 * light.softness_m + 0.05
        low, high = down.min(axis=0) - margin, down.max(axis=0) + margin
        step = max(_SHADOW_PX_M, float((high - low).max()) / 600)
        size = tuple(int(n) + 1 for n in np.ceil((high - low) / step))
        # Seen from above, z points down in the map: faces towards the light keep their orientation.
        uv = (down - low) / step
        seen = rasterise(uv, _HIGH - at[:, 1], faces, (size[0], size[1]))
        highest = np.full(size[::-1], -1.0, np.float32)
        highest[seen.y, seen.x] = _HIGH - seen.depth
        soft = cv2.GaussianBlur(
            (highest >= 0).astype(np.float32), (0, 0), max(light.softness_m / step, 0.5)
        )
        return cls(
            corner=np.array([*low, step], np.float32),
            slope=slope.astype(np.float32),
            highest=highest,
            soft=1 - light.shadow * light.key / (light.key + light.ambient) * soft,
            strength=light.shadow,
        )

    def on_floor(self, floor: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) share of light at floor places (H, W, 2); 1 where they are NaN."""
        place = (floor - self.corner[:2]) / self.corner[2]
        # There is no shadow outside the map, nor where there is no floor.
        x, y = (np.nan_to_num(place[..., i], nan=-9.0) for i in (0, 1))
        lit = cv2.remap(
            self.soft, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=1.0
        )
        return np.asarray(lit)

    def on_points(self, at: FloatArray) -> FloatArray:
        """(N,) share of the key light that reaches points (N, 3) metres."""
        down = at[:, ::2] - at[:, 1:2] * self.slope
        pixel = np.round((down - self.corner[:2]) / self.corner[2]).astype(np.int64)
        x, y = np.clip(pixel, 0, np.array(self.highest.shape[::-1]) - 1).T
        hidden = self.highest[y, x] > at[:, 1] + _SHADOW_SKIN_M
        return np.where(hidden, 1 - self.strength, 1.0)
