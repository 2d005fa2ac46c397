"""A camera that passes construction is one that can be computed with."""

import numpy as np
import pytest

from kinefit.types import Camera, CameraRig, InvalidData

K = np.array([[900.0, 2.0, 639.5], [0, 905.0, 359.5], [0, 0, 1]])


def _camera(name: str = "cam", **changes) -> Camera:
    fields = {"size": (1280, 720), "K": K, "R": np.eye(3), "t": [0.0, 0.0, 3.0]} | changes
    return Camera(name, **fields)


def test_a_camera_stands_where_its_pose_says():
    # R turns world x to camera z: the camera at (-2, 0, 0) looks along +x.
    R = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(_camera(R=R, t=[0, 0, 2.0]).centre, [-2, 0, 0], atol=1e-15)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"K": K * [[1], [-1], [1]]}, "focal lengths"),
        ({"K": K * [[np.nan], [1], [1]]}, "K has a value"),
        ({"K": K.T}, "K is not"),
        ({"K": np.eye(4)}, r"\(3, 3\)"),
        ({"R": np.diag([1.0, 1, -1])}, "not a rotation"),
        ({"R": np.eye(3) * 1.001}, "not a rotation"),
        ({"t": [0.0, np.nan, 0]}, "t has a value"),
        ({"distortion": [0.1, 0.2]}, "2 distortion coefficients"),
        ({"distortion": [0.1] * 5, "fisheye": True}, "5 distortion coefficients"),
        ({"distortion": [0.1, 0.2, np.nan, 0]}, "distortion has a value"),
    ],
)
def test_what_is_no_camera_is_refused_by_name(changes, said):
    with pytest.raises(InvalidData, match=said):
        _camera("left", **changes)


def test_a_camera_cannot_be_changed():
    camera = _camera()
    with pytest.raises(ValueError, match="read-only"):
        camera.K[0, 0] = 1
    assert camera.distortion.shape == (0,)


def test_a_rig_knows_its_cameras_by_name():
    rig = CameraRig((_camera("b"), _camera("a", t=[1.0, 0, 3])))
    assert rig.names == ("b", "a")
    assert rig["a"].t[0] == 1.0
    assert rig.select(("a",)).names == ("a",)
    assert [c.name for c in rig] == ["b", "a"]
    with pytest.raises(InvalidData, match=r"No camera 'c'; there are: b, a"):
        rig["c"]
    with pytest.raises(InvalidData, match="No camera 'c'"):
        rig.select(("a", "c"))


def test_two_cameras_of_one_name_are_refused():
    with pytest.raises(InvalidData, match="duplicates: a"):
        CameraRig((_camera("a"), _camera("a")))


def test_moving_a_rig_there_and_back_changes_nothing():
    rig = CameraRig((_camera("a"),))
    Q = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    shift = np.array([1.0, 2, 3])
    again = rig.moved(Q, shift, 2.0).moved(Q.T, -Q.T @ shift / 2, 0.5)
    np.testing.assert_allclose(again["a"].R, rig["a"].R, atol=1e-15)
    np.testing.assert_allclose(again["a"].t, rig["a"].t, atol=1e-15)
