"""A reader of .glb files, from the specification alone: structure, animation and skinning.

It checks what it reads (asserts), and shares no code with the writer.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

_DTYPES = {5121: "<u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_SHAPES: dict[str, tuple[int, ...]] = {"SCALAR": (), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}


class Glb:
    """document: the JSON. arrays: one per accessor; matrices as they are used, not as stored."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", content)
        assert (magic, version, length) == (b"glTF", 2, len(content))
        size, kind = struct.unpack_from("<I4s", content, 12)
        assert kind == b"JSON"
        assert size % 4 == 0
        self.document: dict[str, Any] = json.loads(content[20 : 20 + size])
        at = 20 + size
        size, kind = struct.unpack_from("<I4s", content, at)
        assert kind == b"BIN\0"
        assert at + 8 + size == len(content)
        self._bytes = content[at + 8 :]
        (buffer,) = self.document["buffers"]
        assert buffer["byteLength"] <= size <= buffer["byteLength"] + 3
        self.arrays = [self._array(a) for a in self.document["accessors"]]

    def _array(self, accessor: dict[str, Any]) -> np.ndarray:
        view = self.document["bufferViews"][accessor["bufferView"]]
        dtype, shape = np.dtype(_DTYPES[accessor["componentType"]]), _SHAPES[accessor["type"]]
        offset = view["byteOffset"] + accessor.get("byteOffset", 0)
        assert offset % max(dtype.itemsize, 4) == 0
        size = accessor["count"] * int(np.prod(shape)) * dtype.itemsize
        assert accessor.get("byteOffset", 0) + size <= view["byteLength"]
        assert view["byteOffset"] + view["byteLength"] <= len(self._bytes)
        array = np.frombuffer(self._bytes, dtype, size // dtype.itemsize, offset)
        array = array.reshape(accessor["count"], *shape)
        for key, of in (("min", np.min), ("max", np.max)):
            if key in accessor:
                assert np.atleast_1d(of(array, axis=0)).tolist() == accessor[key]
        return np.swapaxes(array, 1, 2) if shape == (4, 4) else array

    @property
    def attributes(self) -> dict[str, np.ndarray]:
        (mesh,) = self.document["meshes"]
        (primitive,) = mesh["primitives"]
        return {name: self.arrays[i] for name, i in primitive["attributes"].items()}

    @property
    def faces(self) -> np.ndarray:
        primitive = self.document["meshes"][0]["primitives"][0]
        return self.arrays[primitive["indices"]].reshape(-1, 3)

    def channels(self) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
        """(node name, path) -> (times, values)."""
        (animation,) = self.document["animations"]
        out = {}
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            assert sampler["interpolation"] == "LINEAR"
            name = self.document["nodes"][channel["target"]["node"]]["name"]
            times, values = self.arrays[sampler["input"]], self.arrays[sampler["output"]]
            assert len(times) == len(values)
            out[name, channel["target"]["path"]] = times, values
        return out

    def global_transforms(self, time: float) -> np.ndarray:
        """(nodes, 4, 4) of every node at a time in seconds, down from the scene's roots."""
        nodes, channels = self.document["nodes"], self.channels()
        out = np.full((len(nodes), 4, 4), np.nan)
        todo = [(i, np.eye(4)) for i in self.document["scenes"][self.document["scene"]]["nodes"]]
        while todo:
            i, above = todo.pop()
            node = nodes[i]
            local = np.eye(4)
            local[:3, 3] = node.get("translation", [0, 0, 0])
            local[:3, :3] = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
            if (key := (node["name"], "translation")) in channels:
                times, values = channels[key]
                local[:3, 3] = [np.interp(time, times, v) for v in values.T.astype(float)]
            if (key := (node["name"], "rotation")) in channels:
                times, values = (a.astype(float) for a in channels[key])
                turn = Rotation.from_quat(values)
                at = np.clip(time, times[0], times[-1])
                local[:3, :3] = (Slerp(times, turn)(at) if len(times) > 1 else turn[0]).as_matrix()
            out[i] = above @ local
            todo += [(child, out[i]) for child in node.get("children", [])]
        return out

    def skinned(self, time: float, sets: int | None = None) -> np.ndarray:
        """(V, 3) the mesh at a time; sets: read so many sets of joints, made to sum to one."""
        (skin,) = self.document["skins"]
        inverse = self.arrays[skin["inverseBindMatrices"]].astype(float)
        transforms = self.global_transforms(time)[skin["joints"]] @ inverse
        a = self.attributes
        count = sum(name.startswith("JOINTS_") for name in a) if sets is None else sets
        joints = np.concatenate([a[f"JOINTS_{n}"] for n in range(count)], axis=1)
        weights = np.concatenate([a[f"WEIGHTS_{n}"] for n in range(count)], axis=1).astype(float)
        weights /= weights.sum(axis=1, keepdims=True)
        blended = np.einsum("vk,vkij->vij", weights, transforms[joints])
        placed = np.pad(a["POSITION"].astype(float), ((0, 0), (0, 1)), constant_values=1)
        return np.einsum("vij,vj->vi", blended, placed)[:, :3]
