"""Scale from stature: the ratios, the choice of chain, and the stated uncertainty."""

from pathlib import Path

import numpy as np
import pytest

from kinefit.geometry.scale import CHAINS, body_scale, weighted_median
from kinefit.types import TooFewPoints

ANSUR = Path(__file__).parents[3] / "shared" / "data" / "anthropometry" / "ANSUR_II.csv"


@pytest.fixture
def body(studio):
    """A perfect body and full weights."""
    xyz = studio.scene().xyz
    return xyz, studio.names, np.ones(xyz.shape[:2]), studio.height


def hide(body, *kinds):
    xyz, names, weights, height = body
    weights = weights.copy()
    weights[:, [i for i, n in enumerate(names) if n[1:] in kinds]] = 0
    return xyz, names, weights, height


@pytest.mark.skipif(not ANSUR.exists(), reason="ANSUR II is not beside the repository")
def test_ratios_are_those_of_ansur():
    import pandas as pd

    table = pd.read_csv(ANSUR, encoding="latin1")
    upper = table.acromialheight - 0.104 * table.acromionradialelength
    whole = (upper - table.lateralmalleolusheight) / table.stature
    chains = {chain.name: chain for chain in CHAINS}
    assert chains["shoulders to ankles"].ratio == pytest.approx(whole.mean(), abs=0.0005)
    # Stated: the variation between people and 1 % for where a detector puts the joints.
    stated = np.hypot(whole.std() / whole.mean(), 0.01) * whole.mean()
    assert chains["shoulders to ankles"].sd == pytest.approx(stated, abs=0.0005)
    # The claim that makes the whole chain worth it: parts vary several times as much.
    trunk = (table.acromialheight - table.trochanterionheight) / table.stature
    assert trunk.std() / trunk.mean() > 3 * whole.std() / whole.mean()


def test_parts_add_up_to_the_whole():
    whole, legs, trunk = CHAINS
    assert legs.ratio + trunk.ratio == pytest.approx(whole.ratio)


def test_scale_turns_any_unit_into_metres(body):
    xyz, names, weights, height = body
    found = body_scale(xyz / 0.8, names, weights, height)
    assert found.metres_per_unit == pytest.approx(0.8)
    # A rigid body: only people differ.
    assert found.sd == pytest.approx(0.8 * CHAINS[0].sd / CHAINS[0].ratio)
    assert (found.chain, found.frames) == ("shoulders to ankles", len(xyz))


def test_a_wrong_third_of_the_clip_does_not_move_it(body):
    xyz, names, weights, height = body
    xyz = xyz.copy()
    xyz[::3] *= 1.5
    found = body_scale(xyz, names, weights, height)
    assert found.metres_per_unit == pytest.approx(1)


def test_a_body_that_changes_length_is_less_sure(body):
    xyz, names, weights, height = body
    wobble = 1 + 0.05 * np.random.default_rng(0).normal(size=(len(xyz), 1, 1))
    found = body_scale(xyz * wobble, names, weights, height)
    # 5 % of wobble joined with 1.6 %; the robust spread of 120 draws is known to about 10 %.
    assert found.sd == pytest.approx(np.hypot(0.05, 0.016), rel=0.2)


def test_hidden_side_is_replaced_by_the_other(body):
    xyz, names, weights, height = body
    weights, xyz = weights.copy(), xyz.copy()
    leg = [names.index("LKnee"), names.index("LAnkle")]
    weights[:, leg] = 0
    xyz[:, leg] += 3.0
    found = body_scale(xyz, names, weights, height)
    assert found.metres_per_unit == pytest.approx(1)
    assert found.chain == "shoulders to ankles"


@pytest.mark.parametrize(
    ("hidden", "chain"), [("Shoulder", "hips to ankles"), ("Ankle", "shoulders to hips")]
)
def test_parts_serve_where_the_rest_is_unseen(body, hidden, chain):
    found = body_scale(*hide(body, hidden))
    assert found.chain == chain
    assert found.metres_per_unit == pytest.approx(1)
    assert found.sd > 2 * body_scale(*body).sd


def test_nothing_to_measure_is_an_error(body):
    with pytest.raises(TooFewPoints):
        body_scale(*hide(body, "Hip"))


def test_weighted_median():
    values = np.array([3.0, 1.0, np.nan, 2.0])
    assert weighted_median(values, np.array([1.0, 1, 5, 1])) == 2
    assert weighted_median(values, np.array([9.0, 1, 5, 1])) == 3
    assert np.isnan(weighted_median(values, np.zeros(4)))
