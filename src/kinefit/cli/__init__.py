"""The command line: `kinefit ...`."""

import io
import os
import sys
from collections.abc import Sequence

from kinefit.cli.front_page import front_page

_LISTED = ((), ("-h",), ("--help",), ("--version",))


def main() -> None:
    """Entry point of the `kinefit` command."""
    for stream in (sys.stdout, sys.stderr):  # names of files need not be Unicode text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        if _asks_for_the_list(sys.argv[1:]):
            front_page()(prog_name="kinefit")
        from kinefit.cli.commands import app  # what the list of commands does not wait for

        app(prog_name="kinefit")
    except KeyboardInterrupt:  # while the libraries are loaded
        sys.exit(130)


def _asks_for_the_list(words: Sequence[str]) -> bool:
    """Whether the commands' names are all that is needed: for the list, and to complete one."""
    if "_KINEFIT_COMPLETE" in os.environ:  # bash says it in the first, other shells in the second
        typed = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
        at = os.environ.get("COMP_CWORD") or len(typed.split()) + typed.endswith(" ") - 1
        return int(at) <= 1
    return tuple(words) in _LISTED
