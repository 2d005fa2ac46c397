"""Joints from directions of limbs: exact where nothing is wrong, honest where something is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kinefit.geometry.rotations import exp
from kinefit.lift import reconstruct as module
from kinefit.lift.reconstruct import (
    COCO,
    HEIGHT_TO_TORSO_RATIO,
    Reconstruction,
    correct_depth_sign,
    reconstruct,
)
from kinefit.skeletons import mirror_name
from kinefit.skeletons.limbs import LIMBS, ends, twins
from kinefit.types import FloatArray, InvalidData, TooFewPoints

K = np.array([[1400.0, 0, 959.5], [0, 1400.0, 539.5], [0, 0, 1]])
TORSO = 0.52
ENDS = ends(COCO, LIMBS)
NAMES = [limb.name for limb in LIMBS]
BODY = slice(5, 17)
MIRROR = [COCO.index(mirror_name(name)) for name in COCO]
# Upper arm, forearm, thigh, shank, shoulders, hips over the torso: 1 SD off what is expected.
USUAL = (0.535, 0.47, 0.777, 0.781, 0.638, 0.382)
ODD = tuple(np.multiply(USUAL, (1.09, 0.91, 1.09, 0.91, 1.09, 0.91)))


def bodies(
    rng: np.random.Generator, count: int, shape: tuple[float, ...] = USUAL, bend: float = 0.0
) -> FloatArray:
    """(T, 17, 3) metres, camera axes: people about 4 m away, turned any way, limbs anyhow, the
    lengths of arms and legs varying by `bend`."""
    arm, forearm, thigh, shank, shoulders, hips = np.multiply(shape, TORSO)
    xyz = np.zeros((count, 17, 3))
    for name, x, y in (("Shoulder", shoulders, -TORSO), ("Hip", hips, 0.0)):
        for side, sign in (("L", 1), ("R", -1)):
            xyz[:, COCO.index(side + name)] = sign * x / 2, y, 0
    face = ((0, -20, 10), (3, -23, 8), (-3, -23, 8), (7, -20, 0), (-7, -20, 0))
    xyz[:, :5] = np.array(face) / 100 - (0, TORSO, 0)
    chains = (("Shoulder", "Elbow", arm), ("Elbow", "Wrist", forearm), ("Hip", "Knee", thigh),
              ("Knee", "Ankle", shank))  # fmt: skip
    for a, b, length in chains:
        for side in "LR":
            way = rng.normal((0, 1, 0), 0.5, (count, 3))
            way /= np.linalg.norm(way, axis=-1, keepdims=True)
            way *= length * (1 + bend * rng.normal(size=(count, 1)))
            xyz[:, COCO.index(side + b)] = xyz[:, COCO.index(side + a)] + way
    turn = exp(rng.normal(size=(count, 3)) * (0.3, 1.5, 0.3))
    place = rng.normal(size=(count, 1, 3)) * (0.5, 0.2, 0.4) + (0, 0, 4)
    return np.asarray(xyz @ np.swapaxes(turn, -1, -2) + place)


def seen(
    xyz: FloatArray, rng: np.random.Generator | None = None, px: float = 0.0, rad: float = 0.0
) -> dict[str, Any]:
    """What `reconstruct` is told of bodies: exact, or with noise; deviations of at least 0.5 px and
    0.01 rad are stated."""
    image = xyz @ K.T
    xy, bone = image[..., :2] / image[..., 2:], xyz[:, ENDS[:, 1]] - xyz[:, ENDS[:, 0]]
    u = bone / np.linalg.norm(bone, axis=-1, keepdims=True)
    if rng is not None:
        xy = xy + rng.normal(0, px, xy.shape)
        off = rng.normal(0, rad, u.shape)
        off -= (off * u).sum(axis=-1, keepdims=True) * u
        angle = np.linalg.norm(off, axis=-1, keepdims=True)
        u = u * np.cos(angle) + off * np.sinc(angle / np.pi)
    spread, sigma = np.full(u.shape[:2], max(rad, 0.01)), np.full(xy.shape[:2], max(px, 0.5))
    return {"directions": u, "spread": spread, "xy": xy, "sigma": sigma, "K": K}


def lengths_of(xyz: FloatArray) -> FloatArray:
    """(14,) metres, mean over frames."""
    return np.linalg.norm(xyz[:, ENDS[:, 1]] - xyz[:, ENDS[:, 0]], axis=-1).mean(axis=0)


def errors_m(found: Reconstruction, xyz: FloatArray) -> FloatArray:
    """(T, 12) distances."""
    return np.linalg.norm(found.xyz - xyz, axis=-1)[:, BODY]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def test_exact_with_known_lengths(rng: np.random.Generator) -> None:
    xyz = bodies(rng, 40, ODD)
    found = reconstruct(**seen(xyz), lengths=lengths_of(xyz))
    assert errors_m(found, xyz).max() < 1e-6
    np.testing.assert_allclose(found.lengths, lengths_of(xyz))
    assert (found.length_sd == 0).all()
    assert found.residual_px[:, BODY].max() < 1e-3
    assert np.isnan(found.residual_px[:, :5]).all()


def test_an_expected_body_is_exact_with_its_torso(rng: np.random.Generator) -> None:
    xyz = bodies(rng, 40)
    found = reconstruct(**seen(xyz), torso_m=TORSO)
    # Trunk and diagonal are expected to 0.05 %.
    assert errors_m(found, xyz).max() < 1e-3


def test_lengths_are_found_in_the_clip(rng: np.random.Generator) -> None:
    """All six proportions 9 % off: the prior keeps 0.3 % of the error, 10 mm at 4 m, nearly all of
    it common depth."""
    xyz = bodies(rng, 60, ODD)
    found = reconstruct(**seen(xyz), stature_m=TORSO * HEIGHT_TO_TORSO_RATIO)
    np.testing.assert_allclose(found.lengths, lengths_of(xyz), rtol=4e-3)
    error = found.xyz - xyz
    assert np.linalg.norm(error, axis=-1)[:, BODY].max() < 0.012
    hips = error[:, [COCO.index("LHip"), COCO.index("RHip")]].mean(axis=1, keepdims=True)
    assert np.linalg.norm(error - hips, axis=-1)[:, BODY].max() < 0.003


def test_lengths_from_noise_are_unbiased_and_their_deviation_honest() -> None:
    scores = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        xyz = bodies(rng, 30, ODD, bend=0.005)
        found = reconstruct(**seen(xyz, rng, 2, 0.08), torso_m=TORSO)
        scores.append((found.lengths - lengths_of(xyz)) / found.length_sd)
    score = np.array(scores)[:, [0, 1, 4, 5, 8, 9]]
    # The trunk of these bodies does not bend, which the stated deviation allows for.
    assert 0.3 < np.sqrt((score**2).mean()) < 1.2
    assert np.abs(score.mean(axis=0)).max() < 1.0


def test_a_stretch_of_wrong_points_does_not_decide_lengths(rng: np.random.Generator) -> None:
    xyz = bodies(rng, 100, ODD)
    told = seen(xyz, rng, 2, 0.05)
    told["xy"][40:55, COCO.index("LWrist")] += 300
    told["xy"][40:55, COCO.index("RHip")] -= 300
    found = reconstruct(**told, torso_m=TORSO)
    np.testing.assert_allclose(found.lengths, lengths_of(xyz), rtol=0.015)


def test_scale_is_the_torso_and_nothing_else(rng: np.random.Generator) -> None:
    told = seen(bodies(rng, 10, ODD), rng, 3, 0.1)
    one, two = reconstruct(**told, torso_m=0.4), reconstruct(**told, torso_m=0.8)
    np.testing.assert_allclose(two.xyz, 2 * one.xyz, rtol=1e-9)
    np.testing.assert_allclose(two.covariance, 4 * one.covariance, rtol=1e-9)
    np.testing.assert_allclose(two.lengths, 2 * one.lengths, rtol=1e-9)
    np.testing.assert_allclose(two.residual_px, one.residual_px, rtol=1e-6)
    square = {name: length**2 for name, length in zip(NAMES, one.lengths, strict=True)}
    four = 2 * square["left trunk"] + 2 * square["left diagonal"]
    assert np.sqrt(four - square["shoulders"] - square["hips"]) / 2 == pytest.approx(0.4)


def test_known_lengths_make_frames_independent(rng: np.random.Generator) -> None:
    xyz = bodies(rng, 7)
    told = seen(xyz, rng, 3, 0.1)
    whole = reconstruct(**told, lengths=lengths_of(xyz))
    for t in (0, 4):
        alone = {n: v if n == "K" else v[t : t + 1] for n, v in told.items()}
        one = reconstruct(**alone, lengths=lengths_of(xyz))
        np.testing.assert_allclose(one.xyz[0], whole.xyz[t], rtol=1e-9)
        np.testing.assert_allclose(one.covariance[0], whole.covariance[t], rtol=1e-6, atol=1e-12)


def test_the_order_of_frames_is_nothing(rng: np.random.Generator) -> None:
    told = seen(bodies(rng, 20, ODD), rng, 3, 0.1)
    order = rng.permutation(20)
    shuffled = {n: v if n == "K" else v[order] for n, v in told.items()}
    one, two = reconstruct(**told, torso_m=TORSO), reconstruct(**shuffled, torso_m=TORSO)
    np.testing.assert_allclose(two.xyz, one.xyz[order], rtol=1e-7)


def test_a_long_clip_is_solved_in_blocks(rng: np.random.Generator) -> None:
    xyz = bodies(rng, 700)
    found = reconstruct(**seen(xyz), torso_m=TORSO)
    assert errors_m(found, xyz).max() < 1e-3


def test_roll_of_the_camera_rolls_the_result(rng: np.random.Generator) -> None:
    told = seen(bodies(rng, 10, ODD), rng, 3, 0.1)
    roll = exp(np.array([0, 0, 0.7]))
    rolled = dict(told, directions=told["directions"] @ roll.T)
    rolled["xy"] = (told["xy"] - K[:2, 2]) @ roll[:2, :2].T + K[:2, 2]
    one, two = reconstruct(**told, torso_m=TORSO), reconstruct(**rolled, torso_m=TORSO)
    np.testing.assert_allclose(two.xyz, one.xyz @ roll.T, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(two.covariance, roll @ one.covariance @ roll.T, rtol=1e-5, atol=1e-9)


def test_a_mirrored_picture_mirrors_the_result(rng: np.random.Generator) -> None:
    told = seen(bodies(rng, 10, ODD), rng, 3, 0.1)
    flip = np.array([-1.0, 1, 1])
    across = np.isin(NAMES, ("shoulders", "hips"))  # whose twin is itself, from end to start
    u = told["directions"][:, twins(LIMBS)] * flip
    xy = told["xy"][:, MIRROR]
    xy[..., 0] = 2 * K[0, 2] - xy[..., 0]
    mirrored = dict(told, directions=np.where(across[:, None], -u, u), xy=xy)
    one, two = reconstruct(**told, torso_m=TORSO), reconstruct(**mirrored, torso_m=TORSO)
    np.testing.assert_allclose(two.xyz, one.xyz[:, MIRROR] * flip, rtol=1e-7, atol=1e-9)


def test_covariance_is_that_of_the_errors() -> None:
    """Squared Mahalanobis distances of 3-vectors have the mean 3. The standard error with 800
    frames is 0.09; trunks that do not bend, and depths beyond linear, leave 10 % more."""
    rng = np.random.default_rng(1)
    xyz = bodies(rng, 800, bend=0.005)
    for px, rad in ((1, 0.03), (3, 0.1), (4, 0.2)):
        found = reconstruct(**seen(xyz, rng, px, rad), lengths=lengths_of(xyz))
        error = (found.xyz - xyz)[:, BODY, :, None]
        inverse = np.linalg.inv(found.covariance[:, BODY])
        square = (np.swapaxes(error, -1, -2) @ inverse @ error)[..., 0, 0]
        assert ((square.mean(axis=0) > 2.4) & (square.mean(axis=0) < 3.5)).all()
        assert (square < 7.8).mean() > 0.93  # 95 % of chi squared


def test_elimination_is_the_dense_solution(rng: np.random.Generator) -> None:
    xyz = bodies(rng, 5)
    told = seen(xyz, rng, 3, 0.1)
    lengths = lengths_of(xyz) / TORSO
    clip = module._clip(*told.values(), lengths)
    at = module._first_place(clip, lengths)
    normal = module._normal(clip, at, lengths, module._WITHIN)
    right = rng.normal(size=(5, 4, 3, 3, 2))
    solved = module._solve(normal, right)
    H = np.zeros((5, 12, 3, 12, 3))
    for j in range(12):
        H[:, j, :, j] = normal.points.reshape(5, 12, 3, 3)[:, j]
    for i, (a, b) in enumerate(module._ENDS):
        for row, column, sign in ((a, a, 1), (b, b, 1), (a, b, -1), (b, a, -1)):
            H[:, row, :, column] += sign * normal.limbs[:, i]
    inverse = np.linalg.inv(H.reshape(5, 36, 36))
    x = inverse @ right.reshape(5, 36, 2)
    np.testing.assert_allclose(solved.x.reshape(5, 36, 2), x, rtol=1e-6, atol=1e-9)
    blocks = np.stack([inverse[:, 3 * j : 3 * j + 3, 3 * j : 3 * j + 3] for j in range(12)], axis=1)
    covariance = module._covariance(solved).reshape(5, 12, 3, 3)
    np.testing.assert_allclose(covariance, blocks, rtol=1e-6, atol=1e-12)


def test_a_limb_reaches_a_joint_that_is_not_seen(rng: np.random.Generator) -> None:
    xyz = bodies(rng, 5)
    told = seen(xyz)
    wrist = COCO.index("LWrist")
    told["xy"][:, wrist] = np.nan
    found = reconstruct(**told, lengths=lengths_of(xyz))
    assert errors_m(found, xyz).max() < 1e-6
    assert np.isnan(found.residual_px[:, wrist]).all()


@pytest.mark.parametrize("hidden", ["direction", "spread"])
def test_a_seen_joint_without_a_limb_is_only_a_ray(rng: np.random.Generator, hidden: str) -> None:
    xyz = bodies(rng, 5)
    told = seen(xyz)
    if hidden == "direction":
        told["directions"][:, NAMES.index("left forearm")] = np.nan
    else:
        told["spread"][:, NAMES.index("left forearm")] = np.nan
    found = reconstruct(**told, lengths=lengths_of(xyz))
    gone = np.arange(17) == COCO.index("LWrist")
    assert np.isnan(found.xyz[:, gone]).all()
    assert np.isnan(found.covariance[:, gone]).all()
    assert np.isfinite(found.xyz[:, ~gone]).all()
    assert np.isfinite(found.covariance[:, ~gone]).all()


def test_frames_without_anything_stay_empty(rng: np.random.Generator) -> None:
    xyz = bodies(rng, 6)
    told = seen(xyz)
    told["xy"][1] = np.nan
    told["directions"][2] = np.nan
    told["sigma"][3] = 0  # not seen
    told["xy"][4, 6:] = np.nan  # one point of the body
    found = reconstruct(**told, lengths=lengths_of(xyz))
    np.testing.assert_array_equal(
        np.isfinite(found.xyz[:, BODY]).all(axis=(1, 2)), [True, False, False, False, False, True]
    )
    assert np.isnan(found.xyz[1:5]).all()
    assert np.isnan(found.covariance[1:5]).all()


def test_a_limb_along_its_ray_says_nothing_of_depth() -> None:
    told = seen(bodies(np.random.default_rng(0), 1))
    forearm = NAMES.index("left forearm")
    told["directions"][:, np.arange(14) != forearm] = np.nan
    told["directions"][:, forearm] = 0, 0, 1
    told["xy"][:] = K[:2, 2]
    with pytest.raises(TooFewPoints):
        reconstruct(**told, torso_m=TORSO)


def test_faces_are_on_their_rays_near_the_shoulders(rng: np.random.Generator) -> None:
    xyz = bodies(rng, 200)
    told = seen(xyz)
    told["xy"][0, 0] = np.nan
    told["directions"][1, [NAMES.index(n) for n in NAMES if "fore" not in n]] = np.nan
    found = reconstruct(**told, lengths=lengths_of(xyz))
    assert np.isnan(found.xyz[0, 0]).all()
    assert np.isnan(found.covariance[0, 0]).all()
    assert np.isfinite(found.xyz[0, 1:5]).all()
    assert np.isnan(found.xyz[1, :5]).all()
    image = found.xyz[2:, :5] @ K.T
    np.testing.assert_allclose(image[..., :2] / image[..., 2:], told["xy"][2:, :5])
    off = (found.xyz - xyz)[2:, :5, 2] / np.sqrt(found.covariance[2:, :5, 2, 2])
    assert 0.2 < np.sqrt((off**2).mean()) < 1.2
    assert (np.linalg.eigvalsh(found.covariance[2:, :5]) > 0).all()


def test_depth_signs_that_are_wrong_are_seen(rng: np.random.Generator) -> None:
    """A negative control: with z mirrored, what is found is wrong by decimetres."""
    xyz = bodies(rng, 30)
    told = seen(xyz)
    right = errors_m(reconstruct(**told, lengths=lengths_of(xyz)), xyz)
    told["directions"] = told["directions"] * (1, 1, -1)
    wrong = errors_m(reconstruct(**told, lengths=lengths_of(xyz)), xyz)
    assert wrong.mean() > 0.1 > 1000 * right.mean()


def test_depth_signs_are_put_right(rng: np.random.Generator) -> None:
    u = seen(bodies(rng, 30))["directions"]
    flipped = np.where(rng.random(u.shape[:2]) < 0.3, -1, 1)[..., None] ** np.array([0, 0, 1])
    away = np.where(u[..., 2] > 0, 0.9, 0.1)
    np.testing.assert_array_equal(correct_depth_sign(u * flipped, away), u)


def test_doubtful_depth_signs_change_nothing() -> None:
    u = np.array([[0.6, 0, -0.8], [0.6, 0, -0.8], [0.6, 0, 0.8], [0, 1, 0], [np.nan] * 3])
    away = np.array([0.5, np.nan, 0.4, 0.9, 0.9])
    out = correct_depth_sign(u, away)
    np.testing.assert_array_equal(out, [u[0], u[1], [0.6, 0, -0.8], u[3], u[4]])
    np.testing.assert_array_equal(correct_depth_sign(u, away, 0.8)[:3], u[:3])
    with pytest.raises(InvalidData, match="fit"):
        correct_depth_sign(u, away[:2])
    with pytest.raises(InvalidData, match="must lie"):
        correct_depth_sign(u, away + 1)
    with pytest.raises(InvalidData, match="must lie"):
        correct_depth_sign(u, away, 0.2)


def test_what_cannot_be_used_is_refused(rng: np.random.Generator) -> None:
    told = seen(bodies(rng, 3))
    bad: dict[str, Any] = {
        "directions": told["directions"] * 2,
        "spread": told["spread"] * 0,
        "xy": told["xy"][:, :16],
        "sigma": np.full((3, 17), np.inf),
        "K": np.eye(3)[:2],
    }
    for name, value in bad.items():
        with pytest.raises(InvalidData, match=name):
            reconstruct(**{**told, name: value}, torso_m=TORSO)
    with pytest.raises(InvalidData, match="pinhole"):
        reconstruct(**{**told, "K": np.zeros((3, 3))}, torso_m=TORSO)
    scales: list[dict[str, Any]] = [
        {}, {"torso_m": TORSO, "stature_m": 1.8}, {"stature_m": 178.0}, {"torso_m": 520.0},
        {"torso_m": float("nan")}, {"lengths": np.full(14, 300.0)}, {"lengths": np.ones(3)},
        {"lengths": np.where(np.isin(NAMES, ("shoulders", "hips")), 1.0, 0.3)},
    ]  # fmt: skip
    for scale in scales:
        with pytest.raises(InvalidData):
            reconstruct(**told, **scale)


def test_nothing_solvable_is_an_error(rng: np.random.Generator) -> None:
    told = seen(bodies(rng, 3))
    with pytest.raises(TooFewPoints, match="0 found"):
        reconstruct(**{**told, "directions": told["directions"] * np.nan}, torso_m=TORSO)
    empty = {n: v if n == "K" else v[:0] for n, v in told.items()}
    with pytest.raises(TooFewPoints):
        reconstruct(**empty, torso_m=TORSO)


@pytest.mark.filterwarnings("error")
def test_nonsense_gives_no_warning_and_no_false_number() -> None:
    rng = np.random.default_rng(5)
    for _ in range(40):
        T = int(rng.integers(1, 20))
        u = rng.normal(size=(T, 14, 3))
        u /= np.linalg.norm(u, axis=-1, keepdims=True)
        u[rng.random((T, 14)) < rng.random()] = np.nan
        xy = rng.uniform(-500, 2000, (T, 17, 2))
        xy[rng.random((T, 17)) < rng.random()] = np.nan
        spread, sigma = 10 ** rng.uniform(-6, 1, (T, 14)), 10 ** rng.uniform(-6, 3, (T, 17))
        try:
            found = reconstruct(u, spread, xy, sigma, K, torso_m=0.5)
        except TooFewPoints:
            continue
        known = np.isfinite(found.xyz).all(axis=-1)
        np.testing.assert_array_equal(np.isfinite(found.covariance).all(axis=(-1, -2)), known)
        assert (found.xyz[known][:, 2] > 0).all()
        assert (np.linalg.eigvalsh(found.covariance[known]) > 0).all()
