"""Processor time of detection for each frame: kinefit's detector against MediaPipe on the same.

    python -m benchmarks.detect [--runs 3]

Both look at the decoded frames of the demo's four views, one after another, in a process of its
own each, on one thread, after a first frame that loads the networks; runs alternate, and the
medians are compared. MediaPipe 0.10.21 sees one person; kinefit looks for everybody, at some
frames twice. The target is no more processor time than MediaPipe. `--quality best` is measured as
well; MediaPipe's wheel lacks its network.
"""

from __future__ import annotations

import argparse
import json
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
from kinefit.detect.blazepose import weights
from kinefit.detect.follow import Follower, Networks
best = sys.argv[1] == "best"
networks = Networks(weights("pose_landmark_heavy") if best else None, best)
rates = [probe(path).rate_hz for path in sys.argv[2:]]
list(Follower(networks, 30.0, 1).over(iter(views[0][:2])))
start = time.process_time()
for view, rate in zip(views, rates):
    for _ in Follower(networks, rate, 1).over(iter(view)):
        pass
print((time.process_time() - start) / count)
"""


def milliseconds(script: str, quality: str) -> float:
    """Processor time of each frame."""
    command = [sys.executable, "-c", script, quality, *map(str, demo_views()[0])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return 1000 * float(done.stdout)


def main() -> int:
    """Print the comparison; exit status 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    tools = {
        "mediapipe": (MEDIAPIPE, ""),
        "kinefit": (KINEFIT, "normal"),
        "kinefit --quality best": (KINEFIT, "best"),
    }
    found: dict[str, list[float]] = {name: [] for name in tools}
    start = time.perf_counter()
    for _ in range(chosen.runs):
        for name, (script, quality) in tools.items():
            found[name].append(milliseconds(script, quality))
    for name, values in found.items():
        print(f"{name:36s} {median(values):6.2f} ms CPU a frame {[round(v, 2) for v in values]}")
    ratio = median(found["kinefit"]) / median(found["mediapipe"])
    print(f"ratio {ratio:.2f}, target {TARGET} ({time.perf_counter() - start:.0f} s)")
    print(json.dumps({"benchmark": "detect", "cpu_ratio": round(ratio, 3), "target": TARGET}))
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
