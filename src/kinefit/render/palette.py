"""Colours and words that the plots, the overlay and the report share."""

from __future__ import annotations

from typing import Literal

Side = Literal["right", "left", "middle"]

# Right and left from the palette of Okabe & Ito (2008): told apart with every colour vision
# deficiency and in grey print (blue is the darker one), both readable on white.
SIDE_COLOR: dict[Side, str] = {"right": "#0072b2", "left": "#d55e00", "middle": "#3d4650"}

INK = "#1f2933"  # text and axes
QUIET = "#66727f"  # second-rank text; 4.9:1 on white
GRID = "#e3e7eb"
SHADE = "#c9d0d7"  # stretches to be read with care: near gimbal lock, estimated values
PAPER = "#eef1f4"  # the empty part of a bar
ALERT = "#b3261e"  # frames that need care

SKIN = "#cdd8e4"  # a fitted body; its limbs are SIDE_COLOR, light enough for shading to show
SKIN_OF_SIDE: dict[Side, str] = {"right": "#6fb2dc", "left": "#f0a46c"}


def side_of(name: str) -> Side:
    """The body side that a marker, point or joint group name carries.

    >>> side_of("RKnee"), side_of("L.ASIS_study"), side_of("hip_r"), side_of("Neck")
    ('right', 'left', 'right', 'middle')
    """
    if name.endswith(("_r", "_l")):
        return "right" if name.endswith("_r") else "left"
    if name.endswith("_study") and name[0] in "rL" and name[1] in "._":
        return "right" if name[0] == "r" else "left"
    if len(name) > 1 and name[0] in "RL" and name[1].isupper():
        return "right" if name[0] == "R" else "left"
    return "middle"


def rgb(color: str) -> tuple[int, int, int]:
    """'#rrggbb' as three numbers in 0..255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
