"""What a stage is handed: its declared options, the files of the stages it reads, and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from kinefit.io.video import Clip
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.results import INTERNAL
from kinefit.types import Cancelled, InputError

Kind = Literal["video", "rig", "bundle"]
Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total); total is 0 while unknown."""


class CancelToken(Protocol):
    """Asked between frames and stages; `threading.Event` is one."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True, eq=False)
class Job:
    """One run of the plan: what it is made from and what the user chose.

    kind: the video of one camera, those of a rig, or a bundle of triangulated points.
    stem: how the names of its files begin. inputs: camera (or "bundle") -> file.
    """

    kind: Kind
    stem: str
    inputs: Mapping[str, Path]
    config: RunConfig
    progress: Progress = lambda stage, done, total: None
    cancel: CancelToken | None = None

    @property
    def source(self) -> Path:
        """What messages about the content of the inputs name."""
        first = next(iter(self.inputs.values()))
        return first if len(self.inputs) == 1 else first.parent


@dataclass(frozen=True, eq=False)
class Context:
    """One stage at work.

    staging: where its files go, laid out as in the results folder. partial: a folder for
    unfinished work that the next try may use. readable: name -> path of the files of the stages
    that it reads. camera: the one whose video a stage per camera works on.
    """

    job: Job
    stage: str
    options: tuple[str, ...]
    staging: Path
    partial: Path
    readable: Mapping[str, Path] = field(default_factory=dict)
    camera: str = ""

    @property
    def config(self) -> RunConfig:
        """The options that the stage has declared; reading another one is an error."""
        return cast(RunConfig, _Declared(self.job.config, self.stage, frozenset(self.options)))

    @property
    def clips(self) -> dict[str, Clip]:
        """Camera -> the part of its video that is looked at, by the options of the stage."""
        return {camera: clip_of(video, self.config) for camera, video in self.job.inputs.items()}

    @property
    def clip(self) -> Clip:
        """That of a stage per camera, or of the only one."""
        camera = self.camera or next(iter(self.job.inputs))
        return clip_of(self.job.inputs[camera], self.config)

    def new(self, suffix: str, stem: str | None = None) -> Path:
        """Where to write `<stem><suffix>` for the user."""
        return self._made(self.staging / f"{self.job.stem if stem is None else stem}{suffix}")

    def internal(self, name: str) -> Path:
        """Where to write a file that only kinefit reads."""
        return self._made(self.staging / INTERNAL / name)

    def read(self, name: str) -> Path:
        """A file of one of the stages that this one has declared to read."""
        if name not in self.readable:
            raise KeyError(f"stage {self.stage!r} reads {name!r}, which no stage it reads wrote")
        return self.readable[name]

    def read_internal(self, name: str) -> Path:
        return self.read(f"{INTERNAL}/{name}")

    def read_user(self, suffix: str) -> Path:
        return self.read(f"{self.job.stem}{suffix}")

    def has_internal(self, name: str) -> bool:
        return f"{INTERNAL}/{name}" in self.readable

    def progress(self, done: int, total: int) -> None:
        """Tell how far the stage is; raises Cancelled when the user wants it to end."""
        check_cancel(self.job)
        self.job.progress(self.stage, done, total)

    def _made(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def check_cancel(job: Job) -> None:
    """Raise Cancelled if the job's token says so."""
    if job.cancel is not None and job.cancel.is_set():
        raise Cancelled("The run was stopped. Next: the same command goes on where it was.")


# The options that `clip_of` reads.
CLIP_OPTIONS = ("start", "end", "every", "slowmo", "fps_real", "rotate")


def clip_of(video: Path, config: RunConfig) -> Clip:
    """The part of a video that was asked for.

    Raises InputError, with `--fps-real`, for a video that cannot be read and one of a higher rate.
    """
    turned = config.rotate_deg
    clip = Clip(video, config.start, config.end, rotate=turned.get(video.stem, turned.get("", 0)))
    slowmo = config.slowmo or 1.0
    if config.fps_real is not None:
        rate = clip.probe().rate_hz
        slowmo = config.fps_real / rate
        if slowmo < 1 - _SAME_RATE:
            reason = f"{video.name} has {rate:.4g} frames per second itself"
            hint = f"give {rate:.4g} or more; --slowmo {slowmo:.3g} if it plays faster than life"
            raise InputError(f"--fps-real {config.fps_real:g}", reason, hint)
    return replace(clip, every=config.every, slowmo=slowmo)


_SAME_RATE = 0.01  # 240 is said of 240.2


class _Declared:
    """A RunConfig of which only some options can be read, by its properties too."""

    def __init__(self, config: RunConfig, stage: str, names: frozenset[str]) -> None:
        self._config, self._stage, self._names = config, stage, names

    def __getattr__(self, name: str) -> Any:
        derived = getattr(type(self._config), name, None)
        if isinstance(derived, property) and derived.fget is not None:
            return derived.fget(self)
        if name not in type(self._config).model_fields:
            raise AttributeError(name)
        if name not in self._names:
            raise AttributeError(f"stage {self._stage!r} reads option {name!r} undeclared")
        return getattr(self._config, name)


def missing_input(path: Path) -> InputError:
    """The error for an input or an option's file that is not there."""
    return InputError(path, "there is no such file or folder", "check the path")
