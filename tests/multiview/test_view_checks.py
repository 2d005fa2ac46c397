"""Views that belong to another camera, another moment, or to nothing."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from kinefit.geometry.projection import project_rig
from kinefit.geometry.rotations import exp
from kinefit.multiview.view_checks import check_assignment, check_clocks
from kinefit.types import CameraRig, InputError, Timeline

from .scene import NAMES, ring, walker

TIME = np.arange(120) / 30
TIMELINE = Timeline(np.arange(120), TIME)


def seen_by(rig: CameraRig, noise_px: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A walk as the rig sees it: xy (C, T, J, 2), score."""
    truth = walker(np.stack([np.sin(TIME), 0.8 * np.cos(0.7 * TIME)], axis=-1), TIME)
    xy = project_rig(rig, truth.reshape(-1, 3)).reshape(len(rig), len(TIME), len(NAMES), 2)
    xy = xy + np.random.default_rng(seed).normal(0, noise_px, xy.shape)
    return xy, np.ones(xy.shape[:-1])


def exchanged(xy: np.ndarray, *places: int) -> np.ndarray:
    """The views of these places, each moved to the next one's."""
    xy = xy.copy()
    xy[list(places)] = xy[[*places[1:], places[0]]]
    return xy


class TestExchangedViews:
    # Of 8 cameras two neighbours fit each other's place to 6 px: of 5 px of noise nothing follows.
    @pytest.mark.parametrize(("count", "noise_px"), [(3, 5), (4, 0.5), (4, 5), (6, 5), (8, 0.5)])
    def test_two_are_named(self, count: int, noise_px: float) -> None:
        rig = ring(count)
        xy, score = seen_by(rig, noise_px)
        for i, j in list(combinations(range(count), 2))[::3]:
            a, b = rig.names[i], rig.names[j]
            said = (
                f"pictures of {a} and {b} are exchanged: the pictures named {a} are of camera {b}"
            )
            with pytest.raises(InputError, match=said):
                check_assignment(rig, NAMES, exchanged(xy, i, j), score)

    @pytest.mark.parametrize(("count", "keep"), [(2, False), (3, True)])
    def test_a_caution_where_nothing_else_tells_or_the_user_does(
        self, count: int, keep: bool
    ) -> None:
        rig = ring(count)
        xy, score = seen_by(rig, 2.0)
        (found,) = check_assignment(rig, NAMES, exchanged(xy, 0, 1), score, keep)
        assert found.level == "caution"
        assert "cam1 and cam2 seem to be exchanged" in found.what

    def test_two_of_three_that_see_the_person(self) -> None:
        rig = ring(3)
        xy, score = seen_by(rig, 2.0)
        score[2] = 0
        (found,) = check_assignment(rig, NAMES, exchanged(xy, 0, 1), score)
        assert "cam1 and cam2 seem to be exchanged" in found.what

    def test_the_refusal_names_the_way_past_it(self) -> None:
        rig = ring(3)
        xy, score = seen_by(rig, 2.0)
        with pytest.raises(InputError, match="--keep-names"):
            check_assignment(rig, NAMES, exchanged(xy, 0, 1), score)

    def test_three_in_a_circle(self) -> None:
        rig = ring(4)
        xy, score = seen_by(rig, 2.0)
        with pytest.raises(InputError, match="pictures of cam1 and cam2 and cam4 are exchanged"):
            check_assignment(rig, NAMES, exchanged(xy, 0, 1, 3), score)

    def test_with_gaps_and_sides_that_the_detector_exchanged(self) -> None:
        rig = ring(4)
        xy, score = seen_by(rig, 2.0)
        random = np.random.default_rng(1)
        score[random.random(score.shape) < 0.3] = 0
        mirror = [NAMES.index({"L": "R", "R": "L"}.get(n[0], n[0]) + n[1:]) for n in NAMES]
        xy[1, 30:70] = xy[1, 30:70][:, mirror]
        assert check_assignment(rig, NAMES, xy, score) == []
        with pytest.raises(InputError, match="cam2 and cam3 are exchanged"):
            check_assignment(rig, NAMES, exchanged(xy, 1, 2), score)

    @pytest.mark.parametrize("count", [2, 3, 4, 6, 8])
    @pytest.mark.parametrize("noise_px", [0.0, 3.0, 10.0])
    def test_right_views_are_left_in_peace(self, count: int, noise_px: float) -> None:
        for seed in range(3):
            xy, score = seen_by(ring(count), noise_px, seed)
            assert check_assignment(ring(count), NAMES, xy, score) == []
            assert check_clocks(ring(count), TIMELINE, NAMES, xy, score) == []

    def test_on_the_demo(self, demo) -> None:
        """Real landmarks, 10 px of noise: nothing is claimed, and an exchange is found."""
        score = np.where(demo.score >= 0.3, demo.score, 0.0)
        assert check_assignment(demo.rig, demo.names, demo.xy, score) == []
        assert check_clocks(demo.rig, demo.timeline, demo.names, demo.xy, score) == []
        for i, j in combinations(range(len(demo.rig)), 2):
            a, b = demo.rig.names[i], demo.rig.names[j]
            moved, its = exchanged(demo.xy, i, j), exchanged(score, i, j)
            with pytest.raises(InputError, match=f"pictures of {a} and {b} are exchanged"):
                check_assignment(demo.rig, demo.names, moved, its)

    def test_nobody_in_some_views(self) -> None:
        rig = ring(4)
        xy, score = seen_by(rig, 1.0)
        score[2:] = 0
        assert check_assignment(rig, NAMES, xy, score) == []
        score[:] = 0
        assert check_assignment(rig, NAMES, xy, score) == []
        assert check_clocks(rig, TIMELINE, NAMES, xy, score) == []


def test_a_camera_whose_pose_is_wrong_is_named() -> None:
    rig = ring(4)
    xy, score = seen_by(rig, 1.0)
    turned = exp(np.array([0.05, 0.1, 0.02])) @ rig.cameras[2].R
    wrong = replace(rig.cameras[2], R=turned, t=-turned @ rig.cameras[2].centre)
    rig = CameraRig((*rig.cameras[:2], wrong, rig.cameras[3]))
    (finding,) = check_assignment(rig, NAMES, xy, score)
    assert finding.level == "caution"
    assert "camera cam3 sees does not fit the other cameras" in finding.what


class TestClocks:
    @pytest.mark.parametrize("count", [2, 3, 4, 6])
    @pytest.mark.parametrize("late", [1, -1, 2, -3])
    def test_a_clock_off_by_frames_is_named(self, count: int, late: int) -> None:
        """Its frame t shows what the others' frame t - late shows."""
        rig = ring(count)
        xy, score = seen_by(rig, 1.0)
        xy[1] = np.roll(xy[1], late, axis=0)
        inner = slice(5, -5)
        timeline = Timeline(np.arange(110), TIME[:110])
        (finding,) = check_clocks(rig, timeline, NAMES, xy[:, inner], score[:, inner])
        assert f"camera cam2 is off by {abs(late)} frame" in finding.what
        assert f"Add {-late / 30:+.4f} s to its --offsets" in finding.action

    def test_at_the_edge_of_the_search_no_offset_is_told(self) -> None:
        rig = ring(4)
        xy, score = seen_by(rig, 1.0)
        xy[1] = np.roll(xy[1], 5, axis=0)
        timeline = Timeline(np.arange(110), TIME[:110])
        (finding,) = check_clocks(rig, timeline, NAMES, xy[:, 5:-5], score[:, 5:-5])
        assert "by 5 frames or more" in finding.what
        assert finding.action == "Give --sync."

    def test_of_somebody_who_stands_still_nothing_is_said(self) -> None:
        rig = ring(4)
        xy, score = seen_by(rig, 0.0)
        still = np.broadcast_to(xy[:, :1], xy.shape)
        noisy = still + np.random.default_rng(0).normal(0, 2, xy.shape)
        assert check_clocks(rig, TIMELINE, NAMES, noisy, score) == []
