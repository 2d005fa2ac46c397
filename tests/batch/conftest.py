"""A folder of trials that a stand-in does, in a blink."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kinefit.batch.table import read_trials
from kinefit.batch.trials import Trial

STAND_IN = (sys.executable, str(Path(__file__).with_name("stand_in.py")))


@pytest.fixture
def program() -> Sequence[str]:
    """What is run in place of `kinefit.batch.trial`."""
    return STAND_IN


@pytest.fixture
def trials(tmp_path: Path) -> Callable[..., list[Trial]]:
    """A function: trials of these names, of files that are no videos."""

    def make(*names: str) -> list[Trial]:
        for name in names:
            video = tmp_path / "videos" / f"{name}.mp4"
            video.parent.mkdir(parents=True, exist_ok=True)
            if not video.exists():
                video.write_bytes(name.encode())
        return read_trials(tmp_path / "videos", {"height": 1.7})

    return make
