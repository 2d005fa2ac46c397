"""Errors of points and limbs, of pixels and masks, and smoothness of motion.

Points may be joints, markers or vertices (then MPJPE is called PVE); a metric is a mean (`mean_of`,
`summary`) of distances from `point_errors`. Lengths are in the unit of the points: metres in
kinefit, millimetres in papers. The protocols are those of WHAM (Shin et al. 2024, CVPR) and GVHMR
(Shen et al. 2024, SIGGRAPH Asia). Derivatives come from time stamps, not from counts of frames: a
number per frame changes with the rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np

from kinefit.geometry.align import align
from kinefit.geometry.projection import project, to_camera
from kinefit.metrics.statistics import Numbers, Summary, mean_of, summary
from kinefit.skeletons.limbs import LIMBS, Limb
from kinefit.types import BoolArray, Camera, FloatArray, IntArray, InvalidData, all_finite

Root = Sequence[int]

CHUNK_FRAMES = 100  # of W-MPJPE and WA-MPJPE
FIRST_FRAMES = 2  # of a chunk, which W-MPJPE is aligned on


def point_errors(points: FloatArray, truth: FloatArray) -> FloatArray:
    """(..., J) distances between `points` and `truth` (..., J, D), without alignment.

    NaN where either is missing. Raises InvalidData when the shapes differ.
    """
    _check(points, truth)
    return np.asarray(np.linalg.norm(points - truth, axis=-1))


def centred(points: FloatArray, root: Root) -> FloatArray:
    """`points` (..., J, D) from their root, the mean of the points with indices `root`.

    All NaN in a frame that lacks one of these: another root would be another metric. Errors of
    centred points are MPJPE: Ionescu et al. 2014, IEEE PAMI 36(7):1325 (Human3.6M).
    """
    if not len(root):
        raise InvalidData("A root is the mean of at least one point.")
    return np.asarray(points - points[..., list(root), :].mean(axis=-2, keepdims=True))


def aligned_frames(points: FloatArray, truth: FloatArray) -> FloatArray:
    """`points` (..., J, 3) moved in every frame by its own best similarity motion.

    Never mirrored. NaN in frames whose common points determine no rotation. What is left is
    PA-MPJPE: Zhou et al. 2019, IEEE PAMI 41(4):901, "reconstruction error".
    """
    return align(points, truth, with_scale=True).apply(points)


def one_rigid(
    points: FloatArray, truth: FloatArray, *, with_scale: bool = False, first: int | None = None
) -> FloatArray:
    """`points` (T, J, 3) moved by one rigid (or similarity) motion for the whole clip.

    first: the motion is found on so many frames at the start; None: on all.
    All NaN when these determine no rotation.
    """
    _check(points, truth)
    source, target = (p[:first].reshape(-1, 3) for p in (points, truth))
    motion = align(source, target, with_scale=with_scale)
    return motion.apply(points.reshape(-1, 3)).reshape(points.shape)


def world_errors(points: FloatArray, truth: FloatArray, first: int | None = None) -> FloatArray:
    """(T, J) distances where every 100 frames are aligned by one similarity of their own.

    points, truth: (T, J, 3). first: see `one_rigid`. The mean of all is WA-MPJPE; with
    `FIRST_FRAMES` as `first` it is W-MPJPE, in which drift within a chunk counts. Publications use
    30 frames/s; state the rate with the number. Ye et al. 2023, CVPR (SLAHMR).
    """
    _check(points, truth)
    errors = np.full(points.shape[:-1], np.nan)
    for start in range(0, len(points), CHUNK_FRAMES):
        part = slice(start, start + CHUNK_FRAMES)
        moved = one_rigid(points[part], truth[part], with_scale=True, first=first)
        errors[part] = point_errors(moved, truth[part])
    return errors


def root_translation_errors(path: FloatArray, truth: FloatArray) -> FloatArray:
    """(T,) percent: error of the root's path (T, 3) after one rigid alignment, over its length.

    The length is that of `truth` (T, 3), from each known place to the next. NaN where a place is
    missing, and everywhere when the truth does not move. Their mean is RTE. A straight
    path leaves the rotation about it open; every choice gives the same errors.
    """
    _check(path, truth)
    errors = point_errors(align(path, truth, strict=False).apply(path), truth)
    known = truth[all_finite(truth)]
    length = float(np.linalg.norm(np.diff(known, axis=0), axis=1).sum())
    return np.asarray(100 * errors / (length if length > 0 else np.nan))


def correct_points(
    points: FloatArray,
    truth: FloatArray,
    size: FloatArray | float,
    share: float,
    *,
    lost_is_wrong: bool = False,
) -> FloatArray:
    """(T, J) 1 where a point is within `share` of `size` of the truth, 0 where it is not.

    points, truth: (T, J, D), pixels or metres. size: (T,) or one number, in their unit: the longer
    side of the person's box, the torso, the head. NaN where something is missing;
    lost_is_wrong: a point that the truth has and `points` lacks is 0 instead.

    The mean is PCK; to compare detectors, count lost points as wrong.
    Yang & Ramanan 2013, IEEE PAMI 35(12):2878.
    """
    errors = point_errors(points, truth)
    limit = np.broadcast_to(share * np.asarray(size, np.float64)[..., None], errors.shape)
    unknown = np.isnan(errors) | np.isnan(limit)
    if lost_is_wrong:
        unknown &= ~(all_finite(truth) & np.isfinite(limit))
    return np.where(unknown, np.nan, errors <= limit)


def _check(points: FloatArray, truth: FloatArray) -> None:
    if points.shape != truth.shape or points.ndim < 2:
        raise InvalidData(f"Points of shape {points.shape} have no error against {truth.shape}.")


DEEP = 0.2  # |z| of a unit vector, 12 degrees out of the image plane: below it the sign is noise
FAR_OFF_DEG = 30.0


@dataclass(frozen=True)
class DirectionErrors(Numbers):
    """Directions of limbs against the truth.

    angle: degrees, over all limbs and frames. far_off: share beyond 30 degrees.
    sign, sign_deep: share whose z has the right sign: of all limbs, and of those whose true
        direction leaves the image plane by |z| > 0.2. limbs: mean angle of each, degrees, by name.
    """

    angle: Summary
    far_off: float
    sign: float
    sign_deep: float
    limbs: dict[str, float]


def limb_directions(
    xyz: FloatArray, names: Sequence[str], limbs: Sequence[Limb] = LIMBS
) -> FloatArray:
    """(..., L, 3) unit vectors of the limbs between named points `xyz` (..., J, 3).

    NaN where an end is missing or not among the names, and where both are in one place.
    Raises InvalidData unless there is one name per point.
    """
    if xyz.shape[-2:] != (len(names), 3):
        raise InvalidData(f"Points of shape {xyz.shape} do not go with {len(names)} names.")
    column = {name: i for i, name in enumerate(names)}
    out = np.full((*xyz.shape[:-2], len(limbs), 3), np.nan)
    for i, limb in enumerate(limbs):
        if limb.start in column and limb.end in column:
            out[..., i, :] = xyz[..., column[limb.end], :] - xyz[..., column[limb.start], :]
    length = np.linalg.norm(out, axis=-1, keepdims=True)
    return np.asarray(out / np.where(length > 0, length, np.nan))


def angles_between(directions: FloatArray, truth: FloatArray) -> FloatArray:
    """(...,) degrees, 0..180, between vectors (..., 3) of any length; NaN beside a missing one.

    By the arc tangent: the arc cosine of a rounded dot product cannot resolve 1e-6 degrees. NaN
    for a vector without length.
    """
    _check_vectors(directions, truth)
    cross = np.linalg.norm(np.cross(directions, truth), axis=-1)
    dot = (directions * truth).sum(axis=-1)
    angle = np.degrees(np.arctan2(cross, dot))
    return np.where((cross == 0) & (dot == 0), np.nan, angle)


def sign_agreement(directions: FloatArray, truth: FloatArray, least: float = 0.0) -> FloatArray:
    """(...,) 1 where z of (..., 3) unit vectors has the sign of the truth's, else 0.

    NaN where one is missing, and where the truth's |z| is not above `least`. A direction in
    the image plane (z = 0) has no sign and counts as wrong.
    """
    _check_vectors(directions, truth)
    z, true_z = directions[..., 2], truth[..., 2]
    known = (np.abs(true_z) > least) & np.isfinite(z)
    return np.where(known, np.sign(z) == np.sign(true_z), np.nan)


def direction_errors(
    directions: FloatArray, truth: FloatArray, limbs: Sequence[Limb] = LIMBS
) -> DirectionErrors:
    """Errors of unit vectors (T, L, 3) in the axes of a camera (z away from it)."""
    if directions.shape[-2] != len(limbs):
        raise InvalidData(f"{directions.shape[-2]} directions do not go with {len(limbs)} limbs.")
    angle = angles_between(directions, truth)
    each = mean_of(angle, tuple(range(angle.ndim - 1)))
    return DirectionErrors(
        angle=summary(angle),
        far_off=float(mean_of(np.where(np.isnan(angle), np.nan, angle > FAR_OFF_DEG))),
        sign=float(mean_of(sign_agreement(directions, truth))),
        sign_deep=float(mean_of(sign_agreement(directions, truth, DEEP))),
        limbs={limb.name: float(value) for limb, value in zip(limbs, each, strict=True)},
    )


def _check_vectors(directions: FloatArray, truth: FloatArray) -> None:
    if directions.shape != truth.shape or directions.shape[-1:] != (3,):
        shapes = f"{directions.shape} have no angle with {truth.shape}"
        raise InvalidData(f"Directions of shape {shapes}.")


def reprojection(camera: Camera, xyz: FloatArray, xy: FloatArray) -> tuple[FloatArray, FloatArray]:
    """World points `xyz` (..., 3) metres, projected, against pixels `xy` (..., 2) of one camera.

    (...,) pixels, through the lens, and (...,) millimetres at each point's own depth: px * depth /
    focal length (geometric mean of both axes), exact in the middle of an image without distortion.
    NaN where one is missing, and behind the camera. A small error does not show a good
    reconstruction: it does not see errors along the ray.
    Raises InvalidData when the shapes do not go together.
    """
    if xyz.shape != (*xy.shape[:-1], 3):
        raise InvalidData(f"Points of shape {xyz.shape} do not go with pixels of shape {xy.shape}.")
    px = point_errors(project(camera, xyz), xy)
    focal = float(np.sqrt(camera.K[0, 0] * camera.K[1, 1]))
    return px, np.asarray(1000 * px * to_camera(camera, xyz)[..., 2] / focal)


def mask_iou(mask: BoolArray, truth: BoolArray) -> FloatArray:
    """(...,) intersection over union, 0..1, of masks (..., H, W); NaN where both are empty.

    Raises InvalidData unless both are boolean and of one shape.
    """
    if mask.shape != truth.shape or mask.ndim < 2:
        raise InvalidData(f"Masks of shapes {mask.shape} and {truth.shape} do not compare.")
    if mask.dtype != np.bool_ or truth.dtype != np.bool_:
        raise InvalidData(f"Masks must be boolean, not {mask.dtype} and {truth.dtype}.")
    both = (mask & truth).sum(axis=(-1, -2))
    either = (mask | truth).sum(axis=(-1, -2))
    return np.asarray(both / np.where(either > 0, either, np.nan))


STILL_M_S = 0.3  # a foot of the truth slower than this stands (1 cm a frame at 30 Hz)
FEWEST = 10  # frames below which a spread says nothing


def derivative(xyz: FloatArray, time: FloatArray, order: int) -> FloatArray:
    """(T - order, ...) derivative of `xyz` (T, ...) by `time` (T,) s, from neighbouring samples.

    Newton's divided difference times `order`!: the derivative of the polynomial through order + 1
    samples. At a constant rate it is the plain difference times rate ** order. NaN where one of
    them is missing; nothing is left of fewer than order + 1 samples.
    Raises InvalidData unless times increase and there is one for each sample.
    """
    if time.shape != (len(xyz),) or not (np.diff(time) > 0).all():
        raise InvalidData(f"{len(xyz)} samples need as many increasing times, not {time.shape}.")
    divided = np.asarray(xyz, np.float64)
    for n in range(1, order + 1):
        if len(divided) < 2:
            return np.empty((0, *xyz.shape[1:]))
        span = (time[n:] - time[:-n]).reshape(-1, *[1] * (xyz.ndim - 1))
        divided = np.diff(divided, axis=0) / span
    return np.asarray(factorial(order) * divided)


def speeds(xyz: FloatArray, time: FloatArray) -> FloatArray:
    """(T - 1, P) m/s of points (T, P, 3) from each sample to the next."""
    return np.asarray(np.linalg.norm(derivative(xyz, time, 1), axis=-1))


def acceleration_errors(points: FloatArray, truth: FloatArray, time: FloatArray) -> FloatArray:
    """(T - 2, J) m/s^2 between the accelerations of `points` and of `truth` (T, J, 3) metres.

    Older papers print mm/frame^2, which changes with the rate.
    Kanazawa et al. 2019, CVPR (HMMR), scaled by the rate as in WHAM.
    """
    return point_errors(derivative(points, time, 2), derivative(truth, time, 2))


def jitter(points: FloatArray, time: FloatArray) -> FloatArray:
    """(T - 3, J) m/s^3: size of the third derivative of points (T, J, 3) metres.

    Papers print its mean in 10 m/s^3, a tenth of this. Real motion has jitter: compare with that
    of the truth. Yi, Zhou & Xu 2021, ACM TOG 40(4):86 (TransPose).
    """
    return np.asarray(np.linalg.norm(derivative(points, time, 3), axis=-1))


def slides(feet: FloatArray, truth: FloatArray, time: FloatArray) -> FloatArray:
    """(T - 1, P) metres that points of feet move between two samples while the true ones stand.

    feet, truth: (T, P, 3) metres. NaN where the true point is not slower than 0.3 m/s, or a
    position is missing. As published it depends on the rate; over `np.diff(time)` it does not.
    """
    stands = speeds(truth, time) < STILL_M_S  # False where NaN
    return np.where(stands, point_errors(feet[1:], feet[:-1]), np.nan)


@dataclass(frozen=True)
class FootSliding(Numbers):
    """Feet against those of the truth; NaN when the truth never stands.

    contact: share of steps from sample to sample in which the true point stands. slide_mm: mean
    displacement in such a step. slide_m_s: mean speed there, the same at any rate.
    """

    contact: float
    slide_mm: float
    slide_m_s: float


def foot_sliding(feet: FloatArray, truth: FloatArray, time: FloatArray) -> FootSliding:
    """How far feet (T, P, 3) metres move while the true ones stand; see `slides`.

    Shen et al. 2024, SIGGRAPH Asia (GVHMR), with a threshold per second instead of per frame.
    """
    slid, true_speed = slides(feet, truth, time), speeds(truth, time)
    stands = np.where(np.isnan(true_speed), np.nan, true_speed < STILL_M_S)
    speed = mean_of(slid / np.diff(time)[:, None])
    return FootSliding(float(mean_of(stands)), float(1000 * mean_of(slid)), float(speed))


def bone_lengths(xyz: FloatArray, ends: IntArray | Sequence[tuple[int, int]]) -> FloatArray:
    """(..., B) lengths between the points of `xyz` (..., J, D) with the indices `ends` (B, 2)."""
    first, second = np.asarray(ends, np.int64).reshape(-1, 2).T
    return np.asarray(np.linalg.norm(xyz[..., first, :] - xyz[..., second, :], axis=-1))


def variation_pct(lengths: FloatArray) -> FloatArray:
    """(B,) coefficient of variation of lengths (T, B): 100 x standard deviation / mean.

    0 for a rigid body. The deviation is that of the samples (divided by their number). NaN with
    fewer than ten known samples, or no length.
    """
    mean = mean_of(lengths, 0)
    sd = np.sqrt(mean_of((lengths - mean) ** 2, 0))
    enough = (np.isfinite(lengths).sum(axis=0) >= FEWEST) & (mean > 0)
    return np.where(enough, 100 * sd / np.where(mean > 0, mean, np.nan), np.nan)
