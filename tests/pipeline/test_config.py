"""Options are checked once, wherever they come from."""

import re
from pathlib import Path
from typing import get_args

import pytest

from kinefit.biomech.angles.intervals import setup_of
from kinefit.fit.recipes.clip import ClipOptions
from kinefit.lift import MODELS
from kinefit.pipeline.config import (
    FIT_TERMS,
    POF_MODEL,
    RunConfig,
    presets,
    read_config,
    run_config,
)
from kinefit.pipeline.stages.body import clip_options
from kinefit.types import InputError

BODY = {"height": 1.78, "mass": 75}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({**BODY, "height": 178}, "--height"),
        ({**BODY, "height": float("nan")}, "--height"),
        ({**BODY, "visibility_min": 30}, "--visibility-min"),
        ({**BODY, "augmentation_cycles": 0}, "--augmentation-cycles"),
        ({**BODY, "focal_px": 1000, "fov": 60}, "not both"),
        ({**BODY, "detector": "openpose"}, "needs --keypoints"),
        ({**BODY, "keypoints": "x.json"}, "reads the video"),
        ({**BODY, "colour": "red"}, "--colour"),
        ({**BODY, "camera_pof": False, "pof_model": "mine.onnx"}, "need --camera-pof"),
        ({**BODY, "camera_pof": False, "pof_signs": True}, "need --camera-pof"),
        ({**BODY, "camera_pof": True, "calibration": "c.toml"}, "is for one camera"),
        ({**BODY, "preset": "refine-smpl", "joint_refinement": True}, "usual fit"),
    ],
)
def test_a_refusal_names_the_option(values, named):
    with pytest.raises(InputError, match=named):
        run_config(values)


def test_the_mass_follows_from_the_height_and_the_height_from_nothing():
    assert run_config({"height": 1.7}).subject.mass_kg == pytest.approx(24 * 1.7**2)
    with pytest.raises(InputError, match="--height: is missing"):
        _ = run_config({"mass": 75}).subject


def test_toml_takes_dashes_and_paths_relative_to_itself(tmp_path):
    file = tmp_path / "trial.toml"
    file.write_text('video = "walk.mp4"\nheight = 1.7\nmass = 70\nvisibility-min = 0.1\n')
    values = read_config(file)
    assert values.pop("video") == tmp_path / "walk.mp4"
    assert run_config(values).visibility_min == 0.1


def test_presets_are_those_that_can_be_chosen():
    told = RunConfig.model_fields["preset"].annotation
    assert set(presets()) == {name for one in get_args(told) for name in get_args(one)}


def test_a_preset_is_its_options_and_what_is_given_stands_before_it():
    config = run_config({"height": 1.7, "preset": "refine-smpl", "loss": "cauchy"})
    assert config.loss == "cauchy"  # the default, and given
    for name, value in presets()["refine-smpl"].items():
        assert getattr(config, name) == (value if name != "loss" else "cauchy")
    with pytest.raises(InputError, match="--preset"):
        run_config({"preset": "refine"})


def test_a_preset_in_a_file_gives_way_to_the_command_line(tmp_path):
    file = tmp_path / "trial.toml"
    file.write_text('height = 1.7\npreset = "refine-smpl"\n')
    config = run_config(read_config(file) | {"visibility_min": 0.5})
    assert config.visibility_min == 0.5
    assert config.joint_limits == "euler"


def test_options_of_the_fit_are_the_fits():
    """Each flag of the fit's terms changes what the fit is told, and their defaults are its own."""
    assert clip_options(run_config({})) == ClipOptions()
    changed = {"face_weight": 0.5, "loss": "huber", "outlier_sd": 2.0, "vertex_acceleration": 9.0,
               "joint_limits": "none", "pose_regularization_rad": 1.0, "pose_prior": "variational",
               "interpenetration": True, "clothing": "tight"}  # fmt: skip
    # Masks are evidence of their own: a stage that is there or not.
    assert {*changed, "silhouettes"} == set(FIT_TERMS)
    for name, value in changed.items():
        assert clip_options(run_config({name: value})) != ClipOptions(), name
    assert clip_options(run_config({"pose_prior": "none"})).pose_prior == 0


def test_the_manual_tells_every_term_with_its_default():
    text = (Path(__file__).parents[2] / "docs" / "body.md").read_text("utf-8")
    section = text.partition("## What a clip's fit weighs")[2].partition("**`--preset")[0]
    told = dict(re.findall(r"^\| `--([a-z-]+)` \| ([^|]+) \|", section, re.M))
    usual = {name: RunConfig.model_fields[name].default for name in FIT_TERMS}
    words = {n: "off" if v is False else f"{v:g}" if isinstance(v, float) else v
             for n, v in usual.items()}  # fmt: skip
    assert {name.replace("-", "_"): value for name, value in told.items()} == words


@pytest.mark.parametrize("option", ["preset", "loss", "silhouettes"])
def test_errors_of_another_fit_are_not_those_that_were_calibrated(option):
    assert run_config({}).error_source is None
    assert run_config({"camera_pof": True}).error_source == "ensemble"
    values = {"preset": "refine-smpl", "loss": "huber", "silhouettes": True}
    config = run_config({option: values[option]})
    assert setup_of(1, config.error_source) == setup_of(4, config.error_source) == "other"


@pytest.mark.parametrize("text", ["height = ", "\x00", b"\xff\xfe"])
def test_a_broken_file_is_an_input_error(tmp_path, text):
    file = tmp_path / "trial.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=r"trial\.toml"):
        read_config(file)


def test_the_network_by_default_is_one_that_comes_with_kinefit():
    assert POF_MODEL in MODELS


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"height": 178}, "give 1.78 if you mean 178 centimetres"),
        ({"height": 1780}, "give 1.78 if you mean 1780 millimetres"),
        ({"height": 5.9}, "give 1.80 if you mean 5.9 feet"),
        ({"height": 70}, "give 1.78 if you mean 70 inches"),
        ({"height": 90}, "give 2.29 if you mean 90 inches"),
        ({"height": 110}, "give 1.10 if you mean 110 centimetres"),  # a child
        ({"height": -2}, "give it in metres, e.g. 1.78"),
        ({"mass": 75_000}, "give 75 if you mean 75000 grams"),
        ({"mass": 2}, "give it in kilograms, e.g. 75"),
        ({"fov": 1.1}, "give 63 if you mean 1.1 radians"),
        ({"fov": 200}, "mostly 50 to 80"),
        ({"heigth": 1.8}, "did you mean --height?"),
    ],
)
def test_a_wrong_unit_is_guessed(values: dict[str, float], hint: str) -> None:
    with pytest.raises(InputError) as caught:
        run_config(values)
    assert str(caught.value).startswith(f"--{next(iter(values))}: ")
    assert hint in str(caught.value)
    assert not str(caught.value).endswith(("..", "?."))
