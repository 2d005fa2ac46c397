"""From what a file states to a rig that can be computed with, or the reason why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.geometry.rotations import exp
from kinefit.io.calibration.model import (
    METRES,
    Axis,
    Calibration,
    Content,
    Stated,
    Unit,
    turn_to_y_up,
    up_sentence,
)
from kinefit.types import Camera, CameraRig, FloatArray, InputError, InvalidData
from kinefit.types.camera import BROWN_CONRADY, FISHEYE

MAX_CAMERAS = 1000
_LARGEST_SIDE = 100_000  # pixels
_FOCAL = (0.1, 100.0)  # of the longer side: fisheyes beyond 180 degrees, and half a degree
_LARGEST_COEFFICIENT = 1e6
_APART = (0.05, 100.0)  # metres between the two cameras furthest apart in a room or a field
_SAME_PLACE = 1e-3  # metres
_FARTHEST = 1e6  # metres; also in the wrong unit nobody films from there
_ROUNDED = 5e-3  # a rotation written with three decimals; further off it is none


def assemble(
    path: Path,
    content: Content,
    *,
    units: Unit | None = None,
    up: Axis | None = None,
    invert_extrinsics: bool = False,
    image_sizes: Mapping[str, tuple[int, int]] | None = None,
) -> Calibration:
    """Check every number, bring it into kinefit's world, and say what was assumed.

    Raises InputError naming the camera for what no camera has: see the messages.
    """
    if len(content.cameras) > MAX_CAMERAS:
        raise InputError(path, f"{len(content.cameras)} cameras", f"give at most {MAX_CAMERAS}")
    cameras = [camera for camera in content.cameras if not _unposed(camera)]
    if not cameras:
        names = ", ".join(camera.name for camera in content.cameras[:6])
        reason = f"no camera with a pose ({names})" if names else "no camera with a pose"
        raise InputError(path, reason, "calibrate the extrinsics and save again")
    _check_names(path, cameras)
    left_out = [camera.name for camera in content.cameras if camera not in cameras]
    notes = [*content.notes, *(f"camera {name} left out: it has no pose" for name in left_out)]
    metres, sizes = METRES[units or content.units], image_sizes or {}
    rig = CameraRig(
        tuple(
            _Builder(path, c, notes).camera(metres, invert_extrinsics, sizes.get(c.name))
            for c in cameras
        )
    )
    _check_places(path, rig, units is not None or content.units_known)
    turned = up or content.up
    unit, why = (units, "as asked for") if units else (content.units, content.units_why)
    said = (
        f"positions in {_UNIT_WORDS[unit]}, {why}",
        up_sentence(turned, "as asked for" if up else content.up_why),
        f"poses read as {content.poses}",
        *(["poses inverted, as asked for: camera to world in the file"] * invert_extrinsics),
    )
    return Calibration(
        rig=rig.moved(turn_to_y_up(turned)) if turned else rig,
        format=content.format,
        assumptions=(*said, *dict.fromkeys(notes)),
        up=turned,
        residuals={c.name: float(c.residual) for c in cameras if c.residual is not None},
        residual_unit=content.residual_unit,
        findings=tuple(content.findings),
    )


def _unposed(camera: Stated) -> bool:
    """Whether the file leaves both parts of the pose empty: nothing, no numbers, or NaN."""
    parts = camera.R, camera.t
    numbers = [np.full(1, np.nan) if part is None else flat_numbers(part) for part in parts]
    return all(n is not None and bool(np.isnan(n).all()) for n in numbers)


_UNIT_WORDS = {"m": "metres", "cm": "centimetres", "mm": "millimetres"}


class _Builder:
    """One camera of a file, checked."""

    def __init__(self, path: Path, stated: Stated, notes: list[str]) -> None:
        self._path, self._stated, self._notes = path, stated, notes
        self._called = f"camera {stated.name}"

    def camera(self, metres: float, invert: bool, video: tuple[int, int] | None) -> Camera:
        stated = self._stated
        size = self._size(video)
        K = self._numbers("the camera matrix", stated.K, (3, 3))
        self._check_intrinsics(K, size)
        lens, R = self._lens(), self._rotation()
        t = self._numbers("the translation", stated.t, (3,)) * metres
        if np.abs(t).max() > _FARTHEST:
            raise self._error(f"it stands {np.abs(t).max():.3g} m away")
        if invert:
            R, t = R.T, -R.T @ t
        try:
            return Camera(stated.name, size, K, R, t, lens, stated.fisheye)
        except InvalidData as error:
            raise self._error(str(error).rstrip("."), "repair the file") from error

    def _error(self, reason: str, hint: str = "save the calibration again") -> InputError:
        return InputError(self._path, f"{self._called}: {reason}", hint)

    def _numbers(self, what: str, value: Any, shape: tuple[int, ...]) -> FloatArray:
        """`value` as finite numbers of that shape."""
        array = self._flat(what, value)
        if array.size != prod(shape):
            raise self._error(f"{what} has {array.size} numbers, not {prod(shape)}")
        return array.reshape(shape)

    def _flat(self, what: str, value: Any) -> FloatArray:
        flat = flat_numbers(value)
        if flat is None:
            raise self._error(f"{what} is missing or not made of numbers")
        if not np.isfinite(flat).all():
            raise self._error(f"{what} has a value that is not a number")
        return flat

    def _size(self, video: tuple[int, int] | None) -> tuple[int, int]:
        size = self._stated.size
        if size is None and video is not None:
            size = video
            self._notes.append(f"image size of {self._called} taken from its video")
        if size is None:
            hint = (
                "give the cameras' videos; `kinefit calibration FILE --video A.mp4 --video B.mp4 "
                "--to cameras.toml` writes a file that says it"
            )
            raise self._error("the file does not say the image size", hint)
        width, height = self._numbers("the image size", size, (2,))
        for side in (width, height):
            if not (1 <= side <= _LARGEST_SIDE and side % 1 == 0):
                reason = f"an image of {width:g} x {height:g} pixels"
                raise self._error(reason, "correct the size (width, height)")
        return int(width), int(height)

    def _check_intrinsics(self, K: FloatArray, size: tuple[int, int]) -> None:
        """Focal lengths and principal point that a lens on this image can have."""
        side, (fx, fy), centre = max(size), (K[0, 0], K[1, 1]), K[:2, 2]
        low, high = _FOCAL
        if not (low * side < fx < high * side and low * side < fy < high * side):
            reason = f"focal lengths of {fx:g} and {fy:g} px on an image of {size[0]} x {size[1]}"
            hint = "check that the camera matrix is in pixels of this image size"
            raise self._error(reason, hint)
        if not 0.5 < fx / fy < 2:
            raise self._error(f"focal lengths of {fx:g} and {fy:g} px differ")
        if (centre < -0.5 * np.array(size)).any() or (centre > 1.5 * np.array(size)).any():
            reason = f"a principal point at ({centre[0]:g}, {centre[1]:g}), far outside the image"
            raise self._error(reason, "check the size: it is (width, height)")

    def _lens(self) -> FloatArray:
        """Coefficients in a number that the model has; zeros beyond it are dropped."""
        given, fisheye = self._stated.distortion, self._stated.fisheye
        lens = self._flat("the distortion", [] if given is None else given)
        if (np.abs(lens) > _LARGEST_COEFFICIENT).any():
            raise self._error("distortion coefficients beyond a million")
        counts = FISHEYE if fisheye else BROWN_CONRADY
        if len(lens) in counts:
            return lens
        used = int(np.max(np.nonzero(lens)[0], initial=-1)) + 1
        fitting = [n for n in counts if used <= n <= len(lens)]
        if not fitting:
            model = "fisheye model" if fisheye else "lens model"
            reason = f"{len(lens)} distortion coefficients; OpenCV's {model} has {counts[-1]} here"
            hint = "calibrate without the thin prism and tilted sensor"
            raise self._error(reason, "calibrate as a fisheye" if fisheye else hint)
        dropped = len(lens) - fitting[-1]
        self._notes.append(f"distortion of {self._called}: {dropped} zeros dropped")
        return lens[: fitting[-1]]

    def _rotation(self) -> FloatArray:
        flat = self._flat("the rotation", self._stated.R)
        if flat.size == 3:
            if np.linalg.norm(flat) > 2 * np.pi + 1e-6:
                reason = f"a rotation vector of length {np.linalg.norm(flat):.4g}"
                raise self._error(reason, "give it in radians, not in degrees")
            return exp(flat)
        if flat.size != 9:
            hint = "give 3 (rotation vector) or 9 (matrix)"
            raise self._error(f"a rotation of {flat.size} numbers", hint)
        R = flat.reshape(3, 3)
        off = float(np.abs(R @ R.T - np.eye(3)).max()) if np.abs(R).max() < 2 else np.inf
        if off >= _ROUNDED:
            raise self._error("the rotation matrix is not a rotation")
        if np.linalg.det(R) < 0:
            reason = "the pose mirrors the world (its determinant is -1), which no camera does"
            hint = "write the file in a right-handed frame: one axis has the wrong sign"
            raise self._error(reason, hint)
        if off < 1e-7:
            return R
        self._notes.append(f"rotation of {self._called} made exact: it was off by {off:.1g}")
        U, _, Vt = np.linalg.svd(R)
        return np.asarray(U @ Vt)


def flat_numbers(value: Any, depth: int = 0) -> FloatArray | None:
    """Numbers in (nested) lists or an array, in one row; None for anything else."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64).ravel() if value.dtype.kind in "iuf" else None
    if isinstance(value, bool) or depth > 3:
        return None
    if isinstance(value, int) and abs(value) > 2**63:
        return None
    if isinstance(value, (int, float, np.integer, np.floating)):
        return np.array([float(value)])
    if not isinstance(value, (list, tuple)) or len(value) > 64:
        return None
    parts = [flat_numbers(item, depth + 1) for item in value]
    if any(part is None for part in parts):
        return None
    return np.concatenate([np.zeros(0), *[p for p in parts if p is not None]])


def _check_names(path: Path, cameras: Sequence[Stated]) -> None:
    names = [c.name for c in cameras]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(path, f"two cameras are called {twice[0]}", "give each its own name")
    for name in names:
        if not name.strip() or len(name) > 200 or not name.isprintable():
            raise InputError(path, f"a camera is called {name[:50]!r}", "give it a name")


def _check_places(path: Path, rig: CameraRig, known: bool) -> None:
    """Cameras at one place see no depth; distances show a wrong unit where none is stated."""
    if len(rig) < 2:
        return
    centres = np.stack([camera.centre for camera in rig])
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    near = np.argwhere(apart + np.eye(len(rig)) < _SAME_PLACE)
    if not known and apart.max() > 0 and not _APART[0] < apart.max() < _APART[1]:
        reason = f"the cameras stand up to {apart.max():.3g} m apart if positions are in metres"
        raise InputError(path, reason, "say what they are in, mm or cm (--units)")
    if len(near):
        a, b = (rig.names[i] for i in near[0])
        hint = "check whether one was copied, or whether the file's poses are camera to world"
        reason = f"cameras {a} and {b} are at the same place"
        raise InputError(path, reason, f"{hint} (--invert-extrinsics)")
