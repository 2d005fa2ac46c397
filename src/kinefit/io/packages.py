"""Data files that come inside other installed packages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from kinefit.types import MissingDependency


def pose2sim_folder(purpose: str) -> Path:
    """The folder of the installed package Pose2Sim, read as data: importing it takes seconds.

    Raises MissingDependency, saying what `purpose` it is needed for.
    """
    spec = find_spec("Pose2Sim")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependency("pose2sim", purpose, "augment")
    return Path(spec.submodule_search_locations[0])
