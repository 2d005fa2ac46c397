"""The whole multi-view demo against detection alone, as commands on the same four videos.

    python benchmarks/multiview.py [--runs 3]

The floor is one process per core, each of which decodes its share of the four videos with PyAV and
puts every frame through MediaPipe Pose, and does nothing else; the slower one counts. The other is
`kinefit demo --multiview`, from nothing to the report: decoding, detection, sides, triangulation,
trajectory, overlay of all cameras, augmentation in 20 cycles, angles, figures, report. Runs
alternate; the medians are compared. Target: at most 1.3.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

TARGET = 1.3
FLOOR = """
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


def floor(videos: list[str]) -> float:
    """Wall time of one process per core, each with its share of the videos."""
    cores = os.cpu_count() or 1
    shares = [videos[i::cores] for i in range(min(cores, len(videos)))]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = time.perf_counter()
    running = [subprocess.Popen([sys.executable, "-c", FLOOR, *s], **quiet) for s in shares]
    codes = [process.wait() for process in running]
    if any(codes):
        raise RuntimeError("the floor's processes failed")
    return time.perf_counter() - start


def whole(folder: str) -> float:
    """Wall time of the command."""
    command = [sys.executable, "-c", WHOLE, "demo", "--multiview", "--out", folder]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> int:
    """Print the comparison; exit status 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    from kinefit.api import demo_views

    videos = [str(video) for video in demo_views()[0]]
    alone, all_of_it = [], []
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs + 1):  # the first warms the disk cache
            alone.append(floor(videos))
            all_of_it.append(whole(str(Path(folder, str(run)))))
        stages = json.loads(Path(folder, str(runs), "run.json").read_text())["stages"]
    ratio = median(all_of_it[1:]) / median(alone[1:])
    print(f"detection alone           {median(alone[1:]):6.2f} s   of {alone[1:]}")
    print(f"kinefit demo --multiview  {median(all_of_it[1:]):6.2f} s   of {all_of_it[1:]}")
    print("  " + ", ".join(f"{name} {stage['seconds']:.2f}" for name, stage in stages.items()))
    print(f"ratio                     {ratio:6.2f}     target {TARGET}")
    print(json.dumps({"benchmark": "multiview", "ratio": round(ratio, 3), "target": TARGET}))
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
