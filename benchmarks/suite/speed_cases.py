"""Cases of time and memory: stages against a floor of the same run, rendering, long videos.

Nothing here is judged: seconds of a shared machine are no regression.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.demo import bare_detection
from benchmarks.suite.measure import TIMED, Measurement, seconds
from benchmarks.suite.rendered_scenes import RenderedScene, RenderedScenes, SceneSetting

_RENDERED = SceneSetting(1, 1, 4.0, 540, 720)
_MIB = 2**20
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes


def stages_case(
    scenes: RenderedScenes, setting: SceneSetting, views: int
) -> tuple[Measurement, ...]:
    """Each stage of `kinefit run`, for one camera and for several, over bare detection."""
    scene = scenes.made(setting)[0]
    lines = []
    for label, cameras in (
        ("one camera", [scene.cameras[0]]),
        (f"{views} cameras", scene.spread(views)),
    ):
        run = scene.run(cameras)
        floor = bare_detection([str(scene.video(name)) for name in cameras]).wall
        lines.append(seconds(f"{label}: decoding and bare MediaPipe", floor))
        stages = json.loads((run / "run.json").read_text("utf-8"))["stages"]
        lines += [
            Measurement(f"{label}: {name}", stage["seconds"] / floor, "x bare", "none", TIMED)
            for name, stage in stages.items()
        ]
    return tuple(lines)


def rendering_case(motion: Path | None) -> tuple[Measurement, ...]:
    """Frames per second of `kinefit synth` on all cores, from nothing to the file of the truth."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        _RENDERED.render(Path(folder) / "scene", motion)
        took = time.perf_counter() - start
    return (
        Measurement("frames of 540 x 720", _RENDERED.frames / took, "1/s", "none", TIMED),
        seconds("4 s of one camera", took),
    )


def long_case(
    scenes: RenderedScenes, short: SceneSetting, long: SceneSetting
) -> tuple[Measurement, ...]:
    """A long video against a short one: seconds a frame, and memory of the process."""
    measured = {}
    for name, setting in (("short", short), ("long", long)):
        scene = scenes.made(setting)[0]
        took, memory = _alone(_run_anew, scene)
        measured[name] = (setting.frames, took, memory)
    (few, quick, small), (many, slow, large) = measured["short"], measured["long"]
    per_frame = (slow - quick) / (many - few)
    return (
        Measurement("frames", many, "", "none", TIMED),
        Measurement("time a frame", 1000 * slow / many, "ms", "none", TIMED),
        Measurement("time of another frame", 1000 * per_frame, "ms", "none", TIMED),
        Measurement("most memory, short video", small / _MIB, "MiB", "none", TIMED),
        Measurement("most memory, long video", large / _MIB, "MiB", "none", TIMED),
        Measurement("memory of another 1,000 frames", 1000 * (large - small) / (many - few) / _MIB,
                    "MiB", "none", TIMED),
    )  # fmt: skip


def _run_anew(scene: RenderedScene) -> tuple[float, int]:
    """Seconds of `kinefit run`, and the largest memory of this process, bytes."""
    start = time.perf_counter()
    scene.run(scene.cameras[:1], "memory", overwrite=True)
    took = time.perf_counter() - start
    return took, peak_memory()


def peak_memory() -> int:
    """Bytes: the most memory that this process had, and not what its parent had when it started
    it, which `ru_maxrss` of a started process begins with on Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
    line = next(x for x in status.read_text("ascii").splitlines() if x.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _alone(work: Callable[..., tuple[float, int]], *arguments: Any) -> tuple[float, int]:
    """`work` in a process of its own, whose memory is nobody else's."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()
