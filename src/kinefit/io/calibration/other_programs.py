"""Calibrations of Kalibr, MC-Calib, CMU Panoptic and Vicon.

- Kalibr's camchain: intrinsics are fu fv pu pv; T_cn_cnm1 leads from the axes of the camera before
  to this one's (its wiki, "YAML formats"). The first camera is the world; metres.
- MC-Calib's calibrated_cameras_data.yml: camera_pose_matrix leads from the camera to its group's
  first one (saveCamerasParams writes the inverse of what it projects with); the board's unit.
- CMU Panoptic: centimetres, the world's Y down.
- Vicon's .xcp ("About calibration data (XCP) files" in Vicon's documentation): the quaternion x, y,
  z, w leads from the world to the camera, whose axes are OpenCV's; POSITION is where it stands, in
  millimetres, Z up. Its lens model has no public formula, so distortion is left out: a caution.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from kinefit.geometry.rotations import exp
from kinefit.io.calibration.assemble import flat_numbers
from kinefit.io.calibration.model import Axis, Content, Stated
from kinefit.types import Finding, FloatArray, InputError

_AGAIN = "export the calibration again"
_LEVEL = 0.5  # cosine of 60 degrees: cameras do not stand further from upright on the whole


def is_kalibr(values: dict[str, Any]) -> bool:
    """Whether the values are a camchain's."""
    cameras = _maps(values)
    return any("T_cn_cnm1" in c for c in cameras.values()) or (
        bool(cameras) and all({"camera_model", "distortion_coeffs"} <= set(c) for c in
                              cameras.values())
    )  # fmt: skip


def is_mccalib(values: dict[str, Any]) -> bool:
    """Whether the values are MC-Calib's."""
    return any("camera_pose_matrix" in c for c in _maps(values).values())


def is_panoptic(values: dict[str, Any]) -> bool:
    """Whether the values are CMU Panoptic's: a list of cameras, each of a panel and node."""
    cameras = values.get("cameras")
    return isinstance(cameras, list) and (
        "calibDataSource" in values
        or any(isinstance(c, dict) and {"panel", "node"} <= set(c) for c in cameras)
    )


def is_vicon(root: Element) -> bool:
    """Whether an XML document is an .xcp."""
    return root.tag == "Cameras" and root.find(".//KeyFrame") is not None


def read_kalibr(path: Path, values: dict[str, Any]) -> Content:
    """The cameras up to the first that no transform leads to; raises InputError."""
    cameras: list[Stated] = []
    notes = ["the world is the first camera's axes"]
    pose: FloatArray | None = np.eye(4)
    for i, (name, camera) in enumerate(sorted(_maps(values).items(), key=_by_number)):
        if i and pose is not None:
            step = camera.get("T_cn_cnm1")
            pose = None if step is None else _transform(path, name, step) @ pose
        if pose is None:
            notes.append(f"camera {name} left out: no T_cn_cnm1 leads to it")
            continue
        K, lens, fisheye = _kalibr_lens(path, name, camera)
        R, t = pose[:3, :3], pose[:3, 3]
        cameras.append(Stated(name, camera.get("resolution"), K, lens, R, t, fisheye))
    return Content("kalibr", cameras, notes, "m", "as Kalibr writes them", units_known=True)


def _kalibr_lens(
    path: Path, name: str, camera: dict[str, Any]
) -> tuple[FloatArray, list[Any] | None, bool]:
    """Camera matrix, distortion, and whether it is a fisheye's."""
    model, lens = camera.get("camera_model"), str(camera.get("distortion_model", "none"))
    if model != "pinhole" or lens not in ("radtan", "equidistant", "none"):
        reason = f"camera {name}: the models {model} and {lens}, which kinefit does not have"
        raise InputError(path, reason, "calibrate with pinhole-radtan or pinhole-equi")
    numbers = flat_numbers(camera.get("intrinsics"))
    if numbers is None or numbers.size != 4:
        raise InputError(path, f"camera {name}: intrinsics are not four numbers", _AGAIN)
    fu, fv, pu, pv = numbers
    K = np.array([[fu, 0, pu], [0, fv, pv], [0, 0, 1]])
    return K, None if lens == "none" else camera.get("distortion_coeffs"), lens == "equidistant"


def read_mccalib(path: Path, values: dict[str, Any]) -> Content:
    """The cameras of the largest group: no pose leads from one group to another."""
    cameras = {n: c for n, c in _maps(values).items() if "camera_matrix" in c}
    groups = Counter(str(c.get("camera_group")) for c in cameras.values())
    largest = groups.most_common(1)[0][0] if groups else ""
    notes = [
        f"camera {name} left out: its group was never seen together with the others"
        for name, c in cameras.items()
        if str(c.get("camera_group")) != largest
    ]
    stated = []
    for name, c in cameras.items():
        if str(c.get("camera_group")) == largest:
            to_world = _transform(path, name, c.get("camera_pose_matrix"))
            R = to_world[:3, :3].T
            size = [c.get("img_width"), c.get("img_height")]
            fisheye = c.get("distortion_type") == 1
            lens = c.get("distortion_vector")
            t = -R @ to_world[:3, 3]
            stated.append(Stated(name, size, c["camera_matrix"], lens, R, t, fisheye))
    why = "which the format does not say (MC-Calib keeps its board's unit)"
    return Content(
        "mc-calib", stated, notes, "m", why,
        poses="camera to world, OpenCV's axes, as MC-Calib writes them",
    )  # fmt: skip


def read_panoptic(path: Path, values: dict[str, Any]) -> Content:
    """All cameras with a pose, by their names; Y down unless their pictures contradict."""
    stated, cameras = [], values.get("cameras")
    if not isinstance(cameras, list):
        raise InputError(path, "has no list of cameras, as CMU Panoptic's files do", _AGAIN)
    for i, c in enumerate(cameras):
        if not isinstance(c, dict):
            raise InputError(path, f"camera number {i + 1} is no object", _AGAIN)
        size, K, lens, R, t = (c.get(key) for key in ("resolution", "K", "distCoef", "R", "t"))
        stated.append(Stated(str(c.get("name", i)), size, K, lens, R, t))
    why = "as CMU Panoptic's world is"
    up: Axis | None = "-y"
    notes = []
    if not _looks_level(stated, np.array([0.0, -1.0, 0.0])):
        up, why = None, ""
        notes.append("its world is not CMU Panoptic's, Y down: the cameras would not stand upright")
    units_why = "as CMU Panoptic writes them"
    return Content("panoptic", stated, notes, "cm", units_why, True, up, why)


def _looks_level(cameras: list[Stated], up: FloatArray) -> bool:
    """Whether the pictures' up directions lie near `up` on the whole."""
    rows = [R.reshape(3, 3)[1] for c in cameras if (R := flat_numbers(c.R)) is not None
            and R.size == 9]  # fmt: skip
    return not rows or float(np.mean([-row @ up for row in rows])) > _LEVEL


def read_vicon(path: Path, root: Element) -> Content:
    """The video cameras (all, where none says that it is one), called by their DEVICEID."""
    found = [c for c in root.iter("Camera") if c.find(".//KeyFrame") is not None]
    video = [c for c in found if c.get("ISDV", "0") not in ("0", "false")] or found
    notes = []
    if left := [_vicon_name(c) for c in root.iter("Camera") if c not in video]:
        notes.append(f"left out as not filming, or without a pose: {', '.join(left)}")
    cameras = [_vicon_camera(path, camera) for camera in video]
    bent = [_vicon_name(camera) for camera in video if _is_bent(camera.findall(".//KeyFrame")[0])]
    return Content(
        "vicon", cameras, notes, "mm", "as Vicon writes them", units_known=True,
        up="z", up_why="as Vicon's world is",
        poses="the camera's place, and the rotation (a quaternion) from the world to its axes",
        findings=[_without_lens(bent)] if bent else [],
    )  # fmt: skip


def _is_bent(frame: Element) -> bool:
    """Whether a camera's lens model is not zero."""
    radial = f"{frame.get('VICON_RADIAL2', '')} {frame.get('VICON_RADIAL', '')}".split()
    bends = radial[3:] if "ViconRadial2" in radial else radial  # without its name and centre
    return any(_number(word) not in (0.0, None) for word in bends)


def _without_lens(cameras: list[str]) -> Finding:
    return Finding(
        "caution",
        "The lens distortion of Vicon's calibration is left out: its model is not public.",
        f"Cameras {', '.join(cameras)}.",
        "Points near the edges of the pictures are displaced, by several pixels with wide lenses.",
        "Give videos that Vicon has undistorted, or calibrate with OpenCV's lens model.",
    )


def _vicon_name(camera: Element) -> str:
    return camera.get("DEVICEID") or camera.get("USERID") or "?"


def _vicon_camera(path: Path, camera: Element) -> Stated:
    name = _vicon_name(camera)
    frames = camera.findall(".//KeyFrame")
    if len(frames) > 1:
        reason = f"camera {name} moves ({len(frames)} key frames)"
        raise InputError(path, reason, "kinefit reads cameras that stand still")
    frame = frames[0]

    def words(element: Element, key: str, count: int, default: str = "") -> FloatArray:
        values = flat_numbers([_number(word) for word in element.get(key, default).split()])
        if values is None or len(values) < count:
            raise InputError(path, f"camera {name}: {key} is not {count} numbers", _AGAIN)
        return values[:count]

    (focal,) = words(frame, "FOCAL_LENGTH", 1)
    (aspect,) = words(camera, "PIXEL_ASPECT_RATIO", 1, "1")
    cx, cy = words(frame, "PRINCIPAL_POINT", 2)
    *axis, w = words(frame, "ORIENTATION", 4)
    length = float(np.linalg.norm(axis))
    if not (length or w):
        raise InputError(path, f"camera {name}: ORIENTATION is no rotation (all zero)", _AGAIN)
    turn = 2 * np.arctan2(length, w) / length if length else 0.0
    R = exp(turn * np.array(axis))
    error = frame.get("IMAGE_ERROR")
    return Stated(
        name=name, size=words(camera, "SENSOR_SIZE", 2), distortion=None, R=R,
        K=np.array([[focal, 0, cx], [0, focal / (aspect or np.nan), cy], [0, 0, 1]]),
        t=-R @ words(frame, "POSITION", 3),
        residual=None if error is None else _number(error),
    )  # fmt: skip


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _maps(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {str(name): value for name, value in values.items() if isinstance(value, dict)}


def _by_number(item: tuple[str, Any]) -> tuple[int, str]:
    """cam2 before cam10."""
    return len(item[0]), item[0]


def _transform(path: Path, name: str, value: Any) -> FloatArray:
    """(4, 4) of a rotation and a translation; InputError for anything else."""
    numbers = flat_numbers(value)
    if numbers is None or numbers.size != 16 or not np.isfinite(numbers).all():
        raise InputError(path, f"camera {name}: its pose is not 4 x 4 numbers", _AGAIN)
    return numbers.reshape(4, 4)
