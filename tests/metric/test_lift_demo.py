"""Real video: four calibrated views of one person must agree with each other and with the room.

The reference is made here from the same videos: the mid-hip (which does not care when a view
swaps left and right) triangulated from the four calibrated cameras, and those cameras' own angles.
The subject's stature is about 1.68 m; bones are those of a whole-clip multi-view fit.
"""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.signal import butter, filtfilt

from kinefit.geometry.projection import rays, to_camera
from kinefit.io.video import frames
from kinefit.metric import Placement, place_in_world
from kinefit.skeletons import skeleton
from kinefit.types import Camera, Keypoints2D, Keypoints3D, PoseTrack, Subject, Timeline

NAMES = skeleton("blazepose33").points
SUBJECT = Subject(1.68, 70)
BONES = {
    ("Shoulder", "Elbow"): 0.274,
    ("Elbow", "Wrist"): 0.267,
    ("Hip", "Knee"): 0.392,
    ("Knee", "Ankle"): 0.374,
}


@dataclass(frozen=True)
class View:
    camera: Camera  # as calibrated; its world has Z up
    track: PoseTrack
    motion: Placement  # with nothing given but the stature


def calibrated(path) -> list[Camera]:
    """The cameras of a Qualisys file: millimetres, 1/64 pixels, y up and z backward."""
    cameras = []
    for entry in ElementTree.parse(path).getroot().iter("camera"):
        inner, pose = entry.find("intrinsic").attrib, entry.find("transform").attrib
        u, v, cu, cv = (
            float(inner[k]) / 64
            for k in ("focalLengthU", "focalLengthV", "centerPointU", "centerPointV")
        )
        axes = np.array([[float(pose[f"r{a}{b}"]) for b in "123"] for a in "123"])
        U, _, Vt = np.linalg.svd(np.diag([1, -1, -1]) @ axes)
        place = np.array([float(pose[k]) for k in "xyz"]) / 1000
        K = [[u, 0, cu], [0, v, cv], [0, 0, 1]]
        cameras.append(Camera(entry.get("serial"), (1088, 1920), K, U @ Vt, -U @ Vt @ place))
    return cameras


def detected(path) -> PoseTrack:
    """MediaPipe's landmarks of a whole video."""
    import mediapipe as mp

    xy, score, body, time, size = [], [], [], [], (1, 1)
    with mp.solutions.pose.Pose() as pose:
        for frame in frames(path):
            size = frame.rgb.shape[1::-1]
            found = pose.process(np.ascontiguousarray(frame.rgb))
            image = found.pose_landmarks.landmark
            world = found.pose_world_landmarks.landmark
            xy.append([[p.x * size[0] - 0.5, p.y * size[1] - 0.5] for p in image])
            score.append([p.visibility for p in image])
            body.append([[p.x, p.y, p.z] for p in world])
            time.append(frame.time)
    timeline = Timeline(np.arange(len(time)), np.array(time))
    return PoseTrack(
        Keypoints2D(timeline, NAMES, xy, score, size),
        Keypoints3D(timeline, NAMES, body, "camera"),
        (),
        "mediapipe",
    )


@pytest.fixture(scope="module")
def views(demo_videos) -> list[View]:
    pytest.importorskip("mediapipe")
    cameras = calibrated(demo_videos / "Calib.qca.txt")
    tracks = [detected(demo_videos / f"{camera.name}.mp4") for camera in cameras]
    return [View(c, t, place_in_world(t, SUBJECT)) for c, t in zip(cameras, tracks, strict=True)]


@pytest.fixture(scope="module")
def reference(views) -> np.ndarray:
    """(T, 3) mid-hip in the calibrated world, metres, Z up, 6 Hz."""
    normal, rhs = 0, 0
    for view in views:
        seen = rays(view.camera.K, hip(view.track.image.xy))
        direction = seen @ view.camera.R / np.linalg.norm(seen, axis=-1, keepdims=True)
        across = np.eye(3) - direction[:, :, None] * direction[:, None, :]
        normal = normal + across
        rhs = rhs + across @ (-view.camera.R.T @ view.camera.t)
    b, a = butter(2, 6 / 30)
    return filtfilt(b, a, np.linalg.solve(normal, rhs[..., None])[..., 0], axis=0)


def hip(points: np.ndarray) -> np.ndarray:
    return points[:, [NAMES.index("LHip"), NAMES.index("RHip")]].mean(axis=1)


def bone(motion: Placement, a: str, b: str) -> float:
    """Median length over the clip, mean of the sides."""
    xyz = motion.keypoints.xyz
    ends = [(xyz[:, NAMES.index(s + a)], xyz[:, NAMES.index(s + b)]) for s in "LR"]
    return float(np.mean([np.median(np.linalg.norm(p - q, axis=-1)) for p, q in ends]))


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def test_bones_have_their_true_length_in_every_view(views):
    for view in views:
        length = {pair: bone(view.motion, *pair) for pair in BONES}
        # 15 % (knee seen in a wrong place in one view); forearm 22 %, whose depth MediaPipe
        # flattens. Measured: at most 13 and 20 %.
        for pair, truth in BONES.items():
            tolerance = 0.22 if pair == ("Elbow", "Wrist") else 0.15
            assert length[pair] == pytest.approx(truth, rel=tolerance), (view.camera.name, pair)
        leg = length["Hip", "Knee"] + length["Knee", "Ankle"]
        assert leg == pytest.approx(0.766, rel=0.05)  # measured: at most 3.5 %


def test_distance_from_the_camera(views, reference):
    for view in views:
        truth = to_camera(view.camera, reference)[:, 2]
        found = to_camera(view.motion.camera, hip(view.motion.keypoints.xyz))[:, 2]
        error = found - truth
        # Within three of its own standard deviations, and 25 cm of 3-4 m (measured: at most 17 cm
        # root mean square).
        assert np.sqrt(np.mean(error**2)) < 0.25
        assert np.mean(np.abs(error) < 3 * view.motion.depth_sd) > 0.95


def test_the_person_walks_where_the_person_walked(views, reference):
    start, end = reference[:10].mean(axis=0), reference[-10:].mean(axis=0)
    for view in views:
        p = hip(view.motion.keypoints.xyz)
        moved = p[-10:].mean(axis=0) - p[:10].mean(axis=0)
        in_camera = view.motion.camera.R @ moved
        truth = view.camera.R @ (end - start)
        length = np.linalg.norm(end - start)
        # 0.7 m walked; 0.3 m is four times the depth's random error.
        assert np.linalg.norm(in_camera - truth) < 0.3
        assert angle_deg(in_camera, truth) < 25
        path = np.linalg.norm(np.diff(p, axis=0), axis=1).sum()
        true_path = np.linalg.norm(np.diff(reference, axis=0), axis=1).sum()
        assert path == pytest.approx(true_path, rel=0.3), (view.camera.name, length)


def test_tilt_within_its_uncertainty(views):
    for view in views:
        found = view.motion.camera.R @ [0, 1, 0]
        truth = view.camera.R @ [0, 0, 1]
        # The subject leans over on one leg, the cameras look down by 18-25 degrees and roll by up
        # to 26. Measured: 1.6 to 9.4 degrees.
        assert angle_deg(found, truth) < 12
        assert angle_deg(found, truth) < 2.5 * view.motion.tilt_sd_deg


def test_feet_rest_on_the_floor(views):
    feet = [NAMES.index(s + n) for s in "LR" for n in ("Heel", "BigToe")]
    for view in views:
        lowest = view.motion.keypoints.xyz[:, feet, 1].min(axis=1)
        assert np.median(lowest) == pytest.approx(0.02, abs=0.03)
        assert np.percentile(np.abs(lowest), 90) < 0.15


def test_the_default_lens_is_near_the_true_one(views):
    for view in views:
        assert view.motion.camera.K[0, 0] == pytest.approx(view.camera.K[0, 0], rel=0.02)


def test_known_lens_and_angles_bring_the_floor_plan_closer(views, reference):
    """With everything known but the stature, the path over the ground is right to 12 cm."""
    for view in views:
        up = view.camera.R @ [0, 0, 1]
        motion = place_in_world(
            view.track,
            SUBJECT,
            focal_px=view.camera.K[0, 0],
            tilt_deg=np.degrees(np.arcsin(-up[2])),
            roll_deg=np.degrees(np.arctan2(-up[0], -up[1])),
        )
        assert angle_deg(motion.camera.R @ [0, 1, 0], up) < 0.01
        found = to_camera(motion.camera, hip(motion.keypoints.xyz))
        error = np.linalg.norm(found - to_camera(view.camera, reference), axis=1)
        assert error.mean() < 0.18  # measured: 0.04-0.15 m, nearly all of it along the ray
