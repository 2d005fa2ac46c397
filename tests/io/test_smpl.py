"""SMPL's files: what is written comes back, old pickles with chumpy are read, damage is refused."""

import pickle
import sys
from types import ModuleType

import numpy as np
import pytest
from scipy import sparse

from kinefit.io.smpl import SmplData, read_smpl, write_smpl
from kinefit.types import InputError, InvalidData

V, B, S = 12, 4, 5
FIELDS = ("v_template", "shapedirs", "posedirs", "weights", "f", "parents")


def _arrays(seed=0):
    """The arrays of a file by SMPL's names, random but consistent."""
    rng = np.random.default_rng(seed)
    return {
        "v_template": rng.standard_normal((V, 3)),
        "shapedirs": rng.standard_normal((V, 3, S)),
        "posedirs": rng.standard_normal((V, 3, 9 * (B - 1))),
        "J_regressor": sparse.random(B, V, 0.4, random_state=1, format="csc"),
        "weights": rng.dirichlet(np.ones(B), V),
        "f": rng.integers(0, V, (7, 3)).astype(np.uint32),
        "kintree_table": np.array([[2**32 - 1, 0, 0, 1], [0, 1, 2, 3]], np.uint32),
    }


def _write(path, arrays):
    if path.suffix == ".npz":
        dense = {k: v.toarray() if sparse.issparse(v) else v for k, v in arrays.items()}
        np.savez(path, **dense)
    else:
        path.write_bytes(pickle.dumps(arrays, 2))
    return path


def _assert_holds(data, arrays):
    for name in ("v_template", "shapedirs", "posedirs", "weights", "f"):
        np.testing.assert_array_equal(getattr(data, name), arrays[name])
    np.testing.assert_array_equal(data.J_regressor.toarray(), arrays["J_regressor"].toarray())
    np.testing.assert_array_equal(data.parents, [-1, 0, 0, 1])


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_a_file_is_read_as_it_says(suffix, tmp_path):
    arrays = _arrays()
    _assert_holds(read_smpl(_write(tmp_path / f"model{suffix}", arrays)), arrays)


@pytest.mark.parametrize("root", [2**32 - 1, -1])
@pytest.mark.parametrize("dtype", [np.int64, float])
def test_the_root_has_no_parent_in_either_spelling(root, dtype, tmp_path):
    table = np.array([[root, 0, 0, 1], [0, 1, 2, 3]]).astype(dtype)
    data = read_smpl(_write(tmp_path / "m.pkl", _arrays() | {"kintree_table": table}))
    assert data.parents.tolist() == [-1, 0, 0, 1]


def test_joints_with_numbers_of_their_own(tmp_path):
    table = np.array([[-1, 7, 7, 3], [7, 3, 5, 9]])
    data = read_smpl(_write(tmp_path / "m.pkl", _arrays() | {"kintree_table": table}))
    assert data.parents.tolist() == [-1, 0, 0, 1]


class _Attributes:
    def __init__(self, **attributes):
        vars(self).update(attributes)


CH = type("Ch", (_Attributes,), {"__module__": "chumpy.ch"})
SELECT = type("Select", (_Attributes,), {"__module__": "chumpy.reordering"})


@pytest.mark.parametrize("protocol", [0, 2])
def test_a_pickle_of_the_first_release_with_chumpy_is_read(protocol, tmp_path, monkeypatch):
    # As in SMPL 1.1.0: ten shape directions selected from more; other arrays held by a Ch; old
    # names of scipy; keys beside those of the body.
    arrays = _arrays()
    more = np.random.default_rng(3).standard_normal((V, 3, 2 * S))
    more[:, :, :S] = arrays["shapedirs"]
    index = np.arange(more.size).reshape(more.shape)[:, :, :S]
    content = arrays | {
        "shapedirs": SELECT(a=CH(x=more), idxs=index.ravel(), preferred_shape=index.shape),
        "v_template": CH(x=arrays["v_template"], _dirty_vars=set(), _itr=None),
        "pose_training_info": {"gender": "female", "frames": [1, 2]},
        "bs_style": "lbs",
    }
    for name, members in (("chumpy", {}), ("chumpy.ch", {"Ch": CH}),
                          ("chumpy.reordering", {"Select": SELECT})):  # fmt: skip
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    raw = pickle.dumps(content, protocol).replace(b"scipy.sparse._csc", b"scipy.sparse.csc")
    assert b"chumpy" in raw
    assert b"scipy.sparse.csc" in raw
    path = tmp_path / "basicmodel_f_lbs_10_207_0_v1.1.0.pkl"
    path.write_bytes(raw)
    _assert_holds(read_smpl(path), arrays)


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_what_is_written_comes_back_and_is_the_same_bytes_each_time(suffix, tmp_path):
    data = read_smpl(_write(tmp_path / "in.pkl", _arrays()))
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_smpl(first, data)
    write_smpl(second, data)
    assert first.read_bytes() == second.read_bytes()
    again = read_smpl(first)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(again, name), getattr(data, name))
    assert (again.J_regressor != data.J_regressor).nnz == 0


def test_other_readers_find_what_smpl_software_asks_for(tmp_path):
    data = read_smpl(_write(tmp_path / "in.pkl", _arrays()))
    write_smpl(tmp_path / "m.pkl", data)
    write_smpl(tmp_path / "m.npz", data)
    with (tmp_path / "m.pkl").open("rb") as stream:
        plain = pickle.load(stream)  # our own file, by Python's own reader
    archive = np.load(tmp_path / "m.npz")
    assert plain["kintree_table"].dtype == plain["f"].dtype == np.uint32
    assert plain["kintree_table"][0, 0] == archive["kintree_table"][0, 0] == 2**32 - 1
    assert sparse.issparse(plain["J_regressor"])
    assert plain["bs_style"] == "lbs"
    np.testing.assert_array_equal(plain["J_regressor"].toarray(), archive["J_regressor"])
    np.testing.assert_array_equal(plain["J"], plain["J_regressor"] @ plain["v_template"])


def _with(name, change):
    """The arrays with one of them changed."""
    arrays = _arrays()
    arrays[name] = change(arrays[name])
    return arrays


def _set(array, index, value):
    array = np.array(array)
    array[index] = value
    return array


DAMAGED = [
    ("v_template", lambda a: _set(a, (0, 0), np.nan), "v_template has a value"),
    ("v_template", lambda a: _set(a, (0, 0), np.inf), "infinite"),
    ("v_template", lambda a: a[:, :2], "v_template has shape"),
    ("v_template", lambda a: a[:-1], "shapedirs has shape"),
    ("shapedirs", lambda a: a[..., 0], "shapedirs has shape"),
    ("posedirs", lambda a: a[..., 1:], r"posedirs has shape .* expected \(12, 3, 27\)"),
    ("weights", lambda a: a[:, :-1], "weights has shape"),
    ("weights", lambda a: _set(a, (3, 0), 2.0), "weights of vertex 3 sum to"),
    ("weights", lambda a: a.astype("S8"), "not an array of numbers"),
    ("f", lambda a: _set(a, (0, 0), V), "to 12, there are 12"),
    ("f", lambda a: _set(a.astype(np.int64), (0, 0), -1), "f names vertices -1 to"),
    ("f", lambda a: a.astype(float) + 0.5, "not a whole number"),
    ("f", lambda a: _set(a.astype(float), (0, 0), 1e300), "not an index"),
    ("f", lambda a: a[:0], "no triangles"),
    ("f", lambda a: a[:, :2], "f has shape"),
    ("v_template", lambda a: np.array(3.0), "v_template or kintree_table is a single number"),
    ("J_regressor", lambda a: a[:-1], "J_regressor has shape"),
    ("J_regressor", lambda a: _set(a.toarray(), (0, 0), np.nan), "J_regressor has a value"),
    ("J_regressor", lambda a: a.toarray()[0], "J_regressor has shape"),
    ("kintree_table", lambda a: a[0], "kintree_table has shape"),
    ("kintree_table", lambda a: a[:, :0], "kintree_table has shape"),
    ("kintree_table", lambda a: _set(a, (0, 1), 9), "no joint 9"),
    ("kintree_table", lambda a: _set(a, (1, 1), 0), "names a joint twice"),
    ("kintree_table", lambda a: _set(a, (0, 1), 3), "not a tree"),
    ("kintree_table", lambda a: _set(a, (0, 0), 1), "not a tree"),
    ("kintree_table", lambda a: _set(a, (0, 2), 2**32 - 1), "not a tree"),
]


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
@pytest.mark.parametrize(("name", "change", "said"), DAMAGED)
def test_damage_is_refused_by_name(suffix, name, change, said, tmp_path):
    path = _write(tmp_path / f"broken{suffix}", _with(name, change))
    with pytest.raises(InputError, match=said) as refused:
        read_smpl(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps([1, 2]), "holds a list"),
        (pickle.dumps({}), "has no v_template, shapedirs"),
        (pickle.dumps(_arrays() | {"weights": "text"}), "weights is not an array"),
        (b"cos\nsystem\n(S'true'\ntR.", "asks for os.system"),
        (b"", "empty"),
        (b"not a pickle", "pickle"),
    ],
)
def test_pickles_that_are_no_model_are_refused(content, said, tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_smpl(path)


def test_an_archive_is_read_without_its_other_entries(tmp_path):
    # SMPL-X's archives hold dicts as object arrays: what is not needed is not even looked at.
    arrays = _arrays()
    path = tmp_path / "SMPLX_NEUTRAL.npz"
    dense = arrays | {"J_regressor": arrays["J_regressor"].toarray()}
    np.savez(path, joint2num=np.array({"Pelvis": 0}, dtype=object), **dense)
    _assert_holds(read_smpl(path), arrays)
    np.savez(path, **{k: v for k, v in dense.items() if k != "weights"})
    with pytest.raises(InputError, match="has no weights"):
        read_smpl(path)


@pytest.mark.parametrize("name", ["model.txt", "model"])
def test_other_suffixes_are_refused(name, tmp_path):
    with pytest.raises(InputError, match=r"neither \.npz nor \.pkl"):
        read_smpl(tmp_path / name)
    data = read_smpl(_write(tmp_path / "in.pkl", _arrays()))
    with pytest.raises(InputError, match=r"neither \.npz nor \.pkl"):
        write_smpl(tmp_path / name, data)
    assert not (tmp_path / name).exists()


def test_data_made_in_memory_is_checked_too():
    arrays = _arrays()
    tree = arrays.pop("kintree_table")
    arrays["J_regressor"] = sparse.csr_array(arrays["J_regressor"])
    SmplData(**arrays, parents=np.array([-1, 0, 0, 1]))
    with pytest.raises(InvalidData, match="not a tree"):
        SmplData(**arrays, parents=tree[0].astype(np.int64))


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_bytes_changed_anywhere_give_a_model_or_a_refusal(suffix, tmp_path):
    rng = np.random.default_rng(0)
    content = _write(tmp_path / f"m{suffix}", _arrays()).read_bytes()
    path, refused = tmp_path / f"changed{suffix}", 0
    for _ in range(300):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        path.write_bytes(
            changed[: rng.integers(1, len(content))] if rng.random() < 0.2 else changed
        )
        try:
            assert np.isfinite(read_smpl(path).weights).all()
        except InputError:
            refused += 1
    assert refused > 50  # the changes do reach what is checked
