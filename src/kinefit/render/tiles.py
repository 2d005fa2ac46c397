"""Videos of one camera or several side by side in one: layout, pictures and captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.detect.overlap import ahead
from kinefit.io.video import Clip, Picture, VideoWriter
from kinefit.types import CameraRig, FloatArray, InvalidData, Timeline

_LONG_SIDE_ONE, _LONG_SIDE = 960, 1280  # pixels of the whole sheet, of one camera and of several
_QUALITY = 26  # x264 rate factor: half the size of its default, no visible loss at this size
_LEAST_HZ = 24.0  # cinema's rate: nobody sees more in a film, and it costs time and megabytes
_WHITE = (255, 255, 255)

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
        longest = _LONG_SIDE_ONE if len(rig) == 1 else _LONG_SIDE
        scale = longest / max(best * width, -(-len(rig) // best) * height)
        side = [2 * max(1, round(length * scale / 2)) for length in (width, height)]
        return cls(rig, best, (side[0], side[1]))

    @property
    def sheet_size(self) -> tuple[int, int]:
        """(width, height) pixels of all."""
        return self.columns * self.size[0], -(-len(self.rig) // self.columns) * self.size[1]

    def write(
        self,
        path: Path,
        clips: Sequence[Clip],
        moments: FloatArray,
        timeline: Timeline,
        paint: Paint,
        progress: Callable[[int, int], None],
    ) -> None:
        """Write one video that shows every camera, with its name beside others, the moment,
        and what `paint` draws.

        It plays as fast as the recording (`playing_slowmo`); captions state true seconds.
        clips: C, in the order of the rig. moments: (C, T) true seconds of each frame since the
        first frame of each camera's video. timeline: T frames, as captions call them.
        progress: called with frames done and in all.
        A video that is over shows its last picture; a damaged frame is black.
        Raises InvalidData when these are not as many as the cameras, or there is no frame;
        InputError as `kinefit.io.video.Clip.pictures_at` does.
        """
        if moments.ndim != 2 or not len(clips) == len(self.rig) == len(moments):
            given = f"{len(clips)} videos and moments {moments.shape}"
            raise InvalidData(f"{given} of {len(self.rig)} cameras.")
        slowmo = playing_slowmo(clips)
        rate = timeline.rate_hz / slowmo if len(timeline) > 1 else _LEAST_HZ
        with ExitStack() as stack:
            streams = [
                stack.enter_context(ahead(clip.pictures_at(own, self.size)))
                for clip, own in zip(clips, moments, strict=True)
            ]
            writer = stack.enter_context(
                VideoWriter(path, self.sheet_size, rate_hz=rate, quality=_QUALITY)
            )
            for t, pictures in enumerate(zip(*streams, strict=True)):
                sheet = self._sheet(t, pictures, paint)
                label(sheet, f"frame {timeline.frame[t]}   {timeline.time[t]:.2f} s", line=-1)
                writer.add(sheet, slowmo * float(timeline.time[t] - timeline.time[0]))
                progress(t + 1, len(timeline))

    def _sheet(self, t: int, pictures: Sequence[Picture | None], paint: Paint) -> Picture:
        width, height = self.sheet_size
        sheet = np.zeros((height, width, 3), np.uint8)
        w, h = self.size
        places = [divmod(c, self.columns) for c in range(len(self.rig))]
        parts = [sheet[y * h : (y + 1) * h, x * w : (x + 1) * w] for y, x in places]
        for part, picture in zip(parts, pictures, strict=True):
            if picture is not None:
                part[:] = picture
        paint(t, parts)
        for part, camera in zip(parts, self.rig, strict=True):
            if len(self.rig) > 1:
                label(part, camera.name)
        return sheet


def playing_slowmo(clips: Sequence[Clip]) -> float:
    """How many times slower than life a film of these recordings plays: as the recordings do.

    Who films in slow motion wants to see it so. Of cameras that differ, as the fastest plays.
    """
    return min(clip.slowmo for clip in clips)


def film_frames(timeline: Timeline, slowmo: float = 1.0) -> slice:
    """Which of T frames are worth showing in a film that plays `slowmo` times slower than life: at
    48 Hz and more every second, or fewer, so that at least 24 remain in a second.
    """
    shown_hz = timeline.rate_hz / slowmo if len(timeline) > 1 else _LEAST_HZ
    return slice(None, None, max(1, int(shown_hz / _LEAST_HZ)))


def label(
    picture: Picture, text: str, *, line: int = 1, color: tuple[int, int, int] = _WHITE
) -> None:
    """Write `text` on a dark rim in place: in the upper left corner, or `line` - 1 lines below it;
    -1 is the lowest line.
    """
    word, rim = _stencil(text)
    y = 20 * (line - 1) + 4 if line > 0 else picture.shape[0] - word.shape[0] - 4
    part = picture[max(y, 0) : y + word.shape[0], 6 : 6 + word.shape[1]]
    cut = np.s_[: part.shape[0], : part.shape[1]]
    part[:] = part * (1 - rim[cut]) * (1 - word[cut]) + np.array(color) * word[cut]


@lru_cache(maxsize=256)
def _stencil(text: str) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """(h, w, 1) shares of each pixel that letters cover, and letters with their rim.

    The rim grows from the letters: OpenCV 5 sets thicker strokes wider apart, so that letters
    drawn twice, thick and thin, lie beside each other.
    """
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.5
    (width, height), below = cv2.getTextSize(text, font, size, 1)
    canvas = np.zeros((height + below + 8, width + 8), np.uint8)
    cv2.putText(canvas, text, (3, height + 3), font, size, 255, 1, cv2.LINE_AA)
    rim = cv2.dilate(canvas, np.ones((3, 3), np.uint8))
    word, around = (np.asarray(image, np.float32)[..., None] / 255 for image in (canvas, rim))
    return word, around
