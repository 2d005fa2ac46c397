"""The project's types as .npz files, for one stage to hand to the next.

Plain arrays only (no pickle); the bytes depend on the values alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.io.atomic import atomic_path
from kinefit.io.people import People
from kinefit.types import (
    JointAngles,
    Keypoints2D,
    Keypoints3D,
    Markers,
    PoseTrack,
    Timeline,
)

Arrays = dict[str, NDArray[Any]]


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write named arrays (None is left out), atomically."""
    kept: Any = {name: np.asarray(value) for name, value in arrays.items() if value is not None}
    assert all(value.dtype != object for value in kept.values())  # would be pickled
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **kept)


def load_arrays(path: Path) -> Arrays:
    """Read what `save_arrays` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def save_track(path: Path, track: PoseTrack) -> None:
    """Write a PoseTrack."""
    save_arrays(
        path,
        {
            **_timed(track.image.timeline, track.image.names),
            "xy": track.image.xy,
            "score": track.image.score,
            "image_size": np.array(track.image.image_size),
            "body": None if track.body is None else track.body.xyz,
            "damaged": np.array(track.damaged, dtype=np.int64),
            "source": np.array(track.source),
        },
    )


def load_track(path: Path) -> PoseTrack:
    """Read what `save_track` wrote."""
    stored = load_arrays(path)
    timeline, names = _timeline(stored), _names(stored)
    width, height = stored["image_size"].tolist()
    body = stored.get("body")
    return PoseTrack(
        Keypoints2D(timeline, names, stored["xy"], stored["score"], (width, height)),
        None if body is None else Keypoints3D(timeline, names, body, "camera"),
        tuple(stored["damaged"].tolist()),
        str(stored["source"]),
    )


def save_people(path: Path, people: People) -> None:
    """Write everybody of one video."""
    counts = np.array([len(points) for points in people.points], dtype=np.int64)
    nobody = np.empty((0, len(people.names), 3))
    save_arrays(
        path,
        {
            "names": np.array(people.names),
            "frame": people.frame,
            "count": counts,
            "points": np.concatenate([nobody, *people.points]),
        },
    )


def load_people(path: Path) -> People:
    """Read what `save_people` wrote."""
    stored = load_arrays(path)
    points = np.split(stored["points"], np.cumsum(stored["count"])[:-1])
    return People(_names(stored), stored["frame"], tuple(points))


def save_markers(path: Path, markers: Markers) -> None:
    """Write Markers."""
    save_arrays(
        path,
        {
            **_timed(markers.timeline, markers.names),
            "xyz": markers.xyz,
            "estimated": markers.estimated,
            "sd": markers.sd,
        },
    )


def load_markers(path: Path) -> Markers:
    """Read the Markers that `save_markers` wrote."""
    stored = load_arrays(path)
    return Markers(
        _timeline(stored), _names(stored), stored["xyz"], stored["estimated"], stored.get("sd")
    )


def save_angles(path: Path, angles: JointAngles) -> None:
    """Write JointAngles."""
    save_arrays(
        path,
        {
            **_timed(angles.timeline, angles.names),
            "degrees": angles.degrees,
            "gimbal": angles.gimbal,
            "sd": angles.sd,
        },
    )


def load_angles(path: Path) -> JointAngles:
    """Read what `save_angles` wrote."""
    stored = load_arrays(path)
    return JointAngles(
        _timeline(stored), _names(stored), stored["degrees"], stored["gimbal"], stored.get("sd")
    )


def _timed(timeline: Timeline, names: tuple[str, ...]) -> Arrays:
    return {"frame": timeline.frame, "time": timeline.time, "names": np.array(names)}


def _timeline(stored: Arrays) -> Timeline:
    return Timeline(stored["frame"], stored["time"])


def _names(stored: Arrays) -> tuple[str, ...]:
    return tuple(stored["names"].tolist())
