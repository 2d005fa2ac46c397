"""From one camera's landmarks to metric 3D in the room."""

from kinefit.metric.placement import DEFAULT_FOV_DEG as DEFAULT_FOV_DEG
from kinefit.metric.placement import WorldMotion as WorldMotion
from kinefit.metric.placement import place_in_world as place_in_world
