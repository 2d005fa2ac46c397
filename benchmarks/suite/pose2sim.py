"""Pose2Sim's stages on given data: the project folder that each wants, and what it leaves.

Its quirks, as of 0.10.49: names come from a table of detectors (here Halpe-26, whose points it
triangulates without eyes and ears); missing is 0; stages find their input by names of files.
Nothing here changes what Pose2Sim computes; its defaults are kept, except that it is told the
person's true height and mass, and that it fills no gaps (kinefit's numbers are not filled either).
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from kinefit.io.calibration import write_calibration
from kinefit.io.mot import MotTable, read_mot
from kinefit.io.trc import read_trc, write_trc
from kinefit.skeletons import skeleton
from kinefit.types import CameraRig, FloatArray, Markers, Subject

_HALPE = skeleton("halpe26").points
# Pose2Sim reads 26 points and triangulates these: its Halpe-26 has no eyes and ears.
THEIRS = [i for i, name in enumerate(_HALPE) if name[1:] not in ("Eye", "Ear")]
POINTS = tuple(_HALPE[i] for i in THEIRS)


def run_triangulation(
    rig: CameraRig, xy: FloatArray, score: FloatArray, rate_hz: float, runs: int = 0
) -> tuple[float, FloatArray]:
    """Seconds of its stage, and its points (T, 22, 3), `POINTS`, metres, in the rig's world.

    xy: (C, T, 26, 2) px of Halpe-26, score: (C, T, 26). runs: that are timed, after one that warms
    up, of which the median counts; 0: the only run is timed.
    """
    with _quiet():
        from Pose2Sim.triangulation import triangulate_all

        taken = []
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            config = triangulation_project(root, rig, xy, score, rate_hz)
            for _ in range(runs + 1):
                start = time.perf_counter()
                triangulate_all(config)
                taken.append(time.perf_counter() - start)
            (trc,) = (root / "pose-3d").glob("*.trc")
            markers = read_trc(trc)
    columns = [markers.names.index(name) for name in POINTS]
    # It may leave out frames at both ends; its times start with the first JSON file.
    frame = np.round(markers.timeline.time * rate_hz).astype(np.int64)
    xyz = np.full((xy.shape[1], len(POINTS), 3), np.nan)
    # The calibration turned the world to Z up, as Pose2Sim wants it, and its TRC turns it back.
    xyz[frame] = markers.xyz[:, columns]
    return median(taken[1:] or taken), xyz


def triangulation_project(
    root: Path, rig: CameraRig, xy: FloatArray, score: FloatArray, rate_hz: float
) -> dict[str, Any]:
    """A Pose2Sim project with these points in the folder `root`; its configuration."""
    (root / "Config.toml").touch()  # how it knows the project's folder
    write_calibration(root / "calibration" / "Calib.toml", rig, layout="pose2sim")
    for c, camera in enumerate(rig):
        folder = root / "pose" / f"{camera.name}_json"
        folder.mkdir(parents=True)
        for t in range(xy.shape[1]):
            flat = np.nan_to_num(np.column_stack([xy[c, t], score[c, t]])).ravel().tolist()
            content = {"people": [{"person_id": [-1], "pose_keypoints_2d": flat}]}
            (folder / f"{camera.name}_{t:06d}.json").write_text(json.dumps(content))
    triangulation = {
        "reproj_error_threshold_triangulation": 15,
        "likelihood_threshold_triangulation": 0.3,
        "min_cameras_for_triangulation": 2,
        "interp_if_gap_smaller_than": 20,
        "interpolation": "none",
        "fill_large_gaps_with": "nan",
        "remove_incomplete_frames": False,
        "sections_to_keep": "all",
        "show_interp_indices": False,
        "make_c3d": False,
    }
    return {
        "project": {"project_dir": str(root), "frame_rate": rate_hz, "frame_range": "all"},
        "pose": {"pose_model": "HALPE_26", "vid_img_extension": "mp4"},
        "triangulation": triangulation,
    }


def run_augmentation(markers: Markers, subject: Subject) -> tuple[float, Markers]:
    """Seconds of its stage, and the 22 markers with its 43."""
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        from Pose2Sim.markerAugmentation import augment_markers_all

        root = Path(folder)
        (root / "Config.toml").touch()
        write_trc(root / "pose-3d" / "clip.trc", markers)
        start = time.perf_counter()
        augment_markers_all(_body_project(root, subject))
        took = time.perf_counter() - start
        return took, read_trc(root / "pose-3d" / "clip_LSTM.trc")


def run_kinematics(markers: Markers, subject: Subject) -> tuple[float, MotTable]:
    """Seconds of scaling and inverse kinematics, on the 65 markers, and the motion."""
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        from Pose2Sim.kinematics import kinematics_all

        root = Path(folder)
        (root / "Config.toml").touch()
        write_trc(root / "pose-3d" / "clip_LSTM.trc", markers)
        start = time.perf_counter()
        kinematics_all(_body_project(root, subject))
        took = time.perf_counter() - start
        return took, read_mot(root / "kinematics" / "clip_LSTM.mot")


def _body_project(root: Path, subject: Subject) -> dict[str, Any]:
    return {
        "project": {
            "project_dir": str(root),
            "participant_height": [subject.height_m],
            "participant_mass": [subject.mass_kg],
            "multi_person": False,
        },
        "markerAugmentation": {"feet_on_floor": False, "make_c3d": False},
        "kinematics": {"use_augmentation": True, "use_simple_model": True},
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No windows and no output: it logs to the root logger, and imports graphical libraries."""
    os.environ.update(MPLBACKEND="Agg", QT_QPA_PLATFORM="offscreen")
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
