"""An OpenSim model as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.opensim.model import BodyModel, load_opensim, read_model
from kinefit.biomech.opensim.sets import setup_folder
from kinefit.types import InputError


@pytest.mark.parametrize("name", ["Model_Pose2Sim_simple.osim", "Model_Pose2Sim_muscles_flex.osim"])
def test_the_jacobian_is_the_derivative_of_the_positions(name: str) -> None:
    folder = setup_folder()
    model = BodyModel(folder / name, folder / "Markers_Halpe26.xml")
    rng = np.random.default_rng(1)
    q = model.tie(model.default + rng.uniform(-0.3, 0.3, len(model.names)) * model.free)
    jacobian = model.jacobian(q) @ model.tie_jacobian(q)
    for i in np.flatnonzero(model.free):
        step = np.zeros(len(q))
        step[i] = 1e-6
        rise = model.positions(model.tie(q + step)) - model.positions(model.tie(q - step))
        # Central differences of metres over 2e-6 rad: 1e-16 / 1e-6 of rounding, with room.
        np.testing.assert_allclose(rise / 2e-6, jacobian[..., i], atol=1e-7)


def test_tied_coordinates_follow_as_opensim_has_them() -> None:
    folder = setup_folder()
    model = BodyModel(folder / "Model_Pose2Sim_muscles_flex.osim", folder / "Markers_LSTM.xml")
    opensim = load_opensim()
    reference = opensim.Model(str(model.path))
    state = reference.initSystem()
    flexion = reference.getCoordinateSet().get("L5_S1_Flex_Ext")
    flexion.setValue(state, 0.2, True)
    reference.assemble(state)
    q = model.default.copy()
    q[model.names.index("L5_S1_Flex_Ext")] = 0.2
    q = model.tie(q)
    for name in ("L4_L5_Flex_Ext", "L1_T12_Flex_Ext", "Abs_r3"):
        value = reference.getCoordinateSet().get(name).getValue(state)
        # OpenSim's assembly is solved to 1e-9 or so, ours is the coupler's own line.
        assert q[model.names.index(name)] == pytest.approx(value, abs=1e-6)
        assert value != 0


def test_scaling_moves_the_markers_of_a_body() -> None:
    folder = setup_folder()
    model = BodyModel(folder / "Model_Pose2Sim_simple.osim", folder / "Markers_Halpe26.xml")
    i, j = model.markers.index("RKnee"), model.markers.index("RAnkle")
    before = model.positions(model.tie(model.default))
    model.scale({"tibia_r": (1.2, 1.2, 1.2)})
    after = model.positions(model.tie(model.default))
    ratio = np.linalg.norm(after[j] - after[i]) / np.linalg.norm(before[j] - before[i])
    # The knee's marker is on the thigh, near the joint: nearly the whole distance is shank.
    assert ratio == pytest.approx(1.2, abs=0.01)


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "cannot read"), ("<a/>", "cannot read"), ("x" * 100, "cannot read")],
)
def test_files_that_are_no_model_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "bad.osim"
    path.write_text(content)
    with pytest.raises(InputError, match=reason):
        read_model(path)


def test_a_model_without_markers_is_refused() -> None:
    with pytest.raises(InputError, match="has no markers"):
        BodyModel(setup_folder() / "Model_Pose2Sim_simple.osim")


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        BodyModel(tmp_path / "none.osim")


def test_opensim_neither_prints_nor_leaves_files(
    elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = setup_folder()
    BodyModel(folder / "Model_Pose2Sim_simple.osim", folder / "Markers_Halpe26.xml")
    assert capfd.readouterr() == ("", "")
    assert not list(elsewhere.iterdir())
