"""Detected points: what is planted in a faultless track comes back as numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.evaluate.detection_scores import person_sizes, score_track
from kinefit.skeletons import mirror_name
from kinefit.synth.truth import SceneTruth, Visibility
from kinefit.types import InvalidData, Timeline, TooFewPoints

from .scenes import FRAMES, RATE, scene, track


def test_the_truth_has_no_error() -> None:
    truth = scene()
    for name in truth.rig.names:
        found = score_track(track(truth, name).image, truth, name)
        assert found["frames"] == FRAMES
        assert found["error_px"]["max"] == 0
        assert found["pck"] == {"0.02": 1, "0.05": 1, "0.1": 1}
        assert found["dropped"] == {"frames": 0, "seen_points": 0}
        assert found["swapped"] == {"arms": 0, "legs": 0}
        assert found["followed"] is None


def test_a_shift_is_that_many_pixels() -> None:
    truth = scene()
    image = track(truth, "cam01").image
    size = person_sizes(truth.views[0].xy[0])
    found = score_track(replace(image, xy=image.xy + np.array([3.0, 4.0])), truth, "cam01")
    assert found["error_px"]["mean"] == pytest.approx(5)
    assert found["error_pct"]["mean"] == pytest.approx(float((500 / size).mean()))


def test_exchanged_legs_are_counted_in_their_frames() -> None:
    truth = scene()
    image = track(truth, "cam01").image
    legs = ("Hip", "Knee", "Ankle", "Heel", "BigToe")
    order = [
        image.names.index(mirror_name(n)) if n[1:] in legs else i for i, n in enumerate(image.names)
    ]
    some = np.array(image.xy)
    some[:6] = some[:6][:, order]
    assert score_track(replace(image, xy=some), truth, "cam01")["swapped"] == {
        "arms": 0,
        "legs": pytest.approx(6 / FRAMES),
    }
    everywhere = replace(image, xy=image.xy[:, order])
    assert score_track(everywhere, truth, "cam01")["swapped"] == {"arms": 0, "legs": 1}


def test_errors_are_told_by_visibility() -> None:
    truth = scene()
    hidden = truth.point_names.index("LWrist")
    visibility = truth.views[0].visibility.copy()
    visibility[:, :, hidden] = Visibility.OCCLUDED
    seen = replace(truth.views[0], visibility=visibility)
    truth = SceneTruth(truth.people, (seen, *truth.views[1:]))
    image = track(truth, "cam01").image
    xy = np.array(image.xy)
    xy[:, image.names.index("LWrist")] += [7.0, 0.0]
    found = score_track(replace(image, xy=xy), truth, "cam01")["by_visibility"]
    assert found["visible"]["px"]["max"] == 0
    assert found["occluded"]["px"]["mean"] == pytest.approx(7)
    assert found["occluded"]["px"]["count"] == FRAMES


def test_points_that_others_define_otherwise_are_left_out() -> None:
    truth = scene()
    found = score_track(truth.image_points("cam01", "halpe26"), truth, "cam01")
    assert not {"Head", "Neck", "Hip"} & found["by_point"].keys()
    assert len(found["by_point"]) == 23


def test_frames_without_anybody_are_dropouts_and_wrong() -> None:
    truth = scene()
    image = track(truth, "cam01").image
    xy = np.array(image.xy)
    xy[: FRAMES // 4] = np.nan
    found = score_track(replace(image, xy=xy), truth, "cam01")
    assert found["dropped"]["frames"] == pytest.approx(0.25)
    assert found["pck"]["0.1"] == pytest.approx(0.75)
    assert found["error_px"]["mean"] == 0


def test_who_was_followed() -> None:
    truth = scene(views=1, people=2)
    other = truth.image_points("cam01", "blazepose33", person=1)
    assert score_track(other, truth, "cam01", person=1)["followed"] == 1
    assert score_track(other, truth, "cam01", person=0)["followed"] == 0


def test_frames_meet_by_their_time_stamps() -> None:
    truth = scene()
    image = track(truth, "cam01").image
    every_third = np.arange(1, FRAMES, 3)
    clock = Timeline(every_third, every_third / RATE + 4e-4)  # stamps rounded to milliseconds
    part = replace(image, timeline=clock, xy=image.xy[every_third], score=image.score[every_third])
    assert score_track(part, truth, "cam01")["error_px"]["max"] == 0
    later = replace(image, timeline=Timeline(image.timeline.frame, image.timeline.time + 100))
    with pytest.raises(TooFewPoints, match="cam01"):
        score_track(later, truth, "cam01")
    with pytest.raises(InvalidData, match="No camera 'cam09'"):
        score_track(image, truth, "cam09")
