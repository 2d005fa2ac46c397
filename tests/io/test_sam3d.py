"""Outputs of SAM 3D Body, as its estimator returns them and as people save them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinefit.io.points2d import People2D, Points2D, read_points
from kinefit.io.sam3d import KEY, read_persons, read_sam3d
from kinefit.skeletons import skeleton
from kinefit.types import Camera, CameraRig, InputError

DATA = Path(__file__).parents[3] / "shared" / "data" / "sam3d"
RIG = CameraRig(
    tuple(
        Camera(name, (1920, 890), np.diag([900.0, 900.0, 1.0]), np.eye(3), np.zeros(3))
        for name in ("cam1", "cam10")
    )
)
POINTS = np.random.default_rng(0).uniform(100, 800, (3, 70, 2)).astype(np.float32)


def output(xy: np.ndarray) -> dict[str, Any]:
    """One person as `process_one_image` returns it, with some of its other entries."""
    return {
        "bbox": np.zeros(4, np.float32),
        "focal_length": np.float32(2535.3),
        "pred_keypoints_3d": np.zeros((70, 3), np.float32),
        KEY: xy,
        "mask": None,
    }


def save_object(path: Path, value: Any) -> None:
    """As scripts do it: `numpy.save(path, value)`, which pickles."""
    array = np.empty(len(value), object) if isinstance(value, list) else np.empty((), object)
    array[...] = value
    np.save(path, array, allow_pickle=True)


FORMS: dict[str, Any] = {
    "(J, 2)": lambda p: np.save(p.with_suffix(".npy"), POINTS[0]),
    "(N, J, 2)": lambda p: np.save(p.with_suffix(".npy"), POINTS[:1]),
    "(J, 3)": lambda p: np.save(p.with_suffix(".npy"), np.pad(POINTS[0], ((0, 0), (0, 1)),
                                                              constant_values=1)),
    "float64, Fortran": lambda p: np.save(p.with_suffix(".npy"),
                                          np.asfortranarray(POINTS[0].astype(np.float64))),
    "npz": lambda p: np.savez(p.with_suffix(".npz"), **{KEY: POINTS[0], "bbox": np.zeros(4)}),
    "npz, unnamed": lambda p: np.savez_compressed(p.with_suffix(".npz"), POINTS[:1]),
    "dict": lambda p: save_object(p.with_suffix(".npy"), output(POINTS[0])),
    "list of dicts": lambda p: save_object(p.with_suffix(".npy"), [output(POINTS[0])]),
    "npz with a dict": lambda p: np.savez(p.with_suffix(".npz"),
                                          np.array(output(POINTS[0]), dtype=object)),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_one_person(tmp_path: Path, form: str) -> None:
    for name in RIG.names:
        FORMS[form](tmp_path / name)
    read = read_points(tmp_path, RIG)
    assert isinstance(read, Points2D)
    assert read.names == skeleton("mhr70").points
    assert read.timeline.frame.tolist() == [0]
    np.testing.assert_array_equal(read.xy[1, 0], POINTS[0].astype(np.float64))
    assert (read.score == 1).all()
    assert any("mhr70" in said for said in read.assumed)


@pytest.mark.parametrize("form", ["array", "list of dicts", "dict of several"])
def test_several_persons(tmp_path: Path, form: str) -> None:
    for name in RIG.names:
        path = tmp_path / f"{name}.npy"
        match form:
            case "array":
                np.save(path, POINTS)
            case "list of dicts":
                save_object(path, [output(xy) for xy in POINTS])
            case _:
                save_object(path, output(POINTS))
    read = read_points(tmp_path, RIG, subset="mhr46")
    assert isinstance(read, People2D)
    assert read.names == skeleton("mhr46").points
    assert read.views[0][0].shape == (3, 46, 3)
    np.testing.assert_array_equal(read.views[1][0][2, :20, :2], POINTS[2, 21:41])


def test_a_folder_of_frames_per_camera(tmp_path: Path) -> None:
    for name in RIG.names:
        (tmp_path / name).mkdir()
        for frame in (2, 10):
            np.save(tmp_path / name / f"img_{frame}.npy", POINTS[0] + frame)
    np.save(tmp_path / "cam10" / "img_11.npy", np.empty((0, 70, 2)))  # nobody
    (tmp_path / "cam1" / "notes.txt").write_text("x")
    read = read_points(tmp_path, RIG, rate_hz=20)
    assert read.timeline.frame.tolist() == [2, 10, 11]
    assert read.timeline.time.tolist() == [0.1, 0.5, 0.55]
    np.testing.assert_allclose(read.xy[0, 1], POINTS[0] + 10, rtol=1e-6)  # float32
    assert np.isnan(read.xy[:, 2]).all()


def test_shares_of_the_picture(tmp_path: Path) -> None:
    share = POINTS[0] / [1920, 890]
    for name in RIG.names:
        np.save(tmp_path / f"{name}.npy", share)
    read = read_points(tmp_path, RIG)
    np.testing.assert_allclose(read.xy[0, 0], POINTS[0], rtol=1e-6)  # float32
    assert "shares" in read.assumed[0]
    np.testing.assert_array_equal(read_points(tmp_path, RIG, normalized=False).xy[0, 0], share)


class TestNames:
    def test_cam1_is_not_cam10(self, tmp_path: Path) -> None:
        """`*cam1*` would find cam10's file, and a file of something else."""
        np.save(tmp_path / "cam10.npy", POINTS[0])
        np.save(tmp_path / "cam1_old.npy", POINTS[1])
        with pytest.raises(InputError, match=r"like camera cam1; it has cam1_old\.npy"):
            read_points(tmp_path, RIG)

    def test_other_files_do_not_matter_when_every_camera_has_its_own(self, tmp_path: Path) -> None:
        for name in (*RIG.names, "cam1_aux"):
            np.save(tmp_path / f"{name}.npy", POINTS[0] if name != "cam1_aux" else POINTS[1])
        np.testing.assert_array_equal(read_points(tmp_path, RIG).xy[0, 0], POINTS[0])

    def test_a_camera_without_a_file_is_said(self, tmp_path: Path) -> None:
        third = Camera("cam3", (1920, 890), RIG.cameras[0].K, np.eye(3), np.zeros(3))
        for name in RIG.names:
            np.save(tmp_path / f"{name}.npy", POINTS[0])
        read = read_points(tmp_path, CameraRig((*RIG.cameras, third)))
        assert np.isnan(read.xy[2]).all()
        assert "There are no points of camera cam3." in read.assumed

    def test_two_files_of_one_camera(self, tmp_path: Path) -> None:
        np.save(tmp_path / "cam1.npy", POINTS[0])
        np.savez(tmp_path / "cam1.npz", POINTS[0])
        with pytest.raises(InputError, match=r"cam1\.npy and cam1\.npz are both of cam1"):
            read_points(tmp_path, RIG)

    def test_two_files_of_one_frame(self, tmp_path: Path) -> None:
        for name in RIG.names:
            (tmp_path / name).mkdir()
            np.save(tmp_path / name / "a_1.npy", POINTS[0])
        np.save(tmp_path / "cam1" / "b_1.npy", POINTS[0])
        with pytest.raises(InputError, match="both frame 1"):
            read_points(tmp_path, RIG)


class _Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (eval, ("1/0",))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((70, 4)), "shape"),
        (np.zeros(140), "shape"),
        (np.zeros((2, 2, 70, 2)), "shape"),
        (np.zeros((0, 2)), "shape"),
        (np.full((70, 2), np.inf), "beyond"),
        (np.full((70, 2), 1e9), "beyond"),
        (np.array(["a"]), "not an array of numbers"),
        (np.zeros((70, 2), complex), "type complex128"),
        (np.zeros((70, 2), "datetime64[s]"), "type datetime64"),
        (np.zeros(70, [("x", "f4")]), "type"),
        (np.zeros((2000, 1, 2)), "2000 persons"),
        (np.full((70, 2), np.nan), "no points"),
    ],
)  # fmt: skip
def test_arrays_that_are_refused(tmp_path: Path, value: np.ndarray, message: str) -> None:
    for name in RIG.names:
        np.save(tmp_path / f"{name}.npy", value)
    with pytest.raises(InputError, match=message):
        read_points(tmp_path, RIG)


def test_objects_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for value, message in [
        ({"bbox": 1}, "no 'pred_keypoints_2d'"),
        ({KEY: "text"}, "not an array of numbers"),
        ({KEY: None}, "not an array of numbers"),
        ([output(POINTS[0]), output(POINTS[0][:69])], "different points"),
    ]:
        save_object(path, value)
        with pytest.raises(InputError, match=message):
            read_persons(path)
    array = np.empty((), object)
    array[...] = _Evil()
    np.save(path, array, allow_pickle=True)
    with pytest.raises(InputError, match=r"a\.npy"):  # and not ZeroDivisionError
        read_persons(path)


def test_files_that_are_no_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", POINTS[0])
    good = (tmp_path / "good.npy").read_bytes()
    header = good[:128]
    assert b"(70, 2)" in header
    for content in (
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x00" + good[8:],
        good[:-4],
        good + b"\0",
        # 7 TB that the file does not have: refused before a byte of it is allocated.
        header.replace(b"(70, 2), }        ", b"(999999999999, 2)}") + good[128:],
        header.replace(b"(70, 2)", b"(-7, 2)") + good[128:],
        pickle.dumps(POINTS[0]),
        b"PK\x03\x04",
    ):
        for name in ("a.npy", "a.npz"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InputError, match=name.replace(".", r"\.")):
                read_persons(tmp_path / name)


def test_cameras_with_different_points(tmp_path: Path) -> None:
    np.save(tmp_path / "cam1.npy", POINTS[0])
    np.save(tmp_path / "cam10.npy", POINTS[0][:17])
    with pytest.raises(InputError, match="cam1: 70, cam10: 17"):
        read_sam3d(tmp_path, RIG.names)


def test_an_unknown_set_is_numbered(tmp_path: Path) -> None:
    for name in RIG.names:
        np.save(tmp_path / f"{name}.npy", POINTS[0][:5])
    read = read_points(tmp_path, RIG)
    assert read.names == ("point0", "point1", "point2", "point3", "point4")
    assert any("not a known set" in said for said in read.assumed)


def test_real_outputs(tmp_path: Path) -> None:
    """The four people of one photo, given to both cameras."""
    files = sorted(DATA.glob("img_subj*.npz"))
    if not files:
        pytest.skip("the four real outputs (../shared/data/sam3d) are not here")
    persons = [dict(np.load(file, allow_pickle=False)) for file in files]
    save_object(tmp_path / "cam1.npy", persons)  # what the estimator returns for the photo
    np.savez(tmp_path / "cam10.npz", **persons[2])
    read = read_points(tmp_path, RIG)
    assert isinstance(read, People2D)
    assert [len(view[0]) for view in read.views] == [4, 1]
    np.testing.assert_array_equal(read.views[0][0][2], read.views[1][0][0])
    # Where the photo shows them: each nose inside its box.
    for pose, person in zip(read.views[0][0], persons, strict=True):
        nose = pose[read.names.index("Nose"), :2]
        assert (nose > person["bbox"][:2]).all()
        assert (nose < person["bbox"][2:]).all()
