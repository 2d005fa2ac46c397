"""Parametric bodies behind one description: Anny, SMPL's family, MHR."""

from kinefit.body.model import BodyModel as BodyModel
from kinefit.body.model import ShapeSpace as ShapeSpace
