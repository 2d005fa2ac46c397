"""The detector that comes with kinefit: BlazePose over a whole video, for everybody in it."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from kinefit import __version__
from kinefit.detect.blazepose import NAMES, LandmarkNetwork, Pose, read_model, weights
from kinefit.detect.follow import Follower, Key, Lost, Networks, Seen, State
from kinefit.detect.looks import PARTS
from kinefit.detect.overlap import ahead
from kinefit.detect.protocol import Progress
from kinefit.io.atomic import atomic_path
from kinefit.io.people import People
from kinefit.io.video import Clip, Picture, VideoFrame
from kinefit.types import FloatArray, NobodyFound

CHUNK = 1000  # frames, at least, between two checkpoints
_STORED = ("frame", "damaged", "count", "values", "place", "look")


@dataclass(frozen=True)
class BlazePoseDetector:
    """33 landmarks of everybody, with bodies in metres.

    model: another landmark network (.tflite, or MediaPipe's .task); None for those that come with
        kinefit. heavy: the "heavy" one of these, not the "full" one. thorough: the smallest people
        are searched, too. threads: None: one for each core; the result does not depend on it.

    Raises InputError when the model is not there or is none.
    """

    model: Path | None = None
    heavy: bool = False
    thorough: bool = False
    threads: int | None = None
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        if self.model is not None:
            read_model(self.model)

    @property
    def names(self) -> tuple[str, ...]:
        return NAMES

    @property
    def source(self) -> str:
        network = self.model.name if self.model else "heavy" if self.heavy else "full"
        search = ", small people searched" if self.thorough else ""
        return f"BlazePose ({network}) on LiteRT {version('ai-edge-litert')}{search}"

    def people(
        self, clip: Clip, *, progress: Progress | None = None, checkpoint: Path | None = None
    ) -> People:
        """As `Detector.people`."""
        info = clip.probe()
        model = self._landmarks()
        work = _Work(checkpoint, self._key(clip, model) if checkpoint else "")
        networks = Networks(model, self.thorough)
        follower = Follower(networks, info.rate_hz, self.threads or cores(), work.state)
        with ahead(clip.frames(skip=work.count)) as frames:
            # Of interlaced video fewer frames come than are skipped.
            new = (frame for frame in frames if frame.index > work.last)
            for frame, seen in follower.over(new):
                work.add(frame.index, frame.rgb is None, seen)
                if follower.state.row + 1 == work.count and work.waiting >= self.chunk:
                    work.store(follower.state)
                if progress:
                    progress(work.count, info.n_frames)
        people = work.people(self.source)
        if not any(len(p) for p in people.points):
            raise NobodyFound(clip.path, len(people.frame))
        return people

    def _landmarks(self) -> bytes | None:
        if self.model is not None:
            return read_model(self.model)
        return weights("pose_landmark_heavy") if self.heavy else None

    def _key(self, clip: Clip, model: bytes | None) -> str:
        """All that the result depends on."""
        with clip.path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        part = {name: value for name, value in asdict(clip).items() if name != "path"}
        networks = weights("pose_detection") + (model or weights("pose_landmark_full"))
        used = hashlib.sha256(networks).hexdigest()
        return f"{content} {part} {self.source} {used} {__version__}"


class PictureDetector:
    """Everybody in single pictures, whatever came before; model: as of `Networks`."""

    def __init__(self, model: bytes | None = None) -> None:
        self._follower = Follower(Networks(model), float("nan"), 1)

    def __call__(self, rgb: Picture) -> list[Pose]:
        self._follower.state = State()
        ((_, seen),) = self._follower.over(iter([VideoFrame(0, 0.0, rgb)]))
        return [one.pose for one in seen]


def mask_network(model: Path | None) -> LandmarkNetwork:
    """The "full" network, or another, for the masks of people whose places are known."""
    return LandmarkNetwork(None if model is None else read_model(model), masks=True)


def cores() -> int:
    """How many cores this process may use: those it has, or the number in KINEFIT_CORES."""
    if (share := os.environ.get("KINEFIT_CORES", "")).isdigit():
        return max(1, int(share))
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Work:
    """What was found so far, in memory and as files in `folder`.

    A file of another `key` (other settings or another video) is not there, and neither is a
    damaged one.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self._folder, self._key = folder, key
        self._chunks: list[dict[str, Any]] = []
        self.state = State()
        while (stored := self._read()) is not None:
            self._chunks.append({name: stored[name] for name in _STORED})
            self.state = _state_from(stored)
        self.count = sum(len(chunk["frame"]) for chunk in self._chunks)
        self.last = int(self._chunks[-1]["frame"][-1]) if self._chunks else -1
        self._rows: list[tuple[int, bool, list[Seen]]] = []

    @property
    def waiting(self) -> int:
        """Frames that are in no chunk."""
        return len(self._rows)

    def add(self, frame: int, damaged: bool, seen: list[Seen]) -> None:
        self._rows.append((frame, damaged, seen))
        self.count += 1

    def store(self, state: State) -> None:
        """End a chunk."""
        file = self._file()
        self._end_chunk()
        if file is not None:
            with atomic_path(file) as path:
                own = {**self._chunks[-1], **_arrays_of(state)}
                np.savez(path, key=np.array(self._key), **own)

    def people(self, source: str) -> People:
        """Everybody; nothing comes after."""
        if self._rows or not self._chunks:
            self._end_chunk()
        whole = {name: np.concatenate([c[name] for c in self._chunks]) for name in _STORED}
        ends = np.cumsum(whole["count"])[:-1]
        each = {n: tuple(np.split(whole[n], ends)) for n in ("values", "place", "look")}
        return People(
            NAMES,
            whole["frame"],
            tuple(v[..., :3] for v in each["values"]),
            tuple(v[..., 3:] for v in each["values"]),
            each["place"],
            each["look"],
            tuple(whole["frame"][whole["damaged"]].tolist()),
            source,
        )

    def _end_chunk(self) -> None:
        everybody = [one for _, _, seen in self._rows for one in seen]
        self._chunks.append({
            "frame": np.array([frame for frame, _, _ in self._rows], np.int64),
            "damaged": np.array([damaged for _, damaged, _ in self._rows], bool),
            "count": np.array([len(seen) for _, _, seen in self._rows], np.int64),
            "values": _stacked([one.pose.values for one in everybody], (len(NAMES), 6)),
            "place": _stacked([one.pose.place for one in everybody], (4,)),
            "look": _stacked([one.look for one in everybody], (PARTS, 3)),
        })  # fmt: skip
        self._rows.clear()

    def _file(self) -> Path | None:
        """Of the chunk that is not finished."""
        return self._folder and self._folder / f"chunk-{len(self._chunks):05d}.npz"

    def _read(self) -> dict[str, Any] | None:
        path = self._file()
        unreadable = suppress(OSError, EOFError, ValueError, KeyError, BadZipFile)
        with unreadable:
            if path is not None:
                with np.load(path, allow_pickle=False) as file:
                    if str(file["key"]) == self._key:
                        return dict(file)
        return None


def _arrays_of(state: State) -> dict[str, Any]:
    keys = state.keys
    return {
        "state_row": state.row,
        "state_deep": state.deep,
        "state_values": _stacked([k.seen.pose.values for k in keys], (len(NAMES), 6)),
        "state_place": _stacked([k.seen.pose.place for k in keys], (4,)),
        "state_sure": np.array([k.seen.pose.sure for k in keys]),
        "state_look": _stacked([k.seen.look for k in keys], (PARTS, 3)),
        "state_half": _stacked([k.half for k in keys], (len(NAMES), 6)),
        "state_speed": _stacked([k.speed for k in keys], (4,)),
        "lost_place": _stacked([one.place for one in state.lost], (4,)),
        "lost_row": np.array([one.row for one in state.lost], np.int64),
    }


def _state_from(stored: dict[str, Any]) -> State:
    names = ("values", "place", "sure", "look", "half", "speed")
    keys = tuple(
        Key(Seen(Pose(values, place, float(sure)), look), half, speed)
        for values, place, sure, look, half, speed in zip(
            *(stored[f"state_{name}"] for name in names), strict=True
        )
    )
    lost = zip(stored["lost_place"], stored["lost_row"].tolist(), strict=True)
    row, deep = int(stored["state_row"]), int(stored["state_deep"])
    return State(row, keys, tuple(Lost(place, at) for place, at in lost), deep)


def _stacked(arrays: list[FloatArray], shape: tuple[int, ...]) -> FloatArray:
    return np.array(arrays, np.float64).reshape(-1, *shape)
