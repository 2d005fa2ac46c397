"""Keypoint files of other programs over the frames of a video."""

import json
from pathlib import Path

import numpy as np
import pytest

from kinefit.detect import make_detector
from kinefit.io.people import People
from kinefit.io.video import Clip, VideoWriter
from kinefit.skeletons import skeleton
from kinefit.tracking.view_people import ViewPeople
from kinefit.types import InputError, NobodyFound, PoseTrack

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


def subject(video: Path, people: People) -> PoseTrack:
    clip = Clip(video)
    return ViewPeople(people, clip.timeline(), clip.probe().size).subject()


def test_the_subject_with_the_video_s_own_times(video: Path, tmp_path: Path) -> None:
    detector = make_detector("coco", keypoints=write_coco(tmp_path / "k.json", missing=(4,)))
    track = subject(video, detector.people(Clip(video)))
    assert detector.names == track.image.names == skeleton("coco17").points
    np.testing.assert_allclose(track.image.timeline.time, TIMES, atol=1e-5)  # a 90 kHz clock
    expected = SUBJECT + 5 * np.arange(10)[:, None, None] * [1, 0]
    expected[4] = np.nan
    np.testing.assert_allclose(track.image.xy, expected)
    assert (track.image.score == np.where(np.arange(10) == 4, 0, 0.9)[:, None]).all()
    assert track.body is None
    assert track.image.image_size == (320, 240)
    assert track.source == detector.source == "COCO file k.json"


def test_shares_of_the_picture_become_pixels(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    entries = [{"image_id": i, "keypoints": flat(SUBJECT / (320, 240))} for i in range(10)]
    path.write_text(json.dumps(entries))
    people = make_detector("coco", keypoints=path).people(Clip(video))
    np.testing.assert_allclose(people.points[3][0, :, :2], SUBJECT)
    (doubt,) = people.findings  # of somebody in the lower right, -1..1 looks the same
    assert doubt.level == "caution"
    assert "from 0 to 1" in doubt.what
    assert "from -1 to 1" in doubt.meaning
    shifted = SUBJECT / (320, 240) - (SUBJECT / (320, 240)).min() - 0.03
    entries = [{"image_id": i, "keypoints": flat(shifted)} for i in range(10)]
    path.write_text(json.dumps(entries))
    with pytest.raises(InputError, match="--keypoint_scale 0"):
        make_detector("coco", keypoints=path).people(Clip(video))


def test_files_in_which_nobody_is_in_some_frames(video: Path, tmp_path: Path) -> None:
    for i in range(10):
        people = [{"pose_keypoints_2d": flat(SUBJECT)}] if i == 9 else []
        (tmp_path / f"{i}_keypoints.json").write_text(json.dumps({"people": people}))
    detector = make_detector("openpose", keypoints=tmp_path)
    assert [len(p) for p in detector.people(Clip(video, end_s=0.1)).points] == [0, 0, 0]


def test_everybody(video: Path, tmp_path: Path) -> None:
    detector = make_detector("coco", keypoints=write_coco(tmp_path / "k.json", missing=(4,)))
    people = detector.people(Clip(video))
    assert people.frame.tolist() == list(range(10))
    assert [len(p) for p in people.points] == [2, 2, 2, 2, 1, 2, 2, 2, 2, 2]
    for found in people.points:
        np.testing.assert_allclose(found[0, :, :2], OTHER)
    assert people.body is people.place is people.look is None


def test_openpose_folder(video: Path, tmp_path: Path) -> None:
    folder = tmp_path / "json"
    folder.mkdir()
    body = np.vstack([SUBJECT, SUBJECT[:8] + 3])
    for i in range(10):
        people = [{"pose_keypoints_2d": flat(xy)} for xy in (body * 0.4, body)]
        name = f"walk_{i:012d}_keypoints.json"
        (folder / name).write_text(json.dumps({"version": 1.3, "people": people}))
    track = subject(video, make_detector("openpose", keypoints=folder).people(Clip(video)))
    assert track.image.names == skeleton("body25").points
    np.testing.assert_allclose(track.image.xy, np.broadcast_to(body, (10, 25, 2)))


@pytest.mark.parametrize("first", [1, 0, 101])
def test_the_number_of_the_first_frame(first: int, video: Path, tmp_path: Path) -> None:
    """Counted from 0, from 1, or as in a longer recording: told where it fits in one way only."""
    detector = make_detector("coco", keypoints=write_coco(tmp_path / "k.json", first=first))
    people = detector.people(Clip(video))
    assert people.frame.tolist() == list(range(10))
    numbered = [note for note in people.notes if "numbered" in note]
    said = f"Frames of k.json are numbered from {first}: that is the video's first."
    assert numbered == ([said] if first else [])


def test_numbered_from_1_with_nobody_at_first(video: Path, tmp_path: Path) -> None:
    path = write_coco(tmp_path / "k.json", first=1)
    path.write_text(json.dumps([e for e in json.loads(path.read_text()) if e["image_id"] > 3]))
    people = make_detector("coco", keypoints=path).people(Clip(video))
    assert people.frame.tolist() == list(range(3, 10))


def test_frames_that_the_video_lacks(video: Path, tmp_path: Path) -> None:
    path = write_coco(tmp_path / "k.json", first=5)
    path.write_text(json.dumps([e for e in json.loads(path.read_text()) if e["image_id"] != 14]))
    detector = make_detector("coco", keypoints=path)
    with pytest.raises(InputError, match=r"frame 13, but walk\.mp4 ends with frame 9"):
        detector.people(Clip(video))


def test_files_that_show_nobody(video: Path, tmp_path: Path) -> None:
    """Known once the video is: of several cameras, the others may show somebody."""
    (tmp_path / "k.json").write_text("[]")
    detector = make_detector("coco", keypoints=tmp_path / "k.json")
    assert detector.names == ()
    with pytest.raises(NobodyFound, match=r"k\.json"):
        detector.people(Clip(video))


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a file"):
        make_detector("mmpose")
    with pytest.raises(InputError, match=r"none\.json"):
        make_detector("alphapose", keypoints=tmp_path / "none.json")
