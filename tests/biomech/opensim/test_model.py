"""An OpenSim model as arrays."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.opensim.by_opensim import ByOpensim
from kinefit.biomech.opensim.model import BodyModel
from kinefit.biomech.opensim.osim import load_opensim, read_model
from kinefit.biomech.opensim.sets import setup_folder
from kinefit.types import InputError

from .conftest import chain_model
from .test_kinematics import check_normal_equations

SHARED = Path(__file__).parents[3].parent / "shared" / "data"


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
    model.try_scale({"tibia_r": (1.4, 1.4, 1.4)})
    model.scale({"tibia_r": (1.2, 1.2, 1.2)})
    after = model.positions(model.tie(model.default))
    model.scale({"tibia_r": (1.2, 1.2, 1.2)})  # against the file, not what it was
    np.testing.assert_allclose(model.positions(model.tie(model.default)), after, atol=1e-12)
    ratio = np.linalg.norm(after[j] - after[i]) / np.linalg.norm(before[j] - before[i])
    # The knee's marker is on the thigh, near the joint: nearly the whole distance is shank.
    assert ratio == pytest.approx(1.2, abs=0.01)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty"),
        ("<a/>", "cannot read"),
        ("x" * 100, "cannot read"),
        ("<a>" * 100_000, "over 64 levels"),  # OpenSim's own reader recurses until the process ends
        ("<é>" * 100_000, "over 64 levels"),
        ("<a b='>'\n>" * 100_000, "over 64 levels"),
    ],
)
def test_files_that_are_no_model_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "bad.osim"
    path.write_text(content)
    with pytest.raises(InputError, match=reason):
        read_model(path)


@pytest.mark.skipif(sys.platform != "linux", reason="names there are bytes")
def test_a_name_that_is_no_unicode_text_is_refused(tmp_path: Path) -> None:
    path = chain_model(tmp_path / "chain.osim", "pin").rename(tmp_path / "a\udcff.osim")
    with pytest.raises(InputError, match="not Unicode text"):
        read_model(path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [("</OpenSimDocument>", "", "Failed to load the Xml file"),
     ("<socket_parent>/bodyset/upper<", "<socket_parent>/bodyset/nobody<", "Failed to connect")],
)  # fmt: skip
def test_opensims_reason_is_given(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = chain_model(tmp_path / "chain.osim", "pin")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=rf"OpenSim cannot (read|use) it \({reason}"):
        read_model(path)


def test_a_model_without_coordinates_is_refused(tmp_path: Path) -> None:
    path = chain_model(tmp_path / "chain.osim", "pin")
    text = re.sub(r"<coordinates>.*?</coordinates>", "", path.read_text(), flags=re.DOTALL)
    path.write_text(re.sub("PinJoint|FreeJoint", "WeldJoint", text))
    with pytest.raises(InputError, match="has no coordinates"):
        BodyModel(path)


def test_a_model_without_markers_is_refused() -> None:
    with pytest.raises(InputError, match="has no markers"):
        BodyModel(setup_folder() / "Model_Pose2Sim_simple.osim")


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        BodyModel(tmp_path / "none.osim")


def test_opensim_neither_prints_nor_leaves_files(
    elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = setup_folder()
    BodyModel(folder / "Model_Pose2Sim_simple.osim", folder / "Markers_Halpe26.xml")
    assert capfd.readouterr() == ("", "")
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("user", ["controller", "probe", "metabolics"])
def test_what_works_on_muscles_goes_with_them_or_keeps_them(tmp_path: Path, user: str) -> None:
    """OpenSim ends the process where a component's muscle has gone, and refuses where a probe's."""
    path = with_a_muscle(chain_model(tmp_path / "chain.osim", "pin"), user)
    bare = BodyModel(chain_model(tmp_path / "bare.osim", "pin"))
    model = BodyModel(path)
    assert model._osim.getForceSet().getSize() == (user == "metabolics")
    q = np.linspace(0.1, 0.7, len(model.names))
    np.testing.assert_allclose(model.positions(q), bare.positions(q), atol=1e-12)
    model.scale({"upper": (1.1, 1.1, 1.1)})


def with_a_muscle(path: Path, user: str) -> Path:
    """The model with a muscle, and with a component that refers to it."""
    osim = load_opensim()
    model = osim.Model(str(path))
    bodies = model.getBodySet()
    muscle = osim.Thelen2003Muscle("muscle", 100.0, 0.1, 0.2, 0.0)
    muscle.addNewPathPoint("from", bodies.get("upper"), osim.Vec3(0))
    muscle.addNewPathPoint("to", bodies.get("lower"), osim.Vec3(0, 0.1, 0))
    model.addForce(muscle)
    if user == "controller":
        controller = osim.PrescribedController()
        controller.addActuator(muscle)
        controller.prescribeControlForActuator("muscle", osim.Constant(0.5))
        model.addController(controller)
    elif user == "probe":
        probe, names = osim.ActuatorPowerProbe(), osim.ArrayStr("muscle", 1)
        probe.setActuatorNames(names)
        model.addProbe(probe)
    else:
        metabolics = osim.Bhargava2004SmoothedMuscleMetabolics()
        metabolics.addMuscle("muscle", muscle)
        model.addComponent(metabolics)
    model.finalizeConnections()
    assert model.printToXML(str(path))
    return path


def test_a_full_turn_has_no_end(tmp_path: Path) -> None:
    pin = BodyModel(chain_model(tmp_path / "pin.osim", "pin")).coordinates[-1]
    assert (pin.motion, pin.low, pin.high) == ("rotation", -np.inf, np.inf)


def test_a_translation_that_counts_double_is_coupled(tmp_path: Path) -> None:
    """As pelvis translations of some models: OpenSim converts no such number into radians."""
    model = BodyModel(chain_model(tmp_path / "slide.osim", "slide"))
    motions = [c.motion for c in model.coordinates]
    assert motions == ["rotation"] * 3 + ["translation"] * 3 + ["coupled"]


def test_a_joint_with_more_numbers_than_coordinates(tmp_path: Path) -> None:
    """The shoulder girdle of OpenSim's own models: 18 numbers of the state, 17 coordinates."""
    path = SHARED / "cases" / "ik_more_q_than_coordinates_crash" / "model.osim"
    if not path.exists():
        pytest.skip("shared recordings are not beside the repository")
    osim = load_opensim().Model(str(path))
    osim.updConstraintSet().clearAndDestroy()  # it also has a closed loop, which is refused
    osim.finalizeConnections()
    osim.printToXML(str(tmp_path / "open.osim"))
    model = BodyModel(tmp_path / "open.osim")
    assert len(model.names) == 17
    assert isinstance(model._kinematics, ByOpensim)
    check_normal_equations(model, model.tie(model.default))
    with pytest.raises(InputError, match="closed loops"):
        BodyModel(path)
