"""Threads that must hand over everything in order, pass on errors, and never hang."""

import threading
import time
from collections.abc import Iterator

import pytest

from kinefit.detect.overlap import ahead

# A hang would block the suite: these tests take milliseconds.
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


class TestAhead:
    def test_gives_all_in_order(self) -> None:
        with ahead(i for i in range(100)) as items:
            assert list(items) == list(range(100))

    def test_raises_where_the_items_are_used(self) -> None:
        def broken() -> Iterator[int]:
            yield 1
            raise OSError("disk")

        seen = []

        def use() -> None:
            with ahead(broken()) as items:
                seen.extend(items)

        with pytest.raises(OSError, match="disk"):
            use()

    def test_stops_when_the_user_stops(self) -> None:
        closed = threading.Event()

        def endless() -> Iterator[int]:
            try:
                while True:
                    yield 0
            finally:
                closed.set()

        with ahead(endless()) as items:
            next(items)
        assert closed.is_set()

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_lets_the_user_s_error_through(self, error: type[BaseException]) -> None:
        def use() -> None:
            with ahead(i for i in range(10**9)) as items:
                next(items)
                raise error

        with pytest.raises(error):
            use()

    def test_is_bounded(self) -> None:
        made = []
        with ahead(made.append(i) for i in range(1000)) as items:
            next(items)
            time.sleep(0.05)
            assert len(made) < 10
