"""Input that cannot be used: a message that names it, exit code 2, and nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.cli.commands import app
from kinefit.io.trc import read_trc
from kinefit.quality.assessment import upside_down

BODY = ["--height", "1.7", "--mass", "70"]
Case = Callable[[Path, Path], list[str]]


def _video(path: Path, pictures: list[np.ndarray]) -> Path:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in pictures:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    return path


def _noise(path: Path) -> Path:
    pictures = np.random.default_rng(0).integers(0, 255, (5, 48, 64, 3), dtype=np.uint8)
    return _video(path, list(pictures))


def _still(path: Path) -> Path:
    return _video(path, [np.zeros((48, 64, 3), np.uint8)])


def _audio(path: Path) -> Path:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def _written(path: Path, content: str | bytes = b"") -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def _foreign(out: Path) -> None:
    out.mkdir()
    _written(out / "thesis.doc", "mine")


def _other_run(out: Path) -> None:
    (out / ".kinefit").mkdir(parents=True)
    claim = {"stem": "b", "inputs": {"b.mp4": "0" * 64}}
    _written(out / ".kinefit" / "input.json", json.dumps(claim))


TRC = (
    "PathFileType\t4\t(X/Y/Z)\tx.trc\n"
    "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\t"
    "OrigNumFrames\n60\t60\t2\t1\tm\t60\t1\t2\nFrame#\tTime\tThumb\n\t\tX1\tY1\tZ1\n\n"
    "1\t0.0\t0\t0\t0\n2\t0.016667\t0\t0\t0\n"
)
GIANT = TRC.replace("\t1\tm\t", "\t4\tm\t").replace(
    "Thumb", "\t\t\t".join(["Neck", "RHip", "LHip", "C7"])
)
GIANT = GIANT.replace("Z1", "\t".join(["Z1", *(f"X{i}\tY{i}\tZ{i}" for i in (2, 3, 4))]))
GIANT = GIANT.replace("0\t0\t0\n", "0\t17\t0" + "\t0\t1\t0" * 3 + "\n")
MOT = "x\nversion=1\nnRows=1\nnColumns=2\ninDegrees=yes\nendheader\ntime\twink\n0\t1\n"

# name -> (arguments from the temporary folder and a real clip, words that the message must have)
CASES: dict[str, tuple[Case, str]] = {
    "no video": (lambda t, v: ["run", *BODY], "video"),
    "missing file": (lambda t, v: ["run", str(t / "no.mp4"), *BODY], "no.mp4"),
    "a folder": (lambda t, v: ["run", str(t), *BODY], "folder"),
    "empty file": (lambda t, v: ["run", _written(t / "e.mp4"), *BODY], "empty"),
    "text": (lambda t, v: ["run", _written(t / "t.mp4", "hello " * 99), *BODY], "t.mp4"),
    "truncated": (
        lambda t, v: ["run", _written(t / "c.mp4", v.read_bytes()[:3000]), *BODY],
        "c.mp4",
    ),
    "audio only": (lambda t, v: ["run", str(_audio(t / "a.mp4")), *BODY], "no video"),
    "zero frames": (lambda t, v: ["run", str(_video(t / "z.mp4", [])), *BODY], "z.mp4"),
    "nobody": (lambda t, v: ["run", str(_noise(t / "n.mp4")), *BODY], "person"),
    "height missing": (lambda t, v: ["run", str(v), "--mass", "70"], "--height"),
    "height in cm": (lambda t, v: ["run", str(v), "--height", "170", "--mass", "70"], "--height"),
    "no mass": (lambda t, v: ["run", str(v), "--height", "1.7", "--mass", "0"], "--mass"),
    "visibility": (lambda t, v: ["run", str(v), *BODY, "--visibility-min", "30"], "--visibility"),
    "fov and focal": (
        lambda t, v: ["run", str(v), *BODY, "--fov", "60", "--focal-px", "900"],
        "not both",
    ),
    "focal length in another unit": (
        lambda t, v: ["run", str(v), *BODY, "--focal-px", "1e9"],
        "no focal length",
    ),
    "markers of a giant": (
        lambda t, v: ["angles", _written(t / "g.trc", GIANT)],
        "no person",
    ),
    "cut-off too high": (
        lambda t, v: ["run", str(v), *BODY, "--cutoff-hz", "45"],
        "half the frame rate",
    ),
    "config missing": (lambda t, v: ["run", str(v), "--config", str(t / "no.toml")], "no.toml"),
    "config not TOML": (
        lambda t, v: ["run", str(v), "--config", _written(t / "b.toml", "height = ")],
        "b.toml",
    ),
    "config: video is no path": (
        lambda t, v: ["run", *BODY, "--config", _written(t / "p.toml", "video = 5")],
        "p.toml",
    ),
    "one frame": (lambda t, v: ["run", str(_still(t / "o.mp4")), *BODY], "one frame"),
    "config unknown name": (
        lambda t, v: ["run", str(v), *BODY, "--config", _written(t / "u.toml", "hieght = 1")],
        "hieght",
    ),
    "detector without file": (
        lambda t, v: ["run", str(v), *BODY, "--detector", "openpose"],
        "keypoints",
    ),
    "keypoints missing": (
        lambda t, v: ["run", str(v), *BODY, "--detector", "coco", "--keypoints", str(t / "k.json")],
        "k.json",
    ),
    "keypoints broken": (
        lambda t, v: [
            *("run", str(v), *BODY, "--detector", "coco"),
            *("--keypoints", _written(t / "k.json", "[{]")),
        ],
        "k.json",
    ),
    "model missing": (
        lambda t, v: ["run", str(v), *BODY, "--detector-model", str(t / "m.task")],
        "m.task",
    ),
    "angles: no file": (lambda t, v: ["angles", str(t / "no.trc")], "no.trc"),
    "angles: cut short": (lambda t, v: ["angles", _written(t / "s.trc", TRC[:-6])], "s.trc"),
    "angles: no landmarks": (lambda t, v: ["angles", _written(t / "x.trc", TRC)], "marker"),
    "augment: no inputs": (lambda t, v: ["augment", _written(t / "x.trc", TRC), *BODY], "marker"),
    "eval: no reference": (
        lambda t, v: [
            "eval",
            "angles",
            _written(t / "x.mot", MOT),
            "--reference",
            str(t / "r.mot"),
        ],
        "r.mot",
    ),
    "eval: nothing in common": (
        lambda t, v: [
            *("eval", "angles", _written(t / "x.mot", MOT)),
            *("--reference", _written(t / "r.mot", MOT.replace("wink", "nod"))),
        ],
        "common",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name, tmp_path, demo_clip):
    arguments, words = CASES[name]
    command = arguments(tmp_path, demo_clip)
    before = sorted(tmp_path.rglob("*"))
    if command[0] == "run":
        command += ["--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2, result.output
    assert words.lower() in result.output.lower()
    assert "Traceback" not in result.output
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("prepare", "words"), [(_foreign, "did not write"), (_other_run, "b.mp4")])
def test_a_folder_in_use_is_left_as_it_is(prepare, words, tmp_path, demo_clip):
    out = tmp_path / "out"
    prepare(out)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    result = CliRunner().invoke(app, ["run", str(demo_clip), *BODY, "--out", str(out)])
    assert result.exit_code == 2
    assert words in result.output.replace("\n", " ")
    assert _contents(out) == before


def _contents(folder: Path) -> dict[Path, bytes]:
    """Every file but the lock, which stays where kinefit has worked."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != "lock")
    return {path: path.read_bytes() for path in files}


def test_out_is_a_file(tmp_path, demo_clip):
    out = tmp_path / "out"
    _written(out, "mine")
    result = CliRunner().invoke(app, ["run", str(demo_clip), *BODY, "--out", str(out)])
    assert result.exit_code == 2
    assert out.read_text() == "mine"


def test_out_below_a_file(tmp_path, demo_clip):
    _written(tmp_path / "file", "mine")
    for command in (["run", str(demo_clip), *BODY], ["angles", _written(tmp_path / "x.trc", TRC)]):
        result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "file" / "out")])
        assert result.exit_code == 2
        assert "Next:" in result.output


def test_overwrite_destroys_nothing_when_the_new_run_is_refused(tmp_path, demo_clip):
    out = tmp_path / "out"
    _other_run(out)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    refused = ["--overwrite", "--detector", "coco", "--keypoints", str(tmp_path / "no.json")]
    result = CliRunner().invoke(app, ["run", str(demo_clip), *BODY, "--out", str(out), *refused])
    assert result.exit_code == 2
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_a_vertical_axis_that_is_another_is_said(tmp_path):
    header, y_up = TRC.replace("\t1\tm\t", "\t2\tm\t"), "\t0\t1.4\t0\t0\t0.1\t0\n"
    text = header.replace("Thumb", "Neck\t\t\tRAnkle").replace("Z1", "Z1\tX2\tY2\tZ2")
    for cells, said in ((y_up, False), ("\t1.4\t0\t0\t0.1\t0\t0\n", True)):
        file = _written(tmp_path / "x.trc", text.replace("\t0\t0\t0\n", cells))
        assert upside_down(read_trc(file)) is said


@pytest.mark.parametrize(
    "command",
    [["angles"], ["augment", *BODY], ["ik", *BODY], ["fit", "markers"]],
    ids=lambda words: " ".join(words[:2]),
)
def test_commands_that_read_markers_know_axes_and_units(tmp_path, command):
    file = _written(tmp_path / "x.trc", GIANT)
    for options, said in ((["--up", "W"], "no axis"), ([], "no person")):
        result = CliRunner().invoke(app, [*command, str(file), *options])
        assert result.exit_code == 2
        assert said in result.output
    result = CliRunner().invoke(app, [*command, str(file), "--units", "m"])  # is believed
    assert "no person" not in result.output


@pytest.mark.parametrize("command", [["refine"], ["batch"], ["angles"], ["view", "--no-open"]])
def test_a_link_to_itself_is_refused(tmp_path: Path, command: list[str]) -> None:
    loop = tmp_path / "a.csv"
    loop.symlink_to(loop)
    result = CliRunner().invoke(app, [*command, str(loop)])
    assert result.exit_code == 2, result.output
    assert "a.csv" in result.output
