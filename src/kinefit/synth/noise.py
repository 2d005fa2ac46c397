"""Noise that is the same everywhere: in space, of cloth and skin, and in pictures."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from kinefit.types import FloatArray

_SIDE = 32


@cache
def _lattice() -> NDArray[np.float32]:
    """(32, 32, 32) values 0..1 that repeat without a seam."""
    return np.random.default_rng(0).random((_SIDE, _SIDE, _SIDE)).astype(np.float32)


def smooth_noise(at: NDArray[np.floating]) -> FloatArray:
    """(N,) 0..1 at positions (N, 3), in units of the correlation length."""
    return np.asarray(map_coordinates(_lattice(), at.T, order=1, mode="grid-wrap"), np.float64)


def noise_picture(
    rng: np.random.Generator, size: tuple[int, int], coarsest: int
) -> NDArray[np.float32]:
    """(height, width) 0..1: octaves of noise, from `coarsest` cells across to pixels."""
    width, height = size
    total, weight = np.zeros((height, width), np.float32), 0.0
    cells, share = coarsest, 1.0
    while cells < width:
        grid = rng.random((max(2, cells * height // width), cells)).astype(np.float32)
        total += share * cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)
        weight += share
        cells, share = cells * 2, share * 0.6
    return np.asarray(np.clip(total / weight, 0, 1), np.float32)
