"""A body from markers: of an optical laboratory, of a detector's triangulated keypoints, of a TRC.

Poses begin in closed form at the markers' guessed places on the neutral shape; then the schedule of
`sequence`, each marker with its own offset from its guess (Loper et al. 2014, ACM TOG 33(6),
"MoSh"). Everything is in standard deviations. Markers that jump or are swapped lose their pull.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.fit.priors.limits import AngleMagnitude, Limits
from kinefit.fit.recipes.initial import from_points
from kinefit.fit.recipes.marker_places import marker_points
from kinefit.fit.recipes.sequence import SequenceProblem, Smoothness
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options
from kinefit.fit.solver.state import State
from kinefit.fit.solver.terms import Position, ShapePrior, ShapeTerm, Stature
from kinefit.geometry.robust import Cauchy
from kinefit.types import BodyMotion, FloatArray, IntArray, Markers, MissingMarkers, TooFewPoints


@dataclass(frozen=True)
class MarkerOptions:
    """How a body is fitted to markers.

    sigma_m: metres, one standard deviation of a marker against the bone, for skin moves (OpenCap's
    laboratory markers are 4 mm from the fitted body, rms; single ones 10 to 20); added to their own
    sd where they have one.
    estimated_factor: how many times that for markers that were not measured but estimated.
    outlier_sd: standard deviations from which a marker's pull falls off.
    offset_m: one standard deviation of a marker's place against its guess; 0 holds it there.
    fewest: markers that a frame must have.
    most_keyframes: frames that shape and offsets are fitted to.
    effective_frames: as how many frames those count against the priors of shape, stature and
    offsets: a marker that is badly guessed is so in all of them.
    pose_regularization_rad: one standard deviation of joint angles from standing upright: a weak
    prior that determines what no other term does.
    acceleration_m_s2, acceleration_rad_s2: one standard deviation, of the translation and of each
    joint, at 60 frames per second. pause_s: across longer gaps nothing is smooth.
    window, overlap: frames that are solved together, and shared with each neighbour.
    """

    sigma_m: float = 0.007
    estimated_factor: float = 3.0
    outlier_sd: float = 3.0
    offset_m: float = 0.03
    fewest: int = 6
    most_keyframes: int = 200
    effective_frames: float = 4.0
    pose_regularization_rad: float = 1.5
    acceleration_m_s2: float = 20.0
    acceleration_rad_s2: float = 150.0
    pause_s: float = 0.2
    window: int = 500
    overlap: int = 30


@dataclass(frozen=True, eq=False)
class MarkerFit:
    """A body through a recording of markers.

    motion: NaN in frames without a pose; `reason` (T,) says why ("" where there is one).
    names: M markers that were used. ignored: those whose place on the body is not known.
    residual: (T, M, 3) metres, marker less body; NaN where one is missing.
    offset: (M, 3) metres, from the marker's guessed place, in the axes of the body at rest.
    guess: (M, 3) metres, those places on the fitted shape at rest.
    converged: whether the solver always came to an end.
    """

    motion: BodyMotion
    names: tuple[str, ...]
    ignored: tuple[str, ...]
    residual: FloatArray
    offset: FloatArray
    guess: FloatArray
    reason: tuple[str, ...]
    converged: bool

    @property
    def marker_rms_mm(self) -> FloatArray:
        """(M,) over the recording; NaN for a marker that is never there."""
        return _rms_mm(self.residual, 0)

    @property
    def frame_rms_mm(self) -> FloatArray:
        """(T,) over the markers; NaN in frames without a pose."""
        return _rms_mm(self.residual, 1)


def _rms_mm(residual: FloatArray, axis: int) -> FloatArray:
    square = (residual**2).sum(axis=-1)
    known = np.isfinite(square)
    count = known.sum(axis=axis)
    total = np.where(known, square, 0).sum(axis=axis)
    return np.asarray(1000 * np.sqrt(total / np.where(count > 0, count, np.nan)))


def fit_markers(
    body: BodyModel,
    markers: Markers,
    options: MarkerOptions | None = None,
    *,
    stature_m: float | None = None,
) -> MarkerFit:
    """One body through a recording; see the module.

    Markers are found on the body by their names: keypoints that it has, means of two sides
    (`Hip`, `Neck`), and the laboratory markers of `marker_places.toml`.
    stature_m: height of the person without shoes, metres, if known.

    Raises MissingMarkers when fewer than `options.fewest` names are known, TooFewPoints when no
    frame has so many markers.
    """
    options = options or MarkerOptions()
    marked, points = marker_points(body, markers.names)
    ever = np.asarray(markers.present.any(axis=0))
    known = [n for n, there in zip(markers.names, ever, strict=True) if there and n in points]
    if len(known) < options.fewest:
        hint = "name at least six as a skeleton of kinefit or OpenCap's markers do"
        unknown = [name for name in markers.names if name not in known]
        if not unknown:
            what = "Markers to fit a body to"
            raise TooFewPoints(what, found=len(known), needed=options.fewest, hint=hint)
        what = f"Fitting a body to markers (places of only {len(known)} are known)"
        raise MissingMarkers(what, unknown, hint)
    used = markers.select(known)
    count = used.present.sum(axis=1)
    rows = np.flatnonzero(count >= options.fewest)
    if not len(rows):
        most = int(count.max(initial=0))
        raise TooFewPoints("Markers to fit a body to", found=most, needed=options.fewest)
    chain = Chain.of(marked, list(body.anatomy.values()), {name: points[name] for name in known})
    stature = () if stature_m is None else (Stature.of(body, stature_m),)
    problem = _problem(chain, used, rows, options, stature)
    xyz = used.xyz[rows]
    start = from_points(chain, chain.shape.neutral, xyz, within_limits=True)
    shaped = problem.fit_shape(start, _keyframes(count[rows], options.most_keyframes))
    # From the markers' places as they are known now: those that were guessed too wrong led astray.
    start = from_points(chain, shaped.shape, xyz, shaped.offset, within_limits=True)
    state, _, converged = problem.fit_poses(start)
    residual = np.full(used.xyz.shape, np.nan)
    residual[rows] = xyz - state.posed(chain).points
    reason = np.full(len(count), f"fewer than {options.fewest} markers", dtype=object)
    reason[rows] = ""
    return MarkerFit(
        motion=state.among(len(count), rows).motion(chain, markers.timeline),
        names=used.names,
        ignored=tuple(name for name in markers.names if name not in known),
        residual=residual,
        offset=state.offset,
        guess=replace(State.rest(chain, 1), shape=state.shape).posed(chain).points[0],
        reason=tuple(reason),
        converged=converged,
    )


def _problem(
    chain: Chain,
    markers: Markers,
    rows: IntArray,
    options: MarkerOptions,
    stature: tuple[ShapeTerm, ...],
) -> SequenceProblem:
    """The terms of a recording in its frames `rows`, which have enough markers."""
    sd = np.zeros(markers.xyz.shape) if markers.sd is None else np.nan_to_num(markers.sd)
    skin = options.sigma_m * np.where(markers.estimated, options.estimated_factor, 1.0)
    sigma = np.sqrt(sd**2 + skin[..., None] ** 2)
    at, kernel = np.arange(len(markers.names)), Cauchy(options.outlier_sd)
    time = markers.timeline.time[rows]
    joined = (np.diff(time) <= options.pause_s).astype(np.float64)
    return SequenceProblem(
        chain=chain,
        rows=rows,
        points=(Position(markers.xyz, np.eye(3) / sigma[..., None], at, kernel),),
        poses=(AngleMagnitude.of(chain, options.pose_regularization_rad), Limits.of(chain)),
        shapes=(ShapePrior(chain.shape.neutral, chain.shape.spread), *stature),
        offsets=tuple(at.tolist()),
        offset_m=options.offset_m,
        effective_frames=options.effective_frames,
        smoothness=Smoothness(options.acceleration_m_s2, options.acceleration_rad_s2, time, joined),
        window=options.window,
        overlap=options.overlap,
        shape_steps=_SHAPE,
        pose_steps=_POSES,
    )


def _keyframes(count: IntArray, most: int) -> IntArray:
    """At most so many frames spread over the recording, of those with most of the markers."""
    full = np.flatnonzero(count >= min(0.9 * count.max(), np.median(count)))
    chosen = np.linspace(0, len(full) - 1, min(most, len(full)))
    return full[np.unique(np.round(chosen).astype(np.int64))]


_SHAPE = Options(most_steps=30, least_fall=1e-4)
_POSES = Options(most_steps=60, least_fall=1e-4)
