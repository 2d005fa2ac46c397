"""What the fits of frames found, with all that is to be known about how each came about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.fit.recipes.frames.rig_targets import FrameOutcome
from kinefit.geometry.rotations import slerp
from kinefit.types import BoolArray, FloatArray, IntArray

PREVIOUS = "previous pose"  # what stands for a camera where the pose before started the fit


@dataclass(frozen=True, eq=False)
class History:
    """The last two usable poses before each of R frames.

    previous, before: (R, F, 3, 3) local rotations, NaN where there is none.
    ratio: (R,) time since `previous` over the time between the two.
    """

    previous: FloatArray
    before: FloatArray
    ratio: FloatArray

    @classmethod
    def none(cls, count: int, joints: int) -> History:
        nothing = np.full((count, joints, 3, 3), np.nan)
        return cls(nothing, nothing.copy(), np.full(count, np.nan))

    def at(self, rows: IntArray) -> History:
        return History(self.previous[rows], self.before[rows], self.ratio[rows])

    def extrapolated(self, gain: float) -> FloatArray:
        """(R, F, 3, 3) where the two lead, the rotation between them times `gain`; else NaN."""
        known = finite_poses(self.before) & np.isfinite(self.ratio)
        out = np.full(self.previous.shape, np.nan)
        share = 1 + gain * self.ratio[known]
        out[known] = slerp(self.before[known], self.previous[known], share[:, None])
        return out


def finite_poses(rotations: FloatArray) -> BoolArray:
    """(R,) rows of (R, F, 3, 3) that are finite throughout."""
    return np.asarray(np.isfinite(rotations).all(axis=(1, 2, 3)))


@dataclass(frozen=True, eq=False)
class FrameFits:
    """N frames; of one frame (`fits[t]`) all arrays without their first axis.

    rotations: (N, F, 3, 3) local, translation: (N, 3) metres, shape: (N, S), scale: (N,) of the
        pose with the least loss; NaN where nothing was fitted. A pose whose `reason` is not OK is
        kept for looking at, and is not to be used.
    initial: (N, F, 3, 3) rotations that `pose_reg` pulled to. past: (N, 2) frames of the clip that
        the temporal terms looked at (previous, the one before), -1 for none.
    reason: (N,) see `FrameOutcome`. camera: (N,) whose initial pose started it, `PREVIOUS` or "".
    attempts: (N,) starts that were fitted.
    losses: (N, 5) m^2, of the pose as it stands here, in the order of `LOSSES`.
    history: (N, H) total after each round; the same again once the fit had ended.
    scores: (N, V) metres, what alignment leaves of each camera's initial pose; NaN: it has none.
    residual: (N, M) metres to each target, NaN where it has no weight.
    finite, weighted: (N,) targets that are finite, and that also have a positive weight.
    stopped: (N,) why the solver ended: "converged", "patience", "iters" or "".
    """

    rotations: FloatArray
    translation: FloatArray
    shape: FloatArray
    scale: FloatArray
    initial: FloatArray
    past: IntArray
    reason: IntArray
    camera: NDArray[np.str_]
    attempts: IntArray
    losses: FloatArray
    history: FloatArray
    scores: FloatArray
    residual: FloatArray
    finite: IntArray
    weighted: IntArray
    stopped: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.reason)

    def __iter__(self) -> Iterator[FrameFits]:
        return (self[t] for t in range(len(self)))

    def __getitem__(self, rows: int | slice | IntArray | BoolArray) -> FrameFits:
        return FrameFits(**{name: values[rows] for name, values in self.arrays().items()})

    def put(self, rows: int | slice | IntArray, other: FrameFits) -> None:
        """These frames as they are in `other`."""
        theirs = other.arrays()
        for name, values in self.arrays().items():
            values[rows] = theirs[name]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All fields as arrays of numbers and text."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def usable(self) -> Any:
        """(N,) frames with a pose to use."""
        return self.reason == FrameOutcome.OK

    @property
    def fitted(self) -> Any:
        return self.attempts > 0

    @property
    def loss(self) -> Any:
        """(N,) total."""
        return self.losses.sum(axis=-1)

    @property
    def best_loss(self) -> Any:
        """(N,) the least total met; NaN where nothing was fitted."""
        return self.history.min(axis=-1)

    def history_of(self, time: FloatArray, past: IntArray, rows: IntArray) -> History:
        """What the fits of frames `rows` (R,) of a whole clip look back on.

        time: (T,) seconds of the clip. past: (R, 2) or (2,), as the field of that name.
        """
        a, b = np.broadcast_to(past, (len(rows), 2)).T
        out, one, two = History.none(len(rows), self.rotations.shape[-3]), a >= 0, b >= 0
        out.previous[one], out.before[two] = self.rotations[a[one]], self.rotations[b[two]]
        out.ratio[two] = (time[rows] - time[a])[two] / (time[a] - time[b])[two]
        return out
