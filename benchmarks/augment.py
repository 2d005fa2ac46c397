"""How long augmentation takes, against one bare pass of the same two networks in the same run.

    python benchmarks/augment.py [--frames 3000] [--cycles 20]

The motion is a synthetic figure that swings its limbs; time does not depend on what it does. The
floor is the two ONNX models run once, one after the other, on ready features, on the same session
settings. Twenty passes cost far less than twenty floors, since the passes share one batch, and
the two networks run side by side where there are two cores.
"""

import argparse
import json
import sys
import time

import numpy as np

from kinefit.markers.augment import augment
from kinefit.skeletons import skeleton
from kinefit.types import Markers, Subject, Timeline


def motion(frames: int) -> Markers:
    """All 22 markers at 60 Hz, each swinging 10 cm about its own place."""
    names = skeleton("markers22").points
    rng = np.random.default_rng(0)
    place = rng.uniform([-0.1, 0.0, -0.3], [0.1, 1.7, 0.3], (len(names), 3))
    phase = rng.uniform(0, 2 * np.pi, (len(names), 3))
    timeline = Timeline.regular(frames, 60.0)
    swing = 0.1 * np.sin(2 * np.pi * timeline.time[:, None, None] + phase)
    return Markers(timeline, names, place + swing)


def floor_s(frames: int) -> float:
    """Seconds of one pass of both networks over `frames` frames; the better of three."""
    session = sys.modules["kinefit.markers.augment"]._session
    sizes = {"lower": 47, "upper": 23}
    inputs = {n: np.zeros((1, frames, size), np.float32) for n, size in sizes.items()}

    def once() -> None:
        for name, values in inputs.items():
            session(name).run(None, {"inputs": values})

    return seconds(once)


def seconds(job) -> float:
    """The best of three, after one run to warm up."""
    job()
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        job()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--cycles", type=int, default=20)
    args = parser.parse_args()
    markers, subject = motion(args.frames), Subject(1.75, 70.0)
    floor = floor_s(args.frames)
    took = seconds(lambda: augment(markers, subject, cycles=args.cycles))
    result = {
        "frames": args.frames,
        "cycles": args.cycles,
        "augment_s": round(took, 3),
        "one_pass_s": round(floor, 3),
        "ratio": round(took / floor, 2),
        "ratio_per_cycle": round(took / floor / args.cycles, 3),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
