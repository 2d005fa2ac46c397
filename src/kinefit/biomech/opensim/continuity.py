"""Poses of a clip that turn least from frame to frame, where several fit the markers.

Two kinds of such poses: the other set of three angles for the same turn of a joint, and limbs that
markers hardly determine, as an arm that is nearly straight around its own axis: there noise of
6 mm makes costs differ by 5 % either way.
"""

from __future__ import annotations

import numpy as np

from kinefit.biomech.opensim.model import BodyModel
from kinefit.geometry.rotations import wrap
from kinefit.types import BoolArray, FloatArray, IntArray


def three_turns(model: BodyModel, free: BoolArray) -> list[IntArray]:
    """(3,) coordinates of each joint that has three turns, all of them `free` (C,)."""
    turns = {c.joint: np.zeros(0, int) for c in model.coordinates}
    for i, c in enumerate(model.coordinates):
        if c.motion == "rotation" and free[i]:
            turns[c.joint] = np.append(turns[c.joint], i)
    return [three for three in turns.values() if len(three) == 3]


def other_angles(model: BodyModel, q: FloatArray, three: IntArray) -> FloatArray:
    """(T, C) the same poses with the other set of angles for a joint of coordinates `three`.

    Of turns about axes that are at right angles, (a, b, c) and (a + pi, pi - b, c + pi) are one;
    each is given within half a turn of its default.
    """
    other, middle = q.copy(), model.default[three]
    angles = q[:, three] * (1.0, -1.0, 1.0) + np.pi
    other[:, three] = middle + wrap(angles - middle)
    return model.tie(other)


def smoothest(poses: FloatArray, price: FloatArray) -> IntArray:
    """(T,) which of K poses to take in each frame, for the least sum of squared turns and prices.

    poses: (K, T, D) angles, radians. price: (K, T) radians squared; infinite where a pose is not to
    be taken. The Viterbi algorithm (Bishop 2006, Pattern Recognition and Machine Learning, section
    13.2.5).
    """
    turns = (wrap(poses[None, :, 1:] - poses[:, None, :-1]) ** 2).sum(-1)  # from, to
    total, came = price[:, 0], np.zeros(price.shape, int)
    for k in range(1, price.shape[1]):
        ways = total[:, None] + turns[..., k - 1]
        came[:, k] = ways.argmin(0)
        total = ways.min(0) + price[:, k]
    chosen = np.full(price.shape[1], total.argmin())
    for k in range(price.shape[1] - 1, 0, -1):
        chosen[k - 1] = came[chosen[k], k]
    return chosen
