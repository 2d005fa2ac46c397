"""Runs in a real browser, with real workers and a real video."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.web.conftest import Site, upload

LONG_AGO = "2000-01-01 00:00:00"


def start(page: Any) -> None:
    page.locator("summary", has_text="Detection and depth").click()
    page.select_option("#id_quality", "fast")
    page.locator("#options button", has_text="Run").click()
    page.wait_for_selector("#progress, .outcome")


def test_from_a_video_to_the_viewer_and_away_again(
    page: Any, running: Site, demo_clip: Path
) -> None:
    upload(page, demo_clip)
    assert "40 frames of 540 × 960 at 60" in page.inner_text("#uploads")
    page.locator("#first").click(position={"x": 90, "y": 180})
    assert re.fullmatch(r"\d+,\d+", page.input_value("#id_person_at"))
    start(page)
    page.wait_for_selector(".outcome", timeout=240_000)
    assert re.search("Verdict: (good|caution|unusable)", page.inner_text(".outcome"))
    viewer = page.frame_locator("iframe")
    viewer.locator(".controls .play").click(timeout=60_000)
    deadline = time.monotonic() + 60
    while viewer.locator(".when").inner_text().startswith("0.00"):
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    with page.expect_download() as saved:
        page.click("text=Everything (zip)")
    assert Path(saved.value.path()).stat().st_size > 100_000
    folder = running.folder / "trials" / page.url.rpartition("/")[2].replace("-", "")
    assert folder.is_dir()
    page.locator("summary", has_text="Delete this trial").click()
    page.click("text=Delete for good")
    page.wait_for_selector("text=None yet.")
    assert not folder.exists()


def test_a_run_is_cancelled(page: Any, demo_clip: Path) -> None:
    upload(page, demo_clip)
    page.locator("#options button", has_text="Run").click()
    page.wait_for_selector("#progress")
    page.wait_for_timeout(1500)
    page.click("text=Cancel")
    page.wait_for_selector(".outcome.cancelled", timeout=60_000)
    assert page.locator("#options button", has_text="Run again").count() == 1


def test_a_worker_is_killed_and_the_run_goes_on(page: Any, running: Site, demo_clip: Path) -> None:
    upload(page, demo_clip)
    start(page)
    at_work = page.locator("#stage", has_text=re.compile("detect|observe|fit|markers"))
    at_work.wait_for(timeout=60_000)
    workers = running.workers()
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert page.locator(".outcome").count() == 0
    with closing(sqlite3.connect(running.folder / "kinefit.sqlite3", timeout=20)) as database:
        expire = "UPDATE web_job SET lease = ? WHERE state = 'running'"
        assert database.execute(expire, [LONG_AGO]).rowcount == 1  # as it is 15 s from now
        database.commit()
    page.wait_for_selector(".outcome", timeout=240_000)
    assert "Verdict" in page.inner_text(".outcome")
    assert set(running.workers()).isdisjoint(workers)
