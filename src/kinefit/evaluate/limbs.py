"""Limb directions of a folder: of rendered pairs, or of a run with the scene that was filmed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kinefit.evaluate.error_plots import plot_sources
from kinefit.evaluate.error_sources import ErrorSources, joined, of_pairs, of_track
from kinefit.evaluate.limb_scores import score_pairs, score_pof
from kinefit.evaluate.run_folder import read_run
from kinefit.evaluate.scene_folder import check_person, read_scene
from kinefit.synth.pair_files import read_pairs
from kinefit.types import InputError, InvalidData, TooFewPoints


def score_limbs(
    folder: Path, scene: Path | None = None, person: int = 0, plots: Path | None = None
) -> dict[str, Any]:
    """Name -> `kinefit.evaluate.limb_scores.score_directions`: of "pairs", or of each camera.

    folder: of `kinefit synth pairs`; with a `scene`, of a run of its videos. plots: folder for
    `points.png` and `limbs.png`, of where the errors come from.
    Raises InputError for folders of other kinds, and a run without a detector's own 3D.
    """
    if scene is None:
        rows = read_pairs(folder)
        found, sources = {"pairs": score_pairs(rows)}, of_pairs(rows)
    else:
        found, sources = _of_run(folder, scene, person)
    if plots is not None:
        _draw(sources, folder.name, plots)
    return found


def _of_run(
    folder: Path, scene: Path, person: int
) -> tuple[dict[str, Any], tuple[ErrorSources, ErrorSources]]:
    known = read_scene(scene)
    check_person(known.truth, person, scene)
    tracks = read_run(folder, known).tracks
    if not tracks:
        raise InputError(
            folder,
            "holds no track of one person, but of everybody",
            "run with --detector mediapipe",
        )
    try:
        found = {n: score_pof(track, known.truth, n, person) for n, track in tracks.items()}
        parts = [of_track(track, known.truth, n, person) for n, track in tracks.items()]
    except (InvalidData, TooFewPoints) as error:
        reason = str(error).partition(" Next:")[0].rstrip(".")
        raise InputError(folder, reason, "run with --detector mediapipe") from error
    points, limbs = (joined(kind) for kind in zip(*parts, strict=True))
    return found, (points, limbs)


def _draw(sources: tuple[ErrorSources, ErrorSources], name: str, plots: Path) -> None:
    titles = ("Detected points", "Limb directions")
    for one, title in zip(sources, titles, strict=True):
        file = "points.png" if one is sources[0] else "limbs.png"
        plot_sources(one, f"{title}: {name}", plots / file)
