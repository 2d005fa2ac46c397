"""What a network for depth is worth in the fit of a body: rendered clips with known truth.

    python -m benchmarks.lifting PAIRS [--models none,sequence] [--every 1]

PAIRS: a folder of `kinefit synth pairs --consecutive`, of motions that nothing was trained on.
Each clip is one camera's video of a person whose stature and focal length are known. Degrees, but
for mm of PA-MPJPE; the mean over clips, and their median.

    given   directions that the fit is given, 14 limbs and feet, in camera axes
    limbs   the same of the fitted body; turned: after one rotation of the clip
    knee, hip, elbow, ankle   angle between the two limbs that meet there (ankle: shank and foot)
    up      the world's vertical
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np

from kinefit.body.anny import load_anny
from kinefit.fit.recipes.clip import ClipFit, fit_clip
from kinefit.geometry.align import align
from kinefit.geometry.rotations import unit
from kinefit.lift import Lifter, load_lifter
from kinefit.lift.inputs import LIMBS
from kinefit.metric import limb_directions, observe_camera
from kinefit.skeletons import skeleton
from kinefit.skeletons.limbs import LIMBS as FIELDS
from kinefit.synth.pair_clips import clip_track, clips_of, sides_put_right
from kinefit.synth.pairs import read_pairs
from kinefit.types import FloatArray, KinefitError, Observations, PoseTrack

BLAZE = skeleton("blazepose33").points
JOINTS = [s + n for n in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle") for s in "LR"]
PAIRS = [(limb.start, limb.end) for limb in LIMBS]
CORNERS = {
    "knee": ("Hip", "Knee", "Ankle"), "hip": ("Shoulder", "Hip", "Knee"),
    "elbow": ("Shoulder", "Elbow", "Wrist"), "ankle": ("Knee", "Heel", "BigToe"),
}  # fmt: skip


class Clip(NamedTuple):
    """A camera's view. xyz: (T, 33, 3) metres, camera axes. up: (3,) in the camera."""

    track: PoseTrack
    K: FloatArray
    stature_m: float
    xyz: FloatArray
    up: FloatArray


def clips(folder: Path, every: int) -> Iterator[Clip]:
    rows = read_pairs(folder)
    whole = clips_of(rows)
    right = sides_put_right(rows, whole)
    for clip in whole[::every]:
        first = clip[0]
        yield Clip(
            clip_track(right, clip), rows["K"][first].astype(np.float64),
            float(rows["stature_m"][first]), rows["xyz_33"][clip].astype(np.float64),
            rows["camera_R"][first][:, 1].astype(np.float64),
        )  # fmt: skip


def degrees(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=-1), -1, 1)))


def errors(clip: Clip, given: Observations, R: FloatArray, fit: ClipFit) -> dict[str, float]:
    """R: (3, 3) world to camera of `given`, whose world the fit has turned upright."""
    camera = fit.rig.cameras[0]
    points = fit.points @ camera.R.T + camera.t
    known = np.isfinite(points).all(axis=(1, 2)) & clip.track.image.found
    points, true = points[known], clip.xyz[known]
    ours, real = limb_directions(points, fit.names, PAIRS), limb_directions(true, BLAZE, PAIRS)
    off = degrees(ours, real)
    both = [np.concatenate([v, -v]).reshape(-1, 3) for v in (real[:, : len(FIELDS)],
                                                            ours[:, : len(FIELDS)])]  # fmt: skip
    turned = degrees(ours, real @ align(*both).R.T)
    at = [PAIRS.index(pair) for pair in given.limbs]
    said = degrees(given.directions[known] @ R.T, real[:, at])
    feet = np.array(at) >= len(FIELDS)
    a, b = (v[:, [n.index(j) for j in JOINTS]] for v, n in ((points, fit.names), (true, BLAZE)))
    apart = np.linalg.norm(align(a, b, with_scale=True).apply(a) - b, axis=-1)
    out = {
        "given": said[:, ~feet].mean(), "given feet": said[:, feet].mean(),
        "limbs": off[:, : len(FIELDS)].mean(), "turned": turned[:, : len(FIELDS)].mean(),
        "feet": off[:, len(FIELDS) :].mean(), "PA": 1000 * apart.mean(),
        "up": degrees(camera.R[:, 1], clip.up),
    }  # fmt: skip
    for name, corner in CORNERS.items():
        ends = [corners(points, fit.names, corner), corners(true, BLAZE, corner)]
        out[name] = np.abs(ends[0] - ends[1]).mean()
    return {name: float(value) for name, value in out.items()}


def corners(points: FloatArray, names: tuple[str, ...], corner: tuple[str, ...]) -> FloatArray:
    """(T, 2) degrees, left and right."""
    found = []
    for side in "LR":
        a, b, c = (points[:, names.index(side + name)] for name in corner)
        found.append(degrees(unit(a - b), unit(c - b)))
    return np.stack(found, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--models", default="none,sequence", help="names or .onnx files")
    parser.add_argument("--every", type=int, default=1, help="of so many clips one")
    options = parser.parse_args()
    body = load_anny()
    for model in options.models.split(","):
        lifter: Lifter | None = None if model == "none" else load_lifter(model)
        found, seconds, frames = [], 0.0, 0
        for clip in clips(options.pairs, options.every):
            began = process_time()
            try:
                given, placed = observe_camera(
                    clip.track, clip.stature_m, focal_px=float(clip.K[0, 0]), lifter=lifter
                )
                fit = fit_clip(body, given)
            except KinefitError as error:
                print(f"left out: {error}")
                continue
            seconds, frames = seconds + process_time() - began, frames + len(clip.xyz)
            found.append(errors(clip, given, placed.camera.R, fit))
        print(f"{model}: {len(found)} clips, {1000 * seconds / frames:.1f} ms of CPU a frame")
        for name in found[0]:
            values = np.array([one[name] for one in found])
            print(f"  {name:12s} {values.mean():6.2f}  median {np.median(values):6.2f}")


if __name__ == "__main__":
    main()
