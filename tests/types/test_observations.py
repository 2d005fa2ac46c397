"""What a fit is given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.types import CameraRig, FloatArray, InvalidData, Observations, Timeline

NAMES = ("LHip", "LKnee", "LAnkle", "LHeel")
T, J = 4, len(NAMES)


def observations() -> Observations:
    """Points without a camera, one limb, one foot."""
    x = np.tile([0.0, -1.0, 0.0], (T, 1, 1))
    return Observations(
        Timeline.regular(T, 30),
        CameraRig(()),
        NAMES,
        np.empty((T, 0, J, 2)),
        np.empty((T, 0, J)),
        np.arange(T * J * 3, dtype=float).reshape(T, J, 3),
        limbs=(("LKnee", "LAnkle"),),
        directions=x,
        direction_sd=np.full((T, 1), 0.2),
        contact_names=("LHeel",),
        contact=np.full((T, 1), 0.5),
    )


def test_arrays_are_copied_and_read_only() -> None:
    found = observations()
    with pytest.raises(ValueError, match="read-only"):
        found.xyz[0] = 0


def test_what_is_left_out_is_empty() -> None:
    found = observations()
    bare = replace(
        found, limbs=(), directions=None, direction_sd=None, contact_names=(), contact=None
    )
    assert bare.directions.shape == (T, 0, 3)
    assert bare.contact.shape == (T, 0)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("xyz", np.zeros((T, J + 1, 3)), "shape"),
        ("sigma", np.full((T, 0, J + 1), np.nan), "shape"),
        ("xyz", np.full((T, J, 3), np.inf), "infinite"),
        ("covariance", np.zeros((T, J, 3)), "shape"),
        ("limbs", (("LKnee", "Tail"),), "Tail"),
        ("directions", np.full((T, 1, 3), 0.5), "length one"),
        ("direction_sd", np.zeros((T, 1)), "positive"),
        ("directions", None, "shape"),
        ("contact_names", ("RHeel",), "RHeel"),
        ("contact", np.full((T, 1), 1.5), "0..1"),
        ("gravity_sd", -0.1, "gravity_sd"),
        ("focal_sd", float("nan"), "focal_sd"),
        ("stature_m", 172.0, "no height"),
    ],
)
def test_contradictions_are_refused(field: str, value: FloatArray, words: str) -> None:
    with pytest.raises(InvalidData, match=words):
        replace(observations(), **{field: value})


def test_selecting_keeps_the_limbs_and_feet_that_are_left() -> None:
    found = observations()
    legs = found.select(["LAnkle", "LKnee"])
    assert legs.names == ("LAnkle", "LKnee")
    assert np.array_equal(legs.xyz, found.xyz[:, [2, 1]])
    assert legs.limbs == (("LKnee", "LAnkle"),)
    assert legs.contact_names == ()
    assert found.select(["LHip", "LHeel"]).limbs == ()
    with pytest.raises(InvalidData, match="Tail"):
        found.select(["Tail"])


def test_moving_to_another_world_and_back() -> None:
    found = replace(observations(), covariance=np.tile(np.diag([1.0, 4, 9]), (T, J, 1, 1)))
    Q = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    shift = np.array([1.0, 2, 3])
    moved = found.moved(Q, shift)
    assert np.allclose(moved.xyz[1, 2], Q @ found.xyz[1, 2] + shift)
    assert np.allclose(moved.covariance[0, 0], np.diag([9.0, 4, 1]))
    back = moved.moved(Q.T, -Q.T @ shift)
    assert np.allclose(back.xyz, found.xyz)
    assert np.allclose(back.directions, found.directions)
