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

from kinefit.types import InputError

_MISSING = "install it with: pip install kinefit[web]"


def prepare(folder: Path, *, host: str, names: str = "", accounts: bool | None = None) -> None:
    """Django, ready to be used in this process and its children; the database up to date.

    accounts: None: people log in unless only this machine can ask. Raises InputError without the
    packages of the site.
    """
    for package in ("django", "ninja", "uvicorn", "dj_database_url"):
        if find_spec(package) is None:
            raise InputError("kinefit web", f"needs the package {package}", _MISSING)
    local = _is_local(host)
    asked = [name for name in names.split(",") if name]
    hosts = [host, "localhost", "127.0.0.1", "[::1]", *asked] if local or asked else ["*"]
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "kinefit.web.settings",
        "KINEFIT_WEB_FOLDER": str(folder.resolve()),
        "KINEFIT_WEB_HOSTS": ",".join(hosts),
        "KINEFIT_WEB_ACCOUNTS": "1" if (not local if accounts is None else accounts) else "0",
    }
    folder.mkdir(parents=True, exist_ok=True)
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)


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

        uvicorn.run(get_asgi_application(), host=host, port=port, log_level="warning",
                    timeout_graceful_shutdown=2, lifespan="off")  # fmt: skip


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
