"""Which points of a body keep their distance, and how quickly each can move: `bones.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from kinefit.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Bones:
    """The nearly rigid pairs among J named points.

    names: B words, "left forearm". ends: (B, 2) columns. sd: (B,) of the length over a movement,
    in parts of the length. twin: (B,) the same bone of the other side, itself where there is none.
    """

    names: tuple[str, ...]
    ends: IntArray
    sd: FloatArray
    twin: IntArray


def bones_among(points: Sequence[str]) -> Bones:
    """The bones of `bones.toml` that the named points have both ends of."""
    table, column = _table(), {name: i for i, name in enumerate(points)}
    rows: list[tuple[str, str, str, float]] = []
    for name, bone in table["bones"].items():
        a, b = bone["ends"]
        for side, word in (("L", "left"), ("R", "right")):
            rows.append((f"{word} {name}", side + a, side + b, bone["sd"]))
    rows += [(name, *bone["ends"], bone["sd"]) for name, bone in table["across"].items()]
    rows = [row for row in rows if row[1] in column and row[2] in column]
    names = [row[0].replace("_", " ") for row in rows]
    twins = [
        names.index(other) if (other := _other(n)) in names else i for i, n in enumerate(names)
    ]
    return Bones(
        tuple(names),
        np.array([[column[a], column[b]] for _, a, b, _ in rows], np.int64).reshape(-1, 2),
        np.array([sd for *_, sd in rows]),
        np.array(twins, np.int64),
    )


def acceleration_density(points: Sequence[str]) -> FloatArray:
    """(J,) m^2/s^3, the spectral density of each point's acceleration: larger moves quicker."""
    speed = _table()["speed"]
    words = [word for word in speed if word != "other"]
    known = [next((speed[w] for w in words if w in name), speed["other"]) for name in points]
    return np.array(known)


def _other(name: str) -> str:
    side, _, bone = name.partition(" ")
    return {"left": f"right {bone}", "right": f"left {bone}"}.get(side, name)


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("kinefit.multiview") / "bones.toml").read_text("utf-8"))
