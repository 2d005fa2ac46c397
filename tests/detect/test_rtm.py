"""rtmlib's detector as far as it goes without its networks, which no wheel carries."""

from pathlib import Path

import numpy as np
import pytest

from kinefit.detect import make_detector
from kinefit.detect.rtm import RtmDetector, people_in
from kinefit.io.video import Clip, VideoWriter
from kinefit.types import InputError

pytest.importorskip("rtmlib")

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
        make_detector("rtmlib").people(Clip(tmp_path / "a.mp4"))
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
        detector.people(Clip(tmp_path / "a.mp4"))


def test_everybody_in_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With networks that find one person in the first picture, nobody then, two at last."""
    (tmp_path / "rtmpose.onnx").write_bytes(b"no network")
    (tmp_path / "yolox.onnx").write_bytes(b"no network")
    detector = make_detector("rtmlib", model=tmp_path)
    counts = iter([1, 0, 2])

    def boxes(_: np.ndarray) -> np.ndarray:
        return np.zeros((next(counts), 4))

    def points(_: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.full((len(found), 26, 2), 7.0), np.full((len(found), 26), 0.5)

    monkeypatch.setattr(RtmDetector, "_networks", lambda self: (boxes, points))
    with VideoWriter(tmp_path / "a.mp4", (64, 48)) as out:
        for i in range(3):
            out.add(PICTURE, i / 30)
    steps: list[tuple[int, int]] = []
    people = detector.people(
        Clip(tmp_path / "a.mp4"), progress=lambda *s: steps.append(s), checkpoint=tmp_path
    )
    assert people.frame.tolist() == [0, 1, 2]
    assert [len(p) for p in people.points] == [1, 0, 2]
    assert people.names == detector.names
    assert people.source == detector.source
    assert people.body is people.place is people.look is None
    assert steps == [(1, 3), (2, 3), (3, 3)]


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
