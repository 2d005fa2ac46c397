"""Girths of rendered people with and without masks, by hair style and number of cameras.

    python -m benchmarks.girths OUT.md --work DIR [--scenes 2] [--seed 4000]

`kinefit synth` renders dressed people of every build and hair style before four cameras, a quarter
of them in skirts; `kinefit run` finds the body with and without `--silhouettes`, from four cameras
and from the first alone. What is compared is the fitted body at rest with the true one. Options of
the fit were chosen on other scenes (seed 77).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from kinefit.api import make_scenes, process
from kinefit.body.girths import GIRTHS, girths
from kinefit.body.load import load_body
from kinefit.io.atomic import write_text
from kinefit.io.body_npz import read_motion
from kinefit.pipeline.config import run_config
from kinefit.synth.scene_options import HAIR_STYLES, SynthOptions
from kinefit.synth.truth import CALIBRATION, TRUTH, read_truth
from kinefit.types import FloatArray

Errors = dict[tuple[str, str], list[FloatArray]]  # (cameras, masks or none) -> (4,) cm each


def scene_errors(scene: Path, work: Path) -> dict[tuple[str, str], FloatArray]:
    """Centimetres that each of `GIRTHS` is too large, by cameras and masks."""
    truth, body = read_truth(scene / TRUTH), load_body("anny")
    person = truth.people[0]
    true = girths(body, person.motion.shape)
    videos = sorted(scene.glob("cam*.mp4"))
    found = {}
    for cameras, chosen in (("four", videos), ("one", videos[:1])):
        for masks in (False, True):
            out = work / f"{scene.parent.name}_{scene.name}_{cameras}_{masks}"
            values = {"height": person.stature_m, "silhouettes": masks, "overlay": False}
            if cameras == "four":
                values["calibration"] = scene / CALIBRATION
            process(chosen, out, run_config(values), until="fit")
            motion = read_motion(next(out.glob("*_body.npz")))
            own = girths(body, motion.shape)
            off = np.array([100 * (own[name] - true[name]) for name in GIRTHS])
            found[cameras, "masks" if masks else "none"] = off
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=4000)
    parser.add_argument("--styles", nargs="*", choices=HAIR_STYLES, help="only these")
    args = parser.parse_args()
    by_style: dict[str, Errors] = {}
    for k, style in enumerate(HAIR_STYLES):
        if args.styles and style not in args.styles:
            continue
        options = SynthOptions(
            seed=args.seed + k, hair=style, skirts=0.25, children=0.0, views=4, seconds=1.4,
            rate=15.0,
        )  # fmt: skip
        errors: Errors = defaultdict(list)
        for scene in make_scenes(args.work / style, options, args.scenes):
            for key, off in scene_errors(scene, args.work).items():
                errors[key].append(off)
                print(style, scene.name, *key, np.round(off, 1), flush=True)
        by_style[style] = errors
    write_text(args.out, "\n".join(table(by_style)) + "\n")


def table(by_style: dict[str, Errors]) -> list[str]:
    """Rows of root mean square errors."""
    lines = ["| hair | cameras | masks | " + " | ".join(GIRTHS) + " |"]
    lines.append("| --- | --- | --- |" + " --- |" * len(GIRTHS))
    together: Errors = defaultdict(list)
    for errors in by_style.values():
        for key, rows in errors.items():
            together[key] += rows
    for style, errors in [("**all**", together), *by_style.items()]:
        for (cameras, masks), rows in errors.items():
            rms = np.sqrt((np.array(rows) ** 2).mean(axis=0))
            cells = " | ".join(f"{value:.1f}" for value in rms)
            lines.append(f"| {style} | {cameras} | {masks} | {cells} |")
    return lines


if __name__ == "__main__":
    main()
