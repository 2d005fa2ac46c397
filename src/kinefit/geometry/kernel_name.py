"""Names of robust kernels, for options: the kernels are in `kinefit.geometry.robust`."""

from typing import Literal

KernelName = Literal["cauchy", "huber", "log-huber"]
