"""The plan as a table: what a stage may read, what makes its key, how it ends early."""

from __future__ import annotations

import json
import shutil
import threading
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import pytest

from kinefit.io.processes import ChildDied
from kinefit.pipeline import execute, plan
from kinefit.pipeline.config import RunConfig, run_config
from kinefit.pipeline.context import Context, Job
from kinefit.pipeline.execute import run_plan
from kinefit.pipeline.plan import PLAN, Stage, stages_of
from kinefit.pipeline.single_step import run_job
from kinefit.types import Cancelled, InputError

CONFIG = run_config({"height": 1.7})


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"not looked at by these stages")
    return path


def job(video: Path, config: RunConfig = CONFIG, **changes) -> Job:
    return Job("video", video.stem, {video.stem: video}, config, **changes)


def writes(name: str, text: str = "x"):
    def work(context: Context) -> None:
        (context.staging / name).write_text(text)

    return work


def run(stages: list[Stage], job: Job, out: Path):
    with patch.object(plan, "PLAN", tuple(stages)):
        return run_plan(job, out)


def manifest(out: Path) -> dict:
    return json.loads((out / "run.json").read_text("utf-8"))


@pytest.mark.parametrize("kind", ["video", "rig", "bundle"])
def test_every_stage_reads_what_comes_before_it(kind):
    config = run_config({"height": 1.7, "export": "glb,bvh,obj", "plot_all_joint_angles": True})
    stages = stages_of(Job(kind, "v", {}, config))
    assert len({s.name for s in stages}) == len(stages)
    seen: set[str] = set()
    for stage in stages:
        absent = set(stage.reads) - seen - {s.name for s in PLAN if s not in stages}
        assert not absent, stage.name
        seen.add(stage.name)
    assert all(set(s.options) <= set(RunConfig.model_fields) for s in PLAN)


def test_until_stops_there_and_knows_its_stages():
    names = [s.name for s in stages_of(Job("video", "v", {}, CONFIG), until="fit")]
    assert names == ["detect", "observe", "fit"]
    with pytest.raises(InputError, match=r"no stage 'fi'.*detect, observe, fit"):
        stages_of(Job("video", "v", {}, CONFIG), until="fi")


def test_a_stage_is_handed_only_the_options_it_declares(video, tmp_path):
    def work(context: Context) -> None:
        assert context.config.height == 1.7
        with pytest.raises(AttributeError, match="'mass' undeclared"):
            _ = context.config.subject  # a property that reads the mass
        with pytest.raises(AttributeError, match="'cutoff_hz' undeclared"):
            _ = context.config.cutoff_hz
        with pytest.raises(KeyError, match="no stage it reads wrote"):
            context.read("one.txt")

    one = Stage("one", writes("one.txt"))
    run([one, Stage("two", work, options=("height",))], job(video), tmp_path / "out")


def test_only_declared_options_make_the_key(video, tmp_path):
    out, done = tmp_path / "out", []

    def work(context: Context) -> None:
        done.append(context.config.height)

    stages = [Stage("one", work, options=("height",))]
    for height, mass in ((1.7, 70), (1.7, 80), (1.8, 80)):
        run(stages, job(video, run_config({"height": height, "mass": mass})), out)
    assert done == [1.7, 1.8]


def test_other_code_is_another_result(video, tmp_path, monkeypatch):
    out, done = tmp_path / "out", []
    stages = [Stage("one", lambda context: done.append(1))]
    run(stages, job(video), out)
    monkeypatch.setattr(execute, "code_version", lambda module: "another")
    run(stages, job(video), out)
    assert len(done) == 2


def test_a_stage_done_again_invalidates_what_reads_it_and_nothing_else(video, tmp_path):
    out, done = tmp_path / "out", []

    def counted(name: str, text: str = "x"):
        def work(context: Context) -> None:
            done.append(name)
            (context.staging / f"{name}.txt").write_text(f"{text}{context.config.height}")

        return work

    stages = [
        Stage("one", counted("one"), options=("height",)),
        Stage("two", writes("2.txt"), reads=("one",)),
        Stage("beside", counted("beside"), options=("height",), when=lambda j: not done),
    ]
    run(stages, job(video), out)
    before = {p: p.stat().st_mtime_ns for p in out.glob("*.txt")}
    done.append("x")
    run(stages, job(video, run_config({"height": 1.8})), out)
    assert done == ["one", "beside", "x", "one"]
    changed = {p.name for p, t in before.items() if p.stat().st_mtime_ns != t}
    assert changed == {"one.txt", "2.txt"}
    assert (out / "beside.txt").read_text() == "x1.7"


_SAYS_THREADS = """
from threadpoolctl import threadpool_info

def work(context):
    found = {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}
    (context.staging / f"{context.camera}.txt").write_text(str(found))
"""


@pytest.mark.parametrize("cameras", [["a"], ["a", "b"]])  # in this process, and in two others
def test_stages_have_one_thread_of_blas(cameras, tmp_path, monkeypatch):
    videos = {name: tmp_path / f"{name}.mp4" for name in cameras}
    for path in videos.values():
        path.write_bytes(path.name.encode())
    (tmp_path / "work_says_threads.py").write_text(_SAYS_THREADS)
    monkeypatch.syspath_prepend(tmp_path)
    stages = [Stage("one", import_module("work_says_threads").work, per_camera=True)]
    run(stages, Job("rig", "v", videos, CONFIG), tmp_path / "out")
    assert [(tmp_path / f"out/{name}.txt").read_text() for name in cameras] == ["{1}"] * len(
        cameras
    )


def test_a_video_that_changes_under_the_work_is_told(video, tmp_path):
    def replaces(context: Context) -> None:
        (context.staging / "1.txt").write_text("of the old video")
        video.write_bytes(b"another")

    with pytest.raises(InputError, match=r"v\.mp4: changed while it was being read"):
        run([Stage("one", replaces)], job(video), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_refusal_keeps_what_was_finished_and_says_what_is_missing(video, tmp_path):
    out = tmp_path / "out"

    def refuses(context: Context) -> None:
        raise InputError("v.mp4", "nobody in it", "film somebody")

    one = Stage("one", writes("1.txt"))
    with pytest.raises(InputError):
        run([one, Stage("two", refuses)], job(video), out)
    assert (out / "1.txt").exists()
    assert "nobody in it" in manifest(out)["incomplete"]
    run([one, Stage("two", writes("2.txt"))], job(video), out)
    assert manifest(out)["incomplete"] == ""


def test_a_run_can_be_cancelled_between_frames(video, tmp_path):
    out, token = tmp_path / "out", threading.Event()

    def long(context: Context) -> None:
        token.set()
        context.progress(1, 10)
        raise AssertionError("went on")

    stages = [Stage("one", writes("1.txt")), Stage("two", long)]
    with pytest.raises(Cancelled):
        run(stages, job(video, cancel=token), out)
    assert (out / "1.txt").exists()
    with pytest.raises(Cancelled):
        run(stages, job(video, cancel=token), out)


def test_a_job_beside_a_plan_takes_nothing_from_it(video, tmp_path):
    out = tmp_path / "out"

    def write(folder: Path, partial: Path) -> str:
        (folder / "v_angles.csv").write_text("1")
        return "told"

    one = [Stage("one", writes("1.txt"))]
    run(one, job(video), out)
    before = manifest(out)
    record, told = run_job(out, "angles", {"markers": video}, {}, write, stem="v")
    assert (told, list(record.files)) == ("told", ["v_angles.csv"])
    assert manifest(out)["inputs"] == before["inputs"]
    assert set(manifest(out)["stages"]) == {"v.one", "v.angles"}
    again, told = run_job(out, "angles", {"markers": video}, {}, write, stem="v", reuse=True)
    assert (again.files, told) == (record.files, None)
    shutil.rmtree(tmp_path / "other", ignore_errors=True)
    run_job(tmp_path / "other", "angles", {"markers": video}, {}, write, stem="v")
    run(one, job(video), tmp_path / "other")  # the folder holds only what kinefit wrote
    assert (tmp_path / "other" / "v_angles.csv").exists()


def test_options_that_name_files_count_by_their_content(video, tmp_path):
    out, done, points = tmp_path / "out", [], tmp_path / "k.json"
    points.write_text("1")
    config = run_config({"height": 1.7, "detector": "coco", "keypoints": points})
    stages = [Stage("one", lambda context: done.append(1), options=("keypoints",))]
    run(stages, job(video, config), out)
    points.write_text("2")
    run(stages, job(video, config), out)
    assert len(done) == 2
    points.unlink()
    with pytest.raises(InputError, match=r"k\.json"):
        run(stages, job(video, config), out)


_ONE_SHOWS_NOBODY = """
import time
from kinefit.types import NobodyFound

def work(context):
    if context.camera == "empty":  # the other camera's detection is done by then
        records = context.staging.parents[1] / "stages"
        while not (records / "multiview.detect clip.json").exists():
            time.sleep(0.01)
        raise NobodyFound(context.job.inputs["empty"], 150)
    (context.staging / "clip.txt").write_text("somebody")
"""


_ONE_DIES_ONCE = """
import os, signal, time

def work(context):
    mark = context.staging.parents[3] / "tried"
    if context.camera == "second" and not mark.exists():
        records = context.staging.parents[1] / "stages"
        while not (records / "multiview.detect first.json").exists():
            time.sleep(0.01)
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where the memory is full
    (context.staging / f"{context.camera}.txt").write_text(str(os.getpid()))
"""


def test_a_child_that_the_kernel_kills_costs_its_own_video_only(video, tmp_path, monkeypatch):
    second, out = tmp_path / "second.mp4", tmp_path / "out"
    second.write_bytes(b"another video")
    rig = Job("rig", "multiview", {"first": video, "second": second}, CONFIG)
    (tmp_path / "work_that_dies.py").write_text(_ONE_DIES_ONCE)
    monkeypatch.syspath_prepend(tmp_path)
    stages = [Stage("detect", import_module("work_that_dies").work, per_camera=True)]
    with pytest.raises(ChildDied, match=r"has died \(SIGKILL: .*run the command"):
        run(stages, rig, out)
    assert set(manifest(out)["stages"]) == {"multiview.detect first"}
    before = (out / "first.txt").read_bytes()
    run(stages, rig, out)
    assert (out / "first.txt").read_bytes() == before
    assert set(manifest(out)["stages"]) == {"multiview.detect first", "multiview.detect second"}


def test_each_camera_is_recorded_by_itself(video, tmp_path, monkeypatch):
    """One of two videos shows nobody: the other's detection is there for the next try."""
    empty, out = tmp_path / "empty.mp4", tmp_path / "out"
    empty.write_bytes(b"another video")
    rig = Job("rig", "multiview", {"clip": video, "empty": empty}, CONFIG)
    (tmp_path / "work_of_processes.py").write_text(_ONE_SHOWS_NOBODY)  # which they can import
    monkeypatch.syspath_prepend(tmp_path)
    work = import_module("work_of_processes").work
    for _ in range(2):
        with pytest.raises(InputError, match=r"empty\.mp4: no person was found"):
            run([Stage("detect", work, per_camera=True)], rig, out)
    assert set(manifest(out)["stages"]) == {"multiview.detect clip"}
    assert "empty.mp4" in manifest(out)["incomplete"]
