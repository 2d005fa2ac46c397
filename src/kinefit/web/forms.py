"""Forms: whom and how. The options of a run are those of the command line, with its help."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from django import forms

from kinefit.pipeline.config import RunConfig, run_config
from kinefit.pipeline.option_texts import text_of
from kinefit.types import InputError
from kinefit.web.models import Project, Subject

GROUPS: dict[str, tuple[str, ...]] = {
    "Part of the video": ("start", "end", "every", "slowmo", "fps_real", "rotate"),
    "People": ("person_at", "person", "people"),
    "One camera": ("focal_px", "fov", "tilt", "roll"),
    "Several cameras": ("sync", "offsets", "units", "world_up", "lab_frame", "invert_extrinsics",
                        "keep_names", "trajectory", "max_unseen"),
    "Several cameras: points in space": (
        "inlier_thresh", "adaptive", "min_views", "min_angle_deg", "max_pairs", "score_type",
        "huber_delta", "continuity", "reseed_from_inliers", "lm_iters", "lm_lambda", "lm_eps",
        "robust_lm", "robust_lm_delta"),
    "Detection and depth": ("quality", "visibility_min", "repair_side_swaps", "camera_pof"),
    "Body and markers": ("child", "head", "hold_feet", "markers", "estimate_missing",
                         "force_complete", "max_gap", "cutoff_hz"),
    "Output": ("export", "overlay", "plot_all_joint_angles", "save_mask", "joint_refinement",
               "main_refiner"),
}  # fmt: skip


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Project
        fields = ("name",)


class SubjectForm(forms.ModelForm):  # type: ignore[type-arg]
    height_m = forms.FloatField(min_value=0.5, max_value=2.5, label="Height, m",
                                help_text="Sets the scale of everything.")  # fmt: skip
    mass_kg = forms.FloatField(min_value=5, max_value=400, label="Mass, kg", required=False)

    class Meta:
        model = Subject
        fields = ("name", "height_m", "mass_kg", "sex", "consent")
        labels = {"consent": "Note on consent"}
        widgets = {"consent": forms.Textarea(attrs={"rows": 2})}


class OptionsForm(forms.Form):
    """Options of a run that differ from its defaults; `options` after `is_valid`."""

    def __init__(self, *args: Any, several_cameras: bool = False, **values: Any) -> None:
        super().__init__(*args, **values)
        self.several_cameras = several_cameras
        for name in (name for names in GROUPS.values() for name in names):
            self.fields[name] = _field(name)

    @property
    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        return [(title, [self[name] for name in names]) for title, names in GROUPS.items()]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        model = RunConfig.model_fields
        self.options = {
            name: value for name, value in cleaned.items()
            if value not in (None, "") and value != model[name].default
        }  # fmt: skip
        try:  # a calibration is checked when the run begins
            stand_in = {"calibration": "calibration"} if self.several_cameras else {}
            run_config({**self.options, **stand_in}, source="options")
        except InputError as error:
            raise forms.ValidationError(str(error)) from error
        return cleaned


def _field(name: str) -> forms.Field:
    told = RunConfig.model_fields[name]
    kinds = [told.annotation, *get_args(told.annotation)]
    label = name.replace("_", " ").capitalize()
    common: dict[str, Any] = {
        "label": label,
        "help_text": text_of(RunConfig, name),
        "required": False,
    }
    default = told.default
    choices = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), None)
    if choices:
        listed = (
            [(one, one) for one in choices] if default else [("", "—"), *((c, c) for c in choices)]
        )
        return forms.ChoiceField(choices=listed, initial=default, **common)
    if bool in kinds:
        return forms.BooleanField(initial=default, **common)
    if int in kinds:
        return forms.IntegerField(initial=default, **common)
    if name not in ("person_at", "export", "offsets"):
        return forms.FloatField(initial=default, **common)
    return forms.CharField(initial=default, max_length=200, **common)
