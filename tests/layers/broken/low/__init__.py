"""The low layer, importing the high one."""

from broken.high import VALUE

__all__ = ["VALUE"]
