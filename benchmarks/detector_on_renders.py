"""MediaPipe on rendered people beside MediaPipe on real ones: the same quantity from both.

    python -m benchmarks.detector_on_renders OUT.md [--scenes 4] [--work DIR]

Pose2Sim's demo (four cameras, 60 Hz, a person who walks and turns) and rendered scenes of walking
people before four cameras go through the same steps of kinefit: detection, sides put right,
triangulation. What is compared is the residual: how far a landmark is from the reprojection of its
triangulated point, in percent of the person's stature in that picture. For the renders, the true
error stands beside it: a residual does not see what all views get wrong in the same way.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinefit.api import DEMO_OPTIONS, demo_views, make_scenes, process
from kinefit.geometry.projection import to_camera
from kinefit.io.atomic import write_text
from kinefit.io.calibration import read_calibration
from kinefit.multiview.bundle import load_triangulation
from kinefit.pipeline.artifacts import load_arrays
from kinefit.pipeline.config import run_config
from kinefit.skeletons import skeleton
from kinefit.synth.scene_options import SynthOptions
from kinefit.synth.truth import SceneTruth, read_truth
from kinefit.types import FloatArray

NAMES = skeleton("blazepose33").points
SHOWN = (
    *("Nose", "LEar", "REar", "LShoulder", "RShoulder", "LElbow", "RElbow", "LWrist", "RWrist"),
    *("LHip", "RHip", "LKnee", "RKnee", "LAnkle", "RAnkle", "LHeel", "RHeel", "LBigToe", "RBigToe"),
)
LIMBS = [NAMES.index(s + n) for n in ("Elbow", "Wrist", "Knee", "Ankle") for s in "LR"]
SETTING = {"views": 4, "rate": 60.0, "seconds": 1.65, "width": 720, "height": 1280}
SUBJECT = {"clip": "walk", "children": 0.0, "mix": False}


@dataclass(frozen=True, eq=False)
class Seen:
    """What one set of videos gave. residual, error: (C, T, J, 2) percent of stature: from the
    reprojection, and from the truth (None: not known). score: (C, T, J)."""

    name: str
    residual: FloatArray
    error: FloatArray | None
    score: FloatArray

    def size(self, joints: Sequence[int] | None = None) -> FloatArray:
        """(N,) lengths of residuals."""
        return _lengths(self.residual, joints)


def _lengths(values: FloatArray, joints: Sequence[int] | None) -> FloatArray:
    chosen = values if joints is None else values[:, :, joints]
    length = np.linalg.norm(chosen, axis=-1).ravel()
    return np.asarray(length[np.isfinite(length)])


def look(
    name: str,
    videos: Sequence[Path],
    calibration: Path,
    stature: float,
    mass: float,
    out: Path,
    truth: SceneTruth | None = None,
) -> Seen:
    """Run kinefit on the videos and read what it left."""
    subject = {"height": stature, "mass": mass, "overlay": False}
    process(videos, out, run_config({**subject, "calibration": calibration}), until="triangulate")
    points = load_triangulation(out / "multiview_triangulated.npz")
    views = load_arrays(out / ".kinefit" / "views.npz")
    rig = read_calibration(out / "multiview_cameras.toml").rig.select(points.cameras)
    hips = points.refined[:, [NAMES.index("LHip"), NAMES.index("RHip")]].mean(axis=1)
    depth = np.stack([to_camera(camera, hips)[:, 2] for camera in rig])
    focal = np.array([camera.K[0, 0] for camera in rig])
    percent = 100 * depth / (focal[:, None] * stature)
    xy = np.where(views["score"][..., None] > 0, views["xy"], np.nan).transpose(1, 0, 2, 3)
    xy = xy if xy.shape[0] == len(rig) else xy.swapaxes(0, 1)
    residual = (xy - points.reprojection.transpose(2, 0, 1, 3)) * percent[..., None, None]
    error = None
    if truth is not None:
        true = np.stack([truth.image_points(n, "blazepose33").xy for n in points.cameras])
        error = (xy - true[:, : xy.shape[1]]) * percent[..., None, None]
    score = views["score"]
    return Seen(
        name, residual, error, score if score.shape[0] == len(rig) else score.swapaxes(0, 1)
    )


def demo(work: Path) -> Seen:
    """The real videos."""
    videos, calibration = demo_views()
    height, mass = float(DEMO_OPTIONS["height"]), float(DEMO_OPTIONS["mass"])
    return look("demo", videos, calibration, height, mass, work / "demo")


def renders(work: Path, count: int) -> list[Seen]:
    """As many scenes."""
    folders = make_scenes(work / "scenes", SynthOptions(**SETTING, **SUBJECT, seed=11), count)
    out = []
    for folder in folders:
        truth = read_truth(folder)
        person = truth.people[0]
        videos = [folder / f"{name}.mp4" for name in truth.rig.names]
        run = work / f"run_{folder.name}"
        out.append(
            look(
                folder.name, videos, folder / "calibration.toml", person.stature_m, person.mass_kg,
                run, truth,
            )
        )  # fmt: skip
    return out


def page(real: Seen, made: Sequence[Seen]) -> str:
    """The comparison as Markdown."""
    rows = [_row(name, real, made) for name in SHOWN]
    spread = ", ".join(f"{np.median(one.size(LIMBS)):.2f}" for one in made)
    cameras = ", ".join(
        f"{np.median(_lengths(real.residual[c : c + 1], LIMBS)):.2f}"
        for c in range(len(real.residual))
    )
    lines = [
        "| landmark | demo: median | p90 | renders: median | p90 | ratio of medians | "
        "true error: median | p90 | score: demo | renders |",
        "| --- " * 10 + "|",
        *rows,
        "",
        f"Elbows, wrists, knees and ankles, median: demo {np.median(real.size(LIMBS)):.2f} "
        f"(by camera {cameras}), renders "
        f"{np.median(np.concatenate([m.size(LIMBS) for m in made])):.2f} (by scene {spread}); "
        f"true error {np.median(_errors(made, LIMBS)):.2f}.",
        "",
    ]
    return "\n".join(lines)


def _errors(made: Sequence[Seen], joints: Sequence[int]) -> FloatArray:
    return np.concatenate([_lengths(one.error, joints) for one in made if one.error is not None])


def _row(name: str, real: Seen, made: Sequence[Seen]) -> str:
    j = [NAMES.index(name)]
    a, b = real.size(j), np.concatenate([one.size(j) for one in made])
    true = _errors(made, j)
    scores = real.score[..., j].mean(), np.mean([one.score[..., j].mean() for one in made])
    middles = np.median(a), np.median(b), np.median(true)
    tails = (np.percentile(values, 90) for values in (a, b, true))
    both = [n for pair in zip(middles, tails, strict=True) for n in pair]
    numbers = [*both[:4], middles[1] / middles[0], *both[4:], *scores]
    return "| " + " | ".join([name, *(f"{n:.2f}" for n in numbers)]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--work", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = chosen.work or Path(folder)
        table = page(demo(work), renders(work, chosen.scenes))
    print(table)
    write_text(chosen.out, table)


if __name__ == "__main__":
    main()
