"""`kinefit fit frames`: files in, files out, and every option of the fit as a flag."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from kinefit.cli.commands import app
from kinefit.fit.recipes.frames.frame_options import RigFitOptions, SequenceOptions
from kinefit.io.sam3d_outputs import read_outputs
from kinefit.pipeline.config import FrameOptions, checked
from kinefit.types import InputError

from ..pipeline.rig_clip import Clip, T, tube_clip

DOCS = Path(__file__).parents[2] / "docs" / "body.md"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return tube_clip(tmp_path_factory.mktemp("tubes"))


def run(clip: Clip, *more: object) -> Result:
    return CliRunner().invoke(app, clip.arguments("--export", "", *more))


def test_views_and_options_reach_the_fit(clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(
        clip, "--views", clip.views, "--out", out, "--huber-m", 0.05, "--no-repair", "--no-meshes"
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads((out / "walk_frames.json").read_text("utf-8"))
    assert report["options"]["huber_m"] == 0.05
    assert report["options"]["repair"] is False
    assert report["status"] == {"good": T}
    assert re.search(rf"good +│ +{T} ", result.output)
    assert "started by cam" in result.output
    assert f"{T} files in" in result.output
    (person,) = read_outputs(out / "frames" / "000003.npz")
    assert person.pred_vertices is None
    assert np.isfinite(person.extra["opt_final_loss"])


def test_frames_that_are_not_good_are_told(clip: Clip, tmp_path: Path) -> None:
    result = run(clip, "--out", tmp_path / "out", "--min-points", 99)
    assert result.exit_code == 2
    assert "99 are needed" in result.output
    result = run(clip, "--out", tmp_path / "out", "--bad-near-share", 1.0, "--huber-m", 1e-7)
    assert result.exit_code == 0, result.output
    assert "frame 3: unusable, too few points are near the body" in result.output
    assert "there is no motion" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--temporal-init-blend", "2"], "--temporal-init-blend"),
        (["--max-gap", "-1"], "--max-gap"),
        (["--views", "nowhere"], "nowhere"),
        (["--body", "nowhere.npz"], "nowhere.npz"),
        (["--body", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_what_cannot_be_used_is_refused(
    clip: Clip, tmp_path: Path, arguments: list[str], said: str
) -> None:
    result = run(clip, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert not (tmp_path / "out").exists()


def test_defaults_in_the_manual_are_the_fits() -> None:
    """The options' table names each flag with the value that it has."""
    fields = RigFitOptions.model_fields | SequenceOptions.model_fields
    _, _, section = DOCS.read_text("utf-8").partition("## Frame by frame")
    options = section.partition("### Options")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `--([a-z0-9-]+)` \| ([^|]+) \|", options, re.M)
    told = {flag.replace("-", "_"): value.strip() for flag, value in rows}
    assert told.keys() == fields.keys()
    for name, value in told.items():
        expected = fields[name].default
        if isinstance(expected, bool):
            assert value == ("on" if expected else "off"), name
        else:
            assert float(value) == expected, name


@pytest.mark.parametrize("name", ["huber_m", "iters", "bad_near_share", "max_gap", "smooth"])
def test_values_out_of_range_name_their_flag(name: str) -> None:
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')}"):
        checked(FrameOptions, {name: -1})
