"""Types survive the trip through .npz, and equal values give equal bytes."""

import json
import os

import numpy as np
import pytest

from kinefit.io.arrays import save_npz
from kinefit.io.people import People
from kinefit.pipeline import artifacts
from kinefit.skeletons import KeypointSetGuess, skeleton
from kinefit.types import (
    Finding,
    InputError,
    JointAngles,
    Keypoints2D,
    Keypoints3D,
    Markers,
    PoseTrack,
    Timeline,
)

TIME = Timeline([0, 1, 3], [0.0, 0.1, 0.3])
RNG = np.random.default_rng(0)


def _track(body):
    names = ("A", "B")
    xy = RNG.normal(size=(3, 2, 2))
    xy[1, 0] = np.nan
    points = Keypoints2D(TIME, names, xy, np.full((3, 2), 0.5), (640, 480))
    world = Keypoints3D(TIME, names, RNG.normal(size=(3, 2, 3)), "camera") if body else None
    return PoseTrack(points, world, (1,), "test 1.0")


def _people(whole):
    counts = (2, 0, 1)  # somebody, nobody, somebody
    points = tuple(RNG.normal(size=(n, 2, 3)) for n in counts)
    points[0][1, 1] = np.nan
    body, place, look = (
        tuple(RNG.normal(size=(n, *shape)) for n in counts) for shape in ((2, 3), (4,), (6, 3))
    )
    more = {"body": body, "place": place, "look": look, "damaged": (5,)} if whole else {}
    return People(("A", "B"), [2, 5, 6], points, **more, source="test 1.0")


VALUES = {
    "people": _people(whole=True),
    "people of image points": _people(whole=False),
    "people who are not there": People(("A", "B"), [0, 1], (np.empty((0, 2, 3)),) * 2),
    "people of points without names": People(
        skeleton("coco17").points,
        [0],
        (np.ones((1, 17, 3)),),
        guess=KeypointSetGuess(17, {"coco17": 0.2, "h36m17": np.inf}, 3),
        findings=(Finding("caution", "What.", meaning="So."),),
    ),
    "people of a video without frames": People(("A", "B"), np.zeros(0, int), ()),
    "track": _track(body=True),
    "track without body": _track(body=False),
    "markers": Markers(TIME, ("A",), np.ones((3, 1, 3)), np.ones((3, 1), bool), np.ones((3, 1, 3))),
    "markers without sd": Markers(TIME, ("A",), np.full((3, 1, 3), np.nan)),
    "angles": JointAngles(TIME, ("a",), np.ones((3, 1)), np.ones((3, 1), bool)),
}


def _equal(a, b):
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if hasattr(a, "__dataclass_fields__"):
        return all(_equal(getattr(a, f), getattr(b, f)) for f in a.__dataclass_fields__)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return a == b


@pytest.mark.parametrize("name", VALUES)
def test_round_trip(name, tmp_path):
    kind = name.split()[0]
    save, load = getattr(artifacts, f"save_{kind}"), getattr(artifacts, f"load_{kind}")
    save(tmp_path / "1.npz", VALUES[name])
    save(tmp_path / "2.npz", VALUES[name])
    assert _equal(load(tmp_path / "1.npz"), VALUES[name])
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


DAMAGE = {
    "noise": lambda path: path.write_bytes(b"noise"),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "an array too few": lambda path: save_npz(path, frame=np.arange(2)),
    "a scalar": lambda path: save_npz(path, **{**np.load(path), "names": np.float64(3)}),
    "text for numbers": lambda path: save_npz(path, **{**np.load(path), "frame": np.array(["x"])}),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "nothing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["people", "track", "markers", "angles"])
def test_what_kinefit_did_not_leave_there_is_refused(kind, damage, tmp_path):
    """A results folder may come from a stranger."""
    path = tmp_path / "a.npz"
    getattr(artifacts, f"save_{kind}")(path, VALUES[kind])
    DAMAGE[damage](path)
    with pytest.raises(InputError, match=r"a\.npz"):
        getattr(artifacts, f"load_{kind}")(path)


@pytest.mark.parametrize(
    "forged",
    [
        {"guess": json.dumps([17, {}, 3])},
        {"guess": json.dumps([17, {"coco17": 0.2}, 3])},
        {"guess": json.dumps([17, {"coco17": 0.2, "h36m17": "x"}, 3])},
        {"guess": json.dumps([5, {}, 3])},
        {"guess": json.dumps([25, {"body25": 0.2, "body25b": 0.1}, 3])},  # of 17 names
        {"guess": "[" * 100_000},
        {"findings": json.dumps([["caution"]])},
        {"findings": json.dumps([{"level": "caution", "what": 5}])},
    ],
)
def test_a_forged_guess_of_the_points_is_refused(forged, tmp_path):
    path = tmp_path / "a.npz"
    artifacts.save_people(path, VALUES["people of points without names"])
    save_npz(path, **{**np.load(path), **forged})
    with pytest.raises(InputError, match=r"a\.npz: cannot be read"):
        artifacts.load_people(path)


def test_no_array_is_larger_than_the_memory(tmp_path, monkeypatch):
    repeated = np.repeat(np.random.default_rng(0).normal(size=2**9), 64)  # 256 KiB, packed 6
    artifacts.save_arrays(tmp_path / "a.npz", {"a": repeated})
    monkeypatch.setattr("kinefit.io.limits.ARRAY_BYTES", 2**10)
    artifacts.load_arrays(tmp_path / "a.npz")
    monkeypatch.setattr("kinefit.io.limits.RESULT_BYTES", 2**16)
    with pytest.raises(InputError, match="unpacks to more than"):
        artifacts.load_arrays(tmp_path / "a.npz")


def test_too_little_memory_is_a_reason(tmp_path, monkeypatch):
    def full(*_):
        raise MemoryError

    artifacts.save_arrays(tmp_path / "a.npz", {"a": np.zeros(3)})
    monkeypatch.setattr("kinefit.io.arrays.unpacked", full)
    with pytest.raises(InputError, match="more memory than there is"):
        artifacts.load_arrays(tmp_path / "a.npz")


def test_an_archive_of_zeros_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("kinefit.io.limits.ARRAY_BYTES", 2**16)
    artifacts.save_arrays(tmp_path / "a.npz", {"a": np.zeros(2**20)})
    with pytest.raises(InputError, match="unpacks to more than"):
        artifacts.load_arrays(tmp_path / "a.npz")
