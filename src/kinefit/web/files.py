"""Files on their way to the browser: only those of a folder, never through links."""

from __future__ import annotations

import asyncio
import re
import tempfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from django.contrib.staticfiles import finders
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

from kinefit.web.models import Trial

_BLOCK = 2**18
_SHOWN = {".html": "text/html; charset=utf-8", ".mp4": "video/mp4", ".png": "image/png",
          ".jpg": "image/jpeg", ".css": "text/css", ".js": "text/javascript"}  # fmt: skip


def result_file(request: HttpRequest, trial: Trial, name: str) -> StreamingHttpResponse:
    """A file of the results; pages and pictures are shown, all else is saved."""
    return shown(request, inside(trial.results, name))


def static_file(request: HttpRequest, name: str) -> StreamingHttpResponse:
    """A part of the site itself."""
    found = finders.find(name)
    if not isinstance(found, str):
        raise Http404
    response = shown(request, Path(found))
    response.headers["Cache-Control"] = "max-age=3600"
    return response


def shown(request: HttpRequest, path: Path) -> StreamingHttpResponse:
    """A file by its kind; kinefit's own pages bring their own policy."""
    kind = _SHOWN.get(path.suffix.lower())
    response = _sent(request, path.open("rb"), kind or "application/octet-stream")
    if kind is None:
        response.headers["Content-Disposition"] = str(content_disposition_header(True, path.name))
    response.own_policy = path.suffix.lower() == ".html"  # type: ignore[attr-defined]
    return response


def zipped(request: HttpRequest, trial: Trial) -> StreamingHttpResponse:
    """All results in one file, made on disk: their size is no matter."""
    room = tempfile.TemporaryFile()  # noqa: SIM115 (closed when it was sent)
    with zipfile.ZipFile(room, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in listed(trial):
            archive.write(inside(trial.results, name), name)
    plain = re.sub(r"\W+", "_", trial.name) or "trial"
    response = _sent(request, room, "application/zip")
    response.headers["Content-Disposition"] = str(content_disposition_header(True, f"{plain}.zip"))
    return response


def inside(folder: Path, name: str) -> Path:
    """A regular file below `folder`; 404 for anything else, also where a link leads out of it."""
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise Http404 from error
    hidden = any(part.startswith(".") for part in Path(name).parts)
    if hidden or not real.is_file() or not real.is_relative_to(folder.resolve()):
        raise Http404
    return real


def listed(trial: Trial) -> list[str]:
    """Names of the files of the results, pages first."""
    if not trial.results.is_dir():
        return []
    found = [p.relative_to(trial.results) for p in trial.results.rglob("*")
             if p.is_file() and not p.is_symlink()]  # fmt: skip
    names = [p.as_posix() for p in found if not any(part.startswith(".") for part in p.parts)]
    return sorted(names, key=lambda name: (not name.endswith(".html"), name))


def _sent(request: HttpRequest, file: BinaryIO, kind: str) -> StreamingHttpResponse:
    """A file, or the part of it that is asked for (RFC 9110, section 14): players jump in films.

    Block by block: Django would read the whole of it into memory first.
    """
    size = file.seek(0, 2)
    start, end, status = 0, size, 200
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if asked and int(asked[1]) < size and int(asked[2] or size) >= int(asked[1]):
        start, status = int(asked[1]), 206
        end = min(int(asked[2]) + 1, size) if asked[2] else size
    response = StreamingHttpResponse(_blocks(file, start, end), content_type=kind, status=status)
    response.headers["Content-Length"] = str(end - start)
    response.headers["Accept-Ranges"] = "bytes"
    if status == 206:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return response


async def _blocks(file: BinaryIO, start: int, end: int) -> AsyncIterator[bytes]:
    with file:
        file.seek(start)
        while (left := end - file.tell()) > 0:
            block = await asyncio.to_thread(file.read, min(_BLOCK, left))
            if not block:  # it was cut while it was sent
                return
            yield block
