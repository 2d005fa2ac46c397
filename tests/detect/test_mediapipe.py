"""MediaPipe, where it is installed, on real video: the same people and conventions as our own."""

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kinefit.detect import make_detector
from kinefit.io.people import People
from kinefit.io.video import Clip, VideoWriter
from kinefit.types import FloatArray, InputError, MissingDependency

mediapipe_needed = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="MediaPipe is not installed"
)


@pytest.fixture(scope="module")
def people(demo_clip: Path) -> People:
    steps: list[tuple[int, int]] = []
    found = make_detector("mediapipe").people(
        Clip(demo_clip), progress=lambda *step: steps.append(step)
    )
    assert steps == [(i + 1, 40) for i in range(40)]
    return found


def stacked(people: People) -> FloatArray:
    """(F, 33, 3) of one person in every frame."""
    return np.concatenate(people.points)


def mean_of(people: People, values: FloatArray, *names: str) -> FloatArray:
    return values[:, [people.names.index(n) for n in names]].mean(axis=1)


@mediapipe_needed
class TestDemo:
    def test_one_person_in_every_frame(self, people: People) -> None:
        assert [len(p) for p in people.points] == [1] * 40
        assert people.frame.tolist() == list(range(40))
        assert people.damaged == ()
        assert people.place is people.look is None
        assert people.source.startswith("MediaPipe 0.")

    def test_the_subject_not_the_bystander(self, people: People) -> None:
        # At half size the bystander stands left of x = 65; the subject stays right of 175.
        assert mean_of(people, stacked(people), "LHip", "RHip")[:, 0].min() > 175

    def test_the_body_is_right_handed_and_in_camera_axes(self, people: People) -> None:
        assert people.body is not None
        xyz = np.concatenate(people.body)
        left = mean_of(people, xyz, "LHip") - mean_of(people, xyz, "RHip")
        up = mean_of(people, xyz, "LShoulder", "RShoulder") - mean_of(people, xyz, "LHip", "RHip")
        front = mean_of(people, xyz, "LBigToe", "RBigToe") - mean_of(people, xyz, "LHeel", "RHeel")
        assert (np.einsum("tc,tc->t", np.cross(up, front), left) > 0).all()
        assert np.median(front[:, 2]) < 0  # towards the camera
        assert (up[:, 1] < 0).all()  # y is down
        # Shoulder to hip of an adult: 0.40-0.60 m.
        assert 0.4 < np.median(np.linalg.norm(up, axis=1)) < 0.6
        # The origin is the mid-hip; 5 mm is twice what was seen.
        assert np.abs(mean_of(people, xyz, "LHip", "RHip")).max() < 0.005

    def test_it_agrees_with_our_own(self, people: People, demo_clip: Path) -> None:
        """The same networks: whatever leads to them, landmarks lie within 2 % of the person."""
        ours = make_detector("blazepose").people(Clip(demo_clip))
        seen = stacked(people)
        mine = np.stack([
            found[np.linalg.norm(found[..., :2] - one[:, :2], axis=-1).mean(axis=1).argmin()]
            for found, one in zip(ours.points, seen, strict=True)
        ])  # fmt: skip
        away = np.linalg.norm(mine[:, 11:, :2] - seen[:, 11:, :2], axis=-1)
        assert np.median(away) < 0.02 * 370  # the person's height


@mediapipe_needed
def test_it_says_nothing_on_standard_error(demo_clip: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from kinefit.detect import make_detector
from kinefit.io.video import Clip
def stop(done, total):
    if done == 3:
        raise KeyboardInterrupt
try:
    make_detector("mediapipe").people(Clip(Path({str(demo_clip)!r})), progress=stop)
except KeyboardInterrupt:
    pass
print("to stderr", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr == "to stderr\n"
    assert done.stdout == ""


@pytest.fixture(scope="module")
def task_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `.task` file made of the wheel's own weights, with the metadata it asks for."""
    from mediapipe.tasks.python.metadata.metadata_writers.metadata_writer import MetadataWriter

    spec = importlib.util.find_spec("mediapipe")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    modules = Path(spec.submodule_search_locations[0]) / "modules"
    parts = {
        "pose_detector": ("pose_detection/pose_detection.tflite", 127.5, 127.5),
        "pose_landmarks_detector": ("pose_landmark/pose_landmark_full.tflite", 0.0, 255.0),
    }
    path = tmp_path_factory.mktemp("model") / "pose.task"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as bundle:
        for name, (weights, mean, deviation) in parts.items():
            writer = MetadataWriter.create(bytearray((modules / weights).read_bytes()))
            writer.add_image_input([mean], [deviation])
            bundle.writestr(f"{name}.tflite", bytes(writer.populate()[0]))
    return path


@mediapipe_needed
class TestTask:
    """The Tasks interface, with the user's model."""

    def test_it_agrees_with_the_older_interface(
        self, people: People, demo_clip: Path, task_model: Path
    ) -> None:
        task = make_detector("mediapipe", model=task_model)
        found = task.people(Clip(demo_clip))
        assert "pose.task" in found.source
        ours, bundled = stacked(found), stacked(people)
        # The same network on half-size frames; this interface smooths, which trails by a pixel
        # or two of walking.
        away = np.linalg.norm(ours[:, 11:, :2] - bundled[:, 11:, :2], axis=-1)
        assert away[0].mean() < 1.0
        assert away.mean() < 6.0
        assert found.body is not None
        assert people.body is not None
        assert np.abs(found.body[0] - people.body[0]).mean() < 0.02

    def test_our_own_detector_takes_the_same_file(self, demo_clip: Path, task_model: Path) -> None:
        own = make_detector("blazepose").people(Clip(demo_clip))
        same = make_detector("blazepose", model=task_model).people(Clip(demo_clip))
        assert "pose.task" in same.source
        for one, other in zip(own.points, same.points, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_not_a_model(self, demo_clip: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such model"):
            make_detector("mediapipe", model=tmp_path / "none.task")
        (tmp_path / "bad.task").write_bytes(b"nothing of the kind")
        detector = make_detector("mediapipe", model=tmp_path / "bad.task")
        with pytest.raises(InputError, match="cannot use it as a pose model"):
            detector.people(Clip(demo_clip))


@mediapipe_needed
def test_nobody_in_the_picture(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", (320, 240)) as out:
        for i in range(5):
            out.add(np.full((240, 320, 3), 40 * i, np.uint8), i / 30)
    people = make_detector("mediapipe").people(Clip(tmp_path / "a.mp4"))
    assert [p.shape for p in people.points] == [(0, 33, 3)] * 5
    assert people.body is not None
    assert [p.shape for p in people.body] == [(0, 33, 3)] * 5


def test_without_mediapipe_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "kinefit.detect.mediapipe.find_spec",
        lambda name: None if name == "mediapipe" else real(name),
    )
    with pytest.raises(MissingDependency, match="mediapipe"):
        make_detector("mediapipe")
