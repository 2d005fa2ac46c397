"""`kinefit synth` names the command that comes next."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from kinefit.body.anny import load_anny
from kinefit.cli.synth import next_command


@pytest.mark.parametrize("cameras", [1, 2])
def test_the_next_command(tmp_path: Path, cameras: int) -> None:
    scene = tmp_path / "a scene"
    scene.mkdir()
    shape = load_anny().shape.neutral.tolist()
    (scene / "scene.json").write_text(json.dumps({"people": [{"shape": shape}]}))
    videos = [scene / f"cam{i + 1:02d}.mp4" for i in range(cameras)]
    for video in videos:
        video.touch()
    words = shlex.split(next_command(scene))
    assert words[: 2 + cameras] == ["kinefit", "run", *map(str, videos)]
    assert ("--calibration" in words) == (cameras > 1)
    given = dict(zip(words[-6::2], words[-5::2], strict=True))
    assert given["--out"] == f"{scene}_run"
    assert 1.5 < float(given["--height"]) < 1.9  # Anny's neutral body is an adult
    assert 45 < float(given["--mass"]) < 95
