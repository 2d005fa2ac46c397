"""What is sent to where a trial is done, and what comes back: both are plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from kinefit.batch.trials import OWN, Trial, option_files
from kinefit.io.atomic import write_json
from kinefit.pipeline.provenance import sha256_json

Status = Literal["good", "caution", "unusable", "failed"]
STATUSES: tuple[Status, ...] = ("failed", "unusable", "caution", "good")  # worst first
_LONGEST = 200  # bytes of a name that a file may have for its own
_END = ".json"  # of records


@dataclass(frozen=True)
class Order:
    """One trial to do.

    name, videos, options: of the trial; paths are absolute. out: its results folder. record: the
    file for what came of it. key: hash of what that depends on. ours: whether the folder holds
    what this trial left there, so that results of an earlier video may be replaced.
    """

    name: str
    videos: tuple[str, ...]
    options: Mapping[str, Any]
    out: str
    record: str
    key: str
    ours: bool = False

    @property
    def manifest(self) -> Path:
        """The run.json of its results."""
        return Path(self.out) / "run.json"

    def to_json(self) -> str:
        """In one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Order:
        """The order that `to_json` gave."""
        value = json.loads(text)
        return cls(**{**value, "videos": tuple(value["videos"])})


class Angle(TypedDict):
    """A joint angle of one person, as run.json has it."""

    name: str
    present_pct: float | None
    gimbal_pct: float | None
    low: float | None
    high: float | None


class Result(TypedDict):
    """What the batch's tables say of one person."""

    folder: str
    verdict: str
    reason: NotRequired[str]
    frames: int
    cautions: list[str]
    files: list[str]
    speed_m_s: float | None
    angles: list[Angle]


@dataclass(frozen=True)
class Record:
    """What came of a trial, as it is kept beside the results.

    status: the worst verdict of its people, or "failed"; then reason says why, and settled is
    whether another try could say nothing else (the input was refused). seconds: by the clock;
    cpu_s: of processors; memory_mb: the most that one process had. tries: how often it was begun.
    manifest: size and time of its run.json, once the folder is the trial's. results: for each
    person what `kinefit.batch.trial` reads from it.
    """

    key: str
    status: Status
    reason: str = ""
    settled: bool = True
    seconds: float = 0.0
    cpu_s: float = 0.0
    memory_mb: float = 0.0
    tries: int = 1
    manifest: Sequence[int] = ()
    results: Sequence[Result] = field(default_factory=tuple)

    def write(self, path: str | Path) -> None:
        """Atomically."""
        write_json(path, asdict(self))

    def try_write(self, path: str | Path) -> Record:
        """Write it where that can be done; itself."""
        with suppress(Exception):
            self.write(path)
        return self


_RECORD = TypeAdapter(Record)


def failure(order: Order, reason: str, *, settled: bool = False) -> Record:
    """The record of a trial without a result."""
    manifest = stamp(order.manifest) if order.ours else []
    return Record(order.key, "failed", reason, settled, manifest=manifest)


def read_record(path: str | Path) -> Record | None:
    """None where there is none, or what is there is none (then the trial is simply done again)."""
    try:
        return _RECORD.validate_json(Path(path).read_bytes(), strict=True)
    except (OSError, ValueError):
        return None


def owned(order: Order, before: Sequence[int]) -> Order:
    """The order; `ours` where its run.json is another one than `before`, when it was begun."""
    return replace(order, ours=order.ours or stamp(order.manifest) != list(before))


def order_for(trial: Trial, root: Path, code: str) -> Order:
    """The order for a trial of the batch in the folder `root`, by code of this version."""
    files = option_files(trial.config)
    # A preset's values are there; it would again stand before a given value that is the default.
    plain = trial.config.model_copy(update={"preset": None})
    options = plain.model_dump(mode="json", exclude_defaults=True)
    known = {n: _identity(files[n]) if n in files else value for n, value in options.items()}
    videos = [_identity(video) for video in trial.videos]
    key = sha256_json({"code": code, "options": known, "videos": videos})
    record = root / OWN / "records" / f"{_record_stem(trial.name)}{_END}"
    out, names = str(root / trial.name), tuple(map(str, trial.videos))
    return Order(trial.name, names, options, out, str(record), key)


def _record_stem(name: str) -> str:
    """The trial's name; of one that no file can have, or whose folder could be the record of
    another trial, its hash."""
    folders = PurePosixPath(name.casefold()).parent.parts
    usable = len(name.encode()) <= _LONGEST and not any(one.endswith(_END) for one in folders)
    return name if usable else sha256_json(name)


def _identity(path: Path) -> list[Any]:
    """Name, size and time of a file; of every file below a folder. A file that is moved, with its
    time, stays the same."""
    if path.is_dir():
        return [path.name, [_identity(inside) for inside in sorted(path.iterdir())]]
    return [path.name, *stamp(path)]


def stamp(path: Path) -> list[int]:
    """Size and time of change in nanoseconds; [] where there is no such file."""
    try:
        state = path.stat()
    except OSError:
        return []
    return [state.st_size, state.st_mtime_ns]
