"""OBJ files of posed bodies, read back by trimesh and by a reader of two lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.export.motion_files import export_obj_frames
from kinefit.io.obj import write_obj
from kinefit.types import InputError, Timeline

from ..body.moving import swinging
from ..body.synthetic import tube_body

CLOCK = Timeline.regular(6, 50.0, start_frame=10)
TEXT = 0.51e-6  # metres: half of the last digit written


def parse(path: Path) -> tuple[np.ndarray, np.ndarray]:
    rows = [line.split() for line in path.read_text().splitlines()]
    vertices = np.array([row[1:] for row in rows if row[0] == "v"], dtype=float)
    return vertices, np.array([row[1:] for row in rows if row[0] == "f"], dtype=int) - 1


def test_trimesh_reads_the_same_mesh(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    body = tube_body()
    motion = swinging(body, CLOCK)
    write_obj(tmp_path / "a.obj", body.motion_vertices(motion)[0], body.faces)
    # Otherwise trimesh sorts vertices by the order of the faces.
    mesh = trimesh.load(tmp_path / "a.obj", process=False, maintain_order=True)
    np.testing.assert_allclose(mesh.vertices, body.motion_vertices(motion)[0], atol=TEXT)
    np.testing.assert_array_equal(mesh.faces, body.faces)
    assert mesh.is_watertight


def test_a_numbered_sequence_without_the_frames_that_have_no_pose(tmp_path: Path) -> None:
    body = tube_body()
    motion = swinging(body, CLOCK, without=[0, 3])
    paths = export_obj_frames(tmp_path / "meshes", "walk", body, motion)
    names = [f"walk_{frame:06d}.obj" for frame in (11, 12, 14, 15)]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in (tmp_path / "meshes").iterdir()) == names
    expected = body.motion_vertices(motion)
    for path, i in zip(paths, (1, 2, 4, 5), strict=True):
        vertices, faces = parse(path)
        np.testing.assert_allclose(vertices, expected[i], atol=TEXT)
        np.testing.assert_array_equal(faces, body.faces)


def test_what_is_no_mesh_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    body, path = tube_body(), tmp_path / "a.obj"
    motion = swinging(body, CLOCK, without=[3])
    with pytest.raises(InputError, match="not finite"):
        write_obj(path, body.motion_vertices(motion)[3], body.faces)
    with pytest.raises(InputError, match="points at no vertex"):
        write_obj(path, body.vertices[:5], body.faces)
    with pytest.raises(InputError, match="points at no vertex"):
        write_obj(path, body.vertices, body.faces - 1)
    with pytest.raises(InputError, match="give one frame"):
        write_obj(path, body.motion_vertices(motion), body.faces)
    with pytest.raises(InputError, match="give one frame"):
        write_obj(path, body.vertices, np.empty((0, 3), dtype=int))
    assert not list(tmp_path.iterdir())
