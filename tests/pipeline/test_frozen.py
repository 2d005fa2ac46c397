"""A stream that froze, from the video to the verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinefit.api import process
from kinefit.detect.frozen import WatchedClip
from kinefit.io.video import VideoWriter, frames, probe
from kinefit.pipeline.config import run_config
from kinefit.pipeline.recording import frozen


@pytest.fixture(scope="module")
def stopped(demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Picture 9 of 60 a second is shown until 49."""
    seen, path = list(frames(demo_clip)), tmp_path_factory.mktemp("stopped") / "a.mp4"
    shown = [*seen[:10], *[seen[9]] * 40, *seen[10:30]]
    with VideoWriter(path, probe(demo_clip).size, rate_hz=60.0) as out:
        for i, frame in enumerate(shown):
            out.add(frame.rgb, i / 60)
    return path


def test_seconds_are_those_that_start_and_end_take(stopped: Path) -> None:
    """Of the playing time, also where the video plays slower than life."""
    clip = WatchedClip(stopped, slowmo=1.25)
    assert len(list(clip.frames())) == 70
    (said,) = map(str, frozen({"a": clip}, {"a": clip.changes()}))
    assert "stands still for 0.6" in said
    assert "0.15-0.8" in said


def test_the_report_says_which_seconds_stand_still(
    stopped: Path, demo_clip: Path, tmp_path: Path
) -> None:
    options = {"height": 1.68, "quality": "fast", "overlay": False, "export": ""}
    results = {
        name: process(video, tmp_path / name, run_config(options))
        for name, video in (("frozen", stopped), ("whole", demo_clip))
    }
    (said,) = [str(one) for one in results["frozen"].findings if "stands still" in str(one)]
    assert "The picture of a stands still for 0.6" in said
    assert "0.15-0.8" in said
    assert results["frozen"].verdict == "caution"
    assert not any("stands still" in str(one) for one in results["whole"].findings)
