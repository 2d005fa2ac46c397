"""`kinefit fit frames`: files in, files out, and every option of the fit as a flag."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from kinefit.cli.commands import app
from kinefit.fit.recipes.frames.rigfit import RigFitOptions
from kinefit.fit.recipes.frames.sequence import SequenceOptions
from kinefit.io.sam3d_outputs import read_outputs
from kinefit.pipeline.config import FrameOptions
from kinefit.types import KinefitError

from ..pipeline.rig_clip import Clip, T, tube_clip

DOCS = Path(__file__).parents[2] / "docs" / "body.md"
# Thresholds of spikes are not options; three names have no unit as flags.
_NO_FLAG = {"joint_spike", "place_spike"}
_FIELD = {"max-gap": "max_gap_s", "most-turn": "most_turn_rad", "smooth": "smooth_s"}


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
    assert "frame 3: unusable, too few of the points are near the body" in result.output
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


def test_every_option_of_the_fit_is_a_flag() -> None:
    wanted = {f.name for kind in (RigFitOptions, SequenceOptions) for f in fields(kind)} - _NO_FLAG
    offered = {_FIELD.get(n.replace("_", "-"), n) for n in FrameOptions.model_fields}
    assert wanted <= offered


def test_defaults_in_the_manual_are_the_fits() -> None:
    """The options' table names each flag with the value that the dataclasses have."""
    defaults = vars(RigFitOptions()) | vars(SequenceOptions())
    _, _, section = DOCS.read_text("utf-8").partition("## Frame by frame")
    rows = re.findall(
        r"^\| `--([a-z0-9-]+)` \| ([^|]+) \|", section.partition("### Options")[2], re.M
    )
    told = {_FIELD.get(flag, flag.replace("-", "_")): value.strip() for flag, value in rows}
    assert told.keys() == defaults.keys() - _NO_FLAG
    for name, value in told.items():
        expected = defaults[name]
        if isinstance(expected, bool):
            assert value == ("on" if expected else "off"), name
        else:
            assert float(value) == expected, name


def test_values_out_of_range_name_their_flag() -> None:
    """The dataclasses' messages are about flags that there are."""
    flags = {f"--{name.replace('_', '-')}" for name in FrameOptions.model_fields}
    for kind, name in [
        *((RigFitOptions, f.name) for f in fields(RigFitOptions) if f.name != "with_scale"),
        *((SequenceOptions, name) for name in ("max_gap_s", "most_turn_rad", "smooth_s")),
    ]:
        with pytest.raises(KinefitError) as refused:
            kind(**{name: -1})
        assert str(refused.value).split(":")[0] in flags, name
