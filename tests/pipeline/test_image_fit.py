"""Bodies in real pictures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinefit.api import fit_pictures
from kinefit.io.body_npz import read_motion
from kinefit.io.video import frames
from kinefit.pipeline.config import PictureOptions
from kinefit.types import InputError


@pytest.fixture(scope="module")
def photo(demo_clip, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "person.png"
    first = next(iter(frames(demo_clip)))
    cv2.imwrite(str(path), cv2.cvtColor(first.rgb, cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture(scope="module")
def nobody(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("wall") / "wall.png"
    cv2.imwrite(str(path), np.full((480, 640, 3), 128, np.uint8))
    return path


@pytest.fixture(scope="module")
def fitted(photo, nobody, tmp_path_factory):
    out = tmp_path_factory.mktemp("images")
    return out, fit_pictures([photo, nobody], out, PictureOptions(gender="male"), fov_deg=60)


def test_a_person_gets_a_body(fitted):
    out, (person, _) = fitted
    assert person.reason == ""
    names = {path.name for path in person.files}
    files = {f"person_body.{kind}" for kind in ("json", "npz", "obj", "png")}
    assert names == files | {"person_body_report.html", "person_body_viewer.html"}
    page = (out / "person_body_report.html").read_text("utf-8")
    assert "One picture does not show depth." in page
    assert "data:image/png;base64," in page
    report = json.loads((out / "person_body.json").read_text("utf-8"))
    assert report == person.report
    assert report["mean_residual_px"] < 8  # the person is 370 px high
    motion = read_motion(out / "person_body.npz")
    assert np.isfinite(motion.rotations).all()
    # The camera of the report is that of the .npz and the .obj: the body lies in the picture.
    camera = report["camera"]
    lines = (out / "person_body.obj").read_text("utf-8").splitlines()
    xyz = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], dtype=float)
    local = xyz @ np.array(camera["R"]).T + camera["t_m"]
    pixels = (local / local[:, 2:]) @ np.array(camera["K"]).T
    assert 300 < np.ptp(pixels[:, 1]) < 480  # the person is 370 px high, and bends
    assert (np.abs(pixels[:, :2] - [270, 480]) < [270, 480]).all()
    image = cv2.imread(str(out / "person_body.png"))
    assert image.shape[1] == 3 * image.shape[0] * 540 // 960


def test_a_picture_without_a_person_has_a_reason(fitted):
    out, (_, wall) = fitted
    assert "no person" in wall.reason
    assert [path.name for path in wall.files] == ["wall_body.json"]
    assert json.loads((out / "wall_body.json").read_text("utf-8"))["reason"] == wall.reason


def test_a_longer_lens_puts_the_person_further_away(photo, fitted, tmp_path):
    _, (person, _) = fitted
    (far,) = fit_pictures([photo], tmp_path, PictureOptions(gender="male"), focal_px=5000.0)
    depth = [-read_motion(one.files[1]).translation[0, 2] for one in (far, person)]
    assert 2.5 < depth[1] < 6  # the calibrated cameras are at 3.5 to 4.5 m
    focal = person.report["camera"]["K"][0][0]
    assert depth[0] / depth[1] == pytest.approx(5000 / focal, rel=0.3)


def test_what_cannot_be_used_is_refused(photo, demo_clip, tmp_path):
    options = PictureOptions()
    with pytest.raises(InputError, match="two pictures"):
        fit_pictures([photo, photo], tmp_path, options)
    with pytest.raises(InputError, match="focal length"):
        fit_pictures([photo], tmp_path, options, focal_px=1000.0, fov_deg=60.0)
    with pytest.raises(InputError, match="40 frames"):
        fit_pictures([demo_clip], tmp_path, options)
    with pytest.raises(InputError, match="--focal-px"):
        fit_pictures([photo], tmp_path, options, focal_px=-5.0)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match=r"text\.png"):
        fit_pictures([tmp_path / "text.png"], tmp_path, options)


def test_pictures_without_any_person_leave_nothing(nobody, tmp_path):
    with pytest.raises(InputError, match="no person"):
        fit_pictures([nobody], tmp_path / "out", PictureOptions())
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def group(two_people_clip, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("group") / "group.png"
    first = next(iter(frames(two_people_clip)))
    cv2.imwrite(str(path), cv2.cvtColor(first.rgb, cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture(scope="module")
def everyone(group, photo, tmp_path_factory):
    """Everybody in a picture of two and in one of one person."""
    out = tmp_path_factory.mktemp("everyone")
    return out, fit_pictures([group, photo], out, PictureOptions(people="all"), fov_deg=60)


def hips(result) -> np.ndarray:
    """(2,) pixels: where the body's root is."""
    camera, motion = result.report["camera"], read_motion(result.files[1])
    local = np.array(camera["R"]) @ motion.translation[0] + camera["t_m"]
    return (np.array(camera["K"]) @ (local / local[2]))[:2]


def test_everybody_in_a_picture_has_files_of_their_own(everyone):
    _, results = everyone
    assert [r.reason for r in results] == ["", "", ""]
    stems = ["group_person1", "group_person2", "person"]  # one person needs no number
    ends = (".json", ".npz", ".obj", ".png", "_viewer.html", "_report.html")
    for result, stem in zip(results, stems, strict=True):
        assert [f.name for f in result.files] == [f"{stem}_body{end}" for end in ends]
        assert all(f.is_file() for f in result.files)
    assert [(r.report["person"], r.report["people"]) for r in results] == [(1, 2), (2, 2), (1, 1)]
    assert np.linalg.norm(hips(results[0]) - hips(results[1])) > 100


def test_the_page_says_which_person_it_is(everyone):
    out, _ = everyone
    page = (out / "group_person2_body_report.html").read_text("utf-8")
    assert "2 of 2: choose with --person, or --people all" in page
    assert "--people" not in (out / "person_body_report.html").read_text("utf-8")


@pytest.mark.parametrize("number", [1, 2])
def test_the_person_who_is_asked_for(number, group, everyone, tmp_path):
    _, results = everyone
    x, y = hips(results[number - 1])
    for way in ({"person": number}, {"person_at": f"{x},{y}"}):
        (one,) = fit_pictures([group], tmp_path, PictureOptions(**way), fov_deg=60)
        assert one.files[0].name == "group_body.json"
        assert one.report["person"] == number
        assert np.linalg.norm(hips(one) - (x, y)) < 5  # others beside them change nothing


def test_who_is_not_in_the_picture_is_told(group, tmp_path):
    with pytest.raises(InputError, match="there is no person 3; 2 found"):
        fit_pictures([group], tmp_path / "out", PictureOptions(person=3))
    with pytest.raises(InputError, match="nobody who can be followed was found at"):
        fit_pictures([group], tmp_path / "out", PictureOptions(box="1,1,9,9"))
    assert not (tmp_path / "out").exists()
