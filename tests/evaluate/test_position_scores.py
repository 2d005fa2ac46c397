"""Points in space: known displacements give known numbers under each alignment."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.evaluate.position_scores import (
    score_covariances,
    score_deviations,
    score_marker_deviations,
    score_points,
)
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray, InvalidData

from .scenes import Moved, numbers, scene

EXACT = 1e-9  # mm and degrees: sums of metres in double precision


def markers() -> tuple[FloatArray, tuple[str, ...], FloatArray]:
    someone = scene().people[0].markers
    return someone.timeline.time, someone.names, someone.xyz


def errors(move: Moved | None = None, **options: bool) -> dict[str, float]:
    time, names, xyz = markers()
    moved = xyz if move is None else move(xyz)
    found = score_points(time, names, moved, names, xyz, **options)
    return {kind: value["mean"] for kind, value in found["mpjpe_mm"].items()}


def test_the_truth_against_itself_has_no_error() -> None:
    time, names, xyz = markers()
    found = score_points(time, names, xyz, names, xyz)
    assert numbers(found["mpjpe_mm"])[:5] == pytest.approx([0] * 5, abs=EXACT)
    for kind, value in found["mpjpe_mm"].items():
        assert value["mean"] == pytest.approx(0, abs=EXACT), kind
        assert value["missing"] == 0
    assert found["acceleration_m_s2"]["max"] == pytest.approx(0, abs=1e-9)
    assert found["jitter_m_s3"]["result"] == pytest.approx(found["jitter_m_s3"]["truth"])
    assert found["foot_sliding"]["result"] == found["foot_sliding"]["truth"]
    assert numbers(found["bones"]["length_error_mm"]) == pytest.approx([0] * 10, abs=EXACT)


def test_a_shift_is_an_absolute_error_alone() -> None:
    found = errors(Moved(np.eye(3), np.array([0.03, 0.0, 0.04])))
    assert found.pop("absolute") == pytest.approx(50)
    assert list(found.values()) == pytest.approx([0] * len(found), abs=1e-6)


def test_a_turn_is_gone_after_rigid_alignment() -> None:
    found = errors(Moved(so3.exp(np.array([0.0, 0.2, 0.0])), np.zeros(3)))
    assert min(found["absolute"], found["root"]) > 10
    assert [found[k] for k in ("rigid", "w", "wa", "pa")] == pytest.approx([0] * 4, abs=1e-6)


def test_a_scale_is_gone_only_where_scale_is_free() -> None:
    _, names, xyz = markers()
    found = errors(Moved(np.eye(3), np.zeros(3), 1.1))
    hips = [names.index(n) for n in ("LHip", "RHip")]
    from_hips = xyz - xyz[:, hips].mean(axis=1, keepdims=True)
    tenth = 100 * np.linalg.norm(from_hips, axis=-1).mean()  # mm: a tenth of each distance
    assert found["root"] == pytest.approx(tenth)
    assert found["rigid"] > 10
    assert [found[k] for k in ("similarity", "wa", "pa")] == pytest.approx([0] * 3, abs=1e-6)


def test_without_a_place_only_what_needs_none_is_told() -> None:
    found = errors(Moved(so3.exp(np.array([0.3, 1.0, 0.2])), np.ones(3)), placed=False)
    assert "absolute" not in found
    assert "root" not in found
    assert found["rigid"] == pytest.approx(0, abs=1e-6)
    time, names, xyz = markers()
    moved = Moved(so3.exp(np.array([0.3, 1.0, 0.2])), np.ones(3))(xyz)
    turned = score_points(time, names, moved, names, xyz, placed=False)
    # m/s^2: differences of metres divided by (1/30 s)^2, after an alignment exact to 1e-12 m.
    assert turned["acceleration_m_s2"]["max"] < 1e-6


def test_one_bad_point_is_found_by_its_name() -> None:
    time, names, xyz = markers()
    bad = xyz.copy()
    bad[:, names.index("LWrist")] += [0.1, 0, 0]
    found = score_points(time, names, bad, names, xyz)["by_point_mm"]
    assert found["LWrist"]["absolute"] == pytest.approx(100)
    assert found["RWrist"]["absolute"] == pytest.approx(0, abs=EXACT)


def test_what_is_missing_is_counted_and_never_zero() -> None:
    time, names, xyz = markers()
    holed = xyz + np.array([0.01, 0, 0])
    holed[3:5] = np.nan
    found = score_points(time, names, holed, names, xyz)["mpjpe_mm"]["absolute"]
    assert found["mean"] == pytest.approx(10)
    assert found["missing"] == 2 * len(names)
    nothing = score_points(time, names, np.full_like(xyz, np.nan), names, xyz)
    assert nothing["mpjpe_mm"]["absolute"]["mean"] is None


def test_names_without_a_partner_are_refused() -> None:
    time, names, xyz = markers()
    with pytest.raises(InvalidData, match="No common point"):
        score_points(time, ("a", "b"), xyz[:, :2], names, xyz)


def test_true_deviations_cover_what_they_say() -> None:
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(4000, 3)) * [0.01, 0.02, 0.03]
    found = score_deviations(errors, np.broadcast_to([0.01, 0.02, 0.03], errors.shape))
    # 12,000 draws: one standard deviation of a share of 0.68 is 0.0043.
    assert found["68%"]["share"] == pytest.approx(0.68, abs=0.013)
    assert found["95%"]["share"] == pytest.approx(0.95, abs=0.008)
    half = score_deviations(errors, np.broadcast_to([0.005, 0.01, 0.015], errors.shape))
    assert found["nll"] < half["nll"]
    # Three sizes of errors in the right order: by removing the largest, the mean falls.
    assert found["ause"] < score_deviations(errors, np.full_like(errors, 0.02))["ause"]
    assert half["68%"]["share"] < 0.42  # of a normal distribution, 0.380 lie within half of z
    covariance = np.broadcast_to(np.diag([1e-4, 4e-4, 9e-4]), (4000, 3, 3))
    assert score_covariances(errors, covariance)["95%"]["share"] == pytest.approx(0.95, abs=0.012)


def test_deviations_may_leave_the_place_open() -> None:
    _, names, xyz = markers()
    sd = np.full_like(xyz, 1e-3)
    moved = xyz + np.array([0.5, 0, 0])
    found = score_marker_deviations(names, moved, sd, names, xyz)
    assert found["absolute"]["95%"]["share"] == pytest.approx(2 / 3)  # two of three axes
    assert found["rigid"]["95%"]["share"] == 1
