"""Which person of a recording: in one view, or in all views of a rig together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinefit.tracking.choose import Pointer, box_of, by_number, by_pointer
from kinefit.tracking.identity import check_anybody
from kinefit.tracking.view_people import ViewPeople, people_in_views
from kinefit.types import BoolArray, CameraRig, FloatArray, InputError, IntArray, PoseTrack

# Of everybody's weight in a view: with no second person above it, each view shows one, and there is
# nothing to find out from how the views fit together (which a bad calibration makes impossible).
_SECOND = 0.1


@dataclass(frozen=True, eq=False)
class Candidate:
    """Somebody who can be chosen.

    places: camera -> (T,) where in the lists of its frames they stand, -1 where they do not.
    doubt: camera -> (T,) True where it may be somebody else.
    """

    places: Mapping[str, IntArray]
    doubt: Mapping[str, BoolArray]

    def seen(self) -> dict[str, float]:
        """Camera -> the share of its frames that shows the person."""
        return {name: float((place >= 0).mean()) for name, place in self.places.items()}


@dataclass(frozen=True, eq=False)
class Recorded:
    """Everybody in a recording, the subject first, and who of them is meant."""

    views: Mapping[str, ViewPeople]
    people: tuple[Candidate, ...]
    number: int

    @property
    def chosen(self) -> Candidate:
        return self.people[self.number - 1]

    def tracks(self) -> dict[str, PoseTrack]:
        """Camera -> the chosen person's points."""
        return {n: view.track(self.chosen.places[n]) for n, view in self.views.items()}

    def as_json(self) -> list[dict[str, Any]]:
        """Of each person: the number, how much each camera shows, and where they are seen best."""
        return [
            {
                "number": i + 1,
                "chosen": i + 1 == self.number,
                "seen": {n: round(s, 4) for n, s in person.seen().items()},
                "doubt": {n: int(d.sum()) for n, d in person.doubt.items()},
                "best": self._best(person),
            }
            for i, person in enumerate(self.people)
        ]

    def _best(self, person: Candidate) -> dict[str, Any]:
        """The frame that shows a person largest and surest, and the box there, pixels."""
        best: tuple[float, dict[str, Any]] = (0.0, {})
        for name, view in self.views.items():
            for row in np.flatnonzero(person.places[name] >= 0).tolist():
                pose = view.points[row][person.places[name][row]]
                box = box_of(pose)
                worth = float(np.linalg.norm(box[1] - box[0]) * np.nanmean(pose[:, 2]))
                if worth > best[0]:
                    frame = int(view.timeline.frame[row])
                    time = float(view.timeline.time[row])
                    box_px = [round(c) for c in box.ravel().tolist()]
                    best = worth, {"camera": name, "frame": frame, "time": time, "box": box_px}
        return best[1]


def find_in_view(
    name: str, view: ViewPeople, person: int | None = None, at: Pointer | None = None
) -> Recorded:
    """Everybody in the video of one camera, and who is meant.

    person: counted from 1; at: where they are; neither: the subject. Raises InputError when there
    is nobody, or nobody there.
    """
    people = tuple(Candidate({name: p.place}, {name: p.doubt}) for p in view.persons)
    return _chosen({name: view}, people, person, at)


def find_in_rig(
    rig: CameraRig,
    views: Mapping[str, ViewPeople],
    offsets_s: FloatArray,
    person: int | None = None,
    at: Pointer | None = None,
) -> Recorded:
    """Everybody in the videos of a rig, by all views together, and who is meant.

    views: of all cameras of the rig, in its order. offsets_s: as in `people_in_views`. Raises
    InputError as `find_in_view`.
    """
    shares = [[p.weight for p in view.persons] for view in views.values()]
    alone = all(len(s) < 2 or s[1] < _SECOND * s[0] for s in shares)
    if alone and at is None and person in (None, 1):
        nobody = {n: np.full(len(view.timeline), -1) for n, view in views.items()}
        subject = {n: v.persons[0].place if v.persons else nobody[n] for n, v in views.items()}
        doubt = {
            n: view.persons[0].doubt if view.persons else np.zeros(len(view.timeline), bool)
            for n, view in views.items()
        }
        found = (Candidate(subject, doubt),) if any(shares) else ()
        return _chosen(views, found, person, at)
    people = tuple(
        Candidate(places, {n: np.zeros(len(place), bool) for n, place in places.items()})
        for places in people_in_views(rig, views, offsets_s)
    )
    check_anybody(people)
    return _chosen(views, people, person, at)


def _chosen(
    views: Mapping[str, ViewPeople],
    people: tuple[Candidate, ...],
    person: int | None,
    at: Pointer | None,
) -> Recorded:
    if not people:
        hint = "check that the whole body is in the picture, upright and well lit"
        raise InputError(", ".join(views), "nobody was found for long enough to be followed", hint)
    if at is None:
        return Recorded(views, people, by_number(people, person) + 1)
    name = at.camera_of(list(views))
    view = views[name]
    found = by_pointer(at, view.points, view.timeline, [p.places[name] for p in people])
    return Recorded(views, people, found + 1)
