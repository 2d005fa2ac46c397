"""Appearance of a person: skin, hair and clothes as colours of parts of the body's mesh.

There are no texture images: parts follow from the joints that move the skin and from positions at
rest, and patterns of cloth are functions of the position. Colours are reflectances in linear light.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kinefit.body.model import BodyModel
from kinefit.synth.hair import Hairdo, hair_pieces
from kinefit.synth.noise import smooth_noise
from kinefit.synth.pieces import Piece, main_joints
from kinefit.synth.scene_options import HAIR_STYLES, HairChoice, HairStyle
from kinefit.synth.skirt import inside_skirt, skirt
from kinefit.types import BoolArray, FloatArray, IntArray

Color = tuple[float, float, float]
PatternKind = Literal["plain", "stripes", "bars", "checks", "blotches"]

# Part of a triangle; the order of `Look.palette`.
SKIN, TOP, BOTTOM, SHOES, HAIR, LIPS, EYES, IRIS, SOLES, BROWS, HEADWEAR = range(11)


@dataclass(frozen=True)
class Pattern:
    """Of cloth. scale_m: metres from one repeat to the next. color: of the other half."""

    kind: PatternKind
    scale_m: float
    color: Color


_LAYER = Hairdo()


@dataclass(frozen=True)
class Look:
    """One person's appearance.

    sleeves, legs: how far clothes reach along arms and legs: 0 at shoulder or hip, 1 at elbow or
    knee, 2 at wrist or ankle. hem: where the top ends, metres above the hips. loose_m: largest
    distance of clothes from the skin. hair_m: thickness of the hair; hair_low: how far down it
    reaches, in heights of the brow above the eyes (-0.6 short, -2 to the shoulders, 9: none).
    hairdo: hair and headwear on that layer. skirt_flare_m: of a skirt, whose length is `legs`: how
    much wider than the legs it ends; None: trousers.
    """

    skin: Color
    hair: Color
    top: Color
    top_pattern: Pattern
    bottom: Color
    bottom_pattern: Pattern
    shoes: Color
    lips: Color
    iris: Color
    sleeves: float
    legs: float
    hem: float
    loose_m: float
    hair_m: float
    hair_low: float
    hairdo: Hairdo = _LAYER
    headwear: Color = (0.0, 0.0, 0.0)
    skirt_flare_m: float | None = None

    @property
    def palette(self) -> FloatArray:
        """(11, 3) reflectance of each part."""
        white, rubber = (0.75, 0.73, 0.7), (0.6, 0.6, 0.58)
        parts = (self.skin, self.top, self.bottom, self.shoes, self.hair, self.lips)
        return np.array([*parts, white, self.iris, rubber, self.hair, self.headwear])


# sRGB; skins after the range of the Monk scale, hairs from black to grey.
_SKINS = ((246, 237, 228), (234, 218, 186), (215, 189, 150),
          (160, 126, 86), (130, 92, 67), (58, 49, 42))  # fmt: skip
_HAIRS = ((20, 17, 15), (48, 33, 24), (89, 57, 35),
          (148, 106, 62), (190, 160, 110), (150, 148, 145))  # fmt: skip
_IRISES = ((60, 40, 25), (90, 70, 40), (70, 95, 120), (80, 100, 70))


def sample_look(rng: np.random.Generator) -> Look:
    """Random clothes, hair and skin: all colours and lengths, dull ones most often."""
    tone = rng.uniform(0, len(_SKINS) - 1)
    k = min(int(tone), len(_SKINS) - 2)
    skin = linear(np.array(_SKINS[k]) + (tone - k) * (np.array(_SKINS[k + 1]) - _SKINS[k]))
    top, bottom = sample_reflectance(rng), sample_reflectance(rng, dark=True)
    return Look(
        skin=_color(skin),
        hair=_color(linear(np.array(_HAIRS[int(rng.integers(len(_HAIRS)))]))),
        top=top,
        top_pattern=_pattern(rng, 0.45),
        bottom=bottom,
        bottom_pattern=_pattern(rng, 0.15),
        shoes=sample_reflectance(rng, dark=bool(rng.random() < 0.6)),
        lips=_color(skin * np.array([0.9, 0.55, 0.55])),
        iris=_color(linear(np.array(_IRISES[int(rng.integers(len(_IRISES)))]))),
        sleeves=float(rng.choice([0.25, rng.uniform(0.4, 0.9), 2.0], p=[0.1, 0.45, 0.45])),
        legs=float(rng.choice([rng.uniform(0.3, 0.9), 2.0], p=[0.3, 0.7])),
        hem=float(rng.uniform(-0.08, 0.06)),
        loose_m=float(rng.uniform(0.002, 0.025)),
        hair_m=float(rng.uniform(0.004, 0.025)),
        hair_low=float(rng.choice([-0.6, -0.9, -2.0, 9.0], p=[0.5, 0.2, 0.25, 0.05])),
    )


def sample_reflectance(
    rng: np.random.Generator, *, dark: bool = False, dull: bool = False
) -> Color:
    """Random colour of clothes and objects, mostly of low saturation, lower for dull ones."""
    value = rng.beta(1.3, 2.2) if dark else rng.beta(1.5, 1.5)
    hue, saturation = rng.uniform(0, 2 * np.pi), rng.beta(1.0, 6.0 if dull else 2.5)
    wave = np.cos(hue - np.array([0.0, 2 * np.pi / 3, 4 * np.pi / 3]))
    return _color(linear(255 * np.clip(value * (1 + 0.8 * saturation * wave), 0.03, 0.95)))


def _pattern(rng: np.random.Generator, chance: float) -> Pattern:
    kinds: tuple[PatternKind, ...] = ("stripes", "bars", "checks", "blotches")
    kind = kinds[int(rng.integers(len(kinds)))] if rng.random() < chance else "plain"
    scale = np.exp(rng.uniform(np.log(0.02), np.log(0.15)))
    return Pattern(kind, float(scale), sample_reflectance(rng))


_WORN: tuple[HairStyle, ...] = HAIR_STYLES[1:]  # of "any"
# Height to which the layer of hair on the skin reaches; all under a cap or hood is short.
_LAYER_LOW: dict[HairStyle, float] = {"bald": 9.0, "long": -2.0, "curly": -0.9}
_LAYER_MOST_M = 0.01  # under pieces, which are thicker


def sample_worn(rng: np.random.Generator, look: Look, style: HairChoice, skirts: float) -> Look:
    """`look` with hair or headwear of that style, and in a long skirt with the chance `skirts`.

    "layer" leaves the hair as it is. A skirt reaches below the calves or to the ankles; every third
    is a dress, of one cloth with the top.
    """
    chosen = _WORN[int(rng.integers(len(_WORN)))] if style == "any" else style
    size, back = float(rng.random()), float(rng.uniform(20, 100))
    headwear = sample_reflectance(rng)
    hooded = chosen == "hood" and rng.random() < 0.6
    wears, dressed = rng.random() < skirts, rng.random() < 1 / 3
    length, flare = float(rng.uniform(1.3, 1.9)), float(rng.uniform(0.02, 0.15))
    if chosen != "layer":
        look = replace(
            look,
            hairdo=Hairdo(chosen, size, back),
            headwear=look.top if hooded else headwear,
            hair_low=_LAYER_LOW.get(chosen, -0.6),
            hair_m=look.hair_m if chosen == "short" else min(look.hair_m, _LAYER_MOST_M),
        )
    if wears:
        look = replace(look, legs=length, skirt_flare_m=flare)
        if dressed:
            look = replace(look, bottom=look.top, bottom_pattern=look.top_pattern)
    return look


def linear(srgb: FloatArray) -> FloatArray:
    """Reflectance of sRGB values 0..255 (IEC 61966-2-1)."""
    c = np.asarray(srgb, np.float64) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _color(rgb: FloatArray) -> Color:
    return (float(rgb[0]), float(rgb[1]), float(rgb[2]))


@dataclass(frozen=True, eq=False)
class Figure:
    """A body with its appearance, ready to be rendered.

    faces: (F, 3), of the body and then of the pieces, whose vertices follow the body's. part: (F,)
    of each (`SKIN`, `TOP`, ...). palette: (11, 3). patterns: of the parts that have one.
    rest: (V, 3) metres, each vertex at rest. offset: (V,) metres of clothes and hair along its
    normal. head: (F,) whether it is of the head, with hair and headwear. hair: (F,) whether it is
    these. joint: (F,) the joint that moves it most. pieces: hair, headwear and skirt.
    """

    faces: IntArray
    part: NDArray[np.uint8]
    palette: FloatArray
    patterns: dict[int, Pattern]
    rest: FloatArray
    offset: FloatArray
    head: BoolArray
    hair: BoolArray
    joint: IntArray
    pieces: tuple[Piece, ...] = ()


def dress(body: BodyModel, shape: FloatArray, look: Look) -> Figure:
    """The body of that shape in these clothes; it must have Anny's joints."""
    rest = np.asarray(body.rest_vertices(shape), np.float64)
    joints = body.rest_joints(shape)
    owner = main_joints(body.skin_joints, body.skin_weights)
    area = _Areas(body, rest, joints, owner)
    vertex_part = area.clothes(look)
    middle = rest[body.faces].mean(axis=1)
    joint = owner[body.faces[:, 0]]
    part = _Areas(body, middle, joints, joint).clothes(look)
    worn = np.isin(vertex_part, (TOP, BOTTOM))
    # Cloth hangs in folds: its distance from the skin varies.
    folds = 0.3 + 0.7 * smooth_noise(rest / 0.08)
    offset = np.where(worn, look.loose_m * folds, 0.0)
    offset[vertex_part == HAIR] = look.hair_m
    offset[np.isin(vertex_part, (SHOES, SOLES))] = 0.004
    hair = part == HAIR
    bare = Figure(
        faces=body.faces,
        part=part,
        palette=look.palette,
        patterns={TOP: look.top_pattern, BOTTOM: look.bottom_pattern},
        rest=rest.astype(np.float32),
        offset=_smoothed(body.faces, offset),
        head=hair | _among(body, joint, ("head", "eye.")),
        hair=hair,
        joint=joint,
    )
    pieces = hair_pieces(body, shape, look.hairdo, HAIR, HEADWEAR)
    if look.skirt_flare_m is None:
        return _wearing(bare, body, pieces)
    # What lies well inside cannot come through it, and need not be drawn.
    inside = (part == BOTTOM) & inside_skirt(middle, joints, body, look.hem, look.legs)
    cloth = skirt(body, shape, look.hem, look.legs, look.skirt_flare_m, BOTTOM)
    return _wearing(_only(bare, ~inside), body, (*pieces, cloth))


def _only(figure: Figure, kept: BoolArray) -> Figure:
    """Without some triangles; kept: (F,)."""
    per_face = ("faces", "part", "head", "hair", "joint")
    return replace(figure, **{name: getattr(figure, name)[kept] for name in per_face})


def _wearing(figure: Figure, body: BodyModel, pieces: tuple[Piece, ...]) -> Figure:
    """`figure` of the body with the pieces after it."""
    counts = [len(figure.rest), *(len(piece.rest) for piece in pieces)]
    starts = np.cumsum(counts)[:-1]
    moved = [piece.faces + start for piece, start in zip(pieces, starts, strict=True)]
    parts = [np.full(len(piece.faces), piece.part, np.uint8) for piece in pieces]
    on_head = [piece.on_head for piece in pieces]
    return replace(
        figure,
        faces=np.concatenate([figure.faces, *moved]),
        part=np.concatenate([figure.part, *parts]),
        rest=np.concatenate([figure.rest, *(p.rest.astype(np.float32) for p in pieces)]),
        offset=np.concatenate([figure.offset, np.zeros(sum(counts[1:]))]),
        head=np.concatenate([figure.head, *on_head]),
        hair=np.concatenate([figure.hair, *on_head]),
        joint=np.concatenate([figure.joint, *(piece.face_joints(body) for piece in pieces)]),
        pieces=pieces,
    )


def _smoothed(faces: IntArray, offset: FloatArray) -> FloatArray:
    """Averaged over triangles and back, twice: smooth edges of cloth."""
    for _ in range(2):
        mean = offset[faces].mean(axis=1)
        total = np.bincount(faces.ravel(), np.repeat(mean, 3), len(offset))
        offset = total / np.maximum(np.bincount(faces.ravel(), minlength=len(offset)), 1)
    return offset


def _among(body: BodyModel, owner: IntArray, prefixes: tuple[str, ...]) -> BoolArray:
    named = [b for b, name in enumerate(body.joint_names) if name.startswith(prefixes)]
    return np.asarray(np.isin(owner, named))


@dataclass(frozen=True, eq=False)
class _Areas:
    """Parts of positions (N, 3) on a body at rest, with the joint (N,) that moves each."""

    body: BodyModel
    at: FloatArray
    joints: FloatArray
    owner: IntArray

    def clothes(self, look: Look) -> NDArray[np.uint8]:
        """(N,) parts."""
        body = self.body
        out = np.full(len(self.at), SKIN, np.uint8)
        y = self.at[:, 1]
        hips = self._joint("upperleg01.L")[1]
        trunk = _among(body, self.owner, ("root", "pelvis", "spine", "clavicle", "shoulder"))
        out[trunk & (y > hips + look.hem)] = TOP
        out[trunk & (y <= hips + look.hem)] = BOTTOM
        arm = _among(body, self.owner, ("shoulder", "upperarm", "lowerarm"))
        out[arm & (self._along("upperarm01", "lowerarm01", "wrist") < look.sleeves)] = TOP
        leg = _among(body, self.owner, ("upperleg", "lowerleg"))
        out[leg & (self._along("upperleg01", "lowerleg01", "foot") < look.legs)] = BOTTOM
        # A top that hangs over the trousers.
        out[leg & (y > hips + look.hem)] = TOP
        foot = _among(body, self.owner, ("foot", "toe"))
        out[foot] = SHOES
        out[foot & (y < y[foot].min() + 0.02)] = SOLES
        self._face(out, look)
        return out

    def _face(self, out: NDArray[np.uint8], look: Look) -> None:
        body, at = self.body, self.at
        head = _among(body, self.owner, ("head", "neck", "eye."))
        eyes = (self._joint("eye.L") + self._joint("eye.R")) / 2
        apart = self._joint("eye.L")[0] - eyes[0]  # half of the distance between the eyes
        x, y, z = ((at - eyes) / apart).T  # 3 cm: units of a face
        high, back = y / 3.4, -z / 3.4
        # From the forehead down to the ear, and steeply down behind it.
        hairline = 0.75 - 0.55 * back - 5 * np.maximum(back - 0.9, 0)
        out[head & (high > np.maximum(hairline, look.hair_low))] = HAIR
        side = np.abs(x) - 1
        front = head & (z > -0.6)
        out[front & (np.abs(side) < 0.75) & (y > 0.55) & (y < 0.95)] = BROWS
        out[front & (np.abs(x) < 0.85) & (y > -2.45) & (y < -1.85) & (z > 0.3)] = LIPS
        eye = _among(body, self.owner, ("eye.",))
        out[eye] = EYES
        out[eye & (np.hypot(side, y) < 0.2) & (z > 0)] = IRIS

    def _joint(self, name: str) -> FloatArray:
        return np.asarray(self.joints[self.body.joint_names.index(name)])

    def _along(self, start: str, middle: str, end: str) -> FloatArray:
        """(N,) 0 at the limb's start, 1 at its middle joint, 2 at its end; either side."""
        side = np.where(self.at[:, 0] > 0, 0, 1)
        a, b, c = (
            np.stack([self._joint(f"{name}.{s}") for s in "LR"])[side]
            for name in (start, middle, end)
        )
        first = _share(self.at, a, b)
        return np.where(first < 1, first, 1 + np.clip(_share(self.at, b, c), 0, None))


def _share(at: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """(N,) position of each point's projection on the line from a (0) to b (1)."""
    d = b - a
    return np.asarray(((at - a) * d).sum(axis=1) / (d * d).sum(axis=1))
