"""Hypotheses of many frames joined to paths."""

import numpy as np

from kinefit.multiview.candidate_selection import select_candidates
from kinefit.multiview.noise import add_shared, pixel_sd, robust_sd, shared_sd

WRONG = 3


def hypotheses(frames: int = 20, points: int = 3, seed: int = 0):
    """(3, 4, T, J): three pairs of cameras see where the point is (moving steadily), to 3 mm; the
    fourth sees it somewhere else in each frame."""
    random = np.random.default_rng(seed)
    true = np.linspace(0, 1, frames)[:, None, None] * [1.0, 0.2, -0.3] + np.arange(points)[:, None]
    other = true + random.uniform(0.5, 2, true.shape) * random.choice([-1, 1], true.shape)
    right = [true + random.normal(0, 0.003, true.shape) for _ in range(3)]
    return np.stack([*right, other]).transpose(3, 0, 1, 2)


def test_a_frame_that_prefers_the_wrong_place_is_overruled_by_its_neighbours():
    places = hypotheses()
    cost = np.full(places.shape[1:], 0.4)
    cost[WRONG, 7] = 0.25
    time = np.arange(20) / 60
    assert (select_candidates(places, cost, time).hypothesis != WRONG).all()
    # Negative control: by itself the frame takes the wrong one.
    assert (select_candidates(places, cost, None).hypothesis[7] == WRONG).all()


def test_what_is_as_good_without_neighbours_is_ambiguous():
    places = hypotheses(frames=1)
    cost = np.full(places.shape[1:], 0.4)
    assert select_candidates(places, cost, None).ambiguous.all()
    cost[WRONG] += 0.2
    assert not select_candidates(places, cost, None).ambiguous.any()


def test_neighbours_settle_what_is_ambiguous():
    places = hypotheses()
    cost = np.full(places.shape[1:], 0.4)
    found = select_candidates(places, cost, np.arange(20) / 60)
    assert (found.hypothesis != WRONG).all()
    assert not found.ambiguous.any()


def test_frames_far_apart_do_not_speak_for_each_other():
    places = hypotheses()
    cost = np.full(places.shape[1:], 0.4)
    cost[WRONG, 7] = 0.25
    found = select_candidates(places, cost, np.arange(20) * 1.0)  # one frame a second
    assert (found.hypothesis[7] == WRONG).all()


def test_points_without_hypotheses_stay_without():
    places = hypotheses()
    cost = np.full(places.shape[1:], 0.04)
    cost[:, 4, 1] = np.inf
    places[:, :, 4, 1] = np.nan
    found = select_candidates(places, cost, np.arange(20) / 60)
    assert found.hypothesis[4, 1] == -1
    rest = np.delete(found.hypothesis[:, 1], 4)
    assert ((rest >= 0) & (rest != WRONG)).all()
    assert not found.ambiguous[4, 1]


def test_many_hypotheses_are_cut_to_the_best():
    places = hypotheses()
    wrong = places[:, WRONG:] + np.random.default_rng(1).normal(0, 1, (3, 30, 20, 3))
    many = np.concatenate([wrong, places], axis=1)
    cost = np.full(many.shape[1:], 0.8)
    cost[30:33] = 0.2
    assert np.isin(select_candidates(many, cost, np.arange(20) / 60).hypothesis, (30, 31, 32)).all()


def test_noise_is_unbiased():
    random = np.random.default_rng(3)
    # Residuals of 2 px per axis with two degrees of freedom each.
    square = (random.normal(0, 2, (3, 4000, 2, 2)) ** 2).sum(axis=-1)
    found = pixel_sd(square, np.full(square.shape, 2.0))
    np.testing.assert_allclose(found, 2, rtol=0.03)  # 8,000 values: known to 1 %
    robust = robust_sd(square.reshape(3, -1), np.full((3, 8000), 2.0), np.ones((3, 8000), bool))
    np.testing.assert_allclose(robust, 2, rtol=0.05)


def test_few_residuals_lean_on_the_rig_and_none_are_finite():
    square, freedom = np.zeros((2, 5, 2)), np.zeros((2, 5, 2))
    square[0], freedom[0] = 2 * 9.0, 2.0
    found = pixel_sd(square, freedom)
    np.testing.assert_allclose(found[0], 3.0)
    np.testing.assert_allclose(found[1], 3.0)  # nothing of its own: the rig's
    assert np.isfinite(pixel_sd(np.zeros((2, 5, 2)), np.zeros((2, 5, 2)))).all()


def test_the_shared_error_is_per_point_and_does_not_touch_what_is_missing():
    sd = shared_sd(("LHip", "LBigToe", "Nose", "RWrist"), 2.0)
    np.testing.assert_allclose(sd, [0.022, 0.032, 0.021, 0.014])
    covariance = np.tile(1e-4 * np.eye(3), (5, 4, 1, 1))
    covariance[2, 1] = np.nan
    total = add_shared(covariance, sd)
    np.testing.assert_allclose(total[0, 0], (1e-4 + 0.022**2) * np.eye(3))
    assert np.isnan(total[2, 1]).all()
