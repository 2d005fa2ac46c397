"""What the body costs in an overlay, against the same film without one.

    python -m benchmarks.overlay [--seconds 4] [--runs 3]

A scene of one upright full-HD camera is rendered; its true motion is drawn on its own video. The
floor is the same film with its captions alone: decoding, scaling, encoding. Both are timed in
processor seconds of the process, since the machine may be shared, and alternate; compared are the
least of each. Target: the body adds at most 0.6 of what the floor takes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.suite.rendered_scenes import RenderedScene, SceneSetting
from kinefit.body.load import load_body
from kinefit.io.calibration import read_calibration
from kinefit.io.video import Clip
from kinefit.render.body_overlay import write_body_overlay
from kinefit.render.tiles import Tiles

TARGET = 0.6


def measure(folder: Path, seconds: float, runs: int) -> tuple[int, float, float]:
    """Frames, and processor seconds of the film without the body and with it."""
    scene_folder = SceneSetting(1, 1, seconds, 1080, 1920).render(folder / "scene", None)[0]
    scene = RenderedScene(scene_folder, folder)
    rig = read_calibration(scene_folder / "calibration.toml").rig
    motion, body, clips = scene.person.motion, load_body("anny"), [Clip(scene.video(rig.names[0]))]
    moments = motion.timeline.time[None]

    def bare(path: Path) -> None:
        Tiles.of(rig).write(
            path, clips, moments, motion.timeline, lambda t, pictures: None, lambda done, of: None
        )

    def whole(path: Path) -> None:
        write_body_overlay(path, clips, rig, moments, body, motion, lambda done, of: None)

    least = [float("inf")] * 2
    for _ in range(runs):
        for i, work in enumerate((bare, whole)):
            start = time.process_time()
            work(folder / f"{i}.mp4")
            least[i] = min(least[i], time.process_time() - start)
    return len(motion.timeline), *least


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        frames, bare, whole = measure(Path(folder), arguments.seconds, arguments.runs)
    per_frame = 1000 / frames
    print(f"film alone {bare * per_frame:.1f} ms a frame, with the body {whole * per_frame:.1f}")
    ratio = (whole - bare) / bare
    print(f"the body adds {ratio:.2f} of the film's time (target {TARGET})")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
