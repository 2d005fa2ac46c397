"""The whole demo against bare detection, as commands on the same videos.

    python -m benchmarks.demo [--multiview] [--runs 3]

Bare detection is one process per core, each of which decodes its share of the videos with PyAV and
runs MediaPipe Pose on every frame, and does nothing else. The other command is `kinefit demo`, from
start to report. Runs alternate. Compared are the medians of processor seconds, with those of all
child processes: wall time on a shared machine says more of its other users. Python keeps compiled
files of both commands in a temporary folder, as it does of installed packages, whatever
PYTHONDONTWRITEBYTECODE says here. Targets: at most 1.6 times bare detection for one camera, 2.0 for
four.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from kinefit.api import demo_video, demo_views

TARGETS = {False: 1.6, True: 2.0}  # by whether there are several cameras
DETECT = """
import sys
import av
from mediapipe.python.solutions.pose import Pose
for path in sys.argv[1:]:
    with Pose() as pose, av.open(path) as file:
        file.streams.video[0].thread_type = "AUTO"
        for frame in file.decode(video=0):
            pose.process(frame.to_ndarray(format="rgb24"))
"""
WHOLE = "from kinefit.cli import main; main()"


class Cost(NamedTuple):
    """Seconds of processes: on the wall, and of processors."""

    wall: float
    cpu: float


def cost(*commands: Sequence[str], compiled: Path | None = None) -> Cost:
    """Cost of Python scripts with arguments that run side by side, and of their children.

    compiled: a folder for Python's compiled files, filled by the first run; None: as it is here.
    """
    nothing, environment = subprocess.DEVNULL, dict(os.environ)
    if compiled is not None:
        environment["PYTHONPYCACHEPREFIX"] = str(compiled)
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before, start = _children_s(), time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", *c], stdout=nothing, stderr=nothing, env=environment
        )
        for c in commands
    ]
    codes = [process.wait() for process in running]
    if any(codes):
        raise RuntimeError(f"a command failed: {commands[codes.index(max(codes))][1:]}")
    return Cost(time.perf_counter() - start, _children_s() - before)


def bare_detection(videos: Sequence[str], compiled: Path | None = None) -> Cost:
    """Cost of decoding and detecting, one process per core."""
    cores = min(os.cpu_count() or 1, len(videos))
    return cost(*((DETECT, *videos[i::cores]) for i in range(cores)), compiled=compiled)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Print the comparison; exit status 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--multiview", action="store_true", help="all four cameras")
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    videos = [str(v) for v in (demo_views()[0] if chosen.multiview else [demo_video()])]
    flags = ["--multiview"] if chosen.multiview else []
    bare, whole = [], []
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder, "compiled")
        for run in range(chosen.runs + 1):  # the first warms the disk cache, and compiles
            bare.append(bare_detection(videos, compiled))
            out = str(Path(folder, str(run)))
            whole.append(cost((WHOLE, "demo", *flags, "--out", out), compiled=compiled))
        stages = json.loads(Path(folder, "0", "run.json").read_text("utf-8"))["stages"]
    for name, costs in (("detection alone", bare), ("kinefit demo", whole)):
        wall, cpu = (median(values) for values in zip(*costs[1:], strict=True))
        print(f"{name:16s} {cpu:6.2f} CPU s, {wall:6.2f} s; CPU s of each run "
              f"{[round(c.cpu, 2) for c in costs[1:]]}")  # fmt: skip
    print("  " + ", ".join(f"{name} {stage['seconds']:.2f} s" for name, stage in stages.items()))
    target = TARGETS[chosen.multiview]
    ratio = median(c.cpu for c in whole[1:]) / median(c.cpu for c in bare[1:])
    print(f"ratio of CPU s   {ratio:6.2f}   target {target}")
    print(json.dumps({"benchmark": "demo", "cameras": len(videos), "cpu_ratio": round(ratio, 3),
                      "target": target}))  # fmt: skip
    return int(ratio > target)


if __name__ == "__main__":
    sys.exit(main())
