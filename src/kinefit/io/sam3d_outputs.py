"""Whole outputs of SAM 3D Body: every array of every person, read and written.

The estimator returns a list with one dict per person; scripts save it with `numpy.save` (a pickle
inside `.npy`: read by the restricted reader, which runs nothing) or one person's dict with
`numpy.savez`. Written here: `.npz` without any pickle, one person by the keys as they are,
several as `person0/bbox`, `person1/bbox`, ...; or, for programs that expect it, a dict or a list
of dicts in `.npy`.

Two of the arrays are traps. `pred_global_rots` stands in the rig's axes (Y up), all else in camera
axes; and after hands have been refined it still has wrists and fingers from before. In that case
`pred_pose_raw` is all zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from kinefit.io.arrays import read_npy, read_npz
from kinefit.io.atomic import atomic_path
from kinefit.types import InputError, InvalidData
from kinefit.types.arrays import freeze

MAX_PERSONS = 1000
_COUNT = "kinefit_persons"  # in an archive of several
# Shapes as the estimator documents them; J 70 points, or what another model has.
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "bbox": (4,),
    "focal_length": (),
    "pred_keypoints_3d": (None, 3),
    "pred_keypoints_2d": (None, 2),
    "pred_cam_t": (3,),
    "global_rot": (3,),
    "body_pose_params": (133,),
    "hand_pose_params": (108,),
    "scale_params": (28,),
    "shape_params": (45,),
    "expr_params": (72,),
    "mhr_model_params": (204,),
    "pred_vertices": (None, 3),
    "pred_joint_coords": (None, 3),
    "pred_global_rots": (None, 3, 3),
}
_HINT = "save what the estimator returns, as it is"

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Sam3dPerson:
    """One person of one picture; arrays keep the type of the file, None where it has none.

    bbox: (4,) left, top, right, bottom, pixels. focal_length: () pixels.
    pred_keypoints_3d: (J, 3) metres, camera axes (x right, y down, z forward), about an origin in
        the body. pred_cam_t: (3,) metres, added to these points, the vertices and the joints it
        puts them before the camera. pred_keypoints_2d: (J, 2) pixels.
    global_rot: (3,) radians, x, y, z of the rig's root. body_pose_params: (133,), whose hands
        (62..115) are zero: they are in hand_pose_params (108,), coded, left first.
    scale_params, shape_params, expr_params: (28,), (45,), (72,) coefficients; the last are zero.
    mhr_model_params: (204,) all that the rig was given (see `kinefit.body.mhr_params`).
    pred_vertices, pred_joint_coords: (18439, 3) and (127, 3) metres, camera axes.
    pred_global_rots: (127, 3, 3) joint frames in the rig's axes; see the module for its traps.
    extra: any other array by its key, such as `mask` or the `opt_*` of later programs.
    """

    bbox: Array | None = None
    focal_length: Array | None = None
    pred_keypoints_3d: Array | None = None
    pred_keypoints_2d: Array | None = None
    pred_cam_t: Array | None = None
    global_rot: Array | None = None
    body_pose_params: Array | None = None
    hand_pose_params: Array | None = None
    scale_params: Array | None = None
    shape_params: Array | None = None
    expr_params: Array | None = None
    mhr_model_params: Array | None = None
    pred_vertices: Array | None = None
    pred_joint_coords: Array | None = None
    pred_global_rots: Array | None = None
    extra: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = {name: _fitting(name, _plain(name, getattr(self, name))) for name in _SHAPES}
        extra = {name: _plain(name, value) for name, value in self.extra.items()}
        for name in extra:
            if name in (*_SHAPES, _COUNT) or not name or "/" in name:
                raise InvalidData(f"Sam3dPerson.extra cannot have the key {name!r}.")
        kept = {name: value for name, value in extra.items() if value is not None}
        freeze(self, **values, extra=MappingProxyType(kept))

    def arrays(self) -> dict[str, Array]:
        """Every array by its key."""
        known = {name: value for name in _SHAPES if (value := getattr(self, name)) is not None}
        return known | dict(self.extra)


def read_outputs(path: str | Path) -> tuple[Sam3dPerson, ...]:
    """The persons in a `.npz` or `.npy` file, in its order; none when nobody was found.

    A plain array (J, 2) or (N, J, 2) is one or N persons with 2D points only. Entries that are
    None are left out; nothing else is.

    Raises InputError naming the file, and the person and key where that is what is wrong.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        arrays: Any = read_npz(path)
        dicts = _numbered(path, arrays)
    else:
        dicts = _dicts(path, read_npy(path))
    if len(dicts) > MAX_PERSONS:
        raise InputError(path, f"it has {len(dicts)} persons", "keep one file per picture")
    return tuple(_person(path, i, values) for i, values in enumerate(dicts))


def write_outputs(path: str | Path, persons: Sequence[Sam3dPerson]) -> None:
    """Write persons to `.npz` (no pickle), or to `.npy` as a dict (one person) or list of dicts.

    Raises InputError for another ending. The file appears whole or not at all.
    """
    path = Path(path)
    if path.suffix.lower() not in (".npz", ".npy"):
        raise InputError(path, f"cannot write {path.suffix or 'no ending'}", "use .npz or .npy")
    dicts = [person.arrays() for person in persons]
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".npz":
            _write_npz(temporary, dicts)
        else:
            box = np.empty((), dtype=object)
            box[()] = dicts[0] if len(dicts) == 1 else dicts
            np.save(temporary, box, allow_pickle=True)


def _write_npz(path: Path, dicts: Sequence[Mapping[str, Array]]) -> None:
    """Through a stream: savez would take a key called `file` for its own argument."""
    if len(dicts) == 1:
        named = dict(dicts[0])
    else:
        named = {f"person{i}/{key}": v for i, one in enumerate(dicts) for key, v in one.items()}
        named[_COUNT] = np.array(len(dicts))
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for key, value in named.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as stream:
                npy.write_array(stream, value, allow_pickle=False)


def _numbered(path: Path, arrays: dict[str, Array]) -> list[dict[str, Any]]:
    """Persons of an archive: one by plain keys, several by `person<i>/`, or one pickled value."""
    count = arrays.get(_COUNT)
    if count is None:
        if len(arrays) == 1 and (only := next(iter(arrays.values()))).dtype == object:
            return _dicts(path, only)
        if len(arrays) == 1 and next(iter(arrays)).startswith("arr_"):
            return _dicts(path, next(iter(arrays.values())))
        return [arrays]
    if count.shape != () or count.dtype.kind not in "iu" or not 0 <= count <= MAX_PERSONS:
        raise InputError(path, f"it says that it has {count} persons", _HINT)
    people: list[dict[str, Any]] = [{} for _ in range(int(count))]
    for name, value in arrays.items():
        head, slash, key = name.partition("/")
        number = head.removeprefix("person")
        if slash and number.isdecimal() and len(number) < 5 and int(number) < len(people):
            people[int(number)][key] = value
        elif name != _COUNT:
            raise InputError(path, f"{name!r} belongs to none of its persons", _HINT)
    return people


def _dicts(path: Path, value: Any) -> list[dict[str, Any]]:
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.item() if value.ndim == 0 else value.ravel().tolist()
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list | tuple) and all(isinstance(one, dict) for one in value):
        return list(value)
    if isinstance(value, np.ndarray) and value.ndim in (2, 3) and value.shape[-1] == 2:
        points = value[None] if value.ndim == 2 else value
        return [{"pred_keypoints_2d": xy} for xy in points]
    raise InputError(path, "it holds no person and no list of persons", _HINT)


def _person(path: Path, number: int, values: dict[Any, Any]) -> Sam3dPerson:
    try:
        if not all(isinstance(key, str) for key in values):
            raise InvalidData("it has a key that is not text")
        known = {key: values[key] for key in values if key in _SHAPES}
        extra = {key: value for key, value in values.items() if key not in _SHAPES}
        return Sam3dPerson(**known, extra=extra)
    except InvalidData as error:
        raise InputError(path, f"person {number}: {error}", _HINT) from error


def _plain(name: str, value: Any) -> Array | None:
    """An array of numbers or text, read-only, its type kept; None for None."""
    if value is None:
        return None
    try:
        array = np.array(value, order="C")
    except ValueError as error:  # lists of unequal lengths
        raise InvalidData(f"{name} is not an array ({error})") from error
    if array.dtype.kind not in "biufUS" or (array.ndim == 0 and isinstance(value, dict)):
        raise InvalidData(f"{name} is not an array of numbers but {type(value).__name__}")
    array.setflags(write=False)
    return array


def _fitting(name: str, value: Array | None) -> Array | None:
    """`value` with the documented shape, or with one that only has axes of length one added."""
    if value is None:
        return None
    wanted = _SHAPES[name]
    if value.dtype.kind not in "iuf":
        raise InvalidData(f"{name} is not an array of numbers")
    shape = value.shape[value.ndim - len(wanted) :]
    fits = all(want is None or got == want for got, want in zip(shape, wanted, strict=False))
    added = value.shape[: -len(wanted) or None]
    if value.ndim < len(wanted) or not fits or any(n != 1 for n in added):
        raise InvalidData(f"{name} has shape {value.shape}, expected {wanted}")
    if np.isinf(value).any():
        raise InvalidData(f"{name} has an infinite value")
    if value.ndim > len(wanted):
        value = value.reshape(shape)
        value.setflags(write=False)
    return value
