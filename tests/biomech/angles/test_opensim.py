"""OpenSim's coordinates: the unscaled model, moved by its own joints, must read as it was moved."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.biomech.angles import joint_angles, to_opensim
from kinefit.io.mot import read_mot, write_mot
from kinefit.types import JointAngles, Markers, MissingMarkers

Build = Callable[..., Markers]

MODEL = tomllib.loads((files("kinefit.biomech.angles") / "opensim.toml").read_text("utf-8"))
# Degrees: the builder places every landmark by the same table, so only rounding is left.
EXACT = 1e-9


def cardan(*degrees: float) -> Rotation:
    return Rotation.from_euler("ZXY", [degrees], degrees=True)


def axis(name: str, degrees: float) -> Rotation:
    a = np.array(MODEL["axes"][name])
    return Rotation.from_rotvec([a / np.linalg.norm(a) * np.radians(degrees)])


def coordinates(build: Build, pelvis: Rotation, turns: dict[str, Rotation]) -> dict[str, float]:
    markers = build(pelvis, turns, MODEL["landmarks"])
    table = to_opensim(joint_angles(markers), markers)
    return dict(zip(table.names, table.values[0].tolist(), strict=True))


def test_the_pelvis_leans_back_against_its_spines_as_in_people() -> None:
    """By 8.5 degrees in OpenCap's Subject4; its markers' places are good for half a degree."""
    at = {name: np.array(place) for name, place in MODEL["landmarks"]["pelvis"].items()}
    ahead = at["asis_r"] + at["asis_l"] - at["psis_r"] - at["psis_l"]
    assert np.degrees(np.arctan2(-ahead[1], ahead[0])) == pytest.approx(8.5, abs=0.5)


def test_the_model_at_rest_reads_zero(build: Build) -> None:
    found = coordinates(build, Rotation.identity(1), {})
    place = {n: found.pop(n) for n in ("pelvis_tx", "pelvis_ty", "pelvis_tz")}
    assert len(found) == 28  # pelvis and lumbar 3 each, and 11 on either side
    assert np.abs(list(found.values())).max() < EXACT
    # The builder puts the model's pelvis origin there.
    np.testing.assert_allclose(list(place.values()), [0.3, 0.9, -0.2], atol=1e-12)


@pytest.mark.parametrize("side", ["r", "l"])
def test_each_joint_reads_as_it_was_moved(build: Build, side: str) -> None:
    turns = {
        f"hip_{side}": cardan(40, -8, 12),
        f"knee_{side}": cardan(-55, 0, 0),
        f"ankle_{side}": axis("ankle", 14) * axis("subtalar", -9),
        "trunk": cardan(-20, 6, 10),
        f"shoulder_{side}": cardan(35, -25, 15),
        f"elbow_{side}": axis("elbow", 80) * axis("radioulnar", 50),
    }
    found = coordinates(build, cardan(-5, 3, 25), turns)
    wanted = {
        "pelvis_tilt": -5, "pelvis_list": 3, "pelvis_rotation": 25,
        "hip_flexion": 40, "hip_adduction": -8, "hip_rotation": 12, "knee_angle": 55,
        "ankle_angle": 14, "subtalar_angle": -9,
        "lumbar_extension": -20, "lumbar_bending": 6, "lumbar_rotation": 10,
        "arm_flex": 35, "arm_add": -25, "arm_rot": 15, "elbow_flex": 80, "pro_sup": 50,
    }  # fmt: skip
    for name, value in wanted.items():
        midline = name.startswith(("pelvis", "lumbar"))
        got = found[name if midline else f"{name}_{side}"]
        assert got == pytest.approx(value, abs=EXACT), name


def test_one_joint_alone_and_no_place_without_markers(build: Build) -> None:
    markers = build(Rotation.identity(3), {})
    angles = joint_angles(markers)
    assert "pelvis_tx" not in to_opensim(angles).names
    knee = [i for i, n in enumerate(angles.names) if n.startswith("knee_l")]
    table = to_opensim(_pick(angles, knee))
    assert table.names == ("knee_angle_l",)
    assert table.in_degrees is True
    with pytest.raises(MissingMarkers):
        to_opensim(_pick(angles, knee[:2]))


def test_a_missing_frame_stays_missing(build: Build) -> None:
    markers = build(Rotation.identity(4), {})
    xyz = markers.xyz.copy()
    xyz[2] = np.nan
    holed = Markers(markers.timeline, markers.names, xyz)
    table = to_opensim(joint_angles(holed), holed)
    assert table.complete.tolist() == [True, True, False, True]


def _pick(angles: JointAngles, columns: list[int]) -> JointAngles:
    names = tuple(angles.names[i] for i in columns)
    return JointAngles(angles.timeline, names, angles.degrees[:, columns])


def test_opensim_reads_the_motion_that_is_written(build: Build, tmp_path: Path) -> None:
    """Rotations in degrees, the pelvis's place in metres: a model's own coordinates, after OpenSim
    turned them into radians, are what was computed; and inverse dynamics runs on the file."""
    import opensim

    from kinefit.biomech.opensim.osim import load_opensim
    from kinefit.biomech.opensim.sets import setup_folder

    load_opensim()
    markers = build(Rotation.from_euler("ZXY", [[t, 3, 25] for t in range(20)], degrees=True), {})
    table = to_opensim(joint_angles(markers), markers)
    write_mot(tmp_path / "walk.mot", table, "walk")
    model = opensim.Model(str(setup_folder() / "Model_Pose2Sim_simple.osim"))
    model.initSystem()
    read = opensim.TimeSeriesTable(str(tmp_path / "walk.mot"))
    model.getSimbodyEngine().convertDegreesToRadians(read)
    names, values = read.getColumnLabels(), read.getMatrix().to_numpy()
    known = [model.getCoordinateSet().get(i).getName() for i in range(model.getNumCoordinates())]
    common = [name for name in names if name in known]
    assert {"pelvis_tilt", "pelvis_ty", "hip_flexion_r", "knee_angle_l", "arm_flex_r"} <= {*common}
    for name in common:
        place = name in ("pelvis_tx", "pelvis_ty", "pelvis_tz")
        wanted = table.column(name) if place else np.radians(table.column(name))
        # Eight decimals in the file.
        np.testing.assert_allclose(values[:, names.index(name)], wanted, atol=1e-8)
    tool = opensim.InverseDynamicsTool()
    tool.setModelFileName(str(setup_folder() / "Model_Pose2Sim_simple.osim"))
    tool.setCoordinatesFileName(str(tmp_path / "walk.mot"))
    tool.setStartTime(table.timeline.time[0])
    tool.setEndTime(table.timeline.time[-1])
    tool.setResultsDir(str(tmp_path))
    tool.setOutputGenForceFileName("moments.sto")
    assert tool.run()
    assert np.isfinite(read_mot(tmp_path / "moments.sto").values).all()
