"""What every source of landmarks offers, whether a network looks at the video or a file is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from kinefit.io.people import People
from kinefit.io.video import Clip

Progress = Callable[[int, int], None]
"""Called in the caller's thread with frames done and frames in all (0: unknown)."""


class Detector(Protocol):
    """A source of the points of everybody in a video.

    Who is who comes out of the whole video (`kinefit.tracking.image_people`), with several cameras
    of all of them together (`kinefit.tracking.identity`).

    names: J point names as in `kinefit.skeletons`.
    source: name and version of what finds the points, for provenance.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def source(self) -> str: ...

    def people(
        self, clip: Clip, *, progress: Progress | None = None, checkpoint: Path | None = None
    ) -> People:
        """Everybody in the frames of `clip`; frame numbers are the video's.

        checkpoint: a folder where finished work is kept, so that a run killed at any time goes
            on from there when called again with the same clip and settings; the result has
            the same bytes as that of a run never interrupted. The caller removes the folder.
            Ignored by detectors without work worth keeping.

        Raises InputError when the video or another input cannot be used, and when nobody is
        found in any frame; whatever `progress` raises ends the work and is raised here.
        """
        ...
