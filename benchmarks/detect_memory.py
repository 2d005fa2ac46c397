"""Memory of the embedded detector over a long video.

    python -m benchmarks.detect_memory [--frames 20000]

Writes a synthetic video (a crop that wanders over the frames of Pose2Sim's demo), detects with a
checkpoint as the pipeline does, and prints the resident memory every 1,000 frames.
Exits with 1 when it ever exceeds that after the first 1,000 frames by more than LIMIT_MB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

from kinefit.api import demo_video
from kinefit.detect import make_detector
from kinefit.io.video import Clip, VideoWriter, frames

# The allocator's own ups and downs: 60 fresh graphs in a row take 150 MB more than one, then no
# more (and nothing more when the allocator is told to trim). A leak of 16 KB a frame is found.
LIMIT_MB = 300
SIZE = (270, 480)


def resident_mb() -> float:
    """Megabytes of this process in memory (Linux)."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096 / 2**20


def write_video(path: Path, count: int) -> None:
    """`count` frames of 30 Hz: the demo there and back, a crop of it that moves slowly."""
    small = [
        cv2.resize(f.rgb, (SIZE[0] + 20, SIZE[1] + 20), interpolation=cv2.INTER_AREA)
        for f in frames(demo_video())
        if f.rgb is not None
    ]
    with VideoWriter(path, SIZE, rate_hz=30) as out:
        for i, picture in zip(range(count), cycle(small + small[::-1]), strict=False):
            x, y = (int(10 + 10 * np.sin(i / t)) for t in (37, 53))
            crop = picture[y : y + SIZE[1], x : x + SIZE[0]]
            out.add(np.ascontiguousarray(crop), i / 30)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=20_000)
    count: int = parser.parse_args().frames
    used: list[tuple[int, float]] = []
    start = time.perf_counter()

    def report(done: int, _: int) -> None:
        if done % 1000 == 0:
            used.append((done, resident_mb()))
            speed = (time.perf_counter() - start) / done * 1000
            print(f"{done:6d} frames  {used[-1][1]:7.1f} MB  {speed:5.1f} ms/frame", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "long.mp4"
        write_video(video, count)
        start = time.perf_counter()
        people = make_detector("blazepose").people(
            Clip(video), progress=report, checkpoint=Path(folder) / "chunks"
        )
    growth = max(mb for _, mb in used) - used[0][1]
    found = np.mean([len(seen) > 0 for seen in people.points])
    print(f"at most {growth:.0f} MB more than after 1,000; somebody in {found:.1%}")
    sys.exit(growth > LIMIT_MB)


if __name__ == "__main__":
    main()
