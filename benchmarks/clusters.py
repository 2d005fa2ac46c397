"""Clusters of this one computer, for tests and benchmarks: SLURM and Dask, both real."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
MOST_S = 60  # for what takes five seconds

CONF = """
ClusterName=one
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName={host} CPUs={cpus} RealMemory=8000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def no_slurm() -> str:
    """Why there can be no SLURM here; "" where it can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        packages = "slurmctld slurmd slurm-client munge"
        return f"there is no SLURM to start, or nobody who may: apt-get install {packages}"
    return ""


@contextmanager
def slurm() -> Iterator[dict[str, str]]:
    """A SLURM of one node; the environment in which sbatch finds it."""
    folder = Path("/tmp") / f"kinefit-slurm-{os.getpid()}"  # a socket's path has 107 characters
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    conf = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    conf.write_text(CONF.format(host=host, folder=folder, ports=free_ports(2), cpus=os.cpu_count()))
    environment = os.environ | {"SLURM_CONF": str(conf)}
    files = {"socket": "sock", "key-file": "key", "pid-file": "pid", "log-file": "log"}
    files["seed-file"] = "seed"
    munge = [f"--{option}={folder}/munge.{end}" for option, end in files.items()]
    try:
        subprocess.run(["munged", "--force", *munge], check=True)
        subprocess.run(["slurmctld", "-c"], env=environment, check=True)
        subprocess.run(["slurmd", "-c"], env=environment, check=True)
        waited_for(lambda: "idle" in told(environment, "sinfo", "-h", "-o", "%t"))
        yield environment
    finally:
        for name in ("slurmd", "slurmctld", "munge"):
            end(folder / f"{name}.pid")
        shutil.rmtree(folder, ignore_errors=True)


def end(file: Path) -> None:
    """End the process whose number is in a file, and wait until it has."""
    if file.exists():
        pid = int(file.read_text())
        os.kill(pid, signal.SIGTERM)
        waited_for(lambda: not Path(f"/proc/{pid}/exe").exists())


def told(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout


def waited_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + MOST_S
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def submitted(environment: dict[str, str], script: Path) -> str:
    """The number of the job that a script is now."""
    job = told(environment, "sbatch", "--parsable", str(script)).strip()
    assert job, "sbatch refused the script"
    return job


def is_through(environment: dict[str, str], job: str) -> bool:
    """Whether no task of a job waits or runs."""
    return not told(environment, "squeue", "-h", "-j", job).strip()


class DaskCluster:
    """A scheduler and two workers of one thread, all without a nanny that would start them anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "scheduler.txt"
        self._scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", log=self._log
        )
        while not (found := re.search(r"Scheduler at:\s+(tcp://\S+)", self._log.read_text())):
            time.sleep(0.05)
        self.address = found[1]
        self._number = count()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.fill()

    def fill(self) -> None:
        """Start workers for those that have ended; wait until two are there."""
        from distributed import Client

        self.workers = [one for one in self.workers if one.poll() is None]
        while len(self.workers) < 2:
            self.add()
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=MOST_S)

    def add(self) -> None:
        """Start one more."""
        name = f"w{next(self._number)}"
        words = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", name)
        log = self._folder / f"{name}.txt"
        self.workers.append(self._start("worker", self.address, *words, log=log))

    def _start(self, kind: str, *words: str, log: Path) -> subprocess.Popen[bytes]:
        local = ("--local-directory", str(self._folder)) if kind == "worker" else ()
        with log.open("wb") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words, *local],
                stdout=stream, stderr=stream, cwd=self._folder,
            )  # fmt: skip

    def close(self) -> None:
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait()
