"""MediaPipe on real video: Pose2Sim's demo, one person on a beam, seen by a bystander."""

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kinefit.api import demo_views
from kinefit.detect import FrameResult, make_detector
from kinefit.io.video import Clip, VideoWriter, frames
from kinefit.types import FloatArray, InputError, PoseTrack


def demo(camera: int) -> Path:
    return demo_views()[0][camera - 1]


@pytest.fixture(scope="module")
def seen() -> list[FrameResult]:
    return []


@pytest.fixture(scope="module")
def track(seen: list[FrameResult]) -> PoseTrack:
    return make_detector("mediapipe").track(Clip(demo(1)), on_frame=seen.append)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames of the demo at half size."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, (540, 960), rate_hz=60, quality=18) as out:
        for frame in frames(demo(1)):
            if frame.index < 20 and frame.rgb is not None:
                out.add(np.ascontiguousarray(frame.rgb[::2, ::2]), frame.time)
    return path


def mean_of(track: PoseTrack, values: FloatArray, *names: str) -> FloatArray:
    return values[:, [track.image.names.index(n) for n in names]].mean(axis=1)


class TestDemo:
    def test_everybody_home(self, track: PoseTrack) -> None:
        assert track.image.found.sum() == 100
        assert track.image.image_size == (1080, 1920)
        assert track.damaged == ()
        np.testing.assert_allclose(track.image.timeline.time, np.arange(100) / 60, atol=1e-6)
        assert track.source.startswith("MediaPipe 0.")

    def test_the_subject_not_the_bystander(self, track: PoseTrack) -> None:
        # The bystander stands left of x = 130; the subject stays right of 350.
        assert mean_of(track, track.image.xy, "LHip", "RHip")[:, 0].min() > 350

    def test_feet_are_down(self, track: PoseTrack) -> None:
        heights = [
            mean_of(track, track.image.xy, "L" + part, "R" + part)[:, 1]
            for part in ("Shoulder", "Hip", "Knee", "Heel")
        ]
        assert (np.diff(heights, axis=0) > 0).all()

    def test_left_is_left(self, track: PoseTrack) -> None:
        # He faces the camera: his left is on the right of the image.
        for part in ("Shoulder", "Hip"):
            left, right = (mean_of(track, track.image.xy, side + part) for side in "LR")
            assert ((left - right)[:, 0] > 0).all()

    def test_the_body_is_right_handed_and_in_camera_axes(self, track: PoseTrack) -> None:
        assert track.body is not None
        xyz = track.body.xyz
        left = mean_of(track, xyz, "LHip") - mean_of(track, xyz, "RHip")
        up = mean_of(track, xyz, "LShoulder", "RShoulder") - mean_of(track, xyz, "LHip", "RHip")
        front = mean_of(track, xyz, "LBigToe", "RBigToe") - mean_of(track, xyz, "LHeel", "RHeel")
        assert (np.einsum("tc,tc->t", np.cross(up, front), left) > 0).all()
        assert np.median(front[:, 2]) < 0  # towards the camera
        assert (up[:, 1] < 0).all()  # y is down
        # Shoulder to hip of an adult: 0.40-0.60 m.
        assert 0.4 < np.median(np.linalg.norm(up, axis=1)) < 0.6
        # The origin is the mid-hip; 5 mm is twice what was seen.
        assert np.abs(mean_of(track, xyz, "LHip", "RHip")).max() < 0.005

    def test_the_sink_saw_what_the_track_holds(
        self, track: PoseTrack, seen: list[FrameResult]
    ) -> None:
        assert [r.index for r in seen] == list(range(100))
        np.testing.assert_array_equal([r.xy for r in seen], track.image.xy)
        assert seen[0].mask is None


def test_pixels_have_their_centres_at_integers(clip: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    with VideoWriter(turned, (540, 960), rate_hz=60, quality=12) as out:
        for frame in frames(clip):
            out.add(np.ascontiguousarray(frame.rgb[::-1, ::-1]), frame.time)
    detector = make_detector("mediapipe")
    upright, upside_down = (detector.track(Clip(v)).image.xy[:, 11:] for v in (clip, turned))
    # Centres at integers: x + x' = 539; at halves it would be 540. One point jitters by some
    # pixels, the median of 440 by 0.3 (three cameras).
    off = np.median(upright + upside_down - (539, 959), axis=(0, 1))
    assert np.abs(off).max() < 0.6


def test_masks(clip: Path) -> None:
    seen: list[FrameResult] = []
    track = make_detector("mediapipe", masks=True).track(Clip(clip), on_frame=seen.append)
    mask = seen[5].mask
    assert mask is not None
    assert mask.shape == (960, 540)
    assert mask.min() >= 0
    assert mask.max() <= 1
    x, y = mean_of(track, track.image.xy, "LHip", "RHip", "LShoulder", "RShoulder")[5].astype(int)
    assert mask[y, x] > 0.9  # the trunk
    assert mask[100, 500] < 0.1  # the ceiling


def test_equal_runs_give_equal_bytes(clip: Path) -> None:
    one, two = (make_detector("mediapipe").track(Clip(clip)) for _ in range(2))
    assert one.image.xy.tobytes() == two.image.xy.tobytes()
    assert one.body is not None
    assert two.body is not None
    assert one.body.xyz.tobytes() == two.body.xyz.tobytes()


def test_it_says_nothing_on_standard_error(clip: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from kinefit.detect import make_detector
from kinefit.io.video import Clip
make_detector("mediapipe").track(Clip(Path({str(clip)!r})))
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


class TestTask:
    """The Tasks interface, with the user's model."""

    def test_it_agrees_with_the_older_interface(self, clip: Path, task_model: Path) -> None:
        seen: list[FrameResult] = []
        task = make_detector("mediapipe", model=task_model, masks=True)
        ours = task.track(Clip(clip), on_frame=seen.append)
        bundled = make_detector("mediapipe").track(Clip(clip))
        assert "pose.task" in ours.source
        assert ours.image.found.all()
        # The same network on half-size frames; this interface smooths, which trails by a pixel
        # or two of walking.
        away = np.linalg.norm(ours.image.xy - bundled.image.xy, axis=-1)[:, 11:]
        assert away[0].mean() < 1.0
        assert away.mean() < 6.0
        assert ours.body is not None
        assert bundled.body is not None
        assert np.abs(ours.body.xyz[0] - bundled.body.xyz[0]).mean() < 0.02
        assert seen[0].mask is not None

    def test_not_a_model(self, clip: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such model"):
            make_detector("mediapipe", model=tmp_path / "none.task")
        (tmp_path / "bad.task").write_bytes(b"nothing of the kind")
        detector = make_detector("mediapipe", model=tmp_path / "bad.task")
        with pytest.raises(InputError, match="cannot use it as a pose model"):
            detector.track(Clip(clip))


def test_nobody_in_the_picture(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", (320, 240)) as out:
        for i in range(5):
            out.add(np.full((240, 320, 3), 40 * i, np.uint8), i / 30)
    with pytest.raises(InputError, match="no person was found in any of its 5 frames"):
        make_detector("mediapipe").track(Clip(tmp_path / "a.mp4"))
