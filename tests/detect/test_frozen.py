"""Repeated pictures: found where a stream froze, and not where somebody stands still."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from kinefit.detect.frozen import WatchedClip, frozen_stretches
from kinefit.io.video import Clip

RATE, SIZE = 30, (320, 240)


def pictures(places: Sequence[float], noise: float = 3.0) -> list[np.ndarray]:
    """A bright figure at `places` (pixels from the left) in a room with texture; `noise` (standard
    deviation) of a sensor."""
    rng = np.random.default_rng(0)
    width, height = SIZE
    y, x = np.mgrid[:height, :width]
    room = 90 + 40 * np.sin(x / 9) * np.sin(y / 7)
    seen = []
    for place in places:
        inside = np.clip(1.5 - np.maximum(np.abs(x - place) - 15, np.abs(y - 120) - 70), 0, 1)
        grey = room * (1 - inside) + (200 + 30 * np.sin((x - place) / 3)) * inside
        grey = grey + noise * rng.normal(size=grey.shape)
        seen.append(np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return seen


def film(path: Path, shown: Iterable[np.ndarray], codec: str = "libx264", **options: str) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=RATE)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.options = options
        for picture in shown:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


def found(path: Path) -> list[tuple[int, int]]:
    clip = WatchedClip(path)
    return frozen_stretches(clip.changes(), clip.timeline().time)


WALK = pictures(np.arange(60, 240, 2.0))  # 90 pictures
FROZEN = [*WALK[:30], *[WALK[29]] * 24, *WALK[54:]]  # 29 is shown until 53, 0.8 s


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"crf": "23"}),
        ("libx264", {"crf": "33", "g": "12"}),  # with two key frames meanwhile
        ("libx264", {"b": "500k", "preset": "veryfast"}),
        ("libx265", {"x265-params": "log-level=none"}),
        ("mjpeg", {}),
        ("ffv1", {}),
    ],
)
def test_a_stream_that_froze(codec: str, options: dict[str, str], tmp_path: Path) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"no {codec}")
    ((first, last),) = found(film(tmp_path / "a.mkv", FROZEN, codec, **options))
    # The first and last copies are coded as a correction, or with what comes after.
    assert 29 <= first <= 34
    assert 49 <= last <= 53


@pytest.mark.parametrize("shown", [[*[WALK[0]] * 30, *WALK[30:]], [*WALK[:60], *[WALK[59]] * 30]])
def test_at_the_beginning_and_at_the_end(shown: list[np.ndarray], tmp_path: Path) -> None:
    ((first, last),) = found(film(tmp_path / "a.mp4", shown))
    assert last - first >= 15


def eased(still: int, speed: float = 3.0) -> list[float]:
    """Places of somebody who comes to rest and starts again, each over a second."""
    ramp = speed * np.linspace(0, 1, RATE)
    steps = [*[speed] * 10, *ramp[::-1], *[0.0] * still, *ramp, *[speed] * 10]
    return (40 + np.cumsum(steps)).tolist()


@pytest.mark.parametrize(
    ("places", "noise"),
    [
        (np.arange(60, 240, 2.0).tolist(), 3.0),
        ([120.0] * 90, 3.0),  # somebody stands before a real camera
        (eased(45), 3.0),
        (eased(45), 0.0),  # and in a scene that is drawn
        ([120.0] * 90, 0.0),
        ([120 + 0.5 * np.sin(t / 20) for t in range(90)], 0.0),
    ],
)
def test_somebody_who_stands_still_is_no_frozen_stream(
    places: list[float], noise: float, tmp_path: Path
) -> None:
    shown = pictures(places, noise)
    assert found(film(tmp_path / "a.mp4", shown)) == []
    assert found(film(tmp_path / "b.mkv", shown, "ffv1")) == []


def test_short_and_regular_copies_are_no_frozen_stream(tmp_path: Path) -> None:
    """A third of a second; 15 pictures a second in a film of 30."""
    short = [*WALK[:30], *[WALK[29]] * 10, *WALK[40:]]
    assert found(film(tmp_path / "a.mp4", short)) == []
    twice = [picture for picture in WALK[::2] for _ in range(2)]
    assert found(film(tmp_path / "b.mp4", twice)) == []


def test_real_videos_have_none(demo_videos: Path) -> None:
    for name in ("cam01.mp4", "cam03.mp4"):
        assert found(demo_videos / name) == []


def test_changes_are_those_of_whoever_reads(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", FROZEN)
    whole = WatchedClip(path).changes()
    assert whole.shape == (90, 3)
    assert np.isnan(whole[0]).all()
    assert np.isfinite(whole[1:]).all()
    read = WatchedClip.of(Clip(path))
    assert [frame.index for frame in read.frames()] == list(range(90))
    noted = dict(read.noted)
    np.testing.assert_array_equal(read.changes(), whole)
    assert read.noted == noted
    assert len(noted) == 89
    resumed = WatchedClip(path)  # by a detector that had seen 40 before it was killed
    assert len(list(resumed.frames(skip=40))) == 50
    np.testing.assert_array_equal(resumed.changes(), whole)
    part = WatchedClip(path, start_s=1.0, every=2)
    assert len(part.changes()) == len(part.timeline()) == 30


def test_what_is_damaged_is_no_copy(tmp_path: Path) -> None:
    changes = WatchedClip(film(tmp_path / "a.mp4", FROZEN)).changes()
    time = np.arange(90) / RATE
    assert len(frozen_stretches(changes, time)) == 1
    changes[35:50] = np.nan
    assert frozen_stretches(changes, time) == []
    changes[:] = np.nan
    assert frozen_stretches(changes, time) == []
    assert frozen_stretches(changes[:1], time[:1]) == []
