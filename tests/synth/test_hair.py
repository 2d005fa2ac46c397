"""Hair, headwear and skirts: seen where they are worn, carried by the body, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from kinefit.body.anny import load_anny
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import intrinsics
from kinefit.synth.backdrop import Room
from kinefit.synth.cameras import looking
from kinefit.synth.hair import Hairdo
from kinefit.synth.look import (
    BOTTOM,
    EYES,
    HAIR,
    HEADWEAR,
    IRIS,
    LIPS,
    Figure,
    Look,
    dress,
    sample_look,
    sample_worn,
)
from kinefit.synth.painter import Light, Painter, Shot
from kinefit.synth.pieces import with_pieces
from kinefit.synth.scene_options import HAIR_STYLES, HairStyle
from kinefit.synth.subjects import sample_shape
from kinefit.types import Camera

ADDED: tuple[HairStyle, ...] = ("long", "bun", "ponytail", "curly", "cap", "hood")
FRONT, SIDE, BACK = 0.0, np.pi / 2, np.pi  # of the camera: at +Z, on the person's left, behind
SIZE, FOCAL, AWAY_M = (160, 200), 700.0, 2.5
M_PX = AWAY_M / FOCAL  # metres of a pixel at the head
ROOM = Room("room", (8.0, 8.0), 3.0, 0, (0.5, 0.5, 0.5))
LAMP = Light((0.6, 0.8, 0.0), key=0.6, ambient=0.4, warmth=0.0, softness_m=0.01, shadow=0.8)
PLAIN = replace(sample_look(np.random.default_rng(0)), hem=0.0, loose_m=0.005)
BODY = load_anny()
STILL = np.tile(np.eye(3), (len(BODY.joint_names), 1, 1))


def look(style: HairStyle, size: float = 0.5, back_deg: float = 80.0) -> Look:
    worn = sample_worn(np.random.default_rng(0), PLAIN, style, 0.0)
    return replace(worn, hairdo=Hairdo(style, size, back_deg))


SKIRT = replace(look("bald"), legs=1.7, skirt_flare_m=0.08)
TROUSERS = replace(look("bald"), legs=1.7)


@cache
def dressed(worn: Look) -> Figure:
    return dress(BODY, BODY.shape.neutral, worn)


def rotated(**turns: tuple[float, float, float]) -> np.ndarray:
    """(B, 3, 3) local rotations; names with _ for a point."""
    out = STILL.copy()
    for name, turn in turns.items():
        out[BODY.joint_names.index(name.replace("_", "."))] = so3.exp(np.array(turn))
    return out


def posed(worn: Look, rotations: np.ndarray = STILL, shape: np.ndarray | None = None) -> np.ndarray:
    """(V, 3) metres of body and pieces."""
    shape = BODY.shape.neutral if shape is None else shape
    body = with_pieces(BODY.fixed(shape), dress(BODY, shape, worn).pieces)
    return body.posed_vertices(rotations, np.zeros(3), np.zeros(0))


def joint(name: str) -> np.ndarray:
    return BODY.rest_joints(BODY.shape.neutral)[BODY.joint_names.index(name)]


def camera(azimuth: float, target: np.ndarray) -> Camera:
    eye = target + AWAY_M * np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
    R = looking(target - eye)
    return Camera("cam", SIZE, intrinsics(FOCAL, SIZE), R, -R @ eye)


def seen(
    worn: Look, azimuth: float, at: str = "head", rotations: np.ndarray = STILL
) -> tuple[Shot, Figure]:
    figure = dressed(worn)
    painter = Painter(ROOM, LAMP, [figure], [], SIZE)
    return painter.outline(camera(azimuth, joint(at)), [posed(worn, rotations)]), figure


def masks(worn: Look, azimuth: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(H, W) pixels of the person, of the head with hair, and of hair or headwear."""
    shot, figure = seen(worn, azimuth)
    person = shot.surface == 0
    return person, person & figure.head[shot.face], person & figure.hair[shot.face]


def faces_seen(worn: Look, azimuth: float, *parts: int) -> int:
    shot, figure = seen(worn, azimuth)
    return int(np.isin(figure.part[shot.face[shot.surface == 0]], parts).sum())


# ---- what is seen ----


@pytest.mark.parametrize("azimuth", [FRONT, SIDE, BACK])
def test_the_bald_have_a_head_and_no_hair(azimuth: float) -> None:
    _, head, hair = masks(look("bald"), azimuth)
    assert head.sum() > 1000
    assert not hair.any()


@pytest.mark.parametrize("style", [s for s in HAIR_STYLES if s != "bald"])
def test_hair_is_of_the_head_and_most_of_it_from_behind(style: HairStyle) -> None:
    for azimuth in (FRONT, SIDE, BACK):
        person, head, hair = masks(look(style), azimuth)
        assert hair.sum() > 100
        assert not (hair & ~head).any()
        assert not (head & ~person).any()
    _, head, hair = masks(look(style), BACK)
    # A cap ends above the ears; below it is short hair.
    assert hair.sum() > 0.7 * head.sum()


@pytest.mark.parametrize("style", HAIR_STYLES)
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_the_face_is_free(style: HairStyle, size: float) -> None:
    free = faces_seen(look("bald"), FRONT, EYES, IRIS, LIPS)
    assert free > 30
    assert faces_seen(look(style, size), FRONT, EYES, IRIS, LIPS) == free


def area_outside(worn: Look, azimuth: float) -> np.ndarray:
    """(2,) square metres of hair outside of the bald person's outline: left and right in the
    picture. From the person's left, behind is right."""
    outside = masks(worn, azimuth)[2] & ~masks(look("bald"), azimuth)[0]
    half = SIZE[0] // 2
    return np.array([outside[:, :half].sum(), outside[:, half:].sum()]) * M_PX**2


@pytest.mark.parametrize("size", [0.0, 1.0])
def test_a_bun_is_a_ball_behind_the_head(size: float) -> None:
    disc = np.pi * (0.03 + 0.025 * size) ** 2
    short = area_outside(look("short"), SIDE)[1]
    behind = area_outside(look("bun", size), SIDE)[1]
    # It stands out by 1.65 of 2 radii: 87 % of the disc, less what the layer of hair covers.
    assert 0.75 * disc < behind < disc + short
    # From the front, at the height of the eyes, the head hides it.
    front = area_outside(look("bun", size), FRONT).sum()
    assert front < area_outside(look("short"), FRONT).sum() + 0.02 * disc


def test_a_bun_on_the_crown_is_seen_from_all_sides() -> None:
    for azimuth in (FRONT, SIDE, BACK):
        top = area_outside(look("bun", 1.0, back_deg=20), azimuth).sum()
        assert top > area_outside(look("short"), azimuth).sum() + 0.5 * np.pi * 0.055**2


def test_a_ponytail_hangs_behind() -> None:
    short, long = (area_outside(look("ponytail", size), SIDE) for size in (0.0, 1.0))
    assert short[1] > area_outside(look("short"), SIDE)[1] + 0.001
    assert long[1] > short[1] + 0.001
    assert long[0] < 0.001


@pytest.mark.parametrize("size", [0.0, 1.0])
def test_curls_are_as_thick_as_they_say(size: float) -> None:
    bald, curly = (np.nonzero(masks(look(s, size), FRONT)[1]) for s in ("bald", "curly"))
    thick = 0.04 + 0.05 * size
    higher = (bald[0].min() - curly[0].min()) * M_PX
    assert 0.75 * thick < higher < 1.2 * thick  # lumps are 0.8 to 1.15 of it
    # It is less near the face and the neck, but on both sides.
    assert thick < (np.ptp(curly[1]) - np.ptp(bald[1])) * M_PX < 2.2 * thick


def first(row: np.ndarray) -> int:
    return int(np.flatnonzero(row)[0])


def last(row: np.ndarray) -> int:
    return int(np.flatnonzero(row)[-1])


@pytest.mark.parametrize("size", [0.0, 1.0])
def test_a_visor_is_in_front_of_the_brow_only(size: float) -> None:
    dome, visor = dressed(look("cap", size)).pieces
    assert visor.rest[:, 2].max() > dome.rest[:, 2].max() + 0.02
    assert visor.rest[:, 1].min() > joint("eye.L")[1] + 0.01
    above_eyes = slice(0, SIZE[1] // 2 - round((joint("eye.L") - joint("head"))[1] / M_PX))
    bald, cap = (masks(look(s, size), SIDE)[0][above_eyes] for s in ("bald", "cap"))
    front, behind = (
        int(edge(bald.any(axis=0)) - edge(cap.any(axis=0))) * M_PX for edge in (first, last)
    )
    # Its length is from the forehead, which is up to 2 cm behind the brow.
    assert 0.04 + 0.03 * size < front < 0.06 + 0.03 * size
    assert -0.025 < behind < 0
    assert faces_seen(look("cap", size), FRONT, HEADWEAR) > 100
    assert faces_seen(look("cap", size), FRONT, HAIR) < faces_seen(look("short"), FRONT, HAIR)


def width_m(worn: Look, azimuth: float, height: float) -> float:
    """Of the person at a height, metres."""
    shot, _ = seen(worn, azimuth)
    row = round((SIZE[1] - 1) / 2 - (height - joint("head")[1]) / M_PX)
    return float((shot.surface[row] == 0).sum()) * M_PX


@pytest.mark.parametrize("style", ["long", "hood"])
def test_hair_and_hoods_hide_the_neck(style: HairStyle) -> None:
    neck = float(joint("neck02")[1])
    for azimuth in (FRONT, SIDE, BACK):
        assert width_m(look(style), azimuth, neck) > 1.25 * width_m(look("bald"), azimuth, neck)


def test_longer_hair_reaches_lower_down_the_back() -> None:
    lowest = [dressed(look("long", s)).pieces[0].rest[:, 1].min() for s in (0.0, 0.5, 1.0)]
    assert (np.diff(lowest) < -0.05).all()
    back, lower = joint("neck01")[1], joint("spine02")[1]
    assert back - 0.05 < lowest[0] < back
    assert lower < lowest[2] < back - 0.15


def test_a_hood_on_the_shoulders_is_clothes() -> None:
    figure = dressed(look("hood"))
    cloth = figure.part == HEADWEAR
    height = figure.rest[figure.faces, 1].mean(axis=1)
    neck = joint("neck01")[1]
    np.testing.assert_array_equal(figure.hair[cloth], height[cloth] > neck)
    assert (cloth & ~figure.hair).any()
    assert not figure.head[cloth & ~figure.hair].any()


# ---- the meshes ----


def pieces(worn: Look, seed: int | None = None):
    rng = np.random.default_rng(seed)
    shape = BODY.shape.neutral if seed is None else sample_shape(BODY, rng, child=seed % 2 == 1)
    return dress(BODY, shape, worn).pieces


EVERYTHING = [replace(SKIRT, hairdo=Hairdo(style, 1.0, 60.0)) for style in HAIR_STYLES]


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_pieces_are_closed_and_face_outwards(seed: int | None) -> None:
    for worn in EVERYTHING:
        for piece in pieces(worn, seed):
            a, b, c = piece.faces.T
            edges = np.concatenate([np.stack(pair) for pair in ((a, b), (b, c), (c, a))], axis=1)
            keys, back = (e[0] * len(piece.rest) + e[1] for e in (edges, edges[::-1]))
            assert len(np.unique(keys)) == len(keys)
            np.testing.assert_array_equal(np.sort(keys), np.sort(back))
            p, q, r = (piece.rest[corner] for corner in (a, b, c))
            assert np.einsum("fi,fi->", p, np.cross(q, r)) > 0  # six times the volume


def test_shares_of_joints_sum_to_one() -> None:
    for worn in EVERYTHING:
        for piece in pieces(worn):
            joints, weights = piece.skin(BODY)
            assert (weights >= 0).all()
            np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
            assert piece.face_joints(BODY).shape == (len(piece.faces),)
            assert joints.shape == weights.shape == (len(piece.rest), BODY.skin_joints.shape[1])


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_the_same_look_gives_the_same_meshes(style: HairStyle) -> None:
    worn = replace(SKIRT, hairdo=Hairdo(style))
    one, two = (dress(BODY, BODY.shape.neutral, worn) for _ in range(2))
    for name in ("faces", "part", "rest", "offset", "head", "hair", "joint"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize("style", ["layer", "bald", "short"])
def test_styles_without_geometry_leave_the_body_as_it_is(style: HairStyle) -> None:
    figure, fixed = dressed(look(style)), BODY.fixed(BODY.shape.neutral)
    assert with_pieces(fixed, figure.pieces) is fixed
    np.testing.assert_array_equal(figure.faces, BODY.faces)


# ---- what carries them ----


TURN = (0.3, 0.9, -0.2)


def moved(worn: Look, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of the pieces at rest and in a pose."""
    first = len(BODY.vertices)
    return posed(worn)[first:], posed(worn, rotations)[first:]


@pytest.mark.parametrize("style", ["bun", "curly", "cap"])
def test_what_sits_on_the_head_rotates_with_it(style: HairStyle) -> None:
    rest, now = moved(look(style), rotated(head=TURN))
    pivot = joint("head")
    expected = (rest - pivot) @ so3.exp(np.array(TURN)).T + pivot
    np.testing.assert_allclose(now, expected, atol=1e-12)
    # The negative control: a turned hip leaves them where they were.
    np.testing.assert_array_equal(*moved(look(style), rotated(upperleg01_L=TURN)))


@pytest.mark.parametrize("style", ["long", "ponytail", "hood"])
def test_what_hangs_follows_the_head_above_and_the_spine_below(style: HairStyle) -> None:
    rest, now = moved(look(style, 1.0), rotated(head=TURN))
    stays = np.linalg.norm(now - rest, axis=1)
    pivot = joint("head")
    with_head = (rest - pivot) @ so3.exp(np.array(TURN)).T + pivot
    whole = np.linalg.norm(with_head - rest, axis=1)
    top, low = rest[:, 1].argmax(), rest[:, 1].argmin()
    assert stays[top] == pytest.approx(whole[top], abs=1e-9)
    assert stays[low] < 0.5 * whole[low]
    # With the spine they go as a whole.
    rest, now = moved(look(style, 1.0), rotated(spine02=TURN))
    pivot = joint("spine02")
    np.testing.assert_allclose(now, (rest - pivot) @ so3.exp(np.array(TURN)).T + pivot, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_pieces_stay_near_the_body_in_any_pose(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wild = so3.exp(rng.uniform(-2.0, 2.0, (len(BODY.joint_names), 3)))
    for style in ADDED:
        at = posed(replace(SKIRT, hairdo=Hairdo(style, 1.0)), wild)
        assert np.isfinite(at).all()
        # A vertex is a mean over its joints' places: no farther from a joint than at rest.
        assert np.abs(at).max() < 3.0


# ---- skirts ----


def gap_px(worn: Look, rotations: np.ndarray = STILL) -> int:
    """Pixels of the background between the legs, in rows around the knees, from the front."""
    shot, _ = seen(worn, FRONT, "root", rotations)
    height = (joint("root")[1] - joint("lowerleg01.L")[1]) / M_PX
    middle = round((SIZE[1] - 1) / 2 + height * 0.6)  # of the thighs, well within the picture
    out = 0
    for row in shot.surface[middle - 5 : middle + 5] == 0:
        x = np.flatnonzero(row)
        out += int(np.ptp(x)) + 1 - len(x)
    return out


def test_a_skirt_hides_the_gap_between_the_legs() -> None:
    apart = rotated(upperleg01_L=(0, 0, 0.25), upperleg01_R=(0, 0, -0.25))
    stride = rotated(upperleg01_L=(-0.5, 0, 0.1), upperleg01_R=(0.4, 0, -0.1))
    for pose in (apart, stride):
        assert gap_px(TROUSERS, pose) > 50
        assert gap_px(SKIRT, pose) == 0
    assert gap_px(SKIRT) == 0


def test_a_skirt_is_of_the_body_and_as_long_as_it_says() -> None:
    for legs in (1.3, 1.9):
        (cloth,) = dressed(replace(SKIRT, legs=legs)).pieces
        knee, ankle = joint("lowerleg01.L")[1], joint("foot.L")[1]
        assert cloth.rest[:, 1].min() == pytest.approx(knee + (legs - 1) * (ankle - knee), abs=1e-9)
        assert cloth.part == BOTTOM
        assert not cloth.on_head.any()
    figure = dressed(SKIRT)
    assert not figure.head[figure.part == BOTTOM].any()


@pytest.mark.parametrize("seed", range(4))
def test_legs_are_inside_the_skirt_at_rest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = sample_shape(BODY, rng, child=seed == 3)
    figure = dress(BODY, shape, replace(SKIRT, skirt_flare_m=0.02))
    (cloth,) = figure.pieces
    hip = BODY.rest_joints(shape)[BODY.joint_names.index("upperleg01.L")]
    legs = [n.startswith("lowerleg") for n in np.array(BODY.joint_names)[figure.joint]]
    skin = figure.rest[figure.faces[: len(figure.faces) - len(cloth.faces)]].mean(axis=1)
    skin = skin[np.array(legs)[: len(skin)] & (skin[:, 1] > cloth.rest[:, 1].min() + 0.03)]
    assert len(skin) > 100
    outward = cloth.rest[1:-1] - [0, 0, hip[2]]
    angle, far = np.arctan2(outward[:, 0], outward[:, 2]), np.hypot(outward[:, 0], outward[:, 2])
    for point in skin[::40]:
        beside = np.abs(outward[:, 1] - point[1]) < 0.09
        near = np.cos(angle - np.arctan2(point[0], point[2] - hip[2])) > np.cos(0.2)
        assert np.hypot(point[0], point[2] - hip[2]) < far[beside & near].max()


def test_a_skirt_follows_both_legs() -> None:
    bent = rotated(upperleg01_L=(-1.5, 0, 0), lowerleg01_L=(1.5, 0, 0))
    rest, now = moved(SKIRT, bent)
    forward = now[:, 2] - rest[:, 2]
    low = rest[:, 1] < joint("lowerleg01.L")[1] + 0.1
    left, right = low & (rest[:, 0] > 0.12), low & (rest[:, 0] < -0.12)
    assert forward[left].mean() > 0.3  # the knee goes forward by the length of the thigh
    np.testing.assert_array_equal(now[right], rest[right])


# ---- what is drawn from a seed ----


def test_any_style_comes_and_skirts_come_as_often_as_they_should() -> None:
    rng = np.random.default_rng(0)
    looks = [sample_worn(rng, PLAIN, "any", 0.4) for _ in range(300)]
    styles = [one.hairdo.style for one in looks]
    for style in HAIR_STYLES:
        share = styles.count(style) / len(styles)
        assert share == (0 if style == "layer" else pytest.approx(1 / 8, abs=0.06))  # 3 SD
    skirts = [one for one in looks if one.skirt_flare_m is not None]
    assert len(skirts) / len(looks) == pytest.approx(0.4, abs=0.09)  # 3 SD
    dresses = [one for one in skirts if one.bottom == one.top]
    assert 0 < len(dresses) < len(skirts)
    assert all(1.3 <= one.legs <= 1.9 for one in skirts)


def test_without_options_a_look_stays_as_it_was() -> None:
    assert sample_worn(np.random.default_rng(3), PLAIN, "layer", 0.0) == PLAIN
