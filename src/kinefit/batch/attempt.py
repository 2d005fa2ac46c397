"""Doing a trial in a child process, and saying what became of a child that died."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import IO

from kinefit.batch.order import Order, Record, failure, owned, read_record, stamp
from kinefit.io.processes import exit_cause
from kinefit.pipeline.context import CancelToken
from kinefit.types import Cancelled

# -P: a folder called kinefit where the user happens to be is not imported.
PROGRAM = (sys.executable, "-P", "-X", "faulthandler", "-m", "kinefit.batch.trial")
_POLL_S = 0.1
_LAST_WORDS = 400  # characters of what a dying process said
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def attempt(
    order: Order,
    *,
    cores: int = 1,
    retries: int = 1,
    program: Sequence[str] = PROGRAM,
    stop: CancelToken | None = None,
) -> Record:
    """Do a trial in a child process; its record, which lies in `order.record` then.

    cores: that the child may use. retries: how often it is begun again after the child died or
    ran into an error that is not the input's. program: what the child is; it is given the order
    as a line of JSON on its stdin, which is closed when it shall end. stop: asked ten times a
    second; then the child is ended and Cancelled raised. Any other error is the trial's.
    """
    try:
        return _attempt(order, cores, retries, program, stop)
    except Cancelled:
        raise
    except Exception as error:
        return failure(order, f"{type(error).__name__}: {error}").try_write(order.record)


def _attempt(
    order: Order, cores: int, retries: int, program: Sequence[str], stop: CancelToken | None
) -> Record:
    start, before = time.perf_counter(), stamp(order.manifest)
    for tries in count(1):
        died = _child(order, cores, program, stop)
        order = owned(order, before)
        left = None if died else read_record(order.record)
        if left is None or left.key != order.key:
            left = failure(order, died or "it left no result")
        record = replace(left, tries=tries, seconds=round(time.perf_counter() - start, 3))
        record.write(order.record)
        if record.settled or tries > retries:
            return record
    raise AssertionError("unreachable")


def _child(
    order: Order, cores: int, program: Sequence[str], stop: CancelToken | None
) -> str:  # fmt: skip
    """Run the child to its end; why it died, or ""."""
    share = dict.fromkeys((*_THREADS, "KINEFIT_CORES"), str(cores))
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(  # noqa: S603 (a list of words, none of them from a file)
            program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said,
            env=os.environ | share, text=True,
        )  # fmt: skip
        assert child.stdin is not None
        try:
            with suppress(OSError):  # it has gone already: its exit code says more
                child.stdin.write(order.to_json() + "\n")
                child.stdin.flush()
            _wait(child, stop)
        finally:
            child.kill()
            child.wait()
            with suppress(OSError):
                child.stdin.close()
        return _cause(child.returncode, said) if child.returncode else ""


def _wait(child: subprocess.Popen[str], stop: CancelToken | None) -> None:
    while stop is None or not stop.is_set():
        with suppress(subprocess.TimeoutExpired):
            child.wait(None if stop is None else _POLL_S)
            return
    raise Cancelled("The batch was stopped. Next: the same command goes on where it was.")


def _cause(code: int, said: IO[bytes]) -> str:
    """Why a process ended with this exit code, with its last words."""
    what = f"its process ended ({exit_cause(code)})"
    said.seek(max(0, said.seek(0, os.SEEK_END) - _LAST_WORDS))
    words = " ".join(said.read().decode("utf-8", "replace").split())
    return f"{what}: ... {words}" if words else what
