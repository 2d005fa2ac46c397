"""Weights and names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.opensim.sets import (
    own_set,
    read_weights,
    renamed,
    setup_folder,
    table,
    without_clusters,
)
from kinefit.types import InputError, Markers, Timeline

SETUP = """<OpenSimDocument><InverseKinematicsTool><IKTaskSet><objects>
<IKMarkerTask name="A"><apply>true</apply><weight>{weight}</weight></IKMarkerTask>
<IKMarkerTask name="B"><apply>false</apply><weight>3</weight></IKMarkerTask>
<IKCoordinateTask name="c"><apply>true</apply><weight>0.5</weight>
<value_type>{kind}</value_type></IKCoordinateTask>
</objects></IKTaskSet></InverseKinematicsTool></OpenSimDocument>"""


def setup(path: Path, weight: str = "2", kind: str = "default_value") -> Path:
    file = path / "setup.xml"
    file.write_text(SETUP.format(weight=weight, kind=kind))
    return file


def test_weights_of_an_opensim_setup(tmp_path: Path) -> None:
    assert read_weights(setup(tmp_path)) == ({"A": 2.0}, {"c": 0.5})


@pytest.mark.parametrize("weight", ["-1", "nan", "inf", "many"])
def test_weights_that_are_none_are_refused(tmp_path: Path, weight: str) -> None:
    with pytest.raises(InputError, match="the weight of A"):
        read_weights(setup(tmp_path, weight))


def test_a_coordinate_that_follows_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="c is to follow"):
        read_weights(setup(tmp_path, kind="from_file"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [("<a>", "damaged XML"), ("<a/>", "no marker with a weight"),
     ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "entities")],
)  # fmt: skip
def test_setups_that_are_none_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "setup.xml"
    file.write_text(content)
    with pytest.raises(InputError, match=reason):
        read_weights(file)


def test_every_marker_of_the_table_is_one_that_a_shipped_set_has() -> None:
    folder, known = setup_folder(), set()
    for entry in table()["sets"].values():
        known |= set(read_weights(folder / entry["weights"])[0])
    assert set(table()["aliases"].values()) <= known


def test_markers_are_renamed_only_where_the_name_is_wanted() -> None:
    names = ("Lknee", "RKnee", "C7")
    markers = Markers(Timeline.regular(2, 10.0), names, np.zeros((2, 3, 3)))
    new, taken = renamed(markers, ["LKnee", "RKnee"])
    assert new.names == ("LKnee", "RKnee", "C7")
    assert taken == {"Lknee": "LKnee"}


def test_a_name_that_is_there_is_not_given_away() -> None:
    markers = Markers(Timeline.regular(2, 10.0), ("Lknee", "LKnee"), np.zeros((2, 2, 3)))
    assert renamed(markers, ["LKnee"])[1] == {}


def test_laboratory_clusters_have_no_say_in_scaling() -> None:
    names = list(table()["weights"]["opencap_laboratory"])
    chosen = own_set(Path("model.osim"), names, None)
    assert chosen.name == "opencap_laboratory"
    kept = without_clusters(chosen).weights
    assert "r_thigh1" not in kept
    assert "L_sh2" not in kept
    assert kept["r_knee"] == 20
    assert kept["R_HJC"] > 0


def test_unknown_markers_weigh_the_same() -> None:
    assert own_set(Path("model.osim"), ["a", "b"], None).weights == {"a": 1.0, "b": 1.0}
