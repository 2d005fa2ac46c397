"""Skeleton tables: data files, and the one function that maps between them by name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Skeleton:
    """A named, ordered list of points.

    name: the file's stem, e.g. "blazepose33".
    points: names in the order of the source's arrays.
    edges: pairs of names to draw.
    derived: point -> points whose mean stands for it where a source lacks it.
    """

    name: str
    points: tuple[str, ...]
    edges: tuple[tuple[str, str], ...] = ()
    derived: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def mirror(self) -> NDArray[np.int64]:
        """(J,) index of each point's other-side twin; midline points map to themselves."""
        column = {name: i for i, name in enumerate(self.points)}
        return np.array([column.get(mirror_name(n), column[n]) for n in self.points])


def mirror_name(name: str) -> str:
    """The same point on the other side: "LKnee" <-> "RKnee", "r_knee_study" <-> "L_knee_study".

    A name that carries no side comes back unchanged. The right side of the augmented set is
    spelled with a lower-case r, its left with a capital L; its hip joint centres with capitals.
    """
    if name.endswith("_study") and name[0] in "rL" and name[1] in "._":
        return ("L" if name[0] == "r" else "r") + name[1:]
    if name[0] in "LR" and len(name) > 1 and name[1].isupper():
        return ("R" if name[0] == "L" else "L") + name[1:]
    return name


@cache
def skeleton(name: str) -> Skeleton:
    """The skeleton stored as `name`.toml beside this module; KeyError for an unknown name."""
    path = files("kinefit.skeletons") / f"{name}.toml"
    if name not in skeleton_names():
        raise KeyError(f"no skeleton {name!r}; there are: {', '.join(skeleton_names())}")
    table = tomllib.loads(path.read_text("utf-8"))
    return Skeleton(
        name=table["name"],
        points=tuple(table["points"]),
        edges=tuple((a, b) for a, b in table.get("edges", [])),
        derived={k: tuple(v) for k, v in table.get("derived", {}).items()},
    )


def skeleton_names() -> tuple[str, ...]:
    """Names of all stored skeletons, sorted."""
    entries = (p.name for p in files("kinefit.skeletons").iterdir())
    tables = (n.removesuffix(".toml") for n in entries if n.endswith(".toml"))
    return tuple(sorted(set(tables) - {"limbs", "marker_names", "keypoint_sets"}))


def map_points(values: NDArray[Any], source: Sequence[str], target: Skeleton) -> NDArray[Any]:
    """Reorder the points of `values` (..., J, D) from `source` names to `target`: (..., K, D).

    A point is taken by name; where the source lacks it, as the mean that the target's `derived`
    table gives, and NaN where neither exists. NaN in one source point touches only the targets
    made from it.
    """
    column = {name: i for i, name in enumerate(source)}
    mapped = np.full((*values.shape[:-2], len(target.points), values.shape[-1]), np.nan)
    for k, name in enumerate(target.points):
        parts = (name,) if name in column else target.derived.get(name, (name,))
        if all(part in column for part in parts):
            mapped[..., k, :] = values[..., [column[p] for p in parts], :].mean(axis=-2)
    return mapped
