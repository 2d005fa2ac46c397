"""OpenSim's own kinematics, a pose at a time: for models that no `Tree` is, and to check those."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from kinefit.biomech.opensim.kinematics import LeastSquares
from kinefit.biomech.opensim.osim import items, load_opensim, placed
from kinefit.types import FloatArray, IntArray, InvalidData


class ByOpensim:
    """The kinematics (see `kinematics.Kinematics`) of a model, OpenSim's object, and its state."""

    def __init__(self, osim: Any, state: Any) -> None:
        self._osim = osim
        self.renew(state)
        # Some joints (ScapulothoracicJoint) have more numbers in the state than coordinates.
        self._state_q = state.getQ().to_numpy().copy()
        self._q_index = _q_indices(osim, state)
        # Whether speeds are the coordinates' derivatives: N is the identity in a bent pose.
        self._pose(np.linspace(0.3, 0.9, len(self._q_index)))
        self._plain_speeds = np.array_equal(self._speeds(), np.eye(len(self._state_q)))

    def renew(self, state: Any) -> None:
        """The model was changed, and has a new state."""
        self._state = state
        self._markers = list(items(self._osim.getMarkerSet()))
        self._arrays: tuple[Any, Any] | None = None

    def positions(self, q: FloatArray) -> FloatArray:
        everyone = range(len(self._markers))
        places = [self._placed(pose, everyone) for pose in q]
        return np.array(places).reshape(len(q), len(everyone), 3)

    def least_squares(
        self, q: FloatArray, tie: FloatArray, weights: FloatArray, target: FloatArray
    ) -> LeastSquares:
        found, used = [], np.flatnonzero(weights.any(0))  # each marker costs a call
        rows_used = (3 * used[:, None] + np.arange(3)).ravel()
        ties = np.broadcast_to(tie, (len(q), *tie.shape[-2:]))
        for pose, by, weight, there in zip(q, ties, weights, target, strict=True):
            off = (self._placed(pose, used.tolist()) - there[used]).ravel()
            rows, each = self._jacobian()[rows_used] @ by, np.repeat(weight[used], 3)
            weighted = rows.T * each
            found.append((each @ off**2, weighted @ off, weighted @ rows))
        return LeastSquares(*(np.array(part) for part in zip(*found, strict=True)))

    def bodies(self, q: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        axes, origins, joints = [], [], []
        for pose in q:
            self._pose(pose)
            children = [joint.getChildFrame() for joint in items(self._osim.getJointSet())]
            there = [placed(f.findBaseFrame().getTransformInGround(self._state)) for f in children]
            axes.append([frame[:, :3] for frame in there])
            origins.append([frame[:, 3] for frame in there])
            joints.append([f.getPositionInGround(self._state).to_numpy() for f in children])
        return np.array(axes), np.array(origins), np.array(joints)

    def broken(self, q: FloatArray) -> float:
        """How much the pose (C,) misses the constraint that it misses most: rad or m."""
        self._pose(q)
        return float(np.abs(self._state.getQErr().to_numpy()).max(initial=0.0))

    def _pose(self, q: FloatArray) -> None:
        values = self._state_q.copy()
        values[self._q_index] = q
        self._state.setQ(load_opensim().Vector.createFromMat(values))
        self._osim.realizePosition(self._state)

    def _placed(self, q: FloatArray, chosen: Iterable[int]) -> FloatArray:
        """(N, 3) the markers of these numbers in the pose (C,)."""
        self._pose(q)
        markers = (self._markers[i] for i in chosen)
        places = [m.getLocationInGround(self._state).to_numpy() for m in markers]
        return np.array(places).reshape(-1, 3)

    def _jacobian(self) -> FloatArray:
        """(3 M, C) derivatives of the markers by each coordinate alone, in the pose it is in.

        OpenSim's station Jacobian is by speeds u. In joints made of axes these are the coordinates'
        own derivatives; in others (ball, ellipsoid) q' = N(q) u, so that d/dq = d/du N^-1 (Sherman,
        Seth & Delp 2011, Simbody, Procedia IUTAM 2, eq. 2). Checked by finite differences.
        """
        matrix = load_opensim().Matrix()
        matter = self._osim.getMatterSubsystem()
        matter.calcStationJacobian(self._state, *self._attachments(), matrix)
        by_q = matrix.to_numpy()
        if not self._plain_speeds:
            by_q = by_q @ self._speeds()
        return np.asarray(by_q[:, self._q_index])

    def _attachments(self) -> tuple[Any, Any]:
        """OpenSim's arrays of the bodies that markers are on, and of their places there."""
        if self._arrays is None:
            opensim = load_opensim()
            self._arrays = opensim.SimTKArrayMobilizedBodyIndex(), opensim.SimTKArrayVec3()
            for marker in self._markers:
                frame = marker.getParentFrame()
                inside = frame.findTransformInBaseFrame()
                base = opensim.PhysicalFrame.safeDownCast(frame.findBaseFrame())
                self._arrays[0].push_back(base.getMobilizedBodyIndex())
                self._arrays[1].push_back(inside.shiftFrameStationToBase(marker.get_location()))
        return self._arrays

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


def _q_indices(model: Any, state: Any) -> IntArray:
    """(C,) where each coordinate's value is in the state's vector of positions."""
    vector, before = load_opensim().Vector, state.getQ().to_numpy().copy()
    numbers = 0.1 + 0.01 * np.arange(len(before))
    state.setQ(vector.createFromMat(numbers))
    found = []
    for coordinate in items(model.getCoordinateSet()):
        (places,) = np.nonzero(numbers == coordinate.getValue(state))
        if len(places) != 1:
            raise InvalidData(f"Coordinate {coordinate.getName()} is not one number of the state.")
        found.append(places[0])
    state.setQ(vector.createFromMat(before))
    return np.array(found)
