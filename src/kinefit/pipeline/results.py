"""What the files of a results folder are, in the order in which a reader wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinefit.pipeline.store import Folder

INTERNAL = ".kinefit"  # the folder of files that only kinefit reads
RIG_STEM = "multiview"  # how the names of files begin that are no single camera's

# End of the name -> words.
_ABOUT = {
    "report.html": "the report: open it in a browser",
    "viewer.html": "the viewer: video, space and curves together; open it in a browser",
    "_final.trc": "all markers, filtered and augmented (metres, Y up)",
    "_final.c3d": "the same markers for motion-capture software",
    "_final_uncertainty.csv": "per marker: measured or estimated, and its standard deviation",
    "_angles_all.csv": "all joint angles in one table (degrees)",
    "_angles_unrefined.csv": "the joint angles before the network corrected them",
    "_refined.csv": "the corrected joint angles in one table (degrees)",
    "_comparison.html": "before and after: open it in a browser",
    "_opencap.json": "the model in motion for OpenCap's viewers",
    ".mot": "the angles as OpenSim coordinates",
    "_overlay.mp4": "the video with the body drawn on it",
    "_body.npz": "the motion of the body: shape, joint rotations, translation",
    "_body.glb": "the body as an animated mesh (glTF)",
    "_body.bvh": "the body's skeleton and its motion",
    "_body.trc": "keypoints of the body (metres, Y up)",
    "_body.json": "how well the body fits, frame by frame",
    "_frames.npz": "the motion of the body: shape, joint rotations, translation",
    "_frames.trc": "the points on the body (metres, Y up)",
    "_frames.json": "the fit of every frame",
    "_body.obj": "the body as a mesh",
    "_body.png": "the picture, the body on it, and the body from its side",
    "_initial.trc": "the 22 initial markers, unfiltered",
    "_raw_landmarks.csv": "what the detector saw: pixels, visibility, its own 3D",
    "_triangulated.npz": "every point with its evidence: views used, errors, covariance",
    "_cameras.toml": "the cameras, in the world of the triangulated points",
    "_mask.mp4": "the person's masks as a video",
    "_masks.npz": "the person's masks, frame by frame",
    "_heads.npz": "masks of the head, frame by frame",
    "_heads.json": "which of these can be trusted, and why others cannot",
    "_masks.json": "which masks can be trusted, and why others cannot",
    "run.json": "provenance: hashes, versions, options, seconds and files of every stage",
}
_FOLDERS = {
    "_obj/": "a mesh for each frame",
    "joint_angles/*.csv": "the same per joint group",
    "joint_angles/*.png": "figures of the joint angles",
}


def files_of(folder: Folder) -> list[tuple[str, str]]:
    """The files for the user, each with what it is; earlier results are marked."""
    stale = {
        name: folder.is_stale(record.stage)
        for record in folder.records.values()
        for name in record.files
    }
    left = [name for record in folder.records.values() for name in record.left]
    stale |= {name: True for name in left if folder.file(name).is_file()}
    return words_about(stale | {"run.json": False})


def words_about(stale: Mapping[str, bool]) -> list[tuple[str, str]]:
    """Name -> whether it is of an earlier result; kinefit's own files are left out."""
    names = sorted(name for name in stale if not name.startswith("."))
    listed = [
        (name, about + (" (of an earlier fit)" if stale[name] else ""))
        for end, about in _ABOUT.items()
        for name in names
        if name.endswith(end)
    ]
    rest = [name for name in names if name not in dict(listed)]
    for pattern, about in _FOLDERS.items():
        head, _, tail = pattern.partition("*")
        members = [n for n in rest if head in n and n.endswith(tail)]
        if members:
            listed.append((f"{members[0].rpartition('/')[0]}/*{tail}", f"{about} ({len(members)})"))
        rest = [n for n in rest if n not in members]
    return listed + [(name, "") for name in rest]


_LONGEST_NAME = 120  # characters; file systems take 255 bytes


def default_folder(videos: Sequence[Path]) -> Path:
    """Where results go unless told otherwise: a name made of the video's path as seen from here, so
    that A/cam01.mp4 and B/cam01.mp4 have folders of their own.

    >>> default_folder([Path("walk.mp4")]).as_posix()
    'kinefit_output/walk'
    >>> default_folder([Path("A/cam01.mp4")]).as_posix()
    'kinefit_output/A_cam01'
    >>> default_folder([Path("A/cam01.mp4"), Path("A/cam02.mp4")]).as_posix()
    'kinefit_output/A_multiview'
    """
    first = videos[0]
    name = first.stem if len(videos) == 1 else RIG_STEM
    try:
        above = first.absolute().parent.relative_to(Path.cwd()).parts
    except ValueError:  # somewhere else on this machine
        above = first.absolute().parent.parts[1:][-1:]
    whole = "_".join((*(part for part in above if part != ".."), name))
    return Path("kinefit_output") / (whole if len(whole) <= _LONGEST_NAME else name)
