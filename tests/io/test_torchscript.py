"""TorchScript archives, made by torch, read without it; and archives that want something else."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kinefit.io.torchscript import read_torchscript
from kinefit.types import InputError

torch = pytest.importorskip("torch")


class Part(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = ["hip", "knee"]
        self.sizes: list[int] = [3, 4]
        self.share = 0.25
        base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
        self.register_buffer("turned", base.T)  # strides that are not C order
        self.register_buffer("part", base[1:3, ::2])  # an offset and gaps
        self.register_buffer("count", torch.tensor([5, -1], dtype=torch.int32))
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("short", torch.tensor([0.5], dtype=torch.float16))
        self.register_buffer("flag", torch.tensor(True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Whole(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = Part()
        self.net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(self.part(x))


class Writes(torch.nn.Module):
    """Has a program that runs when torch opens it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.register_buffer("x", torch.zeros(1))
        self.training = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, str, bool]:
        return (self.x, self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, str, bool]) -> None:
        self.path = state[1]
        self.training = state[2]
        self.x = torch.from_file(state[1], True, 4)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "whole.pt"
    torch.jit.script(Whole()).save(str(path))
    return path


def test_tensors_and_values_are_torchs(archive: Path) -> None:
    ours, theirs = read_torchscript(archive), torch.jit.load(str(archive)).state_dict()
    assert {"part.turned", "part.part", "part.short", "net.0.weight"} <= set(theirs)
    for name, value in theirs.items():
        array = ours.array(name)
        assert array.dtype == value.numpy().dtype
        np.testing.assert_array_equal(array, value.numpy())
    assert ours.names("part.names") == ("hip", "knee")
    assert ours.value("part.sizes") == [3, 4]
    assert ours.value("part.share") == 0.25


def test_what_is_not_there(archive: Path) -> None:
    ours = read_torchscript(archive)
    assert ours.value("part.none") is None
    assert not ours.has_array("part.names.deeper")
    with pytest.raises(InputError, match=r"no tensor 'part\.names'"):
        ours.array("part.names")
    with pytest.raises(InputError, match=r"no list of names 'part\.sizes'"):
        ours.names("part.sizes")


def test_a_program_in_the_file_does_not_run(tmp_path: Path) -> None:
    target, path = tmp_path / "written", tmp_path / "writes.pt"
    torch.jit.script(Writes(str(target))).save(str(path))
    target.unlink(missing_ok=True)  # torch runs it once for saving
    read_torchscript(path)
    assert not target.exists()
    torch.jit.load(str(path))  # the control: this is why torch.jit.load is not used
    assert target.exists()


def rebuilt(archive: Path, target: Path, changed: dict[str, bytes | None]) -> Path:
    """The archive with entries (named without its root) replaced, or left out (None)."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            short = name.partition("/")[2]
            content = changed.get(short, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1/0",))


def _pickles(good: bytes) -> dict[str, bytes]:
    head, tail = b"\x80\x02", b"."
    return {
        "eval": pickle.dumps(_Evil(), 2),
        "os.system": head + b"cposix\nsystem\nX\x02\x00\x00\x00ls\x85R" + tail,
        "protocol 4": pickle.dumps({"a": 1}, 4),
        "no module": head + b"}" + tail,
        "truncated": good[:-20],
        "a huge memo index": head + b"}r\xff\xff\xff\x7f" + tail,
        "a state for a function": head + b"ctorch._utils\n_rebuild_tensor_v2\n}b" + tail,
        "a tensor of nothing": head + b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))tR" + tail,
        "not a storage": head + b"X\x01\x00\x00\x00aQ" + tail,
        "empty": b"",
    }


@pytest.mark.parametrize("case", sorted(_pickles(b"")))
def test_pickles_that_are_refused(archive: Path, tmp_path: Path, case: str) -> None:
    with zipfile.ZipFile(archive) as old:
        good = old.read(next(n for n in old.namelist() if n.endswith("/data.pkl")))
    path = rebuilt(archive, tmp_path / "bad.pt", {"data.pkl": _pickles(good)[case]})
    with pytest.raises(InputError, match=r"bad\.pt"):
        read_torchscript(path)


def test_archives_that_are_refused(archive: Path, tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04", b"x" * 100, pickle.dumps([1])):
        path = tmp_path / "bad.pt"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.pt"):
            read_torchscript(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_torchscript(tmp_path / "none.pt")
    with pytest.raises(InputError, match=r"no data\.pkl"):
        read_torchscript(rebuilt(archive, tmp_path / "a.pt", {"data.pkl": None}))
    with pytest.raises(InputError, match="order big"):
        read_torchscript(rebuilt(archive, tmp_path / "b.pt", {"byteorder": b"big"}))


def test_tensors_that_claim_more_than_there_is(archive: Path, tmp_path: Path) -> None:
    ours = read_torchscript(archive)
    tensor = ours.value("part.turned")
    short = rebuilt(archive, tmp_path / "c.pt", {f"data/{tensor.storage.key}": b"1234"})
    with pytest.raises(InputError, match="needs 96 bytes and has 4"):
        read_torchscript(short).array("part.turned")
    gone = rebuilt(archive, tmp_path / "d.pt", {f"data/{tensor.storage.key}": None})
    with pytest.raises(InputError, match="has none"):
        read_torchscript(gone).array("part.turned")
    for field, value in [("shape", (6, 5)), ("strides", (9, 6)), ("offset", 3), ("shape", (99, 1))]:
        wrong = read_torchscript(archive)
        object.__setattr__(wrong.value("part.turned"), field, value)
        with pytest.raises(InputError, match="larger than its storage"):
            wrong.array("part.turned")
    # 8 TB of one number, repeated with stride 0: refused before it is allocated.
    wrong = read_torchscript(archive)
    object.__setattr__(wrong.value("part.turned"), "shape", (10**12, 2))
    object.__setattr__(wrong.value("part.turned"), "strides", (0, 0))
    with pytest.raises(InputError, match="larger than its storage"):
        wrong.array("part.turned")
