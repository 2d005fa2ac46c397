"""How far joint angles are from a reference motion, per degree of freedom."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from kinefit.biomech.angles.coordinates import to_opensim
from kinefit.biomech.angles.groups import joint_angles
from kinefit.biomech.checked_markers import read_checked_markers
from kinefit.io.marker_files import READERS
from kinefit.io.mot import MotTable, read_mot
from kinefit.io.tables import read_angles_csv
from kinefit.metrics.statistics import agreement, same_turn
from kinefit.types import FloatArray, InputError, InvalidData, MissingMarkers, NoCommonTime

# Columns of a table that are no rotation of a joint: places, the patella's dependent angle, speeds,
# states of muscles (with a path or a dot), activations, loads, and what actuators add.
_NO_ANGLE = re.compile(
    r".*(_tx|_ty|_tz|_beta|_u|_speed|_activation|_excitation|_fiber_length|_moment|_force|_torque)"
    r"|.*[/.].*|(ground_|reserve|residual).*|[FM][XYZ]",
    re.IGNORECASE,
)


_MOST_RAD = 4 * np.pi  # of a coordinate: two whole turns


@dataclass(frozen=True)
class DofError:
    """Errors of one coordinate in degrees, `a - reference`; None where there is nothing to say.

    rmse, mae, bias: of the difference (root mean square, mean absolute, mean).
    sd: of the difference about its mean, i.e. what a constant offset of the frames cannot explain.
    r: Pearson's correlation; None also when one of the two curves is constant.
    """

    rmse: float | None
    mae: float | None
    bias: float | None
    sd: float | None
    r: float | None


def compare(table: MotTable, reference: MotTable) -> dict[str, DofError]:
    """Errors of every joint angle that both tables name, in the order of the reference.

    Both are compared at the sample times of `table` that lie inside the reference, which is
    interpolated linearly, never across a missing value. Whole turns between the two do not count.

    Raises InvalidData when they share no joint angle, and NoCommonTime when they share no time.
    """
    names = [n for n in reference.names if n in table.names and not _NO_ANGLE.fullmatch(n)]
    if not names:
        raise InvalidData(
            f"No common joint angle: one has {', '.join(table.names)}; "
            f"the reference has {', '.join(reference.names)}."
        )
    time, span = table.timeline.time, reference.timeline.time
    # Half a millisecond, so that time stamps rounded to it still meet at the ends.
    slack = 5e-4 if len(span) > 1 else 0.0
    common = (time >= span[0] - slack) & (time <= span[-1] + slack)
    if not common.any():
        raise NoCommonTime((time[0], time[-1]), (span[0], span[-1]))
    return {
        name: _errors(
            _degrees(table, name)[common],
            _interpolate(time[common], span, _degrees(reference, name)),
        )
        for name in names
    }


def evaluate_file(
    path: str | Path, reference: str | Path, on_note: Callable[[str], None] = lambda note: None
) -> dict[str, DofError]:
    """Errors of the joint angles in a file against an OpenSim motion.

    path: markers (.trc, .c3d, whose angles are computed), kinefit's angle table (.csv), or
        coordinates (.mot, .sto).
    reference: .mot or .sto with the coordinates of OpenSim's full-body models.
    on_note: called with what a reader changed or assumed.

    Raises InputError for a file that cannot be read or compared, MissingMarkers when the markers
    give no joint angle.
    """
    path, reference = Path(path), Path(reference)
    table, truth = read_coordinates(path), read_mot(reference).coordinates()
    for file, read in ((path, table), (reference, truth)):
        for note in (*read.notes, *_of_another_unit(read)):
            on_note(f"{file.name}: {note}")
    try:
        return compare(table, truth)
    except (InvalidData, NoCommonTime) as error:
        raise InputError(
            path, f"cannot be compared with {reference.name}: {error}",
            "give the reference of the same recording",
        ) from error  # fmt: skip


def as_json(errors: dict[str, DofError]) -> dict[str, dict[str, dict[str, float | None]]]:
    """{"dofs": {name: {"rmse", "mae", "bias", "sd", "r"}}}, ready for `json.dumps`."""
    return {"dofs": {name: asdict(error) for name, error in errors.items()}}


def read_coordinates(path: Path) -> MotTable:
    """Angles of a file under OpenSim's coordinate names, as `evaluate_file` takes them.

    Raises InputError for a file of another kind, or whose markers give no joint angle.
    """
    match path.suffix.lower():
        case suffix if suffix in READERS:
            markers = read_checked_markers(path)
            try:
                angles = to_opensim(joint_angles(markers), markers)
                return replace(angles, notes=markers.notes)
            except MissingMarkers as error:
                raise InputError(path, error.bare_reason, "check its markers") from error
        case ".csv":
            return to_opensim(read_angles_csv(path))
        case ".mot" | ".sto":
            return read_mot(path).coordinates()
    raise InputError(path, "is neither .trc, .c3d, .csv, .mot nor .sto", "give one of these")


def _of_another_unit(table: MotTable) -> list[str]:
    """A sentence where rotations cannot be in the unit in which they are read."""
    names = [name for name in table.names if not _NO_ANGLE.fullmatch(name)]
    largest = max((float(np.nanmax(np.abs(table.column(n)), initial=0)) for n in names), default=0)
    said, other = ("degrees", "radians") if table.in_degrees else ("radians", "degrees")
    if (0 < largest < np.pi and len(names) > 1) if table.in_degrees else largest > _MOST_RAD:
        why = "which is how OpenSim reads a file that states no unit"
        why = why if table.in_degrees is None else "as its header states"
        return [f"Its rotations, up to {largest:.3g}, are read as {said}, {why}; they look like "
                f"{other} (inDegrees)."]  # fmt: skip
    return []


def _degrees(table: MotTable, name: str) -> FloatArray:
    """A column in degrees; a table that does not say is in radians, as OpenSim takes it."""
    values = table.column(name)
    return values if table.in_degrees else np.degrees(values)


def _interpolate(time: FloatArray, at: FloatArray, values: FloatArray) -> FloatArray:
    """`values` (T,) degrees known at `at`, at other times; NaN beside a missing value.

    Unwrapped first: between 179 and -179 degrees lies 180.
    """
    good = np.isfinite(values)
    if not good.any():
        return np.full(len(time), np.nan)
    level = np.unwrap(values[good], period=360.0)
    out = np.interp(time, at[good], level)
    # A sample counts when the reference has a value on both sides of it, or exactly at it.
    before = np.clip(np.searchsorted(at, time, side="right") - 1, 0, len(at) - 1)
    after = np.clip(np.searchsorted(at, time, side="left"), 0, len(at) - 1)
    out[~(good[before] & good[after])] = np.nan
    return out


def _errors(values: FloatArray, reference: FloatArray) -> DofError:
    found = agreement(reference + same_turn(values - reference), reference)
    numbers = {name: getattr(found, name) for name in ("rmse", "mae", "bias", "sd", "r")}
    return DofError(**{name: None if np.isnan(n) else n for name, n in numbers.items()})
