"""Anatomical frames, ISB joint angles, OpenSim's coordinates."""

from kinefit.biomech.angles.coordinates import to_opensim as to_opensim
from kinefit.biomech.angles.groups import GIMBAL_DEG as GIMBAL_DEG
from kinefit.biomech.angles.groups import GROUPS as GROUPS
from kinefit.biomech.angles.groups import group_names as group_names
from kinefit.biomech.angles.groups import joint_angles as joint_angles
from kinefit.biomech.angles.groups import missing_landmarks as missing_landmarks
