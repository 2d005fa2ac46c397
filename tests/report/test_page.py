"""The report: what it says, what it never does."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from kinefit.quality.assessment import assess
from kinefit.quality.verdict import warnings
from kinefit.render.skeleton_overlay import OverlayWriter
from kinefit.report import page as report
from kinefit.report.page import ReportContent, report_html, write_report
from kinefit.types import Keypoints2D, Markers, PoseTrack, Subject, Timeline

NASTY = '<script>alert("1")</script>&"\'${title}'
NAMES = ("RHip", "LHip", "RKnee", "RHeel", "RBigToe", "Hip")
TIMELINE = Timeline.regular(90, 60.0)
VOID = {"meta", "img"}


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
def content(angles) -> ReportContent:
    xyz = np.zeros((90, len(NAMES), 3))
    xyz[:, :, 0] = np.arange(len(NAMES)) * 0.1
    xyz[:, :, 0] += 1.2 * TIMELINE.time[:, None]
    xyz[20:50, 2] = np.nan
    final = Markers(TIMELINE, NAMES, xyz)
    image = Keypoints2D(
        TIMELINE, NAMES, np.full((90, 6, 2), 5.0), np.full((90, 6), 0.8), (1080, 1920)
    )
    track = PoseTrack(image, None, (), "MediaPipe test")
    swaps = {"legs": (np.arange(90) >= 41) & (np.arange(90) <= 74)}
    quality = assess(final, track=track, angles=angles, swaps=swaps)
    return ReportContent(
        title="walk", video="walk.mp4", video_sha256="ab" * 32, final=final, quality=quality,
        warnings=warnings(quality), subject=Subject(1.78, 75), track=track, angles=angles,
        notes=("Focal length assumed.",), files=(("walk_final.trc", "all markers"),),
        parameters={"height": 1.78, "fov": None}, versions={"kinefit": "0.1.0"},
    )  # fmt: skip


@pytest.fixture
def overlay(tmp_path, content):
    from kinefit.detect.protocol import FrameResult
    from kinefit.io.video import VideoInfo

    path = tmp_path / "walk_overlay.mp4"
    with OverlayWriter(path, VideoInfo(path, (64, 96), 0, 30.0, 8, 8 / 30), NAMES) as sink:
        for i in range(8):
            picture = np.full((96, 64, 3), 20 * i, np.uint8)
            sink(FrameResult(i, i / 30, picture, np.full((6, 2), 30.0), np.ones(6), None))
    return path


def test_it_says_what_was_found(content):
    text = Page(report_html(content)).text
    for words in (
        "walk.mp4",
        "1.78 m, 75 kg",
        "90 frames, 1.48 s",
        "60 Hz",
        "Use with care",
        "Left and right legs were swapped by the detector in frames 41-74.",
        "The right knee is missing in 33 % of frames.",
        "Focal length assumed.",
        "all markers",
        "ab" * 32,
        "How to read this page",
    ):
        assert words in text, words


def test_the_page_is_well_formed_and_accessible(content, overlay):
    page = Page(report_html(replace(content, overlay=overlay)))
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


def test_nothing_is_loaded_and_no_script_can_run(content, overlay):
    html = report_html(replace(content, overlay=overlay))
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    for _, attrs in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in attrs)
        for name in ("src", "href", "poster"):
            assert attrs.get(name, "data:").startswith("data:")
    (policy,) = [a["content"] for _, a in page.tags if "Security" in (a.get("http-equiv") or "")]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script" not in policy  # falls to default-src: none
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert "url(" not in style[1]


def test_every_text_of_the_user_is_escaped(content):
    nasty = replace(
        content,
        title=NASTY,
        video=NASTY,
        video_sha256=NASTY,
        warnings=[NASTY],
        notes=[NASTY],
        files=[(NASTY, NASTY)],
        parameters={NASTY: NASTY},
        versions={NASTY: NASTY, "kinefit": NASTY},
        track=replace(content.track, source=NASTY),
        final=Markers(content.final.timeline, (*NAMES[:-1], NASTY), content.final.xyz),
    )
    marker = assess(nasty.final, angles=content.angles)
    html = report_html(replace(nasty, quality=marker))
    assert "<script" not in html
    page = Page(html)
    assert page.open == []
    # Title twice, source, hash, warning, note, detector, file x 2, parameter x 2, version x 3,
    # and the marker in its table: each as it was typed.
    assert page.text.count(NASTY) >= 14


def test_equal_content_gives_equal_bytes(content, overlay, tmp_path):
    full = replace(content, overlay=overlay)
    for name in ("a.html", "b.html"):
        write_report(full, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_the_overlay_is_inside_whole(content, overlay):
    page = Page(report_html(replace(content, overlay=overlay)))
    (video,) = [attrs for tag, attrs in page.tags if tag == "video"]
    data = base64.b64decode(video["src"].removeprefix("data:video/mp4;base64,"))
    assert data == overlay.read_bytes()


def test_a_heavy_overlay_becomes_stills_and_a_link(content, overlay, monkeypatch):
    monkeypatch.setattr(report, "_MOST_VIDEO_BYTES", 10)
    odd = overlay.rename(overlay.with_name("a #1 & b.mp4"))
    page = Page(report_html(replace(content, overlay=odd)))
    assert not any(tag == "video" for tag, _ in page.tags)
    assert sum(tag == "img" for tag, _ in page.tags) == 4
    assert [a["href"] for tag, a in page.tags if tag == "a"] == ["a%20%231%20%26%20b.mp4"]


def test_a_run_without_values_is_called_unusable(content):
    empty = Markers(TIMELINE, NAMES, np.full((90, 6, 3), np.nan))
    quality = assess(empty)
    text = Page(
        report_html(
            replace(content, final=empty, quality=quality, warnings=warnings(quality), track=None)
        )
    ).text
    assert "Not usable" in text
    assert "In the room" not in text


def test_no_frames_at_all_still_gives_a_page():
    none = Markers(Timeline.regular(0, 60.0), NAMES, np.zeros((0, 6, 3)))
    quality = assess(none)
    html = report_html(ReportContent("x", "x.trc", "", none, quality, warnings(quality)))
    assert "Not usable" in html
    assert Page(html).open == []


def test_a_clean_run_is_not_praised(content):
    whole = Markers(TIMELINE, NAMES, np.ones((90, 6, 3)) * np.arange(6)[:, None])
    quality = assess(whole)
    text = Page(report_html(ReportContent("x", "x.trc", "", whole, quality, []))).text
    assert "Nothing suspicious was found" in text
    assert "not a proof of accuracy" in text


def test_percentages_do_not_round_away_the_rest():
    assert report._percent(99.96) == "99.9 %"
    assert report._percent(0.01) == "0.1 %"
    assert report._percent(100.0) == "100 %"
    assert report._percent(0.0) == "0 %"
    assert report._percent(float("nan")) == "–"
