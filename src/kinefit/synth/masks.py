"""Label images as runs of equal pixels: lossless, a few kilobytes for a mask of a person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinefit.types import BoolArray, IntArray, InvalidData

Labels = NDArray[np.uint8]

BACKGROUND, PROP = 0, 255
_PER_PERSON = 2  # body and head


def person_label(person: int, head: bool = False) -> int:
    """Label of a person's pixels; persons are counted from 0, at most 127."""
    return 1 + _PER_PERSON * person + int(head)


@dataclass(frozen=True, eq=False)
class LabelRuns:
    """Label images of one camera, row by row, as runs of equal labels.

    size: (width, height) pixels. first: (T + 1,) where the runs of each frame begin in the other
    two. label: (N,) uint8. length: (N,) pixels, uint32; those of a frame fill the image.
    """

    size: tuple[int, int]
    first: IntArray
    label: Labels
    length: NDArray[np.uint32]

    def __post_init__(self) -> None:
        pixels = self.size[0] * self.size[1]
        whole = (
            len(self.first) > 0
            and self.first[0] == 0
            and self.first[-1] == len(self.label) == len(self.length)
            and (np.diff(self.first) > 0).all()
        )
        if not whole or (
            len(self.length)
            and (np.add.reduceat(self.length.astype(np.int64), self.first[:-1]) != pixels).any()
        ):
            raise InvalidData(f"Runs of labels do not fill images of {self.size}.")

    @classmethod
    def of(
        cls, size: tuple[int, int], frames: Iterable[tuple[Labels, NDArray[np.uint32]]]
    ) -> LabelRuns:
        """From the results of `encode` for each frame."""
        parts = list(frames)
        first = np.cumsum([0, *(len(label) for label, _ in parts)])
        return cls(
            size,
            first,
            np.concatenate([np.zeros(0, np.uint8), *(label for label, _ in parts)]),
            np.concatenate([np.zeros(0, np.uint32), *(length for _, length in parts)]),
        )

    def __len__(self) -> int:
        return len(self.first) - 1

    def labels(self, frame: int) -> Labels:
        """(height, width) labels of a frame."""
        a, b = self.first[frame], self.first[frame + 1]
        return np.repeat(self.label[a:b], self.length[a:b]).reshape(self.size[::-1])

    def person(self, frame: int, person: int) -> BoolArray:
        """(height, width) True where the person is visible, head included."""
        labels = self.labels(frame)
        return np.asarray(
            (labels == person_label(person)) | (labels == person_label(person, head=True))
        )

    def head(self, frame: int, person: int) -> BoolArray:
        """(height, width) True where the person's head is visible."""
        return np.asarray(self.labels(frame) == person_label(person, head=True))


def encode(labels: Labels) -> tuple[Labels, NDArray[np.uint32]]:
    """The labels and lengths of the runs of one image (height, width)."""
    flat = labels.ravel()
    start = np.flatnonzero(np.diff(flat, prepend=flat[0] ^ 1))
    return flat[start], np.diff(start, append=len(flat)).astype(np.uint32)
