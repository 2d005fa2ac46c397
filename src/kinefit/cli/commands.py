"""All commands, each loaded when it is named.

A command parses, calls the library, and prints what it did. `kinefit.api` is imported inside the
commands: it brings the numerical libraries, and --help should not wait for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from typer.main import get_group

from kinefit.cli.front_page import Kinefit, new_app
from kinefit.cli.help import App

# Name -> where in kinefit.cli the command, or the group of commands, is.
_MODULES = {
    "run": "video.run",
    "demo": "video.demo",
    "batch": "batch.batch",
    "fit": "fit.fit",
    "masks": "video.masks",
    "join": "video.join",
    "ik": "markers.ik",
    "angles": "markers.angles",
    "augment": "markers.augment",
    "refine": "markers.refine",
    "view": "results.view",
    "export": "results.export",
    "web": "web.web",
    "calibration": "cameras.calibration",
    "triangulate": "cameras.triangulate",
    "synth": "synth.synth",
    "eval": "evaluate.evaluate",
    "train": "train.train",
}


@cache
def _command(name: str) -> Any:
    """As typer makes it."""
    module, _, attribute = _MODULES[name].partition(".")
    made = getattr(import_module(f"kinefit.cli.{module}"), attribute)
    app = App()
    if isinstance(made, App):
        app.add_typer(made, name=name)
    else:
        app.command(name)(made)
    return get_group(app).commands[name]


class _Loaded(Mapping[str, Any]):
    """Name -> command, made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        if name not in _MODULES:
            raise KeyError(name)
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


class _Commands(Kinefit):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _Loaded()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


app = new_app(_Commands)
