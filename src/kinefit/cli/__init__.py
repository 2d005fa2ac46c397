"""The command line: `kinefit ...`."""

import io
import sys

from kinefit.cli.front_page import front_page


def main() -> None:
    """Entry point of the `kinefit` command."""
    for stream in (sys.stdout, sys.stderr):  # names of files need not be Unicode text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.argv[1:] in ([], ["--help"]):
        front_page()()
    from kinefit.cli.commands import app  # what the list of commands does not wait for

    app()
