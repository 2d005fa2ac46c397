"""Recordings of several people, end to end: choosing one, everybody, masks, what the page says."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.api import everybody, process
from kinefit.cli.commands import app
from kinefit.detect.embedded import BlazePoseDetector
from kinefit.io.people import People
from kinefit.io.video import Clip, VideoWriter, frames, probe
from kinefit.multiview.bundle import load_triangulation
from kinefit.multiview.people import Candidate, Recorded
from kinefit.pipeline.artifacts import load_people, load_track
from kinefit.pipeline.config import RunConfig, run_config
from kinefit.pipeline.stages.observe import doubts_of
from kinefit.tracking.view_people import ViewPeople
from kinefit.types import FloatArray, InputError, PoseTrack, Timeline


def config(**changes) -> RunConfig:
    options = {"height": 1.7, "mass": 65.0, "overlay": False, "export": "", "quality": "fast"}
    return run_config({**options, **changes})


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every video that the detector looks at, in this process."""
    return _count_searches(monkeypatch)


def _count_searches(patch: pytest.MonkeyPatch) -> list[Path]:
    looked: list[Path] = []
    original = BlazePoseDetector.people

    def people(self, clip: Clip, **how):
        looked.append(clip.path)
        return original(self, clip, **how)

    patch.setattr(BlazePoseDetector, "people", people)
    return looked


def track(out: Path, name: str = "two") -> PoseTrack:
    return load_track(out / ".kinefit" / f"track_{name}.npz")


def middle(found: PoseTrack) -> FloatArray:
    """(2,) pixels: where the person's hips are on average."""
    hips = [found.image.names.index(n) for n in ("LHip", "RHip")]
    return np.nanmean(found.image.xy[:, hips], axis=(0, 1))


def manifest(out: Path) -> dict:
    return json.loads((out / "run.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def both(two_people_clip: Path, tmp_path_factory: pytest.TempPathFactory):
    """Everybody, with all stages; and the videos that were looked at meanwhile."""
    out = tmp_path_factory.mktemp("everybody") / "out"
    with pytest.MonkeyPatch.context() as patch:
        looked = _count_searches(patch)
        results = everybody(two_people_clip, out, config())
    return out, results, looked


class TestEverybody:
    def test_each_has_a_folder_with_all_results(self, both) -> None:
        out, results, _ = both
        assert [r.folder for r in results] == [out / "person_1", out / "person_2"]
        for number, result in enumerate(results, start=1):
            names = {name for name, _ in result.files}
            assert {"two_final.trc", "two_body.npz", "report.html"} <= names
            told = manifest(result.folder)
            assert told["incomplete"] == ""
            assert told["parameters"]["person"] == number
            assert [p["number"] for p in told["world"]["people"] if p["chosen"]] == [number]
            assert result.verdict == told["verdict"] != ""
        assert {p.name for p in out.iterdir()} == {".kinefit", "run.json", "person_1", "person_2"}

    def test_they_are_two_people(self, both) -> None:
        out, _, _ = both
        one, two = (track(out / f"person_{n}") for n in (1, 2))
        assert one.image.found.mean() > 0.9
        assert two.image.found.mean() > 0.9
        # 150 pixels apart, each about 400 high.
        assert np.linalg.norm(middle(one) - middle(two)) > 100

    def test_the_video_is_looked_at_once(self, both, two_people_clip: Path) -> None:
        out, _, looked = both
        assert looked == [two_people_clip]
        stored = [
            (folder / ".kinefit" / "people_two.npz").read_bytes()
            for folder in (out, out / "person_1", out / "person_2")
        ]
        assert stored[0] == stored[1] == stored[2]
        stages = [manifest(f)["stages"]["two.detect"] for f in (out, out / "person_2")]
        assert stages[0] == stages[1]
        assert set(manifest(out)["stages"]) == {"two.detect"}

    def test_again_nothing_is_done(self, both, two_people_clip: Path, searches: list[Path]) -> None:
        out, _, _ = both
        before = {p: p.stat().st_mtime_ns for p in out.rglob("*.trc")}
        assert len(before) >= 6
        results = everybody(two_people_clip, out, config())
        assert len(results) == 2
        assert searches == []
        assert {p: p.stat().st_mtime_ns for p in before} == before

    def test_a_person_alone_is_the_same(self, both, two_people_clip: Path, tmp_path: Path) -> None:
        out, _, _ = both
        process(two_people_clip, tmp_path, config(person=2), until="observe")
        mine, theirs = (f / ".kinefit/observations.npz" for f in (tmp_path, out / "person_2"))
        assert mine.read_bytes() == theirs.read_bytes()

    def test_the_page_shows_everybody_and_how_to_choose(self, both) -> None:
        out, _, _ = both
        pages = [(out / f"person_{n}" / "report.html").read_text("utf-8") for n in (1, 2)]
        for number, page in enumerate(pages, start=1):
            for text in ("People in the recording", "--person N", "--person-at", "--people all"):
                assert text in page
            figures = re.findall(r"<figure( class=\"chosen\")?><img alt=\"Person (\d)\"", page)
            assert [n for _, n in figures] == ["1", "2"]
            assert [n for chosen, n in figures if chosen] == [str(number)]
            assert f"<strong>{number}, this page</strong>: seen in 100 % of the frames" in page
        pictures = [thumbnails(page) for page in pages]
        assert [p.shape[0] for p in pictures[0]] == [160, 160]
        for one, other in zip(*pictures, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_thumbnails_show_the_person(self, both, two_people_clip: Path) -> None:
        out, _, _ = both
        page = (out / "person_1" / "report.html").read_text("utf-8")
        for one, shown in zip(
            manifest(out / "person_1")["world"]["people"], thumbnails(page), strict=True
        ):
            best = one["best"]
            picture = next(f.rgb for f in frames(two_people_clip) if f.index == best["frame"])
            x0, y0, x1, y1 = best["box"]
            room = round(0.12 * (y1 - y0))
            x0, y0, x1, y1 = np.clip([x0 - room, y0 - room, x1 + room, y1 + room], 0, None)
            part = cv2.resize(picture[y0:y1, x0:x1], shown.shape[1::-1])
            # The JPEG's and the scaling's losses; another part of the picture is 40 away.
            assert np.abs(part.astype(float) - shown).mean() < 8


def thumbnails(page: str) -> list[np.ndarray]:
    found = re.findall(r'<img alt="Person \d" src="data:image/jpeg;base64,([^"]+)"', page)
    decoded = [np.frombuffer(base64.b64decode(text), np.uint8) for text in found]
    return [cv2.imdecode(one, cv2.IMREAD_COLOR)[..., ::-1] for one in decoded]


@pytest.fixture(scope="module")
def observed(two_people_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("observed") / "out"
    process(two_people_clip, out, config(), until="fit")
    return out


@pytest.fixture
def out(observed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(observed, tmp_path / "out"))


class TestChoosing:
    def test_another_person_does_not_look_again_and_takes_nothing_away(
        self, out: Path, two_people_clip: Path, searches: list[Path]
    ) -> None:
        before = {p.name for p in out.rglob("*") if p.is_file()}
        first, landmarks = track(out), (out / "two_raw_landmarks.csv").read_bytes()
        process(two_people_clip, out, config(person=2), until="observe")
        assert searches == []
        assert before <= {p.name for p in out.rglob("*") if p.is_file()}
        assert np.linalg.norm(middle(track(out)) - middle(first)) > 100
        assert (out / "two_raw_landmarks.csv").read_bytes() != landmarks
        stages = manifest(out)["stages"]
        assert [name for name, stage in stages.items() if stage["stale"]] == ["two.fit"]
        process(two_people_clip, out, config(), until="observe")
        assert (out / "two_raw_landmarks.csv").read_bytes() == landmarks
        assert not any(stage["stale"] for stage in manifest(out)["stages"].values())
        assert searches == []

    @pytest.mark.parametrize("number", [1, 2])
    @pytest.mark.parametrize("flag", ["person_at", "box"])
    def test_pointing_is_the_same_as_the_number(
        self, out: Path, both, two_people_clip: Path, searches: list[Path], flag: str, number: int
    ) -> None:
        (best,) = (
            p["best"] for p in manifest(both[0] / "person_1")["world"]["people"]
            if p["number"] == number
        )  # fmt: skip
        x0, y0, x1, y1 = best["box"]
        where = [(x0 + x1) / 2, (y0 + y1) / 2] if flag == "person_at" else [x0, y0, x1, y1]
        value = ",".join(map(str, [*where, best["frame"]]))
        process(two_people_clip, out, config(**{flag: value}), until="observe")
        assert searches == []
        expected = track(both[0] / f"person_{number}")
        np.testing.assert_array_equal(track(out).image.xy, expected.image.xy)
        chosen = [p["number"] for p in json.loads(
            (out / ".kinefit" / "world.json").read_text())["people"] if p["chosen"]]  # fmt: skip
        assert chosen == [number]

    def test_who_is_not_there_is_told_and_all_stays(
        self, out: Path, two_people_clip: Path, searches: list[Path]
    ) -> None:
        before = {p: p.read_bytes() for p in out.glob("two_*")}
        assert before
        with pytest.raises(InputError, match="there is no person 3; 2 found"):
            process(two_people_clip, out, config(person=3))
        with pytest.raises(InputError, match="nobody who can be followed was found at"):
            process(two_people_clip, out, config(person_at="2,2"))
        with pytest.raises(InputError, match="there is no frame 99"):
            process(two_people_clip, out, config(box="2,2,50,50,99"))
        assert searches == []
        assert {p: p.read_bytes() for p in before} == before
        assert "--box" in manifest(out)["incomplete"] or "frame 99" in manifest(out)["incomplete"]

    def test_the_command_line(self, out: Path, two_people_clip: Path) -> None:
        arguments = ["run", str(two_people_clip), "--out", str(out), "--height", "1.7"]
        arguments += ["--mass", "65", "--no-overlay", "--export", "", "--until", "observe"]
        arguments += ["--quality", "fast"]
        done = CliRunner().invoke(app, [*arguments, "--person", "2"])
        assert done.exit_code == 0, done.output
        assert [p["chosen"] for p in json.loads(
            (out / ".kinefit" / "world.json").read_text())["people"]] == [False, True]  # fmt: skip
        done = CliRunner().invoke(app, [*arguments, "--people", "all"])
        assert done.exit_code == 0, done.output
        assert {p.name for p in out.glob("person_*")} == {"person_1", "person_2"}
        done = CliRunner().invoke(app, [*arguments, "--person", "2", "--people", "all"])
        assert done.exit_code == 2
        assert "not both" in done.output


class TestMasks:
    @pytest.fixture(scope="class")
    @staticmethod
    def masked(observed: Path, two_people_clip: Path, tmp_path_factory) -> Path:
        out = Path(shutil.copytree(observed, tmp_path_factory.mktemp("masks") / "out"))
        process(two_people_clip, out, config(save_mask=True, person=2), until="masks")
        return out

    def test_they_are_of_the_chosen_person_alone(
        self, masked: Path, both, two_people_clip: Path
    ) -> None:
        assert "two.masks" in manifest(masked)["stages"]
        mask = masked / "two_mask.mp4"
        assert probe(mask).size == probe(two_people_clip).size
        assert probe(mask).n_frames == 24
        mine, other = track(masked).image, track(both[0] / "person_1").image
        trunk = [mine.names.index(s + p) for s in "LR" for p in ("Shoulder", "Hip")]
        for frame in frames(mask):
            if frame.index % 6:
                continue
            x, y = mine.xy[frame.index][trunk].mean(axis=0).astype(int)
            assert frame.rgb[y, x].min() > 200
            x, y = other.xy[frame.index][trunk].mean(axis=0).astype(int)
            assert frame.rgb[y, x].max() < 50
            assert 0.01 < (frame.rgb[..., 0] > 128).mean() < 0.3

    def test_edges_are_grey(self, masked: Path) -> None:
        """Shares, not yes and no: between black and white lie some steps."""
        grey = next(frames(masked / "two_mask.mp4")).rgb[..., 0]
        assert ((grey > 60) & (grey < 195)).sum() > 200

    def test_another_person_has_another_mask(
        self, masked: Path, two_people_clip: Path, searches: list[Path], tmp_path: Path
    ) -> None:
        out = Path(shutil.copytree(masked, tmp_path / "out"))
        process(two_people_clip, out, config(save_mask=True), until="masks")
        first, second = (next(frames(f / "two_mask.mp4")).rgb[..., 0] > 128 for f in (masked, out))
        assert (first & second).sum() < 0.1 * first.sum()
        assert searches == []


def test_frames_without_the_person_have_black_masks(demo_clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "gone.mp4"
    with VideoWriter(path, (540, 960), rate_hz=30.0) as writer:
        for frame in frames(demo_clip):
            if frame.index == 16:
                break
            writer.add(np.full_like(frame.rgb, 90) if frame.index > 9 else frame.rgb, frame.time)
    process(path, tmp_path / "out", config(save_mask=True), until="masks")
    white = [(f.rgb[..., 0] > 128).mean() for f in frames(tmp_path / "out" / "gone_mask.mp4")]
    assert min(white[:10]) > 0.01
    assert max(white[10:]) == 0


class TestRig:
    """Two people before four cameras."""

    @pytest.fixture(scope="class")
    @staticmethod
    def videos(two_people_videos: Path, tmp_path_factory) -> list[Path]:
        folder = tmp_path_factory.mktemp("rig")
        for video in sorted(two_people_videos.glob("*.mp4")):
            with VideoWriter(folder / video.name, probe(video).size, rate_hz=60.0) as writer:
                for frame in frames(video):
                    if frame.index == 8:
                        break
                    writer.add(frame.rgb, frame.time)
        return sorted(folder.glob("*.mp4"))

    @pytest.fixture(scope="class")
    @staticmethod
    def options(two_people_videos: Path) -> dict:
        (calibration,) = (two_people_videos.parent / "calibration").glob("Calib*.txt")
        return {"calibration": calibration, "lab_frame": True}

    @pytest.fixture(scope="class")
    @staticmethod
    def found(videos: list[Path], options: dict, tmp_path_factory) -> Path:
        out = tmp_path_factory.mktemp("rig_out") / "out"
        results = everybody(videos, out, config(**options), markers=False, until="observe")
        assert [r.folder.name for r in results] == ["person_1", "person_2"]
        return out

    def test_both_are_in_space_in_places_of_their_own(self, found: Path) -> None:
        hips = []
        for number in (1, 2):
            folder = found / f"person_{number}"
            points = load_triangulation(folder / "multiview_triangulated.npz")
            columns = [points.names.index(n) for n in ("LHip", "RHip")]
            hips.append(np.nanmean(points.refined[:, columns], axis=(0, 1)))
            assert np.isfinite(points.refined[:, columns]).all(axis=-1).mean() > 0.9
            people = json.loads((folder / ".kinefit/world.json").read_text())["people"]
            assert [p["chosen"] for p in people] == [number == 1, number == 2]
            assert min(people[number - 1]["seen"].values()) > 0.7
        assert np.linalg.norm(hips[0] - hips[1]) > 0.5  # metres

    def test_each_video_is_looked_at_once(self, found: Path) -> None:
        stages = [manifest(f)["stages"] for f in (found, found / "person_1", found / "person_2")]
        for camera in ("cam01", "cam02", "cam03", "cam04"):
            name = f"multiview.detect {camera}"
            assert stages[0][name] == stages[1][name] == stages[2][name]

    def test_pointing_in_one_camera(
        self, found: Path, videos: list[Path], options: dict, tmp_path: Path
    ) -> None:
        people = json.loads((found / "person_1/.kinefit/world.json").read_text())["people"]
        best = people[1]["best"]
        x, y = np.mean(np.reshape(best["box"], (2, 2)), axis=0)
        out = Path(shutil.copytree(found / "person_1", tmp_path / "out"))
        detected = {p: p.stat().st_mtime_ns for p in out.glob(".kinefit/people_*.npz")}
        at = f"{best['camera']}:{x:g},{y:g},{best['frame']}"
        process(videos, out, config(**options, person_at=at), until="observe")
        assert {p: p.stat().st_mtime_ns for p in detected} == detected
        for name in ("cam01", "cam04"):
            np.testing.assert_array_equal(
                track(out, name).image.xy, track(found / "person_2", name).image.xy
            )


def test_what_the_detector_found_is_kept_as_it_is(observed: Path, two_people_clip: Path) -> None:
    """Everybody of every frame, whoever is chosen later; nothing of it is written for the user."""
    people = load_people(observed / ".kinefit" / "people_two.npz")
    assert people.frame.tolist() == list(range(24))
    assert min(len(p) for p in people.points) >= 2
    fresh = BlazePoseDetector(threads=1).people(Clip(two_people_clip))
    for one, other in zip(people.points, fresh.points, strict=True):
        np.testing.assert_array_equal(one, other)
    files = {f".kinefit/{name}_two.npz" for name in ("people", "changes")}
    assert manifest(observed)["stages"]["two.detect"]["files"].keys() == files


def test_frames_in_which_it_may_be_somebody_else_are_named() -> None:
    nobody = tuple(np.empty((0, 3, 3)) for _ in range(40))
    timeline = Timeline(np.arange(100, 140), np.arange(40) / 30.0)
    view = ViewPeople(People(("A", "B", "C"), timeline.frame, nobody), timeline, (10, 10))
    doubt = np.zeros(40, bool)
    one = Candidate({"cam": np.zeros(40, int)}, {"cam": doubt})
    assert doubts_of(Recorded({"cam": view}, (one,), 1)) == []
    doubt[[3, 4, 9]] = True
    (found,) = doubts_of(Recorded({"cam": view}, (one,), 1))
    assert (found.level, found.where) == ("information", "Frames 103-104, 109.")
    doubt[20:] = True
    (found,) = doubts_of(Recorded({"cam": view}, (one,), 1))
    assert found.level == "caution"


def test_everybody_is_several_results(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="everybody"):
        process(tmp_path / "a.mp4", tmp_path / "out", config(people="all"))


def test_who_cannot_be_fitted_is_told_and_the_others_are_fitted(
    two_people_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinefit.pipeline import video_jobs

    original = video_jobs._done

    def done(job, folder, **how):
        if job.config.person == 1:
            raise InputError("person", "is hardly seen", "film longer")
        return original(job, folder, **how)

    monkeypatch.setattr(video_jobs, "_done", done)
    first, second = everybody(two_people_clip, tmp_path / "out", config(), until="observe")
    assert first.verdict == "unusable"
    assert "hardly seen" in str(first.findings[0])
    assert (second.folder / "two_raw_landmarks.csv").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"detector": "mediapipe", "people": "all"}, "people all"),
        ({"detector": "coco", "keypoints": "k.json", "detector_model": "m.onnx"}, "reads files"),
    ],
)
def test_options_that_would_be_ignored_are_refused(options: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        config(**options, quality="normal")
