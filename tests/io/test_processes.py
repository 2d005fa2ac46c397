"""Child processes: killed at any moment, nothing hangs, nothing that was finished is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kinefit.io import processes
from kinefit.io.processes import Child, ChildDied, each, in_order
from kinefit.types import InputError, KinefitError

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
DIE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
LARGE = bytes(8 << 20)  # a hundred pipes full


def call(code: str) -> None:
    """What a child is asked for: a function that it has without importing this file."""
    with_child = Child()
    try:
        with_child.call(exec, code, {})
    finally:
        with_child.close()


def test_each_item_is_done_once_and_comes_in_order() -> None:
    naps = [0.3, 0.0, 0.1, 0.0]
    done = list(each(time.sleep, naps, 2))
    assert sorted(number for number, _ in done) == [0, 1, 2, 3]
    assert done[0][0] != 0  # the others did not wait for the longest
    assert list(in_order(each(str, range(7), 3))) == list("0123456")


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (partial(exec, DIE, {}), "SIGKILL"),
        (partial(exec, "import os; os._exit(3)", {"x": LARGE}), "exit code 3"),
        (partial(os._exit, 0), "exit code 0"),
    ],
)
def test_children_that_die_while_they_start(start: Callable[[], object], message: str) -> None:
    with pytest.raises(ChildDied, match=message):
        list(each(str, range(4), 2, start=start))


def test_a_child_that_dies_before_it_reads_large_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_PROGRAM", ("-c", "import os; os._exit(5)"))
    with pytest.raises(ChildDied, match="exit code 5"):
        list(each(len, [LARGE] * 4, 2))


def test_a_death_in_the_middle_loses_nothing_that_is_finished() -> None:
    reader = each(exec, ["1", "1", DIE, "1"], 1)
    assert [next(reader)[0], next(reader)[0]] == [0, 1]
    with pytest.raises(ChildDied, match="What was finished is kept"):
        next(reader)


def test_errors_come_as_they_are_and_end_the_others(tmp_path: Path) -> None:
    wait = f"import time; time.sleep(60); open({str(tmp_path / 'late')!r}, 'w')"
    refuse = "from kinefit.types import InputError; raise InputError('a', 'is none', 'give one')"
    start = time.monotonic()
    with pytest.raises(InputError, match="a: is none"):
        list(each(exec, [wait, refuse], 2))
    assert time.monotonic() - start < 30
    with pytest.raises(RuntimeError, match="Odd: no") as caught:
        call("class Odd(Exception): pass\nraise Odd('no')")  # which cannot be pickled
    assert not isinstance(caught.value, KinefitError)


def test_what_the_work_says_arrives_before_its_result() -> None:
    told: list[Any] = []
    say = "from kinefit.io.processes import report; report('half')"
    for number, _ in each(exec, [say], 1, heard=lambda *words: told.append(words)):
        told.append(number)
    assert told == [(0, "half"), 0]


def test_what_is_printed_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    call("import os; os.write(1, b'said'); print('so')")
    out, err = capfd.readouterr()
    assert (out, err) == ("", "saidso\n")


def test_no_child_is_further_ahead_than_asked() -> None:
    taken = []

    def items() -> Any:
        for nap in [1.0, *[0.0] * 20]:
            taken.append(nap)
            yield nap

    for number, _ in each(time.sleep, items(), 2, ahead=3):
        if number:
            assert len(taken) <= 5
        else:
            break


def test_a_reader_that_stops_ends_the_children(tmp_path: Path) -> None:
    nap = SLEEP.format(str(tmp_path / "pid"))
    reader = each(exec, ["1", nap], 1)
    next(reader)
    pid = written(tmp_path / "pid")
    reader.close()
    wait_for(lambda: not alive(pid))


def test_a_cancel_ends_the_children(tmp_path: Path) -> None:
    def stop() -> None:
        if (tmp_path / "pid").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(each(exec, [SLEEP.format(str(tmp_path / "pid"))], 1, idle=stop))
    assert not alive(written(tmp_path / "pid"))


@LINUX
def test_a_child_that_is_stopped_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.Child.end_if_silent, "__defaults__", (5.0,))
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    with pytest.raises(ChildDied, match="did not answer any more"):
        list(each(exec, [stop], 1))


def test_silence_while_everything_is_stopped_counts_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-Z for an hour stops child and parent alike."""
    now = 0.0
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: now))
    child = Child()
    now = 3600.0
    child.end_if_silent()
    assert child.call(abs, -1) == 1
    for _ in range(100):  # asked all the time, and no word
        now += 10.0
        child.end_if_silent()
    with pytest.raises(ChildDied, match="did not answer any more"):
        child.call(abs, -1)
    child.close()


SLEEP = "import os, time, pathlib; pathlib.Path({!r}).write_text(str(os.getpid())); time.sleep(60)"
# Native code that never gives Python's lock back: no thread of Python can watch a pipe there.
SPIN = """
import ctypes, os, pathlib
pathlib.Path({!r}).write_text(str(os.getpid()))
ctypes.PyDLL(None).sleep(60)
"""


@LINUX
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("work", [SLEEP, SPIN])
def test_children_end_with_their_parent(tmp_path: Path, work: str, how: signal.Signals) -> None:
    pid = tmp_path / "pid"
    order = (
        f"from kinefit.io.processes import each\nlist(each(exec, [{work.format(str(pid))!r}], 1))"
    )
    parent = subprocess.Popen([sys.executable, "-c", order])
    child = written(pid)
    assert alive(child)
    parent.send_signal(how)
    assert parent.wait() == -how
    wait_for(lambda: not alive(child))


def written(pid: Path) -> int:
    wait_for(lambda: pid.exists() and pid.read_text() != "")
    return int(pid.read_text())


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("did not happen within 30 s")


def alive(pid: int) -> bool:
    """Whether it runs: a process that nobody has waited for yet is dead, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
