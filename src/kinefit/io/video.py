"""Video files: exact times, upright pictures, damage reported and survived."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from kinefit.io.atomic import atomic_path
from kinefit.types import InputError, InvalidData

Picture = NDArray[np.uint8]

# Ticks per second of written files: the MPEG clock, which holds 24, 25, 30, 50, 60, 100, 120 Hz
# and 30000/1001 Hz exactly and any other time to 6 microseconds.
CLOCK_HZ = 90_000

# x264 writes the same bytes for the same number of threads, not for the same number of cores.
_ENCODER_THREADS = 4


class VideoWriter:
    """An H.264 file in which every frame keeps its own time.

    Use as a context manager: the file appears under `path` when the block ends, and not at all
    if it ends with an error. Equal input gives equal bytes, whatever the machine's core count.
    4:2:0 chroma needs even sides: an odd picture repeats its last column or row once.

    path: the file to write; its suffix chooses the container (.mp4, .mkv, .mov).
    size: (width, height) pixels of every frame.
    rate_hz: the nominal rate, a hint for the encoder's rate control; the times decide.
    quality: x264's constant rate factor; lower is better, 18 looks lossless, 23 is its default.
    """

    def __init__(
        self, path: str | Path, size: tuple[int, int], *, rate_hz: float = 30.0, quality: int = 23
    ) -> None:
        self.path, self.size = Path(path), size
        self._last_tick: int | None = None
        options = {"movflags": "+faststart", "fflags": "+bitexact"}  # no dates, no versions
        with ExitStack() as guard:
            temporary = guard.enter_context(atomic_path(self.path))
            try:
                self._file = av.open(str(temporary), "w", options=options)
            except ValueError as error:
                raise InputError(
                    path, "no video container goes by this suffix", "name the file .mp4 or .mkv"
                ) from error
            self._stream = self._add_stream(rate_hz, quality)
            self._cleanup = guard.pop_all()

    def _add_stream(self, rate_hz: float, quality: int) -> Any:
        rate = Fraction(rate_hz).limit_denominator(1001)
        stream = self._file.add_stream("libx264", rate=rate)
        stream.width, stream.height = (n + n % 2 for n in self.size)
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, CLOCK_HZ)
        # Said in the file, or players guess by the size of the picture.
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_range = ColorRange.MPEG
        stream.codec_context.thread_count = _ENCODER_THREADS
        stream.options = {"preset": "veryfast", "crf": str(quality), "bf": "0"}
        return stream

    def add(self, rgb: Picture, time: float) -> None:
        """Append one frame: `rgb` (height, width, 3) uint8, shown from `time` (seconds) on.

        Raises InvalidData for another shape, or a time that does not come after the last one.
        """
        width, height = self.size
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            raise InvalidData(
                f"{self.path}: a frame is {rgb.shape} {rgb.dtype}, "
                f"expected {(height, width, 3)} uint8."
            )
        tick = round(time * CLOCK_HZ)
        if self._last_tick is not None and tick <= self._last_tick:
            raise InvalidData(f"{self.path}: frame time {time:.6f} s does not increase.")
        self._last_tick = tick
        even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        frame.pts, frame.time_base = tick, Fraction(1, CLOCK_HZ)
        self._file.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file; raises InvalidData (and leaves no file) when no frame was added."""
        with self._cleanup:
            if self._last_tick is None:
                self._file.close()
                raise InvalidData(f"{self.path}: a video needs at least one frame.")
            self._file.mux(self._stream.encode())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._file.close()
            self._cleanup.__exit__(kind, error, trace)
