"""The place behind people is where it is in the world, through any lens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import intrinsics, project, to_camera
from kinefit.synth.backdrop import Backdrop, Room, sample_room
from kinefit.synth.cameras import looking
from kinefit.synth.look import linear
from kinefit.types import Camera, InputError

SIZE = (96, 72)
ROOM = Room("room", (5.0, 4.0), 2.6, 3, (0.5, 0.5, 0.45))
R = looking(np.array([0.3, -0.8, -2.0]))
PLAIN = Camera("cam", SIZE, intrinsics(90.0, SIZE), R, -R @ np.array([0.5, 1.6, 2.5]))
LENS = replace(PLAIN, distortion=np.array([0.12, -0.05, 0.002, -0.001]))
HAND = so3.exp(np.array([0.02, -0.05, 0.1]))
MOVED = replace(LENS, R=HAND @ LENS.R, t=HAND @ (LENS.t + np.array([0.1, -0.05, 0.2])))


@pytest.mark.parametrize("camera", [PLAIN, LENS, MOVED])
def test_floor_places_project_to_their_pixels(camera: Camera) -> None:
    backdrop = Backdrop(ROOM, SIZE)
    backdrop.draw(PLAIN)  # what another camera saw before does not matter
    floor = backdrop.draw(camera)[1]
    y, x = np.nonzero(np.isfinite(floor[..., 0]))
    assert len(x) > 1000
    place = floor[y, x].astype(np.float64)
    xyz = np.stack([place[:, 0], np.zeros(len(place)), place[:, 1]], axis=-1)
    np.testing.assert_allclose(project(camera, xyz), np.stack([x, y], axis=-1), atol=0.1)
    assert (to_camera(camera, xyz)[:, 2] > 0).all()
    assert (np.abs(place) <= np.array(ROOM.half_m) + 1e-4).all()  # the floor ends at the walls


def test_walls_and_ceiling_are_no_floor() -> None:
    up = looking(np.array([0.0, 1.0, -1.0]))
    camera = replace(PLAIN, R=up, t=-up @ np.array([0.5, 1.6, 2.5]))
    assert np.isnan(Backdrop(ROOM, SIZE).draw(camera)[1]).all()


def test_a_camera_that_stays_gets_the_same_picture_and_one_that_moves_another() -> None:
    backdrop = Backdrop(ROOM, SIZE)
    first, again = backdrop.draw(LENS), backdrop.draw(replace(LENS))
    assert first[0] is again[0]
    assert first[1] is again[1]
    moved = backdrop.draw(MOVED)
    assert np.abs(moved[0] - first[0]).max() > 0.05
    np.testing.assert_array_equal(backdrop.draw(LENS)[0], first[0])


def test_what_is_painted_stays_in_its_place_when_the_camera_turns() -> None:
    Q = so3.exp(np.array([0.03, 0.08, 0.05]))
    turned = replace(PLAIN, R=Q @ PLAIN.R, t=Q @ PLAIN.t)
    backdrop = Backdrop(ROOM, SIZE)
    before, after = backdrop.draw(PLAIN)[0].copy(), backdrop.draw(turned)[0]
    H = PLAIN.K @ Q.T @ np.linalg.inv(PLAIN.K)
    back = cv2.warpPerspective(after, H, SIZE, flags=cv2.INTER_LINEAR, borderValue=(-9, -9, -9))
    inside = back.min(axis=-1) > 0
    assert inside.mean() > 0.5
    same, other = (np.median(np.abs(n - before)[inside]) for n in (back, after))
    # The rest is interpolation of edges; without the turn it is other places that are compared.
    assert same < 0.3 * other


@pytest.mark.parametrize("seed", range(4))
def test_every_pixel_is_light(seed: int) -> None:
    room = sample_room(np.random.default_rng(seed), least_m=3.0)
    assert min(room.half_m) >= 3.0
    light, _ = Backdrop(room, SIZE).draw(MOVED)
    assert light.shape == (72, 96, 3)
    assert np.isfinite(light).all()
    assert light.min() >= 0
    assert light.std() > 0.01  # something is there
    np.testing.assert_array_equal(Backdrop(room, SIZE).draw(MOVED)[0], light)


def test_both_kinds_of_place_occur_and_rooms_have_ceilings_above_heads() -> None:
    rooms = [sample_room(np.random.default_rng(s), least_m=2.0) for s in range(30)]
    assert {room.kind for room in rooms} == {"room", "outdoors"}
    assert min(room.high_m for room in rooms) >= 2.3


def test_rays_along_an_axis_meet_a_side_too() -> None:
    """They never meet the sides that they run along: a division by zero."""
    level = replace(PLAIN, R=looking(np.array([0.0, 0.0, -1.0])), t=np.array([0.0, 1.3, 0.0]))
    odd = replace(level, K=intrinsics(90.0, (95, 71)))  # its middle pixel looks along -Z
    light, floor = Backdrop(ROOM, SIZE).draw(odd)
    assert np.isfinite(light).all()
    assert np.isfinite(floor).any()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 256, (72, 96, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "own.png"), image)
    return tmp_path / "own.png"


def test_a_user_s_picture_is_what_the_first_camera_sees(picture: Path) -> None:
    room = replace(ROOM, kind="picture", picture=str(picture))
    light, floor = Backdrop(room, SIZE).draw(PLAIN)
    rgb = cv2.imread(str(picture))[..., ::-1].astype(np.float64)
    np.testing.assert_allclose(light, linear(rgb), atol=1e-5)
    assert np.isfinite(floor).any()  # shadows fall on it all the same


def test_a_user_s_picture_turns_as_the_camera_does_from_home(picture: Path) -> None:
    room = replace(ROOM, kind="picture", picture=str(picture))
    backdrop = Backdrop(room, SIZE, home=PLAIN)
    straight = backdrop.draw(PLAIN)[0].copy()
    Q = so3.exp(np.array([0.0, -np.arctan(10 / 90), 0.0]))  # to the right: the middle moves 10 px
    camera = replace(PLAIN, R=Q @ PLAIN.R, t=Q @ PLAIN.t)
    turned = backdrop.draw(camera)[0]
    x, y = 47.5, 35.5  # the middle of the picture, now 10 pixels to the left
    was, now = (cv2.getRectSubPix(n, (1, 1), at) for n, at in
                ((straight, (x, y)), (turned, (x - 10, y))))  # fmt: skip
    np.testing.assert_allclose(now, was, atol=0.02)
    np.testing.assert_array_equal(Backdrop(room, SIZE).draw(camera)[0], straight)  # without home


def test_a_small_picture_fills_a_larger_one(tmp_path: Path) -> None:
    image = np.full((10, 30, 3), 128, np.uint8)
    cv2.imwrite(str(tmp_path / "small.png"), image)
    room = replace(ROOM, kind="picture", picture=str(tmp_path / "small.png"))
    light, _ = Backdrop(room, SIZE).draw(PLAIN)
    np.testing.assert_allclose(light, linear(np.array(128.0)), atol=1e-4)


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    room = replace(ROOM, kind="picture", picture=str(tmp_path / "bad.png"))
    with pytest.raises(InputError, match=r"bad\.png"):
        Backdrop(room, SIZE)
