"""A body in SMPL's format: the same rest shapes, joints and poses, through the file and back."""

from dataclasses import replace

import numpy as np
import pytest

from kinefit.body.smpl import load_smpl
from kinefit.export.smpl_body import as_smpl
from kinefit.geometry.rotations import exp
from kinefit.io.smpl import write_smpl
from kinefit.types import InvalidData

from ..body.synthetic import SMPL_NAMES, tube_body


def _poses(joint_names, moving, seed=0, count=4):
    """(T, B, 3, 3) rotations: random of the joints `moving`, the same for every body; rest else."""
    rng = np.random.default_rng(seed)
    rotations = np.tile(np.eye(3), (count, len(joint_names), 1, 1))
    for name in moving:
        rotations[:, joint_names.index(name)] = exp(0.5 * rng.standard_normal((count, 3)))
    return rotations


def _betas(body, coefficients, shape_count):
    """Shape of the loaded body nearest to a rest shape of the original, by least squares."""
    return np.linalg.lstsq(body.vertex_dirs.reshape(shape_count, -1).T, coefficients, rcond=None)[0]


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
@pytest.mark.parametrize("extras", [False, True])
def test_the_exported_body_moves_as_the_body_does(extras, suffix, tmp_path):
    body = tube_body(2, extras=extras)
    export = as_smpl(body, SMPL_NAMES, 4)
    write_smpl(tmp_path / f"tubes{suffix}", export.data)
    loaded = load_smpl(tmp_path / f"tubes{suffix}", shape_count=4)
    assert loaded.joint_names == SMPL_NAMES
    assert loaded.pose_dirs is None

    shape = np.array([1.5, -0.4, 0.8, -1.2])
    rest = body.rest_vertices(shape)
    betas = _betas(loaded, (rest - loaded.vertices).ravel(), 4)
    # Four directions span the four of the body: its rest shapes are in the file exactly.
    np.testing.assert_allclose(loaded.rest_vertices(betas), rest, atol=1e-12)
    assert export.shape_residual_mm < 1e-6
    # The regressor is a solution of the non-negative least squares to their rounding.
    assert export.joint_residual_mm.max() < 1e-6
    translation = np.array([0.3, -0.1, 2.0])
    here = body.posed_vertices(_poses(body.joint_names, SMPL_NAMES), translation, shape)
    there = loaded.posed_vertices(_poses(SMPL_NAMES, SMPL_NAMES), translation, betas)
    # Joints within 1e-9 m (above) move vertices by at most a few times that.
    np.testing.assert_allclose(there, here, atol=1e-8)


def test_a_joint_that_is_not_kept_moves_with_the_one_above():
    # Negative control of the test above: turning the forearm's extra joint is lost on the export.
    body = tube_body(2, extras=True)
    export = as_smpl(body, SMPL_NAMES, 4)
    assert export.data.parents.tolist() == tube_body().parents.tolist()
    k = SMPL_NAMES.index("left_elbow")
    merged = np.isin(body.joint_names, ["left_elbow", "left_forearm"])[body.skin_joints]
    np.testing.assert_allclose(export.data.weights[:, k], (body.skin_weights * merged).sum(axis=1))
    moved = body.posed_vertices(
        _poses(body.joint_names, ["left_forearm"]), np.zeros(3), np.zeros(4)
    )
    assert np.abs(moved - body.vertices).max() > 0.02


def test_weights_are_a_regressor_of_nearby_vertices():
    export = as_smpl(tube_body(0), SMPL_NAMES, 4)
    J = export.data.J_regressor
    assert (J.data > 0).all()
    np.testing.assert_allclose(J.sum(axis=1), 1, atol=1e-12)
    # One equation each for x, y, z of the mean and of four directions, and the sum.
    assert np.diff(J.indptr).max() <= 3 * 5 + 1
    joints = J @ export.data.v_template
    for b in range(24):
        far = np.linalg.norm(export.data.v_template[J[[b]].indices] - joints[b], axis=1).max()
        assert far < 0.6  # a limb of this coarse body; from hand to hand are 1.7 m


def test_joints_that_leave_their_skin_need_weights_of_either_sign():
    # A knee that moves by 10 cm more with the first shape while its skin stays: outside what
    # non-negative weights can follow, and said so; signed ones follow to rounding.
    body = tube_body(0)
    knee = body.joint_names.index("left_knee")
    joint_dirs = body.joint_dirs.copy()
    joint_dirs[0, knee, 2] += 0.1
    odd = replace(body, joint_dirs=joint_dirs)
    plain, signed = (as_smpl(odd, SMPL_NAMES, 4, signed=s) for s in (False, True))
    assert plain.joint_residual_mm[knee] > 5
    assert (plain.data.J_regressor.data > 0).all()
    assert signed.joint_residual_mm.max() < 1e-6
    assert (signed.data.J_regressor.data < 0).any()
    # The residual is what it says: the distance over people, by the body's own joints.
    shapes = np.random.default_rng(4).standard_normal((4_000, 4))
    flat = plain.data.shapedirs.reshape(-1, 4)
    rest = odd.rest_vertices(shapes)
    betas = np.linalg.lstsq(flat, (rest - plain.data.v_template).reshape(4_000, -1).T)[0].T
    shaped = plain.data.v_template + np.einsum("vis,ns->nvi", plain.data.shapedirs, betas)
    regressed = np.einsum("v,nvi->ni", plain.data.J_regressor[[knee]].toarray()[0], shaped)
    distance = np.linalg.norm(regressed - odd.rest_joints(shapes)[:, knee], axis=1)
    measured = 1000 * np.sqrt((distance**2).mean())
    assert measured == pytest.approx(plain.joint_residual_mm[knee], rel=0.05)  # 4,000 draws: 2 %


def test_coefficients_have_unit_variance_over_people():
    body = tube_body(5)
    export = as_smpl(body, SMPL_NAMES, 3, people=20_000, seed=1)
    shapes = np.random.default_rng(9).standard_normal((5_000, 4))  # the body's own distribution
    rest = body.rest_vertices(shapes).reshape(len(shapes), -1)
    directions = export.data.shapedirs.reshape(-1, 3)
    # Principal directions are orthogonal: each coefficient is a projection.
    np.testing.assert_allclose(
        directions.T @ directions, np.diag((directions**2).sum(axis=0)), atol=1e-12
    )
    betas = (rest - export.data.v_template.ravel()) @ directions / (directions**2).sum(axis=0)
    # 5,000 draws know a standard deviation to 1 %; 0.05 is five times that.
    np.testing.assert_allclose(betas.std(axis=0), 1, atol=0.05)
    np.testing.assert_allclose(betas.mean(axis=0), 0, atol=0.08)
    left = rest - export.data.v_template.ravel() - betas @ directions.T
    measured = 1000 * np.sqrt((left**2).sum() / left.size * 3)
    assert measured == pytest.approx(export.shape_residual_mm, rel=0.05)
    variance = (directions**2).sum(axis=0)
    assert (np.diff(variance) < 0).all()


def test_clipped_shapes_stay_within_their_bounds():
    body = tube_body(1)

    class Bounded:
        names = body.shape.names
        neutral, spread = np.full(4, 0.5), np.full(4, 10.0)
        lower, upper = np.zeros(4), np.ones(4)

        def coefficients(self, shape):
            assert (shape >= 0).all()
            assert (shape <= 1).all()
            return shape

        def jacobian(self, shape):
            return np.broadcast_to(np.eye(4), (*shape.shape, 4))

    bounded = replace(body, shape=Bounded())
    export = as_smpl(bounded, SMPL_NAMES, 4)
    middle = body.rest_vertices(np.full(4, 0.5))
    # The mean of 1,000 people at 0 or 1 each is within 0.05 of the middle, times 8 cm at most.
    np.testing.assert_allclose(export.data.v_template, middle, atol=0.01)


def test_the_same_seed_gives_the_same_file(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_smpl(tmp_path / name, as_smpl(tube_body(3), SMPL_NAMES, 2, seed=7).data)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    other = as_smpl(tube_body(3), SMPL_NAMES, 2, seed=8).data
    assert np.abs(other.v_template - as_smpl(tube_body(3), SMPL_NAMES, 2).data.v_template).max() > 0


@pytest.mark.parametrize(
    ("joints", "shapes", "said"),
    [
        (("pelvis", "tail"), 2, "cannot keep joints: tail"),
        ((), 2, "cannot keep joints"),
        (("pelvis", "pelvis"), 2, "one twice"),
        (("pelvis", "left_knee", "left_hip"), 2, "not in the order of a tree"),
        (("left_hip", "right_hip"), 2, "not in the order of a tree"),
        (SMPL_NAMES, 5, "span 4 directions, 5 were asked for"),
        (SMPL_NAMES, 0, "0 were asked for"),
    ],
)
def test_what_cannot_be_exported_is_refused(joints, shapes, said):
    with pytest.raises(InvalidData, match=said):
        as_smpl(tube_body(0), joints, shapes)


def test_bones_above_the_first_kept_joint_become_part_of_it():
    export = as_smpl(tube_body(0), ("spine1", "spine2", "neck"), 2)
    body = tube_body(0)
    trunk = np.isin(body.skin_joints[:, 0], [body.joint_names.index("pelvis")])
    np.testing.assert_allclose(export.data.weights[trunk, 0], 1)
