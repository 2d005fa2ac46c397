"""What a start does not wait for: commands behind `--help`, scipy in processes that detect."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from typer.main import get_command

from kinefit.cli.commands import app
from kinefit.cli.front_page import SECTIONS

HEAVY = ("numpy", "scipy", "pydantic", "rich", "kinefit.api", "kinefit.cli.commands")


def test_the_list_is_that_of_the_real_commands() -> None:
    real = get_command(app).commands  # type: ignore[attr-defined]
    listed = {name: text for section in SECTIONS.values() for name, text in section.items()}
    assert listed == {name: one.get_short_help_str(500) for name, one in real.items()}


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["--version"]])
def test_the_list_loads_no_command(words: list[str]) -> None:
    assert loaded(*words) == "[]"


def test_a_command_is_loaded() -> None:
    """The control: what is asked for is loaded, and so is what it needs."""
    assert "kinefit.cli.commands" in loaded("angles", "--help")


@pytest.mark.parametrize(
    ("typed", "given", "commands"),
    [("kinefit a", "angles", False), ("kinefit angles --p", "--plot-all-joint-angles", True)],
)
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(typed: str, given: str, commands: bool, shell: str) -> None:
    """The name of a command is completed without loading the commands, its options with them."""
    asked = {"_KINEFIT_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": typed}
    if shell == "bash":
        asked |= {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
        del asked["_TYPER_COMPLETE_ARGS"]
    done = run(**asked)
    assert given in done.stdout
    assert ("kinefit.cli.commands" in done.stdout.splitlines()[-1]) == commands


def test_detection_loads_no_scipy() -> None:
    # Each camera's process would pay one CPU second for it. The control: clocks need it.
    script = "import sys, kinefit.{}; print('scipy' in sys.modules)"
    for module, scipy in [("detect", "False"), ("multiview.sync", "True")]:
        command = [sys.executable, "-c", script.format(module)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == scipy


def loaded(*words: str) -> str:
    """Which of HEAVY a process has imported when `kinefit WORDS` ends."""
    return run(*words).stdout.splitlines()[-1]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`kinefit WORDS`, and at its end a line with those of HEAVY that were imported."""
    script = (
        "import atexit, sys; from kinefit.cli import main\n"
        f"atexit.register(lambda: print([m for m in {HEAVY} if m in sys.modules]))\n"
        f"sys.argv = ['kinefit', *{words!r}]; main()"
    )
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
