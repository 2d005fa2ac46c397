"""Several videos on one sheet."""

import numpy as np
import pytest

from kinefit.io.video import Clip, VideoWriter, frames
from kinefit.render.tiles import Tiles, film_frames, label
from kinefit.types import CameraRig, InvalidData, Timeline

from .shapes import camera


def rig(count, size=(160, 120)):
    return CameraRig(tuple(camera(name=f"c{i}", size=size) for i in range(count)))


def grey_video(path, levels, rate=10.0, size=(160, 120)):
    with VideoWriter(path, size, rate_hz=rate, quality=10) as writer:
        for i, level in enumerate(levels):
            writer.add(np.full((size[1], size[0], 3), level, np.uint8), i / rate)
    return Clip(path)


@pytest.mark.parametrize(
    ("count", "size", "columns", "tile"),
    [
        (1, (640, 360), 1, (960, 540)),
        (1, (1080, 1920), 1, (540, 960)),
        (4, (1920, 1080), 2, (640, 360)),
        (4, (1080, 1920), 4, (320, 568)),  # 568.9, to an even number
        (3, (641, 361), 2, (640, 360)),
    ],
)
def test_the_sheet_is_nearest_to_wide_screen(count, size, columns, tile):
    tiles = Tiles.of(rig(count, size))
    assert (tiles.columns, tiles.size) == (columns, tile)
    assert max(tiles.sheet_size) <= (960 if count == 1 else 1280)
    assert tiles.sheet_size[0] == columns * tile[0]


def test_each_camera_shows_the_picture_nearest_to_the_moment(tmp_path):
    slow = grey_video(tmp_path / "slow.mp4", [40, 80, 120, 160, 200])
    late = grey_video(tmp_path / "late.mp4", [60, 100, 140], rate=20.0)
    moments = np.array([[0.0, 0.1, 0.2, 0.34], [0.0, 0.024, 0.026, 0.3]])
    clock = Timeline(np.arange(7, 11), moments[0])
    told, done = [], []
    out = tmp_path / "o.mp4"

    def paint(t, pictures):
        assert t == len(told)
        told.append([int(picture[60, -5, 0]) for picture in pictures])
        label(pictures[0], "x", line=3)

    Tiles.of(rig(2)).write(
        out, [slow, late], moments, clock, paint, lambda *count: done.append(count)
    )
    # Levels come back within 2 of what was written (video range and 4:2:0).
    np.testing.assert_allclose(told, [[40, 60], [80, 60], [120, 100], [160, 140]], atol=2)
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    shown = list(frames(out))
    np.testing.assert_allclose([f.time for f in shown], moments[0], atol=1e-4)
    first = shown[0].rgb.astype(int)
    width = first.shape[1] // 2
    for left, line in ((0, 1), (width, 1), (0, 3)):  # names, and what was drawn
        assert np.ptp(first[20 * line - 12 : 20 * line + 2, left + 6 : left + 20]) > 100
    assert np.ptp(first[50:62, width + 6 : width + 20]) < 10  # nothing was drawn on the other


def test_what_does_not_fit_together_is_refused_and_leaves_nothing(tmp_path):
    video = grey_video(tmp_path / "v.mp4", [40, 80])
    before = sorted(tmp_path.iterdir())
    two, two_frames = [video, video], Timeline.regular(2, 10.0)
    wrong = (([video], (2, 1)), (two, (1, 1)), (two, (2,)), (two, (2, 0)))
    for videos, shape in wrong:
        moments = np.zeros(shape)
        with pytest.raises(InvalidData):
            Tiles.of(rig(2)).write(
                tmp_path / "o.mp4",
                videos,
                moments,
                two_frames,
                *[lambda *_: None] * 2,
            )
    assert sorted(tmp_path.iterdir()) == before


def test_one_moment_is_a_video_too(tmp_path):
    video = grey_video(tmp_path / "v.mp4", [40, 80])
    out = tmp_path / "o.mp4"
    Tiles.of(rig(1)).write(
        out, [video], np.array([[0.1]]), Timeline.regular(1, 1.0), *[lambda *_: None] * 2
    )
    (shown,) = frames(out)
    assert abs(int(shown.rgb[60, -5, 0]) - 80) <= 3


@pytest.mark.parametrize(
    ("rate", "step"), [(12.5, 1), (25, 1), (30, 1), (47, 1), (50, 2), (60, 2), (120, 5), (240, 10)]
)
def test_films_keep_24_frames_a_second(rate, step):
    timeline = Timeline.regular(20, rate)
    assert range(20)[film_frames(timeline)] == range(0, 20, step)
    slow = Timeline.regular(20, 8 * rate)
    assert range(20)[film_frames(slow, slowmo=8)] == range(0, 20, step)
    assert range(1)[film_frames(Timeline.regular(1, rate))] == range(1)


def test_words_lie_inside_their_rim():
    picture = np.full((40, 200, 3), 120, np.uint8)
    label(picture, "frame 81   1.35 s", color=(255, 255, 255))
    word, rim = (np.argwhere(kind) for kind in (picture[..., 0] > 200, picture[..., 0] < 60))
    assert len(word) > 100
    # The rim goes a pixel beyond the letters everywhere: letters lie in its middle.
    np.testing.assert_allclose(rim.min(axis=0), word.min(axis=0) - 1, atol=1)
    np.testing.assert_allclose(rim.max(axis=0), word.max(axis=0) + 1, atol=1)


def test_words_are_cut_off_at_the_edge_of_small_pictures():
    picture = np.zeros((12, 30, 3), np.uint8)
    for line in (1, 2, -1):
        label(picture, "frame 81", line=line)
    assert picture.any()
