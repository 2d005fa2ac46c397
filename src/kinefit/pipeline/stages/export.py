"""Stages `export ...` and `overlay`: the fitted motion for other programs, and on the video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from kinefit.body.load import load_body
from kinefit.body.model import BodyModel
from kinefit.export.motion_files import (
    at_constant_rate,
    export_amass,
    export_bvh,
    export_glb,
    export_obj_frames,
)
from kinefit.io.atomic import write_json
from kinefit.io.body_npz import read_motion
from kinefit.io.calibration import read_calibration
from kinefit.pipeline.artifacts import load_arrays
from kinefit.pipeline.context import Context
from kinefit.render.body_overlay import write_body_overlay
from kinefit.types import BodyMotion, InputError

KINDS = ("glb", "bvh", "obj")


def exporter(kind: str) -> Callable[[Context], None]:
    """The work of the stage that writes one kind of file."""

    def work(context: Context) -> None:
        config = context.config
        body = load_body(config.body, config.gender, child=config.child)
        motion = read_motion(context.read_user("_body.npz"))
        try:
            _, notes = export_as(context.new("_body"), kind, body, motion)
            about: dict[str, object] = {"notes": list(notes)}
        except InputError as error:  # what no such file can hold: the rest is worth having
            about = {"not_written": f"The motion was not written as {kind}: {error.reason}."}
        write_json(context.internal(f"export_{kind}.json"), about)

    return work


def check_kinds(kinds: Sequence[str], body: BodyModel, motion: BodyMotion) -> None:
    """InputError for a kind of file that `export_as` cannot make of this motion."""
    for kind in kinds:
        if kind not in ("glb", "bvh", "obj", "amass"):
            raise InputError("--to", f"no such kind: {kind}", "choose from glb, bvh, obj, amass")
        if kind == "amass" and not body.name.startswith("smpl"):
            hint = "leave amass out of --to"
            raise InputError("--to", f"AMASS holds SMPL bodies, not {body.name}", hint)
        if kind in ("bvh", "amass") and len(motion.timeline) < 2:
            raise InputError("--to", f"one frame is no motion for {kind}", "choose glb or obj")


def export_as(
    stem: Path, kind: str, body: BodyModel, motion: BodyMotion, influences: int = 4
) -> tuple[list[Path], tuple[str, ...]]:
    """A motion as `<stem>.glb`, `.bvh`, `<stem>_obj/` or `<stem>_amass.npz`; and notes.

    influences: joints per vertex in the .glb, 0: all. A motion on an uneven clock gets an even one
    for BVH and AMASS, which have no other. Raises InputError as `check_kinds`.
    """
    check_kinds([kind], body, motion)
    path = stem.with_name(f"{stem.name}.{kind}")
    if kind == "glb":
        most: dict[int, Literal[4, 8] | None] = {4: 4, 8: 8, 0: None}
        return [path], export_glb(path, body, motion, most[influences])
    if kind == "obj":
        folder = stem.with_name(f"{stem.name}_obj")
        return list(export_obj_frames(folder, stem.name, body, motion)), ()
    even = motion if motion.timeline.is_uniform else at_constant_rate(motion)
    if kind == "bvh":
        return [path], export_bvh(path, body, even)
    path = stem.with_name(f"{stem.name}_amass.npz")
    return [path], export_amass(path, body, even)


def overlay(context: Context) -> None:
    """`<stem>_overlay.mp4`."""
    config = context.config
    rig = read_calibration(context.read_internal("fitted_cameras.toml")).rig
    moments = load_arrays(context.read_internal("moments.npz"))["moments"]
    write_body_overlay(
        context.new("_overlay.mp4"),
        tuple(context.clips.values()),
        rig.select(tuple(context.job.inputs)) if len(rig) > 1 else rig,
        moments,
        load_body(config.body, config.gender, child=config.child),
        read_motion(context.read_user("_body.npz")),
        context.progress,
    )
