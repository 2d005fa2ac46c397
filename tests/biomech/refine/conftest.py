"""A person who walks and squats: markers on a body, and their joint angles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from kinefit.biomech.angles import joint_angles
from kinefit.body.anny import load_anny
from kinefit.pipeline.config import checked
from kinefit.skeletons import map_points, skeleton
from kinefit.synth.body_points import body_points
from kinefit.synth.motion_library import motion_library
from kinefit.synth.scene import moving_person
from kinefit.synth.scene_options import PairOptions
from kinefit.types import JointAngles, Markers, Timeline

RATE_HZ = 60.0


@dataclass(frozen=True)
class Person:
    markers: Markers
    angles: JointAngles


def person(clip: str, seed: int = 0, seconds: float = 3.0) -> Person:
    """The 22 keypoints and 43 markers of a motion, 60 Hz."""
    body = load_anny()
    options = checked(PairOptions, {"clip": clip, "seconds": seconds, "children": 0, "mix": False})
    rng = np.random.default_rng(seed)
    shape, moving = moving_person(rng, options, body, motion_library(None))
    timeline = Timeline.regular(int(seconds * RATE_HZ), RATE_HZ)
    points = body_points(body)
    keypoints, laboratory = points.at(*moving.at(timeline.time), shape)
    initial = skeleton("markers22")
    names = (*initial.points, *points.markers)
    xyz = np.concatenate([map_points(keypoints, points.keypoints, initial), laboratory], axis=1)
    markers = Markers(timeline, names, xyz)
    return Person(markers, joint_angles(markers))


@pytest.fixture(scope="session")
def walker() -> Person:
    return person("walk")


@pytest.fixture(scope="session")
def squatter() -> Person:
    return person("squat")
