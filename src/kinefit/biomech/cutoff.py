"""Which cut-off frequencies a low-pass filter can have: known before the filter is loaded."""

from __future__ import annotations

from kinefit.types import InputError


def check_cutoff(cutoff_hz: float, rate_hz: float) -> None:
    """Raise InputError unless the cut-off lies between zero and half the sampling rate."""
    if not cutoff_hz > 0:
        raise InputError("cut-off", f"{cutoff_hz} Hz is not above zero", "use 6")
    # The rate comes from rounded time stamps; without a sample pair it is NaN, and this False.
    if cutoff_hz >= rate_hz / 2 * (1 - 1e-6):
        raise InputError(
            "cut-off",
            f"{cutoff_hz:g} Hz is not below half the sampling rate ({rate_hz:.4g} Hz)",
            f"give less than {rate_hz / 2:.4g} Hz, or do not filter",
        )
