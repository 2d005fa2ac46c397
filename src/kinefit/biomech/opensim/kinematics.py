"""Forward kinematics of a tree of bodies, and the normal equations of inverse kinematics.

All frames at once in numpy: OpenSim's calls take a pose at a time, and a Python call for each
marker. Every joint is a translation along axes in the parent's frame, then three turns; how far, is
a function of a coordinate (OpenSim's CustomJoint; the others are special cases).

The normal equations come without a Jacobian: markers are point masses of their weights on the
bodies, and J^T W J is the mass matrix of that linkage by the composite rigid body algorithm
(Featherstone 2008, Rigid Body Dynamics Algorithms, section 6.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from kinefit.biomech.opensim.functions import Pieces
from kinefit.geometry.rotations import cross, skew
from kinefit.types import BoolArray, FloatArray, IntArray


class LeastSquares(NamedTuple):
    """value (T,): r^T W r in square metres; gradient (T, F): J^T W r, half of its derivative;
    hessian (T, F, F): J^T W J."""

    value: FloatArray
    gradient: FloatArray
    hessian: FloatArray


def blocks(count: int, size: int) -> Iterator[slice]:
    """The numbers below `count`, so many at a time."""
    return (slice(k, k + size) for k in range(0, count, size))


class Kinematics(Protocol):
    """Where markers and bodies are in poses (T, C) of coordinates that are tied already."""

    def positions(self, q: FloatArray) -> FloatArray:
        """(T, M, 3) metres: the markers."""

    def least_squares(
        self, q: FloatArray, tie: FloatArray, weights: FloatArray, target: FloatArray
    ) -> LeastSquares:
        """The sum of the markers' squared distances to `target` (T, M, 3), metres, times `weights`
        (T, M), and its normal equations for F numbers.

        tie: (C, F) or (T, C, F) the coordinates' derivatives by these numbers.
        """

    def bodies(self, q: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Of the B bodies: axes (T, B, 3, 3) as columns, origins and the places of the joints that
        move them, (T, B, 3) metres."""


@dataclass(frozen=True, eq=False)
class Axes:
    """How J joints move: three turns and three translations each, in this order.

    axis: (J, 6, 3). coordinate: (J, 6) that it follows. slope, intercept: (J, 6) of what is a
    straight line (all zero: no motion); curved: (N,) places in the flattened (J, 6) of what is not,
    and the `curves` there.
    """

    axis: FloatArray
    coordinate: IntArray
    slope: FloatArray
    intercept: FloatArray
    curved: IntArray
    curves: Pieces

    def moved(self, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(T, J, 6) radians and metres, and their derivatives by the coordinate of each."""
        x = q[:, self.coordinate.ravel()]
        value = x * self.slope.ravel() + self.intercept.ravel()
        slope = np.tile(self.slope.ravel(), (len(q), 1))
        if self.curved.size:
            value[:, self.curved], slope[:, self.curved] = self.curves(x[:, self.curved])
        shape = (len(q), *self.coordinate.shape)
        return value.reshape(shape), slope.reshape(shape)


@dataclass(frozen=True, eq=False)
class Linkage:
    """J joints, each after its parent's, and what hangs on the bodies that they move.

    Bodies are numbered: 0 is ground, j + 1 what joint j moves.

    axes: the joints' motion. custom: (J,) True where that is of functions, whose translations are
    scaled. parent: (J,) the body that carries each. in_parent: (J, 3, 4) the joint's fixed frame in
    that body, in_child: its moving frame in the body that it moves.
    marker_body, marker_place: (M,), (M, 3) in the body. bodies: (B,) those that are asked for.
    """

    axes: Axes
    custom: BoolArray
    parent: IntArray
    in_parent: FloatArray
    in_child: FloatArray
    marker_body: IntArray
    marker_place: FloatArray
    bodies: IntArray

    def scaled(self, factors: FloatArray) -> Linkage:
        """With bodies of (x, y, z) times their size, (J + 1, 3), as OpenSim scales them: what is in
        a body by its factors, also the translation of a joint on it."""
        in_parent, in_child = self.in_parent.copy(), self.in_child.copy()
        in_parent[..., 3] *= factors[self.parent]
        in_child[..., 3] *= factors[1:]
        axis = self.axes.axis.copy()
        along = axis[:, 3:] ** 2 @ factors[self.parent][..., None]
        axis[:, 3:] *= np.where(self.custom[:, None, None], along, 1.0)
        place = self.marker_place * factors[self.marker_body]
        axes = replace(self.axes, axis=axis)
        return replace(self, axes=axes, in_parent=in_parent, in_child=in_child, marker_place=place)


class Tree:
    """The kinematics of a linkage; see `Kinematics`.

    Inside, every body is its joint's moving frame.
    """

    def __init__(self, linkage: Linkage) -> None:
        self._is, axes = linkage, linkage.axes
        count = len(linkage.parent) + 1
        depth, below = np.zeros(count, int), np.eye(count)
        for j, parent in enumerate(linkage.parent.tolist(), start=1):
            depth[j] = depth[parent] + 1
            below[j] = np.maximum(below[j], below[parent])
        self._levels = [np.flatnonzero(depth == d) for d in range(1, depth.max() + 1)]
        self._spin = skew(axes.axis[:, :3])
        self._spin_twice = self._spin @ self._spin
        self._inside = np.concatenate([np.eye(3, 4)[None], _inverse(linkage.in_child)])
        self._before = _product(self._inside[linkage.parent], linkage.in_parent)
        body = linkage.marker_body
        self._marked = below[body].T  # (J + 1, M) 1 for what the joint moves
        self._stations = np.zeros((count, 4, len(body)))
        place = np.insert(linkage.marker_place, 3, 1.0, axis=1)
        inside = (self._inside[body] @ place[..., None])[..., 0]
        self._stations[body, :, np.arange(len(body))] = np.insert(inside, 3, 1.0, axis=1)
        curved = np.isin(np.arange(axes.slope.size), axes.curved)
        self._moving = np.flatnonzero(curved | (axes.slope.ravel() != 0))
        joint = self._moving // 6 + 1
        # Each pair of motions once, half of it where both are of one joint and come twice.
        self._pairs = below[joint][:, joint] * np.where(joint[:, None] == joint, 0.5, 1.0)

    def positions(self, q: FloatArray) -> FloatArray:
        return self._markers(self._posed(q)[0])

    def bodies(self, q: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        joints = self._posed(q)[0][:, self._is.bodies]
        there = _product(joints, self._inside[self._is.bodies])
        return there[..., :3], there[..., 3], joints[..., 3]

    def least_squares(
        self, q: FloatArray, tie: FloatArray, weights: FloatArray, target: FloatArray
    ) -> LeastSquares:
        frames, axes, slopes = self._posed(q)
        # From the root's place: far from the origin, products of places would lose digits.
        origin = frames[:, 1, :, 3].copy()
        off = self._markers(frames) - target
        pulled = weights[..., None] * off
        frames[..., 3] -= origin[:, None]
        by = tie[..., self._is.axes.coordinate.ravel()[self._moving], :]
        used = np.flatnonzero(by.reshape(-1, *by.shape[-2:]).any((0, 2)))
        by, moving = by[..., used, :], self._moving[used]
        twists = self._twists(frames, axes, moving) * slopes.reshape(len(q), -1)[:, moving, None]
        masses, forces = self._composites(self._markers(frames), weights, pulled)
        joint = moving // 6 + 1
        momenta = (masses[:, joint] @ twists[..., None])[..., 0]
        half = momenta @ twists.swapaxes(1, 2) * self._pairs[np.ix_(used, used)]
        force = np.einsum("tes,tes->te", twists, forces[:, joint])
        return LeastSquares(
            np.einsum("tmi,tmi->t", pulled, off),
            (force[:, None] @ by)[:, 0],
            by.swapaxes(-1, -2) @ (half + half.swapaxes(1, 2)) @ by,
        )

    def _posed(self, q: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Moving frames (T, J + 1, 3, 4) in ground, and the joints' axes in the frames that carry
        them and their motions' derivatives by the coordinate, (T, J, 6, 3) and (T, J, 6)."""
        value, slope = self._is.axes.moved(q)
        before, fixed = self._before, self._is.axes.axis
        sine, cosine = (f(value[..., :3])[..., None, None] for f in (np.sin, np.cos))
        turns = sine * self._spin
        turns += (1 - cosine) * self._spin_twice
        turns += np.eye(3)
        axes = np.tile(fixed, (len(q), 1, 1, 1))
        axes[:, :, 1] = (turns[:, :, 0] @ fixed[:, 1, :, None])[..., 0]
        turned = turns[:, :, 0] @ turns[:, :, 1]
        axes[:, :, 2] = (turned @ fixed[:, 2, :, None])[..., 0]
        step = np.empty((*value.shape[:2], 3, 4))
        step[..., :3] = turned @ turns[:, :, 2]
        step[..., 3] = (value[..., None, 3:] @ fixed[:, 3:])[..., 0, :]
        return self._chained(_product(before, step)), axes @ before[..., :3].swapaxes(1, 2), slope

    def _chained(self, step: FloatArray) -> FloatArray:
        frames = np.zeros((len(step), step.shape[1] + 1, 3, 4))
        frames[:, 0, :, :3] = np.eye(3)
        for level in self._levels:
            carrier = frames[:, self._is.parent[level - 1]]
            frames[:, level] = _product(carrier, step[:, level - 1])
        return frames

    def _markers(self, frames: FloatArray) -> FloatArray:
        count, _, markers = self._stations.shape
        rows = frames.swapaxes(1, 2).reshape(3 * len(frames), 4 * count)
        places = rows @ self._stations.reshape(4 * count, markers)
        return places.reshape(len(frames), 3, markers).swapaxes(1, 2)

    def _twists(self, frames: FloatArray, axes: FloatArray, moving: IntArray) -> FloatArray:
        """(T, E, 6) angular velocity, and velocity at the origin, of each motion at unit speed."""
        joint, turning = moving // 6, moving % 6 < 3
        local = axes.reshape(len(axes), -1, 3)[:, moving]
        carrier = frames[:, self._is.parent[joint], :, :3]
        axis = (carrier @ local[..., None])[..., 0]
        around = cross(frames[..., 3][:, joint + 1], axis)
        turning = turning[:, None]
        return np.concatenate([axis * turning, np.where(turning, around, axis)], axis=-1)

    def _composites(
        self, place: FloatArray, weights: FloatArray, pulled: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Spatial inertia (T, J + 1, 6, 6) of the markers that each joint moves, as masses of their
        weights, and the force (T, J + 1, 6) of what pulls at them."""
        moment = weights[..., None] * place
        second = moment[..., [0, 0, 0, 1, 1, 2]] * place[..., [0, 1, 2, 1, 2, 2]]
        each = [weights[..., None], moment, second, cross(place, pulled), pulled]
        sums = self._marked @ np.concatenate(each, axis=-1)
        inertia = np.zeros((*sums.shape[:2], 6, 6))
        second = sums[..., [[4, 5, 6], [5, 7, 8], [6, 8, 9]]]
        spread = np.trace(second, axis1=-2, axis2=-1)[..., None, None] * np.eye(3)
        inertia[..., :3, :3] = spread - second
        inertia[..., :3, 3:] = skew(sums[..., 1:4])
        inertia[..., 3:, :3] = -inertia[..., :3, 3:]
        inertia[..., 3:, 3:] = sums[..., :1, None] * np.eye(3)
        return inertia, sums[..., 10:]


def _product(outer: FloatArray, inner: FloatArray) -> FloatArray:
    """(..., 3, 4) rotation and translation of frames in frames."""
    product = outer[..., :3] @ inner
    product[..., 3] += outer[..., 3]
    return product


def _inverse(frames: FloatArray) -> FloatArray:
    back = frames[..., :3].swapaxes(-1, -2)
    return np.concatenate([back, -back @ frames[..., 3:]], axis=-1)
