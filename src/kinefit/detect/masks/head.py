"""Masks of a person's head, hair and headwear included, through a video.

Step by step, each with a confidence and a fallback to the one before it:

- keypoints: an ellipse around the skull, from the pose (`head_pose`);
- face: a face detector on a crop around it moves and sizes the ellipse, by confidence;
- hair: all of the person that is nearer to the skull than to trunk and arms, and above the chin;
  below the chin, hair that continues it, by colour and texture (`hair`), when its size is possible;
- tracking: the head's size, place and colours are carried over frames, so that profiles and backs
  profit from what was seen from the front, and masks that follow each other are averaged.

Everything happens in the region of the person's mask, at its resolution, in a window around the
head: the time does not depend on the size of the picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain, pairwise, repeat
from typing import Literal, Protocol, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.detect.blazepose import NAMES
from kinefit.detect.masks.face import SIDE, FaceNetwork
from kinefit.detect.masks.hair import (
    Class,
    HairColours,
    connected,
    features,
    hanging_hair,
    looks_like_skin,
)
from kinefit.detect.masks.head_pose import HeadPose, combined, pose_from_face, pose_from_points
from kinefit.io.video import Picture
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData, PersonMasks

Step = Literal["keypoints", "face", "hair", "tracking"]
STEPS: tuple[Step, ...] = get_args(Step)

# In heights of the head, chin to crown, from its centre. Chosen on scenes that no benchmark uses.
_WINDOW = (-1.6, -1.5, 1.6, 2.8)  # left, up, right, down: hair halfway down the back, and the waist
# The cut below chin and nape: lower from the front than from behind, lower in front of the ears.
_CHIN, _CHIN_FRONT, _CHIN_TILT = 0.46, 0.3, 1.0
_JAW, _JAW_WIDE = 0.2, 0.05  # below the ears, only what is this near to the skull is of it
_INNER = 0.3  # above, the skull's ellipse is of the head also where an arm is near
_FACE_CROP = 1.0  # half of the side of the square in which a face is searched
_FACE_OVAL = (0.30, 0.34)  # half axes of the face, around the middle of eyes and mouth
_LIMBS = (
    ("LShoulder", "RShoulder", 0.10),
    *((f"{s}Shoulder", f"{s}Elbow", 0.20) for s in "LR"),
    *((f"{s}Elbow", f"{s}Wrist", 0.16) for s in "LR"),
    *((f"{s}Wrist", f"{s}Index", 0.22) for s in "LR"),
    *((f"{s}Shoulder", f"{s}Hip", 0.20) for s in "LR"),
)  # with the radius
_REACH = 2.3  # of hair
_NECK = 0.4  # from the skull to the collar
_HANGS = 0.8  # what ends above it is the neck, if the skin's colour is not known
_NO_HAIR: tuple[Class, ...] = ("clothes", "skin")
_ARM = 0.13  # half the width of an arm that may hide the head
_LEAK = 0.3  # of these, at most, a network may call hair
_IN_MASK = 128  # of 255: a pixel of the person
_LARGEST = 4.5  # area of all that is of the head over the skull's: hair to the waist
_GROWS = 2.0  # times the median of frames before, that this may be: people turn
_REMEMBERED = 9  # frames
_EMPTY = 0.15  # share of the skull's ellipse that must be in the person's mask
_CARRIED = 0.8  # of confidence, for each frame without points
_LOST = 0.1  # confidence under which a head is no longer carried
_SIZE_MEMORY, _MASK_MEMORY = 0.8, 0.3  # weights of what was before
_I = {name: i for i, name in enumerate(NAMES)}


class HairNetwork(Protocol):
    """A network of the user's that tells hair, in any region of a picture."""

    def __call__(self, rgb: Picture, into: FloatArray, side: int) -> NDArray[np.float32]:
        """(side, side) 0..1 that it is hair; into: (2, 3) from its pixels to those of `rgb`."""
        ...


@dataclass(frozen=True, eq=False)
class HeadMasks:
    """masks: of the head, in the regions of the person's. step_confidence: (N, 4) of each of
    `STEPS`, NaN where a step did not run or had nothing to say."""

    masks: PersonMasks
    step_confidence: FloatArray


def head_masks(
    pictures: Iterable[Picture | None],
    points: FloatArray,
    persons: PersonMasks,
    *,
    steps: Iterable[Step] = STEPS,
    hair: HairNetwork | None = None,
) -> HeadMasks:
    """The head in each frame of a person's masks.

    pictures: (H, W, 3) RGB of the frames `persons.frame`, in their order; None for one that could
    not be read. They are asked for one by one, and none is kept.
    points: (N, 33, 3) x, y in pixels and score of blazepose33. steps: which to do; "keypoints"
    always is. hair: a network that tells hair, in place of colours.

    A frame in which no head is found has confidence 0, with the reason; none ends the clip.
    Raises InvalidData when points and masks have different numbers of frames.
    """
    if len(points) != len(persons) or points.shape[1:] != (len(NAMES), 3):
        raise InvalidData(f"Points {points.shape} do not go with {len(persons)} masks.")
    finder = _Finder(frozenset(steps), hair)
    grey = np.zeros_like(persons.grey)
    said = np.full((len(persons), len(STEPS)), np.nan)
    confidence, reasons = np.zeros(len(persons)), [""] * len(persons)
    given = chain(pictures, repeat(None))
    for i in range(len(persons)):
        frame = _Frame.of(next(given), points[i], persons, i)
        if isinstance(frame, str):
            reasons[i] = frame
            continue
        try:
            grey[i], said[i], confidence[i], reasons[i] = finder.next(frame)
        except (cv2.error, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            # A picture of an odd shape, say. The clip's other frames are as good as before.
            grey[i], reasons[i] = 0, f"the head could not be looked for ({error})"
    masks = replace(persons, grey=grey, confidence=confidence, reason=tuple(reasons))
    return HeadMasks(masks, said)


@dataclass(frozen=True, eq=False)
class _Frame:
    """One frame of a person. points: (33, 3) in pixels of the region."""

    number: int
    rgb: Picture | None
    points: FloatArray
    person: NDArray[np.uint8]
    into: FloatArray
    confidence: float

    @classmethod
    def of(
        cls, rgb: Picture | None, points: FloatArray, persons: PersonMasks, i: int
    ) -> _Frame | str:
        """The frame, or why there is nothing to look for."""
        into, sure = persons.into[i], float(persons.confidence[i])
        if sure <= 0:
            return persons.reason[i] or "there is no mask of the person"
        if not (np.isfinite(into).all() and np.linalg.det(into[:, :2]) > 0):
            return "the region of the person's mask is not known"
        inverse = cv2.invertAffineTransform(into)
        local = np.column_stack([points[:, :2] @ inverse[:, :2].T + inverse[:, 2], points[:, 2]])
        return cls(int(persons.frame[i]), rgb, local, persons.grey[i], into, sure)


@dataclass(frozen=True, eq=False)
class _Window:
    """A part of a region. x, y: (H, W) float32 to the right of the head's centre and down from it,
    in heights of the head. at: its rows and columns. corner: (2,) its first pixel. height: of the
    head, pixels."""

    at: tuple[slice, slice]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    corner: FloatArray
    height: float

    @classmethod
    def around(cls, pose: HeadPose, side: int) -> _Window:
        left, top, right, bottom = np.array(_WINDOW) * pose.height + [*pose.centre, *pose.centre]
        rows, columns = (
            np.arange(max(int(low), 0), min(int(high) + 1, side))
            for low, high in ((top, bottom), (left, right))
        )
        if min(len(rows), len(columns)) < 3:
            raise ValueError("it is outside the region of the person's mask")
        u = columns.astype(np.float32) - np.float32(pose.centre[0])
        v = rows.astype(np.float32)[:, None] - np.float32(pose.centre[1])
        across, down = pose.axes().astype(np.float32)
        at = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        corner = np.array([columns[0], rows[0]], float)
        x, y = across[0] * u + across[1] * v, down[0] * u + down[1] * v
        return cls(at, x, y, corner, pose.height)

    def line(self, a: FloatArray, b: FloatArray, width: float) -> NDArray[np.uint8]:
        """(H, W) 1 on the line a-b, (2,) pixels of the region; width: heights of the head."""
        drawn = np.zeros(self.x.shape, np.uint8)
        ends = [((p - self.corner) * 16).round().clip(-30_000, 30_000).astype(int) for p in (a, b)]
        thick = max(round(width * self.height), 1)
        return np.asarray(cv2.line(drawn, ends[0].tolist(), ends[1].tolist(), 1, thick, shift=4))


class _Finder:
    """Goes from frame to frame."""

    def __init__(self, steps: frozenset[Step], hair: HairNetwork | None) -> None:
        self._steps, self._hair = steps, hair
        self._faces = FaceNetwork() if "face" in steps else None
        self._colours = HairColours()
        self._track: _Track | None = None
        self._areas: deque[float] = deque(maxlen=_REMEMBERED)

    def next(self, frame: _Frame) -> tuple[NDArray[np.uint8], FloatArray, float, str]:
        """The mask (S, S), the confidence of each step, of the mask, and the reason."""
        steps, reasons = np.full(len(STEPS), np.nan), []
        if frame.rgb is None:
            reasons.append("the picture could not be read")
        pose = pose_from_points(frame.points, len(frame.person))
        steps[0] = pose.confidence if pose else 0.0
        if pose is not None and self._faces is not None and frame.rgb is not None:
            face = _face(self._faces, frame.rgb, frame.into, pose)
            steps[1] = face.confidence if face else 0.0
            pose = combined(pose, face)
        if "tracking" in self._steps:
            pose, steps[3] = self._carried(frame, pose)
        if pose is None:
            return self._nothing(frame, steps, "points of the head are missing")
        if steps[0] == 0:
            reasons.append("points of the head are missing: its place is that of frames before")
        return self._cut(frame, pose, steps, reasons)

    def _cut(
        self, frame: _Frame, pose: HeadPose, steps: FloatArray, reasons: list[str]
    ) -> tuple[NDArray[np.uint8], FloatArray, float, str]:
        window = _Window.around(pose, len(frame.person))
        person = frame.person[window.at] >= _IN_MASK
        skull = np.hypot(window.x * (pose.height / pose.width), window.y) < 0.5
        filled = float(person[skull].mean()) if skull.any() else 0.0
        if filled < _EMPTY:
            return self._nothing(frame, steps, "the person's mask is empty where the head is")
        head, confidence = skull & person, pose.confidence * filled
        if "hair" in self._steps:
            head, steps[2], why = self._with_hair(frame, pose, window, person, skull)
            confidence *= 0.75 + 0.25 * steps[2]
            reasons += [why] if why else []
        soft = cv2.GaussianBlur(head.astype(np.float32), (0, 0), 0.6)
        grey = np.zeros_like(frame.person)
        grey[window.at] = np.minimum(soft * 255, frame.person[window.at])
        if "tracking" in self._steps:
            grey = self._averaged(frame, pose, grey)
        confidence = float(np.clip(confidence * frame.confidence, 0.01, 1))
        if not reasons:
            reasons.append(_doubt(steps, confidence))
        return grey, steps, confidence, "; ".join(reasons)

    def _with_hair(
        self, frame: _Frame, pose: HeadPose, window: _Window, person: BoolArray, skull: BoolArray
    ) -> tuple[BoolArray, float, str]:
        """The head with hair, how sure, and what was wrong."""
        limbs = _limbs(frame.points, window)
        front = float(np.clip(pose.facing[1], -0.4, 0.4))
        cut = _CHIN + _CHIN_FRONT * front + _CHIN_TILT * pose.facing[0] * window.x
        above = person & (window.y < cut)
        to_skull = np.hypot(window.x * (pose.height / pose.width), window.y) - 0.5
        free = above & ((to_skull < limbs) | (skull & (window.y < _INNER)))
        free &= (window.y < _JAW) | (to_skull < _JAW_WIDE)
        core = connected(free, skull & free)
        full = np.count_nonzero(skull)
        if np.count_nonzero(core) > _LARGEST * full:
            return skull & person, 0.2, "the person's mask is too large around the head"
        if frame.rgb is None:
            return core, 0.5, ""
        below = person & ~core & (window.y < _REACH)
        neck = (limbs > 0) & (to_skull < _NECK)
        core, grown, sure, why = self._by_colour(frame, pose, window, core, below, neck)
        area = np.count_nonzero(core | grown) / full
        usual = float(np.median(self._areas)) if len(self._areas) > 2 else _LARGEST
        if "tracking" in self._steps:
            self._areas.append(min(area, _LARGEST))
        if area > min(_LARGEST, _GROWS * usual):
            return core, 0.3, "what looks like hair below the chin is too large to be hair"
        return core | grown, sure, why

    def _by_colour(
        self,
        frame: _Frame,
        pose: HeadPose,
        window: _Window,
        core: BoolArray,
        below: BoolArray,
        neck: BoolArray,
    ) -> tuple[BoolArray, BoolArray, float, str]:
        """The head without an arm before its hair, the hair that hangs below the chin, how sure."""
        assert frame.rgb is not None
        person = frame.person[window.at] >= _IN_MASK
        known, arms = _known(frame, pose, window, core, person)
        failed = ""
        if self._hair is not None:
            try:
                hair = self._hair(frame.rgb, frame.into, len(frame.person))[window.at] >= 0.5
                leak = max(
                    (float(hair[known[n]].mean()) for n in _NO_HAIR if known[n].any()), default=0.0
                )
                if leak <= _LEAK:
                    return core, connected(hair & below, core), 1 - leak, ""
                failed = f"the hair network calls {100 * leak:.0f} % of clothes or face hair; "
            except Exception as error:  # it is the user's: anything can happen
                failed = f"the hair network failed ({error}); "
        bins = features(_cut_out(frame.rgb, frame.into, window.at))
        colours = self._colours if "tracking" in self._steps else HairColours()
        samples = {name: bins[at] for name, at in known.items()}
        samples["skin"] = np.concatenate([samples["skin"], _hands(frame, pose)])
        colours.learn(samples)
        core = core & ~(arms & looks_like_skin(bins, colours))
        grown, sure, why = hanging_hair(bins, colours, core, below, neck)
        if "skin" not in colours.counts and not (grown & (window.y > _HANGS)).any():
            return core, np.zeros_like(core), 0.8, failed  # the neck, at most
        return core, grown, sure, failed + why

    def _nothing(
        self, frame: _Frame, steps: FloatArray, why: str
    ) -> tuple[NDArray[np.uint8], FloatArray, float, str]:
        return np.zeros_like(frame.person), steps, 0.0, why

    def _carried(self, frame: _Frame, pose: HeadPose | None) -> tuple[HeadPose | None, float]:
        """The pose with what is known from frames before, and how sure these were."""
        track, self._track = self._track, None
        past = track.at(frame) if track else None
        if pose is None:
            pose = past if past and past.confidence > _LOST else None
        elif past is not None:
            weight = _SIZE_MEMORY * past.confidence / (past.confidence + pose.confidence)
            height = pose.height ** (1 - weight) * past.height**weight
            pose = replace(pose, height=height, width=pose.width * height / pose.height)
        if pose is not None:
            self._track = _Track(frame.number, pose, frame.into, track)
        return pose, past.confidence if past else 0.0

    def _averaged(
        self, frame: _Frame, pose: HeadPose, grey: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """The mask with that of the frame before, moved with the head."""
        assert self._track is not None
        before = self._track.before
        if before is not None and before.grey is not None and frame.number - before.number <= 2:
            back = np.linalg.solve(before.pose.axes(), pose.axes())
            into = np.column_stack([back, before.pose.centre - back @ pose.centre])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            moved = cv2.warpAffine(before.grey, into, grey.shape, flags=flags)
            mean = cv2.addWeighted(grey, 1 - _MASK_MEMORY, moved, _MASK_MEMORY, 0)
            grey = np.minimum(mean, frame.person)
        self._track.grey, self._track.before = grey, None
        return grey


@dataclass
class _Track:
    """A head in the last frame. before: the one before it, until the masks are averaged."""

    number: int
    pose: HeadPose
    into: FloatArray
    before: _Track | None
    grey: NDArray[np.uint8] | None = None

    def at(self, frame: _Frame) -> HeadPose:
        """The head in the region of a later frame, if it has stayed where it was."""
        inverse = cv2.invertAffineTransform(frame.into)
        turn = inverse[:, :2] @ self.into[:, :2]
        shift = inverse[:, :2] @ self.into[:, 2] + inverse[:, 2]
        scale = float(np.sqrt(np.linalg.det(turn)))
        kept = _CARRIED ** max(frame.number - self.number, 1)
        return replace(
            self.pose,
            centre=turn @ self.pose.centre + shift,
            up=turn @ self.pose.up / scale,
            height=self.pose.height * scale,
            width=self.pose.width * scale,
            confidence=self.pose.confidence * kept,
        )


def _doubt(steps: FloatArray, confidence: float) -> str:
    """Why a mask with which nothing was wrong is not quite sure."""
    if confidence < 0.5:
        return "the pose's points of the head do not agree with each other"
    if steps[1] == 0:
        return "no face was found: the head is seen from the side or from behind"
    return "points of the head, face or hair are not quite sure"


def _face(network: FaceNetwork, rgb: Picture, into: FloatArray, pose: HeadPose) -> HeadPose | None:
    """The head of the surest face around the place that the pose says."""
    step = np.column_stack([pose.right, -pose.up]) * (2 * _FACE_CROP * pose.height / SIDE)
    own = np.column_stack([step, pose.centre - step.sum(axis=1) * (SIDE - 1) / 2])
    for face in network(rgb, into @ np.vstack([own, [0, 0, 1]])):
        if (head := pose_from_face(face, own, pose)) is not None:
            return head
    return None


def _limbs(points: FloatArray, window: _Window) -> NDArray[np.float32]:
    """(H, W) distance from trunk and arms, in heights of the head."""
    drawn = np.ones(window.x.shape, np.uint8)
    for first, second, radius in _LIMBS:
        a, b = points[_I[first], :2], points[_I[second], :2]
        if np.isfinite([*a, *b]).all():
            drawn[window.line(a, b, 2 * radius) > 0] = 0
    distance = cv2.distanceTransform(drawn, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(distance / np.float32(window.height))


def _arms(points: FloatArray, window: _Window) -> BoolArray:
    """(H, W) where arms are."""
    arms = np.zeros(window.x.shape, bool)
    for s in "LR":
        ends = [points[_I[f"{s}{n}"], :2] for n in ("Shoulder", "Elbow", "Wrist", "Index")]
        for a, b in pairwise(ends):
            if np.isfinite([*a, *b]).all():
                arms |= window.line(a, b, 2 * _ARM) > 0
    return arms


def _cut_out(rgb: Picture, into: FloatArray, at: tuple[slice, slice]) -> Picture:
    """That part of a region's picture."""
    rows, columns = at
    shifted = into.copy()
    shifted[:, 2] += into[:, :2] @ [columns.start, rows.start]
    size = (columns.stop - columns.start, rows.stop - rows.start)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(rgb, shifted, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    )


def _hands(frame: _Frame, pose: HeadPose) -> IntArray:
    """Features of the middles of the hands: skin that is seen from behind, too."""
    assert frame.rgb is not None
    found, half = [np.zeros(0, np.int64)], max(round(0.12 * pose.height), 2)
    for s in "LR":
        middle = (frame.points[_I[f"{s}Wrist"], :2] + frame.points[_I[f"{s}Index"], :2]) / 2
        if np.isfinite(middle).all() and (abs(middle) < 2 * len(frame.person)).all():
            x, y = (int(v) for v in middle)
            at = slice(y - half, y + half + 1), slice(x - half, x + half + 1)
            if min(y, x) >= half and max(y, x) < len(frame.person) - half:
                bins = features(_cut_out(frame.rgb, frame.into, at))
                found.append(bins[frame.person[at] >= _IN_MASK])
    return np.concatenate(found)


def _known(
    frame: _Frame, pose: HeadPose, window: _Window, core: BoolArray, person: BoolArray
) -> tuple[dict[Class, BoolArray], BoolArray]:
    """Pixels of which the pose tells what they are, and where an arm may hide hair."""
    x, y = window.x, window.y
    front = np.hypot(
        (x - 0.7 * np.float32(pose.facing[0])) / _FACE_OVAL[0], (y - 0.2) / _FACE_OVAL[1]
    )
    behind = pose.seen_from_behind
    arms = _arms(frame.points, window)
    known: dict[Class, BoolArray] = {
        "hair": core & ~arms & (y < (0.3 if behind else 0.1)) & (behind | (front > 1.15)),
        "clothes": person & (y > _REACH),
        "skin": core & (front < 0.55) & (not behind),
    }
    for s in "LR":
        a, b = frame.points[_I[f"{s}Shoulder"], :2], frame.points[_I[f"{s}Elbow"], :2]
        if np.isfinite([*a, *b]).all():
            sleeve = window.line((a + b) / 2, b, 0.24) > 0
            known["clothes"] |= person & sleeve & (y > 0.6)
    return known, arms & ((front > 1) | behind)
