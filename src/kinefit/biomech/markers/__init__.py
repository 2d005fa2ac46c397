"""Marker sets: the initial 22, the 43 augmented, and what fills their gaps."""

from kinefit.biomech.markers.augment import OUTSIDE_TRAINING as OUTSIDE_TRAINING
from kinefit.biomech.markers.augment import augment as augment
from kinefit.biomech.markers.augment import final_names as final_names
from kinefit.biomech.markers.augment import missing_inputs as missing_inputs
from kinefit.biomech.markers.augment import within_training as within_training
from kinefit.biomech.markers.complete import estimate_missing as estimate_missing
from kinefit.biomech.markers.complete import force_complete as force_complete
from kinefit.biomech.markers.initial import initial_markers as initial_markers
from kinefit.biomech.markers.initial import standard_markers as standard_markers
