"""What kinefit does, one function per job: for scripts, the command line and the web site.

`run` is where a script begins (`import kinefit as kf; kf.run(...)`); it is `process` with the
options by name. The others take checked options, as the command line does:

>>> from kinefit.pipeline.config import run_config
>>> config = run_config({"height": 1.78, "mass": 75})
>>> config.subject
Subject(height_m=1.78, mass_kg=75.0)
"""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinefit.evaluate.angle_files import evaluate_angles_of_file
    from kinefit.evaluate.point_files import score_poses as evaluate_poses_of_file
    from kinefit.evaluate.run_scores import score_limbs as evaluate_limbs
    from kinefit.evaluate.run_scores import score_run as evaluate_run
    from kinefit.io.image_sequence import join_pictures
    from kinefit.pipeline.angles_file import angles_of_file
    from kinefit.pipeline.augment_file import augment_file
    from kinefit.pipeline.export_file import export_motion, export_smpl_body
    from kinefit.pipeline.ik_file import inverse_kinematics_of_file
    from kinefit.pipeline.image_fit import fit_pictures
    from kinefit.pipeline.marker_fit import fit_marker_file
    from kinefit.pipeline.refine_file import refine_file
    from kinefit.pipeline.rig_fit import fit_bundle_frames as fit_frames
    from kinefit.pipeline.run_result import RunResult, open_result
    from kinefit.pipeline.video_jobs import everybody, fit, person_masks, process, run
    from kinefit.pipeline.view import view
    from kinefit.synth.detector_error_fit import fit_file as fit_detector_errors
    from kinefit.synth.make import make_scenes
    from kinefit.synth.pairs import make_pairs
    from kinefit.train.convert.aistpp import convert_aistpp
    from kinefit.train.convert.panoptic import convert_panoptic

__all__ = [
    "DEMO_OPTIONS", "RunResult", "angles_of_file", "augment_file", "convert_aistpp",
    "convert_panoptic", "demo_video", "demo_views", "evaluate_angles_of_file", "evaluate_limbs",
    "evaluate_poses_of_file", "evaluate_run",
    "everybody", "export_motion", "export_smpl_body", "fit", "fit_detector_errors", "fit_frames",
    "fit_marker_file", "fit_pictures", "inverse_kinematics_of_file", "join_pictures", "make_pairs",
    "make_scenes", "open_result", "person_masks", "process", "refine_file", "run", "view",
]  # fmt: skip

# Jobs are loaded when a name is asked for: each brings libraries of its own.
_ELSEWHERE = {
    "RunResult": "pipeline.run_result.RunResult",
    "angles_of_file": "pipeline.angles_file.angles_of_file",
    "augment_file": "pipeline.augment_file.augment_file",
    "convert_aistpp": "train.convert.aistpp.convert_aistpp",
    "convert_panoptic": "train.convert.panoptic.convert_panoptic",
    "evaluate_angles_of_file": "evaluate.angle_files.evaluate_angles_of_file",
    "evaluate_limbs": "evaluate.run_scores.score_limbs",
    "evaluate_poses_of_file": "evaluate.point_files.score_poses",
    "evaluate_run": "evaluate.run_scores.score_run",
    "everybody": "pipeline.video_jobs.everybody",
    "export_motion": "pipeline.export_file.export_motion",
    "export_smpl_body": "pipeline.export_file.export_smpl_body",
    "fit": "pipeline.video_jobs.fit",
    "fit_detector_errors": "synth.detector_error_fit.fit_file",
    "fit_frames": "pipeline.rig_fit.fit_bundle_frames",
    "fit_marker_file": "pipeline.marker_fit.fit_marker_file",
    "fit_pictures": "pipeline.image_fit.fit_pictures",
    "inverse_kinematics_of_file": "pipeline.ik_file.inverse_kinematics_of_file",
    "join_pictures": "io.image_sequence.join_pictures",
    "make_pairs": "synth.pairs.make_pairs",
    "make_scenes": "synth.make.make_scenes",
    "open_result": "pipeline.run_result.open_result",
    "person_masks": "pipeline.video_jobs.person_masks",
    "process": "pipeline.video_jobs.process",
    "refine_file": "pipeline.refine_file.refine_file",
    "run": "pipeline.video_jobs.run",
    "view": "pipeline.view.view",
}


def __getattr__(name: str) -> Any:
    module, _, job = _ELSEWHERE.get(name, "").rpartition(".")
    if not job:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"kinefit.{module}"), job)


_DEMO = Path(str(files("kinefit"))) / "demo"
# Nobody measured the demo's subject: Pose2Sim's own estimate of the height, its default mass.
DEMO_OPTIONS = {"height": 1.68, "mass": 70.0, "plot_all_joint_angles": True}


def demo_video() -> Path:
    """The real video of the demo (Pose2Sim's, camera 1)."""
    return _DEMO / "cam01.mp4"


def demo_views() -> tuple[tuple[Path, ...], Path]:
    """The four real videos of the same scene, and their calibration."""
    return tuple(sorted(_DEMO.glob("*.mp4"))), _DEMO / "Calib.qca.txt"
