"""Everybody that a 2D pose program found, frame by frame, and what its JSON files share.

Choosing the person comes later; here untrusted JSON becomes checked arrays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kinefit.io.text import decode, json_value, read_bytes
from kinefit.skeletons import KeypointSet, KeypointSetGuess, keypoint_sets
from kinefit.types import Finding, FloatArray, InputError, IntArray, InvalidData, NobodyFound
from kinefit.types.arrays import check_names, freeze, freeze_arrays, frozen_array

MAX_JSON_BYTES = 2**29  # about a million persons of 26 points; parsed it takes ten times that
_LARGEST = 1e6  # pixels; no image is that wide, so a larger number is damage
_PERCENT = 10.0  # scores of some older models go to 3 or so; above this they are percent
_MOST_PCT = 99  # of the scores of a file; the others may be damaged
# Coordinates as shares of the picture end at 0 and 1; a point may lie a little outside, but not as
# far as in a picture that goes from -1 to 1.
SHARE_LOW, SHARE_HIGH = -0.02, 1.1
_LAST_FRAME = 10**9
_TRAILING_NUMBER = re.compile(r"(\d+)\D*$")
# Of a file's name, so that the 4 of ".mp4" is no frame; a dot before the number is none of these.
_ENDINGS = re.compile(r"(\.(json|jpe?g|png|bmp|tiff?|webp|mp4|m4v|mov|avi|mkv|webm))+$", re.I)


@dataclass(frozen=True, eq=False)
class People:
    """Persons per frame of one video, in no particular order.

    names: J point names as in `kinefit.skeletons`.
    frame: (F,) frame numbers counted from 0, strictly increasing; a frame that the files do
        not mention is absent, one in which nobody was found has N = 0.
    points: per frame (N, J, 3): x, y in pixels as the program wrote them, score 0..1 (what is
        above 1 counts as 1); all three are NaN where the program found nothing (score 0).
    body: per frame (N, J, 3) metres, camera axes, from the mid-hip; None: of image points only.
    place: per frame (N, 4) as in `kinefit.detect.blazepose`; None where the detector has none.
    look: per frame (N, P, 3) CIELAB of P parts of the body, NaN where unknown; None: all unknown.
    damaged: frames that could not be decoded. source: what found them, for provenance.
    notes: what was assumed about them, a sentence each. findings: what may be wrong. guess: how
        `names` were told, where the points of a file have none and the user named no set.
    """

    names: tuple[str, ...]
    frame: IntArray
    points: tuple[FloatArray, ...]
    body: tuple[FloatArray, ...] | None = None
    place: tuple[FloatArray, ...] | None = None
    look: tuple[FloatArray, ...] | None = None
    damaged: tuple[int, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    guess: KeypointSetGuess | None = None

    def __post_init__(self) -> None:
        freeze(self, names=check_names("People", self.names))
        freeze_arrays(self, np.int64, frame=(len(self.points),))
        if (np.diff(self.frame, prepend=-1) <= 0).any():
            raise InvalidData("People.frame must increase from 0 or later.")
        each = (None, len(self.names), 3)
        for name, shape in (
            ("points", each), ("body", each), ("place", (None, 4)), ("look", (None, None, 3)),
        ):  # fmt: skip
            if (found := getattr(self, name)) is not None:
                frozen = tuple(frozen_array("People", name, p, shape) for p in found)
                if [len(p) for p in frozen] != [len(p) for p in self.points]:
                    raise InvalidData(f"People.{name} must be of the same persons as points.")
                freeze(self, **{name: frozen})


class Person(NamedTuple):
    """One entry of `file` before it is checked: `keypoints` is x1, y1, score1, x2, ..."""

    file: Path
    frame: int
    keypoints: Any

    def wrong(self, reason: str, hint: str) -> InputError:
        return InputError(self.file, f"frame {self.frame}: {reason}", hint)


def read_json(path: Path) -> Any:
    """Parsed JSON of a size-limited file; raises InputError."""
    content = read_bytes(path, MAX_JSON_BYTES)
    try:
        return json_value(decode(content))
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"is not valid JSON ({error})", "export it again") from error


def collect(
    source: Path, persons: Iterable[Person], frames: Iterable[int], keypoint_set: str | None = None
) -> People:
    """The persons of all frames as one checked value.

    frames: frame numbers that the source lists, with or without persons. keypoint_set: the set of
    points by name (`kinefit.skeletons.keypoint_sets`); None: by their number and by anatomy.

    A person without a single found point is left out. Raises InputError naming the file and
    the frame for anything that is not a list of finite, believable numbers of one length, and
    NobodyFound when nobody is found at all.
    """
    found: dict[int, list[FloatArray]] = {f: [] for f in frames}
    count = 0
    for person in persons:
        points = _points(person)
        count = count or len(points)
        if len(points) != count:
            reason = f"{len(points)} keypoints, {count} before"
            raise person.wrong(reason, "export all frames with one model")
        if np.isfinite(points).any():
            found.setdefault(person.frame, []).append(points)
    if not any(found.values()):
        raise NobodyFound(source, len(found))
    order = sorted(found)
    notes = _in_shares(source, [p for persons in found.values() for p in persons])
    chosen, guess = _named(source, count, keypoint_set), None
    whole = [np.array(found[f]).reshape(-1, count, 3) for f in order]
    if chosen is None:
        guess = KeypointSetGuess.of(np.concatenate(whole))
        chosen, _ = guess.best
    bodies = tuple(pose[:, : len(chosen.points)] for pose in whole)
    return People(chosen.points, np.array(order), bodies, notes=notes, guess=guess)


def _named(source: Path, count: int, wanted: str | None) -> KeypointSet | None:
    """The set of that name, None where none is asked for; InputError where the number of points is
    another's or no set's."""
    known = {s.name: s for s in keypoint_sets() if count in s.counts}
    if wanted is not None and wanted not in known:
        named = [s for s in keypoint_sets() if s.name == wanted]
        counts = [str(n) for s in named for n in s.counts]
        reason = f"{source.name} has {count} points per person"
        reason += f", that set {' or '.join(counts)}" if named else ", and no set has that name"
        hint = f"give {' or '.join(known) or 'another file'}, or leave it out"
        raise InputError(f"--keypoint-set {wanted}", reason, hint)
    if not known:
        counts = sorted({str(n) for s in keypoint_sets() for n in s.counts}, key=int)
        reason = f"{count} keypoints per person: no known set"
        raise InputError(source, reason, f"export one of {', '.join(counts)} points")
    return None if wanted is None else known[wanted]


def of_one_set(cameras: Mapping[str, People]) -> tuple[dict[str, People], tuple[Finding, ...]]:
    """The people of several cameras with the points of one set, told by all of them together,
    since one program looked at all; and what a reader should know of that.

    Left as they are where any was not guessed, or the numbers of points differ: then each camera
    has findings of its own.
    """
    guesses = {camera: people.guess for camera, people in cameras.items() if people.names}
    known = {camera: guess for camera, guess in guesses.items() if guess is not None}
    if len(known) < len(guesses) or len({guess.count for guess in known.values()}) != 1:
        own = [(camera, found) for camera, guess in known.items() for found in _told_by(guess)]
        return dict(cameras), tuple(replace(f, where=f"Camera {camera}.") for camera, f in own)
    together = KeypointSetGuess.together(list(known.values()))
    names = together.best[0].points
    renamed = {
        camera: replace(people, names=names) if people.names else people
        for camera, people in cameras.items()
    }
    return renamed, _told_by(together)


def _told_by(guess: KeypointSetGuess) -> tuple[Finding, ...]:
    """Nothing where it is surely the commonest set."""
    told, sure = guess.best
    others = [s for s in guess.sets if s != told]
    if sure and told == guess.sets[0]:
        return ()
    what = f"The {guess.count} points per person were taken for those of {told.about} "
    what += f"({told.name}), not {' or '.join(f'{s.about} ({s.name})' for s in others)}"
    if sure:
        return (Finding("information", f"{what}, by the lengths of limbs."),)
    return (
        Finding(
            "caution",
            f"{what}: it is the commonest, and too little of anybody is seen to tell.",
            meaning="If it is another set, points have wrong names, and all numbers are wrong.",
            action="Name the set that the program wrote: "
            + " or ".join(f"--keypoint-set {s.name}" for s in (told, *others)) + ".",
        ),
    )  # fmt: skip


def entries(
    source: Path, value: Any, what: str, hint: str = "check the format"
) -> list[dict[str, Any]]:
    """`value` as a list of JSON objects, or InputError saying what should have been one."""
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise InputError(source, f"{what} is not a list of objects", hint)
    return value


def frame_number(source: Path, value: Any) -> int:
    """A frame number: an integer, or the last number in a file name ("cam1.0012.jpg": 12)."""
    plain = _ENDINGS.sub("", value[-80:]) if isinstance(value, str) else ""
    match = _TRAILING_NUMBER.search(plain)
    number = int(match[1]) if match else value
    if type(number) is not int or not 0 <= number <= _LAST_FRAME:
        reason = f"no frame number in {str(value)[:40]!r}"
        raise InputError(source, reason, "name the images by frame number")
    return number


def _in_shares(source: Path, persons: Sequence[FloatArray]) -> tuple[str, ...]:
    """Bring scores (in place) to 0..1; a note where they are percent.

    Most of a file's tell, so that a single damaged one counts as 1 and changes no other. Raises
    InputError for scores that are not percent either.
    """
    scores = np.concatenate([points[:, 2] for points in persons])
    scores = scores[np.isfinite(scores)]
    middle, most = (float(np.percentile(scores, p, method="lower")) for p in (50, _MOST_PCT))
    percent = middle > 1 and most > _PERCENT
    if percent and most > 100:
        reason = f"its scores, half of them over {middle:.3g}, are neither shares nor percent"
        raise InputError(source, reason, "write scores from 0 to 1")
    for points in persons:
        points[:, 2] = (points[:, 2] / (100 if percent else 1)).clip(0, 1)
    return (f"Scores, up to {most:.3g}, were read as percent.",) if percent else ()


def taken_for_shares() -> Finding:
    """The caution about coordinates that are taken for shares of the picture and may be others."""
    return Finding(
        "caution",
        "Coordinates were taken for shares of the picture's width and height, from 0 to 1.",
        meaning="If they go from -1 to 1 (OpenPose: --keypoint_scale 4), and everybody is in the "
        "lower right quarter of the picture, all points are in wrong places.",
        action="Look at the points in the video. Pixels leave no doubt (OpenPose: "
        "--keypoint_scale 0).",
    )


def _points(person: Person) -> FloatArray:
    """(J, 3) x, y, score as written, NaN where the score is not above 0 or something of the point
    is null or NaN; raises InputError."""
    flat = person.keypoints
    if isinstance(flat, list):
        flat = [float("nan") if n is None else n for n in flat]
    # One pass that refuses text, booleans, nested lists, infinity and 400-digit integers.
    if (
        not isinstance(flat, list)
        or len(flat) % 3
        or not flat
        or not all(type(n) in (int, float) and (n != n or abs(n) <= _LARGEST) for n in flat)
    ):
        reason = "keypoints are not a list of x, y, score numbers"
        raise person.wrong(reason, "the file is damaged or of another format")
    points = np.array(flat, dtype=np.float64).reshape(-1, 3)
    points[~((points[:, 2] > 0) & np.isfinite(points).all(axis=1))] = np.nan
    return points
