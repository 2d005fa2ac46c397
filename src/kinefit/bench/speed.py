"""Cases of time and memory: stages against a floor of the same run, rendering, long videos.

Nothing here is judged: seconds of a shared machine are no regression.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from kinefit import api
from kinefit.bench.films import Film, Films, FilmSetting
from kinefit.bench.measure import TIMED, Measurement, seconds

_RENDERED = FilmSetting(1, 1, 4.0, 540, 720)
_MIB = 2**20
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, bytes


def stages_case(films: Films, setting: FilmSetting, views: int) -> tuple[Measurement, ...]:
    """Each stage of `kinefit run`, for one camera and for several, over bare detection."""
    film = films.made(setting)[0]
    lines = []
    for label, cameras in (
        ("one camera", [film.cameras[0]]),
        (f"{views} cameras", film.spread(views)),
    ):
        several = len(cameras) > 1
        run = film.run_several(cameras) if several else film.run_one(cameras[0])
        floor = _bare([film.video(name) for name in cameras])
        lines.append(seconds(f"{label}: decoding and bare MediaPipe", floor))
        stages = json.loads((run / "run.json").read_text("utf-8"))["stages"]
        lines += [
            Measurement(f"{label}: {name}", stage["seconds"] / floor, "x bare", "none", TIMED)
            for name, stage in stages.items()
        ]
    return tuple(lines)


def _bare(videos: Sequence[Path]) -> float:
    """Seconds to decode videos and put every frame through MediaPipe, one process per core, which
    load what they need first: a run has to do that, too."""
    workers = min(os.cpu_count() or 1, len(videos))
    start = time.perf_counter()
    with ProcessPoolExecutor(workers, get_context("spawn"), _without_words) as pool:
        list(pool.map(_look, videos))
    return time.perf_counter() - start


def _without_words() -> None:
    """In a worker: what MediaPipe says on every start goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _look(video: Path) -> None:
    import av
    from mediapipe.python.solutions.pose import Pose

    with Pose() as pose, av.open(str(video)) as file:
        file.streams.video[0].thread_type = "AUTO"
        for frame in file.decode(video=0):
            pose.process(frame.to_ndarray(format="rgb24"))


def rendering_case(motion: Path | None) -> tuple[Measurement, ...]:
    """Frames per second of `kinefit synth` on all cores, from nothing to the file of the truth."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        api.make_scenes(Path(folder) / "scene", _RENDERED.options(motion))
        took = time.perf_counter() - start
    rate = _RENDERED.options(motion).frames / took
    return (
        Measurement("frames of 540 x 720", rate, "1/s", "none", TIMED),
        seconds("4 s of one camera", took),
    )


def long_case(films: Films, short: FilmSetting, long: FilmSetting) -> tuple[Measurement, ...]:
    """A long video against a short one: seconds a frame, and memory of the process."""
    found = {}
    for name, setting in (("short", short), ("long", long)):
        film = films.made(setting)[0]
        took, memory = _alone(_process, film, film.runs / "memory")
        found[name] = (film_frames(setting), took, memory)
    (few, quick, small), (many, slow, large) = found["short"], found["long"]
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


def film_frames(setting: FilmSetting) -> int:
    return setting.options(None).frames


def _process(film: Film, out: Path) -> tuple[float, int]:
    """Seconds of `kinefit run`, and the largest memory of this process, bytes."""
    start = time.perf_counter()
    api.process(film.video(film.cameras[0]), out, film.config(), overwrite=True)
    took = time.perf_counter() - start
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


def _alone(work: Callable[..., tuple[float, int]], *arguments: Any) -> tuple[float, int]:
    """`work` in a process of its own, whose memory is nobody else's."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()
