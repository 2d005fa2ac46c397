"""Rig poses over a clip: frame by frame with second tries, gaps bridged, spikes taken out, smoothed.

Each frame starts from its best camera; one that ends badly is tried again from the other cameras
and from the pose before it. What then is still no pose is bridged between good neighbours, by
turning, or is missing, with a reason. A frame that went wrong is nobody's past: temporal terms,
repair, smoothing and bridges look at good frames only.

What is written is judged by its own losses: where repair or smoothing would make a good frame a
bad one, the pose that the fit found is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from kinefit import __version__
from kinefit.fit.chain import Chain
from kinefit.fit.frame_fit import LOSSES, PREVIOUS, FrameFit
from kinefit.fit.frame_store import FrameStore, content_hash
from kinefit.fit.rig_targets import Reason
from kinefit.fit.rigfit import Found, Past, Placed, RigFit, best_cameras
from kinefit.fit.state import State
from kinefit.geometry import rotations as so3
from kinefit.io.atomic import write_json
from kinefit.motion.repair import (
    SpikeRule,
    bridge,
    repair_rotations,
    repair_vectors,
    slerp,
    smooth_rotations,
    smooth_vectors,
)
from kinefit.types import (
    BodyMotion,
    BoolArray,
    FloatArray,
    InputError,
    IntArray,
    InvalidData,
    Timeline,
)

_BLOCK = 64  # frames solved together where none depends on another
Status = Literal["good", "retried", "recovered", "unusable"]
Progress = Callable[[int, int], None]
