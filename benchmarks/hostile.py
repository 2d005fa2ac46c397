"""Hostile and absurd inputs for every reader and the commands, each with limits of time and memory.

    python -m benchmarks.hostile [--only NAME ...] [--list FILE]

Sound files are made of every kind and spoilt: cut, bits turned, counts and numbers that cannot be,
deep nesting, bombs, arrays of other shapes and types, things that are no files, strange names
(`benchmarks.hostile_inputs`). Each is given to the reader or the command in a child process. Prints
how many were read, refused with a typed message, and not as they should: a traceback, more than
60 s, more than 2 GiB, a process that died, numbers that cannot be in what was written. Exits with
1 if there were any of these. The same inputs in each run.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hostile_commands import TARGETS as MORE
from benchmarks.hostile_inputs import TARGETS as READERS
from benchmarks.hostile_inputs import Target, spoilt, strange_paths
from kinefit.io.processes import Child, ChildDied
from kinefit.types import KinefitError

TARGETS = READERS | MORE
SECONDS = 60.0
MEMORY_MIB = 2048
ENDS = (".trc", ".csv", ".mot", ".npz", ".glb")  # of what the commands write
ABSURD = re.compile(rb"\binf\b|Infinity|\d{10,}\.|e\+\d{2,}")  # as text
KINDS = ("read", "refused", "traceback", "slow", "memory", "died", "absurd")
Outcome = tuple[str, str, float, float]  # of KINDS; words; seconds; MiB at most


def attempt(name: str, path: str, out: str) -> Outcome:
    """In the child: one file and what comes of it."""
    start, before = time.perf_counter(), _memory_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    try:
        TARGETS[name].read(Path(path), Path(out))
        words = _absurd(Path(out))
        kind = "absurd" if words else "read"
    except KinefitError as error:
        kind, words = "refused", str(error)
    except SystemExit as error:  # of a command, whose tracebacks are exceptions
        kind, words = ("refused" if str(error).startswith("2:") else "traceback"), str(error)
    except MemoryError:
        kind, words = "memory", traceback.format_exc()
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(at.filename).name}:{at.lineno}"
        kind, words = "traceback", f"{type(error).__name__}: {error} ({where})"
    peak = _memory_mib("VmHWM")
    if peak - before > MEMORY_MIB:
        kind, words = "memory", f"{peak:.0f} MiB; {words}"
    return kind, words[:300], time.perf_counter() - start, peak


def limit() -> None:
    """No more than this of a computer that others use, whatever a reader asks for."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (3 * MEMORY_MIB << 20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _memory_mib(which: str) -> float:
    text = Path("/proc/self/status").read_text("ascii")
    found = re.search(rf"{which}:\s+(\d+)", text)
    assert found is not None
    return int(found.group(1)) / 1024


def _absurd(out: Path) -> str:
    """Numbers in what was written that no body has."""
    for file in sorted(p for p in out.rglob("*") if p.suffix in ENDS):
        if file.suffix == ".npz":
            with suppress(ValueError), np.load(file) as arrays:
                for name in arrays.files:
                    values = arrays[name]
                    if values.dtype.kind == "f" and (np.abs(np.nan_to_num(values)) > 1e9).any():
                        return f"{file.name}: {name}"
            continue
        content = file.read_bytes()
        if file.suffix == ".glb":  # its part that is text
            content = content[20 : 20 + int.from_bytes(content[12:16], "little")]
        if found := ABSURD.search(content):
            return f"{file.name}: {found.group()[:40]!r}"
    return ""


class Runner:
    """A child, begun again whenever it is lost."""

    def __init__(self) -> None:
        self._child: Child | None = None

    def run(self, name: str, path: Path, out: Path) -> Outcome:
        if self._child is None:
            self._child = Child(errors=_NOWHERE)
            self._child.call(limit)
        child, late = self._child, threading.Event()

        def end() -> None:
            late.set()
            child.end()

        alarm = threading.Timer(SECONDS, end)
        alarm.start()
        start = time.perf_counter()
        try:
            return child.call(attempt, name, str(path), str(out))
        except ChildDied as death:
            self.close()
            kind = "slow" if late.is_set() else "died"
            return kind, death.cause, time.perf_counter() - start, 0.0
        finally:
            alarm.cancel()

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
        self._child = None


_NOWHERE = -3  # subprocess.DEVNULL


def inputs(target: Target, folder: Path) -> Iterator[tuple[str, Path]]:
    """(what it is, path) of every input for a target, each gone when the next comes."""
    target.make(folder / f"sound{target.suffix}")
    sound = (folder / f"sound{target.suffix}").read_bytes()
    yield "sound", folder / f"sound{target.suffix}"
    path = folder / f"spoilt{target.suffix}"
    for what, content in spoilt(target, sound):
        path.write_bytes(content)
        yield what, path
    yield from strange_paths(folder, target.suffix, sound)


def measure(names: list[str]) -> list[dict[str, Any]]:
    rows = []
    runner = Runner()
    for name in names:
        start, of_name = time.perf_counter(), []
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            for what, path in inputs(TARGETS[name], Path(folder)):
                out.mkdir()
                kind, words, seconds, mib = runner.run(name, path, out)
                shutil.rmtree(out, ignore_errors=True)
                row = {"target": name, "input": what, "kind": kind, "words": words}
                of_name.append(row | {"seconds": round(seconds, 2), "mib": round(mib)})
        counts = Counter(row["kind"] for row in of_name)
        if of_name[0]["kind"] != "read":
            print(f"  the sound file: {of_name[0]['kind']}: {of_name[0]['words']}")
        print(f"{name:24}" + "".join(f"{counts[kind]:10}" for kind in KINDS)
              + f"{time.perf_counter() - start:8.0f} s", flush=True)  # fmt: skip
        rows += of_name
    runner.close()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=list(TARGETS), metavar="NAME")
    parser.add_argument("--list", type=Path, help="JSON of every input and its outcome")
    chosen = parser.parse_args()
    print(f"{'':24}" + "".join(f"{kind:>10}" for kind in KINDS))
    rows = measure(chosen.only)
    counts = Counter(row["kind"] for row in rows)
    print(f"{'together':24}" + "".join(f"{counts[kind]:10}" for kind in KINDS))
    if chosen.list:
        chosen.list.write_text(json.dumps(rows, indent=1), "utf-8")
    wrong = [row for row in rows if row["kind"] not in ("read", "refused")]
    for row in wrong:
        print(f"{row['target']}, {row['input']}: {row['kind']}: {row['words']}")
    return bool(wrong)


if __name__ == "__main__":
    from benchmarks import hostile  # whose functions a child can import

    sys.exit(hostile.main())
