"""Hair that hangs below the chin: told from clothes and skin by colour and texture.

Above the chin, hair is what the person's mask has there. Below, pixels are compared with those of
which the class is known from the pose: hair beside and above the face, skin of face and hands,
clothes of trunk and arms. Each class is a histogram of the CIE L*a*b* colour and of the local
contrast; the classes' own pixels, classified in the same way, say whether they can be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from kinefit.io.video import Picture
from kinefit.types import BoolArray, FloatArray, IntArray

Class = Literal["hair", "skin", "clothes"]
_BINS = (8, 16, 16, 3)  # lightness, a*, b*, contrast
_AB_STEP = 6  # of OpenCV's 8-bit a* and b*, of which pictures use the middle half
_CONTRAST = (4.0, 10.0)  # SD of lightness in 3 x 3 pixels, 8 bit: smooth, hair or knit, patterns
_FORGET = 0.9  # of what was learned, from frame to frame: light changes as people walk
_FEWEST = 30  # pixels of a class, for one to be learned from
_WITHOUT_SKIN = (
    0.9  # the same, where no skin was seen: patterns of clothes may have been missed, too
)
_TOLD_APART = 0.6  # share of known hair that is recognised, less that of others taken for hair


def features(rgb: Picture) -> IntArray:
    """(H, W) the histogram's bin of each pixel."""
    lab = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), np.int64)
    light = lab[..., 0].astype(np.float32)
    mean, square = (cv2.blur(part, (3, 3)) for part in (light, light * light))
    contrast = np.sqrt(np.maximum(square - mean * mean, 0))
    a, b = (np.clip((lab[..., i] - 128) // _AB_STEP + 8, 0, 15) for i in (1, 2))
    bins = lab[..., 0] // 32, a, b, np.searchsorted(_CONTRAST, contrast)
    return np.asarray(np.ravel_multi_index(bins, _BINS))


@dataclass
class HairColours:
    """What hair, skin and clothes of one person look like, learned over frames."""

    counts: dict[Class, FloatArray] = field(default_factory=dict)

    def learn(self, samples: dict[Class, IntArray]) -> None:
        """samples: the features of pixels (N,) of each class, in the next frame."""
        for name, bins in samples.items():
            if len(bins) >= _FEWEST:
                new = np.bincount(bins, minlength=int(np.prod(_BINS))).astype(np.float64)
                before = self.counts.get(name)
                self.counts[name] = new if before is None else _FORGET * before + new

    @property
    def known(self) -> bool:
        return {"hair", "clothes"} <= self.counts.keys()

    def told_apart(self, others: Sequence[Class]) -> tuple[FloatArray, float]:
        """(bins,) how much more probable hair is than the likeliest of others, log; and the share
        of known hair that this calls hair, less that of the others."""
        densities = [_density(self.counts[name]) for name in others]
        ratio = np.log(_density(self.counts["hair"]) / np.max(densities, axis=0))
        called = {n: self.counts[n][ratio > 0].sum() / self.counts[n].sum() for n in self.counts}
        return ratio, float(max(called["hair"] - max(called[n] for n in others), 0.0))


def _density(counts: FloatArray) -> FloatArray:
    smooth = gaussian_filter(counts.reshape(_BINS), (0.7, 0.7, 0.7, 0.5), mode="nearest").ravel()
    # A hundredth is anything: colours that no class has shown decide nothing.
    return np.asarray(0.99 * smooth / max(smooth.sum(), 1e-9) + 0.01 / len(smooth))


def hanging_hair(
    bins: IntArray, colours: HairColours, head: BoolArray, where: BoolArray, neck: BoolArray
) -> tuple[BoolArray, float, str]:
    """Hair that continues the head into `where`, confidence, and why there is none.

    bins: (H, W) of `features`. head: (H, W) the head above the chin. where: (H, W) pixels of the
    person in reach of it. neck: (H, W) those of them that are no clothes, most probably: there a
    hood of the clothes' colour need only be told from skin.
    """
    if not colours.known:
        return np.zeros_like(head), 0.0, "the colour of the hair is not known"
    others: list[Class] = [name for name in colours.counts if name != "hair"]
    ratio, apart = colours.told_apart(others)
    why = ""
    if apart < (_TOLD_APART if "skin" in others else _WITHOUT_SKIN):
        if "skin" not in others:
            return np.zeros_like(head), 0.0, "hair and clothes look alike"
        ratio, apart = colours.told_apart(["skin"])
        if apart < _TOLD_APART:
            return np.zeros_like(head), 0.0, "hair and skin look alike"
        where, why = where & neck, "hair and clothes look alike"
    # The mean over neighbours: one pixel says little, and hair is not thinner than a few.
    evidence = cv2.GaussianBlur(ratio[bins].astype(np.float32), (0, 0), 1.2)
    grown = connected(where & (evidence > 0), head)
    return grown, apart, why


def looks_like_skin(bins: IntArray, colours: HairColours) -> BoolArray:
    """(H, W) pixels that are skin rather than hair; none if the two look alike."""
    if not {"hair", "skin"} <= colours.counts.keys():
        return np.zeros(bins.shape, bool)
    ratio, apart = colours.told_apart(["skin"])
    if apart < _TOLD_APART:
        return np.zeros(bins.shape, bool)
    return np.asarray(cv2.GaussianBlur(ratio[bins].astype(np.float32), (0, 0), 1.2) < 0)


def connected(candidates: BoolArray, seed: BoolArray) -> BoolArray:
    """The candidates that are connected to the seed through each other."""
    both = (candidates | seed).astype(np.uint8)
    count, labels = cv2.connectedComponents(both, connectivity=4)
    touched = np.zeros(count, bool)
    touched[labels[seed]] = True
    touched[0] = False
    return np.asarray(touched[labels] & candidates)
