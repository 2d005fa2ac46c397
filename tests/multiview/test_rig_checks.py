"""Rigs that project every point where it should, and are wrong all the same."""

import json
from dataclasses import replace

import numpy as np
import pytest

from kinefit.geometry.projection import intrinsics, project
from kinefit.multiview.rig_checks import check_rig, fit_rig_to_videos, fit_to_video
from kinefit.types import Camera, CameraRig, InputError, InvalidData, Keypoints3D, Timeline

HEIGHT = 1.75
SIZE = (1280, 720)
FACTS = {  # a person facing +X, right side at +Z; metres
    "Nose": (0.10, 1.62, 0.0), "LEar": (0.0, 1.63, -0.08), "REar": (0.0, 1.63, 0.08),
    "LShoulder": (0.0, 1.43, -0.18), "RShoulder": (0.0, 1.43, 0.18),
    "LHip": (0.0, 0.898, -0.1), "RHip": (0.0, 0.898, 0.1),
    "LKnee": (0.0, 0.5, -0.1), "RKnee": (0.0, 0.5, 0.1),
    "LAnkle": (0.0, 0.1, -0.1), "RAnkle": (0.0, 0.1, 0.1),
    "LHeel": (-0.05, 0.0, -0.1), "RHeel": (-0.05, 0.0, 0.1),
    "LBigToe": (0.18, 0.0, -0.1), "RBigToe": (0.18, 0.0, 0.1),
}  # fmt: skip


def _person(move=lambda xyz: xyz) -> Keypoints3D:
    """Ten frames of the person walking 1 m, noise of 5 mm."""
    one = np.array(list(FACTS.values()))
    walk = np.linspace(0, 1, 10)[:, None, None] * [1.0, 0, 0]
    noise = np.random.default_rng(0).normal(0, 0.005, (10, *one.shape))
    return Keypoints3D(Timeline.regular(10, 30.0), tuple(FACTS), move(one + walk + noise), "world")


def _camera(name, centre, target=(0.5, 0.9, 0.0), roll=0.0, size=SIZE) -> Camera:
    z = np.subtract(target, centre) / np.linalg.norm(np.subtract(target, centre))
    x = np.cross(z, [0.0, 1, 0])
    x /= np.linalg.norm(x)
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    R = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ np.stack([x, np.cross(z, x), z])
    return Camera(name, size, intrinsics(900.0, size), R, -R @ np.asarray(centre, float))


@pytest.fixture
def rig() -> CameraRig:
    return CameraRig(
        (
            _camera("a", [4.0, 1.5, 0.5]),
            _camera("b", [-2.0, 1.2, 3.0]),
            _camera("c", [-1.5, 2.0, -3.5]),
        )
    )


@pytest.fixture
def sizes(rig):
    return dict.fromkeys(rig.names, SIZE)


def test_a_good_rig_has_numbers_and_no_warnings(rig, sizes):
    report = check_rig(rig, sizes, _person(), HEIGHT)
    assert report.findings == ()
    a, b, _ = report.cameras
    assert a.height_m == pytest.approx(1.5, abs=0.02)  # 5 mm of noise under the lowest of ten feet
    # From (4, 1.5, 0.5) to (0.5, 0.9, 0): down by atan(0.6 / 3.536).
    assert a.tilt_deg == pytest.approx(np.degrees(np.arctan(0.6 / np.hypot(3.5, 0.5))))
    assert a.roll_deg == pytest.approx(0, abs=1e-9)
    assert b.seen == 1.0
    assert report.pairs[0].cameras == ("a", "b")
    assert report.pairs[0].baseline_m == pytest.approx(np.linalg.norm([6, 0.3, 2.5]))
    assert report.person.upright == report.person.facing == 1.0
    # The chain of this person is 0.532 + 0.398 + 0.4 = 1.33 m, 0.760 of 1.75 m.
    assert report.person.scale == pytest.approx(1.0, abs=0.01)
    json.dumps(report.as_json(), allow_nan=False)


def test_heights_are_above_the_persons_floor_not_the_worlds_zero(rig, sizes):
    up = np.array([0.0, 0.7, 0.0])
    raised = check_rig(rig.moved(np.eye(3), up), sizes, _person(lambda xyz: xyz + up), HEIGHT)
    assert raised.floor_m == pytest.approx(0.7, abs=0.02)
    assert raised.cameras[0].height_m == pytest.approx(1.5, abs=0.02)
    assert raised.cameras[0].place_m[1] == pytest.approx(2.2)


def test_without_a_person_the_cameras_speak_for_themselves(rig, sizes):
    report = check_rig(rig, sizes)
    assert report.findings == ()
    assert report.person is None
    assert report.floor_from == "the world's origin"
    # The three axes meet where all look.
    np.testing.assert_allclose(report.middle_m, [0.5, 0.9, 0.0], atol=1e-9)
    alone = check_rig(CameraRig(rig.cameras[:1]), sizes)
    assert (alone.middle_m, alone.pairs) == (None, ())
    json.dumps(alone.as_json(), allow_nan=False)


def test_roll_is_clockwise_seen_from_behind():
    camera = _camera("a", [4.0, 1.5, 0.5], roll=20.0)
    assert check_rig(CameraRig((camera,)), {}).cameras[0].roll_deg == pytest.approx(20)
    # A camera turned clockwise shows what is above its middle further to the left.
    above = project(camera, np.array([0.5, 1.5, 0.0])) - project(camera, np.array([0.5, 0.9, 0.0]))
    assert above[0] < -10


def _said(report, *words):
    return any(all(w in str(finding) for w in words) for finding in report.findings)


def test_an_upside_down_world_is_said(rig, sizes):
    turn = np.diag([1.0, -1.0, -1.0])
    report = check_rig(rig.moved(turn), sizes, _person(lambda xyz: xyz @ turn.T), HEIGHT)
    assert report.person.upright == 0.0
    assert report.person.facing == 1.0  # a turned world is not mirrored
    assert _said(report, "Every camera hangs upside down", "--world-up")
    assert _said(report, "head is below the feet in 100%")
    assert _said(report, "below the floor")
    assert not _said(report, "Toes and nose")
    # The pictures cannot tell: every point is where it was.
    assert {c.seen for c in report.cameras} == {1.0}
    unknown = check_rig(
        rig.moved(turn), sizes, _person(lambda xyz: xyz @ turn.T), HEIGHT, up_known=False
    )
    assert unknown.findings == ()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_world_is_said_whichever_way_it_is_mirrored(rig, sizes, axis):
    def mirror(xyz):
        return xyz * np.where(np.arange(3) == axis, -1.0, 1.0)

    report = check_rig(rig, sizes, _person(mirror), HEIGHT)
    assert report.person.facing == 0.0
    assert _said(report, "The world is mirrored", "100%")


def test_a_few_frames_with_exchanged_sides_are_no_mirror(rig, sizes):
    good = _person()
    swapped = good.xyz.copy()
    order = [good.names.index({"L": "R", "R": "L"}.get(n[0], n[0]) + n[1:]) for n in good.names]
    swapped[:4] = swapped[:4, order]
    report = check_rig(rig, sizes, replace(good, xyz=swapped), HEIGHT)
    assert report.person.facing == 0.6
    assert report.findings == ()


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (100.0, "centimetres that were read as metres"),
        (1000.0, "millimetres that were read as metres"),
        (0.001, "metres that were read as millimetres"),
        (3.281, "feet"),
        (1.2, "1.20 times the given height"),
        (0.8, "0.80 times the given height"),
    ],
)
def test_a_known_length_shows_another_scale(rig, sizes, factor, words):
    scaled = rig.moved(np.eye(3), scale=factor)
    report = check_rig(scaled, sizes, _person(lambda xyz: factor * xyz), HEIGHT)
    assert _said(report, words)
    assert {c.seen for c in report.cameras} == {1.0}  # which no picture shows


def test_a_few_percent_are_how_people_differ(rig, sizes):
    report = check_rig(rig, sizes, _person(), HEIGHT * 1.05)
    assert report.findings == ()


def test_a_camera_underground_and_one_in_the_sky_are_said(rig, sizes):
    a, b, c = rig
    moved = CameraRig(
        (replace(a, t=a.t + a.R @ [0, 2.0, 0]), b, replace(c, t=c.t - c.R @ [0, 30, 0]))
    )
    report = check_rig(moved, sizes, _person(), HEIGHT)
    assert _said(report, "Camera a stands", "m below the floor")
    assert _said(report, "Camera c stands 32 m above the floor")


def test_a_camera_that_looks_elsewhere_is_said(rig, sizes):
    a, b, c = rig
    away = CameraRig((a, b, _camera("c", c.centre, target=[-10.0, 1.0, -3.5])))
    assert _said(check_rig(away, sizes, _person(), HEIGHT), "Camera c looks away", "0%")
    more = CameraRig((*away, _camera("d", [2.0, 1.0, -3.0])))
    assert _said(check_rig(more, sizes), "Camera c looks away from where the other cameras")
    assert not _said(check_rig(more, sizes), "Camera a looks")


def test_cameras_on_their_sides_and_one_upside_down_are_told_apart(rig, sizes):
    lying = CameraRig(tuple(_camera(c.name, c.centre, roll=90.0) for c in rig))
    assert _said(check_rig(lying, sizes), "Every camera is rotated by about 90 degrees")
    one = CameraRig((*rig.cameras[:2], _camera("c", rig["c"].centre, roll=180.0)))
    report = check_rig(one, sizes)
    assert _said(report, "Camera c hangs upside down")
    assert not _said(report, "Every camera")


def test_pairs_that_see_no_depth_are_said(rig, sizes):
    near = CameraRig((rig["a"], _camera("b", [4.0, 1.5, 0.3])))
    assert _said(check_rig(near, sizes, _person(), HEIGHT), "a and b look along nearly one line")
    narrow = CameraRig((rig["a"], _camera("b", [4.0, 1.5, -0.3])))
    assert _said(check_rig(narrow, sizes, _person(), HEIGHT), "No two cameras see from")


def test_a_lens_that_folds_in_its_own_corners_is_said(rig, sizes):
    bad = replace(rig["a"], distortion=[-0.9, 0, 0, 0])
    assert _said(check_rig(CameraRig((bad, *rig.cameras[1:])), sizes), "lens of camera a")


def test_points_that_do_not_tell_give_no_verdict(rig, sizes):
    empty = Keypoints3D(Timeline.regular(3, 30.0), ("Nose",), np.full((3, 1, 3), np.nan), "world")
    report = check_rig(rig, sizes, empty, HEIGHT)
    person = report.person
    assert (person.upright, person.facing, person.scale, person.scale_sd) == (None,) * 4
    assert report.findings == ()
    json.dumps(report.as_json(), allow_nan=False)
    with pytest.raises(InvalidData, match="world axes"):
        check_rig(rig, sizes, replace(_person(), axes="camera"), HEIGHT)


def test_videos_of_other_sizes_and_names_are_said(rig):
    report = check_rig(rig, {"a": (1280, 720), "b": (720, 1280), "door": (1, 1)})
    assert _said(report, "No camera is called door", "a, b, c")
    assert _said(report, "Camera b", "rotated by 90 degrees")
    assert report.cameras[2].video_size is None


# --- image size against the video


def test_the_same_size_changes_nothing(rig):
    camera, said = fit_to_video(rig["a"], SIZE)
    assert camera is rig["a"]
    assert said is None


@pytest.mark.parametrize("size", [(640, 360), (1920, 1080), (1919, 1080)])
def test_a_scaled_video_shows_the_same_rays(rig, size):
    lens = replace(rig["a"], distortion=[-0.2, 0.1, 1e-3, -1e-3])
    camera, said = fit_to_video(lens, size)
    assert camera.size == size
    assert "scaled by" in said
    points = _person().xyz.reshape(-1, 3)
    # The outer edge of the corner pixel is at -0.5 in both, and width - 0.5 goes to the new one.
    scale = np.array(size) / SIZE
    expected = (project(lens, points) + 0.5) * scale - 0.5
    np.testing.assert_allclose(project(camera, points), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("calibrated", "size", "word"),
    [
        ((1088, 1920), (1080, 1920), "cut"),
        ((1920, 1080), (1920, 1088), "padded"),
        ((1920, 1088), (1920, 1080), "cut"),
    ],
)
def test_a_few_pixels_are_cut_or_padded_at_the_right_and_bottom(rig, calibrated, size, word):
    before = replace(rig["a"], size=calibrated)
    camera, said = fit_to_video(before, size)
    assert camera.size == size
    np.testing.assert_array_equal(camera.K, before.K)
    assert f"taken as {word} at the right and bottom" in said
    assert f"{calibrated[0]} x {calibrated[1]}" in said


@pytest.mark.parametrize(
    ("calibrated", "size", "said"),
    [
        ((1920, 1080), (1080, 1920), "rotated by 90 degrees"),
        ((1920, 1080), (720, 1280), "rotated by 90 degrees"),
        ((1088, 1920), (1920, 1080), "rotated by 90 degrees"),
        ((1920, 1080), (1440, 1080), "another camera or another video mode"),
        ((1920, 1080), (0, 0), "another"),
    ],
)
def test_other_sizes_are_refused_with_the_likely_reason(rig, calibrated, size, said):
    with pytest.raises(InputError, match=said) as error:
        fit_to_video(replace(rig["a"], size=calibrated), size)
    assert "camera a" in str(error.value)


def test_a_rig_is_fitted_by_name(rig):
    fitted, said = fit_rig_to_videos(rig, {"c": (640, 360)})
    assert [c.size for c in fitted] == [SIZE, SIZE, (640, 360)]
    assert len(said) == 1
    assert said[0].startswith("camera c")
