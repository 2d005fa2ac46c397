"""The machinery of a batch, with a stand-in for the work: what is done, again, and never twice."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from kinefit.api import RunResult
from kinefit.batch import attempt as attempts
from kinefit.batch import trial as child
from kinefit.batch.attempt import attempt
from kinefit.batch.executors import Local
from kinefit.batch.order import Record, order_for, read_record
from kinefit.batch.run import plan, run_batch, words
from kinefit.batch.summary import write_summary
from kinefit.cli.batch import _name_of
from kinefit.pipeline.config import run_config
from kinefit.pipeline.provenance import sha256_path
from kinefit.pipeline.store import open_folder
from kinefit.types import Cancelled, InputError
from kinefit.types.finding import Finding


def begun(out: Path, name: str) -> int:
    """How often a trial was begun."""
    file = out / ".kinefit_batch" / "records" / f"{name}.begun"
    return len(file.read_text().splitlines()) if file.exists() else 0


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asked about does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def states(trials, out) -> dict[str, str]:
    return {one.trial.name: one.state for one in plan(trials, out)}


def test_a_second_call_does_only_what_is_new_or_changed(trials, program, tmp_path):
    out = tmp_path / "out"
    first = trials("a", "B/a", "refused")
    result = run_batch(first, out, program=program)
    assert result.counts == {"good": 2, "failed": 1}
    assert result.failed == 1
    assert set(states(first, out).values()) == {"done", "refused"}
    run_batch(first, out, program=program)
    assert [begun(out, trial.name) for trial in first] == [1, 1, 1]
    more = trials("new")
    run_batch(more, out, program=program)
    assert [begun(out, trial.name) for trial in more] == [1, 1, 1, 1]
    (out / "new" / "run.json").unlink()
    assert states(more, out)["new"] == "changed"


def test_another_option_or_video_does_the_trial_again(trials, program, tmp_path):
    out = tmp_path / "out"
    one, two = trials("one", "two")
    run_batch([one, two], out, program=program)
    taller = replace(one, config=run_config({"height": 1.8}))
    assert states([taller, two], out) == {"one": "changed", "two": "done"}
    os.utime(two.videos[0], (1, 1))
    assert states([one, two], out) == {"one": "done", "two": "changed"}
    moved = tmp_path / "moved.mp4"
    one.videos[0].rename(moved)
    assert states([one], out) == {"one": "missing"}
    (tmp_path / "elsewhere").mkdir()
    same = moved.rename(tmp_path / "elsewhere" / "one.mp4")
    assert states([replace(one, videos=(same,))], out) == {"one": "done"}


def test_refused_trials_are_tried_again_when_asked(trials, program, tmp_path):
    out = tmp_path / "out"
    found = trials("refused")
    for again, times in ((False, 1), (False, 1), (True, 2)):
        run_batch(found, out, again=again, program=program)
        assert begun(out, "refused") == times


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dies", "its process ended (SIGKILL: the memory was full, or it was ended by hand): "
         "... last words"),
        ("exits", "its process ended (exit code 3)"),
        ("silent", "it left no result"),
    ],
)  # fmt: skip
def test_a_child_that_dies_is_tried_again_and_then_a_row(trials, program, tmp_path, name, reason):
    out = tmp_path / "out"
    found = trials(name, "good one")
    result = run_batch(found, out, retries=2, program=program)
    assert result.records[name].reason == reason
    assert result.records[name].tries == begun(out, name) == 3
    assert result.records["good one"].status == "good"
    assert states(found, out)[name] == "failed before"
    table = (out / "trials.csv").read_text()
    assert f"{name},,failed" in table
    assert "good one,,good" in table


def test_a_child_that_dies_once_loses_nothing(trials, program, tmp_path):
    result = run_batch(trials("stumbles"), tmp_path / "out", program=program)
    assert result.records["stumbles"].status == "good"
    assert result.records["stumbles"].tries == 2


def test_a_video_that_is_gone_is_a_row(trials, program, tmp_path):
    found = trials("here", "gone")
    next(t for t in found if t.name == "gone").videos[0].unlink()
    result = run_batch(found, tmp_path / "out", program=program)
    assert "there is no such file" in result.records["gone"].reason
    assert result.records["here"].status == "good"
    assert begun(tmp_path / "out", "gone") == 0
    assert run_batch(trials("gone"), tmp_path / "out", program=program).failed == 0


def test_a_video_that_is_away_for_a_while_loses_no_record(trials, program, tmp_path):
    out = tmp_path / "out"
    found = trials("a")
    run_batch(found, out, program=program)
    video = found[0].videos[0]
    away = video.rename(tmp_path / "away.mp4")
    assert run_batch(found, out, program=program).failed == 1
    assert "there is no such file" in (out / "trials.csv").read_text()
    away.rename(video)
    assert states(found, out) == {"a": "done"}


def test_a_damaged_record_is_done_again(trials, program, tmp_path):
    out = tmp_path / "out"
    found = trials("a")
    run_batch(found, out, program=program)
    file = out / ".kinefit_batch/records/a.json"
    whole = json.loads(file.read_text())
    (person,) = whole["results"]
    for text in ("", "{}", "[1]", '{"key": 1, "status": "x"}'):
        file.write_text(text)
        assert states(found, out) == {"a": "new"}
    for damage in (
        {"status": ["good"]}, {"seconds": "x"}, {"cpu_s": None}, {"manifest": 3}, {"reason": 3},
        {"tries": "1"}, {"results": 3}, {"results": [3]}, {"results": [{}]},
        {"results": [{**person, "frames": None}]}, {"results": [{**person, "cautions": [1]}]},
        {"results": [{**person, "angles": [{"name": 1}]}]},
        {"results": [{**person, "verdict": ["good"]}]},
    ):  # fmt: skip
        file.write_text(json.dumps({**whole, **damage}))
        assert states(found, out) == {"a": "new"}, damage
        assert run_batch(found, out, program=program).counts == {"good": 1}


def test_trials_are_done_side_by_side_and_share_the_cores(trials, program, tmp_path, monkeypatch):
    monkeypatch.setenv("KINEFIT_CORES", "6")
    names = [f"together {i}" for i in range(4)]
    result = run_batch(trials(*names), tmp_path / "out", Local(4), program=program)
    assert result.counts == {"good": 4}
    file = tmp_path / "out/.kinefit_batch/records/together 0.begun"
    assert file.read_text().split()[1] == "1"
    run_batch(trials("alone")[:1], tmp_path / "other", Local(4), program=program)
    file = tmp_path / "other/.kinefit_batch/records/alone.begun"
    assert file.read_text().split()[1] == "6"


def test_shards_together_are_the_batch(trials, program, tmp_path):
    out = tmp_path / "out"
    found = trials(*"abcdefg")
    parts = [run_batch(found, out, part=f"{i}/3", program=program) for i in (1, 2, 3)]
    assert [part.files for part in parts] == [(), (), ()]
    assert sorted(name for part in parts for name in part.records) == list("abcdefg")
    whole = run_batch(found, out, program=program)
    assert whole.counts == {"good": 7}
    assert {begun(out, name) for name in "abcdefg"} == {1}
    assert (out / "batch.html").exists()


def test_a_given_default_stands_before_the_preset_in_the_child_too(trials, tmp_path):
    (trial,) = trials("a")
    given = {"height": 1.8, "preset": "refine-smpl", "loss": "cauchy"}  # the default, but given
    order = order_for(replace(trial, config=run_config(given)), tmp_path / "out", "code")
    again = run_config(order.options)
    assert again.loss == "cauchy"
    assert again.joint_limits == "euler"


def test_a_stop_ends_the_child(trials, program, tmp_path):
    (trial,) = trials("hangs")
    order = order_for(trial, tmp_path / "out", "code")
    file = tmp_path / "out/.kinefit_batch/records/hangs.begun"
    stop = SimpleNamespace(is_set=lambda: file.exists() and bool(file.read_text()))
    with pytest.raises(Cancelled):
        attempt(order, program=program, stop=stop)
    pid = int(file.read_text().split()[0])
    assert not alive(pid)


SCRIPT = """
import json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell puts behind ignores it
from pathlib import Path
from kinefit.batch.executors import Local
from kinefit.batch.run import run_batch
from kinefit.batch.table import read_trials
source, out, program = json.loads(sys.argv[1])
run_batch(read_trials(Path(source), {"height": 1.7}), Path(out), Local(1), program=program,
          tell=lambda *said: print("done", flush=True))
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_children_end_with_a_batch_that_is_stopped(trials, program, tmp_path, monkeypatch, sent):
    found = trials("the largest", "slow b", "slow c")  # and so the first
    monkeypatch.setenv("STAND_IN_S", "60")
    arguments = json.dumps([str(tmp_path / "videos"), str(tmp_path / "out"), list(program)])
    batch = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert batch.stdout is not None
    batch.stdout.readline()  # the first is done
    records = tmp_path / "out/.kinefit_batch/records"
    while len(list(records.glob("*.begun"))) < 2:
        time.sleep(0.01)
    batch.send_signal(sent)
    batch.wait(30)
    children = [int(file.read_text().split()[0]) for file in records.glob("*.begun")]
    deadline = time.monotonic() + 5  # seen: 0.1 s
    while any(map(alive, children)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    monkeypatch.setenv("STAND_IN_S", "0")
    before = {t.name: begun(tmp_path / "out", t.name) for t in found}
    result = run_batch(found, tmp_path / "out", program=program)
    assert result.counts == {"good": 3}
    done_before = [name for name, n in before.items() if begun(tmp_path / "out", name) == n]
    assert len(done_before) == 1


def test_two_thousand_that_are_done_take_seconds(trials, program, tmp_path):
    out = tmp_path / "out"
    (trial,) = trials("a")
    many = [replace(trial, name=f"P{i // 100:03}/t{i % 100:02}") for i in range(2000)]
    planned = plan(many, out)
    for one in planned:
        one.order.manifest.parent.mkdir(parents=True)
        one.order.manifest.write_text("{}")
        state = one.order.manifest.stat()
        record = {"key": one.order.key, "status": "good", "results": []}
        record["manifest"] = [state.st_size, state.st_mtime_ns]
        Path(one.order.record).parent.mkdir(parents=True, exist_ok=True)
        Path(one.order.record).write_text(json.dumps(record))
    start = time.process_time()
    result = run_batch(many, out, program=program)
    assert time.process_time() - start < 10.0  # one after another, in processes, it is hours
    assert result.counts == {"good": 2000}


def test_a_dry_run_touches_nothing(trials, tmp_path):
    lines = words(plan(trials("a", "B/a"), tmp_path / "out"))
    assert lines == ["new            a  (a.mp4)", "new            B/a  (a.mp4)"]
    assert not (tmp_path / "out").exists()


def test_the_folder_of_one_trial_is_refused(trials, tmp_path):
    (tmp_path / "out" / ".kinefit").mkdir(parents=True)
    with pytest.raises(InputError, match="results folder of one trial"):
        plan(trials("a"), tmp_path / "out")


@pytest.mark.parametrize("name", ["trials.csv", "measures.parquet", "batch.html"])
def test_no_file_of_the_user_is_overwritten(trials, program, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(InputError, match="the summary goes there"):
        run_batch(trials("a"), out, program=program)
    assert [file.name for file in out.iterdir()] == [name]
    assert (out / name).read_text() == "mine"


def test_the_table_itself_is_not_overwritten(trials, program, tmp_path):
    found, out = trials("a"), tmp_path / "out"
    run_batch(found, out, program=program)
    table = out / "trials.csv"
    for source in (table, tmp_path / "videos" / ".." / "out" / "trials.csv"):
        with pytest.raises(InputError, match="would be overwritten"):
            run_batch(found, out, source=source, program=program)


def test_a_folder_belongs_to_one_source(trials, program, tmp_path, monkeypatch):
    found, out, videos = trials("a"), tmp_path / "out", tmp_path / "videos"
    run_batch(found, out, source=videos, program=program)
    monkeypatch.chdir(tmp_path)
    assert run_batch(found, out, source=Path("videos"), program=program).counts == {"good": 1}
    before = (out / "trials.csv").read_text()
    with pytest.raises(InputError, match=r"holds the batch of .*videos\. Next: give another --out"):
        run_batch(found, out, source=tmp_path / "other" / "videos", program=program)
    with pytest.raises(InputError, match="is the folder of the videos"):
        run_batch(found, videos, source=videos, program=program)
    assert (out / "trials.csv").read_text() == before
    assert not (videos / ".kinefit_batch").exists()


def test_results_are_called_after_the_source(tmp_path):
    (tmp_path / "P1.5").mkdir()
    assert _name_of(tmp_path / "P1.5") == "P1.5"
    assert _name_of(tmp_path / "P1.5.csv") == "P1.5"


def ours(trials, out) -> list[bool]:
    return [one.order.ours for one in plan(trials, out)]


def test_results_that_another_command_wrote_are_not_ours(trials, program, tmp_path):
    found, out = trials("a"), tmp_path / "out"
    run_batch(found, out, program=program)
    assert ours(found, out) == [True]
    (out / "a" / "run.json").write_text('{"of": "another command"}')
    assert ours(found, out) == [False]
    (out / "a" / "run.json").unlink()
    assert ours(found, out) == [False]


@pytest.mark.parametrize("finished", [True, False])
def test_a_repaired_video_replaces_what_a_failure_left(trials, tmp_path, monkeypatch, finished):
    """The child fails after it has made the folder its own, with and without a stage done."""

    def claimed(videos, out, config, *, overwrite):
        with open_folder(out) as folder:
            inputs = {video.name: sha256_path(video) for video in videos}
            folder.claim("a", inputs, overwrite=overwrite)
            if finished:
                (folder.staging("a.detect", "k") / "points.csv").write_text("x")
                folder.commit("a.detect", "k", 0.0, {}, {})
                (out / "run.json").write_text(json.dumps(inputs))
            folder.claimed = False  # as after the death of its process
        raise InputError(videos[0], "nobody is in it", "film somebody")

    monkeypatch.setattr(child, "process", claimed)
    found, out = trials("a"), tmp_path / "out"
    for content in (b"broken", b"repaired", b"again"):
        found[0].videos[0].write_bytes(content)
        (one,) = plan(found, out)
        record = child.do(one.order)
        record.write(one.order.record)
        assert "nobody is in it" in record.reason
        assert bool(record.manifest) is finished


def test_what_a_child_left_that_died_is_ours(trials, tmp_path):
    found, out = trials("a"), tmp_path / "out"
    manifest = str(out / "a" / "run.json")
    dies = f"import pathlib; pathlib.Path({manifest!r}).write_text('{{}}'); 1 / 0"
    (out / "a").mkdir(parents=True)
    run_batch(found, out, program=[sys.executable, "-c", dies])
    assert ours(found, out) == [True]


def test_results_of_the_user_are_not_replaced(trials, tmp_path, monkeypatch):
    found, out = trials("a"), tmp_path / "out"
    with open_folder(out / "a") as folder:
        folder.claim("a", {"a.mp4": "of another video"}, overwrite=False)
        (folder.staging("a.detect", "k") / "points.csv").write_text("x")
        folder.commit("a.detect", "k", 0.0, {}, {})
    given = []
    monkeypatch.setattr(child, "process", lambda *_, overwrite: given.append(overwrite))
    child.do(plan(found, out)[0].order)
    assert given == [False]


def test_a_program_that_cannot_be_started_is_a_row(trials, tmp_path):
    result = run_batch(trials("a", "b"), tmp_path / "out", program=["/nowhere/at/all"])
    assert result.counts == {"failed": 2}
    assert "FileNotFoundError" in result.records["a"].reason


def test_a_record_that_cannot_be_written_is_a_row(trials, program, tmp_path):
    out = tmp_path / "out"
    (out / ".kinefit_batch/records").mkdir(parents=True)
    (out / ".kinefit_batch/records/B").write_text("no folder")
    result = run_batch(trials("B/a", "c"), out, program=program)
    assert result.counts == {"good": 1, "failed": 1}
    assert result.records["B/a"].status == "failed"
    assert "B/a,,failed" in (out / "trials.csv").read_text()


def test_records_of_trials_are_no_folders_of_others(trials, program, tmp_path):
    names = ("a", "a.json/b", "A.JSON/c")
    found, out = trials(*names), tmp_path / "out"
    assert run_batch(found, out, program=program).counts == {"good": 3}
    assert states(found, out) == dict.fromkeys(names, "done")


@pytest.mark.parametrize("name", ["x" * 251, "ä" * 125])
def test_a_name_may_be_as_long_as_a_file_s(trials, program, tmp_path, name):
    found, out = trials(name), tmp_path / "out"
    assert run_batch(found, out, program=program).counts == {"good": 1}
    assert states(found, out) == {name: "done"}


def test_a_stdin_that_is_gone_is_no_error(trials, program, tmp_path, monkeypatch):
    class Gone(subprocess.Popen):
        def __init__(self, *words, **how):
            super().__init__(*words, **how)
            self.stdin.close()
            self.stdin = self

        def write(self, *text):
            raise OSError(22, "Invalid argument")

        close = flush = write

    monkeypatch.setattr(attempts.subprocess, "Popen", lambda *w, **h: Gone(*w, **h))
    (trial,) = trials("a")
    order = order_for(trial, tmp_path / "out", "code")
    left = attempt(order, retries=0, program=[sys.executable, "-c", "import sys; sys.exit(3)"])
    assert left.reason == "its process ended (exit code 3)"


def test_each_person_has_a_reason_of_their_own(trials, tmp_path):
    (trial,) = trials("a")
    order, said = order_for(trial, tmp_path / "out", "code"), []
    for number, why in enumerate(("too far away", "", "hidden"), start=1):
        verdict = "unusable" if why else "good"
        findings = (Finding("refusal", why),) if why else ()
        said.append(RunResult(Path(order.out) / f"person_{number}", verdict, findings, ()))
    child._record(order, said).write(order.record)
    record = read_record(order.record)
    assert record is not None
    write_summary(tmp_path / "out", [trial], {"a": record})
    lines = (tmp_path / "out/trials.csv").read_text().splitlines()
    assert [line.split(",")[1:4] for line in lines[1:]] == [
        ["1", "unusable", "too far away"], ["2", "good", ""], ["3", "unusable", "hidden"],
    ]  # fmt: skip


def test_no_cell_is_a_formula(trials, tmp_path):
    found = trials("=1+1", "-a", "b")
    reasons = {"=1+1": "@x", "-a": "\tx", "b": "1 = 1"}
    records = {name: Record("k", "failed", reason) for name, reason in reasons.items()}
    write_summary(tmp_path / "out", found, records)
    with (tmp_path / "out/trials.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["trial"]: row["reason"] for row in csv.DictReader(stream)}
    assert rows == {"'-a": "'\tx", "'=1+1": "'@x", "b": "1 = 1"}
