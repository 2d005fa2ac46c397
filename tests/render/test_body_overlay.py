"""Fitted bodies on pictures, read back with the project's reader and with Pillow."""

from dataclasses import replace

import numpy as np
import pytest

from kinefit.body import BodyModel, ShapeSpace
from kinefit.geometry.projection import project
from kinefit.io.video import Clip, VideoWriter, frames
from kinefit.render.body_overlay import (
    body_picture,
    face_colors,
    meshes_of,
    rotated_quarter,
    write_body_overlay,
)
from kinefit.render.palette import PAPER, SKIN, SKIN_OF_SIDE, rgb
from kinefit.types import BodyMotion, CameraRig, InvalidData, Timeline

from ..body.moving import swinging
from ..body.synthetic import tube_body
from .shapes import BOX_FACES, SIZE, ball, box, camera

GREY = 90


def videos(folder, names, count=4):
    paths = []
    for name in names:
        paths.append(folder / f"{name}.mp4")
        with VideoWriter(paths[-1], SIZE, rate_hz=30.0, quality=10) as writer:
            for i in range(count):
                writer.add(np.full((SIZE[1], SIZE[0], 3), GREY, np.uint8), i / 30)
    return [Clip(path) for path in paths]


def two_cameras() -> CameraRig:
    """Side by side, 0.6 m apart: the ball is in the left half of one, the right of the other."""
    left, right = camera(name="left"), camera(name="right")
    shift = np.array([0.3, 0.0, 0.0])
    return CameraRig(
        tuple(
            type(left)(c.name, c.size, c.K, c.R, sign * shift)
            for c, sign in ((left, 1), (right, -1))
        )
    )


def rolling(count, without=(), rate=30.0):
    """A ball as a body of one joint, before the cameras, that rises by 5 cm a frame."""
    vertices, faces = ball((0, 0, 0), radius=0.4)
    body = BodyModel(
        "ball", ("root",), np.array([-1]), np.zeros((1, 3)), np.zeros((0, 1, 3)), vertices,
        np.zeros((0, len(vertices), 3)), faces, np.zeros((len(vertices), 1), int),
        np.ones((len(vertices), 1)), ShapeSpace.unbounded(()), {},
    )  # fmt: skip
    place = np.stack([np.zeros(count), 0.05 * np.arange(count), np.full(count, -3.0)], axis=1)
    rotations = np.tile(np.eye(3), (count, 1, 1, 1))
    place[list(without)], rotations[list(without)] = np.nan, np.nan
    clock = Timeline.regular(count, rate)
    return body, BodyMotion("ball", clock, ("root",), rotations, place, np.zeros(0), ())


def test_the_body_is_where_each_camera_sees_it_and_missing_poses_are_marked(tmp_path):
    rig = two_cameras()
    body, motion = rolling(4, without=[2])
    moments = np.tile(np.arange(4) / 30, (2, 1))
    out, done = tmp_path / "o.mp4", []
    seen = videos(tmp_path, rig.names)
    write_body_overlay(out, seen, rig, moments, body, motion, lambda *count: done.append(count))
    shown = [f.rgb.astype(int) for f in frames(out)]
    assert len(shown) == 4
    assert done[-1] == (4, 4)
    ratio = shown[0].shape[1] / 2 / SIZE[0]
    for t, sheet in enumerate(shown):
        for c, cam in enumerate(rig):
            part = sheet[:, c * sheet.shape[1] // 2 :][:, : sheet.shape[1] // 2]
            changed = np.abs(part - GREY).max(axis=-1) > 12  # H.264 leaves flat grey within 3
            changed[:70] = changed[-30:] = False  # the words
            if t == 2:
                assert not changed.any()
                red = part[20:45, 5:80]
                assert (red[..., 0] - red[..., 2]).max() > 60  # a warning in a warm colour
                continue
            y, x = np.nonzero(changed)
            u, v = (project(cam, np.array([0, 0.05 * t, -3])) + 0.5) * ratio
            # Light falls from one side: the dark rim of the ball may be near the grey behind it.
            assert abs(x.mean() - u) < 6
            assert abs(y.mean() - v) < 6
            # A ball of 0.4 m at 3.0 m: 20 px in radius, and 4 x 4 as many on the sheet.
            assert 0.8 < changed.sum() / (np.pi * (20 * ratio) ** 2) < 1.1


def test_one_camera_at_a_high_rate_shows_every_second_frame(tmp_path):
    body, motion = rolling(8, rate=60.0)
    out = tmp_path / "o.mp4"
    (clip,) = videos(tmp_path, ["cam"], count=8)
    moments = motion.timeline.time[None] * 2  # the video itself has 30 frames a second
    write_body_overlay(out, [clip], CameraRig((camera(),)), moments, body, motion, lambda *_: None)
    shown = list(frames(out))
    np.testing.assert_allclose([f.time for f in shown], np.arange(4) / 30, atol=1e-4)
    for i, frame in enumerate(shown):
        u, v = (project(camera(), np.array([0, 0.1 * i, -3])) + 0.5) * frame.rgb.shape[1] / SIZE[0]
        assert frame.rgb[round(v), round(u)].min() > GREY + 30


def test_slow_motion_is_shown_as_slow_as_it_was_filmed(tmp_path):
    body, motion = rolling(8, rate=240.0)
    out = tmp_path / "o.mp4"
    (clip,) = videos(tmp_path, ["cam"], count=8)
    slow = replace(clip, slowmo=8)
    moments = motion.timeline.time[None]
    write_body_overlay(out, [slow], CameraRig((camera(),)), moments, body, motion, lambda *_: None)
    np.testing.assert_allclose([f.time for f in frames(out)], np.arange(8) / 30, atol=1e-4)


def test_videos_that_are_not_the_rigs_leave_no_file(tmp_path):
    body, motion = rolling(4)
    seen = videos(tmp_path, ["cam"])
    with pytest.raises(InvalidData, match="1 videos and moments"):
        write_body_overlay(
            tmp_path / "o.mp4", seen, two_cameras(), np.zeros((2, 4)), body, motion, lambda *_: None
        )
    assert list(tmp_path.iterdir()) == [clip.path for clip in seen]


def test_limbs_have_the_colours_of_their_sides():
    body = tube_body()
    color = face_colors(body).round().astype(int)
    joint = body.skin_joints[np.arange(len(body.vertices)), body.skin_weights.argmax(axis=1)]
    whole = (np.sort(body.skin_weights, axis=1)[:, :-1] == 0).all(axis=1)
    for name, wanted in (
        ("left_elbow", SKIN_OF_SIDE["left"]), ("right_ankle", SKIN_OF_SIDE["right"]),
        ("spine3", SKIN), ("left_collar", SKIN), ("head", SKIN),
    ):  # fmt: skip
        of_joint = whole & (joint == body.joint_names.index(name))
        faces = of_joint[body.faces].all(axis=1)
        assert faces.any()
        assert (color[faces] == rgb(wanted)).all()


def test_meshes_are_the_motions_frame_by_frame():
    body = tube_body()
    motion = swinging(body, Timeline.regular(70, 30.0), without=(3, 31, 32))  # across two batches
    wanted = body.motion_vertices(motion)
    vertices = meshes_of(body, motion)
    for t in (*range(70), 0, 69):  # in order, and then back
        if t in (3, 31, 32):
            assert vertices(t) is None
        else:
            # 1e-12: the same sums, in batches of another size.
            np.testing.assert_allclose(vertices(t), wanted[t], atol=1e-12)


def test_a_photo_the_body_on_it_and_its_side():
    photo = np.full((SIZE[1], SIZE[0], 3), GREY, np.uint8)
    photo[:10, :10] = (200, 30, 30)
    pole = box((-0.1, -0.4, -3.9), (0.1, 0.4, -2.9))  # 1 m long, pointing at the camera
    image = body_picture(photo, camera(), pole, BOX_FACES)
    assert image.shape == (SIZE[1], 3 * SIZE[0], 3)
    plain, fitted, side = np.split(image.astype(int), 3, axis=1)
    assert (plain == photo).all()
    assert (photo[60, 80] == GREY).all()  # the caller's picture is not drawn on
    assert (fitted[:10, :10] == photo[:10, :10]).all()
    across = (np.abs(fitted - plain).max(axis=-1) > 0)[60].sum()
    turned_across = (np.abs(side - rgb(PAPER)).max(axis=-1) > 0)[60].sum()
    # 0.2 m at 2.9 m is 10.3 px; from the side 1 m whose near face is at 3.3 m is 45.5 px.
    # An edge touches one pixel more on either side.
    assert abs(across - 10.3) <= 2
    assert abs(turned_across - 45.5) <= 2


def test_a_large_photo_is_scaled_down():
    photo = np.zeros((2000, 4000, 3), np.uint8)
    vertices, faces = ball()
    image = body_picture(photo, camera(size=(4000, 2000), focal_px=3000), vertices, faces)
    assert image.shape == (640, 3 * 1280, 3)
    assert image[320, 1280 + 640].min() > 60  # in the middle of the second panel


def test_a_quarter_turn_brings_the_front_to_the_bodys_left():
    points = np.array([[0, 0, 0.5], [0, 0, -0.5], [0.2, 1, 0], [-0.2, -1, 0], [np.nan] * 3])
    middle = np.array([1, 2, 3])
    found = rotated_quarter(points + middle) - middle
    wanted = [[0.5, 0, 0], [-0.5, 0, 0], [0, 1, -0.2], [0, -1, 0.2], [np.nan] * 3]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
