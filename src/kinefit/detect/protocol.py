"""What every source of landmarks offers, whether a network looks at the video or a file is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kinefit.io.video import Clip, Picture
from kinefit.types import FloatArray, PoseTrack


@dataclass(frozen=True, eq=False)
class FrameResult:
    """One frame with what was found in it, for drawing while the pixels are at hand.

    index, time, rgb: as in `kinefit.io.video.VideoFrame`; frames come in order.
    xy: (J, 2) pixels, NaN where nothing was found; pixel centres at integers.
    score: (J,) 0..1.
    mask: (height, width) 0..1, how sure each pixel shows the person; None unless asked for.
    """

    index: int
    time: float
    rgb: Picture | None
    xy: FloatArray
    score: FloatArray
    mask: NDArray[np.float32] | None


FrameSink = Callable[[FrameResult], None]
"""Called once per frame, in order, from one thread that is not the caller's."""

Progress = Callable[[int, int], None]
"""Called in the caller's thread with frames done and frames in all (0: unknown)."""


class Detector(Protocol):
    """A source of one person's points in a video.

    names: J point names as in `kinefit.skeletons`.
    source: name and version of what finds the points, for provenance.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def source(self) -> str: ...

    def track(
        self,
        clip: Clip,
        *,
        on_frame: FrameSink | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
    ) -> PoseTrack:
        """One person's points in every frame of `clip`, NaN where there are none.

        on_frame: gets every frame with its result.
        checkpoint: a folder where finished work is kept, so that a run killed at any time goes
            on from there when called again with the same clip and settings; the result has
            the same bytes as that of a run never interrupted. The caller removes the folder.
            Ignored by detectors without work worth keeping.

        Raises InputError when the video or another input cannot be used, and when nobody is
        found in any frame; whatever `on_frame` or `progress` raises ends the work and is raised
        here.
        """
        ...
