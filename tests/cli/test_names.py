"""Names that other people give to files and cameras."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.cli import console
from kinefit.cli.commands import app
from kinefit.io.video import VideoWriter
from kinefit.pipeline.results import default_folder
from kinefit.pipeline.store import check_stem
from kinefit.types import Finding, InputError

MARKUP = ["[/red]", "[bold]x", "[/]", "[link=file:///etc]x[/link]", "\\[", ":smile:", "[[["]


@pytest.mark.parametrize("name", MARKUP)
def test_nothing_that_is_printed_is_markup(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.show_warnings([f"camera {name} left out"])
    console.show_findings([Finding("caution", f"Camera {name} moves.")])
    console.show_files([f"{name}.npz"])
    with console.stage_progress() as progress:
        progress(name, 1, 2)
    shown = capsys.readouterr()
    assert (shown.out + shown.err).count(name) >= 4


@pytest.mark.parametrize("name", MARKUP)
def test_a_camera_of_any_name_is_shown_as_it_is(name: str, tmp_path: Path) -> None:
    K = [[900.0, 0, 640], [0, 900, 360], [0, 0, 1]]
    cameras = {
        called: {"camera_matrix": K, "R": np.eye(3).tolist(), "T": [x, 0.0, 5.0],
                 "image_size": [1280, 720]}
        for called, x in ((name, 0.0), ("other", 1.0))
    }  # fmt: skip
    (tmp_path / "c.json").write_text(json.dumps(cameras))
    done = CliRunner().invoke(app, ["calibration", str(tmp_path / "c.json")])
    assert done.exit_code == 0, done.output
    assert name in done.output


@pytest.mark.parametrize(
    ("stem", "said"),
    [
        ("x" * 240, "has 240 bytes"),
        ("试" * 60, "has 180 bytes"),
        ("a\nb", "line break"),
        ("a\x1b[2J", "line break"),
        ("caf\udce9", "not Unicode text"),
    ],
)
def test_names_that_results_cannot_have_are_refused_before_the_work(
    stem: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said) as error:
        check_stem(stem)
    str(error.value).encode()  # and can be printed
    video = tmp_path / f"{stem}.mp4"
    with VideoWriter(tmp_path / "a.mp4", (64, 48)) as out:
        for i in range(3):
            out.add(np.zeros((48, 64, 3), np.uint8), i / 30)
    (tmp_path / "a.mp4").rename(video)
    options = ["run", str(video), "--height", "1.7", "--mass", "70", "--out", str(tmp_path / "o")]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 2, done.output
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("stem", ["walk", "take:1", "-dash", " lead", "ünï 试", "a;b$(x)", "a.b.c"])
def test_others_are_taken(stem: str) -> None:
    check_stem(stem)


def test_videos_of_one_name_in_two_folders_have_results_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = [
        default_folder([Path(name)])
        for name in ("cam01.mp4", "A/cam01.mp4", "B/cam01.mp4", "B/C/cam01.mp4", "/x/y/cam01.mp4")
    ]
    assert named == [
        Path("kinefit_output") / name
        for name in ("cam01", "A_cam01", "B_cam01", "B_C_cam01", "y_cam01")
    ]
    assert default_folder([tmp_path / "A/cam01.mp4"]) == named[1]
    assert default_folder([Path("A/1.mp4"), Path("A/2.mp4")]).name == "A_multiview"
    assert default_folder([Path("z" * 200) / "cam01.mp4"]).name == "cam01"
