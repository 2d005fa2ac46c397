"""What the refiners that come with kinefit do to angles, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.angles import GROUPS, joint_angles
from kinefit.biomech.refine import JointRefiner, MainRefiner
from kinefit.biomech.refine.joint import _Network
from kinefit.biomech.refine.table import CHANNELS, make_inputs, values_of
from kinefit.geometry.rotations import difference_deg
from kinefit.types import FloatArray, InputError, InvalidData, JointAngles, Markers, Timeline

from .conftest import Person

REFINER = JointRefiner()


def _moved(before: JointAngles, after: JointAngles, name: str) -> FloatArray:
    """(T,) degrees, signed."""
    return difference_deg(after.column(name), before.column(name))


def test_it_says_how_uncertain_the_result_is(walker: Person) -> None:
    after = REFINER.refine(walker.angles)
    assert after.names == walker.angles.names
    assert after.sd is not None
    known = np.isfinite(after.sd).any(axis=0)
    told = {name for name, is_ in zip(after.names, known, strict=True) if is_}
    assert {"pelvis_flex", "knee_l_flex", "shoulder_r_rot"} <= told
    assert not {"trunk_flex", "trunk_abd", "knee_r_abd"} & told  # which did not hold
    assert 1 < np.nanmedian(after.sd) < 20


def test_the_unknown_stays_unknown_and_the_forearm_as_it_was(walker: Person) -> None:
    degrees = walker.angles.degrees.copy()
    degrees[:, walker.angles.names.index("knee_r_flex")] = np.nan
    degrees[30:60] = np.nan
    gaps = replace(walker.angles, degrees=degrees)
    after = REFINER.refine(gaps)
    assert np.array_equal(np.isnan(after.degrees), np.isnan(degrees))
    kept = [n for n in after.names if n in ("elbow_r_rot", "elbow_l_abd", "knee_r_rot")]
    for name in kept:
        assert np.allclose(after.column(name), gaps.column(name), equal_nan=True, atol=1e-9)


def test_what_is_known_of_a_joint_stays_where_the_rest_is_not(walker: Person) -> None:
    degrees = walker.angles.degrees.copy()
    names = walker.angles.names
    degrees[20:40, names.index("pelvis_abd")] = np.nan
    degrees[:, names.index("shoulder_r_rot")] = np.nan
    part = replace(walker.angles, degrees=degrees)
    after = REFINER.refine(part)
    for name in ("pelvis_flex", "pelvis_rot"):
        assert np.array_equal(after.column(name)[20:40], part.column(name)[20:40])
    for name in ("shoulder_r_flex", "shoulder_r_elev", "shoulder_r_plane"):
        assert np.array_equal(after.column(name), part.column(name))


def test_columns_of_others_stay_and_angles_stay_in_their_turn(walker: Person) -> None:
    heading = walker.angles.names.index("pelvis_rot")
    degrees = walker.angles.degrees.copy()
    degrees[:, heading] += 360
    more = JointAngles(
        walker.angles.timeline, (*walker.angles.names, "wrist"),
        np.column_stack([degrees, np.full(len(degrees), 7.0)]),
    )  # fmt: skip
    after = REFINER.refine(more)
    assert np.array_equal(after.column("wrist"), more.column("wrist"))
    plain = REFINER.refine(walker.angles).column("pelvis_rot")
    assert np.allclose(after.column("pelvis_rot") - 360, plain, atol=1e-3)


def test_both_readings_of_a_shoulder_tell_of_one_rotation(walker: Person) -> None:
    after = REFINER.refine(walker.angles)
    elevation = np.hypot(after.column("shoulder_r_flex"), after.column("shoulder_r_abd"))
    assert np.allclose(after.column("shoulder_r_elev"), elevation, atol=1e-6)


def test_a_video_of_twice_the_rate_gives_the_same(walker: Person) -> None:
    half = Markers(
        Timeline(np.arange(90), walker.markers.timeline.time[::2]), walker.markers.names,
        walker.markers.xyz[::2],
    )  # fmt: skip
    slow = joint_angles(half)
    a, b = REFINER.refine(walker.angles), REFINER.refine(slow)
    # The fast one ends a frame later, so that the windows of its end lie otherwise.
    off = np.abs(difference_deg(a.degrees[::2], b.degrees))
    off = off[:, np.isfinite(off).all(axis=0)]
    assert np.median(off) < 0.2
    assert np.percentile(off[:60], 99) < 1.5


def test_a_long_clip_is_refined_as_its_parts_are(walker: Person) -> None:
    """Windows overlap, so the middle of a clip does not depend on what is seconds away."""
    count = len(walker.angles.timeline)
    degrees, gimbal = (np.tile(v, (4, 1)) for v in (walker.angles.degrees, walker.angles.gimbal))
    long = Timeline.regular(4 * count, 60.0)
    twice = replace(walker.angles, timeline=long, degrees=degrees, gimbal=gimbal)
    apart = replace(twice, timeline=Timeline(
        twice.timeline.frame, twice.timeline.time + 1000 * (np.arange(4 * count) >= 2 * count)
    ))  # fmt: skip
    whole, cut = (REFINER.refine(angles).degrees for angles in (twice, apart))
    assert np.abs(difference_deg(whole[:count], cut[:count])).max() < 1e-6
    assert np.isfinite(cut).all()


def test_mirror_images_are_refined_alike(walker: Person) -> None:
    """Learned, not built in: to two degrees, of corrections of about three."""
    from kinefit.biomech.refine.table import mirrored, with_values

    values, sd = values_of(walker.angles)
    every = np.ones(values.shape[:2], bool)
    image = with_values(walker.angles, mirrored(values), sd, every)
    a = values_of(REFINER.refine(walker.angles))[0]
    b = mirrored(values_of(REFINER.refine(image))[0])
    off = np.abs(difference_deg(a, b))
    assert np.median(off) < 1
    assert np.percentile(off, 95) < 4


@pytest.mark.parametrize(("name", "by"), [
    ("hip_r_abd", -45.0), ("trunk_flex", 60.0), ("ankle_l_flex", 60.0), ("pelvis_flex", 70.0),
])  # fmt: skip
def test_what_no_body_does_is_moved_towards_what_bodies_do(
    walker: Person, name: str, by: float
) -> None:
    """By five degrees at least. (Of knees that bend backwards it knows nothing: see its card.)"""
    degrees = walker.angles.degrees.copy()
    degrees[:, walker.angles.names.index(name)] += by
    wrong = replace(walker.angles, degrees=degrees)
    back = np.median(_moved(wrong, REFINER.refine(wrong), name)) * -np.sign(by)
    assert back > 5, f"{name}, off by {by:g}, was moved back by {back:.1f} degrees"


def test_exact_angles_with_small_deviations_stay(squatter: Person) -> None:
    """As several cameras give them: a deep squat is unusual, and true."""
    sure = replace(squatter.angles, sd=np.full(squatter.angles.degrees.shape, 2.0))
    after = REFINER.refine(sure)
    legs = [n for n in sure.names if n.endswith("flex") and n[:3] in ("hip", "kne", "pel")]
    moved = np.abs([_moved(sure, after, name) for name in legs])
    assert moved.mean() < 4


def test_less_of_what_is_not_seen_is_believed(walker: Person) -> None:
    seen = np.ones((len(walker.angles.timeline), 12))
    seen[:, GROUPS.index("elbow_r")] = 0
    assert not np.array_equal(
        REFINER.refine(walker.angles, seen).degrees, REFINER.refine(walker.angles).degrees
    )


@pytest.mark.parametrize("bad", [np.ones((3, 12)), np.full((180, 12), 1.5),
                                 np.full((180, 12), np.nan)])  # fmt: skip
def test_a_visibility_that_is_none_is_refused(walker: Person, bad: FloatArray) -> None:
    with pytest.raises(InvalidData, match="visibility"):
        REFINER.refine(walker.angles, bad)


def test_a_file_that_is_no_refiner_is_refused(tmp_path: Path) -> None:
    for name, content in (("a.onnx", b"no network"), ("b.onnx", b"")):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(InputError, match=name):
            JointRefiner(file).answers(np.zeros((1, 81, 12, CHANNELS)))
    with pytest.raises(InputError, match=r"no\.onnx"):
        JointRefiner(tmp_path / "no.onnx").answers(np.zeros((1, 81, 12, CHANNELS)))
    with pytest.raises(InputError, match="refine_main"):
        _Network(None, "refine_main", CHANNELS)  # another number of channels


def test_three_tables_that_agree_stay_about_where_one_alone_would(walker: Person) -> None:
    main = MainRefiner()
    after = main.refine(walker.angles, walker.angles, walker.angles)
    assert np.isfinite(after.degrees).all()
    assert np.nanmean(np.abs(difference_deg(after.degrees, walker.angles.degrees))) < 10
    short = replace(
        walker.angles, timeline=Timeline.regular(10, 60.0), degrees=walker.angles.degrees[:10],
        gimbal=walker.angles.gimbal[:10],
    )  # fmt: skip
    with pytest.raises(InvalidData, match="frames"):
        main.refine(walker.angles, short, walker.angles)


def test_inputs_in_any_order_have_the_same_answers(walker: Person) -> None:
    values, sd = values_of(walker.angles)
    rows = np.stack([np.arange(i, i + 81) for i in range(0, 90, 15)])
    inputs = make_inputs(values[rows], sd[rows], np.ones((*rows.shape, 12)))
    correction, _ = REFINER.answers(inputs)
    back, _ = REFINER.answers(inputs[::-1])
    assert np.abs(correction - back[::-1]).max() < 1e-3
