"""Measured motion in the shape that a detector would give it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from kinefit.io.trc import read_trc
from kinefit.skeletons import skeleton
from kinefit.types import Markers, Subject, Timeline

OPENCAP = Path(__file__).parents[3].parent / "shared" / "data" / "opencap" / "Subject4"
CLIPS = ("walking1", "squats1", "STS1", "DJ1")


class Clip(NamedTuple):
    inputs: Markers  # as a detector names and places them
    truth: Markers  # the model's markers, under the augmenter's output names
    subject: Subject


@pytest.fixture(scope="session")
def clip():
    """name -> Clip, or a skip where the measured data is absent."""

    def load(name: str) -> Clip:
        path = OPENCAP / f"{name}_model_markers.trc"
        if not path.exists():
            pytest.skip("measured data (shared/data/opencap) is not beside the repository")
        truth = read_trc(path)
        # Mass from the scaled model; height from C7 at 1.463 m in static1 and the ANSUR II mean
        # ratio of cervicale height to stature, 0.86.
        return Clip(detector_like(truth), truth, Subject(1.70, 62.6))

    return load


def detector_like(truth: Markers) -> Markers:
    """21 points placed where detectors put them, from the model's markers.

    Knees, ankles, elbows, wrists: midway between the medial and lateral marker. Toes: their tips,
    18 % (big) and 15 % (small) of the foot ahead of the markers on the metatarsals. Shoulders:
    3 cm below the acromion. Hips: 2 cm above and 3 cm before the hip joint centres; found by
    minimising the augmenter's error, so what it was trained on.
    """
    at = {name.removesuffix("_study"): truth.xyz[:, i] for i, name in enumerate(truth.names)}
    across = _unit(at["RHJC"] - at["LHJC"])
    ahead = np.cross([0.0, 1.0, 0.0], across)
    points = {}
    for side, s in (("R", "r"), ("L", "L")):
        foot = at[f"{s}_toe"] - at[f"{s}_calc"]
        points[f"{side}Hip"] = at[f"{side}HJC"] + 0.03 * ahead + [0, 0.02, 0]
        points[f"{side}Knee"] = (at[f"{s}_knee"] + at[f"{s}_mknee"]) / 2
        points[f"{side}Ankle"] = (at[f"{s}_ankle"] + at[f"{s}_mankle"]) / 2
        points[f"{side}Heel"] = at[f"{s}_calc"]
        points[f"{side}SmallToe"] = at[f"{s}_5meta"] + 0.15 * foot
        points[f"{side}BigToe"] = at[f"{s}_calc"] + 1.18 * foot
        points[f"{side}Elbow"] = (at[f"{s}_lelbow"] + at[f"{s}_melbow"]) / 2
        points[f"{side}Wrist"] = (at[f"{s}_lwrist"] + at[f"{s}_mwrist"]) / 2
    hip = (points["RHip"] + points["LHip"]) / 2
    up = _unit((at["r_shoulder"] + at["L_shoulder"]) / 2 - hip)
    points["RShoulder"] = at["r_shoulder"] - 0.03 * up
    points["LShoulder"] = at["L_shoulder"] - 0.03 * up
    return Markers(truth.timeline, tuple(points), np.stack(list(points.values()), axis=1))


@pytest.fixture
def standing() -> Markers:
    """300 frames at 60 Hz of a figure of 1.75 m standing still, facing +x, all 22 markers."""
    half = {  # the right side: x forward, y up, z right, metres
        "Shoulder": (0.0, 1.43, 0.18),
        "Elbow": (0.0, 1.12, 0.24),
        "Wrist": (0.03, 0.87, 0.27),
        "Hip": (0.02, 0.95, 0.09),
        "Knee": (0.02, 0.50, 0.10),
        "Ankle": (-0.02, 0.09, 0.10),
        "Heel": (-0.07, 0.03, 0.10),
        "BigToe": (0.17, 0.02, 0.11),
        "SmallToe": (0.13, 0.02, 0.18),
    }
    at = {"R" + k: np.array(v) for k, v in half.items()}
    at |= {"L" + k: np.array(v) * [1, 1, -1] for k, v in half.items()}
    at["Hip"], at["Neck"] = at["RHip"] * [1, 1, 0], at["RShoulder"] * [1, 1, 0]
    at["Nose"], at["Head"] = np.array([0.1, 1.62, 0.0]), np.array([0.0, 1.62, 0.0])
    names = skeleton("markers22").points
    pose = np.array([at[n] for n in names])
    return Markers(Timeline.regular(300, 60.0), names, np.tile(pose, (300, 1, 1)))


def _unit(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True)
