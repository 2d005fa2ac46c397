"""The API: what the pages do, by token."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import new_trial
from tests.web.test_uploads import send


@pytest.fixture
def token(client: Any) -> str:
    import re

    page = client.post("/programs", {"name": "script"}).content.decode()
    found = re.search(r'id="token">([^<]+)<', page)
    assert found is not None
    assert found[1] not in client.get("/programs").content.decode()  # shown once
    return found[1]


def test_a_program_does_what_the_pages_do(site: Any, token: str, demo_clip: Any) -> None:
    from django.test import Client

    program = Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {token}"})
    json = {"content_type": "application/json"}
    project = program.post("/api/projects", {"name": "Study"}, **json)
    assert project.status_code == 201
    number = project.json()["id"]
    assert {"id": number, "name": "Study"} in program.get("/api/projects").json()
    subject = {"name": "P01", "height_m": 1.7}
    made = program.post(f"/api/projects/{number}/subjects", subject, **json)
    trial = program.post(f"/api/projects/{number}/trials",
                         {"subject": made.json()["id"], "name": "Walk"}, **json).json()  # fmt: skip
    start = f"/api/trials/{trial['id']}/start"
    assert program.post(start, {}, **json).status_code == 409  # no video yet
    from kinefit.web.models import Trial

    send(program, Trial.objects.get(pk=trial["id"]), "walk.mp4", demo_clip.read_bytes())
    wrong = program.post(start, {"options": {"qality": "fast"}}, **json)
    assert wrong.status_code == 422
    assert "qality" in wrong.json()["detail"]
    for name in ("calibration", "keypoints", "detector_model", "masks", "segmenter", "body"):
        stolen = program.post(start, {"options": {name: "/etc/passwd"}}, **json)
        assert stolen.status_code == 422
        assert "files of the server" in stolen.json()["detail"]
    begun = program.post(start, {"options": {"quality": "fast"}}, **json)
    assert begun.json()["state"] == "queued"
    told = program.get(f"/api/trials/{trial['id']}").json()
    assert told["uploads"][0]["offset"] == demo_clip.stat().st_size
    assert program.post(f"/api/trials/{trial['id']}/cancel").json()["state"] == "cancelled"


def test_without_a_token_that_holds_nothing_is_told(site: Any, client: Any, token: str) -> None:
    assert client.get("/api/projects").status_code == 401  # cookies are not enough
    bad = {"Authorization": "Bearer " + token[:-1] + "x"}
    assert client.get("/api/projects", headers=bad).status_code == 401
    other = new_trial("somebody")
    good = {"Authorization": f"Bearer {token}"}
    assert client.get(f"/api/trials/{other.pk}", headers=good).status_code == 404
    client.post("/programs", {"delete": "1"})
    assert client.get("/api/projects", headers=good).status_code == 401


def test_it_describes_itself(client: Any) -> None:
    told = client.get("/api/openapi.json").json()
    assert told["openapi"].startswith("3.")
    assert "/api/trials/{key}/start" in told["paths"]
