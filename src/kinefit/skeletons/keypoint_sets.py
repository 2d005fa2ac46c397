"""Which set of points a 2D pose file holds: by their number, and by anatomy where two share one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.skeletons.limbs import ends, limbs, limbs_among
from kinefit.skeletons.table import skeleton

# How much worse the proportions of the next best set must be (mean logarithm), to be sure.
# In 40 trials on a walk (all sets that share a number; whole people, without legs, without arms, of
# one side only) the right one led by 0.13 or more.
_SURE = 0.12
_NO_BODY = 0.45  # the right one was at most at 0.33; beyond, nothing is told
# Unless the next is far worse: near wide lenses the right one is at up to 0.45, the next at 0.85.
_HARDLY_A_BODY, _FAR_WORSE = 0.6, 0.25
_FARTHEST = 1.5  # (logarithm) a limb 4.5 times too long or too short says all that it can
_FEWEST_LIMBS = 5  # for a say
_MOST_PERSONS = 2000  # of a file; more add nothing


@dataclass(frozen=True)
class KeypointSet:
    """name: as `--keypoint-set` takes it. about: whose it is. counts: points of a person in a
    file. points: names of the first of them, which are the body's."""

    name: str
    about: str
    counts: tuple[int, ...]
    points: tuple[str, ...]


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("kinefit.skeletons") / "keypoint_sets.toml").read_text("utf-8"))


@cache
def keypoint_sets() -> tuple[KeypointSet, ...]:
    """All known sets, of one number the commonest first."""
    return tuple(
        KeypointSet(
            name, row["about"], tuple(row["counts"]),
            tuple(row["points"]) if "points" in row else skeleton(row["skeleton"]).points,
        )
        for name, row in _table().items() if name != "limb_shares"
    )  # fmt: skip


@dataclass(frozen=True)
class KeypointSetGuess:
    """What the persons of a file, or of all cameras' files, say of the set of their points.

    count: points of a person. off: set -> how far their proportions are from a body's (mean
    logarithm; infinite: nothing is told), all sets of that number. persons: how many were looked
    at.
    """

    count: int
    off: Mapping[str, float]
    persons: int = 0

    def __post_init__(self) -> None:
        numbers = (self.count, self.persons, *self.off.values())
        if {s.name for s in self.sets} != set(self.off) or not self.off:
            raise ValueError("KeypointSetGuess.off must be of all sets of that number of points.")
        if not all(type(n) in (int, float) and n >= 0 for n in numbers):
            raise ValueError("KeypointSetGuess: numbers must be 0 or more.")

    @classmethod
    def of(cls, points: NDArray[np.float64]) -> KeypointSetGuess:
        """From persons (N, J, 3), NaN where a point is missing. In a wrong order lines run across
        the body: an "upper arm" from the shoulder to the knee."""
        count = points.shape[1]
        some = points[:: len(points) // _MOST_PERSONS + 1]
        sets = _of_number(count)
        # One set leaves nothing to tell.
        off = {s.name: _disproportion(some, s) if len(sets) > 1 else 0.0 for s in sets}
        return cls(count, off, len(some))

    @classmethod
    def together(cls, guesses: Sequence[KeypointSetGuess]) -> KeypointSetGuess:
        """That of several cameras, which one program looked at: the mean over all persons of the
        cameras that tell anything, the same number of points in each."""
        able = [g for g in guesses if np.isfinite(list(g.off.values())).all()] or guesses[:1]
        weights = np.array([max(g.persons, 1) for g in able], float)
        off = {n: float(np.average([g.off[n] for g in able], weights=weights)) for n in able[0].off}
        return cls(able[0].count, off, sum(g.persons for g in able))

    @property
    def best(self) -> tuple[KeypointSet, bool]:
        """The set that makes a body of them, and whether it is clearly so (the commonest one
        where not)."""
        sets = self.sets
        off = np.array([self.off[s.name] for s in sets])
        best, *others = np.argsort(off)
        if not others:
            return sets[0], True
        ahead = off[others[0]] - off[best] if np.isfinite(off[best]) else 0.0
        sure = (off[best] < _NO_BODY and ahead > _SURE) or (
            off[best] < _HARDLY_A_BODY and _FAR_WORSE < ahead < np.inf
        )
        return sets[best if sure else 0], bool(sure)

    @property
    def sets(self) -> list[KeypointSet]:
        """All of that number, the commonest first."""
        return _of_number(self.count)


def _of_number(count: int) -> list[KeypointSet]:
    return [s for s in keypoint_sets() if count in s.counts]


def _disproportion(points: NDArray[np.float64], told: KeypointSet) -> float:
    """Mean difference (logarithm) of the limbs' median lengths from a body's; infinite where too
    few limbs are seen."""
    chosen = limbs_among(told.points, limbs("long", "trunk", "girdle", "face", "foot"))
    shares = [_share(limb.name) for limb in chosen]
    a, b = ends(told.points, chosen).T
    xy = points[..., :2]
    length = np.linalg.norm(xy[:, a] - xy[:, b], axis=-1)
    known = np.array([s > 0 for s in shares]) & (length > 0).any(axis=0)
    if known.sum() < _FEWEST_LIMBS:
        return float("inf")
    ratio = np.log(np.nanmedian(length[:, known], axis=0).clip(1e-6) / np.array(shares)[known])
    return float(np.abs(ratio - np.median(ratio)).clip(max=_FARTHEST).mean())


def _share(limb: str) -> float:
    shares: dict[str, float] = _table()["limb_shares"]
    return shares.get(limb.removeprefix("left ").removeprefix("right "), 0.0)
