"""What refiners of joint angles are worth: errors before and after on clips with known truth.

    python -m benchmarks.refine HELD [--joint FILE] [--main FILE]
    python -m benchmarks.refine poses MOTION.npz    poses that bodies take, and that none does

HELD: a folder of `kinefit train data angles`, of subjects that nothing was trained on. Degrees:
mean absolute error of the 32 angles that are refined, against the truth as the augmenter's markers
would say it (`kinefit.biomech.refine.table.OFFSETS`); "constant" takes the mean error of HELD
itself away, which no user can: what a refiner that learned nothing but constants could reach.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kinefit.biomech.angles import GROUPS
from kinefit.biomech.angles.intervals import kind_of
from kinefit.biomech.refine import JointRefiner, MainRefiner
from kinefit.biomech.refine.table import (
    ANGLES,
    OFFSETS,
    REFINED,
    heading_last,
    near_turning,
    values_of,
)
from kinefit.geometry.rotations import difference_deg
from kinefit.lift.windows import RATE_HZ
from kinefit.synth.motion_library import motion_library
from kinefit.train.refine.clips import KINDS, AngleClips
from kinefit.train.refine.data import read_angle_data
from kinefit.types import BoolArray, FloatArray, JointAngles, Timeline

JOINTS = tuple(dict.fromkeys(group.partition("_")[0] for group in GROUPS))
LARGE = (20.0, 70.0)  # degrees: errors of their own line
INSIDE = 1.96
HOLDS = (0.90, 0.97)


def table(values: FloatArray, sd: FloatArray | None) -> JointAngles:
    """(T, 12, 3) of a network as a table."""
    timeline = Timeline.regular(len(values), RATE_HZ)
    flat = heading_last(values).reshape(len(values), -1)
    spread = None if sd is None else sd.reshape(len(sd), -1)
    return JointAngles(timeline, ANGLES, flat, sd=spread)


def refined(
    data: AngleClips, joint: JointRefiner, main: MainRefiner
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Name -> values and deviations (N, 12, 3) of all frames; and how long it took."""
    found: dict[str, list[tuple[FloatArray, FloatArray]]] = {"joint": [], "main": []}
    seconds = dict.fromkeys(found, 0.0)
    for i in range(len(data)):
        rows = slice(data.start[i], data.start[i + 1])
        given = table(data.given[rows], data.given_sd[rows])
        lifted = table(data.lifted[rows], data.lifted_sd[rows])
        body, seen = table(data.body[rows], None), data.seen[rows]
        for name in found:
            began = time.process_time()
            after = (
                joint.refine(given, seen) if name == "joint"
                else main.refine(given, lifted, body, seen)
            )  # fmt: skip
            seconds[name] += time.process_time() - began
            found[name].append(values_of(after))
    for name, spent in seconds.items():
        print(f"{name}: {1000 * spent / len(data.given):.2f} ms of CPU a frame")
    return {
        name: (np.concatenate([v for v, _ in parts]), np.concatenate([s for _, s in parts]))
        for name, parts in found.items()
    }


def errors(values: FloatArray, true: FloatArray) -> FloatArray:
    """(N, 12, 3) absolute degrees; NaN for what is not refined."""
    off = np.abs(difference_deg(values, true))
    return np.where(REFINED & ~near_turning(values) & ~near_turning(true), off, np.nan)


def by_joint(off: FloatArray) -> str:
    """The mean, then of each joint."""
    mean = np.nanmean(off, axis=(0, 2))
    each = [
        np.nanmean([mean[i] for i, g in enumerate(GROUPS) if g.partition("_")[0] == joint])
        for joint in JOINTS
    ]
    return f"{np.nanmean(off):5.2f}  " + "  ".join(f"{value:5.2f}" for value in each)


def judge(data: AngleClips, answers: Mapping[str, tuple[FloatArray, FloatArray]]) -> None:
    true = data.true + OFFSETS
    kind = np.repeat(data.kind, data.length)
    before = errors(data.given, true)
    sets = [(KINDS[k], kind == k) for k in np.unique(kind)]
    print(f"{'':28s}  mean  " + "  ".join(f"{joint[:5]:>5s}" for joint in JOINTS))
    for name, rows in sets:
        shift = np.nanmean(difference_deg(data.given, true)[rows], axis=0)
        tables = {"given": data.given, "lifted": data.lifted, "body": data.body + OFFSETS,
                  "constant": data.given - shift}  # fmt: skip
        tables |= {name: values for name, (values, _) in answers.items()}
        for which, values in tables.items():
            print(f"{name:10s} {which:16s}  {by_joint(errors(values, true)[rows])}")
    for name, rows in sets:
        for which, answer in answers.items():
            parts = (v[rows] for v in (before, true, *answer))
            _judge_more(f"{name} {which}", data, rows, *parts)


def _judge_more(
    name: str, data: AngleClips, rows: BoolArray, before: FloatArray, true: FloatArray,
    values: FloatArray, sd: FloatArray,
) -> None:  # fmt: skip
    """What is moved, large errors, exchanged sides, and whether stated deviations hold."""
    after = errors(values, true)
    moved = np.abs(difference_deg(values, data.given[rows]))[np.isfinite(before)]
    large = (before > LARGE[0]) & (before < LARGE[1])
    exchanged = (data.swapped[rows] > 0.5)[:, None, None] & np.isfinite(before)
    inside = np.where(np.isfinite(after) & np.isfinite(sd), after < INSIDE * sd, np.nan)
    changes = [
        f"{what} {before[some].mean():.1f} -> {np.nanmean(after[some]):.1f}"
        for what, some in (("errors of 20 to 70 degrees", large), ("sides exchanged", exchanged))
        if some.any()
    ]
    share = 100 * np.nanmean(inside)
    print(f"{name}: moved {moved.mean():.2f}; {'; '.join(changes)}; {share:.1f} % inside")
    for kind in dict.fromkeys(map(kind_of, ANGLES)):
        at = [i for i, angle in enumerate(ANGLES) if kind_of(angle) == kind]
        held = inside.reshape(len(inside), -1)[:, at]
        if np.isfinite(held).any() and not HOLDS[0] <= np.nanmean(held) <= HOLDS[1]:
            print(f"  {kind}: {100 * np.nanmean(held):.1f} %")


WRONG = (
    ("knee_r_flex", -20.0), ("knee_r_flex", -10.0), ("elbow_r_flex", 160.0),
    ("elbow_r_flex", 169.0), ("hip_r_flex", -60.0), ("hip_r_abd", -60.0), ("ankle_r_flex", 60.0),
)  # fmt: skip


def poses(motion: Path, joint: JointRefiner) -> None:
    """What is done to what no body does, and to what bodies do seldom."""
    exact = [table_ for name, table_ in _true_motions(motion)]
    for name, value in WRONG:
        by = []
        for angles in exact:
            wrong = angles.degrees.copy()
            wrong[:, angles.names.index(name)] = value
            given = JointAngles(angles.timeline, angles.names, wrong, sd=np.full(wrong.shape, 8.0))
            after = joint.refine(given)
            by.append(difference_deg(after.column(name), given.column(name)))
        print(f"{name} {value:6.1f}: moved by {np.median(np.concatenate(by)):+.1f}")
    for sd in (2.0, 8.0):
        moved: dict[str, list[FloatArray]] = {"usual": [], "extreme": []}
        for angles in exact:
            given = JointAngles(
                angles.timeline, angles.names, angles.degrees, sd=np.full(angles.degrees.shape, sd)
            )
            off = np.abs(difference_deg(joint.refine(given).degrees, given.degrees))
            off = off[:, REFINED.ravel()]
            deep = [angles.column(f"{g}_{s}_flex") for g in ("hip", "knee") for s in "rl"]
            wide = [np.abs(angles.column(f"hip_{s}_abd")) for s in "rl"]
            extreme = (np.max(deep, axis=0) > 110) | (np.max(wide, axis=0) > 45)
            moved["extreme"].append(off[extreme].ravel())
            moved["usual"].append(off[~extreme].ravel())
        for kind, parts in moved.items():
            every = np.concatenate(parts)
            every = every[np.isfinite(every)]
            count, most = len(every) // REFINED.sum(), np.percentile(every, 95)
            print(f"true poses, {kind}, said to be known to {sd:g}: moved {every.mean():.2f} "
                  f"(95 %: {most:.1f}), {count} frames")  # fmt: skip


def _true_motions(motion: Path) -> list[tuple[str, JointAngles]]:
    """Motion capture on one body, as the augmenter's markers would say it."""
    from kinefit.biomech.angles import joint_angles
    from kinefit.body.anny import load_anny
    from kinefit.fit.mesh_markers import laboratory_markers
    from kinefit.pipeline.config import checked
    from kinefit.skeletons import skeleton
    from kinefit.synth.scene import moving_person
    from kinefit.synth.scene_options import PairOptions
    from kinefit.types import Markers

    body, library, found = load_anny(), motion_library(motion), []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        options = checked(PairOptions, {"seconds": 4.0, "children": 0})
        shape, moving = moving_person(rng, options, body, library)
        timeline = Timeline.regular(120, RATE_HZ)
        xyz = laboratory_markers(body).posed_vertices(*moving.at(timeline.time), shape)
        angles = joint_angles(Markers(timeline, skeleton("augmented43").points, xyz))
        found.append((str(seed), table(values_of(angles)[0] + OFFSETS, None)))
    return found


def main() -> None:
    if sys.argv[1:2] == ["poses"]:
        poses(Path(sys.argv[2]), JointRefiner())
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("held", type=Path)
    parser.add_argument("--joint", type=Path)
    parser.add_argument("--main", type=Path)
    options = parser.parse_args()
    data, joint = read_angle_data(options.held), JointRefiner(options.joint)
    judge(data, refined(data, joint, MainRefiner(options.main, joint)))


if __name__ == "__main__":
    main()
