"""Where trials are done: processes of this computer, or the workers of a Dask cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Protocol

from kinefit.batch.attempt import attempt
from kinefit.batch.order import Order, Record, failure
from kinefit.detect.embedded import cores
from kinefit.types import InputError, MissingDependency

Done = Generator[tuple[Order, Record], None, None]
CONNECT = "20s"  # for a scheduler to answer
WORKERS_S = 60  # for the first worker to come
TRIAL_BYTES = 2 * 2**30  # memory that one trial is reckoned with


class Executor(Protocol):
    """Does trials somewhere."""

    def run(self, orders: Sequence[Order], **how: Any) -> Done:
        """Do them all, in any order; each as soon as it is done, whatever became of it.

        how: `retries` and `program` of `attempt`. When the caller stops listening, or is
        interrupted, what is not done is given up.
        """
        ...


@dataclass(frozen=True)
class Local:
    """Processes of this computer, one per core, as far as the memory goes.

    workers: trials at a time; None: one per core and 2 GB of memory. The cores
    are shared out among them.
    """

    workers: int | None = None

    def run(self, orders: Sequence[Order], **how: Any) -> Done:
        """As `Executor.run`; Ctrl-C ends the children."""
        stop = threading.Event()
        workers = min(self.workers or _fitting(), len(orders)) or 1
        how = {"cores": max(1, cores() // workers), "stop": stop, **how}
        pool = ThreadPoolExecutor(workers)
        try:
            pending = {pool.submit(attempt, order, **how): order for order in orders}
            for future in as_completed(pending):
                yield pending[future], future.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _fitting() -> int:
    """How many trials this computer can do at a time."""
    with suppress(ValueError, OSError, AttributeError):  # not on macOS and Windows
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(1, min(cores(), memory // TRIAL_BYTES))
    return cores()


@dataclass(frozen=True)
class Dask:
    """The workers of a Dask cluster, one trial for each of their threads.

    scheduler: its address, "tcp://node01:8786". A trial has one core; more where the workers'
    environment has KINEFIT_CORES. Videos, results and kinefit must be there for every worker
    under the same paths. A trial whose worker dies is done by another one, three times at most.
    """

    scheduler: str

    def run(self, orders: Sequence[Order], **how: Any) -> Done:
        """As `Executor.run`; what a worker has begun when the caller stops, it finishes."""
        dask = _distributed()
        try:
            client = dask.Client(self.scheduler, timeout=CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            hint = "start `dask scheduler` and its workers, and give the address that it prints"
            reason = f"no Dask scheduler answers there ({error})"
            raise InputError(self.scheduler, reason, hint) from error
        with client:
            _wait_for_worker(client, self.scheduler)
            work = partial(_on_worker, how)
            futures = client.map(work, orders, pure=False)
            waiting = dict(zip(futures, orders, strict=True))
            try:
                finished = dask.as_completed(
                    futures, loop=client.loop, with_results=True, raise_errors=False
                )
                for future, found in finished:
                    order = waiting.pop(future)
                    future.release()
                    yield order, found if isinstance(found, Record) else _lost(order, found)
            finally:
                client.cancel(list(waiting))


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        how = "pip install kinefit[dask]"
        raise MissingDependency("distributed", "a Dask cluster", how) from error


def _wait_for_worker(client: Any, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
    except TimeoutError as error:
        reason = f"no worker has come to this scheduler in {WORKERS_S} s"
        raise InputError(scheduler, reason, f"start `dask worker {scheduler}`") from error


def _on_worker(how: dict[str, Any], order: Order) -> Record:
    share = os.environ.get("KINEFIT_CORES", "1")
    return attempt(order, cores=int(share) if share.isdigit() else 1, **how)


def _lost(order: Order, error: Any) -> Record:
    """The record of a trial that no worker brought back."""
    error = error[1] if isinstance(error, tuple) else error
    reason = f"its worker was lost ({type(error).__name__}: {error})"
    return failure(order, reason).try_write(order.record)
