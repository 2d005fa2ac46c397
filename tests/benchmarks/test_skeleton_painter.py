"""A skeleton on a grey picture: colours, places, paleness."""

import numpy as np
import pytest

from benchmarks.suite.skeleton_painter import SkeletonPainter
from kinefit.render.palette import SIDE_COLOR, rgb
from kinefit.skeletons import skeleton

NAMES = skeleton("blazepose33").points
GREY = 90


def drawn(names=NAMES, score=1.0, points=None) -> np.ndarray:
    """A person whose right leg is a vertical line at x = 150 and left leg one at x = 350."""
    xy = np.full((len(names), 2), np.nan)
    for side, x in (("R", 150), ("L", 350)):
        for name, y in (("Hip", 300), ("Knee", 550), ("Ankle", 800)):
            xy[names.index(side + name)] = (x, y)
    picture = np.full((960, 540, 3), GREY, np.uint8)
    SkeletonPainter(names, 960).draw(
        picture, xy if points is None else points, np.full(len(names), score)
    )
    return picture.astype(int)


@pytest.mark.parametrize("table", ["blazepose33", "coco17"])
def test_sides_have_their_colours_at_the_right_place(table):
    shown = drawn(skeleton(table).points)
    for x, side in ((150, "right"), (350, "left")):
        assert (shown[425, x] == rgb(SIDE_COLOR[side])).all()  # half way down the thigh
        assert (shown[425, x + 3] > 180).all()  # a light rim
    assert (shown[425, 250] == GREY).all()  # between the legs: untouched
    assert (shown[200] == GREY).all()


def test_unsure_points_are_pale():
    sure, pale = (drawn(score=s)[425, 150] - GREY for s in (1.0, 0.2))
    assert 0.3 < np.abs(pale).sum() / np.abs(sure).sum() < 0.5


def test_nobody_leaves_the_picture_as_it_is():
    assert (drawn(points=np.full((len(NAMES), 2), np.nan)) == GREY).all()
