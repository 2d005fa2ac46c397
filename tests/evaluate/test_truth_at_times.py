"""The truth at other moments and in other rooms."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.body.anny import load_anny
from kinefit.evaluate.run_folder import transform_of_camera
from kinefit.evaluate.run_scores import score_angles
from kinefit.evaluate.truth_at_times import (
    Clock,
    WorldTransform,
    angles_at,
    markers_at,
    nearest,
    poses_at,
)
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import to_camera
from kinefit.types import NoCommonTime

from .scenes import RATE, body_motion, person, scene


def test_between_frames_the_truth_is_where_the_body_is() -> None:
    someone = scene().people[0]
    time = (np.arange(3, 18) + 0.5) / RATE
    exact = person(time)
    # A sine of 1 Hz of a wrist (0.6 m x 0.6 rad) by cubic splines of 30 Hz: the error is
    # (step * 2 pi)^4 / 384 of the amplitude, 2 um; half a frame of its speed is 40 mm.
    np.testing.assert_allclose(markers_at(someone, time), exact.markers.xyz, atol=5e-5)
    rotations, translation = poses_at(someone, time)
    np.testing.assert_allclose(translation, exact.motion.translation, atol=1e-9)
    # Catmull-Rom on the group is of third order; the nearest frame would be 50 mrad off.
    turned = so3.log(np.swapaxes(rotations, -1, -2) @ exact.motion.rotations)
    assert np.abs(turned).max() < 1e-3


def test_outside_the_truth_nothing_is_known() -> None:
    someone = scene().people[0]
    last = someone.markers.timeline.time[-1]
    found = markers_at(someone, np.array([-0.5, 0.0, last + 0.0005, last + 0.5]))
    assert np.isnan(found[[0, 3]]).all()
    assert np.isfinite(found[[1, 2]]).all()  # stamps are rounded
    rotations, translation = poses_at(someone, np.array([-0.5, 0.0]))
    assert np.isnan(rotations[0]).all()
    assert np.isfinite(translation[1]).all()
    with pytest.raises(NoCommonTime, match="of the reference"):
        markers_at(someone, np.array([100.0]))


def test_a_late_camera_shows_a_later_moment() -> None:
    truth = scene(offset_s=0.2)
    clock = Clock.of_view(truth.views[1])
    np.testing.assert_allclose(clock.to_scene(np.array([0.0, 0.1, 5.0])), [0.2, 0.3, 5.2])
    np.testing.assert_allclose(Clock.shifted(-0.5).to_scene(np.array([1.0])), [0.5])


def test_nearest() -> None:
    at = np.array([0.0, 1.0, 2.0])
    assert nearest(at, np.array([-9.0, 0.4, 0.6, 1.9, 9.0])).tolist() == [0, 0, 1, 2, 2]
    assert nearest(at[:1], np.array([-1.0, 3.0])).tolist() == [0, 0]


def test_a_room_is_left_and_entered() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(5) / 10
    transform = WorldTransform(time, so3.exp(rng.normal(size=(5, 3))), rng.normal(size=(5, 3)))
    xyz = rng.normal(size=(5, 4, 3))
    np.testing.assert_allclose(
        transform.from_scene(transform.to_scene(xyz, time), time), xyz, atol=1e-12
    )
    np.testing.assert_array_equal(WorldTransform.fixed().to_scene(xyz, time), xyz)


def test_the_room_of_a_camera_keeps_what_the_camera_sees() -> None:
    view = scene().views[1]
    rng = np.random.default_rng(1)
    R = so3.exp(rng.normal(size=3))
    posed = scene().rig.moved(R, rng.normal(size=3))[view.camera.name]
    xyz = rng.normal(size=(3, 4, 3))
    time = view.time[:3]
    there = transform_of_camera(posed, view).to_scene(xyz, time)
    np.testing.assert_allclose(to_camera(view.camera, there), to_camera(posed, xyz), atol=1e-12)


def test_angles_are_read_in_the_room() -> None:
    someone = scene().people[0]
    time = someone.markers.timeline.time
    own = angles_at(someone, time, WorldTransform.fixed())
    found = score_angles(someone.angles, own)
    assert found["overall"]["rmse"] == pytest.approx(0, abs=1e-9)
    turned = angles_at(someone, time, WorldTransform.fixed(so3.exp(np.array([0.0, 0.5, 0.0]))))
    dofs = score_angles(someone.angles, turned)["dofs"]
    # The result's X lies half a radian from the scene's: the pelvis has turned by as much about
    # the vertical, and by nearly as much about its own axis, which leans by 12 degrees at rest (0.6
    # degrees more); all else is inside.
    assert abs(dofs["pelvis_rot"]["bias"]) == pytest.approx(np.degrees(0.5), abs=1.0)
    assert dofs["pelvis_flex"]["rmse"] > 1
    assert dofs["knee_r_flex"]["rmse"] == pytest.approx(0, abs=1e-6)


def test_the_body_of_the_scene_is_anny() -> None:
    motion = scene().people[0].motion
    again = body_motion(motion.timeline.time, motion.shape)
    np.testing.assert_array_equal(again.rotations, motion.rotations)
    assert motion.body == load_anny().name
