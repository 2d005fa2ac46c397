"""Directions of limbs in a camera's axes: angle to the truth, and sign of the depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinefit.metrics.summary import Numbers, Summary, mean_of, summary
from kinefit.skeletons.limbs import LIMBS, Limb
from kinefit.types import FloatArray, InvalidData

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
    _check(directions, truth)
    cross = np.linalg.norm(np.cross(directions, truth), axis=-1)
    dot = (directions * truth).sum(axis=-1)
    angle = np.degrees(np.arctan2(cross, dot))
    return np.where((cross == 0) & (dot == 0), np.nan, angle)


def sign_agreement(directions: FloatArray, truth: FloatArray, least: float = 0.0) -> FloatArray:
    """(...,) 1 where z of (..., 3) unit vectors has the sign of the truth's, else 0.

    NaN where one is missing, and where the truth's |z| is not above `least`. A direction in
    the image plane (z = 0) has no sign and counts as wrong.
    """
    _check(directions, truth)
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


def _check(directions: FloatArray, truth: FloatArray) -> None:
    if directions.shape != truth.shape or directions.shape[-1:] != (3,):
        raise InvalidData(
            f"Directions of shape {directions.shape} have no angle with {truth.shape}."
        )
