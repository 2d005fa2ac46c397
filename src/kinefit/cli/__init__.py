"""The command line: `kinefit ...`."""

from kinefit.cli.commands import main as main
