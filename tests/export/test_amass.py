"""AMASS files of SMPL-like bodies: the same mesh, in a world with Z up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.body import BodyModel
from kinefit.export.motion_files import export_amass
from kinefit.types import InputError, Timeline

from ..body.moving import swinging
from ..body.synthetic import tube_body

CLOCK = Timeline.regular(20, 120.0)


@pytest.fixture
def body() -> BodyModel:
    return replace(tube_body(pose_dirs=True), name="smpl-female")


def test_the_file_poses_the_same_mesh_with_z_up(tmp_path: Path, body: BodyModel) -> None:
    motion = swinging(body, CLOCK)
    assert export_amass(tmp_path / "a.npz", body, motion) == ()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        arrays = dict(file)
    turns = Rotation.from_rotvec(arrays["poses"].reshape(-1, 3)).as_matrix()
    posed = body.posed_vertices(turns.reshape(20, 24, 3, 3), arrays["trans"], arrays["betas"])
    x, y, z = np.moveaxis(body.motion_vertices(motion), -1, 0)
    np.testing.assert_allclose(posed, np.stack([x, -z, y], axis=-1), atol=1e-12)  # rounding
    assert str(arrays["gender"]) == "female"


def test_gaps_are_bridged_and_named(tmp_path: Path, body: BodyModel) -> None:
    (note,) = export_amass(tmp_path / "a.npz", body, swinging(body, CLOCK, without=[4, 5]))
    assert note.endswith(": 4-5.")
    assert np.isfinite(np.load(tmp_path / "a.npz")["poses"]).all()


def test_families_must_agree(tmp_path: Path, body: BodyModel) -> None:
    motion, path = swinging(body, CLOCK), tmp_path / "a.npz"
    export_amass(path, body, motion)
    other, motion = replace(body, name="anny"), replace(motion, body="anny")
    with pytest.raises(InputError, match="holds SMPL bodies, not anny"):
        export_amass(path, other, motion)
