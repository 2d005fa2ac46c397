"""Names and places of MHR's and SAM 3D Body's numbers; no file needed."""

import numpy as np
from scipy.spatial.transform import Rotation

from kinefit.body import mhr_params as mp


def test_names() -> None:
    assert (len(mp.JOINTS), len(mp.PARAMETERS)) == (127, 204)
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


def test_every_name_in_the_tables_exists() -> None:
    assert set(mp.ANATOMY.values()) <= set(mp.JOINTS)
    assert set(mp.KEYPOINT_JOINTS.values()) <= set(mp.JOINTS)


def test_flip_is_half_a_turn() -> None:
    points = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_array_equal(mp.flip_axes(mp.flip_axes(points)), points)
    turned = Rotation.from_euler("x", np.pi).apply(points)
    np.testing.assert_allclose(mp.flip_axes(points), turned, atol=1e-15)
