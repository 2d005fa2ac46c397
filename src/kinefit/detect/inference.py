"""A network over a whole video: overlapped, in chunks that bound memory and survive a kill."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NamedTuple, Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from kinefit.detect.overlap import ahead, behind
from kinefit.detect.protocol import FrameResult, FrameSink, Progress
from kinefit.io.atomic import atomic_path
from kinefit.io.video import Clip, Picture, VideoFrame
from kinefit.types import (
    BoolArray,
    FloatArray,
    IntArray,
    Keypoints2D,
    Keypoints3D,
    NobodyFound,
    Timeline,
)

# A network that follows a person remembers the frames before. Each chunk starts a fresh one, so
# that whatever it piles up goes and a killed run can go on from the last whole chunk; some
# frames before the chunk let it settle. Started in the middle of the demo videos, MediaPipe is
# 5-10 pixels from itself in the first frames and, after 20-30, as far as its own jitter (2-5
# pixels); it never comes to agree exactly.
CHUNK = 1000
LEAD_IN = 30


@dataclass(frozen=True, eq=False)
class Landmarks:
    """What a network finds in one frame.

    xy, score, mask: as in FrameResult.
    body: (J, 3) metres, camera axes, origin at the mid-hip.
    """

    xy: FloatArray
    score: FloatArray
    body: FloatArray
    mask: NDArray[np.float32] | None = None


class Network(Protocol):
    """Looks at frames in order; None when it finds nobody."""

    def __call__(self, rgb: Picture, time: float) -> Landmarks | None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Inference:
    """A network and what is needed to run it over a video.

    start: makes a fresh network.
    names: J point names.
    settings: all that its landmarks depend on: name, version, model, options.
    masks: whether they have a mask. Masks are not kept on disk, so frames are looked at again
        when someone wants to see them.
    chunk, lead_in: frames; results depend on them.
    """

    start: Callable[[], Network]
    names: tuple[str, ...]
    settings: str
    masks: bool = False
    chunk: int = CHUNK
    lead_in: int = LEAD_IN

    def over(
        self,
        clip: Clip,
        on_frame: FrameSink | None,
        progress: Progress | None,
        checkpoint: Path | None,
    ) -> tuple[Keypoints2D, Keypoints3D, tuple[int, ...]]:
        """Points in the image, points of the body, damaged frames; see `Detector.track`."""
        info = clip.probe()
        folder = None if self.masks and on_frame else checkpoint
        run = _Run(self, info.n_frames, folder, self._key(clip) if folder else "")
        # Finished chunks are decoded again only for the sink to see them.
        start = 0 if on_frame else max(run.stored * self.chunk - self.lead_in, 0)
        with ExitStack() as stack:
            stack.callback(run.close)
            put = stack.enter_context(behind(on_frame))
            coming = stack.enter_context(ahead(clip.frames(skip=start)))
            for place, frame in enumerate(coming, start):
                put(run.step(place, frame))
                if progress:
                    progress(place + 1, info.n_frames)
        table = run.table()
        if not np.isfinite(table.xy).any():
            raise NobodyFound(clip.path, len(table.frame))
        timeline = Timeline(table.frame, table.time)
        return (
            Keypoints2D(timeline, self.names, table.xy, table.score, info.size),
            Keypoints3D(timeline, self.names, table.body, "camera"),
            tuple(table.frame[table.damaged].tolist()),
        )

    def _key(self, clip: Clip) -> str:
        with clip.path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        part = astuple(clip)[1:]
        return f"{content} {part} {self.settings} {self.chunk}+{self.lead_in}"


class _Table(NamedTuple):
    """Results of consecutive frames, one row each; what a checkpoint file holds."""

    frame: IntArray
    time: FloatArray
    damaged: BoolArray
    xy: FloatArray
    score: FloatArray
    body: FloatArray


class _Run:
    """One pass over a video: which networks see a frame, and where its result goes.

    Finished chunks are files in `folder`; one of another `key` (other settings or another video) is
    not there, and neither is a damaged one.
    """

    def __init__(self, inference: Inference, n_frames: int, folder: Path | None, key: str) -> None:
        self._inference, self._n_frames = inference, n_frames
        self._folder, self._key = folder, key
        self._tables: list[_Table] = []
        while folder and (table := self._read(self._file(folder))):
            self._tables.append(table)
        self.stored = len(self._tables)  # chunks that need no network any more
        self._networks: dict[int, Network] = {}
        self._rows: list[tuple[object, ...]] = []
        points = len(inference.names)
        self._nothing = Landmarks(
            np.full((points, 2), np.nan), np.zeros(points), np.full((points, 3), np.nan)
        )

    def step(self, place: int, frame: VideoFrame) -> FrameResult:
        """Look at one frame; the next chunk's network, settling in, looks as well."""
        chunk, row = divmod(place, self._inference.chunk)
        found = self._look(chunk, place, frame) or self._nothing
        self._look(chunk + 1, place, frame)
        if chunk < self.stored:
            table = self._tables[chunk]
            found = Landmarks(table.xy[row], table.score[row], table.body[row])
        else:
            self._rows.append(
                (frame.index, frame.time, frame.rgb is None, found.xy, found.score, found.body)
            )
        if len(self._rows) == self._inference.chunk:
            file = self._folder and self._file(self._folder)
            table = self._end_chunk()
            if file:
                with atomic_path(file) as path:
                    np.savez(path, key=np.array(self._key), **table._asdict())
            self._networks.pop(chunk).close()
        return FrameResult(frame.index, frame.time, frame.rgb, found.xy, found.score, found.mask)

    def _look(self, chunk: int, place: int, frame: VideoFrame) -> Landmarks | None:
        """What the network of `chunk` finds; None where the frame is none of its concern."""
        first = chunk * self._inference.chunk
        settling = first - self._inference.lead_in
        if chunk < self.stored or place < settling or first >= self._n_frames:
            return None
        if chunk not in self._networks:
            self._networks[chunk] = self._inference.start()
        return None if frame.rgb is None else self._networks[chunk](frame.rgb, frame.time)

    def _file(self, folder: Path) -> Path:
        """Of the chunk that is not finished."""
        return folder / f"chunk-{len(self._tables):05d}.npz"

    def _read(self, path: Path) -> _Table | None:
        unreadable = suppress(OSError, EOFError, ValueError, KeyError, BadZipFile)
        with unreadable, np.load(path, allow_pickle=False) as file:
            if str(file["key"]) == self._key:
                return _Table(*(file[name] for name in _Table._fields))
        return None

    def _end_chunk(self) -> _Table:
        """The rows so far as a table of their own."""
        self._tables.append(_Table(*(np.array(c) for c in zip(*self._rows, strict=True))))
        self._rows.clear()
        return self._tables[-1]

    def table(self) -> _Table:
        """All rows; nothing comes after."""
        if self._rows:
            self._end_chunk()
        return _Table(*(np.concatenate(c) for c in zip(*self._tables, strict=True)))

    def close(self) -> None:
        for network in self._networks.values():
            network.close()
