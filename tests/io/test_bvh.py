"""BVH files read, with bvhio as the second reader, in the shapes that programs write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.io.bvh import read_bvh
from kinefit.types import FloatArray, InputError

bvhio = pytest.importorskip("bvhio", reason="the independent reader bvhio is not installed")

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0.0 0.0 0.0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT LeftUpLeg
  {
    OFFSET 9.0 -8.0 1.0
    CHANNELS 3 Yrotation Xrotation Zrotation
    JOINT LeftLeg
    {
      OFFSET 0.5 -42.0 0.0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET 0.0 -45.0 3.0
      }
    }
  }
  JOINT Chest
  {
    OFFSET 0.0 50.0 0.0
    CHANNELS 1 Xrotation
    End Site
    {
      OFFSET 0.0 30.0 0.0
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.025
1.0 90.0 -3.0 0 0 0 0 0 0 0 0 0 0
2.0 91.0 -3.0 10 -20 30 40 -50 60 15 25 -35 5
3.0 92.0 -3.0 -10 20 130 -40 50 -60 -15 -25 35 -5
"""


def written(tmp_path: Path, text: str = BVH) -> Path:
    path = tmp_path / "a.bvh"
    path.write_text(text)
    return path


def peer(path: Path) -> dict[str, FloatArray]:
    """Joint -> (T, 3) world places in the file's units, by bvhio; end sites are not among them."""
    root = bvhio.readAsHierarchy(str(path))
    joints = [joint for joint, _, _ in root.layout()]
    out: dict[str, list[list[float]]] = {joint.Name: [] for joint in joints}
    for frame in range(3):
        root.loadPose(frame)
        for joint in joints:
            out[joint.Name].append(list(joint.PositionWorld))
    return {name: np.array(places) for name, places in out.items()}


def test_joints_are_where_another_reader_has_them(tmp_path: Path) -> None:
    path = written(tmp_path)
    clip = read_bvh(path)
    for name, places in peer(path).items():
        own = 100 * clip.positions[:, clip.names.index(name)]
        np.testing.assert_allclose(own, places, atol=1e-4)  # bvhio has single precision


def test_braces_may_stand_anywhere(tmp_path: Path) -> None:
    clip = read_bvh(written(tmp_path))
    text = BVH.replace("\n  {", " {").replace("}\n  }", "} }")
    other = read_bvh(written(tmp_path, text.replace("\n", "\r\n")))
    assert other.names == clip.names
    np.testing.assert_array_equal(other.positions, clip.positions)


def test_what_the_value_says(tmp_path: Path) -> None:
    clip = read_bvh(written(tmp_path))
    assert clip.names == ("Hips", "LeftUpLeg", "LeftLeg", "LeftLegEnd", "Chest", "ChestEnd")
    assert clip.parents.tolist() == [-1, 0, 1, 2, 0, 4]
    assert clip.rate_hz == pytest.approx(40)
    assert clip.notes == ("lengths are centimetres, by the skeleton's height",)
    np.testing.assert_allclose(clip.rest[3], [0.095, -0.95, 0.04])
    # All angles zero in the first frame: the rest pose where the root is.
    np.testing.assert_allclose(clip.positions[0] - clip.positions[0, 0], clip.rest, atol=1e-15)
    np.testing.assert_allclose(clip.rotations[0], np.tile(np.eye(3), (6, 1, 1)), atol=1e-15)
    # A joint's segment takes what hangs on it along.
    leg = clip.rotations[:, 1] @ (clip.rest[2] - clip.rest[1])
    np.testing.assert_allclose(clip.positions[:, 2] - clip.positions[:, 1], leg, atol=1e-15)


@pytest.mark.parametrize(
    ("per_unit", "unit"), [(100, "metres"), (1, "centimetres"), (0.1, "millimetres")]
)
def test_units_by_the_height(tmp_path: Path, per_unit: float, unit: str) -> None:
    lines = []
    for line in BVH.splitlines():
        words = line.split()
        if words[0] == "OFFSET":
            line = f"OFFSET {' '.join(str(float(w) / per_unit) for w in words[1:])}"
        lines.append(line)
    clip = read_bvh(written(tmp_path, "\n".join(lines)))
    assert unit in clip.notes[0]
    np.testing.assert_allclose(clip.rest[3], [0.095, -0.95, 0.04])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("MOTION", "", "is not a BVH file"),
        ("HIERARCHY", "HIER", "is not a BVH file"),
        ("ROOT Hips", "JOINT Hips", "line 2: a file has one ROOT"),
        ("OFFSET 9.0 -8.0 1.0", "OFFSET 9.0 -8.0", "line 8: an OFFSET is three numbers"),
        ("OFFSET 9.0 -8.0 1.0", "OFFSET 9.0 x 1.0", "line 8: an OFFSET is three numbers"),
        ("CHANNELS 1 Xrotation", "CHANNELS 2 Xrotation", "line 23: CHANNELS are their number"),
        ("CHANNELS 1 Xrotation", "CHANNELS 1 Wrotation", "line 23: CHANNELS are their number"),
        ("Frames: 3", "Frames: 4", "it states 4 frames and has 3"),
        ("Frames: 3", "Frames: three", "does not begin with Frames"),
        ("Frame Time: 0.025", "Frame Time: 0", "its Frame Time is 0 s"),
        (" 35 -5\n", " 35\n", "line 35 has 12 cells, expected 13"),
        (" 35 -5\n", " 35 nan\n", "line 35: no number"),
        ("-45.0 3.0", "-4500.0 3.0", "no person is, in any unit"),
        ("}\nMOTION", "MOTION", "a brace is open"),
        ("JOINT Chest\n  {", "JOINT Chest { }}}", "line 20"),
    ],
)
def test_damaged_files_name_the_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in BVH
    with pytest.raises(InputError, match=r"a\.bvh") as error:
        read_bvh(written(tmp_path, BVH.replace(old, new, 1)))
    assert message in str(error.value)


def test_a_skeleton_of_a_million_levels_is_refused_at_once(tmp_path: Path) -> None:
    level = "JOINT a\n{\nOFFSET 0 1 0\nCHANNELS 0\n"
    text = "HIERARCHY\nROOT r\n{\nOFFSET 0 0 0\nCHANNELS 0\n" + level * 10**5 + "MOTION\n"
    with pytest.raises(InputError, match="over 1000 joints"):
        read_bvh(written(tmp_path, text))
