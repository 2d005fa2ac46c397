"""A job at work, in a process of its own: `python -m kinefit.web.child FOLDER PARENT`.

FOLDER/job.json says what to do; FOLDER/progress.json how far it is, and FOLDER/outcome.json what
came of it. The process ends when its parent does, so that nobody works on a job that another
worker has taken.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from kinefit.io.atomic import write_json
from kinefit.io.processes import die_with_parent
from kinefit.types import KinefitError

_EVERY_S = 0.3  # seconds between two notes of progress


def main(folder: Path, parent: int) -> None:
    """Do it. parent: number of the worker's process."""
    die_with_parent()
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    task = json.loads((folder / "job.json").read_text("utf-8"))
    try:
        verdict = _run(folder, task)
        write_json(folder / "outcome.json", {"verdict": verdict})
    except KinefitError as error:
        write_json(folder / "outcome.json", {"error": str(error).replace(f"{folder}/", "")})


def _run(folder: Path, task: dict[str, object]) -> str:
    from kinefit.api import everybody, process
    from kinefit.pipeline.config import run_config

    noted = ("", 0.0)

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal noted
        if stage == noted[0] and done < total and time.monotonic() - noted[1] < _EVERY_S:
            return
        noted = (stage, time.monotonic())
        write_json(folder / "progress.json", {"stage": stage, "done": done, "total": total})

    options = dict(task["options"])  # type: ignore[call-overload]
    if task["calibration"]:
        options["calibration"] = folder / "inputs" / str(task["calibration"])
    videos = [folder / "inputs" / name for name in task["videos"]]  # type: ignore[attr-defined]
    config, results = run_config(options, source="options"), folder / "results"
    if config.people == "all":
        worst = ("unusable", "caution", "good")
        return min((r.verdict for r in everybody(videos, results, config, progress=progress)),
                   key=worst.index)  # fmt: skip
    return process(videos, results, config, progress=progress).verdict


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(os.getpgrp(), signal.SIGKILL)  # and what it has started


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
