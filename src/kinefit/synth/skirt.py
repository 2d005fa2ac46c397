"""A long skirt: a cone of cloth from the waist down, carried by pelvis, thighs and shins.

It is skinned: each half follows the leg on its side, so that legs stay inside, and the middle of
front and back lies between them. Nothing swings or falls.
"""

from __future__ import annotations

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.synth.pieces import Piece, azimuths, closed, main_joints, smooth_step
from kinefit.types import BoolArray, FloatArray

_AROUND, _ROWS = 32, 12
_EASE_M = 0.012  # between skin and cloth
_BAND_M = 0.05
_FOLDS = 9
_TUCK_M = 0.04
_RIDES_UP = 0.3  # share of its length
_UNDER = ("root", "pelvis", "spine05", "spine04", "upperleg", "lowerleg")


def skirt(
    body: BodyModel, shape: FloatArray, top: float, length: float, flare: float, part: int
) -> Piece:
    """A skirt on Anny's body of that shape (S,).

    top: metres above the hips where it begins. length: where it ends, as `Look.legs`. flare:
    metres by which it is wider than the legs at rest, at its end. part: of `kinefit.synth.look`.
    """
    rest, joints = body.rest_vertices(shape), body.rest_joints(shape)
    hip, knee, ankle = _left_leg(body, joints)
    low = _hem(hip, knee, ankle, length)
    heights = np.linspace(hip[1] + top, low, _ROWS)
    fall = np.linspace(0, 1, _ROWS)
    phi = azimuths(_AROUND)
    wave = 1 + 0.08 * fall[:, None] * np.sin(_FOLDS * phi)
    skin = rest[_legs_and_pelvis(body)]
    ease = _EASE_M + flare * fall
    radius = np.stack([_reach(skin, y, hip[2], phi) for y in heights]) + ease[:, None]
    # Cloth falls straight from where it is widest.
    radius = np.maximum.accumulate(radius, axis=0) * wave
    rings = np.stack(
        np.broadcast_arrays(radius * np.sin(phi), heights[:, None], hip[2] + radius * np.cos(phi)),
        axis=-1,
    )
    # Seen from below: cloth that rises inside from the hem.
    axis = np.array([0.0, low, hip[2]])
    inside = axis + (rings[-1] - axis) * 0.7 + [0, 0.06, 0]
    at, faces = closed(np.concatenate([rings, inside[None]]))
    return Piece(at, faces, _carried(at, hip, knee), part, np.zeros(len(faces), bool))


def inside_skirt(
    at: FloatArray, joints: FloatArray, body: BodyModel, top: float, length: float
) -> BoolArray:
    """(N,) which of the points (N, 3) on the legs at rest are well inside a skirt, metres.

    joints: (B, 3) at rest. top, length: as of `skirt`.
    """
    hip, knee, ankle = _left_leg(body, joints)
    low, high = _hem(hip, knee, ankle, length), hip[1] + top - _TUCK_M
    # Near the hem legs are seen from below and when the cloth rides up.
    return np.asarray((at[:, 1] < high) & (at[:, 1] > low + _RIDES_UP * (high - low)))


def _left_leg(body: BodyModel, joints: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    names = "upperleg01.L", "lowerleg01.L", "foot.L"
    hip, knee, ankle = (joints[body.joint_names.index(name)] for name in names)
    return hip, knee, ankle


def _hem(hip: FloatArray, knee: FloatArray, ankle: FloatArray, length: float) -> float:
    """Height of the end of a skirt, metres."""
    return float(np.interp(length, [0, 1, 2], [hip[1], knee[1], ankle[1]]))


def _legs_and_pelvis(body: BodyModel) -> BoolArray:
    """(V,) vertices that a skirt may lie on; not the hands, which hang beside them."""
    owner = main_joints(body.skin_joints, body.skin_weights)
    inside = [b for b, name in enumerate(body.joint_names) if name.startswith(_UNDER)]
    return np.asarray(np.isin(owner, inside))


def _reach(skin: FloatArray, height: float, middle: float, phi: FloatArray) -> FloatArray:
    """(N,) metres from the upright axis at z = `middle` to a plane that touches the skin at that
    height, whose normal is at the azimuth: no skin is farther out."""
    level = skin[np.abs(skin[:, 1] - height) < _BAND_M]
    across = level[:, :1] * np.sin(phi) + (level[:, 2:] - middle) * np.cos(phi)
    return np.asarray(across.max(axis=0, initial=0.0))


def _carried(at: FloatArray, hip: FloatArray, knee: FloatArray) -> dict[str, FloatArray]:
    """Shares of the joints; hip, knee: (3,) metres, of the left leg at rest."""
    left = smooth_step(at[:, 0] / (2 * hip[0]) + 0.5)
    thigh_m = hip[1] - knee[1]
    legs = smooth_step((hip[1] + 0.1 * thigh_m - at[:, 1]) / (0.5 * thigh_m))
    shin = smooth_step((knee[1] - at[:, 1]) / (0.5 * thigh_m) + 0.5)
    out = {"root": 1 - legs}
    for side, share in (("L", left), ("R", 1 - left)):
        out[f"upperleg01.{side}"] = legs * share * (1 - shin)
        out[f"lowerleg01.{side}"] = legs * share * shin
    return out
