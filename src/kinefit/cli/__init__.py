"""The command line: `kinefit ...`."""

import sys

from kinefit.cli.front_page import front_page


def main() -> None:
    """Entry point of the `kinefit` command."""
    if sys.argv[1:] in ([], ["--help"]):
        front_page()()
    from kinefit.cli.commands import app  # what the list of commands does not wait for

    app()
