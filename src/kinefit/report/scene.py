"""What the viewer shows, and the bytes in which its page holds it."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.types import BoolArray, Camera, FloatArray, InvalidData, Timeline

_MISSING = -32768  # where a whole number stands for a missing one
_MOST = 32767


@dataclass(frozen=True, eq=False)
class Points:
    """A set of named points.

    label: what the viewer calls it. names: P. xyz: (T, P, 3) metres, world, Y up; NaN where
    missing. bones: pairs of names. color: "#rrggbb". sd: (T, P, 3) metres, one standard deviation
    per axis. correlation: (T, P, 3) of the errors along x and y, x and z, y and z; None or NaN:
    taken as 0. heat: (T, P) in 0..1, shown from green to red instead of the colour. shown: at
    first.
    """

    label: str
    names: tuple[str, ...]
    xyz: FloatArray
    bones: Sequence[tuple[str, str]] = ()
    color: str = "#0072b2"
    sd: FloatArray | None = None
    correlation: FloatArray | None = None
    heat: FloatArray | None = None
    shown: bool = True


@dataclass(frozen=True, eq=False)
class Figure:
    """A body. label: what the viewer calls it. glb: its mesh and motion, as `kinefit.io.gltf`
    writes them, keyframes in seconds from the scene's first frame. posed: (T,) where it is known.
    """

    label: str
    glb: bytes
    posed: BoolArray


@dataclass(frozen=True, eq=False)
class Scene:
    """T frames of one recording.

    title: of the recording. cameras: that recorded. standing: name of a point of the first set ->
    (T,) probability that it stands on the floor. floor: whether it is known to be at height 0.
    slowmo: how many times slower than life the film beside the scene plays.
    """

    title: str
    timeline: Timeline
    figures: Sequence[Figure] = ()
    points: Sequence[Points] = ()
    cameras: Sequence[Camera] = ()
    standing: Mapping[str, FloatArray] = field(default_factory=dict)
    floor: bool = True
    slowmo: float = 1.0

    def __post_init__(self) -> None:
        T = len(self.timeline)
        for one in self.points:
            shape = (T, len(one.names), 3)
            for name in ("xyz", "sd", "correlation", "heat"):
                values = getattr(one, name)
                wanted = shape[:2] if name == "heat" else shape
                if values is not None and values.shape != wanted:
                    raise InvalidData(f"Points.{name} has shape {values.shape}, expected {wanted}.")
            if unknown := {end for bone in one.bones for end in bone} - set(one.names):
                raise InvalidData(f"Points {one.label!r} has no point {sorted(unknown)[0]!r}.")
        for name, value in [*self.standing.items(), *((f.label, f.posed) for f in self.figures)]:
            if value.shape != (T,):
                raise InvalidData(f"{name!r} has shape {value.shape} in {T} frames.")


def pack_scene(scene: Scene) -> bytes:
    """gzip of: the header's length (4 bytes, little-endian), the header (JSON), and arrays one
    after the other, each at a multiple of 4 bytes behind the header.

    Arrays are named in the header by {"at", "shape", "kind"} and, of 16-bit integers, "step": what
    one stands for; -32768 is a missing value. Equal scenes give equal bytes.
    """
    pack = _Pack()
    header = {
        "title": scene.title,
        "frame": pack.add(scene.timeline.frame.astype("<i4")),
        # Single precision is enough from the first frame on.
        "start": float(scene.timeline.time[0]) if len(scene.timeline) else 0.0,
        "time": pack.add((scene.timeline.time - scene.timeline.time[:1]).astype("<f4")),
        "figures": [
            {"label": f.label, "glb": pack.add(np.frombuffer(f.glb, np.uint8)),
             "posed": pack.add(f.posed.astype(np.uint8))}
            for f in scene.figures
        ],
        "points": [_points(pack, one) for one in scene.points],
        "cameras": [
            {"name": c.name, "size": list(c.size), "K": c.K.tolist(), "R": c.R.tolist(),
             "centre": c.centre.tolist()}
            for c in scene.cameras
        ],
        "standing": {name: pack.rounded(value) for name, value in scene.standing.items()},
        "floor": scene.floor,
        "slowmo": scene.slowmo,
    }  # fmt: skip
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    whole = struct.pack("<I", len(text)) + text + b"".join(pack.parts)
    return gzip.compress(whole, compresslevel=6, mtime=0)


def _points(pack: _Pack, one: Points) -> dict[str, Any]:
    at = {name: i for i, name in enumerate(one.names)}
    return {
        "label": one.label,
        "names": list(one.names),
        "bones": [[at[a], at[b]] for a, b in one.bones],
        "color": one.color,
        "shown": one.shown,
        "xyz": pack.rounded(one.xyz),
        "sd": None if one.sd is None else pack.rounded(one.sd),
        "correlation": None if one.correlation is None else pack.rounded(one.correlation),
        "heat": None if one.heat is None else pack.rounded(one.heat),
    }


class _Pack:
    """Arrays one after the other."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._size = 0

    def add(self, array: NDArray[Any], **more: float) -> dict[str, Any]:
        """The entry of an array in the header."""
        kind = {"<f4": "f4", "<i4": "i4", "<i2": "i2", "|u1": "u1"}[array.dtype.str]
        entry = {"at": self._size, "shape": list(array.shape), "kind": kind, **more}
        data = array.tobytes()
        self.parts.append(data + b"\0" * (-len(data) % 4))
        self._size += len(self.parts[-1])
        return entry

    def rounded(self, values: FloatArray) -> dict[str, Any]:
        """As 16-bit integers: to 1/65534 of the span of the values, 0.3 mm of 20 m."""
        known = np.isfinite(values)
        most = float(np.abs(values[known]).max()) if known.any() else 1.0
        step = max(most, 1e-6) / _MOST
        whole = np.where(known, np.round(np.where(known, values, 0.0) / step), _MISSING)
        return self.add(whole.astype("<i2"), step=step)
