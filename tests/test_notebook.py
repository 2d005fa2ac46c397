"""The example notebook is the script, run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.notebook import SCRIPT, cells_of, lines, notebook_of


def test_the_notebook_in_the_documentation_is_of_the_script() -> None:
    made = json.loads(SCRIPT.with_suffix(".ipynb").read_text("utf-8"))["cells"]
    kinds = {True: "markdown", False: "code"}
    cells = [(kinds[text], lines(source)) for text, source in cells_of(SCRIPT.read_text("utf-8"))]
    assert [(cell["cell_type"], cell["source"]) for cell in made] == cells
    assert all(cell["outputs"] for cell in made if cell["cell_type"] == "code")
    assert str(Path.home()) not in json.dumps(made)


def test_cells_are_run_in_order_and_show_what_they_give() -> None:
    made = notebook_of("# %% [markdown]\n# Twice\n#\n# two\n\n# %%\na = 2\nprint('x')\na * 2\n")
    text, code = made["cells"]
    assert text["source"] == ["Twice\n", "\n", "two"]
    assert code["outputs"][0]["text"] == ["x\n"]
    assert code["outputs"][1]["data"]["text/plain"] == ["4"]


def test_an_error_in_a_cell_is_told() -> None:
    with pytest.raises(ZeroDivisionError):
        notebook_of("# %%\n1 / 0\n")
