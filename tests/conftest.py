"""Inputs that several test folders share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# The workers are as many as the cores: their threads would wait for one another. Said before
# anything loads NumPy.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _library in ("OPENBLAS", "OMP", "MKL"):
        os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
# Where this is set, as in many containers, each of the hundreds of programs that tests start would
# compile all that it imports: 3 s of the processor for a run, which takes 5.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from kinefit.api import demo_views

# Folders whose files take longest: whole runs, clusters, browsers, training. Begun last (as pytest-
# xdist would, which begins with the files of most tests), one would be waited for alone.
LONG = ("batch", "web", "pipeline", "train", "benchmarks", "cli", "report")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first."""
    folders = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(folders).parts[0]
        return LONG.index(name) if name in LONG else len(LONG)

    items.sort(key=place)


@pytest.fixture(scope="session")
def demo_videos() -> Path:
    """Folder of the real four-camera demo: cam01.mp4 to cam04.mp4, Calib.qca.txt."""
    return demo_views()[1].parent


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser without a window: Chromium of the system, driven by Playwright.

    Of a module: while Playwright runs, Django believes itself in an event loop and refuses.
    """
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    options = ["--no-sandbox", "--no-first-run", "--disable-background-networking",
               "--disable-component-update", "--disable-sync", "--enable-unsafe-swiftshader",
               "--autoplay-policy=no-user-gesture-required"]  # fmt: skip
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=program, args=options)
        yield found
        found.close()


@pytest.fixture(scope="session")
def two_people_videos() -> Path:
    """Folder of Pose2Sim's four-camera demo with two people."""
    spec = find_spec("Pose2Sim")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("pose2sim, whose demo has two people, is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "Demo_MultiPerson" / "videos"
    if not folder.is_dir():
        pytest.skip("this release of pose2sim carries no demo of two people")
    return folder


@pytest.fixture(scope="session")
def two_people_clip(two_people_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 24 frames of its camera 1, half size: two people, apart from each other."""
    return _cut(two_people_videos / "cam01.mp4", tmp_path_factory.mktemp("two") / "two.mp4", 24)


@pytest.fixture(scope="session")
def demo_clip(demo_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 40 frames of the demo's camera 1, half size: real video, quick to process."""
    return _cut(demo_videos / "cam01.mp4", tmp_path_factory.mktemp("demo") / "clip.mp4", 40)


def _cut(video: Path, path: Path, count: int) -> Path:
    """The first frames of a video at half size."""
    import cv2

    from kinefit.io.video import VideoWriter, frames, probe

    width, height = probe(video).size
    size = (width // 2, height // 2)
    with VideoWriter(path, size, rate_hz=60.0, quality=18) as writer:
        for frame in frames(video):
            if frame.index == count:
                break
            writer.add(cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA), frame.time)
    return path
