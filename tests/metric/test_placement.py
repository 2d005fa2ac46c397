"""place_in_world against an exactly known walk before an exactly known camera."""

import time as clock
from dataclasses import replace

import numpy as np
import pytest

from kinefit.geometry.projection import to_camera
from kinefit.io.focal_length import NotedFocal
from kinefit.metric import place_in_world
from kinefit.metric.room import Room
from kinefit.types import InputError, InvalidData, Subject, TooFewPoints

FOCAL = 1400.0


@pytest.fixture
def subject(studio) -> Subject:
    return Subject(studio.height, 70)


def place(track, subject, **options):
    return place_in_world(track, subject, **{"focal_px": FOCAL, **options})


def hip(motion, studio):
    columns = [studio.names.index(n) for n in ("LHip", "RHip")]
    return motion.keypoints.xyz[:, columns].mean(axis=1)


def facing_x(points, heading_deg):
    """`points` of a walker with that heading, turned about the vertical until it walks along +X."""
    turn = np.radians(90 - heading_deg)
    c, s = np.cos(turn), np.sin(turn)
    return points @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T


def up_error_deg(motion, scene) -> float:
    cosine = (motion.camera.R @ [0, 1, 0]) @ (scene.camera.R @ [0, 1, 0])
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


@pytest.mark.parametrize("heading", [0, 45, 90, 200])
def test_a_perfect_recording_is_recovered(studio, subject, heading):
    scene = studio.scene(heading_deg=heading, tilt=12, roll=-7)
    motion = place(studio.film(scene, unit=1.3), subject, tilt_deg=12, roll_deg=-7)
    assert motion.scale == pytest.approx(1.3, rel=1e-9)
    assert (motion.tilt_deg, motion.roll_deg) == pytest.approx((12, -7))
    assert motion.tilt_sd_deg == 0
    assert motion.notes == ()
    # 0.1 mm: the smoother trusts a perfect fit to 1e-4 of the distance, not more.
    truth = facing_x(scene.xyz - scene.hip[0] * [1, 0, 1], heading)
    np.testing.assert_allclose(motion.keypoints.xyz, truth, atol=1e-4)
    in_camera = to_camera(motion.camera, motion.keypoints.xyz)
    np.testing.assert_allclose(in_camera, to_camera(scene.camera, scene.xyz), atol=1e-4)


@pytest.mark.parametrize("tilt", [-10, 0, 25])
@pytest.mark.parametrize("roll", [-15, 0, 25])
@pytest.mark.parametrize("heading", [0, 60, 90])
def test_tilt_and_roll_are_found(studio, subject, tilt, roll, heading):
    scene = studio.scene(heading_deg=heading, tilt=tilt, roll=roll)
    motion = place(studio.film(scene), subject)
    # 2 degrees: the walker starts and ends in mid-step, and its arms and head are not balanced.
    assert up_error_deg(motion, scene) < 2
    assert 0 < motion.tilt_sd_deg < 10


def test_a_raised_leg_is_no_support(studio, subject):
    scene = studio.scene(heading_deg=0, speed=0.0, tilt=10, roll=5)
    xyz = np.broadcast_to(scene.xyz[0], scene.xyz.shape).copy()
    column = studio.names.index
    for name, out, rise in (("Knee", 0.2, 0.15), ("Ankle", 0.5, 0.3)):
        xyz[:, column("L" + name)] += [out, rise, 0]
    for name in ("Heel", "BigToe"):
        xyz[:, column("L" + name)] += [0.5, 0.3, 0]
    for name in ("Knee", "Ankle", "Heel", "BigToe"):  # the other foot under the centre of mass
        xyz[:, column("R" + name), 0] += 0.14
    motion = place(studio.film(replace(scene, xyz=xyz)), subject)
    # 3 degrees: the centre of mass is within 5 cm of the supporting foot, 1 m below. Both feet
    # taken as supports would tip the room by 19 degrees.
    assert up_error_deg(motion, replace(scene, xyz=xyz)) < 3


def test_one_given_angle_is_kept_and_the_other_estimated(studio, subject):
    scene = studio.scene(tilt=15, roll=10)
    motion = place(studio.film(scene), subject, roll_deg=10)
    assert motion.roll_deg == pytest.approx(10)
    assert motion.tilt_deg == pytest.approx(15, abs=2)
    assert motion.tilt_sd_deg > 0


def test_noise_stays_within_the_stated_uncertainty(studio, subject):
    # MediaPipe's order of error: 5 px in the image, 4 cm in the body.
    scene = studio.scene(heading_deg=30, tilt=15, roll=5)
    motion = place(studio.film(scene, pixel_noise=5, body_noise=0.04, seed=4), subject)
    found = to_camera(motion.camera, hip(motion, studio))
    error = found - to_camera(scene.camera, scene.hip)
    assert np.abs(error[:, :2]).mean() < 0.03  # two hips at 5 px: 13 mm, and the scale's error
    assert np.abs(error[:, 2]).max() < 3 * motion.depth_sd.min()
    assert np.std(error[:, 2]) < 0.03  # 8 cm in single frames before smoothing
    assert up_error_deg(motion, scene) < 3 * motion.tilt_sd_deg
    assert motion.scale == pytest.approx(1, abs=2 * motion.scale_sd)


@pytest.mark.parametrize("heading", [0, 90, 180, 315])
def test_walking_moves_forward_by_the_true_distance(studio, subject, heading):
    scene = studio.scene(heading_deg=heading, distance=6)
    motion = place(studio.film(scene, pixel_noise=2, body_noise=0.02), subject)
    moved = (hip(motion, studio)[-1] - hip(motion, studio)[0])[[0, 2]]
    truth = facing_x(scene.hip[-1] - scene.hip[0], heading)[[0, 2]]
    # 6 cm of 3.9 m: scale 1 %, and the depth's own noise at the two ends.
    np.testing.assert_allclose(moved, truth, atol=0.06)


def test_soles_are_on_the_floor_and_do_not_sink(studio, subject):
    scene = studio.scene(heading_deg=70, tilt=20)
    motion = place(studio.film(scene), subject, tilt_deg=20, roll_deg=-5)
    feet = [studio.names.index(s + n) for s in "LR" for n in ("Heel", "BigToe")]
    lowest = motion.keypoints.xyz[:, feet, 1].min(axis=1)
    np.testing.assert_allclose(lowest, 0.02, atol=1e-3)  # landmarks 2 cm above the sole


@pytest.mark.parametrize(("heading", "camera_at"), [(0, (1, 0)), (90, (0, 1)), (180, (-1, 0))])
def test_the_person_faces_x_and_the_camera_stands_where_it_is(studio, subject, heading, camera_at):
    motion = place(studio.film(studio.scene(heading_deg=heading)), subject)
    column = studio.names.index
    xyz = motion.keypoints.xyz
    forward = (xyz[:, column("LBigToe")] - xyz[:, column("LHeel")]).mean(axis=0)
    assert forward[0] > 0.9 * np.linalg.norm(forward)
    right = (xyz[:, column("RHip")] - xyz[:, column("LHip")]).mean(axis=0)
    assert right[2] > 0.9 * np.linalg.norm(right)
    centre = -motion.camera.R.T @ motion.camera.t - hip(motion, studio).mean(axis=0)
    # Walked to from the camera's front, right, or back: within 2 degrees of the tilt estimate.
    assert centre[[0, 2]] @ camera_at > 0.99 * np.linalg.norm(centre[[0, 2]])


def test_a_person_who_turns_around_faces_nowhere(studio, subject):
    ahead, back = (studio.film(studio.scene(heading_deg=h, speed=0)) for h in (0, 180))
    half = len(ahead.image.timeline) // 2
    xy, body = ahead.image.xy.copy(), ahead.body.xyz.copy()
    xy[half:], body[half:] = back.image.xy[half:], back.body.xyz[half:]
    motion = place(studio.edit(ahead, xy=xy, body=body), subject, tilt_deg=10, roll_deg=-5)
    assert any("faces no way" in note for note in motion.notes)
    centre = -motion.camera.R.T @ motion.camera.t
    assert centre[2] > 2  # X to the camera's right leaves the camera on +Z


def test_the_unit_of_the_body_does_not_matter(studio, subject):
    scene = studio.scene()
    metre, other = (place(studio.film(scene, unit=u), subject) for u in (1.0, 2.5))
    assert other.scale == pytest.approx(2.5 * metre.scale)
    np.testing.assert_allclose(other.keypoints.xyz, metre.keypoints.xyz, atol=1e-9)


def test_everything_grows_with_the_stature(studio, subject):
    track = studio.film(studio.scene())
    small = place(track, subject, tilt_deg=10, roll_deg=-5)
    tall = place(track, Subject(1.1 * studio.height, 70), tilt_deg=10, roll_deg=-5)
    # 1 mm of 4 m: smoothing knows a pelvis's acceleration in metres, and the sole's 2 cm are fixed.
    grown = 1.1 * small.keypoints.xyz - [0, 0.1 * 0.02, 0]
    np.testing.assert_allclose(tall.keypoints.xyz, grown, atol=1e-3)


def test_a_mirrored_image_gives_the_mirrored_motion(studio, subject):
    track = studio.film(studio.scene(heading_deg=50, roll=12), pixel_noise=3, body_noise=0.02)
    from kinefit.skeletons import skeleton

    other_side = skeleton("blazepose33").mirror()
    width = track.image.image_size[0]
    mirrored = studio.edit(
        track,
        xy=track.image.xy[:, other_side] * [-1, 1] + [width - 1, 0],
        body=track.body.xyz[:, other_side] * [-1, 1, 1],
    )
    plain, mirror = place(track, subject), place(mirrored, subject)
    assert mirror.roll_deg == pytest.approx(-plain.roll_deg)
    expected = plain.keypoints.xyz[:, other_side] * [1, 1, -1]
    # 1e-6: the order of sums differs, and the weighted medians choose among equal frames.
    np.testing.assert_allclose(mirror.keypoints.xyz, expected, atol=1e-6)


def test_a_long_gap_stays_missing_and_harms_nobody(studio, subject):
    scene = studio.scene(heading_deg=20)
    track = studio.film(scene)
    gap = slice(40, 85)
    xy, body = track.image.xy.copy(), track.body.xyz.copy()
    xy[gap], body[gap] = np.nan, np.nan
    motion = place(studio.edit(track, xy=xy, body=body), subject, tilt_deg=10, roll_deg=-5)
    assert np.isnan(motion.keypoints.xyz[gap]).all()
    assert np.isnan(motion.depth_sd[gap]).all()
    seen = np.ones(len(xy), bool)
    seen[gap] = False
    truth = facing_x(scene.xyz - scene.hip[0] * [1, 0, 1], 20)
    np.testing.assert_allclose(motion.keypoints.xyz[seen], truth[seen], atol=1e-3)


def test_frames_with_too_few_points_stay_missing(studio, subject):
    track = studio.film(studio.scene())
    xy = track.image.xy.copy()
    xy[10, 5:] = np.nan
    motion = place(studio.edit(track, xy=xy), subject)
    assert np.isnan(motion.keypoints.xyz[10]).all()
    assert np.isfinite(motion.keypoints.xyz[[9, 11]]).all()


def test_the_frame_rate_does_not_matter(studio, subject):
    fast, slow = (studio.scene(rate_hz=rate, heading_deg=10) for rate in (120.0, 30.0))
    noisy = studio.film(fast, pixel_noise=4, body_noise=0.03)
    every = slice(None, None, 4)
    thinned = replace(
        noisy,
        image=replace(
            noisy.image,
            timeline=slow.timeline,
            xy=noisy.image.xy[every],
            score=noisy.image.score[every],
        ),
        body=replace(noisy.body, timeline=slow.timeline, xyz=noisy.body.xyz[every]),
    )
    a, b = place(noisy, subject), place(thinned, subject)
    assert b.scale == pytest.approx(a.scale, rel=0.01)
    depth = [to_camera(m.camera, hip(m, studio))[:, 2] for m in (a, b)]
    # 6 cm at 3-7 m: a quarter of the noisy frames, the same smoothness.
    np.testing.assert_allclose(depth[0][every], depth[1], atol=0.06)


def test_hidden_points_say_nothing_about_the_camera(studio, subject):
    track = studio.film(studio.scene())
    arm = [studio.names.index(n) for n in ("LElbow", "LWrist", "LIndex")]
    score, body = track.image.score.copy(), track.body.xyz.copy()
    score[:, arm] = 0.1
    clean = place(studio.edit(track, score=score), subject)
    body[:, arm] += 0.5
    wrong = place(studio.edit(track, score=score, body=body), subject)
    keep = [i for i in range(len(studio.names)) if i not in arm]
    np.testing.assert_allclose(
        wrong.keypoints.xyz[:, keep], clean.keypoints.xyz[:, keep], atol=1e-12
    )
    assert np.isfinite(wrong.keypoints.xyz).all()  # placed all the same


def test_default_and_stated_field_of_view(studio, subject):
    track = studio.film(studio.scene())
    assumed = place_in_world(track, subject)
    stated = place_in_world(track, subject, fov_deg=60)
    np.testing.assert_array_equal(assumed.keypoints.xyz, stated.keypoints.xyz)
    assert any("Focal length not given" in note for note in assumed.notes)
    assert not stated.notes
    # Nobody knows the distance better than the focal length.
    assert stated.focal_sd == 0
    distance = to_camera(assumed.camera, hip(assumed, studio))[:, 2]
    assert (assumed.depth_sd > assumed.focal_sd * distance).all()


def test_whom_a_focal_length_is_believed(studio, subject):
    """Option, room, file, assumption, in this order."""
    track, up = studio.film(studio.scene()), np.array([0.0, -1.0, 0.0])
    noted = NotedFocal(1500.0, 0.06, "EXIF FocalLengthIn35mmFilm: 26 mm")
    room, upright = Room(up, 0.02, 1300.0, 0.03), Room(up, 0.02)
    cases = [
        ({"room": room, "noted": noted, "focal_px": 1000.0}, 1000, 0.0, "given"),
        ({"room": room, "noted": noted}, 1300, 0.03, "room"),
        ({"room": upright, "noted": noted}, 1500, 0.06, "file"),
        ({"noted": noted}, 1500, 0.06, "file"),
        ({}, 960 / np.tan(np.radians(30)), 0.17, "assumed"),
    ]
    for options, focal, sd, source in cases:
        placed = place_in_world(track, subject, **options)
        assert placed.camera.K[0, 0] == pytest.approx(focal)
        assert placed.focal_sd == sd
        assert placed.focal_from == placed.as_json()["focal_from"] == source
        said = [note for note in placed.notes if "Focal length" in note]
        assert len(said) == (source != "given")
    assert "26 mm" in place_in_world(track, subject, noted=noted).notes[0]


def test_a_room_and_a_file_that_differ_are_both_said(studio, subject):
    track, room = studio.film(studio.scene()), Room(np.array([0.0, -1.0, 0.0]), 0.02, 1300.0, 0.03)
    for focal, differs in ((1500.0, False), (1700.0, True), (1000.0, True)):
        noted = NotedFocal(focal, 0.06, "EXIF FocalLengthIn35mmFilm: 26 mm")
        (said,) = place_in_world(track, subject, room=room, noted=noted).notes[:1]
        degrees = 2 * np.degrees(np.arctan(960 / focal))
        assert ("26 mm" in said) == (f"in the file: {degrees:.1f} degrees" in said) == differs


def test_a_lying_person_does_not_turn_the_camera(studio, subject):
    scene = studio.scene(heading_deg=0, speed=0.0, tilt=0, roll=0)
    laid = scene.xyz[..., [1, 0, 2]] * [1, -1, 1] + [-0.9, 0.3, 0]  # head towards +X
    motion = place(studio.film(replace(scene, xyz=laid)), subject)
    assert (motion.tilt_deg, motion.roll_deg) == pytest.approx((0, 0))
    assert motion.tilt_sd_deg > 20
    assert any("lie" in note for note in motion.notes)


def test_without_feet_the_camera_is_level_and_the_floor_below_the_hips(studio, subject):
    track = studio.film(studio.scene(tilt=0, roll=0))
    score = track.image.score.copy()
    low = [i for i, n in enumerate(studio.names) if n[1:] in ("Ankle", "Heel", "BigToe", "Knee")]
    score[:, low] = 0.0
    motion = place(studio.edit(track, score=score), subject)
    assert (motion.tilt_deg, motion.roll_deg) == pytest.approx((0, 0))
    text = " ".join(motion.notes)
    assert "level" in text
    assert "hips" in text
    assert "shoulders to hips only" in text
    assert hip(motion, studio)[:, 1].mean() == pytest.approx(0.497 * studio.height, abs=0.02)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_few_frames_are_enough(studio, subject, frames):
    scene = studio.scene(seconds=frames / 30, tilt=0, roll=0)
    motion = place(studio.film(scene), subject)
    assert np.isfinite(motion.keypoints.xyz).all()
    assert motion.tilt_sd_deg > 5


def test_nothing_to_lift_is_a_typed_error(studio, subject):
    track = studio.film(studio.scene(seconds=1))
    with pytest.raises(TooFewPoints):
        place(studio.edit(track, score=np.zeros_like(track.image.score)), subject)
    with pytest.raises(TooFewPoints):
        place(studio.edit(track, body=np.full_like(track.body.xyz, np.nan)), subject)
    with pytest.raises(InputError, match="image points only"):
        place(replace(track, body=None), subject)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"fov_deg": 60}, InputError),
        ({"focal_px": -1.0}, InvalidData),
        ({"focal_px": None, "fov_deg": 180}, InvalidData),
        ({"tilt_deg": 90}, InvalidData),
        ({"roll_deg": np.nan}, InvalidData),
    ],
)
def test_impossible_options_are_refused(studio, subject, options, error):
    track = studio.film(studio.scene(seconds=1))
    with pytest.raises(error):
        place(track, subject, **options)


def test_cost_grows_linearly_with_frames(studio, subject):
    def seconds(frames: int) -> float:
        track = studio.film(studio.scene(frames / 30, speed=0.001))
        start = clock.process_time()
        place(track, subject)
        return clock.process_time() - start

    seconds(200)  # first call imports and warms up
    short = min(seconds(2_000) for _ in range(3))
    # Ten times the frames; a quadratic step would cost a hundred times. 20 leaves room for a cache
    # that no longer holds the arrays and for a busy machine (measured: 12).
    assert min(seconds(20_000) for _ in range(2)) < 20 * short
