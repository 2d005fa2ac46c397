"""The command that makes what refiners are trained with: whole, kept, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinefit.train.lift.data import Drawing
from kinefit.train.refine import data as module
from kinefit.train.refine.data import make_angle_data, read_angle_data
from kinefit.types import InputError, KinefitError, TooFewPoints

from .made_up import clips


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Shards are made in this process, of made-up clips; the kinds that were asked for."""
    asked: list[str] = []

    def each(work: Any, shards: Any, processes: int, start: Any) -> Any:
        start()
        return map(work, shards)

    def clip(filmed: int, rng: np.random.Generator, kind: str) -> Any:
        asked.append(kind)
        if filmed == 1:
            raise TooFewPoints("frames", found=0, needed=1)
        return clips(1)

    monkeypatch.setattr(module, "each", each)
    monkeypatch.setattr(module, "_filmed", lambda shard, rng: iter((0, 1, 2)))
    monkeypatch.setattr(module, "angle_clip", clip)
    return asked


def test_clips_that_a_run_makes_nothing_of_are_left_out(tmp_path: Path, here: list[str]) -> None:
    make_angle_data(tmp_path, [], Drawing(3, 0, None))
    assert here == ["drawn"] * 9
    assert len(read_angle_data(tmp_path)) == 6


def test_what_is_there_is_kept_and_more_is_added(tmp_path: Path, here: list[str]) -> None:
    make_angle_data(tmp_path, [], Drawing(1, 0, None))
    before = (tmp_path / "angles_drawn_00000.npz").stat().st_mtime_ns
    here.clear()
    make_angle_data(tmp_path, [], Drawing(2, 0, None))
    assert len(here) == 3
    assert (tmp_path / "angles_drawn_00000.npz").stat().st_mtime_ns == before


def test_clips_of_other_inputs_are_not_replaced(tmp_path: Path, here: list[str]) -> None:
    make_angle_data(tmp_path, [], Drawing(1, 0, None))
    with pytest.raises(InputError, match="other inputs"):
        make_angle_data(tmp_path, [], Drawing(1, 5, None))


def test_nothing_asked_for_and_rows_without_a_detector_are_refused(
    tmp_path: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no parts"):
        make_angle_data(tmp_path / "out", [], Drawing(0, 0, None))
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.npz").write_bytes(b"")
    rows = {"pose_2d": np.full((3, 17, 2), np.nan)}
    monkeypatch.setattr(module, "read_shard", lambda file: rows)
    with pytest.raises(KinefitError, match="--videos"):
        make_angle_data(tmp_path / "out", [tmp_path / "rows"], Drawing(0, 0, None))
    assert not (tmp_path / "out").exists()
