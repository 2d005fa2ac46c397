"""One frame of a rig fit: its pose, and all that is to be known about how it came about."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.fit.recipes.frames.rig_targets import FrameOutcome
from kinefit.fit.recipes.frames.rigfit import PRIORS
from kinefit.types import FloatArray

LOSSES = ("data", *PRIORS)
PREVIOUS = "previous pose"  # what stands for a camera where the pose before started the fit


@dataclass(frozen=True, eq=False)
class FrameFit:
    """What the fit of one frame found.

    rotations: (F, 3, 3) local, translation: (3,) metres, shape: (S,), scale: of the pose with
        the least loss; NaN where nothing was fitted. A pose whose `reason` is not OK is kept for
        looking at, and is not to be used.
    initial: (F, 3, 3) rotations that `pose_reg` pulled to. past: (2,) the frames of the clip that
        the temporal terms looked at (previous, the one before), -1 for none.
    reason: see `FrameOutcome`. camera: whose initial pose started it, `PREVIOUS` or "".
    attempts: starts that were fitted.
    losses: (5,) m^2, of the pose as it stands here, in the order of `LOSSES`.
    best_loss: the least total met, in round best_round. history: (n,) total after each round.
    scores: (V,) metres, what alignment leaves of each camera's initial pose; NaN: it has none.
    residual: (M,) metres to each target, NaN where it has no weight.
    finite, weighted: targets that are finite, and that also have a positive weight.
    stopped: why the solver ended.
    """

    rotations: FloatArray
    translation: FloatArray
    shape: FloatArray
    scale: float
    initial: FloatArray
    past: tuple[int, int]
    reason: FrameOutcome
    camera: str
    attempts: int
    losses: FloatArray
    best_loss: float
    best_round: int
    history: FloatArray
    scores: FloatArray
    residual: FloatArray
    finite: int
    weighted: int
    stopped: str

    @classmethod
    def nothing(
        cls,
        joints: int,
        shapes: int,
        reason: FrameOutcome,
        scores: FloatArray,
        counts: tuple[int, ...],
    ) -> FrameFit:
        """A frame that could not be fitted. counts: finite and weighted points, M."""
        finite, weighted, M = counts
        none = np.full((joints, 3, 3), np.nan)
        return cls(
            rotations=none,
            translation=np.full(3, np.nan),
            shape=np.full(shapes, np.nan),
            scale=np.nan,
            initial=none,
            past=(-1, -1),
            reason=reason,
            camera="",
            attempts=0,
            losses=np.full(len(LOSSES), np.nan),
            best_loss=np.nan,
            best_round=-1,
            history=np.zeros(0),
            scores=scores,
            residual=np.full(M, np.nan),
            finite=finite,
            weighted=weighted,
            stopped="",
        )

    @property
    def loss(self) -> float:
        """Total."""
        return float(self.losses.sum())

    @property
    def fitted(self) -> bool:
        return self.attempts > 0

    @property
    def is_pose(self) -> bool:
        """Whether rotations are rotations, and all else of a pose is finite."""
        parts = self.rotations, self.translation, self.shape, self.initial, np.array(self.scale)
        if not all(np.isfinite(part).all() for part in parts):
            return False
        R = np.stack([self.rotations, self.initial])
        # As strict as `BodyMotion`.
        return bool(np.allclose(R @ np.swapaxes(R, -1, -2), np.eye(3), atol=1e-6))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All fields as arrays of numbers and text."""
        return {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], sizes: dict[str, int]) -> FrameFit | None:
        """The inverse of `arrays`; None when they are not those of a frame of these sizes.

        sizes: F joints, S shape parameters, V cameras, M points.
        """
        if set(arrays) != {f.name for f in fields(cls)}:
            return None
        F, S, V, M = (sizes[name] for name in "FSVM")
        wanted = {
            "rotations": (F, 3, 3), "translation": (3,), "shape": (S,), "initial": (F, 3, 3),
            "past": (2,), "losses": (len(LOSSES),), "scores": (V,), "residual": (M,),
            "history": arrays["history"].shape[:1],
        }  # fmt: skip
        if any(arrays[name].shape != wanted.get(name, ()) for name in arrays):
            return None
        try:
            values: dict[str, Any] = {n: arrays[n].astype(np.float64) for n in wanted}
            values |= {n: float(arrays[n]) for n in ("scale", "best_loss")}
            values |= {n: int(arrays[n]) for n in ("attempts", "best_round", "finite", "weighted")}
            values |= {n: str(arrays[n]) for n in ("camera", "stopped")}
            past, reason = arrays["past"], FrameOutcome(int(arrays["reason"]))
            fit = cls(**values | {"past": (int(past[0]), int(past[1])), "reason": reason})
        except (ValueError, TypeError, OverflowError):
            return None
        return fit if fit.reason != FrameOutcome.OK or fit.is_pose else None

    def opt_arrays(self, cameras: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """Diagnostics by the names of earlier programs, for files that hold arrays by name.

        Losses are those of the pose that stands here: `opt_final_loss` is never of another one.
        """
        bad = self.fitted and self.reason != FrameOutcome.OK
        values: dict[str, Any] = {
            "loss_history": self.history,
            "best_loss": self.best_loss,
            "final_loss": self.loss,
            "best_data_loss": self.losses[0],
            "final_data_loss": self.losses[0],
            **{f"final_{name}_loss": self.losses[1 + i] for i, name in enumerate(PRIORS)},
            "best_iter": self.best_round,
            "is_bad": bad,
            "is_unusable": self.reason != FrameOutcome.OK,
            "reason": self.reason.words,
            "best_cam": self.camera,
            "cameras": np.array(cameras),
            "view_scores_m": self.scores,
            "residual_m": self.residual,
            "finite_points": self.finite,
            "inlier_points": self.weighted,
            "scale": self.scale,
            "attempts": self.attempts,
            "stopped": self.stopped,
        }
        return {f"opt_{name}": np.asarray(value) for name, value in values.items()}
