"""Part orientation fields: from one person's points in a video to the directions of their limbs."""

from kinefit.lift.lifter import MODELS as MODELS
from kinefit.lift.lifter import Lifted as Lifted
from kinefit.lift.lifter import Lifter as Lifter
from kinefit.lift.lifter import OnnxLifter as OnnxLifter
from kinefit.lift.models import load_lifter as load_lifter
