"""What flows between the stages: immutable, validated at construction, units in the field docs.

A module is loaded when one of its names is asked for: errors and options need no numpy.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinefit.types.angles import JointAngles as JointAngles
    from kinefit.types.arrays import BoolArray as BoolArray
    from kinefit.types.arrays import FloatArray as FloatArray
    from kinefit.types.arrays import IntArray as IntArray
    from kinefit.types.arrays import all_finite as all_finite
    from kinefit.types.arrays import extent as extent
    from kinefit.types.arrays import true_runs as true_runs
    from kinefit.types.body import BodyMotion as BodyMotion
    from kinefit.types.camera import Camera as Camera
    from kinefit.types.camera import CameraRig as CameraRig
    from kinefit.types.errors import Cancelled as Cancelled
    from kinefit.types.errors import InputError as InputError
    from kinefit.types.errors import InvalidData as InvalidData
    from kinefit.types.errors import KinefitError as KinefitError
    from kinefit.types.errors import MissingDependency as MissingDependency
    from kinefit.types.errors import MissingMarkers as MissingMarkers
    from kinefit.types.errors import NobodyFound as NobodyFound
    from kinefit.types.errors import NoCommonTime as NoCommonTime
    from kinefit.types.errors import TooFewPoints as TooFewPoints
    from kinefit.types.finding import Finding as Finding
    from kinefit.types.finding import Level as Level
    from kinefit.types.keypoints import Keypoints2D as Keypoints2D
    from kinefit.types.keypoints import Keypoints3D as Keypoints3D
    from kinefit.types.keypoints import PoseTrack as PoseTrack
    from kinefit.types.markers import Markers as Markers
    from kinefit.types.masks import PersonMasks as PersonMasks
    from kinefit.types.observations import Observations as Observations
    from kinefit.types.subject import Subject as Subject
    from kinefit.types.timeline import Timeline as Timeline

_NAMES = {
    "angles": ("JointAngles",),
    "arrays": ("BoolArray", "FloatArray", "IntArray", "all_finite", "extent", "true_runs"),
    "body": ("BodyMotion",),
    "camera": ("Camera", "CameraRig"),
    "errors": ("Cancelled", "InputError", "InvalidData", "KinefitError", "MissingDependency",
               "MissingMarkers", "NobodyFound", "NoCommonTime", "TooFewPoints"),
    "finding": ("Finding", "Level"),
    "keypoints": ("Keypoints2D", "Keypoints3D", "PoseTrack"),
    "markers": ("Markers",),
    "masks": ("PersonMasks",),
    "observations": ("Observations",),
    "subject": ("Subject",),
    "timeline": ("Timeline",),
}  # fmt: skip
_MODULE = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_import_module(f"{__name__}.{_MODULE[name]}"), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE})
