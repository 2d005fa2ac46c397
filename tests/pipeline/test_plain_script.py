"""A script without `if __name__ == "__main__":`, whose cameras are looked at by child processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Children that multiprocessing starts run the script again.
pytest.importorskip("kinefit.io.processes")

SCRIPT = """
import kinefit as kf
from kinefit.api import demo_views

print("begins")
videos, rig = demo_views()
several = [str(video) for video in videos[:2]]
done = kf.run(several, height=1.68, calibration=str(rig), end=0.1, until="detect", out="out")
print(done.folder)
"""


def test_a_plain_script_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["begins", "out"]
