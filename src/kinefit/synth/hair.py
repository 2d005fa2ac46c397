"""Styles of hair and headwear as meshes around the head of a body at rest.

What sits on the head moves with it. What hangs lower follows the upper spine the more, the lower
it is; it is skinned, not simulated, and so stays along the trunk of a person who lies down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from kinefit.body.model import BodyModel
from kinefit.geometry import rotations as so3
from kinefit.synth.noise import smooth_noise
from kinefit.synth.pieces import Piece, azimuths, closed, directions, main_joints, smooth_step
from kinefit.synth.scene_options import HairStyle
from kinefit.types import FloatArray, IntArray

_AROUND = 40  # points of a ring
_BALL = 16  # the same of a bun and a ponytail
_INSIDE_M = 0.02  # below the skin, where a piece should not be seen
_CLEAR_M = 0.02  # between skin and what hangs over it
_UNIT_HIGH = 3.4  # halves of the distance between the eyes in a "height" of the hairline
_TORSO = ("spine", "clavicle", "shoulder", "neck")


@dataclass(frozen=True)
class Hairdo:
    """Hair or headwear. size: 0 smallest to 1 largest of its style. back_deg: where bun and
    ponytail are, degrees from the crown backwards (90: level with the eyes), the latter from 60."""

    style: HairStyle = "layer"
    size: float = 0.5
    back_deg: float = 60.0


def hair_pieces(
    body: BodyModel, shape: FloatArray, hairdo: Hairdo, hair: int, cloth: int
) -> tuple[Piece, ...]:
    """What a style adds to the layer of hair on the skin; "layer", "bald" and "short" add nothing.

    body: Anny. shape: (S,). hair, cloth: parts of `kinefit.synth.look`.
    """
    head, size = _Head.of(body, shape), hairdo.size
    match hairdo.style:
        case "long":
            return (_long(head, size, hair),)
        case "bun":
            return (_bun(head, hairdo, hair),)
        case "ponytail":
            return (_ponytail(head, hairdo, hair),)
        case "curly":
            return (_curls(head, size, hair),)
        case "cap":
            return (_cap(head, cloth), _visor(head, size, cloth))
        case "hood":
            return (_hood(head, size, cloth),)
        case _:
            return ()


@dataclass(frozen=True, eq=False)
class _Head:
    """Measures of a head at rest, metres.

    centre: (3,) of the skull, a little above the eyes. eyes: (3,) their middle. unit: half of the
    distance between the eyes. neck: (3,) where it begins. ways, radii: from the centre to
    the skin. torso: (V, 3) skin of neck and torso.
    """

    centre: FloatArray
    eyes: FloatArray
    unit: float
    neck: FloatArray
    ways: cKDTree
    radii: FloatArray
    torso: FloatArray

    @classmethod
    def of(cls, body: BodyModel, shape: FloatArray) -> _Head:
        rest, joints = body.rest_vertices(shape), body.rest_joints(shape)
        owner = main_joints(body.skin_joints, body.skin_weights)
        of_torso = [i for i, name in enumerate(body.joint_names) if name.startswith(_TORSO)]
        left, right, neck = (
            joints[body.joint_names.index(name)] for name in ("eye.L", "eye.R", "neck01")
        )
        eyes, skull = (left + right) / 2, rest[owner == body.joint_names.index("head")]
        unit = float(left[0] - eyes[0])
        centre = np.array([eyes[0], eyes[1] + unit / 3, (skull[:, 2].min() + eyes[2]) / 2])
        radii = np.linalg.norm(skull - centre, axis=1)
        ways = cKDTree((skull - centre) / radii[:, None])
        return cls(
            centre, eyes, unit, neck, ways, radii, rest[np.isin(owner, of_torso)]
        )  # fmt: skip

    @property
    def chin_m(self) -> float:
        """Height of the chin."""
        return float(self.eyes[1] - 3.6 * self.unit)

    def above_skin(self, polar: FloatArray, thick: FloatArray | float) -> FloatArray:
        """(R, N, 3) points `thick` (R, N) metres above the skin, ears included, at angles `polar`
        (R,) from upwards."""
        way = directions(polar, _AROUND)
        return np.asarray(self.centre + (self.radius(way) + thick)[..., None] * way)

    def radius(self, direction: FloatArray) -> FloatArray:
        """(...,) metres from the centre to the skin in directions (..., 3)."""
        # The mesh has surfaces inside the mouth: the farthest of a few neighbours is the skin.
        _, near = self.ways.query(direction, k=12)
        return np.asarray(self.radii[near].max(axis=-1))

    def in_face(self, at: FloatArray) -> FloatArray:
        """(..., 3) in units from the middle of the eyes."""
        return np.asarray((at - self.eyes) / self.unit)

    def hairy(self, at: FloatArray, forward: float, within: float = 0.15) -> FloatArray:
        """(...,) 0 in the face to 1 at `within` heights behind the hairline of
        `kinefit.synth.look`, which is shifted by `forward` units."""
        face = self.in_face(at)
        high, back = face[..., 1] / _UNIT_HIGH, (forward - face[..., 2]) / _UNIT_HIGH
        line = 0.75 - 0.55 * back - 5 * np.maximum(back - 0.9, 0)
        return smooth_step((high - line) / within)

    def drape(
        self, start: FloatArray, shown: FloatArray, low: float, wide: FloatArray, widest: FloatArray
    ) -> FloatArray:
        """(R, N, 3) rings below the ring `start` (N, 3), down to the height `low`.

        They keep clear of neck and torso as far as `widest` (N,) metres from the head's axis, and
        end `wide` (N,) metres wider than they start. shown: (N,) 0 where they run inside the neck.
        """
        phi = azimuths(_AROUND)
        flat = start - self.centre
        begin, rows = np.hypot(flat[:, 0], flat[:, 2]), []
        for share in np.linspace(0, 1, 13)[1:]:
            y = start[:, 1] + share * (low - start[:, 1])
            clear = np.minimum(self._extent(phi, float(y.mean())) + _CLEAR_M, widest)
            radius = np.maximum(begin + share * wide, clear) * (0.2 + 0.8 * shown)
            across = self.centre[::2, None] + radius * [np.sin(phi), np.cos(phi)]
            rows.append(np.stack([across[0], y, across[1]], axis=-1))
        return np.stack(rows)

    def _extent(self, phi: FloatArray, height: float) -> FloatArray:
        """(N,) metres from the head's upright axis to the skin of neck and torso, at azimuths."""
        level = self.torso[np.abs(self.torso[:, 1] - height) < 0.03] - self.centre
        apart = np.arctan2(level[:, 0], level[:, 2]) - phi[:, None]
        near = np.cos(apart) > np.cos(np.radians(15))
        far = np.where(near, np.hypot(level[:, 0], level[:, 2]), 0.0)
        return np.asarray(far.max(axis=1, initial=0.0))

    def behind(self, height: FloatArray) -> FloatArray:
        """(N,) metres from the upright axis back to the skin of neck and torso at heights."""
        back = np.array([np.pi])
        return np.array([self._extent(back, float(y))[0] for y in height])

    def hanging(self, at: FloatArray) -> Mapping[str, FloatArray]:
        """Shares of head and spine: all the head's above the chin, a tenth on the back."""
        below = (self.chin_m - at[:, 1]) / (self.chin_m - self.neck[1] + 2 * self.unit)
        head = 1 - 0.9 * smooth_step(below)
        return {"head": head, "spine01": 1 - head}


def _piece(
    mesh: tuple[FloatArray, IntArray], part: int, carried: Mapping[str, FloatArray] | None = None
) -> Piece:
    """Of the head alone unless something else carries it."""
    at, faces = mesh
    return Piece(at, faces, carried or {"head": np.ones(len(at))}, part, np.ones(len(faces), bool))


def _from_skin(shown: FloatArray, thick: FloatArray | float) -> FloatArray:
    """Metres above the skin: under it where 0 is shown, `thick` where 1."""
    return np.asarray(-_INSIDE_M + shown * (thick + _INSIDE_M))


def _long(head: _Head, size: float, part: int) -> Piece:
    """Loose hair to the shoulders or halfway down the back."""
    polar = np.radians(np.linspace(8, 100, 12))
    skin = head.above_skin(polar, 0.0)
    shown = head.hairy(skin, forward=0.4)
    thick = 0.018 + 0.014 * np.sin(polar)[:, None] ** 2
    top = head.above_skin(polar, _from_skin(shown, thick))
    shoulder = head.neck[1] - 0.5 * head.unit
    low = shoulder - size * 7 * head.unit
    aside = np.abs(azimuths(_AROUND))
    open_front = smooth_step((aside - np.radians(75)) / np.radians(15))
    # At the sides it ends in the shoulders; behind, it lies on the back.
    widest = 4.0 * head.unit + 5 * head.unit * smooth_step((aside - 1.9) / 0.6)
    start = head.above_skin(polar[-1:], thick[-1:])[0]
    rings = np.concatenate(
        [top, head.drape(start, open_front, low, np.full(_AROUND, 0.01), widest)]
    )
    mesh = closed(rings)
    return _piece(mesh, part, head.hanging(mesh[0]))


def _curls(head: _Head, size: float, part: int) -> Piece:
    """A ball of curls, 4 to 9 cm thick."""
    polar = np.radians(np.linspace(6, 125, 20))
    skin = head.above_skin(polar, 0.0)
    # Thinner towards the neck.
    thick = (0.04 + 0.05 * size) * (1 - 0.5 * smooth_step((np.degrees(polar) - 70) / 50))
    lumps = 0.8 + 0.35 * smooth_noise(skin.reshape(-1, 3) / 0.025).reshape(skin.shape[:2])
    # It rises from the hairline over a few centimetres: else it would stand over the face.
    rises = 0.3 + 0.7 * head.hairy(skin, forward=0.3, within=0.9)
    shown = head.hairy(skin, forward=0.3)
    above = _from_skin(shown, thick[:, None] * lumps * rises)
    return _piece(closed(head.above_skin(polar, above)), part)


def _bun(head: _Head, hairdo: Hairdo, part: int) -> Piece:
    """A ball of 6 to 11 cm."""
    radius, way = 0.03 + 0.025 * hairdo.size, _backwards(hairdo.back_deg)
    middle = head.centre + (head.radius(way) + 0.65 * radius) * way
    return _piece(_ball(middle, np.full(3, radius)), part)


def _ponytail(head: _Head, hairdo: Hairdo, part: int) -> Piece:
    """A tail of 15 to 40 cm that leaves the head backwards and hangs."""
    # From nearer to the crown it would have to bend around the skull.
    way = _backwards(max(hairdo.back_deg, 60.0))
    length = 0.15 + 0.25 * hairdo.size
    root = head.centre + (head.radius(way) - 0.01) * way
    along = np.linspace(0, 1, 14)
    # It falls as a throw does, over the first third.
    out = 0.05 * (1 - (1 - np.minimum(along / 0.35, 1)) ** 2)
    down = length * along * smooth_step(along / 0.35 + 0.2)
    middle = root + out[:, None] * way
    middle[:, 1] -= down
    middle[:, 2] = np.minimum(middle[:, 2], head.centre[2] - head.behind(middle[:, 1]) - 0.025)
    thick = np.interp(along, [0, 0.1, 0.4, 1], [0.018, 0.024, 0.028, 0.008])
    phi = azimuths(_BALL)
    tangent = so3.unit(np.gradient(middle, axis=0))
    side = np.array([1.0, 0.0, 0.0])
    front = np.cross(side, tangent)
    ring = np.sin(phi)[:, None] * side + np.cos(phi)[:, None] * -front[:, None]
    mesh = closed(middle[:, None] + thick[:, None, None] * ring)
    head_share = np.concatenate([[1], np.repeat(1 - 0.6 * smooth_step(along), _BALL), [0.4]])
    return _piece(mesh, part, {"head": head_share, "spine01": 1 - head_share})


def _backwards(degrees: float) -> FloatArray:
    angle = np.radians(degrees)
    return np.array([0.0, np.cos(angle), -np.sin(angle)])


def _cap(head: _Head, part: int) -> Piece:
    """The crown of a cap, down to the middle of the forehead and above the ears."""
    polar = np.radians(np.linspace(6, 100, 16))
    face = head.in_face(head.above_skin(polar, 0.0))
    rim = 1.7 + 0.12 * face[..., 2]  # units above the eyes; lower behind
    shown = smooth_step((face[..., 1] - rim) / 0.15)
    return _piece(closed(head.above_skin(polar, _from_skin(shown, 0.014))), part)


def _visor(head: _Head, size: float, part: int) -> Piece:
    """Of 6 to 9 cm from the forehead, tilted down a little."""
    reach = 0.06 + 0.03 * size
    front = np.radians(62)
    way = np.array([0.0, np.cos(front), np.sin(front)])
    brow = head.centre + head.radius(way) * way
    middle = np.array([brow[0], head.eyes[1] + 1.95 * head.unit, brow[2] - 0.02])
    at, faces = _ball(np.zeros(3), np.array([2.4 * head.unit, 0.006, reach + 0.02]))
    at[:, 1] -= 0.3 * np.maximum(at[:, 2], 0) + 2.5 * at[:, 0] ** 2  # tilted and arched
    return _piece((at + middle, faces), part)


def _hood(head: _Head, size: float, part: int) -> Piece:
    """Cloth around head and neck down on the shoulders; the face is free."""
    polar = np.radians(np.linspace(8, 105, 16))
    face = head.in_face(head.above_skin(polar, 0.0))
    from_face = np.hypot(face[..., 0] / 2.3, (face[..., 1] + 0.6) / 3.4)
    shown = np.where(face[..., 2] > -2, smooth_step((from_face - 1) / 0.12), 1.0)
    thick = 0.018 + 0.02 * size
    top = head.above_skin(polar, _from_skin(shown, thick))
    start = head.above_skin(polar[-1:], thick)[0]
    aside = np.abs(azimuths(_AROUND))
    # Under the chin it draws in towards the throat; around, it widens to the shoulders.
    wide = 0.03 - 2.6 * head.unit * smooth_step((1.3 - aside) / 0.8)
    low = head.neck[1] - 1.5 * head.unit
    drape = head.drape(start, np.ones(_AROUND), low, wide, np.full(_AROUND, 5.5 * head.unit))
    # The opening reaches down to the chin.
    inside = (aside < np.radians(50)) & (drape[..., 1] > head.chin_m)
    drape[inside] = head.centre + 0.3 * (drape[inside] - head.centre)
    mesh = closed(np.concatenate([top, drape]))
    piece = _piece(mesh, part, head.hanging(mesh[0]))
    # What lies on the shoulders is clothes, not headwear.
    on_head = piece.rest[piece.faces, 1].mean(axis=1) > head.neck[1]
    return replace(piece, on_head=on_head)


def _ball(middle: FloatArray, radii: FloatArray) -> tuple[FloatArray, IntArray]:
    """An ellipsoid; radii: (3,) metres."""
    up = np.array([0, radii[1], 0])
    rings = middle + radii * directions(np.radians(np.linspace(15, 165, 9)), _BALL)
    return closed(rings, middle + up, middle - up)
