"""Child processes: the one way in which kinefit has work done by them.

A child is an interpreter of its own that is handed functions of modules with their arguments. (A
fork would copy the threads' locks. multiprocessing would run a script without a `__main__` guard
again, and waits for ever for a child that dies before it has read large start arguments.) Orders go
by its stdin, answers by its stdout; what libraries print to stdout goes to stderr. A child says
every few seconds that it lives, and ends with the process that started it, however that ends.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from typing import IO, Any, Generic, ParamSpec, TypeVar

from kinefit.types import KinefitError

P = ParamSpec("P")
A = TypeVar("A")
T = TypeVar("T")

BEAT_S = 2.0  # between two signs of life
# Native code that keeps Python's lock says nothing meanwhile; none of kinefit's takes minutes.
SILENCE_S = 600.0
_POLL_S = 0.1
# Who has not asked for so long was stopped (Ctrl-Z, a laptop that slept), and the child with it.
_STOPPED_S = 60.0
# -P: a folder called kinefit where the user happens to be is not imported.
_PROGRAM = ("-P", "-X", "faulthandler", "-c", "from kinefit.io.processes import _serve; _serve()")
_PR_SET_PDEATHSIG = 1


class ChildDied(KinefitError):
    """A child process that ended without an answer; cause: why, as far as one can tell."""

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(
            f"A process that did a part of the work has died ({cause}). What was finished is kept. "
            "Next: run the command again; if it dies again, see that there is memory to spare."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.cause,)


class Child:
    """A process that does one thing after another for the thread that made it.

    errors: where its stderr goes; None: where this process's does.
    """

    def __init__(self, errors: int | None = None) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and words)
            [sys.executable, *_PROGRAM], env=os.environ | {"PYTHONPATH": paths},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        self.heard = self._asked = time.monotonic()
        self._silent = False

    def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work(*args, **kwargs)` there; what it returns, or the error that it raises.

        work: a function of a module; it, its arguments and its result are pickled. Raises
        ChildDied where no answer comes.
        """
        return self.reported(lambda _: None, work, *args, **kwargs)

    def reported(
        self, heard: Callable[[Any], None], work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `call`; heard: is given what the work says with `report`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = pickle.dumps((work, args, kwargs))
        with suppress(OSError):  # it has gone already: its exit code says more
            _write(self._process.stdin, order)
        while True:
            try:
                answer = _read(self._process.stdout)
            except EOFError:
                raise ChildDied(self._cause()) from None
            self.heard = time.monotonic()
            kind, value = pickle.loads(answer)  # noqa: S301 (of our child)
            if kind == "result":
                return value  # type: ignore[no-any-return]
            if kind == "error":
                raise value
            if kind == "report":
                heard(value)

    def end(self) -> None:
        """Whatever it does; from any thread."""
        self._process.kill()
        self._process.wait()

    def end_if_silent(self, seconds: float = SILENCE_S) -> None:
        """Where it has not said for so long that it lives; to be asked again and again."""
        now = time.monotonic()
        if now - self._asked > _STOPPED_S:
            self.heard = now
        self._asked = now
        if now - self.heard > seconds:
            self._silent = True
            self.end()

    def close(self) -> None:
        """End it and close its pipes; by the thread that made it."""
        self.end()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # what was not written is of no use any more
                pipe.close()

    def _cause(self) -> str:
        code = self._process.wait()
        return "it did not answer any more" if self._silent else exit_cause(code)


def exit_cause(code: int) -> str:
    """Why a process ended with this exit code, in a few words."""
    if code >= 0:
        return f"exit code {code}"
    name = f"signal {-code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
    return f"{name}: the memory was full, or it was ended by hand" if code == -9 else name


def each(
    work: Callable[[A], T], items: Iterable[A], processes: int, *,
    start: Callable[[], object] | None = None, ahead: int | None = None,
    heard: Callable[[int, Any], None] = lambda number, value: None,
    idle: Callable[[], None] = lambda: None,
) -> Generator[tuple[int, T], None, None]:  # fmt: skip
    """(number, `work(item)`) of each item, as soon as it is done, by so many child processes.

    start: done once in each child, before its first item. ahead: how many items later than the
    first unfinished one are begun; None: all. heard: is given what the work on an item says with
    `report`, by number. idle: called ten times a second; what it raises ends everything. Raises
    what the work raises, and ChildDied, after what is finished was yielded; then, and when the
    reader stops, the children are ended.
    """
    pool = _Pool(work, enumerate(items), start, ahead)
    try:
        yield from pool.results(processes, heard, idle)
    finally:
        pool.end()


def in_order(done: Generator[tuple[int, T], None, None]) -> Iterator[T]:
    """The results of `each` in the order of the items."""
    early: dict[int, T] = {}
    wanted = 0
    with closing(done):
        for number, result in done:
            early[number] = result
            while wanted in early:
                yield early.pop(wanted)
                wanted += 1


class _Pool(Generic[A, T]):
    """Threads of this process, each of which has a child do one item after another."""

    def __init__(
        self, work: Callable[[A], T], items: Iterator[tuple[int, A]],
        start: Callable[[], object] | None, ahead: int | None,
    ) -> None:  # fmt: skip
        self._work, self._items, self._start, self._ahead = work, items, start, ahead
        self._told: queue.Queue[tuple[str, int, Any]] = queue.Queue()
        self._changed = threading.Condition()  # holds for all below
        self._begun: set[int] = set()  # and not finished
        self._next = 0
        self._children: list[Child] = []
        self._over = False
        self._threads: list[threading.Thread] = []

    def results(
        self, processes: int, heard: Callable[[int, Any], None], idle: Callable[[], None]
    ) -> Iterator[tuple[int, T]]:
        # The thread that made a child waits for it: Linux ends children with their thread.
        self._threads = [
            threading.Thread(target=self._serve, daemon=True) for _ in range(processes)
        ]
        for thread in self._threads:
            thread.start()
        busy, failed = processes, None
        while (busy and failed is None) or not self._told.empty():
            with suppress(queue.Empty):
                kind, number, value = self._told.get(timeout=_POLL_S)
                if kind == "result":
                    self._finish(number)
                    yield number, value
                elif kind == "report":
                    heard(number, value)
                elif kind == "error":
                    failed = failed or value
                else:
                    busy -= 1
            for child in self._children[:]:
                child.end_if_silent()
            idle()
        if failed is not None:
            raise failed

    def end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
            children = self._children[:]
        for child in children:
            child.end()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        try:
            self._serve_until_over()
        except BaseException as error:  # the reader's to raise
            self._told.put(("error", 0, error))
        self._told.put(("over", 0, None))

    def _serve_until_over(self) -> None:
        item = self._take()
        if item is None:
            return
        child = self._child()
        try:
            if self._start is not None:
                child.call(self._start)
            while item is not None:
                number, value = item
                tell = partial(self._tell, number)
                self._told.put(("result", number, child.reported(tell, self._work, value)))
                item = self._take()
        finally:
            with self._changed:
                self._children.remove(child)
            child.close()

    def _tell(self, number: int, value: Any) -> None:
        self._told.put(("report", number, value))

    def _child(self) -> Child:
        with self._changed:
            child = Child()
            self._children.append(child)
            if self._over:
                child.end()
            return child

    def _take(self) -> tuple[int, A] | None:
        with self._changed:
            self._changed.wait_for(self._may_take)
            item = None if self._over else next(self._items, None)
            if item is not None:
                self._next = item[0] + 1
                self._begun.add(item[0])
            return item

    def _may_take(self) -> bool:
        if self._over or self._ahead is None or not self._begun:
            return True
        return self._next - min(self._begun) <= self._ahead

    def _finish(self, number: int) -> None:
        with self._changed:
            self._begun.discard(number)
            self._changed.notify_all()


def report(value: Any) -> None:
    """In a child: say something to who waits for the work, how far it is for example."""
    _send(("report", value))


def die_with_parent() -> None:
    """In a child: end when the thread that started it does, even inside of native code.

    Of Linux; elsewhere a child sees its stdin closed, as soon as Python's lock is free.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_answers: IO[bytes]  # of a child
_one_at_a_time = threading.Lock()


def _send(message: tuple[str, Any]) -> None:
    data = pickle.dumps(message)
    with _one_at_a_time:
        _write(_answers, data)


def _serve() -> None:
    """The whole life of a child."""
    global _answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    die_with_parent()
    orders, _answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for work in (partial(_follow, orders, waiting), _beat):
        threading.Thread(target=work, daemon=True).start()
    while True:
        _answer(waiting.get())


def _follow(orders: IO[bytes], waiting: queue.SimpleQueue[bytes]) -> None:
    """Take orders until the other end is closed, as it is when our parent has died."""
    with suppress(EOFError):
        while True:
            waiting.put(_read(orders))
    os._exit(1)


def _beat() -> None:
    with suppress(OSError):  # nobody listens any more
        while True:
            _send(("beat", None))
            time.sleep(BEAT_S)


def _answer(order: bytes) -> None:
    try:
        work, args, kwargs = pickle.loads(order)  # noqa: S301 (of our parent)
        _send(("result", work(*args, **kwargs)))
    except Exception as error:
        if not isinstance(error, KinefitError):
            error.add_note(f"In the child process:\n{traceback.format_exc()}")
        _send(("error", _sendable(error)))


def _sendable(error: Exception) -> Exception:
    """The error, or where it cannot be pickled what it says."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _write(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(len(data).to_bytes(8, "little"))
    pipe.write(data)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes:
    """One message; EOFError where there is none, or only a part."""
    size = int.from_bytes(_exactly(pipe, 8), "little")
    return _exactly(pipe, size)


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data
