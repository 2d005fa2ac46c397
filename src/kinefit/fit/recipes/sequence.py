"""One body through a sequence: the schedule that recipes for clips, markers and capture share.

1. The shape, from keyframes: errors of a detector last, and a hundred frames of a second say little
   more than ten.
2. The same with offsets of the keypoints: where a detector or a marker is on this body.
3. All poses with this shape and these offsets, in windows that overlap, so that memory is bounded
   and cost linear.

What a recipe adds is its terms, where the poses begin, and which frames are keyframes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import (
    ConstantVelocity,
    Objective,
    PointTerm,
    PoseTerm,
    ShapeTerm,
    VertexAcceleration,
)
from kinefit.types import FloatArray, IntArray


@dataclass(frozen=True)
class Smoothness:
    """Accelerations of people, and across what poses are not coupled.

    m_s2, rad_s2: one standard deviation, of the translation and of each joint, at 60 frames per
    second. time: (N,) seconds of the poses. joined: (N - 1,) 1 where two neighbours belong
    together, 0 across a cut or a pause. skin_m_s2: the same of the body's vertices; above zero it
    stands for both others.
    """

    m_s2: float
    rad_s2: float
    time: FloatArray
    joined: FloatArray
    skin_m_s2: float = 0.0

    def added(self, objective: Objective, chain: Chain, part: slice) -> Objective:
        """With the term of the poses `part` of the sequence."""
        time = self.time[part]
        joined = self.joined[part][: len(time) - 1]
        # A sum over frames stands for an integral over time: at twice the rate, each counts half.
        share = float(np.sqrt(np.median(np.diff(time)) * 60)) if len(time) > 1 else 1.0
        if self.skin_m_s2 > 0:
            skin = VertexAcceleration.chain_of(chain)
            vertices = VertexAcceleration(skin, time, self.skin_m_s2 / share, joined)
            return replace(objective, vertices=(vertices,))
        sigma = np.append(self.m_s2, np.full(len(chain.joint_names), self.rad_s2))
        return replace(objective, times=(ConstantVelocity(time, sigma / share, joined),))


@dataclass(frozen=True, eq=False)
class SequenceProblem:
    """The terms of one sequence, and how they are solved.

    rows: (N,) frames of the terms' data that the N poses of a state are.
    points, poses, shapes: evidence and priors; `points` come with data for all frames.
    offsets: points of the chain with an offset of their own; offset_m: one standard deviation.
    effective_frames: as how many frames the keyframes count against the priors that they share:
        what is wrong with a marker's place or a detector is so in all of them.
    smoothness: None: poses are independent.
    solved: told how many frames are solved, after each window.
    """

    chain: Chain
    rows: IntArray
    points: tuple[PointTerm, ...]
    poses: tuple[PoseTerm, ...]
    shapes: tuple[ShapeTerm, ...]
    offsets: tuple[int, ...] = ()
    offset_m: float = 0.0
    effective_frames: float = np.inf
    smoothness: Smoothness | None = None
    window: int = 400
    overlap: int = 40
    shape_steps: Options = field(default_factory=Options)
    pose_steps: Options = field(default_factory=Options)
    solved: Callable[[int], None] = lambda frames: None

    def fit_shape(self, start: State, keyframes: IntArray) -> State:
        """The start with the shape and the offsets that its poses `keyframes` show.

        Those poses are as they were fitted with them.
        """
        some, rows = start.at(keyframes), self.rows[keyframes]
        weight = max(len(keyframes) / self.effective_frames, 1.0)
        objective = Objective(self.points, self.poses, self.shapes, shared_weight=weight)
        variables = Variables.poses(self.chain, "shared")
        some = minimise(objective, variables, some, self.shape_steps, rows).state
        if self.offsets and self.offset_m > 0:
            objective = replace(objective, offset_spread=self.offset_m)
            variables = replace(variables, offsets=self.offsets)
            some = minimise(objective, variables, some, self.shape_steps, rows).state
        moved = replace(start, shape=some.shape, offset=some.offset)
        return moved.with_rows(keyframes, some)

    def fit_poses(self, start: State, *more: PointTerm) -> tuple[State, int, bool]:
        """All poses with the shape as it is, with further evidence `more` (contacts).

        And the solver's steps over all windows, and whether each came to an end. Windows without
        evidence keep their start: no pose may be claimed there.
        """
        state, steps, converged = start, 0, True
        points, variables = (*self.points, *more), Variables.poses(self.chain)
        for keep, part in windows(len(start), self.window, self.overlap):
            rows = self.rows[part]
            if not any(term.weight[rows].any() for term in self.points):
                continue
            objective = Objective(points, self.poses)
            if self.smoothness:
                objective = self.smoothness.added(objective, self.chain, part)
            found = minimise(objective, variables, state.at(part), self.pose_steps, rows)
            inside = slice(keep.start - part.start, keep.stop - part.start)
            state = state.with_rows(keep, found.state.at(inside))
            steps += int(found.steps.max())
            converged &= bool(found.converged.all())
            self.solved(keep.stop)
        return state, steps, converged


def windows(count: int, length: int, overlap: int) -> Iterator[tuple[slice, slice]]:
    """(frames to keep, frames to solve) that cover `count` frames: memory stays that of one.

    A pose remembers what is a few tenths of a second away, which is what `overlap` is for.
    """
    for first in range(0, count, length):
        last = min(first + length, count)
        yield slice(first, last), slice(max(first - overlap, 0), min(last + overlap, count))
