"""Who may see and do what."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.web.conftest import new_trial
from tests.web.test_uploads import content, create

PASSWORD = "correct horse battery"


@pytest.fixture
def two(site: Any) -> tuple[Any, Any, Any, Any]:
    """Two people who log in, and a trial of each."""
    from kinefit.web import server

    site.ACCOUNTS = True
    found = []
    for name in ("ann", "bob"):
        server.add_user(name, PASSWORD)
        client = Client()
        assert client.post("/login", {"username": name, "password": PASSWORD}).status_code == 302
        found += [client, new_trial(name)]
    return tuple(found)  # type: ignore[return-value]


def results(trial: Any) -> Path:
    folder: Path = trial.results
    (folder / ".kinefit").mkdir(parents=True)
    (folder / "report.html").write_text("<html>secret</html>")
    (folder / "walk.trc").write_text("numbers")
    (folder / ".kinefit" / "inner.npz").write_text("inner")
    os.symlink("/etc/passwd", folder / "link.txt")
    os.symlink("/etc", folder / "etc")
    return folder


def test_nobody_sees_what_is_another_s(two: tuple[Any, Any, Any, Any]) -> None:
    ann, hers, bob, his = two
    results(hers)
    upload = create(ann, hers, "a.mp4", 5)["Location"]
    addresses = [
        f"/projects/{hers.project.pk}", f"/trials/{hers.pk}", f"/trials/{hers.pk}/log",
        f"/trials/{hers.pk}/all.zip", f"/trials/{hers.pk}/files/report.html",
        f"/trials/{hers.pk}/events", f"/compare?trial={hers.pk}",
    ]  # fmt: skip
    for address in addresses:
        assert bob.get(address).status_code == 404, address
        assert ann.get(address).status_code in (200, 409), address
    assert bob.head(upload).status_code == 404
    assert bob.delete(upload).status_code == 404
    assert create(bob, hers, "b.mp4", 5).status_code == 404
    for action in ("cancel", "delete"):
        assert bob.post(f"/trials/{hers.pk}/{action}").status_code == 404
    assert bob.post(f"/projects/{hers.project.pk}/delete").status_code == 404
    assert "Gait" in bob.get("/").content.decode()
    # A trial of one's own with a subject of another's project is none.
    foreign = {"name": "x", "subject": hers.subject.pk}
    assert bob.post(f"/projects/{his.project.pk}/trials", foreign).status_code == 404


def test_strangers_are_asked_to_log_in(two: tuple[Any, Any, Any, Any]) -> None:
    _, hers, *_ = two
    stranger = Client()
    for address in ("/", f"/trials/{hers.pk}", f"/trials/{hers.pk}/files/report.html", "/programs"):
        answer = stranger.get(address)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/login")
    assert stranger.get("/api/projects").status_code == 401
    assert stranger.get("/static/web/site.css").status_code == 200


def test_passwords_are_not_guessed_by_trying(two: tuple[Any, Any, Any, Any]) -> None:
    stranger = Client()
    codes = [stranger.post("/login", {"username": "ann", "password": str(i)}).status_code
             for i in range(14)]  # fmt: skip
    assert codes[0] == 200
    assert codes[-1] == 429


def test_poor_passwords_and_names_that_are_taken_are_refused(site: Any) -> None:
    from kinefit.types import InputError
    from kinefit.web import server

    with pytest.raises(InputError, match="password"):
        server.add_user("ann", "12345678")
    server.add_user("ann", PASSWORD)
    with pytest.raises(InputError, match="such a user"):
        server.add_user("ann", PASSWORD)


def test_a_site_for_others_without_users_does_not_start(site: Any) -> None:
    from kinefit.types import InputError
    from kinefit.web import server

    site.ACCOUNTS = True
    with pytest.raises(InputError, match="--add-user"):
        server.serve("0.0.0.0", 0, 0)


@pytest.mark.parametrize(
    "name",
    ["../job.json", "..%2fjob.json", "link.txt", "etc/passwd", ".kinefit/inner.npz", "/etc/passwd",
     "report.html/..", "", "a" * 5000, "%00", "walk.trc%00.html"],
)  # fmt: skip
def test_only_results_are_served(client: Any, trial: Any, name: str) -> None:
    (results(trial).parent / "job.json").write_text("job")
    assert client.get(f"/trials/{trial.pk}/files/{name}").status_code == 404


def test_results_are_served_as_what_they_are(client: Any, trial: Any) -> None:
    results(trial)
    page = client.get(f"/trials/{trial.pk}/files/report.html")
    assert page["Content-Type"].startswith("text/html")
    assert "Content-Security-Policy" not in page  # it brings its own
    assert page["X-Content-Type-Options"] == "nosniff"
    table = client.get(f"/trials/{trial.pk}/files/walk.trc")
    assert table["Content-Disposition"] == 'attachment; filename="walk.trc"'
    part = client.get(f"/trials/{trial.pk}/files/walk.trc", headers={"Range": "bytes=2-4"})
    assert part.status_code == 206
    assert content(part) == b"mbe"
    assert part["Content-Range"] == "bytes 2-4/7"


def test_all_results_in_one_file(client: Any, trial: Any) -> None:
    import io
    import zipfile

    results(trial)
    answer = client.get(f"/trials/{trial.pk}/all.zip")
    archive = zipfile.ZipFile(io.BytesIO(content(answer)))
    assert sorted(archive.namelist()) == ["report.html", "walk.trc"]


def test_pages_forbid_foreign_scripts_frames_and_forms(client: Any, trial: Any) -> None:
    page = client.get(f"/trials/{trial.pk}")
    policy = page["Content-Security-Policy"]
    for part in ("default-src 'self'", "form-action 'self'", "frame-ancestors 'self'"):
        assert part in policy
    assert "unsafe" not in policy
    assert page["X-Frame-Options"] == "SAMEORIGIN"
    html = page.content.decode()
    assert "style=" not in html
    assert "onclick" not in html


def test_actions_need_the_page_s_own_secret(site: Any, trial: Any) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.get(f"/trials/{trial.pk}")
    for address in (
        f"/trials/{trial.pk}/delete",
        f"/trials/{trial.pk}",
        f"/trials/{trial.pk}/uploads",
    ):
        assert strict.post(address, {}).status_code == 403
    assert create(strict, trial, "a.mp4", 5).status_code == 403
    from kinefit.web.models import Trial

    assert Trial.objects.filter(pk=trial.pk).exists()


def test_a_deleted_trial_leaves_nothing(client: Any, trial: Any) -> None:
    folder = results(trial).parent
    assert client.post(f"/trials/{trial.pk}/delete").status_code == 302
    assert not folder.exists()
    assert Path("/etc/passwd").exists()
    assert client.get(f"/trials/{trial.pk}").status_code == 404


def test_other_names_of_the_host_are_refused(client: Any) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("host", "names", "accounts", "wanted"),
    [
        ("127.0.0.1", "", False, "0"),
        ("localhost", "", False, "0"),
        ("::1", "", False, "0"),
        ("127.0.0.1", "", True, "1"),
        ("127.0.0.1", "lab.example.org", False, "1"),  # a proxy on this machine
        ("0.0.0.0", "", False, "1"),
        ("192.168.1.5", "", False, "1"),
        ("lab.example.org", "", False, "1"),
    ],
)
def test_people_log_in_wherever_others_can_ask(
    tmp_path: Path, host: str, names: str, accounts: bool, wanted: str
) -> None:
    from kinefit.web import server

    told = server.environment(tmp_path, host, names, accounts, tls=False)
    assert told["KINEFIT_WEB_ACCOUNTS"] == wanted


def test_bodies_are_bounded_before_anybody_reads_them(running: Any) -> None:
    """Announced sizes are refused; a body without one is cut off."""

    def ask(head: str, body: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", running.port), 10) as one:
            one.sendall(f"POST /login HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
            try:
                one.sendall(body)
                return one.recv(4096)
            except OSError:  # it hung up
                return b""

    assert b" 413 " in ask("Content-Length: 50000000", b"")
    assert b" 413 " not in ask("Content-Length: 10", b"a=b&c=d&ee")
    chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
    answer = ask("Transfer-Encoding: chunked", chunk * 8)
    assert b" 200 " not in answer


def test_values_that_are_none_are_not_found(client: Any, trial: Any) -> None:
    assert client.get("/compare?trial=abc").status_code == 404
    assert client.get("/compare").status_code == 404
    assert client.post("/programs", {"delete": "abc"}).status_code == 404
    wrong = {"name": "x", "subject": "abc"}
    assert client.post(f"/projects/{trial.project.pk}/trials", wrong).status_code == 404


def test_a_user_who_was_shut_out_has_no_token_either(client: Any) -> None:
    import re

    from django.contrib.auth import get_user_model

    page = client.post("/programs", {"name": "script"}).content.decode()
    found = re.search(r'id="token">([^<]+)<', page)
    assert found is not None
    headers = {"Authorization": f"Bearer {found[1]}"}
    assert client.get("/api/projects", headers=headers).status_code == 200
    get_user_model().objects.update(is_active=False)
    assert client.get("/api/projects", headers=headers).status_code == 401
