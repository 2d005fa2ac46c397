"""Processor time of detection for each frame: kinefit's detector against MediaPipe on the same.

    python -m benchmarks.detect [--runs 3] [--model pose_landmarker_heavy.task]

Both look at the decoded frames of the demo's four views, one after another, in a process of its
own each, on one thread, after a first frame that loads the networks; runs alternate, and the
medians are compared. MediaPipe 0.10.21 sees one person; kinefit looks for everybody, at some
frames twice. The target is no more processor time than MediaPipe. With `--model`, another landmark
network (.tflite or .task) is measured as well; MediaPipe's wheel has none to compare it with.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median

from kinefit.api import demo_views

TARGET = 1.0  # times MediaPipe's processor time
SHARED = """
import sys, time
from kinefit.io.video import frames, probe
views = [list(frames(path)) for path in sys.argv[2:]]
count = sum(map(len, views))
"""
MEDIAPIPE = f"""{SHARED}
from mediapipe.python.solutions.pose import Pose
Pose(static_image_mode=True, model_complexity=1).process(views[0][0].rgb)
spent = 0.0
for view in views:
    with Pose(model_complexity=1, smooth_landmarks=False) as pose:
        pose.process(view[0].rgb)
        start = time.process_time()
        for frame in view[1:]:
            pose.process(frame.rgb)
        spent += time.process_time() - start
print(spent / (count - len(views)))
"""
KINEFIT = f"""{SHARED}
from pathlib import Path
from kinefit.detect.blazepose import read_model
from kinefit.detect.follow import Follower, Networks
model = read_model(Path(sys.argv[1])) if sys.argv[1] else None
rates = [probe(path).rate_hz for path in sys.argv[2:]]
list(Follower(Networks(model), 30.0, 1).over(iter(views[0][:2])))
start = time.process_time()
for view, rate in zip(views, rates):
    for _ in Follower(Networks(model), rate, 1).over(iter(view)):
        pass
print((time.process_time() - start) / count)
"""


def milliseconds(script: str, model: str) -> float:
    """Processor time of each frame."""
    command = [sys.executable, "-c", script, model, *map(str, demo_views()[0])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return 1000 * float(done.stdout)


def main() -> int:
    """Print the comparison; exit status 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--model", default="", help="another landmark network")
    chosen = parser.parse_args()
    tools = {"mediapipe": (MEDIAPIPE, ""), "kinefit": (KINEFIT, "")}
    if chosen.model:
        tools[f"kinefit, {os.path.basename(chosen.model)}"] = (KINEFIT, chosen.model)
    found: dict[str, list[float]] = {name: [] for name in tools}
    start = time.perf_counter()
    for _ in range(chosen.runs):
        for name, (script, model) in tools.items():
            found[name].append(milliseconds(script, model))
    for name, values in found.items():
        print(f"{name:36s} {median(values):6.2f} ms CPU a frame {[round(v, 2) for v in values]}")
    ratio = median(found["kinefit"]) / median(found["mediapipe"])
    print(f"ratio {ratio:.2f}, target {TARGET} ({time.perf_counter() - start:.0f} s)")
    print(json.dumps({"benchmark": "detect", "cpu_ratio": round(ratio, 3), "target": TARGET}))
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
