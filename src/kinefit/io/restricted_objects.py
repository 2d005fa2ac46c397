"""Sparse matrices of scipy and arrays of chumpy, made from what a pickle says about them.

Neither library takes part in the reading: `kinefit.io.restricted_pickle` records the class's name
and the attributes, and these functions make an array of them, or raise ValueError or TypeError
where they do not fit. chumpy is what SMPL's first model files were saved with; an object of it
holds an array, or an array and a rearrangement of its entries. scipy is loaded where there is
such a matrix: every reader of arrays imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy import sparse

State = Mapping[str, Any]


def csc(state: State) -> sparse.csc_array[Any]:
    """A matrix by columns from `_shape`, `indptr`, `indices` and `data`."""
    from scipy import sparse

    shape = _shape(state)
    return sparse.csc_array(_compressed(state, shape[1], shape[0]), shape=shape)


def csr(state: State) -> sparse.csr_array[Any]:
    """A matrix by rows from `_shape`, `indptr`, `indices` and `data`."""
    from scipy import sparse

    shape = _shape(state)
    return sparse.csr_array(_compressed(state, *shape), shape=shape)


def coo(state: State) -> sparse.coo_array[Any]:
    """A matrix by entries from `_shape`, `data` and `row`, `col` (or `coords`, both as a pair)."""
    from scipy import sparse

    rows, columns = state["coords"] if "coords" in state else (state["row"], state["col"])
    rows, columns = _whole_numbers("row", rows), _whole_numbers("col", columns)
    data, shape = _numbers("data", state["data"], 1), _shape(state)
    if not rows.shape == columns.shape == data.shape:
        raise ValueError(f"{len(rows)} rows, {len(columns)} columns and {len(data)} values")
    _within(rows, shape[0])
    _within(columns, shape[1])
    return sparse.coo_array((data, (rows, columns)), shape=shape)


def ch(state: State) -> NDArray[Any]:
    """chumpy.ch.Ch: the array that it holds."""
    return _numbers("x", state["x"])


def select(state: State) -> NDArray[Any]:
    """chumpy.reordering.Select: entries of a flattened array, in a shape of their own."""
    source, index = _numbers("a", state["a"]), _whole_numbers("idxs", state["idxs"])
    _within(index, source.size)
    picked: NDArray[Any] = source.ravel()[index]
    return picked.reshape(state["preferred_shape"]) if "preferred_shape" in state else picked


def reshape(state: State) -> NDArray[Any]:
    """chumpy.reordering.Reshape: the same entries in another shape."""
    return _numbers("a", state["a"]).reshape(state["newshape"])


def transpose(state: State) -> NDArray[Any]:
    """chumpy.reordering.transpose: axes in another order (None: reversed)."""
    return np.ascontiguousarray(np.transpose(_numbers("a", state["a"]), state.get("axes")))


# Module and name in a pickle -> which attributes are needed, and what makes the array of them.
MAKERS: dict[tuple[str, str], tuple[frozenset[str], Callable[[State], Any]]] = {
    ("chumpy.ch", "Ch"): (frozenset(("x",)), ch),
    ("chumpy.reordering", "Select"): (frozenset(("a", "idxs", "preferred_shape")), select),
    ("chumpy.reordering", "Reshape"): (frozenset(("a", "newshape")), reshape),
    ("chumpy.reordering", "transpose"): (frozenset(("a", "axes")), transpose),
}
for _name, _make, _keys in (
    ("csc", csc, ("_shape", "indptr", "indices", "data")),
    ("csr", csr, ("_shape", "indptr", "indices", "data")),
    ("coo", coo, ("_shape", "row", "col", "coords", "data")),
):
    for _module in (f"scipy.sparse.{_name}", f"scipy.sparse._{_name}"):  # before and since 1.8
        for _kind in ("matrix", "array"):
            MAKERS[_module, f"{_name}_{_kind}"] = (frozenset(_keys), _make)


def nbytes(value: Any) -> int:
    """Memory of an array or sparse matrix."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if value.format == "coo":
        return int(value.data.nbytes + value.row.nbytes + value.col.nbytes)
    return int(value.data.nbytes + value.indices.nbytes + value.indptr.nbytes)


def _compressed(
    state: State, major: int, minor: int
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """data, indices, indptr, checked against one another."""
    indptr = _whole_numbers("indptr", state["indptr"])
    indices = _whole_numbers("indices", state["indices"])
    data = _numbers("data", state["data"], 1)
    if len(indptr) != major + 1 or len(indices) != len(data):
        raise ValueError(f"{len(indptr)} starts and {len(indices)} indices for {major} x {minor}")
    if indptr[0] != 0 or indptr[-1] != len(data) or (np.diff(indptr) < 0).any():
        raise ValueError("its rows or columns do not follow one another")
    _within(indices, minor)
    return data, indices, indptr


def _shape(state: State) -> tuple[int, int]:
    shape = state["_shape"]
    whole = isinstance(shape, tuple) and len(shape) == 2
    if not whole or not all(type(n) is int or isinstance(n, np.integer) for n in shape):
        raise ValueError(f"its shape is {shape!r}")
    rows, columns = int(shape[0]), int(shape[1])
    if not (0 <= rows < 2**31 and 0 <= columns < 2**31):
        raise ValueError(f"its shape is {shape!r}")
    return rows, columns


def _numbers(name: str, value: Any, ndim: int | None = None) -> NDArray[Any]:
    if isinstance(value, (bool, int, float, np.number)):  # chumpy keeps a number as it is
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise TypeError(f"its {name} is not an array of numbers")
    if ndim is not None and value.ndim != ndim:
        raise ValueError(f"its {name} has shape {value.shape}")
    return value


def _whole_numbers(name: str, value: Any) -> NDArray[np.int64]:
    array = _numbers(name, value, 1)
    if array.dtype.kind not in "iu":
        raise TypeError(f"its {name} is not an array of whole numbers")
    return array.astype(np.int64)


def _within(index: NDArray[np.int64], count: int) -> None:
    if len(index) and not 0 <= index.min() <= index.max() < count:
        raise ValueError(f"it numbers an entry {index.min()} or {index.max()} of {count}")
