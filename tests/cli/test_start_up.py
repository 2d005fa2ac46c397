"""What a start does not wait for: commands behind `--help`, scipy in processes that detect."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from kinefit import types
from kinefit.cli.commands import _MODULES, app
from kinefit.cli.front_page import SECTIONS

HEAVY = ("numpy", "scipy", "pydantic", "rich", "av", "cv2", "PIL", "matplotlib", "onnxruntime",
         "ai_edge_litert", "opensim", "kinefit.api", "kinefit.cli.commands")  # fmt: skip


def test_types_are_those_that_the_checker_sees() -> None:
    """The table of `kinefit.types`, by which names are found, and its imports say the same."""
    lines = re.findall(
        r"from kinefit\.types\.(\w+) import (\w+) as \2\n", Path(types.__file__).read_text("utf-8")
    )
    assert {name: module for module, name in lines} == types._MODULE
    for name in types._MODULE:
        assert hasattr(types, name)


def test_the_list_is_that_of_the_real_commands() -> None:
    real = get_command(app).commands  # type: ignore[attr-defined]
    listed = {name: text for section in SECTIONS.values() for name, text in section.items()}
    assert listed == {name: one.get_short_help_str(500) for name, one in real.items()}


@pytest.mark.parametrize("name", sorted(_MODULES))
def test_options_wait_for_no_numbers(name: str) -> None:
    """A page of options needs what typer reads values with, and its own command."""
    assert loaded(name, "--help") == "['pydantic', 'kinefit.cli.commands']"


@pytest.mark.parametrize(
    ("job", "needed"),
    [("angles_of_file", []), ("process", ["scipy.optimize", "av", "cv2", "PIL", "onnxruntime"])],
)
def test_a_job_loads_its_own_libraries(job: str, needed: list[str]) -> None:
    # The control: video needs what markers do not. Figures, which few runs have, load matplotlib.
    libraries = ("scipy.optimize", "av", "cv2", "PIL", "matplotlib", "onnxruntime")
    script = f"import sys; from kinefit.api import {job}; "
    script += f"print([m for m in {libraries} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == str(needed), done.stderr


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


def test_a_process_that_detects_loads_no_scipy() -> None:
    # Each camera's process would pay one CPU second for it. The control: the plan needs it.
    script = "import sys, kinefit.pipeline.{}; print('scipy' in sys.modules)"
    for module, scipy in [("camera_work", "False"), ("stages.detect", "False"), ("plan", "True")]:
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
