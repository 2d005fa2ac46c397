"""The one table of limbs: complete on both sides, in the order that the networks predict."""

import numpy as np
import pytest

from kinefit.skeletons import mirror_name, skeleton, skeleton_names
from kinefit.skeletons.limbs import (
    LIMBS,
    LONG_BONES,
    acceleration_density,
    ends,
    limbs,
    limbs_among,
    twins,
)


def test_every_limb_has_its_mirror_image_of_the_same_kind_and_spread():
    pairs = {frozenset((limb.start, limb.end)): limb for limb in limbs()}
    assert len(pairs) == len(limbs()) == len({limb.name for limb in limbs()})
    for limb in limbs():
        other = pairs[frozenset((mirror_name(limb.start), mirror_name(limb.end)))]
        assert (other.kind, other.length_sd) == (limb.kind, limb.length_sd)


@pytest.mark.parametrize("name", ["blazepose33", "coco17", "halpe26", "body25", "mhr70"])
def test_limbs_are_found_by_name_in_every_skeleton(name):
    points = skeleton(name).points
    found = limbs_among(points, limbs())
    assert {"left forearm", "right thigh", "hips"} <= {limb.name for limb in found}
    columns, twin = ends(points, found), twins(found)
    assert [points[a] for a, _ in columns] == [limb.start for limb in found]
    np.testing.assert_array_equal(twin[twin], np.arange(len(found)))
    assert found[twin[[limb.name for limb in found].index("left thigh")]].name == "right thigh"
    assert acceleration_density(points).shape == (len(points),)


def test_unknown_points_have_no_limbs_and_unknown_kinds_are_an_error():
    assert limbs_among(("Nose", "Tail"), limbs()) == ()
    assert ends(("Nose",), ()).shape == (0, 2)
    with pytest.raises(KeyError, match="leg"):
        limbs("leg")


def test_long_bones_are_eight_and_direction_fields_keep_their_order():
    assert len(LONG_BONES) == 8
    assert [limb.name for limb in LIMBS[:5]] == [
        "left upper arm", "left forearm", "right upper arm", "right forearm", "left thigh",
    ]  # fmt: skip
    assert [limb.kind for limb in LIMBS[8:]] == ["girdle"] * 2 + ["trunk"] * 2 + ["diagonal"] * 2


def test_the_table_of_limbs_is_no_skeleton():
    assert "limbs" not in skeleton_names()
    with pytest.raises(KeyError, match="limbs"):
        skeleton("limbs")
