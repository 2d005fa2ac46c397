"""How far angles and markers are off, and whether stated deviations hold: synthetic scenes.

    python -m benchmarks.intervals views SCENES RUNS OUT.npz   every view
    python -m benchmarks.intervals rigs SCENES RUNS OUT.npz    rigs of 2 and 4
    python -m benchmarks.intervals lifted SCENES RUNS OUT.npz  every view, with --camera-pof
    python -m benchmarks.intervals table OUT.npz OTHER.npz     the table of biomech/angles

SCENES holds folders of `kinefit synth`, four cameras each; RUNS keeps the runs. What a run states
of an angle is the spread over bodies as probable as the fitted one. Calibration adds a factor on it
and a constant per kind of angle (both sides alike) or of marker, for what no body of the spread
shows: where the augmenter sees an epicondyle, how the detector leans. Calibrated is so that 95 % of
the errors of each kind lie within 1.96 deviations.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kinefit.api import process
from kinefit.biomech.angles.intervals import (
    KEYPOINTS,
    LABORATORY,
    Interval,
    Setup,
    kind_of,
    setup_of,
)
from kinefit.biomech.markers import final_names
from kinefit.evaluate.run_folder import RunData, read_run, read_scene
from kinefit.evaluate.truth_at_times import angles_at, markers_at
from kinefit.geometry.rotations import difference_deg
from kinefit.pipeline.artifacts import load_arrays
from kinefit.pipeline.config import run_config
from kinefit.synth.truth import PersonTruth
from kinefit.types import KinefitError

FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5)
WANTED = 0.95
HOLDS = (0.90, 0.97)
EVERY = 5  # frames of which one is taken for markers: neighbours err alike


def errors_of(scene: Path, work: Path, which: str) -> Iterator[tuple[Setup, dict[str, np.ndarray]]]:
    """(setup, kind -> (N, 2) error and spread, degrees or metres) of `which`: see the module."""
    opened = read_scene(scene)
    person = opened.truth.people[0]
    videos = [scene / f"{name}.mp4" for name in opened.truth.rig.names]
    for chosen in [videos[:2], videos] if which == "rigs" else [[v] for v in videos]:
        options = {"height": person.stature_m, "mass": person.mass_kg, "export": ""}
        options["camera_pof"] = which == "lifted"
        if len(chosen) > 1:
            options["calibration"] = scene / "calibration.toml"
        out = work / f"{scene.name}_{'_'.join(v.stem for v in chosen)}"
        config = run_config(options)
        try:
            process(chosen if len(chosen) > 1 else chosen[0], out, config, until="angles")
            run = read_run(out, opened)
        except KinefitError as error:
            print(f"{out.name}: {error}", file=sys.stderr)
            continue
        if run.angles is None:
            continue
        spread = load_arrays(out / ".kinefit" / "angle_spread.npz")
        time = run.clock.to_scene(run.angles.timeline.time)
        true = angles_at(person, time, run.transform)
        found = {}
        for name in set(run.angles.names) & set(true.names) & set(spread):
            locked = (
                run.angles.gimbal[:, run.angles.names.index(name)]
                | true.gimbal[:, true.names.index(name)]
            )
            off = difference_deg(run.angles.column(name), true.column(name))
            found[name] = np.stack([np.where(locked, np.nan, off), spread[name]], axis=1)
        found |= marker_errors(out, run, person, relative=len(chosen) == 1)
        print(f"{out.name}: {len(found)} angles and markers", flush=True)
        yield setup_of(len(chosen), config.lifter), found


def marker_errors(
    out: Path, run: RunData, person: PersonTruth, *, relative: bool
) -> dict[str, np.ndarray]:
    """Kind of marker -> (N, 2) metres, error and spread along each axis of the run's world.

    relative: to the mid-hip, whose own place one camera hardly knows.
    """
    final = run.markers["final"]
    spread = load_arrays(out / ".kinefit" / "marker_spread.npz")["spread"]
    time = run.clock.to_scene(final.timeline.time)
    true = run.transform.from_scene(markers_at(person, time), time)
    both = [name for name in final.names if name in person.markers.names]
    at = [final.names.index(name) for name in both]
    off = final.xyz[:, at] - true[:, [person.markers.names.index(name) for name in both]]
    if relative:
        if not {"LHip", "RHip"} <= set(both):
            return {}
        off = off - off[:, [both.index("LHip"), both.index("RHip")]].mean(axis=1, keepdims=True)
    spread = spread[:, [final_names().index(name) for name in both]]
    rows = np.stack([off, spread], axis=-1)[::EVERY]
    own = np.array([name.endswith("_study") for name in both])
    return {
        kind: rows[:, some].reshape(-1, 2) for kind, some in ((KEYPOINTS, ~own), (LABORATORY, own))
    }


def collect(which: str, scenes: Path, runs: Path, target: Path) -> None:
    """Errors and spreads of all scenes, by setup and kind."""
    table: dict[str, list[np.ndarray]] = {}
    for scene in sorted(p for p in scenes.iterdir() if (p / "truth.npz").exists()):
        for setup, found in errors_of(scene, runs, which):
            for name, rows in found.items():
                table.setdefault(f"{setup} {kind_of(name)}", []).append(rows)
    np.savez(target, **{name: np.concatenate(rows) for name, rows in table.items()})


def table(source: Path, held_out: Path) -> None:
    """Print the table: of every kind the factor and constant that are most probable, where 90 to
    97 % of the errors on other scenes lie inside; elsewhere a comment says how many do.
    """
    others = load_arrays(held_out)
    for name, rows in sorted(load_arrays(source).items()):
        best = min((fitted(*known(rows), f) for f in FACTORS), key=lambda one: one[0])[1]
        off, spread = known(others[name])
        sd = np.hypot(best.factor * spread, best.constant)
        inside = np.mean(np.abs(off) <= 1.96 * sd)
        holds = HOLDS[0] <= inside <= HOLDS[1]
        digits = 4 if name.split()[1] in (KEYPOINTS, LABORATORY) else 1
        entry = f'"{name}" = [{best.factor:g}, {best.constant:.{digits}f}]'
        about = f"{100 * inside:.1f} % inside; deviation {np.median(sd):.{digits}f}"
        error = f"mean error {np.abs(off).mean():.{digits}f}"
        print(f"{'' if holds else '# '}{entry}  # {about}, {error}")


def known(rows: np.ndarray) -> np.ndarray:
    """(2, N) errors and spreads that are numbers."""
    return rows[np.isfinite(rows).all(axis=1)].T


def fitted(off: np.ndarray, spread: np.ndarray, factor: float) -> tuple[float, Interval]:
    """Cost and the interval with this factor, whose constant makes 95 % lie inside."""
    low, high = 0.0, 90.0
    for _ in range(40):
        middle = (low + high) / 2
        inside = np.abs(off) <= 1.96 * np.hypot(factor * spread, middle)
        low, high = (low, middle) if inside.mean() >= WANTED else (middle, high)
    sd = np.hypot(factor * spread, high)
    return float(np.mean(np.log(sd) + (off / sd) ** 2 / 2)), Interval(factor, high)


if __name__ == "__main__":
    if sys.argv[1] == "table":
        table(*map(Path, sys.argv[2:]))
    else:
        collect(sys.argv[1], *map(Path, sys.argv[2:]))
