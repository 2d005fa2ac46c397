"""The tables agree with each other and with themselves mirrored."""

import numpy as np
import pytest

from kinefit.skeletons import map_points, mirror_name, skeleton, skeleton_names


@pytest.mark.parametrize("name", skeleton_names())
def test_mirror_is_an_involution_and_edges_exist(name):
    table = skeleton(name)
    mirror = table.mirror()
    assert (mirror[mirror] == np.arange(len(table.points))).all()
    assert len(set(table.points)) == len(table.points)
    assert {p for edge in table.edges for p in edge} <= set(table.points)
    sided = [p for p in table.points if mirror_name(p) != p]
    assert {mirror_name(p) for p in sided} == set(sided)


def test_sizes():
    sizes = {n: len(skeleton(n).points) for n in skeleton_names()}
    assert sizes == {
        "augmented43": 43,
        "blazepose33": 33,
        "body25": 25,
        "coco17": 17,
        "halpe26": 26,
        "markers22": 22,
        "mhr46": 46,
        "mhr70": 70,
    }


def test_mapping_by_name_derives_means_and_keeps_nan_local():
    source = skeleton("blazepose33").points
    values = np.arange(33 * 2.0).reshape(1, 33, 2)
    values[0, source.index("REar")] = np.nan
    target = skeleton("markers22")
    mapped = dict(zip(target.points, map_points(values, source, target)[0], strict=True))
    assert (mapped["RKnee"] == values[0, source.index("RKnee")]).all()
    hips = values[0, [source.index("LHip"), source.index("RHip")]]
    assert (mapped["Hip"] == hips.mean(0)).all()
    missing = {n for n, v in mapped.items() if np.isnan(v).any()}
    assert missing == {"Head", "LSmallToe", "RSmallToe"}


def test_a_point_of_the_source_wins_over_its_derivation():
    source = skeleton("body25").points
    values = np.random.default_rng(0).normal(size=(25, 3))
    mapped = map_points(values, source, skeleton("markers22"))
    neck = skeleton("markers22").points.index("Neck")
    assert (mapped[neck] == values[source.index("Neck")]).all()


def test_unknown_skeleton_lists_the_known():
    with pytest.raises(KeyError, match="coco17"):
        skeleton("coco18")
