"""The site in a real browser: uploads, and who can use it."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import Site, choose, upload


def addresses(page: Any, running: Site) -> list[str]:
    """One of every kind of page."""
    project = page.locator("main p a").first.get_attribute("href")
    return ["/", project, "/programs", page.url.removeprefix(running.address)]


def three_parts(folder: Path, video: Path) -> Path:
    """The video with a box at its end that players pass over: 17 MB, which needs three parts."""
    free = 17 * 2**20 - video.stat().st_size
    big = folder / "big.mp4"
    big.write_bytes(video.read_bytes() + free.to_bytes(4, "big") + b"free" + bytes(free - 8))
    return big


def test_an_upload_that_breaks_in_the_middle_goes_on(
    page: Any, running: Site, tmp_path: Path, demo_clip: Path
) -> None:
    big = three_parts(tmp_path, demo_clip)
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
    big = three_parts(tmp_path, demo_clip)
    state = {"broken": True}
    sent: list[int] = []

    def cut(route: Any) -> None:
        offset = int(route.request.headers["upload-offset"])
        if state["broken"] and offset:
            return  # no answer ever comes
        sent.append(offset)
        route.continue_()

    page.route("**/uploads/*", lambda r: cut(r) if r.request.method == "PATCH" else r.continue_())
    choose(page, big)
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


def test_a_file_is_sent_where_the_script_comes_late(page: Any, demo_clip: Path) -> None:
    def late(route: Any) -> None:
        time.sleep(1.5)
        route.continue_()

    page.route("**/trial.js", late)
    page.reload(wait_until="commit")
    assert page.locator("#videos").is_disabled()
    upload(page, demo_clip)
    assert "40 frames" in page.inner_text("#uploads")


def test_the_person_is_pointed_at_in_the_picture_of_any_camera(
    page: Any, tmp_path: Path, demo_clip: Path
) -> None:
    videos = [tmp_path / f"cam{i}.mp4" for i in (1, 2)]
    for video in videos:
        shutil.copy(demo_clip, video)
    upload(page, *videos)
    pictures = []
    for name in ("cam1", "cam2"):
        page.select_option("#camera", f"{name}.mp4")
        assert page.locator("#mark").is_hidden()
        page.locator("#first").click(position={"x": 90, "y": 180})
        assert re.fullmatch(rf"{name}:\d+,\d+", page.input_value("#id_person_at"))
        pictures.append(page.locator("#first").get_attribute("src"))
    assert len(set(pictures)) == 2
    assert page.locator("#first").evaluate("picture => picture.naturalWidth") == 540


def test_it_can_be_used_by_keyboard_and_on_a_telephone(page: Any, running: Site) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for address in addresses(page, running):
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
    for address in addresses(page, running):
        page.goto(running.address + address)
        found = axe.run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], address
