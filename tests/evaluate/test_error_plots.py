"""Where errors come from: circumstances are told apart, and drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinefit.evaluate.error_sources import (
    ErrorSources,
    by_azimuth,
    by_name,
    by_score,
    by_size,
    by_time,
    by_visibility,
    camera_azimuths,
    joined,
    of_pairs,
    of_track,
    plot_sources,
    sources_sheet,
)
from kinefit.geometry import rotations as so3
from kinefit.synth.truth import Visibility
from kinefit.types import TooFewPoints

from .scenes import FRAMES, scene, track
from .test_limb_scores import pair_rows


def sources(seed: int = 0, count: int = 600) -> ErrorSources:
    """Errors that grow with one circumstance each, so that a panel shows its own."""
    rng = np.random.default_rng(seed)
    score, visibility = rng.random(count), rng.choice([1, 2, 3], count).astype(np.uint8)
    return ErrorSources(
        unit="degrees",
        names=("left forearm", "right forearm", "hips"),
        error=rng.gamma(2.0, 4.0, count)
        + 20 * (1 - score)
        + 10 * (visibility == Visibility.OCCLUDED),
        name=rng.integers(3, size=count),
        azimuth_deg=rng.uniform(-180, 180, count),
        visibility=visibility,
        score=score,
        size_px=rng.uniform(150, 650, count),
        place=rng.random(count),
    )


@pytest.mark.parametrize("azimuth", [0.0, 60.0, 90.0, -120.0])
def test_the_camera_stands_where_the_person_sees_it(azimuth: float) -> None:
    names = ("LShoulder", "RShoulder", "LHip", "RHip")
    body = np.array([[0.2, 1.4, 0], [-0.2, 1.4, 0], [0.1, 0.9, 0], [-0.1, 0.9, 0]])  # faces +Z
    angle = np.radians(azimuth)
    eye = 3 * np.array([np.sin(angle), 0.0, np.cos(angle)]) + [0, 1.2, 0]
    turn = so3.exp(np.array([0.3, 1.0, -0.4]))  # a camera turned any way sees the same
    found = camera_azimuths(names, ((body - eye) @ turn.T)[None])
    # The person's left is +X, towards which a positive azimuth goes.
    assert found[0] == pytest.approx(azimuth, abs=1e-9)
    assert np.isnan(camera_azimuths(names[:3], body[None, :3])).all()


def test_faultless_tracks_have_no_errors_to_explain() -> None:
    truth = scene()
    points, limbs = joined_of_all(truth)
    assert points.error.max() == 0
    assert limbs.error.max() == pytest.approx(0, abs=1e-6)
    assert len(limbs.error) == 2 * FRAMES * 14
    pair_points, pair_limbs = of_pairs(pair_rows())
    assert pair_points.error.max() == 0
    assert pair_limbs.error.max() == pytest.approx(0, abs=1e-6)


def joined_of_all(truth: object) -> tuple[ErrorSources, ErrorSources]:
    parts = [of_track(track(scene(), n), scene(), n) for n in scene().rig.names]
    points, limbs = (joined(kind) for kind in zip(*parts, strict=True))
    return points, limbs


def test_groups_hold_every_error_once() -> None:
    found = sources()
    for groups in (by_azimuth, by_visibility, by_score, by_size, by_time, by_name):
        assert sum(group.size for group in groups(found)) == len(found.error), groups


def test_groups_show_what_was_planted() -> None:
    found = sources()
    seen, self_hidden, hidden = (group.spread[1] for group in by_visibility(found))
    assert hidden - seen == pytest.approx(10, abs=3)  # medians of 200 draws
    assert abs(self_hidden - seen) < 3
    scores = [group.spread[1] for group in by_score(found)]
    assert scores[0] - scores[-1] == pytest.approx(18, abs=4)


def test_errors_at_the_end_of_clips_show_there() -> None:
    found = sources()
    late = replace(found, error=found.error + 50 * (found.place >= 0.9))
    tenths = [group.spread[1] for group in by_time(late)]
    assert tenths[-1] - max(tenths[:-1]) == pytest.approx(50, abs=10)


def test_single_pictures_have_no_time() -> None:
    found = sources()
    alone = replace(found, place=np.full_like(found.place, np.nan))
    assert sum(group.size for group in by_time(alone)) == 0
    sheets = [sources_sheet(one, "") for one in (found, alone)]
    assert sheets[1].height < sheets[0].height


def test_few_errors_have_no_spread() -> None:
    found = replace(sources(), visibility=np.full(600, Visibility.VISIBLE, np.uint8))
    groups = by_visibility(found)
    assert groups[2].size == 0
    assert np.isnan(groups[2].spread).all()


def test_a_figure_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "limbs.png"
    plot_sources(sources(), "Limb directions", path)
    picture = cv2.imread(str(path))
    sheet = sources_sheet(sources(), "Limb directions")
    assert picture.shape[:2] == (round(2 * sheet.height), round(2 * sheet.width))
    assert (picture < 128).any(axis=-1).mean() > 0.005
    again = tmp_path / "again.png"
    plot_sources(sources(), "Limb directions", again)
    assert again.read_bytes() == path.read_bytes()
    nothing = sources(count=0)
    with pytest.raises(TooFewPoints):
        plot_sources(nothing, "nothing", path)
