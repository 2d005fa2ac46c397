"""Measurements of kinefit, outside the wheel: the suite, and scripts for single questions."""
