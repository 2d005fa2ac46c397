"""Triangulation against Pose2Sim's on the same points: speed on real ones, error on made-up ones.

    python -m benchmarks.triangulate [--runs 5]

1. The demo's landmarks (committed with the tests) as Halpe-26 points of four cameras, 100 frames.
   Pose2Sim's stage is its `triangulate_all`, warmed up by one run, on the JSON files it wants;
   kinefit's is `triangulate` on the arrays, and, for like with like, also with its sides repair.
2. A person-sized moving cloud of 26 points before the demo's four cameras, 2 px of noise, 10 % of
   wrong views: error of both against the truth.
3. 16 cameras x 10,000 frames x 26 points: seconds and memory.
Targets: 100 times as fast, at lower error; under 60 s and 4 GB.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from statistics import median

import numpy as np

from benchmarks.inputs import camera_at, demo_landmarks
from benchmarks.suite.pose2sim import THEIRS, run_triangulation
from benchmarks.suite.speed_cases import peak_memory
from kinefit.geometry.projection import project_rig
from kinefit.multiview.triangulate import triangulate
from kinefit.multiview.triangulation_options import TriangulationOptions
from kinefit.multiview.view_swaps import find_view_swaps, undo_view_swaps
from kinefit.skeletons import map_points, skeleton
from kinefit.types import CameraRig, FloatArray, Timeline

RATE_HZ = 60.0
NAMES = skeleton("halpe26").points
SPEED_TARGET, SECONDS_TARGET, GIB_TARGET = 100.0, 60.0, 4.0


def demo() -> tuple[CameraRig, FloatArray, FloatArray, FloatArray]:
    """The demo's rig and its points as Halpe-26: xy (C, T, 26, 2), score (C, T, 26), time."""
    stored = demo_landmarks()
    table = np.concatenate([stored.xy, stored.score[..., None]], axis=-1)
    points = map_points(table, skeleton("blazepose33").points, skeleton("halpe26"))
    at = {name: points[:, :, i] for i, name in enumerate(NAMES)}
    # As a user of MediaPipe in Pose2Sim has to: it has no head, neck, mid-hip and small toes.
    at["Neck"][:] = (at["LShoulder"] + at["RShoulder"]) / 2
    at["Hip"][:] = (at["LHip"] + at["RHip"]) / 2
    at["Head"][:] = (at["LEar"] + at["REar"]) / 2
    for side in "LR":
        at[f"{side}SmallToe"][:] = at[f"{side}BigToe"]
    return stored.rig, points[..., :2], points[..., 2], stored.time


def run_kinefit(
    rig: CameraRig, xy: FloatArray, score: FloatArray, time_s: FloatArray, runs: int
) -> tuple[float, float, FloatArray]:
    """Median seconds of triangulation, of it with the sides' repair, and its points."""
    timeline, options = Timeline(np.arange(len(time_s)), time_s), TriangulationOptions()
    names, xy, score = tuple(NAMES[i] for i in THEIRS), xy[:, :, THEIRS], score[:, :, THEIRS]
    plain, whole = [], []
    for _ in range(runs + 1):
        start = time.perf_counter()
        found = triangulate(rig, timeline, names, xy, score, options)
        plain.append(time.perf_counter() - start)
        start = time.perf_counter()
        swaps = find_view_swaps(rig, timeline, names, xy, score, options)
        right = undo_view_swaps(names, xy, score, swaps)
        triangulate(rig, timeline, names, *right, options)
        whole.append(time.perf_counter() - start)
    return median(plain[1:]), median(whole[1:]), found.refined


def synthetic(rig: CameraRig, frames: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Truth (T, 26, 3), and views of it (C, T, 26, 2) with 2 px of noise, a tenth of them wrong."""
    random, seconds = np.random.default_rng(seed), np.arange(frames) / 60
    middle = np.mean([camera.centre for camera in rig], axis=0)
    spread = random.uniform([-0.4, -1.6, -0.4], [0.4, -0.2, 0.4], (len(NAMES), 3))
    phase, tempo = random.uniform(0, 2 * np.pi, (2, len(NAMES), 3))
    reach = random.uniform(0.02, 0.2, (len(NAMES), 3))
    swing = np.sin(2 * np.pi * (0.3 + 0.15 * tempo) * seconds[:, None, None] + phase)
    truth = middle + spread + reach * swing
    xy = project_rig(rig, truth) + random.normal(0, 2, (len(rig), *truth.shape[:2], 2))
    wrong = random.random(xy.shape[:3]) < 0.1
    anywhere = random.uniform([0, 0], rig.cameras[0].size, xy.shape)
    return truth, np.where(wrong[..., None], anywhere, xy)


def many_cameras(count: int = 16) -> CameraRig:
    """A ring of full-HD cameras, 5 m around a person."""
    middle, angles = np.array([0, 2.6, 0]), 2 * np.pi * np.arange(count) / count
    places = middle + 5 * np.stack([np.sin(angles), 0 * angles, np.cos(angles)], axis=1)
    return CameraRig(tuple(camera_at(f"c{i:02}", p, middle, 1300) for i, p in enumerate(places)))


def error_mm(found: FloatArray, truth: FloatArray) -> str:
    error = 1000 * np.linalg.norm(found - truth, axis=-1)
    return (
        f"mean {np.nanmean(error):6.2f}  median {np.nanmedian(error):5.2f}  "
        f"most {np.nanmax(error):7.1f} mm, {100 * np.isnan(error).mean():.1f} % missing"
    )


def main() -> int:
    """Print the three comparisons; exit status 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--frames", type=int, default=10_000, help="of the 16 cameras")
    arguments = parser.parse_args()
    rig, xy, score, seconds = demo()
    peer, _ = run_triangulation(rig, xy, score, RATE_HZ, arguments.runs)
    own, repaired, _ = run_kinefit(rig, xy, score, seconds, arguments.runs)
    print(f"demo, {xy.shape[1]} frames x {len(THEIRS)} points x {len(rig)} cameras")
    print(f"  Pose2Sim                 {1000 * peer:8.1f} ms")
    print(f"  kinefit                  {1000 * own:8.1f} ms   {peer / own:6.1f} x as fast")
    print(f"  kinefit, sides repaired  {1000 * repaired:8.1f} ms   {peer / repaired:6.1f} x")

    truth, views = synthetic(rig, 300)
    ones = np.ones(views.shape[:3])
    _, theirs = run_triangulation(rig, views, ones, RATE_HZ)
    found = triangulate(rig, Timeline.regular(300, 60.0), NAMES, views, ones).refined[:, THEIRS]
    truth = truth[:, THEIRS]
    print(f"synthetic, 300 frames\n  Pose2Sim  {error_mm(theirs, truth)}")
    print(f"  kinefit   {error_mm(found, truth)}")
    lower = np.nanmean(np.linalg.norm(found - truth, axis=-1)) < np.nanmean(
        np.linalg.norm(theirs - truth, axis=-1)
    )

    ring = many_cameras()
    _, views = synthetic(ring, arguments.frames)
    before = peak_memory() / 2**30
    start = time.perf_counter()
    triangulate(ring, Timeline.regular(arguments.frames, 60.0), NAMES, views)
    many = time.perf_counter() - start
    memory = peak_memory() / 2**30
    print(f"16 cameras x {arguments.frames} frames x 26 points: {many:.1f} s,")
    print(f"  {memory:.2f} GiB at most in all, {before:.2f} before (views included)")
    figures = {"speed_ratio": peer / own, "seconds_16": many, "gib_16": memory}
    print(json.dumps({"benchmark": "triangulate", **{k: round(v, 2) for k, v in figures.items()}}))
    met = peer / own >= SPEED_TARGET and lower and many <= SECONDS_TARGET and memory <= GIB_TARGET
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
