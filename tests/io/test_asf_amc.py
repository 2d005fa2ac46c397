"""Acclaim files: a skeleton made by hand, its poses computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.io.asf_amc import read_amc, read_asf
from kinefit.types import InputError

# Root, a thigh down along -Y, and a shank whose own axes are turned by 90 degrees about Z. Length
# 0.0254: a unit of the file is a metre.
ASF = """# made by hand
:version 1.10
:name VICON
:units
  mass 1.0
  length 0.0254
  angle deg
:documentation
   made by hand
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name thigh
    direction 0 -1 0
    length 0.4
    axis 0 0 0 XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
    id 2
    name shank
    direction 0 -1 0
    length 0.5
    axis 0 0 90 XYZ
    dof rx
    limits (-10.0 170.0)
  end
  begin
    id 3
    name foot
    direction 0 0 1
    length 0.2
    axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root thigh
    thigh shank
    shank foot
  end
"""
AMC = """#!OML:ASF made by hand
:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 0 0 0
thigh 0 0 0
shank 0
2
root 1 2 3 0 90 0
thigh 90 0 0
shank 90
3
root 0 0 0 0 0 0
thigh 90 0 90
shank 0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "07.asf").write_text(ASF)
    (tmp_path / "07_01.amc").write_text(AMC)
    return tmp_path


def test_poses_by_hand(folder: Path) -> None:
    clip = read_amc(folder / "07_01.amc")
    assert clip.names == ("root", "thigh", "shank", "foot", "footEnd")
    assert clip.parents.tolist() == [-1, 0, 1, 2, 3]
    assert clip.rate_hz == 120
    # A joint is where its bone begins: the thigh's at the root, the shank's at the thigh's end.
    rest = np.array([[0, 0, 0], [0, 0, 0], [0, -0.4, 0], [0, -0.9, 0], [0, -0.9, 0.2]])
    place = np.array([1, 2, 3])
    np.testing.assert_allclose(clip.rest, rest, atol=1e-12)
    np.testing.assert_allclose(clip.positions[0], rest + place, atol=1e-12)
    # Frame 2. The root turns by 90 degrees about Y: world X is where Z was. The thigh turns by 90
    # about X: -Y to -Z, which the root takes to -X. The shank's own X axis is the parent's Y (its
    # axes are turned by 90 about Z), about which it turns by 90: its -Y stays -Y in its parent's
    # axes, so it goes on as the thigh does; the foot's Z becomes the parent's X: thigh X, world -Z.
    down = [1 - 0.4, 2, 3]
    np.testing.assert_allclose(clip.positions[1, :2], [[1, 2, 3], [1, 2, 3]], atol=1e-12)
    np.testing.assert_allclose(clip.positions[1, 2], down, atol=1e-12)
    np.testing.assert_allclose(clip.positions[1, 3], [1 - 0.9, 2, 3], atol=1e-12)
    np.testing.assert_allclose(clip.positions[1, 4], [1 - 0.9, 2, 3 - 0.2], atol=1e-12)
    # Frame 3: about X first (-Y to -Z), then about Z, which leaves -Z where it is.
    np.testing.assert_allclose(clip.positions[2, 2], [0, 0, -0.4], atol=1e-12)
    # The segment's X went to Y, its Y to Z, its Z to X: columns of the rotation.
    cycle = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    np.testing.assert_allclose(clip.rotations[2, 1], cycle, atol=1e-12)


def test_scale_is_inches_by_length(folder: Path) -> None:
    """CMU's FAQ: lengths times 1 / 0.45 * 2.54 / 100 are metres."""
    (folder / "07.asf").write_text(ASF.replace("length 0.0254", "length 0.45"))
    clip = read_amc(folder / "07_01.amc")
    assert clip.positions[0, 0, 1] == pytest.approx(2 / 0.45 * 2.54 / 100)


def test_the_skeleton_beside_is_found(folder: Path) -> None:
    (folder / "08.asf").write_text(ASF.replace("0.4\n", "0.3\n", 1))
    assert read_amc(folder / "07_01.amc").rest[2, 1] == pytest.approx(-0.4)
    (folder / "take.amc").write_text(AMC)
    with pytest.raises(InputError, match="no ASF file"):
        read_amc(folder / "take.amc")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("shank 90\n", "", "before line 11: shank is missing in frame 2"),
        ("shank 90\n", "shank 90\nshank 90\n", "shank stands twice in frame 2"),
        ("thigh 90 0 0\n", "thigh 90 0\n", "line 10: 'thigh 90 0' is not a name and 3 numbers"),
        ("thigh 90 0 0\n", "thigh 90 0 nan\n", "line 10"),
        ("thigh 90 0 0\n", "arm 1\n", "line 10: 'arm' is not a bone"),
        (AMC, ":DEGREES\n", "it has 0 frames"),
    ],
)
def test_damaged_motions_name_the_line(folder: Path, old: str, new: str, message: str) -> None:
    assert old in AMC
    (folder / "07_01.amc").write_text(AMC.replace(old, new))
    with pytest.raises(InputError, match=r"07_01\.amc") as error:
        read_amc(folder / "07_01.amc")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":bonedata", ":bones", "is not an ASF file"),
        ("    direction 0 -1 0\n    length 0.5", "    length 0.5", "line 28: a bone has no direc"),
        ("axis 0 0 90 XYZ", "axis 0 0 90 XXY", "line 32: order of axes 'XXY'"),
        ("name shank", "name thigh", "bone thigh again"),
        ("shank foot", "foot foot", "foot is not in the :hierarchy below the root"),
        ("shank foot", "shank toe", "no bone toe"),
        ("shank foot", "shank foot\n    root foot", "foot has two parents"),
        ("dof rx\n", "dof qx\n", "line 33: unknown channels"),
        ("length 0.0254", "length 0", "line 6: length is 0"),
        ("order TX TY TZ RX RY RZ\n", "", "the root has no order"),
    ],
)
def test_damaged_skeletons_name_the_line(folder: Path, old: str, new: str, message: str) -> None:
    assert old in ASF
    (folder / "07.asf").write_text(ASF.replace(old, new))
    with pytest.raises(InputError) as error:
        read_asf(folder / "07.asf")
    assert message in str(error.value)
