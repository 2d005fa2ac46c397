"""A posed mesh drawn into a picture as a camera sees it, without a graphics card or a display.

The mesh of a body has triangles of about a pixel, so a loop over them would take longer than all
else. Here triangles are cut into lines of pixels and those into pixels, all in lists of numpy
arrays, short enough for the cache, and the nearest triangle at each pixel is kept. Anny's 27,420
triangles in a picture of 540 x 960 where it covers 68,000 pixels: 11 ms of a busy machine's
processor from vertices to the finished picture (26 in one long list, half of it for new memory).
Other ways there: to try all pixels of each triangle's box, 1.2 to 1.9 times as long; OpenCV 5's
`triangleRasterize` about as long, without the triangles' numbers; half of the triangles, chosen by
quadric errors, four fifths, with mottled shoulders and a quarter of a second to choose them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project, to_camera
from kinefit.io.video import Picture
from kinefit.render.palette import SKIN, rgb
from kinefit.types import Camera, FloatArray, IntArray, InvalidData

_SKIN = rgb(SKIN)
_AMBIENT = 0.3
_TO_LIGHT = (-0.35, -0.55, -0.76)  # camera axes: behind the viewer, above the left shoulder
# Pixels. Both neighbours of an edge may have a pixel whose centre lies on it, but not none of them,
# or rounding would leave holes.
_ON_EDGE = 1e-7
_FAR = 1e7  # pixels: a corner beyond is so near the camera's plane that rounding shows, or broken
_FLAT = 1e-12  # square pixels: thinner triangles are seen edge on, and their slopes overflow
_MOST_PIXELS = (
    2**16
)  # of boxes of triangles at once: arrays stay in the cache, and need no new pages

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Visible:
    """The pixels that a mesh covers, with the triangle nearest to the camera at each.

    x, y: (N,) pixels. face: (N,) index of the triangle. shares: (3, N) of its corners at the
    pixel's centre, on the picture; they sum to 1. depth: (N,) metres along the camera's axis.
    """

    x: IntArray
    y: IntArray
    face: IntArray
    shares: FloatArray
    depth: FloatArray


class MeshPainter:
    """Draws one mesh in many poses: nearest surface, smooth shading, the photo shining through.

    Light falls from behind the viewer (Lambert 1760: brightness goes with the cosine), on normals
    that are means of the triangles' around a vertex, weighted by area. The outline is softened
    inwards, so that no pixel outside the mesh changes.

    faces: (F, 3) vertex indices, counter-clockwise from outside. Triangles seen from behind are
        not drawn: the mesh should be closed, of triangles that are small beside the whole.
    color: RGB of a surface that faces the light, (3,) or (F, 3). opacity: 0 to 1.
    """

    def __init__(self, faces: IntArray, *, color: ArrayLike = _SKIN, opacity: float = 0.75) -> None:
        if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or faces.min() < 0:
            raise InvalidData(f"Faces of shape {faces.shape} are not triangles of a mesh.")
        self._faces, self._corners, self._opacity = faces, np.ascontiguousarray(faces.T), opacity
        each = np.broadcast_to(np.asarray(color, np.float32), (len(faces), 3))
        self._color = np.ascontiguousarray(each.T)
        around = np.repeat(np.arange(len(faces)), 3)
        self._around = csr_array((np.ones(faces.size, np.float32), (faces.ravel(), around)))

    def draw(self, picture: Picture, camera: Camera, vertices: FloatArray) -> None:
        """Draw the mesh into `picture` (height, width, 3), in place.

        The picture is all that the camera sees, at any size.
        vertices: (V, 3) metres, world. Triangles with a corner that is NaN, behind the camera or
        beyond what its lens can show are left out.
        Raises InvalidData when `vertices` are not points, or too few for the faces.
        """
        if vertices.ndim != 2 or vertices.shape[1] != 3 or len(vertices) < self._around.shape[0]:
            count = self._around.shape[0]
            raise InvalidData(f"Vertices of shape {vertices.shape}: the faces are of {count}.")
        size = (picture.shape[1], picture.shape[0])
        uv = (project(camera, vertices) + 0.5) * (np.array(size) / camera.size) - 0.5
        depth = to_camera(camera, vertices)[:, 2]
        surface = _surface(uv, depth, self._brightness(camera, vertices), self._faces, size)
        if surface is not None:
            self._blend(picture, *surface)

    def _brightness(self, camera: Camera, vertices: FloatArray) -> FloatArray:
        """(V,) 0 to 1 at each vertex of a face."""
        at = vertices.astype(np.float32)
        a, b, c = (np.take(at, corner, axis=0) for corner in self._corners)
        # A triangle that is not drawn must not darken its neighbours by NaN.
        normals = self._around @ np.nan_to_num(so3.cross(b - a, c - a))
        toward = (so3.unit(np.array(_TO_LIGHT)) @ camera.R).astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            cosine = (normals @ toward) / np.sqrt(np.einsum("vi,vi->v", normals, normals))
        return np.asarray(_AMBIENT + (1 - _AMBIENT) * np.maximum(np.nan_to_num(cosine), 0))

    def _blend(
        self, picture: Picture, corner: IntArray, face: NDArray[np.int32], light: FloatArray
    ) -> None:
        """Lay the surface (see `_surface`) over the part of the picture where it is.

        A pixel of the outline counts by how many of the nine pixels around it are covered.
        """
        part = picture[corner[1] :, corner[0] :][: face.shape[0], : face.shape[1]]
        share = (face >= 0).astype(np.float32)
        inside = np.flatnonzero(face >= 0)
        color = np.zeros((3, *face.shape), np.uint8)
        shown = _columns(self._color, face.ravel()[inside]) * light
        for channel, value in zip(color, np.rint(shown, out=shown), strict=True):
            channel.ravel()[inside] = value
        share *= cv2.blur(share, (3, 3), borderType=cv2.BORDER_CONSTANT) * self._opacity
        part[:] = cv2.blendLinear(part, cv2.merge(color), 1 - share, share)


def _surface(
    uv: FloatArray, depth: FloatArray, light: FloatArray, faces: IntArray, size: tuple[int, int]
) -> tuple[IntArray, NDArray[np.int32], FloatArray] | None:
    """What is seen of a mesh of small triangles: each laid over those that are farther away.

    The upper left pixel (2,) of the part of the picture where the mesh is; (h, w) the triangle at
    each pixel there, -1 for none; (N,) the light at those with one, row by row. None if none is.
    Triangles are compared by the depth of their middle: no depth is needed at a pixel, and where
    two of a body's pass through each other, the edge is off by less than one of them.
    """
    front, corners, low, high = _fronts(uv, faces, size)
    if not len(front):
        return None
    far = np.argsort(-np.take(depth, faces[front]).sum(axis=1))
    front, corners, low, high = (_columns(each, far) for each in (front, corners, low, high))
    left, top = low.min(axis=1)
    width, height = high.max(axis=1) - (left, top) + 1
    shares = _shares(corners)
    slot = np.full(width * height, -1, np.int32)
    for some in _batches((high - low + 1).prod(axis=0)):
        of_some = [_columns(each, some) for each in (*shares, low, high)]
        row, y, first, last, _, _ = _lines(*of_some)
        begin = (y - top) * width - left
        line, pixel = _counted(begin + first, begin + last)
        slot[pixel] = np.take(some[row], line)  # of several at one pixel the last stays
    covered = np.flatnonzero(slot >= 0)
    y = covered // width
    x = covered - y * width
    nearest = slot[covered]
    bright = np.take(light, faces[front].T)
    along_x, along_y, start = (np.take((bright * each).sum(axis=0), nearest) for each in shares)
    slot[covered] = front[nearest]
    shade = along_x * (x + left) + along_y * (y + top) + start
    return low.min(axis=1), slot.reshape(height, width), shade.astype(np.float32)


def rasterise(uv: FloatArray, depth: FloatArray, faces: IntArray, size: tuple[int, int]) -> Visible:
    """Which triangle is seen at each pixel of a picture, of those that show their front.

    uv: (V, 2) pixels, pixel centres at integers; NaN drops the triangles of that vertex.
    depth: (V,) metres. faces: (F, 3). size: (width, height) of the picture.
    Inside a triangle the inverse of depth is linear in the picture, so it is what is interpolated
    and compared.
    """
    front, corners, low, high = _fronts(uv, faces, size)
    if not len(front):
        none = np.zeros(0, np.int64)
        return Visible(none, none, none, np.zeros((3, 0)), np.zeros(0))
    # Only the part of the picture where the mesh is: a tenth of it and of the time.
    left, top = low.min(axis=1)
    width, height = high.max(axis=1) - (left, top) + 1
    inverse = 1 / depth[faces[front].T]
    near, slot = np.zeros(width * height), np.empty(width * height, np.int64)
    faces_won, shares_won, count = [], [], 0
    for some in _batches((high - low + 1).prod(axis=0)):
        boxes = _columns(low, some), _columns(high, some)
        shares = _shares(_columns(corners, some))
        row, y, first, last, slope, start = _lines(*shares, *boxes)
        at = some[row]
        closer = _columns(inverse, at)
        rise, base = (closer * slope).sum(axis=0), (closer * start).sum(axis=0)
        line, x = _counted(first, last)
        pixel = ((y - top) * width - left)[line] + x
        closeness = rise[line] * x + base[line]
        np.maximum.at(near, pixel, closeness)
        won = np.flatnonzero(closeness == near[pixel])
        line = line[won]
        # Of two that are equally near, and of a farther one drawn before, the last stays.
        slot[pixel[won]] = np.arange(count, count + len(won))
        count += len(won)
        faces_won.append(front[at[line]])
        shares_won.append(_columns(slope, line) * x[won] + _columns(start, line))
    covered = np.flatnonzero(near)
    pick = slot[covered]
    y, x = np.divmod(covered, width)
    shares = _columns(np.concatenate(shares_won, axis=1), pick)
    return Visible(x + left, y + top, np.concatenate(faces_won)[pick], shares, 1 / near[covered])


def _fronts(
    uv: FloatArray, faces: IntArray, size: tuple[int, int]
) -> tuple[IntArray, FloatArray, IntArray, IntArray]:
    """Triangles that show their front and have a pixel centre in the box around them.

    Their (N,) rows in `faces`, (2, 3, N) coordinates of corners, and (2, N) each: the first and
    the last pixel of the box.
    """
    within = np.where(np.abs(uv) < _FAR, uv, np.nan)
    corners = _columns(within.T, faces.T)
    end = np.array(size)[:, None]
    # y points down, so what turns counter-clockwise has a negative area. NaN is no front.
    front = np.flatnonzero(_area(corners) < -_FLAT)
    corners = _columns(corners, front)
    low = np.clip(np.ceil(corners.min(axis=1)), 0, end).astype(np.int64)
    high = np.clip(np.floor(corners.max(axis=1)), -1, end - 1).astype(np.int64)
    filled = np.flatnonzero((high >= low).all(axis=0))
    boxes = _columns(low, filled), _columns(high, filled)
    return _columns(front, filled), _columns(corners, filled), *boxes


def _batches(pixels: IntArray) -> Iterator[IntArray]:
    """Rows in groups with about `_MOST_PIXELS` pixels, or of one row with more."""
    group = np.cumsum(pixels) // _MOST_PIXELS
    yield from np.split(np.arange(len(pixels)), np.flatnonzero(np.diff(group)) + 1)


def _shares(corners: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """How much of each corner of triangles (2, 3, N) there is at a pixel, (3, N) each: by how much
    it rises with x and with y, and what it is at x = y = 0. It is zero on the edge opposite.
    """
    x, y = corners
    following, last = [1, 2, 0], [2, 0, 1]
    scale = 1 / _area(corners)
    slope_x, slope_y = (y[following] - y[last]) * scale, (x[last] - x[following]) * scale
    return slope_x, slope_y, -(slope_x * x[following] + slope_y * y[following])


def _lines(
    slope_x: FloatArray, slope_y: FloatArray, start: FloatArray, low: IntArray, high: IntArray
) -> tuple[IntArray, IntArray, IntArray, IntArray, FloatArray, FloatArray]:
    """The lines of pixels that make up triangles with `_shares` (3, N).

    low, high: (2, N) first and last pixel of the box around each.
    Of L lines: (L,) triangle, y, first x, last x (before the first where there is none), and (3, L)
    each: by how much a corner's share rises per pixel, and what it is at x = 0.
    A corner's share is zero on the edge opposite, so in a line each edge bounds x on one side.
    """
    row, y = _counted(low[1], high[1])
    slope = _columns(slope_x, row)
    start = _columns(slope_y, row) * y + _columns(start, row)
    with np.errstate(divide="ignore", invalid="ignore"):  # horizontal edges bound no x
        bound = -start / slope
    first = np.where(slope > 0, bound, -np.inf).max(axis=0) - _ON_EDGE
    ends = np.where(slope < 0, bound, np.inf).min(axis=0) + _ON_EDGE
    left, right = low[0, row], high[0, row]
    begin = np.clip(np.ceil(first), left, right + 1).astype(np.int64)
    end = np.clip(np.floor(ends), left - 1, right).astype(np.int64)
    return row, y, begin, end, slope, start


def _counted(first: IntArray, last: IntArray) -> tuple[IntArray, IntArray]:
    """All whole numbers from `first` (N,) to `last` (N,), each with the row that it belongs to."""
    count = np.maximum(last - first + 1, 0)
    row = np.repeat(np.arange(len(count)), count)
    return row, np.arange(len(row)) + np.repeat(first - np.cumsum(count) + count, count)


def _columns(array: NDArray[Scalar], index: IntArray) -> NDArray[Scalar]:
    """array[..., index] in memory as it reads: with plain indexing, the next steps take twice."""
    return np.asarray(np.take(array, index, axis=-1))


def _area(corners: FloatArray) -> FloatArray:
    """(N,) twice the signed area of triangles (2, 3, N)."""
    (ax, bx, cx), (ay, by, cy) = corners
    return np.asarray((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
