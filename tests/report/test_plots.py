"""Figures: what is drawn where, and the same bytes every time."""

import re
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from kinefit.render.palette import SHADE, SIDE_COLOR, rgb
from kinefit.report.charts import Frame, angle_panel, angle_range, nice_ticks
from kinefit.report.drawing import Line, Sheet, Text
from kinefit.report.joint_labels import angle_title, angle_words, groups_of
from kinefit.report.plots import group_sheet, overview_sheet, plot_all, render, write_png
from kinefit.types import InvalidData, JointAngles, Timeline


def curves_of(sheet: Sheet, side: str) -> list[np.ndarray]:
    """The angle curves (drawn 1.6 wide) of one side."""
    return [
        s.points
        for s in sheet.shapes
        if isinstance(s, Line) and s.color == SIDE_COLOR[side] and s.width == 1.6
    ]


def words_of(sheet: Sheet) -> list[str]:
    return [s.text for s in sheet.shapes if isinstance(s, Text)]


def test_every_group_and_the_overview_are_written(angles, tmp_path):
    paths = plot_all(angles, tmp_path / "plots", "walk")
    assert [p.name for p in paths] == [
        *(f"walk_{group}.png" for group in groups_of(angles.names)),
        "walk_all.png",
    ]
    for path in paths:
        with Image.open(path) as image:
            image.load()
            assert image.mode == "RGB"
            # 180 mm wide at 192 dpi; the overview is half as wide again.
            assert image.size[0] in (1360, 2040)
            assert image.info["dpi"] == pytest.approx((192, 192), abs=0.1)


def test_equal_angles_give_equal_bytes_in_any_thread(angles, tmp_path):
    first = [p.read_bytes() for p in plot_all(angles, tmp_path / "a", "x")]
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda k: plot_all(angles, tmp_path / k, "x"), "bc"))
    for run in runs:
        assert [p.read_bytes() for p in run] == first


def test_the_png_is_what_was_drawn(tmp_path):
    sheet = Sheet(40, 20)
    sheet.box(10, 5, 20, 10, "#d55e00")
    write_png(sheet, tmp_path / "box.png", scale=2.0)
    with Image.open(tmp_path / "box.png") as image:
        image.verify()  # check sums
    pixels = cv2.imread(str(tmp_path / "box.png"))[..., ::-1]
    assert (pixels == np.asarray(render(sheet, 2.0))).all()
    assert pixels.shape == (40, 80, 3)
    assert (pixels[12:28, 22:58] == rgb("#d55e00")).all()  # inside, edges left out
    assert (pixels[:8] == 255).all()
    assert (pixels[32:] == 255).all()


def test_a_curve_passes_through_its_values():
    timeline = Timeline.regular(11, 10.0)
    degrees = np.linspace(-10, 30, 11)
    angles = JointAngles(timeline, ("hip_r_flex",), degrees[:, None])
    sheet = Sheet(300, 200)
    angle_panel(sheet, (0, 0, 300, 200), angles, ["hip_r_flex"], limits=(-10, 30))
    (curve,) = curves_of(sheet, "right")
    frame = Frame(46, 18, 246, 150, (0.0, 1.0), (-10.0, 30.0))
    np.testing.assert_allclose(curve, frame.points(timeline.time, degrees))
    assert curve[0, 1] > curve[-1, 1]  # larger values are higher up


def test_a_gap_is_never_bridged(angles):
    for sheet in (group_sheet(angles, "knee_l"), overview_sheet(angles)):
        gaps = [np.isnan(c).any() for c in curves_of(sheet, "left")]
        assert sum(gaps) == 3  # flexion, abduction, rotation of the left knee
    svg = group_sheet(angles, "knee_l").svg("knee")
    broken = [d for d in re.findall(r'd="([^"]*)" fill="none"', svg) if d.count("M") == 2]
    assert len(broken) == 3


def test_a_lone_value_becomes_a_dot():
    sheet = Sheet(40, 40)
    sheet.line(np.array([[np.nan, 1], [20, 20], [np.nan, 2]]), "#000000", 6)
    pixels = np.asarray(render(sheet, 1.0))
    assert (pixels[20, 20] < 10).all()
    assert (pixels == 255).all(axis=-1).sum() > 1500  # and nothing else of 1,600 pixels


def test_gimbal_lock_is_shaded_where_it_is_and_has_no_band(angles):
    sheet = Sheet(300, 200)
    angle_panel(sheet, (0, 0, 300, 200), angles, ["shoulder_r_plane"])
    (shade,) = [s for s in sheet.shapes if getattr(s, "color", "") == SHADE]
    frame = Frame(46, 18, 246, 150, (0.0, 89 / 60), (0.0, 1.0))
    at = frame.points(np.array([39.5, 49.5]) / 60, np.zeros(2))[:, 0]
    np.testing.assert_allclose([shade.points[:, 0].min(), shade.points[:, 0].max()], at)
    bands = [s for s in sheet.shapes if getattr(s, "opacity", 1) == 0.22]
    assert len(bands) == 2
    assert max(bands[0].points[:, 0]) < at[0] < at[1] < min(bands[1].points[:, 0])


def test_the_band_is_the_95_percent_interval():
    timeline = Timeline.regular(3, 10.0)
    angles = JointAngles(
        timeline, ("hip_r_flex",), np.zeros((3, 1)), sd=np.array([[1.0], [2.0], [3.0]])
    )
    sheet = Sheet(300, 200)
    angle_panel(sheet, (0, 0, 300, 200), angles, ["hip_r_flex"], limits=(-10, 10))
    (band,) = [s for s in sheet.shapes if getattr(s, "opacity", 1) == 0.22]
    height = 150 / 20  # pixels per degree
    middle = 18 + 75
    np.testing.assert_allclose(band.points[:3, 1], middle - 1.96 * height * np.array([1, 2, 3]))


def test_both_sides_share_one_axis(angles):
    right, left = (
        [w for w in words_of(group_sheet(angles, g)) if re.fullmatch("−?[0-9]+", w)]
        for g in ("hip_r", "hip_l")
    )
    assert right == left


def test_a_huge_interval_does_not_flatten_the_curve():
    timeline = Timeline.regular(20, 10.0)
    degrees = np.linspace(0, 40, 20)[:, None]
    angles = JointAngles(timeline, ("elbow_r_rot",), degrees, sd=np.full((20, 1), 300.0))
    low, high = angle_range(angles, ["elbow_r_rot"])
    assert high - low < 100


def test_a_still_joint_is_not_magnified():
    timeline = Timeline.regular(20, 10.0)
    angles = JointAngles(timeline, ("hip_r_flex",), np.full((20, 1), 7.0))
    low, high = angle_range(angles, ["hip_r_flex"])
    assert high - low >= 20


def test_an_angle_without_values_says_so():
    timeline = Timeline.regular(5, 10.0)
    angles = JointAngles(timeline, ("hip_r_flex",), np.full((5, 1), np.nan))
    assert "no values" in words_of(group_sheet(angles, "hip_r"))


def test_a_long_recording_keeps_its_extremes():
    timeline = Timeline.regular(20_000, 100.0)
    degrees = np.zeros((20_000, 1))
    degrees[12_345] = 80.0
    sheet = Sheet(300, 200)
    angles = JointAngles(timeline, ("hip_r_flex",), degrees)
    angle_panel(sheet, (0, 0, 300, 200), angles, ["hip_r_flex"], limits=(0, 80))
    (curve,) = curves_of(sheet, "right")
    assert len(curve) < 2000
    assert curve[:, 1].min() == 18  # the top of the panel


def test_directions_and_units_stand_on_the_figure(angles):
    words = words_of(group_sheet(angles, "ankle_r"))
    assert "+ dorsiflexion  − plantarflexion" in words
    assert "Right ankle angles" in words
    assert {"time (s)", "degrees"} <= set(words)


def test_unknown_angles_keep_their_own_name():
    assert angle_words("wing_r_flap").name == "flap"
    assert angle_words("wing_r_flap").directions == ""
    assert angle_title("knee_l_flex") == "left knee flexion"


def test_an_absent_group_is_refused(angles):
    with pytest.raises(InvalidData, match="No angles of 'wrist_r'"):
        group_sheet(angles, "wrist_r")


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 1.48, 6, [0, 0.5, 1]),
        (-13, 42, 5, [0, 20, 40]),
        (-0.05, 0.05, 4, [-0.05, 0, 0.05]),
    ],
)
def test_ticks_are_round_numbers(low, high, most, expected):
    assert nice_ticks(low, high, most).tolist() == expected
