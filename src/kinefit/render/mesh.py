"""A posed mesh drawn into a picture as a camera sees it, without a graphics card or a display.

The mesh of a body has triangles of about a pixel, so a loop over them would take longer than all
else. Here triangles are cut into lines of pixels and those into pixels, all in lists of numpy
arrays, short enough for the cache, and the nearest triangle at each pixel is kept. Anny's 27,420
triangles in a picture of 540 x 960 where it covers 67,000 pixels: 9 ms of a busy machine's
processor from vertices to the finished picture (12 where every line is tried with all three edges).
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
from kinefit.types import BoolArray, Camera, FloatArray, IntArray, InvalidData

_SKIN = rgb(SKIN)
_AMBIENT = 0.3
_TO_LIGHT = (-0.35, -0.55, -0.76)  # camera axes: behind the viewer, above the left shoulder
# Pixels. Both neighbours of an edge may have a pixel whose centre lies on it, but not none of them,
# or rounding would leave holes.
_ON_EDGE = 1e-7
_FAR = 1e7  # pixels: a corner beyond is so near the camera's plane that rounding shows, or broken
_LEVEL = 1e-9  # the least height of an edge whose slope is computed: no line has a second on it
_FLAT = 1e-12  # square pixels: thinner triangles are seen edge on, and their slopes overflow
_MOST_PIXELS = 2**18  # of boxes of triangles at once: arrays stay in the cache

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
        self._faces, self._opacity = np.asfortranarray(faces), opacity  # read corner by corner
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
        a, b, c = np.take(vertices.T.astype(np.float32), self._faces.T, axis=1).swapaxes(0, 1)
        ab, ac = b - a, c - a
        cross = np.stack([ab[i - 2] * ac[i - 1] - ab[i - 1] * ac[i - 2] for i in range(3)])
        # A triangle that is not drawn must not darken its neighbours by NaN.
        np.nan_to_num(cross, copy=False)
        normal = np.stack([self._around @ along for along in cross])
        toward = (so3.unit(np.array(_TO_LIGHT)) @ camera.R).astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            cosine = (toward @ normal) / np.sqrt((normal * normal).sum(axis=0))
        return np.asarray(_AMBIENT + (1 - _AMBIENT) * np.maximum(np.nan_to_num(cosine), 0))

    def _blend(
        self,
        picture: Picture,
        corner: IntArray,
        covered: BoolArray,
        face: IntArray,
        light: FloatArray,
    ) -> None:
        """Lay the surface (see `_surface`) over the part of the picture where it is.

        A pixel of the outline counts by how many of the nine pixels around it are covered.
        """
        part = picture[corner[1] :, corner[0] :][: covered.shape[0], : covered.shape[1]]
        shown = np.take(self._color, face, axis=1) * light
        color = np.zeros((3, *covered.shape), np.uint8)
        for channel, value in zip(color, np.rint(shown, out=shown).astype(np.uint8), strict=True):
            channel[covered] = value
        share = covered.astype(np.float32)
        share *= cv2.blur(share, (3, 3), borderType=cv2.BORDER_CONSTANT) * self._opacity
        part[:] = cv2.blendLinear(part, cv2.merge(list(color)), 1 - share, share)


def _surface(
    uv: FloatArray, depth: FloatArray, light: FloatArray, faces: IntArray, size: tuple[int, int]
) -> tuple[IntArray, BoolArray, IntArray, FloatArray] | None:
    """What is seen of a mesh of small triangles: each laid over those that are farther away.

    The upper left pixel (2,) of the part of the picture where the mesh is; (h, w) which pixels
    there it covers; of these, row by row, (N,) the triangle and (N,) the light. None if none is.
    Triangles are compared by the depth of their middle: no depth is needed at a pixel, and where
    two of a body's pass through each other, the edge is off by less than one of them.
    """
    front, corners, low, high = _fronts(uv, faces, size)
    if not len(front):
        return None
    far = _farthest_first(np.take(depth, faces[front]).sum(axis=1))
    front, corners = _columns(front, far), _columns(corners, far)
    low, high = _columns(low, far), _columns(high, far)
    left, top = low.min(axis=1)
    width, height = high.max(axis=1) - (left, top) + 1
    slot = np.full(width * height, -1, np.int32)
    for some in _batches((high - low + 1).prod(axis=0)):
        row, y, first, last = _lines(_columns(corners, some), size)
        begin = (y - top) * width - left
        line, pixel = _counted(begin + first, begin + last)
        slot[pixel] = np.take(some[row], line)  # of several at one pixel the last stays
    shares = _shares(corners)
    covered = slot >= 0
    pixel = np.flatnonzero(covered)
    nearest = np.take(slot, pixel).astype(np.int64)
    y = pixel // width
    x = pixel - y * width
    bright = np.take(light, np.take(faces.T, front, axis=1))
    along_x, along_y, start = (np.take((bright * each).sum(axis=0), nearest) for each in shares)
    shade = along_x * (x + left) + along_y * (y + top) + start
    corner, covered = low.min(axis=1), covered.reshape(height, width)
    return corner, covered, np.take(front, nearest), shade.astype(np.float32)


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
        mine = _columns(corners, some)
        row, y, first, last = _lines(mine, size)
        slope, slope_y, start = (_columns(each, row) for each in _shares(mine))
        start += slope_y * y
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


def _farthest_first(depth: FloatArray) -> IntArray:
    """The order of (N,) depths, in 65,536 steps: those of a body are hundredths of a millimetre."""
    most = depth.max()
    steps = (most - depth) * (65535 / max(most - depth.min(), _LEVEL))
    return np.argsort(steps.astype(np.uint16), kind="stable")  # by digits: a tenth of the time


def _lines(
    corners: FloatArray, size: tuple[int, int]
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """The lines of pixels that make up triangles (2, 3, N) in a picture of `size`.

    Of L lines: (L,) triangle, y, first x, last x (before the first where there is none).
    Above the height of its middle corner, and from there on, a triangle has one edge on the left
    and one on the right: it is two lists of lines between two edges, of which either may be empty.
    """
    (ax, bx, cx), (ay, by, cy) = _by_height(corners)
    turn = np.maximum(np.ceil(by), 0)
    first = np.stack([np.maximum(np.ceil(ay), 0), turn])
    row, y = _counted(first[0], np.minimum(np.floor(cy), size[1] - 1))
    # Of each list, at its first line and from line to line: x on the edge from the highest to the
    # lowest corner, and on the other.
    along = (cx - ax) / np.maximum(cy - ay, _LEVEL)
    steep = (bx - ax) / np.maximum(by - ay, _LEVEL), (cx - bx) / np.maximum(cy - by, _LEVEL)
    edge = ax + (first - ay) * along, (along, along)
    other = (ax + (first[0] - ay) * steep[0], bx + (first[1] - by) * steep[1]), steep
    on_left = bx > ax + (by - ay) * along  # the long edge
    part = row + len(ax) * (y >= np.take(turn, row))
    down = y - np.take(first, part)
    left, right = (
        np.take(np.where(on_left, a[0], b[0]), part)
        + np.take(np.where(on_left, a[1], b[1]), part) * down
        for a, b in ((edge, other), (other, edge))
    )
    begin = np.maximum(np.ceil(left - _ON_EDGE), 0).astype(np.int32)
    end = np.minimum(np.floor(right + _ON_EDGE), size[0] - 1).astype(np.int32)
    return row, y, begin, end


def _by_height(corners: FloatArray) -> tuple[list[FloatArray], list[FloatArray]]:
    """x and y (N,) of the highest, the middle and the lowest corner of triangles (2, 3, N)."""
    x, y = list(corners[0]), list(corners[1])
    for i, j in ((0, 1), (1, 2), (0, 1)):
        swap = y[i] > y[j]
        x[i], x[j] = np.where(swap, x[j], x[i]), np.where(swap, x[i], x[j])
        y[i], y[j] = np.minimum(y[i], y[j]), np.maximum(y[i], y[j])
    return x, y


def _counted(first: NDArray[np.number], last: NDArray[np.number]) -> tuple[IntArray, IntArray]:
    """All whole numbers from `first` (N,) to `last` (N,), each with the row that it belongs to."""
    count = np.maximum(last - first + 1, 0).astype(np.int64)
    row = np.repeat(np.arange(len(count)), count)
    ahead = (first - np.cumsum(count) + count).astype(np.int64)
    return row, np.arange(len(row)) + np.take(ahead, row)  # half of another repeat's time


def _columns(array: NDArray[Scalar], index: IntArray) -> NDArray[Scalar]:
    """array[..., index] in memory as it reads: with plain indexing, the next steps take twice."""
    return np.asarray(np.take(array, index, axis=-1))


def _area(corners: FloatArray) -> FloatArray:
    """(N,) twice the signed area of triangles (2, 3, N)."""
    (ax, bx, cx), (ay, by, cy) = corners
    return np.asarray((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
