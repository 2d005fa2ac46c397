"""Values over time as a table of pandas, which is loaded only here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kinefit.types.arrays import BoolArray, FloatArray
from kinefit.types.errors import MissingDependency
from kinefit.types.timeline import Timeline

if TYPE_CHECKING:
    from pandas import DataFrame


def data_frame(timeline: Timeline, columns: Mapping[str, FloatArray | BoolArray]) -> DataFrame:
    """A row per sample, its index the frame number; `time_s`, then the columns, (T,) each.

    Raises MissingDependency without pandas.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingDependency("pandas", "A table", "pip install pandas") from error
    index = pandas.Index(timeline.frame, name="frame")
    return pandas.DataFrame({"time_s": timeline.time, **columns}, index=index)
