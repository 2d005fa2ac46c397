"""Scaling and inverse kinematics against Pose2Sim's, on the same 65 markers with the same model.

    python -m benchmarks.ik [--seconds 3] [--runs 3]

The markers are those of a synthetic person (`kinefit synth`), known exactly. Processor seconds,
alternating; compared are the least of each. kinefit has a process of its own: Pose2Sim has OpenSim
load the pictures of bones with every model from then on, 0.1 s a model. Target: half of Pose2Sim's
time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.suite.pose2sim import run_kinematics
from benchmarks.suite.rendered_scenes import SceneSetting
from kinefit.biomech.markers.augment import final_names
from kinefit.biomech.opensim.inverse import Options, inverse_kinematics_of_file
from kinefit.io.trc import write_trc
from kinefit.synth.truth import read_truth
from kinefit.types import Subject

TARGET = 0.5


def measure(folder: Path, seconds: float, runs: int) -> tuple[float, float, dict[str, float]]:
    """Processor seconds of Pose2Sim and of kinefit, and kinefit's marker errors, mm."""
    person = read_truth(SceneSetting(1, 1, seconds, 64, 64).render(folder / "scene", None)[0])
    truth = person.people[0]
    subject, trc = Subject(truth.stature_m, truth.mass_kg), folder / "clip.trc"
    markers = truth.markers.select([name for name in final_names() if name in truth.markers.names])
    write_trc(trc, markers)
    theirs, ours, errors = [], [], {}
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        for _ in range(runs):
            start = time.process_time()
            run_kinematics(markers, subject)
            theirs.append(time.process_time() - start)
            took, errors = process.submit(run_kinefit, trc, folder / "ik", subject).result()
            ours.append(took)
    return min(theirs), min(ours), errors


def run_kinefit(trc: Path, out: Path, subject: Subject) -> tuple[float, dict[str, float]]:
    """Processor seconds, and marker errors in mm."""
    start = time.process_time()
    result = inverse_kinematics_of_file(trc, out, Options(subject, model="simple"))
    return time.process_time() - start, result.summary["rms_mm"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours, errors = measure(Path(folder), arguments.seconds, arguments.runs)
    print(f"Pose2Sim {theirs:.2f} s, kinefit {ours:.2f} s: {ours / theirs:.2f} (target {TARGET})")
    print(f"marker errors of kinefit, mm: {errors}")
    return 0 if ours <= TARGET * theirs else 1


if __name__ == "__main__":
    sys.exit(main())
