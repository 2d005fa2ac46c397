"""The viewer's page: what it holds, and that it is complete and harmless."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from kinefit.body.load import load_body
from kinefit.io.video import VideoWriter
from kinefit.pipeline.stages.scene import _covariance, _spread
from kinefit.render.mannequin import mannequin
from kinefit.report import parts
from kinefit.report.scene import Figure, Points, Scene, pack_scene
from kinefit.report.viewer import Recording, three_js, write_viewer
from kinefit.types import Camera, Finding, InvalidData, JointAngles, Timeline
from tests.report.scene_reader import read_scene, scenes_of

NASTY = '</script><script>alert("1")</script>&"\''
TIMELINE = Timeline(np.arange(5, 15), np.arange(10) / 20 + 0.25)


@pytest.fixture
def scene() -> Scene:
    rng = np.random.default_rng(3)
    xyz = rng.uniform(-8, 8, (10, 3, 3))
    xyz[4, 1] = np.nan
    camera = Camera("cam", (640, 480), np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]),
                    np.diag([1.0, -1, -1]), np.array([0.0, 1, 4]))  # fmt: skip
    points = Points("Skeleton", ("Hip", "RKnee", "LKnee"), xyz, [("Hip", "RKnee")],
                    sd=rng.uniform(0, 0.1, (10, 3, 3)),
                    heat=rng.uniform(0, 1, (10, 3)))  # fmt: skip
    figure = Figure("Body", b"glTF\x02\x00\x00\x00odd", np.arange(10) != 2)
    stands = {"RKnee": np.linspace(0, 1, 10)}
    return Scene("walk", TIMELINE, [figure], [points], [camera], stands, slowmo=4.0)


def test_what_is_packed_is_what_is_read(scene: Scene) -> None:
    told = read_scene(pack_scene(scene))
    (points,), (figure,), (camera,) = told["points"], told["figures"], told["cameras"]
    # A whole number stands for 1/32767 of the largest value: half of it is the rounding.
    assert np.nanmax(np.abs(points["xyz"] - scene.points[0].xyz)) < 8 / 32767 / 2 + 1e-9
    assert np.isnan(points["xyz"][4, 1]).all()
    assert np.isfinite(np.delete(points["xyz"].reshape(-1, 3), 13, axis=0)).all()
    assert np.abs(points["sd"] - scene.points[0].sd).max() < 0.1 / 32767
    assert points["bones"] == [[0, 1]]
    assert figure["glb"].tobytes() == scene.figures[0].glb
    assert figure["posed"].astype(bool).tolist() == scene.figures[0].posed.tolist()
    assert told["frame"].tolist() == TIMELINE.frame.tolist()
    assert np.allclose(told["start"] + told["time"], TIMELINE.time, atol=1e-6)
    assert np.allclose(camera["centre"], scene.cameras[0].centre)
    assert told["slowmo"] == 4


def test_ellipsoids_are_read_back_as_their_covariance(scene: Scene) -> None:
    """Lengths and directions of the axes, of covariances whose axes lie anyhow."""
    rng = np.random.default_rng(4)
    axes = np.linalg.qr(rng.standard_normal((10, 3, 3, 3)))[0]
    lengths = np.sort(rng.uniform(0.005, 0.05, (10, 3, 3)))
    covariance = np.einsum("tpik,tpk,tpjk->tpij", axes, lengths**2, axes)
    sd, correlation = _spread(covariance)
    points = replace(scene.points[0], sd=sd, correlation=correlation)
    (told,) = read_scene(pack_scene(replace(scene, points=[points])))["points"]
    whole = np.broadcast_to(np.eye(3), (10, 3, 3, 3)).copy()
    for k, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
        whole[..., i, j] = whole[..., j, i] = told["correlation"][..., k]
    again = whole * told["sd"][..., :, None] * told["sd"][..., None, :]
    values, vectors = np.linalg.eigh(again)
    assert np.abs(np.sqrt(values) - lengths).max() < 2e-5  # whole numbers of 1/32767
    longest = np.abs(np.einsum("tpi,tpi->tp", vectors[..., 2], axes[..., 2]))
    clear = lengths[..., 2] > 1.1 * lengths[..., 1]
    assert clear.sum() > 15
    assert longest[clear].min() > 0.999
    assert np.abs(np.eye(3)[2] @ vectors[..., 2, None])[clear].min() < 0.9  # not the world's


def test_covariances_of_draws_are_numpy_s(tmp_path: Path) -> None:
    half = np.random.default_rng(6).normal(0, 0.01, (16, 2, 1, 3)) @ np.diag([1, 2, 3])
    draws = np.concatenate([half, -half])
    np.savez(tmp_path / "draws.npz", draws=draws)
    found = _covariance(tmp_path / "draws.npz")
    for t in range(2):
        assert np.allclose(found[t, 0], np.cov(draws[:, t, 0].T, bias=True), rtol=1e-9)
    still = _spread(np.zeros((1, 1, 3, 3)))
    assert (still[0] == 0).all()
    assert np.isnan(still[1]).all()


def test_frames_in_a_text_become_buttons_and_nothing_else_does() -> None:
    text = "Frames 3-4, 9 (<b>, point 7). 12 frames; frame 30 and 2 more."
    found = str(parts.linked(text))
    assert re.findall(r'data-frame="(\d+)" disabled>([^<]*)<', found) == [
        ("3", "3-4"), ("9", "9"), ("30", "30"),
    ]  # fmt: skip
    assert unescape(re.sub(r"</?button[^>]*>", "", found)) == text
    assert "<b>" not in found


def test_equal_scenes_give_equal_bytes(scene: Scene) -> None:
    assert pack_scene(scene) == pack_scene(scene)
    assert pack_scene(scene) != pack_scene(replace(scene, slowmo=1.0))


def test_a_scene_of_nothing_but_gaps_can_be_packed(scene: Scene) -> None:
    lost = replace(scene.points[0], xyz=np.full((10, 3, 3), np.nan))
    (points,) = read_scene(pack_scene(replace(scene, points=[lost])))["points"]
    assert np.isnan(points["xyz"]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"xyz": np.zeros((9, 3, 3))}, "xyz has shape"),
        ({"sd": np.zeros((10, 3))}, "sd has shape"),
        ({"correlation": np.zeros((10, 3))}, "correlation has shape"),
        ({"heat": np.zeros((10, 3, 3))}, "heat has shape"),
        ({"bones": [("Hip", "Tail")]}, "'Tail'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(scene: Scene, change: dict, said: str) -> None:
    with pytest.raises(InvalidData, match=said):
        replace(scene, points=[replace(scene.points[0], **change)])


def test_the_page_runs_only_its_own_scripts_and_loads_nothing(
    scene: Scene, angles: JointAngles, tmp_path: Path
) -> None:
    page = tmp_path / "viewer.html"
    nasty = replace(scene, title=NASTY, points=[replace(scene.points[0], label=NASTY)])
    findings = [Finding("caution", NASTY, NASTY)]
    shown = Recording(NASTY, [pack_scene(nasty)], angles=angles, findings=findings)
    write_viewer(page, [shown], title=NASTY, notes=[NASTY], report="report.html")
    html = page.read_text("utf-8")
    (policy,) = map(unescape, re.findall(r'Content-Security-Policy" content="(.*?)"', html))
    assert policy.startswith("default-src 'none';")
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 3
    for text in scripts:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    outside = html
    for text in scripts:  # three.js has the names of namespaces in it
        outside = outside.replace(text, "")
    assert "alert(" not in outside.replace("alert(&#34;", "")
    assert not re.search(r'(?:src|href)="(?!data:|report\.html")', outside)
    assert "eval(" not in three_js()
    assert scenes_of(html)[0]["title"] == NASTY


def test_a_heavy_film_is_read_from_beside_the_page(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = tmp_path / "run" / "a #1 & b.mp4"
    film.parent.mkdir()
    with VideoWriter(film, (64, 48), rate_hz=20) as writer:
        for k in range(10):
            writer.add(np.full((48, 64, 3), 20 * k, np.uint8), k / 20)
    shown = Recording("walk", [pack_scene(scene)], film)
    write_viewer(tmp_path / "page.html", [shown], title="walk")
    assert 'src="data:video/mp4;base64,' in (tmp_path / "page.html").read_text("utf-8")
    monkeypatch.setattr(parts, "_MOST_VIDEO_BYTES", 10)
    write_viewer(tmp_path / "page.html", [shown], title="walk")
    assert 'src="run/a%20%231%20%26%20b.mp4"' in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize("gender", [0.0, 1.0])
def test_a_mannequin_has_the_bones_of_the_body_and_shows_no_sex(gender: float) -> None:
    body = load_body("anny", None)
    shape = body.shape.neutral.copy()
    shape[list(body.shape.names).index("gender")] = gender
    vertices, colors = mannequin(body, shape)
    given = body.rest_vertices(shape)
    # Height and reach are the bones': within the thickness that clothes smooth away.
    assert np.abs(np.ptp(vertices, axis=0) - np.ptp(given, axis=0)).max() < 0.02
    assert ((colors >= 0) & (colors <= 1)).all()
    assert len(np.unique(colors.round(3), axis=0)) > 3
    other = shape.copy()
    other[list(body.shape.names).index("gender")] = 1 - gender
    bones = body.rest_joints(other) - body.rest_joints(shape)
    carried = (body.skin_weights[..., None] * bones[body.skin_joints]).sum(axis=1)
    dressed, _ = mannequin(body, other)
    # The bodies differ by centimetres in chest and hips, the mannequins by their bones alone.
    assert np.abs(body.rest_vertices(other) - given - carried).max() > 0.02
    # What is left is that smoothing acts on the carried mesh (8.7 mm beside the armpit).
    assert np.abs(dressed - vertices - carried).max() < 0.01
