"""Joint angles of a marker file."""

from __future__ import annotations

from pathlib import Path

from kinefit.biomech.angles import joint_angles, missing_landmarks
from kinefit.biomech.checked_markers import read_checked_markers
from kinefit.pipeline.joint_angle_files import write_joint_angles
from kinefit.pipeline.single_step import blamed_on, run_job
from kinefit.quality.assessment import assess
from kinefit.quality.verdict import find
from kinefit.types import Markers


def angles_of_file(
    file: str | Path, out: str | Path, *, plots: bool = False, up: str | None = None,
    units: str | None = None,
) -> tuple[list[Path], list[str]]:  # fmt: skip
    """Joint angles of a TRC or C3D file, of this or another program, as files in the folder `out`.

    up, units: of the file; see `kinefit.biomech.checked_markers.read_checked_markers`. Returns the
    files written and what to know before using them. Raises InputError for a file that cannot be
    read, or from which no joint can be computed.
    """
    file, out = Path(file), Path(out)
    markers = read_checked_markers(file, up=up, units=units)
    said = list(markers.notes)
    with blamed_on(file, _how_to_get_landmarks(file, markers)):
        angles = joint_angles(markers)

    def write(folder: Path, _: Path) -> None:
        write_joint_angles(angles, markers, folder, file.stem)
        if plots:
            from kinefit.report.plots import plot_all  # matplotlib takes half a second

            plot_all(angles, folder, f"{file.stem}_angles")

    chosen = {"plots": plots, "up": up, "units": units}
    record, _ = run_job(out, "angles", {"markers": file}, chosen, write, stem=file.stem)
    files = [out / name for name in record.files]
    said += [str(one) for one in find(assess(markers, angles=angles)) if one.level != "information"]
    lacking = missing_landmarks(markers).items()
    said += [f"Not computed: {group} (no {', '.join(marks)})." for group, marks in lacking]
    return files, said


def _how_to_get_landmarks(file: Path, markers: Markers) -> str:
    """The next thing to do with a file that lacks them: keypoints can be augmented."""
    from kinefit.biomech.markers import missing_inputs  # ONNX Runtime

    if not all(missing_inputs(markers).values()):
        target = file.with_name(f"{file.stem}_augmented.trc").name
        make = f"kinefit augment {file.name} --height METRES --mass KILOGRAMS"
        return f"it holds a detector's keypoints: `{make}`, then the angles of {target}"
    return (
        "name markers as OpenCap, Plug-in Gait, Qualisys or the augmenter do (docs/file-formats.md)"
    )
