"""What marker files say of axes and units, against the person who is in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.checked_markers import read_checked_markers, stand_up
from kinefit.geometry.rotations import exp
from kinefit.io.c3d import write_c3d
from kinefit.io.markers import UP_TO_Y
from kinefit.io.trc import write_trc
from kinefit.types import FloatArray, InputError, Markers, Timeline

RATE = 100.0
OTHERS = ["Z", "X", "-Y", "-Z", "-X"]
# Metres: along the side, up and forward from the middle of the feet, right side of two.
PLACES = {
    "Head": (0.0, 1.65, 0.05), "Neck": (0.0, 1.45, 0.0), "Shoulder": (0.18, 1.42, 0.0),
    "Wrist": (0.3, 0.85, 0.05), "Hip": (0.1, 0.92, 0.0), "Knee": (0.1, 0.5, 0.02),
    "Ankle": (0.1, 0.08, 0.0), "Heel": (0.1, 0.03, -0.05), "BigToe": (0.1, 0.03, 0.15),
}  # fmt: skip
FEET, HANDS = ("Ankle", "Heel", "BigToe"), ("Wrist",)


def person(way: FloatArray, *, steps: bool = False, seed: int = 0) -> Markers:
    """Somebody upright, Y up, at (T, 3) metres; with `steps`, on feet that stand in turn.

    3 mm of noise, and the sway of one who stands still.
    """
    names, xyz = [], []
    for name, (side, height, ahead) in PLACES.items():
        for sign, prefix in ((1, "R"), (-1, "L")) if side else ((0, ""),):
            at = way + np.array([ahead, height, sign * side])
            if steps and name in FEET:
                at[:, 0] = stepped(way[:, 0], 0.5 * (sign < 0)) + ahead
            names.append(prefix + name)
            xyz.append(at)
    rng = np.random.default_rng(seed)
    points = np.stack(xyz, axis=1)
    points += rng.normal(0, 0.003, points.shape)
    return Markers(Timeline.regular(len(way), RATE), tuple(names), points)


def stepped(x: FloatArray, phase: float) -> FloatArray:
    """Where a foot is: half of each stride of 1.2 m on the floor, half on its way to the next."""
    stride = x / 1.2 + phase
    share = np.clip((stride % 1.0 - 0.5) * 2, 0.0, 1.0)
    return np.asarray(1.2 * (np.floor(stride) + share - phase + 0.25))


def still(frames: int = 100, at: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Markers:
    return person(np.tile(np.array(at), (frames, 1)))


def walk(speed: float = 1.2) -> Markers:
    way = np.zeros((300, 3))
    way[:, 0] = speed * np.arange(300) / RATE
    return person(way, steps=True)


def jump() -> Markers:
    """Half a second in the air, over a floor that is not at zero."""
    t = np.arange(200) / RATE
    way = np.tile([0.3, 0.9, 0.5], (200, 1))
    air = np.clip(t - 0.7, 0, 0.5)
    way[:, 1] += 9.81 / 2 * air * (0.5 - air)
    return person(way)


def turned(markers: Markers, up: str) -> Markers:
    """As recorded in axes of which `up` is the vertical."""
    return replace(markers, xyz=markers.xyz @ np.array(UP_TO_Y[up], float))


def lying(along: str = "X", height: float = 0.1, feet: float = 0.0) -> Markers:
    """On the back, on a floor or bench, Y is up. Head towards -X or Z. feet: where they are."""
    markers = still(at=(0, feet, 0))
    back = {"X": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], "Z": [[0, 1, 0], [0, 0, 1], [1, 0, 0]]}[along]
    return replace(markers, xyz=markers.xyz @ np.array(back, float) + np.array([0, height, 0]))


def handstand(markers: Markers, frames: slice) -> Markers:
    """On the hands in some frames: hands on the floor, above them the feet, arms stretched."""
    xyz = np.array(markers.xyz)
    top = 2.0
    xyz[frames] *= (1, -1, -1)
    xyz[frames, :, 1] += top
    hands = [i for i, name in enumerate(markers.names) if name.endswith(HANDS)]
    xyz[frames, hands, 1] = 0.05
    return replace(markers, xyz=xyz)


@pytest.mark.parametrize("markers", [still(), walk(), walk(3.5), jump(), still(at=(2, 0.7, -3))])
def test_who_stands_stays_as_recorded(markers: Markers) -> None:
    assert stand_up(markers) is markers


@pytest.mark.parametrize("up", ["X", "-X", "-Z"])
def test_feet_near_zero_alone_turn_no_axis_that_laboratories_do_not_have(up: str) -> None:
    """Who sits in a rowing boat, or lies on a table, has the feet near some zero."""
    given = turned(still(), up)
    found = stand_up(given)
    np.testing.assert_array_equal(found.xyz, given.xyz)
    (note,) = found.notes
    assert f"Give --up {up}" in note


def test_a_few_frames_along_another_axis_turn_nothing() -> None:
    """Who leans over a bench and lies on it for three frames, the feet at zero of all axes."""
    along_z = turned(still(), "Z").xyz
    xyz = (still().xyz + along_z) / 2**0.5 + 0.1  # along no axis
    xyz[:3] = along_z[:3]
    found = stand_up(replace(still(), xyz=xyz))
    np.testing.assert_array_equal(found.xyz, xyz)
    assert "lies along Z in 3 %" in found.notes[0]


def test_who_mostly_stoops_is_turned_as_who_stands() -> None:
    up = walk()
    stooped = up.xyz @ exp(np.array([0.0, 0.0, -0.8])).T  # 46 degrees forward, along no axis
    stoops = np.arange(len(up.xyz)) % 100 < 60
    markers = replace(up, xyz=np.where(stoops[:, None, None], stooped, up.xyz))
    found = stand_up(turned(markers, "Z"))
    np.testing.assert_allclose(found.xyz, markers.xyz, atol=1e-12)


@pytest.mark.parametrize("names", [("RAnkle", "RHeel", "RBigToe"), ("RHip", "LHip", "Neck")])
def test_a_part_of_a_body_is_no_wrong_unit(tmp_path: Path, names: tuple[str, ...]) -> None:
    markers = walk().select(list(names))
    xyz = np.concatenate([markers.xyz, markers.xyz[:, :1] + 0.01], axis=1)
    write_trc(tmp_path / "a.trc", Markers(markers.timeline, (*names, "RSmallToe"), xyz))
    found = read_checked_markers(tmp_path / "a.trc")
    np.testing.assert_allclose(found.xyz, xyz, atol=1e-6)


@pytest.mark.parametrize(
    ("markers", "up"),
    [
        *((still(), up) for up in ("Z", "-Y")),
        *((one, up) for one in (walk(), walk(3.5), jump()) for up in OTHERS),
    ],
)
def test_who_stands_along_another_axis_is_turned(markers: Markers, up: str) -> None:
    found = stand_up(turned(markers, up))
    np.testing.assert_allclose(found.xyz, markers.xyz, atol=1e-12)
    (note,) = found.notes
    assert f"stands along {up}" in note
    assert "--up Y" in note


@pytest.mark.parametrize(
    "markers",
    [lying("X"), lying("Z"), lying("X", 0.5, 0.4), handstand(still(), slice(None)),
     handstand(still(), slice(30, 100))],
)  # fmt: skip
def test_who_lies_or_stands_on_the_hands_is_not_turned(markers: Markers) -> None:
    found = stand_up(markers)
    np.testing.assert_array_equal(found.xyz, markers.xyz)
    (note,) = found.notes
    assert "lies along" in note or "is upside down" in note


def test_a_handstand_for_a_part_of_the_clip_is_no_axis() -> None:
    markers = handstand(walk(), slice(100, 220))
    assert stand_up(markers) is markers
    found = stand_up(turned(markers, "Z"))
    np.testing.assert_allclose(found.xyz, markers.xyz, atol=1e-12)


def test_without_a_floor_nothing_is_turned() -> None:
    """A person who stands still along Z, somewhere: that may be somebody on a bed."""
    markers = turned(still(at=(0.3, 0.7, 0.5)), "Z")
    found = stand_up(markers)
    np.testing.assert_array_equal(found.xyz, markers.xyz)
    assert "--up Z" in found.notes[0]


def test_rolling_over_the_floor_is_no_walk() -> None:
    markers = lying("X")
    way = np.zeros((100, 1, 3))
    way[:, 0, 2] = np.linspace(0, 2.0, 100)
    rolling = replace(markers, xyz=markers.xyz + way)
    assert "lies along" in stand_up(rolling).notes[0]


def test_legs_alone_and_laboratory_names_are_enough() -> None:
    names = {"RHip": "RASI", "LHip": "LASI", "RAnkle": "r_ankle", "LAnkle": "L_ankle",
             "RHeel": "R_FCC", "LBigToe": "LTOE"}  # fmt: skip
    markers = replace(walk().select(list(names)), names=tuple(names.values()))
    found = stand_up(turned(markers, "Z"))
    np.testing.assert_allclose(found.xyz, markers.xyz, atol=1e-12)


def test_without_feet_nothing_is_said() -> None:
    markers = turned(walk().select(["Head", "RHip", "LWrist"]), "Z")
    assert stand_up(markers) is markers


def test_gaps_change_nothing() -> None:
    markers = turned(walk(), "Z")
    xyz = np.array(markers.xyz)
    xyz[np.random.default_rng(1).random(xyz.shape[:2]) < 0.3] = np.nan
    xyz[40:60] = np.nan
    assert "stands along Z" in stand_up(replace(markers, xyz=xyz)).notes[0]


@pytest.mark.parametrize("factor", [1000.0, 0.001, 100.0, 0.01])
def test_units_are_those_of_a_person(tmp_path: Path, factor: float) -> None:
    """Millimetres that are called metres, and the other way round; also far from the origin."""
    markers = replace(walk(), xyz=walk().xyz + np.array([15.0, 0, 0]))
    file = tmp_path / "a.trc"
    write_trc(file, replace(markers, xyz=np.round(markers.xyz * factor, 6)))
    found = read_checked_markers(file)
    # A file has micrometres; of metres that are called millimetres those are millimetres.
    np.testing.assert_allclose(found.xyz, markers.xyz, atol=1e-6 * max(1, 1 / factor))
    assert "--units" in found.notes[0]


@pytest.mark.parametrize("factor", [10.0, 0.1, 1e5])
def test_a_size_of_nobody_is_refused(tmp_path: Path, factor: float) -> None:
    file = tmp_path / "a.trc"
    write_trc(file, replace(walk(), xyz=walk().xyz * factor))
    with pytest.raises(InputError, match="units"):
        read_checked_markers(file)


@pytest.mark.parametrize(("value", "suffix"), [(1e300, ".trc"), (2e4, ".trc"), (2e4, ".c3d")])
def test_points_that_are_nowhere_are_missing(tmp_path: Path, value: float, suffix: str) -> None:
    file, write = tmp_path / f"a{suffix}", {".trc": write_trc, ".c3d": write_c3d}[suffix]
    xyz = np.array(walk().xyz)
    xyz[3, 1, 2] = value
    write(file, replace(walk(), xyz=xyz))
    found = read_checked_markers(file)
    assert np.argwhere(~found.present).tolist() == [[3, 1]]
    name = walk().names[1]
    assert found.notes == (f"Points over 10 km away were taken as missing: {name} in frame 3.",)


def test_nothing_but_points_that_are_nowhere_is_refused(tmp_path: Path) -> None:
    markers = replace(walk().select(["Head", "RHip", "LHip"]), names=("a", "b", "c"))
    write_trc(tmp_path / "a.trc", replace(markers, xyz=markers.xyz + 2e5))
    with pytest.raises(InputError, match="--units"):
        read_checked_markers(tmp_path / "a.trc")


@pytest.mark.parametrize("suffix", [".trc", ".c3d"])
def test_what_the_user_says_is_not_checked(tmp_path: Path, suffix: str) -> None:
    markers = lying("Z")
    write = {".trc": write_trc, ".c3d": write_c3d}[suffix]
    write(tmp_path / f"a{suffix}", turned(markers, "Z"))
    found = read_checked_markers(tmp_path / f"a{suffix}", up="Z")
    np.testing.assert_allclose(found.xyz, markers.xyz, atol=1e-6)
    assert found.notes == ()


def test_units_that_the_user_states_are_not_checked(tmp_path: Path) -> None:
    file = tmp_path / "a.trc"
    write_trc(file, replace(walk(), xyz=100 * walk().xyz))  # centimetres, called metres
    found = read_checked_markers(file, units="cm")
    np.testing.assert_allclose(found.xyz, walk().xyz, atol=1e-8)
    assert found.notes == ()
    (note,) = read_checked_markers(file, units="m").notes
    assert "which is no person" in note


def test_units_and_axis_of_c3d_are_checked_against_the_person(tmp_path: Path) -> None:
    """What it states (Y up, mm) and what the person says."""
    file = tmp_path / "a.c3d"
    write_c3d(file, replace(turned(walk(), "Z"), xyz=turned(walk(), "Z").xyz / 1000))
    found = read_checked_markers(file)
    np.testing.assert_allclose(found.xyz, walk().xyz, atol=1e-4)  # of 4-byte floats
    assert len(found.notes) == 2


def test_markers_without_known_names_have_no_size(tmp_path: Path) -> None:
    """Of a thing, or of a model of one's own."""
    markers = replace(walk().select(["Head", "RHip", "LHip"]), names=("a", "b", "c"))
    write_trc(tmp_path / "a.trc", replace(markers, xyz=20 * markers.xyz))
    assert read_checked_markers(tmp_path / "a.trc").notes == ()


@pytest.mark.parametrize(("name", "up"), [("a.trc", "W"), ("a.npz", None)])
def test_what_is_no_axis_or_no_file_of_markers(tmp_path: Path, name: str, up: str | None) -> None:
    with pytest.raises(InputError):
        read_checked_markers(tmp_path / name, up=up)
