"""Other programs on the same data: columns of the table, where they are installed.

They run in a process of their own: what they set, log or crash stays there. The head of the table
names a peer that fails, and its cells stay empty; it never stops the suite.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from multiprocessing import get_context
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.suite.known_subjects import NAMES
from benchmarks.suite.noise_levels import Detections
from benchmarks.suite.pose2sim import (
    POINTS,
    run_augmentation,
    run_kinematics,
    run_triangulation,
)
from kinefit.io.mot import MotTable
from kinefit.skeletons import map_points, skeleton
from kinefit.types import FloatArray, Markers, Subject, Timeline

POSE2SIM = "Pose2Sim"
_PACKAGES = {POSE2SIM: ("Pose2Sim", "pose2sim"), "OpenSim": ("opensim", "opensim")}


class Peers:
    """What other programs make of the same data; a context manager.

    wanted: False: none is asked, as if none were installed.
    """

    triangulation = augmentation = kinematics = POSE2SIM

    def __init__(self, wanted: bool = True) -> None:
        self.versions = {name: _version(*names, wanted) for name, names in _PACKAGES.items()}
        self._there = {name for name, names in _PACKAGES.items() if wanted and find_spec(names[0])}
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def triangulated(
        self, given: Detections, timeline: Timeline
    ) -> tuple[FloatArray | None, float | None]:
        """Points (T, 22, 3) in the world, and seconds."""
        both = np.concatenate([given.xy, given.score[..., None]], axis=-1)
        table = map_points(both, NAMES, skeleton("halpe26"))
        xy, score = table[..., :2], np.nan_to_num(table[..., 2])
        found = self._ask(POSE2SIM, run_triangulation, given.rig, xy, score, timeline.rate_hz)
        if found is None:
            return None, None
        took, xyz = found
        return xyz[:, [POINTS.index(name) for name in NAMES]], took

    def augmented(self, markers: Markers, subject: Subject) -> tuple[Markers | None, float | None]:
        """The 22 `markers` with 43 more, and seconds."""
        took, found = self._ask(POSE2SIM, run_augmentation, markers, subject) or (None, None)
        return found, took

    def moved(self, markers: Markers, subject: Subject) -> tuple[MotTable | None, float | None]:
        """The motion of a scaled model through all `markers`, and seconds."""
        if "OpenSim" not in self._there:
            return None, None
        took, found = self._ask(POSE2SIM, run_kinematics, markers, subject) or (None, None)
        return found, took

    def _ask(self, peer: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """What `work` returns in the peers' process; None where the peer is not there or fails."""
        if peer not in self._there:
            return None
        if self._pool is None:
            self._folder = TemporaryDirectory()
            self._pool = ProcessPoolExecutor(
                1, get_context("spawn"), _go_aside, (self._folder.name,)
            )
        try:
            return self._pool.submit(work, *arguments).result()
        except BrokenProcessPool:
            self._close()
            reason = "its process died"
        except Exception as error:  # whatever a foreign program raises
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
        self.versions[peer] += f"; {work.__name__.removeprefix('run_')} failed ({reason})"
        return None

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
            self._folder.cleanup()


def _version(module: str, package: str, wanted: bool) -> str:
    if not wanted:
        return "not asked"
    try:
        return version(package) if find_spec(module) else "not installed"
    except PackageNotFoundError:
        return "of unknown version"


def _go_aside(folder: str) -> None:
    """In the peers' process: nothing to the terminal, also from C++, and OpenSim's opensim.log,
    which it writes to the folder it is in, goes where it harms nobody."""
    os.chdir(folder)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
