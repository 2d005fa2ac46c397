"""Files of joint angles beside the truth: what is written is read, and nothing else is."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from kinefit.train.refine.clips import AngleClips
from kinefit.train.refine.data import read_angle_data
from kinefit.types import InputError

from .made_up import clips


def test_clips_are_read_as_they_were_written(tmp_path: Path) -> None:
    data = clips(3)
    np.savez(tmp_path / "angles_00000.npz", **data.arrays())
    again = read_angle_data(tmp_path)
    assert len(again) == 3
    assert again.start.tolist() == [0, 96, 192, 288]
    for field in fields(AngleClips):  # single precision: 1e-5 of some tens of degrees
        assert np.allclose(getattr(again, field.name), getattr(data, field.name), atol=1e-4)


def test_clips_are_found_below_a_folder_and_joined(tmp_path: Path) -> None:
    for i, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "angles_00000.npz", **clips(i + 1).arrays())
    assert len(read_angle_data(tmp_path)) == 3


@pytest.mark.parametrize("harm", ["lacks", "shape", "kind"])
def test_another_file_is_refused(tmp_path: Path, harm: str) -> None:
    arrays = clips(1).arrays()
    if harm == "lacks":
        del arrays["true"]
    elif harm == "shape":
        arrays["seen"] = arrays["seen"][:-1]
    else:
        arrays["given"] = arrays["given"].astype(str)
    np.savez(tmp_path / "angles_00000.npz", **arrays)
    with pytest.raises(InputError, match="angles_00000"):
        read_angle_data(tmp_path)


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kinefit train data angles"):
        read_angle_data(tmp_path)
