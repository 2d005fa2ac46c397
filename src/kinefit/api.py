"""What kinefit does, one function per job: for scripts, and for the command line.

from pathlib import Path
from kinefit.api import process_video
from kinefit.pipeline.config import run_config

result = process_video(Path("walk.mp4"), Path("out"), run_config({"height": 1.78, "mass": 75}))
print(result.verdict, result.warnings)
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from kinefit.io.packages import pose2sim_folder
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.monocular import Monocular, Progress, SinkMaker, refuse_early
from kinefit.pipeline.provenance import sha256_file
from kinefit.pipeline.store import open_run
from kinefit.types import Subject
from kinefit.view.mask import MaskWriter
from kinefit.view.overlay import OverlayWriter

if TYPE_CHECKING:
    from kinefit.view.publish import RunResult

# Nobody measured the demo's subject: Pose2Sim's own estimate of the height, its default mass.
DEMO_OPTIONS = {"height": 1.68, "mass": 70.0, "plot_all_joint_angles": True}


def demo_video() -> Path:
    """The real video of the demo (Pose2Sim's, camera 1); raises MissingDependency."""
    return pose2sim_folder("The demo") / "Demo_SinglePerson" / "videos" / "cam01.mp4"


def process_video(
    video: Path,
    out: Path,
    config: RunConfig,
    *,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> RunResult:
    """Video to markers, joint angles and a report in the folder `out`.

    What is there already from the same input, options and version is reused. Raises InputError
    and its kin for input that cannot be used; folders made by this call are then removed again.
    """
    loader = Thread(target=_load_rest, daemon=True)

    def report(stage: str, done: int, total: int) -> None:
        if stage == "detect" and done and loader.ident is None:
            loader.start()
        progress(stage, done, total)

    refuse_early(video, config)
    sinks: dict[str, SinkMaker] = {}
    if config.overlay:
        sinks["_overlay.mp4"] = OverlayWriter
    if config.save_mask:
        sinks["_mask.mp4"] = MaskWriter
    with open_run(
        out, source=video, input_sha256=sha256_file(video), overwrite=overwrite
    ) as folder:
        run = Monocular(folder, video, config, sinks, report)
        run.run()
        from kinefit.view.publish import publish

        return publish(run)


def _load_rest() -> None:
    """Load what comes after detection while the detector works on the first frames.

    The libraries take about as long to load as the demo's video takes to look at. Loading holds
    Python's lock, which the detector needs for a moment a few times per frame: a short switch
    interval keeps it from waiting.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        from kinefit.markers.augment import load_networks

        load_networks()
        importlib.import_module("kinefit.pipeline.stages")
        importlib.import_module("kinefit.view.publish")
    finally:
        sys.setswitchinterval(interval)


def angles_of_file(
    trc: Path, out: Path, *, plots: bool = False
) -> tuple[list[Path], dict[str, tuple[str, ...]]]:
    """Joint angles of a TRC file, of this or another program, as files in the folder `out`.

    Raises InputError for a file that cannot be read and MissingMarkers when no joint can be
    computed. Returns the files written, and the joint groups that could not be computed with
    the landmarks that each lacks.
    """
    from kinefit.angles import joint_angles, missing_landmarks
    from kinefit.io.trc import read_trc
    from kinefit.pipeline.stages import write_joint_angles
    from kinefit.view.plots import plot_all

    markers = read_trc(trc)
    angles = joint_angles(markers)
    files = write_joint_angles(angles, markers, out, trc.stem)
    if plots:
        files += plot_all(angles, out, f"{trc.stem}_angles")
    return files, missing_landmarks(markers)


def augment_file(
    trc: Path, target: Path, subject: Subject, *, cycles: int, seed: int, complete: bool
) -> list[Path]:
    """Add the augmenter's 43 markers to a TRC file, of this or another program.

    complete: also estimate clusters and hip joint centres that are missing. Returns the files
    written: the markers, and beside them what is estimated and how uncertain each one is.
    """
    from kinefit.io.tables import write_uncertainty_csv
    from kinefit.io.trc import read_trc, write_trc
    from kinefit.markers import augment, force_complete

    markers = augment(read_trc(trc), subject, cycles=cycles, seed=seed)
    if complete:
        markers = force_complete(markers)
    write_trc(target, markers)
    table = target.with_name(f"{target.stem}_uncertainty.csv")
    write_uncertainty_csv(table, markers)
    return [target, table]
