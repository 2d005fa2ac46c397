"""Markers of a posed body: on its skin, fixed to its bones, and as good as laboratory ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.angles import joint_angles
from kinefit.body import BodyModel
from kinefit.body.anny import load_anny
from kinefit.fit.mesh_markers import laboratory_markers, mesh_markers
from kinefit.fit.recipes.markers import MarkerOptions, fit_markers
from kinefit.geometry import rotations as so3
from kinefit.geometry.hip_centre import hip_joint_centres
from kinefit.io.trc import read_trc
from kinefit.skeletons import skeleton
from kinefit.types import BodyMotion, FloatArray, Markers, Timeline

SHARED = Path(__file__).parents[3] / "shared" / "data" / "opencap" / "Subject4"


@pytest.fixture(scope="module")
def anny() -> BodyModel:
    return load_anny()


def _motion(body: BodyModel, rotations: FloatArray, shape: FloatArray | None = None) -> BodyMotion:
    T = len(rotations)
    return BodyMotion(
        body.name, Timeline.regular(T, 30), body.joint_names, rotations, np.zeros((T, 3)),
        body.shape.neutral if shape is None else shape, body.shape.names,
    )  # fmt: skip


def _rest(body: BodyModel) -> Markers:
    return mesh_markers(body, _motion(body, np.eye(3)[None, None].repeat(len(body.parents), 1)))


def test_all_43_are_a_centimetre_off_the_skin_but_hip_centres(anny: BodyModel) -> None:
    markers = _rest(anny)
    assert set(markers.names) == set(skeleton("augmented43").points)
    skin = anny.rest_vertices(anny.shape.neutral)
    for name, place in zip(markers.names, markers.xyz[0], strict=True):
        distance = np.linalg.norm(skin - place, axis=1).min()
        # To the nearest vertex: edges are a centimetre or two; rays leave the skin aslant.
        assert "HJC" in name or 0.004 < distance < 0.02, name


def test_each_moves_with_one_bone(anny: BodyModel) -> None:
    rng = np.random.default_rng(0)
    rotations = so3.exp(rng.normal(0, 0.3, (4, len(anny.parents), 3)))
    shape = anny.shape.neutral + 0.1
    motion = _motion(anny, rotations, shape)
    on = laboratory_markers(anny).skin_joints[:, 0]
    G, c = anny.pose(rotations, motion.translation, anny.rest_joints(shape))
    arms = np.swapaxes(G, -1, -2)[:, on] @ (
        mesh_markers(anny, motion).xyz - c[:, on]
    )[..., None]  # fmt: skip
    np.testing.assert_allclose(arms, arms[:1].repeat(4, 0), atol=1e-12)


def test_frames_without_a_pose_have_no_markers(anny: BodyModel) -> None:
    motion = _motion(anny, np.eye(3)[None, None].repeat(len(anny.parents), 1).repeat(2, 0))
    rotations, translation = motion.rotations.copy(), motion.translation.copy()
    rotations[1], translation[1] = np.nan, np.nan
    motion = replace(motion, rotations=rotations, translation=translation)
    present = mesh_markers(anny, motion).present
    assert present[0].all()
    assert not present[1].any()


def test_the_pelvis_stands_as_people_s_do(anny: BodyModel) -> None:
    markers = _rest(anny)
    at = {name: markers.xyz[0, i] for i, name in enumerate(markers.names)}
    spines = [at[n] for n in ("r.ASIS_study", "L.ASIS_study", "r.PSIS_study", "L.PSIS_study")]
    front, back = (spines[0] + spines[1]) / 2, (spines[2] + spines[3]) / 2
    tilt = np.degrees(np.arctan2(back[1] - front[1], front[2] - back[2]))
    assert 7 < tilt < 15  # 11 degrees, SD 4 (Levine & Whittle 1996)
    right, left = hip_joint_centres(*spines)
    # Harrington's hip centres: Anny's joints are 4 cm further back and 2 cm further out.
    assert np.linalg.norm(right - at["RHJC_study"]) < 0.05
    assert np.linalg.norm(left - at["LHJC_study"]) < 0.05


@pytest.mark.skipif(not SHARED.is_dir(), reason="the OpenCap recordings are not here")
@pytest.mark.parametrize("trial", ["walking1", "squats1"])
def test_angles_agree_with_those_of_the_laboratory_s_markers(anny: BodyModel, trial: str) -> None:
    markers = read_trc(SHARED / f"{trial}_model_markers.trc")
    time = markers.timeline
    some = Markers(Timeline(time.frame[::5], time.time[::5]), markers.names, markers.xyz[::5])
    fit = fit_markers(anny, some, MarkerOptions(most_keyframes=40))
    found, real = joint_angles(mesh_markers(anny, fit.motion)), joint_angles(some)
    for name, most, spread in (("hip_r_flex", 9, 1), ("knee_r_flex", 4, 1), ("ankle_r_flex", 5, 2)):
        off = found.column(name) - real.column(name)
        assert abs(off.mean()) < most, name  # measured: 6, 2, 2
        assert off.std() < spread, name  # measured: 0.5, 0.5, 0.9
