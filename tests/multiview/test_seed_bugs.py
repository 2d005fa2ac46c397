"""Confirmed bugs of an earlier triangulation pipeline (NaN, zero inliers, contract), each beside a
naive version that has it: the check must fail there and hold here."""

import cv2
import numpy as np
import pytest

from kinefit.biomech.filter import low_pass
from kinefit.multiview.bundle import load_triangulation, read_bundle, save_bundle
from kinefit.multiview.trajectory import body_trajectory
from kinefit.multiview.triangulate import PointStatus, triangulate
from kinefit.types import InputError, Timeline


@pytest.fixture
def points(ring, motion, observed):
    """Ten points over 12 frames; one seen by a single camera, one by cameras that all disagree."""
    rig, truth = ring(4), motion(12, 10)
    xy, _ = observed(rig, truth, 1.0, 0.0)
    xy[1:, 4, 2] = np.nan
    xy[:, 6, 5] = [[10, 900], [1800, 40], [60, 50], [1700, 1000]]
    timeline = Timeline.regular(12, 60.0)
    names = tuple(f"p{i}" for i in range(10))
    return rig, truth, xy, triangulate(rig, timeline, names, xy)


def finite_fit(target, mask):
    """A consumer that does what the contract asks for: fits only what is finite and supported."""
    use = np.isfinite(target).all(axis=-1) & mask.any(axis=-1)
    return np.linalg.svd(np.cov(target[use].T))[1] if use.sum() >= 6 else None


def test_bug_1_a_missing_point_does_not_reach_the_solver(points):
    *_, found = points
    frame = found.refined[4]
    with pytest.raises(np.linalg.LinAlgError):  # naive: every point goes in
        np.linalg.svd(np.cov(frame.T))
    assert np.isfinite(finite_fit(frame, found.inlier_mask[4])).all()


def test_bug_2_no_inliers_are_no_perfect_fit(points):
    *_, found = points
    lost = found.reason != PointStatus.OK
    assert lost[4, 2]
    assert lost[6, 5]

    def naive(error, mask):
        return (np.nan_to_num(error) * mask).sum(axis=-1) / np.maximum(mask.sum(axis=-1), 1e-9)

    assert (naive(found.error_px, found.inlier_mask)[lost] == 0).all()  # "perfect"
    assert np.isnan(found.mean_error_px[lost]).all()
    assert (found.mean_error_px[~lost] > 0).all()


def test_bug_3_errors_are_of_the_points_that_were_written(points, tmp_path):
    rig, _, xy, found = points
    save_bundle(tmp_path / "b.npz", found, rig)
    stored = np.load(tmp_path / "b.npz", allow_pickle=False)
    camera, used = rig.cameras[0], stored["inlier_mask"][..., 0]
    vector, _ = cv2.Rodrigues(camera.R)

    def error_of(places):
        pixels, _ = cv2.projectPoints(places[used], vector, camera.t, camera.K, camera.distortion)
        return np.linalg.norm(pixels[:, 0] - xy[0][used], axis=-1)

    written = stored["reproj_errors_px"][..., 0][used]
    np.testing.assert_allclose(written, error_of(stored["points3d_refined"]), atol=1e-6)
    np.testing.assert_array_equal(stored["camera_distortion"][0][:5], camera.distortion)
    # Naive: errors of an earlier state of the points, here the candidates.
    assert np.abs(written - error_of(stored["points3d_init"])).max() > 0.1


def test_bug_4_one_missing_frame_does_not_empty_the_clip(points):
    _, _, _, found = points
    clip = np.repeat(found.refined[:, :1], 5, axis=1)
    clip[5] = np.nan

    def naive(values):  # exponential smoothing over frames that "exist"
        out = values.copy()
        for t in range(1, len(out)):
            out[t] = 0.5 * out[t] + 0.5 * out[t - 1]
        return out

    assert np.isnan(naive(clip)[5:]).all()
    smooth = low_pass(found.timeline, clip, 6.0)
    np.testing.assert_array_equal(np.isnan(smooth), np.isnan(clip))


def test_bug_4_holds_for_the_trajectory_too(points):
    rig, truth, xy, found = points
    xy = xy.copy()
    xy[:, 5] = np.nan
    again = triangulate(rig, found.timeline, found.names, xy)
    smooth = body_trajectory(rig, again, xy, np.ones(xy.shape[:3])).keypoints.xyz
    error = np.linalg.norm(smooth - truth, axis=-1)
    assert np.isfinite(error).mean() > 0.95
    assert np.nanmax(error) < 0.05


def test_bug_5_the_bundle_says_what_can_be_counted_on(points, tmp_path):
    rig, _, _, found = points
    save_bundle(tmp_path / "b.npz", found, rig)
    bundle = read_bundle(tmp_path / "b.npz")
    expected = np.full(12, 10)
    expected[[4, 6]] = 9
    np.testing.assert_array_equal(bundle.finite, expected)
    naive = np.load(tmp_path / "b.npz", allow_pickle=False)["points3d_refined"].shape[1]
    assert (bundle.finite < naive).any()  # the dense set that was taken for granted


def test_bundles_round_trip(points, tmp_path):
    rig, _, _, found = points
    save_bundle(tmp_path / "b.npz", found, rig)
    again = load_triangulation(tmp_path / "b.npz")
    for name in ("initial", "refined", "covariance", "best_pair", "inlier_mask", "reprojection",
                 "error_px", "reason", "sd_px"):  # fmt: skip
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name), err_msg=name)
    assert (again.names, again.cameras) == (found.names, found.cameras)
    assert again.timeline == found.timeline


def test_earlier_single_frame_files_are_read(tmp_path):
    points, mask = np.ones((46, 3)), np.ones((46, 4))
    points[3] = np.nan
    mask[7] = 0
    np.savez(tmp_path / "old.npz", points3d_refined=points, inlier_mask=mask)
    bundle = read_bundle(tmp_path / "old.npz")
    assert bundle.points.shape == (1, 46, 3)
    assert np.isnan(bundle.points[0, [3, 7]]).all()  # no inliers: no point
    assert not bundle.inlier_mask[0, [3, 7]].any()  # no point: no inliers, whatever the file says
    assert bundle.finite.tolist() == [44]


@pytest.mark.parametrize(
    "arrays",
    [
        {"points3d_refined": np.ones((46, 3))},
        {"points3d_refined": np.ones((46, 2)), "inlier_mask": np.ones((46, 4))},
        {"points3d_refined": np.ones((46, 3)), "inlier_mask": np.ones((45, 4))},
        {"points3d_refined": np.ones((3, 3)), "inlier_mask": np.ones(3)},
        {"points3d_refined": np.ones((2, 3)), "inlier_mask": np.ones((2, 2)), "names": 3.0},
        {"points3d_refined": np.ones((2, 3)), "inlier_mask": np.ones((2, 2)), "cameras": ["a"]},
        {"points3d_refined": np.full((46, 3), "x"), "inlier_mask": np.ones((46, 4))},
        {"points3d_refined": np.array([{"a": 1}], dtype=object), "inlier_mask": np.ones((1, 4))},
    ],
)
def test_files_that_are_no_bundles_are_refused(tmp_path, arrays):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=r"x\.npz"):
        read_bundle(tmp_path / "x.npz")


def test_damaged_files_are_refused(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(InputError, match=r"x\.npz"):
        read_bundle(tmp_path / "x.npz")
    with pytest.raises(InputError, match=r"nowhere\.npz"):
        load_triangulation(tmp_path / "nowhere.npz")
