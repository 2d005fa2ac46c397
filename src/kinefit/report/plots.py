"""Joint angles as PNG files for a paper: one per joint group, and one with all of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kinefit.report.charts import angle_panel, angle_range, legend
from kinefit.report.drawing import Sheet
from kinefit.report.joint_labels import (
    angle_words,
    angles_of_joint,
    group_title,
    groups_of,
    joint_of,
    joints_of,
)
from kinefit.report.png import write_png
from kinefit.types import InvalidData, JointAngles

_WIDTH = 680.0  # 180 mm: two columns of a journal
_PANEL = 150.0
_SCALE = 2.0  # 192 dots per inch: text stays crisp at that size


def plot_group(angles: JointAngles, group: str, path: str | Path) -> None:
    """Write the angles of one group ("knee_r") as a PNG; raises InvalidData if it has none.

    Right and left have the same axes, so that their two figures can be laid side by side.
    """
    write_png(group_sheet(angles, group), path, _SCALE)


def plot_overview(angles: JointAngles, path: str | Path) -> None:
    """Write every joint in one PNG, right and left together."""
    write_png(overview_sheet(angles), path, _SCALE)


def plot_all(angles: JointAngles, folder: str | Path, stem: str) -> list[Path]:
    """Write `<stem>_<group>.png` for each group and `<stem>_all.png`; the paths, in that order.

    Two threads: compressing the pixels, the larger half of the work, leaves Python's lock.
    """
    folder = Path(folder)
    jobs: list[tuple[Callable[[], Sheet], Path]] = [
        (lambda group=group: group_sheet(angles, group), folder / f"{stem}_{group}.png")  # type: ignore[misc]
        for group in groups_of(angles.names)
    ]
    jobs.append((lambda: overview_sheet(angles), folder / f"{stem}_all.png"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: write_png(job[0](), job[1], _SCALE), jobs))
    return [path for _, path in jobs]


def group_sheet(angles: JointAngles, group: str) -> Sheet:
    """The figure of one group: a panel per angle, one above the other, times aligned."""
    columns = [name for name in angles.names if name.rpartition("_")[0] == group]
    if not columns:
        raise InvalidData(f"No angles of {group!r}; there are: {', '.join(angles.names)}.")
    sheet = Sheet(_WIDTH, 50 + _PANEL * len(columns) + 14)
    sheet.text(46, 22, f"{group_title(group)} angles", size=14, bold=True)
    legend(sheet, 46, 41, _columns(angles, columns))
    both_sides = angles_of_joint(angles.names, joint_of(group))
    for row, column in enumerate(columns):
        pair = next(same for same in both_sides if column in same)
        last = row == len(columns) - 1
        box = (0.0, 50 + _PANEL * row, _WIDTH, _PANEL + (14 if last else 0))
        angle_panel(sheet, box, angles, [column], limits=angle_range(angles, pair), time_label=last)
    return sheet


def overview_sheet(angles: JointAngles) -> Sheet:
    """The figure of all joints: a row per joint, right and left overlaid."""
    rows = [
        (joint, pairs[i : i + 3])
        for joint in joints_of(angles.names)
        for pairs in [angles_of_joint(angles.names, joint)]
        for i in range(0, len(pairs), 3)
    ]
    width, height = 340.0, 132.0
    sheet = Sheet(3 * width, 50 + height * len(rows) + 14)
    sheet.text(46, 22, "Joint angles", size=14, bold=True)
    legend(sheet, 46, 41, angles)
    for row, (joint, pairs) in enumerate(rows):
        last = row == len(rows) - 1
        for column, pair in enumerate(pairs):
            box = (width * column, 50 + height * row, width, height + (14 if last else 0))
            title = f"{joint.capitalize()} {angle_words(pair[0]).name}"
            angle_panel(sheet, box, angles, pair, title=title, time_label=last)
    return sheet


def _columns(angles: JointAngles, names: list[str]) -> JointAngles:
    """Only the named columns of a table."""
    pick = [angles.names.index(name) for name in names]
    sd = None if angles.sd is None else angles.sd[:, pick]
    return JointAngles(
        angles.timeline, tuple(names), angles.degrees[:, pick], angles.gimbal[:, pick], sd
    )
