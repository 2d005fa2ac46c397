"""The pages."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.views import LoginView
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from kinefit.pipeline.view import people_of, recording_of
from kinefit.report.viewer import Recording, write_viewer
from kinefit.types import InputError
from kinefit.web import queue
from kinefit.web.access import limited, own_project, own_trial, own_upload, user_of
from kinefit.web.files import inside, listed, result_file, shown, zipped
from kinefit.web.forms import OptionsForm, ProjectForm, SubjectForm
from kinefit.web.intake import picture_of
from kinefit.web.middleware import digest
from kinefit.web.models import Job, Project, Token, Trial

_LOOK_S = 0.4  # seconds between two looks at a job


@method_decorator(limited(10, 60), name="dispatch")
class Login(LoginView):
    template_name = "web/login.html"


def _given(request: HttpRequest) -> Any:
    """What a form was sent with, be it nothing; None where it was not sent."""
    return request.POST if request.method == "POST" else None


def _name(request: HttpRequest) -> str:
    """A name as it was typed; PostgreSQL takes no NUL."""
    return request.POST.get("name", "").replace("\0", "").strip()[:120]


def _number(text: str | None) -> int:
    """A key as a form has it; 404 for what is none."""
    if text is None or not text.isdecimal() or len(text) > 18:
        raise Http404
    return int(text)


def projects(request: HttpRequest) -> HttpResponse:
    form = ProjectForm(_given(request))
    if request.method == "POST" and form.is_valid():
        form.instance.owner = user_of(request)
        return redirect("project", form.save().pk)
    found = Project.objects.filter(owner=user_of(request)).order_by("-created")
    return render(request, "web/projects.html", {"projects": found, "form": form})


def project(request: HttpRequest, number: int) -> HttpResponse:
    """Its subjects and trials, and forms for more of both."""
    shown = own_project(request, number)
    form = SubjectForm(_given(request))
    if request.method == "POST" and form.is_valid():
        form.instance.project = shown
        form.save()
        return redirect("project", shown.pk)
    trials = shown.trials.select_related("subject").order_by("-created")
    return render(request, "web/project.html", {"project": shown, "trials": trials, "form": form})


@require_POST
def new_trial(request: HttpRequest, number: int) -> HttpResponse:
    shown = own_project(request, number)
    subject = get_object_or_404(shown.subjects, pk=_number(request.POST.get("subject")))
    name = _name(request) or "Trial"
    return redirect("trial", Trial.objects.create(project=shown, subject=subject, name=name).pk)


def trial(request: HttpRequest, key: Any) -> HttpResponse:
    """A trial before, during and after its run."""
    shown = own_trial(request, key)
    job, uploads = shown.job, shown.uploads.order_by("kind", "stored")
    videos = shown.usable("video")
    several = len(videos) > 1
    form = OptionsForm(_given(request), initial=shown.options, several_cameras=several)
    if request.method == "POST" and (job is None or job.over) and form.is_valid():
        if not videos:
            form.add_error(None, "There is no video yet. Next: choose a file.")
        elif several and not shown.usable("calibration"):
            form.add_error(None, "Several videos need the calibration of their cameras.")
        else:
            others = {k: v for k, v in shown.options.items() if k not in form.fields}
            shown.options = others | form.options
            shown.save()
            queue.submit(shown)
            return redirect("trial", shown.pk)
    context = {
        "trial": shown, "job": job, "uploads": uploads, "form": form, "videos": videos,
        "files": listed(shown), "part_bytes": settings.PART_BYTES,
        "pages": [n for n in listed(shown) if n.endswith(".html")],
    }  # fmt: skip
    return render(request, "web/trial.html", context)


@require_POST
def cancel(request: HttpRequest, key: Any) -> HttpResponse:
    shown = own_trial(request, key)
    if shown.job is not None:
        queue.cancel(shown.job)
    return redirect("trial", shown.pk)


@require_POST
def delete(request: HttpRequest, key: Any) -> HttpResponse:
    """A trial with all its files, for good."""
    shown = own_trial(request, key)
    active = shown.jobs.filter(state__in=Job.ACTIVE).first()
    if active is not None:
        queue.cancel(active)
        return redirect("trial", shown.pk)
    folder, number = shown.folder, shown.project.pk
    shown.delete()
    shutil.rmtree(folder, ignore_errors=True)
    return redirect("project", number)


@require_POST
def delete_project(request: HttpRequest, number: int) -> HttpResponse:
    shown = own_project(request, number)
    busy = Job.objects.filter(trial__project=shown, state__in=Job.ACTIVE)
    if busy.exists():
        for job in busy:
            queue.cancel(job)
        return redirect("project", shown.pk)
    folders = [one.folder for one in shown.trials.all()]
    shown.trials.all().delete()
    shown.delete()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return redirect("projects")


def result(request: HttpRequest, key: Any, name: str) -> StreamingHttpResponse:
    return result_file(request, own_trial(request, key), name)


def everything(request: HttpRequest, key: Any) -> StreamingHttpResponse:
    return zipped(request, own_trial(request, key))


def log(request: HttpRequest, key: Any) -> HttpResponse:
    """What the programs printed, for whoever asks for help."""
    path = own_trial(request, key).folder / "log.txt"
    text = path.read_text("utf-8", "replace")[-50_000:] if path.is_file() else ""
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


def first_picture(request: HttpRequest, key: Any) -> StreamingHttpResponse:
    """Of a video, to point at a person."""
    path = picture_of(own_upload(request, key).path)
    return shown(request, inside(path.parent, path.name))


def compare(request: HttpRequest) -> HttpResponse:
    """Several results in one viewer."""
    try:
        keys = [UUID(key) for key in request.GET.getlist("trial")[:4]]
    except ValueError as error:
        raise Http404 from error
    chosen = [own_trial(request, key) for key in keys]
    if not chosen:
        raise Http404
    title = " · ".join(one.name for one in chosen)
    with tempfile.TemporaryDirectory() as room:
        page = Path(room) / "viewer.html"
        try:
            write_viewer(page, [_recording(one) for one in chosen], title=title)
        except InputError as error:
            text = str(error).replace(str(settings.FOLDER), "")
            return HttpResponse(text, status=409, content_type="text/plain")
        response = HttpResponse(page.read_text("utf-8"))
    response.own_policy = True  # type: ignore[attr-defined]
    return response


def _recording(shown: Trial) -> Recording:
    """A trial's result under the trial's name; a large film comes from its address here."""
    found = recording_of(people_of(shown.results))
    address = ""
    if found.film is not None:
        name = found.film.resolve().relative_to(shown.results.resolve()).as_posix()
        address = reverse("result", args=[shown.pk, name])
    return replace(found, title=shown.name, film_address=address)


async def events(request: HttpRequest, key: Any) -> StreamingHttpResponse:
    """The progress of a trial's job as server-sent events, until it is over."""
    shown = await sync_to_async(own_trial)(request, key)
    response = StreamingHttpResponse(_progress(shown), content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


async def _progress(shown: Trial) -> AsyncIterator[str]:
    last, silent = "", 0.0
    while True:
        job = await sync_to_async(lambda: shown.job)()
        now = json.dumps(state_of(job), separators=(",", ":"))
        silent += _LOOK_S
        if now != last or silent > 10:
            yield f"data: {now}\n\n"
            last, silent = now, 0.0
        if job is None or job.over:
            return
        await asyncio.sleep(_LOOK_S)


def state_of(job: Job | None) -> dict[str, Any]:
    """What pages and programs are told of a job."""
    if job is None:
        return {"state": "new"}
    since = None if job.since is None else job.since.timestamp()
    return {
        "state": job.state, "stage": job.stage, "done": job.done, "total": job.total,
        "since": since, "tries": job.tries, "cancel": job.cancel, "verdict": job.verdict,
        "message": job.message,
    }  # fmt: skip


def tokens(request: HttpRequest) -> HttpResponse:
    """Keys to the API: shown once, then only their names."""
    fresh = ""
    if request.method == "POST" and "delete" in request.POST:
        Token.objects.filter(owner=user_of(request), pk=_number(request.POST["delete"])).delete()
    elif request.method == "POST":
        fresh = secrets.token_urlsafe(32)
        name = _name(request) or "token"
        Token.objects.create(owner=user_of(request), name=name, sha256=digest(fresh))
    found = Token.objects.filter(owner=user_of(request)).order_by("-created")
    return render(request, "web/tokens.html", {"tokens": found, "fresh": fresh})
