"""The high layer."""

VALUE = 1
