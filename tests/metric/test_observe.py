"""Observations of one camera that films an exactly known walk."""

from dataclasses import replace

import numpy as np
import pytest

from kinefit.geometry.projection import to_camera
from kinefit.metric import limb_directions, observe_camera
from kinefit.metric.observe import _DEPTHS, LIMBS
from kinefit.types import InputError

FOCAL = 1400.0


@pytest.fixture
def scene(studio):
    return studio.scene(heading_deg=60, tilt=12, roll=-7)


def observe(track, studio, **options):
    return observe_camera(track, studio.height, **{"focal_px": FOCAL, **options})


def test_what_is_unknown_has_a_deviation_and_what_is_given_has_none(scene, studio):
    track = studio.film(scene)
    guessed, placed = observe_camera(track, studio.height)
    assert guessed.focal_sd == placed.focal_sd > 0
    assert guessed.gravity_sd >= np.radians(placed.tilt_sd_deg)
    assert guessed.stature_m == studio.height
    given, _ = observe(track, studio, tilt_deg=12, roll_deg=-7)
    assert given.focal_sd == 0
    assert given.gravity_sd < np.radians(1)


def test_hidden_landmarks_are_no_evidence_and_doubtful_ones_count_less(scene, studio):
    track = studio.film(scene)
    score = track.image.score.copy()
    score[:, studio.names.index("LElbow")] = 0.1
    score[:, studio.names.index("LWrist")] = 0.5
    found, _ = observe(studio.edit(track, score=score), studio)
    seen = found.seen[:, 0]
    assert not seen[:, studio.names.index("LElbow")].any()
    assert seen[:, studio.names.index("RElbow")].all()
    sigma = found.sigma[0, 0]
    ratio = sigma[studio.names.index("LWrist")] / sigma[studio.names.index("RWrist")]
    assert ratio == pytest.approx(np.sqrt(2))


def test_a_flattened_body_gets_its_depth_back(scene, studio):
    """A detector that sees depth exactly as the table says: the truth comes out."""
    cam, xyz = scene.camera, scene.xyz
    truth = limb_directions(xyz, studio.names, LIMBS) @ cam.R.T
    ray = to_camera(cam, scene.hip)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    found, _ = observe(studio.film(scene), studio, tilt_deg=12, roll_deg=-7)
    seen = found.directions @ found.rig.cameras[0].R.T
    for i, limb in enumerate(LIMBS):
        slope, offset, sd = _DEPTHS[limb]
        z = ((truth[:, i] * ray).sum(axis=-1) - offset) / slope
        steep = np.abs(z) < 0.99
        undone = (seen[:, i] * ray).sum(axis=-1)
        np.testing.assert_allclose(undone[steep], z[steep], atol=1e-3)
        np.testing.assert_allclose(found.direction_sd[:, i], 1.5 * sd / slope)


def test_feet_stand_when_the_walker_says(scene, studio):
    """Half a second of stance and of swing, at every heading."""
    for heading in (30, 90, 150):
        walk = studio.scene(heading_deg=heading, tilt=10, roll=0)
        found, _ = observe(studio.film(walk, pixel_noise=2), studio)
        columns = [studio.names.index(name) for name in found.contact_names]
        speed = np.linalg.norm(np.gradient(walk.xyz[:, columns], 1 / 30, axis=0), axis=-1)
        stands, swings = speed < 0.01, speed > 0.8
        assert found.contact[stands].mean() > 0.7
        assert found.contact[swings].mean() < 0.3


def test_a_foot_out_of_sight_has_a_probability_of_its_own(scene, studio):
    track = studio.film(scene)
    score = track.image.score.copy()
    score[:, studio.names.index("LHeel")] = 0.0
    found, _ = observe(studio.edit(track, score=score), studio)
    heel = found.contact[:, found.contact_names.index("LHeel")]
    np.testing.assert_allclose(heel, 0.5, atol=1e-6)  # nothing is known: as often as not


def test_points_without_depth_are_refused(scene, studio):
    with pytest.raises(InputError, match="image points only"):
        observe(replace(studio.film(scene), body=None), studio)


def test_the_placement_is_said_in_json(scene, studio):
    _, placed = observe(studio.film(scene), studio)
    said = placed.as_json()
    assert said["focal_px"] == FOCAL
    assert said["tilt_deg"] == pytest.approx(placed.tilt_deg, abs=1e-3)
    assert len(said["depth_sd_m"]) == len(scene.timeline)
