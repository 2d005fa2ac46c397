"""The person mask as a video."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from kinefit.detect.protocol import FrameResult
from kinefit.io.video import VideoInfo, VideoWriter

_QUALITY = 10  # x264 rate factor: the grey levels stay within a few steps of the mask's


class MaskWriter:
    """Writes the person mask of every frame at full size: a `FrameSink`.

    White is person, black is not, grey in between as sure as the detector is; a frame without a
    mask (nobody found, or damaged) is black. Use as a context manager.
    """

    def __init__(self, path: Path, info: VideoInfo, names: tuple[str, ...]) -> None:
        width, height = info.size
        self._black = np.zeros((height, width), np.float32)
        rate = info.rate_hz if np.isfinite(info.rate_hz) else 30.0
        self._video = VideoWriter(path, info.size, rate_hz=rate, quality=_QUALITY)

    def __call__(self, frame: FrameResult) -> None:
        """Write one frame; called in order."""
        mask = self._black if frame.mask is None else frame.mask
        grey = np.round(255 * np.clip(mask, 0, 1)).astype(np.uint8)
        self._video.add(np.repeat(grey[..., None], 3, axis=-1), frame.time)

    def __enter__(self) -> Self:
        self._video.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._video.__exit__(kind, error, trace)
