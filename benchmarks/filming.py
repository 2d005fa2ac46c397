"""The picture of docs/filming.md, of rendered people: one good view, and two that are not.

python -m benchmarks.filming
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinefit.io.video import frames
from kinefit.synth.make import make_scenes
from kinefit.synth.scene_options import SynthOptions

TARGET = Path(__file__).parents[1] / "docs" / "images" / "filming.jpg"
_ANYWHERE = SynthOptions(
    seed=5, views=4, seconds=0.1, rate=10, width=270, height=360, children=0, elevation=60
)
_FAR = _ANYWHERE.model_copy(update={"views": 2, "distance": 4.0, "elevation": 0.0})


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        near, far = Path(folder) / "near", Path(folder) / "far"
        make_scenes(near, _ANYWHERE, processes=1)
        make_scenes(far, _FAR, processes=1)
        shown = (near / "cam01.mp4", near / "cam03.mp4", far / "cam01.mp4")
        row = np.hstack([first_picture(video) for video in shown])
    Image.fromarray(row).save(TARGET, quality=85)


def first_picture(video: Path) -> NDArray[np.uint8]:
    """(H, W, 3) RGB."""
    return np.asarray(next(frames(video)).rgb, dtype=np.uint8)


if __name__ == "__main__":
    main()
