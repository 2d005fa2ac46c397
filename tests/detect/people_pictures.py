"""Pictures of the demo's person, put where a test wants them: real people, known places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from kinefit.detect.blazepose import LandmarkNetwork, PersonNetwork, region
from kinefit.io.video import Picture, VideoFrame, frames
from kinefit.types import FloatArray

GREY = 110


class Cutout:
    """The subject of a demo frame, cut out by the network's mask: pasted on anything."""

    def __init__(self, picture: Picture) -> None:
        place = PersonNetwork()(picture)[1][0]
        mask = LandmarkNetwork(masks=True)(picture, place).mask
        height, width = picture.shape[:2]
        whole = cv2.warpAffine(mask, region(place), (width, height))
        rows, columns = (np.flatnonzero((whole > 0.5).any(axis=a)) for a in (1, 0))
        part = (slice(rows[0] - 4, rows[-1] + 5), slice(max(columns[0] - 4, 0), columns[-1] + 5))
        self.rgb, self.share = picture[part], np.clip(whole[part], 0, 1)

    def on(
        self, picture: Picture, x: float, y: float, height: float, mirrored: bool = False
    ) -> FloatArray:
        """Paste the person, that many pixels high, with the middle at (x, y); the middle."""
        scale = height / len(self.rgb)
        size = (round(self.rgb.shape[1] * scale), round(height))
        flip = slice(None, None, -1 if mirrored else 1)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        rgb = cv2.resize(self.rgb[:, flip], size, interpolation=how)
        share = cv2.resize(self.share[:, flip], size, interpolation=how)[..., None]
        left, top = round(x - size[0] / 2), round(y - size[1] / 2)
        to = (slice(max(top, 0), top + size[1]), slice(max(left, 0), left + size[0]))
        area = picture[to]
        cut = (slice(max(-top, 0), max(-top, 0) + len(area)),
               slice(max(-left, 0), max(-left, 0) + area.shape[1]))  # fmt: skip
        if area.size:
            picture[to] = share[cut] * rgb[cut] + (1 - share[cut]) * area
        return np.array([x, y])


def plain(width: int, height: int) -> Picture:
    """A wall with a little noise, as sensors have it."""
    noise = np.random.default_rng(0).normal(0, 3, (height, width, 1))
    return np.clip(GREY + np.repeat(noise, 3, axis=2), 0, 255).astype(np.uint8)


def film(pictures: Sequence[Picture | None], rate_hz: float) -> list[VideoFrame]:
    return [VideoFrame(i, i / rate_hz, picture) for i, picture in enumerate(pictures)]


def encode(path: Path, pictures: Sequence[Picture], rate: int, group: int) -> Path:
    """A video that can go on after damage: a key frame begins every `group` frames."""
    height, width = pictures[0].shape[:2]
    options = {"g": str(group), "bf": "0", "sc_threshold": "0", "crf": "18"}
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


def pictures_of(path: Path, count: int) -> list[Picture]:
    found = []
    for frame in frames(path):
        if frame.index == count:
            break
        assert frame.rgb is not None
        found.append(frame.rgb)
    return found
