"""OpenSim scaling and inverse kinematics from any marker file."""

from kinefit.biomech.opensim.inverse import IkResult as IkResult
from kinefit.biomech.opensim.inverse import Options as Options
from kinefit.biomech.opensim.inverse import inverse_kinematics_of_file as inverse_kinematics_of_file
