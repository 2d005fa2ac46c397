"""What the painter draws is where the camera code says, hides what is behind, and is lit right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import intrinsics, project, to_camera, undistort
from kinefit.render.mesh import rasterise
from kinefit.synth.backdrop import Backdrop, Room
from kinefit.synth.cameras import looking
from kinefit.synth.look import SKIN, Figure
from kinefit.synth.painter import PROPS_FROM, Light, Painter, Prop
from kinefit.types import Camera

SIZE = (120, 90)
ROOM = Room("room", (6.0, 6.0), 3.0, 0, (0.5, 0.5, 0.5))
LAMP = Light((0.6, 0.8, 0.0), key=0.6, ambient=0.4, warmth=0.0, softness_m=0.01, shadow=0.8)
BRIGHT = 1e6  # reflectance beside which the room is black


def camera_at(eye: tuple[float, float, float], target: tuple[float, float, float]) -> Camera:
    R = looking(np.subtract(target, eye))
    return Camera("cam", SIZE, intrinsics(130.0, SIZE), R, -R @ np.array(eye))


FRONT = camera_at((0.0, 1.0, 3.0), (0.0, 1.0, 0.0))


def figure(count: int = 1, bright: float = BRIGHT, offset: float = 0.0) -> Figure:
    """`count` separate triangles. All rest at one place: the grain of cloth is the same on all."""
    faces = np.arange(3 * count).reshape(-1, 3)
    return Figure(
        faces=faces,
        part=np.full(count, SKIN, np.uint8),
        palette=np.full((10, 3), bright),
        patterns={},
        rest=np.zeros((3 * count, 3), np.float32),
        offset=np.full(3 * count, offset),
        head=np.zeros(count, bool),
        hair=np.zeros(count, bool),
        joint=np.zeros(count, np.int64),
    )


def triangle(
    centre: tuple[float, float, float], side: float = 0.35, tilt: float = 0.0
) -> np.ndarray:
    """(3, 3) a triangle whose front is towards +Z, turned about Y by `tilt` radians."""
    # No edge along rows of pixels: all of them would be missed or met at once.
    angle = np.radians([107, 227, 347])
    flat = side * np.stack([np.cos(angle), np.sin(angle), np.zeros(3)], axis=-1)
    return flat @ so3.exp(np.array([0.0, tilt, 0.0])).T + centre


def drawn(at: np.ndarray, camera: Camera = FRONT, props: tuple[Prop, ...] = (), **kwargs: float):
    painter = Painter(ROOM, LAMP, [figure(len(at) // 3, **kwargs)], props, SIZE)
    return painter.draw([camera], [[at]])


def centroid(picture: np.ndarray) -> np.ndarray:
    weight = picture.sum(axis=-1).astype(np.float64)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


LENS = replace(FRONT, distortion=np.array([0.1, -0.05, 0.001, -0.002]))
ASIDE = camera_at((1.5, 1.8, 2.4), (0.1, 0.9, 0.0))


@pytest.mark.parametrize("camera", [FRONT, LENS, ASIDE])
@pytest.mark.parametrize("seed", range(3))
def test_a_triangle_is_where_the_camera_code_puts_it(camera: Camera, seed: int) -> None:
    shift = np.random.default_rng(seed).uniform(-0.2, 0.2, 3)
    at = triangle((shift[0], 1 + shift[1], shift[2]))
    found = centroid(drawn(at, camera).picture)
    # The middle of a triangle is the mean of its corners; 0.1 px is what the truth promises.
    np.testing.assert_allclose(found, project(camera, at).mean(axis=0), atol=0.1)


@pytest.mark.parametrize("camera", [FRONT, ASIDE])
def test_depth_is_where_the_ray_meets_the_plane(camera: Camera) -> None:
    at = triangle((0.05, 1.02, 0.1), tilt=0.6)
    shot = drawn(at, camera)
    y, x = np.nonzero(shot.surface == 0)
    assert len(x) > 100
    a, b, c = to_camera(camera, at)
    normal = np.cross(b - a, c - a)
    plane = undistort(camera, np.stack([x, y], axis=-1).astype(np.float64))
    ray = np.concatenate([plane, np.ones((len(x), 1))], axis=1)
    np.testing.assert_allclose(shot.depth[y, x], normal @ a / (ray @ normal), atol=1e-4)  # 0.1 mm
    assert np.isinf(shot.depth[shot.surface < 0]).all()


def test_maps_name_the_triangle_at_each_pixel_centre_whatever_the_jitter() -> None:
    near, far = triangle((0.0, 1.0, 0.5)), triangle((0.25, 1.0, 0.0))
    at = np.concatenate([far, near])
    shot = drawn(at)
    uv, depth = project(FRONT, at), to_camera(FRONT, at)[:, 2]
    want = np.full(SIZE[::-1], -1)
    seen = rasterise(uv, depth, np.arange(6).reshape(2, 3), SIZE)
    want[seen.y, seen.x] = seen.face
    np.testing.assert_array_equal(shot.face, want)
    np.testing.assert_array_equal(shot.surface, np.where(want < 0, -1, 0))
    # Where both are, the nearer one is.
    both = rasterise(uv[3:], depth[3:], np.array([[0, 1, 2]]), SIZE)
    assert (shot.face[both.y, both.x] == 1).all()


def test_faces_count_from_the_first_of_each_person() -> None:
    left, right = triangle((-0.4, 1.0, 0.0)), triangle((0.4, 1.0, 0.0))
    painter = Painter(ROOM, LAMP, [figure(), figure()], [], SIZE)
    shot = painter.draw([FRONT], [[left, right]])
    assert set(np.unique(shot.surface)) == {-1, 0, 1}
    assert (shot.face[shot.surface == 1] == 0).all()
    u = project(FRONT, right).mean(axis=0)[0]
    assert np.nonzero(shot.surface == 1)[1].mean() == pytest.approx(u, abs=0.5)  # whole pixels


def box(x: float, z: float, height: float = 1.5, side: float = 0.4) -> Prop:
    return Prop("box", (side, height, side), (x, z), 0.0, (0.2, 0.2, 0.2))


def test_a_thing_in_front_hides_the_person_and_one_behind_does_not() -> None:
    at = triangle((0.0, 1.0, 0.0))
    alone = drawn(at).surface == 0
    front = drawn(at, props=(box(0.0, 1.0),))
    behind = drawn(at, props=(box(0.0, -1.0),))
    other = drawn(at, props=(box(1.0, -1.0), box(0.0, 1.0)))
    # The box's front face at z = 1.2 spans +-0.2 m: all rays to the triangle below its top.
    uv = project(FRONT, np.array([[-0.2, 0.1, 1.2], [0.2, 1.5, 1.2]]))
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    covered = (x > uv[0, 0]) & (x < uv[1, 0]) & (y > uv[1, 1]) & (y < uv[0, 1])
    np.testing.assert_array_equal(front.surface == 0, alone & ~covered)
    assert (front.surface[covered] == PROPS_FROM).all()
    assert (other.surface[covered] == PROPS_FROM + 1).all()
    assert front.depth[covered] == pytest.approx(1.8, abs=1e-4)
    np.testing.assert_array_equal(behind.surface == 0, alone)
    assert (behind.surface == PROPS_FROM).any()


def test_clothes_lie_outside_the_skin_by_their_offset_and_bare_skin_stays() -> None:
    at = np.concatenate([triangle((-0.4, 1.0, 0.0)), triangle((0.4, 1.0, 0.0))])
    worn = replace(figure(2), offset=np.repeat([0.0, 0.05], 3))
    shot = Painter(ROOM, LAMP, [worn], [], SIZE).draw([FRONT], [[at]])
    assert shot.depth[shot.face == 0] == pytest.approx(3.0, abs=1e-4)
    assert shot.depth[shot.face == 1] == pytest.approx(2.95, abs=1e-4)


def test_the_shadow_falls_away_from_the_light_as_far_as_the_light_is_low() -> None:
    """A post of height h under a light of slope 4/3: a shadow 0.75 h long, on the other side."""
    camera = camera_at((0.0, 2.5, 4.0), (-0.4, 0.0, 0.0))
    post, far_off = box(0.0, 0.0, 0.8, 0.2), figure()
    away = triangle((0.0, 1.0, 20.0))  # behind the camera: a painter needs a person
    dark, lit = (
        Painter(ROOM, lamp, [far_off], [post], SIZE).draw([camera], [[away]]).picture
        for lamp in (LAMP, replace(LAMP, shadow=0.0))
    )
    floor = Backdrop(ROOM, SIZE).draw(camera)[1]
    bare = Painter(ROOM, LAMP, [far_off], [post], SIZE).draw([camera], [[away]]).surface < 0
    share = np.where(bare, dark[..., 1] / lit[..., 1], 1.0)
    shadow = share < 0.75
    x, z = floor[shadow].T
    # 5 cm: blur of the shadow and a pixel of the floor, here 3 cm.
    assert x.min() == pytest.approx(-0.1 - 0.8 * 0.75, abs=0.05)
    assert x.max() <= 0.1 + 0.05
    assert np.abs(z).max() <= 0.1 + 0.05
    # In its middle no more than the ambient light and what the shadow leaves of the key.
    middle = np.hypot(floor[..., 0] + 0.35, floor[..., 1]) < 0.05
    assert share[middle & bare].min() == pytest.approx(1 - 0.8 * 0.6, abs=0.01)


def test_what_stands_in_a_shadow_is_darker_by_what_it_takes_of_the_key() -> None:
    at = triangle((0.0, 0.5, 0.0), side=0.15)
    lamp = replace(LAMP, toward=tuple(np.array([1.0, 1.0, 0.5]) / 1.5))
    between = Prop("box", (0.5, 1.5, 0.5), (0.6, 0.3), 0.0, (0.2, 0.2, 0.2))
    shaded, lit = (
        Painter(ROOM, lamp, [figure()], props, SIZE).draw([FRONT], [[at]])
        for props in ([between], [])
    )
    u, v = np.round(project(FRONT, at).mean(axis=0)).astype(int)
    facing, sky = 0.6 * 0.5 / 1.5, 0.4 * 0.65  # of a surface that faces +Z
    ratio = shaded.picture[v, u] / lit.picture[v, u]
    np.testing.assert_allclose(ratio, (sky + 0.2 * facing) / (sky + facing), rtol=1e-5)


def test_motion_smears_along_its_way_and_the_truth_is_the_middle() -> None:
    at, step = triangle((0.0, 1.0, 0.0), side=0.2), np.array([0.12, 0.0, 0.0])
    painter = Painter(ROOM, LAMP, [figure()], [], SIZE)
    still = painter.draw([FRONT], [[at]])
    moving = painter.draw([FRONT] * 3, [[at - step], [at], [at + step]])
    (y0, x0), (y1, x1) = (np.nonzero(s.picture[..., 0] > 0.03 * BRIGHT) for s in (still, moving))
    pixels = 130 / 3 * 0.12  # on each side
    assert np.ptp(x1) - np.ptp(x0) == pytest.approx(2 * pixels, abs=1.5)  # jitter, whole pixels
    assert np.ptp(y1) == np.ptp(y0)
    np.testing.assert_array_equal(moving.surface, still.surface)
    np.testing.assert_array_equal(moving.depth, still.depth)
    np.testing.assert_allclose(centroid(moving.picture), centroid(still.picture), atol=0.1)


def test_a_camera_that_turns_smears_too() -> None:
    at = triangle((0.0, 1.0, 0.0), side=0.2)
    painter = Painter(ROOM, LAMP, [figure()], [], SIZE)
    turned = [replace(FRONT, R=q @ FRONT.R, t=q @ FRONT.t) for q in
              (so3.exp(np.array([0.0, a, 0.0])) for a in (-0.04, 0.0, 0.04))]  # fmt: skip
    still = painter.draw([FRONT], [[at]])
    shot = painter.draw(turned, [[at]] * 3)
    wide = [np.ptp(np.nonzero(s.picture[..., 0] > 0.03 * BRIGHT)[1]) for s in (still, shot)]
    assert wide[1] - wide[0] == pytest.approx(2 * 130 * 0.04, abs=1.5)
    np.testing.assert_array_equal(shot.surface, still.surface)
