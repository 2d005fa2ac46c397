"""A script for SLURM: an array of jobs, each of which does its part of a batch."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from kinefit.batch.trials import OWN
from kinefit.io.atomic import write_text
from kinefit.types import InputError

MOST_TASKS = 1000  # SLURM's own limit of an array, where nobody raised it, is 1001
_HEADER = "#!/bin/bash\n#SBATCH --job-name=kinefit\n"  # by which an earlier script is known


def write_slurm(
    path: Path, command: Sequence[str], trials: int, out: Path, here: Path | None = None
) -> int:
    """Write an sbatch script for `command` (a `kinefit batch` without --shard); number of tasks.

    trials: how many there are, of which each task has one, or, above 1,000, every thousandth.
    out: the batch's folder, where the tasks' output goes. here: from where the command's paths
    count; None: from here. Raises InputError for line breaks, which would end the script's
    lines, and where another file is at `path`.
    """
    here = here or Path.cwd()
    _check(path, (*command, str(path), str(here), str(out)))
    tasks = max(1, min(trials, MOST_TASKS))
    log = (out / OWN / "slurm").absolute()
    log.mkdir(parents=True, exist_ok=True)
    words = shlex.join(command)
    text = f"""{_HEADER}#SBATCH --array=1-{tasks}
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=08:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --chdir={_plain(here)}
#SBATCH --output={_plain(log)}/%A_%a.txt
# {trials} trials in {tasks} tasks. Add what your cluster asks for (partition, account), then
#   job=$(sbatch --parsable {shlex.quote(path.name)})
# and, for the summary and for what no task has finished:
#   sbatch --dependency=afterany:$job --wrap={shlex.quote(words)}
# or the same command by hand, once the array is through.
export KINEFIT_CORES="${{SLURM_CPUS_PER_TASK:-1}}"
exec {words} --workers 1 --shard "$SLURM_ARRAY_TASK_ID/{tasks}"
"""
    write_text(path, text)
    return tasks


def _check(path: Path, words: Sequence[str]) -> None:
    for word in words:
        if "\n" in word or "\r" in word:
            raise InputError("--write-slurm", f"{word!r} has a line break", "do without it")
    if path.exists() and not (path.is_file() and path.read_bytes().startswith(_HEADER.encode())):
        reason = "is there already, and is no script of kinefit"
        raise InputError(path, reason, "give --write-slurm another name")


def _plain(path: Path) -> str:
    """As sbatch reads it in a script: in quotes, which it takes away again."""
    return '"' + str(path.absolute()).replace("\\", "\\\\").replace('"', '\\"') + '"'
