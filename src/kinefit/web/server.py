"""`kinefit web`: the site, its workers and its database, started together."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from kinefit.types import InputError

_MISSING = "install it with: pip install kinefit[web]"


def prepare(
    folder: Path, *, host: str, names: str = "", accounts: bool = False, tls: bool = False
) -> None:
    """Django, ready to be used in this process and its children; the database up to date.

    names: under which others ask for the site, by a proxy or without. accounts: people log in;
    they do anyway where others than this machine can ask. tls: a proxy speaks TLS for the site.
    Raises InputError without the packages of the site, and on Windows.
    """
    if os.name != "posix":
        hint = "use it on Linux or macOS, or in WSL; all other commands work here"
        raise InputError("kinefit web", "needs limits that Windows does not have", hint)
    for package in ("django", "ninja", "uvicorn", "dj_database_url"):
        if find_spec(package) is None:
            raise InputError("kinefit web", f"needs the package {package}", _MISSING)
    os.environ |= environment(folder, host, names, accounts, tls)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)


def environment(folder: Path, host: str, names: str, accounts: bool, tls: bool) -> dict[str, str]:
    """What `kinefit.web.settings` reads, of the arguments of `prepare`."""
    asked = [name.strip() for name in names.split(",") if name.strip()]
    alone = _is_local(host) and not asked
    hosts = [host, "localhost", "127.0.0.1", "[::1]", *asked] if alone or asked else ["*"]
    return {
        "DJANGO_SETTINGS_MODULE": "kinefit.web.settings",
        "KINEFIT_WEB_FOLDER": str(folder.resolve()),
        "KINEFIT_WEB_HOSTS": ",".join(hosts),
        "KINEFIT_WEB_ACCOUNTS": "1" if accounts or not alone else "0",
        "KINEFIT_WEB_TLS": "1" if tls else "0",
    }


def add_user(name: str, password: str) -> None:
    """Somebody who may log in. Raises InputError for a name that is taken or a poor password."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    users = get_user_model().objects
    if users.filter(username=name).exists():
        raise InputError(name, "there is such a user already", "choose another name")
    try:
        validate_password(password)
    except ValidationError as error:
        raise InputError("password", " ".join(error.messages), "choose another one") from error
    users.create_user(name, password=password)


def serve(host: str, port: int, workers: int) -> None:
    """Until it is stopped. Raises InputError where people must log in and nobody can."""
    import uvicorn
    from django.conf import settings
    from django.contrib.auth import get_user_model

    if settings.ACCOUNTS and not get_user_model().objects.exclude(password="").exists():
        hint = "make one: kinefit web --add-user NAME"
        raise InputError(host, "other machines can reach it, and it has no user", hint)
    with _workers(workers):
        from django.core.asgi import get_asgi_application

        uvicorn.run(Bounded(get_asgi_application()), host=host, port=port, log_level="warning",
                    timeout_graceful_shutdown=2, lifespan="off")  # fmt: skip


class Bounded:
    """An ASGI application whose requests have bodies of a bounded size: a part of a file for
    uploads, a megabyte for all else. Django would put the whole of any body on the disk before it
    asks who sends it.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Refuse what is announced as too large, and end the connection of what proves to be."""
        from django.conf import settings

        upload = str(scope.get("path", "")).startswith("/uploads/")
        most, got = settings.PART_BYTES if upload else settings.DATA_UPLOAD_MAX_MEMORY_SIZE, 0
        told = dict(scope.get("headers", [])).get(b"content-length", b"0")
        if not told.isdigit() or int(told) > most:
            await send({"type": "http.response.start", "status": 413, "headers": []})
            await send({"type": "http.response.body", "body": b"The request is too large."})
            return

        async def bounded() -> Any:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            return {"type": "http.disconnect"} if got > most else message

        await self.inner(scope, bounded, send)


@contextmanager
def _workers(count: int) -> Iterator[None]:
    """So many workers while the block runs; one that dies is replaced."""
    stop = threading.Event()
    keepers = [threading.Thread(target=_keep, args=(stop,), daemon=True) for _ in range(count)]
    for keeper in keepers:
        keeper.start()
    try:
        yield
    finally:
        stop.set()
        for keeper in keepers:
            keeper.join(15)


def _keep(stop: threading.Event) -> None:
    while not stop.is_set():
        child = subprocess.Popen(
            [sys.executable, "-m", "kinefit.web.worker"], start_new_session=True
        )
        while child.poll() is None and not stop.wait(0.3):
            pass
        child.terminate()
        child.wait()
        stop.wait(1.0)


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
