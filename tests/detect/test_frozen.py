"""Repeated pictures: found where a stream froze, and not where somebody stands still."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from kinefit.detect.frozen import WatchedClip, frozen_stretches
from kinefit.io.video import Clip, VideoFrame

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


def watched(path: Path) -> WatchedClip:
    """As a detector leaves it."""
    clip = WatchedClip(path)
    assert len(list(clip.frames())) == len(clip.timeline())
    return clip


def found(path: Path) -> list[tuple[int, int]]:
    clip = watched(path)
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
def test_at_the_beginning_and_at_the_end_nothing_tells(
    shown: list[np.ndarray], tmp_path: Path
) -> None:
    """A scene that begins or ends at rest looks the same."""
    assert found(film(tmp_path / "a.mp4", shown)) == []


LEAVES = np.arange(250, 325, 3.0).tolist()
COMES_BACK = LEAVES[::-1]


@pytest.mark.parametrize(
    "places",
    [
        [-100.0] * 30 + np.arange(-20, 70, 3.0).tolist(),
        LEAVES + [500.0] * 30,
        LEAVES + [500.0] * 30 + COMES_BACK,
    ],
    ids=["somebody comes in", "leaves", "leaves and comes back"],
)
@pytest.mark.parametrize(("noise", "crf"), [(0.0, "23"), (1.0, "26")])
def test_an_empty_room_is_no_frozen_stream(
    places: list[float], noise: float, crf: str, tmp_path: Path
) -> None:
    """Without noise, or where coding takes it, nothing changes until somebody is there at once."""
    assert found(film(tmp_path / "a.mp4", pictures(places, noise), crf=crf)) == []


@pytest.mark.parametrize("frames", [2, 3, 4])
@pytest.mark.parametrize("noise", [0.5, 1.0])
def test_somebody_who_stops_and_starts_quickly(frames: int, noise: float, tmp_path: Path) -> None:
    """From a full walk to nothing and back within as many frames, exactly still meanwhile."""
    ramp = 3.0 * np.linspace(0, 1, frames + 2)[1:-1]
    steps = [*[3.0] * 15, *ramp[::-1], *[0.0] * 30, *ramp, *[3.0] * 15]
    assert found(film(tmp_path / "a.mp4", pictures(40 + np.cumsum(steps), noise), crf="26")) == []


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


def test_changes_are_those_of_whoever_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "a.mp4", FROZEN)
    read = WatchedClip.of(Clip(path))
    assert [frame.index for frame in read.frames()] == list(range(90))
    whole = read.changes()
    assert whole.shape == (90, 3 + 64)
    assert np.isnan(whole[0]).all()
    assert np.isfinite(whole[1:]).all()
    np.testing.assert_array_equal(whole[1:, 3:].max(axis=1), whole[1:, 2])
    resumed = WatchedClip(path)  # by a detector that had seen 40 before it was killed
    assert len(list(resumed.frames(skip=40))) == 50
    np.testing.assert_array_equal(resumed.changes(), whole)
    part = WatchedClip(path, start_s=1.0, every=2)
    assert len(list(part.frames())) == len(part.changes()) == len(part.timeline()) == 30
    monkeypatch.setattr(Clip, "frames", None)  # nobody read: the video is not decoded for this
    assert np.isnan(WatchedClip(path).changes()).all()


def test_a_damaged_frame_is_noted_and_not_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "a.mp4", FROZEN)
    sound = Clip.frames

    def frames(self: Clip, *, skip: int = 0) -> Iterator[VideoFrame]:
        for frame in sound(self, skip=skip):
            yield replace(frame, rgb=None) if frame.index == 70 else frame

    monkeypatch.setattr(Clip, "frames", frames)
    clip = watched(path)
    monkeypatch.setattr(Clip, "frames", None)
    changes = clip.changes()
    assert np.flatnonzero(np.isnan(changes[:, 0])).tolist() == [0, 70, 71]
    assert len(frozen_stretches(changes, np.arange(90) / RATE)) == 1


def test_what_is_damaged_is_no_copy(tmp_path: Path) -> None:
    changes = watched(film(tmp_path / "a.mp4", FROZEN)).changes()
    time = np.arange(90) / RATE
    assert len(frozen_stretches(changes, time)) == 1
    changes[35:50] = np.nan
    assert frozen_stretches(changes, time) == []
    changes[:] = np.nan
    assert frozen_stretches(changes, time) == []
    assert frozen_stretches(changes[:1], time[:1]) == []
