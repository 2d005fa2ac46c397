"""OpenSim scaling and inverse kinematics from any marker file."""

from kinefit.ik.inverse import IkResult as IkResult
from kinefit.ik.inverse import Options as Options
from kinefit.ik.inverse import inverse_kinematics_of_file as inverse_kinematics_of_file
