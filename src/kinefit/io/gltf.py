"""glTF 2.0 in one binary file (.glb): a skinned mesh, its skeleton, and the skeleton's motion.

Numbers of sections are those of the specification (Khronos Group, glTF 2.0; ISO/IEC 12113:2022).
Its world is kinefit's: metres, Y up, the front of a body towards +Z (3.4), so that nothing is
turned or scaled. Every joint is a node that stands at rest without rotation, at its offset from
its parent; an animation sets its local rotation, and of the root also the place.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.geometry.rotations import cross, to_quaternion, unit
from kinefit.io.atomic import atomic_path
from kinefit.types import BodyMotion, FloatArray, InputError, IntArray, InvalidData
from kinefit.types.arrays import check_names

_COMPONENTS = {"<f4": 5126, "<u4": 5125, "<u2": 5123, "|u1": 5121}  # 3.6.2.2
_VERTICES, _INDICES = 34962, 34963  # 3.6.1.2: what a GPU does with a part of the buffer
_PER_SET = 4  # 3.7.3.3: joints per vertex in one pair JOINTS_n, WEIGHTS_n
_MAX_BYTES = 2**32 - 1  # 4.4.2: the length is one unsigned 32-bit number
# A quaternion's vector part below this is nothing but rounding in single precision: the
# rotation is under 2e-7 radians, less than half a micrometre at the far end of a body.
_AT_REST = 1e-7
_DULL = {"metallicFactor": 0.0, "roughnessFactor": 0.8}
_GREY = _DULL | {"baseColorFactor": [0.72, 0.72, 0.74, 1.0]}
_GAMMA = 2.2  # colours of vertices are linear (3.9.2), those of screens about so


@dataclass(frozen=True, eq=False)
class SkinnedMesh:
    """A mesh at rest and the joints that carry it.

    name: of the body. vertices: (V, 3) metres. faces: (F, 3) vertex indices, counter-clockwise
    from outside. joint_names: B names, parents first. parents: (B,) index of the parent, root -1.
    joints: (B, 3) metres, at rest. skin_joints, skin_weights: (V, W) joints that each vertex
    follows, and their shares: not negative, of sum one. colors: (V, 3) RGB in 0..1, as screens show
    them; None: grey.

    Raises InvalidData where shapes, indices or shares are not so.
    """

    name: str
    vertices: FloatArray
    faces: IntArray
    joint_names: tuple[str, ...]
    parents: IntArray
    joints: FloatArray
    skin_joints: IntArray
    skin_weights: FloatArray
    colors: FloatArray | None = None

    def __post_init__(self) -> None:
        V, B = len(self.vertices), len(check_names("SkinnedMesh", self.joint_names))
        W = self.skin_weights.shape[-1]
        wanted = {
            "vertices": (V, 3), "faces": (len(self.faces), 3), "parents": (B,), "joints": (B, 3),
            "skin_joints": (V, W), "skin_weights": (V, W),
        }  # fmt: skip
        for name, shape in wanted.items():
            got = getattr(self, name).shape
            if got != shape or 0 in got:
                raise InvalidData(f"SkinnedMesh.{name} has shape {got}, expected {shape}.")
        if self.parents[0] != -1 or not _within(self.parents[1:], np.arange(1, B)):
            raise InvalidData("SkinnedMesh: joint 0 must be the root, parents come first.")
        if not _within(self.faces, V) or not _within(self.skin_joints, B):
            raise InvalidData("SkinnedMesh: a face or a skinning weight points at nothing.")
        if not (np.isfinite(self.vertices).all() and np.isfinite(self.joints).all()):
            raise InvalidData("SkinnedMesh: a vertex or a joint is not finite.")
        if (self.skin_weights < 0).any() or not np.allclose(self.skin_weights.sum(1), 1, atol=1e-4):
            raise InvalidData("SkinnedMesh: shares must not be negative and must sum to one.")


def write_glb(path: str | Path, mesh: SkinnedMesh, motion: BodyMotion) -> None:
    """Write `glb_bytes`, atomically. Errors are its own."""
    path = Path(path)
    content = glb_bytes(mesh, motion, path)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def glb_bytes(mesh: SkinnedMesh, motion: BodyMotion, path: str | Path = "glTF") -> bytes:
    """A file of `mesh` moving as `motion` does; single precision, 1e-6 of a body's size.

    Keyframes are the motion's frames at their own times, counted in seconds from the start of
    its timeline (the file's `extras` hold frame and time of that start). Frames without a pose
    have no keyframe: viewers turn joints evenly from the pose before to the one after, and hold
    the first and the last pose (3.11). Joints that never leave their rest pose are not animated.

    A vertex has as many sets of four joints as the mesh needs, the largest shares in the first.
    Viewers must know one set and may know more (3.7.3.3): those that read one only and make it
    sum to one, as three.js does, show `strongest_influences(..., 4)`.

    Raises InputError, naming `path`, for other joints than the motion's, for a motion without a
    pose, or one that single precision or the format's 4 GiB cannot hold.
    """
    path = Path(path)
    if motion.joint_names != mesh.joint_names:
        raise InputError(path, "mesh and motion have different joints", "give those of one body")
    file = _Binary()
    document = {
        "asset": {"version": "2.0", "generator": "kinefit"},
        "scene": 0,
        "scenes": [{"nodes": [0, len(mesh.parents)]}],
        "nodes": _nodes(mesh),
        "materials": [
            {"name": "body", "pbrMetallicRoughness": _GREY if mesh.colors is None else _DULL}
        ],
        "meshes": [_mesh(file, mesh)],
        "skins": [_skin(file, mesh)],
        "animations": [_animation(path, file, mesh, motion)],
        "accessors": file.accessors,
        "bufferViews": file.views,
    }
    return _whole(path, document | {"buffers": [{"byteLength": file.size}]}, file)


def strongest_influences(
    joints: IntArray, weights: FloatArray, most: int | None = None
) -> tuple[IntArray, FloatArray]:
    """The `most` (None: all) largest shares of each vertex, largest first, summing to one again.

    joints, weights: (V, W) joints and their shares. Returns the same as (V, N), N as many as
    some vertex needs; a joint that comes twice is one, a share of zero has joint 0.
    """
    V, B = len(joints), int(joints.max()) + 1
    cells = (np.arange(V)[:, None] * B + joints).ravel()
    table = np.bincount(cells, weights.ravel(), V * B).reshape(V, B)
    needed = int(np.count_nonzero(table, axis=1).max())
    order = np.argsort(-table, axis=1, kind="stable")[:, : min(needed, most or needed)]
    shares = np.take_along_axis(table, order, axis=1)
    return np.where(shares > 0, order, 0), shares / shares.sum(axis=1, keepdims=True)


class _Binary:
    """The buffer of a file, and the tables that say what is where in it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(
        self, array: NDArray[Any], kind: str, *, target: int | None = None, bounds: bool = False
    ) -> int:
        """The index of an accessor for `array`: one element of type `kind` per row.

        target: vertex data or indices. bounds: state the least and greatest of each column, as
        the format demands of positions and of the times of keyframes (3.6.2.5).
        """
        rows = array.reshape(len(array), -1)
        view = {"buffer": 0, "byteOffset": self.size, "byteLength": array.nbytes}
        self.views.append(view if target is None else view | {"target": target})
        accessor: dict[str, Any] = {
            "bufferView": len(self.views) - 1, "componentType": _COMPONENTS[array.dtype.str],
            "count": len(array), "type": kind,
        }  # fmt: skip
        if array.dtype == np.uint8:
            accessor["normalized"] = True  # 255 is one (3.6.2.2)
        if bounds:
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        self.accessors.append(accessor)
        self.parts.append(_padded(array.tobytes(), b"\0"))
        self.size += len(self.parts[-1])
        return len(self.accessors) - 1


def _nodes(mesh: SkinnedMesh) -> list[dict[str, Any]]:
    """Joints, each at its offset from its parent, and last the node of the mesh."""
    offsets = mesh.joints - np.where(mesh.parents[:, None] < 0, 0, mesh.joints[mesh.parents])
    nodes: list[dict[str, Any]] = []
    for b, name in enumerate(mesh.joint_names):
        children = np.flatnonzero(mesh.parents == b).tolist()
        node = {"name": name, "translation": offsets[b].tolist()}
        nodes.append(node | {"children": children} if children else node)
    return [*nodes, {"name": mesh.name, "mesh": 0, "skin": 0}]


def _mesh(file: _Binary, mesh: SkinnedMesh) -> dict[str, Any]:
    vertices = mesh.vertices.astype("<f4")
    normals = _vertex_normals(mesh.vertices, mesh.faces).astype("<f4")
    attributes = {
        "POSITION": file.add(vertices, "VEC3", target=_VERTICES, bounds=True),
        "NORMAL": file.add(normals, "VEC3", target=_VERTICES),
    }
    if mesh.colors is not None:
        shades = np.column_stack([mesh.colors**_GAMMA, np.ones(len(vertices))])
        stored = np.round(255 * shades).astype(np.uint8)
        attributes["COLOR_0"] = file.add(stored, "VEC4", target=_VERTICES)
    joints, weights = _influence_sets(mesh)
    for n in range(joints.shape[1]):
        attributes[f"JOINTS_{n}"] = file.add(joints[:, n], "VEC4", target=_VERTICES)
        attributes[f"WEIGHTS_{n}"] = file.add(weights[:, n], "VEC4", target=_VERTICES)
    faces = file.add(mesh.faces.astype("<u4").ravel(), "SCALAR", target=_INDICES)
    primitive = {"attributes": attributes, "indices": faces, "material": 0}
    return {"name": mesh.name, "primitives": [primitive]}


def _influence_sets(mesh: SkinnedMesh) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """(V, N, 4) joints and shares in N sets; the stored shares sum to one (3.7.3.3)."""
    joints, weights = strongest_influences(mesh.skin_joints, mesh.skin_weights)
    fill = ((0, 0), (0, -joints.shape[1] % _PER_SET))
    joints, stored = np.pad(joints, fill), np.pad(weights, fill).astype("<f4")
    # What rounding took goes to the largest share, where it is smallest in proportion.
    stored[:, 0] += 1 - stored.sum(axis=1, dtype=np.float64)
    joints[stored == 0] = 0
    shape = (len(joints), -1, _PER_SET)
    return joints.astype("<u2").reshape(shape), stored.reshape(shape)


def _vertex_normals(vertices: FloatArray, faces: IntArray) -> FloatArray:
    """(V, 3) unit normals: the sum over a vertex's faces, each as large as its area.

    A vertex without a face of any area gets +Z: the format has no place for a missing normal.
    """
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normals = np.repeat(cross(b - a, c - a), 3, axis=0)
    out = np.empty(vertices.shape)
    for i in range(3):
        out[:, i] = np.bincount(faces.ravel(), normals[:, i], len(vertices))
    out[~out.any(axis=1)] = [0.0, 0.0, 1.0]
    return unit(out)


def _skin(file: _Binary, mesh: SkinnedMesh) -> dict[str, Any]:
    """Joints, and what takes the mesh at rest into the axes of each (3.7.3.1)."""
    inverse = np.tile(np.eye(4), (len(mesh.joints), 1, 1))
    inverse[:, :3, 3] = -mesh.joints
    # Matrices are stored column by column (3.6.2.4).
    stored = np.ascontiguousarray(np.swapaxes(inverse, 1, 2).astype("<f4"))
    at = file.add(stored, "MAT4")
    return {"inverseBindMatrices": at, "joints": list(range(len(mesh.joints))), "skeleton": 0}


def _animation(path: Path, file: _Binary, mesh: SkinnedMesh, motion: BodyMotion) -> dict[str, Any]:
    timeline = motion.timeline
    known = np.isfinite(motion.translation).all(axis=1)
    if not known.any():
        raise InputError(path, "no frame of the motion has a pose", "check what it was made from")
    start = float(timeline.time[0])  # times must not be negative, and fit single precision
    time = (timeline.time[known] - start).astype("<f4")
    if not (np.diff(time) > 0).all():
        raise InputError(path, "the motion is too long for single-precision times", "split it")
    at = file.add(time, "SCALAR", bounds=True)
    place = (mesh.joints[0] + motion.translation[known]).astype("<f4")
    sampler = {"input": at, "interpolation": "LINEAR"}
    samplers = [sampler | {"output": file.add(place, "VEC3")}]
    channels = [{"sampler": 0, "target": {"node": 0, "path": "translation"}}]
    turns = _continuous(to_quaternion(motion.rotations[known])).astype("<f4")
    for b in np.flatnonzero((np.abs(turns[..., :3]) > _AT_REST).any(axis=(0, 2))).tolist():
        output = file.add(np.ascontiguousarray(turns[:, b]), "VEC4")
        samplers.append(sampler | {"output": output})
        target = {"node": b, "path": "rotation"}
        channels.append({"sampler": len(samplers) - 1, "target": target})
    extras = {"start_frame": int(timeline.frame[0]), "start_time_s": start}
    return {"name": "motion", "samplers": samplers, "channels": channels, "extras": extras}


def _continuous(quaternions: FloatArray) -> FloatArray:
    """`quaternions` (T, B, 4) with each on the side of the one before: no sign jumps."""
    flips = (quaternions[1:] * quaternions[:-1]).sum(axis=-1) < 0
    odd = np.logical_xor.accumulate(flips, axis=0)
    return np.concatenate([quaternions[:1], np.where(odd[..., None], -1, 1) * quaternions[1:]])


def _whole(path: Path, document: dict[str, Any], file: _Binary) -> bytes:
    """Header, chunk of JSON, chunk of numbers (4.4)."""
    text = _padded(json.dumps(document, allow_nan=False, separators=(",", ":")).encode(), b" ")
    total = 12 + 8 + len(text) + 8 + file.size
    if total > _MAX_BYTES:
        raise InputError(path, "the motion takes more than 4 GiB", "split it")
    heads = (struct.pack("<4sII", b"glTF", 2, total), struct.pack("<I4s", len(text), b"JSON"))
    return b"".join([*heads, text, struct.pack("<I4s", file.size, b"BIN\0"), *file.parts])


def _padded(content: bytes, filler: bytes) -> bytes:
    return content + filler * (-len(content) % 4)


def _within(index: IntArray, stop: int | IntArray) -> bool:
    return bool(((index >= 0) & (index < stop)).all())
