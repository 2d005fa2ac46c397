"""Commands with one step, in the results folder of all: reuse, staging, run.json."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kinefit.pipeline.manifest import read_manifest, write_manifest
from kinefit.pipeline.provenance import code_version, sha256_json, sha256_path
from kinefit.pipeline.store import Record, check_stem, open_folder
from kinefit.types import InputError, MissingMarkers, TooFewPoints

T = TypeVar("T")
_OF_FOLDER = ("versions", "stages", "edited_copies")


def run_job(
    out: Path,
    command: str,
    inputs: Mapping[str, Path],
    options: Mapping[str, Any],
    work: Callable[[Path, Path], T],
    *,
    stem: str,
    reuse: bool = False,
) -> tuple[Record, T | None]:
    """One step into the results folder `out`, beside whatever other commands left there.

    work: writes its files below its first argument, may keep unfinished work in the second, and
    returns what it likes; with `reuse` it is not done, and None returned, where its result is
    there. Raises InputError for a file of the same name that another command or the user put
    there.
    """
    check_stem(stem)
    about = {
        "inputs": {name: sha256_path(path) for name, path in inputs.items()},
        "options": json.loads(json.dumps(dict(options), default=str)),
    }
    stage = f"{stem}.{command}"
    key = sha256_json({"stage": stage, "code": code_version(work.__module__), **about})
    with open_folder(out) as folder:
        record = folder.valid(stage, key) if reuse else None
        if record is not None:
            return record, None
        start = time.perf_counter()
        result = work(folder.staging(stage, key), folder.partial(stage))
        record = folder.commit(stage, key, time.perf_counter() - start, {}, about)
        earlier = read_manifest(out)
        write_manifest(folder, {k: v for k, v in earlier.items() if k not in _OF_FOLDER})
    return record, result


@contextmanager
def blamed_on(source: Path, hint: str) -> Iterator[None]:
    """Name the file in errors about its content."""
    try:
        yield
    except (MissingMarkers, TooFewPoints) as error:
        raise InputError(source, error.bare_reason, hint) from error
