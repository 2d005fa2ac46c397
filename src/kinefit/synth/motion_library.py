"""The motions of scenes: kinefit's own, which need no data, and recordings."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.body.anny import load_anny
from kinefit.body.model import BodyModel
from kinefit.geometry import rotations as so3
from kinefit.synth.array_cache import cached, key_of
from kinefit.synth.contact_ik import ContactBody, solve_contacts
from kinefit.synth.keyframes import motion, motion_names, sampled
from kinefit.synth.motion_clip import Clip, hip_height
from kinefit.synth.recordings import recorded_clips

_SOURCES = ("synth/motions.toml", "synth/keyframes.py", "synth/contact_ik.py")


@cache
def built_in() -> dict[str, Clip]:
    """Name -> clip of every motion in `motions.toml`, on Anny's joints.

    They are fitted in the first call, about one second each, and cached. Raises
    MissingDependency without Anny.
    """
    body = load_anny()
    return cached("motions", key_of(_SOURCES), lambda: _fitted(body), lambda a: _clips(body, a))


def _fitted(body: BodyModel) -> dict[str, Any]:
    rig, out = ContactBody.of(body), {}
    for name in motion_names():
        clip = solve_contacts(rig, sampled(name))
        out[f"{name}.times"], out[f"{name}.root"] = clip.times, clip.root_path
        out[f"{name}.turns"] = so3.log(clip.rotations[:, rig.chain.joint_index])
    return {"joints": rig.chain.joint_index, **out}


def _clips(body: BodyModel, arrays: dict[str, Any]) -> dict[str, Clip]:
    out = {}
    for name in motion_names():
        rotations = so3.exp(np.zeros((len(arrays[f"{name}.times"]), len(body.joint_names), 3)))
        rotations[:, arrays["joints"]] = so3.exp(arrays[f"{name}.turns"])
        out[name] = Clip(
            name=name,
            source=f"kinefit: {motion(name, 30.0).about}",
            joint_names=body.joint_names,
            times=arrays[f"{name}.times"],
            rotations=rotations,
            root_path=arrays[f"{name}.root"],
            hip_height_m=hip_height(body, body.shape.neutral),
        )
    return out


def motion_library(recorded: Path | None) -> dict[str, Clip]:
    """Every motion by its name: kinefit's own, and those of a motion capture file or folder.

    Raises InputError for another file, MissingDependency without Anny.
    """
    clips = [] if recorded is None else recorded_clips(recorded, processes=os.cpu_count() or 1)
    return {**built_in(), **{clip.name: clip for clip in clips}}
