"""Kalibr, MC-Calib, CMU Panoptic and Vicon: the same cameras written in each layout."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.io.calibration import read_calibration
from kinefit.io.calibration.model import turn_to_y_up
from kinefit.types import CameraRig, InputError


def _agrees(found, rig, names, atol=1e-12):
    assert found.rig.names == tuple(names)
    for a, b in zip(found.rig, rig, strict=True):
        assert a.size == b.size
        np.testing.assert_allclose(a.K, b.K, rtol=0, atol=1e-10)
        np.testing.assert_allclose(a.distortion[: len(b.distortion)], b.distortion)
        np.testing.assert_allclose(a.R, b.R, rtol=0, atol=atol)
        np.testing.assert_allclose(a.t, b.t, rtol=0, atol=atol)


def _pose(camera):
    """(4, 4) world to camera."""
    return np.vstack([np.column_stack([camera.R, camera.t]), [0, 0, 0, 1]])


def _in_world(rig, up):
    """The rig in a world whose `up` axis points up, as the file has it."""
    return rig.moved(turn_to_y_up(up).T)


class TestKalibr:
    def write(self, path, rig, **change):
        cameras = {}
        for i, c in enumerate(rig):
            cameras[f"cam{i}"] = {
                "camera_model": "pinhole", "distortion_model": "radtan",
                "distortion_coeffs": c.distortion[:4].tolist(), "resolution": list(c.size),
                "intrinsics": [*np.diag(c.K)[:2].tolist(), *c.K[:2, 2].tolist()],
                "rostopic": f"/cam{i}/image_raw", "cam_overlaps": [0],
            }  # fmt: skip
        for (_, a), (j, b) in pairwise(enumerate(rig)):
            cameras[f"cam{j}"]["T_cn_cnm1"] = (_pose(b) @ np.linalg.inv(_pose(a))).tolist()
        for key, value in change.items():
            cameras[key] = {k: v for k, v in (cameras[key] | value).items() if v is not None}
        path.write_text(json.dumps(cameras) if path.suffix == ".json" else _yaml(cameras))
        return path

    def cameras(self, rig):
        first = rig.cameras[0]
        moved = rig.moved(first.R, first.t)
        return CameraRig(tuple(replace(c, distortion=c.distortion[:4]) for c in moved))

    @pytest.mark.parametrize("name", ["camchain.yaml", "x-camchain.yml", "camchain.json"])
    def test_a_rig_comes_back(self, tmp_path, rig, name):
        found = read_calibration(self.write(tmp_path / name, rig))
        assert found.format == "kalibr"
        assert found.up is None
        _agrees(found, self.cameras(rig), ("cam0", "cam1", "cam2"))

    def test_equidistant_is_a_fisheye(self, tmp_path, rig):
        change = {f"cam{i}": {"distortion_model": "equidistant"} for i in range(3)}
        found = read_calibration(self.write(tmp_path / "c.yaml", rig, **change))
        assert all(camera.fisheye for camera in found.rig)

    def test_a_camera_that_the_chain_does_not_reach(self, tmp_path, rig):
        path = self.write(tmp_path / "c.yaml", rig, cam2={"T_cn_cnm1": None})
        found = read_calibration(path)
        assert found.rig.names == ("cam0", "cam1")
        assert "camera cam2 left out: no T_cn_cnm1 leads to it" in found.assumptions

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"camera_model": "omni"}, "cam1: the models omni and radtan"),
            ({"distortion_model": "fov"}, "pinhole and fov"),
            ({"intrinsics": [1.0, 2.0]}, "not four numbers"),
            ({"T_cn_cnm1": [[1.0, 0.0]]}, "its pose is not 4 x 4 numbers"),
            ({"T_cn_cnm1": "x"}, "its pose is not 4 x 4 numbers"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, tmp_path, rig, change, said):
        with pytest.raises(InputError, match=said):
            read_calibration(self.write(tmp_path / "c.yaml", rig, cam1=change))


def _yaml(value, indent=0):
    """Block style, as Kalibr's own writer has it."""
    lines = []
    for key, item in value.items():
        if isinstance(item, dict):
            lines += [" " * indent + f"{key}:", _yaml(item, indent + 2).rstrip("\n")]
        elif isinstance(item, list) and item and isinstance(item[0], list):
            lines += [" " * indent + f"{key}:", *(" " * indent + f"- {row}" for row in item)]
        else:
            lines.append(" " * indent + f"{key}: {item}")
    return "\n".join(lines) + "\n"


class TestMcCalib:
    def write(self, path, rig, groups=(0, 0, 0), fisheye=False):
        lines = ["%YAML:1.0", "---", f"nb_camera: {len(rig)}"]
        for i, (c, group) in enumerate(zip(rig, groups, strict=True)):
            lines += [f"camera_{i}:"]
            for key, array in (
                ("camera_matrix", c.K), ("distortion_vector", np.atleast_2d(c.distortion)),
                ("camera_pose_matrix", np.linalg.inv(_pose(c))),
            ):  # fmt: skip
                rows, cols = array.shape
                data = ", ".join(map(repr, array.ravel().tolist()))
                lines += [f"   {key}: !!opencv-matrix", f"      rows: {rows}"]
                lines += [f"      cols: {cols}", "      dt: d", f"      data: [ {data} ]"]
            lines += [f"   distortion_type: {int(fisheye)}", f"   camera_group: {group}"]
            lines += [f"   img_width: {c.size[0]}", f"   img_height: {c.size[1]}"]
        path.write_text("\n".join(lines) + "\n")
        return path

    def test_a_rig_comes_back(self, tmp_path, rig):
        found = read_calibration(self.write(tmp_path / "calibrated_cameras_data.yml", rig))
        assert found.format == "mc-calib"
        _agrees(found, rig, ("camera_0", "camera_1", "camera_2"))
        assert any("board's unit" in said for said in found.assumptions)

    def test_a_camera_of_another_group_has_no_pose_here(self, tmp_path, rig):
        found = read_calibration(self.write(tmp_path / "c.yml", rig, groups=(0, 1, 0)))
        assert found.rig.names == ("camera_0", "camera_2")
        assert any("camera_1 left out" in said for said in found.assumptions)

    def test_a_fisheye(self, tmp_path, rig):
        four = CameraRig(tuple(replace(c, distortion=c.distortion[:4]) for c in rig))
        found = read_calibration(self.write(tmp_path / "c.yml", four, fisheye=True))
        assert all(camera.fisheye for camera in found.rig)


class TestPanoptic:
    def write(self, path, rig, **change):
        cameras = [
            {"name": c.name, "type": "hd", "panel": 0, "node": i, "resolution": list(c.size),
             "K": c.K.tolist(), "distCoef": c.distortion.tolist(), "R": c.R.tolist(),
             "t": (100 * c.t[:, None]).tolist()}
            for i, c in enumerate(rig)
        ]  # fmt: skip
        cameras[1] |= change
        path.write_text(json.dumps({"calibDataSource": "160226_calib", "cameras": cameras}))
        return path

    def test_a_rig_comes_back_from_centimetres_and_y_down(self, tmp_path, rig):
        found = read_calibration(self.write(tmp_path / "calibration.json", _in_world(rig, "-y")))
        assert (found.format, found.up) == ("panoptic", "-y")
        _agrees(found, rig, rig.names)

    def test_its_vertical_is_not_believed_against_the_cameras(self, tmp_path, rig):
        """Other people's cameras in its layout, Z up: the axes stay, and that is said."""
        turned = _in_world(rig, "z")
        found = read_calibration(self.write(tmp_path / "c.json", turned))
        assert found.up is None
        _agrees(found, turned, rig.names)
        assert any("would not stand upright" in said for said in found.assumptions)

    @pytest.mark.parametrize(
        "pose", [{"R": None, "t": None}, {"R": [], "t": []}, {"R": [[float("nan")] * 3] * 3,
                                                            "t": [float("nan")] * 3}]
    )  # fmt: skip
    def test_one_camera_without_pose_is_left_out_and_said(self, tmp_path, rig, pose):
        found = read_calibration(self.write(tmp_path / "c.json", _in_world(rig, "-y"), **pose))
        assert found.rig.names == ("cam_0", "cam_2")
        assert "camera cam_1 left out: it has no pose" in found.assumptions


class TestVicon:
    def write(self, path, rig, radial="0 0 0", keyframes=1, video=("1", "1", "1")):
        cameras = []
        for i, c in enumerate(rig):
            x, y, z, w = Rotation.from_matrix(c.R).as_quat().tolist()
            place = " ".join(repr(v) for v in (1000 * c.centre).tolist())
            (f, _, cx), (_, fy, cy), _ = c.K.tolist()
            frame = (
                f'<KeyFrame FRAME="0" FOCAL_LENGTH="{f!r}" PRINCIPAL_POINT="{cx!r} {cy!r}"'
                f' VICON_RADIAL2="ViconRadial2 {cx!r} {cy!r} {radial}" IMAGE_ERROR="0.25"'
                f' ORIENTATION="{x!r} {y!r} {z!r} {w!r}" POSITION="{place}"/>'
            )
            cameras.append(
                f'<Camera DEVICEID="{2110 + i}" SENSOR_SIZE="{c.size[0]} {c.size[1]}" USERID="{i}"'
                f' ISDV="{video[i]}" PIXEL_ASPECT_RATIO="{f / fy!r}">'
                f"<KeyFrames>{frame * keyframes}</KeyFrames></Camera>"
            )
        path.write_text(f'<?xml version="1.0"?>\n<Cameras>{"".join(cameras)}</Cameras>')
        return path

    def straight(self, rig):
        return CameraRig(tuple(replace(c, distortion=np.zeros(0)) for c in rig))

    def test_a_rig_comes_back(self, tmp_path, rig):
        found = read_calibration(self.write(tmp_path / "session.xcp", _in_world(rig, "z")))
        assert (found.format, found.up) == ("vicon", "z")
        _agrees(found, self.straight(rig), ("2110", "2111", "2112"))
        assert found.residuals["2111"] == 0.25
        assert found.findings == ()

    def test_in_a_folder(self, tmp_path, rig):
        self.write(tmp_path / "session.xcp", _in_world(rig, "z"))
        assert read_calibration(tmp_path).format == "vicon"

    def test_its_lens_model_is_left_out_which_is_a_caution(self, tmp_path, rig):
        path = self.write(tmp_path / "a.xcp", _in_world(rig, "z"), radial="0 1e-08 0")
        (found,) = read_calibration(path).findings
        assert found.level == "caution"
        assert "2110, 2111, 2112" in found.where

    def test_cameras_that_do_not_film_are_left_out(self, tmp_path, rig):
        path = self.write(tmp_path / "a.xcp", _in_world(rig, "z"), video=("1", "0", "1"))
        assert read_calibration(path).rig.names == ("2110", "2112")

    def test_a_camera_that_moves_is_refused(self, tmp_path, rig):
        path = self.write(tmp_path / "a.xcp", _in_world(rig, "z"), keyframes=2)
        with pytest.raises(InputError, match="camera 2110 moves"):
            read_calibration(path)

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("ORIENTATION", "X", "ORIENTATION is not 4 numbers"),
            ("ORIENTATION", 'ORIENTATION="0 0 0 0" X', "ORIENTATION is no rotation"),
            ('POSITION="', 'POSITION="one ', "POSITION is not 3 numbers"),
            ('PIXEL_ASPECT_RATIO="', 'PIXEL_ASPECT_RATIO="0 ', "the camera matrix has a value"),
        ],
    )
    def test_damage_is_named(self, tmp_path, rig, old, new, said):
        path = self.write(tmp_path / "a.xcp", rig)
        path.write_text(path.read_text().replace(old, new))
        with pytest.raises(InputError, match=said):
            read_calibration(path)


@pytest.mark.parametrize("text", ['{"a": 1}', '{"cameras": 3}', '{"cameras": {"a": 1}}'])
def test_another_file_said_to_be_panoptics_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="no list of cameras"):
        read_calibration(tmp_path / "a.json", format="panoptic")
