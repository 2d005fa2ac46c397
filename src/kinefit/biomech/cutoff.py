"""Which cut-off frequencies a low-pass filter can have, and where it has nothing to do."""

from __future__ import annotations

import math

from kinefit.types import InputError


def filters(cutoff_hz: float, rate_hz: float) -> bool:
    """Whether a low-pass filter with this cut-off changes anything at this sampling rate.

    Not with 0, which stands for no filter, nor from half the rate on, above which samples hold
    nothing. Raises InputError for a cut-off that is negative or no number.
    """
    if not 0 <= cutoff_hz < math.inf:
        raise InputError(
            "--cutoff-hz", f"{cutoff_hz} Hz is no frequency", "use 6, or 0 for no filter"
        )
    # The rate comes from rounded time stamps; without a sample pair it is NaN, and this False.
    return 0 < cutoff_hz < rate_hz / 2 * (1 - 1e-6)
