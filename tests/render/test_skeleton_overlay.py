"""The video with the skeleton on it, read back with the project's reader."""

import numpy as np
import pytest

from kinefit.detect.protocol import FrameResult
from kinefit.io.video import VideoInfo, frames, probe
from kinefit.render.palette import SIDE_COLOR, rgb
from kinefit.render.skeleton_overlay import OverlayWriter
from kinefit.skeletons import skeleton

NAMES = skeleton("blazepose33").points
SIZE = (540, 960)
GREY = 90


def info(size=SIZE, rate=30.0) -> VideoInfo:
    return VideoInfo("in.mp4", size, 0, rate, 4, 4 / 30)  # type: ignore[arg-type]


def pose() -> np.ndarray:
    """A person whose right leg is a vertical line at x = 150 and left leg one at x = 350."""
    xy = np.full((len(NAMES), 2), np.nan)
    for side, x in (("R", 150), ("L", 350)):
        for name, y in (("Hip", 300), ("Knee", 550), ("Ankle", 800)):
            xy[NAMES.index(side + name)] = (x, y)
    return xy


def frame(index: int, xy: np.ndarray, score: float = 1.0, size=SIZE, damaged=False) -> FrameResult:
    rgb_ = None if damaged else np.full((size[1], size[0], 3), GREY, np.uint8)
    return FrameResult(index, index / 30, rgb_, xy, np.full(len(NAMES), score), None)


def written(path, results, size=SIZE, rate=30.0):
    with OverlayWriter(path, info(size, rate), NAMES) as sink:
        for result in results:
            sink(result)
    return list(frames(path))


def color_at(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """Mean colour of a 3 x 3 patch; 4:2:0 chroma smears single pixels."""
    x, y = round(x), round(y)
    return picture[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(axis=0)


def test_sides_have_their_colours_at_the_right_place(tmp_path):
    (shown,) = written(tmp_path / "o.mp4", [frame(0, pose())])
    assert shown.rgb.shape == (720, 404, 3)
    for x, side in ((150, "right"), (350, "left")):
        found = color_at(shown.rgb, x * 404 / 540, 425 * 0.75)  # half way down the thigh
        # Chroma is stored at half resolution, and the bone is 3 pixels wide on a white rim.
        distance = {s: np.abs(found - rgb(SIDE_COLOR[s])).sum() for s in ("right", "left")}
        assert min(distance, key=distance.__getitem__) == side
        assert distance[side] < 150
    assert np.abs(color_at(shown.rgb, 203, 300) - GREY).max() < 6  # between the legs: untouched


def test_unsure_points_are_pale(tmp_path):
    sure, pale = (written(tmp_path / f"{s}.mp4", [frame(0, pose(), s)])[0].rgb for s in (1.0, 0.2))
    x, y = 150 * 404 / 540, 425 * 0.75
    away_sure, away_pale = (np.abs(color_at(p, x, y) - GREY).sum() for p in (sure, pale))
    assert 0.15 * away_sure < away_pale < 0.7 * away_sure


def test_frames_without_anybody_are_written_and_damaged_ones_leave_their_time(tmp_path):
    nobody = np.full((len(NAMES), 2), np.nan)
    results = [frame(0, pose()), frame(1, nobody), frame(2, nobody, damaged=True), frame(3, pose())]
    shown = written(tmp_path / "o.mp4", results)
    assert [round(f.time * 30) for f in shown if f.rgb is not None] == [0, 1, 3]
    assert np.abs(shown[1].rgb[:680].astype(int) - GREY).max() < 6  # above the caption: untouched


def test_the_callers_picture_is_not_drawn_on(tmp_path):
    size = (320, 240)  # not scaled down
    result = frame(0, pose() * 0.25, size=size)
    written(tmp_path / "o.mp4", [result], size)
    assert (result.rgb == GREY).all()


def test_equal_input_gives_equal_bytes(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        written(tmp_path / name, [frame(i, pose() + i) for i in range(4)])
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1920, 1080), (720, 404)),
        ((641, 479), (640, 480)),
        ((31, 1921), (12, 720)),
        ((2, 2), (2, 2)),
    ],
)
def test_any_size_becomes_a_small_even_one(tmp_path, size, expected):
    written(tmp_path / "o.mp4", [frame(0, pose(), size=size)], size, rate=float("nan"))
    assert probe(tmp_path / "o.mp4").size == expected


def test_an_error_leaves_no_file(tmp_path):
    def interrupted() -> None:
        with OverlayWriter(tmp_path / "o.mp4", info(), NAMES) as sink:
            sink(frame(0, pose()))
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_points_of_another_skeleton_are_joined_by_name(tmp_path):
    names = skeleton("coco17").points
    xy = np.full((len(names), 2), np.nan)
    xy[names.index("RHip")], xy[names.index("RKnee")] = (150, 300), (150, 550)
    result = FrameResult(0, 0.0, frame(0, pose()).rgb, xy, np.ones(len(names)), None)
    with OverlayWriter(tmp_path / "o.mp4", info(), names) as sink:
        sink(result)
    (shown,) = frames(tmp_path / "o.mp4")
    assert np.abs(color_at(shown.rgb, 150 * 404 / 540, 425 * 0.75) - GREY).sum() > 60
