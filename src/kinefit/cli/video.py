"""`kinefit run`, `demo` and `masks`: from video; `join`: pictures to one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from kinefit.cli.console import (
    OutFolder,
    Overwrite,
    err,
    new_table,
    out,
    show_files,
    show_notes,
    show_result,
    show_warnings,
    stage_progress,
    with_options,
)
from kinefit.cli.option_groups import MASKS, RUN
from kinefit.pipeline.config import OPTIONS, RunConfig, read_config, run_config
from kinefit.pipeline.results import default_folder


@with_options(RunConfig, RUN)
def run(
    videos: Annotated[
        list[Path] | None,
        typer.Argument(help="The video, or the videos of several cameras (with --calibration)."),
    ] = None,
    out_folder: OutFolder = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with any of these options; flags win over it.",
            rich_help_panel="Output",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            help="Stop after this stage: detect, observe, fit, markers, ...",
            rich_help_panel="Output",
        ),
    ] = None,
    overwrite: Overwrite = False,
    **options: Any,
) -> None:
    """Video, or videos of calibrated cameras, to a body, markers, joint angles and a report.

    Several videos are matched to the cameras of --calibration by their names. Results go to
    kinefit_output/VIDEO (FOLDER_VIDEO for FOLDER/VIDEO.mp4; multiview instead of VIDEO for several)
    unless --out says otherwise. A second run with the same input and options reuses what is there;
    a stopped run goes on where it was.
    """
    values = (read_config(config) if config else {}) | options
    files = values.pop("video", [])
    chosen = videos or (files if isinstance(files, list) else [files])
    folder = out_folder or values.pop("out", None)
    values.pop("out", None)
    if not chosen:
        raise typer.BadParameter("name a video, or give --config with a `video` entry")
    settings = run_config(values, source=str(config or OPTIONS))
    folder = folder or default_folder([Path(one) for one in chosen])
    _process(chosen, folder, settings, overwrite, until)


def demo(
    out_folder: OutFolder = None,
    multiview: Annotated[
        bool, typer.Option("--multiview", help="All four calibrated cameras instead of one.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """The whole job on real video: Pose2Sim's single-person demo, camera 1 or all four.

    Results go to kinefit_demo (kinefit_demo_multiview) unless --out says otherwise.
    """
    from kinefit.api import DEMO_OPTIONS, demo_video, demo_views

    if multiview:
        videos, rig = demo_views()
        settings = run_config({**DEMO_OPTIONS, "calibration": rig})
        _process(videos, out_folder or Path("kinefit_demo_multiview"), settings, overwrite)
    else:
        settings = run_config(DEMO_OPTIONS)
        _process([demo_video()], out_folder or Path("kinefit_demo"), settings, overwrite)


def _process(
    videos: Sequence[Path], folder: Path, settings: Any, overwrite: bool, until: str | None = None
) -> None:
    from kinefit.api import everybody, process

    how: dict[str, Any] = {"until": until, "overwrite": overwrite}
    with stage_progress() as progress:
        if settings.people == "all":
            results = everybody(videos, folder, settings, progress=progress, **how)
        else:
            results = [process(videos, folder, settings, progress=progress, **how)]
    for result in results:
        show_result(result)


@with_options(RunConfig, MASKS)
def masks(
    videos: Annotated[
        list[Path], typer.Argument(help="The video, or those of several cameras (--calibration).")
    ],
    out_folder: OutFolder = None,
    overwrite: Overwrite = False,
    **options: Any,
) -> None:
    """Masks of one person in every frame of a video, and how far each can be trusted.

    The plan of `kinefit run` up to the masks, in the same folder, without a body: no --height is
    needed, and what either found in the video is used by the other. Masks come from the detector's
    own network, from --segmenter FILE, or from --masks FILE|FOLDER.
    """
    from kinefit.api import person_masks

    folder = out_folder or default_folder(videos)
    with stage_progress() as progress:
        result = person_masks(videos, folder, run_config(options), overwrite=overwrite,
                              progress=progress)  # fmt: skip
    table = new_table("camera", "frames", "usable", "mean confidence", "doubtful")
    for camera, found in result.cameras.items():
        numbers = found["frames"], found["usable"], found["mean_confidence"]
        table.add_row(camera, *map(str, numbers), str(len(found["doubtful"])))
    out.print(table)
    for camera in result.cameras:
        show_warnings(f"{camera}: {text}" for text in result.doubts(camera))
    show_files(result.files)


def join(
    folder: Annotated[
        Path, typer.Argument(help="The folder: .jpg, .png, .bmp, .tiff, .webp, .avif or .heic.")
    ],
    rate: Annotated[
        float, typer.Option(metavar="HZ", help="Pictures per second at which they were taken.")
    ],
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="The video [default: FOLDER.mov beside the folder]."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the video if it is there.")
    ] = False,
) -> None:
    """Numbered pictures of a folder to one video, without loss.

    For `kinefit run`, `masks`, `batch` and so on, which read videos. Pictures are ordered by the
    numbers in their names; numbers that are missing stay as gaps of time. JPEG and PNG files are
    copied into the video as they are.
    """
    from kinefit.api import join_pictures

    with stage_progress() as progress:
        joined = join_pictures(folder, rate, out_file, overwrite=overwrite, progress=progress)
    show_notes(joined.notes)
    info = joined.info
    size = f"{info.size[0]} x {info.size[1]} pixels, {info.rate_hz:.5g} per second"
    err.print(f"{info.n_frames} pictures, {size}, {info.duration_s:.3f} s")
    show_files([info.path])
    err.print(f"Next: {shlex.join(['kinefit', 'run', str(info.path), '--height'])} METRES")
