"""What a fit varies: poses, one shape or one per pose, and offsets of keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from kinefit.fit.solver.chain import Chain, Posed
from kinefit.geometry import rotations as so3
from kinefit.types import BodyMotion, BoolArray, FloatArray, IntArray, Timeline


@dataclass(frozen=True, eq=False)
class State:
    """T poses of a chain.

    rotations: (T, F, 3, 3) local. translation: (T, 3) metres.
    shape: (S,), shared by all poses, or (T, S).
    offset: (K, 3) metres: of each keypoint in the rest axes of what carries it; see `Posed`.
    coordinates: (T, P) what the poses were made from, where that is varied (`Coordinates`).
    """

    rotations: FloatArray
    translation: FloatArray
    shape: FloatArray
    offset: FloatArray
    coordinates: FloatArray | None = None

    @classmethod
    def rest(cls, chain: Chain, count: int, *, shape_each: bool = False) -> State:
        """`count` rest poses of the neutral shape at the origin."""
        F, K = len(chain.joint_names), len(chain.point_names)
        neutral = chain.shape.neutral
        return cls(
            rotations=np.broadcast_to(np.eye(3), (count, F, 3, 3)).copy(),
            translation=np.zeros((count, 3)),
            shape=np.tile(neutral, (count, 1)) if shape_each else neutral.copy(),
            offset=np.zeros((K, 3)),
        )

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def shape_each(self) -> bool:
        return self.shape.ndim == 2

    def at(self, rows: IntArray | slice) -> State:
        """Some of the poses."""
        return replace(self, **{name: values[rows] for name, values in self._by_pose().items()})

    def with_rows(self, rows: IntArray | slice, other: State) -> State:
        """These poses taken from `other`, whose shape and offsets are this state's own."""
        mine = {name: values.copy() for name, values in self._by_pose().items()}
        for name, values in mine.items():
            values[rows] = getattr(other, name)
        return replace(self, **mine)

    def _by_pose(self) -> dict[str, FloatArray]:
        """The arrays that have a row for each pose."""
        out = {"rotations": self.rotations, "translation": self.translation}
        if self.shape_each:
            out["shape"] = self.shape
        if self.coordinates is not None:
            out["coordinates"] = self.coordinates
        return out

    def body_rotations(self, chain: Chain) -> FloatArray:
        """(T, B, 3, 3) local rotations of all the body's joints; at rest where the chain has none.

        NaN in poses that are NaN.
        """
        out = np.broadcast_to(np.eye(3), (len(self), len(chain.body.joint_names), 3, 3)).copy()
        out[:, chain.joint_index] = self.rotations
        out[np.isnan(self.translation).any(axis=1)] = np.nan
        return out

    def motion(self, chain: Chain, timeline: Timeline) -> BodyMotion:
        """The poses of a state with one shape, in the frames of the timeline."""
        return BodyMotion(
            chain.body.name, timeline, chain.body.joint_names, self.body_rotations(chain),
            self.translation, self.shape, chain.shape.names,
        )  # fmt: skip

    @classmethod
    def joined(cls, states: Sequence[State]) -> State:
        """The poses of all, one after the other, each with its shape; offsets of the first."""
        first = states[0]
        parts = {n: np.concatenate([getattr(s, n) for s in states]) for n in first._by_pose()}
        return replace(first, **parts)

    def with_shape_each(self) -> State:
        """The same with a shape for every pose."""
        shape = self.shape if self.shape_each else np.tile(self.shape, (len(self), 1))
        return replace(self, shape=shape)

    def carried(self, chain: Chain, R: FloatArray, shift: FloatArray) -> State:
        """The poses moved as wholes: each point x to R x + shift, (3, 3) and (3,) or one each."""
        root = chain.body.rest_joints(self.shape)[..., 0, :]
        rotations = self.rotations.copy()
        rotations[:, 0] = R @ rotations[:, 0]
        place = (R @ (root + self.translation)[..., None])[..., 0] + shift - root
        return replace(self, rotations=rotations, translation=place)

    def among(self, count: int, rows: IntArray) -> State:
        """`count` poses: these at `rows`, NaN elsewhere."""
        parts = {
            name: np.full((count, *v.shape[1:]), np.nan) for name, v in self._by_pose().items()
        }
        return replace(self, **parts).with_rows(rows, self)

    def posed(self, chain: Chain) -> Posed:
        return Posed(chain, self.rotations, self.translation, self.shape, self.offset)


class Coordinates(Protocol):
    """Poses as a function of other numbers than their joints' angles: parameters of a rig.

    The numbers of T poses are `State.coordinates`; `size` of them vary.
    """

    @property
    def size(self) -> int: ...

    def basis(self, state: State) -> FloatArray:
        """(T, 3 + 3F, size) translation, and increments of the joints in their own axes."""
        ...

    def moved(self, state: State, step: FloatArray) -> State:
        """The poses with their numbers moved by a step (T, size)."""
        ...


@dataclass(frozen=True, eq=False)
class Variables:
    """What may vary, and in which order it stands in the normal equations.

    Per pose: translation (if `translation`), the rotations of `joints`, the shape (if "each").
    Shared by all: the shape (if "shared"), the offsets of `offsets`.

    joints: (F,) which joints turn. offsets: places of the keypoints whose offset varies.
    coordinates: then these vary instead of translation and rotations, and poses are independent.
    """

    chain: Chain
    joints: BoolArray
    translation: bool = True
    shape: Literal["fixed", "shared", "each"] = "fixed"
    offsets: tuple[int, ...] = ()
    coordinates: Coordinates | None = None

    @classmethod
    def poses(
        cls,
        chain: Chain,
        shape: Literal["fixed", "shared", "each"] = "fixed",
        offsets: tuple[int, ...] = (),
    ) -> Variables:
        """All joints and the translation."""
        return cls(chain, np.ones(len(chain.joint_names), dtype=bool), True, shape, offsets)

    @property
    def shape_count(self) -> int:
        return len(self.chain.shape.names)

    @property
    def columns(self) -> IntArray:
        """Which of the 3 + 3F pose columns are varied."""
        blocks = np.concatenate([[self.translation], self.joints])
        return np.flatnonzero(np.repeat(blocks, 3))

    @property
    def joint_column(self) -> IntArray:
        """(F,) the first of each joint's three columns among those varied; -1 where it is held."""
        first = 3 * (int(self.translation) + np.cumsum(self.joints) - 1)
        return np.where(self.joints, first, -1)

    @property
    def frame_size(self) -> int:
        if self.coordinates is not None:
            return self.coordinates.size
        return len(self.columns) + (self.shape_count if self.shape == "each" else 0)

    @property
    def shared_size(self) -> int:
        return 3 * len(self.offsets) + (self.shape_count if self.shape == "shared" else 0)

    def held(
        self, state: State, gradient: FloatArray, shared_gradient: FloatArray
    ) -> tuple[BoolArray, BoolArray]:
        """Which variables are at a bound that the objective pushes them against.

        (T, frame_size) and (shared_size,). Without these a step is the one of least squares in
        the others, and the bound is not stepped over (Kelley 1999, Iterative Methods for
        Optimization, section 5.5: projected Newton).
        """
        frame = np.zeros(gradient.shape, dtype=bool)
        shared = np.zeros(shared_gradient.shape, dtype=bool)
        if self.shape == "fixed":
            return frame, shared
        S, space = self.shape_count, self.chain.shape
        slope = gradient[:, -S:] if self.shape == "each" else shared_gradient[:S]
        low, high = state.shape <= space.lower, state.shape >= space.upper
        held = (low & (slope > 0)) | (high & (slope < 0))
        if self.shape == "each":
            frame[:, -S:] = held
        else:
            shared[:S] = held
        return frame, shared

    def moved(self, state: State, frame: FloatArray, shared: FloatArray) -> State:
        """The state after the step of a solution: frame (T, frame_size), shared (shared_size,).

        Rotations turn in their own axes, the rest is added; shapes stay within their bounds.
        """
        if self.coordinates is not None:
            return self.coordinates.moved(state, frame)
        T, F, n, space = len(frame), len(self.joints), len(self.columns), self.chain.shape
        pose = np.zeros((T, 3 + 3 * F))
        pose[:, self.columns] = frame[:, :n]
        shape, offset = state.shape, state.offset.copy()
        if self.shape != "fixed":
            step = frame[:, n:] if self.shape == "each" else shared[: self.shape_count]
            shape = np.clip(shape + step, space.lower, space.upper)
        if self.offsets:
            offset[list(self.offsets)] += shared[-3 * len(self.offsets) :].reshape(-1, 3)
        return State(
            rotations=state.rotations @ so3.exp(pose[:, 3:].reshape(T, F, 3)),
            translation=state.translation + pose[:, :3],
            shape=shape,
            offset=offset,
        )
