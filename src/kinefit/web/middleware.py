"""Who is asking, and what pages may do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse

_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'self'"
)
Handler = Callable[[HttpRequest], HttpResponse]


def who(get_response: Handler) -> Handler:
    """The owner of a token; where nobody logs in, the one local user, who owns everything."""

    def answer(request: HttpRequest) -> HttpResponse:
        from kinefit.web.models import Token

        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        token = None
        if scheme.lower() == "bearer":
            found = Token.objects.filter(sha256=digest(key), owner__is_active=True).select_related(
                "owner"
            )
            token = found.first()
        request.token = token  # type: ignore[attr-defined]
        if token is not None:
            request.user = token.owner
            request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]  # no browser sends it
        elif not settings.ACCOUNTS:
            request.user, _ = get_user_model().objects.get_or_create(username="local")
        return get_response(request)

    return answer


def content_policy(get_response: Handler) -> Handler:
    """A Content-Security-Policy for pages that do not bring one of their own."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not getattr(response, "own_policy", False):
            response.headers.setdefault("Content-Security-Policy", _POLICY)
        return response

    return answer


def digest(token: str) -> str:
    """SHA-256 of a token, hex: what is kept of it."""
    return hashlib.sha256(token.encode()).hexdigest()


def site(request: HttpRequest) -> dict[str, Any]:
    """What every template knows."""
    return {"accounts": settings.ACCOUNTS}
