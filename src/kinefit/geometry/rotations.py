"""Rotation matrices, anatomical frames and Euler angles; any leading batch axes, radians.

A rotation matrix (..., 3, 3) holds the axes of the rotated frame in its columns: it takes
coordinates in that frame to coordinates in the frame it is expressed in. A sequence such as "ZXY"
is intrinsic: R = Rz(a) Rx(b) Ry(c), each about the axis as turned by those before. NaN in one
sample stays in that sample.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kinefit.types import FloatArray

_AXES = {"X": 0, "Y": 1, "Z": 2}
# Nearer than this (radians) the first and third angle hold nothing but rounding: their
# numerators are below 1e-9 of a matrix entry whose own rounding is 1e-16, times marker noise.
_AT_SINGULARITY = 1e-9


def cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Cross product over the last axis; five times as fast as numpy's on (10000, 3)."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def norm(vector: FloatArray) -> FloatArray:
    """(...,) length of `vector` (..., 3)."""
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", vector, vector)))


def unit(vector: FloatArray) -> FloatArray:
    """`vector` (..., 3) at length one; NaN where it is zero."""
    length = norm(vector)[..., None]
    return vector / np.where(length > 0, length, np.nan)


def skew(vector: FloatArray) -> FloatArray:
    """(..., 3, 3) matrix K with K @ x = vector x x, of `vector` (..., 3)."""
    out = np.zeros((*vector.shape, 3))
    x, y, z = np.moveaxis(vector, -1, 0)
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -z, y, -x
    out[..., 1, 0], out[..., 2, 0], out[..., 2, 1] = z, -y, x
    return out


def frame(axes: str, primary: FloatArray, secondary: FloatArray) -> FloatArray:
    """(..., 3, 3) right-handed frame from two directions.

    axes: two of "XYZ"; axes[0] lies exactly along `primary`, axes[1] in the half plane of
        `secondary`.
    primary, secondary: (..., 3), any length. NaN where they are zero or parallel.
    """
    i, j = (_AXES[letter] for letter in axes)
    k, sign = 3 - i - j, _parity(i, j)
    first = unit(primary)
    third = unit(cross(first, secondary)) * sign
    out = np.empty((*first.shape, 3))
    out[..., i], out[..., k] = first, third
    out[..., j] = cross(third, first) * sign
    return out


def frame_derivative(primary: FloatArray, secondary: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How `frame` turns when its two directions move: (..., 3, 3) each, radians per metre.

    The frame turns by the rotation vector A d(primary) + B d(secondary), in the coordinates of
    the directions. With u along the primary, n along primary x secondary and s the distance of
    the secondary from the primary's line: moving the primary turns the frame by u x dp / |p|
    across u; the turn about u is n . (dq - turn x q) / s.
    """
    length = norm(primary)[..., None, None]
    u = unit(primary)
    normal = cross(u, secondary)
    reach = norm(normal)[..., None, None]
    n = unit(normal)
    across = skew(u) / length
    about = u[..., :, None] * n[..., None, :] / reach
    return across + about @ skew(secondary) @ across, about


def compose(angles: FloatArray, sequence: str) -> FloatArray:
    """(..., 3, 3) rotation from `angles` (..., 3) about the intrinsic `sequence`."""
    first, second, third = (_turn(letter, angles[..., i]) for i, letter in enumerate(sequence))
    return first @ second @ third


def decompose(rotation: FloatArray, sequence: str) -> FloatArray:
    """(..., 3) angles of the intrinsic `sequence`, e.g. "ZXY" (Cardan) or "YXY" (Euler).

    The middle angle lies in [-pi/2, pi/2] (Cardan) or [0, pi] (Euler). Every angle is an
    arctangent of two entries, so that nothing is clamped. The third is read from what the first
    leaves, so that the three always make up the rotation: at the singularity, where only their
    sum or difference is known, the first holds what rounding leaves and the third the rest.
    """
    i, j, k = (_AXES[letter] for letter in sequence)
    q, sign, R = 3 - i - j, _parity(i, j), rotation
    if i != k:
        first = np.arctan2(-sign * R[..., j, k], R[..., k, k])
        middle = np.arctan2(sign * R[..., i, k], np.hypot(R[..., i, i], R[..., i, j]))
    else:
        first = np.arctan2(R[..., j, i], -sign * R[..., q, i])
        middle = np.arctan2(np.hypot(R[..., j, i], R[..., q, i]), R[..., i, i])
    # Row j of the rest; the turn about axis j leaves it alone.
    cosine, sine = np.cos(first), sign * np.sin(first)
    across = cosine * R[..., j, j] + sine * R[..., q, j]
    side = i if i != k else q
    along = (cosine * R[..., j, side] + sine * R[..., q, side]) * (sign if i != k else -sign)
    return np.stack([first, middle, np.arctan2(along, across)], axis=-1)


def cardan_jacobian(angles: FloatArray, sequence: str) -> FloatArray:
    """(..., 3, 3) derivative of `decompose` by d in R exp(d), at its `angles` (..., 3).

    sequence: of three different axes i, j, k. Before the last turn the increment is d' = A_k d,
    and d' = a' (cos b e_i + s sin b e_k) + b' e_j + c' e_k (s the sequence's parity). Within 0.6
    degrees of the singularity, where a' has no bound, that of its edge.
    """
    i, j, k = (_AXES[letter] for letter in sequence)
    last = np.zeros(angles.shape)
    last[..., k] = angles[..., 2]
    moved = exp(last)
    cosine = np.maximum(np.cos(angles[..., 1]), 0.01)[..., None]
    first = moved[..., i, :] / cosine
    third = moved[..., k, :] - _parity(i, j) * np.sin(angles[..., 1])[..., None] * first
    return np.stack([first, moved[..., j, :], third], axis=-2)


def singularity_distance(angles: FloatArray, sequence: str) -> FloatArray:
    """(...,) how far the middle angle is from where the first and third axes coincide."""
    middle = angles[..., 1]
    # The singular middle angles are pi apart: 90 + n 180 degrees (Cardan), n 180 (Euler).
    start = 0.0 if _is_euler(sequence) else np.pi / 2
    return np.asarray(np.abs(wrap(2 * (middle - start)) / 2))


def continuous(angles: FloatArray, sequence: str) -> FloatArray:
    """`angles` (T, 3) of a `sequence` without jumps along time.

    Two triples describe each rotation: (a, b, c) and (a + pi, pi - b, c + pi) for Cardan
    sequences, (a + pi, -b, c + pi) for Euler ones; the nearer to the sample before is taken. At
    the singularity itself only a + c or a - c is known: a is interpolated, c carries the rest.
    Samples with NaN are passed over. The branch with more samples inside the range of
    `decompose` wins, and whole turns are chosen so that medians lie in [-pi, pi].
    """
    out = np.array(angles, dtype=np.float64)
    lost = singularity_distance(out, sequence) < _AT_SINGULARITY
    known = np.isfinite(out).all(axis=-1) & ~lost
    first, middle, last = out[known].T
    middle = -middle if _is_euler(sequence) else np.pi - middle
    other = np.stack([first + np.pi, middle, last + np.pi], axis=-1)
    out[known] = unwrap(_nearest(out[known], other, wrap))
    if lost.any() and known.any():
        i, j, k = (_AXES[letter] for letter in sequence)
        middle = out[lost, 1]
        joined = np.sign(np.cos(middle) if i == k else _parity(i, j) * np.sin(middle))
        held = np.interp(np.flatnonzero(lost), np.flatnonzero(known), out[known, 0])
        out[lost, 2] += joined * (out[lost, 0] - held)
        out[lost, 0] = held
    return unwrap(out)


def continuous_swing_twist(angles: FloatArray) -> FloatArray:
    """`angles` (T, 3) of `swing_twist` without jumps along time, also through a swing of pi.

    A swing by x about an axis is one by x - 2 pi; the nearer to the sample before is taken.
    """
    out = np.array(angles, dtype=np.float64)
    known = np.isfinite(out).all(axis=-1)
    twist = np.array([False, True, False])
    other = out[known]
    arc = np.hypot(other[:, 0], other[:, 2])[:, None]
    other[:, ::2] *= 1 - 2 * np.pi / np.where(arc > 0, arc, np.inf)
    out[known] = _nearest(out[known], other, lambda d: np.where(twist, wrap(d), d))
    out[:, 1] = unwrap(out[:, 1])
    return out


def _nearest(
    angles: FloatArray, other: FloatArray, step: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Of the two solutions (T, 3) of each sample the one nearer to the sample before.

    step: how far apart two triples are, component by component, from their difference.

    Changing over is an isometry (of swings: near the singularity, where alone it happens), so
    whether to do it at a sample depends on that sample and the one before only, and the running
    parity of the changes is the branch.
    """
    stay = np.abs(step(angles[1:] - angles[:-1])).sum(-1)
    change = np.abs(step(other[1:] - angles[:-1])).sum(-1)
    branch = np.logical_xor.accumulate(np.concatenate([[False], change < stay]))[: len(angles)]
    if branch.sum() > len(branch) / 2:
        branch = ~branch
    return np.where(branch[:, None], other, angles)


def unwrap(angles: FloatArray) -> FloatArray:
    """`angles` (T, ...) without whole-turn jumps along the first axis, median in [-pi, pi].

    Samples with NaN are bridged column by column: the turn is counted from the last finite one.
    """
    out = np.array(angles, dtype=np.float64)
    for index in np.ndindex(out.shape[1:]):
        column = out[(slice(None), *index)]
        good = np.isfinite(column)
        if good.any():
            turned = np.unwrap(column[good])
            column[good] = turned - 2 * np.pi * np.round(np.median(turned) / (2 * np.pi))
    return out


def wrap(angle: FloatArray) -> FloatArray:
    """The same angle in [-pi, pi]; values already there are returned to the last bit."""
    return np.asarray(angle - 2 * np.pi * np.round(np.asarray(angle) / (2 * np.pi)))


def difference_deg(a: FloatArray, b: FloatArray) -> FloatArray:
    """Degrees from b to a, the shorter way around: in [-180, 180)."""
    return np.asarray((a - b + 180) % 360 - 180)


def swing_twist(rotation: FloatArray) -> FloatArray:
    """(..., 3) swing about X, twist about Y, swing about Z: R = exp(swing) Ry(twist).

    The swing takes the proximal Y axis to the distal one on the shortest arc; its rotation vector
    (sx, 0, sz) has the arc's length. Smooth everywhere except where the two Y axes are opposite
    (a swing of pi: no arc is the shortest, NaN), so also at rest. The twist is 2 atan2(y, w) of
    the quaternion, with 4wy = R02 - R20 and 2(w^2 - y^2) = R00 + R22 (Grassia 1998, J Graph
    Tools 3(3), section 4).
    """
    R = rotation
    across = np.hypot(R[..., 0, 1], R[..., 2, 1])
    arc = np.arctan2(across, R[..., 1, 1])
    ratio = np.where(across == 0, 1.0, arc / np.where(across == 0, 1.0, across))
    ratio[arc > np.pi - _AT_SINGULARITY] = np.nan
    twist = np.arctan2(R[..., 0, 2] - R[..., 2, 0], R[..., 0, 0] + R[..., 2, 2])
    return np.stack([R[..., 2, 1] * ratio, twist + 0 * ratio, -R[..., 0, 1] * ratio], axis=-1)


def from_swing_twist(angles: FloatArray) -> FloatArray:
    """(..., 3, 3) rotation from the (..., 3) angles of `swing_twist`."""
    swing = np.array(angles, dtype=np.float64)
    swing[..., 1] = 0.0
    return exp(swing) @ _turn("Y", angles[..., 1])


def exp(vector: FloatArray) -> FloatArray:
    """(..., 3, 3) rotation by `vector` (..., 3): its direction is the axis, its length radians."""
    angle = norm(vector)[..., None, None]
    K = skew(vector)
    # sinc keeps sin(x)/x and (1 - cos x)/x^2 = sinc(x/2)^2 / 2 exact at zero (Rodrigues).
    a, b = np.sinc(angle / np.pi), np.sinc(angle / (2 * np.pi)) ** 2 / 2
    return np.asarray(np.eye(3) + a * K + b * (K @ K))


def log(rotation: FloatArray) -> FloatArray:
    """(..., 3) rotation vector of `rotation` (..., 3, 3), at most pi long: the inverse of `exp`.

    All digits hold for the smallest turns and for half turns. Of the two vectors of a half turn
    either may come.
    """
    q = to_quaternion(rotation)
    sine = norm(q[..., :3])[..., None]
    angle = 2 * np.arctan2(sine, q[..., 3:])
    # At zero angle / sine is 2, its limit; the vector below is zero there all the same.
    return np.asarray(q[..., :3] * np.where(sine == 0, 2.0, angle / np.where(sine == 0, 1.0, sine)))


def slerp(start: FloatArray, end: FloatArray, share: FloatArray | float) -> FloatArray:
    """(..., 3, 3) the rotation at `share` (0..1) of the shortest way from `start` to `end`.

    share: any shape that broadcasts with the leading axes; beyond 0..1 it goes on rotating.
    """
    turn = log(np.swapaxes(start, -1, -2) @ end)
    return np.asarray(start @ exp(np.asarray(share)[..., None] * turn))


def to_quaternion(rotation: FloatArray) -> FloatArray:
    """(..., 4) unit quaternion (x, y, z, w), w >= 0, of `rotation` (..., 3, 3).

    q and -q are the same rotation: along time the caller chooses. The symmetric matrix 4 q q^T
    has entries that are sums of those of R; its row with the largest diagonal, at length one, is
    q, and nothing is lost in it by cancellation (Shepperd 1978, J Guidance and Control 1(3)).
    """
    R = rotation
    trace = R[..., 0, 0] + R[..., 1, 1] + R[..., 2, 2]
    four = np.empty((*R.shape[:-2], 4, 4))
    four[..., :3, :3] = R + np.swapaxes(R, -1, -2)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        four[..., i, i] = 1 + 2 * R[..., i, i] - trace
        four[..., i, 3] = four[..., 3, i] = R[..., k, j] - R[..., j, k]
    four[..., 3, 3] = 1 + trace
    best = np.einsum("...ii->...i", four).argmax(axis=-1)
    row = np.take_along_axis(four, best[..., None, None], axis=-2)[..., 0, :]
    return np.asarray(row / np.copysign(np.sqrt((row**2).sum(-1)), row[..., 3])[..., None])


def two_axis_angles(rotation: FloatArray, proximal: FloatArray, distal: FloatArray) -> FloatArray:
    """(..., 2) angles about two axes that need not be perpendicular: R ~ exp(a p) exp(b d).

    proximal, distal: (3,) unit axes, fixed in the proximal and in the distal segment, both as
    seen with the segments aligned. The second turn leaves d alone, so the first is what takes d
    to R d about p; likewise the other way round. A rotation outside the two-parameter family
    (markers are no perfect joint) splits as in Grood & Suntay 1983, about their common normal.
    """
    first = _angle_about(proximal, distal, rotation @ distal)
    second = _angle_about(distal, np.swapaxes(rotation, -1, -2) @ proximal, proximal)
    return np.stack([first, second], axis=-1)


def _angle_about(axis: FloatArray, start: FloatArray, end: FloatArray) -> FloatArray:
    """Signed angle about the unit `axis` from `start` to `end`, seen along the axis."""
    sine = (axis * cross(*np.broadcast_arrays(start, end))).sum(-1)
    cosine = (start * end).sum(-1) - (start @ axis) * (end @ axis)
    return np.asarray(np.arctan2(sine, cosine))


def _is_euler(sequence: str) -> bool:
    return sequence[0] == sequence[2]


def _parity(i: int, j: int) -> int:
    """+1 when axis j follows axis i in the cycle X, Y, Z; else -1."""
    return 1 if (j - i) % 3 == 1 else -1


def _turn(letter: str, angle: FloatArray) -> FloatArray:
    i = _AXES[letter]
    j, k = (i + 1) % 3, (i + 2) % 3
    out = np.zeros((*np.shape(angle), 3, 3))
    out[..., i, i] = 1.0
    out[..., j, j] = out[..., k, k] = np.cos(angle)
    out[..., k, j] = np.sin(angle)
    out[..., j, k] = -out[..., k, j]
    return out
