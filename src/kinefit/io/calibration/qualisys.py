"""Qualisys Track Manager's exported calibration, `.qca.txt` (XML).

What the numbers mean was settled by measurement (tests/views/test_demo_calibration.py): 33
landmarks of the four videos of Pose2Sim's demo, triangulated and projected back. Rows of r are
the camera's axes in the world, x right, y up, z backward, and x, y, z is where it stands: 12.5 px
mean, 6.3 px median, landmark errors included. The next best of all readings gives 76 px.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from kinefit.io.calibration.model import Content, Stated
from kinefit.io.calibration.other_programs import is_vicon, read_vicon
from kinefit.io.xml import parse_xml
from kinefit.types import Finding, InputError

_SUBPIXELS = 64
_TO_OPENCV = np.diag([1.0, -1.0, -1.0])  # 180 degrees about x: y down, z forward
# Distortion is of the plane z = 1, unscaled, as in another lens of the same model whose raw file
# is public (Miqus Video: -0.045, 0.140). Pose2Sim divides it by 64, which all but drops it; the
# demo, whose person stays near the middle, cannot tell (12.57 against 12.60 px).
_LENS = (
    *("radialDistortion1", "radialDistortion2"),
    *("tangentalDistortion1", "tangentalDistortion2", "radialDistortion3"),
)
_NOTES = (
    "focal lengths and centres in 1/64 pixel, distortion without unit, as Qualisys writes them",
    "pixel centres at whole numbers: the file's own range ends at 64 x (width - 1); where "
    "Qualisys counts from pixel edges this is half a pixel off",
)


def is_qualisys(root: Element) -> bool:
    """Whether an XML document is such a calibration."""
    return root.tag == "calibration" and any(
        c.find("intrinsic") is not None and c.find("transform") is not None
        for c in root.iter("camera")
    )


def read_qualisys(path: Path, content: bytes) -> Content:
    """The video cameras of the file, named by serial number.

    Cameras that are inactive are left out, and marker cameras where there are video cameras.
    Raises InputError naming the camera and attribute.
    """
    root = parse_xml(path, content, most_depth=32, most=100_000)
    if is_vicon(root):
        return read_vicon(path, root)
    if not is_qualisys(root):
        raise InputError(path, "has no Qualisys camera", "export the calibration again")
    found = list(root.iter("camera"))
    active = [c for c in found if c.attrib.get("active", "1") not in ("0", "false")]
    models = [c.attrib.get("model", "none").lower() for c in active]
    films = ["video" in model or model in ("none", "") for model in models]
    video = [c for c, yes in zip(active, films, strict=True) if yes] or active
    notes = list(_NOTES)
    if left := [c.attrib.get("serial", "?") for c in found if c not in video]:
        notes.append(f"left out as inactive or not filming: {', '.join(left)}")
    cameras, turned = [], []
    for i, camera in enumerate(video):
        name = camera.attrib.get("serial", f"camera {i + 1}")
        cameras.append(_Attributes(path, name, camera).stated())
        if (turn := camera.attrib.get("viewrotation", "0")) not in ("0", ""):
            notes.append(
                f"camera {name} is turned by {turn} degrees on its mount: described is the "
                "picture as it left the sensor, which a turned video does not fit"
            )
            if turn == "180":  # the picture's size tells the others
                turned.append(name)
    return Content(
        "qualisys", cameras, notes, "mm", "as Qualisys writes them",
        up="z", up_why="as Qualisys writes it", residual_unit="mm",
        poses="the camera's place and its axes in the world (x right, y up, z backward)",
        findings=[_turned(turned)] if turned else [],
    )  # fmt: skip


def _turned(cameras: list[str]) -> Finding:
    return Finding(
        "caution",
        "Cameras hang upside down, and the calibration describes the pictures as they left the "
        "sensors.",
        f"Cameras {', '.join(cameras)}.",
        "If these videos were turned upright, all points of these cameras are wrong.",
        "Give the videos as they were recorded: --rotate turns them back.",
    )


class _Attributes:
    """The numbers of one camera."""

    def __init__(self, path: Path, name: str, camera: Element) -> None:
        self._path, self._name, self._camera = path, name, camera

    def stated(self) -> Stated:
        left, top, width, height = self._window()
        K = np.diag([self._pixels("focalLengthU"), self._pixels("focalLengthV"), 1.0])
        K[0, 1] = self._pixels("skew", "0")
        K[:2, 2] = self._pixels("centerPointU") - left, self._pixels("centerPointV") - top
        rows = [[self._number("transform", f"r{i}{j}") for j in "123"] for i in "123"]
        R = _TO_OPENCV @ np.array(rows)
        centre = np.array([self._number("transform", axis) for axis in "xyz"])
        residual = self._camera.attrib.get("avg-residual")
        return Stated(
            name=self._name,
            size=(width, height),
            K=K,
            distortion=[self._number("intrinsic", key, "0") for key in _LENS],
            R=R,
            t=-R @ centre,
            residual=None if residual is None else self._parse("avg-residual", residual),
        )

    def _window(self) -> tuple[float, float, int, int]:
        """Left and top edge of the video in the sensor's picture, width and height."""
        high = [self._pixels(f"sensorMax{axis}") for axis in "UV"]
        low = [self._pixels(f"sensorMin{axis}", "0") for axis in "UV"]
        for field in ("fov_video", "fov_video_max"):
            if (window := self._camera.find(field)) is not None:
                sides = ("left", "top", "right", "bottom")
                left, top, right, bottom = (self._number(field, s, parent=window) for s in sides)
                if high[0] < right / 8:  # Theia's files look the same but count whole pixels
                    ends = f"the sensor ends at {high[0]:.0f} px, the video at {right:.0f}"
                    raise self._error(ends, "export the calibration from QTM itself")
                return left, top, int(right - left) + 1, int(bottom - top) + 1
        width, height = (math.floor(b - a) + 1 for a, b in zip(low, high, strict=True))
        return 0.0, 0.0, width, height

    def _pixels(self, key: str, default: str | None = None) -> float:
        return self._number("intrinsic", key, default) / _SUBPIXELS

    def _number(
        self, tag: str, key: str, default: str | None = None, parent: Element | None = None
    ) -> float:
        element = self._camera.find(tag) if parent is None else parent
        text = default if element is None else element.get(key, default)
        if text is None:
            raise self._error(f"{tag} has no {key}")
        return self._parse(key, text)

    def _parse(self, key: str, text: str) -> float:
        with suppress(ValueError):
            if math.isfinite(value := float(text)):
                return value
        raise self._error(f"{key} is {text[:40]!r}, no number")

    def _error(self, reason: str, hint: str = "export the calibration again") -> InputError:
        return InputError(self._path, f"camera {self._name}: {reason}", hint)
