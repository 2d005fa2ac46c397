"""Angles, markers and a finished run to draw, with known values."""

import numpy as np
import pytest

from kinefit.types import JointAngles, Timeline

GROUPS = (
    "pelvis", "hip_r", "hip_l", "knee_r", "knee_l", "ankle_r", "ankle_l", "trunk",
    "shoulder_r", "shoulder_l", "elbow_r", "elbow_l",
)  # fmt: skip


@pytest.fixture(scope="session")
def angles() -> JointAngles:
    """All groups over 1.5 s at 60 Hz; the left knee has a gap, the shoulders come near gimbal."""
    timeline = Timeline.regular(90, 60.0)
    names = [f"{g}_{a}" for g in GROUPS for a in ("flex", "abd", "rot")]
    names += [f"shoulder_{s}_{a}" for s in "rl" for a in ("plane", "elev", "axial")]
    phase = np.arange(len(names))
    degrees = 10 + 25 * np.sin(2 * np.pi * timeline.time[:, None] + phase)
    sd = np.full_like(degrees, 2.0)
    gimbal = np.zeros(degrees.shape, bool)
    gimbal[40:50, [n.startswith("shoulder") and n.endswith("plane") for n in names]] = True
    gap = [n.startswith("knee_l") for n in names]
    degrees[30:40, gap] = np.nan
    sd[30:40, gap] = np.nan
    return JointAngles(timeline, tuple(names), degrees, gimbal, sd)
