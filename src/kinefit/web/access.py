"""What belongs to whom, and how often one may ask."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404

from kinefit.web.models import Project, Trial, Upload

View = Callable[..., HttpResponseBase]


def user_of(request: HttpRequest) -> User:
    """Who asks; nobody comes here without being somebody."""
    assert isinstance(request.user, User)
    return request.user


def own_project(request: HttpRequest, number: int) -> Project:
    """404 for another's: nobody learns that it exists."""
    return get_object_or_404(Project, pk=number, owner=user_of(request))


def own_trial(request: HttpRequest, key: Any) -> Trial:
    return get_object_or_404(Trial, pk=key, project__owner=user_of(request))


def own_upload(request: HttpRequest, key: Any) -> Upload:
    return get_object_or_404(Upload, pk=key, trial__project__owner=user_of(request))


def limited(most: int, seconds: int) -> Callable[[View], View]:
    """At most so many POSTs in so many seconds of one address and user; then 429."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **values: Any) -> HttpResponseBase:
            if request.method == "POST":
                who = f"{request.META.get('REMOTE_ADDR')}.{getattr(request.user, 'pk', '')}"
                key = f"limit.{getattr(view, '__name__', 'view')}.{who}"
                count = 1
                if not cache.add(key, 1, seconds):
                    with suppress(ValueError):  # it has just run out
                        count = cache.incr(key)
                if count > most:
                    return HttpResponse(
                        "Too many requests. Next: wait a minute.", status=429,
                        headers={"Retry-After": str(seconds)},
                    )  # fmt: skip
            return view(request, *args, **values)

        return guarded

    return decorate
