"""What a start does not wait for: commands behind `--help`, scipy in processes that detect."""

from __future__ import annotations

import subprocess
import sys

from typer.testing import CliRunner

from kinefit.cli.commands import app
from kinefit.cli.front_page import front_page

HEAVY = ("numpy", "scipy", "pydantic", "kinefit.api", "kinefit.cli.commands")


def test_the_page_is_that_of_the_real_commands() -> None:
    listed = CliRunner().invoke(front_page(), ["--help"])
    real = CliRunner().invoke(app, ["--help"])
    assert listed.exit_code == real.exit_code == 0
    assert listed.output == real.output


def test_help_loads_no_command() -> None:
    assert loaded("--help") == "[]"
    # The control: a command that exists is loaded, and so is what it needs.
    assert "kinefit.cli.commands" in loaded("version")


def test_detection_loads_no_scipy() -> None:
    # Each camera's process would pay one CPU second for it. The control: clocks need it.
    script = "import sys, kinefit.{}; print('scipy' in sys.modules)"
    for module, scipy in [("detect", "False"), ("multiview.sync", "True")]:
        command = [sys.executable, "-c", script.format(module)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == scipy


def loaded(argument: str) -> str:
    """Which of HEAVY a process has imported when `kinefit ARGUMENT` ends."""
    script = (
        "import atexit, sys; from kinefit.cli import main\n"
        f"atexit.register(lambda: print([m for m in {HEAVY} if m in sys.modules]))\n"
        f"sys.argv = ['kinefit', {argument!r}]; main()"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]
