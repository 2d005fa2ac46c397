"""Several lifters as one: a mean by precision, and what only the first says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from kinefit.geometry.rotations import unit
from kinefit.lift import MODELS, Lifted, load_lifter
from kinefit.lift.ensemble import Ensemble
from kinefit.lift.inputs import LIMBS
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray, Keypoints2D, Keypoints3D, PoseTrack, Timeline

K = np.eye(3)
NAMES = skeleton("blazepose33").points


def track(own: bool = True) -> PoseTrack:
    timeline = Timeline(np.arange(3), np.arange(3) / 30)
    image = Keypoints2D(timeline, NAMES, np.ones((3, 33, 2)), np.ones((3, 33)), (64, 64))
    body = Keypoints3D(timeline, NAMES, np.ones((3, 33, 3)), "camera") if own else None
    return PoseTrack(image, body, (), "made up")


@dataclass
class Says:
    """Always the same direction of its first `count` limbs; another without the detector's 3D."""

    direction: FloatArray
    sd: float
    count: int = 16
    blind: FloatArray | None = None
    name: str = "says"

    def lift(self, track: PoseTrack, K: FloatArray) -> Lifted:
        way = self.direction if track.body is not None or self.blind is None else self.blind
        directions = np.tile(unit(way), (3, self.count, 1))
        up = np.tile(unit(way), (3, 1))
        sd = np.full((3, self.count), self.sd)
        return Lifted(track.image.timeline, LIMBS[: self.count], directions, sd, up=up)


X, Y = np.array([1.0, 0, 0]), np.array([0.0, 1.0, 0])


def test_members_count_by_their_precision_and_the_first_is_asked_without_depth_too() -> None:
    members = [Says(X, 0.1, blind=X + 0.2 * Y), Says(X - 0.2 * Y, 0.2, count=14)]
    found = Ensemble(members).lift(track(), K)
    want = unit(X / 0.01 + unit(X + 0.2 * Y) / 0.01 + unit(X - 0.2 * Y) / 0.04)
    assert np.allclose(found.directions[:, :14], want)
    # Of limbs that not all know, and of all else, the first one's.
    assert np.allclose(found.directions[:, 14:], X)
    assert found.up is not None
    assert np.allclose(found.up, X)
    assert np.allclose(found.sd[:, 14:], 0.1)


def test_who_agree_are_hardly_surer_than_each_and_who_disagree_less_sure() -> None:
    agree = Ensemble([Says(X, 0.1), Says(X, 0.1)]).lift(track(), K).sd[0, 0]
    assert 0.07 < agree < 0.1
    argue = Ensemble([Says(X, 0.1), Says(Y, 0.1)]).lift(track(), K).sd[0, 0]
    assert argue > 0.4


def test_a_track_without_depth_is_asked_once() -> None:
    members = [Says(X, 0.1, blind=Y), Says(X, 0.1)]
    found = Ensemble(members).lift(track(own=False), K)
    assert np.allclose(found.directions, unit(X + Y))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_order_of_members_changes_no_shared_direction(order: tuple[int, int]) -> None:
    members = [Says(X, 0.1), Says(X + 0.3 * Y, 0.3)]
    found = Ensemble([members[i] for i in order]).lift(track(own=False), K)
    assert np.allclose(found.directions, unit(X / 0.01 + unit(X + 0.3 * Y) / 0.09))


@pytest.mark.parametrize("name", MODELS)
def test_all_networks_that_come_with_kinefit_answer(name: str) -> None:
    found = load_lifter(name).lift(track(own=False), K)
    assert found.directions.shape[1] in (14, 16)
    assert np.allclose(np.linalg.norm(found.directions, axis=-1), 1)
    assert np.isfinite(found.sd).all()


def test_what_is_not_a_direction_is_the_first_network_s() -> None:
    rng = np.random.default_rng(0)
    base = track()
    seen = base.image
    moved = Keypoints2D(seen.timeline, NAMES, 300 + 100 * rng.normal(size=(3, 33, 2)), seen.score,
                        (640, 640))  # fmt: skip
    one = PoseTrack(moved, None, (), "made up")
    camera = np.array([[500.0, 0, 320], [0, 500, 320], [0, 0, 1]])
    both, alone = (load_lifter(name).lift(one, camera) for name in ("ensemble", "sequence"))
    assert both.directions.shape == alone.directions.shape
    assert np.allclose(np.linalg.norm(both.directions, axis=-1), 1)
    assert both.shift is not None
    assert np.array_equal(both.shift, alone.shift)  # type: ignore[arg-type]
