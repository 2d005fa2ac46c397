"""A site of its own for every test: folder, database, client, and where asked for a real server."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django")
from kinefit.web import server

VIDEO = "clip.mp4"


@pytest.fixture(scope="session")
def django_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Django is configured once per process."""
    folder = tmp_path_factory.mktemp("site")
    server.prepare(folder, host="127.0.0.1")
    from django.conf import settings

    settings.ALLOWED_HOSTS.append("testserver")
    # The real one takes 0.3 s for each password, so that nobody tries many.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return folder


@pytest.fixture
def site(django_site: Path) -> Iterator[Any]:
    """An empty database; the settings, which a test may change."""
    from django.conf import settings
    from django.core.cache import cache
    from django.core.management import call_command

    cache.clear()
    call_command("flush", verbosity=0, interactive=False)
    before = {
        name: getattr(settings, name) for name in ("ACCOUNTS", "LEASE_S", "MOST_UPLOAD_BYTES")
    }
    yield settings
    for name, value in before.items():
        setattr(settings, name, value)


@pytest.fixture
def client(site: Any) -> Any:
    from django.test import Client

    return Client()


@pytest.fixture
def trial(site: Any) -> Any:
    """A new trial of the local user."""
    return new_trial("local")


def new_trial(owner: str) -> Any:
    from django.contrib.auth import get_user_model

    from kinefit.web.models import Project, Subject, Trial

    user, _ = get_user_model().objects.get_or_create(username=owner)
    project = Project.objects.create(owner=user, name="Gait")
    subject = Subject.objects.create(project=project, name="P01", height_m=1.68, mass_kg=70)
    return Trial.objects.create(project=project, subject=subject, name="Walk")


class Site:
    """A running `kinefit web`."""

    def __init__(self, folder: Path, port: int, workers: int) -> None:
        self.folder, self.port = folder, port
        self.address = f"http://127.0.0.1:{port}"
        self.log = (folder.parent / "site.log").open("wb")
        program = "from kinefit.cli import main; main()"
        command = [sys.executable, "-c", program, "web", "--folder", str(folder),
                   "--port", str(port), "--workers", str(workers)]  # fmt: skip
        self.process = subprocess.Popen(command, stderr=self.log, start_new_session=True)

    def wait(self) -> None:
        deadline = time.monotonic() + 90
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.folder.parent / "site.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def workers(self) -> list[int]:
        """Process numbers of the workers."""
        return _children(self.process.pid, "kinefit.web.worker")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.log.close()


def _children(parent: int, name: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            status, line = (entry / "status").read_text(), (entry / "cmdline").read_text()
        except OSError:
            continue
        if re.search(rf"^PPid:\s+{parent}$", status, re.MULTILINE) and name in line:
            found.append(int(entry.name))
    return found


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with two workers, which tests share: each makes a project of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    site = Site(tmp_path_factory.mktemp("running") / "web", port, 2)
    site.wait()
    yield site
    site.stop()


@pytest.fixture
def page(browser: Any, running: Site) -> Iterator[Any]:
    """A trial that was just made; an error of a script fails the test."""
    errors: list[str] = []
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(running.address)
    page.fill("#id_name", "Gait")
    page.click("text=Make it")
    page.fill("#id_name", "P01")
    page.fill("#id_height_m", "1.68")
    page.fill("#id_mass_kg", "70")
    page.click("text=Add")
    page.fill("#trial_name", "Walk")
    page.click("text=Make it")
    yield page
    context.close()
    assert errors == []


def choose(page: Any, *videos: Path) -> None:
    page.locator("#videos:enabled").set_input_files([str(video) for video in videos])


def upload(page: Any, *videos: Path) -> None:
    choose(page, *videos)
    page.wait_for_selector("#first", timeout=90_000)  # a look at a file may take 60 s
    page.wait_for_load_state()
