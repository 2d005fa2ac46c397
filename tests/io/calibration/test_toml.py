"""Caliscope, aniposelib and Pose2Sim TOML, as those programs write it."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.geometry.projection import project_rig
from kinefit.io.calibration import read_calibration
from kinefit.types import CameraRig, InputError

CALISCOPE = """
[cameras.0]
cam_id = 0
size = [1280, 720]
rotation_count = 0
error = 0.31
matrix = [[900.0, 0.0, 640.0], [0.0, 901.0, 360.0], [0.0, 0.0, 1.0]]
distortions = [-0.3, 0.1, 0.001, 0.002, -0.01]
translation = [0.0, 0.0, 3.0]
rotation = [0.0, 0.0, 0.0]
fisheye = false

[cameras.7]
cam_id = 7
size = [1280, 720]
rotation_count = 1
matrix = [[900.0, 0.0, 640.0], [0.0, 901.0, 360.0], [0.0, 0.0, 1.0]]
distortions = [0.05, -0.01, 0.003, -0.0005]
translation = [[0.0], [0.5], [2.0]]
rotation = [[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
fisheye = true

[cameras.8]
cam_id = 8
size = [1280, 720]
matrix = [[900.0, 0.0, 640.0], [0.0, 901.0, 360.0], [0.0, 0.0, 1.0]]
distortions = [0.0, 0.0, 0.0, 0.0, 0.0]

[cameras.9]
cam_id = 9
ignore = true
size = [1280, 720]
"""

ANIPOSE = """
[cam_0]
name = "A"
size = [ 1280, 720,]
matrix = [ [ 900.0, 0.0, 640.0,], [ 0.0, 900.0, 360.0,], [ 0.0, 0.0, 1.0,],]
distortions = [ -0.3, 0.1, 0.0, 0.0, 0.5,]
rotation = [ 0.1, -0.2, 0.3,]
translation = [ 10.0, 20.0, 3000.0,]

[cam_1]
name = "B"
size = [ 1280, 720,]
matrix = [ [ 900.0, 0.0, 640.0,], [ 0.0, 900.0, 360.0,], [ 0.0, 0.0, 1.0,],]
distortions = [ -0.3, 0.1, 0.0, 0.0, 0.5,]
rotation = [ 0.1, 1.2, 0.3,]
translation = [ 10.0, 20.0, 2500.0,]

[metadata]
adjusted = true
error = 0.7
"""

POSE2SIM = """
[41982]
name = "41982"
size = [ 1088.0, 1920.0]
matrix = [ [ 1681.2, 0.0, 533.0], [ 0.0, 1681.1, 948.1], [ 0.0, 0.0, 1.0]]
distortions = [ -0.0007, 0.002, 0.0, 0.0]
rotation = [ 1.2, -1.3, 1.1]
translation = [ 0.1, 1.2, 3.4]
fisheye = false

[metadata]
adjusted = false
error = 0.0
"""


def _write(path, text):
    path.write_text(text)
    return path


def test_caliscopes_own_layout(tmp_path):
    found = read_calibration(_write(tmp_path / "camera_array.toml", CALISCOPE))
    assert (found.format, found.up) == ("caliscope", None)
    assert found.rig.names == ("cam_0", "cam_7")  # as its videos are called
    assert found.residuals == {"cam_0": 0.31}
    first, second = found.rig
    np.testing.assert_array_equal(first.R, np.eye(3))  # an identity is a pose, not a missing one
    assert first.distortion.tolist() == [-0.3, 0.1, 0.001, 0.002, -0.01]
    assert (second.fisheye, len(second.distortion)) == (True, 4)
    np.testing.assert_allclose(second.centre, [-2, -0.5, 0], atol=1e-15)
    text = "\n".join(found.assumptions)
    for said in (
        "metres, as Caliscope",
        "nothing says which one is up",
        "cam_8 left out: it has no pose",
        "cam_9 left out: marked as ignored",
        "cam_7 as its video is stored",
    ):
        assert said in text


def test_a_matrix_and_its_rotation_vector_are_one_pose(tmp_path, rig):
    matrix = CALISCOPE.replace(
        "rotation = [0.0, 0.0, 0.0]", f"rotation = {rig.cameras[0].R.tolist()}"
    )
    turn = Rotation.from_matrix(rig.cameras[0].R).as_rotvec().tolist()
    vector = CALISCOPE.replace("rotation = [0.0, 0.0, 0.0]", f"rotation = {turn}")
    a = read_calibration(_write(tmp_path / "a.toml", matrix)).rig["cam_0"]
    b = read_calibration(_write(tmp_path / "b.toml", vector)).rig["cam_0"]
    np.testing.assert_allclose(a.R, b.R, rtol=0, atol=1e-15)


def test_aniposelib_keeps_its_boards_unit_so_it_must_be_said(tmp_path):
    path = _write(tmp_path / "calibration.toml", ANIPOSE)
    with pytest.raises(InputError, match=r"apart if positions are in metres.*mm or cm"):
        read_calibration(path)
    found = read_calibration(path, units="mm")
    assert (found.format, found.up, found.rig.names) == ("aniposelib", None, ("A", "B"))
    np.testing.assert_array_equal(found.rig["A"].t, [0.01, 0.02, 3.0])
    assert found.rig["A"].distortion.tolist() == [-0.3, 0.1, 0, 0, 0.5]
    assert found.assumptions[0] == "positions in millimetres, as asked for"


def test_pose2sims_files_are_told_and_its_world_is_z_up(tmp_path):
    found = read_calibration(_write(tmp_path / "Calib_scene.toml", POSE2SIM))
    assert (found.format, found.up) == ("pose2sim", "z")
    assert found.rig.names == ("41982",)
    assert found.rig.cameras[0].size == (1088, 1920)
    assert "world Z up, as Pose2Sim's world is: turned to Y up, (x, y, z) -> (y, z, x)" in (
        found.assumptions
    )
    # Independent: the file's own pose, with its coordinates reordered as its TRC files do.
    R = Rotation.from_rotvec([1.2, -1.3, 1.1]).as_matrix()
    x, y, z = -R.T @ [0.1, 1.2, 3.4]
    np.testing.assert_allclose(found.rig.cameras[0].centre, [y, z, x], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "change",
    [("0.0, 0.0]\nrotation", "0.0, 0.0, 0.1]\nrotation"), ("false\n\n[m", "true\n\n[m")],
)
def test_what_pose2sim_cannot_have_written_is_aniposelibs(tmp_path, change):
    found = read_calibration(_write(tmp_path / "c.toml", POSE2SIM.replace(*change)))
    assert (found.format, found.up) == ("aniposelib", None)
    forced = read_calibration(tmp_path / "c.toml", format="pose2sim")
    assert (forced.format, forced.up) == ("pose2sim", "z")


def test_freemocap_is_in_the_millimetres_of_its_board(tmp_path):
    text = ANIPOSE + "charuco_square_size = 39\n"
    found = read_calibration(_write(tmp_path / "a.toml", text))
    np.testing.assert_allclose(found.rig["A"].t, [0.01, 0.02, 3.0])
    assert "millimetres, as FreeMoCap writes them" in found.assumptions[0]
    stated = read_calibration(_write(tmp_path / "b.toml", text + 'units = "cm"\n'))
    np.testing.assert_allclose(stated.rig["A"].t, [0.1, 0.2, 30.0])


def _zero_pose(name):
    """The table of a camera as Pose2Sim writes it where only the intrinsics were calibrated."""
    camera = POSE2SIM.split("[metadata]")[0].replace("41982", name)
    for pose in ("rotation = [ 1.2, -1.3, 1.1]", "translation = [ 0.1, 1.2, 3.4]"):
        camera = camera.replace(pose, f"{pose.split('=')[0]}= [ 0.0, 0.0, 0.0]")
    return camera


def test_pose2sims_cameras_with_intrinsics_only_are_left_out(tmp_path):
    text = _zero_pose("41983") + _zero_pose("41984") + POSE2SIM
    found = read_calibration(_write(tmp_path / "a.toml", text))
    assert found.rig.names == ("41982",)
    assert "camera 41983 left out: it has no pose" in found.assumptions
    assert "camera 41984 left out: it has no pose" in found.assumptions
    assert found.findings == ()
    alone = _zero_pose("41983") + "[metadata]" + POSE2SIM.split("[metadata]")[1]
    with pytest.raises(InputError, match="no camera with a pose"):
        read_calibration(_write(tmp_path / "b.toml", alone))


def test_one_camera_of_zeros_may_be_the_origin(tmp_path):
    found = read_calibration(_write(tmp_path / "a.toml", _zero_pose("41983") + POSE2SIM))
    assert sorted(found.rig.names) == ["41982", "41983"]
    np.testing.assert_array_equal(found.rig["41983"].centre, np.zeros(3))
    (doubt,) = found.findings
    assert doubt.level == "caution"
    assert "camera 41983 is all zeros" in doubt.what
    assert "without a pose instead" in doubt.meaning


def test_metadata_that_names_units_and_vertical_is_believed(tmp_path):
    text = ANIPOSE + 'units = "mm"\nup = "-y"\n'
    found = read_calibration(_write(tmp_path / "c.toml", text))
    assert found.up == "-y"
    assert found.assumptions[0] == "positions in millimetres, as its [metadata] says"
    assert "world -Y up, as its [metadata] says: turned to Y up, (x, y, z) -> (x, -y, -z)" in (
        found.assumptions
    )
    for key, value in (("units", "feet"), ("up", "north")):
        _write(tmp_path / "c.toml", ANIPOSE + f'{key} = "{value}"\n')
        with pytest.raises(InputError, match=value):
            read_calibration(tmp_path / "c.toml")


@pytest.mark.parametrize("up", ["x", "-x", "y", "-y", "z", "-z"])
def test_turning_the_vertical_turns_the_world_not_the_pictures(tmp_path, up):
    path = _write(tmp_path / "c.toml", CALISCOPE)
    plain, turned = read_calibration(path), read_calibration(path, up=up)
    direction = np.zeros(3)
    direction["xyz".index(up[-1])] = -1 if up.startswith("-") else 1
    points = np.random.default_rng(0).uniform(-1, 1, (10, 3))
    Q = turned.rig["cam_0"].R.T @ plain.rig["cam_0"].R
    np.testing.assert_allclose(Q @ direction, [0, 1, 0], atol=1e-15)
    assert np.linalg.det(Q) == pytest.approx(1)
    np.testing.assert_allclose(
        project_rig(turned.rig, points @ Q.T), project_rig(plain.rig, points), atol=1e-9
    )


def test_poses_from_camera_to_world_can_be_inverted(tmp_path, rig):
    inverse = [(f"rotation = {c.R.T.tolist()}", f"translation = {c.centre.tolist()}") for c in rig]
    tables = "".join(
        f"[cameras.{i}]\nsize = [1280, 720]\nmatrix = {c.K.tolist()}\n"
        f"distortions = {c.distortion.tolist()}\n{R}\n{t}\n"
        for i, (c, (R, t)) in enumerate(zip(rig, inverse, strict=True))
    )
    found = read_calibration(_write(tmp_path / "c.toml", tables), invert_extrinsics=True)
    assert "poses inverted, as asked for: camera to world in the file" in found.assumptions
    for a, b in zip(found.rig, rig, strict=True):
        np.testing.assert_allclose(a.R, b.R, rtol=0, atol=1e-15)
        np.testing.assert_allclose(a.t, b.t, rtol=0, atol=1e-14)
    wrong: CameraRig = read_calibration(tmp_path / "c.toml").rig
    assert np.abs(wrong["cam_0"].centre - rig["cam_0"].centre).max() > 1


def test_real_caliscope_files_are_read():
    folder = Path(__file__).parents[4] / "shared" / "data" / "caliscope"
    if not folder.exists():
        pytest.skip("Caliscope's sample files are not beside the repository")
    for file in folder.glob("*.toml"):
        found = read_calibration(file)
        assert found.rig.names == ("cam_0", "cam_1", "cam_2", "cam_3")


def test_pose2sims_own_conversion_of_the_demo_is_our_import(demo_videos):
    """Two ways from one file to a rig: Pose2Sim's converter and our reader of what it wrote, and
    our import of the Qualisys file."""
    theirs = read_calibration(Path(__file__).parent / "golden" / "pose2sim.toml")
    ours = read_calibration(demo_videos / "Calib.qca.txt")
    assert theirs.format == "pose2sim"
    for a, b in zip(theirs.rig, ours.rig, strict=True):
        assert (a.name, a.size) == (b.name, b.size)
        np.testing.assert_array_equal(a.K, b.K)
        np.testing.assert_allclose(a.R, b.R, rtol=0, atol=1e-14)
        np.testing.assert_allclose(a.t, b.t, rtol=0, atol=1e-14)
        # Where we differ on purpose: distortion has no unit to divide by.
        np.testing.assert_allclose(64 * a.distortion, b.distortion[:4], rtol=1e-12)
