"""The report: what it says, what it never does."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from kinefit.io.pictures import write_picture
from kinefit.io.video import VideoWriter
from kinefit.quality.assessment import assess
from kinefit.quality.quantities import View
from kinefit.quality.verdict import find
from kinefit.report import page as pages
from kinefit.report import parts
from kinefit.report.page import (
    ReportData,
    Someone,
    body_table,
    report_html,
    write_report,
)
from kinefit.report.parts import Table
from kinefit.report.scene import Scene, pack_scene
from kinefit.types import Finding, Keypoints2D, Markers, Timeline

NASTY = '<script>alert("1")</script>&"\'${title}'
NAMES = ("RHip", "LHip", "RKnee", "RHeel", "RBigToe", "Hip")
TIMELINE = Timeline.regular(90, 60.0)
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Tags, attributes, visible text, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def data(angles) -> ReportData:
    xyz = np.zeros((90, len(NAMES), 3))
    xyz[:, :, 0] = np.arange(len(NAMES)) * 0.1
    xyz[:, :, 0] += 1.2 * TIMELINE.time[:, None]
    xyz[20:50, 2] = np.nan
    final = Markers(TIMELINE, NAMES, xyz)
    image = Keypoints2D(
        TIMELINE, NAMES, np.full((90, 6, 2), 5.0), np.full((90, 6), 0.8), (1080, 1920)
    )
    swaps = {"legs": (np.arange(90) >= 41) & (np.arange(90) <= 74)}
    quality = assess(final, views=[View("cam", image, swaps=swaps)], angles=angles)
    return ReportData(
        title="walk", kind="one camera", findings=find(quality),
        facts=[("Recording", "walk.mp4"), ("Person", "1.78 m, 75 kg")],
        quality=quality, angles=angles, markers=final, assumed=["Focal length assumed."],
        tables=[body_table(1.78, {"left thigh": 0.41, "right thigh": 0.42, "left hand": 0.19})],
        files=[("walk_final.trc", "all markers")], inputs=[("walk.mp4", "ab" * 32)],
        parameters={"height": 1.78, "fov": None}, versions={"kinefit": "0.1.0"},
    )  # fmt: skip


@pytest.fixture
def overlay(tmp_path):
    path = tmp_path / "walk_overlay.mp4"
    with VideoWriter(path, (64, 96)) as video:
        for i in range(8):
            video.add(np.full((96, 64, 3), 20 * i, np.uint8), i / 30)
    return path


def test_it_says_what_was_found(data):
    text = Page(report_html(data)).text
    for words in (
        "one camera",
        "walk.mp4",
        "1.78 m, 75 kg",
        "Use with caution",
        "Markers are missing in 33 % of the frames: right knee.",
        "What to do:",
        "took the left and right legs for each other. Frames 41-74. This was put right again.",
        "Focal length assumed.",
        "Height 1.78 m",
        "Thigh 0.420 0.410",
        "Hand – 0.190",
        "all markers",
        "ab" * 32,
        "How to read this page",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("level", "heading"),
    [("information", "Good: nothing suspicious"), ("caution", "Use with caution"),
     ("refusal", "Not usable")],
)  # fmt: skip
def test_every_result_gets_a_page_with_its_verdict(level, heading):
    finding = Finding(level, "It rained.", "Frames 3-4.", "Wet numbers.", "Dry them.")
    page = Page(report_html(ReportData("photo", "a picture", [finding], [])))
    assert page.open == []
    assert heading in page.text
    for words in ("It rained.", "Frames 3-4.", "Wet numbers.", "Dry them."):
        assert words in page.text
    assert "Joint angles" not in page.text
    assert "Over the floor" not in page.text


def test_the_page_is_well_formed_and_accessible(data, overlay):
    page = Page(report_html(replace(data, film=overlay)))
    assert page.open == []
    assert page.tags[0] == ("html", {"lang": "en"})
    assert [tag for tag, _ in page.tags].count("h1") == 1
    for tag, attrs in page.tags:
        if tag == "svg":
            assert attrs.get("aria-label") or attrs.get("aria-hidden") == "true"
        if tag == "img":
            assert attrs["alt"]
        if tag == "video":
            assert attrs["aria-label"]
        if tag == "th":
            assert attrs["scope"] in ("col", "row")


def test_nothing_is_loaded_and_no_script_can_run(data, overlay):
    html = report_html(replace(data, film=overlay))
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    for _, attrs in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in attrs)
        for name in ("src", "href", "poster"):
            assert attrs.get(name, "data:").startswith("data:")
    (policy,) = [a["content"] for _, a in page.tags if "Security" in (a.get("http-equiv") or "")]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src 'none'" in policy
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert "url(" not in style[1]


def test_every_text_of_the_user_is_escaped(data):
    nasty = replace(
        data,
        title=NASTY,
        kind=NASTY,
        findings=[Finding(level, *[NASTY] * 4) for level in ("caution", "information")],
        facts=[(NASTY, NASTY)],
        assumed=[NASTY],
        tables=[Table(NASTY, [NASTY], [[NASTY]], NASTY), Table(NASTY, [], [], folded=True)],
        files=[(NASTY, NASTY)],
        inputs=[(NASTY, NASTY)],
        parameters={NASTY: NASTY},
        versions={NASTY: NASTY, "kinefit": NASTY},
    )
    assert data.markers is not None
    markers = Markers(TIMELINE, (*NAMES[:-1], NASTY), data.markers.xyz)
    html = report_html(replace(nasty, quality=assess(markers, angles=data.angles)))
    assert "<script" not in html
    page = Page(html)
    assert page.open == []
    # Title twice, kind, findings 8, fact 2, assumed, table 4, folded 1, file, input, parameter,
    # version 2 each and version twice more, and the marker in its table: each as it was typed.
    assert page.text.count(NASTY) == 30


def test_equal_data_give_equal_bytes(data, overlay, tmp_path):
    for name in ("a.html", "b.html"):
        write_report(tmp_path / name, replace(data, film=overlay))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_the_overlay_is_inside_whole(data, overlay):
    page = Page(report_html(replace(data, film=overlay)))
    (video,) = [attrs for tag, attrs in page.tags if tag == "video"]
    content = base64.b64decode(video["src"].removeprefix("data:video/mp4;base64,"))
    assert content == overlay.read_bytes()


def test_a_heavy_overlay_becomes_stills_and_a_link(data, overlay, monkeypatch):
    monkeypatch.setattr(parts, "_MOST_VIDEO_BYTES", 10)
    odd = overlay.rename(overlay.with_name("a #1 & b.mp4"))
    page = Page(report_html(replace(data, film=odd)))
    assert not any(tag == "video" for tag, _ in page.tags)
    assert sum(tag == "img" for tag, _ in page.tags) == 4
    assert [a["href"] for tag, a in page.tags if tag == "a"] == ["a%20%231%20%26%20b.mp4"]


@pytest.mark.parametrize("name", ["body.png", "body.jpg"])
def test_a_picture_is_inside_whole(tmp_path, name):
    write_picture(tmp_path / name, np.zeros((8, 8, 3), np.uint8))
    html = report_html(ReportData("photo", "a picture", [], [], film=tmp_path / name))
    (image,) = [attrs for tag, attrs in Page(html).tags if tag == "img"]
    kind, _, content = image["src"].partition(";base64,")
    assert kind == f"data:image/{'png' if name.endswith('png') else 'jpeg'}"
    assert base64.b64decode(content) == (tmp_path / name).read_bytes()


def test_people_are_shown_where_there_are_several(data):
    assert "People in the recording" not in report_html(data)
    picture = np.full((16, 8, 3), (250, 20, 20), np.uint8)
    people = [
        Someone(1, "seen in 97 % of the frames", False, picture),
        Someone(2, NASTY, True, None),
    ]
    html = report_html(replace(data, people=people))
    page = Page(html)
    assert page.open == []
    words = " ".join(page.words)
    assert "--person N" in words
    assert "--people all" in words
    assert "seen in 97 % of the frames" in words
    (shown,) = [a for tag, a in page.tags if tag == "img" and "Person" in (a["alt"] or "")]
    assert shown["alt"] == "Person 1"  # of the other no picture could be read
    jpeg = base64.b64decode((shown["src"] or "").removeprefix("data:image/jpeg;base64,"))
    red = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert red.shape == (16, 8, 3)
    assert red[..., 2].mean() > 200 > 60 > red[..., 0].mean()
    assert [a.get("class") for tag, a in page.tags if tag == "figure"].count("chosen") == 1
    assert re.search(r'<figure class="chosen">\s*<figcaption><strong>2, this page', html)
    assert NASTY not in html


def test_no_frames_at_all_still_gives_a_page():
    none = Markers(Timeline.regular(0, 60.0), NAMES, np.zeros((0, 6, 3)))
    quality = assess(none)
    html = report_html(ReportData("x", "a file", find(quality), [], quality=quality, markers=none))
    assert "Not usable" in html
    assert Page(html).open == []


def test_a_clean_result_is_not_praised(data):
    text = Page(report_html(replace(data, findings=[]))).text
    assert "nothing suspicious was found" in text
    assert "not a proof of accuracy" in text


def test_a_band_is_explained_where_there_is_one(data):
    assert data.angles.sd is not None
    assert "95 %" in Page(report_html(data)).text
    plain = replace(data, angles=replace(data.angles, sd=None))
    assert "95 %" not in Page(report_html(plain)).text


def test_ranges_of_motion_stand_side_by_side(data):
    degrees = data.angles.degrees.copy()
    names = data.angles.names
    degrees[:, names.index("hip_r_flex")] = np.linspace(-10.4, 30.4, 90)
    degrees[:, names.index("hip_l_flex")] = np.linspace(0, 25, 90)
    angles = replace(data.angles, degrees=degrees)
    quality = assess(data.markers, angles=angles)
    text = Page(report_html(replace(data, angles=angles, quality=quality))).text
    assert "Hip flexion −10 to 30 40 0 to 25 25 15" in text  # differences of what is shown


def test_percentages_do_not_round_away_the_rest():
    assert parts.percent(99.96) == "99.9 %"
    assert parts.percent(0.01) == "0.1 %"
    assert parts.percent(100.0) == "100 %"
    assert parts.percent(0.0) == "0 %"
    assert parts.percent(float("nan")) == "–"


def test_numbers_in_cells_have_a_true_minus_and_zero_has_none():
    assert [parts.cell(v, 0) for v in (-12.3, -0.4, np.nan, None)] == ["−12", "0", "–", "–"]


def test_a_heavy_scene_has_a_page_of_its_own(data, tmp_path, monkeypatch):
    scene = pack_scene(Scene("walk", TIMELINE))
    findings = [
        Finding("caution", "Gaps.", "Frames 20-49."),
        Finding("information", "x", "Frame 7."),
    ]
    data = replace(data, findings=findings)
    write_report(tmp_path / "walk_report.html", replace(data, scene=scene))
    html = (tmp_path / "walk_report.html").read_text("utf-8")
    assert 'class="scene"' in html
    assert 'href="walk_viewer.html"' in html
    assert "<script>" in html
    assert re.findall(r'data-frame="(\d+)" disabled>([^<]*)<', html) == [
        ("20", "20-49"),
        ("7", "7"),
    ]
    assert 'href="walk_report.html"' in (tmp_path / "walk_viewer.html").read_text("utf-8")
    monkeypatch.setattr(pages, "_MOST_SCENE_BYTES", 10)
    html = report_html(replace(data, scene=scene), "walk_viewer.html")
    assert 'class="scene"' not in html
    assert 'class="frame"' not in html
    assert "<script>" not in html
    assert 'href="walk_viewer.html"' in html
