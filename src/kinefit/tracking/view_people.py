"""One person's points in every view, where a detector lists everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kinefit.io.people import People
from kinefit.tracking.identity import find_people
from kinefit.tracking.image_people import ImagePerson, people_in_view
from kinefit.types import (
    CameraRig,
    FloatArray,
    IntArray,
    Keypoints2D,
    Keypoints3D,
    PoseTrack,
    Timeline,
)


@dataclass(frozen=True, eq=False)
class ViewPeople:
    """Everybody in the video of one camera.

    people: in the frames that show anybody. timeline: T frames, all that are looked at.
    image_size: (width, height) pixels.
    """

    people: People
    timeline: Timeline
    image_size: tuple[int, int]

    @cached_property
    def points(self) -> list[FloatArray]:
        """(N, J, 3) x, y and score of everybody, in each of the T frames."""
        return self._each(self.people.points, np.empty((0, len(self.people.names), 3)))

    @cached_property
    def persons(self) -> tuple[ImagePerson, ...]:
        """Who is who in this view alone, the subject first."""
        looks = self.people.look
        seen = None if looks is None else self._each(looks, np.empty((0, 1, 3)))
        return people_in_view(self.points, self.timeline.time, seen)

    def subject(self) -> PoseTrack:
        """The track of who is the subject in this view alone; of nobody where it shows nobody."""
        nobody = np.full(len(self.timeline), -1)
        return self.track(self.persons[0].place if self.persons else nobody)

    def track(self, chosen: IntArray) -> PoseTrack:
        """The persons in places `chosen` (T,) of each frame as one; NaN where it is -1."""
        names = self.people.names
        points = self._of(self.points, chosen, (len(names), 3))
        image = Keypoints2D(self.timeline, names, points[..., :2], points[..., 2], self.image_size)
        body = None
        if self.people.body is not None:
            each = self._each(self.people.body, np.empty((0, len(names), 3)))
            xyz = self._of(each, chosen, (len(names), 3))
            body = Keypoints3D(self.timeline, names, xyz, "camera")
        damaged = set(self.people.damaged) & set(self.timeline.frame.tolist())
        return PoseTrack(image, body, tuple(sorted(damaged)), self.people.source)

    def places(self, chosen: IntArray) -> FloatArray | None:
        """(T, 4) where those persons are, as in `kinefit.detect.blazepose`; NaN where `chosen` is
        -1, None where the detector has no places."""
        if self.people.place is None:
            return None
        return self._of(self._each(self.people.place, np.empty((0, 4))), chosen, (4,))

    def _each(self, found: Sequence[FloatArray], nobody: FloatArray) -> list[FloatArray]:
        """What there is of each frame of the timeline."""
        there = dict(zip(self.people.frame.tolist(), found, strict=True))
        return [there.get(frame, nobody) for frame in self.timeline.frame.tolist()]

    def _of(
        self, each: Sequence[FloatArray], chosen: IntArray, shape: tuple[int, ...]
    ) -> FloatArray:
        out = np.full((len(self.timeline), *shape), np.nan)
        for row in np.flatnonzero(chosen >= 0).tolist():
            out[row] = each[row][chosen[row]]
        return out


def people_in_views(
    rig: CameraRig, views: Mapping[str, ViewPeople], offsets_s: FloatArray
) -> list[dict[str, IntArray]]:
    """Everybody whom two cameras see, the subject first: camera -> (T,) the person's place in the
    lists of its frames, -1 where they are not.

    views: of all cameras of the rig, in its order. offsets_s: (C,) seconds to add to each camera's
    clock, which counts from the first frame of its video.
    """
    clocks = [v.timeline.time + o for v, o in zip(views.values(), offsets_s, strict=True)]
    moments = _moments(clocks)
    frames = [_nearest(clock, moments) for clock in clocks]
    names = next(iter(views.values())).people.names
    nobody = np.empty((0, len(names), 3))
    lists = [
        [view.points[row] if row >= 0 else nobody for row in rows.tolist()]
        for view, rows in zip(views.values(), frames, strict=True)
    ]
    found = []
    for person in find_people(rig, names, lists, moments):
        places = {}
        for (name, view), rows, place in zip(views.items(), frames, person.place, strict=True):
            chosen = np.full(len(view.timeline), -1)
            seen = (rows >= 0) & (place >= 0)  # of two moments in a frame one may miss
            chosen[rows[seen]] = place[seen]
            places[name] = chosen
        found.append(places)
    return found


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
