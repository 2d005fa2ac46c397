"""Time of joint angles for 10,000 frames of 65 markers, against a floor measured in the same run.

    python -m benchmarks.angles

The floor is numpy's singular value decomposition of as many 3 x 3 matrices as there are joint
rotations (12 per frame): what a fit of each joint's rotation would cost at the least. Timings on
a shared machine scatter, so the smallest of several runs counts. Prints a table and a JSON line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np

from kinefit.biomech.angles import GROUPS, joint_angles, to_opensim
from kinefit.skeletons.table import skeleton
from kinefit.types import Markers, Timeline

FRAMES = 10_000
RUNS = 7
LIMIT_S = 0.5


def recording(*, with_sd: bool) -> Markers:
    """The 43 augmented and 22 initial markers in random places, which cost what real ones do."""
    names = skeleton("augmented43").points + skeleton("markers22").points
    rng = np.random.default_rng(0)
    place = rng.normal(size=(len(names), 3))
    xyz = place + 0.01 * rng.normal(size=(FRAMES, len(names), 3))
    sd = np.full_like(xyz, 0.005) if with_sd else None
    return Markers(Timeline.regular(FRAMES, 60.0), names, xyz, sd=sd)


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of RUNS calls."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    matrices = np.random.default_rng(1).normal(size=(FRAMES * len(GROUPS), 3, 3))
    plain, uncertain = recording(with_sd=False), recording(with_sd=True)
    angles = joint_angles(plain)
    seconds = {
        "svd_floor": best(lambda: np.linalg.svd(matrices)),
        "angles": best(lambda: joint_angles(plain)),
        "angles_with_sd": best(lambda: joint_angles(uncertain)),
        "to_opensim": best(lambda: to_opensim(angles, plain)),
    }
    for name, value in seconds.items():
        print(f"{name:16s} {value:7.3f} s  {value / seconds['svd_floor']:6.2f} x floor")
    ratios = {f"{n}_ratio": s / seconds["svd_floor"] for n, s in seconds.items()}
    within = seconds["angles"] < LIMIT_S and seconds["angles_with_sd"] < LIMIT_S
    print(json.dumps({"frames": FRAMES, **seconds, **ratios, "within_limit": within}))


if __name__ == "__main__":
    main()
