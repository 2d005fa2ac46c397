"""How good points from several cameras are: the tables of docs/measurements/multiview.md.

    python -m benchmarks.triangulation_accuracy

The real demo (MediaPipe's landmarks, committed with the tests) without a truth: reprojection, views
used, bone lengths, jumps, and what leaving a camera out changes. Then made-up rigs with exact truth
and 30 % of views anywhere in the picture, against an oracle that knows which.
"""

from __future__ import annotations

import numpy as np

from benchmarks.inputs import camera_at, demo_landmarks
from kinefit.geometry.projection import project_rig
from kinefit.multiview.trajectory import body_trajectory
from kinefit.multiview.triangulate import Triangulation, triangulate
from kinefit.multiview.triangulation_options import TriangulationOptions
from kinefit.multiview.view_swaps import find_view_swaps, undo_view_swaps
from kinefit.skeletons import skeleton
from kinefit.types import CameraRig, FloatArray, Timeline

NAMES = skeleton("blazepose33").points
JOINTS = [s + j for j in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle") for s in "LR"]
BODY = [NAMES.index(name) for name in ("Nose", *JOINTS)]
LIMBS = [
    (side + a, side + b)
    for side in "LR"
    for a, b in (("Shoulder", "Elbow"), ("Elbow", "Wrist"), ("Hip", "Knee"), ("Knee", "Ankle"))
]


def variation(xyz: FloatArray) -> FloatArray:
    """(8,) percent: standard deviation over mean of each arm and leg bone's length."""
    at = {name: xyz[:, i] for i, name in enumerate(NAMES)}
    lengths = np.stack([np.linalg.norm(at[a] - at[b], axis=-1) for a, b in LIMBS])
    return np.asarray(100 * np.nanstd(lengths, axis=1) / np.nanmean(lengths, axis=1))


def describe(name: str, points: Triangulation) -> None:
    error = np.where(points.inlier_mask, points.error_px, np.nan)
    views, bones = points.inlier_mask.sum(axis=-1), variation(points.refined)
    print(
        f"{name}: reprojection {np.nanmean(error[:, BODY]):.1f} px ({np.nanmean(error):.1f} all), "
        f"three views {100 * (views[:, BODY] >= 3).mean():.1f} % "
        f"({100 * (views >= 3).mean():.1f}), "
        f"missing {100 * np.isnan(points.refined[:, BODY, 0]).mean():.1f} %, "
        f"bones {bones.mean():.1f} % (worst {bones.max():.1f})"
    )


def demo() -> None:
    """The real clip."""
    rig, xy, score, seconds = demo_landmarks()
    timeline = Timeline(np.arange(len(seconds)), seconds)
    swaps = find_view_swaps(rig, timeline, NAMES, xy, score, TriangulationOptions())
    for camera in rig.names:
        found = {k: np.flatnonzero(v).tolist() for k, v in swaps.of_camera(camera).items()}
        print(f"{camera}: swapped {found or 'nothing'}")
    xy, score = undo_view_swaps(NAMES, xy, score, swaps)
    variants = {
        "as it is": {},
        "30 px": {"inlier_thresh": 30.0},
        "60 px": {"inlier_thresh": 60.0, "adaptive": False},
        "without continuity": {"continuity": False},
        "median score": {"score_type": "median"},
    }
    for name, options in variants.items():
        chosen = TriangulationOptions(**options)
        describe(name, triangulate(rig, timeline, NAMES, xy, score, chosen))
    points = triangulate(rig, timeline, NAMES, xy, score)
    raw = points.refined[:, BODY]
    around = np.stack([np.roll(raw, k, axis=0) for k in (-2, -1, 1, 2)])[:, 2:-2]
    away = np.linalg.norm(raw[2:-2] - np.nanmedian(around, axis=0), axis=-1)
    whole = body_trajectory(rig, points, xy, score)
    print(f"furthest from the frames around: {1000 * np.nanmax(away):.0f} mm")
    print(f"trajectory: bones {variation(whole.keypoints.xyz).max():.2f} % at worst")
    leave_one_out(rig, timeline, xy, score, whole.keypoints.xyz[:, BODY[1:]])


def leave_one_out(
    rig: CameraRig, timeline: Timeline, xy: FloatArray, score: FloatArray, reference: FloatArray
) -> None:
    """What three cameras give against all four."""
    raw, smooth, inside = [], [], []
    for c, camera in enumerate(rig):
        keep = [i for i in range(len(rig)) if i != c]
        less = rig.select([rig.names[i] for i in keep])
        points = triangulate(less, timeline, NAMES, xy[keep], score[keep])
        found = body_trajectory(less, points, xy[keep], score[keep])
        off = found.keypoints.xyz[:, BODY[1:]] - reference
        sd = np.sqrt(np.einsum("tjii->tji", found.covariance))[:, BODY[1:]]
        raw.append(1000 * np.linalg.norm(points.refined[:, BODY[1:]] - reference, axis=-1))
        smooth.append(1000 * np.linalg.norm(off, axis=-1))
        inside.append(np.abs(off) <= 1.96 * sd)
        print(f"without {camera.name}: {np.nanmean(smooth[-1]):.0f} mm")
    for name, error in (("raw", raw), ("trajectory", smooth)):
        print(
            f"three cameras, {name}: {np.nanmean(error):.0f} mm, {np.nanmedian(error):.0f} median"
        )
    print(f"within the 95 % intervals: {100 * np.mean(inside):.1f} %")


def ring(count: int) -> CameraRig:
    """Cameras at 4 m, uneven, with a common lens."""
    random, cameras = np.random.default_rng(0), []
    for i in range(count):
        angle = 2 * np.pi * (i + random.uniform(-0.2, 0.2)) / count
        centre = np.array([4 * np.cos(angle), random.uniform(1.2, 2.6), 4 * np.sin(angle)])
        lens = (-0.1, 0.03, 0.001, -0.0005, 0.0)
        cameras.append(camera_at(f"c{i}", centre, np.array([0, 1.0, 0]), 1500, lens))
    return CameraRig(tuple(cameras))


def made_up() -> None:
    """Rigs with exact truth."""
    random, seconds = np.random.default_rng(0), np.arange(300) / 60
    middle = random.uniform([-0.4, 0.1, -0.4], [0.4, 1.8, 0.4], (26, 3))
    phase, tempo = random.uniform(0, 2 * np.pi, (2, 26, 3))
    reach = random.uniform(0.02, 0.3, (26, 3))
    truth = middle + reach * np.sin(
        2 * np.pi * (0.3 + 0.2 * tempo) * seconds[:, None, None] + phase
    )
    timeline, names = Timeline.regular(300, 60.0), tuple(f"p{i}" for i in range(26))
    known = TriangulationOptions(
        robust_lm=False, inlier_thresh=1e4, adaptive=False, min_angle_deg=0.01
    )
    print("cameras, noise: error / oracle, coverage, given (oracle)")
    for count in (4, 6, 8, 16):
        for noise in (1.0, 3.0):
            rig, random = ring(count), np.random.default_rng(1)
            xy = project_rig(rig, truth)
            xy = xy + noise * random.standard_normal(xy.shape)
            bad = random.random(xy.shape[:-1]) < 0.3
            anywhere = random.uniform([0, 0], (1920, 1080), xy.shape)
            found = triangulate(rig, timeline, names, np.where(bad[..., None], anywhere, xy))
            oracle = triangulate(
                rig, timeline, names, np.where(bad[..., None], np.nan, xy), None, known
            )
            error, best = (np.linalg.norm(f.refined - truth, axis=-1) for f in (found, oracle))
            both = np.isfinite(error) & np.isfinite(best)
            sd = np.sqrt(np.einsum("tjii->tji", found.covariance))[both]
            inside = np.abs(found.refined - truth)[both] <= 1.96 * sd
            print(
                f"  {count:2} {noise:.0f} px: {error[both].mean() / best[both].mean():.2f}, "
                f"{100 * inside.mean():.1f} %, "
                f"{100 * np.isfinite(error).mean():.0f} % ({100 * np.isfinite(best).mean():.0f} %)"
            )


if __name__ == "__main__":
    demo()
    made_up()
