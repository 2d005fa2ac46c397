"""The same for programs: REST and JSON, described by OpenAPI at /api/openapi.json.

A program sends `Authorization: Bearer TOKEN`; tokens are made on the page "Programs". Files are
uploaded as on the pages, by tus, to `/trials/ID/uploads`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import NinjaAPI, Schema
from ninja.errors import HttpError
from pydantic import Field

from kinefit.pipeline.config import FILES, is_network_file, run_config
from kinefit.types import InputError
from kinefit.web import queue
from kinefit.web.access import own_project, own_trial, user_of
from kinefit.web.files import listed, result_file
from kinefit.web.models import Job, Project, Subject, Trial
from kinefit.web.views import state_of


def bearer(request: HttpRequest) -> Any:
    """The token that `kinefit.web.middleware.who` has found; cookies do not count here."""
    return getattr(request, "token", None)


api = NinjaAPI(title="kinefit", version="1", auth=bearer, docs_url=None, urls_namespace="api")


# PostgreSQL takes no NUL in a text.
Name = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00]+$")]


class ProjectIn(Schema):
    name: Name


class ProjectOut(Schema):
    id: int
    name: str


class SubjectIn(Schema):
    name: Name
    height_m: float = Field(ge=0.5, le=2.5)
    mass_kg: float | None = Field(None, ge=5, le=400)
    consent: str = Field("", max_length=2000, pattern=r"^[^\x00]*$")


class SubjectOut(SubjectIn):
    id: int


class TrialIn(Schema):
    subject: int
    name: Name


class TrialOut(Schema):
    id: UUID
    name: str
    subject_id: int
    created: datetime
    uploads_at: str


class Options(Schema):
    """Options of `kinefit run`, by their names."""

    options: dict[str, Any] = Field(default_factory=dict)


def _trial(found: Trial) -> dict[str, Any]:
    return {"id": found.id, "name": found.name, "subject_id": found.subject_id,
            "created": found.created, "uploads_at": f"/trials/{found.id}/uploads"}  # fmt: skip


@api.get("/projects", response=list[ProjectOut])
def projects(request: HttpRequest) -> Any:
    return Project.objects.filter(owner=user_of(request)).order_by("id")


@api.post("/projects", response={201: ProjectOut})
def new_project(request: HttpRequest, data: ProjectIn) -> Any:
    return 201, Project.objects.create(owner=user_of(request), name=data.name)


@api.get("/projects/{number}/subjects", response=list[SubjectOut])
def subjects(request: HttpRequest, number: int) -> Any:
    return own_project(request, number).subjects.order_by("id")


@api.post("/projects/{number}/subjects", response={201: SubjectOut})
def new_subject(request: HttpRequest, number: int, data: SubjectIn) -> Any:
    return 201, Subject.objects.create(project=own_project(request, number), **data.dict())


@api.get("/projects/{number}/trials", response=list[TrialOut])
def trials(request: HttpRequest, number: int) -> Any:
    return [_trial(one) for one in own_project(request, number).trials.order_by("created")]


@api.post("/projects/{number}/trials", response={201: TrialOut})
def new_trial(request: HttpRequest, number: int, data: TrialIn) -> Any:
    project = own_project(request, number)
    subject = get_object_or_404(project.subjects, pk=data.subject)
    return 201, _trial(Trial.objects.create(project=project, subject=subject, name=data.name))


@api.post("/trials/{key}/start")
def start(request: HttpRequest, key: UUID, data: Options) -> Any:
    """Put it into the queue. Refused options are told with 422."""
    found = own_trial(request, key)
    videos = found.usable("video")
    if not videos:
        raise HttpError(409, "There is no video that can be used.")
    if found.jobs.filter(state__in=Job.ACTIVE).exists():
        raise HttpError(409, "It is running already.")
    named = {*FILES, "body"} & data.options.keys()
    if named or is_network_file(str(data.options.get("pof_model", ""))):
        raise HttpError(422, "Options that name files of the server are not taken.")
    try:
        stand_in = {"calibration": "calibration"} if len(videos) > 1 else {}
        run_config({**data.options, **stand_in}, source="options")
    except InputError as error:
        raise HttpError(422, str(error)) from error
    found.options = data.options
    found.save()
    return state_of(queue.submit(found))


@api.get("/trials/{key}")
def status(request: HttpRequest, key: UUID) -> Any:
    """Its state, uploads and files."""
    found = own_trial(request, key)
    uploads = [
        {"name": u.name, "kind": u.kind, "size": u.size, "offset": u.offset, "problem": u.problem}
        for u in found.uploads.order_by("stored")
    ]
    return {**state_of(found.job), "uploads": uploads, "files": listed(found)}


@api.post("/trials/{key}/cancel")
def cancel(request: HttpRequest, key: UUID) -> Any:
    found = own_trial(request, key)
    if found.job is not None:
        queue.cancel(found.job)
    return state_of(found.job)


@api.get("/trials/{key}/files/{path:name}")
def file(request: HttpRequest, key: UUID, name: str) -> Any:
    return result_file(request, own_trial(request, key), name)
