"""A results folder: what was computed, from what, and whether it still holds.

Nothing that a user was given disappears unasked. A stage works in a staging folder of its own;
its files are moved into place once all of them are whole. The record of the stage, with its key
and the SHA-256 of every file, is written just before the first move, so that a process killed in
between is finished by the next one. A stage that is done again replaces its own files and no
others; what was computed from its earlier result stays, and `is_stale` says so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from kinefit.io.atomic import write_json
from kinefit.io.text import read_json
from kinefit.pipeline.provenance import sha256_file, sha256_json
from kinefit.pipeline.results import INTERNAL
from kinefit.types import InputError


@dataclass(frozen=True)
class Record:
    """One finished stage.

    stage: its name, unique in the folder. key: hash of everything that the result depends on.
    files: name relative to the folder -> SHA-256. after: id of each stage that was read -> hash
    of its files then. about: inputs and options, for people. seconds: of work. left: the same as
    files, of what earlier results of the stage had and this one has not, and which lies there yet.
    """

    stage: str
    key: str
    seconds: float
    files: dict[str, str]
    after: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def all_files(self) -> dict[str, str]:
        """Every file of the folder that the stage wrote."""
        return {**self.left, **self.files}

    @property
    def digest(self) -> str:
        """Hash of the files, for the stages that read them."""
        return sha256_json(self.files)


class Folder:
    """The results folder at `path`. Open it with `open_folder`.

    records: by id, of all stages ever finished here, whatever command they belonged to.
    kept: names of copies of files that the user had edited before they were made again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        read = map(_read_record, self._internal("stages").glob("*.json"))
        self.records = {record.stage: record for record in read if record is not None}
        self.kept: list[str] = []
        self.claimed = False  # by this process, and not before
        self.finish_moves()

    def file(self, name: str) -> Path:
        """Path of a file of a stage; InputError where a link leads out of the folder."""
        at = self.path
        for part in PurePosixPath(name).parent.parts:
            at = at / part
            if at.is_symlink():
                raise InputError(at, "is a link to another folder", "choose another --out")
        return self.path / name

    def claim(self, stem: str, inputs: Mapping[str, str], *, overwrite: bool) -> None:
        """Make this the folder of the inputs (name -> SHA-256) whose files begin with `stem`.

        A folder of other inputs is refused with InputError unless `overwrite`, which removes what
        kinefit wrote there and nothing else; one with files that kinefit did not make is refused.
        """
        check_stem(stem)
        wanted = {"stem": stem, "inputs": dict(inputs)}
        match _read_json(self._internal("input.json")):
            case {"stem": str(), "inputs": dict()} as claim:
                pass
            case _:
                claim = None  # none, damaged, or not ours
        if claim is None and (foreign := self._foreign()):
            reason = f"holds files that kinefit did not write ({foreign[0]})"
            raise InputError(self.path, reason, "choose a new or empty --out")
        if claim is not None and claim != wanted and not overwrite:
            others = ", ".join(claim["inputs"])
            reason = f"holds the results of another input ({others}), not of {', '.join(inputs)}"
            hint = "choose another --out, or --overwrite to replace them"
            raise InputError(self.path, reason, hint)
        if overwrite:
            self._remove_all()
        self.claimed = claim is None
        write_json(self._internal("input.json"), wanted)

    def valid(self, stage: str, key: str) -> Record | None:
        """The record of a stage whose result is here and still what was written."""
        record = self.records.get(stage)
        if record is None or record.key != key:
            return None
        for name, digest in record.files.items():
            file = self.file(name)
            if not file.is_file() or sha256_file(file) != digest:
                return None
        return record

    def is_stale(self, stage: str) -> bool:
        """Whether a stage was computed from an earlier result of a stage that it reads."""
        seen, todo = {stage}, [stage]  # forged records may read one another in a circle
        while todo:
            for other, digest in self.records[todo.pop()].after.items():
                if other not in self.records or self.records[other].digest != digest:
                    return True
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        return False

    def staging(self, stage: str, key: str) -> Path:
        """An empty folder for the files of a stage, laid out as they shall lie in this one."""
        path = _no_link(self._staging_of(stage, key))
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def partial(self, stage: str) -> Path:
        """Where a stage may keep unfinished work for its next try; gone once it is recorded."""
        return _no_link(self._internal("partial") / stage)

    def commit(
        self, stage: str, key: str, seconds: float,
        after: Mapping[str, str], about: Mapping[str, Any],
    ) -> Record:  # fmt: skip
        """Move what a stage left in its staging folder into place, and remember it.

        Raises InputError for a file that belongs to another command, or to the user.
        """
        staged = self._staging_of(stage, key)
        paths = sorted(p for p in staged.rglob("*") if p.is_file())
        files = {p.relative_to(staged).as_posix(): sha256_file(p) for p in paths}
        earlier = self.records.get(stage)
        owner = {name: r.stage for r in self.records.values() for name in r.all_files}
        for name in files:
            target = self.file(name)
            if target.exists() and owner.get(name, "") != stage:
                by = f"was written by {owner[name]!r}" if name in owner else "is not kinefit's"
                raise InputError(target, by, "choose another --out, or move that file away")
        if earlier is not None:
            self._keep_edited(earlier, files)
        before = {} if earlier is None else earlier.all_files
        left = {n: digest for n, digest in before.items() if n not in files}
        record = Record(stage, key, round(seconds, 3), files, dict(after), dict(about), left)
        write_json(self._internal("stages") / f"{stage}.json", asdict(record))
        self.records[stage] = record
        self._move(staged, record)
        shutil.rmtree(self.partial(stage), ignore_errors=True)
        _remove_if_empty(self._internal("partial"))
        return record

    def adopt(self, lender: Folder, stage: str, key: str) -> bool:
        """Take over a stage's result from another folder, if it is there and whole."""
        record = lender.valid(stage, key)
        if record is None:
            return False
        staged = self.staging(stage, key)
        for name in record.files:
            (staged / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(lender.file(name), staged / name)
        self.commit(stage, key, record.seconds, record.after, record.about)
        return True

    def _keep_edited(self, earlier: Record, files: Mapping[str, str]) -> None:
        """Copy away what the user changed since it was written, before it is made again."""
        for name in files.keys() & earlier.all_files.keys():
            target = self.file(name)
            as_written = (earlier.all_files[name], files[name])
            if not target.is_file() or sha256_file(target) in as_written:
                continue
            edited = (f"{target.stem}.edited{n}{target.suffix}" for n in chain([""], count(2)))
            copy = next(c for c in map(target.with_name, edited) if not c.exists())
            target.rename(copy)
            self.kept.append(copy.relative_to(self.path).as_posix())

    def _move(self, staged: Path, record: Record) -> None:
        for name, digest in record.files.items():
            source, target = staged / name, self.file(name)
            if source.is_file() and sha256_file(source) == digest:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, target)
        shutil.rmtree(staged, ignore_errors=True)
        _remove_if_empty(staged.parent)

    def finish_moves(self) -> None:
        """Finish what a killed process was moving; drop what it had not finished computing."""
        by_place = {self._staging_of(r.stage, r.key): r for r in self.records.values()}
        for staged in map(_no_link, list(self._internal("staging").glob("*"))):
            if staged in by_place and not any(p.is_symlink() for p in staged.rglob("*")):
                self._move(staged, by_place[staged])
            else:
                shutil.rmtree(staged, ignore_errors=True)
        _remove_if_empty(self._internal("staging"))

    def _foreign(self) -> list[str]:
        """Entries of the folder that no record lists."""
        known = {
            PurePosixPath(name).parts[0] for r in self.records.values() for name in r.all_files
        }
        known |= {INTERNAL, "run.json"} if self.records else {INTERNAL}
        return sorted(e.name for e in self.path.iterdir() if e.name not in known)

    def _remove_all(self) -> None:
        """Remove every file that a record lists, but for those that the user has changed."""
        for record in self.records.values():
            for name, digest in record.all_files.items():
                file = self.file(name)
                if file.is_file() and sha256_file(file) == digest:
                    file.unlink()
                    if file.parent != self.path:
                        _remove_if_empty(file.parent)
        for folder in map(self._internal, ("stages", "partial")):
            if folder.is_dir():
                shutil.rmtree(folder)
        for file in (self._internal("input.json"), self.path / "run.json"):
            file.unlink(missing_ok=True)
        self.records.clear()

    def _internal(self, name: str) -> Path:
        return self.path / INTERNAL / name

    def _staging_of(self, stage: str, key: str) -> Path:
        return self._internal("staging") / f"{stage}.{key[:16]}"


@contextmanager
def open_folder(path: Path) -> Iterator[Folder]:
    """The results folder at `path`, made if need be, locked against other processes.

    Raises InputError where it cannot be a folder or another process is writing it. Folders made
    by this call are gone again if nothing was finished in them.
    """
    check_folder(path)
    internal = path / INTERNAL
    for part in (internal, *(internal / name for name in _INTERNAL_PARTS)):
        if part.is_symlink():  # what is removed below would be somebody else's
            raise InputError(part, "is a link to another folder", "choose another --out")
    made = [p for p in (internal, path, *path.parents) if not p.exists()]
    internal.mkdir(parents=True, exist_ok=True)
    lock = FileLock(internal / "lock", timeout=0)
    try:
        with lock:
            folder = Folder(path)
            try:
                yield folder
            finally:
                folder.finish_moves()
                if folder.claimed and not folder.records:
                    (internal / "input.json").unlink(missing_ok=True)
                if not any(p.name != "lock" for p in internal.iterdir()):
                    (internal / "lock").unlink(missing_ok=True)
    except Timeout as error:
        hint = "wait until it is done, or choose another --out"
        raise InputError(path, "another process is writing this folder", hint) from error
    finally:
        for folder_made in made:
            _remove_if_empty(folder_made)


_LONGEST_NAME, _LONGEST_WAY = 255, 1000  # bytes that a file system takes; letters of a path
_LONGEST_STEM = 150  # bytes; what is added to it takes up to 80, and file systems take 255


def check_stem(stem: str) -> None:
    """InputError for a name of a video that the names of results cannot begin with."""
    hint = "rename the file"
    try:
        size = len(stem.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise InputError(ascii(stem), "the file's name is not Unicode text", hint) from error
    if size > _LONGEST_STEM:
        reason = f"the file's name has {size} bytes, which leaves no room for the names of results"
        raise InputError(f"{stem[:40]}...", reason, f"{hint} to {_LONGEST_STEM} letters or fewer")
    if not stem.isprintable():
        reason = "the file's name has a line break or another character that cannot be printed"
        raise InputError(ascii(stem), reason, hint)


_INTERNAL_PARTS = ("stages", "staging", "partial", "input.json", "lock")


def check_folder(out: Path) -> None:
    """InputError unless `out` is, or can become, a folder; before work whose result goes there."""
    taken = next((p for p in (out, *out.parents) if p.exists()), out)
    if taken.exists() and not taken.is_dir():
        raise InputError(taken, "is a file, not a folder", "choose another --out")


def _is_inside(name: str) -> bool:
    """Whether it can be the name of a file of a folder, and of no other."""
    parts = PurePosixPath(name).parts
    fits = all(len(part.encode()) <= _LONGEST_NAME for part in parts) and len(name) <= _LONGEST_WAY
    return bool(parts) and fits and not {"..", "/", "//"} & set(parts)


def _no_link(path: Path) -> Path:
    """The path, where no link lies any more: what is written there would be somebody else's."""
    if path.is_symlink():
        path.unlink()
    return path


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # not empty, or not there
        folder.rmdir()


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except InputError:
        return None


def _read_record(path: Path) -> Record | None:
    """The record at `path`; None when it is not one (then the stage is simply done again)."""
    value = _read_json(path)
    try:
        files = {str(k): str(v) for k, v in value["files"].items()}
        after = {str(k): str(v) for k, v in value["after"].items()}
        stage, key, seconds = str(value["stage"]), str(value["key"]), float(value["seconds"])
        about = dict(value["about"])
        left = {str(k): str(v) for k, v in value.get("left", {}).items()}
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError):
        return None
    if stage != path.stem or not all(map(_is_inside, (*files, *left))):
        return None  # forged: it would reach outside the folder
    return Record(stage, key, seconds, files, after, about, left)
