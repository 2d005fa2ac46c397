"""Poses to learn from: motion retargeted to a body, balanced, mirrored and split.

The file is an .npz with `rotations` (N, F, 3, 3) local rotations of the free joints
`joint_names` (F,) of Anny, `trial` (N,) index into `trial_names`, and `good` (N,).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from kinefit.body.anatomy import SIDED
from kinefit.body.anny import load_anny
from kinefit.fit.priors.joints import PriorJoints
from kinefit.fit.solver.chain import Chain
from kinefit.io.arrays import read_npz
from kinefit.types import BoolArray, FloatArray, InputError, IntArray

_ASF = re.compile(r"asf_(\d+)_(\d+)")
_TXT = re.compile(r"txt_(train|test)_(.+)_\d+")
_HELD_SUBJECT = "03"
_HELD_EVERY = 4  # trials of the other two subjects, by number
_MOST_OUTSIDE = np.radians(15)  # of a joint's range: beyond, it is the capture that failed


@dataclass(frozen=True, eq=False)
class Poses:
    """N poses as `PriorJoints.rotvecs`.

    joints: of the body that they were read from. x: (N, J, 3) radians. weight: (N,) sum 1.
    held_out: (N,) not to be trained on: whole trials. group: (N,) subject and action.
    """

    joints: PriorJoints
    x: FloatArray
    weight: FloatArray
    held_out: BoolArray
    group: IntArray

    def part(self, *, held_out: bool) -> tuple[FloatArray, FloatArray]:
        """Poses (n, J, 3) and weights (n,) of one side of the split, each with its mirror image."""
        chosen = self.held_out == held_out
        x, weight = self.x[chosen], self.weight[chosen]
        both = np.concatenate([x, mirrored(x, self.joints.names)])
        return both, np.tile(weight, 2) / (2 * weight.sum())


def read_poses(path: str | Path) -> Poses:
    """Good poses of a file, less those that no healthy joint allows.

    Raises InputError when it is not such a file.
    """
    arrays = read_npz(Path(path))
    try:
        names = [str(name) for name in arrays["joint_names"]]
        good, trial = arrays["good"].astype(bool), arrays["trial"].astype(np.int64)
        trial_names = [str(name) for name in arrays["trial_names"]]
        rotations = arrays["rotations"].astype(np.float64)
    except KeyError as error:
        raise InputError(path, f"has no array {error}", "make it with the retargeting") from error
    chain = Chain.of(load_anny(), names, {"LWrist": {"LWrist": 1.0}})
    joints = PriorJoints.of(chain)
    rotations = rotations[:, [names.index(name) for name in chain.joint_names]]
    good[good] = possible(joints, rotations[good])
    keys, held = zip(*(_place(name) for name in trial_names), strict=True)
    group = np.unique(keys, return_inverse=True)[1][trial[good]]
    return Poses(
        joints=joints,
        x=joints.rotvecs(rotations[good]),
        weight=_balanced(group),
        held_out=np.array(held)[trial[good]],
        group=group,
    )


def possible(joints: PriorJoints, rotations: FloatArray) -> BoolArray:
    """(N,) whether every joint of poses (N, F, 3, 3) is in its range, or nearly."""
    outside = np.abs(joints.ranges.outside(joints.angles(rotations)))
    return np.asarray((outside < _MOST_OUTSIDE).all(axis=(1, 2)))


def _place(trial: str) -> tuple[str, bool]:
    """Group of a trial, and whether it is held out.

    Of recordings besides those of cmu_30fps.npz, the group is the folder (AMASS and the CMU have
    one per subject), and every fourth or so is held out, by its name: always the same.
    """
    if match := _ASF.fullmatch(trial):
        subject, number = match.groups()
        return subject, subject == _HELD_SUBJECT or int(number) % _HELD_EVERY == 0
    if match := _TXT.fullmatch(trial):
        return match[2], match[1] == "test"
    return trial.rpartition("/")[0] or trial, crc32(trial.encode()) % _HELD_EVERY == 0


def _balanced(group: IntArray) -> FloatArray:
    """(N,) weights that give a group the square root of its number of poses.

    Between all poses alike, when one climber is 38 % of the data, and all groups alike, when ten
    seconds of a gesture count as much as ten minutes of walking.
    """
    share = 1 / np.sqrt(np.bincount(group))[group]
    return np.asarray(share / share.sum())


def mirrored(x: FloatArray, names: tuple[str, ...]) -> FloatArray:
    """(N, J, 3) the mirror images of poses (N, J, 3)."""
    return np.asarray((x.reshape(len(x), -1) @ mirror_matrix(names).T).reshape(x.shape))


def mirror_matrix(names: tuple[str, ...]) -> FloatArray:
    """(3J, 3J) from a pose to its mirror image: sides change places, the trunk bends otherwise.

    Both sides of the body read the same numbers (`kinefit.body.anatomy`).
    """
    other = {"L": "R", "R": "L"}
    partner = [
        names.index(other[name[0]] + name[1:]) if name[1:] in SIDED else i
        for i, name in enumerate(names)
    ]
    sided = np.array([name[1:] in SIDED for name in names])
    sign = np.where(sided[:, None], 1.0, [-1.0, -1.0, 1.0])
    at = (3 * np.array(partner)[:, None] + np.arange(3)).ravel()
    return np.asarray(sign.ravel()[:, None] * np.eye(len(at))[at])
