"""SMPL, SMPL-H and SMPL-X as body models, from the user's own files.

The family's rest pose, axes and units are those of `kinefit.body.model`; its pose blend shapes
are in the same order (joint by joint, each matrix row by row), so only axes are exchanged here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from kinefit.body.model import BodyModel, ShapeSpace
from kinefit.io.smpl import SUFFIXES, SmplData, read_smpl
from kinefit.types import FloatArray, InputError, IntArray

Gender = Literal["neutral", "male", "female"]

_BODY = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2"),
    *("left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar"),
    *("right_collar", "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
    *("left_wrist", "right_wrist"),
)
_FINGERS = ("index", "middle", "pinky", "ring", "thumb")  # the files' order
_HANDS = tuple(
    f"{side}_{finger}{knuckle}"
    for side in ("left", "right")
    for finger in _FINGERS
    for knuckle in (1, 2, 3)
)
_FAMILY = {
    24: ("smpl", (*_BODY, "left_hand", "right_hand")),
    52: ("smplh", (*_BODY, *_HANDS)),
    55: ("smplx", (*_BODY, "jaw", "left_eye", "right_eye", *_HANDS)),
}

_TRUNK_ANATOMY = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
_SIDE_ANATOMY = {
    "Clavicle": "collar", "Shoulder": "shoulder", "Elbow": "elbow", "Wrist": "wrist",
    "Hip": "hip", "Knee": "knee", "Ankle": "ankle", "Toes": "foot",
}  # fmt: skip
_SIDE_KEYPOINTS = ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")

# Vertices that stand for keypoints of COCO and OpenPose, by number of vertices: as published with
# the smplx package (vertex_ids.py). Finger tips follow MHR's names, 4 being the tip.
_VERTICES = {
    6890: {
        "Nose": 332, "REye": 6260, "LEye": 2800, "REar": 4071, "LEar": 583,
        "LBigToe": 3216, "LSmallToe": 3226, "LHeel": 3387,
        "RBigToe": 6617, "RSmallToe": 6624, "RHeel": 6787,
        "LThumb4": 2746, "LIndex4": 2319, "LMiddle4": 2445, "LRing4": 2556, "LPinky4": 2673,
        "RThumb4": 6191, "RIndex4": 5782, "RMiddle4": 5905, "RRing4": 6016, "RPinky4": 6133,
    },
    10475: {
        "Nose": 9120, "REye": 9929, "LEye": 9448, "REar": 616, "LEar": 6,
        "LBigToe": 5770, "LSmallToe": 5780, "LHeel": 8846,
        "RBigToe": 8463, "RSmallToe": 8474, "RHeel": 8635,
        "LThumb4": 5361, "LIndex4": 4933, "LMiddle4": 5058, "LRing4": 5169, "LPinky4": 5286,
        "RThumb4": 8079, "RIndex4": 7669, "RMiddle4": 7794, "RRing4": 7905, "RPinky4": 8022,
    },
}  # fmt: skip

# Names of downloads, e.g. SMPL_NEUTRAL.pkl, SMPLX_NEUTRAL_2020.npz, SMPLH_male.pkl,
# basicModel_f_lbs_10_207_0_v1.0.0.pkl; and smplh/neutral/model.npz, called by its folder.
_FILE = re.compile(
    r"smpl([hx]?)_(neutral|male|female)(_\d{4})?"
    r"|basicmodel_(neutral|male|female|m|f)_lbs_\d+_\d+_\d+_v\d+\.\d+\.\d+",
    re.IGNORECASE,
)
_GENDERS: dict[str, Gender] = {
    "neutral": "neutral", "male": "male", "female": "female", "m": "male", "f": "female",
}  # fmt: skip
_DEPTH = 4  # smplh/female/model.npz within models/ within a download's folder
_DOWNLOAD = "download the model (smpl.is.tue.mpg.de, smpl-x.is.tue.mpg.de) and name its file"


def load_smpl(path: str | Path, gender: Gender | None = None, shape_count: int = 10) -> BodyModel:
    """The body in an SMPL, SMPL-H or SMPL-X file, or in the one such file of a folder.

    path: a `.pkl` or `.npz`, or a folder that holds files by their usual names, itself or up to
        four folders deep; a model that is there in both formats is read from the `.npz`.
    gender: which of several; None where there is only one. It must not contradict the name.
    shape_count: how many shape coefficients (betas) the body has, 10 in most published fits.

    Raises InputError, saying what was found, where there is no such file or more than one, where
    the file is damaged or has another number of joints, and where it has fewer coefficients.
    """
    file = _find(Path(path), gender)
    data = read_smpl(file)
    if len(data.parents) not in _FAMILY:
        known = ", ".join(f"{name} {B}" for B, (name, _) in _FAMILY.items())
        raise InputError(file, f"has {len(data.parents)} joints; known are: {known}", _DOWNLOAD)
    family, names = _FAMILY[len(data.parents)]
    available = _shape_directions(data)
    if not 1 <= shape_count <= available:
        raise InputError(
            file, f"has {available} shape coefficients, {shape_count} were asked for",
            f"ask for 1 to {available}",
        )  # fmt: skip
    kind = _gender_of(file) or gender
    name = f"{family}-{kind}" if kind else family
    return smpl_body(data, name, names, shape_count)


def smpl_body(data: SmplData, name: str, joint_names: Sequence[str], shape_count: int) -> BodyModel:
    """The body of a model file, with its first `shape_count` shape directions.

    joint_names: B names in the file's order; SMPL's own (left_hip, ...) give it keypoints.
    """
    joint_names = tuple(joint_names)
    vertex_dirs = np.ascontiguousarray(np.moveaxis(data.shapedirs[..., :shape_count], -1, 0))
    joint_dirs = np.stack([data.J_regressor @ direction for direction in vertex_dirs])
    skin_joints, skin_weights = _influences(data.weights)
    # All zero: they need not be computed.
    bends = np.ascontiguousarray(np.moveaxis(data.posedirs, -1, 0)) if data.posedirs.any() else None
    return BodyModel(
        name=name,
        joint_names=joint_names,
        parents=data.parents,
        joints=np.asarray(data.J_regressor @ data.v_template),
        joint_dirs=joint_dirs,
        vertices=data.v_template,
        vertex_dirs=vertex_dirs,
        faces=data.f,
        skin_joints=skin_joints,
        skin_weights=skin_weights,
        shape=ShapeSpace.unbounded(tuple(f"beta{i}" for i in range(shape_count))),
        regressors=_regressors(joint_names, len(data.v_template)),
        anatomy=_anatomy(joint_names),
        pose_dirs=bends,
    )


def _shape_directions(data: SmplData) -> int:
    """How many of the file's directions are of shape.

    SMPL-X appends those of expression: 300 and 100, in its first release 10 and 10.
    """
    count = int(data.shapedirs.shape[-1])
    if len(data.parents) != 55:
        return count
    return 300 if count >= 400 else min(count, 10)


def _influences(weights: FloatArray) -> tuple[IntArray, FloatArray]:
    """Dense weights (V, B) as joints and shares (V, W), W as many as the busiest vertex has."""
    most = max(int((weights != 0).sum(axis=1).max()), 1)
    joints = np.argsort(-np.abs(weights), axis=1, kind="stable")[:, :most]
    return joints, np.take_along_axis(weights, joints, axis=1)


def _regressors(
    joint_names: Sequence[str], vertex_count: int
) -> dict[str, tuple[IntArray, FloatArray] | str]:
    """Keypoints that the body has: limbs and fingers from joints, the rest from vertices."""
    wanted = {"Hip": "pelvis", "Neck": "neck"}
    for letter, side in (("L", "left"), ("R", "right")):
        wanted |= {letter + part: f"{side}_{part.lower()}" for part in _SIDE_KEYPOINTS}
        for finger in _FINGERS:
            for i in (1, 2, 3):
                wanted[f"{letter}{finger.capitalize()}{i}"] = f"{side}_{finger}{i}"
    keypoints: dict[str, tuple[IntArray, FloatArray] | str] = {
        keypoint: joint for keypoint, joint in wanted.items() if joint in joint_names
    }
    for keypoint, vertex in _VERTICES.get(vertex_count, {}).items():
        keypoints[keypoint] = (np.array([vertex]), np.ones(1))
    return keypoints


def _anatomy(joint_names: Sequence[str]) -> dict[str, str]:
    wanted = {name.capitalize(): name for name in _TRUNK_ANATOMY}
    for letter, side in (("L", "left"), ("R", "right")):
        wanted |= {letter + part: f"{side}_{joint}" for part, joint in _SIDE_ANATOMY.items()}
    return {anatomical: joint for anatomical, joint in wanted.items() if joint in joint_names}


def _find(path: Path, gender: Gender | None) -> Path:
    """The one model file that `path` and `gender` mean; InputError for none or several."""
    if not path.exists():
        raise InputError(path, "does not exist", "check the path")
    if not path.is_dir():
        named = _gender_of(path)
        if gender and named and gender != named:
            raise InputError(
                path, f"is {named} by its name, {gender} was asked for",
                "name the other file, or leave the gender out",
            )  # fmt: skip
        return path
    every = _models(path)
    right = [file for file in every if gender in (None, _gender_of(file))]
    if len(right) == 1:
        return right[0]
    listed = ", ".join(str(file.relative_to(path)) for file in (right or every)[:12])
    kind = f"{gender} " if gender else ""
    if not right:
        raise InputError(
            path, f"no {kind}SMPL, SMPL-H or SMPL-X model is in it (found: {listed or 'none'})",
            _DOWNLOAD,
        )  # fmt: skip
    raise InputError(
        path, f"several {kind}models are in it ({listed})",
        "name the file itself" if gender else "say which gender, or name the file itself",
    )  # fmt: skip


def _models(folder: Path) -> list[Path]:
    """Model files by name, sorted; one of each name, `.npz` before `.pkl`."""
    models: dict[Path, Path] = {}
    for depth in range(_DEPTH + 1):
        for suffix in reversed(SUFFIXES):
            for file in sorted(folder.glob("*/" * depth + f"*{suffix}")):
                if _gender_of(file) and file.is_file():
                    models[file.with_suffix("")] = file
    return [models[stem] for stem in sorted(models)]


def _gender_of(path: Path) -> Gender | None:
    """The gender in a usual name of a model file, None for any other name."""
    if match := _FILE.fullmatch(path.stem):
        return _GENDERS[(match[2] or match[4]).lower()]
    if path.stem == "model":
        return _GENDERS.get(path.parent.name.lower())
    return None
