"""Options are checked once, wherever they come from."""

import pytest

from kinefit.lift import MODELS
from kinefit.pipeline.config import POF_MODEL, read_config, run_config
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
        ({**BODY, "detector": "openpose"}, "needs keypoints"),
        ({**BODY, "keypoints": "x.json"}, "reads the video"),
        ({**BODY, "colour": "red"}, "--colour"),
        ({**BODY, "camera_pof": False, "pof_model": "mine.onnx"}, "need camera_pof"),
        ({**BODY, "camera_pof": False, "pof_signs": True}, "need camera_pof"),
        ({**BODY, "camera_pof": True, "calibration": "c.toml"}, "is for one camera"),
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


@pytest.mark.parametrize("text", ["height = ", "\x00", b"\xff\xfe"])
def test_a_broken_file_is_an_input_error(tmp_path, text):
    file = tmp_path / "trial.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=r"trial\.toml"):
        read_config(file)


def test_the_network_by_default_is_one_that_comes_with_kinefit():
    assert POF_MODEL in MODELS
