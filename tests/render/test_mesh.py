"""The renderer against a dense one, and against surfaces whose pictures are known."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.body.load import load_body
from kinefit.geometry.projection import project, rays
from kinefit.render import mesh
from kinefit.render.mesh import MeshPainter, rasterise
from kinefit.types import CameraRig, InvalidData

from .shapes import BOX_FACES, SIZE, ball, box, camera


def dense(uv, depth, faces, size):
    """(height, width) inverse depth of the nearest front, 0 for none: each triangle everywhere."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    near = np.zeros(x.shape)
    for a, b, c in faces:
        M = np.stack([[*uv[i], 1.0] for i in (a, b, c)], axis=1)
        if np.isnan(M).any() or np.linalg.det(M) >= 0:
            continue
        share = np.einsum("ij,jyx->iyx", np.linalg.inv(M), np.stack([x, y, np.ones_like(x)]))
        value = np.einsum("iyx,i->yx", share, 1 / depth[[a, b, c]])
        near = np.where((share >= 0).all(axis=0), np.maximum(near, value), near)
    return near


def image_of(seen, size, value):
    out = np.zeros((size[1], size[0]))
    out[seen.y, seen.x] = value
    return out


def soup(seed=0, count=60):
    """Triangles of all sizes, in all directions, through one another, half beyond the picture."""
    rng = np.random.default_rng(seed)
    spread = np.repeat(rng.choice([1, 10, 60], count), 3)[:, None]
    uv = (
        np.repeat(rng.uniform(-20, 90, (count, 2)), 3, axis=0)
        + rng.normal(size=(3 * count, 2)) * spread
    )
    return uv, rng.uniform(1, 9, 3 * count), np.arange(3 * count).reshape(-1, 3)


@pytest.mark.parametrize("seed", range(3))
def test_it_sees_what_trying_every_triangle_at_every_pixel_sees(seed):
    uv, depth, faces = soup(seed)
    seen = rasterise(uv, depth, faces, (80, 60))
    wanted = dense(uv, depth, faces, (80, 60))
    assert 1000 < (wanted > 0).sum() < 4800  # there is something to see, and something bare
    # Shares of slim triangles carry rounding of about 1e-13 / area.
    np.testing.assert_allclose(image_of(seen, (80, 60), 1 / seen.depth), wanted, atol=1e-8)
    np.testing.assert_allclose(seen.shares.sum(axis=0), 1, atol=1e-9)
    assert seen.shares.min() > -1e-6
    corner = (uv[faces[seen.face]] * seen.shares.T[..., None]).sum(axis=1)
    inverse = (1 / depth[faces[seen.face]] * seen.shares.T).sum(axis=1)
    np.testing.assert_allclose(inverse, 1 / seen.depth, atol=1e-9)
    np.testing.assert_allclose(corner, np.stack([seen.x, seen.y], -1), atol=1e-6)


def test_in_small_batches_it_sees_the_same(monkeypatch):
    uv, depth, faces = soup()
    whole = rasterise(uv, depth, faces, (80, 60))
    monkeypatch.setattr(mesh, "_MOST_PIXELS", 50)  # less than most triangles have
    parts = rasterise(uv, depth, faces, (80, 60))
    for name in ("x", "y", "face", "shares", "depth"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_edges_through_pixel_centres_leave_no_hole():
    i, j = np.mgrid[:20, :20]
    uv = np.stack([2.0 * j, 2.0 * i], axis=-1).reshape(-1, 2)  # every corner is a pixel's centre
    a = (i * 20 + j)[:-1, :-1].ravel()
    faces = np.concatenate([np.stack(t, -1) for t in ((a, a + 20, a + 21), (a, a + 21, a + 1))])
    seen = rasterise(uv, np.ones(400), faces, (60, 50))
    covered = image_of(seen, (60, 50), 1)
    assert covered[:39, :39].all()
    assert covered.sum() == 39 * 39


def test_a_ball_has_the_outline_and_the_depth_of_a_ball():
    cam, radius = camera(), 0.5
    vertices, faces = ball(radius=radius, rings=48)
    seen = rasterise(project(cam, vertices), -vertices[:, 2], faces, SIZE)
    ray = rays(cam.K, np.stack(np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1])), -1) * 1.0)
    b, c = 3 * ray[..., 2], 9 - radius**2
    square = (ray**2).sum(axis=-1)
    root = b**2 - square * c  # of |depth * ray - (0, 0, 3)| = radius
    inside = root > 0
    covered = image_of(seen, SIZE, 1) > 0
    # A ball of 48 rings lies within 0.05 % of its radius: a fortieth of a pixel, of 1,960 pixels.
    assert inside.sum() > 1900
    assert (covered & ~inside).sum() == 0
    assert (inside & ~covered).sum() < 20
    wanted = ((b - np.sqrt(np.where(inside, root, 0))) / square)[seen.y, seen.x]
    # Chords are up to 0.3 mm inside; towards the outline this counts in depth by its slope.
    steep = np.sqrt(root[seen.y, seen.x]) < 0.1
    assert np.abs(seen.depth - wanted)[~steep].max() < 0.005


def test_the_nearer_of_two_is_seen_whatever_their_order():
    near, far = box((-0.2, -0.2, -2.2), (0.2, 0.2, -2)), box((-0.5, -0.5, -4.2), (0.5, 0.5, -4))
    for first, second in ((near, far), (far, near)):
        vertices = np.concatenate([first, second])
        faces = np.concatenate([BOX_FACES, BOX_FACES + 8])
        cam = camera()
        seen = rasterise(project(cam, vertices), -vertices[:, 2], faces, SIZE)
        depth = image_of(seen, SIZE, seen.depth)
        assert depth[60, 80] == pytest.approx(2)  # in the middle
        assert depth[60, 80 + 17] == pytest.approx(4)  # 0.2 m at 2 m is 15 px, 0.5 at 4 is 18.75


def test_only_triangles_that_can_be_seen_are_drawn():
    cam = camera()
    vertices, faces = ball()
    plain = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    painter = MeshPainter(faces)

    def drawn(moved):
        picture = plain.copy()
        painter.draw(picture, cam, moved)
        return (picture > 0).any(axis=-1)

    whole = drawn(vertices)
    assert whole.sum() > 1900
    assert not drawn(vertices * [1, 1, -1]).any()  # all behind the camera
    assert not drawn(np.full_like(vertices, np.nan)).any()
    assert not drawn(vertices + np.array([50, 0, 0])).any()  # outside the picture
    MeshPainter(faces[:, ::-1]).draw(inside_out := plain.copy(), cam, ball((0, 0, 0), 3)[0])
    assert inside_out.any(axis=-1).all()  # from inside a ball that is turned inside out: all of it
    MeshPainter(faces).draw(outside := plain.copy(), cam, ball((0, 0, 0), 3)[0])
    assert not outside.any()  # its other side shows nothing
    holed = vertices.copy()
    front = np.argmax(vertices[:, 2])
    holed[front] = np.nan
    missing = whole & ~drawn(holed)
    assert 0 < missing.sum() < 60  # only the triangles around that vertex
    assert not (drawn(holed) & ~whole).any()
    # A box around the camera: four of its sides have corners on both sides of it.
    MeshPainter(BOX_FACES).draw(around := plain.copy(), cam, box((-1, -1, -2), (1, 1, 2)))
    assert not around.any()


def test_light_and_opacity_are_as_said():
    cam = camera()
    picture = np.full((SIZE[1], SIZE[0], 3), 100, np.uint8)
    wall = box((-0.5, -0.4, -3.1), (0.5, 0.4, -3))[[1, 3, 5, 7]]  # one side, facing the camera
    faces = np.array([[0, 2, 3], [0, 3, 1]])
    MeshPainter(faces, color=(200, 150, 50), opacity=0.6).draw(picture, cam, wall)
    toward = np.array(mesh._TO_LIGHT) / np.linalg.norm(mesh._TO_LIGHT)
    bright = 0.3 + 0.7 * -toward[2]  # the wall's normal is the camera's -z
    wanted = 0.4 * 100 + 0.6 * bright * np.array([200, 150, 50])
    assert np.abs(picture[60, 80] - wanted).max() <= 0.5  # rounding to whole numbers
    # 0.5 m at 3 m is 25 px from the centre, 79.5: 55 to 104 are covered, their ends a third mixed.
    assert (picture[60, :54] == 100).all()
    assert np.abs(picture[60, 56:104] - wanted).max() <= 0.5
    assert np.abs(picture[60, [55, 104]] - (wanted * 2 + 100) / 3).max() <= 1
    assert (picture[60, 105:] == 100).all()


@pytest.mark.parametrize("turn", [0.0, 0.8, 2.0])
def test_a_body_is_drawn_as_it_is_seen(turn):
    """Drawing compares triangles by their middles; what is seen compares every pixel."""
    body = load_body("anny")
    rotations = np.tile(np.eye(3), (len(body.joint_names), 1, 1))
    rotations[0] = Rotation.from_rotvec([0, turn, 0]).as_matrix()
    for joint in ("LShoulder", "LElbow", "RHip", "RKnee"):  # limbs before the trunk and each other
        bent = Rotation.from_rotvec([-0.9, 0.5, 0.4]).as_matrix()
        rotations[body.joint_names.index(body.anatomy[joint])] = bent
    vertices = body.posed_vertices(rotations, np.zeros(3), body.shape.neutral)
    cam = camera(size=(540, 960), focal_px=1000.0)
    uv, depth = project(cam, vertices - [0, 0, 3]), 3 - vertices[:, 2]
    light = np.linspace(0.3, 1, len(vertices))[np.argsort(np.argsort(vertices[:, 1]))]
    seen = rasterise(uv, depth, body.faces, (540, 960))
    corner, covered, face, shade = mesh._surface(uv, depth, light, body.faces, (540, 960))
    y, x = np.nonzero(covered)
    np.testing.assert_array_equal(np.stack([x + corner[0], y + corner[1]]), [seen.x, seen.y])
    assert len(x) > 30_000
    same = face == seen.face
    # Where skin meets skin (lips, an armpit) two triangles of 5 mm cross: some tens of pixels.
    assert (~same).mean() < 1e-3
    wanted = (light[body.faces[seen.face]] * seen.shares.T).sum(axis=1)
    np.testing.assert_allclose(shade[same], wanted[same], atol=1e-6)  # it is stored in 32 bits


def test_edges_are_mixed_with_the_picture_and_nothing_outside_changes():
    cam = camera()
    vertices, faces = ball()
    seen = rasterise(project(cam, vertices), -vertices[:, 2], faces, SIZE)
    covered = image_of(seen, SIZE, 1) > 0
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    MeshPainter(faces, opacity=1.0).draw(picture, cam, vertices)
    assert not picture[~covered].any()
    # The ball's light is 0.3 of the colour at least; only a mixed pixel is darker.
    dark = picture[..., 0] < 0.3 * 205 - 1
    inside = cv2.erode(covered.astype(np.uint8), np.ones((3, 3))) > 0
    assert not dark[inside].any()
    assert dark[covered & ~inside].sum() > 20


def test_faces_have_their_colours():
    cam = camera()
    vertices, faces = ball()
    right = vertices[faces].mean(axis=1)[:, 0] > 0
    color = np.where(right[:, None], (200, 0, 0), (0, 0, 200))
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    MeshPainter(faces, color=color).draw(picture, cam, vertices)
    assert picture[:, 85:, 0].any()
    assert not picture[:, 85:, 2].any()
    assert picture[:, :75, 2].any()
    assert not picture[:, :75, 0].any()


def test_the_picture_may_be_of_any_size_and_part_of_a_sheet():
    vertices, faces = ball((0.4, 0.2, -3))
    painter = MeshPainter(faces)
    sheet = np.zeros((240, 320, 3), np.uint8)
    middles = []
    for part in (sheet[:120, :160], sheet[120:180, 160:240]):
        painter.draw(part, camera(), vertices)
        weight = part[..., 0] > 0
        y, x = (axis[weight].mean() + 0.5 for axis in np.mgrid[: len(part), : part.shape[1]])
        middles.append(np.array([x, y]) / part.shape[1::-1])
    np.testing.assert_allclose(*middles, atol=0.003)  # a quarter of a pixel of the smaller
    assert not sheet[:120, 160:].any()
    assert not sheet[120:, :160].any()


def test_where_the_world_has_its_axes_does_not_matter():
    vertices, faces = ball((0.3, 0.1, -3))
    here = camera()
    Q, shift = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix(), np.array([3.0, -2.0, 5.0])
    there = CameraRig((here,)).moved(Q, shift).cameras[0]
    pictures = [np.zeros((SIZE[1], SIZE[0], 3), np.uint8) for _ in range(2)]
    MeshPainter(faces).draw(pictures[0], here, vertices)
    MeshPainter(faces).draw(pictures[1], there, vertices @ Q.T + shift)
    assert pictures[0].max() > 100
    # Rounding of the light to whole numbers, and of the outline by one sample of four.
    off = np.abs(pictures[0].astype(int) - pictures[1]).max(axis=-1)
    assert (off > 1).sum() <= 4


def test_a_missing_vertex_leaves_the_light_of_its_neighbours():
    vertices, faces = ball(rings=48)
    whole, holed = (np.zeros((SIZE[1], SIZE[0], 3), np.uint8) for _ in range(2))
    painter = MeshPainter(faces, opacity=1.0)
    painter.draw(whole, camera(), vertices)
    vertices[np.argmax(vertices[:, 2])] = np.nan
    painter.draw(holed, camera(), vertices)
    both = (holed > 0).all(axis=-1)
    # Normals around it are now means of fewer triangles, by 4 degrees at most: 7 % of the light.
    both = cv2.erode(both.astype(np.uint8), np.ones((3, 3))) > 0  # without the hole's outline
    off = np.abs(whole.astype(int) - holed)[both]
    assert 0 < off.max() < 0.07 * 205


def test_it_is_drawn_through_the_lens():
    vertices, faces = ball((0.9, 0.6, -3), 0.1)
    bent = camera(distortion=np.array([-0.3, 0.1, 0.0, 0.0]))
    for cam in (camera(), bent):
        picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        MeshPainter(faces).draw(picture, cam, vertices)
        y, x = np.nonzero(picture[..., 0])
        centre = project(cam, np.array([0.9, 0.6, -3]))
        # A ball aside is an ellipse whose middle is not the picture of its centre, by 0.1 px here.
        np.testing.assert_allclose([x.mean(), y.mean()], centre, atol=0.4)
    shift = project(camera(), np.array([0.9, 0.6, -3])) - centre
    assert np.abs(shift).min() > 1  # the lens matters


def test_wrong_arrays_are_refused():
    vertices, faces = ball()
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for wrong in (faces[:, :2], faces[:0], faces - 1):
        with pytest.raises(InvalidData, match="Faces of shape"):
            MeshPainter(wrong)
    for bad in (vertices[:-1], vertices[:, :2], vertices[0]):
        with pytest.raises(InvalidData, match="Vertices of shape"):
            MeshPainter(faces).draw(picture, camera(), bad)
    assert not picture.any()
