"""A worker: takes jobs from the queue and has each done by a child process.

`python -m kinefit.web.worker`; `kinefit web` starts some. More may run on other machines that share
the folder and the database.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from kinefit.io.atomic import write_json

_LOOK_S = 0.25  # seconds between two looks at a child
_BEAT_S = 2.0  # and between two signs of life
_GRACE_S = 5.0  # for a child that is asked to end


def work(stop: threading.Event, once: bool = False) -> None:
    """Do jobs until `stop` is set; once: until there is none. A database that does not answer is
    asked again."""
    from django.db import DatabaseError, close_old_connections

    from kinefit.web import queue

    name = f"{socket.gethostname()}:{os.getpid()}"
    while not stop.is_set():
        close_old_connections()
        try:
            job = queue.claim(name)
            if job is not None:
                do(job, stop)
                continue
        except DatabaseError as error:
            sys.stderr.write(f"{name}: {error}\n")
            stop.wait(_BEAT_S)
        if once:
            return
        stop.wait(_LOOK_S * 2)


def do(job: Any, stop: threading.Event) -> None:
    """One job, whatever becomes of it."""
    from kinefit.web import queue
    from kinefit.web.models import Job

    folder = job.trial.folder
    for name in ("progress.json", "outcome.json"):
        (folder / name).unlink(missing_ok=True)
    write_json(folder / "job.json", _task(job.trial))
    with (folder / "log.txt").open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 (our own)
            [sys.executable, "-m", "kinefit.web.child", str(folder), str(os.getpid())],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        ended = _watch(job, child, folder, stop)
    finally:
        _kill(child)
    outcome = _read(folder / "outcome.json")
    if ended == "cancelled":
        queue.finish(job, Job.CANCELLED, message="Cancelled. What was finished stays.")
    elif ended == "stopped":
        queue.release(job)
    elif ended == "over" and not outcome:
        queue.release(job, _death(child.returncode))
    elif ended == "over" and "error" in outcome:
        queue.finish(job, Job.FAILED, message=outcome["error"])
    elif ended == "over":
        queue.finish(job, Job.DONE, verdict=outcome["verdict"])


def _death(code: int) -> str:
    if code == -signal.SIGKILL:
        return "The computation was killed, probably for want of memory. Next: a shorter part."
    return f"The computation ended by itself (code {code}). Next: see the log."


def _watch(job: Any, child: subprocess.Popen[bytes], folder: Path, stop: threading.Event) -> str:
    """How it ended. over: the child did. cancelled: its end is wanted. stopped: the worker's is.
    lost: another worker has the job."""
    from kinefit.web import queue

    last = 0.0
    told: dict[str, Any] = {}
    while child.poll() is None:
        if stop.wait(_LOOK_S):
            return "stopped"
        progress = _read(folder / "progress.json")
        if progress != told or time.monotonic() - last > _BEAT_S:
            last, told = time.monotonic(), progress
            if not queue.beat(job, progress):
                return "lost"
            if not queue.wanted(job):
                return "cancelled"
    return "over"


def _kill(child: subprocess.Popen[bytes]) -> None:
    """The child and all that it has started."""
    for how, patience in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, None)):
        try:
            os.killpg(child.pid, how)
        except ProcessLookupError:
            break
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    child.wait()


def _task(trial: Any) -> dict[str, Any]:
    subject = trial.subject
    known = {"height": subject.height_m, "mass": subject.mass_kg, "gender": subject.sex}
    calibration = trial.usable("calibration")
    return {
        "videos": [one.stored for one in trial.usable("video")],
        "calibration": calibration[0].stored if calibration else None,
        "options": {k: v for k, v in known.items() if v} | trial.options,
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def main() -> None:
    """Until a signal or the end of the process that started it."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kinefit.web.settings")
    django.setup()
    stop, parent = threading.Event(), os.getppid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        stop.set()

    if "--alone" not in sys.argv:
        threading.Thread(target=watch, daemon=True).start()
    work(stop)


if __name__ == "__main__":
    main()
