"""Doing the stages of a plan: reuse, staging, processes for several videos, run.json."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from kinefit.detect.embedded import cores
from kinefit.io.processes import each
from kinefit.pipeline.camera_work import one_thread_of_blas, report_frames, work_in_process
from kinefit.pipeline.config import RunConfig, is_network_file
from kinefit.pipeline.context import Context, Job, check_cancel, clip_of, missing_input
from kinefit.pipeline.manifest import write_manifest
from kinefit.pipeline.plan import Stage, stages_of
from kinefit.pipeline.provenance import code_version, sha256_json, sha256_path
from kinefit.pipeline.recording import part_json
from kinefit.pipeline.single_step import blamed_on
from kinefit.pipeline.stages.report import read_assessment
from kinefit.pipeline.store import Folder, Record, open_folder
from kinefit.types import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class _Unit:
    """A stage, or a stage for one camera, with its key."""

    stage: Stage
    camera: str
    id: str
    key: str
    after: dict[str, str]
    about: dict[str, Any]


def run_plan(
    job: Job, out: Path, *, until: str | None = None, without: Sequence[str] = (),
    overwrite: bool = False, lender: Folder | None = None,
) -> Folder:  # fmt: skip
    """Do what is not done yet of the job's plan in the folder `out`, and describe it in run.json.

    lender: a folder, open, whose results are taken over where they are of the same input, options
    and code. Raises what the stages raise; what was finished until then stays, and the next call
    goes on from there.
    """
    stages = stages_of(job, until=until, without=without)
    hashes = {name: sha256_path(path) for name, path in job.inputs.items()}
    with open_folder(out) as folder:
        named = {job.inputs[name].name: digest for name, digest in hashes.items()}
        folder.claim(job.stem, named, overwrite=overwrite)
        plan = _Execution(job, folder, hashes, lender)
        try:
            with (
                one_thread_of_blas(),
                blamed_on(job.source, "film the whole person, or lower --visibility-min"),
            ):
                for stage in stages:
                    plan.do(stage)
        except BaseException as error:
            if folder.records:
                plan.write_manifest(str(error) or type(error).__name__)
            raise
        plan.write_manifest("")
    return folder


@dataclass(eq=False)
class _Execution:
    job: Job
    folder: Folder
    hashes: dict[str, str]
    lender: Folder | None = None

    def __post_init__(self) -> None:
        self.done: dict[str, list[Record]] = {}  # by stage, of this plan
        self.started = False
        job = self.job
        filmed = {} if job.kind == "bundle" else job.inputs
        self.parts = {n: part_json(clip_of(p, job.config)) for n, p in filmed.items()}

    def do(self, stage: Stage) -> None:
        """All units of a stage that are not there already."""
        check_cancel(self.job)
        self.job.progress(stage.name, 0, 0)
        cameras = list(self.job.inputs) if stage.per_camera else [""]
        units = [self._unit(stage, camera) for camera in cameras]
        todo = [u for u in units if not self._is_there(u)]
        if todo and not self.started:
            self.started = True
            if self.folder.records:
                self.write_manifest("at work")
        if len(todo) > 1:
            self._side_by_side(todo)
        else:
            for unit in todo:
                start = time.perf_counter()
                stage.work(self._context(unit))
                self._commit(unit, time.perf_counter() - start)
        self.done[stage.name] = [self.folder.records[unit.id] for unit in units]
        if not (todo and stage.per_camera):
            self.job.progress(stage.name, 1, 1)

    def _is_there(self, unit: _Unit) -> bool:
        if self.folder.valid(unit.id, unit.key) is not None:
            return True
        return self.lender is not None and self.folder.adopt(self.lender, unit.id, unit.key)

    def _unit(self, stage: Stage, camera: str) -> _Unit:
        several = stage.per_camera and self.job.kind == "rig"
        name = f"{self.job.stem}.{stage.name}" + (f" {camera}" if several else "")
        after = {r.stage: r.digest for r in self._records_for(stage)}
        about = {
            "inputs": {camera: self.hashes[camera]} if camera else self.hashes,
            "options": _option_values(self.job.config, stage.options),
        }
        code = code_version(stage.work.__module__)
        key = sha256_json({"stage": name, "code": code, "after": after, **about})
        return _Unit(stage, camera, name, key, after, about)

    def _records_for(self, stage: Stage) -> list[Record]:
        """Of the stages that it reads."""
        found = []
        for name in stage.reads:
            earlier = self.folder.records.get(f"{self.job.stem}.{name}")
            if name in self.done:
                found += self.done[name]
            elif stage.of_folder and earlier and not self.folder.is_stale(earlier.stage):
                found.append(earlier)
        return found

    def _context(self, unit: _Unit) -> Context:
        readable = {
            name: self.folder.file(name)
            for record in self._records_for(unit.stage)
            for name in record.files
        }
        return Context(
            self.job, unit.stage.name, unit.stage.options,
            self.folder.staging(unit.id, unit.key), self.folder.partial(unit.id),
            readable, unit.camera,
        )  # fmt: skip

    def _commit(self, unit: _Unit, seconds: float) -> None:
        for name in [unit.camera] if unit.camera else self.job.inputs:
            if sha256_path(self.job.inputs[name]) != self.hashes[name]:
                hint = "wait until it is whole and run the command again"
                raise InputError(self.job.inputs[name], "changed while it was being read", hint)
        self.folder.commit(unit.id, unit.key, seconds, unit.after, unit.about)

    def _side_by_side(self, units: list[_Unit]) -> None:
        """Several videos at once, one process per core: inference keeps a core busy.

        (Threads would share Python's lock: the four videos of the demo take twice as long.) Each
        is recorded as soon as it is done, whatever becomes of the others.
        """
        counts = [(0, 0)] * len(units)

        def show() -> None:
            check_cancel(self.job)
            done, total = (sum(column) for column in zip(*counts, strict=True))
            self.job.progress(units[0].stage.name, done, total)

        # Contexts as they go to another process: what can be sent.
        sent = replace(self.job, progress=report_frames, cancel=None)
        todo = ((u.stage.work, replace(self._context(u), job=sent)) for u in units)
        workers = min(len(units), cores())
        with closing(
            each(work_in_process, todo, workers, heard=counts.__setitem__, idle=show)
        ) as done:
            for number, seconds in done:
                self._commit(units[number], seconds)

    def write_manifest(self, incomplete: str) -> None:
        """run.json. Only the seconds differ between two runs of one input."""
        job, hashes = self.job, self.hashes
        inputs = [
            {"name": n, "file": p.name, "sha256": hashes[n], "part": self.parts.get(n)}
            for n, p in job.inputs.items()
        ]
        about = {"inputs": inputs, "parameters": job.config.model_dump(mode="json")}
        about |= {"incomplete": incomplete, **read_assessment(self.folder, job.stem)}
        write_manifest(self.folder, about)


def _option_values(config: RunConfig, names: Sequence[str]) -> dict[str, Any]:
    """Option -> JSON value; for a file or folder the hash of its content."""
    values = config.model_dump(mode="json", include=set(names))
    for name in names:
        value = getattr(config, name)
        if (name == "body" and value != "anny") or (name == "pof_model" and is_network_file(value)):
            value = Path(value)
        if isinstance(value, Path):
            if not value.exists():
                raise missing_input(value)
            values[name] = sha256_path(value)
    return values
