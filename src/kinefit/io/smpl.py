"""Model files of the SMPL family (SMPL, SMPL-H, SMPL-X) as their authors distribute them.

A `.pkl` is a pickled dict (some with arrays of chumpy), an `.npz` an archive of the same arrays:

    v_template (V, 3)         metres, the mean body at rest: Y up, facing +Z, its left at +X
    shapedirs (V, 3, S)       metres per unit of each shape coefficient
    posedirs (V, 3, 9 (B-1))  metres per entry of the rotation matrices less identity, row by row
    J_regressor (B, V)        joints at rest as combinations of vertices
    weights (V, B)            skinning weights
    f (F, 3)                  triangles
    kintree_table (2, B)      each joint's parent, and its own number; the root's parent is 2^32 - 1

Loper et al. 2015, ACM TOG 34(6), name the same things T, S, P, J, W. The files themselves are
licensed by the Max Planck Society and come from the user.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kinefit.io.arrays import read_npz
from kinefit.io.atomic import atomic_path
from kinefit.io.restricted_pickle import read_pickle
from kinefit.io.text import refused_as_input
from kinefit.types import FloatArray, InputError, IntArray, InvalidData
from kinefit.types.arrays import freeze_arrays

SUFFIXES = (".npz", ".pkl")
MAX_BYTES = 2**30  # SMPL-X with all its directions, not compressed, is half of it
_KEYS = (*("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table"),)
_NO_PARENT = (-1, 2**32 - 1)
_HINT = "take the file as it was downloaded, and check that it is an SMPL, SMPL-H or SMPL-X model"


@dataclass(frozen=True, eq=False)
class SmplData:
    """What a model file says, by the file's own names (see the module).

    v_template: (V, 3). shapedirs: (V, 3, S). posedirs: (V, 3, 9 (B - 1)). J_regressor: (B, V).
    weights: (V, B), rows sum to 1. f: (F, 3) vertex indices. parents: (B,), each before its
    children, the root first and its own -1: what kintree_table says.

    Raises InvalidData where shapes disagree, a number is not finite, an index is out of range,
    the weights of a vertex do not sum to 1 within 1e-4, or the joints are no such tree.
    """

    v_template: FloatArray
    shapedirs: FloatArray
    posedirs: FloatArray
    J_regressor: sparse.csr_array[np.float64]
    weights: FloatArray
    f: IntArray
    parents: IntArray

    def __post_init__(self) -> None:
        if not np.ndim(self.v_template) or not np.ndim(self.parents):
            raise InvalidData("SMPL model: v_template or kintree_table is a single number.")
        V, B = len(self.v_template), len(self.parents)
        wanted: dict[str, tuple[int | None, ...]] = {
            "v_template": (V, 3), "shapedirs": (V, 3, None), "posedirs": (V, 3, 9 * (B - 1)),
            "weights": (V, B),
        }  # fmt: skip
        freeze_arrays(self, **wanted)
        for name in wanted:
            if not np.isfinite(getattr(self, name)).all():
                raise InvalidData(f"SMPL model: {name} has a value that is not a number.")
        freeze_arrays(self, np.int64, f=(None, 3), parents=(None,))
        if not V or not len(self.f):
            raise InvalidData("SMPL model: there are no vertices or no triangles.")
        if self.f.min() < 0 or self.f.max() >= V:
            span = f"{self.f.min()} to {self.f.max()}"
            raise InvalidData(f"SMPL model: f names vertices {span}, there are {V}.")
        if self.J_regressor.shape != (B, V):
            shape = self.J_regressor.shape
            raise InvalidData(f"SMPL model: J_regressor has shape {shape}, expected {(B, V)}.")
        if not np.isfinite(self.J_regressor.data).all():
            raise InvalidData("SMPL model: J_regressor has a value that is not a number.")
        total = self.weights.sum(axis=1)
        worst = int(np.abs(total - 1).argmax())
        if abs(total[worst] - 1) > 1e-4:  # files in single precision are within 1e-6
            raise InvalidData(f"SMPL model: weights of vertex {worst} sum to {total[worst]:.6f}.")
        order = np.arange(B)
        if self.parents[0] != -1 or not ((self.parents >= 0) & (self.parents < order))[1:].all():
            raise InvalidData("SMPL model: kintree_table is not a tree with each parent before it.")


def read_smpl(path: str | Path) -> SmplData:
    """The model in a `.pkl` (read by `restricted_pickle`, which runs nothing) or `.npz`.

    Only the seven arrays that make the body are looked at. Raises InputError, naming the file and
    what is wrong with it.
    """
    path = Path(path)
    arrays = _arrays(path)
    if missing := [key for key in _KEYS if key not in arrays]:
        raise InputError(path, f"has no {', '.join(missing)}", _HINT)
    floats = ("v_template", "shapedirs", "posedirs", "weights")
    with refused_as_input(path):
        return SmplData(
            J_regressor=_regressor(arrays["J_regressor"]),
            f=_integers("f", arrays["f"]),
            parents=_parents(arrays["kintree_table"]),
            **{n: _numbers(n, arrays[n]).astype(np.float64, copy=False) for n in floats},
        )


def write_smpl(path: str | Path, data: SmplData) -> None:
    """Write a model as a `.npz` or `.pkl` file that SMPL software reads, atomically.

    The pickle holds numpy arrays and a scipy csc_matrix (numpy 1.26 and scipy 1.8 or later read
    it), the archive a full J_regressor. Raises InputError for another suffix.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(path, "is neither .npz nor .pkl", "give it one of the two suffixes")
    ids = np.arange(len(data.parents))
    kept = ("v_template", "shapedirs", "posedirs", "weights")
    arrays: dict[str, Any] = {name: getattr(data, name) for name in kept} | {
        "f": data.f.astype(np.uint32),
        # The cast makes the root's -1 the 2^32 - 1 of the format.
        "kintree_table": np.stack([data.parents, ids]).astype(np.uint32),
        "J": data.J_regressor @ data.v_template,
        "bs_style": "lbs",  # linear blend skinning, and
        "bs_type": "lrotmin",  # posedirs of rotation matrices: asked for by SMPL's own code
    }
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        if path.suffix.lower() == ".npz":
            np.savez_compressed(stream, J_regressor=data.J_regressor.toarray(), **arrays)
        else:
            regressor = sparse.csc_matrix(data.J_regressor)
            pickle.dump(arrays | {"J_regressor": regressor}, stream, protocol=2)


def _arrays(path: Path) -> dict[Any, Any]:
    """What the file holds by name, unchecked."""
    if path.suffix.lower() == ".npz":
        return dict(read_npz(path, only=_KEYS))
    if path.suffix.lower() != ".pkl":
        raise InputError(path, "is neither .npz nor .pkl", _HINT)
    content = read_pickle(path, max_bytes=MAX_BYTES)
    if not isinstance(content, dict):
        raise InputError(path, f"holds a {type(content).__name__}, not a model", _HINT)
    return content


def _numbers(name: str, value: Any) -> NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        raise InvalidData(f"SMPL model: {name} is not an array of numbers.")
    return value


def _integers(name: str, value: Any) -> IntArray:
    """Whole numbers, also where they are stored as floats."""
    array = _numbers(name, value)
    if array.dtype.kind == "f" and not (np.abs(array) < 2**53).all():
        raise InvalidData(f"SMPL model: {name} has a value that is not an index.")
    whole = array.astype(np.int64)
    if (whole != array).any():
        raise InvalidData(f"SMPL model: {name} has a value that is not a whole number.")
    return whole


def _regressor(value: Any) -> sparse.csr_array[np.float64]:
    if not sparse.issparse(value):
        value = _numbers("J_regressor", value)
        if value.ndim != 2:
            raise InvalidData(f"SMPL model: J_regressor has shape {value.shape}.")
    return sparse.csr_array(value, dtype=np.float64)


def _parents(table: Any) -> IntArray:
    """(B,) index of each joint's parent, -1 for the root, from kintree_table (2, B)."""
    pairs = _integers("kintree_table", table)
    if pairs.ndim != 2 or pairs.shape[0] != 2 or not pairs.shape[1]:
        raise InvalidData(f"SMPL model: kintree_table has shape {pairs.shape}, expected (2, B).")
    place = {joint: i for i, joint in enumerate(pairs[1].tolist())}
    if len(place) != pairs.shape[1]:
        raise InvalidData("SMPL model: kintree_table names a joint twice.")
    place |= dict.fromkeys(_NO_PARENT, -1)
    unknown = [parent for parent in pairs[0].tolist() if parent not in place]
    if unknown:
        raise InvalidData(f"SMPL model: kintree_table has no joint {unknown[0]}, a parent.")
    return np.array([place[parent] for parent in pairs[0].tolist()])
