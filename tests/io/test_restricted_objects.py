"""Matrices of scipy and objects of chumpy in pickles: read as data, refused where parts misfit."""

import copyreg
import pickle
import sys
from types import ModuleType

import numpy as np
import pytest
from scipy import sparse

from kinefit.io.restricted_pickle import loads
from kinefit.types import InputError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
DENSE = np.array([[0, 1.5, 0, 0], [2, 0, 0, -3], [0, 0, 0, 0.25]])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("layout", ["csc", "csr", "coo"])
def test_sparse_matrices_of_every_protocol_come_back(layout, kind, protocol):
    made = getattr(sparse, f"{layout}_{kind}")(DENSE)
    got = loads(pickle.dumps({"J_regressor": made}, protocol), source="m.pkl")["J_regressor"]
    assert got.format == layout
    np.testing.assert_array_equal(got.toarray(), DENSE)


def test_the_module_names_of_scipy_before_1_8_are_known():
    old = pickle.dumps(sparse.csc_matrix(DENSE), 2).replace(
        b"scipy.sparse._csc", b"scipy.sparse.csc"
    )
    np.testing.assert_array_equal(loads(old, source="old.pkl").toarray(), DENSE)


def test_row_and_col_of_scipy_before_1_13_are_known():
    coo = sparse.coo_array(DENSE)
    state = {"_shape": (3, 4), "row": coo.row, "col": coo.col, "data": coo.data}
    got = loads(_instance("scipy.sparse.coo", "coo_matrix", state), source="old.pkl")
    np.testing.assert_array_equal(got.toarray(), DENSE)


def _class(module: str, name: str) -> type:
    """An empty class that pickles under another library's name."""
    return type(
        name, (), {"__module__": module, "__init__": lambda self, **k: vars(self).update(k)}
    )


CH, SELECT = _class("chumpy.ch", "Ch"), _class("chumpy.reordering", "Select")
RESHAPE, TRANSPOSE = (_class("chumpy.reordering", n) for n in ("Reshape", "transpose"))


@pytest.fixture
def as_chumpy(monkeypatch):
    """Pickles by the names that chumpy's classes have; the classes hold attributes, no code."""
    for module, names in (
        ("chumpy", {}),
        ("chumpy.ch", {"Ch": CH}),
        ("chumpy.reordering", {"Select": SELECT, "Reshape": RESHAPE, "transpose": TRANSPOSE}),
    ):
        made = ModuleType(module)
        vars(made).update(names)
        monkeypatch.setitem(sys.modules, module, made)
    return pickle.dumps


def _instance(module: str, name: str, state: object, arguments: bytes = b")") -> bytes:
    """Protocol 2, as NEWOBJ and BUILD: an instance of a class that need not be here."""
    body = pickle.dumps(state, 2)[2:-1]  # without PROTO and STOP
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + arguments + b"\x81" + body + b"b."


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_chumpy_objects_are_the_arrays_they_stand_for(as_chumpy, protocol):
    x = np.arange(24.0).reshape(2, 3, 4)
    index = np.arange(24).reshape(2, 3, 4)[:, :, :2]
    # The attributes beside the needed ones are those that chumpy's objects have.
    whole = CH(x=x, _dirty_vars=set(), _itr=None, _depends_on_deps={}, _make_dense=False)
    part = SELECT(a=whole, idxs=index.ravel(), preferred_shape=index.shape, _dirty_vars={"a"})
    flat = SELECT(a=whole, idxs=index.ravel())
    shaped, turned = RESHAPE(a=whole, newshape=(6, 4)), TRANSPOSE(a=whole, axes=(2, 0, 1))
    content = as_chumpy(
        [whole, part, flat, shaped, turned, TRANSPOSE(a=whole, axes=None)], protocol
    )
    wanted = [x, x[:, :, :2], x[:, :, :2].ravel(), x.reshape(6, 4), x.transpose(2, 0, 1), x.T]
    for got, want in zip(loads(content, source="smpl.pkl"), wanted, strict=True):
        np.testing.assert_array_equal(got, want)


def test_no_code_of_the_class_that_a_pickle_names_runs(as_chumpy, monkeypatch):
    ran = []
    monkeypatch.setattr(CH, "__setstate__", lambda self, state: ran.append(state), raising=False)
    content = as_chumpy(CH(x=np.ones(2)), 2)
    loads(content, source="smpl.pkl")
    assert not ran
    pickle.loads(content)  # negative control: the ordinary reader does run it
    assert ran


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_instance("chumpy.ch", "Ch", {"y": np.ones(1)}), "has no 'x'"),
        (_instance("chumpy.ch", "Ch", {"x": "text"}), "not an array of numbers"),
        (_instance("chumpy.ch", "Ch", {"x": {"y": np.ones(1)}}), "not an array of numbers"),
        (_instance("chumpy.ch", "Ch", [np.ones(1)]), "no attributes"),
        (_instance("chumpy.ch", "Ch", (None, {"x": np.ones(1)})), "no attributes"),
        (_instance("chumpy.ch", "Ch", {}, b"I1\n\x85"), "given arguments"),
        (_instance("chumpy.ch", "ChLambda", {"x": np.ones(1)}), "asks for chumpy.ch.ChLambda"),
        (_instance("chumpy.ch_ops", "add", {}), "asks for chumpy.ch_ops.add"),
        (_instance("chumpy.utils", "dfs_do_func_on_graph", {}), "asks for chumpy.utils"),
        (_instance("scipy.sparse._lil", "lil_matrix", {}), "asks for scipy"),
        (_instance("numpy", "ndarray", None), "damaged"),  # NEWOBJ of something else
        (_instance("collections", "OrderedDict", None), "damaged"),
        (_instance("builtins", "object", None), "damaged"),
        (b"\x80\x02cchumpy.ch\nCh\n.", "by itself"),
        (b"\x80\x02cchumpy.ch\nCh\n}U\x04makeI1\nsb.", "damaged"),  # a state for the class
        (b"\x80\x02cchumpy.ch\nCh\n)\x81(U\x01xI1\nu.", "damaged"),  # items of an object
        (b"\x80\x04\x8c\tchumpy.ch\x8c\x02Ch\x93)}\x92.", "NEWOBJ_EX"),
        (b"(ichumpy.ch\nCh\n.", "INST"),
        (
            b"ccopy_reg\n_reconstructor\n(cnumpy\ndtype\nc__builtin__\nobject\nNtR.",
            "something else",
        ),
        (b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\ncnumpy\ndtype\nNtR.", "something else"),
        (b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nI1\ntR.", "something"),
        (b"c__builtin__\nobject\n(tR.", "is called"),
        (b"cchumpy.ch\nCh\n)\x81}(U\x01xh\x00ub.", "damaged"),
        (b"\x80\x02cchumpy.ch\nCh\n)\x81q\x00}U\x01xh\x00sb.", "within itself"),
    ],
)
def test_objects_that_are_not_what_they_seem_are_refused(content, said):
    with pytest.raises(InputError, match=said):
        loads(content, source="attack.pkl")


def _csc(**changes: object) -> dict[str, object]:
    made = sparse.csc_matrix(DENSE)
    return {
        "_shape": (3, 4), "indptr": made.indptr, "indices": made.indices, "data": made.data,
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (_csc(_shape=(3, 2**40)), "its shape"),
        (_csc(_shape=(3, -4)), "its shape"),
        (_csc(_shape=(3, 4, 1)), "its shape"),
        (_csc(_shape=(3.0, 4)), "its shape"),
        (_csc(_shape=(3, 5)), "5 starts"),
        (_csc(_shape=(2, 4)), "numbers an entry"),
        (_csc(indices=np.array([1, 0, 2, -1])), "numbers an entry"),
        (_csc(indices=np.array([1, 0, 2, 2**40])), "numbers an entry"),
        (_csc(indices=np.array([1, 0, 2, 2**63], np.uint64)), "numbers an entry"),
        (_csc(indices=np.array([1.0, 0, 2, 1])), "not an array of whole numbers"),
        (_csc(indices=np.array([[1, 0, 2, 1]])), "shape"),
        (_csc(indptr=np.array([0, 3, 1, 2, 4])), "follow one another"),
        (_csc(indptr=np.array([1, 1, 2, 2, 4])), "follow one another"),
        (_csc(indptr=np.array([0, 1, 2, 2, 2**60])), "follow one another"),
        (_csc(data=np.array(["a", "b", "c", "d"])), "not an array of numbers"),
        (_csc(data=np.ones(3)), "indices for"),
        ({k: v for k, v in _csc().items() if k != "data"}, "has no 'data'"),
    ],
)
def test_sparse_matrices_whose_parts_do_not_fit_are_refused(state, said):
    good = loads(_instance("scipy.sparse.csc", "csc_matrix", _csc()), source="good.pkl")
    np.testing.assert_array_equal(good.toarray(), DENSE)
    with pytest.raises(InputError, match=said):
        loads(_instance("scipy.sparse.csc", "csc_matrix", state), source="bad.pkl")


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("Select", {"idxs": np.array([0, 6])}, "numbers an entry"),
        ("Select", {"idxs": np.array([-1, 0])}, "numbers an entry"),
        ("Select", {"preferred_shape": (3,)}, "damaged"),
        ("Select", {"preferred_shape": "no"}, "damaged"),
        ("Reshape", {"newshape": (2**40, 2**40)}, "damaged"),
        ("transpose", {"axes": (0, 5)}, "damaged"),
    ],
)
def test_rearrangements_that_do_not_fit_are_refused(name, changes, said):
    good = {"a": np.arange(6.0).reshape(2, 3), "idxs": np.array([0, 5]), "newshape": 6}
    loads(_instance("chumpy.reordering", name, good), source="good.pkl")
    with pytest.raises(InputError, match=said):
        loads(_instance("chumpy.reordering", name, good | changes), source="bad.pkl")


def test_bytes_named_a_thousand_times_do_not_fill_the_memory():
    large = np.zeros(100_000)
    data = large.tobytes()
    once = pickle.dumps(np.frombuffer(data), 5)
    assert len(loads(once, source="one.pkl")) == len(large)
    # A thousand arrays whose content is one and the same bytes: 0.8 GB from a file of 0.8 MB.
    arrays = [_Shared(data) for _ in range(1000)]
    with pytest.raises(InputError, match="times the size"):
        loads(pickle.dumps(arrays, 4), source="bomb.pkl")


class _Shared:
    """An array of float64 whose pickle refers to bytes that others may refer to as well."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self):
        state = (1, (len(self.data) // 8,), np.dtype(float), False, self.data)
        make, arguments, _ = np.zeros(0).__reduce__()
        return make, arguments, state


def test_the_recorder_for_old_objects_is_what_python_writes():
    # What protocols 0 and 1 call: a rename in Python would make the reader's entry useless.
    assert f"{copyreg._reconstructor.__module__}.{copyreg._reconstructor.__name__}" == (
        "copyreg._reconstructor"
    )
