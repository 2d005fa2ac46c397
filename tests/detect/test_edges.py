"""Edges of what stands still."""

from __future__ import annotations

import numpy as np

from kinefit.detect.edges import straight_edges
from kinefit.io.video import Picture
from kinefit.types import FloatArray

NOBODY = np.full((5, 4), np.nan)


def pictures(size: tuple[int, int] = (640, 480), walker: bool = True) -> list[Picture]:
    """Five grey pictures with a white wall from x = 200 on, and a dark square that moves."""
    out = []
    for i in range(5):
        one = np.full((*size, 3), 120, np.uint8)
        one[:, 200:] = 200
        if walker:
            one[300:400, 40 + 30 * i : 60 + 30 * i] = 0
        out.append(one)
    return out


def upright(edges: FloatArray) -> FloatArray:
    """x of the edges that are upright."""
    x = edges[:, 0::2]
    return np.asarray(x.mean(axis=1)[np.abs(np.diff(x)[:, 0]) < 3])


def test_what_stands_still_is_found_where_it_is_and_what_moves_is_not() -> None:
    found = straight_edges(pictures(), NOBODY)
    assert len(found)
    assert np.allclose(upright(found), 199.5, atol=1.0)
    assert np.abs(np.diff(found[:, 1::2])).max() > 600
    still = pictures(walker=False)
    still[0] = pictures()[0]
    assert len(straight_edges([pictures()[0]] * 5, NOBODY)) > len(straight_edges(still, NOBODY))


def test_large_pictures_keep_their_pixels() -> None:
    large = [np.repeat(np.repeat(one, 4, axis=0), 4, axis=1) for one in pictures(walker=False)]
    found = straight_edges(large, NOBODY)
    assert np.allclose(upright(found), 799.5, atol=2.0)  # one pixel of the reduced picture


def test_bars_beside_the_picture_and_people_who_stand_are_no_walls() -> None:
    barred = pictures(walker=False)
    for one in barred:
        one[:, 60:] = 120
        one[:, :60] = one[:, 440:] = 0  # wide ones
    assert not len(straight_edges(barred, NOBODY))
    around = np.tile([190.0, 0, 210, 640], (5, 1))
    assert not len(straight_edges(pictures(), around))
    passing = np.full((5, 4), np.nan)
    passing[:2] = around[:2]
    assert len(straight_edges(pictures(), passing))


def test_nothing_gives_nothing() -> None:
    assert straight_edges([], np.empty((0, 4))).shape == (0, 4)
    assert straight_edges([np.zeros((64, 64, 3), np.uint8)], np.full((1, 4), np.nan)).shape == (
        0,
        4,
    )
