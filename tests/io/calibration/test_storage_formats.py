"""OpenCV's FileStorage in people's layouts, EasyMocap, and OpenCap's pickles."""

import json
import pickle

import cv2
import numpy as np
import pytest

from kinefit.io.calibration import read_calibration
from kinefit.io.calibration.storage import read_storage
from kinefit.types import InputError

MATRIX = """%YAML:1.0
---
K: !!opencv-matrix
   rows: {rows}
   cols: {rows}
   dt: d
   data: [ 1. ]
"""
# Nine levels of ten references each would be a billion numbers.
ALIASES = "%YAML:1.0\n---\na0: &a0 [1, 1]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)
SIZES = {"image_width": 1280, "image_height": 720}


def _save(path, values):
    """With OpenCV's own writer."""
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for key, value in values.items():
        if isinstance(value, dict):
            storage.startWriteStruct(key, cv2.FileNode_MAP)
            for inner, part in value.items():
                storage.write(inner, part)
            storage.endWriteStruct()
        else:
            storage.write(key, value)
    storage.release()
    return path


def _vector(R):
    return cv2.Rodrigues(R)[0]


def _agrees(found, rig, names):
    assert found.rig.names == tuple(names)
    for a, b in zip(found.rig, rig, strict=True):
        assert a.size == b.size
        np.testing.assert_array_equal(a.K, b.K)
        np.testing.assert_array_equal(a.distortion[: len(b.distortion)], b.distortion)
        # Rotation vectors near half a turn lose a digit.
        np.testing.assert_allclose(a.R, b.R, rtol=0, atol=1e-14)
        np.testing.assert_allclose(a.t, b.t, rtol=0, atol=1e-15)


def _named(c, **pose):
    fx, fy, (cx, cy) = c.K[0, 0], c.K[1, 1], c.K[:2, 2].tolist()
    lens = {"dist": c.distortion.tolist(), "imgSize": list(c.size)}
    return {"name": c.name, "fx": fx, "fy": fy, "cx": cx, "cy": cy, **lens, **pose}


def test_a_list_of_cameras_with_fx_fy_cx_cy(tmp_path, rig):
    values = [_named(c, R=c.R.tolist(), t=c.t.tolist()) for c in rig]
    (tmp_path / "a.json").write_text(json.dumps(values))
    _agrees(read_calibration(tmp_path / "a.json"), rig, rig.names)


def test_a_pose_whose_columns_follow_one_another(tmp_path, rig):
    poses = [np.vstack([np.column_stack([c.R, c.t]), [0, 0, 0, 1]]) for c in rig]
    for name, order in (("rows", "C"), ("columns", "F")):
        flat = [pose.ravel(order=order).tolist() for pose in poses]
        values = [_named(c, w2c=pose) for c, pose in zip(rig, flat, strict=True)]
        (tmp_path / f"{name}.json").write_text(json.dumps(values))
        _agrees(read_calibration(tmp_path / f"{name}.json"), rig, rig.names)


def test_cameras_at_one_place_are_no_question_of_units(tmp_path, rig):
    values = [_named(c, R=c.R.tolist(), t=[0, 0, 0]) for c in rig]
    (tmp_path / "a.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match="cam_0 and cam_1 are at the same place"):
        read_calibration(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cameras.txt", "# Camera list", "is a COLMAP model"),
        ("images.bin", "x", "is a COLMAP model"),
        ("intri.yml", "%YAML:1.0\n---\nnames: []\nK_01: 1\n", "extri.yml is not beside it"),
        ("extri.yml", "%YAML:1.0\n---\nnames: []\nT_01: 1\n", "intri.yml is not beside it"),
        ("a.mat", "MATLAB 5.0", "is not a calibration that kinefit knows. Next: "),
    ],
)
def test_what_is_something_else_is_told(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as error:
        read_calibration(tmp_path / name)
    assert said in str(error.value)
    if "COLMAP" in said:
        with pytest.raises(InputError, match="COLMAP"):
            read_calibration(tmp_path)


@pytest.mark.parametrize("suffix", ["yml", "xml", "json"])
def test_one_file_per_camera(tmp_path, rig, suffix):
    for c in rig:
        values = {"camera_matrix": c.K, "distortion_coefficients": c.distortion[None]}
        values |= {"rvec": _vector(c.R), "tvec": c.t[:, None], **SIZES}
        _save(tmp_path / f"{c.name}.{suffix}", values)
    found = read_calibration(tmp_path)
    assert (found.format, found.up) == ("opencv", None)
    _agrees(found, rig, rig.names)
    alone = read_calibration(tmp_path / f"cam_1.{suffix}")
    assert alone.rig.names == ("cam_1",)


def test_one_map_per_camera(tmp_path, rig):
    values = {
        c.name: {"K": c.K, "dist": c.distortion, "R": c.R, "T": c.t, "width": 1280, "height": 720}
        for c in rig
    }
    _agrees(read_calibration(_save(tmp_path / "rig.yaml", values)), rig, rig.names)


def test_names_with_numbers(tmp_path, rig):
    values = dict(SIZES)
    for i, c in enumerate(rig, 1):
        values |= {f"K_{i:02d}": c.K, f"D_{i:02d}": c.distortion, f"R_{i:02d}": _vector(c.R)}
        values |= {f"t_{i:02d}": c.t}
    found = read_calibration(_save(tmp_path / "rig.yml", values))
    _agrees(found, rig, ["01", "02", "03"])
    assert "cameras named by the numbers in the file's names" in found.assumptions


def test_opencvs_own_stereo_example(tmp_path, rig):
    a, b = rig.cameras[:2]
    R, t = b.R @ a.R.T, b.t - b.R @ a.R.T @ a.t
    values = SIZES | {"M1": a.K, "D1": a.distortion, "M2": b.K, "D2": b.distortion}
    # R1, R2, P1 and P2 rectify the pictures: taken for poses, they would put both in one place.
    values |= {"R": R, "T": t, "R1": np.eye(3), "R2": np.eye(3), "P1": np.eye(3, 4), "T1": t}
    found = read_calibration(_save(tmp_path / "stereo.yml", values))
    np.testing.assert_array_equal(found.rig["1"].t, [0, 0, 0])
    np.testing.assert_allclose(found.rig["2"].R, R, atol=1e-15)
    np.testing.assert_allclose(found.rig["2"].t, t, atol=1e-15)
    assert any("stereo pair" in said for said in found.assumptions)


def test_a_list_of_cameras(tmp_path, rig):
    """A list in which each has its name; positions in centimetres, which nothing says."""
    cameras = [
        {"name": c.name, "type": "hd", "resolution": list(c.size), "K": c.K.tolist(),
         "distCoef": c.distortion.tolist(), "R": c.R.tolist(), "t": (100 * c.t[:, None]).tolist()}
        for c in rig
    ]  # fmt: skip
    (tmp_path / "list.json").write_text(json.dumps({"cameras": cameras}))
    with pytest.raises(InputError, match="say what they are in"):
        read_calibration(tmp_path / "list.json")
    _agrees(read_calibration(tmp_path / "list.json", units="cm"), rig, rig.names)


def test_openposes_camera_files(tmp_path, rig):
    """CameraMatrix is the pose there, Intrinsics the matrix; no image size."""
    for c in rig:
        values = {"CameraMatrix": np.column_stack([c.R, c.t]), "Intrinsics": c.K}
        _save(tmp_path / f"{c.name}.xml", values | {"Distortion": c.distortion[:, None]})
    sizes = dict.fromkeys(rig.names, (1280, 720))
    _agrees(read_calibration(tmp_path, image_sizes=sizes), rig, rig.names)


def test_a_file_without_pose_among_others_is_left_out_and_said(tmp_path, rig):
    for c in rig:
        pose = {} if c.name == "cam_1" else {"R": c.R, "T": c.t}
        _save(tmp_path / f"{c.name}.yml", {"K": c.K, "D": c.distortion, **pose, **SIZES})
    found = read_calibration(tmp_path)
    assert found.rig.names == ("cam_0", "cam_2")
    assert "camera cam_1 left out: it has no pose" in found.assumptions


def _lens(camera):
    return camera.distortion.tolist()


# Names that people and programs give to the same numbers; `k` is not always the matrix.
LAYOUTS = {
    "k is the matrix": lambda c: {"k": c.K.tolist(), "d": _lens(c), "R": c.R.tolist()},
    "k is the distortion": lambda c: {"K": c.K.tolist(), "k": _lens(c), "R": c.R.tolist()},
    "k beside camera_matrix": lambda c: {
        "k": _lens(c), "camera_matrix": c.K.tolist(), "R": c.R.tolist()
    },
    "f, c, k and p": lambda c: {
        "f": [c.K[0, 0], c.K[1, 1]], "c": c.K[:2, 2].tolist(), "p": _lens(c)[2:4],
        "k": [*_lens(c)[:2], *_lens(c)[4:]], "R": c.R.tolist(),
    },
    "four intrinsics": lambda c: {
        "intrinsics": [c.K[0, 0], c.K[1, 1], *c.K[:2, 2]], "dist": _lens(c), "R": c.R.tolist()
    },
    "three by four": lambda c: {
        "K": c.K.tolist(), "dist": _lens(c), "extrinsics": np.column_stack([c.R, c.t]).tolist()
    },
    "four by four": lambda c: {
        "K": c.K.tolist(), "dist": _lens(c),
        "world2cam": np.vstack([np.column_stack([c.R, c.t]), [0, 0, 0, 1]]).tolist(),
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("as_list", [False, True])
def test_the_same_cameras_in_every_layout(tmp_path, rig, layout, as_list):
    maps = {
        c.name: {"resolution": list(c.size), "T": c.t[:, None].tolist()} | LAYOUTS[layout](c)
        for c in rig
    }
    listed = [{"name": name, **fields} for name, fields in maps.items()]
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps({"cameras": listed} if as_list else maps))
    _agrees(read_calibration(path, units="m"), rig, rig.names)


def test_four_by_four_numbers_of_a_camera_at_the_origin(tmp_path, rig):
    """Its last column is 0 0 0 1 as well, as in numbers written by columns."""
    cameras = {}
    for c, t in ((rig.cameras[0], np.zeros(3)), (rig.cameras[1], rig.cameras[1].t)):
        pose = np.vstack([np.column_stack([c.R, t]), [0, 0, 0, 1]])
        cameras[c.name] = {"resolution": list(c.size), "K": c.K.tolist(), "dist": _lens(c)}
        cameras[c.name]["extrinsics"] = (pose if t is not c.t else pose.T).tolist()
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps(cameras))
    found = read_calibration(path, units="m").rig
    for read, c in zip(found, rig, strict=False):
        np.testing.assert_allclose(read.R, c.R, rtol=0, atol=1e-12)


def test_fisheye_is_read_from_a_flag_or_a_model(tmp_path, rig):
    c = rig.cameras[0]
    base = {"K": c.K, "D": c.distortion[:4], "R": c.R, "T": c.t, **SIZES}
    for i, extra in enumerate(({"fisheye": 1}, {"distortion_model": "equidistant"})):
        found = read_calibration(_save(tmp_path / f"{i}.yml", base | extra))
        assert found.rig.cameras[0].fisheye
    assert not read_calibration(_save(tmp_path / "p.yml", base)).rig.cameras[0].fisheye


def test_yaml_of_other_writers_needs_no_opencv_header(tmp_path, rig):
    c = rig.cameras[0]
    lines = [f"K: {c.K.tolist()}", f"dist: {c.distortion.tolist()}", f"R: {c.R.tolist()}"]
    text = "\n".join([*lines, f"T: {c.t.tolist()}", "image_size: [1280, 720]"])
    (tmp_path / "plain.yaml").write_text(text + "\n")
    _agrees(read_calibration(tmp_path / "plain.yaml"), [c], ["plain"])


def test_a_camera_without_pose_is_refused_or_left_out(tmp_path, rig):
    a, b = rig.cameras[:2]
    with pytest.raises(InputError, match="camera in has no rotation and translation"):
        read_calibration(_save(tmp_path / "in.yml", {"K": a.K, "D": a.distortion, **SIZES}))
    both = {"a": {"K": a.K, "R": a.R, "T": a.t, "width": 1280, "height": 720}, "b": {"K": b.K}}
    found = read_calibration(_save(tmp_path / "two.yml", both))
    assert found.rig.names == ("a",)
    assert "camera b left out: it has no pose" in found.assumptions


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MATRIX.format(rows=99999), "has 1 numbers"),
        (MATRIX.format(rows=-1), "has 1 numbers"),
        (MATRIX.format(rows=".Inf"), "has 1 numbers"),
        ("%YAML:1.0\n---\na: " + "[" * 100_000, "nested too deep|nesting depth"),
        ("{" + '"a": {' * 100_000, "nested too deep|read"),
        ("%YAML:1.0\n---\n" + "- " * 100_000 + "1\n", "nested too deep"),
        ("%YAML:1.0\n---\n" + "a: " * 100_000 + "1\n", "line 2: mapping values"),
        ("%YAML:1.0\n---\n" + "\n".join(" " * i + "a:" for i in range(2000)), "nested too deep"),
        ("%YAML:1.0\n---\n]]]\n", "cannot be read|no names"),
        ("%YAML:1.0\n---\nx: 1\n", "no camera matrix"),
        ("\0\1\2", "read|names"),
        (ALIASES, "refers to another place of itself"),
        ("a: !!python/object/apply:os.system ['true']\n", "python/object"),
        ("K: !!opencv-matrix\n  rows: 1\n  cols: 1\n  dt: d\n  data: [x]\n", "has 1 numbers"),
    ],
)
def test_hostile_yaml_is_refused(tmp_path, text, said):
    path = tmp_path / "bad.yml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_calibration(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><opencv_storage/>', "document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><opencv_storage/>', "document type"),
        ("<opencv_storage>" + "<a>" * 100_000, "too deep"),
        ("<opencv_storage>" + "<a/>" * 200_000, "too large"),
        ("<opencv_storage><a></opencv_storage>", "damaged XML"),
    ],
)
def test_xml_storage_is_held_to_the_same_rules(tmp_path, text, said):
    path = tmp_path / "bad.xml"
    path.write_text(f'<?xml version="1.0"?>{text}')
    with pytest.raises(InputError, match=said):
        read_storage(path)


@pytest.mark.parametrize("suffix", ["yml", "xml", "json"])
def test_values_are_those_of_opencvs_own_reader(tmp_path, suffix):
    """Everything that calibrations hold, in each of the three forms that OpenCV writes."""
    storage = cv2.FileStorage(str(tmp_path / f"a.{suffix}"), cv2.FILE_STORAGE_WRITE)
    matrix = np.array([[1.0, -2.5e-7, 3], [1e22, 0, -0.1]])
    storage.write("matrix", matrix)
    storage.write("column", np.arange(3, dtype=np.int32)[:, None])
    storage.write("cube", np.arange(8.0).reshape(2, 2, 2))
    storage.write("number", 0.1)
    storage.write("whole", 7)
    storage.write("text", "a b: c")
    storage.write("date", "2024-05-01")
    storage.startWriteStruct("list", cv2.FileNode_SEQ)
    for item in (1, 2.5, "x"):
        storage.write("", item)
    storage.endWriteStruct()
    storage.startWriteStruct("map", cv2.FileNode_MAP)
    storage.write("inner", np.eye(2))
    storage.endWriteStruct()
    storage.release()
    values = read_storage(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(values["matrix"], matrix)
    np.testing.assert_array_equal(values["column"], [[0], [1], [2]])
    np.testing.assert_array_equal(values["cube"], np.arange(8.0).reshape(2, 2, 2))
    np.testing.assert_array_equal(values["map"]["inner"], np.eye(2))
    assert (values["number"], values["whole"], values["text"]) == (0.1, 7, "a b: c")
    assert values["date"] == "2024-05-01"
    assert values["list"] == [1, 2.5, "x"]


def _easymocap(folder, rig, sizes=True):
    names = [f"{i:02d}" for i in range(1, len(rig) + 1)]
    inner, outer = {"names": names}, {"names": names}
    for name, c in zip(names, rig, strict=True):
        inner |= {f"K_{name}": c.K, f"dist_{name}": np.append(c.distortion, [0.0] * 5)[None, :5]}
        if sizes:
            inner |= {f"H_{name}": 720, f"W_{name}": 1280}
        outer |= {f"R_{name}": _vector(c.R), f"Rot_{name}": c.R, f"T_{name}": c.t[:, None]}
    for file, values in (("intri.yml", inner), ("extri.yml", outer)):
        storage = cv2.FileStorage(str(folder / file), cv2.FILE_STORAGE_WRITE)
        for key, value in values.items():
            storage.write(key, value)
        storage.release()
    return names


@pytest.mark.parametrize("name", ["", "intri.yml", "extri.yml"])
def test_easymocaps_pair_by_folder_or_either_file(tmp_path, rig, name):
    names = _easymocap(tmp_path, rig)
    found = read_calibration(tmp_path / name)
    assert (found.format, found.up) == ("easymocap", None)
    _agrees(found, rig, names)


def test_a_size_that_the_file_lacks_comes_from_the_video_or_is_asked_for(tmp_path, rig):
    names = _easymocap(tmp_path, rig, sizes=False)
    with pytest.raises(InputError, match="camera 01: the file does not say the image size"):
        read_calibration(tmp_path)
    found = read_calibration(tmp_path, image_sizes=dict.fromkeys(names, (1280, 720)))
    _agrees(found, rig, names)
    assert "image size of camera 01 taken from its video" in found.assumptions


def _opencap(camera, size=(720, 1280)):
    return {
        "distortion": np.array([camera.distortion]),
        "intrinsicMat": camera.K,
        "imageSize": np.array([[size[0]], [size[1]]]),
        "rotation": camera.R,
        "translation": 1000 * camera.t[:, None],
        "rotation_EulerAngles": _vector(camera.R),
    }


@pytest.mark.parametrize("layout", ["Cam{}/cameraIntrinsicsExtrinsics", "cam{:02d}"])
def test_opencaps_pickles_by_folder(tmp_path, rig, layout):
    for i, c in enumerate(rig):
        path = tmp_path / f"{layout.format(i)}.pickle"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(_opencap(c), 4))
    found = read_calibration(tmp_path)
    names = [layout.format(i).split("/")[0] for i in range(3)]
    assert (found.format, found.up, found.rig.names) == ("opencap", "-y", tuple(names))
    assert found.rig.cameras[0].size == (1280, 720)
    half_turn = np.diag([1.0, -1, -1])  # the board's y points down
    for a, b in zip(found.rig, rig, strict=True):
        np.testing.assert_allclose(a.centre, half_turn @ b.centre, rtol=0, atol=1e-12)
    assert any("(height, width)" in said for said in found.assumptions)


def test_an_opencap_size_in_the_other_order_is_seen_by_the_principal_point(tmp_path, rig):
    path = tmp_path / "cam.pickle"
    path.write_bytes(pickle.dumps(_opencap(rig.cameras[0], size=(1280, 720))))
    found = read_calibration(path)
    assert found.rig.cameras[0].size == (1280, 720)
    assert any("its principal point says so" in said for said in found.assumptions)


def test_a_pickle_that_is_a_program_is_refused_unrun(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cam.pickle").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(InputError, match=r"asks for os\.system"):
        read_calibration(tmp_path / "cam.pickle")
    assert not (tmp_path / "owned").exists()


def test_a_pickle_of_something_else_is_refused(tmp_path):
    (tmp_path / "cam.pickle").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match="is not OpenCap's"):
        read_calibration(tmp_path / "cam.pickle")
