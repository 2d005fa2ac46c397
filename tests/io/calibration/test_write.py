"""What is written is read back to the last bit, by us and by readers written after the formats."""

import tomllib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinefit.geometry.projection import project, project_rig
from kinefit.io.calibration import LAYOUTS, read_calibration, write_calibration
from kinefit.types import Camera, CameraRig, InputError

EIGHT = [0.4, -0.2, 6e-4, 3e-4, 0.02, 0.6, -0.1, 0.01]


@pytest.fixture
def varied(rig) -> CameraRig:
    """The rig with an identity pose, 8 coefficients, none, skew and a fisheye."""
    a, b, c = rig
    K = a.K + np.array([[0, 0.125, 0], [0, 0, 0], [0, 0, 0]])
    identity = replace(a, name="cam_3", R=np.eye(3), t=[1 / 3, -1e-17, 5.0], distortion=[])
    fish = replace(b, name="cam_4", t=b.t + 1, distortion=[0.05, -0.01, 3e-3, -5e-4], fisheye=True)
    return CameraRig((replace(a, K=K), b, replace(c, distortion=EIGHT), identity, fish))


def _same(a: Camera, b: Camera) -> None:
    assert (a.name, a.size, a.fisheye) == (b.name, b.size, b.fisheye)
    for field in ("K", "t", "distortion"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
    # A rotation vector near half a turn loses a digit on the way to a matrix.
    np.testing.assert_allclose(a.R, b.R, rtol=0, atol=1e-14)


@pytest.mark.parametrize("layout", ["caliscope", "aniposelib"])
def test_every_bit_comes_back(tmp_path, varied, layout):
    path = tmp_path / "rig.toml"
    write_calibration(path, varied, layout)
    found = read_calibration(path)
    assert (found.format, found.up) == (layout, "y")
    assert found.rig.names == varied.names
    for a, b in zip(found.rig, varied, strict=True):
        _same(a, b)
    np.testing.assert_array_equal(found.rig["cam_3"].R, np.eye(3))


def test_pose2sims_world_is_z_up_and_comes_back(tmp_path, varied):
    path = tmp_path / "Calib.toml"
    write_calibration(path, varied.select(varied.names[:4]), "pose2sim")
    found = read_calibration(path)
    assert (found.format, found.up) == ("pose2sim", "z")
    for a, b in zip(found.rig, varied, strict=False):
        _same(a, b)
    with pytest.raises(InputError, match="cam_4 has a fisheye"):
        write_calibration(tmp_path / "fish.toml", varied, "pose2sim")
    assert not (tmp_path / "fish.toml").exists()


def test_a_reader_made_after_pose2sims_convention_sees_the_same_pixels(tmp_path, rig, points):
    """P = K [R | t] per top-level table, Z up; its TRC's (x, y, z) is the world's (y, z, x)."""
    path = tmp_path / "Calib.toml"
    write_calibration(path, rig, "pose2sim")
    table = tomllib.loads(path.read_text())
    cameras = [v for k, v in table.items() if k not in ("metadata", "capture_volume")]
    z_up = points[:, [2, 0, 1]]
    for camera, expected in zip(cameras, project_rig(rig, points), strict=True):
        K, D = np.array(camera["matrix"]), np.array(camera["distortions"])
        R, t = np.array(camera["rotation"]), np.array(camera["translation"])
        pixels, _ = cv2.projectPoints(z_up, R, t, K, D)
        np.testing.assert_allclose(pixels[:, 0], expected, rtol=0, atol=1e-9)
    assert table["metadata"]["units"] == "m"
    assert table["metadata"]["up"] == "z"
    assert "x_cam = R x_world + t" in table["metadata"]["convention"]


def test_a_reader_made_after_caliscopes_sees_the_same_pixels(tmp_path, rig, points):
    path = tmp_path / "camera_array.toml"
    write_calibration(path, rig, "caliscope")
    table = tomllib.loads(path.read_text())["cameras"]
    for key, camera in zip(("0", "1", "2"), rig, strict=True):
        stated = table[key]
        assert (stated["cam_id"], stated["size"], stated["fisheye"]) == (
            int(key),
            [1280, 720],
            False,
        )
        pixels, _ = cv2.projectPoints(
            points,
            *(np.array(stated[k]) for k in ("rotation", "translation", "matrix")),
            np.array(stated["distortions"]),
        )
        np.testing.assert_allclose(pixels[:, 0], project(camera, points), rtol=0, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_survive_whatever_they_are(tmp_path, rig, layout):
    names = ["front door", 'say "cheese"', "émile.1"]
    named = CameraRig(tuple(replace(c, name=n) for c, n in zip(rig, names, strict=True)))
    write_calibration(tmp_path / "rig.toml", named, layout)
    assert read_calibration(tmp_path / "rig.toml").rig.names == tuple(names)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(-5.0, 5.0), st.floats(1e-300, 1e-3))
def test_any_number_is_the_same_after_a_round_trip(tmp_path_factory, a, b, c):
    K = np.array([[900 + b, 0, 640], [0, 900, 360], [0, 0, 1.0]])
    rig = CameraRig((Camera("cam_5", (1280, 720), K, np.eye(3), [a, b, c], [c, -c, b / 7, 0]),))
    path = tmp_path_factory.mktemp("rig") / "rig.toml"
    write_calibration(path, rig)
    _same(read_calibration(path).rig["cam_5"], rig["cam_5"])


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, rig):
    path = tmp_path / "rig.toml"
    path.write_text("mine")
    bad = CameraRig((replace(rig.cameras[0], name="metadata"),))
    for broken, layout in ((CameraRig(()), "caliscope"), (bad, "aniposelib"), (rig, "bouguet")):
        with pytest.raises(InputError):
            write_calibration(path, broken, layout)
        assert path.read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_rig_of_unknown_vertical_claims_none(tmp_path, rig):
    path = tmp_path / "rig.toml"
    write_calibration(path, rig, up_known=False)
    found = read_calibration(path)
    assert found.up is None
    _same(found.rig["cam_0"], rig["cam_0"])
    with pytest.raises(InputError, match="Z up, and nothing says"):
        write_calibration(tmp_path / "p.toml", rig, "pose2sim", up_known=False)
