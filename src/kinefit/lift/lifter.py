"""From one person's points in a video to the directions of their limbs: a network at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort

from kinefit.geometry.rotations import unit
from kinefit.lift.inputs import (
    LIMBS,
    PERSON_CHANNELS,
    POINT_CHANNELS,
    POINTS,
    WINDOW,
    Inputs,
    grid_times,
    make_inputs,
    resampled,
    resampler,
    windows,
)
from kinefit.lift.reconstruct import correct_depth_sign
from kinefit.skeletons import map_points, skeleton
from kinefit.skeletons.limbs import Limb
from kinefit.types import (
    BoolArray,
    FloatArray,
    InputError,
    IntArray,
    Keypoints2D,
    Keypoints3D,
    PoseTrack,
    Timeline,
    TooFewPoints,
)

MODELS = ("sequence", "semgcn-temporal", "semgcn", "gcn", "transformer")
_STRIDE = 40  # frames from window to window: every frame is in two, and near the middle of one
_TOGETHER = 32  # windows per call of the network


@dataclass(frozen=True, eq=False)
class Lifted:
    """What a network says of one person over T frames, in camera axes; None for what it does not.

    limbs: L of them. directions: (T, L, 3) unit vectors. sd: (T, L) radians, one standard deviation
    about each of the two axes across. away: (T, L) probability that a limb points away from the
    camera. contact: (T, 4) probability that `kinefit.body.contact.FEET` stand. up: (T, 3) unit
    vectors; up_sd: (T,) radians. shift: (T, J, 2) pixels to be added to the track's points, 0 for
    points that it does not know; sigma: (T, J) pixels, standard deviation of each coordinate after
    that, NaN for those. swapped: (T,) probability that left and right are exchanged.
    """

    timeline: Timeline
    limbs: tuple[Limb, ...]
    directions: FloatArray
    sd: FloatArray
    away: FloatArray | None = None
    contact: FloatArray | None = None
    up: FloatArray | None = None
    up_sd: FloatArray | None = None
    shift: FloatArray | None = None
    sigma: FloatArray | None = None
    swapped: FloatArray | None = None


class Lifter(Protocol):
    """Anything that lifts."""

    @property
    def name(self) -> str: ...

    def lift(self, track: PoseTrack, K: FloatArray) -> Lifted:
        """track: one person in one video; K: (3, 3) intrinsics of a pinhole camera."""
        ...


class OnnxLifter:
    """A network of `kinefit train pof`, as an ONNX file.

    correct_signs: limbs that point away from the camera by their direction and towards it by the
    network's own head for that, or the reverse, are mirrored in depth.

    Raises InputError for a file that is no such network.
    """

    def __init__(self, content: bytes, source: str | Path, correct_signs: bool = False) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1  # the same bytes on every machine; 0.1 ms a frame
        try:
            self._session = ort.InferenceSession(content, options)
        except Exception as error:  # onnxruntime's errors share no base
            hint = f"give one of {', '.join(MODELS)}, or an .onnx file of `kinefit train pof`"
            raise InputError(source, "is no network that can be run", hint) from error
        self.name, self.correct_signs = str(source), correct_signs
        self._outputs = tuple(one.name for one in self._session.get_outputs())
        wanted = {
            "points": (WINDOW, len(POINTS), POINT_CHANNELS),
            "person": (WINDOW, PERSON_CHANNELS),
        }
        given = {one.name: tuple(one.shape[1:]) for one in self._session.get_inputs()}
        if given != wanted or not {"directions", "concentration"} <= set(self._outputs):
            hint = "make it with this version's `kinefit train pof`"
            raise InputError(source, "is no lifter: its inputs or outputs are others", hint)

    def lift(self, track: PoseTrack, K: FloatArray) -> Lifted:
        """As `Lifter.lift`. Raises TooFewPoints where no frame has a point."""
        image = track.image
        if not image.found.any():
            raise TooFewPoints("Lifting", found=0, needed=1)
        time = image.timeline.time
        grid = grid_times(time)
        back = resampler(time, grid)
        xy, score, own = _named(image, track.body)
        both = resampled(back, np.concatenate([xy, score[..., None]], axis=-1))
        own = resampled(back, own)
        rows = windows(len(grid), _STRIDE)
        inside = np.asarray((rows >= 0) & (rows < len(grid)))
        at = np.clip(rows, 0, len(grid) - 1)
        both, own = (np.where(inside[..., None, None], v[at], np.nan) for v in (both, own))
        inputs = make_inputs(both[..., :2], np.nan_to_num(both[..., 2]), own, K)
        answers = self.run(inputs)
        if self.correct_signs and "away" in answers:
            away = _logistic(answers["away"])
            answers["directions"] = correct_depth_sign(answers["directions"], away)
        said = _joined(answers, inputs, rows, inside, len(grid))
        return _lifted(image.timeline, grid, said, image.names, K)

    def run(self, inputs: Inputs) -> dict[str, FloatArray]:
        """The network's answers to W windows, (W, WINDOW, ...)."""
        parts = []
        for a in range(0, len(inputs.points), _TOGETHER):
            given = {
                name: np.asarray(getattr(inputs, name)[a : a + _TOGETHER], np.float32)
                for name in ("points", "person")
            }
            parts.append(self._session.run(None, given))
        return {
            name: np.concatenate([part[i] for part in parts]).astype(np.float64)
            for i, name in enumerate(self._outputs)
        }


@cache
def load_lifter(model: str | Path = "sequence", correct_signs: bool = False) -> OnnxLifter:
    """A network that kinefit ships, by name, or one's own file; see `OnnxLifter`.

    Raises InputError for an unknown name, or a file that cannot be used.
    """
    shipped = files("kinefit") / "weights" / f"lift_{str(model).replace('-', '_')}.onnx"
    named = str(model) in MODELS
    try:
        content = shipped.read_bytes() if named else Path(model).read_bytes()
    except OSError as error:
        hint = f"give one of {', '.join(MODELS)}, or an .onnx file of `kinefit train pof`"
        raise InputError(model, "cannot be read", hint) from error
    return OnnxLifter(content, model, correct_signs)


def _named(
    image: Keypoints2D, body: Keypoints3D | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(T, J, 2), (T, J), (T, J, 3): the points of `POINTS`, NaN and 0 where there is none."""
    blaze = skeleton("blazepose33")
    columns = [blaze.points.index(name) for name in POINTS]
    scored = np.concatenate([image.xy, image.score[..., None]], axis=-1)
    found = map_points(scored, image.names, blaze)[:, columns]
    own = (
        np.full((*found.shape[:2], 3), np.nan)
        if body is None
        else map_points(body.xyz, body.names, blaze)[:, columns]
    )
    return found[..., :2], np.nan_to_num(found[..., 2]), own


def _joined(
    said: Mapping[str, FloatArray], inputs: Inputs, rows: IntArray, inside: BoolArray, count: int
) -> dict[str, FloatArray]:
    """Windows (W, WINDOW, ...) brought to the camera's axes and pixels' tangents, and averaged
    over those that a frame is in, most where it is near the middle: (count, ...)."""
    R = inputs.rotation
    said = {**said, "directions": said["directions"] @ R}
    if "up" in said:
        said["up"] = (said["up"][..., None, :] @ R)[..., 0, :]
    if "shift" in said:
        said["shift"] = said["shift"] * inputs.size[:, None, None, None]
        said["log_sigma"] = said["log_sigma"] + np.log(inputs.size)[:, None, None]
    middle = (WINDOW - 1) / 2
    weight = 1 + middle - np.abs(np.arange(WINDOW) - middle)
    weight = np.where(inside, weight, 0.0) ** 2
    total = np.zeros(count)
    np.add.at(total, rows[inside], weight[inside])
    out = {}
    for name, values in said.items():
        part = weight.reshape(*weight.shape, *[1] * (values.ndim - 2)) * values
        mean = np.zeros((count, *values.shape[2:]))
        np.add.at(mean, rows[inside], part[inside])
        out[name] = mean / total.reshape(-1, *[1] * (values.ndim - 2))
    return out


# A coordinate's deviation, of errors in the plane with density exp(-r / s): see the losses.
_LAPLACE = 3.0**0.5


def _lifted(
    timeline: Timeline, grid: FloatArray, said: Mapping[str, FloatArray],
    names: tuple[str, ...], K: FloatArray,
) -> Lifted:  # fmt: skip
    """The answers at the frames' own times."""
    at = {name: _at_frames(timeline, grid, values) for name, values in said.items()}
    found: dict[str, FloatArray] = {
        name: _logistic(at[name]) for name in ("away", "contact", "swapped") if name in at
    }
    if "up" in at:
        found |= {"up": unit(at["up"]), "up_sd": at["up_concentration"] ** -0.5}
    if "shift" in at:
        found |= _points_of(names, K[0, 0] * at["shift"], K[0, 0] * np.exp(at["log_sigma"]))
    directions, sd = unit(at["directions"]), at["concentration"] ** -0.5
    return Lifted(timeline, LIMBS[: directions.shape[1]], directions, sd, **found)


def _points_of(
    names: tuple[str, ...], shift: FloatArray, scale: FloatArray
) -> dict[str, FloatArray]:
    """Shifts (T, J, 2) and deviations (T, J), pixels, of `POINTS`: those of the points `names`."""
    at = np.array([POINTS.index(name) if name in POINTS else -1 for name in names])
    known = at >= 0
    return {
        "shift": np.where(known[:, None], shift[:, at], 0.0),
        "sigma": np.where(known, _LAPLACE * scale[:, at], np.nan),
    }


def _at_frames(timeline: Timeline, grid: FloatArray, values: FloatArray) -> FloatArray:
    flat = values.reshape(len(grid), -1)
    some = [np.interp(timeline.time, grid, column) for column in flat.T]
    return np.stack(some, axis=-1).reshape(len(timeline), *values.shape[1:])


def _logistic(x: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-x)))
