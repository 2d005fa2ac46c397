"""The list of commands as `kinefit --help` prints it, without loading the commands.

Loading them takes numpy, pydantic and the options of every command: 0.7 of 1.1 CPU seconds.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

# Name and first line of the help of every command, in the order of the list; a test holds this
# page and the one of the real commands equal.
COMMANDS: dict[str, str] = {
    "run": "Video, or videos of calibrated cameras, to a body, markers, joint angles and a report.",
    "batch": "Many trials: a folder or a table of them, here or on a cluster, and a summary.",
    "demo": "The whole job on real video: Pose2Sim's single-person demo, camera 1 or all four.",
    "masks": "Masks of one person in every frame of a video, and how far each can be trusted.",
    "angles": "ISB joint angles of a TRC or C3D file: a CSV per group, one of all, and a .mot.",
    "refine": "Joint angles corrected by a network that has seen how those of one camera err.",
    "view": "Open results in the browser: video, space and curves under one clock.",
    "web": "A web site for projects, uploads, runs and results, on this machine or for others.",
    "augment": "Add the 43 LSTM markers to a TRC or C3D file, of this or another program.",
    "version": "Print the version.",
    "ik": "OpenSim scaling and inverse kinematics: a scaled .osim, a .mot, and marker errors.",
    "calibration": "Read a calibration of another program, say what was assumed, check it, and "
    "convert it.",
    "triangulate": "2D points of calibrated cameras to points in space, each with its evidence.",
    "eval": "Compare results with a reference.",
    "fit": "Fit a body: Anny, or one from your own files.",
    "export": "Fitted motion and bodies for other programs.",
    "synth": "Render video of people with known ground truth, and training data from it.",
    "train": "Train networks that lift or refine; training data from data sets of your own.",
}


class _Commands(TyperGroup):
    """Turns what a user can act on into a message and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        from kinefit.cli.console import errors_exit  # what the list of commands does not wait for

        with errors_exit():
            return super().invoke(ctx)


def new_app() -> typer.Typer:
    """An application without commands, with the settings and the help text of `kinefit`."""
    return typer.Typer(
        cls=_Commands,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Metric 3D human motion from ordinary video.",
    )


def front_page() -> typer.Typer:
    """An application that can only list the commands."""
    app = new_app()
    for name, text in COMMANDS.items():
        app.command(name, help=text)(lambda: None)
    return app
