"""AMASS files written; `test_mocap` reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.io.amass import write_amass
from kinefit.types import BodyMotion, InputError, Timeline

from .test_body_npz import ROUNDING, motion


def even(T: int = 12) -> BodyMotion:
    return replace(motion(T, body="smplh-female"), timeline=Timeline.regular(T, 120.0))


def test_amass_files_have_the_names_that_others_read(tmp_path: Path) -> None:
    given = even()
    write_amass(tmp_path / "a.npz", given, np.arange(16.0), "female")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"poses", "trans", "betas", "mocap_framerate", "gender"}
        assert arrays["poses"].shape == (12, 15)
        assert float(arrays["mocap_framerate"]) == pytest.approx(120, rel=1e-12)
        assert str(arrays["gender"]) == "female"
        turns = Rotation.from_rotvec(arrays["poses"].reshape(-1, 3)).as_matrix()
    np.testing.assert_allclose(turns.reshape(12, 5, 3, 3), given.rotations, atol=ROUNDING)


def test_what_amass_cannot_say_is_refused(tmp_path: Path) -> None:
    path, betas = tmp_path / "a.npz", np.zeros(10)
    with pytest.raises(InputError, match="holds SMPL bodies, not anny"):
        write_amass(path, replace(even(), body="anny"), betas, "male")
    with pytest.raises(InputError, match="unknown gender 'm'"):
        write_amass(path, even(), betas, "m")
    with pytest.raises(InputError, match="frame 32 has no pose"):
        write_amass(path, motion(body="smpl", without=(2,)), betas, "male")
    with pytest.raises(InputError, match="constant rate first"):
        write_amass(path, motion(body="smpl"), betas, "male")
    assert not path.exists()
