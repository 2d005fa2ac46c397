"""Calibrations of other programs in and out: a rig in metres, and what had to be assumed."""

from kinefit.io.calibration.model import AXES as AXES
from kinefit.io.calibration.model import METRES as METRES
from kinefit.io.calibration.model import Axis as Axis
from kinefit.io.calibration.model import Calibration as Calibration
from kinefit.io.calibration.model import Unit as Unit
from kinefit.io.calibration.read import FORMATS as FORMATS
from kinefit.io.calibration.read import Format as Format
from kinefit.io.calibration.read import read_calibration as read_calibration
from kinefit.io.calibration.write import LAYOUTS as LAYOUTS
from kinefit.io.calibration.write import Layout as Layout
from kinefit.io.calibration.write import write_calibration as write_calibration
