"""Chunks, checkpoints and damage, with a toy network that remembers, as a tracker does."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from kinefit.detect.inference import Inference, Landmarks
from kinefit.detect.protocol import FrameResult
from kinefit.io.video import Clip, Picture, VideoWriter, frames
from kinefit.types import InputError, Keypoints2D, Keypoints3D

Found = tuple[Keypoints2D, Keypoints3D, tuple[int, ...]]


class Remembering:
    """Finds one point: the mean grey, and a running mean of all that it has seen."""

    started = 0

    def __init__(self) -> None:
        type(self).started += 1
        self.memory = 0.0

    def __call__(self, rgb: Picture, time: float) -> Landmarks | None:
        self.memory = 0.9 * self.memory + 0.1 * rgb.mean()
        xy = np.array([[rgb.mean(), self.memory]])
        return Landmarks(xy, np.ones(1), np.append(xy, time)[None])

    def close(self) -> None:
        pass


class Blind(Remembering):
    def __call__(self, rgb: Picture, time: float) -> Landmarks | None:
        return None


def look(
    video: Path,
    checkpoint: Path | None = None,
    on_frame: Callable[[FrameResult], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    start: type[Remembering] = Remembering,
    settings: str = "toy",
) -> Found:
    inference = Inference(start, ("Nose",), settings, chunk=10, lead_in=3)
    return inference.over(Clip(video), on_frame, progress, checkpoint)


def equal(one: Found, two: Found) -> bool:
    arrays = [[t[0].timeline.time, t[0].xy, t[0].score, t[1].xyz] for t in (one, two)]
    return all(a.tobytes() == b.tobytes() for a, b in zip(*arrays, strict=True)) and (
        one[2] == two[2]
    )


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """34 frames of 50 Hz that grow brighter: three whole chunks and a rest."""
    path = tmp_path_factory.mktemp("video") / "grey.mp4"
    with VideoWriter(path, (32, 32), rate_hz=50) as out:
        for i in range(34):
            out.add(np.full((32, 32, 3), 20 + 6 * i, np.uint8), i / 50)
    return path


def test_each_chunk_has_a_fresh_network_that_settled_in(video: Path) -> None:
    Remembering.started = 0
    image, body, damaged = look(video)
    assert Remembering.started == 4
    grey, memory = image.xy[:, 0].T
    expected = np.zeros(34)
    for i in range(34):
        for j in range(max(i // 10 * 10 - 3, 0), i + 1):  # from 3 frames before the chunk on
            expected[i] = 0.9 * expected[i] + 0.1 * grey[j]
    np.testing.assert_allclose(memory, expected, atol=1e-9)  # rounding
    np.testing.assert_allclose(body.xyz[:, 0, 2], np.arange(34) / 50, atol=1e-9)
    assert body.axes == "camera"
    assert damaged == ()


def test_the_sink_sees_every_frame_in_order_with_its_result(video: Path) -> None:
    seen: list[FrameResult] = []
    steps: list[tuple[int, int]] = []
    image, _, _ = look(video, on_frame=seen.append, progress=lambda *step: steps.append(step))
    assert [r.index for r in seen] == list(range(34))
    assert steps == [(i + 1, 34) for i in range(34)]
    np.testing.assert_array_equal([r.xy for r in seen], image.xy)
    assert all(r.rgb is not None and r.rgb.mean() == r.xy[0, 0] for r in seen)


@pytest.mark.parametrize(("killed_after", "with_sink"), [(5, False), (24, False), (30, True)])
def test_a_killed_run_goes_on(
    video: Path, tmp_path: Path, killed_after: int, with_sink: bool
) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from {Path(__file__).stem} import look
def progress(done, total):
    if done == {killed_after}:
        os.kill(os.getpid(), signal.SIGKILL)
look(Path({str(video)!r}), Path({str(tmp_path)!r}), progress=progress)
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("chunk-*.npz"))) == killed_after // 10
    Remembering.started = 0
    seen: list[FrameResult] = []
    found = look(video, tmp_path, seen.append if with_sink else None)
    assert Remembering.started == 4 - killed_after // 10  # the rest was not looked at again
    whole = look(video)
    assert equal(found, whole)
    if with_sink:
        np.testing.assert_array_equal([r.xy for r in seen], whole[0].xy)


def test_a_checkpoint_of_something_else_is_not_used(video: Path, tmp_path: Path) -> None:
    look(video, tmp_path, settings="other")
    for networks in (4, 1):  # none of the other's; then its own, but for the unfinished chunk
        Remembering.started = 0
        look(video, tmp_path)
        assert Remembering.started == networks
    # Cut short by a full disk, say.
    (tmp_path / "chunk-00001.npz").write_bytes(b"PK")
    assert equal(look(video, tmp_path), look(video))


def test_a_part_is_looked_at_by_itself_and_has_its_own_checkpoint(
    video: Path, tmp_path: Path
) -> None:
    """Chunks count from the part's first frame; numbers and times are the file's."""
    inference = Inference(Remembering, ("Nose",), "toy", chunk=10, lead_in=3)
    clip = Clip(video, 0.14, every=2, slowmo=4)
    whole = inference.over(clip, None, None, tmp_path)
    assert whole[0].timeline.frame.tolist() == list(range(7, 34, 2))
    np.testing.assert_allclose(whole[0].timeline.time, np.arange(7, 34, 2) / 200, atol=1e-9)
    for other, networks in ((clip, 1), (replace(clip, slowmo=2), 2), (replace(clip, every=1), 3)):
        Remembering.started = 0
        found = inference.over(other, None, None, tmp_path)
        assert Remembering.started == networks  # the first chunk is there, or is another's
        assert equal(found, whole) == (other == clip)
        inference.over(clip, None, None, tmp_path)


def test_a_damaged_frame_is_nan_and_recorded(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.mp4"
    data = bytearray(video.read_bytes())
    with av.open(str(video)) as file:
        packet = list(file.demux(video=0))[-2]  # the last but the flush: nothing follows from it
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    assert [f.index for f in frames(path) if f.rgb is None] == [33]
    seen: list[FrameResult] = []
    image, body, damaged = look(path, on_frame=seen.append)
    assert damaged == (33,)
    assert len(image.timeline) == 34
    assert np.isnan(image.xy[33]).all()
    assert np.isnan(body.xyz[33]).all()
    assert image.score[33] == 0
    assert seen[33].rgb is None
    assert np.isfinite(image.xy[:33]).all()


def test_nobody_at_all_is_an_error(video: Path) -> None:
    with pytest.raises(InputError, match="no person was found in any of its 34 frames"):
        look(video, start=Blind)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_errors_come_out(video: Path, error: type[BaseException]) -> None:
    def fail(*_: object) -> None:
        raise error

    with pytest.raises(error):
        look(video, progress=fail)
    with pytest.raises(error):
        look(video, on_frame=fail)
