"""Joint and marker tables as data files, and the mapping between them by name."""

from kinefit.skeletons.keypoint_sets import KeypointSet as KeypointSet
from kinefit.skeletons.keypoint_sets import KeypointSetGuess as KeypointSetGuess
from kinefit.skeletons.keypoint_sets import keypoint_sets as keypoint_sets
from kinefit.skeletons.table import Skeleton as Skeleton
from kinefit.skeletons.table import map_points as map_points
from kinefit.skeletons.table import mirror_name as mirror_name
from kinefit.skeletons.table import skeleton as skeleton
from kinefit.skeletons.table import skeleton_names as skeleton_names
