"""Choosing the person: made-up people with known identity, and the four of a real photo."""

from pathlib import Path

import numpy as np
import pytest

from kinefit.geometry.rotations import exp
from kinefit.io.sam3d_outputs import Sam3dPerson, read_outputs
from kinefit.tracking.posed_people import choose_subject

DATA = Path(__file__).parents[3] / "shared" / "data" / "sam3d"
FRAMES = 40


class Body:
    """Somebody who walks across the picture, moving, and looks alike to every camera."""

    def __init__(self, seed: int, start: float, speed: float, height: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.start, self.speed, self.height = start, speed, height
        self.shape = self.rng.normal(0, 0.3, 45)
        self.rest = self.rng.normal(0, 0.4, (70, 3))
        self.swing = self.rng.normal(0, 0.15, (70, 3))

    def seen(self, frame: int, camera: int) -> Sam3dPerson:
        """By a camera that is turned, with the noise of a network."""
        points = self.rest + self.swing * np.sin(frame / 4)
        points = points @ exp(np.array([0.1, 1.3 * camera, 0.2])).T
        x = self.start + self.speed * frame
        low = np.array([x - 0.2 * self.height, 300.0 - self.height / 2])
        size = np.array([0.4 * self.height, self.height])
        box = np.concatenate([low, low + size])
        return Sam3dPerson(
            bbox=box + self.rng.normal(0, 2, 4),
            pred_keypoints_3d=points + self.rng.normal(0, 0.02, points.shape),
            shape_params=self.shape + self.rng.normal(0, 0.05, 45),
        )


def scene(order_seed: int, cameras: int = 1) -> tuple[list[list[list[Sam3dPerson]]], np.ndarray]:
    """Three people in shuffled lists, and (C, T) where person 0 stands in each list.

    Person 0 is the largest; person 1 crosses its path. In camera 1 person 2 stands near the
    camera and is larger than person 0.
    """
    rng = np.random.default_rng(order_seed)
    views, truth = [], np.full((cameras, FRAMES), -1)
    for camera in range(cameras):
        people = [Body(0, 200, 12, 400), Body(1, 700, -14, 330), Body(2, 900, 0, 200)]
        if camera == 1:
            people[2] = Body(2, 900, 0, 500)
        frames = []
        for t in range(FRAMES):
            order = rng.permutation(3)
            frames.append([people[i].seen(t, camera) for i in order])
            truth[camera, t] = int(np.flatnonzero(order == 0)[0])
        views.append(frames)
    return views, truth


@pytest.mark.parametrize("order_seed", range(5))
def test_issue_a_the_order_of_the_list_does_not_matter(order_seed: int) -> None:
    views, truth = scene(order_seed)
    np.testing.assert_array_equal(choose_subject(views), truth)
    assert (truth != 0).any()  # the first of the list is somebody else at times


def test_issue_a_over_cameras_the_same_person_is_chosen() -> None:
    views, truth = scene(0, cameras=3)
    np.testing.assert_array_equal(choose_subject(views), truth)
    # By size alone camera 1 would have another: person 2 is larger there.
    assert not np.array_equal(choose_subject(views[1:2])[0], truth[1])


def test_a_single_picture_per_camera() -> None:
    views, truth = scene(3, cameras=3)
    chosen = choose_subject([view[7:8] for view in views])
    np.testing.assert_array_equal(chosen, truth[:, 7:8])


def test_somebody_lost_for_some_frames_is_found_again() -> None:
    views, truth = scene(1)
    views[0][20] = []
    views[0][21] = [p for i, p in enumerate(views[0][21]) if i != truth[0, 21]]
    truth[0, 20:22] = -1
    np.testing.assert_array_equal(choose_subject(views), truth)


def test_a_camera_that_sees_only_others_has_nobody() -> None:
    views, truth = scene(2, cameras=2)
    strangers = [Body(8, 300, 5, 450), Body(9, 800, 0, 300)]
    views[1] = [[body.seen(t, 1) for body in strangers] for t in range(FRAMES)]
    chosen = choose_subject(views)
    np.testing.assert_array_equal(chosen[0], truth[0])
    assert (chosen[1] == -1).all()


def test_2d_points_do_without_a_box() -> None:
    rng = np.random.default_rng(0)
    near, far = rng.uniform(100, 500, (70, 2)), rng.uniform(600, 700, (70, 2))
    people = [Sam3dPerson(pred_keypoints_2d=xy) for xy in (far, near)]
    assert choose_subject([[people, people[::-1]]]).tolist() == [[1, 0]]


def test_missing_points_are_left_out_of_the_comparison() -> None:
    views, truth = scene(0, cameras=2)
    gone = np.full((70, 3), np.nan)
    views[1] = [[p if t % 2 else Sam3dPerson(bbox=p.bbox, pred_keypoints_3d=gone) for p in frame]
                for t, frame in enumerate(views[1])]  # fmt: skip
    np.testing.assert_array_equal(choose_subject(views), truth)


def test_nobody() -> None:
    assert choose_subject([]).shape == (0, 0)
    assert choose_subject([[[], []], [[], []]]).tolist() == [[-1, -1], [-1, -1]]
    assert choose_subject([[[Sam3dPerson()]]]).tolist() == [[-1]]


def test_real_people_are_told_apart_by_their_pose() -> None:
    """The photo's four people, and one of them turned as another camera might see him."""
    files = sorted(DATA.glob("img_subj*.npz"))
    if not files:
        pytest.skip("the four real outputs (../shared/data/sam3d) are not here")
    people = [read_outputs(file)[0] for file in files]
    largest = int(choose_subject([[people]])[0, 0])
    areas = [np.prod(p.bbox[2:] - p.bbox[:2]) for p in people]
    assert largest == np.argmax(areas)
    for i, person in enumerate(people):
        turned = person.pred_keypoints_3d @ exp(np.array([0.2, 1.5, 0.1])).T
        alone = Sam3dPerson(bbox=person.bbox, pred_keypoints_3d=turned)
        assert choose_subject([[people], [[alone]]]).tolist() == [[i], [0]]
        assert choose_subject([[people[::-1]], [[alone]]]).tolist() == [[3 - i], [0]]
