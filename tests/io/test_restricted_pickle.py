"""Pickles: data of every protocol comes back, programs do not run, sizes are not believed.

Sparse matrices and chumpy's objects have a file of their own: test_restricted_objects.py.
"""

import os
import pickle
from collections import Counter, OrderedDict

import numpy as np
import pytest

from kinefit.io.restricted_pickle import loads, read_pickle
from kinefit.types import InputError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
NESTED = {
    "K": np.arange(9.0).reshape(3, 3),
    "size": np.array([[1920], [1080]]),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">f8"),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 3)),
    "text": np.array(["left", "right"]),
    "scalar": np.float64(0.1),
    "number": [1, 2.5, None, True, 10**30, b"bytes", b"", "é"],
    "tuple": ((1, 2), {"deep": [np.int64(3)]}),
    "set": {1, 2},
    "ordered": OrderedDict(a=1),
}
NESTED["objects"] = np.array([{"person": np.ones(2)}, {"person": np.zeros(2)}], dtype=object)


def _same(a, b):
    if isinstance(b, np.ndarray) and b.dtype == object:
        return a.shape == b.shape and all(map(_same, a.ravel(), b.ravel()))
    if isinstance(b, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype.newbyteorder("=") and (a == b).all()
    if isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in b)
    if isinstance(b, (list, tuple)):
        return type(a) is type(b) and all(map(_same, a, b))
    return a == b and type(a) is type(b)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_data_of_every_protocol_comes_back(protocol, tmp_path):
    path = tmp_path / "data.pickle"
    path.write_bytes(pickle.dumps(NESTED, protocol))
    got = read_pickle(path)
    assert got.keys() == NESTED.keys()
    for key, value in NESTED.items():
        assert _same(got[key], value), key


def test_names_of_the_older_numpy_are_known():
    old = pickle.dumps(np.arange(3.0), 2).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core" in old
    np.testing.assert_array_equal(loads(old, source="old.pkl"), np.arange(3.0))


def test_python_2_wrote_arrays_as_text():
    # protocol 2 of Python 2.7: numpy.array([1.5]); U is a short str, here of eight bytes.
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01"
        b"(K\x01tcnumpy\ndtype\n(U\x02f8K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff"
        b"\xffK\x00tb\x89U\x08" + np.float64(1.5).tobytes() + b"tb."
    )
    np.testing.assert_array_equal(loads(content, source="py2.pkl"), [1.5])


class _Runs:
    """Calls something when unpickled."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("attack", "named"),
    [
        (_Runs(os.system, "touch owned"), "system"),
        (_Runs(eval, "open('owned', 'w')"), r"builtins\.eval|__builtin__\.eval"),
        (_Runs(exec, "open('owned', 'w')"), "exec"),
        (_Runs(getattr, np, "load"), "getattr"),
        (_Runs(__import__, "os"), "__import__"),
        ({"deep": [(1, _Runs(print, "hello"))]}, "print"),
        (Counter("ab"), "Counter"),
        (np.load, "load"),
    ],
)
def test_programs_are_refused_by_name_and_do_not_run(
    attack, named, protocol, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    try:
        content = pickle.dumps(attack, protocol)
    except TypeError:  # numpy itself, an argument of getattr, has no pickle
        content = b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'dumps'\ntR."
    with pytest.raises(InputError, match=named):
        loads(content, source="attack.pkl")
    assert not list(tmp_path.iterdir())


def test_the_attacks_work_on_the_ordinary_reader(tmp_path, monkeypatch):
    # Negative control: what is refused above does run where nothing refuses it.
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(_Runs(exec, "open('owned', 'w').close()")))
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"cnumpy\nndarray\n(I100000\nI100000\nttR.", "damaged|ndarray"),  # allocate by calling
        (b"cnumpy\nndarray\n.", "by itself"),
        (b"cnumpy\ndtype\n}S'__call__'\nI1\nsb.", "state"),  # change an allowed function
        (b"cnumpy\ndtype\nN}S'make'\nI1\ns\x86b.", "state"),
        (b"\x80\x02I1\nr\xff\xff\xff\x7f.", "numbers an object"),  # memo of 2^31 entries
        (b"I1\np2147483647\n.", "numbers an object"),
        (b"Pfoo\n.", "PERSID"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"(ios\nsystem\n.", "INST"),
        (b"\x80\x02cos\nsystem\n)\x81.", "NEWOBJ|os.system"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7fab.", "damaged"),  # 2^63 byte bytearray
        (b"\x80\x04\x8e\xff\xff\xff\xff\x00\x00\x00\x00ab.", "damaged"),  # 4 GB bytes
        (b"]\x94h\x00a.", "within itself"),  # a list in itself
        (b"(" * 5 + b"l" * 5 + b"(" * 100 + b"t" * 99 + b"t.", "nested too deep|damaged"),
        (b"c_codecs\nencode\n(S'aa'\nS'zlib'\ntR.", "latin1"),
        (b"cbuiltins\nset\n(I5\ntR.", "not a list"),
        (b"I1\n", "damaged"),
        (b"not a pickle", "pickle"),
        (b"\x80\x63I1\n.", "damaged|protocol"),
    ],
)
def test_bombs_and_damage_are_refused(content, said):
    with pytest.raises(InputError, match=said):
        loads(content, source="bomb.pkl")


def _array_pickle(shape: bytes, dtype: bytes = b"f8", data: bytes = b"12345678") -> bytes:
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n("
        + shape
        + b"tcnumpy\ndtype\n(S'"
        + dtype
        + b"'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'"
        + data
        + b"'\ntb."
    )


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        (b"I1000000\nI1000000\n", b"f8", "are not 8 bytes"),
        (b"I-1\n", b"f8", "shape"),
        (b"S'a'\n", b"f8", "shape"),
        (b"I1\n" * 40, b"f8", "not a tuple"),
        (b"I1\n", b"V8", "type is 'V8'"),
        (b"I1\n", b"M8", "type is 'M8'"),
        (b"I1\n", b"f8,f8", "type"),
        (b"I1\n", b"O", "objects"),
        (b"I1\n", b"U999999999", "type"),
    ],
)
def test_sizes_that_the_bytes_do_not_bear_out_are_refused(shape, dtype, said):
    np.testing.assert_array_equal(
        loads(_array_pickle(b"I1\n"), source="good"), [6.821320051701325e-38]
    )
    with pytest.raises(InputError, match=said):
        loads(_array_pickle(shape, dtype), source="bad.pkl")


def test_an_object_named_a_thousand_times_is_built_once():
    # Ten lists of ten references each, thirty deep: 10^30 objects if each were built anew.
    nested: list = [1]
    for _ in range(30):
        nested = [nested] * 10
    got = loads(pickle.dumps(nested), source="laughs.pkl")
    assert got[0] is got[9]


def test_a_file_over_the_limit_is_not_read(tmp_path):
    path = tmp_path / "large.pkl"
    path.write_bytes(pickle.dumps(b"0" * 2000))
    with pytest.raises(InputError, match="MiB"):
        read_pickle(path, max_bytes=1000)


def test_a_list_that_becomes_a_set_again_and_again_is_refused():
    numbers = pickle.dumps(list(range(1000)), 2)[2:-1]  # noted as number 0
    again = b"cbuiltins\nset\nh\0\x85R" * 500
    with pytest.raises(InputError, match="over 4 times the size of the file"):
        loads(b"\x80\x02" + numbers + b"0(" + again + b"l.", source="a.pkl")


def test_a_dict_is_not_copied_by_ordered_dict():
    with pytest.raises(InputError, match="OrderedDict with an argument"):
        loads(b"ccollections\nOrderedDict\n((dtR.", source="a.pkl")


def test_the_number_of_steps_is_limited(tmp_path):
    path = tmp_path / "long.pickle"
    path.write_bytes(pickle.dumps(list(range(2000))))
    with pytest.raises(InputError, match="over 1000 steps"):
        read_pickle(path, max_steps=1000)
    assert read_pickle(path, max_steps=10_000) == list(range(2000))
