"""Directions of limbs: angles and signs by hand, and what may not change them."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.metrics.points import angles_between, direction_errors, limb_directions, sign_agreement
from kinefit.skeletons import mirror_name, skeleton
from kinefit.skeletons.limbs import LIMBS, Limb
from kinefit.types import InvalidData

NAN = float("nan")
COCO = skeleton("coco17").points


@pytest.fixture
def pose() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(40, 17, 3))


def test_the_limbs_are_those_of_part_orientation_fields():
    # Pairs of COCO's indices as published with the networks of this kind.
    pairs = {(COCO.index(limb.start), COCO.index(limb.end)) for limb in LIMBS}
    assert pairs == {
        (5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16),
        (5, 6), (11, 12), (5, 11), (6, 12), (5, 12), (6, 11),
    }  # fmt: skip
    # Mirrored, they are the same limbs; those across the body turn round.
    both_ways = pairs | {(b, a) for a, b in pairs}
    for limb in LIMBS:
        twin = tuple(COCO.index(mirror_name(n)) for n in (limb.start, limb.end))
        assert twin in both_ways
    assert len({limb.name for limb in LIMBS}) == 14


def test_directions_point_from_start_to_end(pose):
    found = limb_directions(pose, COCO)
    assert found.shape == (40, 14, 3)
    arm = pose[:, COCO.index("LElbow")] - pose[:, COCO.index("LShoulder")]
    np.testing.assert_allclose(found[:, 0] * np.linalg.norm(arm, axis=1)[:, None], arm, atol=1e-12)


def test_directions_do_not_know_place_or_size(pose):
    np.testing.assert_allclose(
        limb_directions(3 * pose + 5, COCO), limb_directions(pose, COCO), atol=1e-12
    )


def test_missing_points_touch_their_limbs_only(pose):
    pose[:, COCO.index("LElbow")] = NAN
    found = np.isnan(limb_directions(pose, COCO)).any(axis=(0, 2))
    assert [limb.name for limb, lost in zip(LIMBS, found, strict=True) if lost] == [
        "left upper arm",
        "left forearm",
    ]
    pose[:, COCO.index("RKnee")] = pose[:, COCO.index("RHip")]  # no length
    assert np.isnan(limb_directions(pose, COCO)[:, 6]).all()
    # A set of points without legs has no legs.
    bare = limb_directions(pose[:, :13], COCO[:13])
    assert np.isnan(bare[:, [4, 5, 6, 7]]).all()
    assert np.isfinite(bare[:, [8, 9]]).all()


def test_angles_by_hand():
    x, y, tilted = [1.0, 0, 0], [0, 2.0, 0], [1.0, 1.0, 0]
    truth = np.array([x, x, x, x, x])
    found = angles_between(np.array([x, y, tilted, [-3.0, 0, 0], [NAN, 0, 0]]), truth)
    np.testing.assert_allclose(found, [0, 90, 45, 180, NAN], atol=1e-12)
    assert np.isnan(angles_between(np.zeros(3), np.array(x)))


def test_small_angles_are_not_lost_to_rounding():
    # The arc cosine of 1 - 5e-17 is 0; this is 1e-8 degrees.
    tiny = np.radians(1e-8)
    found = angles_between(np.array([np.cos(tiny), np.sin(tiny), 0]), np.array([1.0, 0, 0]))
    assert found == pytest.approx(1e-8, rel=1e-6)


def test_a_known_turn_is_the_error_of_what_stands_across_it(pose):
    truth = limb_directions(pose, COCO)
    turned = truth @ Rotation.from_rotvec([0, np.radians(25), 0]).as_matrix().T
    angle = angles_between(turned, truth)
    assert angle.max() <= 25 + 1e-9
    across = np.arcsin(np.abs(truth[..., 1]))  # a limb along the axis does not turn
    expected = 2 * np.degrees(np.arcsin(np.cos(across) * np.sin(np.radians(12.5))))
    np.testing.assert_allclose(angle, expected, atol=1e-9)
    # Seen from another camera, both change alike.
    R = Rotation.random(rng=4).as_matrix()
    np.testing.assert_allclose(angles_between(turned @ R.T, truth @ R.T), angle, atol=1e-9)


def test_signs_by_hand():
    truth = np.array([[0, 0, z] for z in (0.5, 0.5, -0.3, 0.1, 0.0, NAN, 0.5, 0.5)])
    found = np.array([[0, 0, z] for z in (0.1, -0.1, -0.9, 0.1, 0.4, 0.4, NAN, 0.0)])
    np.testing.assert_array_equal(sign_agreement(found, truth), [1, 0, 1, 1, NAN, NAN, NAN, 0])
    np.testing.assert_array_equal(
        sign_agreement(found, truth, 0.2), [1, 0, 1, NAN, NAN, NAN, NAN, 0]
    )


def test_all_numbers_of_a_clip():
    limbs = (Limb("a", "A", "B"), Limb("b", "B", "C"))
    truth = np.array([[[0, 0, 1.0], [1.0, 0, 0]], [[0, 0.6, 0.8], [0.995, 0, 0.0998]]])
    found = truth.copy()
    found[0, 0] = [0, 1.0, 0]  # 90 degrees off, no sign
    found[1, 1] = NAN
    result = direction_errors(found, truth, limbs)
    assert result.angle.mean == pytest.approx(30)
    assert result.angle.max == pytest.approx(90)
    assert (result.angle.count, result.angle.missing) == (3, 1)
    assert result.far_off == pytest.approx(1 / 3)
    assert (result.sign, result.sign_deep) == (1 / 2, 1 / 2)
    assert result.limbs == {"a": pytest.approx(45), "b": pytest.approx(0)}
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["angle"]["count"] == 3


def test_shares_by_hand():
    angle = np.radians([29.0, 31.0, 5.0, 5.0])
    truth = np.zeros((4, 1, 3))
    truth[:, 0, 2] = [0.0, 0.0, 0.19, 0.21]
    truth[:, 0, 0] = np.sqrt(1 - truth[:, 0, 2] ** 2)
    found = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)[:, None]
    found[2:] = truth[2:] * [1, 1, -1]  # 22 and 24 degrees off
    result = direction_errors(found, truth, LIMBS[:1])
    assert result.far_off == 1 / 4
    found[2] = truth[2]
    result = direction_errors(found, truth, LIMBS[:1])
    assert (result.sign, result.sign_deep) == (1 / 2, 0)  # 0.19 is not deep


def test_mirrored_depth_has_every_sign_wrong(pose):
    truth = limb_directions(pose, COCO)
    found = direction_errors(truth * [1, 1, -1], truth)
    assert (found.sign, found.sign_deep) == (0, 0)
    flat = direction_errors(truth * [1, 1, 0], truth)
    assert flat.sign == 0
    assert direction_errors(truth, truth).sign == 1


def test_what_does_not_go_together(pose):
    with pytest.raises(InvalidData, match="names"):
        limb_directions(pose, COCO[:5])
    with pytest.raises(InvalidData, match="no angle"):
        angles_between(np.zeros((2, 3)), np.zeros((3, 3)))
    with pytest.raises(InvalidData, match="limbs"):
        direction_errors(np.zeros((2, 3, 3)), np.zeros((2, 3, 3)))
