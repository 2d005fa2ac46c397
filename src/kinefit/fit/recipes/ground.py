"""One camera: which way is up and where the floor is, from where a fitted body's feet stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.body.contact import STANDS
from kinefit.types import FloatArray, true_runs

# One standard deviation of a standing point's height over the floor (shoes, pose errors), and of
# its depth, of the distance: a fit to one camera sees what is across the line of sight.
_HEIGHT_M, _DEPTH_SD = 0.02, 0.03
_PASSES = 6


@dataclass(frozen=True, eq=False)
class Ground:
    """anchors: (T, P, 3) metres, where points of the feet rest while they stand; NaN otherwise.
    up: (3,) unit. up_sd: radians, about each horizontal axis. floor: metres along `up`; NaN
    where nothing stands.
    """

    anchors: FloatArray
    up: FloatArray
    up_sd: float
    floor: float


def find_ground(
    feet: FloatArray,
    probability: FloatArray,
    above: FloatArray,
    centre: FloatArray,
    gravity_sd: float,
) -> Ground:
    """The plane under the feet, Y about up; each phase of standing is one witness of it.

    feet: (T, P, 3) metres, points of the feet; probability: (T, P) that each stands.
    above: (P,) metres that each is above its sole. centre: (3,) metres, the camera's.
    gravity_sd: radians, how far Y may be from up; 0 where it is known.

    With places (x, y, z), up is (u, 1, w) and y + u x + w z = floor + above: linear, with the
    prior u, w = 0. A foot that is held still in the air is on no floor: Cauchy's kernel.
    """
    phases = [
        (first, last, p)
        for p in range(feet.shape[1])
        for first, last in true_runs(probability[:, p] > STANDS)
    ]
    anchors = np.full(feet.shape, np.nan)
    for first, last, p in phases:
        anchors[first:last, p] = np.average(
            feet[first:last, p], axis=0, weights=probability[first:last, p]
        )
    if not phases:
        return Ground(anchors, np.array([0.0, 1.0, 0.0]), gravity_sd, float("nan"))
    places = np.array([anchors[first, p] for first, _, p in phases])
    ray = places - centre
    sigma = np.hypot(_HEIGHT_M, _DEPTH_SD * np.abs(ray[:, 1]))
    rows = np.column_stack([places[:, 0], places[:, 2], -np.ones(len(places))])
    off = places[:, 1] - above[[p for *_, p in phases]]
    prior = np.diag([max(gravity_sd, 1e-6) ** -2, max(gravity_sd, 1e-6) ** -2, 1e-4])
    kernel, solution, information = np.ones(len(places)), np.zeros(3), prior
    for _ in range(_PASSES):
        weight = kernel / sigma**2
        information = (rows * weight[:, None]).T @ rows + prior
        solution = np.linalg.solve(information, -rows.T @ (weight * off))
        kernel = 1 / (1 + ((rows @ solution + off) / (2 * sigma)) ** 2)
    up = np.array([solution[0], 1.0, solution[1]])
    length = float(np.linalg.norm(up))
    covariance = np.linalg.inv(information)
    up_sd = float(np.sqrt((covariance[0, 0] + covariance[1, 1]) / 2))
    return Ground(anchors, up / length, up_sd, float(solution[2]) / length)
