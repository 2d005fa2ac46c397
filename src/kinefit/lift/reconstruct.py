"""From directions of limbs and points in a picture to joints in space, by least squares.

Xiang, Joo & Sheikh 2019, "Monocular total capture", CVPR: a part orientation field says where a
limb points, the picture says on which ray a joint lies, and one length in metres says how far away
all of it is. Three kinds of equations, each divided by its standard deviation:

- a point: X = x z and Y = y z, with (x, y) the normalised pixel; sd: that of the pixel, times z
  over the focal length;
- across a limb: the part of end - start at right angles to its direction u is 0; sd: length times
  spread;
- along a limb: end - start is as long as the limb; sd: how well the length is known.

Their coefficients hold the unknown depth, and the direction in which the limb really lies. A first
pass has z from similar triangles and u itself, and is linear; each later one is a Gauss-Newton step
on the errors in pixels and in length, from the joints of the pass before.

Shoulders and hips hold four chains of two limbs. These are eliminated from their ends towards the
trunk, whose 12 unknowns are solved at once, and found again outwards: a dense solution of all 36
with its inverse takes twice as long, and agrees to 1e-10. Lengths are unknowns too, the same in all
frames and on both sides, with a prior of proportions; they are a border of the normal matrix (Schur
complement). Inside, everything is in lengths of the torso, so that nothing depends on the unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kinefit.geometry.projection import rays
from kinefit.skeletons import skeleton
from kinefit.skeletons.limbs import LIMBS, ends
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData, TooFewPoints, all_finite
from kinefit.types.arrays import freeze_arrays, frozen_array

HEIGHT_TO_TORSO_RATIO = 3.4
"""Stature over torso, mid-shoulder to mid-hip: 3.38 in de Leva's men (1996, J Biomech 29:1223),
3.36 in Anny's adults (SD 4 %). `geometry.scale` has what ANSUR says of surface landmarks, 3.28."""

COCO = skeleton("coco17").points
_CHAINS = [[side + n for n in names] for names in (("Shoulder", "Elbow", "Wrist"),
           ("Hip", "Knee", "Ankle")) for side in "LR"]  # fmt: skip
_JOINTS = [name for chain in _CHAINS for name in chain]  # joint 3 c is where chain c begins
_BODY = [COCO.index(name) for name in _JOINTS]
_FACE = [i for i in range(len(COCO)) if i not in _BODY]
_ENDS = ends(_JOINTS, LIMBS)
_PAIRS = [tuple(pair) for pair in _ENDS.tolist()]
_IN_CHAIN = np.array([[_PAIRS.index((3 * c + k, 3 * c + k + 1)) for k in (0, 1)] for c in range(4)])
_IN_TRUNK = [i for i in range(len(LIMBS)) if i not in _IN_CHAIN]
_INCIDENCE = np.zeros((len(_JOINTS), len(LIMBS)))  # +1 where a limb ends, -1 where it starts
_INCIDENCE[_ENDS[:, 1], range(len(LIMBS))] = 1
_INCIDENCE[_ENDS[:, 0], range(len(LIMBS))] = -1

# Lengths in torsos and their SD between people, relative. Of 300 random adults of Anny, between
# COCO's points (SD there 8-10 %); de Leva's means of men and women are within 3 % for upper arm and
# thigh, and 9-12 % longer for forearm and shank, whose joints he puts elsewhere. Trunk and
# diagonal are the sides of the flat trapezoid of the others (SD there 0.4 and 1.6 %), and get 2 and
# 3 % because trunks bend.
_PROPORTIONS = {
    "upper arm": (0.535, 0.09),
    "forearm": (0.47, 0.09),
    "thigh": (0.777, 0.09),
    "shank": (0.781, 0.09),
    "shoulders": (0.638, 0.09),
    "hips": (0.382, 0.09),
    "trunk": (1.008, 0.02),
    "diagonal": (1.122, 0.03),
}
_GROUPS = list(_PROPORTIONS)
_GROUP = np.array([_GROUPS.index(limb.name.removeprefix("left ").removeprefix("right "))
                   for limb in LIMBS])  # fmt: skip
_RATIO, _RATIO_SD = np.array(list(_PROPORTIONS.values())).T
_MOST_SD = 3.0  # lengths that a clip would have beyond this are cut off here
_DIAGONAL_SD = 0.04  # relative, over a movement, as the trunk's: `limbs.toml` has none for it
_WITHIN = np.array([limb.length_sd or _DIAGONAL_SD for limb in LIMBS])
# The square of the torso is this sum of squares over the lengths, once for each group (Euler's
# theorem on the midpoints of a quadrilateral's sides).
_TORSO_SQUARE = np.array(
    [{"trunk": 0.5, "diagonal": 0.5, "shoulders": -0.25, "hips": -0.25}.get(g, 0) for g in _GROUPS]
)

_ANYWHERE = 10.0  # depths, SD of a prior that only keeps the equations solvable
_STRAY = 4.0  # times as near or far, long or short as expected: no place to linearise at
_NEAREST, _FARTHEST, _UNGUESSED = 1.0, 300.0, 8.0  # torsos, of the depth to begin with
_UNDETERMINED = 0.5  # of the depth: a joint with a larger deviation is not known
# Smaller deviations than these (radians) are taken as these: the equations stay well conditioned.
_LEAST_SPREAD, _LEAST_PIXEL = 1e-3, 1e-4
_PASSES, _LENGTH_PASSES = 3, 3
# Errors of a network last from frame to frame: a clip tells lengths as this many frames would.
_INDEPENDENT, _LENGTH_FRAMES = 30.0, 300
_BLOCK = 256  # frames at a time, so that what is needed on the way stays small
_FACE_SD = 0.3  # torsos; noses and ears are 0.4 to 0.5 from the mid-shoulder, in any direction


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A person's joints over T frames.

    xyz: (T, 17, 3) metres, camera axes, joints of COCO; NaN where nothing determines one.
    covariance: (T, 17, 3, 3) square metres, NaN where `xyz` is. It holds the noise of directions,
        pixels and proportions, not an error of the torso's length, which scales all of a clip.
    lengths, length_sd: (14,) metres of `LIMBS`, and a standard deviation: of what was estimated,
        0 where it was given.
    residual_px: (T, 17) pixels between a joint's projection and where it was seen; NaN where it was
        not, and of points of the face, which lie where they are seen.
    """

    xyz: FloatArray
    covariance: FloatArray
    lengths: FloatArray
    length_sd: FloatArray
    residual_px: FloatArray

    def __post_init__(self) -> None:
        T, J, L = len(self.xyz), len(COCO), len(LIMBS)
        freeze_arrays(self, xyz=(T, J, 3), covariance=(T, J, 3, 3), lengths=(L,), length_sd=(L,),
                      residual_px=(T, J))  # fmt: skip


def reconstruct(
    directions: FloatArray,
    spread: FloatArray,
    xy: FloatArray,
    sigma: FloatArray,
    K: FloatArray,
    *,
    stature_m: float | None = None,
    torso_m: float | None = None,
    lengths: FloatArray | None = None,
) -> Reconstruction:
    """Joints of T frames of one person: see the module.

    directions: (T, 14, 3) unit vectors, camera axes, of `LIMBS` from start to end; NaN where
        unknown. spread: (T, 14) radians, one standard deviation about each axis across the limb.
    xy: (T, 17, 2) pixels without lens distortion, joints of COCO. sigma: (T, 17) pixels, one
        standard deviation of each coordinate; a point without a positive one is not seen.
    K: (3, 3) intrinsics.
    stature_m, torso_m, lengths: what says how large the person is, one of the three: metres of the
        whole; of mid-shoulder to mid-hip; or (14,) of each limb. With `lengths` no frame knows of
        another; else the clip tells the lengths (`HEIGHT_TO_TORSO_RATIO`).

    A joint is NaN unless known directions connect it with at least two seen points that are apart
    in the picture: alone, a point is only a ray. Those of the face, which have no limb, are put on
    their rays at the depth of the mid-shoulder, give or take 0.3 torsos, about 15 cm.

    Raises InvalidData for wrong shapes, units and ranges, and TooFewPoints where no frame has a
    joint.
    """
    given, unit_m = _scale(stature_m, torso_m, lengths)
    clip = _clip(directions, spread, xy, sigma, K, given)
    relative, length_sd = (given, np.zeros(len(LIMBS))) if lengths is not None else _lengths(clip)
    x, covariance = _positions(clip, relative, np.hypot(_WITHIN, length_sd / relative))
    return _result(clip, x, covariance, relative, length_sd, unit_m)


def correct_depth_sign(
    directions: FloatArray, away: FloatArray, threshold: float = 0.5
) -> FloatArray:
    """Directions (..., L, 3), camera axes, with z as a classifier has its sign.

    away: (..., L) probability that z is positive: that the limb points away from the camera. Where
    that, or its opposite, is more probable than `threshold` (0.5 to 1) and z disagrees, z is
    mirrored, which leaves x, y and the length as they are. NaN on either side changes nothing.
    """
    if away.shape != directions.shape[:-1] or directions.shape[-1:] != (3,):
        raise InvalidData(f"Depth signs {away.shape} do not fit directions {directions.shape}.")
    if not 0.5 <= threshold <= 1 or ((away < 0) | (away > 1)).any():
        raise InvalidData("Probabilities of a depth sign and their threshold must lie in 0..1.")
    z = directions[..., 2]
    wrong = ((away > threshold) & (z < 0)) | ((1 - away > threshold) & (z > 0))
    return np.concatenate([directions[..., :2], np.where(wrong, -z, z)[..., None]], axis=-1)


def _scale(
    stature_m: float | None, torso_m: float | None, lengths: FloatArray | None
) -> tuple[FloatArray, float]:
    """(14,) lengths of limbs in torsos, given or expected, and the torso in metres."""
    if sum(value is not None for value in (stature_m, torso_m, lengths)) != 1:
        raise InvalidData("reconstruct needs one of stature_m, torso_m and lengths, and only one.")
    if lengths is not None:
        given = frozen_array("reconstruct", "lengths", lengths, (len(LIMBS),))
        if not ((given > 0.02) & (given < 2)).all():
            raise InvalidData("reconstruct.lengths are not those of a person in metres.")
        square = (_TORSO_SQUARE * _mean_by_group(given**2)).sum()
        if square <= 0:
            raise InvalidData("reconstruct.lengths are those of no trunk: shoulders are too wide.")
        return given / np.sqrt(square), float(np.sqrt(square))
    if stature_m is not None and not 0.5 <= stature_m <= 2.5:
        raise InvalidData(f"reconstruct.stature_m is {stature_m}, which is no height in metres.")
    torso = torso_m if torso_m is not None else (stature_m or 0.0) / HEIGHT_TO_TORSO_RATIO
    if not 0.1 <= torso <= 1:
        raise InvalidData(f"reconstruct.torso_m is {torso}, which is no torso in metres.")
    return _RATIO[_GROUP], float(torso)


def _mean_by_group(values: FloatArray) -> FloatArray:
    """(8,) means of values (14,) over the limbs of a group."""
    return np.bincount(_GROUP, values) / np.bincount(_GROUP)


class _Clip(NamedTuple):
    """What is known, lengths in torsos; chains of three joints first, then limbs.

    ray: (T, 4, 3, 2) normalised pixels. weight: (T, 4, 3) 1 / sd^2 of pixels, 0 where not seen.
    metric: (2, 2) square pixels, that turns normalised pixels into pixels.
    u: (T, 14, 3) directions. across: (T, 14) 1 / spread^2, 0 where not known.
    depth: (T,) from similar triangles.
    face_ray: (T, 5, 2) and face_sd: (T, 5) pixels, NaN where not seen.
    """

    ray: FloatArray
    weight: FloatArray
    metric: FloatArray
    u: FloatArray
    across: FloatArray
    depth: FloatArray
    face_ray: FloatArray
    face_sd: FloatArray

    def rows(self, rows: slice | IntArray) -> _Clip:
        """Only these frames."""
        return _Clip(*(a if a is self.metric else a[rows] for a in self))


def _clip(
    directions: FloatArray,
    spread: FloatArray,
    xy: FloatArray,
    sigma: FloatArray,
    K: FloatArray,
    lengths: FloatArray,
) -> _Clip:
    T, L, J = len(directions), len(LIMBS), len(COCO)
    wanted = {"directions": (T, L, 3), "spread": (T, L), "xy": (T, J, 2), "sigma": (T, J),
              "K": (3, 3)}  # fmt: skip
    values = zip(wanted.items(), (directions, spread, xy, sigma, K), strict=True)
    u, spread, xy, sigma, K = (frozen_array("reconstruct", n, v, s) for (n, s), v in values)
    _check(u, spread, K)
    metric = K[:2, :2].T @ K[:2, :2]
    seen = all_finite(xy) & (sigma > 0)
    ray = rays(K, xy)[..., :2]
    least = _LEAST_PIXEL * np.linalg.det(metric) ** 0.25
    sigma = np.where(seen, np.maximum(sigma, least), np.nan)
    weight = np.where(seen, 1 / sigma**2, 0.0)
    known = all_finite(u) & (spread > 0)
    u = np.where(known[..., None], u, 0.0)
    across = np.where(known, 1 / np.maximum(np.where(known, spread, 1.0), _LEAST_SPREAD) ** 2, 0.0)
    body = np.where(seen[..., None], ray, 0.0)[:, _BODY]
    depth = _similar_triangles(body, u, known & seen[:, _BODY][:, _ENDS].all(axis=-1), lengths)
    return _Clip(body.reshape(T, 4, 3, 2), weight[:, _BODY].reshape(T, 4, 3), metric, u, across,
                 depth, np.where(seen[..., None], ray, np.nan)[:, _FACE],
                 sigma[:, _FACE])  # fmt: skip


def _check(u: FloatArray, spread: FloatArray, K: FloatArray) -> None:
    square = (u**2).sum(axis=-1)
    if (np.abs(square - 1) > 2e-4).any():
        raise InvalidData("reconstruct.directions holds a vector that is not of length one.")
    if (spread <= 0).any():
        raise InvalidData("reconstruct.spread must be positive (radians), or NaN.")
    if not (np.isfinite(K).all() and (np.diag(K) > 0).all() and (K[2] == (0, 0, 1)).all()):
        raise InvalidData("reconstruct.K must be the intrinsics of a pinhole camera, in pixels.")


def _similar_triangles(
    ray: FloatArray, u: FloatArray, usable: BoolArray, lengths: FloatArray
) -> FloatArray:
    """(T,) depth in torsos: what limbs measure at right angles to their rays, over what they
    measure in the picture, summed over limbs."""
    start, end = ray[:, _ENDS[:, 0]], ray[:, _ENDS[:, 1]]
    seen = np.linalg.norm(end - start, axis=-1)
    true = np.linalg.norm(u[..., :2] - (start + end) / 2 * u[..., 2:], axis=-1) * lengths
    total = (seen * usable).sum(axis=1)
    depth = (true * usable).sum(axis=1) / np.where(total > 0, total, np.nan)
    return np.clip(np.where(total > 0, depth, _UNGUESSED), _NEAREST, _FARTHEST)


class _Place(NamedTuple):
    """Where equations are linearised: normalised pixels (T, 4, 3, 2) and depth (T, 4, 3) of joints;
    directions (T, 14, 3) and lengths (T, 14) of limbs."""

    ray: FloatArray
    depth: FloatArray
    limb: FloatArray
    length: FloatArray


def _first_place(clip: _Clip, lengths: FloatArray) -> _Place:
    shape = clip.weight.shape
    depth = np.broadcast_to(clip.depth[:, None, None], shape)
    return _Place(clip.ray, depth, clip.u, np.broadcast_to(lengths, clip.across.shape))


def _place(clip: _Clip, x: FloatArray, lengths: FloatArray) -> _Place:
    """At joints x (T, 4, 3, 3), but for those that are far from where the person seems to be and
    limbs that are of no length near theirs, as where nothing is known."""
    first = _first_place(clip, lengths)
    near = _within(x[..., 2], first.depth)
    depth = np.where(near, x[..., 2], first.depth)
    ray = np.where(near[..., None], x[..., :2] / depth[..., None], first.ray)
    limb, length = _limbs(x)
    near = _within(length, first.length)
    length = np.where(near, length, first.length)
    return _Place(ray, depth, np.where(near[..., None], limb, clip.u), length)


def _within(value: FloatArray, expected: FloatArray) -> BoolArray:
    return np.asarray((value > expected / _STRAY) & (value < expected * _STRAY))


class _Normal(NamedTuple):
    """Normal equations. points: (T, 4, 3, 3, 3) of each joint by itself; limbs: (T, 14, 3, 3)
    of the difference of its ends; right: (T, 4, 3, 3, 1) sides, but for what lengths add: pull:
    (T, 14, 3) times length. along: (T, 14) 1 / sd^2 of the lengths."""

    points: FloatArray
    limbs: FloatArray
    right: FloatArray
    along: FloatArray
    pull: FloatArray


def _normal(clip: _Clip, at: _Place, lengths: FloatArray, relative_sd: FloatArray) -> _Normal:
    """Of points, errors in pixels; of limbs, errors in length, and chords between the direction and
    where the limb lies. lengths, relative_sd: (14,).

    Rejected: end - start at right angles to the direction, over a fixed length. Noise there is less
    in a shorter limb: trunks, which bend, came out short, and lengths 1 to 5 % with them.
    """
    points, right = _point_terms(clip, at)
    across = clip.across / at.length**2
    along = (clip.across > 0) / (lengths * relative_sd) ** 2
    limbs = (
        across[..., None, None] * np.eye(3)
        + (along - across)[..., None, None] * at.limb[..., None] * at.limb[..., None, :]
    )
    cosine = (clip.u * at.limb).sum(axis=-1, keepdims=True)
    sideways = (across * at.length)[..., None] * (clip.u - cosine * at.limb)
    right += _ended(sideways[..., None])
    return _Normal(points, limbs, right, along, along[..., None] * at.limb)


def _point_terms(clip: _Clip, at: _Place) -> tuple[FloatArray, FloatArray]:
    """(T, 4, 3, 3, 3) and (T, 4, 3, 3, 1): A' M A and A' M e over the squares of sd and depth, for
    rows A = (1, 0, -x; 0, 1, -y), errors e and the metric M; and a weak prior."""
    weight = (clip.weight / at.depth**2)[..., None]
    slope = at.ray @ clip.metric
    points = np.empty((*at.depth.shape, 3, 3))
    points[..., :2, :2] = weight[..., None] * clip.metric
    points[..., :2, 2] = points[..., 2, :2] = -weight * slope
    points[..., 2, 2] = weight[..., 0] * (slope * at.ray).sum(axis=-1)
    anywhere = (_ANYWHERE * clip.depth[:, None, None, None]) ** -2
    points += anywhere[..., None] * np.eye(3)
    error = (clip.ray - at.ray) @ clip.metric * (weight * at.depth[..., None])
    toward = -(error * at.ray).sum(axis=-1, keepdims=True)
    right = np.concatenate([error, toward], axis=-1)
    right += (
        anywhere * np.concatenate([at.ray, np.ones_like(toward)], axis=-1) * at.depth[..., None]
    )
    return points, right[..., None]


def _ended(values: FloatArray) -> FloatArray:
    """(T, 4, 3, 3, k) sums over limbs of values (T, 14, 3, k): minus at a start, plus at an end."""
    T, L, _, k = values.shape
    return (_INCIDENCE @ values.reshape(T, L, 3 * k)).reshape(T, 4, 3, 3, k)


class _Eliminated(NamedTuple):
    """A solution (T, 4, 3, 3, k), and what covariances are made of: the trunk's normal matrix
    (T, 12, 12), and of the middle and end of each chain the inverse (T, 4, 3, 3) and the gain."""

    x: FloatArray
    trunk: FloatArray
    middle: tuple[FloatArray, FloatArray]
    end: tuple[FloatArray, FloatArray]


def _solve(normal: _Normal, right: FloatArray) -> _Eliminated:
    """Chains from their ends to the trunk, the trunk, and out again."""
    T, k = len(right), right.shape[-1]
    own = normal.points
    upper, lower = (normal.limbs[:, _IN_CHAIN[:, i]] for i in (0, 1))
    end = _inverse(own[:, :, 2] + lower)
    end_gain = end @ lower
    middle = _inverse(own[:, :, 1] + upper + lower - lower @ end_gain)
    middle_gain = middle @ upper
    at_middle = right[:, :, 1] + np.swapaxes(end_gain, -1, -2) @ right[:, :, 2]
    at_trunk = right[:, :, 0] + np.swapaxes(middle_gain, -1, -2) @ at_middle
    trunk = _trunk(own[:, :, 0] + upper - upper @ middle_gain, normal.limbs)
    x0 = np.linalg.solve(trunk, at_trunk.reshape(T, 12, k)).reshape(T, 4, 3, k)
    x1 = middle_gain @ x0 + middle @ at_middle
    x2 = end_gain @ x1 + end @ right[:, :, 2]
    x = np.stack([x0, x1, x2], axis=2)
    return _Eliminated(x, trunk, (middle, middle_gain), (end, end_gain))


def _inverse(matrices: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.inv(matrices), np.float64)


def _trunk(own: FloatArray, limbs: FloatArray) -> FloatArray:
    """(T, 12, 12) of shoulders and hips (T, 4, 3, 3) and the limbs between them."""
    H = np.empty((len(own), 4, 3, 4, 3))
    for c in range(4):
        H[:, c, :, c] = own[:, c]
    for i in _IN_TRUNK:  # one between any two of the four: nothing stays empty
        a, b = _ENDS[i] // 3
        H[:, a, :, a] += limbs[:, i]
        H[:, b, :, b] += limbs[:, i]
        H[:, a, :, b] = H[:, b, :, a] = -limbs[:, i]
    return H.reshape(-1, 12, 12)


def _covariance(solved: _Eliminated) -> FloatArray:
    """(T, 4, 3, 3, 3) of each joint: blocks of the inverse normal matrix."""
    inverse = _inverse(solved.trunk).reshape(-1, 4, 3, 4, 3)
    blocks = [np.stack([inverse[:, c, :, c] for c in range(4)], axis=1)]
    for inner, gain in (solved.middle, solved.end):
        blocks.append(inner + gain @ blocks[-1] @ np.swapaxes(gain, -1, -2))
    return np.stack(blocks, axis=2)


def _positions(
    clip: _Clip, lengths: FloatArray, relative_sd: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Joints (T, 4, 3, 3) and covariances (T, 4, 3, 3, 3) in torsos, of limbs of known lengths."""
    T = len(clip.depth)
    x, covariance = np.empty((T, 4, 3, 3)), np.empty((T, 4, 3, 3, 3))
    for first in range(0, T, _BLOCK):
        rows = slice(first, first + _BLOCK)
        part = clip.rows(rows)
        solved = _pass(part, _first_place(part, lengths), lengths, relative_sd)
        for _ in range(_PASSES - 1):
            at = _place(part, solved.x[..., 0], lengths)
            solved = _pass(part, at, lengths, relative_sd)
        x[rows], covariance[rows] = solved.x[..., 0], _covariance(solved)
    return x, covariance


def _pass(clip: _Clip, at: _Place, lengths: FloatArray, relative_sd: FloatArray) -> _Eliminated:
    """Joints, of limbs of known lengths (14,)."""
    normal = _normal(clip, at, lengths, relative_sd)
    pull = normal.pull * lengths[:, None]
    return _solve(normal, normal.right + _ended(pull[..., None]))


def _lengths(clip: _Clip) -> tuple[FloatArray, FloatArray]:
    """(14,) lengths in torsos that fit the clip, and their standard deviations.

    Frames that fit worse than others weigh less, so that a stretch of wrong points does not decide.
    Of a clip of more than `_LENGTH_FRAMES` so many are asked, at equal steps.
    """
    T = len(clip.depth)
    if T > _LENGTH_FRAMES:
        clip = clip.rows(np.linspace(0, T - 1, _LENGTH_FRAMES).astype(np.int64))
    groups, inverse = _RATIO, np.diag((_RATIO * _RATIO_SD) ** 2)
    at = _first_place(clip, groups[_GROUP])
    relative_sd = np.hypot(_WITHIN, _RATIO_SD[_GROUP])
    for _ in range(_LENGTH_PASSES):
        normal = _normal(clip, at, groups[_GROUP], relative_sd)
        border = _ended(normal.pull[..., None] * np.eye(len(_GROUPS))[_GROUP][:, None, :])
        solved = _solve(normal, np.concatenate([normal.right, border], axis=-1)).x
        weight = _frame_weights(clip, solved @ np.append(1.0, groups), groups[_GROUP], relative_sd)
        groups, inverse = _shared(normal, border, solved, weight, groups)
        at = _place(clip, solved @ np.append(1.0, groups), groups[_GROUP])
        relative_sd = _WITHIN
    torso = np.sqrt((_TORSO_SQUARE * groups**2).sum())
    return (groups / torso)[_GROUP], np.sqrt(np.diag(inverse))[_GROUP]


def _shared(
    normal: _Normal, border: FloatArray, x: FloatArray, weight: FloatArray, before: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(8,) lengths of groups and their covariance (8, 8): the Schur complement of the joints, the
    prior, and the torso, which is 1.

    border: (T, 4, 3, 3, 8). x: (T, 4, 3, 3, 9) solutions for the points' side and the border's.
    weight: (T,). before: (8,) lengths that the torso is linearised at.
    """
    n = len(_GROUPS)
    sides = (border * weight[:, None, None, None, None]).reshape(-1, n)
    product = sides.T @ x.reshape(-1, n + 1)
    information = np.diag(np.bincount(_GROUP, weight @ normal.along)) - product[:, 1:]
    prior = (_RATIO * _RATIO_SD) ** -2
    torso = np.sqrt((_TORSO_SQUARE * before**2).sum())
    slope = _TORSO_SQUARE * before / torso
    exact = 1e10  # 1 / sd^2: the torso to 1e-5 of itself
    inverse = _inverse(information + np.diag(prior) + exact * np.outer(slope, slope))
    right = product[:, 0] + prior * _RATIO + exact * slope * (1 - torso + slope @ before)
    most = _MOST_SD * _RATIO_SD * _RATIO
    return np.clip(inverse @ right, _RATIO - most, _RATIO + most), inverse


def _frame_weights(
    clip: _Clip, x: FloatArray, lengths: FloatArray, relative_sd: FloatArray
) -> FloatArray:
    """(T,) how much a frame says of lengths, in sum at most `_INDEPENDENT`: a Geman-McClure kernel
    on the mean square error of all of its equations, against twice the median's root."""
    depth = np.maximum(x[..., 2:], clip.depth[:, None, None, None] / _STRAY)
    points = _square_px(clip, x[..., :2] / depth) * clip.weight
    limb, length = _limbs(x)
    known = clip.across > 0
    chord = ((limb - clip.u) ** 2).sum(axis=-1) * clip.across
    limbs = chord + known * ((length / lengths - 1) / relative_sd) ** 2
    count = 2 * (clip.weight > 0).sum(axis=(1, 2)) + 3 * known.sum(axis=1)
    mean = (points.sum(axis=(1, 2)) + limbs.sum(axis=1)) / np.maximum(count, 1)
    usual = float(np.median(mean[count > 0])) if (count > 0).any() else 0.0
    weight = (1 + mean / (4 * usual + 1e-6)) ** -2
    return np.asarray(weight * (_INDEPENDENT / max(weight.sum(), _INDEPENDENT)))


def _limbs(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Directions (T, 14, 3) and lengths (T, 14) of limbs between joints (T, 4, 3, 3)."""
    flat = x.reshape(len(x), len(_JOINTS), 3)
    limb = flat[:, _ENDS[:, 1]] - flat[:, _ENDS[:, 0]]
    length = np.linalg.norm(limb, axis=-1)
    return limb / np.where(length > 0, length, 1.0)[..., None], length


def _result(
    clip: _Clip,
    x: FloatArray,
    covariance: FloatArray,
    lengths: FloatArray,
    length_sd: FloatArray,
    unit_m: float,
) -> Reconstruction:
    """In metres and COCO's order, with what is not determined left out, and the face."""
    T, J = len(x), len(COCO)
    depth = x[..., 2]
    variance = np.trace(covariance, axis1=-2, axis2=-1)
    known = (depth > 0) & (variance > 0) & (variance < (_UNDETERMINED * depth) ** 2)
    if not known.any():
        raise TooFewPoints("joints that limb directions connect", found=_connected(clip), needed=2)
    x = np.where(known[..., None], x, np.nan)
    xyz, spread, residual = (np.full((T, J, *n), np.nan) for n in ((3,), (3, 3), ()))
    xyz[:, _BODY] = x.reshape(T, len(_BODY), 3)
    spread[:, _BODY] = np.where(known[..., None, None], covariance, np.nan).reshape(
        T, len(_BODY), 3, 3
    )
    xyz[:, _FACE], spread[:, _FACE] = _face(clip, xyz, spread)
    square = _square_px(clip, x[..., :2] / x[..., 2:])
    residual[:, _BODY] = np.sqrt(np.where(clip.weight > 0, square, np.nan)).reshape(T, len(_BODY))
    return Reconstruction(xyz * unit_m, spread * unit_m**2, lengths * unit_m, length_sd * unit_m,
                          residual)  # fmt: skip


def _square_px(clip: _Clip, ray: FloatArray) -> FloatArray:
    """(T, 4, 3) squares of distances in pixels between points and normalised pixels."""
    error = ray - clip.ray
    return np.asarray(((error @ clip.metric) * error).sum(axis=-1))


def _connected(clip: _Clip) -> int:
    """The most points of a frame that are seen and are an end of a limb with a direction."""
    known = (clip.across > 0) @ np.abs(_INCIDENCE).T > 0
    return int((known & (clip.weight > 0).reshape(known.shape)).sum(axis=1).max(initial=0))


def _face(clip: _Clip, xyz: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points of the face (T, 5, 3) on their rays at the depth of the mid-shoulder, and covariances
    (T, 5, 3, 3); NaN where a shoulder is not known."""
    shoulders = [COCO.index("LShoulder"), COCO.index("RShoulder")]
    depth = xyz[:, shoulders, 2].mean(axis=1)[:, None]
    # Both shoulders err alike in depth: the mean of their deviations is the most that it can be.
    sd = np.hypot(np.sqrt(covariance[:, shoulders, 2, 2]).mean(axis=1), _FACE_SD)[:, None]
    ray = np.concatenate([clip.face_ray, clip.face_ray[..., :1] * 0 + 1], axis=-1)
    spread = (sd**2)[..., None, None] * ray[..., None] * ray[..., None, :]
    across = (clip.face_sd * depth)[..., None, None] ** 2 * np.linalg.inv(clip.metric)
    spread[..., :2, :2] += across
    return ray * depth[..., None], spread
