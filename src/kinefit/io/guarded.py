"""Native code on a file of a stranger: in a child process, so that its death is only an error.

A library in C++ that is given a file it does not expect may end the process, use up the memory or
never return. The child costs 0.3 s more than a call. It is no sandbox: it has the rights of this
process, which believes its answers.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from kinefit.io.processes import Child, ChildDied
from kinefit.types import InputError

P = ParamSpec("P")
T = TypeVar("T")

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
    child = Child(errors=subprocess.DEVNULL)
    late = threading.Event()

    def end() -> None:
        late.set()
        child.end()

    alarm = threading.Timer(seconds, end)
    alarm.start()
    try:
        return child.call(_limited, seconds, memory_mib, work, args, kwargs)
    except ChildDied as death:
        if late.is_set():
            reason = f"took longer than {seconds:.0f} s"
            raise InputError(source, reason, "check the file") from None
        reason = f"the program that reads it died ({death.cause})"
        raise InputError(source, reason, "check the file, or export it again") from None
    except MemoryError:
        reason = f"needs more than {memory_mib} MiB of memory"
        raise InputError(source, reason, "check the file") from None
    finally:
        alarm.cancel()
        child.close()


def _limited(
    seconds: float, memory_mib: int, work: Callable[..., T], args: Any, kwargs: dict[str, Any]
) -> T:
    _limit(seconds, memory_mib)
    return work(*args, **kwargs)


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
