"""Anatomical frames, ISB joint angles, OpenSim's coordinates, comparison with a reference."""

from kinefit.angles.compare import DofError as DofError
from kinefit.angles.compare import compare as compare
from kinefit.angles.compare import evaluate_file as evaluate_file
from kinefit.angles.groups import GIMBAL_DEG as GIMBAL_DEG
from kinefit.angles.groups import GROUPS as GROUPS
from kinefit.angles.groups import group_names as group_names
from kinefit.angles.groups import joint_angles as joint_angles
from kinefit.angles.groups import missing_landmarks as missing_landmarks
from kinefit.angles.opensim import to_opensim as to_opensim
