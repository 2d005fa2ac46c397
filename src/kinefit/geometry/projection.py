"""Cameras: points to pixels, pixels to rays, and the derivative; one camera or a whole rig."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kinefit.geometry.lens import Lens
from kinefit.types import BoolArray, Camera, CameraRig, FloatArray, InvalidData

_Rows = slice | list[int]
_LensWork = Callable[[Lens, _Rows], tuple[FloatArray, ...]]


def focal_from_fov(fov_rad: float, image_size: tuple[int, int]) -> float:
    """Focal length in pixels of a lens that sees `fov_rad` across the longer image side.

    Raises InvalidData unless 0 < fov_rad < pi.
    """
    if not 0 < fov_rad < np.pi:
        raise InvalidData(f"A field of view of {np.degrees(fov_rad):g} degrees is not in 0-180.")
    return float(max(image_size) / 2 / np.tan(fov_rad / 2))


def fov_from_focal(focal_px: float, image_size: tuple[int, int]) -> float:
    """Radians seen across the longer image side: the inverse of `focal_from_fov`."""
    return float(2 * np.arctan(max(image_size) / 2 / focal_px))


def intrinsics(focal_px: float, image_size: tuple[int, int]) -> FloatArray:
    """K (3, 3) of square pixels with the principal point at the image's centre.

    Pixel centres are at integers, so the centre of `image_size` (width, height) is at
    ((width - 1) / 2, (height - 1) / 2).
    """
    width, height = image_size
    return np.array(
        [[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1]], np.float64
    )


def rays(K: FloatArray, xy: FloatArray) -> FloatArray:
    """Viewing rays (..., 3), camera axes, scaled to z = 1, of undistorted pixels `xy` (..., 2)."""
    homogeneous = np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)
    return np.asarray(homogeneous @ np.linalg.inv(K).T)


def to_camera(camera: Camera, xyz: FloatArray) -> FloatArray:
    """World points (..., 3) metres in the camera's axes."""
    return np.asarray(xyz @ camera.R.T + camera.t)


def project(camera: Camera, xyz: FloatArray) -> FloatArray:
    """Pixels (..., 2), through the lens, of world points (..., 3) metres.

    NaN behind the camera, and where a lens polynomial would fold the picture back into itself.
    """
    return np.asarray(project_rig(CameraRig((camera,)), xyz)[0])


def project_rig(rig: CameraRig, xyz: FloatArray) -> FloatArray:
    """Pixels (C, ..., 2) of world points (..., 3) in each camera of the rig; NaN as `project`."""
    u, v = RigOptics.of(rig).project(xyz.reshape(-1, 3).T)
    return np.stack([u, v], axis=-1).reshape(len(rig), *xyz.shape[:-1], 2)


def undistort(camera: Camera, xy: FloatArray) -> FloatArray:
    """(..., 2) on the plane z = 1 in camera axes, of pixels `xy` (..., 2), the lens undone.

    NaN for pixels that the lens sends no ray to.
    """
    x, y = RigOptics.of(CameraRig((camera,))).undistort(xy.reshape(1, -1, 2))
    return np.stack([x[0], y[0]], axis=-1).reshape(xy.shape)


def without_lens(camera: Camera, xy: FloatArray) -> FloatArray:
    """Pixels (..., 2) as the camera would have them without distortion; NaN where it has none."""
    if not camera.bends:
        return xy
    plane = undistort(camera, xy.reshape(-1, 2)).reshape(xy.shape)
    return np.asarray(plane @ camera.K[:2, :2].T + camera.K[:2, 2])


def meeting(
    from_a: FloatArray,
    along_a: FloatArray,
    from_b: FloatArray,
    along_b: FloatArray,
    parallel: float,
) -> tuple[FloatArray, FloatArray]:
    """Where pairs of rays come nearest: the points (3, ...) on each.

    from_a, from_b: (3, ...) origins. along_a, along_b: (3, ...) unit directions. All broadcast.
    NaN where the squared sine between the two is not above `parallel`, and where they meet behind
    an origin.
    """
    base = from_b - from_a
    cosine = (along_a * along_b).sum(axis=0)
    on_a, on_b = (base * along_a).sum(axis=0), (base * along_b).sum(axis=0)
    square = 1 - cosine * cosine
    square = np.where(square > parallel, square, np.nan)
    reach_a, reach_b = (on_a - cosine * on_b) / square, (cosine * on_a - on_b) / square
    ahead = (reach_a > 0) & (reach_b > 0)
    reach_a, reach_b = np.where(ahead, reach_a, np.nan), np.where(ahead, reach_b, np.nan)
    return np.asarray(from_a + reach_a * along_a), np.asarray(from_b + reach_b * along_b)


@dataclass(frozen=True, eq=False)
class Seen:
    """Points as a rig sees them, kept between `look` and `jacobian`.

    x, y: (C, N) on the plane z = 1, before the lens. depth: (C, N) metres, NaN behind a camera.
    lens: (C, N) each, the lens's derivative there.
    """

    x: FloatArray
    y: FloatArray
    depth: FloatArray
    lens: tuple[FloatArray, FloatArray, FloatArray]

    def only(self, used: BoolArray) -> Seen:
        """The same with harmless numbers where a view is not used: weight 0 times NaN is NaN."""
        if used.all():
            return self
        x, y = (np.where(used, n, 0.0) for n in (self.x, self.y))
        a, b, d = (np.where(used, n, 0.0) for n in self.lens)
        return Seen(x, y, np.where(used, self.depth, 1.0), (a, b, d))


@dataclass(frozen=True, eq=False)
class RigOptics:
    """A rig's cameras as stacked arrays: what is computed for many points at once runs on these.

    Arrays are laid out (C, N) per coordinate, not (N, C, 2): on the sizes of one clip (4 cameras,
    2,600 points) that is three times as fast, because each step is one pass over memory in order.
    """

    R: FloatArray
    t: FloatArray
    K: FloatArray
    lenses: tuple[tuple[_Rows, Lens], ...]

    @classmethod
    def of(cls, rig: CameraRig) -> RigOptics:
        kinds = [c.fisheye for c in rig]
        lenses: list[tuple[_Rows, Lens]] = []
        for kind in sorted(set(kinds)):
            rows = [i for i, k in enumerate(kinds) if k == kind]
            lens = Lens.of([rig.cameras[i] for i in rows])
            lenses.append((slice(None) if len(rows) == len(kinds) else rows, lens))
        R, t, K = (np.stack([getattr(c, f) for c in rig]) for f in ("R", "t", "K"))
        return cls(R, t, K, tuple(lenses))

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Pixels u, v (C, N) of world points (3, N); NaN behind a camera."""
        x, y, _ = self._local(points)
        u, v = self._each(lambda lens, rows: lens.distort(x[rows], y[rows]), x.shape)
        return self._pixels(u, v)

    def look(self, points: FloatArray) -> tuple[FloatArray, FloatArray, Seen]:
        """As `project`, with what `slopes` and `jacobian` need."""
        x, y, depth = self._local(points)
        u, v, a, b, d = self._each(
            lambda lens, rows: lens.distort_derivative(x[rows], y[rows]), x.shape
        )
        return *self._pixels(u, v), Seen(x, y, depth, (a, b, d))

    def _local(self, points: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """x, y on the plane z = 1 and depth, (C, N) each, NaN behind a camera."""
        local = np.matmul(self.R, points)
        local += self.t[:, :, None]
        depth = np.where(local[:, 2] > 0, local[:, 2], np.nan)
        near = 1 / depth
        return local[:, 0] * near, local[:, 1] * near, depth

    def slopes(self, seen: Seen) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """(C, N) each: du/dx, du/dy, dv/dx, dv/dy over depth, with x, y before the lens.

        In a camera's own axes du/dX is (du/dx, du/dy, -x du/dx - y du/dy), and so for v.
        """
        a, b, d = seen.lens
        near = 1 / seen.depth
        fx, skew, fy = (self.K[:, i, j, None] for i, j in ((0, 0), (0, 1), (1, 1)))
        across, down = fx * near, fy * near
        ux, uy = across * a, across * b
        if skew.any():
            ux, uy = ux + skew * near * b, uy + skew * near * d
        return ux, uy, down * b, down * d

    def jacobian(self, seen: Seen) -> tuple[FloatArray, FloatArray]:
        """du/dX, dv/dX (C, 3, N) pixels per metre at the points of an earlier `look`."""
        ux, uy, vx, vy = (s[:, None] for s in self.slopes(seen))
        R = self.R[..., None]
        dx, dy = R[:, 0] - seen.x[:, None] * R[:, 2], R[:, 1] - seen.y[:, None] * R[:, 2]
        return ux * dx + uy * dy, vx * dx + vy * dy

    def undistort(self, xy: FloatArray) -> tuple[FloatArray, FloatArray]:
        """x, y (C, N) on the plane z = 1 of pixels (C, N, 2), the lens undone."""
        y = (xy[..., 1] - self.K[:, 1, 2, None]) / self.K[:, 1, 1, None]
        x = (xy[..., 0] - self.K[:, 0, 2, None] - self.K[:, 0, 1, None] * y) / self.K[:, 0, 0, None]
        x, y = self._each(lambda lens, rows: lens.undistort(x[rows], y[rows]), x.shape)
        return x, y

    def _pixels(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        K = self.K[:, :, :, None]
        u = K[:, 0, 0] * x + K[:, 0, 2]
        if self.K[:, 0, 1].any():
            u += K[:, 0, 1] * y
        return u, K[:, 1, 1] * y + K[:, 1, 2]

    def _each(self, work: _LensWork, shape: tuple[int, ...]) -> tuple[FloatArray, ...]:
        """`work(lens, rows)` for each lens model, its results put into arrays of `shape`."""
        if len(self.lenses) == 1:
            rows, lens = self.lenses[0]
            return work(lens, rows)
        out: tuple[FloatArray, ...] = ()
        for rows, lens in self.lenses:
            parts = work(lens, rows)
            out = out or tuple(np.empty(shape) for _ in parts)
            for whole, part in zip(out, parts, strict=True):
                whole[rows] = part
        return out
