"""Observations of one camera that films an exactly known walk."""

from dataclasses import replace

import numpy as np
import pytest

from kinefit import lift
from kinefit.geometry.projection import to_camera
from kinefit.geometry.rotations import unit
from kinefit.lift import Lifted
from kinefit.metric import limb_directions, observe_camera
from kinefit.metric.observe import _DEPTHS, _LIFTED_SIGMA, _LIFTED_SPREAD, LIMBS, _turned
from kinefit.skeletons import map_points, skeleton
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
        slope, offset, sd = _DEPTHS[limb[0][1:], limb[1][1:]]
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


class Says:
    """A lifter that says of every frame the same."""

    name = "says"

    def __init__(self, **said):
        self.said = said

    def lift(self, track, K):
        T = len(track.image.timeline)
        directions = np.zeros((T, len(lift.inputs.LIMBS), 3))
        directions[..., 0] = 1
        every = {
            name: np.broadcast_to(value, (T, *np.shape(value))) for name, value in self.said.items()
        }
        return Lifted(
            track.image.timeline, lift.inputs.LIMBS, directions, np.full(directions.shape[:2], 0.2),
            **every,
        )  # fmt: skip


def test_directions_are_those_of_the_lifter_in_the_world(scene, studio):
    found, _ = observe(studio.film(scene), studio, lifter=Says())
    seen = found.directions @ found.rig.cameras[0].R.T
    assert np.allclose(seen, [1.0, 0.0, 0.0])
    assert ("LHeel", "LBigToe") in found.limbs
    assert ("LShoulder", "RHip") in found.limbs
    assert np.allclose(found.direction_sd, found.direction_sd[0, 0])
    assert found.direction_sd[0, 0] == pytest.approx(0.2 * _LIFTED_SPREAD)


def test_frames_in_which_nobody_is_seen_have_no_direction(scene, studio):
    track = studio.film(scene)
    xy = track.image.xy.copy()
    xy[4:7] = np.nan
    found, _ = observe(studio.edit(track, xy=xy), studio, lifter=Says())
    assert np.isnan(found.directions[4:7]).all()
    assert np.isfinite(found.directions[:4]).all()


def test_what_a_lifter_does_not_say_stays_the_detector_s(scene, studio):
    track = studio.film(scene)
    without, placed = observe(track, studio)
    silent, still = observe(track, studio, lifter=Says())
    for name in ("xy", "sigma", "contact"):
        assert np.array_equal(getattr(silent, name), getattr(without, name), equal_nan=True), name
    assert still.tilt_deg == placed.tilt_deg
    assert silent.gravity_sd == without.gravity_sd


@pytest.mark.parametrize("source", ["BlazePose (full)", "another detector"])
def test_points_of_the_detector_it_learned_from_and_gravity_are_the_lifter_s(scene, studio, source):
    track = replace(studio.film(scene), source=source)
    without, _ = observe(track, studio)
    J = len(track.image.names)
    sigma = np.full(J, 4.0)
    sigma[3] = np.nan  # a point that it does not know
    up = -np.array([np.sin(0.1), np.cos(0.1), 0.0])
    says = Says(contact=[0.1, 0.2, 0.7, 0.9], shift=np.full((J, 2), 2.0), sigma=sigma, up=up,
                up_sd=0.05)  # fmt: skip
    found, placed = observe(track, studio, lifter=says)
    assert np.allclose(found.contact, without.contact, equal_nan=True)
    seen, learned = found.seen, source.startswith("BlazePose")
    assert np.allclose((found.xy - without.xy)[seen], 2.0 if learned else 0.0)
    if learned:
        assert np.allclose(np.delete(found.sigma, 3, axis=2), 4.0 * _LIFTED_SIGMA)
    assert np.array_equal(found.sigma[:, :, 3], without.sigma[:, :, 3])
    assert np.allclose(found.rig.cameras[0].R[:, 1], up)
    assert placed.roll_deg == pytest.approx(np.degrees(0.1), abs=1e-6)
    assert found.gravity_sd == pytest.approx(0.05)


def test_what_the_user_gives_is_not_the_lifter_s_to_say(scene, studio):
    says = Says(up=[-1.0, 0.0, 0.0], up_sd=0.05)
    found, placed = observe(studio.film(scene), studio, lifter=says, tilt_deg=12, roll_deg=-7)
    assert (placed.tilt_deg, placed.roll_deg) == (pytest.approx(12), pytest.approx(-7))
    assert found.gravity_sd < np.radians(1)


def test_directions_are_pitched_by_half_of_what_their_gravity_is(scene, studio):
    track, ahead = studio.film(scene), np.array([[[0.0, 0.0, 4.0]]])
    level, pitched = np.array([0.0, -1.0, 0.0]), unit(np.array([0.1, -0.9, -0.4]))
    lifted = Says().lift(track, scene.camera.K)
    lifted = replace(lifted, directions=np.broadcast_to(-pitched, lifted.directions.shape))
    turned = _turned(lifted, pitched, level, ahead).directions[0, 0]
    angle = np.arcsin(pitched[2])
    assert np.arctan2(turned[2], turned[1]) == pytest.approx(np.arctan2(-pitched[2], -pitched[1])
                                                             + angle / 2)  # fmt: skip
    assert turned[0] == pytest.approx(-pitched[0])  # a roll would show in the picture


def test_edges_of_the_room_tell_what_balance_and_defaults_do_not(scene, studio):
    camera = scene.camera
    corner = np.stack(np.meshgrid([-2, -1, 1, 2], np.linspace(0.2, 2, 8), [-2, 0, 2]), axis=-1)
    ends = corner.reshape(-1, 1, 1, 3) + np.stack([0 * np.eye(3), 0.8 * np.eye(3)], axis=1)
    seen = (ends @ camera.R.T + camera.t) @ camera.K.T
    edges = (seen[..., :2] / seen[..., 2:]).reshape(-1, 4)
    track, given = studio.film(scene), {"focal_px": None}
    without, _ = observe(track, studio, **given)
    found, placed = observe(track, studio, edges=edges, **given)
    assert placed.camera.K[0, 0] == pytest.approx(camera.K[0, 0], rel=0.01)
    assert placed.camera.R[:, 1] @ camera.R[:, 1] > np.cos(np.radians(0.3))
    assert found.gravity_sd < np.radians(1.5) < without.gravity_sd
    assert found.focal_sd < 0.05 < without.focal_sd
    assert any("read from straight edges" in note for note in placed.notes)
    _, level = observe(track, studio, edges=edges, tilt_deg=3, roll_deg=2)
    assert (level.tilt_deg, level.roll_deg) == (pytest.approx(3), pytest.approx(2))
    assert not any("edges" in note for note in level.notes)


class Knows:
    """A lifter that knows the true directions, with an error that lasts half a second."""

    name = "knows"

    def __init__(self, scene, studio, error=0.0):
        limbs = [(limb.start, limb.end) for limb in lift.inputs.LIMBS]
        true = limb_directions(scene.xyz, studio.names, limbs)
        slow = np.repeat(np.random.default_rng(2).normal(size=(99, *true.shape[1:])), 15, axis=0)
        self.directions = unit(true @ scene.camera.R.T + error * slow[: len(true)])

    def lift(self, track, K):
        return Lifted(track.image.timeline, lift.inputs.LIMBS, self.directions,
                      np.full(self.directions.shape[:2], 0.1))  # fmt: skip


def as_skeleton(track, name):
    target = skeleton(name)
    both = np.concatenate([track.image.xy, track.image.score[..., None]], axis=-1)
    seen = map_points(both, track.image.names, target)
    image = replace(track.image, names=target.points, xy=seen[..., :2],
                    score=np.nan_to_num(seen[..., 2]))  # fmt: skip
    own = map_points(track.body.xyz, track.body.names, target)
    return replace(track, image=image, body=replace(track.body, names=target.points, xyz=own))


@pytest.mark.parametrize("name", ["blazepose33", "halpe26", "body25", "coco17"])
def test_fits_begin_nearer_to_the_truth_whatever_the_detector_s_points(scene, studio, name):
    """A detector that flattens people: the joints where the fit begins have their depth."""
    track = studio.film(scene)
    flat = studio.edit(track, body=track.body.xyz * [1, 1, 0.5])
    given = as_skeleton(flat, name)
    options = {"tilt_deg": 12, "roll_deg": -7}
    without, _ = observe(given, studio, **options)
    found, _ = observe(given, studio, lifter=Knows(scene, studio), **options)
    off = [limb_errors(one, scene, studio) for one in (without, found)]
    assert off[1] < 0.5 * off[0]
    for point in {"Head", "Neck", "Hip"} & set(given.image.names):  # of no limb: left alone
        at = given.image.names.index(point)
        assert np.array_equal(found.xyz[:, at], without.xyz[:, at], equal_nan=True)


def limb_errors(found, scene, studio):
    limbs = [("LHip", "LKnee"), ("RKnee", "RAnkle"), ("LShoulder", "LElbow"), ("RElbow", "RWrist")]
    cam = found.rig.cameras[0].R
    ours = limb_directions(found.xyz, found.names, limbs) @ cam.T
    true = limb_directions(scene.xyz, studio.names, limbs) @ scene.camera.R.T
    return np.degrees(np.arccos(np.clip((ours * true).sum(axis=-1), -1, 1))).mean()


def test_a_fit_begins_on_a_smooth_path(scene, studio):
    """What directions and pixels say of the distance, frame by frame, is noise: the hips stay where
    the landmarks were placed, or jumps would look like another shot."""
    track = studio.film(scene, pixel_noise=8.0)
    without, _ = observe(track, studio)
    found, _ = observe(track, studio, lifter=Knows(scene, studio, error=0.1))
    hips = [found.names.index(name) for name in ("LHip", "RHip")]
    middle = [one.xyz[:, hips].mean(axis=1) for one in (found, without)]
    assert np.allclose(*middle, atol=1e-9)
