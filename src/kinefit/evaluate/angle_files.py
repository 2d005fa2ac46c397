"""Joint angles of a file against a reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kinefit.biomech.angles.compare import DofError, evaluate_file


def evaluate_angles_of_file(
    file: Path,
    reference: Path,
    person: int = 0,
    on_note: Callable[[str], None] = lambda note: None,
) -> dict[str, DofError]:
    """Joint angles of a file against an OpenSim motion, or a scene's folder or truth.npz.

    See `kinefit.biomech.angles.compare.evaluate_file`; person: of the scene. on_note: called with
    what a reader changed or assumed.
    """
    if reference.is_dir() or reference.suffix.lower() == ".npz":
        from kinefit.evaluate.run_folder import read_reference
        from kinefit.evaluate.run_scores import score_coordinates  # all that makes scenes

        return score_coordinates(file, read_reference(reference, person), reference.name)
    return evaluate_file(file, reference, on_note)
