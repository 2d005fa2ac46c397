"""One trial in a process of its own: `python -m kinefit.batch.trial`, with its order on stdin.

What takes the process down (a library, the memory) takes this trial and no other. The process
ends with the one that started it, however that ends: then its stdin is closed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import Timeout

from kinefit.api import RunResult, everybody, process
from kinefit.batch.order import STATUSES, Order, Record, Result, Status, failure, owned, stamp
from kinefit.io.processes import die_with_parent
from kinefit.pipeline.config import run_config
from kinefit.pipeline.manifest import read_manifest
from kinefit.pipeline.provenance import sha256_path
from kinefit.pipeline.results import INTERNAL
from kinefit.types import KinefitError


def main() -> None:
    """Do the order on stdin and write its record; the exit code is 0 whatever came of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    die_with_parent()
    order = Order.from_json(sys.stdin.readline())
    threading.Thread(target=_follow, daemon=True).start()
    do(order).write(order.record)


def _follow() -> None:
    sys.stdin.read()
    os._exit(1)


def do(order: Order) -> Record:
    """The trial's record; what goes wrong is in it."""
    before = stamp(order.manifest)
    try:
        record = _record(order, _process(order))
    except KinefitError as error:
        locked = isinstance(error.__cause__, Timeout)  # by another process, for now
        order = order if locked else owned(order, before)
        record = failure(order, str(error), settled=not locked)
    except Exception as error:  # of any library: it is this trial's, and the others go on
        record = failure(owned(order, before), f"{type(error).__name__}: {error}")
    return replace(record, **_spent())


def _record(order: Order, results: Sequence[RunResult]) -> Record:
    status = min((_status(one.verdict) for one in results), key=STATUSES.index)
    rows = [_facts(order, one) for one in results]
    reason = next((row["reason"] for row in rows if row["reason"]), "")
    return Record(order.key, status, reason, manifest=stamp(order.manifest), results=rows)


def _process(order: Order) -> list[RunResult]:
    config, out = run_config(order.options, order.name), Path(order.out)
    videos = [Path(video) for video in order.videos]
    finished = any((out / INTERNAL / "stages").glob("*.json"))
    replaced = (order.ours or not finished) and _other_input(out, videos)
    if config.people == "all":
        return everybody(videos, out, config, overwrite=replaced)
    return [process(videos, out, config, overwrite=replaced)]


def _other_input(out: Path, videos: Sequence[Path]) -> bool:
    """Whether the folder was begun with other videos."""
    with suppress(OSError, ValueError, TypeError, KeyError):  # it was not begun, or is damaged
        begun = json.loads((out / INTERNAL / "input.json").read_text("utf-8"))["inputs"]
        return bool(begun != {video.name: sha256_path(video) for video in videos})
    return False


def _status(verdict: str) -> Status:
    return next((one for one in STATUSES if one == verdict), "unusable")


def _facts(order: Order, result: RunResult) -> Result:
    """What the batch's tables say of one person, from run.json: the folder, below the trial's;
    why it was refused; frames; the findings that limit the numbers; of each angle lowest and
    highest value."""
    quality = read_manifest(result.folder).get("quality", {})
    gait = quality.get("gait") or {}
    return {
        "folder": os.path.relpath(result.folder, order.out),
        "verdict": result.verdict,
        "reason": next((str(f) for f in result.findings if f.level == "refusal"), ""),
        "frames": len(quality.get("frames", {}).get("frame", ())),
        "cautions": [f.what for f in result.findings if f.level == "caution"],
        "files": [name for name, _ in result.files if name in ("report.html", "viewer.html")],
        "speed_m_s": gait.get("speed_m_s"),
        "angles": quality.get("angles", []),
    }


def _spent() -> dict[str, Any]:
    """Processor time of this process and its children, and the most memory that one had."""
    with suppress(ImportError):  # Windows
        from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

        used = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
        cpu = sum(one.ru_utime + one.ru_stime for one in used)
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return {
            "cpu_s": round(cpu, 2),
            "memory_mb": round(max(one.ru_maxrss for one in used) / unit, 1),
        }
    return {}


if __name__ == "__main__":
    main()
