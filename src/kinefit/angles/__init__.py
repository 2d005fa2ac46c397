"""Anatomical frames, ISB joint angles, OpenSim's coordinates, comparison with a reference."""

from kinefit.angles.groups import GROUPS as GROUPS
from kinefit.angles.groups import group_names as group_names
from kinefit.angles.groups import joint_angles as joint_angles
from kinefit.angles.groups import missing_landmarks as missing_landmarks
