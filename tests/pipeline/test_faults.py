"""A run that is interrupted, or whose disk is full, at any moment: nothing is lost, all goes on."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from kinefit.pipeline.config import run_config
from kinefit.pipeline.context import Context, Job
from kinefit.pipeline.execute import run_plan
from kinefit.pipeline.plan import Stage
from kinefit.pipeline.results import INTERNAL
from kinefit.types import InputError

CONFIG = run_config({"height": 1.7, "mass": 60})
# Where folders and files are written; a line of these is a moment.
WATCHED = ("pipeline/store.py", "pipeline/execute.py", "io/atomic.py")


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def first(context: Context) -> None:
    (context.staging / "points.txt").write_text(f"points of {context.config.height}")


def second(context: Context) -> None:
    (context.staging / "angles").mkdir()
    for name in ("hip.csv", "knee.csv"):
        (context.staging / "angles" / name).write_text(context.read("points.txt").read_text())


STAGES = [
    Stage("first", first, options=("height",)),
    Stage("second", second, reads=("first",), options=("mass",)),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    video = tmp_path / "v.mp4"
    video.write_bytes(b"a video")
    monkeypatch.setattr("kinefit.pipeline.execute.stages_of", lambda job, **_: STAGES)
    monkeypatch.setattr("kinefit.pipeline.execute.part_json", lambda clip: {})
    monkeypatch.setattr("kinefit.pipeline.execute.code_version", lambda module: "1")

    def do(out: Path, **options: Any) -> Path:
        chosen = CONFIG.model_copy(update=options)
        run_plan(Job("video", "v", {"v": video}, chosen), out)
        return out

    return do


class At:
    """Raises an error on the n-th line that is done of the watched modules. What a line does more
    often than twice (once for each stage) is no new moment."""

    def __init__(self, moment: int, error: Callable[[], BaseException]) -> None:
        self.left, self.error = moment, error
        self.times: Counter[tuple[str, int]] = Counter()

    def __enter__(self) -> At:
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.replace(os.sep, "/").endswith(WATCHED):
            return None
        line = (frame.f_code.co_filename, frame.f_lineno)
        self.times[line] += event == "line"
        if event == "line" and self.times[line] <= 2:
            self.left -= 1
            if self.left == 0:
                raise self.error()
        return self.trace


def contents(out: Path) -> dict[str, bytes]:
    """Of all files that a user sees but run.json, which says how long it took."""
    files = (p for p in out.rglob("*") if p.is_file() and INTERNAL not in p.parts)
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files if p.name != "run.json"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, full], ids=["ctrl-c", "full disk"])
@pytest.mark.parametrize("start", [1, 2, 3, 4, 5])
def test_it_goes_on_from_any_moment(
    run: Callable[..., Path], tmp_path: Path, error: Callable[[], BaseException], start: int
) -> None:
    """The first time, and where earlier results are made anew, one of which was edited."""
    whole = contents(run(tmp_path / "whole"))
    other = contents(run(tmp_path / "other", height=1.8))
    moment, over = start, False
    while not over:
        out = tmp_path / str(moment)
        with At(moment, error) as at:
            stopped(lambda out=out: run(out))
        over = at.left > 0  # the run had no such moment any more
        assert whole.items() >= contents(out).items() if out.exists() else True
        assert contents(run(out)) == whole
        (out / "points.txt").write_text("edited")
        with At(moment, error):
            stopped(lambda out=out: run(out, height=1.8))
        left = contents(run(out, height=1.8))
        assert left.pop("points.edited.txt") == b"edited"
        assert left == other
        assert not list((out / INTERNAL).rglob("staging/*"))
        moment += 5


def stopped(work: Callable[[], Any]) -> None:
    with suppress(KeyboardInterrupt, OSError, InputError):
        work()


def test_the_moments_are_many(run: Callable[..., Path], tmp_path: Path) -> None:
    """Or the test above would see nothing."""
    with At(10**9, full) as at:
        run(tmp_path / "out")
    assert 10**9 - at.left > 300


@pytest.mark.skipif(sys.platform == "win32", reason="an open file stays there")
def test_a_video_that_is_removed_while_it_is_read(
    run: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    video, out = tmp_path / "v.mp4", tmp_path / "out"
    content = video.read_bytes()

    def remove(context: Context) -> None:
        first(context)
        video.unlink()

    stages = [Stage("zeroth", first), Stage("first", remove, options=("height",))]
    monkeypatch.setattr("kinefit.pipeline.execute.stages_of", lambda job, **_: stages)
    stages[0] = Stage("zeroth", lambda context: (context.staging / "0.txt").touch())
    with pytest.raises(InputError, match=r"v\.mp4.*Next"):
        run(out)
    assert set(contents(out)) == {"0.txt"}
    assert "v.mp4" in json.loads((out / "run.json").read_text())["incomplete"]
    video.write_bytes(content)
    stages[1] = Stage("first", first, options=("height",))
    assert set(contents(run(out))) == {"0.txt", "points.txt"}
