"""Whole outputs of SAM 3D Body: nothing is lost, nothing is run, nothing is guessed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinefit.io.sam3d import match_cameras, read_persons
from kinefit.io.sam3d_outputs import Sam3dPerson, read_outputs, write_outputs
from kinefit.types import InputError

DATA = Path(__file__).parents[3] / "shared" / "data" / "sam3d"


def values(seed: int) -> dict[str, Any]:
    """One person as the estimator returns it, with entries that later programs add."""
    rng = np.random.default_rng(seed)
    sizes = {
        "bbox": 4, "pred_keypoints_3d": (70, 3), "pred_keypoints_2d": (70, 2), "pred_cam_t": 3,
        "global_rot": 3, "body_pose_params": 133, "hand_pose_params": 108, "scale_params": 28,
        "shape_params": 45, "expr_params": 72, "mhr_model_params": 204,
        "pred_vertices": (30, 3), "pred_joint_coords": (127, 3), "pred_global_rots": (127, 3, 3),
    }  # fmt: skip
    out: dict[str, Any] = {k: rng.normal(size=n).astype(np.float32) for k, n in sizes.items()}
    out["focal_length"] = np.float32(2535.3)
    out["mask"] = rng.integers(0, 2, (5, 4, 1)).astype(np.uint8)
    out["lhand_bbox"] = rng.normal(size=4)
    out["opt_loss_history"] = rng.normal(size=7 + seed)
    out["opt_is_bad"] = np.bool_(False)
    out["opt_best_camera"] = np.str_("cam03")
    out["file"] = np.arange(3)  # the name of an argument of numpy.savez
    return out


def assert_same(person: Sam3dPerson, expected: dict[str, Any]) -> None:
    arrays = person.arrays()
    assert arrays.keys() == expected.keys()
    for key, value in expected.items():
        assert arrays[key].dtype == np.asarray(value).dtype, key
        np.testing.assert_array_equal(arrays[key], value)


def save_object(path: Path, value: Any) -> None:
    """As scripts do it: `numpy.save(path, value)`, which pickles."""
    box = np.empty((), object)
    box[()] = value
    np.save(path, box, allow_pickle=True)


@pytest.mark.parametrize("ending", [".npz", ".npy"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_and_back_keeps_every_key(tmp_path: Path, ending: str, count: int) -> None:
    path = tmp_path / f"out{ending}"
    write_outputs(path, [Sam3dPerson(**_known(values(i)), extra=_extra(values(i)))
                         for i in range(count)])  # fmt: skip
    read = read_outputs(path)
    assert len(read) == count
    for i, person in enumerate(read):
        assert_same(person, values(i))
    if count:
        assert read_persons(path).shape == (count, 70, 3)  # the other reader of these files
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def _known(all_values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in all_values.items() if hasattr(Sam3dPerson, k)}


def _extra(all_values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in all_values.items() if not hasattr(Sam3dPerson, k)}


def test_our_npz_needs_no_pickle_and_our_npy_is_numpys(tmp_path: Path) -> None:
    person = Sam3dPerson(**_known(values(0)), extra=_extra(values(0)))
    write_outputs(tmp_path / "a.npz", [person])
    plain = np.load(tmp_path / "a.npz", allow_pickle=False)
    assert {name: plain[name].shape for name in plain.files} == {
        k: np.shape(v) for k, v in values(0).items()
    }
    write_outputs(tmp_path / "a.npy", [person])
    loaded = np.load(tmp_path / "a.npy", allow_pickle=True).item()  # how SAM 3D's scripts read
    np.testing.assert_array_equal(loaded["pred_keypoints_2d"], values(0)["pred_keypoints_2d"])


@pytest.mark.parametrize("form", ["dict", "list", "object array", "npz"])
def test_what_scripts_write(tmp_path: Path, form: str) -> None:
    path = tmp_path / ("a.npz" if form == "npz" else "a.npy")
    person = values(0) | {"mask": None}  # the estimator's None
    match form:
        case "dict":
            save_object(path, person)
        case "list":
            save_object(path, [person, person])
        case "object array":
            np.save(path, np.array([person, person], dtype=object), allow_pickle=True)
        case _:
            with path.open("wb") as stream:
                del person["file"]
                np.savez_compressed(stream, **{k: v for k, v in person.items() if v is not None})
    del person["mask"]
    for read in read_outputs(path):
        assert_same(read, person)


@pytest.mark.parametrize("reader", [read_outputs, read_persons])
def test_issue_b_plain_arrays_are_persons(tmp_path: Path, reader: Any) -> None:
    """A plain (70, 2) array is one person; `.item()` of it would be an error."""
    xy = np.random.default_rng(0).normal(size=(3, 70, 2))
    for value, count in [(xy[0], 1), (xy, 3)]:
        np.save(tmp_path / "a.npy", value)
        np.savez(tmp_path / "a.npz", value)
        for name in ("a.npy", "a.npz"):
            read = reader(tmp_path / name)
            assert len(read) == count
            first = read[0].pred_keypoints_2d if reader is read_outputs else read[0][:, :2]
            np.testing.assert_array_equal(first, xy[0])


def test_issue_d_no_file_is_taken_for_a_camera_by_a_part_of_its_name(tmp_path: Path) -> None:
    """`*cam1*` finds cam10's file, an old one and another model's; none of them is cam1's."""
    person = Sam3dPerson(**_known(values(0)))
    for name in ("cam10", "cam1_old", "debug_cam1", "cam2"):
        write_outputs(tmp_path / f"{name}.npz", [person])
    with pytest.raises(InputError, match="nothing in it is named like camera cam1"):
        match_cameras(tmp_path, ["cam1", "cam2"], (".npz",))
    write_outputs(tmp_path / "cam1.npz", [person])
    found = match_cameras(tmp_path, ["cam1", "cam2"], (".npz",))
    assert {camera: path.name for camera, path in found.items()} == {
        "cam1": "cam1.npz", "cam2": "cam2.npz"
    }  # fmt: skip


def test_an_axis_of_length_one_is_dropped() -> None:
    person = Sam3dPerson(pred_cam_t=np.ones((1, 3)), focal_length=np.array([[900.0]]))
    assert person.pred_cam_t.shape == (3,)
    assert person.focal_length.shape == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"body_pose_params": np.zeros(130)}, r"body_pose_params has shape \(130,\)"),
        ({"pred_cam_t": np.zeros((2, 3))}, r"pred_cam_t has shape \(2, 3\)"),
        ({"pred_cam_t": np.array(["a", "b", "c"])}, "pred_cam_t is not an array of numbers"),
        ({"global_rot": np.array([0, np.inf, 0])}, "global_rot has an infinite value"),
        ({"pred_global_rots": np.zeros((127, 3))}, "pred_global_rots has shape"),
        ({"opt_notes": {"a": 1}}, "opt_notes is not an array of numbers but dict"),
        ({"opt_history": [[1], [1, 2]]}, "opt_history is not an array"),
        ({"a/b": np.zeros(1)}, "cannot have the key 'a/b'"),
        ({3: np.zeros(1)}, "a key that is not text"),
    ],
)
def test_persons_that_are_refused(tmp_path: Path, change: dict[Any, Any], message: str) -> None:
    save_object(tmp_path / "a.npy", [values(0), values(1) | change])
    with pytest.raises(InputError, match=rf"a\.npy: person 1: .*{message}"):
        read_outputs(tmp_path / "a.npy")


class _Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (eval, ("1/0",))


def test_files_that_are_refused(tmp_path: Path) -> None:
    for value in (_Evil(), [1, 2], "text", {"bbox": _Evil()}, 7):
        save_object(tmp_path / "a.npy", value)
        with pytest.raises(InputError, match=r"a\.npy"):  # and not ZeroDivisionError
            read_outputs(tmp_path / "a.npy")
    np.savez(tmp_path / "b.npz", kinefit_persons=np.array(10**9))
    with pytest.raises(InputError, match="1000000000 persons"):
        read_outputs(tmp_path / "b.npz")
    np.savez(tmp_path / "b.npz", kinefit_persons=np.array(1), stray=np.zeros(3))
    with pytest.raises(InputError, match="'stray' belongs to none"):
        read_outputs(tmp_path / "b.npz")
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    with pytest.raises(InputError, match="no person"):
        read_outputs(tmp_path / "a.npy")
    with pytest.raises(InputError, match=r"use \.npz or \.npy"):
        write_outputs(tmp_path / "a.pkl", [])


def test_missing_arrays_are_said() -> None:
    person = Sam3dPerson(extra={"opt_loss": np.array(1.0)})
    assert person.extra["opt_loss"] == 1
    assert person.mhr_model_params is None


def test_arrays_cannot_be_changed() -> None:
    person = Sam3dPerson(pred_cam_t=np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        person.pred_cam_t[0] = 1


def test_real_outputs(tmp_path: Path) -> None:
    files = sorted(DATA.glob("img_subj*.npz"))
    if not files:
        pytest.skip("the four real outputs (../shared/data/sam3d) are not here")
    persons = [read_outputs(file)[0] for file in files]
    for file, person in zip(files, persons, strict=True):
        assert_same(person, dict(np.load(file, allow_pickle=False)))
        assert person.focal_length is None  # these come from an older version
    write_outputs(tmp_path / "all.npz", persons)
    for again, person in zip(read_outputs(tmp_path / "all.npz"), persons, strict=True):
        assert_same(again, person.arrays())
