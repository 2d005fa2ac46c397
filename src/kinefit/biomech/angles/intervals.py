"""Stated deviations of angles and markers, calibrated on synthetic scenes so that they hold."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

import numpy as np

from kinefit.types import FloatArray, JointAngles, Markers

Setup = Literal["one", "lifted", "other", "two", "more"]

# What markers are called in the table: keypoints are the body's, the others stand for laboratory
# markers, whose places on the skin are a convention that no picture shows.
KEYPOINTS, LABORATORY = "keypoints", "laboratory"


class Interval(NamedTuple):
    """sd^2 = (factor spread)^2 + constant^2, degrees or metres."""

    factor: float
    constant: float


def setup_of(cameras: int, source: str | None = None) -> Setup:
    """The rows of the table for so many cameras. source: what else errors depend on, the network
    for depth of one camera or what a fit has unusual; the table knows those of "ensemble"."""
    if source is None:
        few: dict[int, Setup] = {1: "one", 2: "two"}
        return few.get(cameras, "more")
    return "lifted" if cameras == 1 and source == "ensemble" else "other"


def kind_of(angle: str) -> str:
    """What an angle is called without its side: "knee_r_flex" and "knee_l_flex" are "knee_flex"."""
    return "_".join(part for part in angle.split("_") if part not in ("r", "l"))


def calibrated_sd(setup: str, kind: str, spread: FloatArray) -> FloatArray | None:
    """One standard deviation from the spread over probable bodies, in its unit; None for a kind
    whose intervals did not hold on the scenes that were not used to calibrate them."""
    interval = _table().get(f"{setup} {kind}")
    if interval is None:
        return None
    return np.hypot(interval.factor * spread, interval.constant)


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


def with_deviations(
    angles: JointAngles, spread: Mapping[str, FloatArray], cameras: int, source: str | None
) -> JointAngles:
    """With the deviations that are stated of that `spread`, degrees; see `setup_of`."""
    setup = setup_of(cameras, source)
    return replace(angles, sd=deviations(angles.names, len(angles.timeline), setup, spread))


def marker_deviations(markers: Markers, setup: Setup) -> FloatArray | None:
    """(T, M, 3) metres from the spread `markers.sd`, NaN for those without; None without any.

    With one camera they are of the place relative to the mid-hip: how far away the person is
    depends on a focal length that is mostly assumed.
    """
    if markers.sd is None:
        return None
    own = np.array([name.endswith("_study") for name in markers.names])
    sd = np.full(markers.sd.shape, np.nan)
    for kind, some in ((KEYPOINTS, ~own), (LABORATORY, own)):
        found = calibrated_sd(setup, kind, markers.sd[:, some])
        if found is not None:
            sd[:, some] = found
    return sd if np.isfinite(sd).any() else None


@cache
def _table() -> dict[str, Interval]:
    text = (files("kinefit.biomech.angles") / "intervals.toml").read_text("utf-8")
    return {name: Interval(*pair) for name, pair in tomllib.loads(text)["interval"].items()}
