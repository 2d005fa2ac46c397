"""Stands in for `kinefit.batch.trial` where the machinery is tested: what it does, the name says.

A number of tries is kept in a file beside the record. "hangs" takes a minute, "slow" STAND_IN_S
seconds, or one; "together" waits for three others of its kind, and fails without.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
    record, name = Path(order["record"]), order["name"]
    record.parent.mkdir(parents=True, exist_ok=True)
    begun = record.with_suffix(".begun")
    with begun.open("a") as stream:
        stream.write(f"{os.getpid()} {os.environ['KINEFIT_CORES']}\n")
    tries = len(begun.read_text().splitlines())
    if "dies" in name or ("stumbles" in name and tries == 1):
        print("last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if "exits" in name:
        sys.exit(3)
    if "silent" in name:
        return
    if "hangs" in name:
        time.sleep(60)
    if "slow" in name:
        time.sleep(float(os.environ.get("STAND_IN_S", "1")))
    if "together" in name:  # with three others
        until = time.monotonic() + 30
        while len(list(record.parent.glob("*.begun"))) < 4:
            if time.monotonic() > until:
                sys.exit(3)
            time.sleep(0.05)
    out = Path(order["out"])
    out.mkdir(parents=True, exist_ok=True)
    (out / "run.json").write_text("{}")
    state = (out / "run.json").stat()
    failed = {"status": "failed", "reason": "it is refused", "results": []}
    result = {"folder": ".", "verdict": "good", "frames": 20, "cautions": [], "files": []}
    good = {
        "status": "good",
        "manifest": [state.st_size, state.st_mtime_ns],
        "results": [{**result, "speed_m_s": None, "angles": []}],
    }
    value = {"key": order["key"], **(failed if "refused" in name else good)}
    partial = record.with_suffix(".part")
    partial.write_text(json.dumps(value))
    partial.replace(record)


if __name__ == "__main__":
    main()
