"""rtmlib's detector as far as it goes without its networks, which no wheel carries."""

from pathlib import Path

import numpy as np
import pytest

from kinefit.detect import make_detector
from kinefit.detect.rtm import people_in
from kinefit.io.video import Clip, VideoWriter
from kinefit.types import InputError

pytest.importorskip("rtmlib", reason="rtmlib (an extra) is not installed")

PICTURE = np.zeros((48, 64, 3), np.uint8)
PICTURE[..., 0] = 200  # red


def test_networks_that_cannot_be_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # an empty cache
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # and nobody at the other end
    with VideoWriter(tmp_path / "a.mp4", (64, 48)) as out:
        out.add(PICTURE, 0.0)
    with pytest.raises(InputError, match="cannot be downloaded") as caught:
        make_detector("rtmlib").track(Clip(tmp_path / "a.mp4"))
    assert "give their folder" in caught.value.hint
    assert "yolox_m" in caught.value.hint


def test_local_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="yolox"):
        make_detector("rtmlib", model=tmp_path / "none")
    (tmp_path / "rtmpose.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match="yolox"):
        make_detector("rtmlib", model=tmp_path)
    (tmp_path / "yolox.onnx").write_bytes(b"no network")
    detector = make_detector("rtmlib", model=tmp_path)
    with VideoWriter(tmp_path / "a.mp4", (64, 48)) as out:
        out.add(PICTURE, 0.0)
    with pytest.raises(InputError, match="cannot be loaded"):
        detector.track(Clip(tmp_path / "a.mp4"))


class TestPeopleIn:
    def points(self, picture: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert (picture[..., 2] == 200).all()  # rtmlib takes BGR
        score = np.linspace(0, 1.2, 26)  # its scores are peaks of a curve, not probabilities
        return np.full((len(boxes), 26, 2), 7.0), np.tile(score, (len(boxes), 1))

    def test_scores_and_missing_points(self) -> None:
        found = people_in(PICTURE, lambda _: np.zeros((2, 4)), self.points)
        assert found.shape == (2, 26, 3)
        assert np.isnan(found[:, 0]).all()
        assert np.nanmax(found[..., 2]) == 1

    def test_nobody(self) -> None:
        assert people_in(PICTURE, lambda _: np.zeros((0, 4)), self.points).shape == (0, 26, 3)
        assert people_in(None, lambda _: np.zeros((2, 4)), self.points).shape == (0, 26, 3)

    def test_another_set_of_points(self) -> None:
        def coco(_: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.zeros((1, 17, 2)), np.zeros((1, 17))

        with pytest.raises(InputError, match="17 points"):
            people_in(PICTURE, lambda _: np.zeros((1, 4)), coco)
