"""The whole demo against detection alone, as two commands on the same video.

    python benchmarks/demo.py [--runs 3]

The floor is a process that decodes the demo's video with PyAV and puts every frame through
MediaPipe Pose, and does nothing else. The other is `kinefit demo`, from nothing to the report:
decoding, detection, overlay video, lift, augmentation in 20 cycles, angles, figures, report.
Runs alternate; the medians are compared. Target: at most 1.25.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

TARGET = 1.25
FLOOR = """
import sys
import av
from mediapipe.python.solutions.pose import Pose
with Pose() as pose, av.open(sys.argv[1]) as file:
    file.streams.video[0].thread_type = "AUTO"
    for frame in file.decode(video=0):
        pose.process(frame.to_ndarray(format="rgb24"))
"""
WHOLE = "from kinefit.cli import main; main()"


def seconds(*command: str) -> float:
    """Wall time of a process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", *command], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> int:
    """Print the comparison; exit status 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    from kinefit.api import demo_video

    floor, whole = [], []
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs + 1):  # the first warms the disk cache
            floor.append(seconds(FLOOR, str(demo_video())))
            whole.append(seconds(WHOLE, "demo", "--out", str(Path(folder, str(run)))))
    ratio = median(whole[1:]) / median(floor[1:])
    print(f"detection alone  {median(floor[1:]):6.2f} s   of {[round(s, 2) for s in floor[1:]]}")
    print(f"kinefit demo     {median(whole[1:]):6.2f} s   of {[round(s, 2) for s in whole[1:]]}")
    print(f"ratio            {ratio:6.2f}     target {TARGET}")
    print(json.dumps({"benchmark": "demo", "ratio": round(ratio, 3), "target": TARGET}))
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
