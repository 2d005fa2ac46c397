"""CSV tables: exact layout, round trips, and pandas as a reader that knows nothing of us."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kinefit.io.tables import (
    read_angles_csv,
    write_angles_csv,
    write_landmarks_csv,
    write_uncertainty_csv,
)
from kinefit.types import (
    FloatArray,
    InputError,
    InvalidData,
    JointAngles,
    Keypoints2D,
    Keypoints3D,
    Markers,
    PoseTrack,
    Timeline,
)

CLOCK = Timeline([3, 4, 6], [0.1, 0.1333333, 0.2])
SIZE = (640, 480)


def track(with_body: bool) -> PoseTrack:
    rng = np.random.default_rng(0)
    xy = rng.uniform(-5, 645, (3, 2, 2))
    xy[1] = np.nan
    names = ("Nose", "LHip")
    image = Keypoints2D(CLOCK, names, xy, rng.uniform(0, 1, (3, 2)), SIZE)
    xyz = rng.normal(size=(3, 2, 3))
    xyz[1] = np.nan
    body = Keypoints3D(CLOCK, names, xyz, "camera") if with_body else None
    return PoseTrack(image, body, (4,), "test 1.0")


def angles(with_sd: bool) -> JointAngles:
    rng = np.random.default_rng(1)
    degrees = rng.uniform(-180, 180, (3, 2))
    degrees[1, 0] = np.nan
    gimbal = np.array([[0, 0], [1, 0], [0, 1]], bool)
    names = ("hip_r_flex", "knee_r_flex")
    return JointAngles(CLOCK, names, degrees, gimbal, np.abs(degrees) / 90 if with_sd else None)


@pytest.mark.parametrize("with_body", [True, False])
def test_landmarks_as_another_reader_has_them(tmp_path: Path, with_body: bool) -> None:
    before = track(with_body)
    write_landmarks_csv(tmp_path / "a.csv", before)
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))

    def read(suffix: str) -> FloatArray:
        cells = [[row[f"{n}_{suffix}"] for n in before.image.names] for row in rows]
        return np.array([[float(c or "nan") for c in row] for row in cells])

    assert [int(row["frame"]) for row in rows] == CLOCK.frame.tolist()
    assert [row["frame"] for row in rows if row["damaged"] == "1"] == ["4"]
    times = [float(row["time_s"]) for row in rows]
    np.testing.assert_allclose(times, CLOCK.time, atol=0.51e-6, rtol=0)
    for i, axis in enumerate("xy"):
        np.testing.assert_allclose(read(f"{axis}_px"), before.image.xy[..., i], atol=0.51e-4)
    np.testing.assert_allclose(read("visibility"), before.image.score, atol=0.51e-6, rtol=0)
    assert (before.body is None) == ("Nose_x_m" not in rows[0])
    if before.body is not None:
        for i, axis in enumerate("xyz"):
            np.testing.assert_allclose(read(f"{axis}_m"), before.body.xyz[..., i], atol=0.51e-6)


def test_landmark_columns(tmp_path: Path) -> None:
    write_landmarks_csv(tmp_path / "a.csv", track(with_body=True))
    frame = pd.read_csv(tmp_path / "a.csv")
    suffixes = ("x_px", "y_px", "visibility", "x_m", "y_m", "z_m")
    assert list(frame.columns) == [
        "frame", "time_s", "damaged", *(f"{n}_{s}" for n in ("Nose", "LHip") for s in suffixes)
    ]  # fmt: skip
    assert frame["damaged"].tolist() == [0, 1, 0]
    assert frame.loc[1, ["Nose_x_px", "Nose_x_m"]].isna().all()
    assert frame.loc[1, "Nose_visibility"] == 0


@pytest.mark.parametrize("with_sd", [True, False])
def test_angles_round_trip(tmp_path: Path, with_sd: bool) -> None:
    before = angles(with_sd)
    write_angles_csv(tmp_path / "a.csv", before)
    after = read_angles_csv(tmp_path / "a.csv")
    assert after.names == before.names
    np.testing.assert_array_equal(after.timeline.frame, CLOCK.frame)
    np.testing.assert_allclose(after.degrees, before.degrees, atol=0.51e-4, rtol=0)
    np.testing.assert_array_equal(after.gimbal, before.gimbal)
    if before.sd is None:
        assert after.sd is None
    else:
        np.testing.assert_allclose(after.sd, before.sd, atol=0.51e-4, rtol=0)


def test_angle_file_byte_for_byte(tmp_path: Path) -> None:
    table = JointAngles(
        Timeline.regular(2, 50.0), ("knee_r_flex",), [[1.23456], [np.nan]], sd=[[0.5], [np.nan]]
    )
    write_angles_csv(tmp_path / "a.csv", table)
    assert (tmp_path / "a.csv").read_bytes() == (
        b"frame,time_s,knee_r_flex_deg,knee_r_flex_sd_deg,knee_r_flex_gimbal\n"
        b"0,0.000000,1.2346,0.5000,0\n"
        b"1,0.020000,,,0\n"
    )


@pytest.mark.parametrize("with_sd", [True, False])
def test_uncertainty_byte_for_byte(tmp_path: Path, with_sd: bool) -> None:
    sd = np.array([[[0.001, 0.002, 0.0030004]], [[np.nan] * 3]]) if with_sd else None
    markers = Markers(Timeline.regular(2, 50.0), ("C7",), np.ones((2, 1, 3)), [[True], [False]], sd)
    write_uncertainty_csv(tmp_path / "a.csv", markers)
    assert (tmp_path / "a.csv").read_text() == (
        "frame,time_s,C7_estimated,C7_sd_x_m,C7_sd_y_m,C7_sd_z_m\n"
        "0,0.000000,1,0.001000,0.002000,0.003000\n"
        "1,0.020000,0,,,\n"
        if with_sd
        else "frame,time_s,C7_estimated\n0,0.000000,1\n1,0.020000,0\n"
    )


def test_some_angles_in_another_order(tmp_path: Path) -> None:
    before = angles(with_sd=True)
    write_angles_csv(tmp_path / "a.csv", before, ["knee_r_flex"])
    after = read_angles_csv(tmp_path / "a.csv")
    assert after.names == ("knee_r_flex",)
    np.testing.assert_array_equal(after.gimbal[:, 0], before.gimbal[:, 1])
    with pytest.raises(InvalidData, match="ankle"):
        write_angles_csv(tmp_path / "b.csv", before, ["ankle"])
    assert not (tmp_path / "b.csv").exists()


def test_tables_of_a_spreadsheet(tmp_path: Path) -> None:
    """As Excel saves it: byte order mark, Windows line ends, extra columns, quoted names."""
    text = '\ufeff"frame","time_s","knee_r_flex_deg",mark\r\n0,0,1.5,\r\n1,0.02,,3\r\n'
    (tmp_path / "a.csv").write_bytes(text.encode())
    table = read_angles_csv(tmp_path / "a.csv")
    np.testing.assert_array_equal(table.degrees, [[1.5], [np.nan]])
    assert not table.gimbal.any()
    assert table.sd is None


def test_an_angle_called_sd_is_an_angle(tmp_path: Path) -> None:
    table = JointAngles(CLOCK, ("x_sd",), np.ones((3, 1)))
    write_angles_csv(tmp_path / "a.csv", table)
    assert read_angles_csv(tmp_path / "a.csv").names == ("x_sd",)
    both = JointAngles(CLOCK, ("x", "x_sd"), np.ones((3, 2)), sd=np.ones((3, 2)))
    with pytest.raises(InputError, match="two columns"):
        write_angles_csv(tmp_path / "b.csv", both)


def test_an_angle_without_a_deviation_beside_one_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("frame,time_s,x_deg,y_deg,x_sd_deg\n0,0,1,2,3\n")
    np.testing.assert_array_equal(read_angles_csv(tmp_path / "a.csv").sd, [[3.0, np.nan]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "not a table of kinefit"),
        ("frame;time_s;x_deg\n0;0,5;1,5\n", "not a table of kinefit"),
        ("frame,time_s,x_deg\n", "not a table of kinefit"),
        ("frame,time_s,x_deg,x_deg\n0,0,1,1\n", "not a table of kinefit"),
        ("frame,time_s,x\n0,0,1\n", "no column that ends in _deg"),
        ("frame,time_s,x_deg\n0,0,one\n", "line 2: 'one' is not a number"),
        ("frame,time_s,x_deg\n0,0,1\n1,0.1\n", "line 3 has 2 cells, expected 3"),
        ("frame,time_s,x_deg\n0,0,1\n,,\n", "line 3: the frame number is not a whole number"),
        ("frame,time_s,x_deg,x_sd_deg\n0,0,1,-1\n", "sd must not be negative"),
        ("frame,time_s,x_deg\n0,0,1\n1,0.1,1e300\n", "x is 1e+300 degrees in frame 1"),
        ("frame,time_s,x_deg\n0,0,-inf\n", "x is -inf degrees in frame 0"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(InputError, match=r"bad\.csv") as error:
        read_angles_csv(tmp_path / "bad.csv")
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a\nb"])
def test_names_that_would_shift_the_columns(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        write_angles_csv(tmp_path / "a.csv", JointAngles(CLOCK, (name,), np.ones((3, 1))))
