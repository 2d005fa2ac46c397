"""Rig poses of all frames of a clip: the best camera first, then second tries; kept as they end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit import __version__
from kinefit.fit.recipes.frames.frame_fits import PREVIOUS, FrameFits, History, finite_poses
from kinefit.fit.recipes.frames.frame_options import RigFitOptions
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome
from kinefit.fit.recipes.frames.rigfit import RigFit, best_cameras
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.state import State
from kinefit.io.arrays import read_npz
from kinefit.io.atomic import atomic_path
from kinefit.types import FloatArray, InputError, IntArray, InvalidData

_BLOCK = 256  # frames solved together where none depends on another

Progress = Callable[[int, int], None]

_CHECK = "check"


def content_hash(*parts: Any) -> str:
    """Hex SHA-256 of arrays of numbers (type, shape and bytes), and of JSON values whatever their
    keys' order."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            head = ["array", part.dtype.str, list(part.shape)]
            body = np.ascontiguousarray(part).tobytes()
        else:
            head, body = ["json"], json.dumps(part, sort_keys=True).encode()
        # Lengths first: no two lists of parts run together into the same bytes.
        text = json.dumps([*head, len(body)]).encode()
        digest.update(len(text).to_bytes(8, "big") + text + body)
    return digest.hexdigest()


@dataclass(frozen=True)
class FrameStore:
    """A folder with one `.npz` per finished frame, named by the `content_hash` of everything that
    the frame was made from, the program's `version` too.

    A frame is found again only by that hash. There is nothing to compare, no date and no folder to
    trust, so nothing stale can be taken for a result; and a run that was killed goes on where it
    was. Files are written whole or not at all; what cannot be read is done again.
    """

    folder: Path
    version: str = __version__

    def load(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays stored under `key`; None when there are none that can be read."""
        path = self.folder / f"{key}.npz"
        try:
            arrays = read_npz(path) if path.is_file() else {}
        except InputError:
            return None
        # Another check is that of a file which was renamed or changed.
        return arrays if str(arrays.pop(_CHECK, "")) == _check(key, arrays) else None

    def save(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Store `arrays` of numbers and text under `key`, whole or not at all."""
        path = self.folder / f"{key}.npz"
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            check = np.array(_check(key, arrays))
            np.savez(stream, allow_pickle=False, **{_CHECK: check, **arrays})


def _check(key: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    return content_hash(key, sorted(arrays), *(np.asarray(arrays[name]) for name in sorted(arrays)))


def fit_frames(
    work: RigFit,
    views: Mapping[str, State],
    *,
    one_shape: bool = True,
    store: FrameStore | None = None,
    progress: Progress | None = None,
) -> FrameFits:
    """The fit of each of T frames; see `FrameFits` for what is known of one.

    views: camera -> its initial poses of the T frames (NaN where it has none), by the names of
        the targets' cameras, exactly. Their joints are those of the chain.
    one_shape: all bodies have the median shape of all initial poses; else each frame has the
        shape of the camera that starts it.
    store: finished frames are taken from here and put here.
    progress: called with the number of frames done, and of all, after each frame.

    Raises InvalidData for a camera that the targets do not have, and for poses of another chain.
    """
    T = len(work.targets)
    step = 1 if work.options.looks_back else _BLOCK
    frames = _Frames(work, _starts(work, views, one_shape), work.nothing(np.arange(T)))
    base = _shared_hash(work, store.version) if store else ""
    for first in range(0, T, step):
        rows = np.arange(first, min(first + step, T))
        past = frames.past(first)
        keys = {t: frames.key(base, t, past) for t in rows.tolist()} if store else {}
        stored = {t: store.load(key) for t, key in keys.items()} if store else {}
        for t, arrays in stored.items():
            if arrays is not None:
                frames.done.put(t, FrameFits(**arrays))
        if store is None or None in stored.values():
            # All of a block: what is solved together rounds together, and a run that was
            # resumed ends on the very numbers of one that was not.
            frames.done.put(rows, frames.fit(rows, past))
        for t, key in keys.items():
            if store and stored[t] is None:
                store.save(key, frames.done[t].arrays())
        if progress:
            for row in rows.tolist():
                progress(row + 1, T)
    return frames.done


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
    """starts: initial poses, of camera c in frame t at row c T + t. done: frames as they end."""

    work: RigFit
    starts: State
    done: FrameFits

    def past(self, row: int) -> IntArray:
        """(2,) the last two usable frames before `row`, if they are near enough in time; or -1."""
        out = np.full(2, -1)
        time, gap = self.work.targets.timeline.time, self.work.options.temporal_gap_s
        usable = np.flatnonzero(self.done.usable[:row])[::-1]
        count, now = (2 if self.work.options.looks_back else 0), time[row]
        for i, frame in enumerate(usable[:count]):
            if now - time[frame] > gap:
                break
            out[i], now = frame, time[frame]
        return out

    def key(self, base: str, row: int, past: IntArray) -> str:
        """Hash of all that the fit of one frame sees. base: of what all frames share."""
        t, done = self.work.targets, self.done
        seen = self.starts.at(slice(row, None, len(t)))
        parts: list[Any] = [t.xyz[row], t.weight[row], t.metric[row], t.error_px[row]]
        parts += [seen.rotations, seen.translation, seen.shape]
        parts += [self.work.chain.shape.coefficients(np.nan_to_num(s)) for s in seen.shape]
        time = t.timeline.time
        for frame in past[past >= 0]:
            parts += [done.rotations[frame], done.translation[frame], done.shape[frame]]
            parts.append(time[row] - time[frame])
        return content_hash(base, *parts)

    def fit(self, rows: IntArray, past: IntArray) -> FrameFits:
        """The frames `rows`, which all have the same past (2,), from start to start.

        First from the best camera; a fit that ends badly is tried again from the others and from
        the previous pose, and the best of all is kept.
        """
        work, best, V = self.work, self.work.nothing(rows), len(self.work.targets.cameras)
        history = self.done.history_of(work.targets.timeline.time, past, rows)
        k, camera = np.repeat(np.arange(len(rows)), V), np.tile(np.arange(V), len(rows))
        aligned = work.align(self._poses(rows[k], camera, past), rows[k])
        best.scores[:], best.past[:] = aligned.score.reshape(-1, V), past
        sound = np.asarray(aligned.sound.reshape(-1, V).any(axis=1))
        order = best_cameras(best.scores, work.targets.error_px[rows], work.options.tie_m)
        first, second = [], []
        for i in np.flatnonzero(best.usable).tolist():
            starts = order[i][order[i] >= 0].tolist() + ([V] if past[0] >= 0 else [])
            if not starts:
                failed = FrameOutcome.NOT_ALIGNED if sound[i] else FrameOutcome.NO_INITIAL_POSE
                best.reason[i] = failed
                continue
            first.append((i, starts[0]))
            # The best camera's pose as it is, where at first it was blended with the past.
            blended = work.options.temporal_init_blend > 0 and past[0] >= 0
            second += [(i, start) for start in (starts if blended else starts[1:])]
        self._try(best, rows, first, history, blend=True)
        second = [(i, start) for i, start in second if not best.usable[i]]
        self._try(best, rows, second, history, blend=False)
        return best

    def _try(
        self, best: FrameFits, rows: IntArray, starts: list[tuple[int, int]], history: History,
        *, blend: bool,
    ) -> None:  # fmt: skip
        """Fit frames i of `best` from these cameras, and keep what is better than what there is.

        A usable pose is better than one that is not, and then the one with the lower loss.
        """
        if not starts:
            return
        work, (k, camera) = self.work, np.array(starts).T
        start = self._poses(rows[k], camera, best.past[0])
        if blend:
            start = work.blended(start, history.at(k))
        aligned = work.align(start, rows[k])
        there = np.flatnonzero(np.isfinite(aligned.score))
        k, camera, aligned = k[there], camera[there], aligned.at(there)
        if len(there):
            names = np.array([*work.targets.cameras, PREVIOUS])
            new = work.fit(aligned, rows[k], history.at(k))
            new = replace(new, scores=best.scores[k], past=best.past[k], camera=names[camera])
            for n, i in enumerate(k.tolist()):
                old, it = best[i], new[n]
                if not old.fitted or (not it.usable, it.loss) < (not old.usable, old.loss):
                    best.put(i, it)
                best.attempts[i] = old.attempts + 1
        tried = np.array([i for i, _ in starts])
        best.reason[tried[~best.fitted[tried]]] = FrameOutcome.NOT_ALIGNED  # from no start

    def _poses(self, rows: IntArray, camera: IntArray, past: IntArray) -> State:
        """Initial poses of frames `rows` from these cameras; V: the previous pose."""
        V = len(self.work.targets.cameras)
        before = np.flatnonzero(camera == V)
        poses = self.starts.at(np.where(camera < V, camera, 0) * len(self.done) + rows)
        return (
            poses.with_rows(before, self.work.state(self.done[past[:1]])) if len(before) else poses
        )


def _starts(work: RigFit, views: Mapping[str, State], one_shape: bool) -> State:
    """See `_Frames`; NaN for a camera without poses."""
    T, cameras = len(work.targets), work.targets.cameras
    unknown = [name for name in views if name not in cameras]
    if unknown:
        raise InvalidData(
            f"The targets have no camera {', '.join(unknown)}; they have {', '.join(cameras)}."
        )
    rest = State.rest(work.chain, 0, shape_each=True)
    none = rest.among(T, np.arange(0))
    each = [views.get(name, none).with_shape_each() for name in cameras]
    for name, view in zip(cameras, each, strict=True):
        got, shapes = view.rotations.shape, view.shape.shape
        if (got, shapes) != (none.rotations.shape, none.shape.shape):
            raise InvalidData(
                f"Camera {name}: poses {got} with shapes {shapes}, expected {T} frames of "
                f"{len(work.free)} joints and {none.shape.shape[1]} shape parameters."
            )
    starts = replace(State.joined(each), offset=rest.offset)
    if one_shape:
        whole = np.isfinite(starts.shape).all(axis=1) & finite_poses(starts.rotations)
        known = starts.shape[whole]
        shape = np.median(known, axis=0) if len(known) else work.chain.shape.neutral
        starts = replace(starts, shape=np.tile(shape, (len(starts), 1)))
    return starts


def _shared_hash(work: RigFit, version: str) -> str:
    """Of what the fits of all frames see."""
    chain = work.chain
    options = work.options.model_dump(include=set(RigFitOptions.model_fields))
    return content_hash(
        "rig frames", version, options, list(work.targets.cameras), work.free,
        chain.body.name, list(chain.joint_names), list(chain.point_names), chain.parents,
        chain.heads, chain.head_dirs, chain.pair_point, chain.pair_joint, chain.pair_weight,
        chain.pair_moment, chain.pair_dirs, work.columns,
    )  # fmt: skip
