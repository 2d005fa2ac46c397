"""The example notebook: docs/examples/first_steps.py, run cell by cell.

    python -m benchmarks.notebook

A notebook is JSON (nbformat 4.5), so neither Jupyter nor its libraries are needed. Cells begin with
`# %%`, those of text with `# %% [markdown]`. Work is done in a folder that is removed afterwards.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import re
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

SCRIPT = Path(__file__).parents[1] / "docs" / "examples" / "first_steps.py"
_CELL = re.compile(r"^# %%(.*)\n", re.MULTILINE)


def cells_of(script: str) -> list[tuple[bool, str]]:
    """(whether it is text, its source without empty lines around it) of each cell."""
    parts = _CELL.split(script)[1:]
    cells = []
    for kind, body in zip(parts[::2], parts[1::2], strict=True):
        text = "[markdown]" in kind
        cells.append((text, re.sub(r"^# ?", "", body, flags=re.MULTILINE) if text else body))
    return [(text, source.strip()) for text, source in cells]


def notebook_of(script: str) -> dict[str, Any]:
    """The notebook, with what its cells gave; raises what a cell raises."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells: list[dict[str, Any]] = []
    for number, (text, source) in enumerate(cells_of(script), start=1):
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}, "source": lines(source)}
        if text:
            cell["cell_type"] = "markdown"
        else:
            cell |= {"cell_type": "code", "execution_count": number}
            cell["outputs"] = _run(source, names, number)
        cells.append(cell)
    language = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                "language_info": {"name": "python"}}  # fmt: skip
    return {"cells": cells, "metadata": language, "nbformat": 4, "nbformat_minor": 5}


def lines(source: str) -> list[str]:
    """As nbformat has them: each with its end."""
    return source.splitlines(keepends=True)


def _run(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """What a cell prints, and the value of its last line."""
    tree, printed, value = ast.parse(source), io.StringIO(), None
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if said := printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines(said)})
    if value is not None:
        result = {"output_type": "execute_result", "execution_count": number, "metadata": {}}
        outputs.append(result | {"data": _shown(value)})
    return outputs


def _shown(value: object) -> dict[str, Any]:
    data: dict[str, Any] = {"text/plain": lines(repr(value))}
    if isinstance(value, Figure):
        picture = io.BytesIO()
        value.savefig(picture, dpi=80, metadata={"Software": None})
        data = {"image/png": base64.b64encode(picture.getvalue()).decode(),
                "text/plain": ["<Figure>"]}  # fmt: skip
    elif hasattr(value, "_repr_html_"):
        data["text/html"] = lines(value._repr_html_())
    return data


def main() -> None:
    script = SCRIPT.read_text("utf-8")
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            made = notebook_of(script)
        finally:
            os.chdir(home)
    SCRIPT.with_suffix(".ipynb").write_text(json.dumps(made, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
