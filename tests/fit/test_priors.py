"""Priors: derivatives, mirror images, what they allow and refuse, and what they do in a fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kinefit.body.anatomy import SIDED
from kinefit.body.anny import load_anny
from kinefit.fit.priors import (
    AngleMagnitude,
    Bending,
    Capsules,
    EulerLimits,
    Interpenetration,
    Limits,
    LumbarRhythm,
    Mixture,
    PoseAutoencoder,
    PoseMixture,
    PriorJoints,
    Variational,
)
from kinefit.fit.priors.variational import Network
from kinefit.fit.priors.weights import read_safetensors
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import Objective, PoseTerm, RotationPrior
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray, InputError, InvalidData

from ..body.synthetic import SMPL_NAMES, tube_body
from .tubes import by_rotations

COUNT = 6
ALL = np.arange(COUNT)
MIRROR = np.diag([-1.0, 1, 1])
# Steps of 1e-5 leave a relative 1e-10 of curvature, and 1e-16 / 1e-5 of rounding.
STEP, RELATIVE = 1e-5, 1e-6


@cache
def _chain() -> Chain:
    """The made-up body with all 24 joints free."""
    return Chain.of(tube_body(), SMPL_NAMES, {"LWrist": {"LWrist": 1.0}})


@cache
def _anny_chain() -> Chain:
    body = load_anny()
    return Chain.of(body, list(body.anatomy.values()), {"LWrist": {"LWrist": 1.0}})


def _poses(chain: Chain, *, bend: float = 0.5, count: int = COUNT, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    return so3.exp(rng.normal(0, bend, (count, len(chain.joint_names), 3)))


@cache
def _density(count: int = 3) -> PoseMixture:
    """A made-up mixture over all joints."""
    names = PriorJoints.of(_chain()).names
    rng = np.random.default_rng(5)
    D = 3 * len(names)
    A = 0.1 * rng.standard_normal((count, D, D))
    weights = np.arange(1.0, count + 1) / np.arange(1.0, count + 1).sum()
    covariances = 0.1 * np.eye(D) + A @ A.transpose(0, 2, 1)
    return PoseMixture(names, weights, rng.normal(0, 0.3, (count, D)), covariances)


@cache
def _autoencoder() -> PoseAutoencoder:
    """A made-up network over all joints."""
    names = PriorJoints.of(_chain()).names
    rng = np.random.default_rng(6)

    def network(*sizes: int) -> Network:
        return Network(
            tuple(
                (rng.normal(0, 1 / np.sqrt(a), (b, a)), rng.normal(0, 0.1, b))
                for a, b in pairwise(sizes)
            )
        )

    n = 6 * len(names)
    return PoseAutoencoder(names, network(n, 20, 24, 7), network(7, 18, 16, n), np.full(21, 0.2))


def _capsules() -> Interpenetration:
    chain = _chain()
    return Interpenetration(Capsules.of(chain), chain.shape.neutral)


TERMS: dict[str, Callable[[], PoseTerm]] = {
    "limits": lambda: Limits.of(_chain()),
    "some limits": lambda: Limits.of(_chain(), ["LElbow", "RKnee"]),
    "euler limits": lambda: EulerLimits.of(_chain()),
    "bending": lambda: Bending.of(_chain()),
    "magnitude": lambda: AngleMagnitude.of(_chain(), 0.5, {"LKnee": 2.0}, axial=0.3),
    "lumbar": lambda: LumbarRhythm.of(_chain()),
    "mixture": lambda: Mixture.of(_chain(), 1.5, _density()),
    "variational": lambda: Variational.of(_chain(), 0.5, _autoencoder()),
    "interpenetration": _capsules,
}


@pytest.mark.parametrize("name", TERMS)
def test_derivative(name: str) -> None:
    term, R = TERMS[name](), _poses(_chain(), bend=1.0 if name == "interpenetration" else 0.5)
    F = R.shape[1]
    assert np.abs(term.residual(R, ALL)).max() > 0.1  # the term has something to say here
    columns = []
    for axis in np.eye(3 * F).reshape(-1, F, 3):
        ahead, behind = (term.residual(R @ so3.exp(s * STEP * axis), ALL) for s in (1, -1))
        columns.append((ahead - behind) / (2 * STEP))
    numeric, analytic = np.stack(columns, axis=-1), by_rotations(term, R)
    np.testing.assert_allclose(numeric, analytic, atol=RELATIVE * np.abs(analytic).max())


def _mirrored(chain: Chain, R: FloatArray) -> FloatArray:
    """Mirror images of poses: joints change sides, and turn the other way."""
    other = {"l": "r", "r": "l"}
    partner = []
    anatomical = {joint: name for name, joint in chain.body.anatomy.items()}
    for joint in chain.joint_names:
        name = anatomical.get(joint, joint)
        if name[1:] in SIDED:
            name = other[name[0].lower()].upper() + name[1:]
            joint = chain.body.anatomy[name]
        elif joint.endswith("_hand"):
            joint = {"left_hand": "right_hand", "right_hand": "left_hand"}[joint]
        partner.append(chain.joint_names.index(joint))
    return MIRROR @ R[:, partner] @ MIRROR


@pytest.mark.parametrize("name", ["limits", "bending", "magnitude", "lumbar"])
def test_a_mirror_image_costs_the_same(name: str) -> None:
    term, R = TERMS[name](), _poses(_chain())
    if name == "magnitude":
        term = AngleMagnitude.of(_chain())
    here, there = (
        (term.residual(x, ALL) ** 2).sum(axis=(1, 2)) for x in (R, _mirrored(_chain(), R))
    )
    np.testing.assert_allclose(here, there, rtol=1e-9)
    one_sided = R.copy()
    joint, turn = (_hip(_chain()), [0, 0, 0.5]) if name == "lumbar" else (4, [0.5, 0, 0])
    one_sided[:, joint] = R[:, joint] @ so3.exp(np.array(turn))  # control: another pose
    assert not np.allclose(here, (term.residual(one_sided, ALL) ** 2).sum(axis=(1, 2)))


def _hip(chain: Chain) -> int:
    return chain.joint_names.index(chain.body.anatomy["LHip"])


# Spine and hips ----------------------------------------------------------------------------------


def test_spine_and_hips_share_a_bend() -> None:
    chain = _chain()
    term = LumbarRhythm.of(chain, share=0.25)

    def bent(spine: float, hips: float) -> FloatArray:
        joints = PriorJoints.of(chain)
        spines = [n for n in joints.names if n.startswith("Spine")]
        R = np.tile(np.eye(3), (1, len(chain.joint_names), 1, 1))
        for name, angle in ((n, -spine / len(spines)) for n in spines):
            R = R @ _bent(chain, name, (0, 0, angle))
        for name in ("LHip", "RHip"):
            R = R @ _bent(chain, name, (0, 0, hips))
        return R

    # A quarter of the angle between thighs and trunk is the spine's: nothing to pay, but for what
    # rotation vectors and the hips' angles, which count from the middle of their range, differ by.
    np.testing.assert_allclose(term.residual(bent(20, 60), ALL), 0, atol=0.02)
    assert np.abs(term.residual(bent(60, 20), ALL)).max() > 5
    assert np.abs(term.residual(bent(0, 80), ALL)).max() > 5


# Limits ------------------------------------------------------------------------------------------


def _bent(chain: Chain, name: str, degrees: tuple[float, float, float]) -> FloatArray:
    """(1, F, 3, 3) with one anatomical joint turned by a rotation vector, all else at zero."""
    joints = PriorJoints.of(chain)
    anatomical = np.tile(np.eye(3), (1, len(joints.names), 1, 1))
    anatomical[0, joints.names.index(name)] = so3.exp(np.radians(degrees))
    R = np.tile(np.eye(3), (1, len(chain.joint_names), 1, 1))
    R[:, joints.column] = joints.anatomy.local(anatomical)
    return R


@pytest.mark.parametrize("name", ["LKnee", "RKnee"])
def test_limits_count_degrees_beyond_the_range_by_weight(name: str) -> None:
    term = Limits.of(_chain())
    r = term.residual(_bent(_chain(), name, (0, 0, 20)), ALL[:1])
    i = term.joints.names.index(name)
    # The knee's limit is at +10 degrees, its weight 2.5, and 5 degrees are one deviation.
    assert r[0, i, 2] == pytest.approx(2.5 * (20 - 10) / 5)
    assert np.count_nonzero(np.abs(r) > 1e-9) == 1


def test_limits_leave_a_possible_pose_alone() -> None:
    term = Limits.of(_chain())
    assert not term.residual(_bent(_chain(), "LKnee", (0, 0, -120)), ALL[:1]).any()
    assert not term.jacobian(_bent(_chain(), "LKnee", (0, 0, -120)), ALL[:1]).any()


def test_limits_bring_a_knee_back_in_a_fit() -> None:
    chain = _chain()
    wrong = _bent(chain, "LKnee", (0, 0, 60))
    start = replace(State.rest(chain, 1), rotations=wrong)
    pull = RotationPrior(wrong, np.full(len(chain.joint_names), 10.0))
    term = Limits.of(chain)
    done = minimise(Objective(poses=(pull, term)), Variables.poses(chain), start, Options())
    beyond = np.degrees(term.joints.angles(done.state.rotations)[0])
    # Half a degree: the pull, 120 times softer than the limit of weight 2.5, wins no more.
    assert beyond[term.joints.names.index("LKnee"), 2] == pytest.approx(10, abs=0.5)


def test_a_chain_without_anatomy_is_refused() -> None:
    body = replace(tube_body(), anatomy={})
    chain = Chain.of(body, ["pelvis"], {"LWrist": {"LWrist": 1.0}})
    with pytest.raises(InvalidData, match="no anatomical joint"):
        Limits.of(chain)
    trunk = Chain.of(tube_body(), ["pelvis", "spine1"], {"LWrist": {"LWrist": 1.0}})
    with pytest.raises(InvalidData, match="LKnee"):
        PriorJoints.of(trunk, ["LKnee"])


# Bending, angle magnitude ------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "flexion"), [("LElbow", 1), ("RElbow", 1), ("RKnee", -1)])
def test_bending_is_the_exponential_of_hyperextension(name: str, flexion: int) -> None:
    term = Bending.of(_chain(), 0.317)
    i = term.joints.names.index(name)
    for degrees in (-30.0, 0.0, 90.0):
        R = _bent(_chain(), name, (0, 0, flexion * degrees))
        wanted = 0.317 * 10 * np.exp(-np.radians(degrees))
        assert term.residual(R, ALL[:1])[0, i, 0] == pytest.approx(wanted)


def test_angle_magnitude_is_zero_standing_and_leaves_infinite_joints_alone() -> None:
    term = AngleMagnitude.of(_chain(), 1.0, {"LKnee": np.inf})
    assert np.abs(term.residual(_bent(_chain(), "Head", (0, 0, 0)), ALL[:1])).max() < 1e-12
    assert np.abs(term.residual(_bent(_chain(), "LKnee", (0, 0, -60)), ALL[:1])).max() < 1e-12
    assert np.abs(term.residual(_bent(_chain(), "RKnee", (0, 0, -60)), ALL[:1])).max() > 1
    with pytest.raises(InvalidData, match="Tail"):
        AngleMagnitude.of(_chain(), 1.0, {"Tail": 1.0})


# Mixture -----------------------------------------------------------------------------------------


def test_density_is_that_of_the_formula() -> None:
    from scipy.stats import multivariate_normal

    density = _density()
    x = np.random.default_rng(7).normal(0, 0.4, (5, density.means.shape[1]))
    each = [
        w * multivariate_normal(m, c).pdf(x)
        for w, m, c in zip(density.weights, density.means, density.covariances, strict=True)
    ]
    np.testing.assert_allclose(density.log_density(x), np.log(np.sum(each, axis=0)), rtol=1e-9)


def test_mixture_is_the_least_energy_over_gaussians() -> None:
    density, chain = _density(), _chain()
    term, R = Mixture.of(chain, 1.5, density), _poses(chain)
    x = term.joints.rotvecs(R).reshape(COUNT, -1)
    precision = np.linalg.inv(density.covariances)
    off = x[:, None] - density.means
    quadratic = np.einsum("tki,kij,tkj->tk", off, precision, off) / 2
    factor = np.log(density.weights) - np.linalg.slogdet(density.covariances)[1] / 2
    energy = (quadratic - (factor - factor.max())).min(axis=1)
    squares = (term.residual(R, ALL) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(squares, 1.5**2 * energy, rtol=1e-9)
    assert len(set(term._nearest(R)[2].tolist())) > 1  # the choice is made pose by pose


def test_mixture_of_fewer_joints_is_the_marginal() -> None:
    density = _density(1)
    part = density.of(["LKnee", "Head"])
    samples = np.random.default_rng(8).multivariate_normal(
        density.means[0], density.covariances[0], 20_000
    )
    at = [3 * density.names.index(n) + i for n in ("LKnee", "Head") for i in range(3)]
    # 20,000 samples know a mean to 1/140 of a deviation (0.8 here), a covariance to 1/100 of 0.7.
    np.testing.assert_allclose(part.means[0], samples[:, at].mean(axis=0), atol=0.025)
    np.testing.assert_allclose(part.covariances[0], np.cov(samples[:, at].T), atol=0.03)
    with pytest.raises(InvalidData, match="Tail"):
        density.of(["Tail"])


def test_mixture_gives_one_value_in_every_body() -> None:
    """The same anatomical pose costs the same in a T-pose body and in Anny; local ones do not."""
    anny, tubes = _anny_chain(), _chain()
    shared = [n for n in PriorJoints.of(tubes).names if n in PriorJoints.of(anny).names]
    density = _density().of(shared)
    x = np.random.default_rng(9).normal(0, 0.3, (COUNT, len(shared), 3))
    cost = []
    for chain in (anny, tubes):
        term = Mixture.of(chain, 1.0, density)
        R = np.tile(np.eye(3), (COUNT, len(chain.joint_names), 1, 1))
        R[:, term.joints.column] = term.joints.rotations(x)
        cost.append((term.residual(R, ALL) ** 2).sum(axis=(1, 2)))
    np.testing.assert_allclose(cost[0], cost[1], rtol=1e-9)


def test_a_mixture_that_does_not_fit_together_is_refused() -> None:
    density = _density()
    with pytest.raises(InvalidData, match="shapes"):
        replace(density, means=density.means[:, :-1])
    with pytest.raises(InvalidData, match="weights"):
        replace(density, weights=2 * density.weights)


# Variational -------------------------------------------------------------------------------------


def test_variational_is_the_code_and_what_is_left() -> None:
    model, chain = _autoencoder(), _chain()
    term, R = Variational.of(chain, 2.0, model), _poses(chain)
    centred = term.joints.centred(R)
    code = model.encode(centred)
    angle = so3.norm(so3.log(np.swapaxes(model.decode(code), -1, -2) @ centred))
    wanted = 4 * ((code**2).sum(axis=1) + (angle**2).sum(axis=1) / 0.2**2)
    np.testing.assert_allclose((term.residual(R, ALL) ** 2).sum(axis=(1, 2)), wanted, rtol=1e-9)


def test_layers_that_do_not_fit_are_refused() -> None:
    model = _autoencoder()
    arrays = {"spread": model.spread}
    for part in ("encoder", "decoder"):
        for i, (W, b) in enumerate(getattr(model, part).layers):
            arrays |= {f"{part}.{i}.weight": W, f"{part}.{i}.bias": b}
    again = PoseAutoencoder.of_arrays(model.names, arrays)
    code = np.random.default_rng(3).normal(size=(2, 7))
    np.testing.assert_array_equal(again.decode(code), model.decode(code))
    arrays["decoder.0.weight"] = arrays["decoder.0.weight"][:, :-1]
    with pytest.raises(InvalidData, match="fit"):
        PoseAutoencoder.of_arrays(model.names, arrays)


# Interpenetration --------------------------------------------------------------------------------


def test_capsules_are_the_tubes_that_the_body_is_made_of() -> None:
    chain = _chain()
    body = chain.body
    capsules = Capsules.of(chain)
    for shape in (chain.shape.neutral, np.array([1.0, 0.5, -0.5, 0.3])):
        ends, radius = capsules.rest(shape)
        vertices = body.rest_vertices(shape)
        for bone in ("left_hip", "left_knee", "right_shoulder", "right_elbow"):
            i, b = capsules.names.index(bone), body.joint_names.index(bone)
            axis = so3.unit(ends[i, 1] - ends[i, 0])
            off = vertices[body.skin_joints[:, 0] == b] - ends[i, 0]
            distance = so3.norm(off - (off @ axis)[:, None] * axis)
            # Rings and caps are at the tube's radius from its axis: to a tenth of a millimetre at
            # rest, to two millimetres where the shape's girth has changed it by centimetres.
            assert radius[i] == pytest.approx(distance.max(), abs=2e-3)


def test_pairs_are_apart_at_rest_and_not_neighbours() -> None:
    chain, capsules = _chain(), Capsules.of(_chain())
    term = Interpenetration(capsules, chain.shape.neutral, slack=0.0)
    rest = State.rest(chain, 1).rotations
    assert not term.residual(rest, ALL[:1]).any()
    names = [{capsules.names[i], capsules.names[k]} for i, k in capsules.pairs]
    assert {"left_knee", "right_knee"} in names
    assert {"left_hip", "left_knee"} not in names


def _crossed(chain: Chain) -> FloatArray:
    """The right arm through the chest."""
    return _bent(chain, "RShoulder", (80, 0, 0))


@pytest.mark.parametrize("chain", [_chain, _anny_chain])
def test_an_arm_through_the_chest_is_seen_and_pushed_out(chain: Callable[[], Chain]) -> None:
    made = chain()
    term = Interpenetration(Capsules.of(made), made.shape.neutral)
    start = replace(State.rest(made, 1), rotations=_crossed(made))
    before = term.residual(start.rotations, ALL[:1]).max()
    assert before > 2  # two centimetres beyond the slack
    pull = RotationPrior(start.rotations, np.full(len(made.joint_names), 3.0))
    done = minimise(Objective(poses=(pull, term)), Variables.poses(made), start, Options())
    # A slack of 1 cm and a pull of three radians leave a few millimetres.
    assert term.residual(done.state.rotations, ALL[:1]).max() < 0.5


def test_depth_is_that_of_two_parallel_shanks() -> None:
    """Legs brought together by a known angle: the depth is known."""
    chain = _chain()
    capsules = Capsules.of(chain)
    term = Interpenetration(capsules, chain.shape.neutral, sigma=1.0, slack=0.0)
    ends, radius = capsules.rest(chain.shape.neutral)
    left, right = (capsules.names.index(f"{s}_knee") for s in ("left", "right"))
    state = State.rest(chain, 1)
    for side, sign in (("left", -1), ("right", 1)):
        state.rotations[0, chain.joint_names.index(f"{side}_hip")] = so3.exp(
            np.radians([0, 0, sign * 6.0])
        )
    placed = []
    G, c = state.posed(chain).frames
    for k in (left, right):
        j = capsules.joint[k]
        placed.append(c[0, j] + (ends[k] - chain.heads[j]) @ G[0, j].T)
    s = np.linspace(0, 1, 401)[:, None]
    a, b = (e[0] + s * (e[1] - e[0]) for e in placed)
    gap = np.linalg.norm(a[:, None] - b, axis=-1).min()
    depth = radius[left] + radius[right] - gap
    assert depth > 0.01
    found = term.residual(state.rotations, ALL[:1])
    # Sampling every millimetre of a segment misses its nearest point by micrometres.
    assert np.abs(found - depth).min() < 1e-5


def test_each_pose_may_have_its_own_shape() -> None:
    chain, capsules = _chain(), Capsules.of(_chain())
    shapes = np.random.default_rng(4).normal(0, 0.5, (COUNT, len(chain.shape.names)))
    R = _poses(chain, bend=1.0)
    together = Interpenetration(capsules, shapes).residual(R, ALL)
    for t in range(COUNT):
        alone = Interpenetration(capsules, shapes[t]).residual(R[t : t + 1], ALL[:1])
        assert together[t].sum() == pytest.approx(alone.sum())


def test_a_mirror_image_meets_as_deep() -> None:
    chain = _anny_chain()
    term = Interpenetration(Capsules.of(chain), chain.shape.neutral)
    R = _poses(chain, bend=0.8)
    here, there = ((term.residual(x, ALL) ** 2).sum(axis=(1, 2)) for x in (R, _mirrored(chain, R)))
    assert here.max() > 1
    # Anny's mesh is its own mirror image to 1e-8 m; a deviation is 0.01 m.
    np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-4)


# What comes along --------------------------------------------------------------------------------


def test_a_damaged_file_of_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"means": np.arange(6.0).reshape(2, 3)}, path, {"joints": "Head"})
    arrays, about = read_safetensors(path)
    np.testing.assert_array_equal(arrays["means"], np.arange(6.0).reshape(2, 3))
    assert about == {"joints": "Head"}
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"weights\.safetensors"):
        read_safetensors(path)
    with pytest.raises(InputError, match="none"):
        read_safetensors(tmp_path / "none.safetensors")


def test_the_mixture_that_comes_along_knows_standing_from_nonsense() -> None:
    density = PoseMixture.load()
    assert np.linalg.eigvalsh(density.covariances).min() > 0
    chain = _anny_chain()
    term = Mixture.of(chain)
    standing = _bent(chain, "Head", (0, 0, 0))
    backwards = _bent(chain, "LKnee", (0, 0, 60))
    costs = [(term.residual(R, ALL[:1]) ** 2).sum() for R in (standing, backwards)]
    assert costs[1] > costs[0] + 10  # e^10 times less likely


def test_the_mixture_that_comes_along_has_no_side() -> None:
    chain = _anny_chain()
    term, R = Mixture.of(chain), _poses(chain, bend=0.3)
    here, there = ((term.residual(x, ALL) ** 2).sum(axis=(1, 2)) for x in (R, _mirrored(chain, R)))
    # Single precision of the file.
    np.testing.assert_allclose(here, there, rtol=1e-3)


def test_the_network_that_comes_along_knows_standing_from_nonsense() -> None:
    chain = _anny_chain()
    term = Variational.of(chain)
    standing = _bent(chain, "Head", (0, 0, 0))
    backwards = _bent(chain, "LKnee", (0, 0, 60))
    costs = [(term.residual(R, ALL[:1]) ** 2).sum() for R in (standing, backwards)]
    assert costs[1] > costs[0] + 10  # e^10 times less likely
