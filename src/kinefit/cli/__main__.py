"""`python -m kinefit.cli ...`, for machines whose PATH lacks the command."""

from kinefit.cli import main

main()
