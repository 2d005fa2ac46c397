"""Uploads that go on after a broken connection: the tus protocol 1.0 (https://tus.io/protocols/
resumable-upload), with its extensions creation and termination."""

from __future__ import annotations

import base64
import binascii
import shutil
from typing import Any

from django.conf import settings
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from kinefit.web.access import limited, own_trial, own_upload
from kinefit.web.intake import MOST_CALIBRATION_BYTES, look_at, picture_of, stored_name
from kinefit.web.models import Upload

_BLOCK = 2**20
_HEADERS = {"Tus-Resumable": "1.0.0", "Cache-Control": "no-store"}
_MOST_FILES = 20  # of a trial
_LOCKED = "This trial was run, or is running. Next: make a new one."
_NO_ROOM = "The disk of the server is full."
_RESERVE = 2**30  # bytes of the disk that uploads leave free


def _answer(status: int, text: str = "", **headers: Any) -> HttpResponse:
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return HttpResponse(text, status=status, headers=_HEADERS | named, content_type="text/plain")


@limited(120, 60)
@require_http_methods(["POST"])
def create(request: HttpRequest, key: Any) -> HttpResponse:
    """A new file of a trial. Upload-Metadata: filename, and kind (video or calibration)."""
    trial = own_trial(request, key)
    told = _metadata(request.headers.get("Upload-Metadata", ""))
    name, kind = told.get("filename", ""), told.get("kind", "video")
    length = request.headers.get("Upload-Length", "")
    if not length.isdecimal() or len(length) > 18 or kind not in ("video", "calibration"):
        return _answer(400, "Upload-Length or kind is missing.")
    size, most = int(length), settings.MOST_UPLOAD_BYTES
    if kind == "calibration":
        most = min(most, MOST_CALIBRATION_BYTES)
    if not 0 < size <= most:
        return _answer(413, f"A {kind} has 1 to {most} bytes, this one {size}.")
    if trial.locked:
        return _answer(409, _LOCKED)
    if kind == "calibration" and trial.uploads.filter(kind=kind).exists():
        return _answer(409, "There is a calibration already. Next: remove it first.")
    taken = set(trial.uploads.values_list("stored", flat=True))
    if len(taken) >= _MOST_FILES:
        return _answer(409, f"A trial has at most {_MOST_FILES} files.")
    if _full(size):
        return _answer(507, _NO_ROOM)
    try:
        stored = stored_name(name, kind, taken)
        upload = Upload.objects.create(
            trial=trial, kind=kind, name=name[:255], stored=stored, size=size
        )
    except ValueError as error:
        return _answer(415, str(error))
    except IntegrityError:
        return _answer(409, "Two files of that name came at once. Next: try again.")
    upload.path.parent.mkdir(parents=True, exist_ok=True)
    upload.path.touch()
    return _answer(201, Location=reverse("upload", args=[upload.pk]))


@require_http_methods(["HEAD", "PATCH", "DELETE"])
def upload(request: HttpRequest, key: Any) -> HttpResponse:
    """How much is there (HEAD), more of it (PATCH), or none of it any more (DELETE)."""
    found = own_upload(request, key)
    if request.method == "HEAD":
        return _answer(200, Upload_Offset=found.offset, Upload_Length=found.size)
    if request.method == "DELETE":
        if found.trial.locked:
            return _answer(409, _LOCKED)
        for path in (found.path, picture_of(found.path)):
            path.unlink(missing_ok=True)
        found.delete()
        return _answer(204)
    return _more(request, found)


def _more(request: HttpRequest, found: Upload) -> HttpResponse:
    if request.content_type not in ("", "application/offset+octet-stream"):
        return _answer(415, "Parts are application/offset+octet-stream.")
    offset = request.headers.get("Upload-Offset", "")
    if offset != str(found.offset):
        return _answer(
            409, "Upload-Offset is not where this file ends.", Upload_Offset=found.offset
        )
    if found.trial.locked:
        return _answer(409, _LOCKED)
    if _full(settings.PART_BYTES):
        return _answer(507, _NO_ROOM)
    start = end = found.offset
    with found.path.open("r+b") as file:
        file.seek(start)
        while block := request.read(_BLOCK):
            end += len(block)
            if end > min(found.size, start + settings.PART_BYTES):
                return _answer(413, "This is more than was announced, or than a part may have.")
            file.write(block)
    # Of two parts that came at once only one counts; both wrote the same place.
    if not Upload.objects.filter(pk=found.pk, offset=start).update(offset=end):
        return _answer(409, "Another part came first.", Upload_Offset=end)
    if end == found.size and not found.checked:
        _check(found)  # also where the first look was interrupted
    return _answer(204, Upload_Offset=end)


def _check(found: Upload) -> None:
    """Look at a whole file."""
    problem, facts = look_at(found.path)
    Upload.objects.filter(pk=found.pk).update(problem=problem, facts=facts, checked=True)


def _full(more: int) -> bool:
    """Whether the disk has no room for so many bytes and a reserve."""
    return shutil.disk_usage(settings.FOLDER).free < more + _RESERVE


def _metadata(header: str) -> dict[str, str]:
    """Pairs of a name and base64, with commas; what is none is left out."""
    found = {}
    for pair in header.split(","):
        name, _, value = pair.strip().partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode().replace("\0", "")
        except (binascii.Error, UnicodeDecodeError):
            continue
    return found
