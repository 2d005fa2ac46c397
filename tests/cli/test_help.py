"""The help pages: complete, in groups, and readable in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from kinefit.cli.commands import app
from kinefit.cli.option_groups import RUN, SCENE, TRIANGULATE
from kinefit.pipeline.config import RunConfig, ViewOptions
from kinefit.synth.scene_options import SynthOptions


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, one in group.commands.items():
        yield (*words, name)
        if hasattr(one, "commands"):
            yield from commands(one, (*words, name))


ALL = list(commands(get_command(app)))


def page(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "80"}, prog_name="kinefit")
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_a_page_fits_80_columns_and_says_no_python(words: tuple[str, ...]) -> None:
    short = page(*words, "-h")
    assert short == page(*words, "--help")
    whole = page(*words, "--help-all") if "--help-all" in short else short
    assert max(len(line) for line in whole.splitlines()) <= 80
    for python in ("(False)", "(True)", "None", "<bool>", "<float>", "list[", "Path"):
        assert python not in whole


def test_the_usual_options_come_first_and_the_rest_on_request() -> None:
    short, whole = page("run", "--help"), page("run", "--help-all")
    assert "--height METRES" in short
    assert "[required]" in short
    assert short.index("Subject:") < short.index("Camera:") < short.index("Output:")
    assert "kinefit run --help-all" in short
    assert "--lm-lambda" not in short
    for option in RunConfig.model_fields:
        assert f"--{option.replace('_', '-')}" in whole


@pytest.mark.parametrize(
    ("layout", "model"), [(RUN, RunConfig), (SCENE, SynthOptions), (TRIANGULATE, ViewOptions)]
)
def test_every_option_is_in_one_group_and_every_group_has_options(layout: Any, model: Any) -> None:
    listed = [n for names in (*layout.usual.values(), *layout.more.values()) for n in names]
    if layout is not TRIANGULATE:  # which lists usual ones among all of triangulation's
        assert len(listed) == len(set(listed))
    assert set(listed) == set(model.model_fields)
