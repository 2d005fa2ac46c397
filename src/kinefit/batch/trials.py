"""What a batch is made of: trials found in a folder, or listed in a table, each with a name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from unicodedata import category

from kinefit.pipeline.config import FILES, RunConfig, is_network_file, run_config
from kinefit.pipeline.results import INTERNAL, RIG_STEM
from kinefit.types import InputError

OWN = ".kinefit_batch"  # a batch's records, in its folder
RESERVED = ("trials.csv", "measures.csv", "trials.parquet", "measures.parquet", "batch.html")
VIDEOS = (".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf",
          ".webm", ".wmv")  # fmt: skip
_CALIBRATIONS = (".toml", ".txt", ".yml", ".yaml", ".xml", ".json")  # others: name them
_MOST_BYTES = 2**20  # of a file that is tried as a calibration


@dataclass(frozen=True)
class Trial:
    """One recording to process.

    name: unique, the path of its results below the batch's folder ("A/cam01"). videos: one, or
    those of several cameras. config: its options, the paths absolute. where: what messages name.
    """

    name: str
    videos: tuple[Path, ...]
    config: RunConfig
    where: str = ""

    @property
    def bytes(self) -> int:
        """Size of the videos; 0 for one that is not there."""
        return sum(video.stat().st_size for video in self.videos if video.is_file())


@dataclass(frozen=True)
class Draft:
    """A trial that has no name yet.

    short: the name that it has if no other trial's is the same or begins with it. long: that it
    has else; "" where the user chose the short one. values: options that differ from the batch's.
    """

    short: str
    long: str
    videos: tuple[Path, ...]
    values: Mapping[str, Any]
    where: str


def named(drafts: Sequence[Draft], defaults: Mapping[str, Any]) -> list[Trial]:
    """The trials, each with a name of its own and checked options, sorted by name.

    No name is another's folder. Raises InputError for names that cannot be told apart or be a
    folder, options that are refused, and a trial without a height.
    """
    taken = Counter(draft.short.casefold() for draft in drafts)
    above = {str(p) for draft in drafts for p in PurePosixPath(draft.short.casefold()).parents}
    found: dict[str, Trial] = {}
    for draft in drafts:
        key = draft.short.casefold()
        free = taken[key] == 1 and key not in above and key not in RESERVED
        name = draft.short if free else draft.long or draft.short
        _check_name(name, draft.where)
        if (twin := found.get(name.casefold())) is not None:
            reason = f"is the same trial as {twin.where}, {name}"
            raise InputError(draft.where, reason, "give each a `name` of its own in a table")
        videos = tuple(Path(os.path.abspath(video)) for video in draft.videos)
        found[name.casefold()] = Trial(name, videos, _config(draft, defaults), draft.where)
    above = {str(p) for key in found for p in PurePosixPath(key).parents}
    for key, trial in found.items():
        if key in above:
            reason = f"its folder {trial.name} would hold other trials"
            raise InputError(trial.where, reason, "give it another `name` in a table")
    return [found[key] for key in sorted(found)]


def _check_name(name: str, where: str) -> None:
    parts = name.split("/")
    bad = any(part in ("", ".", "..") or part.startswith(".kinefit") for part in parts)
    bad = bad or any(one == "\\" or category(one) in ("Cc", "Cs") for one in name)
    if bad or name.casefold() in RESERVED:
        reason = f"{name!r} cannot be the name of a results folder"
        raise InputError(where, reason, "give it a plain `name`, e.g. walk_01, in a table")


def _config(draft: Draft, defaults: Mapping[str, Any]) -> RunConfig:
    config = run_config({**defaults, **draft.values}, draft.where)
    if config.height is None:
        hint = "give --height for all, or a column `height` in a table"
        raise InputError(draft.where, "the height is missing, and it sets the scale", hint)
    whole = {k: type(getattr(config, k))(v.absolute()) for k, v in option_files(config).items()}
    return config.model_copy(update=whole)


def option_files(config: RunConfig) -> dict[str, Path]:
    """Option -> the file or folder that it names."""
    found = {name: getattr(config, name) for name in FILES}
    found |= {"body": config.body} if config.body != "anny" else {}
    found |= {"pof_model": config.pof_model} if is_network_file(config.pof_model) else {}
    return {name: Path(file) for name, file in found.items() if file is not None}


def find_trials(folder: Path, defaults: Mapping[str, Any]) -> list[Trial]:
    """Every video below a folder; those of one folder together where a calibration has them.

    A calibration is a file beside the videos, in a folder above up to `folder`, or in a folder
    `calibration` of one of these, that names at least two of them; or the one in `defaults`.
    Hidden files, linked folders and results of kinefit below it are passed over. Raises InputError
    as `named`, and where there is no video.
    """
    drafts = list(_Search(folder, defaults).drafts())
    if not drafts:
        hint = "name a folder with videos, or a table (.csv, .toml) of trials"
        raise InputError(folder, "there is no video in it", hint)
    return named(drafts, defaults)


class _Search:
    """A walk through a folder, which reads every possible calibration once."""

    def __init__(self, root: Path, defaults: Mapping[str, Any]) -> None:
        self._root, self._defaults = root, defaults
        self._given = defaults.get("calibration")
        self._cameras: dict[Path, frozenset[str]] = {}

    def drafts(self) -> Iterator[Draft]:
        for at, folders, files in os.walk(self._root):
            here = Path(at)
            folders[:] = sorted(name for name in folders if not _is_ours(here / name))
            videos = [here / name for name in sorted(files) if _is_video(here / name)]
            calibration = self._calibration(here, videos) if len(videos) > 1 else None
            if calibration is not None:
                yield self._rig(here, tuple(videos), calibration)
            else:
                yield from map(self._single, videos)

    def _single(self, video: Path) -> Draft:
        path = video.relative_to(self._root)
        values = {"calibration": None} if self._given else {}
        return Draft(path.with_suffix("").as_posix(), path.as_posix(), (video,), values, str(video))

    def _rig(self, folder: Path, videos: tuple[Path, ...], calibration: Path) -> Draft:
        path = folder.relative_to(self._root)
        short = path.as_posix() if path.parts else self._root.resolve().name or RIG_STEM
        values = {"calibration": calibration}
        return Draft(short, (path / RIG_STEM).as_posix(), videos, values, str(folder))

    def _calibration(self, folder: Path, videos: Sequence[Path]) -> Path | None:
        """The nearest one with at least two of the videos as cameras."""
        names = {video.stem for video in videos}
        candidates = (self._given,) if self._given else self._near(folder)
        fitting = (path for path in candidates if len(names & self._cameras_of(path)) > 1)
        return next(fitting, None)

    def _near(self, folder: Path) -> Iterator[Path]:
        above = folder.relative_to(self._root).parents
        for place in (folder, *(self._root / parent for parent in above)):
            for inside in (place, place / "calibration"):
                files = sorted(inside.iterdir()) if inside.is_dir() else []
                yield from (path for path in files if path.suffix.lower() in _CALIBRATIONS)

    def _cameras_of(self, path: Path) -> frozenset[str]:
        """Names of its cameras; none of a file that is no calibration, unless the user named it."""
        if path not in self._cameras:
            small = path.is_file() and path.stat().st_size <= _MOST_BYTES
            self._cameras[path] = frozenset()
            with nullcontext() if path == self._given else suppress(InputError):
                if small or path == self._given:
                    self._cameras[path] = self._read(path)
        return self._cameras[path]

    def _read(self, path: Path) -> frozenset[str]:
        from kinefit.io.calibration import read_calibration  # brings SciPy: only where it is needed

        how = {n: self._defaults[n] for n in ("units", "invert_extrinsics") if n in self._defaults}
        return frozenset(read_calibration(path, **how).rig.names)


def _is_ours(folder: Path) -> bool:
    """Hidden, a results folder, or the folder of a batch."""
    return folder.name.startswith(".") or any((folder / n).is_dir() for n in (INTERNAL, OWN))


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS and not path.name.startswith(".")


def videos_in(folder: Path) -> tuple[Path, ...]:
    """The videos that lie directly in a folder, sorted."""
    return tuple(path for path in sorted(folder.iterdir()) if _is_video(path))


def shard(trials: Sequence[Trial], part: str) -> list[Trial]:
    """The trials of part "I/N", I from 1; every trial is in exactly one of the N parts.

    Raises InputError for anything else.
    """
    number, _, parts = part.partition("/")
    if number.isdigit() and parts.isdigit() and 1 <= int(number) <= int(parts):
        return list(trials[int(number) - 1 :: int(parts)])
    raise InputError("--shard", f"{part!r} is not I/N with I from 1 to N", "give e.g. 3/16")


def largest_first(trials: Sequence[Trial]) -> list[Trial]:
    """In the order in which no long one is left alone at the end."""
    return sorted(trials, key=lambda trial: -trial.bytes)
