"""The page of a batch: every trial with its verdict, and the way to its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kinefit.io.atomic import write_text
from kinefit.report.parts import environment
from kinefit.report.viewer import policy, style_sheet


@dataclass(frozen=True)
class BatchRow:
    """A trial on the page.

    status: "failed", "unusable", "caution" or "good". words: what limits it. frames: of its
    result; seconds: that it took; None where unknown. links: (word, address beside the page).
    """

    name: str
    status: str
    words: str
    frames: int | None
    seconds: float | None
    links: Sequence[tuple[str, str]]


def write_batch_page(
    path: Path, title: str, facts: Sequence[tuple[str, str]], rows: Sequence[BatchRow]
) -> None:
    """Write the page, atomically; rows are shown in their order, text is escaped.

    facts: (name, value) of the header.
    """
    template = environment().get_template("batch.html")
    how = {"style": style_sheet(), "policy": policy([])}
    write_text(path, template.render(title=title, facts=facts, rows=rows, **how))
