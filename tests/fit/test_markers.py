"""A body from markers: synthetic recordings of known truth, and OpenCap's laboratory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.body import BodyModel
from kinefit.body.anatomy import Anatomy, Ranges
from kinefit.body.anny import load_anny
from kinefit.fit.fit_report import marker_report
from kinefit.fit.recipes.marker_places import Skin, _table, marker_points
from kinefit.fit.recipes.markers import MarkerFit, MarkerOptions, fit_markers
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.io.trc import read_trc
from kinefit.types import (
    BodyMotion,
    FloatArray,
    InvalidData,
    Markers,
    MissingMarkers,
    Timeline,
    TooFewPoints,
)

from ..body.synthetic import tube_body
from .clips import NAMES, clip

LAB = (
    *("C7", "r.ASIS", "L.ASIS", "r.PSIS", "L.PSIS", "R_Sternum", "L_Sternum"),
    *(
        f"{side}_{part}"
        for side in "rL"
        for part in (
            *("shoulder", "humerus", "elbow_lat", "elbow_med", "forearm", "wrist_radius"),
            *("wrist_ulna", "thigh1", "thigh3", "knee", "mknee", "sh1", "sh2", "ankle", "mankle"),
            *("calc", "toe", "5meta"),
        )
    ),
)


def _joints(body: BodyModel, motion: BodyMotion) -> FloatArray:
    """(T, B, 3) metres."""
    heads = body.rest_joints(motion.shape)
    return body.pose(motion.rotations, motion.translation, heads)[1]


def _limbs(body: BodyModel) -> list[int]:
    """Joints that keypoints surround."""
    parts = ("Shoulder", "Elbow", "Hip", "Knee", "Ankle")
    return [body.joint_names.index(body.anatomy[s + p]) for s in "LR" for p in parts]


@pytest.fixture(scope="module")
def anny() -> BodyModel:
    return load_anny()


@pytest.fixture(scope="module")
def laboratory(anny: BodyModel) -> tuple[Markers, BodyMotion]:
    """Anny of a known shape squats and lifts the arms; markers 1 cm off their guessed places."""
    rng = np.random.default_rng(5)
    marked, points = marker_points(anny, LAB)
    chain = Chain.of(marked, list(anny.anatomy.values()), {name: points[name] for name in LAB})
    timeline = Timeline.regular(80, 50.0)
    wave = (1 - np.cos(2 * np.pi * timeline.time / 1.6)) / 2
    anatomy = Anatomy.of(anny)
    rotvec = np.zeros((80, len(anatomy.names), 3))
    for joint, axis, most in (("Hip", 2, 1.2), ("Knee", 2, -1.5), ("Ankle", 2, 0.4),
                              ("Shoulder", 2, 1.3), ("Elbow", 2, 1.0)):  # fmt: skip
        for s, lag in (("L", 0), ("R", 6)):
            rotvec[:, anatomy.names.index(s + joint), axis] = most * np.roll(wave, lag)
    rotations = np.broadcast_to(np.eye(3), (80, len(anny.joint_names), 3, 3)).copy()
    rotations[:, anatomy.index] = anatomy.local(so3.exp(rotvec))
    translation = np.stack([0.3 * wave, -0.2 * wave, 0 * wave], axis=1)
    shape = anny.shape.neutral.copy()
    shape[[0, 4]] += 0.2, 0.1  # gender, height
    shape[6:10] += 0.2, -0.1, 0.2, -0.2  # lengths of arms and legs
    offset = 0.01 * rng.standard_normal((len(LAB), 3)) / np.sqrt(3)
    posed = State(rotations[:, chain.joint_index], translation, shape, offset).posed(chain)
    motion = BodyMotion(
        anny.name, timeline, anny.joint_names, rotations, translation, shape, anny.shape.names
    )
    return Markers(timeline, LAB, posed.points), motion


def test_exact_keypoints_give_the_body_back() -> None:
    made = clip(40)
    markers = Markers(made.motion.timeline, NAMES, made.points)
    fit = fit_markers(made.body, markers, MarkerOptions(offset_m=0))
    assert fit.converged
    assert not any(fit.reason)
    truth, limbs = _joints(made.body, made.motion), _limbs(made.body)
    # Noise-free keypoints of the body itself: 1 mm is what the priors may pull.
    assert np.nanmax(fit.frame_rms_mm) < 1.0
    assert so3.norm(_joints(made.body, fit.motion) - truth)[:, limbs].mean() < 1e-3
    # When keypoints may as well be elsewhere on the body, by 3 cm, the joints are less certain.
    free = fit_markers(made.body, markers)
    assert np.nanmax(free.frame_rms_mm) < 1.0
    assert so3.norm(_joints(made.body, free.motion) - truth)[:, limbs].mean() < 0.01


def test_laboratory_markers_with_unknown_offsets(
    anny: BodyModel, laboratory: tuple[Markers, BodyMotion]
) -> None:
    markers, truth = laboratory
    fit = fit_markers(anny, markers, MarkerOptions(most_keyframes=40))
    assert np.nanmax(fit.frame_rms_mm) < 1.0  # noise-free
    # Joint centres follow from how markers turn about them, and from their guessed places, which
    # are 10 mm off: better than those.
    error = so3.norm(_joints(anny, fit.motion) - _joints(anny, truth))[:, _limbs(anny)]
    assert error.mean() < 0.01
    # Angles of the hinges, as anatomy counts them.
    found, true = _flexion(anny, fit.motion), _flexion(anny, truth)
    assert np.abs(found - true).mean() < 2.0
    assert np.abs(true).max() > 60  # there was something to find


def _flexion(body: BodyModel, motion: BodyMotion) -> FloatArray:
    """(T, 4) degrees: knees, hips."""
    anatomy = Anatomy.of(body, ("LKnee", "RKnee", "LHip", "RHip"))
    angles = Ranges.of(anatomy.names).angles(
        anatomy.rotations(np.asarray(motion.rotations)[:, anatomy.index])
    )
    return np.degrees(angles[..., 2])


def test_missing_and_jumping_markers() -> None:
    made, rng = clip(40), np.random.default_rng(0)
    xyz = made.points + 0.001 * rng.standard_normal(made.points.shape)
    options = MarkerOptions(offset_m=0)
    clean = fit_markers(made.body, Markers(made.motion.timeline, NAMES, xyz), options)
    xyz[rng.random(xyz.shape[:2]) < 0.15] = np.nan
    jumped = rng.random(xyz.shape[:2]) < 0.03
    xyz[jumped] += 0.5
    fit = fit_markers(made.body, Markers(made.motion.timeline, NAMES, xyz), options)
    truth = _joints(made.body, made.motion)
    limbs = _limbs(made.body)
    error = so3.norm(_joints(made.body, fit.motion) - truth)[:, limbs]
    # 0.5 m is 70 standard deviations: the kernel leaves it a pull of some millimetres, on 3 %.
    assert error.mean() < 0.006
    assert so3.norm(_joints(made.body, clean.motion) - truth)[:, limbs].mean() < 0.003
    # and such markers are seen for what they are
    assert np.nanmedian(so3.norm(fit.residual)[jumped & np.isfinite(xyz[..., 0])]) > 0.4


def test_frames_with_too_few_markers_have_no_pose_and_a_reason() -> None:
    made = clip(30)
    xyz = made.points.copy()
    xyz[7, 5:] = np.nan
    xyz[20:23] = np.nan
    fit = fit_markers(made.body, Markers(made.motion.timeline, NAMES, xyz))
    lost = np.array([bool(reason) for reason in fit.reason])
    assert np.flatnonzero(lost).tolist() == [7, 20, 21, 22]
    assert fit.reason[7] == "fewer than 6 markers"
    assert np.isnan(fit.motion.rotations[lost]).all()
    assert np.isfinite(fit.motion.rotations[~lost]).all()
    assert np.nanmax(fit.frame_rms_mm) < 1.0
    report = marker_report(made.body, fit)
    assert report["frames_without_pose"] == [[7, 7], [20, 22]]


def test_windows_join_without_a_seam() -> None:
    made, rng = clip(70), np.random.default_rng(1)
    xyz = made.points + 0.003 * rng.standard_normal(made.points.shape)
    markers = Markers(made.motion.timeline, NAMES, xyz)
    joints = []
    for options in (MarkerOptions(window=70), MarkerOptions(window=25, overlap=10)):
        options = replace(options, offset_m=0, most_keyframes=20)
        fit = fit_markers(made.body, markers, options)
        joints.append(_joints(made.body, fit.motion)[:, _limbs(made.body)])
    # A weak term on accelerations forgets within a few frames; what is left is where each solve
    # stopped (a fall of the objective by 1e-4), a tenth of the noise.
    assert so3.norm(joints[0] - joints[1]).max() < 3e-4


def test_offsets_can_be_held() -> None:
    made = clip(20)
    markers = Markers(made.motion.timeline, NAMES, made.points)
    assert not fit_markers(made.body, markers, MarkerOptions(offset_m=0)).offset.any()
    assert fit_markers(made.body, markers).offset.any()


def test_markers_own_sd_decides_whom_to_believe() -> None:
    made = clip(20)
    xyz = made.points.copy()
    wrist = NAMES.index("LWrist")
    xyz[:, wrist] += 0.02
    sd = np.full(xyz.shape, 0.001)
    options = MarkerOptions(offset_m=0)
    near = fit_markers(made.body, Markers(made.motion.timeline, NAMES, xyz, sd=sd), options)
    sd[:, wrist] = 0.2
    far = fit_markers(made.body, Markers(made.motion.timeline, NAMES, xyz, sd=sd), options)
    assert far.marker_rms_mm[wrist] > 2 * near.marker_rms_mm[wrist]


def test_unknown_markers_are_named() -> None:
    made = clip(10)
    strange = tuple(f"M{i}" for i in range(len(NAMES)))
    with pytest.raises(MissingMarkers, match="M0, M1"):
        fit_markers(made.body, Markers(made.motion.timeline, strange, made.points))
    some = (*NAMES[:-1], "Asterix")
    fit = fit_markers(made.body, Markers(made.motion.timeline, some, made.points))
    assert fit.ignored == ("Asterix",)


def test_no_frame_with_enough_markers() -> None:
    made = clip(10)
    xyz = made.points.copy()
    for t in range(10):  # each marker is there now and then, never six of them
        xyz[t, (np.arange(len(NAMES)) + t) % len(NAMES) > 4] = np.nan
    with pytest.raises(TooFewPoints, match="5 found"):
        fit_markers(made.body, Markers(made.motion.timeline, NAMES, xyz))


def test_places_are_mirror_images(anny: BodyModel) -> None:
    skin = Skin.of(anny)
    marked, points = marker_points(anny, tuple(_table()))
    rest = marked.rest_vertices(anny.shape.neutral)
    place = {n: rest[marked.regressors[f"marker {n}"][0][0]] for n in points}
    for name, (side, row) in _table().items():
        if side == "L":
            twin = next(n for n, (s, r) in _table().items() if s == "R" and r is row)
            # Anny's mesh is symmetric to a millimetre, but for its triangles' diagonals.
            np.testing.assert_allclose(place[name] * [-1, 1, 1], place[twin], atol=2e-3)
    hip = skin.joints[anny.joint_names.index(anny.anatomy["LHip"])]
    # ASIS above, in front and outside of the hip; PSIS behind it and closer together.
    assert (place["l.asis"] - hip > [0.0, 0.05, 0.05]).all()
    assert place["l.psis"][2] < hip[2]
    assert place["l.psis"][1] > hip[1] + 0.05
    assert 0 < place["l.psis"][0] < place["l.asis"][0] / 2
    assert place["r_knee"][0] < place["r_mknee"][0] < 0 < place["l_mknee"][0] < place["l_knee"][0]
    assert place["c7"][2] < place["clav"][2]


def test_augmented_markers_all_have_a_place(anny: BodyModel) -> None:
    from kinefit.skeletons import skeleton

    names = skeleton("augmented43").points
    assert set(marker_points(anny, names)[1]) == set(names)
    assert "Head" not in marker_points(anny, ("Head",))[1]  # two meanings, 15 cm apart


def test_a_ray_leaves_the_skin_of_a_tube() -> None:
    body = tube_body(1)
    skin = Skin.of(body)
    vertices, shares, outward = skin.exit(
        {"LKnee": 0.5, "LAnkle": 0.5}, "LKnee", np.array([1.0, 0, 0])
    )
    hit = shares @ skin.vertices[vertices]
    knee, ankle = (
        skin.joints[body.joint_names.index(body.anatomy[j])] for j in ("LKnee", "LAnkle")
    )
    middle = (knee + ankle) / 2
    # Six-sided: between 0.87 and 1 of the radius, which is 6 cm at the knee, 4 at the ankle.
    assert 0.03 < np.linalg.norm(hit - middle) < 0.065
    assert hit[2] > middle[2]  # in front
    np.testing.assert_allclose(np.cross(hit - middle, outward), 0, atol=1e-9)
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(), 1, atol=1e-12)
    bare = replace(skin, triangles=skin.triangles[:1])
    with pytest.raises(InvalidData, match="no skin"):
        bare.exit({"LKnee": 1.0}, "LKnee", np.array([0, 0, 1.0]))


def test_opencap_walking_agrees_with_opensim(anny: BodyModel) -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "opencap" / "Subject4"
    if not folder.is_dir():
        pytest.skip("the OpenCap recordings are not here (../shared/data/opencap)")
    markers = read_trc(folder / "walking1.trc")
    fit = fit_markers(anny, markers, MarkerOptions(most_keyframes=40))
    assert not any(fit.reason)
    assert not fit.ignored
    # 51 markers on skin, with 2 % missing; measured: 4.0 mm.
    assert np.nanmedian(fit.frame_rms_mm) < 6
    reference = _mot(folder / "walking1.mot", ("knee_angle_l", "knee_angle_r", "hip_flexion_l",
                                               "hip_flexion_r"), fit)  # fmt: skip
    found = _flexion(anny, fit.motion) * [-1, -1, 1, 1]
    # OpenSim's angles of a scaled model, from the same markers: equal up to where zero is.
    # Measured: standard deviations of 0.7 to 1.5 degrees.
    assert (found - reference).std(axis=0).max() < 3
    # Where zero is, the guessed heights of the pelvic markers decide: 2 cm are some 10 degrees.
    assert np.abs((found - reference).mean(axis=0)).max() < 12
    assert np.ptp(reference, axis=0).min() > 30


def _mot(path: Path, columns: tuple[str, ...], fit: MarkerFit) -> FloatArray:
    """(T, n) degrees at the fit's times."""
    head, _, body = path.read_text("utf-8").partition("endheader")
    assert "inDegrees=yes" in head
    names, *rows = body.strip().splitlines()
    table = np.array([[float(v) for v in row.split()] for row in rows])
    at = [names.split().index(c) for c in columns]
    time = fit.motion.timeline.time
    return np.stack([np.interp(time, table[:, 0], table[:, i]) for i in at], axis=1)


def test_a_known_stature_is_kept() -> None:
    made = clip(20)
    legs = tuple(n for n in NAMES if n[1:] in ("Hip", "Knee", "Ankle", "Heel", "BigToe"))
    xyz = made.points[:, [NAMES.index(n) for n in legs]]
    markers = Markers(made.motion.timeline, legs, xyz)
    tall = np.ptp(made.body.rest_vertices(made.motion.shape)[:, 1]) + 0.05
    told = marker_report(made.body, fit_markers(made.body, markers, stature_m=tall))
    free = marker_report(made.body, fit_markers(made.body, markers))
    # Legs alone say little of the head: 1 cm is one standard deviation of a stature.
    assert abs(told["stature_m"] - tall) < 0.01 < abs(free["stature_m"] - tall)
