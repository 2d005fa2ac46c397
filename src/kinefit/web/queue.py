"""The queue: jobs in the database, each held by a worker for as long as it keeps saying so.

A worker that dies leaves its job RUNNING with a lease that ends; the next worker takes it then. A
job is a plan in a folder, so a second try goes on where the first one was. A change is one UPDATE
that names the state it expects, so that of two workers one gets a job, on SQLite as on
PostgreSQL. (django-tasks with its database backend was tried: it has neither leases, retries,
cancelling nor progress, so that this table would have stood beside it; RQ adds a Redis server.)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from kinefit.web.models import Job, Trial


def submit(trial: Trial) -> Job:
    """A new job, or the one that is not over: the database takes no second one."""
    try:
        with transaction.atomic():
            return Job.objects.create(trial=trial)
    except IntegrityError:
        return Job.objects.get(trial=trial, state__in=Job.ACTIVE)


def claim(worker: str) -> Job | None:
    """The oldest job that waits or whose worker is dead, now held by `worker`; None without one.

    A job that was begun `TRIES` times, and whose process died each time, is failed.
    """
    free = Q(state=Job.QUEUED) | Q(state=Job.RUNNING, lease__lt=Now())
    for job in Job.objects.filter(free).order_by("id")[:20]:
        mine = Job.objects.filter(pk=job.pk, state=job.state, lease=job.lease)
        if job.cancel:
            _end(mine, Job.CANCELLED, message="Cancelled.")
        elif job.tries >= settings.TRIES:
            _end(mine, Job.FAILED, message=f"{job.message or _VANISHED} ({job.tries} tries.)")
        elif mine.update(state=Job.RUNNING, worker=worker, lease=_lease(), tries=F("tries") + 1,
                         started=job.started or timezone.now()):  # fmt: skip
            job.refresh_from_db()
            return job
    return None


_VANISHED = "The worker died. Next: try again, or ask whoever runs this site."


def beat(job: Job, progress: dict[str, Any] | None = None) -> bool:
    """Say that the worker lives, and how far it is; False where the job is no longer its own."""
    changes: dict[str, Any] = dict(progress or {})
    if changes and changes["stage"] != job.stage:
        changes["since"] = timezone.now()
        job.stage = changes["stage"]
    return bool(_held(job).update(lease=_lease(), **changes))


def release(job: Job, reason: str = "") -> None:
    """Back into the queue, for another try. reason: why this one failed; "": it was no try, the
    worker was told to end."""
    changes: dict[str, Any] = {"message": reason} if reason else {"tries": F("tries") - 1}
    _held(job).update(state=Job.QUEUED, lease=None, worker="", **changes)


def finish(job: Job, state: str, *, verdict: str = "", message: str = "") -> None:
    """It is over."""
    _end(_held(job), state, verdict=verdict, message=message)


def cancel(job: Job) -> None:
    """Ask for its end: at once if it waits, else when its worker hears of it."""
    if not _end(
        Job.objects.filter(pk=job.pk, state=Job.QUEUED), Job.CANCELLED, message="Cancelled."
    ):
        Job.objects.filter(pk=job.pk, state=Job.RUNNING).update(cancel=True)


def wanted(job: Job) -> bool:
    """Whether nobody asked for its end."""
    return Job.objects.filter(pk=job.pk, cancel=False).exists()


def _held(job: Job) -> QuerySet[Job]:
    return Job.objects.filter(pk=job.pk, state=Job.RUNNING, worker=job.worker)


def _end(jobs: QuerySet[Job], state: str, **changes: Any) -> int:
    return jobs.update(state=state, finished=timezone.now(), lease=None, **changes)


def _lease() -> Any:
    """By the database's clock: workers' own may differ."""
    return Now() + timedelta(seconds=settings.LEASE_S)
