"""The joints of an OpenSim model as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kinefit.biomech.opensim.functions import pieces, straight_line
from kinefit.biomech.opensim.kinematics import Axes, Linkage
from kinefit.biomech.opensim.osim import items, load_opensim, placed
from kinefit.types import FloatArray

# Of joints that are no CustomJoint, the axes that their coordinates in turn move along or about.
_KINDS = {
    "WeldJoint": "",
    "PinJoint": "Z",
    "UniversalJoint": "XY",
    "GimbalJoint": "XYZ",
    "BallJoint": "XYZ",
    "SliderJoint": "x",
    "PlanarJoint": "Zxy",
    "FreeJoint": "XYZxyz",
}
_UNIT = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}

_Motions = dict[int, tuple[Any, str, Any]]  # place among six -> axis, coordinate, function or None


def read_linkage(osim: Any, names: Sequence[str], bodies: Sequence[str]) -> Linkage | None:
    """The kinematics of a model (OpenSim's object) of coordinates `names`; None where a joint or a
    function in it is of a kind that is not known here, or bodies are no tree."""
    joints = _in_order(list(items(osim.getJointSet())))
    motions = [_motions(joint) for joint in joints or ()]
    known = [m for m in motions if m is not None]
    if joints is None or len(known) != len(motions):
        return None
    axes = _axes(known, names)
    if axes is None:
        return None
    number = {"ground": 0, **{_base(j.getChildFrame()): i for i, j in enumerate(joints, 1)}}
    markers = list(items(osim.getMarkerSet()))
    marked = [_base(marker.getParentFrame()) for marker in markers]
    if not number.keys() >= {*marked, *bodies}:
        return None
    return Linkage(
        axes=axes,
        custom=np.array([joint.getConcreteClassName() not in _KINDS for joint in joints]),
        parent=np.array([number[_base(joint.getParentFrame())] for joint in joints]),
        in_parent=np.array([_in_base(joint.getParentFrame()) for joint in joints]),
        in_child=np.array([_in_base(joint.getChildFrame()) for joint in joints]),
        marker_body=np.array([number[body] for body in marked]),
        marker_place=np.array([_station(marker) for marker in markers]),
        bodies=np.array([number[body] for body in bodies]),
    )


def _in_order(joints: list[Any]) -> list[Any] | None:
    """Joints after those of their parents; None where that is no tree."""
    known, ordered = {"ground"}, []
    while joints:
        ready = [joint for joint in joints if _base(joint.getParentFrame()) in known]
        bodies = [_base(joint.getChildFrame()) for joint in ready]
        if not ready or known.intersection(bodies) or len(set(bodies)) < len(bodies):
            return None
        known.update(bodies)
        ordered += ready
        joints = [joint for joint in joints if joint not in ready]
    return ordered


def _motions(joint: Any) -> _Motions | None:
    """Where a joint moves: three turns, then three translations."""
    custom = load_opensim().CustomJoint.safeDownCast(joint)
    if custom is not None:
        return _custom(custom)
    letters = _KINDS.get(joint.getConcreteClassName())
    if letters is None:
        return None
    names = [joint.get_coordinates(i).getName() for i in range(joint.numCoordinates())]
    turns = iter(range(3))
    return {
        next(turns) if letter.isupper() else 3 + "xyz".index(letter): (
            _UNIT[letter.lower()], name, None,
        )
        for letter, name in zip(letters, names, strict=True)
    }  # fmt: skip


def _custom(joint: Any) -> _Motions | None:
    """None where a motion follows several coordinates."""
    transform, found = joint.getSpatialTransform(), {}
    for i in range(6):
        axis = transform.getTransformAxis(i)
        names = list(items(axis.getCoordinateNamesInArray()))
        if len(names) > 1:
            return None
        if axis.hasFunction():
            direction = axis.getAxis().to_numpy()
            name = names[0] if names else ""
            found[i] = direction / np.linalg.norm(direction), name, axis.getFunction()
    return found


def _axes(motions: Sequence[_Motions], names: Sequence[str]) -> Axes | None:
    shape = (len(motions), 6)
    axis, coordinate = np.zeros((*shape, 3)), np.zeros(shape, int)
    slope, intercept = np.zeros(shape), np.zeros(shape)
    axis[..., 0] = 1.0  # of no motion
    curved, functions = [], []
    for j, motion in enumerate(motions):
        for k, (direction, name, function) in motion.items():
            axis[j, k] = direction
            coordinate[j, k] = names.index(name) if name else 0
            line = (1.0, 0.0) if function is None else straight_line(function)
            if line is None:
                curved.append(6 * j + k)
                functions.append(function)
            else:
                slope[j, k], intercept[j, k] = line
    curves = pieces(functions)
    if curves is None:
        return None
    return Axes(axis, coordinate, slope, intercept, np.array(curved, int), curves)


def _base(frame: Any) -> str:
    return str(frame.findBaseFrame().getName())


def _in_base(frame: Any) -> FloatArray:
    return placed(frame.findTransformInBaseFrame())


def _station(marker: Any) -> FloatArray:
    """(3,) metres: where a marker is on its body."""
    inside = marker.getParentFrame().findTransformInBaseFrame()
    return np.asarray(inside.shiftFrameStationToBase(marker.get_location()).to_numpy())
