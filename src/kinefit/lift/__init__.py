"""From one camera's landmarks to metric 3D in the room."""

from kinefit.lift.world import DEFAULT_FOV_DEG as DEFAULT_FOV_DEG
from kinefit.lift.world import WorldMotion as WorldMotion
from kinefit.lift.world import place_in_world as place_in_world
