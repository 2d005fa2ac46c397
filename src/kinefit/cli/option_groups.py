"""In which groups the options of long commands stand on their help pages.

What most users need is `usual`; `more` is shown by --help-all. Options of a command that stand in
neither are in the group of those that only that command has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kinefit.cli.help import MORE

Groups = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Layout:
    """usual, more: title -> options. required: options without which the command does nothing.
    kinds: option -> what its value is, in capitals; else its type."""

    usual: Groups = field(default_factory=dict)
    more: Groups = field(default_factory=dict)
    required: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)

    def title(self, option: str) -> str:
        """Of the group that an option is in, as `kinefit.cli.help` takes it."""
        for title, names in self.usual.items():
            if option in names:
                return title
        for title, names in self.more.items():
            if option in names:
                return f"{MORE} {title}"
        return f"{MORE} Other options" if self.usual else "Options"

    def order(self, option: str) -> int:
        """Its place among the options of the command."""
        listed = [n for names in (*self.usual.values(), *self.more.values()) for n in names]
        return listed.index(option) if option in listed else len(listed)


_SUBJECT = ("height", "mass", "gender", "child", "person", "person_at", "box", "people")
_FIT = ("body", "head", "hold_feet", "face_weight", "loss", "outlier_sd", "vertex_acceleration",
        "joint_limits", "pose_regularization_rad", "pose_prior", "interpenetration", "silhouettes",
        "clothing")  # fmt: skip
_POINTS = ("visibility_min", "repair_side_swaps", "min_views", "min_angle_deg", "max_pairs",
           "inlier_thresh", "adaptive", "continuity", "reseed_from_inliers", "score_type",
           "huber_delta", "lm_iters", "lm_lambda", "lm_eps", "robust_lm",
           "robust_lm_delta")  # fmt: skip

_KINDS = {"height": "METRES", "mass": "KILOGRAMS", "fov": "DEGREES", "tilt": "DEGREES",
          "roll": "DEGREES", "start": "SECONDS", "end": "SECONDS", "max_gap": "SECONDS",
          "max_unseen": "SECONDS", "cutoff_hz": "HERTZ", "focal_px": "PIXELS",
          "person_at": "X,Y", "box": "X0,Y0,X1,Y1", "fps_real": "RATE"}  # fmt: skip

RUN = Layout(
    usual={
        "Subject": _SUBJECT,
        "Part of the video": ("start", "end", "slowmo", "fps_real", "rotate"),
        "Camera": ("fov", "tilt", "roll", "calibration", "sync", "offsets"),
        "Detector": ("detector", "keypoints", "quality"),
        "Output": ("export", "overlay", "save_mask", "plot_all_joint_angles", "preset"),
    },
    more={
        "Every how many frames": ("every",),
        "One camera": ("focal_px", "camera_pof", "pof_model", "pof_signs", "joint_refinement",
                       "main_refiner"),
        "Several cameras": ("units", "world_up", "invert_extrinsics", "keep_names", "lab_frame",
                            "trajectory", "max_unseen"),
        "From pictures to points": ("detector_model", "keypoint_set", *_POINTS),
        "Masks": ("masks", "segmenter", "head_mask", "smooth_mask"),
        "Fit of the body": _FIT,
        "Markers and angles": ("markers", "estimate_missing", "force_complete", "max_gap",
                               "cutoff_hz", "augmentation_cycles", "seed",
                               "compute_all_joint_angles"),
    },
    required=("height",),
    kinds=_KINDS,
)  # fmt: skip

MASKS = Layout(
    usual={
        "Subject": ("person", "person_at", "box"),
        "Part of the video": ("start", "end"),
        "Masks": ("masks", "segmenter", "head_mask", "smooth_mask"),
        "Camera": ("calibration",),
        "Detector": ("detector", "keypoints", "quality"),
    },
    more={title: names for title, names in RUN.more.items() if title != "Masks"},
    kinds=_KINDS,
)
PERSON = Layout(kinds=_KINDS)

SCENE = Layout(
    usual={
        "Scene": ("seed", "views", "seconds", "rate", "width", "height", "people"),
        "People": ("children", "hair", "skirts", "motion"),
    },
    more={
        "Motion": ("clip", "mix", "treadmill"),
        "Room": ("props", "backgrounds"),
        "Cameras": ("focal_min", "focal_max", "distance", "lens", "elevation", "handheld",
                    "shutter", "noise", "quality"),
        "Errors that are put in": ("clock_offset", "calibration_turn", "calibration_shift",
                                   "calibration_focal"),
    },
    kinds={"height": "PIXELS", "width": "PIXELS", "seconds": "SECONDS", "rate": "HERTZ"},
)  # fmt: skip

TRIANGULATE = Layout(
    usual={
        "Cameras": ("calibration", "units", "world_up", "invert_extrinsics", "keep_names"),
        "Points": ("person", "visibility_min", "repair_side_swaps", "inlier_thresh", "min_views"),
    },
    more={"Triangulation": _POINTS},
    required=("calibration",),
)

FRAMES = Layout(
    usual={
        "Body": ("body", "gender", "keypoint_mapping", "with_scale"),
        "Source": ("cameras", "rate"),
        "Output": ("export", "meshes"),
    },
)
