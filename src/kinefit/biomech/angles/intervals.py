"""Stated deviations of joint angles, calibrated on synthetic scenes so that they hold."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

import numpy as np

from kinefit.types import FloatArray

Setup = Literal["one", "two", "more"]


class Interval(NamedTuple):
    """sd^2 = (factor spread)^2 + constant^2, degrees."""

    factor: float
    constant_deg: float


def setup_of(cameras: int) -> Setup:
    """The row of the table for so many cameras."""
    return "one" if cameras == 1 else "two" if cameras == 2 else "more"


def kind_of(angle: str) -> str:
    """What an angle is called without its side: "knee_r_flex" and "knee_l_flex" are "knee_flex"."""
    return "_".join(part for part in angle.split("_") if part not in ("r", "l"))


def calibrated_sd(setup: str, kind: str, spread: FloatArray) -> FloatArray | None:
    """One standard deviation, degrees, from the spread over probable bodies; None for a kind of
    angle whose intervals did not hold on the scenes that were not used to calibrate them."""
    interval = _table().get(f"{setup} {kind}")
    if interval is None:
        return None
    return np.hypot(interval.factor * spread, interval.constant_deg)


def deviations(
    names: tuple[str, ...], frames: int, setup: Setup, spread: Mapping[str, FloatArray]
) -> FloatArray | None:
    """(T, A) degrees of the angles `names`, NaN for those without; None where none has any."""
    sd = np.full((frames, len(names)), np.nan)
    for i, name in enumerate(names):
        found = None if name not in spread else calibrated_sd(setup, kind_of(name), spread[name])
        if found is not None:
            sd[:, i] = found
    return sd if np.isfinite(sd).any() else None


@cache
def _table() -> dict[str, Interval]:
    text = (files("kinefit.biomech.angles") / "intervals.toml").read_text("utf-8")
    return {name: Interval(*pair) for name, pair in tomllib.loads(text)["interval"].items()}
