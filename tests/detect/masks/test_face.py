"""The face detector: a drawn-up face in a crop, and nothing in noise."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.detect.blazepose import anchors
from kinefit.detect.masks import face
from kinefit.detect.masks.face import SIDE, FaceNetwork
from kinefit.detect.masks.head import _face
from kinefit.detect.masks.head_pose import pose_from_points
from kinefit.io.video import Picture
from kinefit.types import FloatArray

from .rendered_heads import SIZE, Video, rendered


@pytest.fixture(scope="module")
def network() -> FaceNetwork:
    return FaceNetwork()


def crop(video: Video) -> FloatArray:
    """Around the head of the first frame, from the picture's points."""
    pose = pose_from_points(video.points[0], SIZE[1])
    assert pose is not None
    scale = 2 * pose.height / SIDE
    corner = pose.centre - pose.height
    return np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])


@pytest.fixture(scope="module")
def front(network: FaceNetwork) -> Video:
    """The view in which the person looks at the camera most."""
    return max(
        rendered("bun"),
        key=lambda v: max((f.score for f in network(v.pictures[0], crop(v))), default=0.0),
    )


def test_there_is_an_anchor_for_each_row_of_the_network() -> None:
    assert anchors(SIDE, face._GRIDS).shape == (896, 2)


def test_a_rendered_face_is_found_where_it_is(network: FaceNetwork, front: Video) -> None:
    into = crop(front)
    (found,) = network(front.pictures[0], into)
    eyes = found.points[:2] @ into[:, :2].T + into[:, 2]
    true = front.points[0, [5, 2], :2]  # right, left, as the landmark network says
    # Two networks, a head of 30 pixels: a tenth of it.
    assert np.abs(eyes - true).max() < 4
    assert found.score > 0.6


def test_most_faces_are_lost_in_the_whole_picture(network: FaceNetwork, front: Video) -> None:
    """Why there is a crop."""
    scale = SIZE[1] / SIDE
    assert not network(front.pictures[0], np.array([[scale, 0, 0], [0, scale, 0]]))


def test_a_mirrored_face_is_found_mirrored(network: FaceNetwork, front: Video) -> None:
    into = crop(front)
    (here,) = network(front.pictures[0], into)
    over = into @ np.array([[-1.0, 0, SIDE - 1], [0, 1, 0], [0, 0, 1]])
    (there,) = network(front.pictures[0], over)
    assert abs(SIDE - 1 - there.centre[0] - here.centre[0]) < 0.06 * SIDE
    assert abs(there.centre[1] - here.centre[1]) < 0.06 * SIDE
    assert there.size == pytest.approx(here.size, rel=0.2)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_in_noise(network: FaceNetwork, seed: int) -> None:
    noise: Picture = np.random.default_rng(seed).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert network(noise, np.array([[1.5, 0, 0], [0, 1.5, 0]])) == ()


def test_a_face_elsewhere_is_not_this_head(network: FaceNetwork, front: Video) -> None:
    local = front.points[0].copy()
    still = np.array([[1.0, 0, 0], [0, 1, 0]])
    pose = pose_from_points(local, SIZE[1])
    assert pose is not None
    assert _face(network, front.pictures[0], still, pose) is not None
    # The crop would still show the face, at its border.
    local[:, 0] += 0.8 * pose.height
    beside = pose_from_points(local, SIZE[1])
    assert beside is not None
    assert _face(network, front.pictures[0], still, beside) is None
