"""Points fixed to bones, and the small body that carries them."""

from __future__ import annotations

import numpy as np

from kinefit.body.attached_points import AttachedPoint, with_attached_points
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3

from ..body.synthetic import tube_body

SEEN = ("Nose", "LHeel", "RWrist")


def _posed(body, names):  # type: ignore[no-untyped-def]
    """Points of three random poses and one random shape, by the chain."""
    rng = np.random.default_rng(3)
    chain = Chain.of(body, list(body.joint_names), {name: {name: 1.0} for name in names})
    rotations = so3.exp(0.5 * rng.standard_normal((3, len(chain.joint_names), 3)))
    shape = 0.5 * rng.standard_normal(len(body.shape.names))
    state = State(rotations, rng.standard_normal((3, 3)), shape, np.zeros((len(names), 3)))
    return state, state.posed(chain)


def test_keypoints_are_where_the_whole_body_has_them() -> None:
    body = tube_body(1)
    small = with_attached_points(body, {}, SEEN)
    assert len(small.vertices) < 20 < len(body.vertices)
    # The same sums in the same order of magnitude: rounding.
    np.testing.assert_allclose(
        _posed(small, SEEN)[1].points, _posed(body, SEEN)[1].points, atol=1e-12
    )


def test_marks_move_with_their_joint_alone() -> None:
    body = tube_body(1)
    knee = body.joint_names.index("left_knee")
    marks = {
        "knee": AttachedPoint.at_joints(body, {"left_knee": 1.0}, "left_hip"),
        "skin": AttachedPoint.on_skin(body, np.array([5, 9]), np.array([0.25, 0.75]), "left_knee"),
    }
    small = with_attached_points(body, marks)
    state, posed = _posed(small, ("knee", "skin"))
    heads = body.rest_joints(state.shape)
    G, c = body.pose(state.rotations, state.translation, heads)
    np.testing.assert_allclose(posed.points[:, 0], c[:, knee], atol=1e-12)
    rest = np.array([0.25, 0.75]) @ body.rest_vertices(state.shape)[[5, 9]]
    expected = c[:, knee] + G[:, knee] @ (rest - heads[knee])
    np.testing.assert_allclose(posed.points[:, 1], expected, atol=1e-12)
