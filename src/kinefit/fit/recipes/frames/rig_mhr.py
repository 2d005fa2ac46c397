"""The last step of a rig fit to MHR: from free joints to the rig's own parameters.

A fit rotates every joint about three axes; the rig's elbows and knees are hinges, and its helper
joints share a twist. The parameters nearest to a fitted pose miss the points by centimetres where
a limb was rotated in a way that the rig cannot. So the parameters themselves are varied from there
(`Coordinates` of the solver): the same points, with a rotation prior on the pose that was fitted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kinefit.body.mhr import MhrModel
from kinefit.body.mhr_params import LENGTH_PARAMETERS, PARAMETERS, POSE_COUNT
from kinefit.body.mhr_pose import (
    euler_rates,
    independent,
    initial_parameters,
    place_root,
    pose_of_parameters,
)
from kinefit.fit.recipes.frames.frame_fits import History
from kinefit.fit.recipes.frames.frame_sequence import SequenceFit, measured
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome
from kinefit.fit.recipes.frames.rigfit import RigFit
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import Objective, RotationPrior
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray, IntArray

_CHUNK = 64  # frames at a time: about 50 MB of Jacobians
_EXACT = Options(most_steps=50, least_fall=1e-12, negligible=0.0)
_STEPS = Options(most_steps=30, least_fall=1e-4, negligible=0.0)


@dataclass(frozen=True, eq=False)
class RigClip:
    """A clip as the parameters of MHR say it.

    found: its poses are exactly those of the parameters; losses and reasons are theirs.
    parameters: (T, 204). rotation_change: (T, B) radians of each joint from the pose that was
    fitted. Both NaN in frames without a pose.
    """

    model: MhrModel
    found: SequenceFit
    parameters: FloatArray
    rotation_change: FloatArray


def as_rig(model: MhrModel, found: SequenceFit) -> RigClip:
    """The clip in poses that the rig's parameters can say, through the quality gates once more.

    A frame that does not come near the points this way has no pose, and its reason says so.
    """
    work, fits, rows = found.work, found.fits, np.flatnonzero(found.there)
    parameters, change = (
        np.full((len(fits), n), np.nan) for n in (len(PARAMETERS), len(work.free))
    )
    free = found.state.at(rows)
    parameters[rows] = rig_parameters(model, work, free, found.scale[rows], rows)
    posed = RigCoordinates.of(model, work).posed(free, parameters[rows])
    change[rows] = so3.norm(so3.log(np.swapaxes(free.rotations, -1, -2) @ posed.rotations))
    state, scale, reason = found.state.with_rows(rows, posed), found.scale.copy(), [*found.reason]
    losses, residual = measured(work, fits, state, scale)
    # Against itself: what was lost on the way to the rig is not what went wrong in the fit.
    outcome = work.gate(losses, residual, np.arange(len(fits)), losses.sum(axis=1))
    lost = np.flatnonzero(fits.usable & (outcome != FrameOutcome.OK))
    for t in lost.tolist():
        reason[t] = f"as parameters of the rig, {FrameOutcome(int(outcome[t])).words}"
    for values in (state.rotations, state.translation, scale, parameters, change):
        values[lost] = np.nan
    clip = replace(
        found, state=state, scale=scale, losses=losses, residual=residual, reason=tuple(reason)
    )
    return RigClip(model, clip, parameters, change)


def nearest_parameters(model: MhrModel, chain: Chain, state: State) -> FloatArray:
    """(T, 204) parameters whose rotations are nearest to those of the poses: to rounding where the
    rig can take them, else in the least squares of what every joint is off."""
    found = initial_parameters(model, state.rotations, state.shape)
    coordinates = RigCoordinates(model, independent(model))
    variables = replace(Variables.poses(chain), coordinates=coordinates)
    for first in range(0, len(found), _CHUNK):
        part = slice(first, first + _CHUNK)
        prior = RotationPrior(state.rotations[part], np.ones(len(chain.joint_names)))
        start = coordinates.posed(state.at(part), found[part])
        moved = minimise(Objective(poses=(prior,)), variables, start, _EXACT).state.coordinates
        assert moved is not None
        found[part] = moved
    place_root(model, found, state.translation, state.shape)
    return found


def rig_parameters(
    model: MhrModel, work: RigFit, state: State, scale: FloatArray, rows: IntArray
) -> FloatArray:
    """(R, 204) parameters near the poses `state` (R) that come nearest to the points.

    scale: (R,) of the whole body. rows: (R,) frames. Moves what moves a joint that is free in
    `work`; fingers and jaw keep the nearest parameters, and `_flexible` ones, which repeat others
    or are locked by the rig's limits, what they had. In frames without enough points all do.
    """
    if not len(rows):
        return np.zeros((0, len(PARAMETERS)))
    found = nearest_parameters(model, work.chain, state)
    enough = np.flatnonzero(work.targets.reasons(work.options.min_points)[rows] == FrameOutcome.OK)
    coordinates = RigCoordinates.of(model, work)
    variables = replace(Variables.poses(work.chain), coordinates=coordinates)
    for part in (enough[i : i + _CHUNK] for i in range(0, len(enough), _CHUNK)):
        fitted, none = state.at(part), History.none(len(part), len(work.free))
        priors = work.priors(fitted.rotations, none)
        objective = Objective((work.data_term(scale[part], rows[part]),), tuple(priors.values()))
        start = coordinates.posed(fitted, found[part])
        moved = minimise(objective, variables, start, _STEPS).state.coordinates
        assert moved is not None
        found[part] = moved
    return found


@dataclass(frozen=True, eq=False)
class RigCoordinates:
    """MHR's parameters as the solver's variables of a pose. columns: (Q,) those that vary."""

    model: MhrModel
    columns: IntArray

    @classmethod
    def of(cls, model: MhrModel, work: RigFit) -> RigCoordinates:
        """Place, and angles of joints that are free."""
        turns = np.asarray(model.rig.transform[model.kept, 3:6][work.free].any(axis=(0, 1)))
        angles = range(3, POSE_COUNT - len(LENGTH_PARAMETERS))
        free = [p for p in angles if turns[p] and not PARAMETERS[p].endswith("_flexible")]
        return cls(model, np.array([0, 1, 2, *free]))

    @property
    def size(self) -> int:
        return len(self.columns)

    def basis(self, state: State) -> FloatArray:
        assert state.coordinates is not None
        transform = self.model.rig.transform[self.model.kept]
        angles = np.einsum("bcp,tp->tbc", transform[:, 3:6], state.coordinates)
        turns = self.model.frames @ euler_rates(angles) @ transform[:, 3:6, self.columns]
        moves = np.broadcast_to(transform[0, :3, self.columns].T, (len(turns), 3, self.size))
        return np.concatenate([moves, turns.reshape(len(turns), -1, self.size)], axis=1)

    def moved(self, state: State, step: FloatArray) -> State:
        assert state.coordinates is not None
        parameters = state.coordinates.copy()
        parameters[:, self.columns] += step
        return self.posed(state, parameters)

    def posed(self, state: State, parameters: FloatArray) -> State:
        """The poses of parameters (T, 204), with the shapes of `state`."""
        identity = state.shape[:, : len(self.model.rig.identity)]
        pose = pose_of_parameters(self.model, parameters, identity)
        return replace(
            state,
            rotations=pose.rotations,
            translation=pose.translation,
            coordinates=parameters,
        )
