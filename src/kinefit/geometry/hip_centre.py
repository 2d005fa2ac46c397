"""Where the hip joint centres lie, from the four pelvic landmarks."""

from __future__ import annotations

from kinefit.geometry.rotations import cross, norm, unit
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
    forward = origin - (rpsis + lpsis) / 2
    width, depth = norm(rasis - lasis)[..., None], norm(forward)[..., None]
    right = unit(rasis - lasis)
    up = unit(cross(right, forward))
    anterior = cross(up, right)
    middle = origin + anterior * (-0.24 * depth - 0.0099) + up * (-0.30 * width - 0.0109)
    lateral = right * (0.33 * width + 0.0073)
    return middle + lateral, middle - lateral
