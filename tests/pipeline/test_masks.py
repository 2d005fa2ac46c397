"""`kinefit masks`: one person's masks in the results folder, alone and as a part of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kinefit.api import person_masks, process
from kinefit.cli.commands import app
from kinefit.detect.embedded import BlazePoseDetector
from kinefit.io.masks import read_masks
from kinefit.io.video import Clip, frames
from kinefit.pipeline.config import run_config
from kinefit.types import InputError

COUNT = 40


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every video that the detector looks at, in this process."""
    looked: list[Path] = []
    original = BlazePoseDetector.people

    def people(self, clip: Clip, **how):
        looked.append(clip.path)
        return original(self, clip, **how)

    monkeypatch.setattr(BlazePoseDetector, "people", people)
    return looked


@pytest.fixture(scope="module")
def made(demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By the command line, without a height."""
    out = tmp_path_factory.mktemp("masks") / "out"
    command = ["masks", str(demo_clip), "--out", str(out), "--quality", "fast"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "clip_masks.npz" in done.output
    return out


def stages(out: Path) -> set[str]:
    return set(json.loads((out / "run.json").read_text())["stages"])


def test_the_command_needs_no_height_and_fits_no_body(made: Path) -> None:
    assert stages(made) == {"clip.detect", "clip.person", "clip.masks"}
    assert {p.name for p in made.iterdir()} == {
        ".kinefit", "run.json", "clip_mask.mp4", "clip_masks.npz", "clip_masks.json",
    }  # fmt: skip


def test_the_files_agree_with_one_another(made: Path) -> None:
    masks, told = read_masks(made / "clip_masks.npz"), json.loads(
        (made / "clip_masks.json").read_text()
    )  # fmt: skip
    assert masks.frame.tolist() == list(range(COUNT))
    assert (told["frames"], told["usable"]) == (COUNT, int(masks.usable.sum()))
    assert told["mean_confidence"] == pytest.approx(masks.confidence.mean(), abs=5e-4)
    assert {one["frame"] for one in told["doubtful"]} == set(masks.frame[masks.confidence < 1])
    assert masks.confidence.mean() > 0.95
    for frame in frames(made / "clip_mask.mp4"):
        from_arrays = in_frame(masks, frame.index)
        assert ((frame.rgb[..., 0] >= 128) != from_arrays).mean() < 0.001  # compressed


def in_frame(masks, row: int) -> np.ndarray:
    import cv2

    return cv2.warpAffine(masks.grey[row], masks.into[row], masks.size) >= 128


def test_a_run_in_the_same_folder_looks_at_the_video_once(
    made: Path, demo_clip: Path, searches: list[Path]
) -> None:
    config = run_config({"height": 1.7, "quality": "fast", "save_mask": True})
    before = (made / "clip_masks.npz").read_bytes(), json.loads((made / "run.json").read_text())
    process(demo_clip, made, config, until="masks")
    after = json.loads((made / "run.json").read_text())
    assert searches == []
    assert (made / "clip_masks.npz").read_bytes() == before[0]
    assert after["stages"]["clip.masks"] == before[1]["stages"]["clip.masks"]
    assert "clip.observe" in after["stages"]


@pytest.fixture(scope="module")
def pngs(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The masks as another program would give them, but for frame 7."""
    folder = tmp_path_factory.mktemp("pngs")
    masks = read_masks(made / "clip_masks.npz")
    for k in range(COUNT):
        if k != 7:
            white = (in_frame(masks, k) * 255).astype(np.uint8)
            Image.fromarray(white).save(folder / f"m{k:04d}.png")
    return folder


def test_masks_of_another_program(made: Path, demo_clip: Path, pngs: Path, tmp_path: Path) -> None:
    config = run_config({"quality": "fast", "masks": pngs})
    result = person_masks(demo_clip, tmp_path / "out", config)
    masks, own = (
        read_masks(tmp_path / "out" / "clip_masks.npz"),
        read_masks(made / "clip_masks.npz"),
    )
    assert np.flatnonzero(~masks.usable).tolist() == [7]
    assert masks.reason[7] == "the files have no mask of this frame"
    assert masks.confidence[np.arange(COUNT) != 7].min() > 0.85
    for k in (0, 20, 39):
        mine, other = in_frame(masks, k), in_frame(own, k)
        assert (mine & other).sum() / (mine | other).sum() > 0.98
    assert result.doubts("clip")[0] == "the files have no mask of this frame (frame 7)"
    assert [f.name for f in result.files] == ["clip_masks.npz", "clip_masks.json", "clip_mask.mp4"]


def test_other_masks_are_other_results(demo_clip: Path, pngs: Path, tmp_path: Path) -> None:
    """What the folder holds counts, not its name."""
    out, config = tmp_path / "out", run_config({"quality": "fast", "masks": pngs})
    person_masks(demo_clip, out, config)
    file = pngs / "m0020.png"
    whole = file.read_bytes()
    try:
        Image.new("L", (9, 9)).save(file)
        person_masks(demo_clip, out, config)
    finally:
        file.write_bytes(whole)
    masks = read_masks(out / "clip_masks.npz")
    assert "9 x 9" in masks.reason[20]
    assert np.flatnonzero(~masks.usable).tolist() == [7, 20]


def test_every_camera_has_its_own(demo_videos: Path, pngs: Path, tmp_path: Path) -> None:
    from kinefit.pipeline.stages.masks import files_of_camera

    folder = tmp_path / "m"
    (folder / "cam01").mkdir(parents=True)
    (folder / "cam02.json").write_text("[]")
    assert files_of_camera(folder, "cam01") == folder / "cam01"
    assert files_of_camera(folder, "cam02") == folder / "cam02.json"
    assert files_of_camera(pngs, "cam02") == pngs
    with pytest.raises(InputError, match="no masks of camera 'cam03'"):
        files_of_camera(folder, "cam03")
    (folder / "cam01.mp4").write_bytes(b"")
    with pytest.raises(InputError, match="several masks of camera 'cam01'"):
        files_of_camera(folder, "cam01")


def test_cameras_with_a_dot_in_their_name(tmp_path: Path) -> None:
    from kinefit.pipeline.stages.masks import files_of_camera

    (tmp_path / "walk.left").mkdir()
    (tmp_path / "walk.right.mp4").write_bytes(b"")
    for camera, name in (("walk.left", "walk.left"), ("walk.right", "walk.right.mp4")):
        assert files_of_camera(tmp_path, camera) == tmp_path / name
    with pytest.raises(InputError, match="no masks of camera 'walk'"):
        files_of_camera(tmp_path, "walk")


def test_several_cameras(demo_videos: Path, tmp_path: Path) -> None:
    videos = [demo_videos / f"cam0{k}.mp4" for k in (1, 2)]
    config = run_config(
        {"calibration": demo_videos / "Calib.qca.txt", "end": 0.2, "quality": "fast"}
    )
    result = person_masks(videos, tmp_path / "out", config)
    assert set(result.cameras) == {"cam01", "cam02"}
    for camera, told in result.cameras.items():
        masks = read_masks(tmp_path / "out" / f"{camera}_masks.npz")
        assert len(masks) == told["frames"] == 12
        assert masks.confidence.mean() > 0.9


def test_what_cannot_be_used_is_refused_before_anything_is_looked_at(
    demo_clip: Path, tmp_path: Path, searches: list[Path]
) -> None:
    for options, words in (
        ({"masks": tmp_path / "absent"}, "no such file"),
        ({"segmenter": tmp_path / "absent.tflite"}, "cannot be read"),
    ):
        with pytest.raises(InputError, match=words):
            person_masks(demo_clip, tmp_path / "out", run_config(options))
    with pytest.raises(InputError, match="--masks or --segmenter, not both"):
        run_config({"masks": tmp_path, "segmenter": tmp_path})
    with pytest.raises(InputError, match="masks of one person"):
        person_masks(demo_clip, tmp_path / "out", run_config({"people": "all"}))
    bundle = tmp_path / "points.npz"
    np.savez(bundle, a=np.zeros(2))
    with pytest.raises(InputError):
        person_masks(bundle, tmp_path / "out", run_config({}))
    assert searches == []
    assert not (tmp_path / "out").exists()


def test_heads_are_in_the_masks_of_people(made: Path, demo_clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(made, out)
    config = run_config({"quality": "fast", "head_mask": True})
    result = person_masks(demo_clip, out, config)
    assert {p.name for p in result.files} >= {"clip_heads.npz", "clip_heads.json"}
    persons, heads = (read_masks(out / f"clip_{name}.npz") for name in ("masks", "heads"))
    assert np.array_equal(persons.frame, heads.frame)
    sure = heads.usable
    assert sure.mean() > 0.9
    white = [(mask.grey >= 128).sum(axis=(1, 2))[sure] for mask in (heads, persons)]
    # A head is an eighth of a person's height, and about as much of the picture.
    assert 0.03 < np.median(white[0] / white[1]) < 0.25
    assert "heads" not in stages(made)
