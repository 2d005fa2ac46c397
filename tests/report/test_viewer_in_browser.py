"""The viewer in a real browser: film, space and curves show the same moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinefit.body.load import load_body
from kinefit.export.motion_files import skinned_mesh
from kinefit.io.gltf import glb_bytes
from kinefit.io.video import VideoWriter
from kinefit.pipeline.stages.scene import _spread
from kinefit.report.scene import Figure, Points, Scene, pack_scene
from kinefit.report.viewer import Recording, write_viewer
from kinefit.types import BodyMotion, Finding, JointAngles, Timeline

COUNT, RATE = 40, 20.0
STEP = 6  # grey levels from one frame of the film to the next
PLAYER = "document.querySelector('.player').player"


def film(path: Path) -> Path:
    """A film whose brightness says which frame it is."""
    with VideoWriter(path, (64, 48), rate_hz=RATE, quality=8) as writer:
        for k in range(COUNT):
            writer.add(np.full((48, 64, 3), STEP * k, np.uint8), k / RATE)
    return path


def recording(folder: Path, title: str = "walk", slowmo: float = 1.0) -> Recording:
    body = load_body("anny", None)
    clock = Timeline(np.arange(COUNT) + 100, np.arange(COUNT) / RATE / slowmo + 3.0)
    turns = np.tile(np.eye(3), (COUNT, len(body.joint_names), 1, 1))
    place = np.column_stack([np.zeros(COUNT), np.ones(COUNT), np.linspace(0, 1, COUNT)])
    shape, names = body.shape.neutral, tuple(body.shape.names)
    motion = BodyMotion(body.name, clock, body.joint_names, turns, place, shape, names)
    xyz = np.tile([[0, 1.0, 0], [0.1, 1, 0], [-0.1, 1, 0]], (COUNT, 1, 1))
    xyz[:, :, 2] += np.linspace(0, 1, COUNT)[:, None]
    xyz[20:25, 1] = np.nan
    points = Points("Skeleton", ("Hip", "LHip", "RHip"), xyz, [("LHip", "RHip")],
                    sd=np.full(xyz.shape, 0.02))  # fmt: skip
    glb = glb_bytes(skinned_mesh(body, shape, 4), motion)
    figure = Figure("Body", glb, np.arange(COUNT) != 7)
    scene = Scene(title, clock, [figure], [points], slowmo=slowmo)
    values = np.linspace(0, 60, COUNT)[:, None]
    angles = JointAngles(clock, ("knee_r_flex",), values, np.zeros((COUNT, 1), bool))
    return Recording(title, [pack_scene(scene)], film(folder / f"{title}.mp4"), angles)


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """A function that shows recordings; any error of the page fails the test."""
    errors: list[str] = []
    context = browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True)

    def show(*recordings: Recording) -> Any:
        write_viewer(tmp_path / "viewer.html", recordings, title="walk")
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.goto((tmp_path / "viewer.html").as_uri())
        until(page, "Boolean(document.querySelector('.player')?.player)")
        return page

    yield show
    context.close()
    assert errors == []


def until(page: Any, true: str) -> None:
    """Wait for a condition; Playwright's own way needs `eval`, which the page forbids itself."""
    deadline = time.monotonic() + 60
    while not page.evaluate(true):
        assert time.monotonic() < deadline, true
        page.wait_for_timeout(20)


def film_frame(page: Any, stage: int = 0) -> float:
    """Which frame the film shows, by its brightness."""
    until(page, f"!{PLAYER}.stages[{stage}].video.seeking")
    page.wait_for_timeout(150)  # until the picture is there
    level = page.evaluate(
        f"""(() => {{ const c = document.createElement('canvas'); c.width = c.height = 1;
        const pen = c.getContext('2d'); pen.drawImage({PLAYER}.stages[{stage}].video, 0, 0, 1, 1);
        return pen.getImageData(0, 0, 1, 1).data[1]; }})()"""
    )
    return float(level) / STEP


def frame(page: Any) -> int:
    return int(page.evaluate(f"{PLAYER}.longest.frameNow"))


def test_film_space_and_curve_show_one_moment(opened: Any, tmp_path: Path) -> None:
    page = opened(recording(tmp_path))
    for wanted in (0, 13, 26, COUNT - 1):
        page.evaluate(f"{PLAYER}.goToFrame({wanted})")
        assert frame(page) == wanted
        assert abs(film_frame(page) - wanted) < 0.5  # compression changes grey by less than half
        line = page.evaluate(
            "Number(document.querySelector('svg[data-axis] line').getAttribute('x1'))"
        )
        left, right = page.evaluate(
            "(({left, right}) => [Number(left), Number(right)])"
            "(document.querySelector('svg[data-axis]').dataset)"
        )
        assert abs((line - left) / (right - left) - wanted / (COUNT - 1)) < 1e-3
    # The control: a film at another pace does not agree.
    page.evaluate(f"{PLAYER}.leading.first.slowmo = 0.5; {PLAYER}.goToFrame(20)")
    assert abs(film_frame(page) - 20) > 5


def test_steps_keys_and_slider(opened: Any, tmp_path: Path) -> None:
    page = opened(recording(tmp_path))
    page.click("[data-do=on]")
    page.click("[data-do=on]")
    page.click("[data-do=back]")
    assert frame(page) == 1
    assert abs(film_frame(page) - 1) < 0.5
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    assert frame(page) == 2
    page.keyboard.press("End")
    assert frame(page) == COUNT - 1
    page.fill(".slider", "10")
    assert frame(page) == 10
    assert "frame 110" in page.inner_text(".when")


def test_a_click_on_a_curve_goes_there(opened: Any, tmp_path: Path) -> None:
    page = opened(recording(tmp_path))
    curve = page.locator("svg[data-axis=time]").first
    curve.scroll_into_view_if_needed()
    box = curve.bounding_box()
    left, right = (float(curve.get_attribute(f"data-{end}")) for end in ("left", "right"))
    x = box["x"] + box["width"] * (left + 0.75 * (right - left)) / 360
    page.mouse.click(x, box["y"] + box["height"] / 2)
    assert abs(frame(page) - 0.75 * (COUNT - 1)) <= 1


@pytest.mark.parametrize("slowmo", [1.0, 4.0])
def test_what_plays_stays_in_step(opened: Any, tmp_path: Path, slowmo: float) -> None:
    page = opened(recording(tmp_path, slowmo=slowmo))
    page.select_option(".speed", "0.5")
    page.click(".play")
    until(page, f"{PLAYER}.longest.frameNow > 8")
    page.click(".play")
    assert frame(page) < COUNT - 1
    assert abs(film_frame(page) - frame(page)) < 0.5
    # A click between two frames is one of them, for both.
    page.evaluate(f"{PLAYER}.goTo({PLAYER}.longest.time[10] + 0.7 / {RATE * slowmo})")
    assert frame(page) == 11
    assert abs(film_frame(page) - 11) < 0.5


def test_slow_motion_plays_as_slowly_as_its_film(opened: Any, tmp_path: Path) -> None:
    page = opened(recording(tmp_path, slowmo=4.0))
    assert page.evaluate(f"({PLAYER}.rate(), {PLAYER}.lead.playbackRate)") == 1
    page.select_option(".speed", "2")
    assert page.evaluate(f"{PLAYER}.lead.playbackRate") == 2


def test_a_film_that_is_stopped_at_once_stays_the_clock(opened: Any, tmp_path: Path) -> None:
    page = opened(recording(tmp_path))
    page.evaluate(f"for (let i = 0; i < 6; i++) {PLAYER}.toggle()")
    page.wait_for_timeout(300)
    assert page.evaluate(f"{PLAYER}.lead !== null")


def test_a_film_that_ends_early_leaves_the_rest(opened: Any, tmp_path: Path) -> None:
    shown = recording(tmp_path)
    assert shown.film is not None
    with VideoWriter(shown.film, (64, 48), rate_hz=RATE, quality=8) as writer:
        for k in range(8):
            writer.add(np.full((48, 64, 3), STEP * k, np.uint8), k / RATE)
    page = opened(shown)
    page.click(".play")
    until(page, f"{PLAYER}.longest.frameNow > 20")


def test_two_recordings_play_together(opened: Any, tmp_path: Path) -> None:
    page = opened(recording(tmp_path, "one"), recording(tmp_path, "two"))
    assert page.locator(".stage").count() == 2
    page.evaluate(f"{PLAYER}.goToFrame(17)")
    for stage in (0, 1):
        assert abs(film_frame(page, stage) - 17) < 0.5
        assert page.evaluate(f"{PLAYER}.stages[{stage}].first.frameNow") == 17


def test_a_body_is_hidden_where_it_is_not_known(opened: Any, tmp_path: Path) -> None:
    page = opened(recording(tmp_path))
    seen = f"{PLAYER}.stages[0].figures[0].group.children[0].visible"
    page.evaluate(f"{PLAYER}.goToFrame(6)")
    assert page.evaluate(seen)
    page.evaluate(f"{PLAYER}.goToFrame(7)")
    assert not page.evaluate(seen)


def test_what_is_shown_can_be_chosen_and_saved(opened: Any, tmp_path: Path) -> None:
    page = opened(recording(tmp_path))

    def picture(name: str) -> Any:
        page.wait_for_timeout(300)
        with page.expect_download() as saved:
            page.click("[data-do=picture]")
        saved.value.save_as(tmp_path / name)
        return cv2.imread(str(tmp_path / name)).astype(int)

    with_body = picture("a.png")
    page.get_by_label("Body", exact=True).uncheck()
    without = picture("b.png")
    page.get_by_label("Uncertainty", exact=True).check()
    clouds = picture("c.png")
    assert with_body.shape == without.shape == clouds.shape
    assert (np.abs(with_body - without).max(axis=2) > 20).mean() > 0.002
    assert 1e-4 < (np.abs(clouds - without).max(axis=2) > 5).mean() < 0.05
    box = page.locator("canvas.picture").bounding_box()
    where = page.evaluate(
        f"(() => {{ const s = {PLAYER}.stages[0], b = s.canvas.getBoundingClientRect();"
        " return s.visiblePoints(b.width, b.height)[0].at; })()"
    )
    page.mouse.click(box["x"] + where[0], box["y"] + where[1])
    assert page.inner_text(".picked").startswith("Hip: x 0.000 ± 0.039")


def test_ellipsoids_lie_as_their_covariances(opened: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    covariance = np.array([a @ a.T for a in rng.normal(0, 0.02, (6, 3, 3))]).reshape(2, 3, 3, 3)
    sd, correlation = _spread(covariance)
    xyz = rng.uniform(-1, 1, (2, 3, 3))
    points = Points("All", ("a", "b", "c"), xyz, sd=sd, correlation=correlation)
    scene = Scene("walk", Timeline.regular(2, 20.0), points=[points])
    page = opened(Recording("walk", [pack_scene(scene)]))
    for k in range(2):
        page.evaluate(f"{PLAYER}.goToFrame({k})")
        clouds = f"{PLAYER}.stages[0].points[0].clouds.instanceMatrix.array"
        matrices = np.reshape(page.evaluate(f"[...{clouds}]"), (3, 4, 4)).transpose(0, 2, 1)
        roots = matrices[:, :3, :3] / 1.96
        # The smallest covariance is 1e-5 m^2; whole numbers stand for 1/32767 of the largest sd.
        assert np.abs(roots @ roots.transpose(0, 2, 1) - covariance[k]).max() < 1e-7
        assert np.abs(matrices[:, :3, 3] - xyz[k]).max() < 1e-4


def test_frames_in_findings_lead_there(opened: Any, tmp_path: Path) -> None:
    findings = [Finding("caution", "Jumps.", "Frames 112, 120-125 (left knee 3).")]
    page = opened(replace(recording(tmp_path), findings=findings))
    assert page.locator(".said.caution").last.inner_text() == (
        "Jumps. Frames 112, 120-125 (left knee 3)."
    )
    page.click(".said .frame >> text=112")
    assert frame(page) == 12
    page.keyboard.press("Tab")  # to the next one
    page.keyboard.press("Enter")
    assert frame(page) == 20
    assert page.locator(".frame").count() == 2


def test_a_clip_is_recorded(opened: Any, tmp_path: Path) -> None:
    page = opened(recording(tmp_path))
    with page.expect_download(timeout=60_000) as saved:
        page.click("[data-do=clip]")
    saved.value.save_as(tmp_path / "clip.webm")
    film = cv2.VideoCapture(str(tmp_path / "clip.webm"))
    good, picture = film.read()
    assert good
    assert picture.shape[0] == 720


def test_a_page_without_a_film_plays_by_the_clock(opened: Any, tmp_path: Path) -> None:
    page = opened(replace(recording(tmp_path), film=None))
    page.select_option(".speed", "2")
    page.click(".play")
    until(page, f"{PLAYER}.longest.frameNow > 3")


def test_all_of_it_fits_a_telephone(opened: Any, tmp_path: Path) -> None:
    page = opened(recording(tmp_path))
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_axe_finds_no_barrier(opened: Any, tmp_path: Path) -> None:
    """Deque's checks of WCAG: contrast, names, order of headings, landmarks."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(opened(recording(tmp_path))).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
