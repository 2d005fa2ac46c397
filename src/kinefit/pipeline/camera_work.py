"""A stage's work on one of several cameras, in a process of its own.

The process loads this module and that of the work: the whole plan would take it 0.8 processor
seconds more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import threadpool_limits

from kinefit.io.processes import report
from kinefit.pipeline.context import Context


def work_in_process(todo: tuple[Callable[[Context], None], Context]) -> float:
    """Do a unit in a child process; seconds."""
    work, context = todo
    start = time.perf_counter()
    with one_thread_of_blas():
        work(context)
    return time.perf_counter() - start


def report_frames(stage: str, done: int, total: int) -> None:
    """`Job.progress` of such a process."""
    report((done, total))


def one_thread_of_blas() -> AbstractContextManager[Any]:
    """Products as small as those of the stages gain nothing by OpenBLAS's second thread, which
    waits for the next one by spinning: 3 % of the processor time of a run."""
    limits: AbstractContextManager[Any] = threadpool_limits(1, "blas")
    return limits
