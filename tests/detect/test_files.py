"""Keypoint files of other programs over the frames of a video."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from kinefit.detect import FrameResult, PeopleDetector, make_detector, track_from_people
from kinefit.io.video import Clip, VideoWriter
from kinefit.skeletons import skeleton
from kinefit.types import InputError

TIMES = np.cumsum([0.0, 0.04, 0.04, 0.02, 0.06, 0.04, 0.04, 0.05, 0.03, 0.04])  # VFR
SUBJECT = np.random.default_rng(0).uniform((100, 50), (150, 230), (17, 2))
OTHER = SUBJECT * 0.5 + (120, 60)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "walk.mp4"
    with VideoWriter(path, (320, 240), rate_hz=25) as out:
        for i, time in enumerate(TIMES):
            out.add(np.full((240, 320, 3), 20 * i, np.uint8), time)
    return path


def flat(xy: np.ndarray, score: float = 0.9) -> list[float]:
    return np.column_stack([xy, np.full(len(xy), score)]).ravel().tolist()


def write_coco(path: Path, missing: tuple[int, ...] = (), first: int = 0) -> Path:
    """The subject moves 5 pixels a frame; the other is first in every frame."""
    entries = []
    for i in range(len(TIMES)):
        people = [OTHER] if i in missing else [OTHER, SUBJECT + np.array([5 * i, 0])]
        entries += [{"image_id": i + first, "keypoints": flat(xy)} for xy in people]
    path.write_text(json.dumps(entries))
    return path


def test_the_subject_with_the_video_s_own_times(video: Path, tmp_path: Path) -> None:
    seen: list[FrameResult] = []
    detector = make_detector("coco", keypoints=write_coco(tmp_path / "k.json", missing=(4,)))
    track = detector.track(Clip(video), on_frame=seen.append)
    assert detector.names == track.image.names == skeleton("coco17").points
    np.testing.assert_allclose(track.image.timeline.time, TIMES, atol=1e-5)  # a 90 kHz clock
    expected = SUBJECT + 5 * np.arange(10)[:, None, None] * [1, 0]
    expected[4] = np.nan
    np.testing.assert_allclose(track.image.xy, expected)
    assert (track.image.score == np.where(np.arange(10) == 4, 0, 0.9)[:, None]).all()
    assert track.body is None
    assert track.image.image_size == (320, 240)
    assert [r.index for r in seen] == list(range(10))
    np.testing.assert_array_equal([r.xy for r in seen], track.image.xy)


def test_everybody_and_a_choice_made_elsewhere(video: Path, tmp_path: Path) -> None:
    detector = make_detector("coco", keypoints=write_coco(tmp_path / "k.json", missing=(4,)))
    assert isinstance(detector, PeopleDetector)
    people = detector.people(Clip(video))
    assert [len(p) for p in people.points] == [2, 2, 2, 2, 1, 2, 2, 2, 2, 2]
    chosen = np.zeros(10, int)  # the other, who is never the subject
    chosen[7] = -1
    track = track_from_people(Clip(video), people, chosen, detector.source)
    expected = np.broadcast_to(OTHER, (10, 17, 2)).copy()
    expected[7] = np.nan
    np.testing.assert_allclose(track.image.xy, expected)
    assert track.source == detector.source
    with pytest.raises(InputError, match="no person was found"):
        track_from_people(Clip(video), people, np.full(10, -1), detector.source)
    assert not isinstance(make_detector("mediapipe"), PeopleDetector)


def test_openpose_folder(video: Path, tmp_path: Path) -> None:
    folder = tmp_path / "json"
    folder.mkdir()
    body = np.vstack([SUBJECT, SUBJECT[:8] + 3])
    for i in range(10):
        people = [{"pose_keypoints_2d": flat(xy)} for xy in (body * 0.4, body)]
        name = f"walk_{i:012d}_keypoints.json"
        (folder / name).write_text(json.dumps({"version": 1.3, "people": people}))
    track = make_detector("openpose", keypoints=folder).track(Clip(video))
    assert track.image.names == skeleton("body25").points
    np.testing.assert_allclose(track.image.xy, np.broadcast_to(body, (10, 25, 2)))


def test_a_damaged_frame_has_no_points(video: Path, tmp_path: Path) -> None:
    data = bytearray(video.read_bytes())
    with av.open(str(video)) as file:
        packet = list(file.demux(video=0))[-2]  # the last but the flush: nothing follows from it
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    video.write_bytes(data)
    track = make_detector("coco", keypoints=write_coco(tmp_path / "k.json")).track(Clip(video))
    assert track.damaged == (9,)
    assert track.image.found.tolist() == [True] * 9 + [False]


def test_frames_that_the_video_lacks(video: Path, tmp_path: Path) -> None:
    detector = make_detector("coco", keypoints=write_coco(tmp_path / "k.json", first=1))
    for work in (detector.track, detector.people):
        with pytest.raises(InputError, match=r"frame 10, but walk\.mp4 ends with frame 9"):
            work(Clip(video))


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a file"):
        make_detector("mmpose")
    with pytest.raises(InputError, match=r"none\.json"):
        make_detector("alphapose", keypoints=tmp_path / "none.json")
