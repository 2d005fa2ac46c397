"""`kinefit view`: results in the browser, one alone or several under one clock."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from kinefit.io.body_npz import read_motion
from kinefit.io.calibration import read_calibration
from kinefit.io.tables import read_angles_csv
from kinefit.pipeline.manifest import read_manifest
from kinefit.pipeline.results import INTERNAL
from kinefit.pipeline.stages.scene import SCENE
from kinefit.report.scene import Figure, Scene, pack_scene
from kinefit.report.viewer import Recording, write_viewer
from kinefit.types import Finding, InputError, InvalidData, all_finite

_GZIP = b"\x1f\x8b"


def view(
    folders: Sequence[Path], out: Path | None = None, *, together: bool = False,
    fitted_shape: bool = False, overwrite: bool = False,
) -> Path:  # fmt: skip
    """The page that shows results: a folder's own, or a new one at `out` (`viewer.html`).

    folders: of runs, or of all people of a recording (`--people all`), who stand in one space.
    together: the same for several folders; else they are shown side by side, under one clock that
    begins with the first frame of each. fitted_shape: bodies as they were fitted, in place of
    mannequins, which can be chosen instead.

    Raises InputError for a folder without a scene, or without a fitted shape where it is wanted,
    and for an `out` that is there already unless `overwrite`.
    """
    alone = out is None and len(folders) == 1 and not fitted_shape
    own = _matching(folders[0], "*viewer.html") if alone else []
    if len(own) == 1:
        return own[0]
    if own:
        names = ", ".join(page.name for page in own)
        raise InputError(folders[0], f"holds several viewers: {names}", "open the one you want")
    people = [people_of(folder) for folder in folders]
    page = Path("viewer.html") if out is None else out
    if page.exists() and not overwrite:
        hint = "give another name with --out, or --overwrite"
        raise InputError(page, "is there already", hint)
    groups = [[one for group in people for one in group]] if together else people
    recordings = [recording_of(group, fitted_shape) for group in groups]
    page.parent.mkdir(parents=True, exist_ok=True)
    write_viewer(page, recordings, title=" · ".join(one.title for one in recordings))
    return page


def people_of(folder: Path) -> list[Path]:
    """The folder of a result, or those of the people in it.

    Raises InputError for a folder without a scene.
    """
    if not folder.is_dir():
        raise InputError(folder, "there is no such folder", "give the --out folder of a run")
    if _existing(folder, f"{INTERNAL}/{SCENE}") is not None:
        return [folder]
    found = sorted(folder.glob("person_*"), key=lambda one: (len(one.name), one.name))
    found = [one for one in found if _existing(one, f"{INTERNAL}/{SCENE}") is not None]
    if not found:
        reason = "holds no result that can be shown"
        raise InputError(folder, reason, "give the --out folder of a finished run of this version")
    return found


def recording_of(folders: Sequence[Path], fitted_shape: bool = False) -> Recording:
    """Film, curves and verdict are the first one's; curves only where it is alone."""
    first, alone = folders[0], len(folders) == 1
    films = _matching(first, "*_overlay.mp4")
    tables = _matching(first, "joint_angles/*_angles_all.csv")
    whole = first if alone or first.parent != folders[-1].parent else first.parent
    return Recording(
        title=whole.resolve().name,
        scenes=[
            *map(_scene, folders),
            *(_fitted(folder) for folder in folders if fitted_shape),
        ],
        film=films[0] if films else None,
        angles=read_angles_csv(tables[0]) if tables and alone else None,
        findings=_findings(first) if alone else None,
    )


def _findings(folder: Path) -> list[Finding] | None:
    """Those of run.json; None where it has none that can be read."""
    try:
        return [Finding.from_json(one) for one in read_manifest(folder)["findings"]]
    except (KeyError, TypeError, InvalidData):
        return None


def _scene(folder: Path) -> bytes:
    path = _existing(folder, f"{INTERNAL}/{SCENE}")
    content = b"" if path is None else path.read_bytes()
    if not content.startswith(_GZIP):
        raise InputError(folder, f"{SCENE} is no scene", "run the command again")
    return content


def _fitted(folder: Path) -> bytes:
    """A scene of the fitted shape alone, in the world of the folder's own."""
    meshes, motions = _matching(folder, "*_body.glb"), _matching(folder, "*_body.npz")
    if not meshes or not motions:
        hint = "run the command again with --export glb"
        raise InputError(folder, "holds no *_body.glb, which has the fitted shape", hint)
    motion = read_motion(motions[0])
    cameras = _existing(folder, f"{INTERNAL}/fitted_cameras.toml")
    body = Figure("Fitted shape", meshes[0].read_bytes(), all_finite(motion.translation))
    rig = () if cameras is None else read_calibration(cameras).rig.cameras
    return pack_scene(Scene("Fitted shape", motion.timeline, [body], cameras=rig))


def _matching(folder: Path, pattern: str) -> list[Path]:
    found = (_existing(folder, str(path.relative_to(folder))) for path in folder.glob(pattern))
    return sorted(path for path in found if path is not None)


def _existing(folder: Path, name: str) -> Path | None:
    """A file of the folder; None also where a link leads out of it, or to itself."""
    path = folder / name
    with suppress(OSError, RuntimeError):  # a link to itself, by Python 3.13 and before
        inside = path.resolve().is_relative_to(folder.resolve())
        return path if inside and path.is_file() else None
    return None
