"""Every command into one folder, in one order and the other: nothing that is there disappears."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.api import process
from kinefit.cli.commands import app
from kinefit.io.trc import read_trc
from kinefit.io.video import frames
from kinefit.pipeline.config import run_config

from ..pipeline.rig_clip import tube_clip

BODY = ["--height", "1.68", "--quality", "fast"]


@pytest.fixture(scope="module")
def commands(demo_clip, tmp_path_factory) -> dict[str, list[str]]:
    """Command -> its arguments but for --out, on the same person where it can be."""
    folder = tmp_path_factory.mktemp("inputs")
    options = {"height": 1.68, "overlay": False, "quality": "fast", "export": "", "end": 0.4}
    process(demo_clip, folder / "run", run_config(options), until="markers")
    markers = folder / "lab.trc"
    markers.write_bytes((folder / "run" / "clip_final.trc").read_bytes())
    picture = folder / "photo.png"
    cv2.imwrite(str(picture), np.ascontiguousarray(next(frames(demo_clip)).rgb[..., ::-1]))
    tubes = tube_clip(tmp_path_factory.mktemp("tubes"))
    quick, part = ["--export", "bvh"], ["--end", "0.4", "--no-overlay"]
    found = {
        "run": ["run", str(demo_clip), *BODY, *quick, *part],
        "fit video": ["fit", "video", str(demo_clip), *BODY, "--export", "glb", *part],
        "fit markers": ["fit", "markers", str(markers), *quick],
        "fit image": ["fit", "image", str(picture)],
        "fit frames": [*tubes.arguments(*quick)],
        "angles": ["angles", str(markers)],
    }
    try:
        import opensim  # noqa: F401
    except ImportError:
        return found
    return found | {"ik": ["ik", str(markers), "--height", "1.68", "--mass", "70"]}


def contents(folder: Path) -> dict[str, bytes]:
    """What a user finds there."""
    files = (p for p in folder.rglob("*") if p.is_file() and ".kinefit" not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.mark.parametrize("backwards", [False, True])
def test_nothing_disappears_and_nothing_changes(commands, tmp_path, backwards):
    out = tmp_path / "out"
    before: dict[str, bytes] = {}
    done = []
    for name in sorted(commands, reverse=backwards):
        result = CliRunner().invoke(app, [*commands[name], "--out", str(out)])
        assert result.exit_code == 0, result.output
        after = contents(out)
        lost = before.keys() - after.keys()
        changed = {n for n in before.keys() & after.keys() if before[n] != after[n]}
        assert not lost, (done, name)
        # What describes the whole folder follows it; so do the pages of the one recording.
        assert changed <= {"run.json", "report.html", "viewer.html"}, (done, name)
        before = after
        done.append(name)


def test_a_file_of_the_same_name_is_refused_not_replaced(commands, tmp_path):
    out, same = tmp_path / "out", tmp_path / "clip.trc"  # as the video is called
    same.write_bytes(Path(commands["angles"][1]).read_bytes())
    assert CliRunner().invoke(app, [*commands["fit video"], "--out", str(out)]).exit_code == 0
    before = contents(out)
    result = CliRunner().invoke(app, ["fit", "markers", str(same), "--out", str(out)])
    assert result.exit_code == 2
    assert "clip_body" in result.output
    assert "choose another --out" in result.output
    assert contents(out) == before


def test_the_same_command_twice_changes_nothing(commands, tmp_path):
    out = tmp_path / "out"
    for name in ("fit markers", "angles", "fit frames"):
        for _ in range(2):
            result = CliRunner().invoke(app, [*commands[name], "--out", str(out)])
            assert result.exit_code == 0, result.output
        assert not [n for n in contents(out) if "edited" in n]


def test_markers_out_of_the_body_are_those_of_the_fit(commands, tmp_path):
    out = tmp_path / "out"
    for name in ("fit video", "run"):
        assert CliRunner().invoke(app, [*commands[name], "--out", str(out)]).exit_code == 0
    body, final = read_trc(out / "clip_body.trc"), read_trc(out / "clip_final.trc")
    knee = [m.xyz[:, m.names.index("LKnee")] for m in (body, final)]
    # The final one is low-passed: 6 Hz of a walk leave millimetres.
    assert np.abs(knee[0] - knee[1]).max() < 0.03


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupted_run_says_how_to_go_on(demo_clip, tmp_path):
    process = _started(demo_clip, tmp_path / "out")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on where it was" in said
    assert "Traceback" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_workers_end_with_their_parent(demo_videos, tmp_path):
    """Kill -9 of a run of several cameras leaves no process behind."""
    calibration = demo_videos / "Calib.qca.txt"
    videos = sorted(demo_videos.glob("*.mp4"))[:2]
    process = _started(videos, tmp_path / "out", "--calibration", str(calibration))
    workers = _children(process.pid)
    assert workers
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(600):  # a library that is being loaded holds Python's lock for seconds
        if not any(Path(f"/proc/{pid}").exists() for pid in workers):
            return
        time.sleep(0.1)
    raise AssertionError("workers go on")


def _started(videos: Path | list[Path], out: Path, *more: str) -> subprocess.Popen[str]:
    """`kinefit run` as a process, some way into detection."""
    files = [str(v) for v in (videos if isinstance(videos, list) else [videos])]
    # Where the tests themselves run in the background, a shell has them ignore SIGINT.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from kinefit.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", *files, *BODY, "--out", str(out), *more],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not (out / ".kinefit" / "input.json").exists():
        time.sleep(0.01)
    time.sleep(2)
    return process


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    if not tasks.is_dir():
        pytest.skip("no /proc to look for processes")
    return [
        int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()
    ]
