"""The triangulation as one `.npz` file: every array with its meaning in `docs/file-formats.md`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.io.arrays import read_needed, save_npz
from kinefit.io.text import refused_as_input
from kinefit.multiview.triangulate import PointStatus, Triangulation
from kinefit.types import CameraRig, FloatArray, InputError, InvalidData, Timeline

# Name in the file -> field; the first six are those of the files that earlier programs wrote.
_FIELDS = {
    "points3d_init": "initial",
    "points3d_refined": "refined",
    "best_pair_idx": "best_pair",
    "inlier_mask": "inlier_mask",
    "reprojections_px": "reprojection",
    "reproj_errors_px": "error_px",
    "covariance": "covariance",
    "reason": "reason",
    "sd_px": "sd_px",
}
_REFUSED = "triangulate again", (InvalidData, TypeError, ValueError)
_NO_LENS = np.zeros(8)  # coefficients that a lens does not have


@dataclass(frozen=True, eq=False)
class Bundle:
    """What every later stage may rely on, checked: seen from the file alone.

    points: (T, M, 3) metres, NaN where there is none. inlier_mask: (T, M, V), never true for a
    point that is NaN. names: M points, cameras: V, or numbers where the file has no names.
    """

    timeline: Timeline
    names: tuple[str, ...]
    cameras: tuple[str, ...]
    points: FloatArray
    inlier_mask: NDArray[np.bool_]

    @property
    def finite(self) -> NDArray[np.int64]:
        """(T,) finite points with at least two views, per frame: what a fit can count on."""
        enough = self.inlier_mask.sum(axis=-1) >= 2
        return np.asarray((np.isfinite(self.points).all(axis=-1) & enough).sum(axis=1))


def save_bundle(path: Path, found: Triangulation, rig: CameraRig) -> None:
    """Write a Triangulation and the cameras it was made with, atomically; no pickle inside."""
    arrays: dict[str, Any] = {name: getattr(found, field) for name, field in _FIELDS.items()}
    arrays |= {
        "mean_error_px": found.mean_error_px,
        "reason_words": np.array([reason.words for reason in PointStatus]),
        "frame": found.timeline.frame,
        "time": found.timeline.time,
        "names": np.array(found.names),
        "cameras": np.array(found.cameras),
        "image_size": np.array([camera.size for camera in rig]),
        **{f"camera_{f}": np.stack([getattr(c, f) for c in rig]) for f in ("K", "R", "t")},
        "camera_distortion": np.stack([np.append(c.distortion, _NO_LENS)[:8] for c in rig]),
        "camera_fisheye": np.array([c.fisheye for c in rig]),
    }
    save_npz(path, **arrays)


def load_triangulation(path: Path) -> Triangulation:
    """Read what `save_bundle` wrote; raises InputError for anything else."""
    needed = (*_FIELDS, "frame", "time", "names", "cameras")
    stored = read_needed(path, needed, "give kinefit's own bundle")
    with refused_as_input(path, *_REFUSED):
        return Triangulation(
            Timeline(stored["frame"], stored["time"]),
            tuple(stored["names"].tolist()),
            tuple(stored["cameras"].tolist()),
            **{field: stored[name] for name, field in _FIELDS.items()},
        )


def read_bundle(path: Path) -> Bundle:
    """Points and inliers of a bundle, this program's or an earlier one's.

    Earlier files hold one frame, `points3d_refined` (M, 3) and `inlier_mask` (M, V), without
    names or times: it becomes frame 0. A point that is NaN has no inliers, whatever the file
    says, and a point without inliers is no point.

    Raises InputError for missing arrays and shapes that do not fit.
    """
    needed, also = ("points3d_refined", "inlier_mask"), ("frame", "time", "names", "cameras")
    stored = read_needed(path, needed, "give a triangulation's bundle", also)
    points, mask = stored["points3d_refined"], stored["inlier_mask"]
    numbers = all(array.dtype.kind in "biuf" for array in (points, mask))
    if points.ndim == mask.ndim == 2:
        points, mask = points[None], mask[None]
    if (
        not numbers
        or not points.ndim == mask.ndim == 3
        or points.shape[-1] != 3
        or mask.shape[:2] != points.shape[:2]
    ):
        reason = f"points3d_refined {points.shape} and inlier_mask {mask.shape} do not fit"
        raise InputError(path, reason, "expected (T, M, 3) and (T, M, V), or (M, 3) and (M, V)")
    points = points.astype(np.float64)
    used = (mask.astype(np.float64) > 0) & np.isfinite(points).all(axis=-1)[..., None]
    points[~used.any(axis=-1)] = np.nan
    T, M, V = used.shape
    frame = stored.get("frame", np.arange(T))
    names = [str(n) for n in stored.get("names", np.arange(M)).ravel().tolist()]
    cameras = [str(n) for n in stored.get("cameras", np.arange(V)).ravel().tolist()]
    if (len(names), len(cameras)) != (M, V):
        reason = f"it names {len(names)} points and {len(cameras)} cameras, but holds {M} and {V}"
        raise InputError(path, reason, "triangulate again")
    with refused_as_input(path, *_REFUSED):
        timeline = Timeline(frame, stored.get("time", frame.astype(np.float64)))
    return Bundle(timeline, tuple(names), tuple(cameras), points, used)
