"""One person's points in every view, where a detector lists everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kinefit.io.people import People
from kinefit.tracking.identity import TrackedPerson, choose_person, find_people
from kinefit.tracking.image_subject import subject_in_view
from kinefit.types import CameraRig, FloatArray, IntArray, Keypoints2D, Timeline


@dataclass(frozen=True, eq=False)
class ViewPeople:
    """Everybody in the video of one camera.

    people: in the frames that show anybody. timeline: F frames of the video, all that are looked
    at. image_size: (width, height) pixels.
    """

    people: People
    timeline: Timeline
    image_size: tuple[int, int]

    def subject(self) -> Keypoints2D:
        """The points of who is the subject in this view alone."""
        chosen, rows = np.full(len(self.timeline), -1), self._rows
        chosen[rows] = subject_in_view(self.people.points, self.timeline.time[rows])
        return self.track(chosen)

    def track(self, chosen: IntArray) -> Keypoints2D:
        """The persons in places `chosen` (F,) of each frame as one; NaN where it is -1."""
        points = np.full((len(self.timeline), len(self.people.names), 3), np.nan)
        for row, persons in zip(self._rows.tolist(), self.people.points, strict=True):
            if chosen[row] >= 0:
                points[row] = persons[chosen[row]]
        xy, score = points[..., :2], points[..., 2]
        return Keypoints2D(self.timeline, self.people.names, xy, score, self.image_size)

    def at(self, rows: IntArray) -> list[FloatArray]:
        """Everybody in these rows of the timeline, (N, J, 3) each; nobody where it is -1."""
        there = dict(zip(self._rows.tolist(), self.people.points, strict=True))
        nobody = np.empty((0, len(self.people.names), 3))
        return [there.get(row, nobody) for row in rows.tolist()]

    @property
    def _rows(self) -> IntArray:
        """Where the frames of `people` stand in the timeline."""
        return np.searchsorted(self.timeline.frame, self.people.frame)


def person_in_views(
    rig: CameraRig, views: Mapping[str, ViewPeople], offsets_s: FloatArray, person: int | None
) -> tuple[dict[str, Keypoints2D], TrackedPerson, int]:
    """Camera -> the points of one person; who that is, and how many people there are.

    views: of all cameras of the rig, in its order. offsets_s: (C,) seconds to add to each camera's
    clock, which counts from the first frame of its video. person: as in `choose_person`.
    """
    clocks = [v.timeline.time + o for v, o in zip(views.values(), offsets_s, strict=True)]
    moments = _moments(clocks)
    frames = [_nearest(clock, moments) for clock in clocks]
    names = next(iter(views.values())).people.names
    lists = [view.at(rows) for view, rows in zip(views.values(), frames, strict=True)]
    everybody = find_people(rig, names, lists, moments)
    found = choose_person(everybody, person)
    tracks = {}
    for (name, view), rows, place in zip(views.items(), frames, found.place, strict=True):
        chosen = np.full(len(view.timeline), -1)
        seen = (rows >= 0) & (place >= 0)  # of two moments in a frame one may miss
        chosen[rows[seen]] = place[seen]
        tracks[name] = view.track(chosen)
    return tracks, found, len(everybody)


def _moments(clocks: Sequence[FloatArray]) -> FloatArray:
    """(T,) moments over all recordings at the pace of the fastest camera."""
    step = min(float(np.median(np.diff(clock))) for clock in clocks)
    start, stop = min(c[0] for c in clocks), max(c[-1] for c in clocks)
    return np.asarray(start + step * np.arange(int(np.ceil((stop - start) / step)) + 1))


def _nearest(time: FloatArray, moments: FloatArray) -> IntArray:
    """(T,) the frame of `time` nearest to each moment; -1 beyond half a frame."""
    at = np.clip(np.searchsorted(time, moments), 1, len(time) - 1)
    at = at - (moments - time[at - 1] < time[at] - moments)
    far = np.abs(time[at] - moments) > 0.5 * float(np.median(np.diff(time))) * 1.01
    return np.where(far, -1, at)
