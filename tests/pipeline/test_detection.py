"""Which detector a run takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinefit.detect.embedded import BlazePoseDetector
from kinefit.pipeline.config import run_config
from kinefit.pipeline.stages.detect import detector_of


@pytest.mark.parametrize(
    ("quality", "several", "heavy", "thorough"),
    [
        ("normal", False, True, False),
        ("normal", True, False, False),
        ("fast", False, False, False),
        ("fast", True, False, False),
        ("best", False, True, True),
        ("best", True, True, True),
    ],
)
def test_the_heavy_network_is_for_one_camera_or_the_best(
    quality: str, several: bool, heavy: bool, thorough: bool
) -> None:
    config = run_config({"height": 1.7, "quality": quality})
    found = detector_of("cam01", config, several=several)
    assert isinstance(found, BlazePoseDetector)
    assert (found.heavy, found.thorough) == (heavy, thorough)
    assert ("heavy" in found.source) == heavy


def test_a_network_of_one_s_own_is_taken_as_it_is(tmp_path: Path) -> None:
    from importlib.resources import files

    own = tmp_path / "own.tflite"
    own.write_bytes((files("kinefit") / "weights" / "pose_landmark_full.tflite").read_bytes())
    config = run_config({"height": 1.7, "detector_model": own})
    assert "own.tflite" in detector_of("cam01", config, several=False).source
