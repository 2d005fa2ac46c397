"""Recorded motion on Anny: writes the poses that priors are trained from, says how good they are.

    python -m benchmarks.cmu_retarget MOTION out.npz [--processes 2]

MOTION: a file or folder of motion capture (`kinefit.io.mocap_files`): BVH, AMC, AMASS, or the
packed cmu_30fps.npz.

out.npz: rotations (N, F, 3, 3) float32, local rotations of Anny's free joints; joint_names (F,);
translation (N, 3) metres; shape (trials, S); shape_names; trial (N,) index into trial_names;
error_mm and bare_mm (N,), mean distance of the data's joints to Anny's points, with and without
the offsets that the definitions of joints differ by; off_deg (N,), the largest angle between a
joint and the segment of the data; good (N,), False where the data jump, are missing or break the
limits of motion, and where the fit does not reach them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.body.anny import load_anny
from kinefit.fit.recipes.retarget import (
    RetargetBody,
    Retargeted,
    good_frames,
    retarget_all,
)
from kinefit.io.atomic import atomic_path
from kinefit.io.mocap import MocapClip
from kinefit.io.mocap_files import read_recordings


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("motion", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    chosen = parser.parse_args()
    trials, rig = read_recordings(chosen.motion, 30.0), RetargetBody.of(load_anny())
    began = time.perf_counter()
    done = retarget_all(rig, trials, chosen.processes)
    print(f"{sum(map(len, trials))} frames in {time.perf_counter() - began:.0f} s")
    arrays = collect(rig, trials, done)
    with atomic_path(chosen.out) as partial_path, partial_path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    report(arrays)


def collect(rig: RetargetBody, trials: list[MocapClip], done: list[Retargeted]) -> dict[str, Any]:
    good = [good_frames(rig, trial, found) for trial, found in zip(trials, done, strict=True)]
    error = np.concatenate([r.error_m.mean(axis=1) for r in done])
    bare = np.concatenate([r.bare_m.mean(axis=1) for r in done])
    off = np.degrees(np.concatenate([r.rotation_error.max(axis=1) for r in done]))
    return {
        "rotations": np.concatenate([r.state.rotations for r in done]).astype(np.float32),
        "joint_names": np.array(rig.chain.joint_names),
        "translation": np.concatenate([r.state.translation for r in done]),
        "shape": np.stack([r.state.shape for r in done]),
        "shape_names": np.array(rig.chain.shape.names),
        "trial": np.repeat(np.arange(len(done)), [len(r.state) for r in done]),
        "trial_names": np.array([r.name for r in done]),
        "error_mm": error * 1000,
        "bare_mm": bare * 1000,
        "off_deg": off,
        "good": np.concatenate(good),
    }


def report(arrays: dict[str, Any]) -> None:
    for name in ("error_mm", "bare_mm"):
        middle, high, most = np.nanpercentile(arrays[name], [50, 95, 100])
        print(f"{name}: median {middle:.1f}, 95 % {high:.1f}, largest {most:.1f}")
    print(f"good: {arrays['good'].sum()} of {len(arrays['good'])}")


if __name__ == "__main__":
    main()
