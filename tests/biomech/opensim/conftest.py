"""A person whose joint angles and segment sizes are known: markers computed from the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinefit.biomech.opensim.model import BodyModel
from kinefit.biomech.opensim.osim import load_opensim
from kinefit.biomech.opensim.sets import setup_folder
from kinefit.types import FloatArray, Markers, Timeline

FRAMES, RATE = 24, 30.0
# Relative to the generic model; by group, so that the fit can find them exactly.
SIZES = {
    "pelvis": (1.05, 1.05, 1.1),
    "sacrum": (1.05, 1.05, 1.1),
    "torso": (0.95, 0.95, 1.02),
    "head": (0.95, 0.95, 1.02),
    **{f"{b}_{s}": (1.08,) * 3 for b in ("femur",) for s in "rl"},
    **{f"{b}_{s}": (0.93,) * 3 for b in ("tibia",) for s in "rl"},
    **{f"{b}_{s}": (1.04,) * 3 for b in ("talus", "calcn", "toes") for s in "rl"},
    **{f"{b}_{s}": (0.97,) * 3 for b in ("humerus",) for s in "rl"},
    **{f"{b}_{s}": (1.02,) * 3 for b in ("ulna", "radius", "hand") for s in "rl"},
}


@dataclass(frozen=True)
class Person:
    """The scaled model, its true coordinates (T, C), and its markers (model's order)."""

    model: BodyModel
    q: FloatArray
    markers: Markers

    def only(self, *dropped: str) -> Markers:
        """The markers without those whose name contains one of `dropped`."""
        kept = [n for n in self.markers.names if not any(d in n for d in dropped)]
        return self.markers.select(kept)


def make_person(marker_file: str, sizes: dict[str, tuple[float, float, float]]) -> Person:
    folder = setup_folder()
    model = BodyModel(folder / "Model_Pose2Sim_simple.osim", folder / marker_file)
    if sizes:
        model.scale(sizes)
    q = motion(model)
    xyz = np.array([model.positions(pose) for pose in q])
    return Person(model, q, Markers(Timeline.regular(FRAMES, RATE, 3), model.markers, xyz))


def motion(model: BodyModel) -> FloatArray:
    """(T, C) smooth, with bent knees and elbows, everything inside its range."""
    rng = np.random.default_rng(7)
    t = np.linspace(0, 2 * np.pi, FRAMES)[:, None]
    swing = rng.uniform(0.05, 0.2, len(model.names)) * np.sin(
        t + rng.uniform(0, 6, len(model.names))
    )
    bent = {"knee_angle": 0.6, "elbow_flex": 0.9, "hip_flexion": 0.3, "arm_flex": 0.2}
    bias = [next((b for k, b in bent.items() if name.startswith(k)), 0.0) for name in model.names]
    # The shipped defaults are the far end of pronation's range, and arms held out to the sides,
    # where flexion and rotation of the shoulder turn about the same axis.
    bias = [
        b + 1.0 if n.startswith("arm_add") else b for b, n in zip(bias, model.names, strict=True)
    ]
    bias = [
        b - 0.4 if n.startswith("pro_sup") else b for b, n in zip(bias, model.names, strict=True)
    ]
    q = model.default + bias + swing
    still = [n.startswith(("mtp", "neck", "wrist")) for n in model.names]
    q[:, still] = model.default[still]
    return np.array([model.tie(pose) for pose in q])


def chain_model(path: Path, lower: str) -> Path:
    """Two bodies of three markers: one free in the world, and `lower` between the two.

    lower: a joint of OpenSim's, "pin" clamped to a full turn; "slide", where the coordinate counts
    double; "coupled": two angles of which the second follows the first, counted double; "curved
    coupler": the same on a spline; or a hinge that slides on a "spline",
    "quintic" or "sine".
    """
    osim = load_opensim()
    model = osim.Model()
    upper_body, lower_body = (
        osim.Body(name, 1.0, osim.Vec3(0), osim.Inertia(1)) for name in ("upper", "lower")
    )
    at, none = osim.Vec3(0, -0.4, 0), osim.Vec3(0)
    root = osim.FreeJoint("root", model.getGround(), none, none, upper_body, none, none)
    between = ("lower", upper_body, at, none, lower_body, none, none)
    bend = osim.LinearFunction(1.0, 0.0)
    wave, parabola = polynomial([0.2, -0.3, 0.0, 1.0, 0.1, 0.2]), polynomial([0.1, 0.0, 0.2])
    axes = {
        "slide": {3: ("slide", osim.LinearFunction(2.0, 0.0))},
        "coupled": {2: ("bend", bend), 0: ("follow", osim.LinearFunction(2.0, 0.0))},
        "spline": {2: ("bend", bend), 4: ("bend", curve(osim.SimmSpline()))},
        "quintic": {1: ("bend", wave), 3: ("bend", parabola)},
        "sine": {2: ("bend", bend), 3: ("bend", osim.Sine(0.1, 2.0, 0.5))},
    }
    axes["curved coupler"] = axes["coupled"]
    if lower in axes:
        transform = osim.SpatialTransform()
        for i, (name, function) in axes[lower].items():
            axis = transform.updTransformAxis(i)
            axis.setCoordinateNames(osim.ArrayStr(name, 1))
            axis.set_function(function)  # a copy
        joint = osim.CustomJoint(*between, transform)
    elif lower == "ellipsoid":
        joint = osim.EllipsoidJoint(*between, osim.Vec3(0.1, 0.2, 0.15))
    else:
        kinds = ("Ball", "Free", "Pin", "Gimbal", "Universal", "Planar", "Slider", "Weld")
        kind = {name.lower(): name for name in kinds}[lower]
        joint = getattr(osim, f"{kind}Joint")(*between)
    if lower == "pin":
        joint.updCoordinate().setRangeMin(-3.1416)
        joint.updCoordinate().setRangeMax(3.1416)
        joint.updCoordinate().setDefaultClamped(True)
    for body in (upper_body, lower_body):
        model.addBody(body)
    model.addJoint(root)
    model.addJoint(joint)
    if lower in ("coupled", "curved coupler"):
        coupler = osim.CoordinateCouplerConstraint()
        coupler.setIndependentCoordinateNames(osim.ArrayStr("bend", 1))
        coupler.setDependentCoordinateName("follow")
        straight = osim.LinearFunction(0.5, 0.1)
        coupler.setFunction(straight if lower == "coupled" else curve(osim.SimmSpline()))
        model.addConstraint(coupler)
    for body in (upper_body, lower_body):
        for i, place in enumerate(((0.1, 0.0, 0.0), (0.0, -0.2, 0.1), (0.0, 0.1, 0.2))):
            model.addMarker(osim.Marker(f"{body.getName()}{i}", body, osim.Vec3(*place)))
    model.finalizeConnections()
    assert model.printToXML(str(path))
    return path


def curve(spline: Any) -> Any:
    """The spline with five points."""
    for x, y in ((-2.0, 0.1), (-0.5, 0.0), (0.2, 0.15), (1.0, 0.2), (2.0, -0.1)):
        spline.addPoint(x, y)
    return spline


def polynomial(coefficients: list[float]) -> Any:
    osim = load_opensim()
    return osim.PolynomialFunction(osim.Vector.createFromMat(np.array(coefficients)))


@pytest.fixture(scope="session")
def augmented() -> Person:
    """With the augmenter's 43 markers and more, of known sizes."""
    return make_person("Markers_LSTM.xml", SIZES)


@pytest.fixture(scope="session")
def keypoints() -> Person:
    """With Halpe-26 keypoints, of the generic model's size."""
    return make_person("Markers_Halpe26.xml", {})


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
