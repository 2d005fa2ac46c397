"""An OpenSim model as a function of its coordinates: where its markers are, and how they move.

OpenSim does the kinematics (joints, splines, Jacobians); what is here turns its objects into
arrays. Coordinates that constraints tie to others (the patella, the lumbar joints of the muscle
model) are computed from those, so that a solver sees free coordinates only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from kinefit.io.text import read_bytes
from kinefit.io.xml import MOST_DEPTH
from kinefit.types import FloatArray, InputError, IntArray, InvalidData

_TAG = re.compile(
    rb"<(/?)[A-Za-z_:\x80-\xff][^<>]*?(/?)>"
)  # OpenSim's reader takes any byte >= 128
# How OpenSim and Simbody begin their messages.
_WHERE = re.compile(r"std::exception in '[^']*': |Error detected by \S* method \S*: ")
_MAX_BYTES = 64 << 20  # the largest of Pose2Sim's models has 2 MB
_TIED = 1e-6  # rad or m: what coupled coordinates may miss of their constraint
_FULL_TURN = 2 * np.pi - 1e-3  # rad: ranges are written in print, as 3.1416 or 3.14159265

# OpenSim's Coordinate::MotionType, by its numbers.
Motion = Literal["undefined", "rotation", "translation", "coupled"]
_MOTIONS: tuple[Motion, ...] = ("undefined", "rotation", "translation", "coupled")


@cache
def load_opensim() -> ModuleType:
    """The package `opensim`, silent. Importing it takes a second.

    Its log is switched off for the whole process: it would print, and leave an opensim.log in
    the current folder (switching it on again does both). What goes wrong comes as an exception.
    """
    opensim = import_module("opensim")
    opensim.Logger.setLevelString("Off")
    opensim.Logger.removeFileSink()
    return opensim


@dataclass(frozen=True)
class Coordinate:
    """One coordinate of a model: an angle in radians or a translation in metres.

    joint, body: the joint that it belongs to, and the body which that joint moves.
    motion: what OpenSim calls it. "coupled": it moves more than one axis, or one through a function
        that is not the identity (a patella); such a number has no unit that OpenSim would convert.
    default, low, high: its default, and the range it is kept in (infinite when not clamped, and
        for a rotation whose range is a full turn: its ends are one pose, no wall).
    tied_to: the coordinates that a constraint computes it from; empty for a free coordinate.
    fixed: the model holds it at its default (locked or prescribed).
    """

    name: str
    joint: str
    body: str
    motion: Motion
    default: float
    low: float
    high: float
    tied_to: tuple[str, ...]
    fixed: bool


@dataclass(frozen=True)
class Joint:
    """A joint: `body` moves in `parent`."""

    name: str
    parent: str
    body: str


class BodyModel:
    """A model with its markers, without what has no part in kinematics (forces, controllers).

    coordinates: the C coordinates in the model's order. untied: no coordinate follows others.
    markers, marker_bodies: names of the M markers and of the bodies they are fixed to.

    Raises InputError for a file that OpenSim cannot read, for one without markers, and for
    constraints other than couplers between coordinates (closed loops).
    """

    def __init__(self, path: Path, marker_set: Path | None = None) -> None:
        self.path = path
        self._osim = read_model(path, marker_set)
        _drop_forces(self._osim)
        try:
            self._start()
        except RuntimeError as error:
            raise _unusable(path, error) from error

    def _start(self) -> None:
        """Build the system of equations; to be done again after every change of the model."""
        self._state = self._osim.initSystem()
        self._posed: FloatArray | None = None
        self.joints = tuple(_joints(self._osim))
        self._find_coordinates()
        self._find_markers()
        self._check_constraints()

    def _find_coordinates(self) -> None:
        self.coordinates = tuple(_coordinates(self._osim, self._state))
        if not self.coordinates:
            raise InputError(self.path, "has no coordinates", "give a model whose joints move")
        self.names = tuple(c.name for c in self.coordinates)
        self.default = np.array([c.default for c in self.coordinates])
        # Some joints (ScapulothoracicJoint) have more numbers in the state than coordinates.
        self._state_q = self._state.getQ().to_numpy().copy()
        self._q_index = _q_indices(self._osim, self._state)
        couplers = _couplers(self._osim)
        place = {name: i for i, name in enumerate(self.names)}
        self._ties = [
            (place[dependent], [place[n] for n in inputs], function)
            for dependent, inputs, function in couplers
        ]
        self._linear = None
        self._linear = self._linear_ties()
        self.untied = not self._ties
        self._plain_speeds = self._has_plain_speeds()

    def _has_plain_speeds(self) -> bool:
        """Whether speeds are the coordinates' derivatives: N is the identity in a bent pose."""
        self._pose(self.tie(self.default + 0.3 * self.free))
        return np.array_equal(self._speeds(), np.eye(len(self._state_q)))

    def _linear_ties(self) -> tuple[FloatArray, FloatArray] | None:
        """(C, C) and (C,) of `tie(q) = A @ q + b`, or None when a coupler is no straight line.

        Calling each coupler of the muscle model costs as much as the whole kinematics.
        """
        rng = np.random.default_rng(0)
        A = self.tie_jacobian(self.default)
        b = self.tie(self.default) - A @ self.default
        trials = rng.uniform(-1.0, 1.0, (4, len(self.default)))
        straight = all(np.allclose(A @ q + b, self.tie(q), rtol=0, atol=1e-9) for q in trials)
        return (A, b) if straight else None

    def _find_markers(self) -> None:
        self._markers = list(_items(self._osim.getMarkerSet()))
        if not self._markers:
            raise InputError(self.path, "has no markers", "name a model with a marker set")
        self.markers = tuple(marker.getName() for marker in self._markers)
        opensim = load_opensim()
        self._arrays: dict[bytes | None, tuple[Any, Any]] = {}
        self._attached, bodies = [], []
        for marker in self._markers:
            frame = marker.getParentFrame()
            base = opensim.PhysicalFrame.safeDownCast(frame.findBaseFrame())
            bodies.append(base.getName())
            place = frame.findTransformInBaseFrame().shiftFrameStationToBase(marker.get_location())
            self._attached.append((base.getMobilizedBodyIndex(), place))
        self.marker_bodies = tuple(bodies)

    def _check_constraints(self) -> None:
        """Every constraint must be one that `tie` satisfies: tried on three poses."""
        rng = np.random.default_rng(0)
        for _ in range(3):
            q = self.tie(self.default + rng.uniform(-0.2, 0.2, len(self.default)) * self.free)
            self._pose(q)
            error = self._state.getQErr().to_numpy()
            if error.size and np.abs(error).max() > _TIED:
                raise InputError(
                    self.path,
                    "has constraints that are not couplers between coordinates (closed loops)",
                    "use OpenSim's own inverse kinematics for this model",
                )

    @property
    def free(self) -> Any:
        """(C,) True for coordinates that are neither tied to others nor fixed by the model."""
        return np.array([not c.tied_to and not c.fixed for c in self.coordinates])

    def tie(self, q: FloatArray) -> FloatArray:
        """(C,) `q` with each tied coordinate computed from those it depends on."""
        if self._linear is not None:
            return np.asarray(self._linear[0] @ q + self._linear[1])
        q = np.array(q)
        for dependent, inputs, function in self._ties:
            q[dependent] = function(q[inputs])
        return q

    def tie_jacobian(self, q: FloatArray) -> FloatArray:
        """(C, C) derivative of `tie` by the free coordinates, by central differences.

        Exact but for rounding for the linear couplers that the shipped models have.
        """
        if self._linear is not None:
            return self._linear[0]
        result = np.eye(len(q))
        for dependent, inputs, function in self._ties:
            result[dependent] = 0.0
            for column in inputs:
                step = np.zeros(len(q))
                step[column] = 1e-4
                rise = function((q + step)[inputs]) - function((q - step)[inputs])
                result[dependent, column] = rise / 2e-4
        return result

    def _pose(self, q: FloatArray) -> None:
        if self._posed is not None and np.array_equal(q, self._posed):
            return  # positions and Jacobian of a pose are asked for one after the other
        values = self._state_q.copy()
        values[self._q_index] = q
        self._state.setQ(load_opensim().Vector.createFromMat(values))
        self._osim.realizePosition(self._state)
        self._posed = np.array(q)

    def positions(self, q: FloatArray, some: IntArray | None = None) -> FloatArray:
        """(M, 3) metres: the markers, or the N `some` of them, in the pose (C,) `q`, which must be
        `tie`d."""
        self._pose(q)
        markers = self._markers if some is None else [self._markers[i] for i in some]
        return np.array([m.getLocationInGround(self._state).to_numpy() for m in markers])

    def jacobian(self, q: FloatArray, some: IntArray | None = None) -> FloatArray:
        """(M, 3, C) derivatives of `positions` by each coordinate alone.

        OpenSim's station Jacobian is by speeds u. In joints made of axes these are the coordinates'
        own derivatives; in others (ball, ellipsoid) q' = N(q) u, so that d/dq = d/du N^-1 (Sherman,
        Seth & Delp 2011, Simbody, Procedia IUTAM 2, eq. 2). Checked by finite differences.
        """
        self._pose(q)
        matrix = load_opensim().Matrix()
        bodies, stations = self._attachments(some)
        self._osim.getMatterSubsystem().calcStationJacobian(self._state, bodies, stations, matrix)
        by_speed = matrix.to_numpy()
        by_q = by_speed if self._plain_speeds else by_speed @ self._speeds()
        count = len(self.markers) if some is None else len(some)
        return np.asarray(by_q[:, self._q_index]).reshape(count, 3, -1)

    def _attachments(self, some: IntArray | None) -> tuple[Any, Any]:
        """OpenSim's arrays of the bodies that markers are on, and of their places there."""
        key = None if some is None else some.tobytes()
        if key not in self._arrays:
            opensim = load_opensim()
            found = opensim.SimTKArrayMobilizedBodyIndex(), opensim.SimTKArrayVec3()
            for i in range(len(self.markers)) if some is None else some.tolist():
                for array, value in zip(found, self._attached[i], strict=True):
                    array.push_back(value)
            self._arrays[key] = found
        return self._arrays[key]

    def _speeds(self) -> FloatArray:
        """(U, Q) N^-1: the speeds that a change of each number of the state means, as posed."""
        vector = load_opensim().Vector
        columns = []
        for unit in np.eye(len(self._state_q)):
            speeds = vector(self._state.getNU(), 0.0)
            change = vector.createFromMat(unit)
            self._osim.getMatterSubsystem().multiplyByNInv(self._state, False, change, speeds)
            columns.append(speeds.to_numpy())
        return np.column_stack(columns)

    def chain(self, body: str) -> tuple[str, ...]:
        """Bodies from `body` up to the one that is free in the world."""
        parents = {joint.body: joint.parent for joint in self.joints}
        bodies = [body]
        while bodies[-1] in parents:
            bodies.append(parents[bodies[-1]])
        return tuple(name for name in bodies if name in parents)

    def segments(self, q: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Body -> where the joint that moves it is, (3,) metres, and its axes, (3, 3) columns."""
        self._pose(q)
        found = {}
        for joint in _items(self._osim.getJointSet()):
            frame = joint.getChildFrame()
            base = load_opensim().PhysicalFrame.safeDownCast(frame.findBaseFrame())
            rotation = base.getTransformInGround(self._state).R()
            axes = np.array([[rotation.get(r, c) for c in range(3)] for r in range(3)])
            found[base.getName()] = (frame.getPositionInGround(self._state).to_numpy(), axes)
        return found

    def frames(self, q: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Body -> (3,) radians, its turn in ground as rotations about its own X, Y and Z in that
        order, and (3,) metres, its origin."""
        self._pose(q)
        found = {}
        for body in _items(self._osim.getBodySet()):
            there = body.getTransformInGround(self._state)
            turn = there.R().convertRotationToBodyFixedXYZ()
            found[body.getName()] = (turn.to_numpy(), there.T().to_numpy())
        return found

    def meshes(self) -> dict[str, tuple[list[str], list[float]]]:
        """Body -> files of the meshes that are drawn for it, and their (x, y, z) scale."""
        opensim, found = load_opensim(), {}
        for body in _items(self._osim.getBodySet()):
            count = body.getPropertyByName("attached_geometry").size()
            shown = [opensim.Mesh.safeDownCast(body.get_attached_geometry(i)) for i in range(count)]
            shown = [mesh for mesh in shown if mesh is not None]
            scale = shown[0].get_scale_factors().to_numpy().tolist() if shown else [1.0, 1.0, 1.0]
            found[body.getName()] = ([mesh.getGeometryFilename() for mesh in shown], scale)
        return found

    def scale(self, factors: Mapping[str, Sequence[float]]) -> None:
        """Multiply the size of the named bodies by (x, y, z) factors, markers with them."""
        scale_model(self._osim, factors, None)
        self._state, self._posed = self._osim.getWorkingState(), None
        self._find_markers()
        if self._ties:  # translations that follow a joint are scaled, too
            self._find_coordinates()


def read_model(path: Path, marker_set: Path | None = None) -> Any:
    """An OpenSim model from a file, with the markers of another file if one is given.

    Raises InputError for files that are missing, too large or too deep, or that OpenSim refuses.
    """
    opensim = load_opensim()
    for file in (path, marker_set):
        if file is not None:
            _check_model_file(file)
    try:
        model = opensim.Model(str(path))
    except RuntimeError as error:
        raise InputError(path, f"OpenSim cannot read it ({_reason(error)})",
                         "check that this is an .osim model") from error  # fmt: skip
    try:
        if marker_set is not None:
            model.set_MarkerSet(opensim.MarkerSet(str(marker_set)))
        model.initSystem()
    except RuntimeError as error:
        raise _unusable(marker_set or path, error) from error
    return model


def _unusable(path: Path, error: RuntimeError) -> InputError:
    reason = f"OpenSim cannot use it ({_reason(error)})"
    return InputError(path, reason, "check that markers and model belong together")


def _drop_forces(model: Any) -> None:
    """Forces take no part in kinematics, and 330 muscles make each step half as slow again.

    What works on them goes with them. They stay where anything else refers to one (metabolics of
    OpenSim Moco): OpenSim would follow it into freed memory, and the process would end.
    """
    groups = (model.updControllerSet(), model.updProbeSet(), model.updForceSet())
    inside = tuple(f"{group.getAbsolutePathString()}/" for group in groups)
    forces = f"{model.getForceSet().getName()}/"
    for part in list(model.getComponentsList()):  # its generator cannot be left early
        if not part.getAbsolutePathString().startswith(inside):
            paths = [part.getSocket(name).getConnecteePath() for name in part.getSocketNames()]
            if any(forces in path for path in paths):
                return
    for group in groups:
        group.clearAndDestroy()


def scale_model(model: Any, factors: Mapping[str, Sequence[float]], mass_kg: float | None) -> None:
    """Scale bodies by (x, y, z) factors; with a mass, to that total mass.

    Masses keep the generic model's distribution over the bodies.
    """
    opensim = load_opensim()
    scales = opensim.ScaleSet()
    for body, (x, y, z) in factors.items():
        scale = opensim.Scale()
        scale.setSegmentName(body)
        scale.setScaleFactors(opensim.Vec3(x, y, z))
        scale.setApply(True)
        scales.cloneAndAppend(scale)
    model.scale(model.getWorkingState(), scales, True, -1.0 if mass_kg is None else mass_kg)
    model.initSystem()


def _check_model_file(path: Path) -> None:
    """Raises InputError for a file that is missing, larger than any model, or has more levels than
    OpenSim's recursive reader survives.

    Its tags are counted, not parsed: OpenSim takes files that no XML parser does (Latin-1 text).
    """
    try:
        str(path).encode()  # as OpenSim takes it
    except UnicodeEncodeError:
        reason, hint = "the file's name is not Unicode text", "rename the file"
        raise InputError(ascii(str(path)), reason, hint) from None
    depth = 0
    for tag in _TAG.finditer(read_bytes(path, _MAX_BYTES)):
        depth += -1 if tag[1] else 0 if tag[2] else 1
        if depth > MOST_DEPTH:
            raise InputError(path, f"has over {MOST_DEPTH} levels of tags", "check the file")


def _reason(error: Exception) -> str:
    """The first line of OpenSim's message that says more than where in its source it happened."""
    lines = (_WHERE.sub("", line).strip() for line in str(error).splitlines())
    return next((ln for ln in lines if ln and "hrown at" not in ln), "no reason given")


def _items(collection: Any) -> Iterator[Any]:
    """What is in one of OpenSim's sets or arrays."""
    return (collection.get(i) for i in range(collection.getSize()))


def _joints(model: Any) -> Iterator[Joint]:
    for joint in _items(model.getJointSet()):
        ends = joint.getParentFrame(), joint.getChildFrame()
        yield Joint(joint.getName(), *(frame.findBaseFrame().getName() for frame in ends))


def _coordinates(model: Any, state: Any) -> Iterator[Coordinate]:
    tied = {dependent: inputs for dependent, inputs, _ in _couplers(model)}
    for coordinate in _items(model.getCoordinateSet()):
        joint, name = coordinate.getJoint(), coordinate.getName()
        low, high = coordinate.getRangeMin(), coordinate.getRangeMax()
        motion = _MOTIONS[coordinate.getMotionType()]
        turns = motion == "rotation" and high - low >= _FULL_TURN
        clamped = coordinate.getClamped(state) and low < high and not turns
        yield Coordinate(
            name=name,
            joint=joint.getName(),
            body=joint.getChildFrame().findBaseFrame().getName(),
            motion=motion,
            default=coordinate.getDefaultValue(),
            low=low if clamped else -np.inf,
            high=high if clamped else np.inf,
            tied_to=tuple(tied.get(name, ())),
            fixed=bool(coordinate.getLocked(state) or coordinate.isPrescribed(state)),
        )


def _q_indices(model: Any, state: Any) -> IntArray:
    """(C,) where each coordinate's value is in the state's vector of positions."""
    before = state.getQ().to_numpy().copy()
    found = []
    for coordinate in _items(model.getCoordinateSet()):
        value = coordinate.getValue(state)
        trial = load_opensim().Vector.createFromMat(before)
        differs = []
        for k in range(len(before)):
            changed = before.copy()
            changed[k] += 0.5
            state.setQ(load_opensim().Vector.createFromMat(changed))
            if coordinate.getValue(state) != value:
                differs.append(k)
        state.setQ(trial)
        if len(differs) != 1:
            raise InvalidData(f"Coordinate {coordinate.getName()} is not one number of the state.")
        found.append(differs[0])
    return np.array(found)


def _couplers(model: Any) -> list[tuple[str, list[str], Any]]:
    """(dependent coordinate, coordinates it depends on, function of their values)."""
    opensim = load_opensim()
    found = []
    for constraint in _items(model.getConstraintSet()):
        coupler = opensim.CoordinateCouplerConstraint.safeDownCast(constraint)
        if coupler is None or not coupler.get_isEnforced():
            continue
        names = list(_items(coupler.getIndependentCoordinateNames()))
        found.append((coupler.getDependentCoordinateName(), names, _function(coupler)))
    return found


def _function(coupler: Any) -> Any:
    opensim, function = load_opensim(), coupler.getFunction()

    def value(inputs: FloatArray) -> float:
        return float(function.calcValue(opensim.Vector.createFromMat(np.array(inputs, float))))

    return value
