"""2D points of several cameras from any source: tables, arrays, folders of other programs' files.

What is read says what it assumed (pixels or shares of the picture, times, names), and anything
that would have to be guessed is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kinefit.io.arrays import read_needed
from kinefit.io.people import SHARE_HIGH, SHARE_LOW, People, of_one_set, taken_for_shares
from kinefit.io.points_csv import Rows, read_rows
from kinefit.io.pose_json import read_openpose
from kinefit.io.sam3d import described, match_cameras, read_sam3d
from kinefit.io.text import refused_as_input
from kinefit.skeletons import skeleton, skeleton_names
from kinefit.types import (
    CameraRig,
    Finding,
    FloatArray,
    InputError,
    IntArray,
    InvalidData,
    NobodyFound,
    Timeline,
    all_finite,
)
from kinefit.types.arrays import check_names, freeze, freeze_arrays

_SMALLEST_PICTURE = 16  # pixels; in a smaller one, pixels and shares cannot be told apart
_MOST_CELLS = 2**26  # cameras x frames x points (16 x 10,000 x 70 are a sixth): 1.5 GB
_SPARSE = 100  # cells for each row of a table; beyond, names or frame numbers are something else


@dataclass(frozen=True, eq=False)
class Points2D:
    """One person's (or object's) points in the pictures of several cameras.

    cameras: C names. timeline: T frames, one clock. names: J points.
    xy: (C, T, J, 2) px of each camera's own (distorted) picture; NaN where missing.
    score: (C, T, J) in 0..1; 0 where xy is NaN.
    image_size: (C, 2) width, height px.
    assumed: what the source did not say, in words. findings: what may be wrong about it.
    """

    cameras: tuple[str, ...]
    timeline: Timeline
    names: tuple[str, ...]
    xy: FloatArray
    score: FloatArray
    image_size: IntArray
    assumed: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        cameras = check_names("Points2D", self.cameras)
        names = check_names("Points2D", self.names)
        shape = (len(cameras), len(self.timeline), len(names))
        xy, score = (np.array(a, dtype=np.float64) for a in (self.xy, self.score))
        if xy.shape == (*shape, 2) and score.shape == shape:  # a wrong shape is reported below
            missing = ~all_finite(xy) | ~(score > 0)
            xy[missing & ~np.isinf(xy).any(axis=-1)] = np.nan
            score[missing] = 0.0
        freeze(self, cameras=cameras, names=names, xy=xy, score=score, assumed=tuple(self.assumed))
        freeze_arrays(self, xy=(*shape, 2), score=shape)
        freeze_arrays(self, np.int64, image_size=(len(cameras), 2))
        if self.score.size and self.score.max() > 1:
            raise InvalidData("Points2D.score must lie in 0..1.")

    def select(self, columns: Sequence[int]) -> Points2D:
        """These points, in that order."""
        names = tuple(self.names[j] for j in columns)
        xy, score = self.xy[:, :, columns], self.score[..., columns]
        return replace(self, names=names, xy=xy, score=score)


@dataclass(frozen=True, eq=False)
class People2D:
    """Several persons per picture, who is who not yet known; see `kinefit.tracking.identity`.

    cameras, timeline, names, image_size, assumed, findings: as in Points2D.
    views: (C, T) arrays (N, J, 3) of x, y px and score; NaN where missing.
    """

    cameras: tuple[str, ...]
    timeline: Timeline
    names: tuple[str, ...]
    views: tuple[tuple[FloatArray, ...], ...]
    image_size: IntArray
    assumed: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    def select(self, columns: Sequence[int]) -> People2D:
        """These points, in that order."""
        names = tuple(self.names[j] for j in columns)
        views = tuple(tuple(pose[:, columns] for pose in view) for view in self.views)
        return replace(self, names=names, views=views)


def read_points(
    path: str | Path,
    rig: CameraRig,
    *,
    subset: str | Sequence[str] | None = None,
    normalized: bool | None = None,
    rate_hz: float | None = None,
    keypoint_set: str | None = None,
) -> Points2D | People2D:
    """2D points from a file or folder, for the cameras of `rig` and in its order.

    path: a CSV table (`kinefit.io.points_csv`); this project's `.npz` (arrays xy, score,
        frame, time, names, cameras, image_size); a folder
        with the outputs of SAM 3D Body or plain arrays (`kinefit.io.sam3d`); or one with a folder
        of OpenPose JSON per camera, named like the camera or `<camera>_json`.
    subset: points to keep, in that order: names, or the name of a skeleton (`"mhr46"`).
    normalized: True: coordinates are shares of the picture's width and height, x px = x * width;
        False: pixels; None: shares if all of them lie between -0.02 and 1.1.
    rate_hz: frames per second, for sources without times. Without it, times are frame numbers.
    keypoint_set: whose points OpenPose JSON holds, as `kinefit.io.people.collect` takes it.

    Several persons in any picture give People2D. `assumed` says in words what was not in the
    source. Raises InputError for whatever cannot be read or does not fit the rig.
    """
    path = Path(path)
    if rate_hz is not None and not 0 < rate_hz < np.inf:
        raise InputError("--rate", f"{rate_hz} is not a rate", "give frames per second, e.g. 60")
    if path.is_dir():
        found = _read_folder(path, rig, normalized, rate_hz, keypoint_set)
    elif path.suffix.lower() == ".npz":
        found = _read_npz(path, rig)
    elif path.suffix.lower() == ".csv":
        found = _read_csv(path, rig, normalized, rate_hz)
    else:
        reason = "is not a folder, .csv or .npz" if path.exists() else "there is no such file"
        hint = "give a table, this program's .npz, or a folder with an entry per camera"
        raise InputError(path, reason, hint)
    return found if subset is None else found.select(_subset(path, found.names, subset))


def _read_npz(path: Path, rig: CameraRig) -> Points2D:
    numeric = ("frame", "time", "xy", "score", "image_size")
    arrays = read_needed(path, (*numeric, "names", "cameras"), "give a file that kinefit wrote")
    for key in ("names", "cameras"):
        if arrays[key].dtype.kind != "U" or arrays[key].ndim != 1:
            raise InputError(path, f"its {key} are not a list of names", "write it again")
    for key in numeric:
        if arrays[key].dtype.kind not in "iuf":
            raise InputError(path, f"its {key} are not numbers", "write it again")
    names, cameras = arrays["names"].tolist(), arrays["cameras"].tolist()
    frame, time, xy, score, size = (arrays[key] for key in numeric)
    with refused_as_input(path):
        stored = Points2D(tuple(cameras), Timeline(frame, time), tuple(names), xy, score, size)
    _check_cameras(path, cameras, rig)
    shape = (len(rig), *stored.xy.shape[1:3])
    xy, score = np.full((*shape, 2), np.nan), np.zeros(shape)
    notes = [*_absent(cameras, rig)]
    for c, camera in enumerate(rig):
        if camera.name not in cameras:
            continue
        k = cameras.index(camera.name)
        xy[c], score[c] = stored.xy[k], stored.score[k]
        width, height = stored.image_size[k].tolist()
        if (width, height) != tuple(camera.size):
            notes.append(
                f"Camera {camera.name}: the points are of pictures of {width} x {height}, the "
                f"calibration of {camera.size[0]} x {camera.size[1]}; pixels were left as they are."
            )
    return replace(
        stored, cameras=rig.names, xy=xy, score=score, image_size=_sizes(rig), assumed=tuple(notes)
    )


def _read_csv(
    path: Path, rig: CameraRig, normalized: bool | None, rate_hz: float | None
) -> Points2D | People2D:
    rows = read_rows(path)
    _check_cameras(path, rows.cameras, rig, rows)
    frame, row_of_frame = np.unique(rows.frame, return_inverse=True)
    timeline, notes = _clock(path, frame, _times(path, rows, frame, row_of_frame), rate_hz)
    camera = np.array([rig.names.index(name) for name in rows.cameras])[rows.camera]
    sizes = _sizes(rig)[camera]
    shares, more, findings = _are_shares(path, rows.xy, int(sizes.min()), normalized)
    notes = [*more, *notes, *_absent(rows.cameras, rig)]
    shape = (len(rig), len(frame), len(rows.points))
    cells = np.prod(shape, dtype=np.float64) * max(len(rows.persons), 1)
    if cells > min(_MOST_CELLS, max(_SPARSE * len(rows.frame), 2**20)):
        reason = (
            f"{len(rows.frame)} rows tell of {shape[0]} cameras, {shape[1]} frames, "
            f"{shape[2]} points and {max(len(rows.persons), 1)} persons, of which few are there"
        )
        hint = "check that these columns hold names, or split the table by time"
        raise InputError(path, reason, hint)
    values = np.column_stack([rows.xy * sizes if shares else rows.xy, rows.score])
    place = (camera, row_of_frame, rows.point)
    if len(rows.persons) <= 1:
        table = np.full((*shape, 3), np.nan)
        table[place] = values
        return replace(_of_one(rig, timeline, rows.points, table, notes), findings=findings)
    crowd = np.full((len(rig), len(frame), len(rows.persons), len(rows.points), 3), np.nan)
    crowd[place[0], place[1], rows.person, place[2]] = values
    notes.append("Numbers of persons in the table tell them apart in one picture, not across any.")
    views = tuple(tuple(_present(pose) for pose in view) for view in crowd)
    return People2D(rig.names, timeline, rows.points, views, _sizes(rig), tuple(notes), findings)


def _read_folder(
    path: Path,
    rig: CameraRig,
    normalized: bool | None,
    rate_hz: float | None,
    keypoint_set: str | None,
) -> Points2D | People2D:
    json = [e for e in path.iterdir() if e.is_dir() and next(e.glob("*.json"), None)]
    notes: list[str] = []
    findings: tuple[Finding, ...] = ()
    if json:
        folders = match_cameras(path, rig.names, (), ("", "_json"))
        people, findings = of_one_set(_seen(path, folders, keypoint_set))
        notes += dict.fromkeys(note for one in people.values() for note in one.notes)
    else:
        people = read_sam3d(path, rig.names)
        notes.append(described(next(iter(people.values())).names))
    names = {p.names for p in people.values()}
    if len(names) > 1:
        raise InputError(path, "the cameras have different points", "detect all with one model")
    frame = np.unique(np.concatenate([p.frame for p in people.values()]))
    timeline, more = _clock(path, frame, None, rate_hz)
    (points,) = names
    found = [pose[..., :2].reshape(-1, 2) for p in people.values() for pose in p.points]
    smallest = int(_sizes(rig).min())
    shares, said, doubts = _are_shares(path, np.concatenate(found), smallest, normalized)
    findings += doubts
    notes = [*said, *notes, *more, *_absent(list(people), rig)]
    empty = np.empty((0, len(points), 3))
    views = []
    for camera in rig:
        scale = (*camera.size, 1) if shares else (1, 1, 1)
        one = people.get(camera.name)
        rows = zip(one.frame.tolist(), one.points, strict=True) if one else ()
        poses = {f: pose * scale for f, pose in rows}
        views.append([poses.get(f, empty) for f in frame.tolist()])
    if max(len(pose) for view in views for pose in view) > 1:
        frozen = tuple(tuple(_present(pose) for pose in view) for view in views)
        return People2D(rig.names, timeline, points, frozen, _sizes(rig), tuple(notes), findings)
    table = np.full((len(rig), len(frame), len(points), 3), np.nan)
    for c, view in enumerate(views):
        for t, pose in enumerate(view):
            if len(pose):
                table[c, t] = pose[0]
    return replace(_of_one(rig, timeline, points, table, notes), findings=findings)


def _seen(path: Path, folders: dict[str, Path], keypoint_set: str | None) -> dict[str, People]:
    """The people of every camera that shows any; InputError unless two do."""
    people: dict[str, People] = {}
    for camera, folder in folders.items():
        with suppress(NobodyFound):
            people[camera] = read_openpose(folder, keypoint_set)
    if len(people) < min(2, len(folders)):
        nobody = ", ".join(camera for camera in folders if camera not in people)
        reason = f"no person was found by camera {nobody}, and two must see the same one"
        raise InputError(path, reason, "check these cameras' files and the model")
    return people


def _of_one(
    rig: CameraRig, timeline: Timeline, names: tuple[str, ...], table: FloatArray, notes: list[str]
) -> Points2D:
    """table: (C, T, J, 3) x, y px and score."""
    xy, score = table[..., :2], np.nan_to_num(table[..., 2])
    return Points2D(rig.names, timeline, names, xy, score, _sizes(rig), tuple(notes))


def _are_shares(
    path: Path, xy: FloatArray, smallest: int, normalized: bool | None
) -> tuple[bool, list[str], tuple[Finding, ...]]:
    """Whether all `xy` (R, 2) are shares of their pictures, what was assumed, what is doubtful.

    smallest: pixels of the shortest side of all pictures.
    """
    known = xy[all_finite(xy)]
    if not len(known):
        raise InputError(path, "it has no points", "check the file")
    if normalized is not None:
        return normalized, [], ()
    share = bool(((known >= SHARE_LOW) & (known <= SHARE_HIGH)).all())
    if share and smallest < _SMALLEST_PICTURE:
        reason = "its coordinates may be pixels or shares of these tiny pictures"
        raise InputError(path, reason, "say which with --normalized or --pixel")
    if not share and np.abs(known).max() <= SHARE_HIGH:
        reason = "its coordinates are neither pixels nor shares of the picture (-1 to 1)"
        hint = "write pixels (OpenPose: --keypoint_scale 0), or say which they are (--normalized)"
        raise InputError(path, reason, hint)
    what = "shares of the picture's width and height" if share else "pixels"
    doubts = (taken_for_shares(),) if share else ()
    return share, [f"Coordinates were taken for {what}."], doubts


def _clock(
    path: Path, frame: IntArray, time: FloatArray | None, rate_hz: float | None
) -> tuple[Timeline, list[str]]:
    notes = []
    if time is None and rate_hz is None:
        notes.append("There are no times: frame numbers stand for seconds.")
    if time is None:
        time = frame / (rate_hz or 1.0)
    with refused_as_input(path):
        return Timeline(frame, time), notes


def _times(path: Path, rows: Rows, frame: IntArray, row_of_frame: IntArray) -> FloatArray | None:
    """(T,) seconds of the frames; None where the table has no times."""
    if rows.time is None:
        return None
    time = np.full(len(frame), np.nan)
    time[row_of_frame] = rows.time
    other = ~(np.abs(rows.time - time[row_of_frame]) <= 1e-6)  # a table's rounding
    if other.any():
        i = int(other.argmax())
        reason = f"frame {rows.frame[i]} has another time elsewhere, or none"
        hint = "give each frame one time for all cameras, or leave the column out"
        raise InputError(path, f"line {rows.line[i]}: {reason}", hint)
    return time


def _check_cameras(
    path: Path, cameras: Sequence[str], rig: CameraRig, rows: Rows | None = None
) -> None:
    """Raises InputError unless all cameras are in the rig, and two of them at least."""
    unknown = [name for name in cameras if name not in rig.names]
    if unknown:
        where = ""
        if rows is not None:
            first = int((rows.camera == rows.cameras.index(unknown[0])).argmax())
            where = f"line {rows.line[first]}: "
        reason = f"no camera {', '.join(unknown)} (it has {', '.join(rig.names)})"
        hint = "name the cameras as the calibration does"
        raise InputError(path, f"{where}the calibration has {reason}", hint)
    if len(cameras) < min(2, len(rig)):
        raise InputError(path, "it has points of one camera only", "give two cameras or more")


def _absent(cameras: Sequence[str], rig: CameraRig) -> list[str]:
    absent = [name for name in rig.names if name not in cameras]
    return [f"There are no points of camera {', '.join(absent)}."] if absent else []


def _sizes(rig: CameraRig) -> IntArray:
    return np.array([camera.size for camera in rig], dtype=np.int64)


def _present(pose: FloatArray) -> FloatArray:
    """The persons who have a point, read-only."""
    kept = np.array(pose[np.isfinite(pose[..., 0]).any(axis=1)])
    kept.setflags(write=False)
    return kept


def _subset(path: Path, have: Sequence[str], subset: str | Sequence[str]) -> list[int]:
    """Columns of the points to keep; InputError for a name that the source does not have."""
    if isinstance(subset, str):
        known = subset in skeleton_names()
        names = skeleton(subset).points if known else tuple(subset.split(","))
    else:
        names = tuple(subset)
    unknown = [name for name in names if name not in have]
    if unknown or len(set(names)) < len(names):
        reason = f"it has no point {', '.join(unknown)}" if unknown else "a point is named twice"
        hint = f"ask for some of {', '.join(have)}, or a skeleton made of them"
        raise InputError(path, reason, hint)
    return [have.index(name) for name in names]
