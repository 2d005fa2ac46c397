"""C3D files by hand, as the many programs that write them do, from the format's description."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

INTEL, DEC, MIPS = 84, 85, 86
BLOCK = 512


@dataclass
class C3dFile:
    """What a file says; everything that stands twice in the format can be said differently.

    millimetres: (T, M, 3). present: (T, M). scale: negative for floats. analog: words a frame.
    header_frames: first and last of the header. point: parameters of the group POINT instead of
    the usual ones, None for none. more: of other groups, "GROUP:NAME". tail: bytes behind the last
    parameter.
    """

    millimetres: np.ndarray
    present: np.ndarray
    labels: tuple[str, ...] = ()
    processor: int = INTEL
    scale: float = -1.0
    analog: int = 0
    rate: float = 50.0
    header_frames: tuple[int, int] | None = None
    point: dict[str, object] = field(default_factory=dict)
    more: dict[str, object] = field(default_factory=dict)
    tail: bytes = b""
    blocks: int | None = None

    def content(self) -> bytes:
        frames, count = self.millimetres.shape[:2]
        first, last = self.header_frames or (1, frames)
        values: dict[str, object] = {
            "USED": np.int16(count), "SCALE": self.scale, "RATE": self.rate,
            "FRAMES": self.word(frames), "UNITS": ["mm"], "LABELS": list(self.labels[:255]),
        }  # fmt: skip
        if self.labels[255:]:
            values["LABELS2"] = list(self.labels[255:])
        groups = {f"POINT:{k}": v for k, v in (values | self.point).items() if v is not None}
        section = self.section(groups | self.more)
        header = struct.pack("BB", 2, 0x50)
        header += struct.pack(f"{self.order}5H", count, self.analog, first, last, 10)
        data_block = 2 + len(section) // BLOCK
        header += self.real(self.scale) + struct.pack(f"{self.order}2H", data_block, 0)
        header += self.real(self.rate)
        return header.ljust(BLOCK, b"\0") + section + self.data()

    @property
    def order(self) -> str:
        return ">" if self.processor == MIPS else "<"

    def word(self, value: int) -> np.int16:
        return np.int16(np.uint16(min(value, 65535)))

    def real(self, *values: float) -> bytes:
        if self.processor != DEC:
            return np.array(values, f"{self.order}f4").tobytes()
        # VAX F: the bits of an IEEE float four times as large, 16-bit halves swapped.
        halves = np.array([4 * v for v in values], "<f4").view("<u2").reshape(-1, 2)[:, ::-1]
        return halves.tobytes()

    def section(self, parameters: dict[str, object]) -> bytes:
        groups = {name.partition(":")[0]: i for i, name in enumerate(parameters, 1)}
        entries = [self.entry(group, -i, b"\0") for group, i in groups.items()]
        for name, value in parameters.items():
            group, _, key = name.partition(":")
            entries.append(self.entry(key, groups[group], self.body(value) + b"\0"))
        text = b"".join(entries) + (self.tail or bytes(4))
        blocks = -(-(4 + len(text)) // BLOCK)
        stated = blocks if self.blocks is None else self.blocks
        return (struct.pack("BBBB", 1, 80, stated, self.processor) + text).ljust(
            blocks * BLOCK, b"\0"
        )

    def entry(self, name: str, group: int, body: bytes) -> bytes:
        size = struct.pack(f"{self.order}h", 2 + len(body))
        return struct.pack("bb", len(name), group) + name.encode() + size + body

    def body(self, value: object) -> bytes:
        if isinstance(value, list) and (not value or isinstance(value[0], str)):
            width = max((len(text) for text in value), default=0)
            texts = "".join(text.ljust(width) for text in value).encode("latin-1")
            return struct.pack("bBBB", -1, 2, width, len(value)) + texts
        if isinstance(value, str):
            return struct.pack("bBB", -1, 1, len(value)) + value.encode()
        if isinstance(value, np.int16):
            return struct.pack(f"{self.order}bBh", 2, 0, value)
        if isinstance(value, list):
            return (
                struct.pack("bBB", 2, 1, len(value))
                + np.array([np.int16(np.uint16(v)) for v in value], f"{self.order}i2").tobytes()
            )
        return struct.pack("bB", 4, 0) + self.real(float(value))  # type: ignore[arg-type]

    def data(self) -> bytes:
        frames, count = self.millimetres.shape[:2]
        words = np.zeros((frames, 4 * count + self.analog))
        points = words[:, : 4 * count].reshape(frames, count, 4)
        points[..., :3] = self.millimetres / (self.scale if self.scale > 0 else 1)
        points[..., 3] = np.where(self.present, 0, -1)
        words[:, : 4 * count] = points.reshape(frames, -1)
        if self.scale > 0:
            content = np.rint(words).astype(f"{self.order}i2").tobytes()
        else:
            content = self.real(*words.ravel())
        return content.ljust(-(-len(content) // BLOCK) * BLOCK, b"\0")


def walking(frames: int = 10, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """(frames, count, 3) whole millimetres within 2 m, and (frames, count) present: not all."""
    rng = np.random.default_rng(frames + count)
    present = np.ones((frames, count), bool)
    present[frames // 2, 0] = False
    return np.rint(rng.uniform(-2000, 2000, (frames, count, 3))), present
