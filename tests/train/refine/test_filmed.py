"""Clips whose joint angles are known: the truth is of the world, whichever way a run sees it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.biomech.angles import joint_angles
from kinefit.biomech.refine.table import values_of
from kinefit.body.anny import load_anny
from kinefit.geometry import rotations as so3
from kinefit.geometry.rotations import difference_deg
from kinefit.lift.inputs import POINTS
from kinefit.pipeline.config import checked
from kinefit.skeletons import map_points, skeleton
from kinefit.synth.detector_errors import detector_errors
from kinefit.synth.motion_library import motion_library
from kinefit.synth.scene_options import PairOptions
from kinefit.train.lift.drawn import FRAMES, Donors, Take, draw_take
from kinefit.train.refine.data import angle_clip
from kinefit.train.refine.filmed import LABORATORY, Filmed, of_converted, of_take
from kinefit.types import KinefitError, Markers, Timeline

OPTIONS = checked(PairOptions, {"seconds": 3.4, "treadmill": False, "clip": "squat", "children": 0})


@pytest.fixture(scope="module")
def take() -> Take:
    """The detector is wrong by what it is on average."""
    none = np.zeros((2, FRAMES, len(POINTS), 6), np.float32)
    donors = Donors(detector_errors(), none, np.zeros((2, 12)), np.ones(12))
    rng = np.random.default_rng(4)
    return draw_take(load_anny(), motion_library(None), donors, rng, OPTIONS, 2)


@pytest.fixture(scope="module")
def filmed(take: Take) -> list[Filmed]:
    return list(of_take(take))


def test_the_truth_is_the_same_from_every_side(filmed: list[Filmed]) -> None:
    """But for heading, which is counted from the camera; however much that looks up or down."""
    assert len(filmed) == 2
    first, second = (values_of(one.angles(one.R[0]))[0] for one in filmed)
    off = np.abs(difference_deg(first, second))
    off[:, 0, 2] = 0
    assert off.max() < 1e-6  # rounding


def test_the_truth_is_that_of_the_world_s_markers(filmed: list[Filmed]) -> None:
    one = filmed[0]
    world = np.einsum("tji,tnj->tni", one.R, one.markers)
    real = values_of(joint_angles(Markers(one.track.image.timeline, LABORATORY, world)))[0]
    # The run's camera is turned about the vertical by 0.7, and wrong about it by 5 degrees.
    heading = so3.exp(np.array([0.0, 0.7, 0.0]))
    for lean in (np.zeros(3), np.radians([5.0, 0, 0])):
        run = one.R[0] @ heading @ so3.exp(lean)
        off = difference_deg(values_of(one.angles(run))[0], real)
        off[:, 0, 2] = difference_deg(off[:, 0, 2], np.full(len(off), -np.degrees(0.7)))
        assert np.abs(off).max() < 0.5  # what the lean turns the heading by


def test_a_run_of_a_clip_is_near_the_truth_and_says_how_near(filmed: list[Filmed]) -> None:
    clip = angle_clip(filmed[0], np.random.default_rng(0), "drawn")
    assert clip.length.tolist() == [FRAMES]
    for table in (clip.given, clip.lifted, clip.body):
        off = np.abs(difference_deg(table, clip.true))[:, :8, 0]  # flexions, without the arms
        assert np.nanmedian(off) < 20
    assert np.isfinite(clip.given_sd).any()
    assert (clip.seen <= 1).all()


def test_a_data_set_s_truth_is_the_body_that_fits_its_points(take: Take) -> None:
    """Points of COCO in pictures of one camera, as `kinefit train convert --videos` writes them."""
    some = slice(0, 40)
    coco = skeleton("coco17")
    clips, R = take.clips, take.R[0][some]
    xyz = map_points(np.asarray(clips.xyz[some]), POINTS, coco)
    detected = map_points(np.asarray(clips.detected[some]), POINTS, coco)
    rows = {
        "frame": np.arange(40), "person": np.zeros(40, int), "time_s": np.arange(40) / 30,
        "xyz": xyz, "ground_truth": xyz, "projected_2d": map_points(clips.xy[some], POINTS, coco),
        "pose_2d": detected[..., :2], "visibility": detected[..., 2],
        "corrupted": detected[..., 3:], "true_visibility": np.ones((40, 17)),
        "K": np.tile(clips.K[0], (40, 1, 1)), "distortion": np.zeros((40, 8)),
        "size": np.tile([1080, 1920], (40, 1)), "camera_R": R, "gt_scale": np.ones(40),
        "sequence": np.array(["s"] * 40), "view": np.array(["v"] * 40),
    }  # fmt: skip
    (found,) = of_converted(rows)
    assert found.stature_m == pytest.approx(take.stature_m, abs=0.12)
    told = values_of(found.angles(R[0]))[0]
    world = np.einsum("tji,tnj->tni", R, take.markers[0][some])
    real = values_of(joint_angles(Markers(Timeline.regular(40, 30), LABORATORY, world)))[0]
    knees = np.abs(difference_deg(told, real))[:, 3:5, 0]
    assert np.median(knees) < 8  # degrees: without feet, through the augmenter
    assert np.isnan(told[:, 5:7]).all()  # ankles
    unseen = {**rows, "pose_2d": np.full_like(rows["pose_2d"], np.nan)}
    assert list(of_converted(unseen)) == []


def test_a_clip_that_a_run_makes_nothing_of_is_refused(filmed: list[Filmed]) -> None:
    one = filmed[0]
    image = one.track.image
    nobody = replace(image, xy=np.full_like(image.xy, np.nan), score=np.zeros_like(image.score))
    lost = replace(one, track=replace(one.track, image=nobody))
    with pytest.raises(KinefitError):
        angle_clip(lost, np.random.default_rng(0), "drawn")
