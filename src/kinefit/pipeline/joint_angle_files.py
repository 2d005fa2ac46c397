"""Joint angles as the files of a result."""

from __future__ import annotations

from pathlib import Path

from kinefit.biomech.angles import GROUPS, group_names, to_opensim
from kinefit.io.mot import write_mot
from kinefit.io.tables import write_angles_csv
from kinefit.types import JointAngles, Markers, TooFewPoints


def write_joint_angles(
    angles: JointAngles, markers: Markers, folder: Path, stem: str
) -> list[Path]:
    """`<stem>_angles_<group>.csv` per joint group, `<stem>_angles_all.csv`, and `<stem>.mot`.

    The motion holds consecutive frames and coordinates without a missing value, since OpenSim
    reads none: as much of both as there is. Without any it is left out.
    """
    files = []
    for group in GROUPS:
        if names := [name for name in group_names(group) if name in angles.names]:
            files.append(folder / f"{stem}_angles_{group}.csv")
            write_angles_csv(files[-1], angles, names)
    files.append(folder / f"{stem}_angles_all.csv")
    write_angles_csv(files[-1], angles)
    try:
        motion = to_opensim(angles, markers).largest_complete()
    except TooFewPoints:
        return files
    files.append(folder / f"{stem}.mot")
    write_mot(files[-1], motion, stem)
    return files
