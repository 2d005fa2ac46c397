"""A camera's tilt, roll and focal length from the straight edges of the room that it shows.

Edges of walls, doors, windows and furniture run in three directions at right angles (Coughlan &
Yuille 1999, "Manhattan world", ICCV). In the picture, edges of one direction d run towards one
point, K d. So upright edges tell which way is up, whatever the person does; and where level edges
of both directions are seen, too, only one focal length leaves all three at right angles.

Places in the picture are in halves of its longer side, from its middle: K is diag(f, f, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kinefit.geometry.rotations import unit
from kinefit.types import FloatArray, IntArray

_SIGMA = np.radians(0.6)  # between an edge and the direction to its vanishing point
_LEAST_LENGTH = 0.025  # of the longer side: shorter edges point anywhere
_UPRIGHT = np.sin(np.radians(30.0))  # from where upright edges are expected, in the picture
_FEWEST = 4  # upright edges
_PAIRS, _MODES, _APART = 3000, 6, np.radians(2.0)
# Upright edges (roots of their lengths) that may meet by chance. Of 55 rendered views with 1, 1.5,
# 2: told in 63, 53, 45 %, and 95 % of these within 5.3, 2.8, 3.2 degrees.
_CHANCE = 1.5
_SIGMAS = 3.0  # from where up is expected: nobody is that far off balance
_HEADINGS = np.radians(np.arange(0.0, 90.0))
_RATIOS = np.arange(-0.9, 0.91, 0.05)  # of focal lengths, logarithms: beyond any usual lens
_FINER = np.arange(-0.04, 0.041, 0.01)
# What edges that are not quite upright, and lenses that bend them, leave.
_LEAST_UP_SD, _LEAST_FOCAL_SD = np.radians(1.0), 0.02
_MOST_UP_SD, _MOST_FOCAL_SD = np.radians(4.0), 0.06


@dataclass(frozen=True, eq=False)
class Room:
    """up: (3,) unit, camera axes, and its deviation, radians, about each horizontal axis.
    focal_px, focal_sd: pixels and relative; None where the room does not tell."""

    up: FloatArray
    up_sd: float
    focal_px: float | None = None
    focal_sd: float = 0.0


class _Edges(NamedTuple):
    """middle, along (unit): (S, 2). weight: (S,) root of the length."""

    middle: FloatArray
    along: FloatArray
    weight: FloatArray

    def sine(self, points: FloatArray) -> FloatArray:
        """(U, S) of the angle between each edge and the way to each of vanishing points (U, 3)."""
        x, y = (points[:, k, None] - points[:, 2, None] * self.middle[:, k] for k in range(2))
        off = x * self.along[:, 1] - y * self.along[:, 0]
        return np.asarray(off / np.maximum(np.sqrt(x * x + y * y), 1e-6))

    def support(self, points: FloatArray) -> FloatArray:
        """(U, S) 0..1: how well each edge runs towards each of vanishing points (U, 3)."""
        return np.asarray(np.exp(-0.5 * (self.sine(points) / _SIGMA) ** 2))

    def some(self, which: FloatArray | IntArray) -> _Edges:
        return _Edges(*(values[which] for values in self))


def camera_of_room(
    edges: FloatArray, size: tuple[int, int], K: FloatArray, up: FloatArray, up_sd: float,
    focal_sd: float,
) -> Room | None:  # fmt: skip
    """What the edges tell beyond what was expected; None where that is nothing.

    edges: (S, 4) pixels, x and y of both ends. K: (3, 3) and the relative deviation of its focal
    length, 0 where it is known. up: (3,) camera axes, with its deviation, radians.

    Every vanishing point in which upright edges may meet and every focal length is weighed by the
    edges that it explains and by what was expected; what is returned is the mean, with the spread
    among all of them. (Eight calibrated views of a room: 0.02-0.8 degrees and 0.8 % off: see
    docs/measurements/monocular.md.)
    """
    half = max(size) / 2
    seen = _in_halves(edges, K[:2, 2], half)
    focal = K[0, 0] / half
    found = _upright_points(seen, focal, up, up_sd)
    if found is None:
        return None
    points, upright = found
    ratios = _RATIOS if focal_sd > 0 else np.zeros(1)

    def weigh(ratios: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(M, F) logarithms of probabilities, and (M, F, 3) where up is."""
        ups = _directions(points[:, None], focal * np.exp(ratios)[None, :, None], up)
        level = np.array([
            [_level(seen, u, f, p) for u, f in zip(row, focal * np.exp(ratios), strict=True)]
            for row, p in zip(ups, points, strict=True)
        ])  # fmt: skip
        odds = upright[:, None] + level - 0.5 * (_angle(ups, up) / up_sd) ** 2
        return odds - 0.5 * (ratios / focal_sd) ** 2 if focal_sd > 0 else odds, ups

    odds, ups = weigh(ratios)
    if focal_sd > 0:
        best = ratios[odds.max(axis=0).argmax()]
        ratios = np.unique(np.concatenate([ratios, best + _FINER]).round(4))
        odds, ups = weigh(ratios)
    step = np.gradient(ratios) if len(ratios) > 1 else np.ones(1)
    share = np.exp(odds - odds.max()) * step
    share /= share.sum()
    evidence = upright - 0.5 * (_angle(ups, up).min(axis=1) / up_sd) ** 2
    if not share.sum(axis=1) @ evidence >= _CHANCE:
        return None
    return _told(share, ups, ratios, K[0, 0], min(_MOST_FOCAL_SD, focal_sd / 2))


def _told(
    share: FloatArray, ups: FloatArray, ratios: FloatArray, focal_px: float, most_sd: float
) -> Room | None:
    """The means by `share` (M, F), where these are narrow: that of the focal length to `most_sd`,
    which is half of what was known without edges."""
    each = share.sum(axis=0)
    ratio = float(each @ ratios)
    sd = float(np.sqrt(each @ (ratios - ratio) ** 2))
    told = len(ratios) > 1 and sd <= most_sd
    # Where the focal length is not told, what goes with the assumed one alone would keep edges
    # running towards K up; but of 55 rendered views that is 1.25 degrees off (median), this 0.74.
    up = unit((share[..., None] * ups).sum(axis=(0, 1)))
    spread = float(np.sqrt((share * _angle(ups, up) ** 2).sum() / 2))
    if not spread <= _MOST_UP_SD:
        return None
    up_sd = float(np.hypot(spread, _LEAST_UP_SD))
    if not told:
        return Room(up, up_sd)
    return Room(up, up_sd, focal_px * float(np.exp(ratio)), float(np.hypot(sd, _LEAST_FOCAL_SD)))


def _in_halves(edges: FloatArray, centre: FloatArray, half: float) -> _Edges:
    ends = (edges.reshape(-1, 2, 2) - centre) / half
    along = ends[:, 1] - ends[:, 0]
    length = np.linalg.norm(along, axis=-1)
    long = length > 2 * _LEAST_LENGTH
    return _Edges(ends.mean(axis=1)[long], unit(along[long]), np.sqrt(length[long] / 2))


def _upright_points(
    edges: _Edges, focal: float, up: FloatArray, up_sd: float
) -> tuple[FloatArray, FloatArray] | None:
    """(M, 3) points in which upright edges may meet, and what they explain of these (M,)."""
    expected = edges.sine((up * [focal, focal, 1.0])[None])[0]
    own = edges.some(np.flatnonzero(np.abs(expected) < _UPRIGHT))
    if len(own.weight) < _FEWEST:
        return None
    one = np.ones((len(own.middle), 1))
    lines = np.cross(np.hstack([own.middle, one]), np.hstack([own.along, 0 * one]))
    rng = np.random.default_rng(0)
    a, b = rng.choice(len(lines), (2, _PAIRS), p=own.weight / own.weight.sum())
    points = np.cross(lines[a], lines[b])
    points = points[np.linalg.norm(points, axis=-1) > 1e-6]
    near = _angle(_directions(points, focal, up), up) < _SIGMAS * up_sd
    points = points[near]
    parts = np.array_split(points, 1 + len(points) // 500)  # 500 at a time stay in the cache
    score = np.concatenate([own.support(part) @ own.weight for part in parts])
    chosen: list[FloatArray] = []
    for point in points[np.argsort(-score)]:
        where = _directions(point, focal, up)
        if all(_angle(where, _directions(p, focal, up)) > _APART for p in chosen):
            chosen.append(point)
        if len(chosen) == _MODES:
            break
    if not chosen:
        return None
    refined = np.array([_refined(own, lines, focal, point) for point in chosen])
    return refined, own.support(refined) @ own.weight


def _refined(edges: _Edges, lines: FloatArray, focal: float, point: FloatArray) -> FloatArray:
    """The point that the edges that run towards it meet in, by reweighted least squares."""
    normals = unit(lines * [focal, focal, 1.0])  # of the planes through the camera and an edge
    for _ in range(8):
        weight = edges.weight**4 * edges.support(point[None])[0]
        _, axes = np.linalg.eigh((normals * weight[:, None]).T @ normals)
        point = axes[:, 0] * [focal, focal, 1.0]
    return point


def _level(edges: _Edges, up: FloatArray, focal: float, point: FloatArray) -> float:
    """What two level directions at right angles explain at best, of edges that are not upright."""
    others = edges.some(np.flatnonzero(edges.support(point[None])[0] < 0.1))
    ahead = unit(np.array([0.0, 0.0, 1.0]) - up[2] * up)
    c, s = np.cos(_HEADINGS)[:, None], np.sin(_HEADINGS)[:, None]
    right = np.cross(up, ahead)
    scale = [focal, focal, 1.0]
    both = (others.support((c * right + s * ahead) * scale),
            others.support((c * ahead - s * right) * scale))  # fmt: skip
    return float((np.maximum(*both) @ others.weight).max(initial=0.0))


def _directions(points: FloatArray, focal: FloatArray | float, up: FloatArray) -> FloatArray:
    """(..., 3) unit directions of vanishing points, the way that is nearer to `up`."""
    focal = np.asarray(focal)
    found = unit(np.concatenate([points[..., :2] / focal, points[..., 2:]
                                 + 0 * focal], axis=-1))  # fmt: skip
    return np.asarray(found * np.where(found @ up < 0, -1.0, 1.0)[..., None])


def _angle(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(np.arccos(np.clip((a * b).sum(axis=-1), -1, 1)))
