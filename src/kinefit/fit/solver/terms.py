"""What a fit minimises: terms with a residual and its derivative.

A term is one of five kinds, by what it depends on:

    PointTerm           keypoints of the chain, one per residual   derivative by the keypoint
    PoseTerm            local rotations of one pose                derivative by their increments
    ShapeTerm           shape                                      derivative by it
    ConstantVelocity    three poses in a row                       derivative by their increments
    VertexAcceleration  points of the skin in three poses          the chain's, of each pose

Residuals have the shape (T, M, d): M residuals of d components per pose. A robust kernel sees
the squared length over the last axis. Missing data has weight zero and residual zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.fit.solver.chain import Chain, Posed
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.geometry.lie import log_jacobian
from kinefit.geometry.projection import undistort
from kinefit.geometry.robust import L2, Kernel
from kinefit.types import BoolArray, CameraRig, FloatArray, IntArray, InvalidData, all_finite
from kinefit.types.arrays import freeze

Rows = IntArray | slice

NEAR = 0.1  # metres: no camera films a person from nearer


class PointTerm(Protocol):
    """point: (M,) the keypoint of each residual. weight: (T, M) how much each counts."""

    @property
    def point(self) -> IntArray: ...

    @property
    def weight(self) -> FloatArray: ...

    @property
    def kernel(self) -> Kernel: ...

    def residual(self, points: FloatArray, rows: Rows) -> FloatArray:
        """(t, M, d) of keypoints (t, M, 3) metres at the poses `rows`."""
        ...

    def jacobian(self, points: FloatArray, rows: Rows) -> FloatArray:
        """(t, M, d, 3) per metre."""
        ...


class PoseTerm(Protocol):
    """One with a `joint` (M,), all different, has residuals that turn with one joint each."""

    @property
    def kernel(self) -> Kernel: ...

    def residual(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        """(t, M, d) of local rotations (t, F, 3, 3)."""
        ...

    def jacobian(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        """(t, M, d, 3F) per radian of the joints' own increments; with a `joint`, (t, M, d, 3)."""
        ...


class ShapeTerm(Protocol):
    def residual(self, shape: FloatArray) -> FloatArray:
        """(..., M) of shapes (..., S)."""
        ...

    def jacobian(self, shape: FloatArray) -> FloatArray:
        """(..., M, S)."""
        ...


@dataclass(frozen=True, eq=False)
class Objective:
    """The terms of a fit. Its value is half the weighted sum of the kernels' costs.

    offset_spread: metres, one standard deviation of a keypoint's offset; None where none varies.
    shared_weight: how many times the priors of what poses share (shape, offsets) count.
    """

    points: tuple[PointTerm, ...] = ()
    poses: tuple[PoseTerm, ...] = ()
    shapes: tuple[ShapeTerm, ...] = ()
    times: tuple[ConstantVelocity, ...] = ()
    offset_spread: float | None = None
    shared_weight: float = 1.0
    vertices: tuple[VertexAcceleration, ...] = ()


@dataclass(frozen=True, eq=False)
class Reprojection:
    """Pixels of keypoints in calibrated cameras, in standard deviations.

    rig: C cameras. xy: (T, C, K', 2) pixels, NaN where not seen. sigma: (T, C, K') pixels.
    keypoint: (K',) which points of the chain. Residuals are camera by camera: M = C K'.
    kernel: in standard deviations. confidence: (T, C, K') factor of each point's cost; None: one.

    The lens is undone on the observations, once, so that a model point far outside the picture,
    where a lens polynomial folds back, still has a residual that leads it home. A point nearer
    than `NEAR` to a camera's plane, or behind it, is taken at that depth for the same reason.
    """

    rig: CameraRig
    xy: FloatArray
    sigma: FloatArray
    keypoint: IntArray
    kernel: Kernel = field(default_factory=L2)
    confidence: FloatArray | None = None
    point: IntArray = field(init=False)
    weight: FloatArray = field(init=False)
    _ideal: FloatArray = field(init=False)  # (T, C, K', 2) on the plane z = 1
    _scale: FloatArray = field(init=False)  # (T, C, K', 2, 2): from there to sigmas

    def __post_init__(self) -> None:
        T, C, K, _ = self.xy.shape
        if self.sigma.shape != (T, C, K) or len(self.rig) != C or len(self.keypoint) != K:
            raise InvalidData("Reprojection: shapes of xy, sigma, rig and keypoint disagree.")
        ideal = np.stack([undistort(c, self.xy[:, i]) for i, c in enumerate(self.rig)], axis=1)
        seen = all_finite(ideal)
        if not (self.sigma[seen] > 0).all():
            raise InvalidData("Reprojection: a seen point has no positive sigma.")
        K2 = np.stack([c.K[:2, :2] for c in self.rig])[:, None]
        sigma = np.where(seen, self.sigma, 1.0)[..., None, None]
        freeze(
            self,
            point=np.tile(self.keypoint, C),
            weight=_weight(seen, self.confidence).reshape(T, -1),
            _ideal=np.where(seen[..., None], ideal, 0.0),
            _scale=K2 / sigma,
        )

    def residual(self, points: FloatArray, rows: Rows) -> FloatArray:
        x, y, _, _ = self._local(points)
        off = np.stack([x, y], axis=-1) - self._ideal[rows]
        return np.asarray((self._scale[rows] @ off[..., None])[..., 0].reshape(len(points), -1, 2))

    def jacobian(self, points: FloatArray, rows: Rows) -> FloatArray:
        x, y, near, in_front = self._local(points)
        R = np.stack([c.R for c in self.rig])[:, None]  # (C, 1, 3, 3)
        # d(X near) = near (dX - x slope dz): the slope is 1 in front of the near plane.
        slope = np.where(in_front, 1.0, 1 / (near * NEAR) ** 2)
        dz = slope[..., None] * R[..., 2, :]
        plane = np.stack(
            [R[..., 0, :] - x[..., None] * dz, R[..., 1, :] - y[..., None] * dz], axis=-2
        )
        out = self._scale[rows] @ (plane * near[..., None, None])
        return np.asarray(out.reshape(len(points), -1, 2, 3))

    def _local(self, points: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
        """x, y on the plane z = 1, 1 / depth, and whether it is that, of a point in front."""
        C, K = len(self.rig), len(self.keypoint)
        xyz = points.reshape(len(points), C, K, 3)
        R, t = (np.stack([getattr(c, f) for c in self.rig]) for f in ("R", "t"))
        local = xyz @ np.swapaxes(R, -1, -2) + t[:, None]
        depth = local[..., 2]
        in_front = depth > NEAR
        # Nearer than that, 1 / depth goes on along its tangent: the way home is downhill in depth
        # too. (Held at 1 / NEAR, 70 % of bodies 6 m behind their only camera stayed there.)
        near = np.where(in_front, 1 / np.maximum(depth, NEAR), (2 - depth / NEAR) / NEAR)
        return local[..., 0] * near, local[..., 1] * near, near, in_front


@dataclass(frozen=True, eq=False)
class Position:
    """Keypoints' places, in standard deviations.

    xyz: (T, K', 3) metres, NaN where unknown. root: (T, K', 3, 3) or (3, 3)-broadcastable: the
    inverse square root of the covariance, per metre (identity / sigma for equal errors).
    confidence: (T, K') factor of each point's cost; None: one.
    """

    xyz: FloatArray
    root: FloatArray
    point: IntArray
    kernel: Kernel = field(default_factory=L2)
    confidence: FloatArray | None = None
    weight: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        T, K, _ = self.xyz.shape
        root = np.broadcast_to(self.root, (T, K, 3, 3))
        known = all_finite(self.xyz) & np.isfinite(root).all(axis=(-1, -2))
        freeze(
            self,
            xyz=np.where(known[..., None], self.xyz, 0.0),
            root=np.where(known[..., None, None], root, 0.0),
            weight=_weight(known, self.confidence),
        )

    def residual(self, points: FloatArray, rows: Rows) -> FloatArray:
        return np.asarray((self.root[rows] @ (points - self.xyz[rows])[..., None])[..., 0])

    def jacobian(self, points: FloatArray, rows: Rows) -> FloatArray:
        return self.root[rows]


def _weight(known: BoolArray, confidence: FloatArray | None) -> FloatArray:
    return np.where(known, 1.0 if confidence is None else confidence, 0.0)


@dataclass(frozen=True, eq=False)
class Direction:
    """Directions of limbs: unit vectors from detectors against those of the chain.

    unit: (T, K', 3) of length one, world axes; NaN where unknown. sigma: (T, K') radians, small
    angles. point: limbs as differences of keypoints (`PointSum`), any length.
    """

    unit: FloatArray
    sigma: FloatArray
    point: IntArray
    kernel: Kernel = field(default_factory=L2)
    weight: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        known = all_finite(self.unit) & np.isfinite(self.sigma)
        freeze(
            self,
            unit=np.where(known[..., None], self.unit, 0.0),
            sigma=np.where(known, self.sigma, 1.0),
            weight=known.astype(np.float64),
        )

    def residual(self, points: FloatArray, rows: Rows) -> FloatArray:
        return np.asarray((so3.unit(points) - self.unit[rows]) / self.sigma[rows][..., None])

    def jacobian(self, points: FloatArray, rows: Rows) -> FloatArray:
        length = so3.norm(points)[..., None, None]
        u = so3.unit(points)
        across = np.eye(3) - u[..., :, None] * u[..., None, :]
        return np.asarray(across / length / self.sigma[rows][..., None, None])


@dataclass(frozen=True, eq=False)
class RotationPrior:
    """Rotations towards given ones, e.g. those a fit began with, in standard deviations.

    target: (T, F, 3, 3) or (F, 3, 3). sigma: (T, F) or (F,) radians, infinite for joints left
    alone.
    """

    target: FloatArray
    sigma: FloatArray
    kernel: Kernel = field(default_factory=L2)

    @property
    def joint(self) -> IntArray:
        return np.arange(self.target.shape[-3])

    def residual(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        return np.asarray(self._rotvec(rotations, rows) / self._sigma(rows)[..., None])

    def jacobian(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        J = log_jacobian(self._rotvec(rotations, rows))
        return np.asarray(J / self._sigma(rows)[..., None, None])

    def _rotvec(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        target = self.target[rows] if self.target.ndim == 4 else self.target
        return so3.log(np.swapaxes(target, -1, -2) @ rotations)

    def _sigma(self, rows: Rows) -> FloatArray:
        return self.sigma[rows] if self.sigma.ndim == 2 else self.sigma


@dataclass(frozen=True, eq=False)
class ShapePrior:
    """Shape parameters in standard deviations from the neutral ones, times `weight`."""

    neutral: FloatArray
    spread: FloatArray
    weight: float = 1.0

    def residual(self, shape: FloatArray) -> FloatArray:
        return np.asarray(self.weight * (shape - self.neutral) / self.spread)

    def jacobian(self, shape: FloatArray) -> FloatArray:
        J = np.diag(self.weight / self.spread)
        return np.broadcast_to(J, (*shape.shape[:-1], *J.shape))


@dataclass(frozen=True, eq=False)
class Stature:
    """How far the body at rest is from a height, in standard deviations.

    height_m: metres, from the soles to the top of the head. ends: the two vertices that lie
    there. sigma_m: what a tape measure and hair leave open.
    """

    body: BodyModel
    height_m: float
    ends: tuple[int, int]
    sigma_m: float = 0.01

    @classmethod
    def of(cls, body: BodyModel, height_m: float) -> Stature:
        height = body.rest_vertices(body.shape.neutral)[:, 1]
        return cls(body, height_m, (int(height.argmax()), int(height.argmin())))

    def residual(self, shape: FloatArray) -> FloatArray:
        y = self.body.rest_vertices(shape, np.array(self.ends))[..., 1]
        return np.asarray((y[..., 0] - y[..., 1] - self.height_m)[..., None] / self.sigma_m)

    def jacobian(self, shape: FloatArray) -> FloatArray:
        dirs = self.body.vertex_dirs[:, self.ends, 1].astype(np.float64)
        slope = (dirs[:, 0] - dirs[:, 1]) @ self.body.shape.jacobian(shape)
        return np.asarray(slope[..., None, :] / self.sigma_m)


def _relative_rotations(rotations: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """From each pose to the next: rotvec (T-1, F, 3) and its derivatives by both (T-1, F, 3, 3)."""
    rotvec = so3.log(np.swapaxes(rotations[:-1], -1, -2) @ rotations[1:])
    after = log_jacobian(rotvec)
    return rotvec, -np.swapaxes(after, -1, -2), after


def _velocities(state: State, step: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(T-1, 1+F, 3) m/s and rad/s between poses, and derivatives by the earlier and the later."""
    rotvec, before, after = _relative_rotations(state.rotations)
    moved = np.diff(state.translation, axis=0)[:, None]
    unit = np.broadcast_to(np.eye(3), (len(step), 1, 3, 3))
    dt = step[:, None, None]
    velocity = np.concatenate([moved, rotvec], axis=1) / dt
    earlier = np.concatenate([-unit, before], axis=1) / dt[..., None]
    later = np.concatenate([unit, after], axis=1) / dt[..., None]
    return velocity, earlier, later


@dataclass(frozen=True, eq=False)
class ConstantVelocity:
    """Accelerations, from three poses in a row, over their standard deviation.

    time: (T,) seconds. sigma: (1 + F,) m/s^2 of the translation, rad/s^2 of each joint.
    joined: (T - 1,) 1 where two neighbours belong together, 0 across a cut.
    """

    time: FloatArray
    sigma: FloatArray
    joined: FloatArray
    reach: int = 2

    def residual(self, state: State) -> FloatArray:
        """(T - 2, 1 + F, 3): the translation's, then the joints'."""
        velocity, _, _ = _velocities(state, np.diff(self.time))
        return np.diff(velocity, axis=0) * self._factor()[..., None]

    def jacobian(self, state: State) -> FloatArray:
        """(T - 2, 1 + F, 3, 3, 3) by the increments of the three poses."""
        _, earlier, later = _velocities(state, np.diff(self.time))
        by = np.stack([-earlier[:-1], earlier[1:] - later[:-1], later[1:]], axis=2)
        return by * self._factor()[..., None, None, None]

    def _factor(self) -> FloatArray:
        """(T - 2, 1 + F)."""
        return np.asarray(_per_change(self.time, self.joined)[:, None] / self.sigma)


def _per_change(time: FloatArray, joined: FloatArray) -> FloatArray:
    """(T - 2,) from changes of velocity to accelerations, 1 / s; 0 across a cut."""
    step = np.diff(time)
    return np.asarray(2 * joined[:-1] * joined[1:] / (step[:-1] + step[1:]))


_SURFACE = 40  # vertices that stand for all


@dataclass(frozen=True, eq=False)
class VertexAcceleration:
    """Accelerations of the skin: of vertices spread evenly over it, over their deviation.

    A script for SMPL bodies (docs/body.md) sums the distance that each vertex goes from frame to
    frame, and so holds back whoever walks; here steady motion costs nothing. In joints' angles
    this is a joint's acceleration times its lever together with its ancestors': a wrist that makes
    up for a shaking elbow halves the cost, where `ConstantVelocity` counts both.

    chain: carries the vertices, by the joints that vary. time: (T,) seconds. sigma: m/s^2.
    joined: (T - 1,) 1 where two neighbours belong together, 0 across a cut.
    """

    chain: Chain
    time: FloatArray
    sigma: float
    joined: FloatArray
    reach: int = 2

    @classmethod
    def chain_of(cls, chain: Chain) -> Chain:
        """The same joints with the vertices as points: each the farthest from those before it."""
        rest = chain.body.rest_vertices(chain.shape.neutral)
        chosen = [int(rest[:, 1].argmax())]
        distance = so3.norm(rest - rest[chosen[0]])
        while len(chosen) < min(_SURFACE, len(rest)):
            chosen.append(int(distance.argmax()))
            distance = np.minimum(distance, so3.norm(rest - rest[chosen[-1]]))
        sources = {f"vertex {v}": (np.array([v]), np.ones(1)) for v in chosen}
        body = replace(chain.body, regressors={**chain.body.regressors, **sources})
        return Chain.of(body, chain.joint_names, {name: {name: 1.0} for name in sources})

    def residual(self, state: State) -> FloatArray:
        """(T - 2, M, 3)."""
        x = self._posed(state).points
        c = self.coefficients[..., None, None]
        return np.asarray(c[:, 0] * x[:-2] + c[:, 1] * x[1:-1] + c[:, 2] * x[2:])

    def point_jacobian(self, state: State) -> FloatArray:
        """(T, M, 3, 3 + 3F) metres by the increments of each pose; see `coefficients`."""
        return self._posed(state).jacobian

    @property
    def coefficients(self) -> FloatArray:
        """(T - 2, 3) of the places in three poses in a row, per metre: the second difference."""
        step = np.diff(self.time)
        by = np.stack([1 / step[:-1], -1 / step[:-1] - 1 / step[1:], 1 / step[1:]], axis=-1)
        return np.asarray(by * _per_change(self.time, self.joined)[:, None] / self.sigma)

    def _posed(self, state: State) -> Posed:
        return replace(state, offset=np.zeros((len(self.chain.point_names), 3))).posed(self.chain)
