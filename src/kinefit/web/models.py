"""What the site remembers: who recorded whom, the files, and the queue."""

from __future__ import annotations

import uuid
from pathlib import Path

from django.conf import settings
from django.db import models


def _choices(*words: str) -> list[tuple[str, str]]:
    return [(word, word) for word in words]


class Project(models.Model):
    """Trials that belong together; only its owner sees it."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    name = models.CharField(max_length=120)
    created = models.DateTimeField(auto_now_add=True)


class Subject(models.Model):
    """A person who is filmed. height_m: metres. mass_kg: kilograms. consent: a note."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="subjects")
    name = models.CharField(max_length=120)
    height_m = models.FloatField()
    mass_kg = models.FloatField(null=True, blank=True)
    sex = models.CharField(
        max_length=8, blank=True, choices=[("female", "female"), ("male", "male")]
    )
    consent = models.TextField(blank=True, max_length=2000)


class Trial(models.Model):
    """A recording and its result. options: of `kinefit.pipeline.config.RunConfig`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, models.CASCADE, related_name="trials")
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="trials")
    name = models.CharField(max_length=120)
    options = models.JSONField(default=dict)
    created = models.DateTimeField(auto_now_add=True)

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return Path(settings.FOLDER) / "trials" / self.id.hex

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def locked(self) -> bool:
        """Whether its files may not change: something was made of them, or is being made."""
        active = self.jobs.filter(state__in=Job.ACTIVE).exists()
        return active or (self.results / "run.json").exists()

    def usable(self, kind: str) -> list[Upload]:
        """Files of a kind that were looked at and found good."""
        found = self.uploads.filter(kind=kind, checked=True, problem="")
        return list(found.order_by("stored"))

    @property
    def job(self) -> Job | None:
        """The latest."""
        return self.jobs.order_by("-id").first()

    @property
    def word(self) -> str:
        """How it stands: the verdict, the state of its job, or "new"."""
        job = self.job
        return "new" if job is None else job.verdict or job.state


class Upload(models.Model):
    """A file that is given in parts (https://tus.io, 1.0). name: as the user calls it, never a
    path. stored: its own, in the trial's folder. size, offset: bytes. problem: why it cannot be
    used. facts: of a video.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    trial = models.ForeignKey(Trial, models.CASCADE, related_name="uploads")
    kind = models.CharField(
        max_length=12, choices=[("video", "video"), ("calibration", "calibration")]
    )
    name = models.CharField(max_length=255)
    stored = models.CharField(max_length=100)
    size = models.BigIntegerField()
    offset = models.BigIntegerField(default=0)
    checked = models.BooleanField(default=False)
    problem = models.TextField(blank=True)
    facts = models.JSONField(default=dict)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["trial", "stored"], name="one_file"),)

    @property
    def path(self) -> Path:
        return self.trial.folder / "inputs" / self.stored


class Job(models.Model):
    """A run of a trial, waiting, at work or over. `kinefit.web.queue` is how it changes.

    lease: until when its worker may be silent. tries: how often it was begun. cancel: whether the
    user wants it to end. stage, done, total, since: how far it is, and when that stage began.
    """

    QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
    ACTIVE = (QUEUED, RUNNING)
    STATES = (*ACTIVE, DONE, FAILED, CANCELLED)

    trial = models.ForeignKey(Trial, models.CASCADE, related_name="jobs")
    state = models.CharField(
        max_length=10, choices=_choices(*STATES), default=QUEUED, db_index=True
    )
    worker = models.CharField(max_length=100, blank=True)
    lease = models.DateTimeField(null=True)
    tries = models.IntegerField(default=0)
    cancel = models.BooleanField(default=False)
    stage = models.CharField(max_length=40, blank=True)
    done = models.IntegerField(default=0)
    total = models.IntegerField(default=0)
    since = models.DateTimeField(null=True)
    verdict = models.CharField(max_length=12, blank=True)
    message = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["trial"],
                condition=models.Q(state__in=["queued", "running"]),
                name="one_job_at_a_time",
            ),
        )

    @property
    def over(self) -> bool:
        return self.state not in self.ACTIVE


class Token(models.Model):
    """A key to the API. Only its hash is kept."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=120)
    sha256 = models.CharField(max_length=64, unique=True)
    created = models.DateTimeField(auto_now_add=True)
