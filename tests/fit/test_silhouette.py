"""Girths from masks: the outline of a body against the edge of its masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kinefit.body.anny import load_anny
from kinefit.body.clothes import with_clothes
from kinefit.body.girths import girths
from kinefit.body.model import BodyModel
from kinefit.fit.recipes.clip import ClipFit, ClipOptions, fit_clip
from kinefit.fit.recipes.outline import Rim, SilhouetteOptions, Skin, matched
from kinefit.fit.recipes.silhouette import (
    MaskedView,
    Outlines,
    signed_distance,
)
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project, project_rig, to_camera
from kinefit.render.mesh import rasterise
from kinefit.types import (
    BodyMotion,
    BoolArray,
    Camera,
    CameraRig,
    FloatArray,
    Observations,
    PersonMasks,
    Timeline,
)

from .clips import ring

FRAMES, SIDE = 4, 256
# Nothing is wrong with masks that are drawn of the body: each point of an outline is evidence.
EXACT = SilhouetteOptions(each_counts=60)
NAMES = (
    *("Nose", "LEar", "REar"),
    *(s + j for s in "LR" for j in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Heel")),
)


@dataclass(frozen=True, eq=False)
class Dressed:
    """A heavy man's motion in front of four cameras, and masks of him."""

    body: BodyModel
    motion: BodyMotion
    data: Observations
    masks: tuple[PersonMasks, ...]

    @property
    def outlines(self) -> Outlines:
        return outlines_of(self.data, self.masks)

    def fit(self, outlines: Outlines | None, options: SilhouetteOptions = EXACT) -> ClipFit:
        return fit_clip(self.body, self.data, ClipOptions(silhouette=options), outlines)

    def off_cm(self, fit: ClipFit) -> dict[str, float]:
        true = girths(self.body, self.motion.shape)
        found = girths(self.body, fit.motion.shape)
        return {name: 100 * (found[name] - true[name]) for name in true}


@cache
def _body() -> BodyModel:
    return load_anny(0.1)


@cache
def made(clothes_m: float = 0.0, distortion: float = 0.0) -> Dressed:
    body, timeline = _body(), Timeline.regular(FRAMES, 10.0)
    shape = body.shape.neutral.copy()
    shape[body.shape.names.index("weight")] = 0.85
    rotations = np.tile(np.eye(3), (FRAMES, len(body.joint_names), 1, 1))
    rotations[:, 0] = so3.exp(np.linspace([0, -0.6, 0], [0, 0.6, 0], FRAMES))
    motion = BodyMotion(body.name, timeline, body.joint_names, rotations,
                        np.zeros((FRAMES, 3)), shape, body.shape.names)  # fmt: skip
    bend = np.array([distortion, 0, 0, 0, 0])
    rig = CameraRig(tuple(replace(c, distortion=bend) for c in ring(4)))
    mesh = body.motion_vertices(motion)
    _, joints = body.pose(rotations, motion.translation, body.rest_joints(shape))
    points = body.regress(mesh, joints, NAMES)
    xy = np.moveaxis(project_rig(rig, points), 0, 1)
    stature = float(np.ptp(body.rest_vertices(shape)[:, 1]))
    data = Observations(timeline, rig, NAMES, xy, np.full(xy.shape[:3], 2.0), points,
                        stature_m=stature)  # fmt: skip
    worn = _inflated(body, motion, clothes_m)
    return Dressed(body, motion, data, tuple(_masks(c, body, worn) for c in rig))


def _inflated(body: BodyModel, motion: BodyMotion, by_m: float) -> FloatArray:
    """(T, V, 3) metres: the mesh with clothes everywhere, along the posed normals."""
    mesh = body.motion_vertices(motion)
    if not by_m:
        return mesh
    out = mesh.copy()
    for t, at in enumerate(mesh):
        a, b, c = (at[corner] for corner in body.faces.T)
        total = np.zeros_like(at)
        for corner in body.faces.T:
            np.add.at(total, corner, np.cross(b - a, c - a))
        out[t] += by_m * so3.unit(total)
    return out


def _masks(camera: Camera, body: BodyModel, meshes: FloatArray) -> PersonMasks:
    grey, into = np.zeros((FRAMES, SIDE, SIDE), np.uint8), np.zeros((FRAMES, 2, 3))
    for t, mesh in enumerate(meshes):
        picture = _drawn(camera, body, mesh).astype(np.float32)
        uv = project(camera, mesh)
        middle, reach = (uv.min(0) + uv.max(0)) / 2, 0.6 * np.ptp(uv, axis=0).max()
        scale = 2 * reach / SIDE
        into[t] = np.column_stack([scale * np.eye(2), middle - reach])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        grey[t] = np.round(255 * cv2.warpAffine(picture, into[t], (SIDE, SIDE), flags=flags))
    return PersonMasks(np.arange(FRAMES), grey, into, camera.size, np.ones(FRAMES), ("",) * FRAMES)


def _drawn(camera: Camera, body: BodyModel, mesh: FloatArray) -> BoolArray:
    out = np.zeros(camera.size[::-1], bool)
    uv, depth = project(camera, mesh), to_camera(camera, mesh)[:, 2]
    seen = rasterise(uv, depth, body.faces, camera.size)
    out[seen.y, seen.x] = True
    return out


def outlines_of(data: Observations, masks: tuple[PersonMasks, ...]) -> Outlines:
    row = np.arange(FRAMES)
    views = zip(data.rig.names, masks, strict=True)
    return Outlines.of(row, data.rig, {name: MaskedView(m, row) for name, m in views})


def test_masks_give_the_girths_that_keypoints_do_not() -> None:
    """Exact masks of a man in clothes as most people's."""
    clip = made(clothes_m=0.006)
    without, with_masks = clip.off_cm(clip.fit(None)), clip.off_cm(clip.fit(clip.outlines))
    assert abs(without["waist"]) > 4  # keypoints leave the prior's
    # A mask's edge is known to a tenth of its pixels (1 mm), the clothes to two or three.
    assert max(map(abs, with_masks.values())) < 2.0
    assert sum(map(abs, with_masks.values())) < 0.5 * sum(map(abs, without.values()))


def test_bare_skin_is_thought_to_wear_something() -> None:
    clip = made()
    off = clip.off_cm(clip.fit(clip.outlines))
    # 6 mm of cloth are 3.8 cm of a waist, where nothing tells otherwise.
    assert -3.8 < min(off.values()) <= max(off.values()) < 1.0


def test_clothes_are_no_girth() -> None:
    """15 mm of cloth all over are 9 cm of a waist; most of it is known for clothes."""
    clip = made(clothes_m=0.015)
    assert abs(clip.off_cm(clip.fit(clip.outlines))["waist"]) < 4.0


def test_a_lens_changes_nothing() -> None:
    straight, bent = made(), made(distortion=-0.25)
    a, b = (clip.off_cm(clip.fit(clip.outlines)) for clip in (straight, bent))
    # Masks of a few more or fewer pixels, and edges that are known to a tenth of one (1 mm).
    assert max(abs(a[name] - b[name]) for name in a) < 1.0


def test_masks_that_are_not_to_be_used_change_nothing() -> None:
    clip = made()
    sure = tuple(replace(m, confidence=np.zeros(FRAMES)) for m in clip.masks)
    outlines = outlines_of(clip.data, sure)
    assert np.array_equal(clip.fit(outlines).motion.shape, clip.fit(None).motion.shape)


@pytest.mark.parametrize("level", [0, 255])
def test_empty_and_full_masks_change_nothing(level: int) -> None:
    clip = made()
    flat = tuple(replace(m, grey=np.full_like(m.grey, level)) for m in clip.masks)
    found = clip.fit(outlines_of(clip.data, flat))
    assert found.masks is not None
    assert found.masks.tolist() == [0] * 4  # no edge is within reach
    assert np.array_equal(found.motion.shape, clip.fit(None).motion.shape)


@pytest.mark.parametrize("size", [0.0, 0.7, 1.3])
def test_masks_that_flicker_are_no_worse_than_none(size: float) -> None:
    """Every fourth mask is empty, or of somebody smaller or larger, and nobody says so."""
    clip = made(clothes_m=0.006)
    middle = np.array([SIDE / 2, SIDE / 2])
    change = np.column_stack([size * np.eye(2), (1 - size) * middle])
    wrong = []
    for k, m in enumerate(clip.masks):
        grey = m.grey.copy()
        if size:
            grey[k] = cv2.warpAffine(grey[k], change, (SIDE, SIDE))
        else:
            grey[k] = 0
        wrong.append(replace(m, grey=grey))
    found = clip.fit(outlines_of(clip.data, tuple(wrong)), SilhouetteOptions())
    without, off = clip.off_cm(clip.fit(None)), clip.off_cm(found)
    assert sum(map(abs, off.values())) < sum(map(abs, without.values()))


def test_one_picture_is_not_enough() -> None:
    clip = made()
    first = tuple(
        replace(m, confidence=(np.arange(FRAMES) == 0) * 1.0 * (k == 0))
        for k, m in enumerate(clip.masks)
    )
    found = clip.fit(outlines_of(clip.data, first))
    assert found.masks is not None
    assert not found.masks.any()
    assert np.array_equal(found.motion.shape, clip.fit(None).motion.shape)


def test_cameras_are_told_apart_by_name() -> None:
    clip, row = made(), np.arange(FRAMES)
    views = list(zip(clip.data.rig.names, clip.masks, strict=True))
    a, b = (
        Outlines.of(row, clip.data.rig, {n: MaskedView(m, row) for n, m in order})
        for order in (views, views[::-1])
    )
    assert np.array_equal(a.distance, b.distance)


def test_edges_at_the_border_of_the_picture_are_no_outline() -> None:
    """A person who is cut off at the knees: nothing is pulled to the cut."""
    clip = made()
    camera, masks = clip.data.rig.cameras[0], clip.masks[0]
    low = int(0.7 * SIDE)
    cut = masks.grey.copy()
    cut[:, low:] = 0
    height = int(masks.into[0, 1, 1] * low + masks.into[0, 1, 2])
    short = replace(masks, grey=cut, size=(camera.size[0], height))
    row = np.arange(FRAMES)
    seen = Outlines.of(row, CameraRig((camera,)), {camera.name: MaskedView(short, row)})
    inside = signed_distance(masks.grey[0])[low - 3]
    u = int(inside.argmin())  # the middle of a leg, far from its sides
    assert inside[u] < -4
    assert seen.ignored[0, 0, low - 3 : low, u].all()
    assert not seen.ignored[0, 0, : low - 60].any()


def test_outline_points_are_at_the_edge_of_the_mask() -> None:
    clip = made()
    skin, camera, masks = Skin.of(clip.body, 1), clip.data.rig.cameras[0], clip.masks[0]
    outlines, mesh = clip.outlines, clip.body.motion_vertices(clip.motion)[0]
    rim = skin.rim(camera, mesh, outlines.to_mask[0, 0], SIDE)
    on = rim.on & skin.bare
    x, y = np.round(rim.uv[on]).astype(int).T
    away = np.abs(signed_distance(masks.grey[0])[y, x])
    assert on.sum() > 100
    # A vertex on the outline, half a triangle (5 mm, of a radius of 50) off the tangent, and the
    # rounding here.
    assert np.quantile(away, 0.95) < 1.5
    assert np.median(away) < 0.7


def test_limbs_in_front_of_the_trunk_are_no_outline() -> None:
    """Of a camera at the side, the edges of the arm before the trunk lie inside the mask."""
    clip = made()
    body, side = clip.body, Camera(
        "side", (800, 800), np.array([[700.0, 0, 400], [0, 700, 400], [0, 0, 1]]),
        np.array([[0.0, 0, -1], [0, -1, 0], [-1, 0, 0]]), np.array([0.0, 0.9, 3.0]),
    )  # fmt: skip
    mesh = np.asarray(body.rest_vertices(clip.motion.shape))
    to_mask = np.array([[700 / 3.5, 0, 128], [0, 700 / 3.5, 128.0]])
    skin = Skin.of(body, 1)
    rim = skin.rim(side, mesh, to_mask, SIDE)
    inside = cv2.erode(skin._covered(rim.uv, SIDE).astype(np.uint8), np.ones((5, 5), np.uint8))
    x, y = rim.uv[rim.on & skin.bare].astype(int).T // 2
    assert len(x) > 50
    assert inside[y, x].mean() < 0.02


def _in_first(clip: Dressed) -> tuple[Skin, Rim, NDArray[np.float32], BoolArray]:
    """The true body in the first camera's first mask."""
    skin, outlines = Skin.of(clip.body, 8), clip.outlines
    mesh = clip.body.motion_vertices(clip.motion)[0]
    rim = skin.rim(clip.data.rig.cameras[0], mesh, outlines.to_mask[0, 0], SIDE)
    return skin, rim, outlines.distance[0, 0], outlines.ignored[0, 0]


def test_the_edge_of_a_bodys_own_mask_is_where_its_outline_is() -> None:
    skin, rim, distance, ignored = _in_first(made())
    found = matched(skin, rim, distance, ignored, reach=10.0)
    assert found.missed[1] < 0.15 * found.edge  # of arm pits and where arms touch the trunk
    used = found.count > 0
    assert used.sum() > 15
    uv = np.column_stack([rim.uv[skin.vertex[used]], np.ones(used.sum())])
    # Of an eighth of the vertices, some of an edge's points are beyond the next: curved limbs.
    assert np.median(np.abs((found.line[used] * uv).sum(axis=1))) < 0.7


def test_the_edge_pulls_at_what_the_outline_does_not_reach() -> None:
    """The mask of somebody thicker by four pixels all around: every line lies that far outside."""
    skin, rim, distance, ignored = _in_first(made())
    found = matched(skin, rim, distance - 4, ignored, reach=10.0)
    used = found.count > 0
    uv = np.column_stack([rim.uv[skin.vertex[used]], np.ones(used.sum())])
    assert np.median((found.line[used] * uv).sum(axis=1)) == pytest.approx(-4, abs=0.7)


def test_skin_in_tight_clothes_is_not_thought_to_wear_more() -> None:
    clip = made(clothes_m=0.001)
    tight = replace(EXACT, clothing="tight")
    told, guessed = (clip.off_cm(clip.fit(clip.outlines, o))["waist"] for o in (tight, EXACT))
    assert abs(told) < 2.0  # as with exact masks of what is expected (above)
    assert guessed < told - 1.0


def test_distances_are_to_the_edge_between_pixels() -> None:
    u = np.arange(SIDE)
    for edge in (100.0, 100.25, 100.5):
        ramp = np.clip(255 * (0.5 + (edge - u)), 0, 255)  # half grey at the edge
        mask = np.tile(np.round(ramp).astype(np.uint8), (SIDE, 1))
        found = signed_distance(mask)[SIDE // 2, 60:140]
        assert np.abs(found - (u[60:140] - edge)).max() < 0.15  # an eighth of a pixel


def test_heads_hands_and_feet_are_left_out() -> None:
    body = _body()
    at = np.asarray(body.rest_vertices(body.shape.neutral))[Skin.of(body, 1).vertex]
    joints = dict(zip(body.joint_names, body.rest_joints(body.shape.neutral), strict=True))
    assert at[:, 1].max() < joints[body.anatomy["Head"]][1]
    assert at[:, 1].min() > joints[body.anatomy["LAnkle"]][1] - 0.05
    assert np.abs(at[:, 0]).max() < abs(joints[body.anatomy["LWrist"]][0]) + 0.03


def test_clothes_move_copies_of_the_skin_and_nothing_else() -> None:
    body = _body()
    skin = Skin.of(body, 40)
    dressed = with_clothes(body, skin.vertex, skin.names)
    shape = np.append(body.shape.neutral, np.array([0.01, 0, 0, 0, 0]))
    V = len(body.vertices)
    there = np.asarray(dressed.rest_vertices(shape))
    bare = np.asarray(body.rest_vertices(body.shape.neutral))
    assert np.allclose(there[:V], bare)
    assert np.allclose(dressed.rest_joints(shape), body.rest_joints(body.shape.neutral))
    # Along unit normals of single precision vertices.
    assert np.allclose(np.linalg.norm(there[V:] - bare[skin.vertex], axis=1), 0.01, atol=1e-6)
    step = 1e-6
    slopes = np.stack(
        [
            (dressed.shape.coefficients(shape + step * e) - dressed.shape.coefficients(shape))
            / step
            for e in np.eye(len(shape))
        ],
        axis=-1,
    )
    assert np.allclose(slopes, dressed.shape.jacobian(shape), atol=1e-5)


def test_more_rounds_stay_where_they_are() -> None:
    clip = made()
    few, many = (clip.fit(clip.outlines, replace(EXACT, rounds=n)) for n in (3, 6))
    assert abs(clip.off_cm(few)["waist"] - clip.off_cm(many)["waist"]) < 1.0
