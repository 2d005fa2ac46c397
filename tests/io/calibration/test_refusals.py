"""Numbers that no camera has, worlds that cannot be, files that are something else."""

import json

import numpy as np
import pytest

from kinefit.io.calibration import read_calibration, write_calibration
from kinefit.types import InputError

TABLE = {
    "size": [1280, 720],
    "matrix": [[900.0, 0.0, 640.0], [0.0, 900.0, 360.0], [0.0, 0.0, 1.0]],
    "distortions": [0.1, 0.0, 0.0, 0.0, 0.0],
    "rotation": [0.1, 0.2, 0.3],
    "translation": [0.0, 0.0, 3.0],
}
OTHER = TABLE | {"rotation": [0.1, 1.5, 0.3]}


def _toml(value):
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


def _file(tmp_path, **cameras):
    path = tmp_path / "rig.toml"
    text = ""
    for name, camera in cameras.items():
        lines = "\n".join(f"{k} = {_toml(v)}" for k, v in camera.items() if v is not None)
        text += f"[{name}]\n{lines}\n"
    path.write_text(text)
    return path


def _mirror():
    return np.diag([1.0, 1.0, -1.0]).tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rotation": _mirror()}, "mirrors the world"),
        ({"rotation": [[1, 0, 0], [0, 1, 0], [0, 0.5, 1]]}, "is not a rotation"),
        ({"rotation": [0.0, 90.0, 0.0]}, "radians, not in degrees"),
        ({"rotation": [0.1, 0.2]}, "a rotation of 2 numbers"),
        ({"rotation": None}, "the rotation is missing"),
        ({"rotation": ["a", 0, 0]}, "the rotation is missing or not made of numbers"),
        ({"rotation": [float("nan"), 0.0, 0.0]}, "the rotation has a value"),
        ({"translation": [0.0, 1.0]}, "the translation has 2 numbers, not 3"),
        ({"translation": [0.0, 1.0, float("inf")]}, "the translation has a value"),
        ({"translation": [0.0, 1e200, 0.0]}, "stands 1e\\+200 m away"),
        ({"rotation": [[1e200, 0, 0], [0, 1, 0], [0, 0, 1]]}, "is not a rotation"),
        ({"translation": [True, False, True]}, "the translation is missing"),
        ({"matrix": [[0.0, 0, 640], [0, 900, 360], [0, 0, 1]]}, "focal lengths of 0 and 900"),
        ({"matrix": [[9e5, 0, 640], [0, 9e5, 360], [0, 0, 1]]}, "focal lengths of 900000"),
        ({"matrix": [[1.2, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]]}, "focal lengths of 1.2"),
        ({"matrix": [[900.0, 0, 640], [0, 300, 360], [0, 0, 1]]}, "px differ"),
        ({"matrix": [[900.0, 0, 9000], [0, 900, 360], [0, 0, 1]]}, "principal point"),
        ({"matrix": [[900.0, 0, 640], [0, 900, 360], [0, 0, 2]]}, "K is not"),
        ({"size": [0, 720]}, "an image of 0 x 720"),
        ({"size": [1280.5, 720]}, "an image of 1280.5 x 720"),
        ({"size": [1280, 10**9]}, "an image of"),
        ({"size": None}, "does not say the image size"),
        ({"distortions": [0.1, 0.2]}, "2 distortion coefficients"),
        ({"distortions": [0.1] * 12}, "12 distortion coefficients"),
        ({"distortions": [1e9, 0, 0, 0]}, "beyond a million"),
        (
            {"distortions": [0.1] * 5, "fisheye": True},
            "5 distortion coefficients; OpenCV's fisheye model has 4",
        ),
        ({"fisheye": "yes"}, "fisheye is 'yes'"),
        ({"name": 5}, "name is 5"),
        ({"name": ""}, "a camera is called"),
    ],
)
def test_an_impossible_camera_is_refused_by_name(tmp_path, change, said):
    path = _file(tmp_path, left=TABLE | change, right=OTHER)
    with pytest.raises(InputError, match=said) as error:
        read_calibration(path)
    assert str(path) in str(error.value)
    assert "left" in str(error.value) or "called" in str(error.value)
    assert read_calibration(_file(tmp_path, left=TABLE, right=OTHER)).rig.names == ("left", "right")


def test_a_number_beyond_all_bounds_is_refused(tmp_path):
    path = _file(tmp_path, left=TABLE | {"translation": [0, 0, 10**400]}, right=OTHER)
    with pytest.raises(InputError, match="the translation is missing or not made of numbers"):
        read_calibration(path)


def test_zeros_that_opencv_adds_are_dropped_and_said(tmp_path):
    fourteen = TABLE | {"distortions": [0.1, 0.2, 0.0, 0.0, 0.3] + [0.0] * 9}
    fish = OTHER | {"distortions": [0.1, 0.0, 0.0, 0.0, 0.0], "fisheye": True}
    found = read_calibration(_file(tmp_path, left=fourteen, right=fish))
    assert found.rig["left"].distortion.tolist() == [0.1, 0.2, 0, 0, 0.3, 0, 0, 0]
    assert found.rig["right"].distortion.tolist() == [0.1, 0, 0, 0]
    assert "distortion of camera left: 6 zeros dropped" in found.assumptions


def test_a_rounded_rotation_is_made_exact_and_said(tmp_path):
    R = [[0.866, -0.5, 0.0], [0.5, 0.866, 0.0], [0.0, 0.0, 1.0]]
    found = read_calibration(_file(tmp_path, left=TABLE | {"rotation": R}, right=OTHER))
    exact = found.rig["left"].R
    np.testing.assert_allclose(exact @ exact.T, np.eye(3), atol=1e-15)
    np.testing.assert_allclose(exact, R, atol=1e-4)
    assert any("rotation of camera left made exact" in said for said in found.assumptions)


def test_two_cameras_of_one_name_or_at_one_place_are_refused(tmp_path):
    named = _file(tmp_path, a=TABLE | {"name": "x"}, b=OTHER | {"name": "x"})
    with pytest.raises(InputError, match="two cameras are called x"):
        read_calibration(named)
    third = OTHER | {"translation": [1.0, 0.0, 3.0]}
    placed = _file(tmp_path, a=TABLE, b=TABLE, c=third)
    with pytest.raises(InputError, match="cameras a and b are at the same place"):
        read_calibration(placed)


@pytest.mark.parametrize(("factor", "unit"), [(1000.0, "mm"), (100.0, "cm")])
def test_positions_that_are_not_metres_show_by_the_distance_of_cameras(tmp_path, factor, unit):
    cameras = {
        name: t | {"translation": [0.0, 0.0, 3 * factor]}
        for name, t in (("a", TABLE), ("b", OTHER))
    }
    path = _file(tmp_path, **cameras)
    with pytest.raises(InputError, match="apart if positions are in metres"):
        read_calibration(path)
    assert read_calibration(path, units=unit).rig["a"].t[2] == pytest.approx(3)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.toml", b"", "empty"),
        ("a.toml", b"title = 'x'\n", "has no camera: found title"),
        ("a.toml", b"[cam]\nsize = [1, 2]\n", "has no camera: found cam"),
        ("a.toml", b"not toml at all", "not a calibration that kinefit knows.*Qualisys"),
        ("a.mp4", bytes(range(256)), "not a calibration that kinefit knows"),
        ("a.toml", b"a = " + b"[" * 100_000, "not a calibration that kinefit knows"),
        ("a.toml", b"a" + b".a" * 100_000 + b" = 1", "a key has over 32 parts"),
        ("a.toml", b"[" + b".".join([b"a"] * 100_000) + b"]", "a key has over 32 parts"),
        ("a.toml", b"[cameras.0]\n[cam_1]\nmatrix = 1\n", "has both"),
        ("a.xml", b"<html></html>", "no Qualisys camera"),
        ("a.toml", b"[cameras]\n", "no camera with a pose"),
    ],
)
def test_other_files_are_refused_with_what_is_known(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_calibration(path)


def test_a_file_of_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "huge.toml"
    with path.open("wb") as stream:
        stream.truncate(2**30)  # sparse: takes no room
    with pytest.raises(InputError, match="over 8 MiB"):
        read_calibration(path)


def test_a_folder_with_two_calibrations_is_not_guessed_from(tmp_path, rig):
    write_calibration(tmp_path / "old.toml", rig)
    assert read_calibration(tmp_path).rig.names == rig.names
    write_calibration(tmp_path / "new.toml", rig)
    with pytest.raises(InputError, match=r"the folder has new\.toml, old\.toml"):
        read_calibration(tmp_path)
    with pytest.raises(InputError, match="no calibration"):
        read_calibration(tmp_path.parent / tmp_path.name / ".." / _empty(tmp_path))


def _empty(tmp_path):
    (tmp_path.parent / "nothing").mkdir(exist_ok=True)
    return "nothing"


@pytest.mark.parametrize("options", [{"units": "feet"}, {"up": "north"}, {"format": "optitrack"}])
def test_unknown_options_are_refused(tmp_path, rig, options):
    write_calibration(tmp_path / "rig.toml", rig)
    with pytest.raises(InputError, match=next(iter(options.values()))):
        read_calibration(tmp_path / "rig.toml", **options)
