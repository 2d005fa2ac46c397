"""Joint angles against the true ones, per degree of freedom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.biomech.angles import to_opensim
from kinefit.biomech.angles.compare import DofError, compare, read_coordinates
from kinefit.evaluate.position_scores import columns, common_names, score_deviations
from kinefit.metrics import Agreement, agreement, mean_of, same_turn
from kinefit.metrics.summary import plain
from kinefit.synth.truth import PersonTruth
from kinefit.types import InputError, InvalidData, JointAngles, TooFewPoints


def score_angles(angles: JointAngles, truth: JointAngles) -> dict[str, Any]:
    """Angles against `truth` at the same samples; see `kinefit.metrics.Agreement`.

    Samples near gimbal lock in either are left out: there the value depends on noise. Whole turns
    do not count. `mae_centred` and `sd` are without the constant offset that different marker sets
    always have. overall: means over the degrees of freedom, of absolute values.
    coverage: of the standard deviations, if any; centred: about the mean difference.
    Raises InvalidData without a common angle.
    """
    names = common_names(angles.names, truth.names)
    ours, real = columns(angles.names, names), columns(truth.names, names)
    locked = angles.gimbal[:, ours] | truth.gimbal[:, real]
    reference = truth.degrees[:, real]
    difference = np.where(locked, np.nan, angles.degrees[:, ours] - reference)
    difference = np.stack([same_turn(column) for column in difference.T], axis=1)
    found = {
        name: agreement(reference[:, i] + difference[:, i], reference[:, i])
        for i, name in enumerate(names)
    }
    out: dict[str, Any] = {
        "frames": int(np.isfinite(reference).any(axis=1).sum()),
        "overall": _overall(found),
        "dofs": {name: one.to_json() for name, one in found.items()},
    }
    if angles.sd is not None:
        sd = angles.sd[:, ours]
        out["coverage"] = {
            "absolute": score_deviations(difference, sd),
            "centred": score_deviations(difference - mean_of(difference, 0), sd),
        }
    return out


def _overall(found: Mapping[str, Agreement]) -> dict[str, Any]:
    keys = ("mae", "rmse", "bias", "sd", "mae_centred", "rom_error", "icc", "r")
    signed = ("icc", "r")
    table = {key: np.array([getattr(one, key) for one in found.values()]) for key in keys}
    return plain({k: float(mean_of(v if k in signed else np.abs(v))) for k, v in table.items()})


def score_coordinates(path: Path, person: PersonTruth, name: str) -> dict[str, DofError]:
    """A file's angles against the truth, under OpenSim's coordinate names, in degrees.

    path: as for `kinefit.biomech.angles.compare.evaluate_file`. name: the reference's, for
    messages.
    Raises InputError for a file that cannot be read or compared.
    """
    reference = to_opensim(person.angles, person.markers)
    try:
        return compare(read_coordinates(path), reference)
    except (InvalidData, TooFewPoints) as error:
        raise InputError(
            path, f"cannot be compared with {name}: {str(error).partition(' Next:')[0]}",
            "give the scene that it was made from",
        ) from error  # fmt: skip
