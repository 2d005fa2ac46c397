"""The pairs of points that limbs connect, for whoever needs directions or lengths: `limbs.toml`.

Points are named as in the other tables of this folder.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinefit.skeletons.table import mirror_name


class Limb(NamedTuple):
    """From one named point to another.

    kind: a word of `limbs.toml` ("long": upper arm, forearm, thigh, shank). length_sd: standard
    deviation of the length over a movement, in parts of it; 0 where the pair is no bone.
    """

    name: str
    start: str
    end: str
    kind: str = ""
    length_sd: float = 0.0


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("kinefit.skeletons") / "limbs.toml").read_text("utf-8"))


def _rows() -> Iterator[Limb]:
    for name, row in _table()["sided"].items():
        a, b = row["ends"]
        for side, word in (("L", "left"), ("R", "right")):
            yield Limb(f"{word} {name}", side + a, side + b, row["kind"], row["sd"])
    for name, row in _table()["across"].items():
        a, b = row["ends"]
        yield Limb(name, a, b, row["kind"], row["sd"])


@cache
def limbs(*kinds: str) -> tuple[Limb, ...]:
    """The limbs of these kinds, in the order of the table, left before right; of all, without any.

    Raises KeyError for a kind that the table does not have.
    """
    rows = tuple(_rows())
    unknown = set(kinds) - {limb.kind for limb in rows}
    if unknown:
        raise KeyError(f"limbs.toml has no kind {sorted(unknown)[0]!r}")
    return tuple(limb for limb in rows if not kinds or limb.kind in kinds)


def limbs_among(points: Iterable[str], chosen: Iterable[Limb]) -> tuple[Limb, ...]:
    """Those of the limbs whose two ends are among the named points."""
    names = set(points)
    return tuple(limb for limb in chosen if limb.start in names and limb.end in names)


def ends(points: Sequence[str], chosen: Sequence[Limb]) -> NDArray[np.int64]:
    """(B, 2) columns of the limbs' ends; ValueError where a point is missing."""
    places = [(points.index(limb.start), points.index(limb.end)) for limb in chosen]
    return np.array(places, np.int64).reshape(-1, 2)


def twins(chosen: Sequence[Limb]) -> NDArray[np.int64]:
    """(B,) which of the limbs is the same one of the other side; itself where there is none."""
    place = {frozenset((limb.start, limb.end)): i for i, limb in enumerate(chosen)}
    mirrored = [frozenset(map(mirror_name, (limb.start, limb.end))) for limb in chosen]
    return np.array([place.get(pair, i) for i, pair in enumerate(mirrored)], np.int64)


def acceleration_density(points: Sequence[str]) -> NDArray[np.float64]:
    """(J,) m^2/s^3, the spectral density of each point's acceleration: larger moves quicker."""
    density = _table()["acceleration"]
    words = [word for word in density if word != "other"]
    known = [next((density[w] for w in words if w in name), density["other"]) for name in points]
    return np.array(known, np.float64)


LONG_BONES = limbs("long")
"""The eight bones of arms and legs, which do not bend."""


def _direction_fields() -> tuple[Limb, ...]:
    by_name = {limb.name: limb for limb in limbs()}
    arms, legs = ("upper arm", "forearm"), ("thigh", "shank")
    sided = [f"{side} {part}" for parts in (arms, legs) for side in ("left", "right")
             for part in parts]  # fmt: skip
    rest = ("shoulders", "hips", "left trunk", "right trunk", "left diagonal", "right diagonal")
    return tuple(by_name[name] for name in (*sided, *rest))


LIMBS = _direction_fields()
"""Part orientation fields (Xiang, Joo & Sheikh 2019, CVPR, "Monocular total capture") on the points
of COCO: what a network that lifts pictures to directions predicts, in this order."""
