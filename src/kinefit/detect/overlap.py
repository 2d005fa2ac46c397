"""Decoding ahead and drawing behind, each in its own thread, with bounded queues between.

PyAV, MediaPipe and onnxruntime leave Python's lock while they work, so threads suffice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")

# Frames waiting on either side: enough to ride over one slow frame (a key frame, the first
# inference), little enough that 4K frames (25 MB) stay small beside the network.
_DEPTH = 4
_POLL_S = 0.1  # how long a thread takes to notice that the other side has gone


class _End:
    """What a queue carries last: the error that ended its sender, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Pipe(Generic[T]):
    """A bounded queue whose sender gives up once nobody reads."""

    def __init__(self) -> None:
        self._queue: Queue[T | _End] = Queue(_DEPTH)
        self._closed = threading.Event()

    def send(self, item: T | _End) -> bool:
        """False when the reader has gone."""
        while not self._closed.is_set():
            with suppress(Full):
                self._queue.put(item, timeout=_POLL_S)
                return True
        return False

    def receive(self) -> T | _End:
        return self._queue.get()

    def close(self) -> None:
        """The reader goes: later and waiting `send`s return False, a waiting `receive` ends."""
        self._closed.set()
        with suppress(Empty):
            while True:
                self._queue.get_nowait()
        self._queue.put_nowait(_End(None))


@contextmanager
def ahead(items: Generator[T, None, None]) -> Iterator[Iterator[T]]:
    """`items`, produced in a thread a few at a time; an error there is raised where they are used.

    Leaving the block stops the thread and closes the generator.
    """
    pipe: _Pipe[T] = _Pipe()

    def produce() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not pipe.send(item):
                    break
        except BaseException as caught:
            error = caught
        finally:
            items.close()
        pipe.send(_End(error))

    def consume() -> Iterator[T]:
        while not isinstance(item := pipe.receive(), _End):
            yield item
        if item.error is not None:
            raise item.error

    thread = threading.Thread(target=produce, name="kinefit-decode", daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        pipe.close()
        thread.join()


@contextmanager
def behind(work: Callable[[T], None] | None) -> Iterator[Callable[[T], None]]:
    """A function that hands items to `work` in a thread, in order; None: it drops them.

    An error in `work` is raised by the next call, or on leaving the block, which waits for the
    work to be done. If the block itself fails, what still waits is dropped.
    """
    if work is None:
        yield lambda _: None
        return
    pipe: _Pipe[T] = _Pipe()
    errors: list[BaseException] = []

    def consume() -> None:
        try:
            while not isinstance(item := pipe.receive(), _End):
                work(item)
        except BaseException as caught:
            errors.append(caught)
            pipe.close()

    def put(item: T) -> None:
        if not pipe.send(item):
            raise errors[0]

    thread = threading.Thread(target=consume, name="kinefit-draw", daemon=True)
    thread.start()
    try:
        yield put
        pipe.send(_End(None))
    except BaseException:
        pipe.close()
        raise
    finally:
        thread.join()
    if errors:
        raise errors[0]
