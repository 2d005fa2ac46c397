"""Texts of options: from the class that has the field, else its description, and never none."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

from kinefit.pipeline import option_texts
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.option_texts import text_of
from kinefit.synth.scene_options import SynthOptions


class First(BaseModel):
    described: int = Field(1, description="In the field.")
    below: int = 2
    """Below it,
    in two lines."""
    bare: int = 3
    both: int = 4
    """Of the first."""


class Second(First):
    """No text of a field."""

    both: int = 5
    """Of the second."""


def test_text_is_that_of_the_class_that_has_the_field() -> None:
    assert text_of(Second, "described") == "In the field."
    assert text_of(Second, "below") == "Below it,\nin two lines."
    assert text_of(Second, "both") == "Of the second."
    assert text_of(First, "both") == "Of the first."


def test_a_field_without_a_text_is_an_error() -> None:
    with pytest.raises(KeyError, match=r"Second\.bare"):
        text_of(Second, "bare")


def test_without_sources_options_have_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: object) -> str:
        raise OSError("source code not available")

    monkeypatch.setattr("inspect.getsource", absent)
    option_texts._texts.cache_clear()
    assert text_of(Second, "below") == ""
    assert text_of(Second, "described") == "In the field."


@pytest.mark.parametrize("model", [RunConfig, SynthOptions])
def test_every_option_has_a_text(model: type[BaseModel]) -> None:
    assert all(text_of(model, name) for name in model.model_fields)
