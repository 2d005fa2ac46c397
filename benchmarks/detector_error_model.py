"""How well drawn detections stand for real ones: docs/measurements/detector_errors.md.

    python -m benchmarks.detector_error_model PAIRS --out docs/measurements/detector_errors.md

PAIRS: a folder of `kinefit synth pairs`. All rows are compared: each fifth of the scenes with what
a model says that was fitted to the other four.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.error_check import (
    Auc,
    drawn_by,
    energy_distance,
    held_out,
    picture_errors,
    scene_folds,
    tell_apart,
)
from kinefit.io.atomic import atomic_path
from kinefit.synth.detector_error_fit import Sample, fit_detector_errors, swapped_sides
from kinefit.synth.detector_errors import (
    NAMES,
    SWAP_GROUPS,
    XY,
    DetectorErrors,
    apply_errors,
    find_errors,
)
from kinefit.synth.pairs import read_pairs
from kinefit.synth.truth import Visibility
from kinefit.types import BoolArray, FloatArray

SHOWN = (
    "Nose", "LEar", "LShoulder", "RShoulder", "LElbow", "RElbow", "LWrist", "RWrist", "LIndex",
    "LHip", "RHip", "LKnee", "RKnee", "LAnkle", "RAnkle", "LBigToe",
)  # fmt: skip
FAR = 0.05  # of the size
MOST_IN_DISTANCE = 1500  # rows of each sample: an energy distance takes their square


class Models:
    """Fitted models, by the training rows' first scenes: the folds are the same for all drawers."""

    def __init__(self) -> None:
        self.known: dict[bytes, DetectorErrors] = {}

    def of(self, sample: Sample) -> DetectorErrors:
        """The model of these rows."""
        key = np.unique(sample.scene).tobytes()
        if key not in self.known:
            self.known[key] = fit_detector_errors(sample)
        return self.known[key]

    def drawer(
        self, change: Callable[[DetectorErrors, np.random.Generator], DetectorErrors]
    ) -> Callable[[Sample, np.random.Generator, Sample], FloatArray]:
        """Draws by the model with something about it changed."""
        return lambda seen, rng, kept: drawn_by(change(self.of(seen), rng), rng, kept.views)


def same(model: DetectorErrors, _: np.random.Generator) -> DetectorErrors:
    """No change."""
    return model


def any_donor(model: DetectorErrors, rng: np.random.Generator) -> DetectorErrors:
    """Residuals of anybody, however unlike."""
    return replace(model, residuals=rng.permutation(model.residuals))


def apart(model: DetectorErrors, rng: np.random.Generator) -> DetectorErrors:
    """Each channel of each point has a residual of its own."""
    return replace(model, residuals=rng.permuted(model.residuals, axis=0))


def normal(model: DetectorErrors, rng: np.random.Generator) -> DetectorErrors:
    """Normal residuals with the true covariance, among all points and channels."""
    flat = model.residuals.reshape(len(model.residuals), -1)
    drawn = rng.multivariate_normal(flat.mean(axis=0), np.cov(flat.T), len(flat), method="eigh")
    return replace(model, residuals=drawn.reshape(model.residuals.shape))


def plain(seen: Sample, rng: np.random.Generator, kept: Sample) -> FloatArray:
    """One normal distribution for each channel of each point."""
    found = seen.rows(seen.found)
    error = find_errors(found.views, found.detected)
    drawn = rng.normal(size=kept.detected.shape) * error.std(axis=0) + error.mean(axis=0)
    detected = apply_errors(kept.views, drawn)
    detected[rng.random(len(detected)) >= seen.found.mean()] = np.nan
    return detected


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Markdown."""
    lines = [list(head), ["---"] * len(list(head)), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def shown(value: Auc) -> str:
    return f"{value.value:.3f} ({value.low:.3f}-{value.high:.3f})"


def telling(real: Sample, drawn: dict[str, Sample], seed: int) -> str:
    """The classifier's areas under the ROC curve."""
    rows = [
        (name, *(shown(tell_apart(real, s, seed, picture_only=only)) for only in (True, False)))
        for name, s in drawn.items()
    ]
    return table(("drawn by", "errors in the picture", "with scores and own 3D"), rows)


def margins(real: Sample, drawn: Sample, rival: Sample, seed: int) -> str:
    """Of each joint: bias, spread, tails, and energy distances, in percent of the size."""
    halves = scene_folds(real.scene, seed) % 2 == 0
    e, d, r = (picture_errors(s) for s in (real, drawn, rival))
    parts = [picture_errors(real.rows(half)) for half in (halves, ~halves)]
    rng = np.random.default_rng(seed)
    some = [x[rng.permutation(len(x))[:MOST_IN_DISTANCE]] for x in (e, d, r, *parts)]
    rows = []
    for name in SHOWN:
        j = NAMES.index(name)
        rows.append((
            name,
            *(f"{a} / {b}" for a, b in zip(_moments(e[:, j]), _moments(d[:, j]), strict=True)),
            f"{100 * energy_distance(some[0][:, j], some[1][:, j]):.3f}",
            f"{100 * energy_distance(some[3][:, j], some[4][:, j]):.3f}",
            f"{100 * energy_distance(some[0][:, j], some[2][:, j]):.3f}",
        ))  # fmt: skip
    head = ("joint", "bias x", "bias y", "SD", "median", "p90", "over 5 %, share",
            "energy distance", "two halves of real", "normal, real")  # fmt: skip
    return table(head, rows)


def _moments(e: FloatArray) -> tuple[str, ...]:
    off = np.linalg.norm(e, axis=1)
    values = (*e.mean(axis=0), np.sqrt(e.var(axis=0).mean()), *np.quantile(off, [0.5, 0.9]))
    return (*(f"{100 * v:.2f}" for v in values), f"{100 * (off > FAR).mean():.1f}")


def conditions(real: Sample, drawn: Sample) -> str:
    """Median and p90 error, and score, by what is seen of wrists, elbows, knees and ankles."""
    joints = [NAMES.index(s + n) for n in ("Elbow", "Wrist", "Knee", "Ankle") for s in "LR"]
    rows = []
    for code in (Visibility.VISIBLE, Visibility.SELF_OCCLUDED, Visibility.OCCLUDED):
        cells = []
        for s in (real, drawn):
            found = s.rows(s.found)
            those = found.views.visibility[:, joints] == code
            off = np.linalg.norm(find_errors(found.views, found.detected)[:, joints, XY], axis=-1)
            score = found.detected[:, joints, 2][those]
            values = (*(100 * np.quantile(off[those], [0.5, 0.9])), score.mean(), score.std(),
                      np.corrcoef(np.log(off[those] + 1e-3), score)[0, 1])  # fmt: skip
            cells.append([f"{v:.2f}" for v in values])
        pairs = [f"{a} / {b}" for a, b in zip(*cells, strict=True)]
        rows.append((code.name.lower().replace("_", "-"), str(int(those.sum())), *pairs))
    head = ("seen", "points", "median, %", "p90, %", "score, mean", "SD", "correlation of error")
    return table(head, rows)


def rates(real: Sample, drawn: Sample) -> str:
    """Sides exchanged, and nobody found, by how the person is turned and how much is unseen."""
    rows = []
    turn = np.degrees(np.abs(real.views.azimuth))
    unseen = (real.views.visibility < Visibility.SELF_OCCLUDED).mean(axis=1)
    upright = -real.views.alike[:, 4]
    wanted = {
        "all": turn >= 0, "facing, to 45 degrees": turn < 45,
        "from the side, 45-135": (turn >= 45) & (turn < 135), "from behind": turn >= 135,
        "trunk upright (to 45 degrees)": upright > 0.707, "trunk lying or bent": upright <= 0.707,
        "over a quarter hidden or outside": unseen > 0.25,
        "size below 250 px": real.views.size < 250,
    }  # fmt: skip
    for name, chosen in wanted.items():
        cells = [_rates(s, chosen) for s in (real, drawn)]
        pairs = [f"{a} / {b}" for a, b in zip(*cells, strict=True)]
        rows.append((name, str(int(chosen.sum())), *pairs))
    head = ("people", "rows", *(f"{name} exchanged, %" for name in SWAP_GROUPS), "nobody found, %")
    return table(head, rows)


def _rates(sample: Sample, chosen: BoolArray) -> list[str]:
    some = sample.rows(chosen & sample.found)
    lost = 1 - sample.found[chosen].mean()
    return [f"{100 * v:.1f}" for v in (*swapped_sides(some).mean(axis=0), lost)]


def triangulated(sample: Sample, rotation: FloatArray) -> FloatArray:
    """(n, J) metres: errors of points from the three pictures of a moment, all views used alike.

    Three rows in turn are one moment. Linear, in the axes of the first camera; NaN where fewer than
    three found the person.
    """
    views = sample.views
    R = rotation.reshape(-1, 3, 3, 3) @ rotation.reshape(-1, 3, 3, 3)[:, :1].transpose(0, 1, 3, 2)
    xyz = views.xyz.reshape(-1, 3, *views.xyz.shape[1:])
    t = xyz[:, :, 0] - np.einsum("nvab,nb->nva", R, xyz[:, 0, 0])
    K = views.K.reshape(-1, 3, 3, 3)
    detected = sample.detected[..., XY].reshape(-1, 3, xyz.shape[2], 2)
    ray = (detected - K[:, :, None, :2, 2]) / K[:, :, None, [0, 1], [0, 1]]
    found = np.isfinite(ray).all(axis=(1, 2, 3))
    ray, R, t, xyz = ray[found], R[found], t[found], xyz[found]
    A = ray[..., None] * R[:, :, None, 2:] - R[:, :, None, :2]
    b = t[:, :, None, :2] - ray * t[:, :, None, 2:]
    A = A.transpose(0, 2, 1, 3, 4).reshape(len(A), -1, 6, 3)
    b = b.transpose(0, 2, 1, 3).reshape(len(A), -1, 6, 1)
    At = A.transpose(0, 1, 3, 2)
    solved = np.linalg.solve(At @ A, At @ b)[..., 0]
    return np.asarray(np.linalg.norm(solved - xyz[:, 0], axis=-1))


def downstream(samples: dict[str, Sample], rotation: FloatArray) -> str:
    """What a user of the detections gets: points from three pictures, and the own 3D."""
    rows = []
    for name, s in samples.items():
        off = 1000 * triangulated(s, rotation)
        found = s.rows(s.found)
        own = np.linalg.norm(find_errors(found.views, found.detected)[..., 3:], axis=-1)
        own *= 1000 * found.views.stature[:, None]
        values = [v for x in (off, own) for v in np.quantile(x, [0.25, 0.5, 0.9])]
        rows.append((name, *(f"{v:.1f}" for v in values)))
    head = (
        "detections",
        "three views: p25, mm",
        "median",
        "p90",
        "own 3D: p25, mm",
        "median",
        "p90",
    )
    return table(head, rows)


PAGE = """# A statistical model of the detector's error, against the detector

`kinefit.synth.detector_errors.draw` gives detections that MediaPipe might give for a person,
without a picture. How like real ones they are: {rows} rows of `kinefit synth pairs` ({scenes}
scenes, three cameras, four moments each), of which MediaPipe found somebody in {found}. Each
fifth of the scenes is compared with what a model drew that was fitted to the other four. Made by

    kinefit synth pairs --out PAIRS --motion cmu_30fps.npz --seed 1
    python -m benchmarks.detector_error_model PAIRS --seed {seed} --out FILE

In tables, "real / drawn". Errors in the picture are in percent of the person's size there: focal
length times stature over the depth of the mid-hip. Fitting the model to all rows took {fit:.0f} s
of one core, drawing 10,000 rows {draw:.1f} s.

## Can they be told apart?
Area under the ROC curve (95 % interval, scenes drawn anew) of a small network, which sees the
errors of all 27 points, how the person stands and is turned, and what is seen of each point, and
is asked about scenes that it did not learn from. 0.5: it cannot tell.

{telling}
The rows below the first take something away from the model, which shows what the network can see.
"Plain" is one normal distribution for each channel of each point.

## Each joint
Energy distance in percent of the size, beside that of two halves of the real rows (split by scene:
the noise floor) and that of real rows from the plain normal.

{margins}
## What is seen, and the score
Elbows, wrists, knees and ankles. Last: correlation of the error's logarithm and the score.

{conditions}
## Sides exchanged, nobody found
Exchanged: a group of points lies nearer to its twin's truth, by 2 % of the size.

{rates}
## What a user gets
Points triangulated from the three pictures of a moment (linear, all views alike; where all three
found the person), and the detector's own 3D against the truth, both from the mid-hip.

{downstream}
{limits}"""

LIMITS = """## Limits
- Points that an object hides err too little, and score too high: see the table of what is seen.
- Residuals are of people rendered by `kinefit synth`, not of people filmed.
- The whole person is in every training picture: points outside are drawn as hidden ones, a guess.
- Views are drawn independently, and so are frames: in a video, errors go on for a while.
- Corners of eyes and mouth have no truth on the body, and stay missing.
- An error that nobody in the training pictures had is never drawn, but for its size.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare drawn detections with real ones.")
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    stored = read_pairs(chosen.pairs)
    real = Sample.of(stored)
    models = Models()
    drawers = {
        "the model": models.drawer(same),
        "residuals of anybody, not of people alike": models.drawer(any_donor),
        "normal residuals with their covariance": models.drawer(normal),
        "residuals of each point and channel by itself": models.drawer(apart),
        "plain": plain,
    }
    drawn = {name: held_out(real, drawer, chosen.seed) for name, drawer in drawers.items()}
    ours, rival = drawn["the model"], drawn["plain"]
    page = PAGE.format(
        rows=len(real.detected),
        scenes=len(np.unique(real.scene)),
        found=int(real.found.sum()),
        seed=chosen.seed,
        telling=telling(real, drawn, chosen.seed),
        margins=margins(real, ours, rival, chosen.seed),
        conditions=conditions(real, ours),
        rates=rates(real, ours),
        downstream=downstream(
            {"real": real, **{k: drawn[k] for k in ("the model", "plain")}}, stored["camera_R"]
        ),
        limits=LIMITS,
        **timed(real),
    )
    with atomic_path(chosen.out) as partial:
        partial.write_text(page, "utf-8")
    print(page)


def timed(real: Sample) -> dict[str, float]:
    """Seconds of processor time that fitting to all rows, and drawing 10,000, take."""
    began = time.process_time()
    model = fit_detector_errors(real)
    fitted = time.process_time()
    rng = np.random.default_rng(0)
    many = real.rows(rng.integers(len(real.detected), size=10_000))
    ready = time.process_time()
    drawn_by(model, rng, many.views)
    return {"fit": fitted - began, "draw": time.process_time() - ready}


if __name__ == "__main__":
    main()
