"""`kinefit batch` with the stand-in for the work: source, folder, and the flags of a cluster."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kinefit.batch.executors import Local
from kinefit.batch.run import run_batch
from kinefit.batch.table import read_trials

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--shard")
    chosen = parser.parse_args()
    result = run_batch(
        read_trials(chosen.source, {"height": 1.7}), chosen.out, Local(chosen.workers),
        part=chosen.shard, program=(sys.executable, str(Path(__file__).with_name("stand_in.py"))),
    )  # fmt: skip
    sys.exit(bool(result.failed))
