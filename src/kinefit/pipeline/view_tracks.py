"""One person's points in every view: as detected, or chosen among everybody by all views."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinefit.io.people import People
from kinefit.io.video import frame_times, probe
from kinefit.pipeline.artifacts import load_people, load_track
from kinefit.pipeline.context import Context
from kinefit.tracking.identity import choose_person, find_people
from kinefit.tracking.image_subject import subject_in_view
from kinefit.types import (
    CameraRig,
    FloatArray,
    IntArray,
    Keypoints2D,
    PoseTrack,
    Timeline,
)


def first_tracks(context: Context) -> dict[str, PoseTrack]:
    """Camera -> one person's points; where a detector found several, who is the subject in that
    view alone (`chosen_tracks` asks all views).
    """
    return {name: _first(context, name) for name in context.job.inputs}


def chosen_tracks(
    context: Context, rig: CameraRig, offsets: FloatArray
) -> tuple[dict[str, PoseTrack], list[str]]:
    """Camera -> the points of the one person that is asked for, and what was chosen, in words.

    offsets: (C,) seconds to add to each camera's clock. With a detector that finds one person
    there is nothing to choose.
    """
    if not context.has_internal(f"people_{rig.names[0]}.npz"):
        return first_tracks(context), []
    everybody = {name: load_people(_people_file(context, name)) for name in rig.names}
    times = {name: frame_times(context.job.inputs[name]) for name in rig.names}
    clocks = [times[n] - times[n][0] + o for n, o in zip(rig.names, offsets, strict=True)]
    grid = _grid(clocks)
    rows = {name: _nearest(clock, grid) for name, clock in zip(rig.names, clocks, strict=True)}
    views = [_lists(everybody[name], rows[name]) for name in rig.names]
    names = everybody[rig.names[0]].names
    paths = find_people(rig, names, views, grid)
    path = choose_person(paths, context.config.person)
    tracks = {}
    for c, name in enumerate(rig.names):
        chosen = np.full(len(times[name]), -1)
        seen = (rows[name] >= 0) & (path.place[c] >= 0)  # of two moments in a frame one may miss
        chosen[rows[name][seen]] = path.place[c][seen]
        tracks[name] = _track(context.job.inputs[name], everybody[name], chosen, times[name])
    number = context.config.person or 1
    return tracks, [
        f"{len(paths)} {'person' if len(paths) == 1 else 'persons'} in the scene; this is number "
        f"{number}, seen in {', '.join(_shares(path.seen, rig.names))}."
    ]


def _shares(seen: FloatArray, names: tuple[str, ...]) -> list[str]:
    return [f"{name} {100 * share:.0f} %" for name, share in zip(names, seen, strict=True)]


def _people_file(context: Context, camera: str) -> Path:
    return context.read_internal(f"people_{camera}.npz")


def _first(context: Context, camera: str) -> PoseTrack:
    if context.has_internal(f"track_{camera}.npz"):
        return load_track(context.read_internal(f"track_{camera}.npz"))
    people, time = (
        load_people(_people_file(context, camera)),
        frame_times(context.job.inputs[camera]),
    )
    chosen = np.full(len(time), -1)
    chosen[people.frame] = subject_in_view(people.points, time[people.frame])
    return _track(context.job.inputs[camera], people, chosen, time)


def _grid(clocks: list[FloatArray]) -> FloatArray:
    """Moments over all recordings at the pace of the fastest camera."""
    step = min(float(np.median(np.diff(clock))) for clock in clocks)
    start, stop = min(c[0] for c in clocks), max(c[-1] for c in clocks)
    return np.asarray(start + step * np.arange(int(np.ceil((stop - start) / step)) + 1))


def _nearest(time: FloatArray, grid: FloatArray) -> IntArray:
    """(T,) the frame of `time` nearest to each moment of `grid`; -1 beyond half a frame."""
    at = np.clip(np.searchsorted(time, grid), 1, len(time) - 1)
    at = at - (grid - time[at - 1] < time[at] - grid)
    far = np.abs(time[at] - grid) > 0.5 * float(np.median(np.diff(time))) * 1.01
    return np.where(far, -1, at)


def _lists(people: People, rows: IntArray) -> list[FloatArray]:
    """Everybody at each moment: (N, J, 3)."""
    at = {int(f): points for f, points in zip(people.frame, people.points, strict=True)}
    nobody = np.empty((0, len(people.names), 3))
    return [at.get(row, nobody) for row in rows.tolist()]


def _track(video: Path, people: People, chosen: IntArray, time: FloatArray) -> PoseTrack:
    """The persons in places `chosen` (T,) of each frame as a track; NaN where it is -1."""
    points = np.full((len(time), len(people.names), 3), np.nan)
    for frame, persons in zip(people.frame.tolist(), people.points, strict=True):
        if chosen[frame] >= 0:
            points[frame] = persons[chosen[frame]]
    image = Keypoints2D(
        Timeline(np.arange(len(time)), time),
        people.names,
        points[..., :2],
        points[..., 2],
        probe(video).size,
    )
    return PoseTrack(image, None, (), "keypoints")
