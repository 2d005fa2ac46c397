"""Parts of a video and slow motion, through the whole plan."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from kinefit.api import fit, process
from kinefit.evaluate.position_scores import columns
from kinefit.evaluate.truth_at_times import markers_at
from kinefit.io.tables import read_angles_csv
from kinefit.io.trc import read_trc
from kinefit.io.video import capture_rate, frames, probe
from kinefit.multiview.bundle import load_triangulation
from kinefit.pipeline.artifacts import load_people
from kinefit.pipeline.config import RunConfig, run_config
from kinefit.pipeline.context import clip_of
from kinefit.pipeline.recording import part_facts, time_base
from kinefit.types import InputError

from ..evaluate.scenes import FRAMES, RATE, scene, write_scene

SUBJECT = {"height": 1.68, "mass": 70.0, "quality": "fast"}


def config(**options: object) -> RunConfig:
    return run_config({**SUBJECT, "export": "", **options})


def restamped(source: Path, path: Path, times: int, tags: dict[str, str] | None = None) -> Path:
    """The same coded pictures, played so many times slower."""
    options = {"movflags": "use_metadata_tags"}
    with av.open(str(source)) as old, av.open(str(path), "w", options=options) as new:
        new.metadata.update(tags or {})
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.pts, packet.dts = times * packet.pts, times * packet.dts
                packet.duration = times * packet.duration
                packet.stream = stream
                new.mux(packet)
    return path


def angles_of(out: Path, stem: str) -> Any:
    return read_angles_csv(out / "joint_angles" / f"{stem}_angles_all.csv")


def manifest(out: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((out / "run.json").read_text("utf-8"))
    return value


@pytest.fixture(scope="module")
def finished(demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the second half of the short clip."""
    out = tmp_path_factory.mktemp("part") / "out"
    process(demo_clip, out, config(start=0.2, end=0.6))
    return out


def test_a_part_keeps_the_numbers_and_times_of_the_file(finished: Path, demo_clip: Path) -> None:
    whole = list(frames(demo_clip))[12:36]
    final = read_trc(finished / "clip_final.trc").timeline
    assert final.frame.tolist() == [f.index for f in whole]
    np.testing.assert_allclose(final.time, [f.time for f in whole], atol=1e-6)
    film = probe(finished / "clip_overlay.mp4")
    assert (film.n_frames, round(film.rate_hz)) == (12, 30)
    said = manifest(finished)
    part = {"start_s": 0.2, "end_s": 0.6, "every": 1, "slowmo": 1.0, "rotate": 0}
    assert said["inputs"][0]["part"] == part
    assert said["stages"]["clip.detect"]["options"]["start"] == 0.2
    assert "0.2 s to 0.6 s" in (finished / "report.html").read_text("utf-8")


def test_another_part_is_detected_anew_and_nothing_is_lost(
    finished: Path, demo_clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    before = {p.name for p in out.glob("*")}
    process(demo_clip, out, config(start=0.3, end=0.6), until="observe")
    stages = manifest(out)["stages"]
    assert stages["clip.detect"]["options"]["start"] == 0.3
    assert {name for name, stage in stages.items() if stage["stale"]} == {
        name for name in stages if name not in ("clip.detect", "clip.observe")
    }
    assert before <= {p.name for p in out.glob("*")}
    table = (out / "clip_raw_landmarks.csv").read_text().splitlines()
    assert len(table) == 1 + 18
    # And back: what was made of the first part is whole again.
    process(demo_clip, out, config(start=0.2, end=0.6))
    assert not any(stage["stale"] for stage in manifest(out)["stages"].values())
    for name in ("clip_final.trc", "clip_raw_landmarks.csv"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()


def test_slow_motion_gives_the_angles_of_life(
    finished: Path, demo_clip: Path, tmp_path: Path
) -> None:
    """The same pictures, stamped 8 times slower: what is computed is the same to the last bit."""
    tags = {"com.android.capture.fps": "480.0"}
    slow = restamped(demo_clip, tmp_path / "clip.mp4", 8, tags)
    assert probe(slow).rate_hz == pytest.approx(7.5)
    said = process(slow, tmp_path / "out", config(start=1.6, end=4.8, fps_real=60))
    for name in ("clip_final.trc", "joint_angles/clip_angles_all.csv", "clip_raw_landmarks.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (finished / name).read_bytes(), name
    film = probe(tmp_path / "out" / "clip_overlay.mp4")  # as slow as it was filmed
    assert (film.n_frames, film.rate_hz) == (24, pytest.approx(7.5))
    assert manifest(tmp_path / "out")["inputs"][0]["part"]["slowmo"] == pytest.approx(8)
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "plays 8 times slower than life" in page
    # 480 was noted, 60 given: one of them is wrong.
    assert any("said to play 8 times slower" in f.what and "64 times" in f.what
               for f in said.findings)  # fmt: skip


def test_untold_slow_motion_is_other_motion(
    finished: Path, demo_clip: Path, tmp_path: Path
) -> None:
    """The control: the clock matters, to the filter and to what is held still."""
    slow = restamped(demo_clip, tmp_path / "clip.mp4", 2)
    process(slow, tmp_path / "out", config(start=0.4, end=1.2, overlay=False))
    one, other = angles_of(finished, "clip"), angles_of(tmp_path / "out", "clip")
    assert np.nanmax(np.abs(one.degrees - other.degrees)) > 1


def test_every_second_frame(demo_clip: Path, tmp_path: Path) -> None:
    process(demo_clip, tmp_path, config(every=2), until="markers")
    final = read_trc(tmp_path / "clip_final.trc").timeline
    assert final.frame.tolist() == list(range(0, 40, 2))
    assert final.rate_hz == pytest.approx(30, rel=1e-4)


def test_points_of_a_file_are_those_of_the_part(
    finished: Path, demo_clip: Path, tmp_path: Path
) -> None:
    rows = [
        {"image_id": i, "category_id": 1, "score": 1.0, "keypoints": [float(i), 50.0, 0.9] * 17}
        for i in range(40)
    ]
    (tmp_path / "points.json").write_text(json.dumps(rows))
    options = {"detector": "coco", "keypoints": tmp_path / "points.json", "quality": "normal"}
    part = {"start": 0.2, "end": 0.6, "every": 3}
    process(demo_clip, tmp_path / "out", config(**options, **part), until="detect")
    people = load_people(tmp_path / "out" / ".kinefit" / "people_clip.npz")
    assert people.frame.tolist() == list(range(12, 36, 3))


def test_everybody_in_parts_of_clocks_that_differ(tmp_path: Path) -> None:
    """Two people, detectors that list both, and cameras 2 and 3 that began 0.1 s later: the second
    person of the part is triangulated where it is, at the scene's times."""
    truth = scene(views=3, people=2, offset_s=0.1)
    write_scene(tmp_path / "scene", truth)
    (tmp_path / "points").mkdir()
    for name in truth.rig.names:
        seen = [truth.image_points(name, "coco17", person) for person in (0, 1)]
        rows = [
            {"image_id": t, "category_id": 1, "score": 1.0,
             "keypoints": np.column_stack([one.xy[t], one.score[t]]).ravel().tolist()}
            for t in range(FRAMES) for one in seen
        ]  # fmt: skip
        (tmp_path / "points" / f"{name}.json").write_text(json.dumps(rows))
    videos = [tmp_path / "scene" / f"{name}.mp4" for name in truth.rig.names]
    options = {"calibration": tmp_path / "scene" / "calibration.toml", "detector": "coco"}
    options |= {"keypoints": tmp_path / "points", "offsets": "cam02=0.1,cam03=0.1", "person": 2}
    config = run_config({"height": 1.7, "start": 0.2, "end": 0.5, **options})
    process(videos, tmp_path / "run", config, until="observe")
    points = load_triangulation(tmp_path / "run" / "multiview_triangulated.npz")
    # Seconds 0.2 to 0.5 of each camera's own clock: 0.3 to 0.6 of two, 0.2 to 0.5 of the first. The
    # frames are the first's, from where another one recorded too.
    assert points.timeline.time[[0, -1]] == pytest.approx([0.3, 14 / RATE])
    near = [
        np.nanmax(np.linalg.norm(points.refined - markers_at(one, points.timeline.time)
                  [:, columns(one.markers.names, points.names)], axis=-1))
        for one in truth.people
    ]  # fmt: skip
    assert min(near) < 0.002
    assert max(near) > 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 3}, r"--start 3: clip\.mp4 is over at 0\.650 s.*earlier"),
        ({"start": 0.3, "end": 0.2}, r"--end \(0\.2 s\) is not after --start \(0\.3 s\)"),
        ({"start": -1}, "--start: .*greater than or equal to 0"),
        ({"end": 0}, "--end: .*greater than 0"),
        ({"every": 0}, "--every: .*greater than or equal to 1"),
        ({"every": 50}, r"clip\.mp4: one frame is not a motion.*--every"),
        ({"start": 0.64}, r"clip\.mp4: one frame is not a motion"),
        ({"slowmo": 0}, "--slowmo: .*greater than 0"),
        ({"slowmo": float("inf")}, "--slowmo: .*finite"),
        ({"slowmo": 8, "fps_real": 240}, "--slowmo or --fps-real, not both"),
        ({"fps_real": 30}, r"--fps-real 30: clip\.mp4 has 60 frames per second.*--slowmo 0\.5"),
        ({"rotate": "45"}, r"--rotate: '45' is no quarter turn"),
        ({"rotate": "cam9=90"}, "--rotate: no camera 'cam9'"),
        ({"rotate": "90,180"}, "--rotate: '180' is no quarter turn of another camera"),
        ({"every": 6, "cutoff_hz": 6}, "6 Hz is not below half the frame rate.* or 0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    demo_clip: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        process(demo_clip, tmp_path / "out", config(**options))
    assert not (tmp_path / "out").exists()


def test_a_bundle_has_no_parts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--start: it is for videos"):
        fit(tmp_path / "points.npz", tmp_path / "out", run_config({"start": 1.0}))


class TestTimeBase:
    def video(self, path: Path, tags: dict[str, str], rate: float = 30.0) -> Path:
        with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as file:
            file.metadata.update(tags)
            stream = file.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for i in range(6):
                picture = np.full((48, 64, 3), 20 * i, np.uint8)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode())
        return path

    @pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
    def test_what_android_notes_is_found(self, tmp_path: Path, suffix: str) -> None:
        path = self.video(tmp_path / f"a{suffix}", {"com.android.capture.fps": "240.000000"})
        assert capture_rate(path) == ("com.android.capture.fps", 240.0)

    @pytest.mark.parametrize(
        "tags",
        [{}, {"com.android.capture.fps": "fast"}, {"com.android.capture.fps": "nan"},
         {"com.android.version": "14"}, {"comment": "240"}],
    )  # fmt: skip
    def test_nothing_is_made_of_other_tags(self, tmp_path: Path, tags: dict[str, str]) -> None:
        assert capture_rate(self.video(tmp_path / "a.mp4", tags)) is None

    @pytest.mark.parametrize(
        ("noted", "plays", "options", "said"),
        [
            (240, 30, {}, "slower than life: its camera notes 240"),
            (60, 30, {}, "--slowmo 2 if"),
            (10, 30, {}, "faster than life"),
            (240, 30, {"slowmo": 4}, "said to play 4 times slower"),
            (240, 30, {"slowmo": 8}, ""),
            (240, 30, {"fps_real": 240}, ""),
            (240, 30, {"slowmo": 1}, ""),  # said by the user to be none
            (30, 30000 / 1001, {}, ""),
            (240, 240, {}, ""),
        ],
    )
    def test_when_it_is_told(
        self, tmp_path: Path, noted: float, plays: float, options: dict[str, Any], said: str
    ) -> None:
        path = self.video(tmp_path / "a.mp4", {"com.android.capture.fps": str(noted)}, plays)
        clips = {"a": clip_of(path, config(**options))}
        found = [str(one) for one in time_base(clips, declared=bool(options))]
        assert [said in one for one in found] == ([True] if said else [])


def test_facts_of_a_part(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.mp4", config(start=2, every=3, slowmo=4))
    assert part_facts({"a": clip}) == [
        ("Part", "2 s to the end, one frame of 3"),
        ("Slow motion", "plays 4 times slower than life"),
    ]
    assert part_facts({"a": clip_of(tmp_path / "a.mp4", config())}) == []
