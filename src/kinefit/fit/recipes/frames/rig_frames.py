"""Rig poses of all frames of a clip: the best camera first, then second tries; kept as they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from kinefit import __version__
from kinefit.fit.recipes.frames.frame_fit import LOSSES, PREVIOUS, FrameFit
from kinefit.fit.recipes.frames.frame_store import FrameStore, content_hash
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome
from kinefit.fit.recipes.frames.rigfit import Found, History, RigFit, best_cameras
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
) -> list[FrameFit]:
    """The fit of each of T frames; see `FrameFit` for what is known of one.

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
    done: list[FrameFit] = []
    for first in range(0, T, step):
        rows = np.arange(first, min(first + step, T))
        before = frames.before(done, first)
        keys = [frames.key(int(row), before) for row in rows] if store else []
        block = [frames.read(store, key) for key in keys] if store else [None]
        found = [fit for fit in block if fit is not None]
        if len(found) < len(rows):
            # All of a block: what is solved together rounds together, and a run that was
            # resumed ends on the very numbers of one that was not.
            found = frames.fit(rows, before)
            if store:
                for key, fit in zip(keys, found, strict=True):
                    store.save(key, fit.arrays())
        for fit in found:
            done.append(fit)
            if progress:
                progress(len(done), T)
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
class _Before:
    """The usable poses before a frame: previous and the one before it, None for none."""

    frames: tuple[int, int] = (-1, -1)
    fits: tuple[FrameFit | None, FrameFit | None] = (None, None)


@dataclass(frozen=True, eq=False)
class _Frames:
    """views: V cameras' poses with a shape for each frame. base: hash of what all frames share.

    reasons: (T,) `FrameOutcome` as far as the points alone tell.
    """

    work: RigFit
    views: tuple[State, ...]
    base: str
    reasons: IntArray

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
            shape = _median_shape(work.chain, each)
            T = len(work.targets)
            each = tuple(replace(view, shape=np.tile(shape, (T, 1))) for view in each)
        base = content_hash(
            "rig frames", version, asdict(work.options), list(cameras), work.free,
            *_chain_parts(work.chain), work.columns,
        )  # fmt: skip
        return cls(work, each, base, work.targets.reasons(work.options.min_points))

    def key(self, row: int, before: _Before) -> str:
        """Hash of all that the fit of one frame sees."""
        t = self.work.targets
        parts: list[Any] = [t.xyz[row], t.weight[row], t.metric[row], t.error_px[row]]
        for view in self.views:
            parts += [view.rotations[row], view.translation[row], view.shape[row], view.offset]
            parts.append(self.work.chain.shape.coefficients(np.nan_to_num(view.shape[row])))
        time = t.timeline.time
        for frame, fit in zip(before.frames, before.fits, strict=True):
            if fit is not None:
                parts += [fit.rotations, fit.translation, fit.shape, time[row] - time[frame]]
        return content_hash(self.base, *parts)

    def read(self, store: FrameStore, key: str) -> FrameFit | None:
        work = self.work
        sizes = {
            "F": len(work.free),
            "S": len(work.chain.shape.names),
            "V": len(self.views),
            "M": len(work.targets.names),
        }
        arrays = store.load(key)
        return None if arrays is None else FrameFit.from_arrays(arrays, sizes)

    def before(self, done: list[FrameFit], row: int) -> _Before:
        """The last two usable poses, if they are near enough in time."""
        if not self.work.options.looks_back:
            return _Before()
        time, gap = self.work.targets.timeline.time, self.work.options.temporal_gap_s
        frames, now = [-1, -1], time[row]
        last = row - 1
        for i in range(2):
            while last >= 0 and done[last].reason != FrameOutcome.OK and now - time[last] <= gap:
                last -= 1
            if last < 0 or now - time[last] > gap:
                break
            frames[i], now, last = last, time[last], last - 1
        fits = [done[frame] if frame >= 0 else None for frame in frames]
        return _Before((frames[0], frames[1]), (fits[0], fits[1]))

    def fit(self, rows: IntArray, before: _Before) -> list[FrameFit]:
        """The frames `rows`, which all have the same `before`."""
        return _Tries(self, rows, before).run()


class _Tries:
    """The starts of some frames, fitted until one ends well; the best of each is kept."""

    def __init__(self, frames: _Frames, rows: IntArray, before: _Before) -> None:
        self.frames, self.work, self.rows, self.before = frames, frames.work, rows, before
        self.past = _past(self.work, rows, before)
        n, V = len(rows), len(frames.views)
        i, camera = np.repeat(np.arange(n), V), np.tile(np.arange(V), n)
        aligned = self.work.align(self._poses(i, camera), rows[i])
        self.sound = np.asarray(aligned.sound.reshape(n, V).any(axis=1))
        self.scores = aligned.score.reshape(n, V)
        error = self.work.targets.error_px[rows]
        self.order = best_cameras(self.scores, error, self.work.options.tie_m)
        self.best = [
            self._nothing(k, FrameOutcome(int(r))) for k, r in enumerate(frames.reasons[rows])
        ]

    def run(self) -> list[FrameFit]:
        open_ = [k for k, fit in enumerate(self.best) if fit.reason == FrameOutcome.OK]
        first, second = [], []
        for k in open_:
            cameras = [int(c) for c in self.order[k] if c >= 0]
            if self.before.fits[0] is not None:
                cameras.append(_PREVIOUS)
            if not cameras:
                reason = FrameOutcome.NOT_ALIGNED if self.sound[k] else FrameOutcome.NO_INITIAL_POSE
                self.best[k] = self._nothing(k, reason)
                continue
            first.append((k, cameras[0]))
            # The best camera's pose as it is, where at first it was turned towards the past.
            turned = self.work.options.temporal_init_blend > 0 and _PREVIOUS in cameras
            again = cameras if turned else cameras[1:]
            second += [(k, camera) for camera in again]
        self._try(first, blend=True)
        self._try(
            [(k, c) for k, c in second if self.best[k].reason != FrameOutcome.OK], blend=False
        )
        return self.best

    def _try(self, starts: list[tuple[int, int]], *, blend: bool) -> None:
        """Fit frames k from their cameras, and keep what is better than what there is."""
        if not starts:
            return
        k, camera = (np.array(a, dtype=np.int64) for a in zip(*starts, strict=True))
        start = self._poses(k, camera)
        if blend:
            start = self.work.blended(start, self.past.at(k))
        aligned = self.work.align(start, self.rows[k])
        there = np.flatnonzero(np.isfinite(aligned.score))
        if len(there):
            aligned, past = aligned.at(there), self.past.at(k[there])
            rows = self.rows[k[there]]
            found = self.work.fit(aligned, rows, past)
            reasons = self.work.judged(found.losses, found.residual, rows, found.best_loss)
            for n, j in enumerate(there):
                fit = self._frame(
                    int(k[j]), int(camera[j]), found, n, FrameOutcome(int(reasons[n]))
                )
                fit = replace(fit, initial=aligned.state.rotations[n])
                self.best[k[j]] = _better(self.best[k[j]], fit)
        for n in np.unique(k):
            if not self.best[n].fitted:  # tried, and not even aligned
                self.best[n] = replace(self.best[n], reason=FrameOutcome.NOT_ALIGNED)

    def _poses(self, k: IntArray, camera: IntArray) -> State:
        """Initial poses of frames `k` from these cameras."""
        chain, N = self.work.chain, len(k)
        poses = State.rest(chain, N, shape_each=True)
        for c in np.unique(camera):
            mine = np.flatnonzero(camera == c)
            previous = self.before.fits[0]
            if c != _PREVIOUS:
                view = self.frames.views[c].at(self.rows[k[mine]])
            else:
                assert previous is not None
                view = State(
                    np.tile(previous.rotations, (len(mine), 1, 1, 1)),
                    np.tile(previous.translation, (len(mine), 1)),
                    np.tile(previous.shape, (len(mine), 1)),
                    poses.offset,
                )
            poses = poses.with_rows(mine, view)
        return poses

    def _frame(self, k: int, camera: int, found: Found, n: int, reason: FrameOutcome) -> FrameFit:
        name = PREVIOUS if camera == _PREVIOUS else self.work.targets.cameras[camera]
        counts = self._counts(k)
        return FrameFit(
            rotations=found.state.rotations[n],
            translation=found.state.translation[n],
            shape=found.state.shape[n],
            scale=float(found.scale[n]),
            initial=found.state.rotations[n],
            past=self.before.frames,
            reason=reason,
            camera=name,
            attempts=1,
            losses=np.array([found.losses[loss][n] for loss in LOSSES]),
            best_loss=float(found.best_loss[n]),
            best_round=int(found.best_round[n]),
            history=found.history[n],
            scores=self.scores[k],
            residual=found.residual[n],
            finite=counts[0],
            weighted=counts[1],
            stopped=found.stopped[n],
        )

    def _nothing(self, k: int, reason: FrameOutcome) -> FrameFit:
        F, S = len(self.work.free), len(self.work.chain.shape.names)
        return FrameFit.nothing(F, S, reason, self.scores[k], self._counts(k))

    def _counts(self, k: int) -> tuple[int, int, int]:
        targets, row = self.work.targets, self.rows[k]
        finite, weighted = targets.known[row].sum(), targets.usable[row].sum()
        return int(finite), int(weighted), len(targets.names)


def _better(old: FrameFit, new: FrameFit) -> FrameFit:
    """A usable pose before one that is not, and then the one with the lower loss."""
    attempts = old.attempts + 1
    ranks = [(f.reason != FrameOutcome.OK, f.loss) for f in (old, new)]
    take_new = not old.fitted or ranks[1] < ranks[0]
    return replace(new if take_new else old, attempts=attempts)


def _past(work: RigFit, rows: IntArray, before: _Before) -> History:
    time, count = work.targets.timeline.time, len(rows)
    out = History.none(count, len(work.free))
    previous, earlier = before.fits
    if previous is None:
        return out
    out = replace(out, previous=np.tile(previous.rotations, (count, 1, 1, 1)))
    if earlier is None:
        return out
    a, b = before.frames
    ratio = (time[rows] - time[a]) / (time[a] - time[b])
    return replace(out, before=np.tile(earlier.rotations, (count, 1, 1, 1)), ratio=ratio)


def _of_clip(work: RigFit, name: str, view: State | None) -> State:
    """A camera's poses with a shape for each frame; NaN where there are none."""
    T, F, S = len(work.targets), len(work.free), len(work.chain.shape.names)
    K = len(work.chain.point_names)
    if view is None:
        nan = np.full((T, F, 3, 3), np.nan)
        return State(nan, np.full((T, 3), np.nan), np.full((T, S), np.nan), np.zeros((K, 3)))
    shape = view.shape if view.shape_each else np.tile(view.shape, (len(view), 1))
    got = view.rotations.shape, view.translation.shape, shape.shape, view.offset.shape
    if got != ((T, F, 3, 3), (T, 3), (T, S), (K, 3)):
        raise InvalidData(
            f"Camera {name}: poses {got[0]} with shapes {got[2]}, expected {T} frames of {F} "
            f"joints and {S} shape parameters."
        )
    if view.offset.any():
        raise InvalidData(f"Camera {name}: initial poses have no offsets of points.")
    return replace(view, shape=shape)


def _median_shape(chain: Chain, views: tuple[State, ...]) -> FloatArray:
    """(S,) of all poses that there are; the neutral shape where there is none."""
    shapes = np.concatenate([view.shape for view in views])
    posed = np.concatenate([np.isfinite(view.rotations).all(axis=(1, 2, 3)) for view in views])
    finite = shapes[np.isfinite(shapes).all(axis=1) & posed]
    return np.median(finite, axis=0) if len(finite) else chain.shape.neutral


def _chain_parts(chain: Chain) -> list[Any]:
    """What a fit sees of a chain."""
    return [
        chain.body.name, list(chain.joint_names), list(chain.point_names), chain.parents,
        chain.heads, chain.head_dirs, chain.pair_point, chain.pair_joint, chain.pair_weight,
        chain.pair_moment, chain.pair_dirs,
    ]  # fmt: skip
