"""BlazePose on LiteRT: finds people in a picture, and 33 landmarks of each.

The networks are MediaPipe's (`kinefit/weights/pose_*.md`). What is done before and after them
follows their published descriptions: Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body
Pose tracking" (arXiv:2006.10204: where a person is, is told by the mid-hip and a point on the
circle around the whole body); Grishchenko et al. 2022, "BlazePose GHUM Holistic" (arXiv:2206.11678:
points in metres); Liu et al. 2016, "SSD" (arXiv:1512.02325: anchors); Bazarevsky et al. 2019,
"BlazeFace" (arXiv:1907.05047: boxes that overlap are averaged, not dropped). Given the same region,
landmarks are 0.5 pixels from MediaPipe 0.10.21's (median, 1080p): `tests/detect/test_parity.py`.

A `place` is four numbers in pixels: x, y of the mid-hip, then x, y of a point on that circle above
the head. It says where somebody is, how large, and how they lean, and can be averaged and
interpolated. Pixel centres are at integers: pictures turned by 180 degrees give x + x' = width - 1
to 0.2 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.detect.prune import without_output
from kinefit.detect.quiet import quiet
from kinefit.io.text import check_file
from kinefit.io.video import Picture
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray, InputError

NAMES = skeleton("blazepose33").points
_MIRROR = skeleton("blazepose33").mirror()

_FIND, _LOOK = 224, 256  # pixels: sides of the pictures that the networks look at
_GRIDS = ((8, 2), (16, 2), (32, 6))  # strides of the person network's grids, anchors in each cell
_SURE = 0.5  # of a person, and of a heatmap's peak: what both networks were trained with
_SAME_BOX = 0.3  # overlap (intersection over union) from which boxes are one person
_MARGIN = 1.25  # of the region that is looked at, beyond the circle around the body
_HEAT, _WINDOW = 64, 7  # cells of a heatmap's side; of the window around a landmark
# Landmarks, whether there is somebody, heatmaps of the landmarks, the body in metres; their mask.
_SAID, _MASK = ((195,), (1,), (_HEAT, _HEAT, 39), (117,)), (_LOOK, _LOOK, 1)
_HIP, _CIRCLE = 33, 34  # landmarks of the network that say where the person is
# Pixels that are skipped where a person is large are not averaged: in 1,080 rendered frames errors
# were 1.37 with it, 1.38 % of the height without.
# How far the mirrored picture's landmarks may be, of the person's size and in metres. Beyond, one
# of the two has exchanged left and right or lost the limb, and an average would be neither.
_MIRRORED_PX, _MIRRORED_M = 0.10, 0.25
_MAX_MODEL_BYTES = 2**27
_LANDMARKS_IN_TASK = "pose_landmarks_detector.tflite"


@dataclass(frozen=True, eq=False)
class Pose:
    """One person in one picture.

    values: (33, 6) x, y in pixels; score 0..1; x, y, z in metres, camera axes, from the mid-hip.
    place: (4,) as above. sure: 0..1 that there is somebody. mask: (256, 256) of the region, 0..1.
    """

    values: FloatArray
    place: FloatArray
    sure: float
    mask: NDArray[np.float32] | None = None

    @property
    def size(self) -> float:
        return size_of(self.place)

    @property
    def found(self) -> bool:
        return self.sure >= _SURE

    def moved(self, by: FloatArray) -> Pose:
        """With `by` (33, 6) added to `values`."""
        values = self.values + by
        values[:, 2] = values[:, 2].clip(0, 1)
        return replace(self, values=values)


def size_of(place: FloatArray) -> float:
    """Pixels: the radius of the circle around the person, about their height when they stand."""
    return max(float(np.hypot(*(place[2:] - place[:2]))), 1.0)


@cache
def weights(name: str) -> bytes:
    """A network that comes with kinefit."""
    return (resources.files("kinefit.weights") / f"{name}.tflite").read_bytes()


def read_model(path: Path) -> bytes:
    """The landmark network in a .tflite file, or in one of MediaPipe's .task files.

    Raises InputError for anything else.
    """
    hint = "give BlazePose's landmark network: pose_landmark_*.tflite or pose_landmarker_*.task"
    try:
        check_file(path, _MAX_MODEL_BYTES)
    except InputError as error:
        raise InputError(path, error.reason, hint) from error
    try:
        if path.suffix.lower() != ".task":
            content = path.read_bytes()
        else:
            with ZipFile(path) as bundle:
                if bundle.getinfo(_LANDMARKS_IN_TASK).file_size > _MAX_MODEL_BYTES:
                    raise InputError(path, "its network is too large to be one", hint)
                content = bundle.read(_LANDMARKS_IN_TASK)
    except (OSError, KeyError, RuntimeError, BadZipFile) as error:
        raise InputError(path, f"it is not a model ({error})", hint) from error
    try:
        LandmarkNetwork(content, masks=True)
        LandmarkNetwork(content)
    except (ValueError, RuntimeError, LookupError) as error:
        reason = f"it is not BlazePose's landmark network ({str(error).splitlines()[0]})"
        raise InputError(path, reason, hint) from error
    return content


class LiteRTNetwork:
    """A LiteRT interpreter on one thread: its results do not depend on how many there are."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with quiet():
            self._net = Interpreter(model_content=content, num_threads=1)
            self._net.allocate_tensors()
        (found,) = self._net.get_input_details()
        self._input, self.side = found["index"], int(found["shape"][1])
        self._outputs = {
            tuple(o["shape"].tolist()): o["index"] for o in self._net.get_output_details()
        }

    @property
    def outputs(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of its outputs (without the batch)."""
        return tuple(shape[1:] for shape in self._outputs)

    def run(self, picture: NDArray[np.float32], *shapes: tuple[int, ...]) -> list[Any]:
        """The outputs of these shapes (without the batch) for a (side, side, 3) picture."""
        self._net.set_tensor(self._input, picture[None])
        self._net.invoke()
        return [self._net.get_tensor(self._outputs[(1, *shape)])[0] for shape in shapes]


class PersonNetwork:
    """Where people are in a picture, or in a square of it.

    Measured on renders: of people 60 pixels high among the 224 it finds 9 of 10, of 80 px 98 in
    100, of 45 px half, of 28 px none.
    """

    def __init__(self) -> None:
        self._net = LiteRTNetwork(weights("pose_detection"))

    def __call__(
        self, rgb: Picture, square: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Scores (N,) and places (N, 4), the surest first.

        square: (3,) x, y of its left upper corner and its side, pixels; None: around the picture.
        """
        height, width = rgb.shape[:2]
        if square is None:
            side = max(width, height)
            square = np.array([(width - side) / 2, (height - side) / 2, side])
        scale = float(square[2]) / _FIND
        window = sample_window(rgb, np.array([[scale, 0, square[0]], [0, scale, square[1]]]), _FIND,
                        cv2.BORDER_CONSTANT)  # fmt: skip
        raw, logit = self._net.run(window / np.float32(127.5) - 1, (2254, 12), (2254, 1))
        score = sigmoid(logit[:, 0])
        on = score >= _SURE
        points = raw[on].astype(np.float64).reshape(-1, 6, 2) / _FIND  # centre, size, 4 points
        points[:, [0, 2, 3, 4, 5]] += anchors(_FIND, _GRIDS)[on, None]
        scores, found = average_boxes(score[on].astype(np.float64), points)
        places = found[:, 2:4] * square[2] + square[:2]
        return scores, places.reshape(-1, 4)


class LandmarkNetwork:
    """The landmarks of the person at a place.

    content: the network's file; None: the "full" one that comes with kinefit.
    masks: whether poses come with one.
    """

    def __init__(self, content: bytes | None = None, masks: bool = False) -> None:
        own = weights("pose_landmark_full") if content is None else content
        self._net = LiteRTNetwork(own if masks else without_output(own, (1, *_MASK)))
        self._said = (*_SAID, _MASK) if masks else _SAID
        if self._net.side != _LOOK:
            raise ValueError(f"it looks at {self._net.side} pixels, not {_LOOK}")
        if lacking := [shape for shape in self._said if shape not in self._net.outputs]:
            raise ValueError(f"it has no output of shape {lacking[0]}")

    def __call__(self, rgb: Picture, place: FloatArray, mirrored: bool = False) -> Pose:
        """mirrored: look at it in a mirror; the pose is that of the person all the same."""
        into = region(place)
        if mirrored:
            into = into @ np.array([[-1.0, 0, _LOOK], [0, 1, 0], [0, 0, 1]])
        picture = sample_window(rgb, into, _LOOK, cv2.BORDER_REPLICATE) / np.float32(255)
        marks, sure, heat, body, *masks = self._net.run(picture, *self._said)
        marks, body = np.float64(marks).reshape(39, 5), np.float64(body).reshape(39, 3)
        xy = _refined(marks[:, :2] / _LOOK, heat) * _LOOK @ into[:, :2].T + into[:, 2]
        turn = into[:, :2] / np.sqrt(abs(np.linalg.det(into[:, :2])))
        metres = np.column_stack([body[:, :2] @ turn.T, body[:, 2]])
        values = np.column_stack([xy, sigmoid(marks[:, 3]), metres])
        place = np.concatenate([xy[_HIP], xy[_CIRCLE]])
        values = values[_MIRROR] if mirrored else values[:33]
        mask = sigmoid(masks[0][..., 0]) if masks else None
        return Pose(values, place, float(sure[0]), mask)

    def both_ways(self, rgb: Picture, place: FloatArray) -> tuple[Pose, FloatArray]:
        """The average of the pose and of that in a mirror, and (33, 6) what to add to the first.

        Measured on 1,080 rendered frames of six scenes: elbows, wrists, knees and ankles 1.41 ->
        1.30 % of the person's height (median), limb directions in metres 17.8 -> 16.5 degrees.
        """
        seen = self(rgb, place)
        if not seen.found:
            return seen, np.zeros_like(seen.values)
        other = self(rgb, place, mirrored=True)
        half = (other.values - seen.values) / 2
        away = np.linalg.norm(half[:, :2], axis=1) > _MIRRORED_PX / 2 * seen.size
        away |= np.linalg.norm(half[:, 3:], axis=1) > _MIRRORED_M / 2
        half[away] = 0
        return seen.moved(half), half


def region(place: FloatArray) -> FloatArray:
    """(2, 3) from pixels of the network's picture to those of the image: the square around the
    circle with its margin, turned so that the person stands upright."""
    up = (place[2:] - place[:2]) * (2 * _MARGIN / _LOOK)  # in pixels of the image, for one
    turn = np.array([[-up[1], -up[0]], [up[0], -up[1]]])
    return np.column_stack([turn, place[:2] - turn.sum(axis=1) * (_LOOK / 2)])


def sample_window(rgb: Picture, into: FloatArray, side: int, border: int) -> NDArray[np.float32]:
    """(side, side, 3) 0..255: the picture at `into` @ (u, v, 1) for each pixel (u, v)."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(rgb, into, (side, side), flags=flags, borderMode=border)
    return np.asarray(out, np.float32)


@cache
def anchors(side: int, grids: tuple[tuple[int, int], ...]) -> FloatArray:
    """(A, 2) centres of the cells of grids over a picture, as shares of its side.

    side: pixels. grids: stride in pixels and anchors in each cell.
    """
    rows = []
    for stride, count in grids:
        middle = (np.arange(side // stride) + 0.5) * stride / side
        cells = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
        rows.append(np.repeat(cells, count, axis=0))
    return np.concatenate(rows)


def average_boxes(score: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Boxes of one object as their average, weighted by score: (N,) best scores, (N, P, 2).

    score: (M,). points: (M, P, 2) centre and size of each box, and points with it.
    """
    order = np.argsort(-score, kind="stable")
    low, high = points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2
    area = np.prod(points[:, 1], axis=1)
    found = []
    while len(order):
        best = order[0]
        shared = np.minimum(high[best], high[order]) - np.maximum(low[best], low[order])
        both = np.prod(np.maximum(shared, 0), axis=1)
        same = both > _SAME_BOX * (area[best] + area[order] - both)
        same[0] = True
        share = score[order[same]] / score[order[same]].sum()
        found.append((score[best], np.einsum("n,nij->ij", share, points[order[same]])))
        order = order[~same]
    boxes = np.array([p for _, p in found]).reshape(-1, *points.shape[1:])
    return np.array([s for s, _ in found]), boxes


def _refined(xy: FloatArray, heat: NDArray[np.float32]) -> FloatArray:
    """(39, 2) shares of the side: landmarks moved to the centre of mass of their heatmap around
    them, where that has a peak."""
    half = _WINDOW // 2
    cell = np.clip(np.floor(xy * _HEAT), -1, _HEAT).astype(np.int64)
    inside = ((cell >= 0) & (cell < _HEAT)).all(axis=1)
    at = cell[:, None] + np.arange(-half, half + 1)[None, :, None]  # (39, window, 2)
    ok = (at >= 0) & (at < _HEAT)
    clipped = np.clip(at, 0, _HEAT - 1)
    mark = np.arange(len(xy))[:, None, None]
    mass = sigmoid(heat[clipped[:, :, None, 1], clipped[:, None, :, 0], mark].astype(np.float64))
    mass *= ok[:, :, None, 1] & ok[:, None, :, 0]
    moved = inside & (mass.max(axis=(1, 2)) >= _SURE)
    total = np.where(moved, mass.sum(axis=(1, 2)), 1.0)
    x = (mass.sum(axis=1) * at[..., 0]).sum(axis=1) / total / _HEAT
    y = (mass.sum(axis=2) * at[..., 1]).sum(axis=1) / total / _HEAT
    return np.where(moved[:, None], np.column_stack([x, y]), xy)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))
