"""From one camera's landmarks to observations of a person in the world."""

from kinefit.metric.observe import limb_directions as limb_directions
from kinefit.metric.observe import observe_camera as observe_camera
from kinefit.metric.placement import DEFAULT_FOV_DEG as DEFAULT_FOV_DEG
from kinefit.metric.placement import Placement as Placement
from kinefit.metric.placement import place_in_world as place_in_world
