"""A batch of real video from the command line: results, summary, page, second call."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from typer.testing import CliRunner

from kinefit.batch.order import Record, order_for, stamp
from kinefit.batch.trials import Trial
from kinefit.cli.commands import app
from kinefit.pipeline.config import run_config
from kinefit.pipeline.provenance import sha256_path
from kinefit.pipeline.store import open_folder

QUICK = ["--height", "1.68", "--quality", "fast", "--no-overlay", "--export", ""]


@pytest.fixture(scope="module")
def videos(demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good ones of one name, and one that is cut off."""
    root = tmp_path_factory.mktemp("batch") / "in"
    for part in "AB":
        (root / part).mkdir(parents=True)
        shutil.copy(demo_clip, root / part / "cam01.mp4")
    (root / "broken.mp4").write_bytes(demo_clip.read_bytes()[:5000])
    return root


@pytest.fixture(scope="module")
def finished(videos: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = videos.parent / "out"
    done_with_another_video(out, "B/cam01", videos / "B" / "cam01.mp4")
    command = [sys.executable, "-m", "kinefit.cli", "batch", str(videos), *QUICK, "--end", "0.4",
               "--out", str(out)]  # fmt: skip
    return out, subprocess.run(command, capture_output=True, text=True, check=False)


def done_with_another_video(out: Path, name: str, video: Path) -> None:
    """As if an earlier batch had done a trial with another video of the same name."""
    order = order_for(Trial(name, (video,), run_config({"height": 1.68})), out, "earlier")
    with open_folder(out / name) as folder:
        folder.claim("cam01", {"cam01.mp4": "of another video"}, overwrite=False)
        (folder.staging("cam01.detect", "k") / "earlier.csv").write_text("x")
        folder.commit("cam01.detect", "k", 0.0, {}, {})
        (out / name / "run.json").write_text("{}")
    Record("of another video", "good", manifest=stamp(order.manifest)).write(order.record)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_trial_has_results_and_a_failure_stops_no_other(finished):
    out, done = finished
    assert done.returncode == 1, done.stderr
    assert (out / "A/cam01/report.html").is_file()
    assert (out / "B/cam01/joint_angles/cam01_angles_all.csv").is_file()
    found = {row["trial"]: row for row in rows(out / "trials.csv")}
    assert {name: row["status"] for name, row in found.items()} == {
        "A/cam01": "caution", "B/cam01": "caution", "broken": "failed",
    }  # fmt: skip
    assert "truncated" in found["broken"]["reason"]
    assert found["A/cam01"]["frames"] == "24"
    assert float(found["A/cam01"]["memory_mb"]) > 100
    assert float(found["A/cam01"]["cpu_s"]) > 1
    assert "3 trials: 2 caution, 1 failed" in done.stderr


def test_the_tidy_table_says_what_the_runs_say(finished):
    out, _ = finished
    table = pandas.read_csv(out / "measures.csv")
    assert len(table) == 2 * 42
    knee = table[(table.trial == "A/cam01") & (table.angle == "knee_r_flex")].iloc[0]
    assert (knee.joint, knee.side, knee.motion) == ("knee", "right", "flex")
    quality = json.loads((out / "A/cam01/run.json").read_text())["quality"]
    (said,) = [a for a in quality["angles"] if a["name"] == "knee_r_flex"]
    assert (knee.min_deg, knee.max_deg) == (said["low"], said["high"])
    assert abs(knee.range_deg - (said["high"] - said["low"])) < 1e-3


def test_parquet_holds_the_same(finished):
    parquet = pytest.importorskip("pyarrow.parquet")
    out, _ = finished
    for name in ("trials", "measures"):
        columns = parquet.read_table(out / f"{name}.parquet").to_pydict()
        written = rows(out / f"{name}.csv")
        assert list(columns) == list(written[0])
        assert columns["trial"] == [row["trial"] for row in written]
        assert columns["person"] == [None] * len(written)


def test_the_page_lists_the_failure_first_and_leads_to_the_reports(finished, browser):
    out, _ = finished
    page = browser.new_page()
    page.goto((out / "batch.html").as_uri())
    names = page.locator("tbody th").all_inner_texts()
    assert names == ["broken", "A/cam01", "B/cam01"]
    assert "truncated" in page.locator("tbody tr").first.inner_text()
    page.get_by_role("link", name="report").first.click()
    assert page.locator("h1").inner_text() == "cam01"
    page.close()


def test_a_second_call_does_nothing_and_another_option_does(finished, videos):
    out, _ = finished
    before = (out / "trials.csv").read_bytes()
    words = [str(videos), *QUICK, "--end", "0.4", "--out", str(out)]
    again = CliRunner().invoke(app, ["batch", *words])
    assert "3 trials: 2 caution, 1 failed" in again.stderr
    assert "A/cam01" not in again.stderr
    assert (out / "trials.csv").read_bytes() == before
    words = [str(videos), *QUICK, "--end", "0.5", "--out", str(out)]
    planned = CliRunner().invoke(app, ["batch", *words, "--dry-run"])
    assert planned.output.splitlines() == [
        "changed        A/cam01  (cam01.mp4)",
        "changed        B/cam01  (cam01.mp4)",
        "changed        broken  (broken.mp4)",
    ]


def test_another_video_of_the_same_name_replaces_the_results(finished, videos):
    out, _ = finished
    manifest = json.loads((out / "B/cam01/run.json").read_text())
    assert manifest["inputs"][0]["sha256"] == sha256_path(videos / "B" / "cam01.mp4")
    assert not list((out / "B").rglob("earlier.csv"))
