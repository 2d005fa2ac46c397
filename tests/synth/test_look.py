"""Everybody is dressed: each triangle has a part, and clothes reach as far as they say."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from kinefit.body.anny import load_anny
from kinefit.synth.look import (
    BOTTOM,
    BROWS,
    EYES,
    HAIR,
    IRIS,
    LIPS,
    SHOES,
    SKIN,
    SOLES,
    TOP,
    Figure,
    Look,
    dress,
    linear,
    sample_look,
    sample_reflectance,
)

PLAIN = replace(
    sample_look(np.random.default_rng(0)),
    sleeves=0.5, legs=2.0, hem=0.0, loose_m=0.02, hair_m=0.01, hair_low=-0.6,
)  # fmt: skip


@cache
def dressed(**changes: float) -> Figure:
    body = load_anny()
    return dress(body, body.shape.neutral, replace(PLAIN, **changes))


def joints_of(figure: Figure) -> np.ndarray:
    return np.array(load_anny().joint_names)[figure.joint]


def count(figure: Figure, part: int, *limbs: str) -> int:
    names = joints_of(figure)
    on = np.array([name.startswith(limbs) for name in names])
    return int((on & (figure.part == part)).sum())


ARM, LEG = ("upperarm", "lowerarm"), ("upperleg", "lowerleg")


def test_every_triangle_has_a_part_and_every_part_occurs() -> None:
    figure = dressed()
    assert figure.part.shape == (len(figure.faces),)
    everything = {SKIN, TOP, BOTTOM, SHOES, HAIR, LIPS, EYES, IRIS, SOLES, BROWS}
    assert set(np.unique(figure.part)) == everything
    assert figure.palette.shape == (len(everything) + 1, 3)  # there is headwear, too
    assert np.isfinite(figure.offset).all()


@pytest.mark.parametrize("sleeves", [0.25, 0.7, 2.0])
def test_left_and_right_are_dressed_alike(sleeves: float) -> None:
    figure = dressed(sleeves=sleeves)
    names = joints_of(figure)
    for part, limbs in ((TOP, ARM), (BOTTOM, LEG), (SHOES, ("foot", "toe"))):
        of = [np.isin(figure.part, part) & [n.startswith(limbs) and n.endswith(side) for n in names]
              for side in (".L", ".R")]  # fmt: skip
        left, right = (int(n.sum()) for n in of)
        assert left > 50
        assert left == pytest.approx(right, rel=0.03)  # the mesh is not quite symmetric


def test_longer_sleeves_cover_more_of_the_arms_and_nothing_of_the_legs() -> None:
    lengths = [dressed(sleeves=s) for s in (0.25, 0.5, 0.9, 1.5, 2.0)]
    covered = [count(f, TOP, *ARM) for f in lengths]
    assert (np.diff(covered) > 0).all()
    assert count(lengths[-1], SKIN, "upperarm") == 0
    assert len({count(f, BOTTOM, *LEG) for f in lengths}) == 1
    # Half a sleeve ends in the middle of the upper arm: below the elbow all is bare.
    assert count(lengths[1], TOP, "lowerarm") == 0


def test_longer_trousers_cover_more_of_the_legs_and_nothing_of_the_arms() -> None:
    lengths = [dressed(legs=s) for s in (0.3, 0.6, 0.9, 2.0)]
    covered = [count(f, BOTTOM, *LEG) for f in lengths]
    assert (np.diff(covered) > 0).all()
    assert count(lengths[-1], SKIN, *LEG) == 0
    assert len({count(f, TOP, *ARM) for f in lengths}) == 1


def test_the_hem_is_as_high_as_it_says() -> None:
    body = load_anny()
    hips = body.rest_joints(body.shape.neutral)[body.joint_names.index("upperleg01.L"), 1]
    for hem in (-0.06, 0.05):
        figure = dressed(hem=hem)
        trunk = [n.startswith(("root", "pelvis", "spine")) for n in joints_of(figure)]
        middle = figure.rest[figure.faces].mean(axis=1)[:, 1]
        assert middle[trunk & (figure.part == TOP)].min() > hips + hem - 1e-4
        assert middle[trunk & (figure.part == BOTTOM)].max() < hips + hem + 1e-4


def test_the_head_is_above_the_neck_and_holds_the_face() -> None:
    body, figure = load_anny(), dressed()
    neck = body.rest_joints(body.shape.neutral)[body.joint_names.index("neck01"), 1]
    middle = figure.rest[figure.faces].mean(axis=1)
    head = figure.head
    assert head.any()
    assert not head.all()
    assert middle[head, 1].min() > neck
    assert middle[:, 1].argmax() in np.flatnonzero(head)
    assert head[np.isin(figure.part, (EYES, IRIS, LIPS))].all()
    # In front (+Z) are the eyes, above the lips.
    eyes, lips = (middle[np.isin(figure.part, p)].mean(axis=0) for p in ((EYES, IRIS), (LIPS,)))
    assert eyes[1] > lips[1] + 0.03
    assert lips[2] > middle[head, 2].mean()


def test_the_layer_of_hair_is_of_the_head_also_on_the_neck() -> None:
    figure = dressed(hair_low=-2.0)
    np.testing.assert_array_equal(figure.hair, figure.part == HAIR)
    assert figure.head[figure.hair].all()
    assert count(figure, HAIR, "neck") > 0
    assert not dressed(hair_low=9.0).hair.any()


def test_hair_covers_the_head_from_the_brow_back_or_there_is_none() -> None:
    none, high, short = (count(dressed(hair_low=low), HAIR, "head") for low in (9.0, 0.3, -0.6))
    assert none == 0 < high < short
    assert count(dressed(hair_low=9.0), BROWS, "head") == count(dressed(), BROWS, "head") > 0
    figure = dressed()
    middle = figure.rest[figure.faces].mean(axis=1)
    crown = figure.head & (middle[:, 1] > np.quantile(middle[:, 1], 0.999))
    assert (figure.part[crown] == HAIR).all()


def test_skin_is_bare_and_cloth_is_as_loose_as_it_says() -> None:
    tight, loose = dressed(loose_m=0.002), dressed(loose_m=0.025)
    for figure, most in ((tight, 0.002), (loose, 0.025)):
        cloth = np.unique(figure.faces[figure.part == TOP])
        assert (figure.offset >= 0).all()
        assert figure.offset[cloth].max() <= max(most, 0.01) + 1e-12  # hair hangs over the top
    names = joints_of(loose)
    hand = np.unique(loose.faces[[n.startswith(("finger", "metacarpal")) for n in names]])
    assert len(hand) > 100
    assert (loose.offset[hand] == 0).all()
    chest = np.unique(loose.faces[[n.startswith("spine01") for n in names]])
    assert loose.offset[chest].mean() > 5 * tight.offset[chest].mean()


def test_sampled_looks_are_valid_and_differ() -> None:
    rng = np.random.default_rng(7)
    looks = [sample_look(rng) for _ in range(30)]
    for look in looks:
        colors = [*look.palette, look.top_pattern.color, look.bottom_pattern.color]
        assert (np.array(colors) >= 0).all()
        assert (np.array(colors) <= 1).all()
        assert 0 <= look.sleeves <= 2
        assert 0 <= look.legs <= 2
        assert 0.002 <= look.loose_m <= 0.025
        assert 0.02 <= look.top_pattern.scale_m <= 0.15
        assert look.lips[0] < look.skin[0]
    assert len(set(looks)) == 30
    assert any(look.top_pattern.kind != "plain" for look in looks)
    assert [sample_look(np.random.default_rng(7))] == looks[:1]


@pytest.mark.parametrize("seed", range(3))
def test_sampled_looks_dress_any_body(seed: int) -> None:
    body, rng = load_anny(), np.random.default_rng(seed)
    look: Look = sample_look(rng)
    figure = dress(body, body.shape.neutral, look)
    assert {TOP, BOTTOM, SHOES, LIPS, IRIS} <= set(np.unique(figure.part))
    assert figure.patterns[TOP] == look.top_pattern
    np.testing.assert_array_equal(figure.palette[TOP], look.top)


def test_reflectance_is_linear_light() -> None:
    # IEC 61966-2-1: middle grey 118 is 0.1812, the ends are the ends.
    np.testing.assert_allclose(linear(np.array([0.0, 118.0, 255.0])), [0, 0.1812, 1], atol=1e-4)
    rng = np.random.default_rng(0)
    dark = np.array([sample_reflectance(rng, dark=True) for _ in range(300)])
    any_ = np.array([sample_reflectance(rng) for _ in range(300)])
    dull = np.array([sample_reflectance(rng, dull=True) for _ in range(300)])
    assert dark.mean() < 0.8 * any_.mean()
    assert np.ptp(dull, axis=1).mean() < 0.8 * np.ptp(any_, axis=1).mean()
