"""Limb directions: exact ones have no error, planted ones the planted one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.evaluate.detection_scores import COCO, PARTS, score_pairs, score_pof
from kinefit.geometry import rotations as so3
from kinefit.skeletons import mirror_name, skeleton
from kinefit.synth.truth import Visibility
from kinefit.types import InvalidData, Keypoints3D, PoseTrack

from .scenes import FRAMES, scene, track

# Degrees: the arc tangent of a cross product of unit vectors, each rounded to 1e-16.
EXACT = 1e-6


def with_body(found: PoseTrack, xyz: np.ndarray) -> PoseTrack:
    body = Keypoints3D(found.image.timeline, found.image.names, xyz, "camera")
    return replace(found, body=body)


def test_limbs_are_eight_of_arms_and_legs_and_six_of_the_trunk() -> None:
    assert [len(PARTS[name]) for name in ("all", "arms_and_legs", "trunk")] == [14, 8, 6]


def test_the_truth_has_no_error() -> None:
    truth = scene()
    for name in truth.rig.names:
        found = score_pof(track(truth, name), truth, name)
        for part in (*PARTS, "unswapped"):
            assert found[part]["angle"]["max"] == pytest.approx(0, abs=EXACT)
            assert found[part]["rotated"]["max"] == pytest.approx(0, abs=EXACT)
            assert found[part]["sign"] == 1
        assert found["mpjpe_mm"]["root"]["max"] == pytest.approx(0, abs=1e-6)
        assert found["swapped"] == 0
        # Depth says something that the picture does not.
        assert found["all"]["flat"] > 5


def test_one_turn_of_everything_is_gone_after_the_best_rotation() -> None:
    truth = scene()
    exact = track(truth, "cam01")
    turn = so3.exp(np.radians([0.0, 0.0, 20.0]))
    assert exact.body is not None
    found = score_pof(with_body(exact, exact.body.xyz @ turn.T), truth, "cam01")
    assert 5 < found["all"]["angle"]["mean"] <= 20
    assert found["all"]["rotated"]["max"] == pytest.approx(0, abs=EXACT)
    assert found["mpjpe_mm"]["pa"]["max"] == pytest.approx(0, abs=1e-6)


def test_depth_the_wrong_way_round_is_a_wrong_sign() -> None:
    truth = scene()
    exact = track(truth, "cam01")
    assert exact.body is not None
    found = score_pof(with_body(exact, exact.body.xyz * [1, 1, -1]), truth, "cam01")
    assert found["all"]["sign"] == 0


def test_size_does_not_matter_to_directions() -> None:
    truth = scene()
    exact = track(truth, "cam01")
    assert exact.body is not None
    found = score_pof(with_body(exact, exact.body.xyz * 0.7), truth, "cam01")
    assert found["all"]["angle"]["max"] == pytest.approx(0, abs=EXACT)
    assert found["mpjpe_mm"]["root"]["mean"] > 50


def test_swapped_frames_stand_apart() -> None:
    truth = scene()
    exact = track(truth, "cam01")
    assert exact.body is not None
    names = exact.image.names
    order = [
        names.index(mirror_name(n)) if mirror_name(n) in names else i for i, n in enumerate(names)
    ]
    xy, xyz = np.array(exact.image.xy), np.array(exact.body.xyz)
    xy[:8], xyz[:8] = xy[:8][:, order], xyz[:8][:, order]
    wrong = with_body(replace(exact, image=replace(exact.image, xy=xy)), xyz)
    found = score_pof(wrong, truth, "cam01")
    assert found["swapped"] == pytest.approx(8 / FRAMES)
    assert found["all"]["angle"]["mean"] > 5
    assert found["unswapped"]["angle"]["max"] == pytest.approx(0, abs=EXACT)


def test_a_track_without_space_is_refused() -> None:
    truth = scene()
    with pytest.raises(InvalidData, match="no 3D"):
        score_pof(replace(track(truth, "cam01"), body=None), truth, "cam01")


def pair_rows(number: int = 0) -> dict[str, np.ndarray]:
    """Rows as of `kinefit.synth.pairs`, from a faultless detector that looks at one camera."""
    truth = scene()
    view, someone = truth.views[number], truth.people[0]
    xyz = someone.keypoints("coco17").xyz @ view.camera.R.T + view.camera.t
    hips, shoulders = (
        xyz[:, [COCO.index(side + what) for side in "LR"]].mean(axis=1)
        for what in ("Hip", "Shoulder")
    )
    scale = np.linalg.norm(shoulders - hips, axis=-1)
    unit = (xyz - hips[:, None]) / scale[:, None, None]
    exact = track(truth, view.camera.name)
    blaze = skeleton("blazepose33").points
    coco = truth.image_points(view.camera.name, "coco17").xy
    return {
        "pose_2d": coco,
        "projected_2d": coco,
        "true_33": truth.image_points(view.camera.name, "blazepose33").xy,
        "detected_33": exact.image.xy,
        "score_33": np.full((FRAMES, len(blaze)), 0.9),
        "sight_33": np.full((FRAMES, len(blaze)), Visibility.VISIBLE, np.uint8),
        "world_33": exact.body.xyz if exact.body is not None else xyz,
        "xyz_33": someone.keypoints("blazepose33").xyz @ view.camera.R.T + view.camera.t,
        "corrupted": unit,
        "ground_truth": unit,
        "gt_scale": scale,
        "camera_R": view.R,
        "K": np.tile(view.camera.K, (FRAMES, 1, 1)),
        "size": np.tile(view.camera.size, (FRAMES, 1)),
        "contact": someone.contact.astype(np.float64),
        "scene": np.zeros(FRAMES, np.int64),
        "view": np.full(FRAMES, number),
        "time_s": view.time,
    }


def test_pairs_of_a_faultless_detector() -> None:
    rows = pair_rows()
    found = score_pairs(rows)
    assert found["found"] == 1
    assert found["all"]["angle"]["max"] == pytest.approx(0, abs=EXACT)
    assert found["mpjpe_mm"]["root"]["max"] == pytest.approx(0, abs=1e-6)
    lost = rows | {k: np.where(np.arange(FRAMES)[:, None, None] < 6, np.nan, rows[k])
                   for k in ("pose_2d", "corrupted")}  # fmt: skip
    half = score_pairs(lost)
    assert half["found"] == pytest.approx(1 - 6 / FRAMES)
    assert half["all"]["angle"]["missing"] == 6 * 14
