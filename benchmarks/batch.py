"""Throughput of `kinefit batch` against what the cores could do, and its cost for each trial.

    python -m benchmarks.batch [--trials 32] [--counts 8 32 256] [--video]

Where trials are done (processes here, two Dask workers, a SLURM array on one node) is compared with
the ideal: the number of trials times what one takes alone in its process, by the number that run
side by side. By default a trial waits for two seconds, which any load of the computer leaves as
they are: what is lost is what the machinery takes. With --video it is a real one: 20 frames at half
size of the demo, `--quality fast`; that needs a computer with nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2

from benchmarks.clusters import DaskCluster, is_through, no_slurm, slurm, submitted
from kinefit.api import demo_video
from kinefit.batch.attempt import PROGRAM
from kinefit.batch.executors import Dask, Executor, Local
from kinefit.batch.run import plan, run_batch
from kinefit.batch.slurm import write_slurm
from kinefit.batch.table import read_trials
from kinefit.batch.trials import Trial
from kinefit.detect.embedded import cores
from kinefit.io.video import VideoWriter, frames, probe

TARGET = 0.9  # of the ideal
FLAT = 1.15  # times: cost of a trial among the most against among the fewest
QUICK = {"height": 1.68, "quality": "fast", "overlay": False, "export": ""}
WAITS = """
import json, pathlib, sys, time
order = json.loads(sys.stdin.readline())
time.sleep(2.0)
out = pathlib.Path(order["out"])
out.mkdir(parents=True, exist_ok=True)
(out / "run.json").write_text("{}")
state = (out / "run.json").stat()
record = pathlib.Path(order["record"])
record.parent.mkdir(parents=True, exist_ok=True)
value = {"key": order["key"], "status": "good", "results": []}
record.write_text(json.dumps(value | {"manifest": [state.st_size, state.st_mtime_ns]}))
"""
SHARD = "from benchmarks.batch import do_part; do_part()"
PROGRAMS: dict[str, Sequence[str]] = {"waits": (sys.executable, "-c", WAITS), "video": PROGRAM}


class Bench:
    """Copies of one short clip, and a new folder of results for each measurement."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root, self.kind, self.program = root, kind, PROGRAMS[kind]
        self._clip = root / "clip.mp4"
        _cut(demo_video(), self._clip)

    def trials(self, count: int) -> tuple[Path, list[Trial]]:
        """The folder of so many, and the trials in it."""
        folder = self.root / f"in{count}"
        folder.mkdir(exist_ok=True)
        for i in range(count):
            shutil.copy(self._clip, folder / f"t{i:03}.mp4")
        return folder, read_trials(folder, QUICK)

    def seconds(self, count: int, executor: Executor) -> float:
        """Of a batch of so many."""
        _, trials = self.trials(count)
        return self._timed(
            count, lambda out: run_batch(trials, out, executor, program=self.program)
        )

    def array(self, count: int, environment: dict[str, str]) -> float:
        """Of an array of as many tasks as run side by side, each with its part."""
        folder, trials = self.trials(count)

        def work(out: Path) -> Any:
            script = self.root / "job.sh"
            command = [sys.executable, "-c", SHARD, self.kind, str(folder), str(out)]
            write_slurm(script, command, cores(), out, here=Path.cwd())
            job = submitted(environment, script)
            while not is_through(environment, job):
                time.sleep(0.1)
            left = [one.trial.name for one in plan(trials, out) if one.state != "done"]
            assert not left, f"the array has not done {left}"
            return run_batch(trials, out, program=self.program)

        return self._timed(count, work)

    def _timed(self, count: int, work: Callable[[Path], Any]) -> float:
        out, start = self.root / "out", time.perf_counter()
        result = work(out)
        seconds = time.perf_counter() - start
        bad = [r.reason for r in result.records.values() if r is None or r.status == "failed"]
        assert not bad, bad
        used = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
        print(f"  {count} trials: {seconds:.1f} s, {used / count / 1e6:.2f} MB each", flush=True)
        shutil.rmtree(out)
        return seconds


def do_part() -> None:
    """A task of the array: kind, source, out, then what the script adds."""
    kind, source, out, _, _, _, part = sys.argv[1:]
    trials = read_trials(Path(source), QUICK)
    run_batch(trials, Path(out), Local(1), part=part, program=PROGRAMS[kind])


def _cut(video: Path, target: Path, count: int = 20) -> None:
    """The first frames of a video at half size."""
    width, height = probe(video).size
    size = (width // 2, height // 2)
    with VideoWriter(target, size, rate_hz=60.0, quality=18) as writer:
        for frame in frames(video):
            if frame.index == count:
                break
            writer.add(cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA), frame.time)


def main() -> int:
    """Print the measurements; exit status 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--counts", type=int, nargs="+", default=[8, 32, 256])
    parser.add_argument("--video", action="store_true")
    chosen = parser.parse_args()
    found: dict[str, float] = {}
    with TemporaryDirectory(prefix="kinefit-bench-") as folder:
        bench = Bench(Path(folder), "video" if chosen.video else "waits")
        alone = bench.seconds(1, Local(1)) if chosen.video else _process(bench)
        ideal = chosen.trials * alone / cores()
        print(
            f"one alone: {alone:.2f} s; {chosen.trials} on {cores()} cores at best: {ideal:.1f} s"
        )
        found["local"] = ideal / bench.seconds(chosen.trials, Local(cores()))
        cluster = DaskCluster(Path(folder))
        bench.seconds(2, Dask(cluster.address))  # its workers load the libraries
        found["dask"] = ideal / bench.seconds(chosen.trials, Dask(cluster.address))
        cluster.close()
        if not no_slurm():
            with slurm() as environment:
                found["slurm"] = ideal / bench.array(chosen.trials, environment)
        each = [bench.seconds(count, Local(cores())) / count for count in chosen.counts]
    print("of the ideal:", {name: round(value, 3) for name, value in found.items()})
    costs = dict(zip(chosen.counts, (round(one, 3) for one in each), strict=True))
    print("seconds for each trial, by their number:", costs)
    print(json.dumps({"benchmark": "batch", "of_ideal": found, "seconds_each": costs}))
    return int(min(found.values()) < TARGET or each[-1] > FLAT * each[0])


def _process(bench: Bench) -> float:
    """What one trial takes, start and end of its process with it; the median of five."""
    times = sorted(bench.seconds(1, Local(1)) for _ in range(5))
    return times[2]


if __name__ == "__main__":
    sys.exit(main())
