"""The background: a room or outdoor place as a box with painted sides, or an image.

The ray of each pixel meets one side of the box, whose paint gives the pixel's light. So floors and
walls have true positions in the world, for every lens and camera motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.geometry.projection import undistort
from kinefit.io.pictures import check_picture
from kinefit.synth.look import Color, linear, sample_reflectance
from kinefit.synth.noise import noise_picture
from kinefit.types import Camera, FloatArray, InputError

Light3 = NDArray[np.float32]  # (H, W, 3) linear light
Kind = Literal["room", "outdoors", "picture"]

FLOOR, CEILING = 3, 4  # of the sides, in the order -x, +x, -z, floor, ceiling, +z
_BEHIND, _AHEAD = (0, FLOOR, 2), (1, CEILING, 5)  # the sides of each axis
_AXIS = (0, 0, 2, 1, 1, 2)  # which coordinate is constant on each side
_TILE = 768  # pixels of a painted side
_REPEAT_M = 6.0  # after which the floor repeats
_BLURRED_M = 14.0  # from here on, nothing of it is seen
_FAR_M = 40.0  # outdoors, the distance of the horizon's picture
_BLOCKS = 14  # most pieces of furniture, windows, ... on a wall


@dataclass(frozen=True)
class Room:
    """kind: of place. half_m: half of its length along x and z. high_m: up to the ceiling or sky.
    seed: of the paint. tint: reflectance of walls. picture: file for the kind "picture".
    """

    kind: Kind
    half_m: tuple[float, float]
    high_m: float
    seed: int
    tint: Color
    picture: str | None = None


def sample_room(rng: np.random.Generator, *, least_m: float, picture: str | None = None) -> Room:
    """A place that reaches at least `least_m` metres from its middle in all directions."""
    kind: Kind = "picture" if picture else ("room" if rng.random() < 0.65 else "outdoors")
    half = least_m + rng.uniform(0.2, 3.0, 2)
    if kind == "outdoors":
        half = np.full(2, max(_FAR_M, 2 * least_m))
    tint = linear(255 * np.clip(rng.beta(4, 2) + rng.normal(0, 0.06, 3), 0.1, 0.97))
    return Room(
        kind=kind,
        half_m=(float(half[0]), float(half[1])),
        high_m=float(rng.uniform(2.3, 3.6)) if kind == "room" else 0.6 * float(half[0]),
        seed=int(rng.integers(2**31)),
        tint=(float(tint[0]), float(tint[1]), float(tint[2])),
        picture=picture,
    )


class Backdrop:
    """Draws a room as cameras see it.

    size: (width, height) of images. home: the camera without sway, for which a user's image is
    upright; None: the image does not follow the camera's rotation. Raises InputError for an image
    that cannot be read.
    """

    def __init__(self, room: Room, size: tuple[int, int], home: Camera | None = None) -> None:
        self.room, self.size, self._home = room, size, home
        self._picture = _read_picture(room.picture, size) if room.picture else None
        self._sides = None if room.picture else _painted(room)
        self._rays: tuple[Camera, NDArray[np.float32]] | None = None
        self._last: tuple[Camera, Light3, NDArray[np.float32]] | None = None

    def draw(self, camera: Camera) -> tuple[Light3, NDArray[np.float32]]:
        """(H, W, 3) linear light, and (H, W, 2) metres x, z of the floor at each pixel, NaN where
        there is none. Do not write to them: a camera that does not move gets the same arrays."""
        if self._last is None or not _same_pose(self._last[0], camera):
            self._last = (camera, *self._drawn(camera))
        return self._last[1], self._last[2]

    def _drawn(self, camera: Camera) -> tuple[Light3, NDArray[np.float32]]:
        side, far, place = self._meet(self._directions(camera), camera.centre)
        floor = np.stack([place[0], place[2]], axis=-1)
        floor[side != FLOOR] = np.nan
        if self._sides is None:
            return self._turned_picture(camera), floor
        return self._look_up(self._sides, side, far, place), floor

    def _directions(self, camera: Camera) -> NDArray[np.float32]:
        """(3, H, W) world directions of the pixels' rays, of depth 1."""
        if self._rays is None or not _same_lens(self._rays[0], camera):
            width, height = self.size
            grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
            plane = undistort(camera, grid.reshape(-1, 2).astype(np.float64))
            plane = np.nan_to_num(plane)  # beyond the lens: the middle of the image
            local = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
            self._rays = camera, np.ascontiguousarray(local.T, np.float32)
        turned = camera.R.T.astype(np.float32) @ self._rays[1]
        return np.asarray(turned.reshape(3, self.size[1], self.size[0]))

    def _meet(
        self, ray: NDArray[np.float32], eye: FloatArray
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        """Side of the box that each ray meets (H, W), its distance (H, W) and point (3, H, W)."""
        x, z = self.room.half_m
        far = np.full(ray.shape[1:], np.inf, np.float32)
        side = np.zeros(ray.shape[1:], np.uint8)
        for axis, (low, high) in enumerate(((-x, x), (0.0, self.room.high_m), (-z, z))):
            before, behind = np.float32(high - eye[axis]), np.float32(low - eye[axis])
            with np.errstate(divide="ignore", invalid="ignore"):
                reach = np.where(ray[axis] > 0, before, behind) / ray[axis]
            nearer = (reach < far) & (ray[axis] != 0)  # a ray along the side never meets it
            far[nearer] = reach[nearer]
            ahead = ray[axis][nearer] > 0
            side[nearer] = np.where(ahead, _AHEAD[axis], _BEHIND[axis])
        return side, far, eye.astype(np.float32)[:, None, None] + far * ray

    def _look_up(
        self, sides: Light3, side: NDArray[np.uint8], far: NDArray[np.float32],
        place: NDArray[np.float32],
    ) -> Light3:  # fmt: skip
        """The paint at these points; `sides` are the six images under each other."""
        x, z = self.room.half_m
        length = np.array([2 * z, 2 * z, 2 * x, _REPEAT_M, 2 * x, 2 * x], np.float32)[side]
        high = self.room.high_m
        height = np.array([high, high, high, _REPEAT_M, 2 * z, high], np.float32)[side]
        flat = (side == FLOOR) | (side == CEILING)
        u = np.where(side < 2, place[2], place[0]) / length + np.float32(0.5)
        v = np.where(flat, place[2] / height + np.float32(0.5), 1 - place[1] / height)
        floor = side == FLOOR
        u[floor] %= 1
        v[floor] %= 1
        u, v = (np.clip(n, 0, 1) * np.float32(_TILE - 1) for n in (u, v))
        out = cv2.remap(sides, u, v + side * np.float32(_TILE), cv2.INTER_LINEAR)
        # Far away, a pixel covers more than the details of the floor: it gets their mean.
        mean = sides[FLOOR * _TILE : (FLOOR + 1) * _TILE].mean(axis=(0, 1))
        share = np.clip(far[floor] / _BLURRED_M, 0, 1)[:, None]
        out[floor] += share * (mean - out[floor])
        return np.asarray(out)

    def _turned_picture(self, camera: Camera) -> Light3:
        """The image as a distant background of a camera that is rotated from home."""
        assert self._picture is not None
        if self._home is None or np.array_equal(camera.R, self._home.R):
            return self._picture
        H = camera.K @ camera.R @ self._home.R.T @ np.linalg.inv(self._home.K)
        out = cv2.warpPerspective(self._picture, H, self.size, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(out)


def _same_lens(a: Camera, b: Camera) -> bool:
    same = a.fisheye == b.fisheye and np.array_equal(a.K, b.K)
    return same and np.array_equal(a.distortion, b.distortion)


def _same_pose(a: Camera, b: Camera) -> bool:
    return _same_lens(a, b) and np.array_equal(a.R, b.R) and np.array_equal(a.t, b.t)


def _read_picture(path: str, size: tuple[int, int]) -> Light3:
    """The file scaled and cut to fill `size`."""
    check_picture(path)
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(path, "cannot be read as an image", "give .jpg or .png files")
    # Cut first: scaled, a narrow strip would become a picture of billions of pixels.
    high, wide = image.shape[:2]
    w = max(1, min(wide, round(high * size[0] / size[1])))
    h = max(1, min(high, round(wide * size[1] / size[0])))
    y, x = (high - h) // 2, (wide - w) // 2
    cut = cv2.resize(image[y : y + h, x : x + w], size, interpolation=cv2.INTER_AREA)
    return np.asarray(linear(cut[..., ::-1].astype(np.float64)), np.float32)


@lru_cache(maxsize=2)
def _painted(room: Room) -> Light3:
    """The six sides under each other, (6 * _TILE, _TILE, 3)."""
    rng = np.random.default_rng(room.seed)
    out = np.empty((6 * _TILE, _TILE, 3), np.float32)
    skyline = rng.integers(2**31)
    for side, axis in enumerate(_AXIS):
        tile = out[side * _TILE : (side + 1) * _TILE]
        if side == FLOOR:
            tile[:] = _floor(rng, room)
        elif axis == 1:
            tile[:] = _ceiling(rng, room)
        elif room.kind == "room":
            tile[:] = _wall(rng, room)
        else:
            tile[:] = _horizon(np.random.default_rng(skyline + side), room)
    return out


def _floor(rng: np.random.Generator, room: Room) -> Light3:
    """Boards, tiles, carpet or earth; lines at true distances."""
    base = np.array(sample_reflectance(rng, dull=True))
    grain = noise_picture(rng, (_TILE, _TILE), 12)[..., None] - 0.5
    out = base * (1 + rng.uniform(0.2, 1.2) * grain)
    kind = rng.choice(["boards", "tiles", "plain"]) if room.kind == "room" else "plain"
    if kind != "plain":
        pixel = _REPEAT_M / _TILE  # metres
        # A whole number, so that the floor repeats without a seam.
        wide = _REPEAT_M / (rng.integers(24, 50) if kind == "boards" else rng.integers(8, 20))
        x = z = (np.arange(_TILE) + 0.5) * pixel / wide
        column, row = x.astype(int), z.astype(int)
        shade = rng.uniform(0.75, 1.2, (row[-1] + 1, column[-1] + 1))
        if kind == "boards":
            shade = np.repeat(shade[:1], len(shade), axis=0)
            out *= shade[row][:, column][..., None]
        else:
            out *= (0.5 + 0.5 * shade)[row][:, column][..., None]
            out[(z % 1) < pixel / wide] *= 0.6
        out[:, (x % 1) < pixel / wide] *= 0.6
    return np.asarray(np.clip(out, 0.005, 1), np.float32)


def _ceiling(rng: np.random.Generator, room: Room) -> Light3:
    if room.kind == "outdoors":
        blue, cloud = linear(np.array([110.0, 160, 230])), noise_picture(rng, (_TILE, _TILE), 6)
        return np.asarray(blue + 0.8 * cloud[..., None] ** 2, np.float32)
    return np.full((_TILE, _TILE, 3), 0.75 * np.array(room.tint) + 0.2, np.float32)


def _wall(rng: np.random.Generator, room: Room) -> Light3:
    """Paint, a skirting, and doors, windows, shelves and pictures as rectangles."""
    grain = noise_picture(rng, (_TILE, _TILE), 8)[..., None] - 0.5
    out = np.array(room.tint) * rng.uniform(0.6, 1.0) * (1 + 0.15 * grain)
    for _ in range(int(rng.integers(2, _BLOCKS))):
        w, h = rng.uniform(0.02, 0.16), rng.uniform(0.1, 0.8)
        x, y = rng.uniform(0, 1 - w), rng.choice([rng.uniform(0.05, 0.6), 1 - h])
        box = [int(n * _TILE) for n in (x, y, x + w, min(y + h, 1))]
        _rectangle(rng, out, box)
    out[-int(0.03 * _TILE) :] *= rng.uniform(0.3, 1.2)
    return np.asarray(np.clip(out, 0.005, 1.2), np.float32)


def _rectangle(rng: np.random.Generator, out: FloatArray, box: list[int]) -> None:
    """One object on a wall: a frame with one colour, or with several parts."""
    left, top, right, bottom = box
    out[top:bottom, left:right] = sample_reflectance(rng)
    edge = int(rng.integers(2, 8))
    rows, columns = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    if bottom - top < 4 * edge * rows or right - left < 4 * edge * columns:
        return
    y = np.linspace(top, bottom, rows + 1).astype(int)
    x = np.linspace(left, right, columns + 1).astype(int)
    for r in range(rows):
        for c in range(columns):
            inner = np.s_[y[r] + edge : y[r + 1] - edge, x[c] + edge : x[c + 1] - edge]
            out[inner] = sample_reflectance(rng)


def _horizon(rng: np.random.Generator, room: Room) -> Light3:
    """Sky over a row of houses and trees, up to a quarter of the height."""
    down = np.linspace(0, 1, _TILE)[:, None, None]
    high, low = linear(np.array([[120.0, 165, 230], [215, 225, 235]]))
    sky = high * (1 - down) + low * down
    out = np.broadcast_to(sky, (_TILE, _TILE, 3)).copy()
    cell = 32
    for _ in range(60):
        x, w = int(rng.integers(_TILE)), int(rng.integers(10, 90))
        top = int(_TILE * (1 - rng.uniform(0.04, 0.25)))
        green = rng.random() < 0.5
        color = linear(np.array([60.0, 90, 50]) if green else 255 * rng.beta(3, 3) * np.ones(3))
        if green:
            cv2.ellipse(out, (x, _TILE), (w // 2, _TILE - top), 0, 180, 360, color.tolist(), -1)
        else:
            out[top:, x : x + w] = color
            out[top::cell, x : x + w] *= 0.6
    grain = noise_picture(rng, (_TILE, _TILE), 24)[..., None]
    return np.asarray(out * (0.7 + 0.6 * grain), np.float32)
