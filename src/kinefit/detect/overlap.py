"""Decoding ahead in a thread of its own, a few frames at a time.

PyAV, LiteRT and onnxruntime leave Python's lock while they work, so threads suffice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

# Frames waiting: enough to ride over one slow frame (a key frame, the first inference).
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
