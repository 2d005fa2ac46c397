"""The whole job on files: what is written, what is refused, what OpenSim reads back."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinefit.biomech.opensim import IkResult, Options, inverse, inverse_kinematics_of_file
from kinefit.biomech.opensim.model import BodyModel
from kinefit.biomech.opensim.osim import load_opensim
from kinefit.io.c3d import write_c3d
from kinefit.io.mot import MotTable, read_mot
from kinefit.io.trc import write_trc
from kinefit.types import InputError, Markers, Subject, Timeline

from .conftest import chain_model

PERSON = Subject(1.72, 68.0)
SIMPLE = Options(PERSON, "simple")


@pytest.fixture(scope="module")
def done(augmented: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, IkResult]:
    """The job done once on exact augmented markers."""
    folder = tmp_path_factory.mktemp("ik")
    file = folder / "walk.trc"
    write_trc(file, study(augmented.markers))
    return folder / "out", inverse_kinematics_of_file(file, folder / "out", SIMPLE)


def study(markers: Markers) -> Markers:
    return markers.select([n for n in markers.names if n.endswith("_study")])


def run(tmp_path: Path, markers: Markers, options: Options = SIMPLE) -> IkResult:
    file = tmp_path / "trial.trc"
    write_trc(file, markers)
    return inverse_kinematics_of_file(file, tmp_path / "out", options)


def refused(tmp_path: Path, markers: Markers, options: Options = SIMPLE) -> str:
    """The message; and that nothing was written."""
    with pytest.raises(InputError) as error:
        run(tmp_path, markers, options)
    assert not (tmp_path / "out").exists()
    return str(error.value)


def test_opencap_s_viewers_get_what_opensim_computes(done: tuple[Path, IkResult]) -> None:
    """Poses of the .mot in the scaled model, as OpenSim itself has them."""
    told = json.loads((done[0] / "walk_ik_opencap.json").read_text("utf-8"))
    opensim = load_opensim()
    model = opensim.Model(str(done[0] / "walk_scaled.osim"))
    state = model.initSystem()
    motion = read_mot(done[0] / "walk_ik.mot")
    assert np.allclose(told["time"], motion.timeline.time, atol=1e-4)
    row = len(motion.timeline) // 2
    for name in motion.names:
        coordinate = model.getCoordinateSet().get(name)
        value = float(motion.column(name)[row])
        value = np.radians(value) if coordinate.getMotionType() == 1 else value
        coordinate.setValue(state, value, False)
    model.assemble(state)
    assert {"pelvis", "femur_r", "tibia_l", "torso"} <= told["bodies"].keys()
    for name in ("pelvis", "femur_r", "tibia_l", "torso"):
        body, shown = model.getBodySet().get(name), told["bodies"][name]
        there = body.getTransformInGround(state)
        turn = opensim.Rotation()
        turn.setRotationToBodyFixedXYZ(opensim.Vec3(*shown["rotation"][row]))
        # The .mot has degrees to six decimals, the JSON radians to five.
        assert np.allclose(shown["translation"][row], there.T().to_numpy(), atol=2e-4), name
        for r in range(3):
            for c in range(3):
                assert abs(turn.get(r, c) - there.R().get(r, c)) < 2e-4, name
        assert all(mesh.endswith(".vtp") for mesh in shown["attachedGeometries"])
    assert told["bodies"]["femur_r"]["attachedGeometries"]


def test_angles_of_a_known_person_are_found(augmented: Any, done: tuple[Path, IkResult]) -> None:
    motion = read_mot(done[0] / "walk_ik.mot")
    assert motion.in_degrees
    for name in motion.names:
        i = augmented.model.names.index(name)
        if augmented.model.coordinates[i].motion == "rotation":
            truth = np.degrees(augmented.q[:, i])
            # From sizes that are 2 % off in pelvis and trunk (see test_scaling).
            limit = 1.0 if name.startswith(("hip", "knee", "ankle", "pelvis")) else 4.0
            assert np.abs(motion.column(name) - truth).max() < limit, name


def test_every_frame_is_there_at_its_own_time(augmented: Any, done: tuple[Path, IkResult]) -> None:
    motion = read_mot(done[0] / "walk_ik.mot")
    # Eight decimals in the file.
    np.testing.assert_allclose(motion.timeline.time, augmented.markers.timeline.time, atol=1e-8)


def test_coordinates_that_nothing_determines_are_not_in_the_motion(
    done: tuple[Path, IkResult],
) -> None:
    motion = read_mot(done[0] / "walk_ik.mot")
    assert "knee_angle_l" in motion.names
    for name in ("mtp_angle_r", "neck_flexion", "wrist_flex_l"):
        assert name not in motion.names
        assert any(name in warning for warning in done[1].warnings)


def test_the_scaled_model_has_the_persons_mass(done: tuple[Path, IkResult]) -> None:
    model = load_opensim().Model(str(done[0] / "walk_scaled.osim"))
    assert model.getTotalMass(model.initSystem()) == pytest.approx(PERSON.mass_kg)


def test_the_summary_says_what_was_done(done: tuple[Path, IkResult]) -> None:
    assert not any("up is +Y" in warning for warning in done[1].warnings)
    summary = json.loads((done[0] / "walk_ik_summary.json").read_text())
    assert summary == done[1].summary
    assert summary["frames"] == {"in_file": 24, "in_mot": 24}
    assert summary["marker_set"]["name"] == "augmented"
    assert summary["marker_weights"]["r_calc_study"] == 60
    assert summary["scale_factors"]["femur_r"][1] == pytest.approx(1.08, abs=0.02)
    assert summary["verdict"].startswith("good")
    assert summary["rms_mm"]["mean"] < 5
    assert set(summary["markers"]) == set(summary["marker_weights"])


def test_the_peers_frozen_knees_are_refused(tmp_path: Path, augmented: Any) -> None:
    """The upper half of the augmented set, as Pose2Sim makes it of BlazePose: no legs."""
    upper = ("C7", "shoulder", "elbow", "wrist", "r.ASIS")
    kept = [n for n in study(augmented.markers).names if any(u in n for u in upper)]
    message = refused(tmp_path, augmented.markers.select(kept))
    assert "walker_knee_r: knee_angle_r (no r_ankle_study, r_knee_study" in message
    assert "--allow-missing" in message


def test_a_missing_left_knee_is_refused(tmp_path: Path, keypoints: Any) -> None:
    message = refused(tmp_path, keypoints.only("LKnee"))
    assert "walker_knee_l: knee_angle_l (no LKnee)" in message
    assert "hip_l" in message


def test_a_column_without_any_value_is_a_missing_marker(tmp_path: Path, keypoints: Any) -> None:
    xyz = keypoints.markers.xyz.copy()
    xyz[:, keypoints.markers.names.index("LKnee")] = np.nan
    assert "(no LKnee)" in refused(tmp_path, replace(keypoints.markers, xyz=xyz))


def test_the_peers_spelling_of_the_left_knee_is_understood(tmp_path: Path, keypoints: Any) -> None:
    names = tuple("Lknee" if n == "LKnee" else n for n in keypoints.markers.names)
    result = run(tmp_path, replace(keypoints.markers, names=names))
    assert result.summary["renamed_markers"] == {"Lknee": "LKnee"}
    knee = read_mot(tmp_path / "out" / "trial_ik.mot").column("knee_angle_l")
    truth = np.degrees(keypoints.q[:, keypoints.model.names.index("knee_angle_l")])
    assert np.abs(knee - truth).max() < 1.0


def test_without_small_toes_the_legs_move(tmp_path: Path, keypoints: Any) -> None:
    """The peer's other case: BlazePose has no small toes, and its legs were frozen."""
    run(tmp_path, keypoints.only("SmallToe"))
    motion = read_mot(tmp_path / "out" / "trial_ik.mot")
    for name in ("knee_angle_r", "hip_flexion_l", "ankle_angle_r"):
        truth = np.degrees(keypoints.q[:, keypoints.model.names.index(name)])
        assert np.abs(motion.column(name) - truth).max() < 2.0
    assert "mtp_angle_r" not in motion.names


def test_missing_joints_are_left_out_when_asked(tmp_path: Path, keypoints: Any) -> None:
    result = run(tmp_path, keypoints.only("LKnee"), replace(SIMPLE, allow_missing=True))
    motion = read_mot(tmp_path / "out" / "trial_ik.mot")
    assert "knee_angle_l" not in motion.names
    assert "knee_angle_r" in motion.names
    assert {"joint": "walker_knee_l", "coordinates": ["knee_angle_l"], "markers": ["LKnee"]} in (
        result.summary["not_determined"]
    )
    assert any("knee_angle_l" in warning for warning in result.warnings)


def test_no_pelvis_no_result(tmp_path: Path, keypoints: Any) -> None:
    message = refused(tmp_path, keypoints.only("Hip"), replace(SIMPLE, allow_missing=True))
    assert "do not say where the model is" in message


def test_frames_without_a_leg_are_left_out(tmp_path: Path, keypoints: Any) -> None:
    xyz = keypoints.markers.xyz.copy()
    gone = [
        i
        for i, n in enumerate(keypoints.markers.names)
        if n in ("LAnkle", "LHeel", "LBigToe", "LSmallToe")
    ]
    xyz[5:9, gone] = np.nan
    result = run(tmp_path, replace(keypoints.markers, xyz=xyz))
    motion = read_mot(tmp_path / "out" / "trial_ik.mot")
    assert len(motion.timeline) == 20
    first = int(keypoints.markers.timeline.frame[5])
    assert result.summary["frames_left_out"] == list(range(first, first + 4))
    assert any(f"frames {first}-{first + 3} (4 of 24)" in w for w in result.warnings)
    rows = list(csv.DictReader((tmp_path / "out" / "trial_ik_errors.csv").open()))
    assert [row["in_mot"] for row in rows[4:10]] == ["1", "0", "0", "0", "0", "1"]
    assert rows[5]["LAnkle_mm"] == ""


def test_c3d_gives_the_same_as_trc(
    tmp_path: Path, augmented: Any, done: tuple[Path, IkResult]
) -> None:
    file = tmp_path / "walk.c3d"
    write_c3d(file, study(augmented.markers))
    result = inverse_kinematics_of_file(file, tmp_path / "out", SIMPLE)
    a, b = read_mot(done[0] / "walk_ik.mot"), read_mot(tmp_path / "out" / "walk_ik.mot")
    # 32-bit floats in the one, micrometres in the other: some 1e-3 degrees after scaling.
    np.testing.assert_allclose(a.values, b.values, atol=0.02)
    assert result.summary["source"] == "walk.c3d"


def test_a_model_of_ones_own_as_it_is(
    tmp_path: Path, augmented: Any, done: tuple[Path, IkResult]
) -> None:
    """The scaled model that was written, given back with --scaled, finds the same motion."""
    model = done[0] / "walk_scaled.osim"
    options = Options(None, model, scaled=True)
    result = run(tmp_path, study(augmented.markers), options)
    assert result.summary["scale_factors"] == {}
    assert any("weigh the same" in warning for warning in result.warnings)
    knee = read_mot(tmp_path / "out" / "trial_ik.mot").column("knee_angle_r")
    np.testing.assert_allclose(
        knee, read_mot(done[0] / "walk_ik.mot").column("knee_angle_r"), atol=1.0
    )


def test_a_model_of_ones_own_cannot_stop_the_program(
    tmp_path: Path, augmented: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is worked on in a child process; see `tests/io/test_guarded.py` for what becomes of it."""
    own = tmp_path / "own.osim"
    augmented.model._osim.printToXML(str(own))
    monkeypatch.setattr(inverse, "_CHILD_S", 0.01)
    monkeypatch.setattr(inverse, "_BYTES_PER_S", 1e12)
    with pytest.raises(InputError, match=r"own.osim: took longer than"):
        run(tmp_path, augmented.markers.select(augmented.markers.names), Options(PERSON, own))


def test_scaling_from_another_file(
    tmp_path: Path, augmented: Any, done: tuple[Path, IkResult]
) -> None:
    static = tmp_path / "static.trc"
    write_trc(static, study(augmented.markers))
    times = augmented.markers.timeline
    few = Markers(
        Timeline(times.frame[:3], times.time[:3]),
        augmented.markers.names,
        augmented.markers.xyz[:3],
    )
    result = run(tmp_path, study(few), replace(SIMPLE, static=static))
    assert result.summary["scaled_from"] == "static.trc"
    assert result.summary["scale_factors"] == done[1].summary["scale_factors"]


def test_a_wrong_height_is_noticed(tmp_path: Path, augmented: Any) -> None:
    result = run(tmp_path, study(augmented.markers), Options(Subject(2.1, 68.0), "simple"))
    assert any("the height given is 2.10 m" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("units", "reason"),
    [(0.3, "of a size that no person has"), (3.0, "span 5.09 m, which is no person")],
)
def test_markers_of_nobodys_size_are_refused(
    tmp_path: Path, keypoints: Any, units: float, reason: str
) -> None:
    message = refused(tmp_path, replace(keypoints.markers, xyz=units * keypoints.markers.xyz))
    assert reason in message


def test_options_that_do_not_go_together(tmp_path: Path, keypoints: Any) -> None:
    assert "height and mass" in refused(tmp_path, keypoints.markers, Options(None, "simple"))
    assert "--model" in refused(tmp_path, keypoints.markers, replace(SIMPLE, scaled=True))


@pytest.mark.parametrize(("feet_m", "said"), [(0.05, "stands along Z"), (0.7, "--up Z if Z is up")])
def test_a_file_with_z_up_is_noticed(
    tmp_path: Path, augmented: Any, feet_m: float, said: str
) -> None:
    """As most laboratories record; the motion is found all the same."""
    xyz = augmented.markers.xyz[:6] @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    xyz += [0, 0.1, feet_m - xyz[..., 2].min()]
    markers = study(Markers(Timeline.regular(6, 30.0), augmented.markers.names, xyz))
    assert any(said in warning for warning in run(tmp_path, markers).warnings)
    stated = run(tmp_path, markers, replace(SIMPLE, up="Z"))
    assert not any("Z" in warning.split() for warning in stated.warnings)
    tilt = read_mot(stated.files[1]).column("pelvis_tilt")
    truth = np.degrees(augmented.q[:6, augmented.model.names.index("pelvis_tilt")])
    np.testing.assert_allclose(tilt, truth, atol=5)


def test_markers_of_unknown_names_with_z_up_are_noticed(tmp_path: Path, augmented: Any) -> None:
    """A model of one's own says where its pelvis points."""
    xyz = augmented.markers.xyz[:2] @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    path = tmp_path / "own.osim"
    augmented.model._osim.printToXML(str(path))
    names = tuple(f"m{i}" for i in range(len(augmented.markers.names)))
    text = path.read_text()
    for name, own in zip(augmented.markers.names, names, strict=True):
        text = text.replace(f'<Marker name="{name}">', f'<Marker name="{own}">')
    path.write_text(text)
    markers = Markers(Timeline.regular(2, 30.0), names, xyz)
    options = Options(None, path, scaled=True)
    assert any("points along +Z" in w for w in run(tmp_path, markers, options).warnings)


def test_unknown_markers_are_refused(tmp_path: Path) -> None:
    markers = Markers(Timeline.regular(3, 10.0), ("M1", "M2"), np.ones((3, 2, 3)))
    assert "none of the markers that" in refused(tmp_path, markers)


@pytest.mark.parametrize("suffix", [".csv", ".mot"])
def test_files_that_hold_no_markers_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match="neither TRC nor C3D"):
        inverse_kinematics_of_file(tmp_path / f"a{suffix}", tmp_path, SIMPLE)


def test_nothing_is_printed_and_no_file_left_behind(
    elsewhere: Path, tmp_path: Path, keypoints: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    result = run(tmp_path, keypoints.markers)
    assert capfd.readouterr() == ("", "")
    assert not list(elsewhere.iterdir())
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        p.name for p in result.files
    )


def test_the_muscles_stay_in_the_model(tmp_path: Path, augmented: Any) -> None:
    run(tmp_path, study(augmented.markers), Options(PERSON, "muscles"))
    opensim = load_opensim()
    model = opensim.Model(str(tmp_path / "out" / "trial_scaled.osim"))
    assert model.getMuscles().getSize() > 80


@pytest.mark.parametrize("name", ["simple", "muscles"])
def test_opensim_reads_the_motion_that_was_found(tmp_path: Path, augmented: Any, name: str) -> None:
    """Every number of the .mot, turned into radians by OpenSim itself: no constraint is broken
    (the patella follows the knee), the markers are where the errors say, and inverse dynamics
    gives moments of a size that people have."""
    markers = study(augmented.markers)
    result = run(tmp_path, markers, Options(PERSON, name))
    osim, mot, errors, *_ = result.files
    model, poses = poses_in_opensim(osim, mot)
    rows = list(csv.DictReader(errors.open()))
    state = model.initSystem()
    for k, pose in enumerate(poses):
        for coordinate, value in pose.items():
            model.getCoordinateSet().get(coordinate).setValue(state, value, False)
        model.realizePosition(state)
        broken = state.getQErr().to_numpy()
        # Eight decimals of a degree in the file.
        assert np.abs(broken).max(initial=0.0) < 1e-8
        for i, marker in enumerate(markers.names):
            place = model.getMarkerSet().get(marker).getLocationInGround(state).to_numpy()
            error = 1000 * np.linalg.norm(place - markers.xyz[k, i])
            # A hundredth of a millimetre in the table, micrometres in the TRC.
            assert float(rows[k][f"{marker}_mm"]) == pytest.approx(error, abs=0.01)
    moments = inverse_dynamics(osim, mot, tmp_path)
    assert np.isfinite(moments.values).all()
    # Nothing holds the person up, so these are the legs' own inertia and weight: some 40 N m here.
    # With the patella in degrees there were 300 N m in a walk.
    assert np.abs(moments.column("hip_flexion_r_moment")).max() < 100


def test_opensims_own_tool_on_what_was_written_finds_the_same(
    tmp_path: Path, augmented: Any
) -> None:
    """Its inverse kinematics of the scaled model and the TRC, read as its motion files are: coupled
    coordinates (the patellae) in radians, in either."""
    markers = study(augmented.markers)
    markers = Markers(Timeline.regular(3, 30.0), markers.names, markers.xyz[:3])
    result = run(tmp_path, markers, Options(PERSON, "muscles"))
    files, weights = result.files, result.summary["marker_weights"]
    model, ours = poses_in_opensim(*files[:2])
    assert {"knee_angle_r_beta", "knee_angle_r"} <= set(ours[0])
    for coordinate in (model.getCoordinateSet().get(i) for i in range(model.getNumCoordinates())):
        if coordinate.getName() not in ours[0]:
            coordinate.setDefaultLocked(True)  # not in the motion: its default
    _, theirs = poses_in_opensim(files[0], opensims_own_motion(model, tmp_path, weights))
    for mine, other in zip(ours, theirs, strict=True):
        # Steps of either end below 1e-4; forearms are the loosest.
        assert mine == pytest.approx({n: other[n] for n in mine}, abs=1e-3)


def opensims_own_motion(model: Any, folder: Path, weights: dict[str, float]) -> Path:
    opensim = load_opensim()
    tool = opensim.InverseKinematicsTool()
    tool.setModel(model)
    tool.setMarkerDataFileName(str(folder / "trial.trc"))
    tool.set_accuracy(1e-8)  # its own, 1e-5, leaves forearms 2 degrees before the minimum
    tool.setStartTime(0.0)
    tool.setEndTime(1.0)
    tool.setOutputMotionFileName(str(folder / "theirs.mot"))
    tool.setResultsDir(str(folder))
    for name, weight in weights.items():
        task = opensim.IKMarkerTask()
        task.setName(name)
        task.setWeight(weight)
        task.setApply(True)
        tool.getIKTaskSet().cloneAndAppend(task)
    assert tool.run()
    return folder / "theirs.mot"


@pytest.mark.parametrize("lower", ["slide", "ball", "pin", "coupled", "free"])
def test_opensim_reads_the_motion_of_any_joints(tmp_path: Path, lower: str) -> None:
    """Coordinates that OpenSim calls coupled have no unit that it would convert: radians and metres
    (a scaled gait2354 stood at 34.5 m)."""
    path = chain_model(tmp_path / "chain.osim", lower)
    model = BodyModel(path)
    q = model.default + 0.4 * np.sin(np.arange(8)[:, None] / 3 + np.arange(len(model.names)))
    q = np.array([model.tie(pose * model.free + model.default * ~model.free) for pose in q])
    xyz = np.array([model.positions(pose) for pose in q])
    markers = Markers(Timeline.regular(8, 50.0), model.markers, xyz)
    result = run(tmp_path, markers, Options(None, path, scaled=True))
    osim, poses = poses_in_opensim(*result.files[:2])
    state = osim.initSystem()
    for k, pose in enumerate(poses):
        for coordinate, value in pose.items():
            osim.getCoordinateSet().get(coordinate).setValue(state, value, False)
        osim.realizePosition(state)
        for i, name in enumerate(markers.names):
            place = osim.getMarkerSet().get(name).getLocationInGround(state).to_numpy()
            # Steps of the solver end at 1e-4, quadratically; micrometres in the TRC.
            np.testing.assert_allclose(place, xyz[k, i], atol=1e-5)


def poses_in_opensim(osim: Path, mot: Path) -> tuple[Any, list[dict[str, float]]]:
    """The model, and each frame's coordinates as OpenSim has them: radians and metres."""
    opensim = load_opensim()
    model = opensim.Model(str(osim))
    model.initSystem()
    table = opensim.TimeSeriesTable(str(mot))
    assert table.getTableMetaDataString("inDegrees") == "yes"
    model.getSimbodyEngine().convertDegreesToRadians(table)
    names = table.getColumnLabels()
    return model, [dict(zip(names, row, strict=True)) for row in table.getMatrix().to_numpy()]


def inverse_dynamics(osim: Path, mot: Path, folder: Path) -> MotTable:
    opensim = load_opensim()
    tool = opensim.InverseDynamicsTool()
    tool.setModelFileName(str(osim))
    tool.setCoordinatesFileName(str(mot))
    tool.setLowpassCutoffFrequency(-1)
    times = read_mot(mot).timeline.time
    tool.setStartTime(times[0])
    tool.setEndTime(times[-1])
    forces = opensim.ArrayStr()
    forces.append("ALL")  # the muscles, and springs under the feet that the model has
    tool.setExcludedForces(forces)
    tool.setResultsDir(str(folder))
    tool.setOutputGenForceFileName("moments.sto")
    assert tool.run()
    return read_mot(folder / "moments.sto")
