"""The embedded detector over videos: real people, interrupted anywhere, damaged, and on threads."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kinefit.detect import embedded, make_detector
from kinefit.detect.blazepose import LandmarkNetwork, Pose, weights
from kinefit.detect.embedded import BlazePoseDetector, cores
from kinefit.detect.follow import Key, Lost, Seen, State
from kinefit.detect.looks import PARTS
from kinefit.io.people import People
from kinefit.io.video import Clip, VideoWriter
from kinefit.types import FloatArray, InputError, NobodyFound

from ..io.test_video import damage
from .people_pictures import Cutout, encode, pictures_of, plain

# Key frames of the clip, which is of 30 Hz: 0, 10, 20, and 25, its last.
FRAMES, STEP = 26, 10


@pytest.fixture(scope="module")
def clip(person: Cutout, demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real people, and somebody who walks out of the picture beside them."""
    pictures = pictures_of(demo_clip, FRAMES)
    for i, picture in enumerate(pictures):
        picture.flags.writeable = True
        if i < 17:
            person.on(picture, 420 + 3 * i, 500, 300, mirrored=True)
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", pictures, rate=30, group=5)


def look(video: Path, folder: Path | None = None, **changes) -> People:
    progress = changes.pop("progress", None)
    detector = BlazePoseDetector(**{"threads": 2, "chunk": 1, **changes})
    return detector.people(Clip(video), progress=progress, checkpoint=folder)


@pytest.fixture(scope="module")
def whole(clip: Path) -> People:
    return look(clip, threads=1)


def contents(people: People) -> list[bytes]:
    assert people.body is not None
    assert people.place is not None
    assert people.look is not None
    each = [*people.points, *people.body, *people.place, *people.look]
    return [a.tobytes() for a in each] + [people.frame.tobytes(), bytes(people.damaged)]


def stopping(at: int, seen: list[int] | None = None):
    def progress(done: int, total: int) -> None:
        assert total == FRAMES
        if seen is not None:
            seen.append(done)
        if done == at:
            raise KeyboardInterrupt

    return progress


class TestPeople:
    def test_everybody_in_every_frame(self, whole: People) -> None:
        assert whole.frame.tolist() == list(range(FRAMES))
        assert whole.damaged == ()
        assert whole.names == make_detector("blazepose").names
        assert whole.source.startswith("BlazePose (full) on LiteRT ")
        subject = [(p[:, 23, 0] > 175) & (p[:, 23, 0] < 380) for p in whole.points]
        assert [s.sum() for s in subject] == [1] * FRAMES
        guest = [(p[:, 23, 0] > 390).sum() for p in whole.points]
        # They lean out of the picture from the 13th frame on: seen for a while, or no more.
        assert guest[:12] == [1] * 12
        assert sum(guest[20:]) == 0  # the network sees them for some frames more

    def test_bodies_places_and_looks_are_of_the_same_people(self, whole: People) -> None:
        assert whole.body is not None
        assert whole.place is not None
        assert whole.look is not None
        for points, body, place, colours in zip(
            whole.points, whole.body, whole.place, whole.look, strict=True
        ):
            hips = points[:, [23, 24], :2].mean(axis=1)
            size = np.linalg.norm(place[:, 2:] - place[:, :2], axis=1)
            assert (np.linalg.norm(hips - place[:, :2], axis=1) < 0.15 * size).all()
            assert np.abs(body[:, [23, 24]].mean(axis=1)).max() < 0.03
            assert colours.shape == (len(points), 6, 3)
            assert ((points[..., 2] >= 0) & (points[..., 2] <= 1)).all()

    def test_the_body_is_right_handed_and_in_camera_axes(self, whole: People) -> None:
        assert whole.body is not None
        at = {name: i for i, name in enumerate(whole.names)}

        def middle(body: FloatArray, part: str) -> FloatArray:
            return body[:, [at["L" + part], at["R" + part]]].mean(axis=1)

        xyz = np.concatenate(whole.body)
        left = xyz[:, at["LHip"]] - xyz[:, at["RHip"]]
        up = middle(xyz, "Shoulder") - middle(xyz, "Hip")
        front = middle(xyz, "BigToe") - middle(xyz, "Heel")
        assert (np.einsum("tc,tc->t", np.cross(up, front), left) > 0).mean() > 0.95
        assert (up[:, 1] < 0).all()  # y is down
        assert 0.4 < np.median(np.linalg.norm(up, axis=1)) < 0.6  # of an adult

    @pytest.mark.parametrize("threads", [2, 3])
    def test_threads_change_nothing(self, clip: Path, whole: People, threads: int) -> None:
        assert contents(look(clip, threads=threads)) == contents(whole)

    def test_progress_is_every_frame(self, clip: Path) -> None:
        seen: list[int] = []
        look(clip, progress=stopping(-1, seen))
        assert seen == list(range(1, FRAMES + 1))

    def test_the_best_quality_is_another_result_and_says_so(
        self, clip: Path, whole: People
    ) -> None:
        best = look(clip, heavy=True, thorough=True)
        assert "heavy" in best.source
        assert best.source != whole.source
        assert contents(best) != contents(whole)


class TestGoingOn:
    @pytest.mark.parametrize("at", [1, 11, 15, 25])
    def test_interrupted_anywhere(self, clip: Path, whole: People, tmp_path: Path, at: int) -> None:
        with pytest.raises(KeyboardInterrupt):
            look(clip, tmp_path, progress=stopping(at))
        stored = sorted(tmp_path.glob("*"))
        assert [p.name for p in stored] == [
            f"chunk-{k:05d}.npz" for k, end in enumerate((1, 11, 21, 26)) if end <= at
        ]
        seen: list[int] = []
        assert contents(look(clip, tmp_path, progress=stopping(-1, seen), threads=3)) == contents(
            whole
        )
        # What was stored is not looked at again.
        done = max((end for end in (1, 11, 21, 26) if end <= at), default=0)
        assert seen == list(range(done + 1, FRAMES + 1))

    def test_interrupted_again_and_again(self, clip: Path, whole: People, tmp_path: Path) -> None:
        for at in (3, 12, 13, 23):
            with pytest.raises(KeyboardInterrupt):
                look(clip, tmp_path, progress=stopping(at))
        assert contents(look(clip, tmp_path)) == contents(whole)

    def test_chunks_of_many_frames(self, clip: Path, whole: People, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            look(clip, tmp_path, progress=stopping(24), chunk=15)
        assert len(list(tmp_path.glob("*"))) == 1  # at frame 20, the first key frame after 15
        assert contents(look(clip, tmp_path, chunk=15)) == contents(whole)

    def test_killed(self, clip: Path, whole: People, tmp_path: Path) -> None:
        code = f"""
import os, signal
from pathlib import Path
from kinefit.detect.embedded import BlazePoseDetector
from kinefit.io.video import Clip
def progress(done, total):
    if done == 17:
        os.kill(os.getpid(), signal.SIGKILL)
BlazePoseDetector(threads=2, chunk=1).people(
    Clip(Path({str(clip)!r})), progress=progress, checkpoint=Path({str(tmp_path)!r})
)
"""
        killed = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
        assert killed.returncode == -signal.SIGKILL
        assert len(list(tmp_path.glob("chunk-*.npz"))) == 2
        seen: list[int] = []
        assert contents(look(clip, tmp_path, progress=stopping(-1, seen))) == contents(whole)
        assert seen[0] == 12

    def test_damaged_checkpoints_are_not_there(
        self, clip: Path, whole: People, tmp_path: Path
    ) -> None:
        look(clip, tmp_path)
        files = sorted(tmp_path.glob("*"))
        for damaged in (b"", b"PK", files[1].read_bytes()[:-300]):
            files[1].write_bytes(damaged)  # a full disk, say; what comes after is not used either
            seen: list[int] = []
            found = look(clip, tmp_path, progress=stopping(-1, seen))
            assert contents(found) == contents(whole)
            assert seen[0] == 2

    def test_checkpoints_of_something_else_are_not_used(
        self, clip: Path, whole: People, tmp_path: Path
    ) -> None:
        look(clip, tmp_path, heavy=True, thorough=True)
        assert contents(look(clip, tmp_path)) == contents(whole)
        # Another video in its place; then the first one again, under another name.
        other, copy = tmp_path / "clip.mp4", tmp_path / "copy.mp4"
        other.write_bytes(clip.read_bytes())
        damage(other, 13)
        seen: list[int] = []
        look(other, tmp_path, progress=stopping(-1, seen))
        assert seen[0] == 1
        copy.write_bytes(other.read_bytes())
        seen.clear()
        look(copy, tmp_path, progress=stopping(-1, seen))
        assert seen == []  # all was there

    def test_checkpoints_of_another_network_are_not_used(self, clip: Path, tmp_path: Path) -> None:
        model = tmp_path / "full.tflite"
        model.write_bytes(weights("pose_landmark_full"))
        look(clip, tmp_path, model=model)
        model.write_bytes(model.read_bytes() + bytes(16))  # of the same name
        seen: list[int] = []
        look(clip, tmp_path, model=model, progress=stopping(-1, seen))
        assert seen[0] == 1


def test_a_checkpoint_keeps_all_that_later_frames_depend_on() -> None:
    random = np.random.default_rng(0)

    def key() -> Key:
        pose = Pose(random.normal(size=(33, 6)), random.normal(size=4), 0.75)
        look = random.normal(size=(PARTS, 3))
        return Key(Seen(pose, look), random.normal(size=(33, 6)), random.normal(size=4))

    for count in (0, 1, 3):
        lost = tuple(Lost(random.normal(size=4), 7 + n) for n in range(count))
        state = State(20, tuple(key() for _ in range(count)), lost, 11)
        again = embedded._state_from(
            {name: np.asarray(value) for name, value in embedded._arrays_of(state).items()}
        )
        assert (again.row, again.deep) == (20, 11)
        assert [one.row for one in again.lost] == [one.row for one in lost]
        for one, other in zip(again.lost, lost, strict=True):
            np.testing.assert_array_equal(one.place, other.place)
        for one, other in zip(again.keys, state.keys, strict=True):
            for mine, theirs in (
                (one.half, other.half),
                (one.speed, other.speed),
                (one.seen.look, other.seen.look),
                (one.seen.pose.values, other.seen.pose.values),
                (one.seen.pose.place, other.seen.pose.place),
                (one.seen.pose.sure, other.seen.pose.sure),
            ):
                np.testing.assert_array_equal(mine, theirs)


class TestDamage:
    @pytest.fixture(scope="class")
    @staticmethod
    def damaged(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Frames 10 to 14 (with a key frame of the follower) and the last cannot be decoded."""
        path = tmp_path_factory.mktemp("damaged") / "clip.mp4"
        path.write_bytes(clip.read_bytes())
        damage(path, 10, 25)
        return path

    @pytest.fixture(scope="class")
    @staticmethod
    def found(damaged: Path) -> People:
        return look(damaged, threads=1)

    def test_damaged_frames_show_nobody_and_are_told(self, found: People) -> None:
        assert found.damaged == (10, 11, 12, 13, 14, 25)
        assert found.frame.tolist() == list(range(FRAMES))
        empty = [i for i, p in enumerate(found.points) if not len(p)]
        assert empty == [10, 11, 12, 13, 14, 25]

    @pytest.mark.parametrize("at", [11, 14, 26])
    def test_interrupted_at_damage(
        self, damaged: Path, found: People, tmp_path: Path, at: int
    ) -> None:
        with pytest.raises(KeyboardInterrupt):
            look(damaged, tmp_path, progress=stopping(at))
        assert contents(look(damaged, tmp_path, threads=3)) == contents(found)


def test_nobody_in_a_video(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", (320, 240)) as out:
        for i in range(5):
            out.add(plain(320, 240), i / 30)
    with pytest.raises(NobodyFound, match=r"a\.mp4: no person was found in any of its 5 frames"):
        look(tmp_path / "a.mp4", tmp_path / "checkpoint")


def test_a_single_picture(demo_clip: Path, tmp_path: Path) -> None:
    import cv2

    picture = pictures_of(demo_clip, 1)[0]
    cv2.imwrite(str(tmp_path / "a.png"), picture[..., ::-1])
    people = look(tmp_path / "a.png")
    assert people.frame.tolist() == [0]
    assert len(people.points[0]) >= 1


def test_errors_come_out(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the caller, and of the threads that look."""

    def fail(*_: object) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        look(clip, progress=fail)
    calls = iter(range(1000))

    def breaks(*_: object, **__: object) -> None:
        if next(calls) > 20:
            raise MemoryError("network")
        return original(*_, **__)

    original = LandmarkNetwork.__call__
    monkeypatch.setattr(LandmarkNetwork, "__call__", breaks)
    with pytest.raises(MemoryError, match="network"):
        look(clip)


def test_it_says_nothing_on_standard_error(demo_clip: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from kinefit.detect import make_detector
from kinefit.io.video import Clip
def stop(done, total):
    if done == 20:
        raise KeyboardInterrupt
try:
    make_detector("blazepose", threads=3).people(Clip(Path({str(demo_clip)!r})), progress=stop)
except KeyboardInterrupt:
    pass
print("to stderr", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr == "to stderr\n"
    assert done.stdout == ""


def test_models_are_checked_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        make_detector("blazepose", model=tmp_path / "none.task")
    own = make_detector("blazepose")
    assert isinstance(own, BlazePoseDetector)
    assert own.threads is None
    assert cores() >= 1
