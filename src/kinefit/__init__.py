"""Metric 3D human motion from ordinary video.

    import kinefit as kf

    r = kf.run("walk.mp4", height=1.78, mass=75)
    r.verdict, r.warnings
    r.angles.to_dataframe()
    kf.open("kinefit_output/walk")  # the same result, later

`kinefit.api` has the other jobs. Nothing is loaded before it is used.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["KinefitError", "RunResult", "__version__", "open", "run"]

# Relative: the cache keys of stages follow absolute imports of kinefit, and no stage runs these.
if TYPE_CHECKING:
    from .api import RunResult, run
    from .api import open_result as open  # noqa: A004 (as `kf.open` it is read with its module)
    from .types import KinefitError

_ELSEWHERE = {
    "KinefitError": ("types", "KinefitError"),
    "RunResult": ("pipeline.run_result", "RunResult"),
    "open": ("pipeline.run_result", "open_result"),
    "run": ("pipeline.video_jobs", "run"),
}


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _ELSEWHERE[name]
    return getattr(_import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
