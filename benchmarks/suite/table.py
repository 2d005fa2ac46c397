"""The sheet for people and for programs: one table per case, peers and baseline beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.suite.baseline import Compared, Verdict
from benchmarks.suite.measure import CaseResult, Sheet

FORMAT = "kinefit bench 1"
_MARK = {Verdict.WORSE: "**worse**", Verdict.NO_VALUE: "**no value**", Verdict.NEW: "*new*",
         Verdict.GONE: "**not measured**"}  # fmt: skip
_ARROW = {"lower": "↓", "higher": "↑", "none": ""}


def markdown(
    sheet: Sheet, compared: Sequence[Compared], gone: Sequence[str], command: str, folder: str
) -> str:
    """The whole table, GitHub's Markdown, ending in a line end.

    command: that made it. gone: cases of the baseline that were not run. folder: of the pictures,
    beside the table.
    """
    lines = [*_head(sheet, compared, gone, command)]
    for result in sheet.results:
        lines += ["", f"## {result.case[:1].upper()}{result.case[1:]}", ""]
        lines += _case(result, [c for c in compared if c.case == result.case])
    if sheet.pictures:
        lines += ["", "## Worst frames", "", _WORST]
    for name, caption in sheet.pictures.items():
        lines += ["", f"{caption}:", "", f"![{caption}]({folder}/{name})"]
    return "\n".join(lines) + "\n"


_WORST = (
    "Of the runs of each case the one frame with the largest mean error, in the camera where it "
    "shows best: the truth, what was found, and both from the side. Runs of one camera are "
    "compared after the best similarity. The folder has such a picture of every run."
)


def _head(
    sheet: Sheet, compared: Sequence[Compared], gone: Sequence[str], command: str
) -> Iterator[str]:
    yield "# Benchmark against known truth"
    yield ""
    motion = "kinefit's own" if sheet.motion is None else f"SHA-256 {sheet.motion[:12]}"
    yield f"Written by `{command}` (tier: {sheet.tier}; motions: {motion})."
    others = ", ".join(f"{name}: {state}" for name, state in sheet.peers.items())
    yield f"Peers: {others}." if others else "No peers."
    yield ""
    yield "↓: less is better. ↑: more is better. Lines without an arrow, and peers, are not judged."
    yield ""
    yield f"**{outcome(sheet, compared, gone)}**"
    yield from (f"- {problem}" for problem in problems(sheet, compared, gone))


def _case(result: CaseResult, compared: Sequence[Compared]) -> Iterator[str]:
    if result.failure is not None:
        yield f"**Failed**: {result.failure}"
        if not compared:
            return
        yield ""
    peers = list(dict.fromkeys(peer for line in result.lines for peer in line.peers))
    header = ["", "unit", "kinefit", *peers, "baseline", ""]
    yield _row(header)
    yield _row(["---", "---", *["---:"] * (len(peers) + 2), "---"])
    for one in compared:
        yield _row(_cells(one, peers))


def _cells(one: Compared, peers: Sequence[str]) -> list[str]:
    known = one.line or one.entry
    assert known is not None  # a line has a measurement, an entry, or both
    value = one.line.value if one.line else None
    others = one.line.peers if one.line else {}
    return [
        f"{one.name} {_ARROW[known.direction]}".rstrip(),
        known.unit,
        number(value),
        *(number(others.get(peer)) if peer in others else "" for peer in peers),
        number(one.entry.value) if one.entry else "-",
        _MARK.get(one.verdict, str(one.verdict)),
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def number(value: float | None) -> str:
    """Three significant digits, never as a power of ten; "-" for nothing."""
    if value is None:
        return "-"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.095 or size == 0 else 3
    return f"{value:.{digits}f}"


def passed(sheet: Sheet, compared: Sequence[Compared], gone: Sequence[str]) -> bool:
    """Whether every case ran, and every line is in the baseline and not worse than it."""
    return bool(compared) and not problems(sheet, compared, gone)


def outcome(sheet: Sheet, compared: Sequence[Compared], gone: Sequence[str]) -> str:
    """The outcome in a sentence."""
    if not compared and not sheet.failures:
        return "Nothing was measured."
    better = sum(one.verdict is Verdict.BETTER for one in compared)
    judged = sum(one.verdict is not Verdict.REPORTED for one in compared)
    if passed(sheet, compared, gone):
        gained = f", {better} better" if better else ""
        return f"Passed: none of {judged} judged lines is worse than the baseline{gained}."
    count = len(problems(sheet, compared, gone))
    return f"Failed: {count} problem{'s' if count > 1 else ''} ({judged} judged lines)."


def problems(sheet: Sheet, compared: Sequence[Compared], gone: Sequence[str]) -> list[str]:
    """Why the bench fails, a sentence each: cases that failed, and lines that do not pass."""
    out = [f"{result.case}: failed: {result.failure}" for result in sheet.failures]
    out += [f"{case}: is in the baseline and was not run" for case in gone]
    failed = {result.case for result in sheet.failures}
    for case in dict.fromkeys(one.case for one in compared):
        here = [c for c in compared if c.case == case and not c.verdict.passes]
        out += [f"{case}: {c.name}: {_why(c)}" for c in here if c.verdict not in _TOGETHER]
        for verdict in _TOGETHER:
            names = [c.name for c in here if c.verdict is verdict]
            if names and not (case in failed and verdict is Verdict.GONE):
                out.append(f"{case}: {verdict}: {_listed(names)}")
    return out


# Reported for all lines of a case together: a new case has many.
_TOGETHER = (Verdict.NEW, Verdict.GONE)
_MOST_NAMES = 3


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return "; ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _why(one: Compared) -> str:
    if one.verdict is not Verdict.WORSE or one.line is None or one.entry is None:
        return str(one.verdict)
    allowed = one.entry.tolerance.allowed(one.entry.value)
    return (
        f"{number(one.line.value)} {one.entry.unit} is worse than {number(one.entry.value)} "
        f"(allowed: {number(allowed)} more or less)"
    )


def as_json(sheet: Sheet, compared: Sequence[Compared], gone: Sequence[str]) -> dict[str, Any]:
    """Everything, as plain values: missing is null."""
    cases: dict[str, Any] = {}
    for result in sheet.results:
        rows = {c.name: _line_json(c) for c in compared if c.case == result.case}
        cases[result.case] = {
            "seconds": round(result.seconds, 2),
            "failure": result.failure,
            "lines": rows,
        }
    return {
        "format": FORMAT,
        "tier": sheet.tier,
        "motion_sha256": sheet.motion,
        "peers": dict(sheet.peers),
        "passed": passed(sheet, compared, gone),
        "problems": problems(sheet, compared, gone),
        "cases": cases,
        "pictures": dict(sheet.pictures),
    }


def _line_json(one: Compared) -> dict[str, Any]:
    known = one.line or one.entry
    assert known is not None
    return {
        "value": one.line.value if one.line else None,
        "unit": known.unit,
        "direction": known.direction,
        "peers": dict(one.line.peers) if one.line else {},
        "baseline": one.entry.value if one.entry else None,
        "verdict": one.verdict.value,
    }
