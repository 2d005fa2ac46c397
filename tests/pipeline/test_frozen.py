"""A stream that froze, from the video to the verdict."""

from __future__ import annotations

from pathlib import Path

from kinefit.api import process
from kinefit.io.video import VideoWriter, frames, probe
from kinefit.pipeline.config import run_config


def test_the_report_says_which_seconds_stand_still(demo_clip: Path, tmp_path: Path) -> None:
    seen = list(frames(demo_clip))
    shown = [*seen[:10], *[seen[9]] * 40, *seen[10:30]]
    with VideoWriter(tmp_path / "a.mp4", probe(demo_clip).size, rate_hz=60.0) as out:
        for i, frame in enumerate(shown):
            out.add(frame.rgb, i / 60)
    options = {"height": 1.68, "quality": "fast", "overlay": False, "export": ""}
    results = {
        name: process(video, tmp_path / name, run_config(options))
        for name, video in (("frozen", tmp_path / "a.mp4"), ("whole", demo_clip))
    }
    (said,) = [str(one) for one in results["frozen"].findings if "stands still" in str(one)]
    assert "The picture of a stands still for 0.6" in said
    assert "0.15-0.8" in said  # from picture 9 of 60 a second to 49
    assert results["frozen"].verdict == "caution"
    assert not any("stands still" in str(one) for one in results["whole"].findings)
