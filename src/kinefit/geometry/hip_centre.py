"""Where the hip joint centres lie, from the four pelvic landmarks."""

from __future__ import annotations

import numpy as np

from kinefit.types import FloatArray


def hip_joint_centres(
    rasis: FloatArray, lasis: FloatArray, rpsis: FloatArray, lpsis: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Right and left hip joint centres, (..., 3) metres each.

    rasis, lasis, rpsis, lpsis: (..., 3) metres in any right-handed frame: anterior and posterior
        superior iliac spines. NaN in one of them gives NaN at that sample only, and so do
        landmarks on one line, which span no pelvis.

    Harrington et al. 2007, J Biomech 40:595-602, equations without leg length, for adults and
    children, fitted to magnetic resonance images. With depth PD = |mid-ASIS - mid-PSIS| and width
    PW = |RASIS - LASIS|, from the mid-ASIS, in the frame z = right, x = anterior in the plane of
    the spines, y = upwards:
    x = -0.24 PD - 9.9 mm, y = -0.30 PW - 10.9 mm, z = +-(0.33 PW + 7.3 mm).
    """
    origin = (rasis + lasis) / 2
    width_axis, width = _unit(rasis - lasis)
    forward = origin - (rpsis + lpsis) / 2
    depth = np.linalg.norm(forward, axis=-1, keepdims=True)
    up, _ = _unit(np.cross(width_axis, forward))
    anterior = np.cross(up, width_axis)
    middle = origin + anterior * (-0.24 * depth - 0.0099) + up * (-0.30 * width - 0.0109)
    lateral = width_axis * (0.33 * width + 0.0073)
    return middle + lateral, middle - lateral


def _unit(vector: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Direction (..., 3) and length (..., 1); the direction of a zero vector is NaN."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return vector / np.where(length > 0, length, np.nan), length
