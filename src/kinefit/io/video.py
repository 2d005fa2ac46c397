"""Video files: exact times, upright pictures, damage reported and survived."""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self

import av
import numpy as np
from av.stream import Disposition
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from kinefit.io.atomic import atomic_path
from kinefit.io.photos import SUFFIXES, photo_of, read_photo
from kinefit.io.pictures import check_pixels
from kinefit.types import BoolArray, FloatArray, InputError, IntArray, InvalidData, Timeline

Picture = NDArray[np.uint8]

# A decoding time that falls by this much (seconds) is a clock set back, as where recordings
# were joined; less is jitter of one stamp.
_CLOCK_RESET_S = 1.0

# Matroska states its length; a file this much shorter (seconds) was cut off. More than the
# frames of one stream may lack against another, less than anyone records.
_CUT_OFF_S = 0.25
# A player shows milliseconds: a frame at 1.0667 s is asked for as 1.067.
_ROUNDING_S = 1e-3
_SAME_RATE = 0.05  # an interval this near to the nominal one is that, but for rounded stamps
# Frames that are decoded before the first one that is wanted, at least: no codec reorders more, and
# a decoder that starts badly shows it here.
_LEAD_IN = 16

# Demuxers of files that hold pictures; others (concat, HLS, DASH) are texts that name other files.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,mxf,gif,ivf,nut,"
    "h264,hevc,m4v,obu,av1,mjpeg,wtv,dv,rm,apng,yuv4mpegpipe,dnxhd,vc1,swf,gxf,lxf,mv,amv,"
    "png_pipe,jpeg_pipe,bmp_pipe,tiff_pipe,webp_pipe,ppm_pipe,pgm_pipe"  # pictures: see photos
)
# A pause in the recording; longer is a broken stamp, and later stages would fill memory with it.
LONGEST_PAUSE_S = 3600.0


@dataclass(frozen=True)
class VideoInfo:
    """What a video, or a part of it, holds.

    size: (width, height) pixels of the upright picture: rotated as the metadata says, and
        stretched to square pixels where the file's are not.
    rotation: degrees counter-clockwise (0, 90, 180, 270) from the stored picture to the upright.
    rate_hz: frames per true second, from the median interval (the file's nominal rate where the two
        agree within 5 %); NaN for a single frame without a rate.
    n_frames: damaged ones included (interlaced video that stores each frame as two fields counts
        twice). duration_s: true seconds from the first frame to the end of the last.
    """

    path: Path
    size: tuple[int, int]
    rotation: int
    rate_hz: float
    n_frames: int
    duration_s: float


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One frame in the order of display: its number in the file from 0 on (damaged frames count),
    true seconds since the file's first frame by their time stamps, and (height, width, 3) uint8,
    upright, None where it is damaged."""

    index: int
    time: float
    rgb: Picture | None


def probe(path: str | Path) -> VideoInfo:
    """What the whole video holds; see `Clip.probe`."""
    return Clip(Path(path)).probe()


def frames(path: str | Path) -> Generator[VideoFrame, None, None]:
    """Every frame of the whole video; see `Clip.frames`."""
    return Clip(Path(path)).frames()


_CAPTURE_RATE = re.compile(r"(capture|sensor|record)\w*[._-]?(fps|frame[._-]?rate)$", re.IGNORECASE)


def capture_rate(path: str | Path) -> tuple[str, float] | None:
    """The tag of the file in which the camera says at how many frames per second it recorded, and
    that number; None where it does not.

    Android writes com.android.capture.fps, whatever the rate at which the file plays.
    Raises InputError for a file that cannot be read.
    """
    for tag, text in tags_of(path).items():
        with suppress(ValueError):
            if _CAPTURE_RATE.search(tag) and 0 < (rate := float(text)) < np.inf:
                return tag.lower(), rate
    return None


def tags_of(path: str | Path) -> dict[str, str]:
    """What the file and its video stream say of themselves, tag -> text.

    Raises InputError for a file that cannot be read.
    """
    with _opened(Path(path)) as (file, stream):
        return dict(file.metadata | stream.metadata)


@dataclass(frozen=True)
class Clip:
    """The part of a video that is looked at, and how its clock runs.

    Frames keep the numbers that they have in the file. All times that come out are true seconds
    since the file's first frame: its playing time / `slowmo`.

    start_s, end_s: the part, in seconds of the playing time as a player shows it: frames from
        `start_s` on (to the millisecond) and before `end_s`; None: to the end.
    every: of these, the first and each that many frames later.
    slowmo: how many times slower than life the file plays.
    rotate: degrees clockwise (0, 90, 180, 270) that turn what a player shows upright, for files
        that do not say how the camera was held.

    Raises InvalidData for values that make no part or no clock. Whatever reads the file raises
    InputError when it is missing, empty, truncated, no video, without pictures or without time
    stamps, and when the part holds no frame.
    """

    path: Path
    start_s: float = 0.0
    end_s: float | None = None
    every: int = 1
    slowmo: float = 1.0
    rotate: int = 0

    def __post_init__(self) -> None:
        end_s = np.inf if self.end_s is None else self.end_s
        if not (0 <= self.start_s < end_s and self.every >= 1 and 0 < self.slowmo < np.inf):
            raise InvalidData(f"{self} is no part of a video.")
        if self.rotate not in (0, 90, 180, 270):
            raise InvalidData(f"{self.path}: pictures cannot be rotated by {self.rotate} degrees.")

    def probe(self) -> VideoInfo:
        """What the part holds, found by reading all packets and decoding its first good frame.

        Raises InputError when no frame of it can be decoded.
        """
        clock, pixel_aspect = _read_packets(self.path)
        part = self._part(clock)
        pictures = (picture for _, picture in self._pictures(clock, part.start))
        first = next((picture for picture in pictures if picture is not None), None)
        if first is None:
            hint = "check that it plays, and copy it again or convert it to H.264"
            reason = f"none of its {len(part)} frames can be decoded"
            raise InputError(self.path, reason, hint)
        height, width = self._upright(first, pixel_aspect).shape[:2]
        time, step = clock.time[part] / self.slowmo, clock.step * self.every / self.slowmo
        if len(part) > 1 and abs((own := float(np.median(np.diff(time)))) / step - 1) > _SAME_RATE:
            step = own
        lasts = float(time[-1] - time[0] + np.nan_to_num(step))
        turned = self._quarter_turns(first) * 90
        return VideoInfo(self.path, (width, height), turned, 1.0 / step, len(part), lasts)

    def timeline(self) -> Timeline:
        """Numbers and times of all frames, without decoding any.

        For interlaced video this may be one time for each field.
        """
        clock, _ = _read_packets(self.path)
        part = self._part(clock)
        return Timeline(np.array(part), clock.time[part] / self.slowmo)

    def frames(self, *, skip: int = 0) -> Generator[VideoFrame, None, None]:
        """Every frame of the part but the first `skip`, in the order of display.

        A frame that cannot be decoded (a damaged packet, or one that needs what it lost) comes with
        its index and time and `rgb=None`, and decoding goes on. It is known as damaged because its
        packet is in the file and its picture never comes out, or because the decoder marks the
        picture as concealed; damage that still decodes (a few wrong blocks) cannot be told, nor can
        a lost frame of interlaced video. Where a key frame is lost, so are those up to the next.

        Time stamps come from the file, never from a rate. One that does not come after the one
        before is replaced by interpolation between its neighbours; where the clock is set back by
        a second or more (joined recordings), it goes on from there one median interval later.

        What comes before the first frame is not decoded, as far as the file allows it, and never
        converted. Raises InputError when the picture size changes on the way.
        """
        clock, pixel_aspect = _read_packets(self.path)
        first: tuple[int, int] | None = None
        for slot, picture in self._pictures(clock, self._part(clock).start + skip * self.every):
            rgb = None if picture is None else self._upright(picture, pixel_aspect)
            if rgb is not None:
                height, width, _ = rgb.shape
                first = first or (width, height)
                if first != (width, height):
                    sizes = f"from {first[0]}x{first[1]} to {width}x{height}"
                    reason = f"the picture size changes at frame {slot}, {sizes}"
                    hint = "cut the video there and give each part on its own"
                    raise InputError(self.path, reason, hint)
            yield VideoFrame(slot, clock.at(slot) / self.slowmo, rgb)

    def pictures_at(
        self, moments: FloatArray, size: tuple[int, int] | None = None
    ) -> Generator[Picture | None, None, None]:
        """The picture of the part nearest to each of `moments` (N,), increasing true seconds.

        None where that frame is damaged; past the end it is the last one. Frames between are
        decoded, which others need, but not converted: half of the time of `frames` at half the
        rate. What is before a key frame in between is not even decoded, as far as the file allows
        it. size: (width, height) to which pictures are scaled while their colours are converted,
        in a third of the time of doing it afterwards; None: as they are. Raises as `frames`.
        """
        clock, pixel_aspect = _read_packets(self.path)
        part = self._part(clock)
        time = clock.time[part] / self.slowmo
        nearest = np.searchsorted((time[1:] + time[:-1]) / 2, moments, side="right")
        coming = self._pictures(clock, part.start)
        slot, picture = next(coming, (part.start, None))
        following = next(coming, None)
        shown: tuple[int, Picture | None] = (-1, None)
        may_jump = True
        for at in np.array(part)[nearest].tolist():
            ahead = following[0] if following and may_jump else at
            if at - ahead > _LEAD_IN and (key := clock.entry(at)) > ahead:
                if entered := _entered(self.path, clock, key, at):
                    coming = self._looked_at(entered, clock, at)
                    following = next(coming, None)
                may_jump = entered is not None
            while following is not None and following[0] <= at:
                slot, picture = following
                following = next(coming, None)
            if shown[0] != slot:
                rgb = None if picture is None else self._upright(picture, pixel_aspect, size)
                shown = (slot, rgb)
            yield shown[1]

    def _quarter_turns(self, picture: Any) -> int:
        """Counter-clockwise quarter turns (0-3) that bring a stored picture upright."""
        return int(round((picture.rotation - self.rotate) / 90) % 4)

    def _upright(
        self, picture: Any, pixel_aspect: float, size: tuple[int, int] | None = None
    ) -> Picture:
        """(height, width, 3) RGB with square pixels, turned as display matrix and `rotate` say."""
        turns = self._quarter_turns(picture)
        width = max(round(picture.width * pixel_aspect), 1)
        check_pixels(self.path, width, picture.height)  # a header may have said less
        if size is None:
            rgb = picture.to_ndarray(format="rgb24", width=width)
        else:
            w, h = size[::-1] if turns % 2 else size
            rgb = picture.to_ndarray(format="rgb24", width=w, height=h, interpolation="AREA")
        return np.ascontiguousarray(np.rot90(rgb, turns))

    def _part(self, clock: _Clock) -> range:
        """The frames that are looked at, at least one; InputError when there is none."""
        start_s, end_s = self.start_s, np.inf if self.end_s is None else self.end_s
        first, stop = np.searchsorted(clock.time, np.array([start_s, end_s]) - _ROUNDING_S)
        if first < stop:
            return range(int(first), int(stop), self.every)
        if first == len(clock.time):
            reason = f"{self.path.name} is over at {clock.time[-1]:.3f} s"
            raise InputError(f"--start {start_s:g}", reason, "give an earlier second")
        reason = f"{self.path.name} has no frame before that and after --start {start_s:g}"
        hint = f"give a later second: there is a frame at {clock.time[first]:.3f} s"
        raise InputError(f"--end {end_s:g}", reason, hint)

    def _pictures(self, clock: _Clock, first: int) -> Iterator[tuple[int, Any]]:
        """As `_aligned`, but only of the frames from `first` on that are looked at."""
        return self._looked_at(_aligned(self.path, clock, first), clock, first)

    def _looked_at(
        self, coming: Iterator[tuple[int, Any]], clock: _Clock, first: int
    ) -> Iterator[tuple[int, Any]]:
        stop = np.inf if self.end_s is None else self._part(clock).stop
        for slot, picture in coming:
            if slot >= stop:
                return
            if (slot - first) % self.every == 0:
                yield slot, picture


@dataclass(frozen=True, eq=False)
class _Clock:
    """The time stamps of all packets, in the order of display.

    pts: (N,) ticks as stored.
    time: (N,) seconds of playing time, strictly increasing from 0.
    key: (N,) True for key frames, which need no other frame.
    step: seconds, the usual interval; NaN when the file has one frame and no rate.
    """

    pts: IntArray
    time: FloatArray
    key: BoolArray
    step: float

    def find(self, pts: int | None, slot: int) -> int:
        """Where the stamp `pts` stands, from `slot` on; `slot` when it is not there."""
        if pts is None or (slot < len(self.pts) and self.pts[slot] == pts):
            return slot
        hits = np.flatnonzero(self.pts[slot:] == pts)
        return slot + int(hits[0]) if len(hits) else slot

    def entry(self, slot: int) -> int:
        """A key frame well before `slot`, where decoding may begin to get there; 0 without one."""
        if not (np.diff(self.pts) > 0).all():
            return 0
        keys = np.flatnonzero(self.key[: max(slot - _LEAD_IN, 0)])
        return int(keys[-1]) if len(keys) else 0

    def at(self, slot: int) -> float:
        """Seconds; past the end (a decoder that gives more than one frame for a packet) by rate."""
        extra = max(slot - len(self.time) + 1, 0)
        return float(self.time[slot - extra] + (extra * self.step if extra else 0.0))


def _aligned(path: Path, clock: _Clock, first: int = 0) -> Iterator[tuple[int, Any]]:
    """(place in the clock, picture) from place `first` on, the picture None where a packet is there
    but no good picture.
    """
    if (key := clock.entry(first)) and (coming := _entered(path, clock, key, first)):
        yield from coming
    else:
        yield from (pair for pair in _placed(path, clock) if pair[0] >= first)


def _entered(path: Path, clock: _Clock, key: int, first: int) -> Iterator[tuple[int, Any]] | None:
    """What comes from place `first` on when decoding begins at the key frame `key`.

    None unless decoding is seen to run from there as it would from the beginning: the key frame is
    whole and needs no other, and each frame up to `first` comes out at its place, undamaged.
    (Where that is so, the frames are the same to the last bit; a damaged stretch before the part
    is decoded from the beginning, which tells what it takes along.)
    """
    coming = _placed(path, clock, key)
    for slot in range(key, first + 1):
        found, picture = next(coming, (slot, None))
        if picture is None or found != slot or picture.pts != clock.pts[slot]:
            return None
        if slot == key and picture.pict_type != PictureType.I:  # no start, but a gradual refresh
            return None
    return chain([(first, picture)], coming)


def _placed(path: Path, clock: _Clock, key: int = 0) -> Iterator[tuple[int, Any]]:
    """As `_aligned`, decoded from the key frame at place `key` on.

    Some decoders (MPEG-4 part 2) go on without a lost key frame and draw what follows onto an
    older picture; others (H.264) wait for the next one. Here none is given out until then.
    """
    slot, fields, adrift = key, False, False
    since = int(clock.pts[key]) if key else None
    for picture in _decoded(path, since):
        if since is not None and (picture.pts is None or picture.pts < since):
            continue  # shown before the key frame, decoded after it: without what it needs
        found = clock.find(picture.pts, slot)
        # Interlaced video may hold two packets, one per field, for each frame: there, a packet
        # without a picture is no sign of damage.
        fields = picture.interlaced_frame
        if not fields:
            yield from ((lost, None) for lost in range(slot, found))
            adrift = adrift or bool(clock.key[slot:found].any())
        adrift = bool(picture.is_corrupt) if picture.key_frame else adrift
        yield found, None if picture.is_corrupt or adrift else picture
        slot = found + 1
    if not fields:
        yield from ((lost, None) for lost in range(slot, len(clock.time)))


def _decoded(path: Path, since: int | None = None) -> Iterator[Any]:
    """The pictures that come out of the decoder, in the order of display.

    since: display time in ticks of a key frame; decoding begins there, or before if the file allows
    no jump to it.

    Decoding frames on several threads loses every picture still on its way when the last
    packets are damaged (measured: up to one per thread). Only then, the file is decoded a
    second time without, for the pictures that are missing; so the result is the same on any
    number of cores.
    """
    if photo_of(path) is not None:
        yield av.VideoFrame.from_ndarray(read_photo(path), format="rgb24")
        return
    count = 0
    with _opened(path) as (file, stream):
        stream.thread_type = "AUTO"
        for packet in _packets(file, stream, since):
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                if packet.size:
                    continue
                break  # the flush of what was on its way failed
            yield from pictures
            count += len(pictures)
        else:
            return
    with _opened(path) as (file, stream):
        stream.thread_type = "SLICE"
        yield from islice(_surviving(_packets(file, stream, since)), count, None)


def _packets(file: Any, stream: Any, since: int | None) -> Iterator[Any]:
    if since is not None:
        with suppress(av.FFmpegError):
            file.seek(since, stream=stream)
    return iter(file.demux(stream))


def _surviving(packets: Iterator[Any]) -> Iterator[Any]:
    """The pictures of all packets that can be decoded."""
    for packet in packets:
        with suppress(av.FFmpegError):
            yield from packet.decode()


# Titles and names of cameras are often not UTF-8, at which PyAV stops before version 19.
_LENIENT: Any = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The open container and its first video stream; what cannot be read is an InputError."""
    _check_file(path)
    try:
        # The prefix keeps FFmpeg from taking "take:1.mp4" for an address.
        options = {"format_whitelist": _FORMATS}
        file = av.open(f"file:{path}", options=options, **_LENIENT)
    except UnicodeEncodeError as error:
        reason = "the file's name is not Unicode text"
        raise InputError(ascii(str(path)), reason, "rename the file") from error
    except av.FFmpegError as error:
        raise _unreadable(path) from error
    with file:
        streams = [s for s in file.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            reason = "it holds no video, only sound or data"
            raise InputError(path, reason, "name the file with the pictures")
        decoder = streams[0].codec_context
        if decoder is None:
            raise _unreadable(path)
        check_pixels(path, decoder.width, decoder.height)
        try:
            yield file, streams[0]
        except av.FFmpegError as error:
            reason = f"it cannot be read to its end ({error.strerror})"
            raise InputError(path, reason, "copy it again") from error


def _check_file(path: Path) -> None:
    """Raises InputError for what is no file, or empty."""
    if not path.exists():
        raise InputError(path, "there is no such file", "check the path")
    if path.is_dir():
        raise _folder(path)
    if not path.is_file():
        raise InputError(path, "is a device or a pipe, not a file", "save the video first")
    if path.stat().st_size == 0:
        raise InputError(path, "the file is empty", "copy it again from the camera")


def _folder(path: Path) -> InputError:
    """Tells a folder of numbered pictures from one of videos."""
    pictures = [f for f in path.iterdir() if f.suffix.lower() in SUFFIXES]
    if len(pictures) < 2:
        return InputError(path, "this is a folder", "name one video file in it")
    command = shlex.join(["kinefit", "join", str(path), "--rate"])
    hint = f"join them at the rate at which they were taken: {command} PICTURES_PER_SECOND"
    return InputError(path, f"this is a folder of {len(pictures)} pictures, not a video", hint)


def _unreadable(path: Path) -> InputError:
    """Tells a video that was cut off before its index from what never was one."""
    with path.open("rb") as stream:
        head = stream.read(12)
    if head[4:8] in (b"ftyp", b"moov", b"mdat") or head[:4] in (b"RIFF", b"\x1a\x45\xdf\xa3"):
        reason = "it begins as a video but is cut off or damaged and cannot be opened"
        hint = "copy it again, or repair the recording with the camera's own software"
        return InputError(path, reason, hint)
    return InputError(path, "it is not a video", "give a video file, e.g. .mp4, .mov, .avi or .mkv")


def _read_packets(path: Path) -> tuple[_Clock, float]:
    """The time stamps and the pixels' aspect (width / height).

    From one pass over all packets, without decoding: a second for a gigabyte.
    """
    _check_file(path)
    if photo_of(path) is not None:
        return _Clock(np.zeros(1, np.int64), np.zeros(1), np.ones(1, bool), float("nan")), 1.0
    rows, end, broken = [], 0.0, False
    with _opened(path) as (file, stream):
        # The index knows key frames that a parser no longer recognises, once they are damaged.
        keys = {entry.timestamp for entry in stream.index_entries if entry.is_keyframe}
        for packet in file.demux():
            if not packet.size:
                continue
            broken = packet.is_corrupt
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index == stream.index and not packet.is_discard:
                is_key = packet.is_keyframe or packet.dts in keys
                rows.append((packet.pts, packet.dts, is_key))
        if broken or _ends_early(path, file, stream, end):
            reason = "it is truncated: its pictures end before its index does"
            hint = (
                "copy it again; to use what is there, repack it with ffmpeg -i IN -c copy OUT.mp4"
            )
            raise InputError(path, reason, hint)
        if not rows:
            raise InputError(path, "it holds no frame", "copy it again from the camera")
        pts, dts, key = zip(*rows, strict=True)
        stamps, decoding = dts if None in pts else pts, pts if None in dts else dts
        if None in stamps or None in decoding:
            hint = "put it in a container at its true rate: ffmpeg -r RATE -i IN -c copy OUT.mp4"
            raise InputError(path, "its frames carry no time stamps", hint)
        shown, decoded = np.array(stamps, np.int64), np.array(decoding, np.int64)
        tick_s, nominal_hz = float(stream.time_base), float(stream.average_rate or "nan")
        clock = _clock(shown, decoded, np.array(key, bool), tick_s=tick_s, nominal_hz=nominal_hz)
        if (np.diff(clock.time) > LONGEST_PAUSE_S).any():
            hint = "cut it there, or repack it with ffmpeg -i IN -c copy OUT.mp4"
            raise InputError(path, "its time stamps jump ahead by more than an hour", hint)
        if "avi" in file.format.name and stream.codec_context.name == "h264":
            # AVI has no display times, and what FFmpeg makes up for reordered H.264 differs
            # between packets and pictures: pictures are counted instead.
            clock = replace(clock, pts=np.full_like(clock.pts, -1))
        return clock, float(stream.sample_aspect_ratio or 1)


def _ends_early(path: Path, file: Any, stream: Any, end: float) -> bool:
    """True when the index names data past the end, or packets stop (`end`, s) before the length."""
    indexed = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    stated = "matroska" in file.format.name and file.duration
    return indexed > path.stat().st_size or (
        bool(stated) and end < file.duration / av.time_base - _CUT_OFF_S
    )


def _clock(
    stamps: IntArray, decoding: IntArray, key: BoolArray, *, tick_s: float, nominal_hz: float
) -> _Clock:
    """Order stamps for display and make their times increase from 0; see `Clip.frames`.

    stamps, decoding, key: (N,) display and decoding times in ticks of `tick_s` seconds, and
        whether a packet holds a key frame; in the order of decoding.
    nominal_hz: the rate to take when there are not two stamps to measure it by.
    """
    resets = np.flatnonzero(np.diff(decoding) * tick_s <= -_CLOCK_RESET_S) + 1
    pieces = np.split(np.arange(len(stamps)), resets)
    order = [piece[np.argsort(stamps[piece], kind="stable")] for piece in pieces]
    steps = np.concatenate([np.diff(stamps[piece]) for piece in order])
    step = float(np.median(steps[steps > 0])) * tick_s if (steps > 0).any() else 1 / nominal_hz
    if abs(step * nominal_hz - 1) < _SAME_RATE:
        step = 1 / nominal_hz
    times: list[FloatArray] = []
    for piece in order:
        time = _unrounded(_increasing(stamps[piece] * tick_s, step), step, tick_s)
        if times:
            time = time - time[0] + times[-1][-1] + step
        times.append(time)
    display, time = np.concatenate(order), np.concatenate(times)
    return _Clock(stamps[display], time - time[0], key[display], step)


def _unrounded(time: FloatArray, step: float, tick_s: float) -> FloatArray:
    """The constant clock that `time` is the rounding of to ticks; `time` itself if it is none.

    Matroska counts milliseconds: 33, 33, 34, ... is 30 Hz, not a rate that varies by 3 %. A
    dropped frame is a whole step, far over a tick.
    """
    exact = time[0] + step * np.arange(len(time))
    is_rounding = tick_s < 0.4 * step and np.abs(time - exact).max() <= tick_s
    return exact if is_rounding else time


def _increasing(time: NDArray[np.floating], step: float) -> FloatArray:
    """Sorted `time` with each repeated value replaced from its neighbours, at the end by `step`."""
    place = np.arange(len(time))
    good = np.flatnonzero(np.diff(time, prepend=-np.inf) > 0)
    filled = np.interp(place, good, time[good])
    beyond = np.maximum(place - good[-1], 0)
    return np.asarray(filled + np.where(beyond > 0, beyond * step, 0.0))  # a step may be unknown


# Ticks per second of written files: the MPEG clock, which holds 24, 25, 30, 50, 60, 100, 120 Hz
# and 30000/1001 Hz exactly and any other time to 6 microseconds.
CLOCK_HZ = 90_000

# x264 writes the same bytes for the same number of threads, not for the same number of cores, and
# only without its macroblock tree: with it 23 of 45 runs beside other work differed by a byte or
# two, without it none (and files grow by half).
_ENCODER_THREADS = 4


class VideoWriter:
    """An H.264 file in which every frame keeps its own time.

    Use as a context manager: the file appears under `path` when the block ends, and not at all
    if it ends with an error. Equal input gives equal bytes, whatever the machine's core count.
    4:2:0 chroma needs even sides: an odd picture repeats its last column or row once.

    path: its suffix chooses the container (.mp4, .mkv, .mov). size: (width, height) pixels of every
    frame. rate_hz: a hint for the encoder's rate control; the times decide. quality: x264's
    constant rate factor; lower is better, 18 looks lossless, 23 is its default.
    """

    def __init__(
        self, path: str | Path, size: tuple[int, int], *, rate_hz: float = 30.0, quality: int = 23
    ) -> None:
        self.path, self.size = Path(path), size
        self._last_tick: int | None = None
        options = {"movflags": "+faststart", "fflags": "+bitexact"}  # no dates, no versions
        with ExitStack() as guard:
            temporary = guard.enter_context(atomic_path(self.path))
            try:
                self._file = av.open(str(temporary), "w", options=options)
            except ValueError as error:
                reason = "no video container goes by this suffix"
                raise InputError(path, reason, "name the file .mp4 or .mkv") from error
            self._stream = self._add_stream(rate_hz, quality)
            self._cleanup = guard.pop_all()

    def _add_stream(self, rate_hz: float, quality: int) -> Any:
        rate = Fraction(rate_hz).limit_denominator(1001)
        stream = self._file.add_stream("libx264", rate=rate)
        stream.width, stream.height = (n + n % 2 for n in self.size)
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, CLOCK_HZ)
        # Said in the file, or players guess by the size of the picture.
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_range = ColorRange.MPEG
        stream.codec_context.thread_count = _ENCODER_THREADS
        stream.options = {"preset": "veryfast", "crf": str(quality), "bf": "0"}
        stream.options |= {"x264-params": "mbtree=0"}
        return stream

    def add(self, rgb: Picture, time: float) -> None:
        """Append one frame: `rgb` (height, width, 3) uint8, shown from `time` (seconds) on.

        Raises InvalidData for another shape, or a time that does not come after the last one.
        """
        width, height = self.size
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            wanted = f"expected {(height, width, 3)} uint8"
            raise InvalidData(f"{self.path}: a frame is {rgb.shape} {rgb.dtype}, {wanted}.")
        tick = round(time * CLOCK_HZ)
        if self._last_tick is not None and tick <= self._last_tick:
            raise InvalidData(f"{self.path}: frame time {time:.6f} s does not increase.")
        self._last_tick = tick
        even = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        frame.pts, frame.time_base = tick, Fraction(1, CLOCK_HZ)
        self._file.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file; raises InvalidData (and leaves no file) when no frame was added."""
        with self._cleanup:
            if self._last_tick is None:
                self._file.close()
                raise InvalidData(f"{self.path}: a video needs at least one frame.")
            self._file.mux(self._stream.encode())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()
            self._cleanup.__exit__(kind, *error)
