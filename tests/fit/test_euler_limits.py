"""Limits by Euler angles in SMPL's rest pose: what they mean in any body, and what they refuse."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from kinefit.body.anatomy import Anatomy
from kinefit.body.anny import load_anny
from kinefit.fit.priors import EulerLimits, PriorJoints
from kinefit.fit.solver.chain import Chain
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray

from ..body.synthetic import SMPL_NAMES, tube_body

ALL = np.arange(1)


@cache
def _tubes() -> Chain:
    """SMPL's joints and rest pose."""
    return Chain.of(tube_body(), SMPL_NAMES, {"LWrist": {"LWrist": 1.0}})


@cache
def _anny() -> Chain:
    body = load_anny()
    return Chain.of(body, list(body.anatomy.values()), {"LWrist": {"LWrist": 1.0}})


def _in_t_pose(chain: Chain, **degrees: tuple[float, float, float]) -> FloatArray:
    """(1, F, 3, 3) the pose whose joints have these rotation vectors in SMPL's rest pose."""
    joints = PriorJoints.of(chain)
    frames = Anatomy.t_pose(joints.names)
    vectors = np.radians([degrees.get(name, (0, 0, 0)) for name in joints.names])
    out = np.broadcast_to(np.eye(3), (1, len(chain.joint_names), 3, 3)).copy()
    out[:, joints.column] = joints.anatomy.local(frames.rotations(so3.exp(vectors)))
    return out


def test_an_smpl_body_has_its_own_angles() -> None:
    chain = _tubes()
    term, F = EulerLimits.of(chain), len(chain.joint_names)
    wanted = np.random.default_rng(0).normal(0, 0.05, (1, F, 3))
    rest = term.angles(so3.exp(np.zeros((1, F, 3))))[0]
    assert np.abs(rest).max() < np.radians(8)  # the hand droops by 7 degrees, other bones by 2
    turned = term.angles(so3.exp(wanted))[0] - rest
    own = wanted[0, term.joints.column]
    for i, sequence in enumerate(term.sequences):
        own[i] = own[i, ["XYZ".index(letter) for letter in sequence]]
    # Euler angles are the rotation vector up to half the products of angles: 0.12 (the hand's), and
    # three deviations squared.
    np.testing.assert_allclose(turned, own, atol=0.12 * 0.15 + 0.15**2 / 2)


@pytest.mark.parametrize("chain", [_tubes, _anny])
@pytest.mark.parametrize(
    ("name", "inside", "outside", "beyond"),
    [
        ("LElbow", (0, -140, 0), (0, 30, 0), 30),  # the forearm forward, and bent back
        ("RElbow", (0, 140, 0), (0, -30, 0), 30),
        ("LElbow", (80, 0, 0), (0, 0, 40), 40 - 18),  # it rotates, and does not bend aside
        ("RElbow", (-80, 0, 0), (0, 0, -40), 40 - 18),
        ("LKnee", (150, 0, 0), (-30, 0, 0), 30),
        ("RKnee", (150, 0, 0), (0, 40, 0), 40 - 18),
        ("Head", (50, 0, 0), (0, 60, 0), 60 - 36),
        ("LHip", (-120, 0, 0), (0, 0, 70), 70 - 54),
    ],
)
def test_what_joints_may_do(
    chain: object, name: str, inside: tuple[float, ...], outside: tuple[float, ...], beyond: float
) -> None:
    made = chain()  # type: ignore[operator]
    term = EulerLimits.of(made)
    for turn, excess in ((inside, 0.0), (outside, beyond)):
        residual = term.residual(_in_t_pose(made, **{name: turn}), ALL)
        weight = term.weight[term.joints.names.index(name)]
        # The softness is 5 degrees.
        assert np.abs(residual).max() == pytest.approx(weight * excess / 5, abs=1e-6)


def test_weights_are_the_scripts() -> None:
    term = EulerLimits.of(_tubes())
    weight = dict(zip(term.joints.names, term.weight, strict=True))
    assert {"LShoulder", "LClavicle"} & set(weight) == set()
    told = {"Spine1": 2, "Neck": 2.5, "Head": 3, "LElbow": 2, "RWrist": 1, "LHip": 2, "RKnee": 2.5,
            "LAnkle": 1.5, "RToes": 1}  # fmt: skip
    assert {name: weight[name] for name in told} == told


def test_both_sides_may_do_the_same() -> None:
    term = EulerLimits.of(_tubes())
    names = term.joints.names
    for i, name in enumerate(names):
        if name.startswith("L"):
            k = names.index(f"R{name[1:]}")
            turn = dict(zip("XYZ", (1, -1, -1), strict=True))
            signs = np.array([turn[letter] for letter in term.sequences[i]])
            both = np.stack([signs * term.lower[i], signs * term.upper[i]])
            np.testing.assert_allclose(both.min(axis=0), term.lower[k])
            np.testing.assert_allclose(both.max(axis=0), term.upper[k])
