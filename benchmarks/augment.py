"""How long augmentation takes, against one bare pass of the same two networks in the same run.

    python -m benchmarks.augment [--frames 3000] [--cycles 20] [--long 30000]

The motion is a synthetic figure that swings its limbs; time does not depend on what it does. The
floor is the two ONNX models run once, one after the other, on ready features, on the same session
settings. Twenty passes cost far less than twenty floors, since the passes share one batch, and
the two networks run side by side where there are two cores. A long clip is run in the same process:
a frame of it should cost what a frame of the short one does (target: at most 1.4 times: of a
long clip fewer passes share a call, so that memory stays bounded).
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy as np

from kinefit.biomech.markers.augment import augment
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


def floor(frames: int) -> tuple[float, float]:
    """`cost` of one pass of both networks over `frames` frames."""
    session = sys.modules["kinefit.biomech.markers.augment"]._session
    sizes = {"lower": 47, "upper": 23}
    inputs = {n: np.zeros((1, frames, size), np.float32) for n, size in sizes.items()}

    def once() -> None:
        for name, values in inputs.items():
            session(name).run(None, {"inputs": values})

    return cost(once)


def cost(job: Callable[[], object]) -> tuple[float, float]:
    """(wall, processor) seconds, each the best of three, after one run to warm up.

    The processor's seconds are those of all threads: the figure to trust on a busy machine.
    """
    job()
    runs = []
    for _ in range(3):
        wall, busy = time.perf_counter(), time.process_time()
        job()
        runs.append((time.perf_counter() - wall, time.process_time() - busy))
    wall, busy = np.min(runs, axis=0)
    return float(wall), float(busy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--long", type=int, default=30_000)
    args = parser.parse_args()
    markers, subject = motion(args.frames), Subject(1.75, 70.0)
    one_pass = floor(args.frames)
    whole = cost(lambda: augment(markers, subject, cycles=args.cycles))
    result = {"frames": args.frames, "cycles": args.cycles}
    for kind, took, least in zip(("wall", "cpu"), whole, one_pass, strict=True):
        result[f"augment_{kind}_s"] = round(took, 3)
        result[f"one_pass_{kind}_s"] = round(least, 3)
        result[f"ratio_{kind}"] = round(took / least, 2)
    far = motion(args.long)
    _, long_cpu = cost(lambda: augment(far, subject, cycles=args.cycles))
    per_frame = long_cpu / args.long / (whole[1] / args.frames)
    result |= {"long_frames": args.long, "long_cpu_s": round(long_cpu, 3)}
    print(json.dumps(result | {"ratio_of_a_frame": round(per_frame, 2)}, indent=2))


if __name__ == "__main__":
    main()
