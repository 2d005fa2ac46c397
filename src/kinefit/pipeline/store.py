"""A run folder: what was computed, from what, and whether it still holds.

Each stage leaves a record `.kinefit/<stage>.json` with a key (hash of its input hashes, its
parameters and the code version) and the SHA-256 of every file it wrote. A stage is reused only
when the key is the same and each of its files is still what was written. The record is written
last, so that a stage killed half-way has none and is done again.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from kinefit.io.atomic import remove_partial, write_json
from kinefit.pipeline.provenance import code_version, sha256_file, sha256_json
from kinefit.types import InputError, KinefitError

INTERNAL = ".kinefit"


@dataclass(frozen=True)
class StageRecord:
    """One finished stage: its key, seconds of work, and files (relative name -> SHA-256)."""

    stage: str
    key: str
    seconds: float
    files: dict[str, str]
    reused: bool = False


@dataclass
class RunFolder:
    """The output folder of one run. Open it with `open_run`."""

    path: Path
    input_sha256: str
    records: dict[str, StageRecord] = field(default_factory=dict)

    def internal(self, name: str) -> Path:
        """Path of a file that only kinefit reads."""
        return self.path / INTERNAL / name

    def stage(
        self,
        name: str,
        work: Callable[[], list[Path]],
        *,
        parameters: Mapping[str, Any],
        after: tuple[str, ...] = (),
    ) -> StageRecord:
        """Do `work` unless its result is here already; it returns the files it wrote.

        parameters: everything besides the input and the stages in `after` that the result
            depends on; JSON values or paths.
        """
        upstream = {stage: self.records[stage].files for stage in after}
        key = sha256_json(
            {
                "stage": name,
                "code": code_version(),
                "input": self.input_sha256,
                "parameters": dict(parameters),
                "after": upstream,
            }
        )
        record = self._reusable(name, key)
        if record is None:
            self.forget_stages_not_run()  # what follows from an older result goes with it
            (self.path / "run.json").unlink(missing_ok=True)
            start = time.perf_counter()
            written = sorted(work())
            files = {p.relative_to(self.path).as_posix(): sha256_file(p) for p in written}
            record = StageRecord(name, key, round(time.perf_counter() - start, 3), files)
            write_json(self._record_path(name), _as_json(record))
        self.records[name] = record
        return record

    def forget_stages_not_run(self) -> None:
        """Remove what an earlier run left of stages that this one has not reached (or has not)."""
        for path in self.path.glob(f"{INTERNAL}/*.json"):
            record = _read_record(path)
            if record is not None and record.stage not in self.records:
                _remove_files(self.path, record.files)
                path.unlink()

    def _record_path(self, stage: str) -> Path:
        return self.internal(f"{stage}.json")

    def _reusable(self, stage: str, key: str) -> StageRecord | None:
        record = _read_record(self._record_path(stage))
        if record is None or record.key != key:
            return None
        for name, digest in record.files.items():
            file = self.path / name
            if not file.is_file() or sha256_file(file) != digest:
                return None
        return StageRecord(stage, key, record.seconds, record.files, reused=True)


@contextmanager
def open_run(
    path: Path, *, source: Path, input_sha256: str, overwrite: bool
) -> Iterator[RunFolder]:
    """The run folder at `path`, claimed for the input with `input_sha256`.

    A folder of another input is refused with InputError unless `overwrite`, which removes what
    kinefit wrote there and nothing else; one with files that kinefit did not make is refused in
    any case. A run that is refused (KinefitError) leaves nothing behind: folders made by this
    call go again.
    """
    fresh, claimed = not path.exists(), (path / INTERNAL).is_dir()
    made = [parent for parent in path.parents if not parent.exists()]
    if overwrite and claimed:
        _clear(path)
    else:
        _check_claim(path, source, input_sha256)
    remove_partial(path)
    folder = RunFolder(path, input_sha256)
    try:
        write_json(folder.internal("input.json"), {"file": source.name, "sha256": input_sha256})
        yield folder
    except KinefitError:
        if fresh:
            shutil.rmtree(path, ignore_errors=True)
            for parent in made:
                with suppress(OSError):  # not empty: somebody else uses it by now
                    parent.rmdir()
        elif not folder.records and not claimed:
            shutil.rmtree(path / INTERNAL, ignore_errors=True)
        raise


def check_folder(out: Path) -> None:
    """InputError unless `out` is, or can become, a folder; before work whose result goes there."""
    taken = next((p for p in (out, *out.parents) if p.exists()), out)
    if taken.exists() and not taken.is_dir():
        raise InputError(taken, "is a file, not a folder", "choose another --out")


def _check_claim(path: Path, source: Path, input_sha256: str) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise InputError(path, "is a file, not a folder", "choose another --out")
    claim = _read_json(path / INTERNAL / "input.json")
    if not isinstance(claim, dict):
        if any(entry.name != INTERNAL for entry in path.iterdir()):
            raise InputError(
                path, "holds files that kinefit did not write", "choose a new or empty --out"
            )
    elif claim.get("sha256") != input_sha256:
        raise InputError(
            path,
            f"holds the results of another input ({claim.get('file')}), not of {source.name}",
            "choose another --out, or --overwrite to replace them",
        )


def _clear(path: Path) -> None:
    """Remove every file that a stage record of this folder lists, and the records."""
    for record_path in (path / INTERNAL).glob("*.json"):
        record = _read_record(record_path)
        _remove_files(path, record.files if record else ())
    (path / "run.json").unlink(missing_ok=True)
    shutil.rmtree(path / INTERNAL)


def _remove_files(root: Path, names: Iterable[str]) -> None:
    """Delete files below `root`, and the sub-folders that this empties."""
    for file in (root / name for name in names):
        file.unlink(missing_ok=True)
        if file.parent != root and file.parent.is_dir() and not any(file.parent.iterdir()):
            file.parent.rmdir()


def _as_json(record: StageRecord) -> dict[str, Any]:
    return {
        "stage": record.stage,
        "key": record.key,
        "seconds": record.seconds,
        "files": record.files,
    }


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _read_record(path: Path) -> StageRecord | None:
    """The record at `path`; None when absent or not one (then the stage is simply done again)."""
    value = _read_json(path)
    try:
        files = {str(k): str(v) for k, v in value["files"].items()}
        paths = [PurePath(name) for name in files]
        if any(p.is_absolute() or ".." in p.parts or not p.parts for p in paths):
            return None  # forged: it would reach outside the folder
        return StageRecord(str(value["stage"]), str(value["key"]), float(value["seconds"]), files)
    except (TypeError, KeyError, AttributeError, ValueError):
        return None
