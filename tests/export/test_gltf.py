"""glTF files against the body they were made from, by readers that know nothing of the writer."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.body import BodyModel
from kinefit.export.motion_files import export_glb
from kinefit.io.gltf import SkinnedMesh, strongest_influences, write_glb
from kinefit.types import BodyMotion, InputError, InvalidData, Timeline

from ..body.moving import swinging, widely_skinned
from ..body.synthetic import tube_body
from .glb import Glb

# Single precision keeps 6e-8 of a number: of places up to 3 m, of rotations and of shares, added
# over a chain of ten joints.
SINGLE = 1e-5
CLOCK = Timeline(np.arange(40, 60), 5 + np.cumsum(np.linspace(0.01, 0.05, 20)))  # uneven


def vertices_of(body: BodyModel, motion: BodyMotion) -> np.ndarray:
    return body.posed_vertices(motion.rotations, motion.translation, motion.shape)


def off(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b, axis=-1).max())


@pytest.fixture(scope="module")
def wide() -> BodyModel:
    return widely_skinned(tube_body(extras=True), 7)


@pytest.mark.parametrize("influences", [2, 7], ids=["one set", "two sets"])
def test_skinned_from_the_file_it_is_the_posed_body(tmp_path: Path, influences: int) -> None:
    body = tube_body() if influences == 2 else widely_skinned(tube_body(extras=True), influences)
    motion = swinging(body, CLOCK)
    export_glb(tmp_path / "walk.glb", body, motion)
    glb = Glb(tmp_path / "walk.glb")
    expected, B = vertices_of(body, motion), len(body.joint_names)
    _, joints = body.pose(motion.rotations, motion.translation, body.rest_joints(motion.shape))
    for i, time in enumerate(CLOCK.time - CLOCK.time[0]):
        assert off(glb.skinned(time), expected[i]) < SINGLE
        assert off(glb.global_transforms(time)[:B, :3, 3], joints[i]) < SINGLE
    # The reader would see it: a frame away it is another body.
    assert off(glb.skinned(CLOCK.time[1] - CLOCK.time[0]), expected[0]) > 1e-2
    np.testing.assert_array_equal(glb.faces, body.faces)
    assert glb.document["animations"][0]["extras"] == {"start_frame": 40, "start_time_s": 5.01}


def test_skeleton_and_mesh_stand_at_rest_without_the_animation(tmp_path: Path) -> None:
    body = tube_body()
    motion = swinging(body, CLOCK)
    export_glb(tmp_path / "a.glb", body, motion)
    glb = Glb(tmp_path / "a.glb")
    nodes = glb.document["nodes"]
    assert not any("rotation" in node or "scale" in node for node in nodes)
    rest = body.rest_joints(motion.shape)
    for b, parent in enumerate(body.parents):
        place = rest[b] - (rest[parent] if parent >= 0 else 0)
        np.testing.assert_allclose(nodes[b]["translation"], place, atol=1e-15)
        assert parent < 0 or b in nodes[parent]["children"]
    assert off(glb.attributes["POSITION"], body.rest_vertices(motion.shape)) < SINGLE
    normals = glb.attributes["NORMAL"]
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)  # single precision
    # Tubes are closed and thin: every vertex's normal leads away from its tube's middle.
    a, b, c = (glb.attributes["POSITION"][glb.faces[:, k]] for k in range(3))
    outward = np.einsum("fi,fi->f", np.cross(b - a, c - a), normals[glb.faces[:, 0]])
    assert (outward > 0).all()


def test_frames_without_a_pose_have_no_keyframe(tmp_path: Path) -> None:
    body = tube_body()
    motion = swinging(body, CLOCK, without=[0, 1, 8, 9, 10, 19])
    export_glb(tmp_path / "a.glb", body, motion)
    glb = Glb(tmp_path / "a.glb")
    posed = np.flatnonzero(np.isfinite(motion.translation[:, 0]))
    for times, values in glb.channels().values():
        np.testing.assert_allclose(times, (CLOCK.time - CLOCK.time[0])[posed], rtol=1e-7)
        assert np.isfinite(values).all()
    expected = vertices_of(body, motion)
    for i in posed:
        assert off(glb.skinned(CLOCK.time[i] - CLOCK.time[0]), expected[i]) < SINGLE
    assert off(glb.skinned(-1.0), expected[2]) < SINGLE  # held before the first pose


def test_quaternions_do_not_change_sign(tmp_path: Path) -> None:
    body = tube_body()
    motion = swinging(body, Timeline.regular(60, 30.0), turns=3.0)
    export_glb(tmp_path / "a.glb", body, motion)
    _, turns = Glb(tmp_path / "a.glb").channels()["pelvis", "rotation"]
    assert ((turns[1:] * turns[:-1]).sum(axis=1) > 0).all()
    assert turns[:, 3].min() < -0.9  # so the other sign was needed: w >= 0 would jump


def test_joints_at_rest_have_no_channel(tmp_path: Path) -> None:
    body = tube_body()
    rotations = np.array(swinging(body, CLOCK).rotations)
    rotations[:, 5:] = np.eye(3)
    motion = replace(swinging(body, CLOCK), rotations=rotations)
    export_glb(tmp_path / "a.glb", body, motion)
    glb = Glb(tmp_path / "a.glb")
    turned = {name for name, path in glb.channels() if path == "rotation"}
    assert turned == set(body.joint_names[:5])
    assert off(glb.skinned(0.0), vertices_of(body, motion)[0]) < SINGLE


def test_stored_shares_are_sorted_sum_to_one_and_name_no_joint_twice(
    tmp_path: Path, wide: BodyModel
) -> None:
    export_glb(tmp_path / "a.glb", wide, swinging(wide, CLOCK))
    a = Glb(tmp_path / "a.glb").attributes
    assert sorted(n for n in a if n[0] in "JW") == [
        "JOINTS_0",
        "JOINTS_1",
        "WEIGHTS_0",
        "WEIGHTS_1",
    ]
    joints = np.concatenate([a["JOINTS_0"], a["JOINTS_1"]], axis=1)
    weights = np.concatenate([a["WEIGHTS_0"], a["WEIGHTS_1"]], axis=1)
    assert (np.diff(weights, axis=1) <= 1e-6).all()
    # 2e-7 for each share that is not zero is what Khronos's validator allows.
    total = weights.sum(axis=1, dtype=float)
    assert (np.abs(total - 1) <= 2e-7 * np.count_nonzero(weights, axis=1)).all()
    assert (joints[weights == 0] == 0).all()
    for row, share in zip(joints, weights, strict=True):
        assert len(set(row[share > 0])) == np.count_nonzero(share)


def test_four_influences_are_measured_and_the_notes_say_it(tmp_path: Path, wide: BodyModel) -> None:
    motion = swinging(wide, CLOCK)
    (all_note,) = export_glb(tmp_path / "all.glb", wide, motion)
    (four_note,) = export_glb(tmp_path / "four.glb", wide, motion, influences=4)
    every, four = Glb(tmp_path / "all.glb"), Glb(tmp_path / "four.glb")
    assert "JOINTS_1" not in four.attributes
    times, expected = CLOCK.time - CLOCK.time[0], vertices_of(wide, motion)
    for time in times[::6]:
        # A viewer that reads one set of the whole file shows what the small file holds.
        assert off(every.skinned(time, sets=1), four.skinned(time)) < SINGLE
    worst = max(off(four.skinned(times[i]), expected[i]) for i in range(len(times))) * 1000
    said = float(four_note.split("most ")[1].split(" mm")[0])
    # It looks at 12 of the 20 frames, the first and the last among them.
    assert 0.5 * worst < said < worst + 0.1
    assert four_note.split("are ")[1] == all_note.split("are ")[1]
    assert not export_glb(tmp_path / "few.glb", tube_body(), swinging(tube_body(), CLOCK))


def test_offsets_that_depend_on_the_pose_are_named(tmp_path: Path) -> None:
    body = tube_body(pose_dirs=True)
    motion = swinging(body, CLOCK)
    (note,) = export_glb(tmp_path / "a.glb", body, motion)
    plain = replace(body, pose_dirs=None)
    assert off(Glb(tmp_path / "a.glb").skinned(0.0), vertices_of(plain, motion)[0]) < SINGLE
    apart = np.linalg.norm(vertices_of(body, motion) - vertices_of(plain, motion), axis=-1) * 1000
    said = float(note.split("vertices are ")[1].split(" mm")[0])
    assert said == pytest.approx(apart.mean(), rel=0.1)  # over 12 of the 20 frames
    assert "depend on the pose" in note


def test_strongest_influences_keep_what_matters() -> None:
    joints = np.array([[3, 1, 3, 0], [2, 2, 2, 2]])
    weights = np.array([[0.25, 0.3, 0.35, 0.1], [0.1, 0.2, 0.3, 0.4]])
    j, w = strongest_influences(joints, weights)
    assert j.tolist() == [[3, 1, 0], [2, 0, 0]]
    np.testing.assert_allclose(w, [[0.6, 0.3, 0.1], [1, 0, 0]], atol=1e-15)
    j, w = strongest_influences(joints, weights, 2)
    assert j.tolist() == [[3, 1], [2, 0]]
    np.testing.assert_allclose(w, [[2 / 3, 1 / 3], [1, 0]], atol=1e-15)


def test_trimesh_loads_mesh_and_skeleton(tmp_path: Path, wide: BodyModel) -> None:
    trimesh = pytest.importorskip("trimesh")
    motion = swinging(wide, CLOCK)
    export_glb(tmp_path / "a.glb", wide, motion)
    scene = trimesh.load(tmp_path / "a.glb", process=False)
    (mesh,) = scene.geometry.values()
    assert off(mesh.vertices, wide.rest_vertices(motion.shape)) < SINGLE
    np.testing.assert_array_equal(mesh.faces, wide.faces)
    assert mesh.volume > 0  # faces are counter-clockwise from outside
    # It reads no skins, but the joints as nodes where they are.
    rest = wide.rest_joints(motion.shape)
    for name, place in zip(wide.joint_names, rest, strict=True):
        assert off(scene.graph.get(name)[0][:3, 3], place) < SINGLE


def test_pygltflib_finds_the_same_tree_and_skin(tmp_path: Path, wide: BodyModel) -> None:
    pygltflib = pytest.importorskip("pygltflib")
    export_glb(tmp_path / "a.glb", wide, swinging(wide, CLOCK))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about marshmallow
        gltf = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    B = len(wide.joint_names)
    assert [gltf.nodes[i].name for i in gltf.skins[0].joints] == list(wide.joint_names)
    parents = {child: b for b in range(B) for child in gltf.nodes[b].children}
    assert [parents.get(b, -1) for b in range(B)] == wide.parents.tolist()
    times = gltf.accessors[gltf.animations[0].samplers[0].input]
    assert times.count == len(CLOCK)
    assert times.max == pytest.approx([CLOCK.time[-1] - CLOCK.time[0]], rel=1e-7)

    def rows(accessor: int, dtype: str) -> np.ndarray:
        view = gltf.bufferViews[gltf.accessors[accessor].bufferView]
        blob = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
        return np.frombuffer(blob, dtype).reshape(-1, 4)

    attributes = gltf.meshes[0].primitives[0].attributes
    joints, weights = strongest_influences(wide.skin_joints, wide.skin_weights)
    np.testing.assert_array_equal(rows(attributes.JOINTS_0, "<u2"), joints[:, :4])
    np.testing.assert_allclose(rows(attributes.WEIGHTS_0, "<f4"), weights[:, :4], atol=1e-6)


def test_a_motion_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    body, path = tube_body(), tmp_path / "a.glb"
    with pytest.raises(InputError, match="no frame of the motion has a pose"):
        export_glb(path, body, swinging(body, CLOCK, without=range(20)))
    fast = Timeline(np.arange(3), np.array([0.0, 1e6, 1e6 + 0.01]))
    with pytest.raises(InputError, match="too long for single-precision"):
        export_glb(path, body, swinging(body, fast))
    with pytest.raises(InvalidData, match="their name differ"):
        export_glb(path, replace(body, name="other"), swinging(body, CLOCK))
    with pytest.raises(InvalidData, match="their shape differ"):
        export_glb(path, tube_body(shape_count=3), swinging(body, CLOCK))
    mesh = _mesh(body)
    with pytest.raises(InputError, match="different joints"):
        write_glb(path, replace(mesh, joint_names=mesh.joint_names[::-1]), swinging(body, CLOCK))
    assert not list(tmp_path.iterdir())


def test_one_pose_is_enough(tmp_path: Path) -> None:
    body = tube_body()
    motion = swinging(body, Timeline.regular(1, 30.0))
    export_glb(tmp_path / "a.glb", body, motion)
    assert off(Glb(tmp_path / "a.glb").skinned(0.0), vertices_of(body, motion)[0]) < SINGLE


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("faces", np.array([[0, 1, 288]]), "points at nothing"),
        ("faces", np.array([[0, 1, -1]]), "points at nothing"),
        ("faces", np.zeros((0, 3), int), "shape"),
        ("skin_joints", np.full((288, 2), 24), "points at nothing"),
        ("skin_weights", np.full((288, 2), [1.5, -0.5]), "negative"),
        ("skin_weights", np.full((288, 2), np.nan), "sum to one"),
        ("vertices", np.full((288, 3), np.nan), "not finite"),
        ("parents", np.full(24, -1), "root"),
    ],
)
def test_a_mesh_that_is_none_is_refused(field: str, value: np.ndarray, reason: str) -> None:
    with pytest.raises(InvalidData, match=reason):
        replace(_mesh(tube_body()), **{field: value})


def _mesh(body: BodyModel) -> SkinnedMesh:
    return SkinnedMesh(
        body.name, body.vertices, body.faces, body.joint_names, body.parents, body.joints,
        body.skin_joints, body.skin_weights,
    )  # fmt: skip
