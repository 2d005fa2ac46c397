"""Observations in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.io.observations import load_observations, save_observations
from kinefit.types import Camera, CameraRig, InputError, Observations, Timeline


def _made() -> Observations:
    """Two cameras of different lenses, some points missing."""
    rng = np.random.default_rng(0)
    K = np.array([[900.0, 0, 320], [0, 900, 240], [0, 0, 1]])
    cameras = (
        Camera("left", (640, 480), K, np.eye(3), np.zeros(3)),
        Camera("right", (640, 480), K, np.eye(3), np.ones(3), np.full(5, 0.01)),
        Camera("round", (640, 480), K, np.eye(3), np.ones(3), np.full(4, 0.02), fisheye=True),
    )
    xy = rng.normal(size=(3, 3, 2, 2))
    xy[1, 0] = np.nan
    return Observations(
        Timeline(np.array([4, 5, 9]), np.array([0.1, 0.2, 0.5])),
        CameraRig(cameras),
        ("LKnee", "LHeel"),
        xy,
        np.full((3, 3, 2), 2.0),
        rng.normal(size=(3, 2, 3)),
        covariance=np.tile(np.eye(3), (3, 2, 1, 1)),
        limbs=(("LKnee", "LHeel"),),
        directions=np.tile([0.0, 1, 0], (3, 1, 1)),
        direction_sd=np.full((3, 1), 0.1),
        contact_names=("LHeel",),
        contact=np.array([[0.0], [0.4], [np.nan]]),
        gravity_sd=0.1,
        focal_sd=0.05,
        stature_m=1.7,
    )


_BARE = {
    "limbs": (), "directions": None, "direction_sd": None, "contact_names": (), "contact": None,
    "covariance": None, "stature_m": None,
}  # fmt: skip


@pytest.mark.parametrize("without", [{}, _BARE])
def test_everything_comes_back(tmp_path: Path, without: dict[str, object]) -> None:
    made = replace(_made(), **without)  # type: ignore[arg-type]
    save_observations(tmp_path / "a.npz", made)
    back = load_observations(tmp_path / "a.npz")
    for name in ("names", "limbs", "contact_names", "gravity_sd", "focal_sd", "stature_m"):
        assert getattr(back, name) == getattr(made, name)
    assert back.timeline == made.timeline
    for name in ("xy", "sigma", "xyz", "directions", "direction_sd", "contact"):
        assert np.array_equal(getattr(back, name), getattr(made, name), equal_nan=True)
    assert (back.covariance is None) == (made.covariance is None)
    for a, b in zip(back.rig, made.rig, strict=True):
        assert (a.name, a.size, a.fisheye) == (b.name, b.size, b.fisheye)
        for name in ("K", "R", "t", "distortion"):
            assert np.array_equal(getattr(a, name), getattr(b, name))


def test_points_without_cameras_come_back(tmp_path: Path) -> None:
    made = replace(_made(), rig=CameraRig(()), xy=np.empty((3, 0, 2, 2)), sigma=np.empty((3, 0, 2)))
    save_observations(tmp_path / "a.npz", made)
    assert len(load_observations(tmp_path / "a.npz").rig) == 0


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", xyz=np.zeros(3))
    with pytest.raises(InputError, match="it has no array 'format'"):
        load_observations(tmp_path / "other.npz")
    save_observations(tmp_path / "a.npz", _made())
    arrays = dict(np.load(tmp_path / "a.npz"))
    np.savez(tmp_path / "later.npz", **(arrays | {"format": np.array("kinefit observations 2")}))
    with pytest.raises(InputError, match="format"):
        load_observations(tmp_path / "later.npz")
    np.savez(tmp_path / "short.npz", **(arrays | {"xyz": arrays["xyz"][:2]}))
    with pytest.raises(InputError, match=r"xyz has shape"):
        load_observations(tmp_path / "short.npz")
