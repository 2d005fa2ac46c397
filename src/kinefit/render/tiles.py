"""Videos of several cameras side by side in one: the layout, the pictures, and their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from kinefit.detect.overlap import ahead
from kinefit.io.video import Picture, VideoFrame, VideoWriter, frames
from kinefit.types import CameraRig, FloatArray, InvalidData

_LONG_SIDE = 1280  # pixels of the whole sheet
_QUALITY = 26  # as the single video's
_RIM, _WHITE = (0, 0, 0), (255, 255, 255)

# Draws in place on the pictures of one moment, one per camera; called with the moment's index.
Paint = Callable[[int, list[Picture]], None]


@dataclass(frozen=True, eq=False)
class Tiles:
    """Where on a sheet each camera of a rig is shown.

    columns: of the sheet; cameras go row by row. size: (width, height) of each camera's part, even
    numbers. All parts are of one size, whatever the cameras' own.
    """

    rig: CameraRig
    columns: int
    size: tuple[int, int]

    @classmethod
    def of(cls, rig: CameraRig) -> Tiles:
        """The layout whose sheet is nearest to 16:9."""
        width, height = (int(np.median([c.size[k] for c in rig])) for k in (0, 1))
        best = min(
            range(1, len(rig) + 1),
            key=lambda n: abs(np.log(n * width / (-(-len(rig) // n) * height * 16 / 9))),
        )
        scale = _LONG_SIDE / max(best * width, -(-len(rig) // best) * height)
        side = [2 * max(1, round(length * scale / 2)) for length in (width, height)]
        return cls(rig, best, (side[0], side[1]))

    @property
    def sheet_size(self) -> tuple[int, int]:
        """(width, height) pixels of all."""
        return self.columns * self.size[0], -(-len(self.rig) // self.columns) * self.size[1]

    def write(
        self,
        path: Path,
        videos: Sequence[Path],
        moments: FloatArray,
        paint: Paint,
        progress: Callable[[int, int], None],
    ) -> None:
        """Write one video that shows every camera, with its name and what `paint` draws.

        videos: C files in the order of the rig. moments: (C, T) seconds of each frame on each
        camera's own clock, from its first frame. progress: called with frames done and in all.
        A video that is over shows its last picture; a damaged frame is black.
        Raises InvalidData when these are not as many as the cameras, or there is no frame;
        InputError as `kinefit.io.video.frames` does.
        """
        if moments.ndim != 2 or not len(videos) == len(self.rig) == len(moments):
            raise InvalidData(
                f"{len(videos)} videos and moments {moments.shape} of {len(self.rig)} cameras."
            )
        with ExitStack() as stack:
            shown = [frames(video, size=self.size) for video in videos]
            streams = [stack.enter_context(ahead(stream)) for stream in shown]
            steps = [_at_moments(s, m) for s, m in zip(streams, moments, strict=True)]
            writer = stack.enter_context(
                VideoWriter(path, self.sheet_size, rate_hz=_rate(moments[0]), quality=_QUALITY)
            )
            for t, pictures in enumerate(zip(*steps, strict=True)):
                sheet = self._sheet(t, pictures, paint)
                writer.add(sheet, float(moments[0][t] - moments[0][0]))
                progress(t + 1, len(moments[0]))

    def _sheet(self, t: int, pictures: Sequence[Picture | None], paint: Paint) -> Picture:
        width, height = self.sheet_size
        sheet = np.zeros((height, width, 3), np.uint8)
        parts = [self._part(sheet, c) for c in range(len(self.rig))]
        for part, picture in zip(parts, pictures, strict=True):
            if picture is not None:
                part[:] = picture
        paint(t, parts)
        for part, camera in zip(parts, self.rig, strict=True):
            label(part, camera.name)
        return sheet

    def _part(self, sheet: Picture, c: int) -> Picture:
        row, column = divmod(c, self.columns)
        width, height = self.size
        y, x = row * height, column * width
        return sheet[y : y + height, x : x + width]


def label(
    picture: Picture, text: str, *, line: int = 1, color: tuple[int, int, int] = _WHITE
) -> None:
    """Write `text` in the upper left corner, or `line` - 1 lines below it, in place."""
    at, font = (8, 20 * line), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(picture, text, at, font, 0.5, _RIM, 3, cv2.LINE_AA)
    cv2.putText(picture, text, at, font, 0.5, color, 1, cv2.LINE_AA)


def _rate(moments: FloatArray) -> float:
    """Frames per second; of a single frame, which has none, a usual one."""
    return 1 / float(np.median(np.diff(moments))) if len(moments) > 1 else 30.0


def _at_moments(stream: Iterator[VideoFrame], moments: FloatArray) -> Iterator[Picture | None]:
    """The picture nearest to each moment (increasing), decoding each frame once."""
    last: VideoFrame | None = next(stream, None)
    start = last.time if last else 0.0
    following = next(stream, None)
    for moment in moments:
        while following is not None and last is not None:
            middle = (last.time + following.time) / 2 - start
            if moment < middle:
                break
            last, following = following, next(stream, None)
        yield last.rgb if last else None
