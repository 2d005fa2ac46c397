"""Which joint of MHR hangs on which; by name, and held against real outputs."""

import numpy as np

from kinefit.body.mhr_params import JOINTS


def parent_name(name: str) -> str:
    """The parent of a joint of MHR, by its name."""
    side, _, part = name.partition("_")
    fixed = {
        "root": "body_world", "c_spine0": "root", "c_neck": "c_spine3", "c_head": "c_neck",
        "c_jaw": "c_head", "c_teeth": "c_jaw", "c_jaw_null": "c_jaw", "c_tongue0": "c_jaw",
        "c_head_null": "c_head",
        "c_neck_twist0_proc": "c_neck", "c_neck_twist1_proc": "c_neck",
    }  # fmt: skip
    chain = {
        "upleg": "root", "lowleg": "upleg", "foot": "lowleg", "talocrural": "foot",
        "subtalar": "talocrural", "transversetarsal": "subtalar", "ball": "transversetarsal",
        "clavicle": "c_spine3", "uparm": "clavicle", "lowarm": "uparm", "wrist_twist": "lowarm",
        "wrist": "wrist_twist", "eye": "c_head", "eye_null": "eye", "pinky0": "wrist",
        "thumb0": "wrist", "pinky1": "pinky0", "thumb1": "thumb0",
    }  # fmt: skip
    if name in fixed:
        return fixed[name]
    if side == "c":  # c_spine2, c_tongue3
        return f"{name[:-1]}{int(name[-1]) - 1}"
    if part.endswith("_proc"):
        return f"{side}_{part.split('_twist')[0]}"
    if part in chain:
        above = chain[part]
        return above if above in ("root", "c_spine3", "c_head") else f"{side}_{above}"
    finger = part.rstrip("0123456789").removesuffix("_null")
    if part.endswith("_null"):
        return f"{side}_{finger}3"
    number = int(part[-1])
    return f"{side}_wrist" if number == 1 else f"{side}_{finger}{number - 1}"


PARENTS = np.array([-1, *(JOINTS.index(parent_name(name)) for name in JOINTS[1:])])
