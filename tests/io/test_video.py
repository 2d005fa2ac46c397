"""Videos encoded here, read back; damage made here, survived."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import av
import cv2
import numpy as np
import pytest

from kinefit.io import video as video_module
from kinefit.io.video import Clip, VideoFrame, VideoWriter, _clock, _decoded, frames, probe
from kinefit.types import InputError, InvalidData


def picture(size: tuple[int, int], shift: int = 0) -> np.ndarray:
    """(height, width, 3) uint8: a smooth pattern that differs at every shift and corner."""
    width, height = size
    x, y = np.meshgrid(np.arange(width) + shift, np.arange(height))
    waves = [
        np.sin(x / 17) + np.sin(y / 23),
        np.cos(x / 31) + y / height,
        x / width + np.sin(y / 9),
    ]
    return np.stack([np.interp(w, (-2, 2), (20, 235)) for w in waves], -1).astype(np.uint8)


class TestWriter:
    TIMES = (0.5, 0.533, 0.6, 0.7, 0.71, 1.0)

    def write(self, path: Path, size: tuple[int, int] = (64, 48)) -> Path:
        with VideoWriter(path, size) as out:
            for i, time in enumerate(self.TIMES):
                out.add(picture(size, i), time)
        return path

    def test_every_frame_keeps_its_own_time_and_picture(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "a.mp4")
        with av.open(str(path)) as file:
            frames = list(file.decode(video=0))
        # Half a tick of the 90 kHz clock.
        assert [f.time for f in frames] == pytest.approx(self.TIMES, abs=0.5 / 90_000)
        for i, frame in enumerate(frames):
            error = frame.to_ndarray(format="rgb24") - picture((64, 48), i).astype(float)
            # Lossy coding of a smooth picture; the wrong colour matrix alone makes it 10.
            assert np.abs(error).mean() < 3

    def test_equal_input_gives_equal_bytes(self, tmp_path: Path) -> None:
        one, two = (self.write(tmp_path / name).read_bytes() for name in ("a.mp4", "b.mp4"))
        assert one == two

    def test_odd_sizes_grow_by_one(self, tmp_path: Path) -> None:
        with av.open(str(self.write(tmp_path / "a.mp4", (63, 47)))) as file:
            frame = next(file.decode(video=0))
        assert (frame.width, frame.height) == (64, 48)

    def test_an_error_leaves_nothing(self, tmp_path: Path) -> None:
        def fail_halfway() -> None:
            with VideoWriter(tmp_path / "a.mp4", (64, 48)) as out:
                out.add(picture((64, 48)), 0.0)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail_halfway()
        with (
            pytest.raises(InvalidData, match="at least one"),
            VideoWriter(tmp_path / "b.mp4", (8, 8)),
        ):
            pass
        with pytest.raises(InputError, match="suffix"):
            VideoWriter(tmp_path / "c.nonsense", (8, 8))
        assert list(tmp_path.iterdir()) == []

    def test_refuses_other_shapes_and_time_running_back(self, tmp_path: Path) -> None:
        with VideoWriter(tmp_path / "a.mp4", (64, 48)) as out:
            out.add(picture((64, 48)), 1.0)
            with pytest.raises(InvalidData, match="expected"):
                out.add(picture((48, 64)), 2.0)
            with pytest.raises(InvalidData, match="increase"):
                out.add(picture((64, 48)), 1.0)


def encode(
    path: Path,
    size: tuple[int, int] = (64, 48),
    *,
    count: int = 24,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    ticks: Sequence[int] | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
) -> Path:
    """A video of `picture`s at 30 Hz, or with time stamps `ticks` in milliseconds."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.options = options or {"g": "8"}
        if ticks is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(picture(size, 4 * i), format="rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = ticks[i], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def damage(path: Path, *packets: int) -> list[float]:
    """Overwrite the data of some packets (by order of decoding); returns their times, sorted."""
    with av.open(str(path)) as file:
        found = list(file.demux(video=0))
    data = bytearray(path.read_bytes())
    for packet in (found[i] for i in packets):
        data[packet.pos : packet.pos + packet.size] = bytes([0xAB]) * packet.size
    path.write_bytes(data)
    return sorted(float(found[i].pts * found[i].time_base) for i in packets)


def picture_error(frame: VideoFrame, expected: np.ndarray) -> float:
    """Mean absolute difference of grey levels."""
    assert frame.rgb is not None
    assert frame.rgb.shape == expected.shape
    return float(np.abs(frame.rgb.astype(float) - expected).mean())


class TestReader:
    def test_constant_rate(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4")
        info = probe(path)
        assert (info.size, info.rotation, info.n_frames) == ((64, 48), 0, 24)
        assert info.rate_hz == pytest.approx(30)
        assert info.duration_s == pytest.approx(24 / 30)
        read = list(frames(path))
        assert [f.index for f in read] == list(range(24))
        np.testing.assert_allclose([f.time for f in read], np.arange(24) / 30, atol=1e-9)
        # Lossy coding; the picture of the frame before or after differs by 12.
        assert max(picture_error(f, picture((64, 48), 4 * f.index)) for f in read) < 4
        assert [f.index for f in Clip(path).frames(skip=20)] == [20, 21, 22, 23]

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
    def test_variable_rate_keeps_the_stamps(self, tmp_path: Path, suffix: str) -> None:
        ticks = np.cumsum([500, *np.random.default_rng(1).integers(10, 90, 23)]).tolist()
        path = encode(tmp_path / f"a{suffix}", ticks=ticks)
        times = [f.time for f in frames(path)]
        wanted = np.array(ticks) / 1000 - 0.5  # a player's clock begins with the first frame
        np.testing.assert_allclose(times, wanted, atol=1e-4)  # the container's ticks

    @pytest.mark.parametrize(
        ("codec", "pixels", "suffix"),
        [("ffv1", "yuv444p", ".mkv"), ("mpeg4", "yuv420p", ".mp4"), ("mpeg4", "yuv420p", ".avi")],
    )
    def test_odd_sizes(self, tmp_path: Path, codec: str, pixels: str, suffix: str) -> None:
        size = (321, 241)
        path = encode(tmp_path / f"a{suffix}", size, count=3, codec=codec, pixels=pixels)
        assert probe(path).size == size
        assert picture_error(next(frames(path)), picture(size)) < 4  # lossy coding

    @pytest.mark.parametrize("rotation", [90, 180, -90])
    def test_rotation_gives_the_upright_picture(self, tmp_path: Path, rotation: int) -> None:
        path = encode(tmp_path / "a.mp4", rotation=rotation, count=2)
        upright = np.rot90(picture((64, 48)), rotation // 90)
        info = probe(path)
        assert info.rotation == rotation % 360
        assert info.size == (upright.shape[1], upright.shape[0])
        first = next(frames(path))
        assert picture_error(first, upright) < 4  # lossy coding
        # OpenCV turns by the same metadata with code of its own.
        ok, bgr = cv2.VideoCapture(str(path)).read()
        assert ok
        assert picture_error(first, bgr[..., ::-1]) < 1

    def test_pixels_become_square(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4", aspect=Fraction(4, 3), count=2)
        assert probe(path).size == (85, 48)  # 64 * 4 / 3, rounded

    def test_square_pixels_count_for_the_limit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = encode(tmp_path / "a.mp4", aspect=Fraction(40, 1), count=2)
        monkeypatch.setattr("kinefit.io.pictures.MOST_PIXELS", 100_000)
        with pytest.raises(InputError, match="have 2560 x 48 pixels"):
            next(frames(path))

    def test_times_count_from_the_first_frame(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.ts")
        with av.open(str(path)) as file:
            assert file.streams.video[0].start_time > 0  # by the encoder's delay
        times = [f.time for f in frames(path)]
        np.testing.assert_allclose(times, np.arange(24) / 30, atol=1e-9)

    def test_joined_recordings_go_on_in_time(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.ts", count=60)
        path.write_bytes(path.read_bytes() * 2)
        read = list(frames(path))
        assert len(read) == 120
        # MPEG-TS stamps in 1/90000 s, joined by the median interval.
        np.testing.assert_allclose(np.diff([f.time for f in read]), 1 / 30, atol=1e-4)

    def test_h264_in_avi_is_counted(self, tmp_path: Path) -> None:
        read = list(frames(encode(tmp_path / "a.avi")))
        assert len(read) == 24
        assert all(f.rgb is not None for f in read)


class TestClock:
    """Stamps in ticks of 1 ms, in the order of decoding."""

    def times(self, stamps: list[int], decoding: list[int] | None = None) -> list[float]:
        order = np.array(decoding or stamps)
        key = np.ones(len(stamps), bool)
        clock = _clock(np.array(stamps), order, key, tick_s=1e-3, nominal_hz=float("nan"))
        return np.round(clock.time * 1000, 6).tolist()

    def test_reordered_pictures(self) -> None:
        assert self.times([0, 90, 30, 60], [0, 30, 60, 90]) == [0, 30, 60, 90]

    def test_a_repeated_stamp_falls_between_its_neighbours(self) -> None:
        assert self.times([0, 30, 30, 90]) == [0, 30, 60, 90]
        assert self.times([0, 30, 60, 60, 60]) == [0, 30, 60, 90, 120]

    def test_a_clock_set_back_goes_on(self) -> None:
        assert self.times([5000, 5040, 0, 40, 100]) == [0, 40, 80, 120, 180]

    def test_one_stamp_a_little_back_does_not_reorder_the_time(self) -> None:
        assert self.times([0, 30, 90, 60, 120]) == [0, 30, 60, 90, 120]


class TestDamage:
    @pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
    def test_a_damaged_frame_is_marked_and_the_rest_goes_on(
        self, tmp_path: Path, codec: str
    ) -> None:
        path = encode(tmp_path / "a.mp4", codec=codec)
        whole = list(frames(path))
        times = damage(path, 12)
        read = list(frames(path))
        assert [f.index for f in read] == list(range(24))
        np.testing.assert_allclose([f.time for f in read], np.arange(24) / 30, atol=1e-9)
        lost = [f.time for f in read if f.rgb is None]
        assert lost[0] == pytest.approx(times[0])
        assert len(lost) <= 3  # a reference takes its B frames along
        np.testing.assert_array_equal(read[-1].rgb, whole[-1].rgb)  # after the next key frame
        shown = list(Clip(path).pictures_at(np.arange(24) / 30))
        assert [p is None for p in shown] == [f.rgb is None for f in read]

    def test_damage_in_the_last_packets_costs_no_good_frame(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4", codec="mpeg4")
        times = damage(path, 22)
        # Frame threads alone lose the last frame too.
        assert [f.time for f in frames(path) if f.rgb is None] == pytest.approx(times)

    def test_damage_in_the_first_packet(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4", options={"g": "8", "bf": "0", "sc_threshold": "0"})
        damage(path, 0)
        read = list(frames(path))
        assert len(read) == 24
        assert [f.index for f in read if f.rgb is None] == list(range(8))  # until the next key
        assert probe(path).size == (64, 48)

    @pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
    def test_a_lost_key_frame_takes_its_group_along(self, tmp_path: Path, codec: str) -> None:
        path = encode(
            tmp_path / "a.mp4", codec=codec, options={"g": "8", "bf": "0", "sc_threshold": "0"}
        )
        damage(path, 8)
        assert [f.index for f in frames(path) if f.rgb is None] == list(range(8, 16))

    def test_nothing_to_decode(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4", count=6)
        damage(path, *range(6))
        with pytest.raises(InputError, match="none of its 6 frames"):
            probe(path)


class TestBadInput:
    def refused(self, path: Path, reason: str) -> None:
        for read in (probe, lambda p: next(frames(p))):
            with pytest.raises(InputError, match=reason) as caught:
                read(path)
            assert path.name in str(caught.value)
            assert caught.value.hint

    def test_missing_empty_and_folder(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "none.mp4", "no such file")
        (tmp_path / "empty.mp4").touch()
        self.refused(tmp_path / "empty.mp4", "empty")
        self.refused(tmp_path, "folder")

    def test_no_video(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
        self.refused(tmp_path / "a.mp4", "not a video")
        (tmp_path / "b.mp4").write_text("Time,Marker\n" * 100)
        self.refused(tmp_path / "b.mp4", "not a video")

    def test_sound_only(self, tmp_path: Path) -> None:
        path = tmp_path / "a.m4a"
        with av.open(str(path), "w") as file:
            stream = file.add_stream("aac", rate=8000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            sound.sample_rate, sound.pts = 8000, 0
            file.mux(stream.encode(sound))
            file.mux(stream.encode())
        self.refused(path, "no video")

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
    def test_truncated(self, tmp_path: Path, suffix: str) -> None:
        path = encode(tmp_path / f"a{suffix}", count=60, codec="mpeg4")
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        self.refused(path, "cut off|truncated")

    def test_truncated_with_the_index_in_front(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp4"
        with VideoWriter(path, (64, 48)) as out:
            for i in range(24):
                out.add(picture((64, 48), i), i / 30)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 3 // 4])
        self.refused(path, "truncated")

    def test_no_frame(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mkv"
        with av.open(str(path), "w") as file:
            stream = file.add_stream("mpeg4", rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            file.start_encoding()
        self.refused(path, "no frame|cut off")

    def test_no_time_stamps(self, tmp_path: Path) -> None:
        self.refused(encode(tmp_path / "a.h264"), "no time stamps")


@pytest.mark.parametrize("rate", [30, 60])
def test_milliseconds_of_matroska_are_a_constant_clock(tmp_path, rate):
    path = tmp_path / "ms.mkv"
    with VideoWriter(path, (64, 48), rate_hz=rate) as writer:
        for i in range(50):
            writer.add(np.full((48, 64, 3), i, np.uint8), i / rate)
    timeline = Clip(path).timeline()
    np.testing.assert_allclose(timeline.time, np.arange(50) / rate, atol=1e-9)
    assert timeline.is_uniform


def test_a_dropped_frame_of_matroska_stays_a_gap(tmp_path):
    path = tmp_path / "gap.mkv"
    kept = [i for i in range(50) if i != 20]
    with VideoWriter(path, (64, 48), rate_hz=30) as writer:
        for i in kept:
            writer.add(np.full((48, 64, 3), i, np.uint8), i / 30)
    # Milliseconds, as written: half a tick of rounding.
    np.testing.assert_allclose(Clip(path).timeline().time, np.array(kept) / 30, atol=5.1e-4)


def test_a_stamp_hours_ahead_is_refused(tmp_path):
    path = tmp_path / "jump.mkv"
    with VideoWriter(path, (64, 48)) as writer:
        for time in (0.0, 1 / 30, 2 / 30, 8000.0):
            writer.add(np.zeros((48, 64, 3), np.uint8), time)
    with pytest.raises(InputError, match="more than an hour"):
        probe(path)


def test_pictures_can_come_small(demo_clip):
    whole = next(frames(demo_clip)).rgb
    small = next(Clip(demo_clip).pictures_at(np.zeros(1), (108, 192)))
    assert small.shape == (192, 108, 3)
    averaged = cv2.resize(whole, (108, 192), interpolation=cv2.INTER_AREA)
    # The same area's mean, colours converted before or after: a level or two.
    assert np.abs(averaged.astype(float) - small).mean() < 3


def test_pictures_at_moments_are_the_nearest_frames(tmp_path):
    path = tmp_path / "v.mp4"
    with VideoWriter(path, (64, 48), rate_hz=10.0, quality=10) as writer:
        for i in range(6):
            writer.add(np.full((48, 64, 3), 30 * i, np.uint8), 3.0 + i / 10)
    moments = np.array([0.0, 0.04, 0.06, 0.3, 0.3, 0.9])
    found = list(Clip(path).pictures_at(moments))
    wanted = [f.rgb for f in frames(path)]
    assert all((a == wanted[i]).all() for a, i in zip(found, [0, 0, 1, 3, 3, 5], strict=True))
    assert list(Clip(path).pictures_at(np.zeros(0))) == []


def _short(path: Path) -> Path:
    with VideoWriter(path, (64, 48)) as out:
        for i in range(3):
            out.add(picture((64, 48), i), i / 30)
    return path


def test_a_colon_in_the_name_is_no_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _short(tmp_path / "take.mp4").rename(tmp_path / "take:1.mp4")
    assert probe("take:1.mp4").n_frames == 3


def test_a_list_of_other_files_is_no_video(tmp_path):
    _short(tmp_path / "other.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    with av.open(str(tmp_path / "list.mp4")) as file:  # the control: FFmpeg itself takes it
        assert file.streams.video
    with pytest.raises(InputError, match="is not a video"):
        probe(tmp_path / "list.mp4")


def test_titles_need_not_be_unicode_text(demo_clip, tmp_path):
    """Cameras and old programs write them in any encoding."""
    content = _short(tmp_path / "a.mp4").read_bytes()
    # The name of the format, the one text that is always there.
    (tmp_path / "b.mp4").write_bytes(content[:8] + b"\xc4\xe4\xff\xfe" + content[12:])
    assert probe(tmp_path / "b.mp4").n_frames == probe(tmp_path / "a.mp4").n_frames


def test_pictures_of_an_unknown_kind_are_refused(tmp_path):
    content = _short(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(content.replace(b"avc1", b"zzzz"))
    with pytest.raises(InputError, match=r"b\.mp4"):
        probe(tmp_path / "b.mp4")


def test_devices_are_no_videos(tmp_path):
    (tmp_path / "a.mp4").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="a device or a pipe"):
        probe(tmp_path / "a.mp4")


def same_frames(found: Sequence[VideoFrame], wanted: Sequence[VideoFrame]) -> None:
    """Numbers, times and pictures, to the last bit."""
    assert [(f.index, f.time) for f in found] == [(f.index, f.time) for f in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert (one.rgb is None) == (other.rgb is None)
        if one.rgb is not None:
            np.testing.assert_array_equal(one.rgb, other.rgb)


def decoded_for(read: Callable[[], object]) -> int:
    """How many pictures are decoded by `read`."""
    count = 0

    def counted(*about: object) -> object:
        nonlocal count
        for picture in _decoded(*about):
            count += 1
            yield picture

    with patch.object(video_module, "_decoded", counted):
        read()
    return count


def decoded_from(path: Path, first: int) -> int:
    """How many pictures are decoded to get to the frame `first`."""
    return decoded_for(lambda: next(Clip(path).frames(skip=first)))


H264 = {"g": "8", "sc_threshold": "0"}


class TestClip:
    @pytest.mark.parametrize(
        ("codec", "suffix", "options"),
        [
            ("libx264", ".mp4", H264),
            ("libx264", ".mkv", H264),
            ("libx264", ".avi", H264),
            ("libx264", ".ts", H264),
            ("libx264", ".mp4", {**H264, "x264-params": "open-gop=1"}),
            ("libx264", ".mp4", {"x264-params": "intra-refresh=1:keyint=10"}),
            ("libx265", ".mp4", {"x265-params": "keyint=8:log-level=none"}),
            ("mpeg4", ".mp4", {"g": "8", "bf": "2"}),
            ("mpeg2video", ".mpg", {"g": "8", "bf": "2"}),
            ("libvpx-vp9", ".webm", {"g": "8"}),
            ("mjpeg", ".mov", {}),
        ],
    )
    @pytest.mark.parametrize("start", [1.0, 1.2, 1.7])
    def test_a_part_is_a_slice_of_the_whole(
        self, tmp_path: Path, codec: str, suffix: str, options: dict[str, str], start: float
    ) -> None:
        pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        path = encode(
            tmp_path / f"a{suffix}", count=60, codec=codec, options=options, pixels=pixels
        )
        clip = Clip(path, start, 1.9)
        part = slice(round(30 * start), 57)
        same_frames(list(clip.frames()), list(frames(path))[part])
        same_frames(list(clip.frames(skip=3)), list(frames(path))[part][3:])
        assert clip.timeline().frame.tolist() == list(range(part.start, 57))
        assert clip.timeline().time.tolist() == [f.time for f in clip.frames()]
        whole, far = list(frames(path)), [2, 3, 31, 56]  # beyond key frames
        for one, slot in zip(Clip(path).pictures_at(np.array(far) / 30), far, strict=True):
            np.testing.assert_array_equal(one, whole[slot].rgb)

    def test_what_comes_before_is_not_decoded(self, tmp_path: Path) -> None:
        long = encode(tmp_path / "a.mp4", count=240, options=H264)
        # The group of 8 that holds the frame 16 before, and the decoder's delay.
        assert decoded_from(long, 200) < 40
        open_gop = {**H264, "x264-params": "open-gop=1"}
        assert decoded_from(encode(tmp_path / "b.mp4", count=240, options=open_gop), 200) < 40
        moments = np.array([0, 1, 100, 101, 230]) / 30
        assert decoded_for(lambda: list(Clip(long).pictures_at(moments))) < 120
        # Refreshed bit by bit, no frame is whole by itself: decoded from the beginning.
        slowly = {"x264-params": "intra-refresh=1:keyint=10"}
        assert decoded_from(encode(tmp_path / "c.mp4", count=240, options=slowly), 200) > 200

    def test_every_nth_frame_and_true_seconds(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4", count=60)
        clip = Clip(path, 0.5, 1.8, every=4, slowmo=8)
        found = list(clip.frames())
        assert [f.index for f in found] == list(range(15, 54, 4))
        assert [f.time for f in found] == [f.time / 8 for f in list(frames(path))[15:54:4]]
        assert clip.timeline().frame.tolist() == [f.index for f in found]
        info = clip.probe()
        assert (info.n_frames, info.size) == (10, (64, 48))
        assert info.rate_hz == pytest.approx(30 * 8 / 4)
        assert info.duration_s == pytest.approx(10 * 4 / 30 / 8)

    def test_parts_that_meet_share_no_frame(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4", count=60)
        cuts = [0.0, 0.433, 0.467, 1.0, 1.5]  # as a player shows them: rounded
        parts = [Clip(path, a, b) for a, b in zip(cuts, [*cuts[1:], None], strict=True)]
        numbers = [n for part in parts for n in part.timeline().frame.tolist()]
        assert numbers == list(range(60))

    def test_the_rate_is_that_of_the_part(self, tmp_path: Path) -> None:
        ticks = [*range(0, 1000, 20), *range(1000, 2000, 40)]
        path = encode(tmp_path / "a.mkv", count=len(ticks), ticks=ticks)
        assert Clip(path, 1.2).probe().rate_hz == pytest.approx(25)
        assert Clip(path, end_s=0.8).probe().rate_hz == pytest.approx(50)

    @pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
    @pytest.mark.parametrize("lost", [8, 27, 32, 35, 44, 58])
    def test_damage_is_the_same_in_a_part(self, tmp_path: Path, codec: str, lost: int) -> None:
        options = {"g": "8", "bf": "0", "sc_threshold": "0"}
        path = encode(tmp_path / "a.mp4", count=60, codec=codec, options=options)
        damage(path, lost)
        whole = list(frames(path))
        assert whole[lost].rgb is None
        for start in (1.0, 1.2, 1.3):
            same_frames(list(Clip(path, start).frames()), whole[round(30 * start) :])
        shown = list(Clip(path, 1.2).pictures_at(np.arange(36, 60) / 30))
        assert [p is None for p in shown] == [f.rgb is None for f in whole[36:]]
        for slot in (24, 27, 35, 44, 45, 58):  # behind the damage, or in it
            _, one = Clip(path).pictures_at(np.array([0, slot]) / 30)
            np.testing.assert_array_equal(one, whole[slot].rgb)  # equal where both are None

    def test_pictures_at_moments_are_frames_of_the_part(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4", count=60)
        clip = Clip(path, 0.5, 1.5, every=3, slowmo=4)
        part = list(clip.frames())
        moments = np.array([0.0, *(f.time + 0.01 for f in part), 9.0])
        found = list(clip.pictures_at(moments))
        for one, wanted in zip(found, [part[0], *part, part[-1]], strict=True):
            np.testing.assert_array_equal(one, wanted.rgb)

    def test_a_part_without_a_frame_is_refused(self, tmp_path: Path) -> None:
        path = encode(tmp_path / "a.mp4", count=60)
        for clip, reason in (
            (Clip(path, 3.0), r"--start 3: a\.mp4 is over at 1\.967 s"),
            (Clip(path, 1.34, 1.36), r"--end 1\.36: a\.mp4 has no frame .* at 1\.367 s"),
        ):
            for read in (clip.probe, clip.timeline, lambda c=clip: next(c.frames())):
                with pytest.raises(InputError, match=reason):
                    read()

    @pytest.mark.parametrize(
        "values", [{"start_s": -1}, {"start_s": 2, "end_s": 2}, {"every": 0}, {"slowmo": 0}]
    )
    def test_values_that_make_no_part(self, values: dict[str, float]) -> None:
        with pytest.raises(InvalidData, match="is no part"):
            Clip(Path("a.mp4"), **values)


class TestRotate:
    """Of a file that does not say how the camera was held."""

    @pytest.mark.parametrize("degrees", [0, 90, 180, 270])
    def test_pictures_are_turned_clockwise(self, tmp_path: Path, degrees: int) -> None:
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:24, :32] = 250  # top left
        with VideoWriter(tmp_path / "a.mp4", (64, 48)) as out:
            for i in range(4):
                out.add(picture, i / 30)
        clip = Clip(tmp_path / "a.mp4", rotate=degrees)
        size = (48, 64) if degrees % 180 else (64, 48)
        assert clip.probe().size == size
        expected = np.rot90(picture, -degrees // 90)
        for frame in clip.frames():
            assert np.abs(frame.rgb.astype(int) - expected).mean() < 8  # of the encoder
        (one,) = clip.pictures_at(np.zeros(1), size)
        assert np.abs(one.astype(int) - expected).mean() < 8

    @pytest.mark.parametrize("degrees", [45, -90, 360])
    def test_only_by_quarter_turns(self, tmp_path: Path, degrees: int) -> None:
        with pytest.raises(InvalidData, match="rotated"):
            Clip(tmp_path / "a.mp4", rotate=degrees)
