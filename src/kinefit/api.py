"""What kinefit does, one function per job: for scripts, and for the command line.

from pathlib import Path
from kinefit.api import process_video
from kinefit.pipeline.config import run_config

result = process_video(Path("walk.mp4"), Path("out"), run_config({"height": 1.78, "mass": 75}))
print(result.verdict, result.warnings)
"""

from __future__ import annotations

from pathlib import Path

from kinefit.angles import joint_angles
from kinefit.io.packages import pose2sim_folder
from kinefit.io.trc import read_trc, write_trc
from kinefit.io.video import probe
from kinefit.markers import augment, force_complete
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.monocular import Monocular, Progress, SinkMaker, write_joint_angles
from kinefit.pipeline.provenance import sha256_file
from kinefit.pipeline.store import open_run
from kinefit.types import Subject
from kinefit.view.mask import MaskWriter
from kinefit.view.overlay import OverlayWriter
from kinefit.view.plots import plot_all
from kinefit.view.publish import RunResult as RunResult
from kinefit.view.publish import publish

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
    and its kin for input that cannot be used; a folder made by this call is removed again when
    nothing was finished.
    """
    probe(video)  # refuse what is no video before anything is written
    sinks: dict[str, SinkMaker] = {}
    if config.overlay:
        sinks["_overlay.mp4"] = OverlayWriter
    if config.save_mask:
        sinks["_mask.mp4"] = MaskWriter
    with open_run(
        out, source=video, input_sha256=sha256_file(video), overwrite=overwrite
    ) as folder:
        run = Monocular(folder, video, config, sinks, progress)
        run.run()
        return publish(run)


def angles_of_file(trc: Path, out: Path, *, plots: bool = False) -> list[Path]:
    """Joint angles of a TRC file, of this or another program, as files in the folder `out`.

    Raises InputError for a file that cannot be read and MissingMarkers when no joint can be
    computed. Returns the files written.
    """
    markers = read_trc(trc)
    angles = joint_angles(markers)
    files = write_joint_angles(angles, markers, out, trc.stem)
    return files + (plot_all(angles, out, trc.stem) if plots else [])


def augment_file(
    trc: Path, target: Path, subject: Subject, *, cycles: int, seed: int, complete: bool
) -> None:
    """Add the augmenter's 43 markers to a TRC file, of this or another program.

    complete: also estimate clusters and hip joint centres that are missing.
    """
    markers = augment(read_trc(trc), subject, cycles=cycles, seed=seed)
    write_trc(target, force_complete(markers) if complete else markers)
