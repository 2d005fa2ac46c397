"""A clip on a body of any shape, with its lowest vertex on the floor, y = 0.

With other limb proportions, a path that is only scaled leaves feet in the air, in the floor, or
sliding. So heights are taken from the mesh in every frame that touches the floor, and standing
feet are kept in place.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from kinefit.body.contact import FEET
from kinefit.body.model import BodyModel
from kinefit.geometry import rotations as so3
from kinefit.synth.motion_clip import Clip, hip_height
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData, true_runs

# The truth about contact, from exact motion (`kinefit.body.contact` estimates it from detections):
# a foot stands when it is this near its height in quiet standing, and this slow. A swinging foot
# passes at 3 m/s and 1-2 cm above the floor: height alone does not decide.
_NEAR_M, _SLOW_M_S = 0.03, 0.3
_SPAN_S = 1 / 30  # speeds are taken over this long, at any frame rate

# Paths are computed on this grid, so that positions do not depend on the frames asked for.
_GRID_HZ = 60.0
_FLOOR_S = 1.0  # around a frame: the lowest height of the body in this time is the floor
# The body is in flight when it is higher than this for this long, and falls: when kneeling down,
# the hips are further from their scaled path, but not in free fall.
_TOUCH_M, _LEAST_FLIGHT_S, _LEAST_FALL = 0.015, 0.05, 0.5
_GRAVITY = 9.81
# SD of the smoothing of heights: the lowest vertex jumps from heel to toe, which would bend the
# path of the hips sharply.
_SMOOTH_S = 0.015
# Candidates for the lowest vertex: edges of cubes, and how far up the foot and how far in from
# the fingertips the finer cubes reach.
_CUBE_M, _FINE_M, _FOOT_M, _HAND_M = 0.025, 0.008, 0.08, 0.18
_PIECE = 64  # frames whose vertices are in memory at once


def placed(
    clip: Clip, body: BodyModel, shape: FloatArray, times: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The clip on a body of `shape` (S,): rotations (T, B, 3, 3), translation (T, 3) metres.

    times: (T,) seconds within the clip's span.

    The path of the hips is scaled by their height. Where the body touches the floor, its lowest
    vertex is then put on it; flights (jumps, steps of a run) keep their arcs between touchdown and
    take-off. The common motion of standing points of the feet is removed from the path.

    Times are the clip's: a small body moves as slowly as a large one. Children are faster, by the
    root of the scale (Alexander 1989, Physiol Rev 69(4), dynamic similarity): see `retimed`.
    Raises InvalidData for times outside the clip, or when its joints are not the body's.
    """
    if clip.joint_names != body.joint_names:
        raise InvalidData(f"Clip {clip.name} is not of the joints of body {body.name}.")
    rotations, root = clip.at(times)
    scale = hip_height(body, shape) / clip.hip_height_m
    head = body.rest_joints(shape)[0]
    count = max(int(np.ceil(clip.duration_s * _GRID_HZ)) + 1, 2)
    grid = np.linspace(clip.times[0], clip.times[-1], count)
    correction = _correction(clip, body, shape, grid, scale)
    shift = np.stack([np.interp(times, grid, correction[:, i]) for i in range(3)], axis=-1)
    return rotations, scale * root + shift - head


def contacts(times: FloatArray, feet: FloatArray, standing_m: FloatArray) -> BoolArray:
    """(T, 4) True where points of the feet stand: low and slow, at any frame rate.

    times: (T,) seconds. feet: (T, 4, 3) metres, of `FEET`, the floor at y = 0.
    standing_m: (4,) metres, their heights in quiet standing (`standing_heights`).
    """
    low = feet[..., 1] < standing_m + _NEAR_M
    return np.asarray(low & (_speed(times, feet) < _SLOW_M_S))


def feet_of(
    body: BodyModel, rotations: FloatArray, translation: FloatArray, shape: FloatArray
) -> FloatArray:
    """(T, 4, 3) metres: the points `FEET` of a motion."""
    vertices, pick = _foot_vertices(body)
    return np.asarray(pick @ body.posed_vertices(rotations, translation, shape, vertices))


def standing_heights(body: BodyModel, shape: FloatArray) -> FloatArray:
    """(4,) metres: heights of the points `FEET` when the soles are flat on the floor."""
    vertices, pick = _foot_vertices(body)
    floor = body.rest_vertices(shape)[:, 1].min()
    return np.asarray(pick @ body.rest_vertices(shape, vertices)[:, 1] - floor)


@lru_cache(maxsize=4)
def _foot_vertices(body: BodyModel) -> tuple[IntArray, FloatArray]:
    """(n,) vertices of the points of the feet, and (4, n) their shares."""
    parts = [source for n in FEET if not isinstance(source := body.regressor(n), str)]
    if len(parts) < len(FEET):
        raise InvalidData(f"Body {body.name} has no heels and toes on its mesh.")
    vertices = np.unique(np.concatenate([index for index, _ in parts]))
    pick = np.zeros((len(FEET), len(vertices)))
    for row, (index, share) in zip(pick, parts, strict=True):
        row[np.searchsorted(vertices, index)] = share
    return vertices, pick


@lru_cache(maxsize=4)
def lowest_candidates(body: BodyModel) -> IntArray:
    """(n,) vertices that contain the lowest of any pose, to 5 mm (upright: 1 mm).

    One in each small cube of the rest pose: of 2.5 cm, and of 8 mm for feet and hands, whose edges
    are sharp.
    """
    rest = body.rest_vertices(body.shape.neutral)
    height = rest[:, 1] - rest[:, 1].min()
    out = np.abs(rest[:, 0]) > np.abs(rest[:, 0]).max() - _HAND_M
    edge = np.where((height < _FOOT_M) | out, _FINE_M, _CUBE_M)[:, None]
    cube = np.column_stack([edge / _FINE_M, np.floor(rest / edge)]).astype(np.int64)
    return np.sort(np.unique(cube, axis=0, return_index=True)[1])


def _correction(
    clip: Clip, body: BodyModel, shape: FloatArray, grid: FloatArray, scale: float
) -> FloatArray:
    """(T, 3) metres on the grid, to be added to the scaled path."""
    rotations, root = clip.at(grid)
    translation = scale * root - body.rest_joints(shape)[0]
    low = _lowest(body, rotations, translation, shape)
    out = np.zeros((len(grid), 3))
    out[:, 1] = _to_floor(grid, translation[:, 1], low, _LEAST_FALL * _GRAVITY * scale)
    feet = feet_of(body, rotations, translation, shape) + out[:, None]
    out[:, [0, 2]] = _without_sliding(grid, feet, standing_heights(body, shape))
    return out


def _lowest(
    body: BodyModel, rotations: FloatArray, translation: FloatArray, shape: FloatArray
) -> FloatArray:
    """(T,) metres: the height of the lowest vertex; in pieces, for memory."""
    index = lowest_candidates(body)
    out = [
        body.posed_vertices(rotations[i : i + _PIECE], translation[i : i + _PIECE], shape, index)
        for i in range(0, len(rotations), _PIECE)
    ]
    return np.concatenate([piece[..., 1].min(axis=1) for piece in out])


def _to_floor(grid: FloatArray, root: FloatArray, low: FloatArray, falls: float) -> FloatArray:
    """(T,) metres by which each frame must rise for its lowest vertex to touch the floor.

    root, low: (T,) metres, heights of the root joint and of the lowest vertex. falls: m/s^2, the
        root's mean downward acceleration from which on a body off the floor is in flight.
    """
    rate = (len(grid) - 1) / (grid[-1] - grid[0])
    above = low - minimum_filter1d(low, int(_FLOOR_S * rate) | 1, mode="nearest")
    touching = np.ones(len(grid), dtype=bool)
    velocity = np.gradient(root, grid)
    for first, last in true_runs(above > _TOUCH_M):
        lasted = (last - first) / rate
        fell = velocity[last - 1] - velocity[first]
        if lasted >= _LEAST_FLIGHT_S and fell < -falls * lasted:
            touching[first:last] = False
    rise = np.interp(grid, grid[touching], -low[touching])
    return np.asarray(gaussian_filter1d(rise, _SMOOTH_S * rate, mode="nearest"))


def _without_sliding(grid: FloatArray, feet: FloatArray, standing_m: FloatArray) -> FloatArray:
    """(T, 2) metres along x and z that remove the common motion of standing feet."""
    step = np.diff(feet[..., [0, 2]], axis=0)
    stands = contacts(grid, feet, standing_m)
    both = (stands[:-1] & stands[1:]).astype(np.float64)
    count = both.sum(axis=1)[:, None]
    mean = (step * both[..., None]).sum(axis=1) / np.maximum(count, 1)
    return np.concatenate([np.zeros((1, 2)), -np.cumsum(mean, axis=0)])


def _speed(times: FloatArray, points: FloatArray) -> FloatArray:
    """(T, K) m/s over `_SPAN_S` around each time, or what of it lies within."""
    before = np.maximum(times - _SPAN_S / 2, times[0])
    after = np.minimum(times + _SPAN_S / 2, times[-1])
    columns = points.reshape(len(times), -1).T
    start, end = (np.stack([np.interp(t, times, c) for c in columns], -1) for t in (before, after))
    moved = (end - start).reshape(points.shape)
    return np.asarray(so3.norm(moved) / np.maximum(after - before, 1e-9)[:, None])
