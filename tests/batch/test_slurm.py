"""An array of jobs on a real SLURM of one node, from the system's packages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import batch as benchmark
from benchmarks.clusters import is_through, no_slurm, submitted, told, waited_for
from benchmarks.clusters import slurm as one_node
from kinefit.batch.run import check_out, run_batch
from kinefit.batch.slurm import MOST_TASKS, write_slurm
from kinefit.types import InputError


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    """The environment in which sbatch finds the cluster."""
    if why := no_slurm():
        pytest.skip(why)
    with one_node() as environment:
        yield environment


def command(tmp_path: Path) -> list[str]:
    script = Path(__file__).with_name("stand_in_batch.py")
    return [sys.executable, str(script), str(tmp_path / "videos"), str(tmp_path / "out")]


def begun(out: Path, name: str) -> list[str]:
    file = out / ".kinefit_batch" / "records" / f"{name}.begun"
    return file.read_text().splitlines() if file.exists() else []


def test_an_array_does_every_trial_once(slurm, trials, program, tmp_path):
    names = ["a", "refused", "B/c d", "dies"]
    found, out = trials(*names), tmp_path / "out"
    script = tmp_path / "job one.sh"
    assert write_slurm(script, command(tmp_path), len(found), out, here=tmp_path) == 4
    job = submitted(slurm, script)
    waited_for(lambda: is_through(slurm, job))
    assert [len(begun(out, name)) for name in names] == [1, 1, 1, 2]
    assert {begun(out, name)[0].split()[1] for name in names} == {"1"}  # cores
    assert not (out / "trials.csv").exists()
    result = run_batch(found, out, retries=0, program=program)
    assert result.counts == {"good": 2, "failed": 2}
    assert [len(begun(out, name)) for name in names] == [1, 1, 1, 3]
    assert len(list((out / ".kinefit_batch/slurm").glob("*.txt"))) == 4


def test_a_task_that_is_killed_loses_no_other_trial(slurm, trials, program, tmp_path):
    found, out = trials("a", "b", "c", "slow d"), tmp_path / "out"
    script = tmp_path / "job.sh"
    write_slurm(script, command(tmp_path), 2, out, here=tmp_path)  # two trials for each task
    job = submitted(slurm | {"STAND_IN_S": "60"}, script)
    waited_for(lambda: bool(begun(out, "slow d")))
    told(slurm, "scancel", "--signal=KILL", f"{job}_2")  # b and, before it, slow d
    waited_for(lambda: is_through(slurm, job))
    assert [len(begun(out, name)) for name in ("a", "b", "c")] == [1, 0, 1]
    result = run_batch(found, out, program=program)
    assert result.counts == {"good": 4}
    assert [len(begun(out, name)) for name in ("a", "b", "c", "slow d")] == [1, 1, 1, 2]


def test_a_huge_batch_stays_within_the_array(tmp_path):
    script = tmp_path / "job.sh"
    assert write_slurm(script, ["kinefit", "batch", "a b"], 10_000, tmp_path) == MOST_TASKS
    text = script.read_text()
    assert "\nexec kinefit batch 'a b' --workers 1 --shard \"$SLURM_ARRAY_TASK_ID/1000\"" in text
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_the_command_writes_itself_into_the_script(trials, tmp_path):
    trials("a", "b")
    job, out = tmp_path / "job.sh", tmp_path / "out"
    written = subprocess.run(
        [sys.executable, "-m", "kinefit.cli", "batch", "videos", "--height", "1.7", "--write-slurm",
         str(job), "--out", str(out), "--quality=fast"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "2 trials, 2 tasks" in written.stderr
    line = job.read_text().splitlines()[-1]
    assert line.endswith(
        f"-m kinefit.cli batch videos --height 1.7 --out {out} --quality=fast --workers 1 "
        '--shard "$SLURM_ARRAY_TASK_ID/2"'
    )
    assert f'#SBATCH --chdir="{tmp_path}"' in job.read_text()
    with pytest.raises(InputError, match="holds the batch of"):  # before any task has begun
        check_out(out, tmp_path / "other videos")


def test_the_directives_come_first(tmp_path):
    """sbatch reads none of them behind any other line."""
    script = tmp_path / "job.sh"
    write_slurm(script, ["kinefit", "batch", "a"], 3, tmp_path)
    directives = [i for i, line in enumerate(script.read_text().splitlines()) if "#SBATCH" in line]
    assert directives == list(range(1, 10))


@pytest.mark.parametrize("place", ["command", "path", "out"])
def test_line_breaks_are_refused(tmp_path, place):
    where = {"command": "a", "path": "job.sh", "out": "out", place: "a\nb"}
    with pytest.raises(InputError, match="line break"):
        write_slurm(tmp_path / where["path"], [where["command"]], 3, tmp_path / where["out"])
    assert not list(tmp_path.iterdir())


def test_no_file_but_its_own_is_overwritten(tmp_path):
    script, out = tmp_path / "job.sh", tmp_path / "out"
    script.write_text("#!/bin/bash\necho mine\n")
    with pytest.raises(InputError, match="no script of kinefit"):
        write_slurm(script, ["a"], 3, out)
    assert script.read_text() == "#!/bin/bash\necho mine\n"
    assert not out.exists()
    script.unlink()
    write_slurm(script, ["a"], 3, out)
    write_slurm(script, ["b"], 4, out)
    assert "--array=1-4" in script.read_text()


def test_the_benchmark_notices_an_array_that_did_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "_cut", lambda video, target: target.write_bytes(b"x"))
    monkeypatch.setattr(benchmark, "submitted", lambda environment, script: "1")
    monkeypatch.setattr(benchmark, "is_through", lambda environment, job: True)
    with pytest.raises(AssertionError, match="the array has not done"):
        benchmark.Bench(tmp_path, "waits").array(1, {})
