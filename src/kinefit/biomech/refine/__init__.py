"""Networks that refine joint angles."""

from kinefit.biomech.refine.joint import JointRefiner as JointRefiner
from kinefit.biomech.refine.joint import MainRefiner as MainRefiner
