"""Videos encoded here, read back; damage made here, survived."""

from pathlib import Path

import av
import numpy as np
import pytest

from kinefit.io.video import VideoWriter
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
