"""Marker sets: the initial 22, the 43 augmented, and what fills their gaps."""

from kinefit.markers.augment import OUTSIDE_TRAINING as OUTSIDE_TRAINING
from kinefit.markers.augment import augment as augment
from kinefit.markers.augment import missing_inputs as missing_inputs
from kinefit.markers.augment import within_training as within_training
from kinefit.markers.complete import estimate_missing as estimate_missing
from kinefit.markers.complete import force_complete as force_complete
from kinefit.markers.initial import initial_markers as initial_markers
from kinefit.markers.initial import standard_markers as standard_markers
