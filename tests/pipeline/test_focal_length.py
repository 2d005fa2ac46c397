"""The focal length that a file notes, from the file to the camera of the results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from kinefit.api import fit_pictures, process
from kinefit.io.body_npz import read_motion
from kinefit.io.observations import load_observations
from kinefit.io.video import Clip, VideoWriter, frames, probe
from kinefit.pipeline.config import PictureOptions, run_config
from tests.io.focal_files import add_to_track, value

DIAGONAL_MM = np.hypot(36, 24)


def of_phone(clip: Path, path: Path, data: bytes) -> Path:
    """The same frames in the container of an iPhone, which notes `data`."""
    with av.open(str(clip)) as file, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(file.streams.video[0])
        for packet in file.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return add_to_track(path, data)


def observed(video: Path, out: Path, **options: Any) -> tuple[dict[str, Any], Any]:
    """What world.json says, and the observations."""
    config = run_config({"height": 1.68, "quality": "fast", "end": 0.3, **options})
    process(video, out, config, until="observe")
    world = json.loads((out / ".kinefit" / "world.json").read_text("utf-8"))
    return world, load_observations(out / ".kinefit" / "observations.npz")


@pytest.fixture(scope="module")
def blurred(demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's person before a wall without an edge, which tells no focal length."""
    path = tmp_path_factory.mktemp("blurred") / "clip.mp4"
    with VideoWriter(path, probe(demo_clip).size, rate_hz=60.0, quality=18) as out:
        for frame in Clip(demo_clip, end_s=0.3).frames():
            picture = cv2.GaussianBlur(frame.rgb, (0, 0), 25)
            picture[230:800, 130:400] = frame.rgb[230:800, 130:400]
            out.add(picture, frame.time)
    return path


def test_the_camera_of_a_run_has_it(blurred: Path, tmp_path: Path) -> None:
    world, found = observed(
        of_phone(blurred, tmp_path / "a.mov", value(21, b"\x28")), tmp_path / "1"
    )
    camera, (size,) = world["camera"], {camera.size for camera in found.rig.cameras}
    # 40 mm on a sensor of 4:3, the width of which the picture has, and up to 12 % cut off.
    whole = 40 / DIAGONAL_MM * 1.25 * max(size)
    assert whole < camera["focal_px"] < 1.12 * whole
    assert camera["focal_from"] == "file"
    assert found.rig.cameras[0].K[0, 0] == pytest.approx(camera["focal_px"], abs=1e-3)
    assert found.focal_sd == camera["focal_sd"] < 0.1
    assert any("camera noted in the file" in note and "40 mm" in note for note in world["notes"])


def test_nonsense_changes_nothing_and_is_said(blurred: Path, tmp_path: Path) -> None:
    plain, without = observed(blurred, tmp_path / "1")
    world, found = observed(
        of_phone(blurred, tmp_path / "a.mov", value(1, b"9999")), tmp_path / "2"
    )
    assert world["camera"]["focal_from"] == plain["camera"]["focal_from"] == "assumed"
    assert found.focal_sd == without.focal_sd
    np.testing.assert_array_equal(found.rig.cameras[0].K, without.rig.cameras[0].K)
    assert any("9999 mm" in note and "ignored" in note for note in world["notes"])


def test_the_room_and_options_go_before_a_file_that_contradicts(
    demo_clip: Path, tmp_path: Path
) -> None:
    plain, _ = observed(demo_clip, tmp_path / "1")
    video = of_phone(demo_clip, tmp_path / "a.mov", value(21, b"\x28"))
    world, _ = observed(video, tmp_path / "2")
    assert plain["camera"] == world["camera"]
    assert world["camera"]["focal_from"] == "room"
    (note,) = [one for one in world["notes"] if "straight edges" in one and "degrees" in one]
    assert "The camera noted another one in the file" in note
    assert "40 mm" in note
    world, found = observed(video, tmp_path / "3", focal_px=800.0)
    assert (world["camera"]["focal_from"], found.focal_sd) == ("given", 0)
    assert found.rig.cameras[0].K[0, 0] == 800


def test_the_camera_of_a_photo_has_it(demo_clip: Path, tmp_path: Path) -> None:
    first = Image.fromarray(next(frames(demo_clip)).rgb)
    for name, equivalent in (("phone", 26), ("wrong", 9999)):
        exif = Image.Exif()
        exif[0x010F] = "Maker"
        exif.get_ifd(0x8769)[0xA405] = equivalent
        first.save(tmp_path / f"{name}.jpg", exif=exif, quality=95)
    pictures = [tmp_path / "phone.jpg", tmp_path / "wrong.jpg"]
    phone, wrong = (one.report for one in fit_pictures(pictures, tmp_path / "o", PictureOptions()))
    focal = 26 / DIAGONAL_MM * 1.25 * max(first.size)
    assert phone["camera"]["K"][0][0] == pytest.approx(focal)
    assert phone["camera"]["focal_from"] == "file"
    assert "26 mm" in phone["notes"][0]
    page = (tmp_path / "o" / "phone_body_report.html").read_text("utf-8")
    assert phone["notes"][0] in page
    assert wrong["camera"]["K"][0][0] == 5000
    assert wrong["camera"]["focal_from"] == "assumed"
    assert "9999 mm" in wrong["notes"][0]
    # Similar triangles: the distance goes with the focal length.
    near, far = (
        float(np.mean(np.abs(read_motion(tmp_path / "o" / f"{n}_body.npz").translation)))
        for n in ("phone", "wrong")
    )
    assert far > 2 * near
