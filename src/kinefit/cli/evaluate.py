"""`kinefit eval`: results against a reference, and against the truth of a synthetic scene."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kinefit.cli.console import new_table, out, show_notes
from kinefit.cli.help import App
from kinefit.io.atomic import write_json, write_text
from kinefit.types import InputError

if TYPE_CHECKING:
    from kinefit.evaluate.score_tables import ScoreTable

_PIPED = 200  # characters, of tables that no terminal shows

evaluate = App(no_args_is_help=True, help="Compare results with a reference.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OutFile = Annotated[
    Path | None, typer.Option("--out", help="Write the scores there too: .json or .md.")
]
Person = Annotated[int, typer.Option(min=0, help="Of the scene's people, counted from 0.")]


@evaluate.command("synth")
def evaluate_synth(
    run: Annotated[Path, typer.Argument(help="Folder of kinefit run, or of kinefit fit.")],
    reference: Annotated[Path, typer.Option(help="Folder of the scene: kinefit synth.")],
    person: Person = 0,
    json_output: Json = False,
    out_file: OutFile = None,
) -> None:
    """Everything that a run's files allow, against the truth of the scene that it was made from.

    Detected points, limb directions, points in space, joint angles, body, masks, and whether the
    stated uncertainties are true. The scene's files are checked against their SHA-256 first.
    """
    from kinefit.api import evaluate_run
    from kinefit.evaluate.score_tables import skipped_notes, synth_tables

    scores = evaluate_run(run, reference, person)
    title = f"{scores['run']} against {scores['scene']}, person {person}"
    tables, notes = synth_tables(scores), skipped_notes(scores)
    _show(title, scores, tables, notes, json_output, out_file)


@evaluate.command("angles")
def evaluate_angles(
    file: Annotated[Path, typer.Argument(help="TRC, C3D, MOT, STO or kinefit's angle CSV.")],
    reference: Annotated[
        Path, typer.Option(help="The reference motion (.mot, degrees), or a scene's folder.")
    ],
    person: Person = 0,
    json_output: Json = False,
) -> None:
    """Angle errors per degree of freedom, under OpenSim's coordinate names, in degrees."""
    from kinefit.api import evaluate_angles_of_file
    from kinefit.biomech.angles.compare import as_json

    errors = evaluate_angles_of_file(file, reference, person, on_note=lambda n: show_notes([n]))
    if json_output:
        typer.echo(json.dumps(as_json(errors), indent=2))
        return
    table = new_table("coordinate", "RMSE °", "MAE °", "bias °", "SD °", "r")
    for name, error in errors.items():
        values = (error.rmse, error.mae, error.bias, error.sd, error.r)
        table.add_row(name, *("-" if v is None else f"{v:.2f}" for v in values))
    out.print(table)


@evaluate.command("poses")
def evaluate_poses(
    file: Annotated[
        Path, typer.Argument(help="TRC, C3D, triangulated points or body motion (.npz), scene.")
    ],
    reference: Annotated[Path, typer.Option(help="One of the same kinds.")],
    align: Annotated[
        Literal["none", "root", "rigid", "similarity"],
        typer.Option(help="For the errors by point and of acceleration."),
    ] = "none",
    person: Person = 0,
    json_output: Json = False,
    out_file: OutFile = None,
) -> None:
    """Points in space against others of the same names, under every usual alignment."""
    from kinefit.api import evaluate_poses_of_file
    from kinefit.evaluate.score_tables import pose_tables

    scores = evaluate_poses_of_file(file, reference, align, person)
    title = f"{file.name} against {reference.name}"
    _show(title, scores, pose_tables(scores), scores["notes"], json_output, out_file)


@evaluate.command("pof")
def evaluate_pof(
    folder: Annotated[Path, typer.Argument(help="Folder of kinefit synth pairs, or of a run.")],
    reference: Annotated[
        Path | None, typer.Option(help="Folder of the scene that a run was made from.")
    ] = None,
    person: Person = 0,
    pof_model: Annotated[
        str | None,
        typer.Option(
            help="Directions of this network instead of the detector's own 3D: a name as in "
            "kinefit run, or an .onnx file of kinefit train pof.",
            metavar="NAME|FILE",
        ),
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for figures of where the errors come from.")
    ] = None,
    json_output: Json = False,
    out_file: OutFile = None,
) -> None:
    """Directions of 14 limbs as the detector has them, against the true ones in camera axes.

    With --pof-model those of a network, and everything else that it says: depth signs, spreads,
    contacts, gravity, corrected points, swapped sides.
    """
    from kinefit.api import evaluate_limbs
    from kinefit.evaluate.score_tables import pof_notes, pof_tables
    from kinefit.lift import load_lifter

    lifter = None if pof_model is None else load_lifter(pof_model)
    scores = evaluate_limbs(folder, reference, person, plots, lifter)
    tables, notes = pof_tables(scores), pof_notes(scores)
    _show(f"Limb directions of {folder.name}", scores, tables, notes, json_output, out_file)


def _show(
    title: str,
    scores: Mapping[str, Any],
    tables: Sequence[ScoreTable],
    notes: Sequence[str],
    json_output: bool,
    out_file: Path | None,
) -> None:
    """To `out_file`, and to the terminal: in full, for a number that is cut off is none."""
    from kinefit.evaluate.score_tables import markdown

    if out_file is not None:
        match out_file.suffix.lower():
            case ".json":
                write_json(out_file, scores)
            case ".md":
                write_text(out_file, markdown(title, tables, notes))
            case _:
                reason = f"{out_file.name} is neither .json nor .md"
                raise InputError("--out", reason, "give one of these")
    if json_output:
        typer.echo(json.dumps(scores, indent=2, ensure_ascii=False, allow_nan=False))
        return
    # A pipe has no width of its own.
    from rich.console import Console

    terminal = out.console.is_terminal
    console = out.console if terminal else Console(highlight=False, width=_PIPED)
    for table in tables:
        shown = new_table()
        for i, name in enumerate(table.columns):
            shown.add_column(name, justify="right" if i else "left", overflow="fold")
        for row in table.rows:
            shown.add_row(*row)
        console.print(table.title, style="bold")
        console.print(shown)
    for note in notes:
        out.print(note)
