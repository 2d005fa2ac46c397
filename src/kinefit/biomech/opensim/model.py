"""An OpenSim model as a function of its coordinates: where its markers are, and how they move.

OpenSim reads and scales models; the kinematics are computed for all frames at once, from what is
read of the model (`kinematics.Tree`) where that gives what OpenSim does, which is tried, and by
OpenSim's own calls where it does not. Coordinates that constraints tie to others (the patella, the
lumbar joints of the muscle model) are computed from those, so that a solver sees free coordinates
only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinefit.biomech.opensim.by_opensim import ByOpensim
from kinefit.biomech.opensim.kinematics import Kinematics, LeastSquares, Tree, blocks
from kinefit.biomech.opensim.linkage import read_linkage
from kinefit.biomech.opensim.osim import (
    drop_forces,
    items,
    load_opensim,
    read_model,
    scale_model,
    unusable,
)
from kinefit.types import BoolArray, FloatArray, InputError

_AGREE_M = 1e-9  # rounding leaves 1e-15
_BLOCK = 64  # frames at once: 256 take a third longer each, their arrays leave the cache
_TIED = 1e-6  # rad or m: what coupled coordinates may miss of their constraint
_FULL_TURN = 2 * np.pi - 1e-3  # rad: ranges are written in print, as 3.1416 or 3.14159265

# OpenSim's Coordinate::MotionType, by its numbers.
Motion = Literal["undefined", "rotation", "translation", "coupled"]
_MOTIONS: tuple[Motion, ...] = ("undefined", "rotation", "translation", "coupled")


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

    coordinates: the C coordinates in the model's order. free: (C,) True for coordinates that are
    neither tied to others nor fixed by the model. turning: (C,) True but for translations.
    default, low, high: (C,) of them.
    markers, marker_bodies: names of the M markers and of the bodies they are fixed to.
    bodies: names of the B bodies that joints move, in the joints' order.

    Raises InputError for a file that OpenSim cannot read, for one without markers, and for
    constraints other than couplers between coordinates (closed loops).
    """

    def __init__(self, path: Path, marker_set: Path | None = None) -> None:
        self.path = path
        self._osim = read_model(path, marker_set)
        self._sizes: dict[str, Sequence[float]] = {}
        drop_forces(self._osim)
        try:
            self._start()
        except RuntimeError as error:
            raise unusable(path, error) from error

    def _start(self) -> None:
        self._state = self._osim.initSystem()
        self.joints = tuple(_joints(self._osim))
        self.bodies = tuple(joint.body for joint in self.joints)
        self._find_coordinates()
        self._find_markers()
        self._by_opensim = ByOpensim(self._osim, self._state)
        self._find_kinematics()
        self._check_constraints()

    def _find_coordinates(self) -> None:
        self.coordinates = tuple(_coordinates(self._osim, self._state))
        if not self.coordinates:
            raise InputError(self.path, "has no coordinates", "give a model whose joints move")
        self.names = tuple(c.name for c in self.coordinates)
        self.default = np.array([c.default for c in self.coordinates])
        self.low = np.array([c.low for c in self.coordinates])
        self.high = np.array([c.high for c in self.coordinates])
        self.free: BoolArray = np.array([not c.tied_to and not c.fixed for c in self.coordinates])
        self.turning: BoolArray = np.array([c.motion != "translation" for c in self.coordinates])
        place = {name: i for i, name in enumerate(self.names)}
        self._ties = [
            (place[dependent], [place[n] for n in inputs], function)
            for dependent, inputs, function in _couplers(self._osim)
        ]
        self._linear: tuple[FloatArray, FloatArray] | None = None
        self._linear = self._linear_ties()

    def _linear_ties(self) -> tuple[FloatArray, FloatArray] | None:
        """(C, C) and (C,) of `tie(q) = A @ q + b`, or None when a coupler is no straight line."""
        rng = np.random.default_rng(0)
        A = self.tie_jacobian(self.default[None])[0]
        b = self.tie(self.default) - A @ self.default
        trials = rng.uniform(-1.0, 1.0, (4, len(self.default)))
        straight = np.allclose(trials @ A.T + b, self.tie(trials), rtol=0, atol=1e-9)
        return (A, b) if straight else None

    def _find_markers(self) -> None:
        markers = list(items(self._osim.getMarkerSet()))
        if not markers:
            raise InputError(self.path, "has no markers", "name a model with a marker set")
        self.markers = tuple(marker.getName() for marker in markers)
        frames = (marker.getParentFrame() for marker in markers)
        self.marker_bodies = tuple(frame.findBaseFrame().getName() for frame in frames)

    def _find_kinematics(self) -> None:
        """To be done again after every change of the model."""
        self._kinematics: Kinematics = self._by_opensim
        self._linkage = read_linkage(self._osim, self.names, self.bodies)
        if self._linkage is not None and self._agrees(tree := Tree(self._linkage)):
            self._kinematics = tree

    def _agrees(self, tree: Tree) -> bool:
        """Whether the tree has the markers where OpenSim has them, in poses from anywhere in the
        coordinates' ranges."""
        rng = np.random.default_rng(0)
        low, high = np.maximum(self.low, -np.pi), np.minimum(self.high, np.pi)
        q = self.tie(rng.uniform(np.minimum(low, high), np.maximum(low, high), (3, len(low))))
        return bool(np.abs(tree.positions(q) - self._by_opensim.positions(q)).max() < _AGREE_M)

    def _check_constraints(self) -> None:
        """Every constraint must be one that `tie` satisfies: tried on three poses."""
        rng = np.random.default_rng(0)
        for _ in range(3):
            q = self.tie(self.default + rng.uniform(-0.2, 0.2, len(self.default)) * self.free)
            if self._by_opensim.broken(q) > _TIED:
                raise InputError(
                    self.path,
                    "has constraints that are not couplers between coordinates (closed loops)",
                    "use OpenSim's own inverse kinematics for this model",
                )

    def tie(self, q: FloatArray) -> FloatArray:
        """(..., C) `q` with each tied coordinate computed from those it depends on."""
        if self._linear is not None:
            return np.asarray(q @ self._linear[0].T + self._linear[1])
        q = np.array(q)
        for dependent, inputs, function in self._ties:
            q[..., dependent] = np.apply_along_axis(function, -1, q[..., inputs])
        return q

    def tie_jacobian(self, q: FloatArray) -> FloatArray:
        """(C, C), or (T, C, C) if that depends on the poses (T, C): the derivative of `tie` by the
        free coordinates, by central differences.

        Exact but for rounding for the linear couplers that the shipped models have.
        """
        if self._linear is not None:
            return self._linear[0]
        result = np.tile(np.eye(q.shape[1]), (len(q), 1, 1))
        for dependent, inputs, function in self._ties:
            result[:, dependent] = 0.0
            for column in inputs:
                step = np.zeros(q.shape[1])
                step[column] = 1e-4
                up, down = (
                    np.apply_along_axis(function, -1, p[:, inputs]) for p in (q + step, q - step)
                )
                result[:, dependent, column] = (up - down) / 2e-4
        return result

    def positions(self, q: FloatArray) -> FloatArray:
        """(..., M, 3) metres: the markers in poses (..., C), which must be `tie`d."""
        flat = q.reshape(-1, q.shape[-1])
        found = np.empty((len(flat), len(self.markers), 3))
        for block in blocks(len(flat), _BLOCK):
            found[block] = self._kinematics.positions(flat[block])
        return found.reshape(*q.shape[:-1], len(self.markers), 3)

    def least_squares(
        self, q: FloatArray, by: BoolArray, weights: FloatArray, target: FloatArray
    ) -> LeastSquares:
        """The markers' weighted squared distances to `target` (T, M, 3) in `tie`d poses (T, C), and
        their normal equations for the F coordinates `by` (C,), with what is tied to these.

        weights: (T, M). See `kinematics.LeastSquares`.
        """
        parts = []
        for block in blocks(len(q), _BLOCK):
            tie = self.tie_jacobian(q[block])[..., by]
            parts.append(
                self._kinematics.least_squares(q[block], tie, weights[block], target[block])
            )
        return LeastSquares(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def body_frames(self, q: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Of the B `bodies` in `tie`d poses (T, C): axes (T, B, 3, 3) as columns, origins and the
        places of the joints that move them, (T, B, 3) metres."""
        return self._kinematics.bodies(q)

    def chain(self, body: str) -> tuple[str, ...]:
        """Bodies from `body` up to the one that is free in the world."""
        parents = {joint.body: joint.parent for joint in self.joints}
        bodies = [body]
        while bodies[-1] in parents:
            bodies.append(parents[bodies[-1]])
        return tuple(name for name in bodies if name in parents)

    def meshes(self) -> dict[str, tuple[list[str], list[float]]]:
        """Body -> files of the meshes that are drawn for it, and their (x, y, z) scale."""
        opensim, found = load_opensim(), {}
        for body in items(self._osim.getBodySet()):
            count = body.getPropertyByName("attached_geometry").size()
            shown = [opensim.Mesh.safeDownCast(body.get_attached_geometry(i)) for i in range(count)]
            shown = [mesh for mesh in shown if mesh is not None]
            scale = shown[0].get_scale_factors().to_numpy().tolist() if shown else [1.0, 1.0, 1.0]
            found[body.getName()] = ([mesh.getGeometryFilename() for mesh in shown], scale)
        return found

    def scale(self, factors: Mapping[str, Sequence[float]]) -> None:
        """Have the named bodies (x, y, z) times as large as in the file, markers with them."""
        now = ((body, factor, self._sizes.get(body, 1.0)) for body, factor in factors.items())
        scale_model(self._osim, {b: np.divide(f, s).tolist() for b, f, s in now}, None)
        self._sizes |= factors
        self._state = self._osim.getWorkingState()
        self._by_opensim.renew(self._state)
        if self._ties:  # translations that follow a joint are scaled, too
            self._find_coordinates()
        self._find_kinematics()

    def try_scale(self, factors: Mapping[str, Sequence[float]]) -> None:
        """Have the named bodies (x, y, z) times as large as in the file and all others as in the
        file, until `scale` or the next trial: in the kinematics alone, which takes a hundredth of
        the time. Where those are OpenSim's, the same as `scale`."""
        if not isinstance(self._kinematics, Tree) or self._linkage is None:
            self.scale(factors)
            return
        relative = np.ones((len(self.bodies) + 1, 3))
        for body, number in zip(self.bodies, self._linkage.bodies.tolist(), strict=True):
            relative[number] = np.divide(factors.get(body, 1.0), self._sizes.get(body, 1.0))
        self._kinematics = Tree(self._linkage.scaled(relative))


def _joints(model: Any) -> Iterator[Joint]:
    for joint in items(model.getJointSet()):
        ends = joint.getParentFrame(), joint.getChildFrame()
        yield Joint(joint.getName(), *(frame.findBaseFrame().getName() for frame in ends))


def _coordinates(model: Any, state: Any) -> Iterator[Coordinate]:
    tied = {dependent: inputs for dependent, inputs, _ in _couplers(model)}
    for coordinate in items(model.getCoordinateSet()):
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


def _couplers(model: Any) -> list[tuple[str, list[str], Any]]:
    """(dependent coordinate, coordinates it depends on, function of their values)."""
    opensim = load_opensim()
    found = []
    for constraint in items(model.getConstraintSet()):
        coupler = opensim.CoordinateCouplerConstraint.safeDownCast(constraint)
        if coupler is None or not coupler.get_isEnforced():
            continue
        names = list(items(coupler.getIndependentCoordinateNames()))
        found.append((coupler.getDependentCoordinateName(), names, _function(coupler)))
    return found


def _function(coupler: Any) -> Any:
    opensim, function = load_opensim(), coupler.getFunction()

    def value(inputs: FloatArray) -> float:
        return float(function.calcValue(opensim.Vector.createFromMat(np.array(inputs, float))))

    return value
