"""Joint angles as a run gives them beside the true ones: what refiners are trained with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kinefit.biomech.angles import GROUPS
from kinefit.io.arrays import read_needed
from kinefit.types import FloatArray, InputError

_HINT = "make it: kinefit train data angles"


@dataclass(frozen=True, eq=False)
class AngleClips:
    """S clips, N frames in all at 30 Hz; (N, 12, 3) degrees of `kinefit.biomech.refine.table`, NaN
    where unknown.

    given, lifted: of runs without and with a network for depth; given_sd, lifted_sd: the deviations
    that they state. body: of markers on the body of the first. true: of those on the true body;
    NaN, too, near a singularity. seen: (N, 12) share of each joint's keypoints that were seen.
    swapped: (N,) 1 where the detector exchanged left and right. length: (S,) frames. kind: (S,)
    index in `KINDS`.
    """

    given: FloatArray
    given_sd: FloatArray
    lifted: FloatArray
    lifted_sd: FloatArray
    body: FloatArray
    true: FloatArray
    seen: FloatArray
    swapped: FloatArray
    length: NDArray[np.int64]
    kind: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.length)

    @property
    def start(self) -> NDArray[np.int64]:
        """(S + 1,) where clips begin and the last ends."""
        return np.concatenate([[0], np.cumsum(self.length)])

    @classmethod
    def joined(cls, parts: Sequence[AngleClips]) -> AngleClips:
        """All clips of all parts."""
        return cls(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in _NAMES})

    @classmethod
    def none(cls) -> AngleClips:
        """No clip."""
        arrays = {n: np.zeros((0, *shape)) for n, shape in _OF_FRAMES.items()}
        return cls(**arrays, length=np.zeros(0, np.int64), kind=np.zeros(0, np.int64))

    @classmethod
    def read(cls, file: Path) -> AngleClips:
        """Raises InputError for another file."""
        arrays = read_needed(file, _NAMES, _HINT)
        count = int(arrays["length"].sum())
        shapes = {n: (count, *shape) for n, shape in _OF_FRAMES.items()}
        shapes |= dict.fromkeys(("length", "kind"), arrays["length"].shape)
        if any(arrays[n].shape != shape or arrays[n].dtype.kind not in "fi"
               for n, shape in shapes.items()):  # fmt: skip
            raise InputError(file, "holds no joint angles of clips", _HINT)
        floats = {n: arrays[n].astype(np.float64) for n in _OF_FRAMES}
        return cls(**floats, length=arrays["length"], kind=arrays["kind"])

    def fingerprint(self) -> str:
        """What tells these clips from others."""
        return hashlib.sha256(b"".join(v.tobytes() for v in self.arrays().values())).hexdigest()

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Single precision, by name."""
        small = {n: getattr(self, n).astype(np.float32) for n in _OF_FRAMES}
        return {**small, "length": self.length, "kind": self.kind}


KINDS = ("rendered", "drawn", "converted")
_J = len(GROUPS)
_OF_FRAMES: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("given", "given_sd", "lifted", "lifted_sd", "body", "true"), (_J, 3)),
    "seen": (_J,), "swapped": (),
}  # fmt: skip
_NAMES = tuple(field.name for field in fields(AngleClips))
