"""Layouts of MHR's and SAM 3D Body's numbers: inverse maps, masks, names; no file needed."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.body import mhr_params as mp
from kinefit.types import InvalidData, TooFewPoints

RNG = np.random.default_rng(0)
# Where body_pose_params has single angles: as published, in full. The code takes what is left.
SINGLE = [
    *(1, 3, 5, 7, 9, 11), *range(30, 34), *range(40, 44), *range(47, 53), *range(56, 64),
    *(67, 68, 74, 75, 77, 78, 80, 81, 83, 84, 89, 90, 94, 95, 101, 102, 104, 105, 107, 108),
    *(110, 111), *range(116, 124),
]  # fmt: skip
TRIPLES = [
    (0, 2, 4), (6, 8, 10), (12, 13, 14), (15, 16, 17), (18, 19, 20), (21, 22, 23), (24, 25, 26),
    (27, 28, 29), (34, 35, 36), (37, 38, 39), (44, 45, 46), (53, 54, 55), (64, 65, 66),
    (85, 69, 73), (86, 70, 79), (87, 71, 82), (88, 72, 76), (91, 92, 93), (112, 96, 100),
    (113, 97, 106), (114, 98, 109), (115, 99, 103), (130, 131, 132),
]  # fmt: skip


def rotation(xyz: np.ndarray) -> Rotation:
    """Rz Ry Rx, by scipy: extrinsic x, y, z."""
    return Rotation.from_euler("xyz", xyz)


class TestContinuous:
    def test_there_and_back_within_the_range_of_angles(self) -> None:
        # (-1.5, 1.5): every middle angle below 90 degrees, so that angles themselves come back.
        body = RNG.uniform(-1.5, 1.5, (200, 133))
        back = mp.body_from_continuous(mp.continuous_from_body(body))
        # 1e-12: cos(1.5) = 0.07 multiplies the rounding of an arctangent by 14.
        np.testing.assert_allclose(back, body, atol=1e-12)

    def test_there_and_back_keeps_every_rotation(self) -> None:
        body = RNG.uniform(-np.pi, np.pi, (200, 133))
        back = mp.body_from_continuous(mp.continuous_from_body(body))
        for triple in TRIPLES:
            off = rotation(back[:, triple]) * rotation(body[:, triple]).inv()
            assert off.magnitude().max() < 1e-7  # scipy's magnitude near zero
        np.testing.assert_allclose(back[:, SINGLE], body[:, SINGLE], atol=1e-14)
        np.testing.assert_array_equal(back[:, 124:130], body[:, 124:130])

    def test_back_and_there_on_proper_values(self) -> None:
        values = mp.continuous_from_body(RNG.uniform(-1.5, 1.5, (50, 133)))
        again = mp.continuous_from_body(mp.body_from_continuous(values))
        np.testing.assert_allclose(again, values, atol=1e-13)

    def test_the_layout_as_published(self) -> None:
        body = RNG.uniform(-1.5, 1.5, 133)
        values = mp.continuous_from_body(body)
        for i, triple in enumerate(TRIPLES):  # first column, then second
            R = rotation(body[list(triple)]).as_matrix()
            np.testing.assert_allclose(values[6 * i : 6 * i + 6], R[:, :2].T.ravel(), atol=1e-15)
        np.testing.assert_allclose(values[138:254:2], np.sin(body[SINGLE]), atol=1e-15)
        np.testing.assert_allclose(values[139:254:2], np.cos(body[SINGLE]), atol=1e-15)
        np.testing.assert_array_equal(values[254:], body[124:130])

    def test_what_a_network_gives_is_made_orthonormal(self) -> None:
        body = RNG.uniform(-1.5, 1.5, 133)
        values = mp.continuous_from_body(body)
        sixes, pairs = values[:138].reshape(23, 2, 3), values[138:254].reshape(58, 2)
        sixes[:, 1] = 0.7 * sixes[:, 1] + 0.4 * sixes[:, 0]  # the first column leads
        sixes[:, 0] *= 3
        pairs *= 2.5
        np.testing.assert_allclose(mp.body_from_continuous(values), body, atol=1e-12)

    def test_parallel_columns_are_no_rotation(self) -> None:
        values = mp.continuous_from_body(np.zeros(133))
        values[3:6] = 2 * values[:3]
        out = mp.body_from_continuous(values)
        assert np.isnan(out[[0, 2, 4]]).all()
        assert np.isfinite(np.delete(out, [0, 2, 4])).all()

    def test_other_sizes_are_refused(self) -> None:
        for function, size in [(mp.body_from_continuous, 133), (mp.continuous_from_body, 130),
                               (mp.split_head, 518), (mp.split_parameters, 249)]:  # fmt: skip
            with pytest.raises(InvalidData, match=str(size)):
                function(np.zeros(size))


def test_hand_masks_as_published() -> None:
    assert np.flatnonzero(mp.HAND_MASK).tolist() == list(range(62, 116))
    expected = [*range(72, 132), *range(190, 238)]
    assert np.flatnonzero(mp.HAND_MASK_CONTINUOUS).tolist() == expected


def test_a_hand_moves_only_hand_entries() -> None:
    body = RNG.uniform(-1, 1, 133)
    values = mp.continuous_from_body(body)
    values[mp.HAND_MASK_CONTINUOUS] *= -1
    changed = np.abs(mp.body_from_continuous(values) - body) > 1e-9
    np.testing.assert_array_equal(changed, mp.HAND_MASK)


def test_names() -> None:
    assert (len(mp.JOINTS), len(mp.PARAMETERS), len(mp.BODY_PARAMETERS)) == (127, 204, 133)
    assert len(set(mp.JOINTS)) == 127
    assert len(set(mp.PARAMETERS)) == 204
    numbers = {0: "body_world", 1: "root", 8: "l_ball", 18: "r_upleg", 42: "r_wrist",
               47: "r_pinky_null", 64: "r_thumb_null", 78: "l_wrist", 110: "c_neck",
               126: "c_head_null"}  # fmt: skip
    assert {i: mp.JOINTS[i] for i in numbers} == numbers
    assert mp.PARAMETERS[36] == "r_elbow_bend"
    assert mp.LENGTH_PARAMETERS[3] == "arm_length_flexible"
    assert mp.SCALE_PARAMETERS[:3] == ("scale_eye_width", "scale_eye_height", "scale_eye_depth")
    assert mp.SCALE_PARAMETERS[8:10] == ("scale_r_hands", "scale_l_hands")
    # The joints of the table of triples are one joint's x, y, z.
    for x, y, z in TRIPLES[12:22]:
        names = [mp.BODY_PARAMETERS[i] for i in (x, y, z)]
        assert [n[:-1] for n in names] == [names[0][:-1]] * 3
        assert [n[-1] for n in names] == ["x", "y", "z"]


def test_every_name_in_the_tables_exists() -> None:
    assert set(mp.ANATOMY.values()) <= set(mp.JOINTS)
    assert set(mp.KEYPOINT_JOINTS.values()) <= set(mp.JOINTS)
    for side in "lr":
        assert set(mp.hand_parameters(side)) <= set(mp.PARAMETERS)
        first = 62 if side == "r" else 89
        ours = {mp.BODY_PARAMETERS.index(name) for name in mp.hand_parameters(side)}
        assert ours == set(range(first, first + 27))


def test_the_519_in_order() -> None:
    parts = mp.split_head(np.arange(519.0))
    sizes = {name: len(part) for name, part in parts.items()}
    assert sizes == {"global_rot_6d": 6, "body_pose": 260, "shape_params": 45,
                     "scale_params": 28, "hand_pose_params": 108, "expr_params": 72}  # fmt: skip
    np.testing.assert_array_equal(np.concatenate(list(parts.values())), np.arange(519.0))


def test_the_204_taken_apart_and_joined() -> None:
    values = RNG.normal(size=(5, 204))
    parts = mp.split_parameters(values)
    np.testing.assert_allclose(parts.translation, values[:, :3] / 10)  # units of 10 cm
    np.testing.assert_allclose(mp.join_parameters(parts), values, rtol=1e-15)
    with_jaw = np.concatenate([parts.body_pose, np.ones((5, 3))], axis=1)
    joined = mp.ModelParameters(parts.translation, parts.global_rot, with_jaw, parts.scales)
    np.testing.assert_allclose(mp.join_parameters(joined), values, rtol=1e-15)


def test_root_rotation_is_z_y_x() -> None:
    g = RNG.uniform(-3, 3, (20, 3))
    np.testing.assert_allclose(mp.root_rotation(g), rotation(g).as_matrix(), atol=1e-14)
    swapped = Rotation.from_euler("XYZ", g).as_matrix()
    assert np.abs(mp.root_rotation(g) - swapped).max() > 0.1  # the control


def test_flip_is_half_a_turn() -> None:
    points = RNG.normal(size=(7, 3))
    np.testing.assert_array_equal(mp.flip_axes(mp.flip_axes(points)), points)
    turned = Rotation.from_euler("x", np.pi).apply(points)
    np.testing.assert_allclose(mp.flip_axes(points), turned, atol=1e-15)


class TestHand:
    """With a made-up mean: the published one belongs to the checkpoint."""

    def made(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean (54,), codes (N, 54) and the angles (N, 27) that they mean."""
        angles = RNG.uniform(-1.2, 1.2, (count, 27))
        parts = []
        for first in (0, 5, 10, 15):
            parts.append(self.six(angles[:, first : first + 3]))
            parts.append(self.pairs(angles[:, first + 3 : first + 5]))
        parts.append(self.pairs(angles[:, 20:22]))
        parts += [self.six(angles[:, 22:25]), self.pairs(angles[:, 25:27])]
        mean = RNG.normal(0, 0.5, 54)
        return mean, np.concatenate(parts, axis=1) - mean, angles

    @staticmethod
    def six(xyz: np.ndarray) -> np.ndarray:
        return rotation(xyz).as_matrix()[:, :, :2].transpose(0, 2, 1).reshape(-1, 6)

    @staticmethod
    def pairs(angles: np.ndarray) -> np.ndarray:
        return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(angles), -1)

    def test_decode(self) -> None:
        mean, codes, angles = self.made(30)
        np.testing.assert_allclose(mp.decode_hand(codes, mean), angles, atol=1e-12)
        turn = np.linalg.qr(RNG.normal(size=(54, 54)))[0]
        np.testing.assert_allclose(mp.decode_hand(codes @ turn.T, mean, turn), angles, atol=1e-12)

    def test_the_mean_is_found_from_hands(self) -> None:
        mean, codes, angles = self.made(8)
        # 1e-10: the worst of 17 small least-squares problems has a condition of some thousand.
        np.testing.assert_allclose(mp.solve_hand_mean(codes, angles), mean, atol=1e-10)

    def test_too_few_hands(self) -> None:
        _, codes, angles = self.made(2)
        with pytest.raises(TooFewPoints, match="in different poses"):
            mp.solve_hand_mean(codes, angles)
        one = np.repeat(codes[:1], 5, axis=0), np.repeat(angles[:1], 5, axis=0)
        with pytest.raises(TooFewPoints):
            mp.solve_hand_mean(*one)


def test_scales_are_affine_in_their_coefficients() -> None:
    mean, comps, c = RNG.normal(size=68), RNG.normal(size=(28, 68)), RNG.normal(size=(4, 28))
    expected = mean + np.array([sum(c[n, k] * comps[k] for k in range(28)) for n in range(4)])
    np.testing.assert_allclose(mp.scales_from_coefficients(c, mean, comps), expected)
