"""Native code on a file of a stranger: in a child process, so that its death is only an error.

A library in C++ that is given a file it does not expect may end the process, use up the memory or
never return. The child is an interpreter of its own (a fork would copy the threads' locks, and
multiprocessing would run a script without a `__main__` guard again): 0.3 s more than a call.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from kinefit.types import InputError, KinefitError

P = ParamSpec("P")
T = TypeVar("T")

_PROGRAM = "from kinefit.io.guarded import _serve; _serve()"
_MIB = 1 << 20


def guarded(
    source: Path, seconds: float, memory_mib: int, work: Callable[P, T],
    *args: P.args, **kwargs: P.kwargs,
) -> T:  # fmt: skip
    """`work(*args, **kwargs)` in a child process; what it returns, or the error that it raises.

    source: the file that is blamed. seconds: of a clock on the wall. memory_mib: MiB that the
    child may allocate; holds on Linux only. work: a function of a module; it, its arguments and
    its result are pickled. The child ends with this process, and Ctrl-C is left to this one.

    Raises InputError when the child dies, takes longer or needs more memory.
    """
    # Results come by a file: libraries write what they like to stdout.
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer"
        order = pickle.dumps((answer, seconds, memory_mib, pickle.dumps((work, args, kwargs))))
        code = _run(order, seconds)
        if code is None:
            raise InputError(source, f"took longer than {seconds:.0f} s", "check the file")
        if code or not answer.exists():
            raise InputError(source, f"the program that reads it died ({_cause(code)})",
                             "check the file, or export it again")  # fmt: skip
        result, error = pickle.loads(answer.read_bytes())  # noqa: S301 (written by _serve)
    if isinstance(error, MemoryError):
        raise InputError(source, f"needs more than {memory_mib} MiB of memory", "check the file")
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def _run(order: bytes, seconds: float) -> int | None:
    """The exit code of a child with this order; None when its time was over."""
    paths = os.pathsep.join(path for path in sys.path if path)
    child = subprocess.Popen(  # noqa: S603 (our own interpreter and words)
        [sys.executable, "-c", _PROGRAM], env=os.environ | {"PYTHONPATH": paths},
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert child.stdin is not None
    try:
        with suppress(OSError):  # it has gone already: its exit code says more
            child.stdin.write(order)
            child.stdin.flush()
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        child.kill()
        child.wait()
        with suppress(OSError):
            child.stdin.close()


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _serve() -> None:
    """The child's whole life: one order, one answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = pickle.load(sys.stdin.buffer)  # noqa: S301 (of our parent)
    answer, seconds, memory_mib, request = order
    threading.Thread(target=_end_with_parent, daemon=True).start()
    result, failed = None, None
    try:
        work, args, kwargs = pickle.loads(request)  # noqa: S301 (of our parent)
        _limit(seconds, memory_mib)
        result = work(*args, **kwargs)
    except Exception as error:
        if not isinstance(error, KinefitError):
            error.add_note(f"In the child process:\n{traceback.format_exc()}")
        failed = error
    answer.write_bytes(pickle.dumps((result, failed)))
    os._exit(0)  # nothing is left that a library could clean up, or die of


def _end_with_parent() -> None:
    """Its end of our stdin is closed when it dies, however that happens."""
    os.read(0, 1)
    os._exit(1)


def _limit(seconds: float, memory_mib: int) -> None:
    with suppress(ImportError):  # Windows
        import resource

        def lower(what: int, value: int) -> None:
            hard = resource.getrlimit(what)[1]
            allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
            with suppress(ValueError, OSError):  # a system that has no such limit
                resource.setrlimit(what, (allowed, hard))

        lower(resource.RLIMIT_CORE, 0)  # it may crash: no file of its memory
        lower(resource.RLIMIT_DATA, memory_mib * _MIB)
        # Of all cores: for a child that spins after its parent has gone.
        lower(resource.RLIMIT_CPU, int(seconds) * (os.cpu_count() or 1) + 1)
