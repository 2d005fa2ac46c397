"""Where a head is in the region of a person's mask: from the pose's points, and from a face.

The shares below were measured on 128 rendered frames of people without hair that stands out (scenes
of seeds that no benchmark uses), against the axes of the head's true mask. The distance from mouth
to eyes tells the head's height to 8 % from every side, also from behind, where the network only
supposes these points; the distance from ears to shoulders to 22 %, the trunk's length to 20 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kinefit.detect.blazepose import NAMES
from kinefit.detect.masks.face import Face
from kinefit.types import FloatArray

_EYE_MOUTH = 0.235  # of the head's height, chin to crown: from the mouth to the eyes
# From the right ear to the left, and from the ears to the nose, from the front and in profile: with
# these a head that nods, whose mouth comes near to its eyes, is not taken to be small.
_EARS, _NOSE, _NODDING = 0.35, 0.27, 0.85
_CENTRE_UP = 0.11  # of the height: from the middle of the ears up to the head's centre
_SIDE_SHARE = 0.135  # the head's height over the side of a region: median of people who stand
_POINTS_WEIGHT = 0.7  # of mouth and eyes in the height, beside the region's side
_WIDTH = 0.74  # of the height: median over all sides
# The seed's extension of a face's box for hair: of its height upwards, of its width to each side.
_FACE_UP, _FACE_ASIDE = 0.7, 0.3
_HEAD_OF_BOX = (0.97, 0.78)  # height and width of a head over those of the extended box
_SIZE_RATIO = 1.8  # a face whose head would be so many times larger or smaller is another's

_I = {name: i for i, name in enumerate(NAMES)}


@dataclass(frozen=True, eq=False)
class HeadPose:
    """An upright ellipse around a skull, chin to crown, in pixels of a person's region.

    centre: (2,). up: (2,) unit vector from the chin to the crown. height, width: its axes. facing:
    (2,) shares of the height, to the right of `up`: how far the nose is from the ears (0 from the
    front and behind), and the left ear from the right (below 0: from behind). confidence: 0..1.
    """

    centre: FloatArray
    up: FloatArray
    height: float
    width: float
    facing: FloatArray
    confidence: float

    @property
    def right(self) -> FloatArray:
        """(2,) to the right of `up` as the picture shows it."""
        return np.array([-self.up[1], self.up[0]])

    @property
    def seen_from_behind(self) -> bool:
        return bool(self.facing[1] < 0 and abs(self.facing[0]) < 0.15)

    def axes(self) -> FloatArray:
        """(2, 2) rows: to the right and down, from pixels to heights of the head."""
        return np.stack([self.right, -self.up]) / self.height


def pose_from_points(points: FloatArray, side: int) -> HeadPose | None:
    """The head that the pose says; None where points of the head are missing.

    points: (33, 3) x, y in pixels of the region, score. side: of the region.
    """

    def middle(name: str) -> FloatArray:
        return np.asarray((points[_I[f"L{name}"], :2] + points[_I[f"R{name}"], :2]) / 2)

    ears, eyes, mouth, nose = middle("Ear"), middle("Eye"), middle("Mouth"), points[_I["Nose"], :2]
    face = eyes - mouth
    length, expected = float(np.hypot(*face)), _SIDE_SHARE * side
    used = ("Nose", "LEye", "REye", "LEar", "REar", "LMouth", "RMouth")
    score = float(points[[_I[name] for name in used], 2].mean())
    if not np.isfinite([*ears, *face, *nose, score]).all() or length < 1e-6:
        return None
    up = face / length
    right = np.array([-up[1], up[0]])
    across = points[_I["LEar"], :2] - points[_I["REar"], :2]
    turn = np.array([(nose - ears) @ right, across @ right])
    wide = float(np.hypot(turn[0] / _NOSE, turn[1] / _EARS))
    ratio = max(length / _EYE_MOUTH, _NODDING * wide) / expected
    height = expected * float(np.clip(ratio, 0.4, 2.5)) ** _POINTS_WEIGHT
    facing = turn / height
    plausible = float(np.exp(-abs(np.log(ratio))))
    confidence = float(np.clip(score, 0, 1)) * plausible
    centre = ears + _CENTRE_UP * height * up
    return HeadPose(centre, up, height, _WIDTH * height, facing, confidence)


def pose_from_face(face: Face, into: FloatArray, pose: HeadPose) -> HeadPose | None:
    """The head around a face; None where it cannot be the head that the pose says.

    into: (2, 3) from pixels of the face's picture to the region's. pose: from `pose_from_points`.
    """
    scale = float(np.sqrt(abs(np.linalg.det(into[:, :2]))))
    wide, high = face.size * scale
    points = face.points @ into[:, :2].T + into[:, 2]
    eyes = points[:2].mean(axis=0)
    up = (eyes - points[3]) / max(float(np.hypot(*(eyes - points[3]))), 1e-6)
    box = face.centre @ into[:, :2].T + into[:, 2]
    height = (1 + _FACE_UP) * high * _HEAD_OF_BOX[0]
    width = (1 + 2 * _FACE_ASIDE) * wide * _HEAD_OF_BOX[1]
    chin = box - up * high / 2
    centre = chin + up * height / 2
    ratio = height / pose.height
    apart = float(np.hypot(*(centre - pose.centre))) / pose.height
    if not 1 / _SIZE_RATIO < ratio < _SIZE_RATIO or apart > 0.6 or up @ pose.up < 0:
        return None
    return replace(pose, centre=centre, up=up, height=height, width=width, confidence=face.score)


def combined(first: HeadPose, second: HeadPose | None) -> HeadPose:
    """The mean of two, weighted by confidence; surer than each of them as far as they agree."""
    if second is None:
        return first
    w = second.confidence / max(first.confidence + second.confidence, 1e-9)
    up = (1 - w) * first.up + w * second.up
    height = first.height ** (1 - w) * second.height**w
    apart = float(np.hypot(*(first.centre - second.centre))) / height
    agree = float(np.exp(-apart - abs(np.log(first.height / second.height))))
    both = 1 - (1 - first.confidence) * (1 - second.confidence)
    return replace(
        first,
        centre=(1 - w) * first.centre + w * second.centre,
        up=up / max(float(np.hypot(*up)), 1e-9),
        height=height,
        width=first.width ** (1 - w) * second.width**w,
        confidence=both * agree,
    )
