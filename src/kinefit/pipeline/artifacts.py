"""The project's types as .npz files, for one stage to hand to the next.

Plain arrays only (no pickle); the bytes depend on the values alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.io import limits
from kinefit.io.arrays import read_npz, save_npz
from kinefit.io.people import People
from kinefit.skeletons import KeypointSetGuess
from kinefit.types import (
    Finding,
    InputError,
    InvalidData,
    JointAngles,
    Keypoints2D,
    Keypoints3D,
    Markers,
    PoseTrack,
    Timeline,
)


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write named arrays (None is left out), atomically."""
    kept = {name: np.asarray(value) for name, value in arrays.items() if value is not None}
    assert all(value.dtype != object for value in kept.values())  # would be pickled
    save_npz(path, **kept)


_RATIO = 100  # unpacked bytes of one packed: what stages write has ten, an archive of zeros 1,000


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `save_arrays` wrote; InputError for anything else, as from every `load_...`."""
    with _left_by_kinefit(path):
        most = max(limits.ARRAY_BYTES, _RATIO * path.stat().st_size)
        arrays = read_npz(path, most_bytes=min(most, limits.RESULT_BYTES))
        if odd := [name for name, array in arrays.items() if array.dtype.hasobject]:
            raise ValueError(f"its {odd[0]} are objects")
        return arrays


@contextmanager
def _left_by_kinefit(path: Path) -> Iterator[None]:
    """What is wrong with the arrays of a file, as an InputError."""
    try:
        yield
    except (
        KeyError, TypeError, ValueError, IndexError, AttributeError, OSError, InvalidData,
        RecursionError, MemoryError,  # a text nested without end; more than there is
    ) as error:  # fmt: skip
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise InputError(path, f"cannot be read: {reason}", "make the result again") from error


def save_track(path: Path, track: PoseTrack) -> None:
    """Write a PoseTrack."""
    image = track.image
    own = {
        "frame": image.timeline.frame,
        "time": image.timeline.time,
        "names": image.names,
        "xy": image.xy,
        "score": image.score,
        "image_size": image.image_size,
        "body": None if track.body is None else track.body.xyz,
        "damaged": np.array(track.damaged, dtype=np.int64),
        "source": track.source,
    }
    save_arrays(path, own)


def load_track(path: Path) -> PoseTrack:
    """Read what `save_track` wrote."""
    with _left_by_kinefit(path):
        stored = _timed(path)
        timeline, names, body = stored["timeline"], stored["names"], stored.get("body")
        width, height = stored["image_size"].tolist()
        return PoseTrack(
            Keypoints2D(timeline, names, stored["xy"], stored["score"], (width, height)),
            None if body is None else Keypoints3D(timeline, names, body, "camera"),
            tuple(stored["damaged"].tolist()),
            str(stored["source"]),
        )


_OF_PERSONS = ("points", "body", "place", "look")


def save_people(path: Path, people: People) -> None:
    """Write everybody of one video."""
    count = np.array([len(found) for found in people.points], dtype=np.int64)
    own: dict[str, Any] = {"names": people.names, "frame": people.frame, "count": count}
    own |= {"damaged": np.array(people.damaged, dtype=np.int64), "source": people.source}
    own |= {"notes": np.array(people.notes, dtype=np.str_)}
    own["findings"] = json.dumps([found.to_json() for found in people.findings])
    for name in _OF_PERSONS:
        if (found := getattr(people, name)) is not None and len(found):
            own[name] = np.concatenate(found)
    if (guess := people.guess) is not None:
        own["guess"] = json.dumps([guess.count, dict(guess.off), guess.persons])
    save_arrays(path, own)


def load_people(path: Path) -> People:
    """Read what `save_people` wrote."""
    with _left_by_kinefit(path):
        stored = load_arrays(path)
        ends = np.cumsum(stored["count"])[:-1]
        each = {n: tuple(np.split(stored[n], ends)) for n in _OF_PERSONS if n in stored}
        each.setdefault("points", ())  # of a video without frames, or in which nobody is
        names, damaged = tuple(stored["names"].tolist()), tuple(stored["damaged"].tolist())
        source, notes = str(stored["source"]), tuple(stored["notes"].tolist())
        findings = tuple(Finding.from_json(f) for f in json.loads(str(stored["findings"])))
        guess = KeypointSetGuess(*json.loads(str(stored["guess"]))) if "guess" in stored else None
        if guess is not None and names not in [s.points for s in guess.sets]:
            raise ValueError(f"its names are of no set of {guess.count} points")
        return People(
            names, stored["frame"], **each, damaged=damaged, source=source, notes=notes,
            findings=findings, guess=guess,
        )  # fmt: skip


def save_markers(path: Path, values: Markers | JointAngles) -> None:
    """Write Markers or JointAngles."""
    own = {field.name: getattr(values, field.name) for field in fields(values)}
    timeline = own.pop("timeline")
    save_arrays(path, {"frame": timeline.frame, "time": timeline.time, **own})


save_angles = save_markers


def load_markers(path: Path) -> Markers:
    """Read the Markers that `save_markers` wrote."""
    with _left_by_kinefit(path):
        return Markers(**_timed(path))


def load_angles(path: Path) -> JointAngles:
    """Read what `save_angles` wrote."""
    with _left_by_kinefit(path):
        return JointAngles(**_timed(path))


def _timed(path: Path) -> dict[str, Any]:
    stored: dict[str, Any] = load_arrays(path)
    if (found := stored["frame"]).dtype.kind not in "iu":
        raise ValueError(f"its frames are {found.dtype}")
    timeline = Timeline(stored.pop("frame"), stored.pop("time"))
    return stored | {"timeline": timeline, "names": tuple(stored["names"].tolist())}
