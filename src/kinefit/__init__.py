"""Metric 3D human motion from ordinary video."""

__version__ = "0.1.0"
