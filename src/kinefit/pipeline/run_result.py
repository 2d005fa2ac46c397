"""What a run left in its folder, to go on with in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kinefit.io.body_npz import read_motion
from kinefit.io.tables import read_angles_csv
from kinefit.pipeline.artifacts import load_markers
from kinefit.pipeline.manifest import read_manifest
from kinefit.pipeline.results import INTERNAL, words_about
from kinefit.types import BodyMotion, Finding, InputError, JointAngles, Markers


@dataclass(frozen=True)
class RunResult:
    """What a run of the plan left.

    folder: where. verdict: "good", "caution" or "unusable", from the files that were written.
    findings: what to know before using the numbers, worst first.
    files: (name in the folder, what it is).

    The numbers are read from the files when they are asked for. What the run did not write, and
    what is of an earlier fit, raises InputError.
    """

    folder: Path
    verdict: str
    findings: tuple[Finding, ...]
    files: tuple[tuple[str, str], ...]

    @property
    def warnings(self) -> list[str]:
        """The findings that limit the use of the numbers or forbid it, as sentences."""
        return [str(one) for one in self.findings if one.level != "information"]

    @cached_property
    def angles(self) -> JointAngles:
        """Joint angles, degrees (docs/conventions.md); `to_dataframe` makes a table of them."""
        return read_angles_csv(self.path("_angles_all.csv"))

    @cached_property
    def markers(self) -> Markers:
        """All markers, filtered and augmented: metres, world, Y up."""
        return load_markers(self.path(f"{INTERNAL}/final.npz"))

    @cached_property
    def motion(self) -> BodyMotion:
        """The fitted body: shape, joint rotations, translation."""
        return read_motion(self.path("_body.npz"))

    def path(self, end: str) -> Path:
        """The file of this run whose name ends so, e.g. "report.html" or "_final.trc".

        Raises InputError when there is none, only that of an earlier fit, or more than one.
        """
        stale = {n: old for n, old in _stale(self.folder).items() if n.endswith(end)}
        current = [name for name, old in stale.items() if not old]
        if len(current) == 1:
            return self.folder / current[0]
        if current:
            reason, hint = f"holds {', '.join(sorted(current))}", "ask for the one that you mean"
        elif stale:
            reason = f"{min(stale)} is of an earlier fit"
            hint = "run the whole plan again with the same options"
        else:
            reason = f"holds no file whose name ends in {end}"
            hint = "run the whole plan: `kinefit run`, or kinefit.run without `until`"
        raise InputError(self.folder, reason, hint)


def open_result(folder: str | Path) -> RunResult:
    """The result in a folder of `run`, `kinefit run` or `kinefit fit`; nothing is computed.

    Raises InputError for a folder without one.

    >>> open_result("nowhere")
    Traceback (most recent call last):
        ...
    kinefit.types.errors.InputError: nowhere: holds no result of kinefit (run.json). Next: name \
the folder of results, e.g. kinefit_output/walk.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if not manifest:
        hint = "name the folder of results, e.g. kinefit_output/walk"
        raise InputError(folder, "holds no result of kinefit (run.json)", hint)
    files = tuple(words_about(_stale(folder) | {"run.json": False}))
    return RunResult(folder, str(manifest.get("verdict", "")), findings_of(manifest), files)


def findings_of(manifest: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Those that a run.json holds, worst first."""
    return tuple(Finding.from_json(one) for one in manifest.get("findings", ()))


def _stale(folder: Path) -> dict[str, bool]:
    """File -> whether it is of an earlier fit; raises InputError for a run.json that is none."""
    try:
        stages = read_manifest(folder)["stages"].values()
        return {str(n): bool(s["stale"]) for s in stages for n in s["files"]}
    except (AttributeError, KeyError, TypeError) as error:
        hint = "run the command of that folder again"
        raise InputError(folder / "run.json", "does not list the stages of a run", hint) from error
