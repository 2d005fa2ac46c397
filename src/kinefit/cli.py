"""The command line: `kinefit ...`."""

from __future__ import annotations

import typer

from kinefit import __version__

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Entry point of the `kinefit` command."""
    app()
