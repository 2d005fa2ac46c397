"""Findings about bodies fitted to markers, to a picture, or frame by frame."""

import pytest

from kinefit.quality.verdict import (
    frame_fit_findings,
    marker_fit_findings,
    picture_findings,
    verdict,
)

MARKERS = {
    "frames": 100, "rms_mm": 6.0, "frames_far_off": [], "frames_without_pose": [],
    "frame_step": 1, "stature_m": 1.72, "markers_ignored": [], "solver": {"converged": True},
}  # fmt: skip
PICTURE = {"reason": "", "orientation": {"decided": True}, "converged": True}


def test_a_clean_fit_to_markers_is_good():
    assert list(marker_fit_findings(MARKERS, 1.72)) == []


@pytest.mark.parametrize(
    ("change", "wanted", "words"),
    [
        ({"rms_mm": 60.0}, "caution", "60 mm from its markers"),
        ({"rms_mm": 597_158.0}, "unusable", "597158 mm from its markers"),
        ({"rms_mm": None}, "unusable", "nowhere near its markers"),
        ({"stature_m": 1.5}, "caution", "1.50 m tall"),
        ({"frames_far_off": [[3, 4]]}, "good", "Frames 3-4."),
        ({"frames_far_off": [[3, 14]]}, "caution", "Frames 3-14."),
        ({"frames_far_off": [[8, 64]], "frame_step": 8}, "caution", "Frames 8-64."),
        ({"frames_without_pose": [[0, 59]]}, "unusable", "too few markers"),
        ({"markers_ignored": ["ball"]}, "good", "ball"),
        ({"solver": {"converged": False}}, "good", "before it converged"),
    ],
)
def test_what_is_wrong_with_a_fit_to_markers_is_said(change, wanted, words):
    (only,) = marker_fit_findings(MARKERS | change, 1.72)
    assert verdict([only]) == wanted
    assert words in str(only)


def test_a_picture_never_shows_depth_and_says_what_else():
    (only,) = picture_findings(PICTURE, 2.0)
    assert (only.level, only.what) == ("information", "One picture does not show depth.")
    assert verdict(picture_findings(PICTURE, 12.0)) == "caution"
    turned = picture_findings(PICTURE | {"orientation": {"decided": False}}, 2.0)
    assert "Front and back" in str(turned[1])
    assert verdict(picture_findings({"reason": "no person was found in it"}, 2.0)) == "unusable"


def test_frames_without_a_pose_of_their_own_are_listed():
    def report(**status):
        rows = [{"frame": 10 + i, "status": "good", "repaired": []} for i in range(100)]
        for name, count in status.items():
            for row in rows[5 : 5 + count]:
                row["status"] = name
        return {"per_frame": rows, "reasons": {"TOO_FEW_POINTS": 3}}

    assert frame_fit_findings(report()) == []
    (few,) = frame_fit_findings(report(recovered=2))
    assert (few.level, few.where) == ("information", "Frames 15, 16.")
    assert verdict(frame_fit_findings(report(unusable=20))) == "caution"
    assert verdict(frame_fit_findings(report(unusable=60))) == "unusable"


def test_every_text_is_there_and_used():
    import tomllib
    from pathlib import Path

    import kinefit

    src = Path(kinefit.__file__).parent
    texts = tomllib.loads((src / "quality" / "findings.toml").read_text("utf-8"))
    code = "".join(
        path.read_text("utf-8")
        for folder in ("quality", "pipeline")
        for path in (src / folder).rglob("*.py")
    )
    for key, text in texts.items():
        assert set(text) == {"what", "meaning", "action"}
        assert text["what"].endswith(".")
        assert f'"{key.removesuffix("_left")}"' in code, key
