"""Decoding ahead and drawing behind, each in its own thread, a few frames at a time.

PyAV, MediaPipe and onnxruntime leave Python's lock while they work, so threads suffice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

# Frames waiting on either side: enough to ride over one slow frame (a key frame, the first
# inference), little enough that 4K frames (25 MB) stay small beside the network.
_DEPTH = 4
_END = object()


@contextmanager
def ahead(items: Generator[T, None, None]) -> Iterator[Iterator[T]]:
    """`items`, produced in a thread a few at a time; an error there is raised where they are used.

    Leaving the block stops the thread and closes the generator.
    """
    pool = ThreadPoolExecutor(1, "kinefit-decode")

    def consume() -> Iterator[T]:
        coming = deque(pool.submit(next, items, _END) for _ in range(_DEPTH))
        while (item := coming.popleft().result()) is not _END:
            coming.append(pool.submit(next, items, _END))
            yield item  # type: ignore[misc]

    try:
        yield consume()
    finally:
        pool.shutdown(cancel_futures=True)
        items.close()


@contextmanager
def behind(work: Callable[[T], None] | None) -> Iterator[Callable[[T], None]]:
    """A function that hands items to `work` in a thread, in order; None: it drops them.

    An error in `work` ends it; it is raised by a later call, or on leaving the block, which waits
    for the work to be done. If the block itself fails, what still waits is dropped.
    """
    if work is None:
        yield lambda _: None
        return
    pool = ThreadPoolExecutor(1, "kinefit-draw")
    waiting: deque[Future[None]] = deque()
    errors: list[BaseException] = []

    def do(item: T) -> None:
        if not errors:
            try:
                work(item)
            except BaseException as error:
                errors.append(error)

    def put(item: T) -> None:
        if len(waiting) > _DEPTH:
            waiting.popleft().result()
        if errors:
            raise errors[0]
        waiting.append(pool.submit(do, item))

    try:
        yield put
        pool.shutdown()
    finally:
        pool.shutdown(cancel_futures=True)
    if errors:
        raise errors[0]
