"""Joint and marker tables as data files, and the mapping between them by name."""

from kinefit.skeletons.table import Skeleton as Skeleton
from kinefit.skeletons.table import map_points as map_points
from kinefit.skeletons.table import mirror_name as mirror_name
from kinefit.skeletons.table import skeleton as skeleton
from kinefit.skeletons.table import skeleton_names as skeleton_names
