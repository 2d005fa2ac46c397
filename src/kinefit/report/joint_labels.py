"""What the columns of a joint-angle table are called in print, and which way is positive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SIDES = {"r": "Right", "l": "Left"}

# joint -> angle -> (name, direction of positive values, of negative values), as `angles.groups`
# has them
_ROTATION = ("rotation", "internal", "external")
_WORDS: dict[str, dict[str, tuple[str, str, str]]] = {
    "pelvis": {
        "flex": ("tilt", "to the front", "to the back"),
        "abd": ("list", "right side down", "up"),
        "rot": ("rotation", "to the left", "to the right"),
    },
    "hip": {
        "flex": ("flexion", "flexion", "extension"),
        "abd": ("abduction", "abduction", "adduction"),
        "rot": _ROTATION,
    },
    "knee": {
        "flex": ("flexion", "flexion", "extension"),
        "abd": ("abduction", "abduction (valgus)", "adduction"),
        "rot": _ROTATION,
    },
    "ankle": {
        "flex": ("flexion", "dorsiflexion", "plantarflexion"),
        "abd": ("eversion", "eversion", "inversion"),
        "rot": _ROTATION,
    },
    "trunk": {
        "flex": ("flexion", "to the front", "to the back"),
        "abd": ("bending", "to the right", "to the left"),
        "rot": ("rotation", "to the left", "to the right"),
    },
    "shoulder": {
        "flex": ("flexion", "to the front", "to the back"),
        "abd": ("abduction", "to the side", "to the middle"),
        "rot": _ROTATION,
        "plane": ("plane", "to the front", "to the back"),
        "elev": ("elevation", "up", "down"),
        "axial": ("axial rotation", "internal", "external"),
    },
    "elbow": {
        "flex": ("flexion", "flexion", "extension"),
        "abd": ("carrying angle", "valgus", "varus"),
        "rot": ("pronation", "pronation", "supination"),
    },
}


@dataclass(frozen=True)
class AngleWords:
    """How one angle is labelled: its name and the meaning of + and -."""

    name: str
    plus: str
    minus: str

    @property
    def directions(self) -> str:
        """Both signs in words: "+ flexion  − extension"; empty when they are not known."""
        return f"+ {self.plus}  − {self.minus}" if self.plus else ""


def joint_of(group: str) -> str:
    """The joint of a group, without its side: "knee_r" -> "knee"."""
    joint, _, side = group.rpartition("_")
    return joint if side in _SIDES else group


def group_title(group: str) -> str:
    """ "knee_r" -> "Right knee"."""
    joint, _, side = group.rpartition("_")
    return f"{_SIDES[side]} {joint}" if side in _SIDES else group.capitalize()


def angle_words(column: str) -> AngleWords:
    """The words for a column such as "knee_r_flex"; an unknown one is called by its own name."""
    group, _, angle = column.rpartition("_")
    words = _WORDS.get(joint_of(group), {}).get(angle)
    return AngleWords(*words) if words else AngleWords(angle or column, "", "")


def angle_title(column: str) -> str:
    """ "knee_r_flex" -> "right knee flexion"."""
    return f"{group_title(column.rpartition('_')[0]).lower()} {angle_words(column).name}"


def groups_of(names: Sequence[str]) -> tuple[str, ...]:
    """The groups present among angle columns, in the order of their first column."""
    return tuple(dict.fromkeys(name.rpartition("_")[0] for name in names))


def joints_of(names: Sequence[str]) -> tuple[str, ...]:
    """The joints present among angle columns, sides merged, in order."""
    return tuple(dict.fromkeys(joint_of(group) for group in groups_of(names)))


def angles_of_joint(names: Sequence[str], joint: str) -> list[tuple[str, ...]]:
    """For each angle of `joint`, its columns (right and left where both exist).

    >>> angles_of_joint(["hip_r_flex", "hip_r_abd", "hip_l_flex"], "hip")
    [('hip_r_flex', 'hip_l_flex'), ('hip_r_abd',)]
    """
    columns: dict[str, list[str]] = {}
    for name in names:
        group, _, angle = name.rpartition("_")
        if joint_of(group) == joint:
            columns.setdefault(angle, []).append(name)
    return [tuple(same) for same in columns.values()]
