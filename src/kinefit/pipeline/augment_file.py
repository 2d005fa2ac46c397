"""The augmenter's markers of a marker file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kinefit.biomech.checked_markers import read_checked_markers
from kinefit.biomech.markers import OUTSIDE_TRAINING, augment, force_complete, within_training
from kinefit.io.tables import write_uncertainty_csv
from kinefit.io.trc import write_trc
from kinefit.pipeline.single_step import blamed_on
from kinefit.types import Subject


def augment_file(
    file: str | Path,
    target: str | Path,
    subject: Subject,
    *,
    cycles: int,
    seed: int,
    complete: bool,
    up: str | None = None,
    units: str | None = None,
) -> tuple[list[Path], list[str]]:
    """Add the augmenter's 43 markers to a TRC or C3D file, of this or another program.

    complete: also estimate clusters and hip joint centres that are missing. up, units: of the file;
    see `kinefit.biomech.checked_markers.read_checked_markers`. Returns the files
    written (the markers, and beside them what is estimated and how uncertain each one is) and
    what to know before using them. Raises InputError for a file without the needed markers.
    """
    file, target = Path(file), Path(target)
    markers = read_checked_markers(file, up=up, units=units)
    said = list(markers.notes)
    if not within_training(subject):
        said.append(OUTSIDE_TRAINING)
    with blamed_on(file, "name hips, shoulders, legs and arms as Pose2Sim does (RHip, LKnee, ...)"):
        # How far the passes differ is no deviation of the markers: it holds half of the errors.
        markers = replace(augment(markers, subject, cycles=cycles, seed=seed), sd=None)
    said += markers.notes
    if complete:
        markers = force_complete(markers)
    write_trc(target, markers)
    table = target.with_name(f"{target.stem}_uncertainty.csv")
    write_uncertainty_csv(table, markers)
    return [target, table], said
