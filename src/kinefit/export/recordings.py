"""Motion capture of others on a body, to be exported as a fitted motion is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.export.motion_files import turned
from kinefit.fit.recipes.retarget import RetargetBody, retarget
from kinefit.geometry.rotations import exp
from kinefit.io.amass import holds_amass, read_amass_motion
from kinefit.io.arrays import npz_names
from kinefit.io.markers import UP_TO_Y
from kinefit.io.mocap_files import read_mocap
from kinefit.types import BodyMotion, InputError, Timeline


def is_recording(path: Path) -> bool:
    """Whether a file is motion capture (BVH, AMC, AMASS) and no motion of `kinefit fit`."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        names = npz_names(path)
        return "format" not in names and holds_amass(names)
    return suffix in (".bvh", ".amc")


def motion_of_recording(path: Path, body: BodyModel) -> tuple[BodyMotion, tuple[str, ...]]:
    """The motion of a recording on a body, Y up; and what to know of it.

    An AMASS file on an SMPL body is taken as it is, with its shape; anything else is brought to
    Anny by its joints (`kinefit.fit.recipes.retarget`). Raises InputError for another body.
    """
    if body.name.startswith("smpl") and path.suffix.lower() == ".npz":
        return _on_smpl(path, body)
    if body.name != "anny":
        reason = f"cannot be brought to the body {body.name}"
        raise InputError(path, reason, "leave --body out, or give an SMPL file with an AMASS file")
    (clip,) = read_mocap(path)
    rig = RetargetBody.of(body)
    done = retarget(rig, clip)
    motion = done.state.motion(rig.chain, Timeline.regular(len(clip), clip.rate_hz))
    off = 1000 * float(np.nanmean(done.error_m))
    said = f"The motion was brought to the body anny: joints are {off:.0f} mm off on average."
    return motion, (said, *(f"{note[:1].upper()}{note[1:]}." for note in clip.notes))


def _on_smpl(path: Path, body: BodyModel) -> tuple[BodyMotion, tuple[str, ...]]:
    """What fingers and shape the file and the body do not share stays at rest."""
    found, B, S = read_amass_motion(path), len(body.joint_names), len(body.shape.names)
    # The first 22 joints are those of the body in all of the family.
    shared = B if found.rotvec_rad.shape[1] == B else min(22, B)
    vectors = np.zeros((len(found.rotvec_rad), B, 3))
    vectors[:, :shared] = found.rotvec_rad[:, :shared]
    betas = np.zeros(S)
    betas[: len(found.betas)] = found.betas[:S]
    motion = BodyMotion(
        body.name, Timeline.regular(len(vectors), found.rate_hz), body.joint_names,
        exp(vectors), found.translation_m, betas, tuple(body.shape.names),
    )  # fmt: skip
    notes = [*found.notes]
    if shared < B:
        notes.append(f"The file has another number of joints: the first {shared} were taken.")
    if len(found.betas) > S:
        notes.append(f"The first {S} of {len(found.betas)} coefficients of shape were taken.")
    gender = body.name.partition("-")[2]
    if gender and found.gender not in ("not stated", gender):
        notes.append(f"The file's body is {found.gender}, the one that was given is {body.name}.")
    return turned(body, motion, np.array(UP_TO_Y["Z"], float)), tuple(notes)
