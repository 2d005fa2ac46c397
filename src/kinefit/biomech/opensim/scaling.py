"""Scaling a generic model to the person, from any motion: no static trial is needed.

Rounds of inverse kinematics and of a linear least-squares fit of segment sizes. In a given pose a
marker's position is a sum along the chain of bodies that carries it, each term in proportion to
that body's size:

    p = root + sum over bodies b of  R_b diag(s_b) R_b^T d_b,

d_b being the vector inside body b from the joint that moves it to the next joint, or to the
marker. So the s of all frames come from one small system of normal equations, the root eliminated
frame by frame.

Factors from distances of marker pairs in the model's default pose, as OpenSim's ScaleTool takes
them, leave RMS marker errors of 17.4-20.0 mm where this leaves 13.2-15.5 (OpenCap, kinefit's demo);
leg angles are as far off (2.1-3.2 against 2.0-4.6 degrees). A factor for every axis of pelvis and
trunk gains 0.3-3 mm, but makes a trunk 1.48 times as deep and 0.85 as high.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.biomech.opensim.frame import Task, first_pose, minimise
from kinefit.biomech.opensim.model import BodyModel
from kinefit.biomech.opensim.sets import table
from kinefit.biomech.opensim.solve import track
from kinefit.types import BoolArray, FloatArray, IntArray, TooFewPoints, all_finite

_FRAMES = 25  # against 100 frames, no factor differs by more than 0.3 %, three clips
_ROUNDS = 6  # the first finds one factor for all; a further two gain 0.05-0.1 mm
# Of the solver, for the pose that the size of the whole is found in, and in rounds after the first:
# poses and sizes come to rest together.
_FIRST_STEPS, _STEPS = 12, 3
_RIDGE = 1e-3  # of the mean information per factor: for bodies without markers of their own
_OUTLIER = 3.0  # times a marker's median error: beyond, its weight falls (Huber 1964)
_PLAUSIBLE = (0.4, 1.8)  # a child of one metre; nobody is 1.8 times the generic model


@dataclass(frozen=True, eq=False)
class Sizes:
    """Scale factors of each body, (x, y, z) in its axes, against the generic model."""

    factors: dict[str, tuple[float, float, float]]

    def times(self, more: Sizes) -> Sizes:
        """Both, one after the other."""
        out = dict(self.factors)
        for body, (x, y, z) in more.factors.items():
            a, b, c = out.get(body, (1.0, 1.0, 1.0))
            out[body] = a * x, b * y, c * z
        return Sizes(out)

    @property
    def implausible(self) -> list[str]:
        """Bodies whose factors no person has."""
        low, high = _PLAUSIBLE
        return [b for b, f in self.factors.items() if not all(low <= x <= high for x in f)]


def fit_sizes(model: BodyModel, task: Task, xyz: FloatArray) -> Sizes:
    """Scale `model` to the markers, in place, and return the factors.

    xyz: (T, M, 3) metres in the order of the model's markers, NaN where missing; the frames
    with the most markers, spread over the clip, are used. Raises TooFewPoints when no frame has
    three markers.
    """
    xyz = xyz[_choose(xyz, task.weights > 0)]
    links = _links(model)
    pose = first_pose(model, task, xyz[:1], _FIRST_STEPS)
    weights = np.where(all_finite(xyz[:1]), task.weights, 0.0)
    # The whole by one factor, so that no marker is far off for the size alone.
    sizes = _least_squares(model, pose, xyz[:1], weights, links, _whole(model))
    model.try_scale(sizes.factors)
    poses = track(model, task, xyz, pose)
    for round_ in range(_ROUNDS):
        if round_:
            poses = minimise(model, task, xyz, poses, _STEPS)[0]
        error = np.linalg.norm(model.positions(poses) - xyz, axis=-1)
        weights = _robust(np.where(task.weights > 0, error, np.nan)) * task.weights
        key = _whole(model) if round_ == 0 else _groups(model)
        step = _least_squares(model, poses, xyz, weights, links, key)
        sizes = sizes.times(step)
        model.try_scale(sizes.factors)
    model.scale(sizes.factors)
    return sizes


def _choose(xyz: FloatArray, used: BoolArray) -> IntArray:
    """Frames spread over those that have the most of the markers `used`."""
    count = all_finite(xyz)[:, used].sum(1)
    if count.max(initial=0) < 3:
        raise TooFewPoints("Markers to scale from", found=int(count.max(initial=0)), needed=3)
    rich = np.flatnonzero(count >= min(int(count.max()), np.percentile(count, 60)))
    return np.asarray(rich[np.unique(np.linspace(0, len(rich) - 1, _FRAMES).astype(int))])


def _robust(error: FloatArray) -> FloatArray:
    """(T, M) weights that fall off where a marker is much further off than it usually is."""
    seen = np.isfinite(error).any(0)
    usual = np.full(error.shape[1], np.inf)
    usual[seen] = np.nanmedian(error[:, seen], axis=0)
    ratio = np.nan_to_num(error / np.maximum(_OUTLIER * usual, 1e-4))
    return np.where(np.isfinite(error), 1.0 / np.maximum(ratio, 1.0), 0.0)


def _least_squares(
    model: BodyModel,
    q: FloatArray,
    xyz: FloatArray,
    weights: FloatArray,
    links: IntArray,
    key: list[tuple[str, ...]],
) -> Sizes:
    """The factors (relative to the model as it is) that bring its markers nearest to `xyz`.

    weights: (T, M). links: see `_links`. key: for each body's x, y, z the names of the factor that
    scales it.
    """
    names = sorted({name for keys in key for name in keys})
    column = np.array([[names.index(name) for name in keys] for keys in key])
    parts, root = _parts(model, q, links, column)
    total = np.maximum(weights.sum(1, keepdims=True), np.finfo(float).tiny)
    share = (weights / total)[:, :, None]
    target = np.nan_to_num(xyz) - root[:, None]
    # The root's translation is free in every frame: only what differs between markers counts.
    target -= (share * target).sum(1, keepdims=True)
    parts -= (share[..., None] * parts).sum(1, keepdims=True)
    weighted = (share[..., None] * parts).reshape(-1, len(names)).T
    normal, right = weighted @ parts.reshape(-1, len(names)), weighted @ target.ravel()
    ridge = _RIDGE * np.trace(normal) / len(names)
    factor = np.linalg.solve(normal + ridge * np.eye(len(names)), right + ridge)
    chosen = factor[column].tolist()
    return Sizes({body: (x, y, z) for body, (x, y, z) in zip(model.bodies, chosen, strict=True)})


def _links(model: BodyModel) -> IntArray:
    """(N, 3) for each body on the way from each marker to the root: the marker, the body's place in
    the model's, and that of the body before it, whose joint the vector ends at; -1: at the
    marker."""
    found = []
    for i, body in enumerate(model.marker_bodies):
        before = -1
        for link in model.chain(body):
            found.append((i, model.bodies.index(link), before))
            before = model.bodies.index(link)
    return np.array(found)


def _parts(
    model: BodyModel, q: FloatArray, links: IntArray, column: IntArray
) -> tuple[FloatArray, FloatArray]:
    """(T, M, 3, F) what each factor adds to each marker's position in poses (T, C), and the root
    (T, 3).

    links: see `_links`. column: (B, 3) the factor of each body's x, y and z.
    """
    axes, _, joint = model.body_frames(q)
    positions, count = model.positions(q), int(column.max()) + 1
    marker, link, before = links.T
    end = np.where(before[:, None] < 0, positions[:, marker], joint[:, before])
    inside = ((end - joint[:, link])[..., None, :] @ axes[:, link])[..., 0, :]
    added = (axes[:, link] * inside[..., None, :]).swapaxes(2, 3)
    # Sums over what has marker and factor in common.
    key = (marker[:, None] * count + column[link]).ravel()
    order = np.argsort(key, kind="stable")
    here, first = np.unique(key[order], return_index=True)
    sums = np.zeros((len(q), len(model.markers) * count, 3))
    sums[:, here] = np.add.reduceat(added.reshape(len(q), -1, 3)[:, order], first, axis=1)
    parts = sums.reshape(len(q), len(model.markers), count, 3).swapaxes(2, 3)
    return np.ascontiguousarray(parts), joint[:, link[-1]]


def _whole(model: BodyModel) -> list[tuple[str, ...]]:
    return [("body",) * 3 for _ in model.bodies]


def _groups(model: BodyModel) -> list[tuple[str, ...]]:
    """For each body's x, y, z the name of its factor: left and right, and what belongs together."""
    groups, wide = table()["scaling"]["groups"], table()["scaling"]["wide"]

    def group(body: str) -> str:
        starts = ((name, start) for name, all_ in groups.items() for start in all_)
        return next((name for name, start in starts if body.startswith(start)), body)

    names = [group(body) for body in model.bodies]
    return [(n, n, f"{n} width" if n in wide else n) for n in names]
