"""The list of commands as `kinefit --help` prints it, without loading the commands.

Loading one takes pydantic, with which typer reads options: four times as long.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kinefit import __version__
from kinefit.cli.help import App, Commands

# Title -> name and first line of the help of every command, as the page shows them; a test holds
# them equal to those of the commands.
SECTIONS: dict[str, dict[str, str]] = {
    "From video": {
        "run": "Video, or videos of calibrated cameras, to a body, markers, joint angles and a "
        "report.",
        "demo": "The whole job on real video: Pose2Sim's single-person demo, camera 1 or all four.",
        "batch": "Many trials: a folder or a table of them, here or on a cluster, and a summary.",
        "fit": "Fit a body: Anny, or one from your own files.",
        "masks": "Masks of one person in every frame of a video, and how far each can be trusted.",
        "join": "Numbered pictures of a folder to one video, without loss.",
    },
    "From markers": {
        "ik": "OpenSim scaling and inverse kinematics: a scaled .osim, a .mot, and marker errors.",
        "angles": "ISB joint angles of a TRC or C3D file: a CSV per group, one of all, and a .mot.",
        "augment": "Add the 43 LSTM markers to a TRC or C3D file, of this or another program.",
        "refine": "Joint angles corrected by a network that has seen how those of one camera err.",
    },
    "Results": {
        "view": "Open results in the browser: video, space and curves under one clock.",
        "export": "Fitted motion and bodies for other programs.",
        "web": "A web site for projects, uploads, runs and results, on this machine or for others.",
    },
    "Several cameras": {
        "calibration": "Read a calibration of another program, say what was assumed, check it, and "
        "convert it.",
        "triangulate": "2D points of calibrated cameras to points in space, each with its "
        "evidence.",
    },
    "Known truth": {
        "synth": "Render video of people with known ground truth, and training data from it.",
        "eval": "Compare results with a reference.",
        "train": "Train networks that lift or refine; training data from data sets of your own.",
    },
}


class Kinefit(Commands):
    """Turns what a user can act on into a message and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        from kinefit.cli.console import errors_exit  # what the list of commands does not wait for

        with errors_exit():
            return super().invoke(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))
        formatter.write_paragraph()
        formatter.write_text("Options of a command: kinefit COMMAND --help")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"kinefit {__version__}")
        raise typer.Exit


def new_app(commands: type[Kinefit] = Kinefit) -> App:
    """An application without commands, with the settings and the help text of `kinefit`."""
    app = App(cls=commands, no_args_is_help=True, pretty_exceptions_enable=False)

    @app.callback(help="Metric 3D human motion from ordinary video.")
    def _options(
        version: Annotated[
            bool,
            typer.Option("--version", is_eager=True, callback=_version, help="Show the version."),
        ] = False,
    ) -> None:
        pass

    return app


def front_page() -> App:
    """An application that can only list the commands."""
    app = new_app()
    for commands in SECTIONS.values():
        for name, text in commands.items():
            app.command(name, help=text)(lambda: None)
    return app
