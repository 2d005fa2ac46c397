"""The page of before and after: whole, closed to the outside, and honest about the unknown."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np

from kinefit.report.comparison import Comparison, write_comparison
from kinefit.report.page import Table


def page(path: Path, **changes: object) -> str:
    xyz = np.zeros((2, 3, 3))
    xyz[1, 2] = np.nan
    given = {
        "title": "<b>walk</b>", "names": ("Hip", "RHip", "RKnee"),
        "bones": (("Hip", "RHip"), ("RHip", "RKnee")), "time": np.array([0.0, 0.5]),
        "skeletons": {"before": xyz, "after": xyz}, "moved": np.array([[0, 1, np.nan], [2, 3, 4]]),
        "tables": [Table("T", ("Joint", "Moved"), [("Hip", 1.25)])], "notes": ["</script> is text"],
    }  # fmt: skip
    write_comparison(path / "page.html", Comparison(**{**given, **changes}))  # type: ignore[arg-type]
    return (path / "page.html").read_text("utf-8")


def test_the_unknown_is_null_and_the_rest_a_number(tmp_path: Path) -> None:
    found = re.search(r'id="data">(.*?)</script>', page(tmp_path), re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert data["skeletons"]["before"][1][2] == [None, None, None]
    assert data["moved"] == [[0, 1, None], [2, 3, 4]]
    assert data["bones"] == [[0, 1], [1, 2]]


def test_text_stays_text_and_only_the_page_s_own_script_runs(tmp_path: Path) -> None:
    text = page(tmp_path, skeletons={"</script><script>alert(1)": np.zeros((2, 3, 3))})
    assert "<b>walk" not in text
    assert "&lt;/script&gt; is text" in text
    assert "<script>alert" not in text
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy[1]


def test_without_pictures_there_is_no_film(tmp_path: Path) -> None:
    assert 'id="film"' not in page(tmp_path)
    black = [np.zeros((8, 6, 3), np.uint8)] * 2
    with_film = page(tmp_path, stills=black, in_image={"before": np.zeros((2, 3, 2))})
    assert 'id="film"' in with_film
    assert with_film.count("data:image/jpeg") == 2
