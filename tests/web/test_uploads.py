"""Uploads: resumable, and harmless whatever is sent."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kinefit.web.intake import stored_name


def content(response: Any) -> bytes:
    """All of a file that is sent in blocks."""

    async def collect() -> bytes:
        return b"".join([block async for block in response.streaming_content])

    return asyncio.run(collect())


def b64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def create(client: Any, trial: Any, name: str, size: object, kind: str = "video") -> Any:
    pairs = f"filename {b64(name)},kind {b64(kind)}"
    headers = {"Upload-Length": str(size), "Upload-Metadata": pairs}
    return client.post(f"/trials/{trial.pk}/uploads", headers=headers)


def patch(client: Any, address: str, offset: object, data: bytes, kind: str = "") -> Any:
    kind = kind or "application/offset+octet-stream"
    headers = {"Upload-Offset": str(offset)}
    return client.patch(address, data, content_type=kind, headers=headers)


def send(client: Any, trial: Any, name: str, data: bytes, kind: str = "video") -> Any:
    """All of a file; what the site says of it."""
    from kinefit.web.models import Upload

    made = create(client, trial, name, len(data), kind)
    assert made.status_code == 201, made.content
    assert patch(client, made["Location"], 0, data).status_code == 204
    return Upload.objects.get(pk=made["Location"].rpartition("/")[2])


def test_an_upload_that_breaks_goes_on_where_it_was(
    client: Any, trial: Any, demo_clip: Path
) -> None:
    data = demo_clip.read_bytes()
    half = len(data) // 2
    made = create(client, trial, "Läufer 1.mp4", len(data))
    assert made.status_code == 201
    address = made["Location"]
    assert client.head(address)["Upload-Offset"] == "0"
    assert patch(client, address, 0, data[:half]).status_code == 204
    assert client.head(address)["Upload-Offset"] == str(half)
    # What came before is not taken twice, and nothing is left out.
    assert patch(client, address, 0, data[:half]).status_code == 409
    assert patch(client, address, half + 1, data[half + 1 :]).status_code == 409
    assert patch(client, address, half, data[half:])["Upload-Offset"] == str(len(data))
    (upload,) = trial.uploads.all()
    assert upload.path.read_bytes() == data
    assert (upload.problem, upload.facts["frames"]) == ("", 40)
    assert upload.stored == "L_ufer_1.mp4"
    picture = client.get(f"/uploads/{upload.pk}/picture")
    assert content(picture)[:2] == b"\xff\xd8"


def test_an_upload_can_be_taken_back(client: Any, trial: Any) -> None:
    address = create(client, trial, "a.mp4", 10)["Location"]
    path = trial.uploads.get().path
    assert path.exists()
    assert client.delete(address).status_code == 204
    assert not path.exists()
    assert client.head(address).status_code == 404


NASTY_NAMES = [
    "../../etc/passwd.mp4", "..\\..\\windows.mp4", "/etc/shadow.mp4", "a\0b.mp4", "a\nb.mp4",
    "....mp4", "con.mp4", "-rf.mp4", "$(touch x).mp4", "`id`.mp4", "a;b|c&d.mp4",
    "<script>alert(1)</script>.mp4", "[/red].mp4", "\u202egpj.mp4", "x" * 300 + ".mp4",
    "a/../../b.mp4", "%2e%2e%2fx.mp4", "~root.mp4", "🤸.mp4",
]  # fmt: skip


@pytest.mark.parametrize("name", NASTY_NAMES)
def test_names_are_never_paths(client: Any, trial: Any, name: str) -> None:
    made = create(client, trial, name, 5)
    assert made.status_code == 201, made.content
    upload = trial.uploads.get()
    assert upload.path.parent == trial.folder / "inputs"
    assert upload.path.resolve().is_relative_to(trial.folder.resolve())
    assert len(upload.stored) < 80
    page = client.get(f"/trials/{trial.pk}").content.decode()
    assert "<script>alert" not in page


def test_names_that_become_the_same_stay_apart() -> None:
    taken: set[str] = set()
    for name in ("a b.mp4", "a_b.mp4", "a?b.mp4"):
        taken.add(stored_name(name, "video", taken))
    assert taken == {"a_b.mp4", "a_b_2.mp4", "a_b_3.mp4"}


def _mp4(demo: bytes) -> dict[str, bytes]:
    """Contents that are called a video and are none, or hardly."""
    return {
        "text": b"hello", "zeros": bytes(5000), "random": os.urandom(4096),
        "html": b"<html><script>alert(1)</script>", "elf": b"\x7fELF" + bytes(200),
        "zip": b"PK\x03\x04" + bytes(100), "png": b"\x89PNG\r\n\x1a\n" + bytes(64),
        "cut": demo[: len(demo) // 3], "head": demo[:200], "tail": demo[-500:],
        "hole": demo[:2000] + bytes(len(demo) - 2000), "twice": demo[:100] + demo,
        "list": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "m3u": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "wav": b"RIFF" + bytes(100),
        "ftyp": b"\0\0\0\x18ftypmp42" + b"\xff" * 400, "moov": b"\xff\xff\xff\xffmoov" + bytes(50),
    }  # fmt: skip


LOOK = """
import json, sys
from pathlib import Path
from kinefit.web.intake import _main, picture_of
files = sorted(Path(sys.argv[1]).iterdir())
print(json.dumps({file.stem: _main(file, picture_of(file)) for file in files}))
"""


def test_bad_content_is_no_video(tmp_path: Path, demo_clip: Path) -> None:
    """18 files, some of which a decoder may still find pictures in: then they are videos. One
    child looks at all, with the limits of one that looks at one."""
    bad = _mp4(demo_clip.read_bytes())
    for name, content in bad.items():
        (tmp_path / f"{name}.mp4").write_bytes(content)
    command = [sys.executable, "-c", LOOK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found) == set(bad)
    problems = [facts["problem"] for facts in found.values() if "problem" in facts]
    assert len(problems) >= len(bad) - 3
    assert not any(word in one for one in problems for word in ("Traceback", "passwd"))


def test_bad_content_is_told(client: Any, trial: Any, demo_clip: Path) -> None:
    bad = _mp4(demo_clip.read_bytes())
    for name in ("cut", "list"):
        upload = send(client, trial, f"{name}.mp4", bad[name])
        assert upload.checked, name
        assert upload.problem
        assert "Traceback" not in upload.problem
        assert "passwd" not in upload.problem
    page = client.get(f"/trials/{trial.pk}")
    assert page.status_code == 200


@pytest.mark.parametrize(
    ("name", "size", "kind", "status"),
    [
        ("a.exe", 5, "video", 415),
        ("a", 5, "video", 415),
        ("a.mp4.sh", 5, "video", 415),
        ("a.mp4", 0, "video", 413),
        ("a.mp4", 9**15, "video", 413),
        ("a.mp4", "-5", "video", 400),
        ("a.mp4", "5e3", "video", 400),
        ("a.mp4", "9" * 30, "video", 400),
        ("a.mp4", "", "video", 400),
        ("a.mp4", 5, "program", 400),
        ("a.pickle", 5, "calibration", 415),
        ("a.toml", 9_000_000, "calibration", 413),
    ],
)
def test_what_is_not_taken(
    client: Any, trial: Any, name: str, size: object, kind: str, status: int
) -> None:
    assert create(client, trial, name, size, kind).status_code == status
    assert not trial.uploads.exists()


def test_parts_are_checked(client: Any, trial: Any, site: Any) -> None:
    address = create(client, trial, "a.mp4", 100)["Location"]
    assert patch(client, address, 0, b"x" * 200).status_code == 413
    assert patch(client, address, 0, b"x", kind="text/plain").status_code == 415
    assert patch(client, address, "abc", b"x").status_code == 409
    assert client.head(address)["Upload-Offset"] == "0"
    big = create(client, trial, "b.mp4", 2 * site.PART_BYTES)["Location"]
    assert patch(client, big, 0, bytes(site.PART_BYTES + 1)).status_code == 413
    for _ in range(18):
        assert create(client, trial, "c.mp4", 100).status_code == 201
    assert create(client, trial, "c.mp4", 100).status_code == 409  # 20 files are enough


def test_metadata_that_is_none_is_no_crash(client: Any, trial: Any) -> None:
    for header in ("", "filename", "filename !!!", "filename " + "A" * 9000, ",,,", "kind ////"):
        headers = {"Upload-Length": "5", "Upload-Metadata": header}
        answer = client.post(f"/trials/{trial.pk}/uploads", headers=headers)
        assert answer.status_code in (400, 415)
