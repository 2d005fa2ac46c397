"""A batch on a real Dask cluster of two workers in processes of their own."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.clusters import DaskCluster, waited_for
from kinefit.batch import executors
from kinefit.batch.executors import Dask
from kinefit.batch.run import run_batch
from kinefit.types import InputError, MissingDependency


@pytest.fixture(scope="module")
def one_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    pytest.importorskip("distributed")
    found = DaskCluster(tmp_path_factory.mktemp("dask"))
    yield found
    found.close()


@pytest.fixture
def cluster(one_cluster: DaskCluster) -> DaskCluster:
    """With two workers, whatever the tests before have done to it."""
    one_cluster.fill()
    return one_cluster


def begun(out: Path, name: str) -> list[str]:
    file = out / ".kinefit_batch" / "records" / f"{name}.begun"
    return file.read_text().splitlines() if file.exists() else []


def test_a_worker_that_is_killed_loses_nothing(cluster, trials, program, tmp_path):
    names = ["a", "b", "dies", "refused", *(f"slow {i}" for i in range(4))]
    out = tmp_path / "out"
    killed = []

    def kill() -> None:
        while not any(begun(out, name) for name in names if "slow" in name):
            time.sleep(0.05)
        time.sleep(0.3)  # in the middle of its trial
        killed.append(cluster.workers[0].pid)
        os.kill(cluster.workers[0].pid, signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    result = run_batch(trials(*names), out, Dask(cluster.address), program=program)
    assert killed
    assert result.counts == {"good": 6, "failed": 2}
    assert "SIGKILL" in result.records["dies"].reason
    assert result.records["refused"].reason == "it is refused"
    tries = [len(begun(out, name)) for name in names]
    assert tries[2] in (2, 4)  # with its retry; twice if its worker was the one
    assert sum(tries) - tries[2] in (7, 8)  # at most the trial of that worker again
    assert run_batch(trials(*names), out, program=program).counts == {"good": 6, "failed": 2}
    again = [len(begun(out, name)) for name in names]
    assert [b - a for a, b in zip(tries, again, strict=True)] == [0, 0, 2, 0, 0, 0, 0, 0]


def test_a_trial_whose_workers_all_die_is_a_row(cluster, trials, program, tmp_path):
    """Every worker that takes it is killed; a new one comes each time, until Dask gives it up."""
    out = tmp_path / "out"
    stop = threading.Event()

    def kill() -> None:
        while not stop.wait(0.1):
            running = [w for w in cluster.workers if w.poll() is None]
            lines = begun(out, "hangs")
            for line in lines:
                parent = parent_of(int(line.split()[0]))
                for worker in running:
                    if worker.pid == parent:
                        worker.kill()
                        worker.wait()
                        cluster.add()

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        result = run_batch(trials("hangs"), out, Dask(cluster.address), program=program)
    finally:
        stop.set()
        thread.join()
    assert result.records["hangs"].status == "failed"
    assert "its worker was lost (KilledWorker" in result.records["hangs"].reason
    assert len(begun(out, "hangs")) == 4


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_a_cluster_that_is_not_there_is_told(trials, program, tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "CONNECT", "1s")
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        run_batch(trials("a"), tmp_path / "out", Dask("tcp://127.0.0.1:9"), program=program)


def test_without_dask_it_says_how_to_get_it(trials, program, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependency, match=r"pip install kinefit\[dask\]"):
        run_batch(trials("a"), tmp_path / "out", Dask("tcp://127.0.0.1:9"), program=program)


def test_a_cluster_without_workers_is_told(cluster, trials, program, tmp_path, monkeypatch):
    from distributed import Client

    monkeypatch.setattr(executors, "WORKERS_S", 1)
    for worker in cluster.workers:
        worker.kill()
        worker.wait()
    with Client(cluster.address, set_as_default=False) as client:
        waited_for(lambda: not client.scheduler_info()["workers"])
    with pytest.raises(InputError, match="no worker has come"):
        run_batch(trials("a"), tmp_path / "out", Dask(cluster.address), program=program)
