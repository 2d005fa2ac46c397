"""Every example in a docstring gives what it says."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import kinefit

ROOT = Path(kinefit.__file__).parent
MODULES = [
    ".".join(("kinefit", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if "to_dataframe" in Path(str(import_module(module).__file__)).read_text("utf-8"):
        pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)  # they name files that are not there
    done = doctest.testmod(import_module(module))
    assert done.attempted > 0
    assert done.failed == 0
