"""Bodies: the true one has no error, and each planted error shows in its own number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.body.anny import load_anny
from kinefit.evaluate.body_scores import score_body, score_masks, silhouette
from kinefit.evaluate.truth_at_times import Clock, WorldTransform
from kinefit.synth.truth import SceneTruth
from kinefit.types import BodyMotion

from .scenes import scene as scene_of
from .scenes import with_silhouettes

FRAMES = 6  # posing a mesh takes 40 ms
SEEN = 4  # frames in which the masks show the body


def scene() -> SceneTruth:
    return scene_of(views=1, frames=FRAMES)


def score(motion: BodyMotion, truth: SceneTruth | None = None) -> dict[str, object]:
    known = scene() if truth is None else truth
    cameras = {view.camera.name: view.camera for view in known.views}
    return score_body(
        load_anny(),
        motion,
        known,
        clock=Clock.shifted(),
        transform=WorldTransform.fixed(),
        cameras=cameras,
    )


def test_the_true_body_has_no_error() -> None:
    truth = with_silhouettes(scene(), FRAMES)
    found = score(truth.people[0].motion, truth)
    assert found["joints"]["mpjpe_mm"]["absolute"]["max"] == pytest.approx(0, abs=1e-6)
    for kind in ("absolute", "pelvis", "pa"):
        assert found["vertices_mm"][kind]["max"] == pytest.approx(0, abs=1e-6), kind
    assert found["stature_error_mm"] == 0
    view = found["views"]["cam01"]
    assert view["reprojection"]["px"]["max"] == pytest.approx(0, abs=1e-9)
    assert view["mask_iou"]["mean"] == 1
    assert view["mask_iou"]["missing"] == 0
    assert view["bare_mask_iou"] == view["mask_iou"]


def test_a_shifted_body_is_off_in_place_and_in_the_picture() -> None:
    truth = with_silhouettes(scene(), FRAMES)
    motion = truth.people[0].motion
    found = score(replace(motion, translation=motion.translation + np.array([0, 0.1, 0])), truth)
    assert found["vertices_mm"]["absolute"]["mean"] == pytest.approx(100)
    assert found["vertices_mm"]["pelvis"]["mean"] == pytest.approx(0, abs=1e-6)
    view = found["views"]["cam01"]
    # 0.1 m at 4 m with a focal length of 400 px is 10 px, a few percent more where it is nearer.
    assert view["reprojection"]["px"]["mean"] == pytest.approx(10, abs=1)
    assert view["reprojection"]["mm"]["mean"] == pytest.approx(100, abs=3)
    assert view["mask_iou"]["mean"] < 0.9
    assert view["bare_mask_iou"]["mean"] == 1


def test_a_taller_body_shows_in_its_stature() -> None:
    motion = scene().people[0].motion
    shape = np.array(motion.shape)
    shape[list(motion.shape_names).index("height")] += 0.1
    found = score(replace(motion, shape=shape))
    assert found["stature_error_mm"] > 10
    assert found["vertices_mm"]["pa"]["mean"] < found["vertices_mm"]["pelvis"]["mean"]


def test_without_a_room_there_are_no_absolute_numbers() -> None:
    truth = scene()
    found = score_body(load_anny(), truth.people[0].motion, truth, clock=Clock.shifted())
    assert list(found["vertices_mm"]) == ["pa"]
    assert "absolute" not in found["joints"]["mpjpe_mm"]
    assert found["views"] == {}


def test_frames_without_a_pose_are_left_out() -> None:
    motion = scene().people[0].motion
    rotations, translation = motion.rotations.copy(), motion.translation.copy()
    rotations[:4], translation[:4] = np.nan, np.nan
    found = score(replace(motion, rotations=rotations, translation=translation))
    assert found["joints"]["mpjpe_mm"]["absolute"]["max"] == pytest.approx(0, abs=1e-6)
    assert found["joints"]["mpjpe_mm"]["absolute"]["missing"] == 4 * 29
    assert found["vertices_mm"]["absolute"]["missing"] == 0


def test_masks_against_the_truth() -> None:
    truth = with_silhouettes(scene(), SEEN)
    view = truth.views[0]
    exact = [(k, view.masks.person(k, 0)) for k in range(FRAMES)]
    found = score_masks(exact, view)
    assert (found["mean"], found["count"], found["missing"]) == (1, SEEN, FRAMES - SEEN)
    half = []
    for k, mask in exact[:SEEN]:
        cut = mask.copy()
        rows = np.flatnonzero(mask.any(axis=1))
        cut[rows[len(rows) // 2] :] = False
        half.append((k, cut))
    share = np.mean(
        [cut.sum() / mask.sum() for (_, cut), (_, mask) in zip(half, exact, strict=False)]
    )
    assert score_masks(half, view)["mean"] == pytest.approx(share)


def test_a_silhouette_is_as_large_as_the_body() -> None:
    body, view = load_anny(), scene().views[0]
    motion = scene().people[0].motion
    mesh = body.posed_vertices(motion.rotations[0], motion.translation[0], motion.shape)
    rows, columns = np.nonzero(silhouette(body, view.camera, mesh))
    points = view.xy[0, 0]
    assert rows.max() - rows.min() > np.ptp(points[:, 1])  # the skin is outside the points
    assert columns.min() < points[:, 0].min()
