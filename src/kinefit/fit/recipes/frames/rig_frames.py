"""Rig poses of all frames of a clip: the best camera first, then second tries; kept as they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kinefit import __version__
from kinefit.fit.recipes.frames.frame_fits import PREVIOUS, FrameFits
from kinefit.fit.recipes.frames.frame_options import RigFitOptions
from kinefit.fit.recipes.frames.frame_store import FrameStore, content_hash
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome
from kinefit.fit.recipes.frames.rigfit import (
    LOSSES,
    RigFit,
    best_cameras,
    finite_poses,
    with_shape_each,
)
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.state import State
from kinefit.types import FloatArray, IntArray, InvalidData

_BLOCK = 256  # frames solved together where none depends on another
_PREVIOUS = -2  # as a camera: the pose before

Progress = Callable[[int, int], None]


def fit_frames(
    work: RigFit,
    views: Mapping[str, State],
    *,
    one_shape: bool = True,
    store: FrameStore | None = None,
    version: str = __version__,
    progress: Progress | None = None,
) -> FrameFits:
    """The fit of each of T frames; see `FrameFits` for what is known of one.

    views: camera -> its initial poses of the T frames (NaN where it has none), by the names of
        the targets' cameras, exactly. Their joints are those of the chain.
    one_shape: all bodies have the median shape of all initial poses; else each frame has the
        shape of the camera that starts it.
    store: finished frames are taken from here and put here. version: of the program, part of
        what a stored frame is found by.
    progress: called with the number of frames done, and of all, after each frame.

    Raises InvalidData for a camera that the targets do not have, and for poses of another chain.
    """
    frames = _Frames.of(work, views, one_shape, version)
    T = len(work.targets)
    step = 1 if work.options.looks_back else _BLOCK
    done = FrameFits.nothing(work, np.arange(T))
    for first in range(0, T, step):
        rows = np.arange(first, min(first + step, T))
        past = frames.past(done, first)
        keys = {t: frames.key(t, done, past) for t in rows.tolist()} if store else {}
        if not (store and all(done.read(t, store.load(key)) for t, key in keys.items())):
            # All of a block: what is solved together rounds together, and a run that was
            # resumed ends on the very numbers of one that was not.
            done.put(rows, frames.fit(rows, done, past))
            if store:
                for t, key in keys.items():
                    store.save(key, done[t].arrays())
        if progress:
            for row in rows:
                progress(int(row) + 1, T)
    return done


def as_view(
    chain: Chain, rotations: FloatArray, translation: FloatArray, shape: FloatArray
) -> State:
    """A camera's poses of a whole body as initial poses of `chain`.

    rotations: (T, B, 3, 3) local, of all the body's joints. translation: (T, 3) metres; where the
    body is does not matter. shape: (S,) or (T, S). NaN in frames without a pose.
    """
    offset = np.zeros((len(chain.point_names), 3))
    return State(rotations[:, chain.joint_index], translation, shape, offset)


@dataclass(frozen=True, eq=False)
class _Frames:
    """views: V cameras' poses with a shape for each frame. base: hash of what all frames share."""

    work: RigFit
    views: tuple[State, ...]
    base: str

    @classmethod
    def of(cls, work: RigFit, views: Mapping[str, State], one_shape: bool, version: str) -> _Frames:
        cameras = work.targets.cameras
        unknown = [name for name in views if name not in cameras]
        if unknown:
            known = ", ".join(cameras)
            raise InvalidData(
                f"The targets have no camera {', '.join(unknown)}; they have {known}."
            )
        each = tuple(_of_clip(work, name, views.get(name)) for name in cameras)
        if one_shape:
            shape = np.tile(_median_shape(work.chain, each), (len(work.targets), 1))
            each = tuple(replace(view, shape=shape) for view in each)
        options = {name: getattr(work.options, name) for name in RigFitOptions.model_fields}
        chain = work.chain
        base = content_hash(
            "rig frames", version, options, list(cameras), work.free,
            chain.body.name, list(chain.joint_names), list(chain.point_names), chain.parents,
            chain.heads, chain.head_dirs, chain.pair_point, chain.pair_joint, chain.pair_weight,
            chain.pair_moment, chain.pair_dirs, work.columns,
        )  # fmt: skip
        return cls(work, each, base)

    def key(self, row: int, done: FrameFits, past: IntArray) -> str:
        """Hash of all that the fit of one frame sees."""
        t = self.work.targets
        parts: list[Any] = [t.xyz[row], t.weight[row], t.metric[row], t.error_px[row]]
        for view in self.views:
            parts += [view.rotations[row], view.translation[row], view.shape[row], view.offset]
            parts.append(self.work.chain.shape.coefficients(np.nan_to_num(view.shape[row])))
        time = t.timeline.time
        for frame in past[past >= 0]:
            parts += [done.rotations[frame], done.translation[frame], done.shape[frame]]
            parts.append(time[row] - time[frame])
        return content_hash(self.base, *parts)

    def past(self, done: FrameFits, row: int) -> IntArray:
        """(2,) the last two usable frames before `row`, if they are near enough in time; or -1."""
        out = np.full(2, -1)
        time, gap = self.work.targets.timeline.time, self.work.options.temporal_gap_s
        usable = np.flatnonzero(done.usable[:row])[::-1]
        count, now = (2 if self.work.options.looks_back else 0), time[row]
        for i, frame in enumerate(usable[:count]):
            if now - time[frame] > gap:
                break
            out[i], now = frame, time[frame]
        return out

    def fit(self, rows: IntArray, done: FrameFits, past: IntArray) -> FrameFits:
        """The frames `rows`, which all have the same past (2,), from start to start.

        First from the best camera; a fit that ends badly is tried again from the others and from
        the previous pose, and the best of all is kept.
        """
        tries = _Tries(self, rows, done, past)
        o, best, first, second = self.work.options, tries.best, [], []
        for k in np.flatnonzero(best.usable).tolist():
            cameras = [int(c) for c in tries.order[k] if c >= 0]
            if past[0] >= 0:
                cameras.append(_PREVIOUS)
            if not cameras:
                seen = tries.sound[k].any()
                best.reason[k] = FrameOutcome.NOT_ALIGNED if seen else FrameOutcome.NO_INITIAL_POSE
                continue
            first.append((k, cameras[0]))
            # The best camera's pose as it is, where at first it was blended with the past.
            again = cameras if o.temporal_init_blend > 0 and past[0] >= 0 else cameras[1:]
            second += [(k, camera) for camera in again]
        tries.run(first, blend=True)
        tries.run([(k, c) for k, c in second if not best.usable[k]], blend=False)
        return best


class _Tries:
    """The starts of frames that are solved together.

    scores, sound: (n, V) of each camera's initial pose. order: (n, V) cameras from best to worst.
    """

    def __init__(self, frames: _Frames, rows: IntArray, done: FrameFits, past: IntArray) -> None:
        self.frames, self.work, self.rows = frames, frames.work, rows
        self.previous = done[int(past[0])] if past[0] >= 0 else None
        work, n, V = self.work, len(rows), len(frames.views)
        self.history = done.history_of(work.targets.timeline.time, past, rows)
        k, camera = np.repeat(np.arange(n), V), np.tile(np.arange(V), n)
        aligned = work.align(self._poses(k, camera), rows[k])
        self.sound = aligned.sound.reshape(n, V)
        self.best = FrameFits.nothing(work, rows)
        self.best.scores[:] = aligned.score.reshape(n, V)
        self.best.past[:] = past
        self.order = best_cameras(self.best.scores, work.targets.error_px[rows], work.options.tie_m)

    def run(self, starts: list[tuple[int, int]], *, blend: bool) -> None:
        """Fit frames k from their cameras, and keep what is better than what there is."""
        if not starts:
            return
        k, camera = (np.array(a, dtype=np.int64) for a in zip(*starts, strict=True))
        start = self._poses(k, camera)
        if blend:
            start = self.work.blended(start, self.history.at(k))
        aligned = self.work.align(start, self.rows[k])
        there = np.flatnonzero(np.isfinite(aligned.score))
        if len(there):
            new = self._fitted(k[there], camera[there], aligned.at(there))
            for n, i in enumerate(k[there]):
                self._keep_better(int(i), new[n])
        for i in np.unique(k):
            if not self.best.fitted[i]:  # tried, and not even aligned
                self.best.reason[i] = FrameOutcome.NOT_ALIGNED

    def _fitted(self, k: IntArray, camera: IntArray, aligned: Any) -> FrameFits:
        rows = self.rows[k]
        found = self.work.fit(aligned, rows, self.history.at(k))
        names = np.array([*self.work.targets.cameras, PREVIOUS])
        return replace(
            self.best[k],
            rotations=found.state.rotations,
            translation=found.state.translation,
            shape=found.state.shape,
            scale=found.scale,
            initial=aligned.state.rotations,
            reason=self.work.gate(found.losses, found.residual, rows, found.best_loss),
            camera=names[np.where(camera == _PREVIOUS, -1, camera)],
            losses=np.stack([found.losses[name] for name in LOSSES], axis=1),
            best_loss=found.best_loss,
            best_round=found.best_round,
            history=found.history,
            residual=found.residual,
            stopped=np.array(found.stopped),
        )

    def _keep_better(self, i: int, new: FrameFits) -> None:
        """A usable pose before one that is not, and then the one with the lower loss."""
        old = self.best[i]
        if not old.fitted or (not new.usable, new.loss) < (not old.usable, old.loss):
            self.best.put(i, new)
        self.best.attempts[i] = old.attempts + 1

    def _poses(self, k: IntArray, camera: IntArray) -> State:
        """Initial poses of frames `k` from these cameras."""
        poses = State.rest(self.work.chain, len(k), shape_each=True)
        for c in np.unique(camera):
            mine = np.flatnonzero(camera == c)
            if c != _PREVIOUS:
                view = self.frames.views[c].at(self.rows[k[mine]])
            else:
                assert self.previous is not None
                fit = self.previous
                view = State(fit.rotations, fit.translation, fit.shape[None], poses.offset)
            poses = poses.with_rows(mine, view)
        return poses


def _of_clip(work: RigFit, name: str, view: State | None) -> State:
    """A camera's poses with a shape for each frame; NaN where there are none."""
    T, F, S = len(work.targets), len(work.free), len(work.chain.shape.names)
    K = len(work.chain.point_names)
    if view is None:
        nan = np.full((T, F, 3, 3), np.nan)
        return State(nan, np.full((T, 3), np.nan), np.full((T, S), np.nan), np.zeros((K, 3)))
    view = with_shape_each(view)
    got = view.rotations.shape, view.translation.shape, view.shape.shape, view.offset.shape
    if got != ((T, F, 3, 3), (T, 3), (T, S), (K, 3)):
        raise InvalidData(
            f"Camera {name}: poses {got[0]} with shapes {got[2]}, expected {T} frames of {F} "
            f"joints and {S} shape parameters."
        )
    if view.offset.any():
        raise InvalidData(f"Camera {name}: initial poses have no offsets of points.")
    return view


def _median_shape(chain: Chain, views: tuple[State, ...]) -> FloatArray:
    """(S,) of all poses that there are; the neutral shape where there is none."""
    shapes = np.concatenate([view.shape for view in views])
    posed = np.concatenate([finite_poses(view.rotations) for view in views])
    finite = shapes[np.isfinite(shapes).all(axis=1) & posed]
    return np.median(finite, axis=0) if len(finite) else chain.shape.neutral
