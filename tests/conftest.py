"""Inputs that several test folders share."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinefit.api import demo_views


@pytest.fixture(scope="session")
def demo_videos() -> Path:
    """Folder of the real four-camera demo: cam01.mp4 to cam04.mp4, Calib.qca.txt."""
    return demo_views()[1].parent


@pytest.fixture(scope="session")
def demo_clip(demo_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 40 frames of the demo's camera 1, half size: real video, quick to process."""
    import cv2

    from kinefit.io.video import VideoWriter, frames

    path = tmp_path_factory.mktemp("demo") / "clip.mp4"
    with VideoWriter(path, (540, 960), rate_hz=60.0, quality=18) as writer:
        for frame in frames(demo_videos / "cam01.mp4"):
            if frame.index == 40:
                break
            writer.add(cv2.resize(frame.rgb, (540, 960), interpolation=cv2.INTER_AREA), frame.time)
    return path
