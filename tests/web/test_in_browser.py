"""The site in a real browser, with real workers and a real video."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import Site


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


def upload(page: Any, video: Path) -> None:
    page.set_input_files("#videos", str(video))
    page.wait_for_selector("#first", timeout=60_000)


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
    folders = list((running.folder / "trials").iterdir())
    assert len(folders) == 1
    page.locator("summary", has_text="Delete this trial").click()
    page.click("text=Delete for good")
    page.wait_for_selector("text=None yet.")
    assert not folders[0].exists()


def test_an_upload_that_breaks_in_the_middle_goes_on(
    page: Any, running: Site, tmp_path: Path, demo_clip: Path
) -> None:
    # A video that needs three parts: what follows its end is no part of it.
    big = tmp_path / "big.mp4"
    size = 17 * 2**20
    free = size - demo_clip.stat().st_size
    big.write_bytes(demo_clip.read_bytes() + free.to_bytes(4, "big") + b"free" + bytes(free - 8))
    sent: list[int] = []

    def cut(route: Any) -> None:
        sent.append(int(route.request.headers["upload-offset"]))
        if len(sent) == 2:  # the cable is drawn
            route.abort()
        else:
            route.continue_()

    page.route("**/uploads/*", lambda r: cut(r) if r.request.method == "PATCH" else r.continue_())
    upload(page, big)
    part = 8 * 2**20
    assert sent == [0, part, part, 2 * part]  # the part that was lost came again, no other
    assert "17.0" in page.inner_text("#uploads")


def test_a_page_that_was_left_in_the_middle_goes_on(
    page: Any, running: Site, tmp_path: Path, demo_clip: Path
) -> None:
    big = tmp_path / "big.mp4"
    size = 17 * 2**20
    free = size - demo_clip.stat().st_size
    big.write_bytes(demo_clip.read_bytes() + free.to_bytes(4, "big") + b"free" + bytes(free - 8))
    state = {"broken": True}
    sent: list[int] = []

    def cut(route: Any) -> None:
        offset = int(route.request.headers["upload-offset"])
        if state["broken"] and offset:
            return  # no answer ever comes
        sent.append(offset)
        route.continue_()

    page.route("**/uploads/*", lambda r: cut(r) if r.request.method == "PATCH" else r.continue_())
    page.set_input_files("#videos", str(big))
    deadline = time.monotonic() + 30
    while not sent:
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
    page.wait_for_timeout(1500)
    state["broken"] = False
    page.reload()
    assert "choose the same file again" in page.inner_text("#uploads")
    upload(page, big)
    part = 8 * 2**20
    assert sent == [0, part, 2 * part]


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
    page.locator("#options button", has_text="Run").click()
    page.wait_for_selector("#stage:has-text('detect')", timeout=60_000)
    workers = running.workers()
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    page.wait_for_selector(".outcome", timeout=240_000)
    assert "Verdict" in page.inner_text(".outcome")
    assert set(running.workers()).isdisjoint(workers)


def test_it_can_be_used_by_keyboard_and_on_a_telephone(page: Any, running: Site) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for address in ("/", "/projects/1", "/programs", page.url.removeprefix(running.address)):
        page.goto(running.address + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
        seen = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            seen.add(page.evaluate("document.activeElement.outerHTML"))
        usable = "a[href], button, input:not([type=hidden]), select, textarea, summary"
        wanted = page.locator(usable).evaluate_all(
            "list => list.filter((one) => one.checkVisibility()).map((one) => one.outerHTML)"
        )
        assert set(wanted) <= seen, address
        names = page.locator("input:not([type=hidden]), select, textarea").evaluate_all(
            "list => list.map((one) => one.labels.length > 0 || one.ariaLabel !== null)"
        )
        assert all(names), address


def test_axe_finds_no_barrier(page: Any, running: Site) -> None:
    """Deque's checks of WCAG: contrast, names, order of headings, landmarks."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for address in ("/", "/projects/1", "/programs", page.url.removeprefix(running.address)):
        page.goto(running.address + address)
        found = axe.run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], address
