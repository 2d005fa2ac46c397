"""2D points in: tables, the project's own arrays, folders per camera; and what is refused."""

import csv
import json
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinefit.io import limits
from kinefit.io.points2d import People2D, Points2D, read_points
from kinefit.skeletons import skeleton
from kinefit.types import Camera, CameraRig, InputError, InvalidData, Timeline


def camera(name: str, size: tuple[int, int] = (640, 480)) -> Camera:
    return Camera(name, size, np.diag([500.0, 500.0, 1.0]), np.eye(3), np.zeros(3))


RIG = CameraRig((camera("left"), camera("right", (320, 240))))
HEADER = "frame,camera,point,x,y"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def points() -> Points2D:
    random = np.random.default_rng(0)
    xy = random.uniform(0, 200, (2, 5, 3, 2))
    xy[0, 1, 2] = np.nan
    score = random.uniform(0.1, 1, (2, 5, 3))
    timeline = Timeline(np.array([0, 2, 3, 7, 8]), np.array([0, 2, 3, 7, 8]) / 60)
    sizes = np.array([c.size for c in RIG])
    return Points2D(RIG.names, timeline, ("Nose", "LHip", "RHip"), xy, score, sizes)


def as_csv(path: Path, points: Points2D, random: np.random.Generator) -> Path:
    """Written by Python's own csv module, rows in random order."""
    rows = [
        (int(points.timeline.frame[t]), name, point, *map(repr, points.xy[c, t, j].tolist()),
         repr(float(points.score[c, t, j])), repr(float(points.timeline.time[t])))
        for c, name in enumerate(points.cameras)
        for t in range(len(points.timeline))
        for j, point in enumerate(points.names)
        if np.isfinite(points.xy[c, t, j, 0])
    ]  # fmt: skip
    first, rest = rows[0], rows[1:]  # the order of names is that of the file
    random.shuffle(rest)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["Frame", "CAMERA", "point", "X", "y", "Score", "time"])
        writer.writerows([first, *rest])
    return path


def same(a: Points2D, b: Points2D) -> None:
    assert a.cameras == b.cameras
    assert a.timeline == b.timeline
    np.testing.assert_array_equal(a.xy, b.xy)
    np.testing.assert_array_equal(a.score, b.score)
    np.testing.assert_array_equal(a.image_size, b.image_size)


class TestTable:
    def test_a_whole_table(self, tmp_path: Path, points: Points2D) -> None:
        file = as_csv(tmp_path / "p.csv", points, np.random.default_rng(1))
        read = read_points(file, RIG, subset=points.names)
        assert isinstance(read, Points2D)
        same(read, points)
        assert read.names == points.names
        assert read.assumed == ("Coordinates were taken for pixels.",)

    def test_times_from_the_rate_or_none(self, tmp_path: Path) -> None:
        file = write(tmp_path / "p.csv", HEADER, "0,left,a,5,6", "30,right,a,7,80")
        read = read_points(file, RIG, rate_hz=60)
        assert read.timeline.time.tolist() == [0, 0.5]
        assert read.timeline.frame.tolist() == [0, 30]
        assert any("no times" in said for said in read_points(file, RIG).assumed)
        with pytest.raises(InputError, match="0 is not a rate"):
            read_points(file, RIG, rate_hz=0)

    def test_shares_of_the_picture(self, tmp_path: Path) -> None:
        file = write(tmp_path / "p.csv", HEADER, "0,left,a,0.5,0.25", "0,right,a,0.5,-0.01")
        read = read_points(file, RIG)
        assert read.xy[:, 0, 0].tolist() == [[320, 120], [160, -2.4]]
        assert "shares" in read.assumed[0]
        assert [f.level for f in read.findings] == ["caution"]
        said = read_points(file, RIG, normalized=False)
        assert said.xy[0, 0, 0].tolist() == [0.5, 0.25]
        assert said.findings == ()
        pixels = write(tmp_path / "q.csv", HEADER, "0,left,a,0.5,0.25", "0,right,a,0.5,7")
        assert read_points(pixels, RIG).xy[0, 0, 0].tolist() == [0.5, 0.25]
        assert read_points(pixels, RIG, normalized=True).xy[1, 0, 0].tolist() == [160, 1680]

    def test_empty_cells_blanks_and_names_in_quotes(self, tmp_path: Path) -> None:
        file = write(
            tmp_path / "p.csv", "﻿" + HEADER + ",score,note", '0, left ,"a, b", 1 ,2,,x',
            '0,right,"a, b",,,0.5,', "", '1,right,"a, b",30,nan,0.5,', "1,left,c,40,50,0,",
        )  # fmt: skip
        read = read_points(file, RIG)
        assert read.names == ("a, b", "c")
        assert read.timeline.frame.tolist() == [0, 1]
        # No score, no x, no y, a score of 0: four ways not to have a point.
        assert np.isnan(read.xy).all()
        assert (read.score == 0).all()

    def test_several_persons(self, tmp_path: Path) -> None:
        lines = ["0,left,a,1,20,me", "0,left,a,3,4,you", "0,right,a,5,6,you", "1,right,a,7,8,me"]
        read = read_points(write(tmp_path / "p.csv", HEADER + ",person", *lines), RIG)
        assert isinstance(read, People2D)
        assert [[pose[:, 0, 0].tolist() for pose in view] for view in read.views] == [
            [[1, 3], []], [[5], [7]]
        ]  # fmt: skip
        one = write(tmp_path / "q.csv", HEADER + ",person", lines[0], lines[3])
        assert isinstance(read_points(one, RIG), Points2D)

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (["frame,camera,point,x"], "no column y"),
            (["frame;camera;point;x;y"], "no column frame, camera"),
            ([HEADER + ",x"], "two columns x"),
            ([HEADER], "no rows"),
            ([HEADER, "0,left,a,1,2", "0,right,a,1"], "line 3: 4 cells, expected 5"),
            ([HEADER, "0,left,a,1,2", "0,right,a,one,2"], "line 3: x is 'one', which is no"),
            ([HEADER, "0,left,a,1_0,2"], "line 2: x is '1_0'"),
            ([HEADER, "0,left,a,inf,2"], "line 2: x is inf, which is in no picture"),
            ([HEADER, "0.5,left,a,1,2"], "line 2: frame is 0.5"),
            ([HEADER, "-1,left,a,1,2"], "line 2: frame is -1"),
            ([HEADER, ",left,a,1,2"], "line 2: frame is nan"),
            ([HEADER, "0,left,,1,2"], "line 2: the point is empty"),
            ([HEADER, "0,left,a,1,2", "", "0,middle,a,1,2"], "line 4: .* no camera middle .*left"),
            ([HEADER, "0,left,a,1,2"], "one camera only"),
            ([HEADER, "0,left,a,1,2", "1,left,a,1,2", "0,left,a,3,4", "0,right,a,1,2"],
             "lines 2 and 4 are the same point: a of left in frame 0"),
            ([HEADER + ",score", "0,left,a,1,2,1.5"], "line 2: score is 1.5"),
            ([HEADER + ",time", "0,left,a,1,2,0", "0,right,a,1,2,0.1"], "another time"),
            ([HEADER + ",time", "0,left,a,1,2,3", "1,right,a,1,2,2"], "does not increase"),
            ([HEADER + ",time", "0,left,a,1,2,x"], "line 2: time is 'x'"),
            ([HEADER, "0,left,a,,", "0,right,a,,"], "no points"),
            ([HEADER, "0,left,a,-0.03,0.25", "0,right,a,0.5,1"], "neither pixels nor shares"),
        ],
    )  # fmt: skip
    def test_what_is_refused(self, tmp_path: Path, lines: list[str], message: str) -> None:
        with pytest.raises(InputError, match=message):
            read_points(write(tmp_path / "p.csv", *lines), RIG)

    def test_a_million_rows(self, tmp_path: Path) -> None:
        """200,000 here, a fifth of it, five times as fast."""
        cells = [f"{t},{c},p{j},{t % 600}.25,{j}.5,0.9" for t in range(5000)
                 for c in ("left", "right") for j in range(20)]  # fmt: skip
        file = write(tmp_path / "p.csv", HEADER + ",score", *cells)
        start = process_time()
        read = read_points(file, RIG)
        # 0.3 s on an idle core; ten times that for a machine with other things to do.
        assert process_time() - start < 3
        assert read.xy.shape == (2, 5000, 20, 2)
        assert read.xy[1, 4999, 7].tolist() == [199.25, 7.5]

    @given(text=st.text(alphabet='0123456789.,"\n\r\0lefta x-e_;', max_size=80))
    @settings(
        max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_garbage_never_escapes_as_another_error(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "g.csv"
        file.write_bytes((HEADER + "\n0,left,a,1,2\n" + text).encode())
        with pytest.raises(InputError):  # one camera only, at best
            read_points(file, RIG)


def write_points(path: Path, points: Points2D) -> None:
    np.savez_compressed(
        path, xy=points.xy, score=points.score, frame=points.timeline.frame,
        time=points.timeline.time, names=np.array(points.names),
        cameras=np.array(points.cameras), image_size=points.image_size,
    )  # fmt: skip


class TestOwnArrays:
    def test_round_trip(self, tmp_path: Path, points: Points2D) -> None:
        write_points(tmp_path / "p.npz", points)
        read = read_points(tmp_path / "p.npz", RIG)
        same(read, points)
        assert read.names == points.names
        assert read.assumed == ()

    def test_cameras_by_name_not_by_order(self, tmp_path: Path, points: Points2D) -> None:
        write_points(tmp_path / "p.npz", points)
        rig = CameraRig((camera("third"), RIG["right"], RIG["left"]))
        read = read_points(tmp_path / "p.npz", rig)
        np.testing.assert_array_equal(read.xy[[2, 1]], points.xy)
        assert np.isnan(read.xy[0]).all()
        assert read.assumed == ("There are no points of camera third.",)
        with pytest.raises(InputError, match="no camera right"):
            read_points(tmp_path / "p.npz", CameraRig((RIG["left"], camera("third"))))

    def test_pictures_of_another_size_are_said(self, tmp_path: Path, points: Points2D) -> None:
        write_points(tmp_path / "p.npz", points)
        rig = CameraRig((camera("left", (640, 488)), RIG["right"]))
        (said,) = read_points(tmp_path / "p.npz", rig).assumed
        assert "640 x 480" in said
        assert "640 x 488" in said

    def test_damage(self, tmp_path: Path, points: Points2D, monkeypatch) -> None:
        path = tmp_path / "p.npz"
        write_points(path, points)
        whole = path.read_bytes()
        for cut in (0, 10, 200, len(whole) - 30):
            path.write_bytes(whole[:cut])
            with pytest.raises(InputError, match=r"p\.npz"):
                read_points(path, RIG)
        stored = {
            "xy": points.xy, "score": points.score, "frame": points.timeline.frame,
            "time": points.timeline.time, "names": np.array(points.names),
            "cameras": np.array(points.cameras), "image_size": points.image_size,
        }  # fmt: skip
        for change, message in [
            ({"score": None}, "no array 'score'"),
            ({"xy": points.xy[:, :4]}, "xy has shape"),
            ({"names": np.arange(3)}, "names are not a list"),
            ({"time": points.timeline.time[::-1]}, "does not increase"),
            ({"xy": points.xy.astype(complex)}, "xy|type"),
            ({"cameras": np.array(["left", "left"])}, "duplicates"),
        ]:
            kept = {k: v for k, v in (stored | change).items() if v is not None}
            np.savez(path, **kept)
            with pytest.raises(InputError, match=message):
                read_points(path, RIG)
        np.savez_compressed(path, **stored | {"xy": np.zeros(10**6)})  # 8 MB that pack into 9 kB
        monkeypatch.setattr(limits, "ARRAY_BYTES", 10**6)
        with pytest.raises(InputError, match="unpacks to more"):
            read_points(path, RIG)


class TestOpenPoseFolders:
    def folder(self, path: Path, name: str, people: list[list[float]]) -> None:
        (path / name).mkdir()
        for frame in range(3):
            entries = [{"pose_keypoints_2d": p} for p in people]
            file = path / name / f"{name}_{frame:06d}_keypoints.json"
            file.write_text(json.dumps({"people": entries}))

    def test_one_and_several(self, tmp_path: Path) -> None:
        one = [v for j in range(26) for v in (10.0 + j, 20.0, 0.9)]
        self.folder(tmp_path, "left", [one])
        self.folder(tmp_path, "right_json", [one])
        read = read_points(tmp_path, RIG, rate_hz=30, subset="Nose,LKnee")
        assert isinstance(read, Points2D)
        assert read.names == ("Nose", "LKnee")
        assert read.xy[1, 2].tolist() == [[10, 20], [23, 20]]
        (tmp_path / "b").mkdir()
        self.folder(tmp_path / "b", "left", [one, one])
        self.folder(tmp_path / "b", "right", [one])
        crowd = read_points(tmp_path / "b", RIG)
        assert isinstance(crowd, People2D)
        assert [[len(p) for p in view] for view in crowd.views] == [[2, 2, 2], [1, 1, 1]]

    def test_the_set_of_all_cameras_together(self, tmp_path: Path) -> None:
        """Nothing tells which of the two sets of 25 points: a caution, once."""
        one = [v for j in range(25) for v in (10.0, 20.0, 0.9)]
        for name in ("left", "right"):
            self.folder(tmp_path, name, [one])
        (found,) = read_points(tmp_path, RIG).findings
        assert found.level == "caution"
        assert "--keypoint-set body25b" in found.action
        assert read_points(tmp_path, RIG, keypoint_set="body25b").findings == ()

    @pytest.mark.parametrize("empty", [[], [[0.0] * 78]])
    def test_a_camera_that_sees_nobody_is_left_out_and_said(
        self, empty: list[list[float]], tmp_path: Path
    ) -> None:
        one = [v for j in range(26) for v in (10.0 + j, 20.0, 0.9)]
        rig = CameraRig((*RIG.cameras, camera("top")))
        self.folder(tmp_path, "left", [one])
        self.folder(tmp_path, "right", [one])
        self.folder(tmp_path, "top", empty)
        read = read_points(tmp_path, rig, rate_hz=30)
        assert isinstance(read, Points2D)
        assert np.isnan(read.xy[2]).all()
        assert np.isfinite(read.xy[:2]).all()
        assert "There are no points of camera top." in read.assumed

    def test_two_cameras_must_see_somebody(self, tmp_path: Path) -> None:
        self.folder(tmp_path, "left", [[10.0, 20.0, 0.9] * 26])
        self.folder(tmp_path, "right", [])
        with pytest.raises(InputError, match="no person was found by camera right, and two must"):
            read_points(tmp_path, RIG)

    def test_the_folder_of_one_camera_only(self, tmp_path: Path) -> None:
        self.folder(tmp_path, "left", [[10.0, 20.0, 0.9] * 26])
        with pytest.raises(InputError, match="points of camera left only"):
            read_points(tmp_path, RIG)

    def test_names_on_both_sides(self, tmp_path: Path) -> None:
        one = [v for j in range(26) for v in (10.0 + j, 20.0, 0.9)]
        self.folder(tmp_path, "left", [one])
        self.folder(tmp_path, "right2", [one])
        with pytest.raises(InputError, match=r"like camera right; it has right2"):
            read_points(tmp_path, RIG)


def test_subset_of_a_skeleton(tmp_path: Path) -> None:
    names = skeleton("mhr70").points
    xy = np.arange(2 * 70 * 2.0).reshape(2, 1, 70, 2) + 50
    sizes = np.array([c.size for c in RIG])
    whole = Points2D(RIG.names, Timeline([0], [0.0]), names, xy, np.ones((2, 1, 70)), sizes)
    write_points(tmp_path / "p.npz", whole)
    part = read_points(tmp_path / "p.npz", RIG, subset="mhr46")
    assert part.names == skeleton("mhr46").points
    np.testing.assert_array_equal(part.xy[:, :, :20], xy[:, :, 21:41])
    with pytest.raises(InputError, match="no point Head, Hip"):
        read_points(tmp_path / "p.npz", RIG, subset=("Head", "Hip"))
    with pytest.raises(InputError, match="twice"):
        read_points(tmp_path / "p.npz", RIG, subset="Nose,Nose")


def test_what_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_points(tmp_path / "none", RIG)
    with pytest.raises(InputError, match=r"not a folder, \.csv or"):
        read_points(write(tmp_path / "p.txt", "x"), RIG)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="like camera left, right; it has nothing else"):
        read_points(tmp_path / "empty", RIG)


def test_the_type_refuses_disorder() -> None:
    good = {
        "cameras": ("a",),
        "timeline": Timeline([0], [0.0]),
        "names": ("p",),
        "xy": np.zeros((1, 1, 1, 2)),
        "score": np.ones((1, 1, 1)),
        "image_size": np.ones((1, 2)),
    }
    Points2D(**good)
    for change in (
        {"xy": np.zeros((1, 1, 2))},
        {"xy": np.full((1, 1, 1, 2), np.inf)},
        {"score": np.full((1, 1, 1), 1.5)},
        {"cameras": ("a", "a")},
        {"image_size": np.ones((2, 2))},
    ):
        with pytest.raises(InvalidData):
            Points2D(**(good | change))
