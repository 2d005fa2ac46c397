"""Most memory of each stage of a run over long videos, of one and of four cameras.

    python -m benchmarks.run_memory [--frames 20000] [--cameras 1 4] [--overlay]

The people that the detector finds in the demo, there and back, stand in for detection (whose own
memory `benchmarks.detect_memory` measures); the videos have an eighth of the demo's size. The run
is a child process whose peak resident memory (VmHWM, Linux) is read, and begun anew, at the end of
each stage; processes that it starts itself are not counted. Exits with 1 above LIMIT_MIB.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.io.processes import Child, report

LIMIT_MIB = 2048
SHRINK = 8
DEMO_FRAMES = 150


def detect(context: Any) -> None:
    """Instead of the stage of that name: the demo's people, over and over."""
    from kinefit.io.people import People
    from kinefit.pipeline.artifacts import load_people, save_people

    frames = context.clip.timeline().frame
    short = load_people(context.job.inputs[context.camera].with_suffix(".npz"))
    there = np.arange(len(short.frame))
    loop = np.concatenate([there, there[::-1]])[np.arange(len(frames)) % (2 * len(there))]
    longer = {
        name: tuple(values[i] for i in loop)
        for name in ("points", "body", "place", "look")
        if (values := getattr(short, name)) is not None
    }
    people = People(short.names, frames, **longer, source=short.source)
    save_people(context.internal(f"people_{context.camera}.npz"), people)


@cache
def demo_people(video: Path) -> Any:
    from kinefit.detect import make_detector
    from kinefit.io.video import Clip

    found = make_detector("blazepose", heavy=False).people(Clip(video))
    size = np.array([1 / SHRINK, 1 / SHRINK, 1])
    return replace(
        found, points=tuple(points * size for points in found.points),
        place=None if found.place is None else tuple(place / SHRINK for place in found.place),
    )  # fmt: skip


def write_videos(folder: Path, cameras: int, count: int) -> list[Path]:
    """Videos of `count` frames at 60 Hz with the demo's people beside them, and a calibration."""
    from kinefit.api import demo_video
    from kinefit.io.calibration import read_calibration, write_calibration
    from kinefit.io.video import VideoWriter
    from kinefit.pipeline.artifacts import save_people
    from kinefit.types import CameraRig

    demo = demo_video().parent
    rig = read_calibration(demo / "Calib.qca.txt").rig
    shrunk = []
    for camera in list(rig)[:cameras]:
        size = (camera.size[0] // SHRINK, camera.size[1] // SHRINK)
        shrunk.append(replace(camera, size=size, K=np.diag([1 / SHRINK, 1 / SHRINK, 1]) @ camera.K))
    write_calibration(folder / "cameras.toml", CameraRig(tuple(shrunk)), "caliscope")
    videos = []
    for camera in shrunk:
        video = folder / f"{camera.name}.mp4"
        picture = np.random.default_rng(0).integers(0, 255, (*camera.size[::-1], 3), np.uint8)
        with VideoWriter(video, camera.size, rate_hz=60) as out:
            for i in range(count):
                out.add(picture, i / 60)
        save_people(video.with_suffix(".npz"), demo_people(demo / f"{camera.name}.mp4"))
        videos.append(video)
    return videos


def run(videos: list[Path], out: Path, overlay: bool) -> None:
    """In the child: the run; says of each stage the seconds and the MiB at most."""
    from benchmarks import run_memory
    from kinefit.api import process
    from kinefit.pipeline import plan
    from kinefit.pipeline.config import run_config

    plan.PLAN = tuple(
        replace(stage, work=run_memory.detect) if stage.name == "detect" else stage
        for stage in plan.PLAN
    )
    now, since = "start", time.perf_counter()

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal now, since
        if stage != now:
            report((now, time.perf_counter() - since, peak_mib()))
            now, since = stage, time.perf_counter()

    options: dict[str, Any] = {"height": 1.72, "mass": 66, "overlay": overlay}
    if len(videos) > 1:
        options["calibration"] = videos[0].parent / "cameras.toml"
    process(videos, out, run_config(options), progress=progress)
    progress("", 0, 0)


def peak_mib() -> float:
    """Most resident memory of this process since the last call."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))
    Path("/proc/self/clear_refs").write_text("5")
    assert found is not None
    return int(found.group(1)) / 1024


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--overlay", action="store_true", help="draw the body on the videos, too")
    chosen = parser.parse_args()
    most = 0.0
    for cameras in chosen.cameras:
        print(f"{chosen.frames} frames of {cameras} camera(s)", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            videos = write_videos(Path(folder), cameras, chosen.frames)

            def show(told: tuple[str, float, float]) -> None:
                nonlocal most
                most = max(most, told[2])
                print(f"  {told[0]:16}{told[1]:8.1f} s {told[2]:8.0f} MiB", flush=True)

            child = Child()
            try:
                child.reported(show, run, videos, Path(folder) / "out", chosen.overlay)
            finally:
                child.close()
    return int(most > LIMIT_MIB)


if __name__ == "__main__":
    from benchmarks import run_memory  # whose functions a child can import

    sys.exit(run_memory.main())
