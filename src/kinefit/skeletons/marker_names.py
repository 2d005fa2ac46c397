"""What the markers of laboratories are called: `marker_names.toml`, for every reader of markers."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from kinefit.skeletons.table import skeleton, skeleton_names

_AUGMENTED = "_study"


class MarkerPlace(NamedTuple):
    """place: its name in the table. side: "R", "L" or "" in the plane of symmetry. rank: of this
    name among those of the place, the preferred one first."""

    place: str
    side: str
    rank: int


def place_of(name: str) -> MarkerPlace | None:
    """Where a marker of that name is; None for a name that is not in the table."""
    key = name.lower()
    found = marker_table().get(key.removesuffix(_AUGMENTED))
    return found and found._replace(rank=2 * found.rank + (not key.endswith(_AUGMENTED)))


def is_known(name: str) -> bool:
    """Whether a name is a laboratory's marker or a keypoint of a skeleton, in any letter case."""
    return place_of(name) is not None or name.lower() in _keypoints()


def same_places(names: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """Name -> the one of `wanted` that is at the same place, for names that `wanted` has not.

    A name of `wanted` that is among `names` already is not given away, and none is given twice.
    """
    at = {p[:2]: name for name in reversed(wanted) if (p := place_of(name))}
    taken, out = set(names), {}
    ranked = sorted((p.rank, name, p[:2]) for name in names if (p := place_of(name)))
    for _, name, place in ranked:
        target = at.get(place)
        if name not in wanted and target is not None and target not in taken:
            out[name] = target
            taken.add(target)
    return out


@cache
def marker_table() -> dict[str, MarkerPlace]:
    """Marker name in lower case -> where it is."""
    text = (files("kinefit.skeletons") / "marker_names.toml").read_text("utf-8")
    out: dict[str, MarkerPlace] = {}
    for row in tomllib.loads(text)["marker"]:
        for rank, pattern in enumerate(row["names"]):
            for side in "RL" if "{s}" in pattern else ("",):
                name = pattern.replace("{s}", side).lower()
                if name in out:
                    raise ValueError(f"marker_names.toml places {name} twice")
                out[name] = MarkerPlace(row["place"], side, rank)
    return out


@cache
def _keypoints() -> frozenset[str]:
    return frozenset(p.lower() for name in skeleton_names() for p in skeleton(name).points)
