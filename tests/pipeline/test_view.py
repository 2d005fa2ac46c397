"""`kinefit view`: which page is shown, and of what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.body.load import load_body
from kinefit.cli.commands import app
from kinefit.export.motion_files import export_glb
from kinefit.io.body_npz import write_motion
from kinefit.pipeline.stages.scene import figure_of
from kinefit.pipeline.view import view
from kinefit.report.scene import Points, Scene, pack_scene
from kinefit.types import BodyMotion, InputError, Timeline
from tests.report.scene_reader import scenes_of


def result(folder: Path, title: str = "walk") -> Path:
    """What is left of a finished run."""
    points = Points("Skeleton", ("Hip",), np.zeros((3, 1, 3)))
    (folder / ".kinefit").mkdir(parents=True)
    scene = Scene(title, Timeline.regular(3, 60.0), points=[points])
    (folder / ".kinefit" / "scene.bin").write_bytes(pack_scene(scene))
    return folder


def test_one_result_has_its_own_page(tmp_path: Path) -> None:
    run = result(tmp_path / "run")
    (run / "viewer.html").write_text("own")
    assert view([run]) == run / "viewer.html"
    done = CliRunner().invoke(app, ["view", str(run), "--no-open"])
    assert done.exit_code == 0
    assert done.output.strip().endswith("viewer.html")


def test_several_are_shown_side_by_side_or_together(tmp_path: Path) -> None:
    runs = [result(tmp_path / name, name) for name in ("a", "b")]
    page = view(runs, tmp_path / "two.html").read_text("utf-8")
    assert [one["title"] for one in scenes_of(page)] == ["a", "b"]
    assert page.count('<div class="stage alone">') == 2
    page = view(runs, tmp_path / "one.html", together=True).read_text("utf-8")
    assert page.count('<div class="stage alone">') == 1
    assert len(scenes_of(page)) == 2


def test_all_people_of_a_recording_stand_in_one_space(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        result(tmp_path / "party" / f"person_{number}", str(number))
    page = view([tmp_path / "party"], tmp_path / "page.html").read_text("utf-8")
    assert page.count('<div class="stage alone">') == 1
    assert [one["title"] for one in scenes_of(page)] == ["1", "2", "10"]


def fitted(folder: Path) -> Path:
    """A result of a body that moves to the side, with its mesh."""
    body = load_body("anny", None)
    clock, turns = Timeline.regular(3, 60.0), np.tile(np.eye(3), (3, len(body.joint_names), 1, 1))
    place = np.column_stack([[0.0, 0.1, 0.2], np.ones(3), np.zeros(3)])
    shape, names = body.shape.neutral, tuple(body.shape.names)
    motion = BodyMotion(body.name, clock, body.joint_names, turns, place, shape, names)
    (folder / ".kinefit").mkdir(parents=True)
    scene = pack_scene(Scene("walk", clock, [figure_of(body, motion)]))
    (folder / ".kinefit" / "scene.bin").write_bytes(scene)
    (folder / "viewer.html").write_text("own")
    write_motion(folder / "walk_body.npz", motion)
    export_glb(folder / "walk_body.glb", body, motion)
    return folder


def test_the_fitted_shape_is_shown_when_it_is_asked_for(tmp_path: Path, browser: Any) -> None:
    run = fitted(tmp_path / "run")
    page_file = view([run], tmp_path / "page.html", fitted_shape=True)
    scenes = scenes_of(page_file.read_text("utf-8"))
    labels = [figure["label"] for one in scenes for figure in one["figures"]]
    assert labels == ["Body", "Fitted shape"]
    assert scenes[1]["figures"][0]["glb"].tobytes() == (run / "walk_body.glb").read_bytes()
    page = browser.new_page()
    page.goto(page_file.as_uri())
    page.wait_for_selector(".controls .play", timeout=60_000)
    assert not page.get_by_label("Body", exact=True).is_checked()
    assert page.get_by_label("Fitted shape", exact=True).is_checked()
    figures = "document.querySelector('.player').player.stages[0].figures"
    assert page.evaluate(f"{figures}.map((one) => one.group.visible)") == [False, True]
    for seconds in (0, 1 / 30):  # both at the same place at the same moment
        spots = page.evaluate(
            f"{figures}.map((one) => {{ let root; one.mixer.setTime({seconds}); "
            "one.group.updateMatrixWorld(true); one.group.traverse((node) => "
            "{ if (node.isSkinnedMesh) [root] = node.skeleton.bones; }); "
            "return root.matrixWorld.elements.slice(12, 15); })"
        )
        assert np.abs(np.subtract(*spots)).max() < 1e-4
        assert abs(spots[0][0] - 0.1 * 60 * seconds) < 0.02
    page.close()


def test_a_fitted_shape_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--export glb"):
        view([result(tmp_path / "run")], tmp_path / "page.html", fitted_shape=True)
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    runs = [result(tmp_path / name) for name in ("a", "b")]
    page = tmp_path / "page.html"
    page.write_text("mine")
    with pytest.raises(InputError, match="--overwrite"):
        view(runs, page)
    assert page.read_text() == "mine"
    assert view(runs, page, overwrite=True).read_text() != "mine"


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match="folder"):
            view([folder], tmp_path / "page.html")
    run = result(tmp_path / "run")
    (run / ".kinefit" / "scene.bin").write_bytes(b"<script>alert(1)</script>")
    with pytest.raises(InputError, match="no scene"):
        view([run], tmp_path / "page.html")


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    other = result(tmp_path / "other")
    forged = tmp_path / "forged"
    forged.mkdir()
    (forged / ".kinefit").symlink_to(other / ".kinefit")
    with pytest.raises(InputError):
        view([forged], tmp_path / "page.html")


def test_a_link_to_itself_is_no_file(tmp_path: Path) -> None:
    run = result(tmp_path / "run")
    table = run / "joint_angles" / "walk_angles_all.csv"
    table.parent.mkdir()
    table.symlink_to(table)
    assert view([run], tmp_path / "page.html").is_file()


def test_a_film_behind_a_link_is_not_shown(tmp_path: Path) -> None:
    """What lies elsewhere on the disk does not get into a page that is passed on."""
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"not a film")
    run = result(tmp_path / "run")
    (run / "walk_overlay.mp4").symlink_to(secret)
    page = view([run], tmp_path / "page.html").read_text("utf-8")
    assert "<video" not in page
