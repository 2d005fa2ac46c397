"""Fitted motion, recordings and bodies as files for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinefit.body.anny import SMPL_JOINTS, load_anny
from kinefit.body.load import load_body
from kinefit.export.recordings import is_recording, motion_of_recording
from kinefit.export.smpl_body import as_smpl
from kinefit.io.body_npz import read_motion
from kinefit.io.smpl import write_smpl
from kinefit.pipeline.stages.export import check_kinds, export_as
from kinefit.types import InputError


def export_motion(
    motion: str | Path, kinds: Sequence[str], body: str = "anny", influences: int = 4
) -> tuple[list[Path], list[str]]:
    """A motion for other programs, beside its file: the files, and what to know of them.

    motion: a fitted one, or a recording of motion capture (BVH, AMC, AMASS), which is brought to
    the body. kinds: of glb, bvh, obj, amass. body: the one that was fitted. Raises InputError for
    an unknown kind, a file that is no motion, and a motion of another body.
    """
    _refuse_other_files(motion := Path(motion))
    model, stem = load_body(body), motion.with_suffix("")
    said: tuple[str, ...] = ()
    if is_recording(motion):
        moving, said = motion_of_recording(motion, model)
        stem = stem.with_name(f"{stem.name}_body")
    else:
        moving = read_motion(motion)
    if moving.body != model.name:
        raise InputError(
            motion,
            f"it moves {moving.body}, not {model.name}",
            "give the body that was fitted: --body FILE, or --body anny",
        )
    if influences not in (0, 4, 8):
        raise InputError(
            "--influences",
            f"{influences} joints a vertex cannot be written",
            "choose 4, 8, or 0 for all",
        )
    check_kinds(kinds, model, moving)
    done = [export_as(stem, kind, model, moving, influences) for kind in kinds]
    return [f for files, _ in done for f in files], [*said, *(n for _, ns in done for n in ns)]


def _refuse_other_files(file: Path) -> None:
    """InputError that says what to do with a file whose kind holds no motion of a body."""
    match file.suffix.lower():
        case ".trc" | ".c3d":
            hint = f"fit a body to them: `kinefit fit markers {file.name}` also writes glb and bvh"
            raise InputError(file, "holds markers, not the motion of a body", hint)
        case ".mot" | ".sto" | ".csv":
            hint = "name the _body.npz of a fit, or a BVH, AMC or AMASS file"
            raise InputError(file, "holds a table over time, not the motion of a body", hint)


def export_smpl_body(target: str | Path, shapes: int = 10) -> str:
    """Write Anny in SMPL's format; returns how far it is from Anny, in words.

    Raises InputError for a name that ends in neither .npz nor .pkl.
    """
    found = as_smpl(load_anny(), SMPL_JOINTS, shapes, signed=True)
    write_smpl(Path(target), found.data)
    off = f"{found.shape_residual_mm:.1f} mm (RMS)"
    return f"With {shapes} shape directions, vertices are {off} from those of Anny's own shapes."
