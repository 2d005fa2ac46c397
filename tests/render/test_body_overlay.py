"""Fitted bodies on pictures, read back with the project's reader and with Pillow."""

import numpy as np
import pytest
from PIL import Image

from kinefit.geometry.projection import project
from kinefit.io.video import VideoWriter, frames
from kinefit.render.body_overlay import meshes_of, picture, turned, write_fit_overlay, write_picture
from kinefit.render.palette import PAPER, rgb
from kinefit.types import CameraRig, InvalidData, Timeline

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
    return paths


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


def test_the_body_is_where_each_camera_sees_it_and_missing_poses_are_marked(tmp_path):
    rig = two_cameras()
    vertices, faces = ball(radius=0.4)
    moments = np.tile(np.arange(4) / 30, (2, 1))
    out, done = tmp_path / "o.mp4", []
    write_fit_overlay(
        out,
        videos(tmp_path, rig.names),
        rig,
        moments,
        lambda t: None if t == 2 else vertices + np.array([0, 0.05 * t, 0]),
        faces,
        lambda *count: done.append(count),
    )
    shown = [f.rgb.astype(int) for f in frames(out)]
    assert len(shown) == 4
    assert done[-1] == (4, 4)
    ratio = shown[0].shape[1] / 2 / SIZE[0]
    for t, sheet in enumerate(shown):
        for c, cam in enumerate(rig):
            part = sheet[:, c * sheet.shape[1] // 2 :][:, : sheet.shape[1] // 2]
            changed = np.abs(part - GREY).max(axis=-1) > 12  # H.264 leaves flat grey within 3
            changed[:70] = False  # the words
            if t == 2:
                assert not changed.any()
                red = part[25:45, 5:80]
                assert (red[..., 0] - red[..., 2]).max() > 60  # a warning in a warm colour
                continue
            y, x = np.nonzero(changed)
            u, v = (project(cam, np.array([0, 0.05 * t, -3])) + 0.5) * ratio
            # Light falls from one side: the dark rim of the ball may be near the grey behind it.
            assert abs(x.mean() - u) < 6
            assert abs(y.mean() - v) < 6
            # A ball of 0.4 m at 3.0 m: 20 px in radius, and 4 x 4 as many on the sheet.
            assert 0.8 < changed.sum() / (np.pi * (20 * ratio) ** 2) < 1.1


def test_one_camera_works_too(tmp_path):
    vertices, faces = ball()
    out = tmp_path / "o.mp4"
    write_fit_overlay(
        out, videos(tmp_path, ["cam"]), CameraRig((camera(),)), np.arange(4)[None] / 30,
        lambda t: vertices, faces, lambda *_: None,
    )  # fmt: skip
    shown = list(frames(out))
    assert len(shown) == 4
    middle = shown[-1].rgb[shown[-1].rgb.shape[0] // 2, shown[-1].rgb.shape[1] // 2]
    assert middle.min() > GREY + 30


def test_a_mesh_that_does_not_fit_its_faces_leaves_no_file(tmp_path):
    vertices, faces = ball()
    (video,) = videos(tmp_path, ["cam"])
    with pytest.raises(InvalidData, match="Vertices of shape"):
        write_fit_overlay(
            tmp_path / "o.mp4", [video], CameraRig((camera(),)), np.zeros((1, 1)),
            lambda t: vertices[:5], faces, lambda *_: None,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == [video]


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
    image = picture(photo, camera(), pole, BOX_FACES)
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
    image = picture(photo, camera(size=(4000, 2000), focal_px=3000), vertices, faces)
    assert image.shape == (640, 3 * 1280, 3)
    assert image[320, 1280 + 640].min() > 60  # in the middle of the second panel


def test_a_quarter_turn_brings_the_front_to_the_bodys_left():
    points = np.array([[0, 0, 0.5], [0, 0, -0.5], [0.2, 1, 0], [-0.2, -1, 0], [np.nan] * 3])
    middle = np.array([1, 2, 3])
    found = turned(points + middle) - middle
    wanted = [[0.5, 0, 0], [-0.5, 0, 0], [0, 1, -0.2], [0, -1, 0.2], [np.nan] * 3]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize(("suffix", "error"), [(".png", 0), (".jpg", 12)])
def test_pictures_are_files_that_others_read(tmp_path, suffix, error):
    x = np.linspace(0, 255, 64).astype(np.uint8)
    image = np.stack(
        [np.tile(x, (48, 1)), np.full((48, 64), 30, np.uint8), np.tile(255 - x, (48, 1))], -1
    )
    path = tmp_path / f"still{suffix}"
    write_picture(path, image)
    read = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(read - image).max() <= error  # JPEG halves the resolution of colours


def test_a_picture_of_another_kind_is_refused(tmp_path):
    with pytest.raises(InvalidData, match=r"\.png or \.jpg"):
        write_picture(tmp_path / "still.gif", np.zeros((4, 4, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
