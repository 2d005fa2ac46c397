"""The queue: one worker per job, dead workers, retries, cancelling. And real runs through it."""

from __future__ import annotations

import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from tests.web.conftest import new_trial
from tests.web.test_uploads import send


@pytest.fixture
def job(trial: Any) -> Any:
    from kinefit.web import queue

    return queue.submit(trial)


def test_a_trial_has_one_job_at_a_time(trial: Any) -> None:
    from django.db import connection

    from kinefit.web import queue
    from kinefit.web.models import Job

    found: list[int] = []

    def ask() -> None:
        found.append(queue.submit(trial).pk)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 8
    assert len(set(found)) == 1 == Job.objects.count()


def test_a_site_that_is_stopped_often_loses_no_job(job: Any) -> None:
    from kinefit.web import queue
    from kinefit.web.models import Job

    for n in range(5):
        held = queue.claim(f"w{n}")
        assert held is not None
        queue.release(held)
    assert (fresh(job).state, job.tries) == (Job.QUEUED, 0)


def test_files_of_a_trial_do_not_change_while_it_runs(client: Any, trial: Any) -> None:
    from kinefit.web import queue
    from tests.web.test_uploads import create, patch

    address = create(client, trial, "a.mp4", 10)["Location"]
    job = queue.submit(trial)
    assert patch(client, address, 0, b"12345").status_code == 409
    assert client.delete(address).status_code == 409
    assert create(client, trial, "b.mp4", 10).status_code == 409
    queue.cancel(job)  # before anything was made of it
    assert patch(client, address, 0, b"12345").status_code == 204


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were looked at: at once, and each is a good one."""
    from kinefit.web import tus

    found: list[str] = []

    def look_at(file: Path) -> tuple[str, dict[str, Any]]:
        found.append(file.name)
        return "", {"size": [540, 960], "frames": 40, "rate_hz": 60.0}

    monkeypatch.setattr(tus, "look_at", look_at)
    return found


def test_only_files_that_were_looked_at_go_into_a_run(
    client: Any, trial: Any, looks: list[str]
) -> None:
    """A look that was interrupted is made again when the end of the file comes again."""
    from kinefit.web.models import Upload
    from kinefit.web.worker import _task
    from tests.web.test_uploads import patch

    upload = send(client, trial, "walk.mp4", b"a video")
    assert _task(trial)["videos"] == ["walk.mp4"]
    Upload.objects.update(checked=False)
    assert _task(trial)["videos"] == []
    assert "There is no video yet" in client.post(f"/trials/{trial.pk}", {}).content.decode()
    assert patch(client, f"/uploads/{upload.pk}", upload.size, b"").status_code == 204
    assert looks == ["walk.mp4", "walk.mp4"]
    assert _task(trial)["videos"] == ["walk.mp4"]


def test_a_calibration_is_read_when_it_comes(client: Any, trial: Any) -> None:
    from tests.web.test_uploads import create

    wrong = send(client, trial, "rig.toml", b"[nothing]\n", "calibration")
    assert wrong.checked
    assert "rig.toml" in wrong.problem
    assert create(client, trial, "other.toml", 5, "calibration").status_code == 409
    assert client.delete(f"/uploads/{wrong.pk}").status_code == 204
    assert create(client, trial, "other.toml", 5, "calibration").status_code == 201


def fresh(job: Any) -> Any:
    job.refresh_from_db()
    return job


def expire(job: Any) -> None:
    """As if its worker had died."""
    type(job).objects.filter(pk=job.pk).update(lease=timezone.now() - timedelta(seconds=1))


def test_a_job_has_one_worker(job: Any) -> None:
    from kinefit.web import queue

    assert queue.claim("a").pk == job.pk
    assert queue.claim("b") is None
    assert (fresh(job).worker, job.tries) == ("a", 1)


def test_many_workers_at_once_take_each_job_once(site: Any) -> None:
    from django.db import connection

    from kinefit.web import queue
    from kinefit.web.models import Job

    for _ in range(12):
        Job.objects.create(trial=new_trial("local"))
    taken: list[int] = []

    def work(name: str) -> None:
        while (found := queue.claim(name)) is not None:
            taken.append(found.pk)
        connection.close()

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(taken) == sorted(Job.objects.values_list("pk", flat=True))


def test_a_dead_worker_s_job_is_another_s_and_three_deaths_are_a_failure(
    site: Any, job: Any
) -> None:
    from kinefit.web import queue
    from kinefit.web.models import Job

    site.LEASE_S = 0.5
    for n in range(3):
        held = queue.claim(f"w{n}")
        assert held is not None
        assert held.lease > timezone.now()
        time.sleep(0.6)
    assert queue.claim("w3") is None
    assert fresh(job).state == Job.FAILED
    assert "3 tries" in job.message


def test_who_has_lost_a_job_changes_nothing(job: Any) -> None:
    from kinefit.web import queue
    from kinefit.web.models import Job

    first = queue.claim("a")
    expire(job)
    second = queue.claim("b")
    assert not queue.beat(first, {"stage": "fit", "done": 1, "total": 2})
    queue.finish(first, Job.DONE, verdict="good")
    assert (fresh(job).state, job.worker, job.stage) == (Job.RUNNING, "b", "")
    assert queue.beat(second, {"stage": "fit", "done": 1, "total": 2})
    assert fresh(job).since is not None


def test_what_waits_is_cancelled_at_once_what_runs_when_its_worker_hears(job: Any) -> None:
    from kinefit.web import queue
    from kinefit.web.models import Job

    queue.cancel(job)
    assert fresh(job).state == Job.CANCELLED
    again = queue.submit(job.trial)
    held = queue.claim("a")
    queue.cancel(again)
    assert fresh(again).state == Job.RUNNING
    assert not queue.wanted(held)
    expire(again)  # and its worker dies before it hears
    assert queue.claim("b") is None
    assert fresh(again).state == Job.CANCELLED


def _child(folder: Path, body: str) -> None:
    """In place of `kinefit.web.child`."""
    (folder / "child.py").write_text(body)


@pytest.fixture
def stand_in(trial: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets a test say what the child does; the machinery around it is the real one."""
    import subprocess

    from kinefit.web import worker

    real = subprocess.Popen
    trial.folder.mkdir(parents=True)

    def popen(command: list[str], **how: Any) -> Any:
        return real([sys.executable, str(trial.folder / "child.py"), command[-2]], **how)

    monkeypatch.setattr(worker.subprocess, "Popen", popen)
    return lambda body: _child(trial.folder, body)


OUTCOME = "import sys, json, pathlib; p = pathlib.Path(sys.argv[1]);"


@pytest.mark.parametrize(
    ("body", "state", "tries", "said"),
    [
        (OUTCOME + "(p/'outcome.json').write_text(json.dumps({'verdict': 'good'}))", "done", 1, ""),
        (OUTCOME + "(p/'outcome.json').write_text(json.dumps({'error': 'no person'}))", "failed", 1,
         "no person"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "failed", 3, "want of memory"),
        ("raise SystemExit(7)", "failed", 3, "code 7"),
        ("import os, pathlib, sys; (pathlib.Path(sys.argv[1])/'outcome.json').write_text('{');"
         "os._exit(0)", "failed", 3, "code 0"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_job(
    job: Any, stand_in: Any, body: str, state: str, tries: int, said: str
) -> None:
    from kinefit.web import worker

    stand_in(body)
    worker.work(threading.Event(), once=True)
    assert (fresh(job).state, job.tries) == (state, tries)
    assert said in job.message


def test_a_running_job_is_cancelled_with_all_that_it_started(
    job: Any, stand_in: Any, tmp_path: Path
) -> None:
    from kinefit.web import queue, worker

    note = tmp_path / "alive"
    stand_in(
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', \"import time\\nwhile True: "
        f"open('{note}','w').write(str(time.time())); time.sleep(0.1)\"])\n"
        "time.sleep(600)"
    )
    thread = threading.Thread(target=worker.work, args=(threading.Event(), True))
    thread.start()
    deadline = time.monotonic() + 60
    while not note.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    queue.cancel(job)
    thread.join(30)
    assert fresh(job).state == "cancelled"
    time.sleep(0.5)
    before = note.read_text()
    time.sleep(0.6)
    assert note.read_text() == before  # nobody writes it any more


def test_a_real_run_and_a_second_one_with_another_option(
    client: Any, trial: Any, demo_clip: Path
) -> None:
    from kinefit.web import worker

    send(client, trial, "walk.mp4", demo_clip.read_bytes())
    options = {"quality": "fast", "export": "", "markers": "lstm", "people": "one"}
    answer = client.post(f"/trials/{trial.pk}", options)
    assert answer.status_code == 302, answer.content.decode()
    worker.work(threading.Event(), once=True)
    job = trial.job
    assert (job.state, job.verdict) in {("done", word) for word in ("good", "caution", "unusable")}
    page = client.get(f"/trials/{trial.pk}").content.decode()
    assert "report.html" in page
    assert f"Verdict: {job.verdict}" in page
    assert (trial.results / "viewer.html").is_file()
    pair = client.get(f"/compare?trial={trial.pk}&trial={trial.pk}").content.decode()
    assert pair.count('class="scene"') == 2
    assert "<title>Walk · Walk</title>" in pair
    # Another file would be another recording.
    from tests.web.test_uploads import create

    assert create(client, trial, "other.mp4", 5).status_code == 409


def test_a_form_says_what_is_wrong(client: Any, trial: Any, looks: list[str]) -> None:
    page = client.post(f"/trials/{trial.pk}", {}).content.decode()
    assert "There is no video yet." in page
    send(client, trial, "walk.mp4", b"a video")
    page = client.post(f"/trials/{trial.pk}", {"start": "5", "end": "2"}).content.decode()
    assert "is not after --start" in page
    send(client, trial, "walk2.mp4", b"another one")
    page = client.post(f"/trials/{trial.pk}", {}).content.decode()
    assert "need the calibration" in page
    assert trial.job is None


def test_every_threshold_of_several_cameras_is_in_the_form(site: Any) -> None:
    from dataclasses import fields

    from kinefit.multiview.triangulation_options import TriangulationOptions
    from kinefit.web.forms import OptionsForm

    names = {field.name for field in fields(TriangulationOptions)} - {"score_min"}
    defaults = {name: one.initial for name, one in OptionsForm().fields.items()}
    assert names <= set(defaults)
    assert defaults["visibility_min"] == 0.3  # which is score_min
    form = OptionsForm({**defaults, "inlier_thresh": "12.5", "adaptive": ""})
    assert form.is_valid(), form.errors
    assert form.options == {"inlier_thresh": 12.5, "adaptive": False}
