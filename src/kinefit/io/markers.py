"""What files of markers share, whoever wrote them: units, names, and points that are not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kinefit.io.text import refused_as_input
from kinefit.skeletons.marker_names import is_known, place_of
from kinefit.types import BoolArray, FloatArray, IntArray, Markers, Timeline

PER_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
# Vertical axis -> rows that turn (x, y, z) by the smallest rotation that brings it to +Y.
UP_TO_Y = {
    "Y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "Z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-Z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "X": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "-X": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    "-Y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
}
# As people and programs spell them (Vicon's "mete" is cut off after four letters).
_SPELLED = {
    "m": ("m", "mete", "meter", "meters", "metre", "metres"),
    "cm": ("cm", "cent", "centimeter", "centimeters", "centimetre", "centimetres"),
    "mm": ("mm", "mill", "millimeter", "millimeters", "millimetre", "millimetres"),
}
_AT_ORIGIN_M = 0.01  # a marker that is expected so near to the origin may be measured at it
_MOST_LISTED = 6
# Of coordinates, without spikes. Pelvis markers, the highest of a set of the legs, have a tenth.
_MOST_PCT = 98
_FEW = 3  # names with one beginning: no chance


class Named(NamedTuple):
    """Which markers of a file are taken, under which names, and what was changed, in sentences."""

    columns: list[int]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def unit_of(text: str) -> str | None:
    """m, cm or mm, in any spelling; None for anything else."""
    plain = text.strip("\0 .").lower()
    return next((unit for unit, words in _SPELLED.items() if plain in words), None)


def likely_unit(xyz: FloatArray) -> tuple[str, str]:
    """Of a file that states none, by how large coordinates are, single damaged ones left aside:
    heads and shoulders are over a metre high, rooms under 30 m. And a note that says so."""
    known = np.abs(xyz[np.isfinite(xyz)])
    if not known.size:
        return "m", "The file states no unit, and no marker is seen in it."
    far = float(np.percentile(known, _MOST_PCT, method="lower"))
    unit = "m" if far < 30 else "cm" if far < 900 else "mm"
    return unit, f"The file states no unit: {unit} was taken, by the size of the numbers."


def build_markers(
    path: Path, timeline: Timeline, labels: Sequence[str], xyz: FloatArray, notes: Sequence[str]
) -> Markers:
    """The markers of a file, with what its reader changed or assumed in `notes`.

    labels: M as the file has them. xyz: (T, M, 3) metres. Names are those of `one_subject`; points
    at exactly zero are missing as `are_missing` says, and those at infinity.
    """
    named = one_subject(labels)
    infinite = np.asarray(np.isinf(xyz := xyz[:, named.columns]).any(axis=-1))
    zeros = are_missing(xyz := np.where(infinite[..., None], np.nan, xyz))
    said = [
        *notes,
        *named.notes,
        *missing_note(zeros, named.names, timeline, "at exactly (0, 0, 0)"),
        *missing_note(infinite, named.names, timeline, "at infinity"),
    ]
    xyz = np.where(zeros[..., None], np.nan, xyz)
    with refused_as_input(path):
        return Markers(timeline, named.names, xyz, notes=tuple(said))


def one_subject(labels: Sequence[str]) -> Named:
    """Names that tell the markers of one person apart.

    Vicon and Motive write the subject before a colon, others before an underscore (`_subjects`): it
    is dropped. Subjects that have a marker at the same place of the body (see
    `kinefit.skeletons.marker_names`) are people: the one with most known markers is taken. Others
    are parts of one. The second marker of one name is NAME_2, and one without a name marker_N, its
    place counted from 1.
    """
    labels = [label.strip() for label in labels]
    subjects = _subjects(labels)
    bare = [label[len(s) + 1 :] or label if s else label.removeprefix(":") or label
            for label, s in zip(labels, subjects, strict=True)]  # fmt: skip
    present = list(dict.fromkeys(filter(None, subjects)))
    known = Counter(s for s, name in zip(subjects, bare, strict=True) if s and is_known(name))
    places = [(place_of(name) or (name,))[:2] for name in bare]
    distinct = len({*zip(subjects, places, strict=True)}) == len({*places})
    if len(present) > 1 and not known and not distinct:
        bare, present = labels, []  # nobody's: told apart by the subjects
    taken = [s for s in present if s in known] or present
    if len(taken) > 1 and not distinct:
        taken = [max(taken, key=known.__getitem__)]
    columns = [i for i, s in enumerate(subjects) if not s or s in taken or not present]
    names, notes = numbered([bare[i] for i in columns], [not subjects[i] for i in columns])
    if present:
        notes = (*_about_subjects(present, taken, len(labels) - len(columns)), *notes)
    return Named(columns, names, notes)


def _subjects(labels: Sequence[str]) -> list[str]:
    """What stands before the last colon of each; where there is none, before the first underscore,
    if a few markers are known only without that."""
    found = [label.rpartition(":")[0] for label in labels]
    if any(":" in label for label in labels):
        return found
    split = [label.partition("_") for label in labels]
    helped = Counter(
        first for label, (first, _, name) in zip(labels, split, strict=True)
        if first and is_known(name) and not is_known(label)
    )  # fmt: skip
    return [first if name and helped[first] >= _FEW else "" for first, _, name in split]


def numbered(
    names: Sequence[str], last: Sequence[bool] | None = None, kind: str = "marker"
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of which none is empty or stands twice, and notes about those that were changed.

    last: those that are numbered where they share a name with others.
    """
    out, used, counts = [""] * len(names), set[str](), Counter[str]()
    for i in sorted(range(len(names)), key=lambda i: last is not None and last[i]):
        own = name = names[i] or f"{kind}_{i + 1}"
        while own in used:
            counts[name] += 1
            own = f"{name}_{counts[name] + 1}"
        used.add(own)
        out[i] = own
    made = [own for own, name in zip(out, names, strict=True) if own != name]
    note = f"Names that the file leaves empty or uses twice were made: {_listed(made)}."
    return tuple(out), (note,) * bool(made)


def are_missing(xyz: FloatArray) -> BoolArray:
    """(T, M) True where a point (T, M, 3), metres, at exactly (0, 0, 0) was not seen, as many
    programs write it.

    Not where the marker really passes the origin: where the straight line between its samples
    before and after leads through it, within a centimetre or half of their distance per frame.
    """
    zeros = np.asarray((xyz == 0).all(axis=-1))
    for m in np.flatnonzero(zeros.any(axis=0)):
        known = np.flatnonzero(np.isfinite(xyz[:, m]).all(axis=-1) & ~zeros[:, m])
        if len(known):
            zeros[zeros[:, m], m] = ~_through_origin(xyz[known, m], known, zeros[:, m].nonzero()[0])
    return zeros


def _through_origin(xyz: FloatArray, known: IntArray, at: IntArray) -> BoolArray:
    """(N,) whether a marker with positions (K, 3) in the frames `known` may be at the origin in
    the frames `at`."""
    expected = np.column_stack([np.interp(at, known, axis) for axis in xyz.T])
    after = np.searchsorted(known, at)
    first, second = np.clip(after - 1, 0, None), np.clip(after, None, len(known) - 1)
    frames = np.maximum(known[second] - known[first], 1)
    with np.errstate(over="ignore"):  # a damaged number of 1e300
        step = np.linalg.norm(xyz[second] - xyz[first], axis=-1) / frames
    return np.asarray(np.linalg.norm(expected, axis=-1) <= np.maximum(_AT_ORIGIN_M, step / 2))


def missing_note(
    flags: BoolArray, names: Sequence[str], timeline: Timeline, what: str
) -> list[str]:
    """A note about the points that are missing for being `what`; none where there are none.

    flags: (T, M) of `names`.
    """
    count = flags.sum(axis=0)
    rows = [m for m in np.argsort(-count, kind="stable") if count[m]]
    if not rows:
        return []
    some = [f"{names[m]} in {_frames(timeline.frame[flags[:, m]])}" for m in rows]
    return [f"Points {what} were taken as missing: {_listed(some)}."]


def _frames(frames: IntArray) -> str:
    if len(frames) == 1:
        return f"frame {frames[0]}"
    return f"{len(frames)} frames from {frames[0]} to {frames[-1]}"


def _about_subjects(present: list[str], taken: list[str], left_out: int) -> list[str]:
    notes = [f"The subject's name was dropped from the markers' names: {_listed(taken)}."]
    if left_out:
        others = _listed([s for s in present if s not in taken])
        notes.append(
            f"The file holds {len(present)} subjects: {left_out} markers of {others} were left out."
            " To use those, export that subject alone."
        )
    return notes


def _listed(words: Sequence[str]) -> str:
    more = len(words) - _MOST_LISTED
    return ", ".join(words[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
