"""Work in a child process: whatever becomes of it, an answer or an error with a reason."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kinefit.io.guarded import guarded
from kinefit.types import InputError

FILE = Path("strange.osim")
IMPORT = "from kinefit.io.guarded import guarded"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="holds on Linux only")
SLEEP = "import os, time, pathlib; pathlib.Path({!r}).write_text(str(os.getpid())); time.sleep(60)"


def do(code: str, *, seconds: float = 30, mib: int = 4096) -> None:
    guarded(FILE, seconds, mib, exec, code, {})


def test_the_answer_comes_back() -> None:
    assert guarded(FILE, 30, 4096, sorted, [1, 3, 2], reverse=True) == [3, 2, 1]


def test_what_a_library_prints_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    do("import os; os.write(1, b'said'); os.write(2, b'said')")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os; os.abort()", "SIGABRT"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os._exit(0)", "exit code 0"),  # a library that thinks all is done
    ],
)
def test_a_death_is_an_error(code: str, cause: str) -> None:
    with pytest.raises(InputError, match=rf"strange.osim: the program .* died \(({cause})\)"):
        do(code)


def test_errors_come_back_as_they_are() -> None:
    with pytest.raises(InputError, match=r"a.osim: is none. Next: give another"):
        do("from kinefit.types import *; raise InputError('a.osim', 'is none', 'give another')")
    with pytest.raises(ZeroDivisionError) as caught:
        do("1 / 0")
    assert 'File "<string>", line 1' in caught.value.__notes__[0]


def test_what_never_ends_is_ended(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="longer than 2 s"):
        do(SLEEP.format(str(tmp_path / "pid")), seconds=2)
    assert not alive(int((tmp_path / "pid").read_text()))


@LINUX
def test_memory_has_a_limit() -> None:
    do("bytearray(256 << 20)", mib=1024)
    with pytest.raises(InputError, match="more than 1024 MiB"):
        do("bytearray(1024 << 20)", mib=1024)


def test_a_script_needs_no_guard_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    call = "guarded(Path('a'), 30, 4096, sorted, [2, 1])"
    script.write_text(f"from pathlib import Path\n{IMPORT}\nprint({call})\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "[1, 2]\n"


@LINUX
def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    order = f"{IMPORT}\nguarded('a', 60, 4096, exec, {SLEEP.format(str(pid))!r}, {{}})\n"
    parent = subprocess.Popen([sys.executable, "-c", order])
    wait_for(lambda: pid.exists() and pid.read_text() != "")
    child = int(pid.read_text())
    assert alive(child)
    parent.kill()
    parent.wait()
    wait_for(lambda: not alive(child))


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("did not happen within 20 s")


def alive(pid: int) -> bool:
    """Whether it runs: a process that nobody has waited for yet is dead, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
