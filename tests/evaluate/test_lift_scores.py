"""Scores of a lifter: one that knows the truth has no error, and planted errors are found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.cli.commands import app
from kinefit.evaluate.detection_scores import along_ray
from kinefit.evaluate.error_sources import of_pairs, of_track
from kinefit.evaluate.lift_scores import (
    Scores,
    lift_pairs,
    lift_track,
    score_lifted_pairs,
    score_lifted_track,
)
from kinefit.evaluate.run_folder import at_times, read_scene
from kinefit.evaluate.run_scores import score_limbs
from kinefit.evaluate.score_tables import pof_notes, pof_tables
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project
from kinefit.lift import Lifted
from kinefit.lift.inputs import LIMBS, POINTS
from kinefit.metrics.points import limb_directions
from kinefit.skeletons import Skeleton
from kinefit.synth.pair_clips import BLAZE, clips_of, sides_put_right
from kinefit.synth.pairs import FIELDS
from kinefit.synth.truth import SceneTruth, Visibility
from kinefit.types import FloatArray, IntArray, PoseTrack, Timeline

from .run_folders import one_camera
from .scenes import FRAMES, RATE, scene, track, write_scene
from .test_limb_scores import pair_rows

EXACT = 1e-6  # degrees
Rows = dict[str, np.ndarray]
CONTACT = (np.arange(4 * FRAMES).reshape(FRAMES, 4) % 3 == 0).astype(np.float64)
Change = Callable[[Lifted], Lifted]


def unchanged(lifted: Lifted) -> Lifted:
    return lifted


@dataclass
class Knowing:
    """Knows the truth of rows of pairs, and tells it with a change; keeps what it was given.

    A frame is recognised by its time and camera.
    """

    rows: Rows
    change: Change = unchanged
    name: str = "knowing"
    given: list[PoseTrack] = field(default_factory=list)

    def lift(self, track: PoseTrack, K: FloatArray) -> Lifted:
        self.given.append(track)
        at = self._rows(track.image.timeline.time, K)
        rows = {name: values[at] for name, values in self.rows.items()}
        real = limb_directions(rows["xyz_33"], BLAZE, LIMBS)
        away = along_ray(real, np.nanmean(rows["xyz_33"], axis=1))[..., 2] > 0
        T = len(at)
        return self.change(
            Lifted(
                track.image.timeline, LIMBS, real, np.full((T, 16), 0.1), away.astype(float),
                rows["contact"], rows["camera_R"][:, :, 1], np.full(T, 0.1),
                rows["true_33"] - track.image.xy, np.ones((T, 33)), np.zeros(T),
            )
        )  # fmt: skip

    def _rows(self, time: FloatArray, K: FloatArray) -> IntArray:
        mine = np.flatnonzero((self.rows["K"] == K).all(axis=(1, 2)))
        off = np.abs(self.rows["time_s"][mine] - time[:, None])
        assert off.min(axis=1).max() < 1e-9
        return mine[off.argmin(axis=1)]


def two_clips(seed: int | None = None) -> Rows:
    """Rows of two cameras, each with a focal length of its own; in random order with a seed.

    Nobody really stands in the scene: a third of the contacts are made up.
    """
    parts = [pair_rows(number) for number in (0, 1)]
    parts[1]["K"] = parts[1]["K"] * [[1.01], [1.01], [1]]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    rows["contact"] = np.tile(CONTACT, (2, 1))
    if seed is None:
        return rows
    order = np.random.default_rng(seed).permutation(2 * FRAMES)
    return {name: values[order] for name, values in rows.items()}


def scores_of(rows: Rows, change: Change = unchanged) -> Scores:
    return score_lifted_pairs(*lift_pairs(rows, Knowing(rows, change)))


def turned(directions: FloatArray, degrees: float) -> FloatArray:
    """Every vector (..., 3) turned by that angle about an axis across it."""
    axis = so3.unit(so3.cross(directions, np.array([0.3, -0.5, 0.8])))
    return (so3.exp(np.radians(degrees) * axis) @ directions[..., None])[..., 0]


@pytest.mark.parametrize("seed", [None, 3])
def test_the_truth_has_no_error_whatever_the_order_of_rows(seed: int | None) -> None:
    rows = two_clips(seed)
    lifter = Knowing(rows)
    found = score_lifted_pairs(*lift_pairs(rows, lifter))
    assert [len(one.image.timeline) for one in lifter.given] == [FRAMES, FRAMES]
    for part in ("all", "arms_and_legs", "trunk", "unswapped", "feet"):
        assert found[part]["angle"]["max"] == pytest.approx(0, abs=EXACT), part
        assert found[part]["sign"] == 1
    assert set(found["feet"]["limbs"]) == {"left foot", "right foot"}
    assert set(found["z_sign"].values()) == {1.0}
    assert found["contact"]["recall"] == 1
    assert found["contact"]["false_rate"] == 0
    assert found["contact"]["true_share"] == pytest.approx(1 / 3)
    assert found["gravity_deg"]["max"] == pytest.approx(0, abs=EXACT)
    assert found["found"] == 1
    assert found["swap"]["auc"] is None  # no frame is swapped


def test_clips_hold_every_row_once_in_the_order_of_time() -> None:
    rows = two_clips(seed=5)
    clips = clips_of(rows)
    assert sorted(np.concatenate(clips).tolist()) == list(range(2 * FRAMES))
    for clip in clips:
        assert len(np.unique(rows["view"][clip])) == 1
        assert (np.diff(rows["time_s"][clip]) > 0).all()
    late = rows | {"time_s": np.where(rows["time_s"] > 0.3, rows["time_s"] + 0.2, rows["time_s"])}
    assert len(clips_of(late)) == 4  # a gap ends a clip


def test_answers_stand_in_the_rows_that_they_are_of() -> None:
    rows = two_clips(seed=7)
    _, said = lift_pairs(rows, Knowing(rows))
    assert said.directions == pytest.approx(limb_directions(rows["xyz_33"], BLAZE, LIMBS))
    assert said.contact == pytest.approx(rows["contact"])


def test_rows_that_are_not_consecutive_are_clips_of_one_frame() -> None:
    rows = two_clips()
    rows["time_s"] = 3 * rows["time_s"] * RATE
    lifter = Knowing(rows)
    right, said = lift_pairs(rows, lifter)
    assert {len(one.image.timeline) for one in lifter.given} == {1}
    found = score_lifted_pairs(right, said)
    assert found["all"]["angle"]["max"] == pytest.approx(0, abs=EXACT)
    _, limbs = of_pairs(right, said.directions)
    assert np.isnan(limbs.place).all()


def test_limbs_off_by_five_degrees() -> None:
    found = scores_of(two_clips(), lambda one: replace(one, directions=turned(one.directions, 5.0)))
    for part in ("all", "feet"):
        assert found[part]["angle"]["mean"] == pytest.approx(5)
        assert found[part]["angle"]["max"] == pytest.approx(5)


def test_depth_the_wrong_way_round_by_direction_and_by_probability() -> None:
    found = scores_of(two_clips(), lambda one: replace(one, directions=one.directions * [1, 1, -1]))
    assert found["all"]["sign"] == 0
    assert found["z_sign"]["own_deep"] < 0.2  # along the ray, which is a little beside the axis
    assert found["z_sign"]["away"] == 1
    wrong = scores_of(two_clips(), lambda one: replace(one, away=1 - one.away))
    assert wrong["z_sign"] == {"away": 0.0, "away_deep": 0.0, "own": 1.0, "own_deep": 1.0}


def test_coverage_of_a_known_spread() -> None:
    limit = np.radians(5.0) / np.sqrt(-2 * np.log(0.05))  # 2.448

    def quarter(one: Lifted) -> Lifted:
        sd = np.full_like(one.sd, 0.99 * limit)
        sd[: FRAMES // 4] = 1.01 * limit
        return replace(one, directions=turned(one.directions, 5.0), sd=sd)

    found = scores_of(two_clips(), quarter)["coverage"]
    for part in ("all", "unswapped", "feet"):
        assert found[part]["95%"]["share"] == pytest.approx(0.25)
        assert found[part]["68%"]["share"] == 0
    assert found["all"]["95%"]["count"] == 2 * FRAMES * 14


def test_contacts_gravity_and_their_missing_truth() -> None:
    rows = two_clips()

    def change(one: Lifted) -> Lifted:
        contact = np.full_like(one.contact, 0.5)  # all are said to stand
        up = turned(one.up, 3.0)
        return replace(one, contact=contact, up=up)

    found = scores_of(rows, change)
    assert found["contact"]["recall"] == found["contact"]["false_rate"] == 1
    assert found["gravity_deg"]["median"] == pytest.approx(3)
    treadmill = rows | {"contact": np.full_like(rows["contact"], np.nan)}
    none = score_lifted_pairs(*lift_pairs(treadmill, Knowing(rows)))["contact"]
    assert none == {"count": 0, "true_share": None, "recall": None, "false_rate": None}


def test_points_are_moved_onto_the_truth() -> None:
    rows = two_clips()
    size = (np.nanmax(rows["true_33"], axis=1) - np.nanmin(rows["true_33"], axis=1)).max(axis=1)
    rows["detected_33"] = rows["true_33"] + [3.0, 4.0]
    found = scores_of(rows, lambda one: replace(one, shift=0.8 * one.shift))["shift_pct"]
    assert found["before"] == pytest.approx(np.median(500 / size))
    assert found["after"] == pytest.approx(0.2 * found["before"])
    assert found["count"] == 2 * FRAMES * np.isfinite(rows["true_33"][0, points()]).all(-1).sum()
    rows["sight_33"] = np.full_like(rows["sight_33"], Visibility.OUTSIDE)
    outside = scores_of(rows)["shift_pct"]
    assert outside == {"before": None, "after": None, "count": 0}


def points() -> list[int]:
    return [BLAZE.index(name) for name in POINTS]


def exchanged(rows: Rows, frames: slice, joints: tuple[str, ...]) -> Rows:
    """Left and right of these joints (all without any) exchanged in the detection."""
    mirror = Skeleton("", BLAZE).mirror()
    order = [m if not joints or BLAZE[m][1:] in joints else i for i, m in enumerate(mirror)]
    out = dict(rows)
    for name in ("detected_33", "world_33"):
        out[name] = rows[name].copy()
        out[name][frames] = out[name][frames][:, order]
    return out


def test_a_body_that_is_swapped_for_a_while_is_put_right_first() -> None:
    rows = two_clips()
    lifter = Knowing(rows)
    wrong = exchanged(rows, slice(8, 14), ())
    found = score_lifted_pairs(*lift_pairs(wrong, lifter))
    assert found["swapped"] == 0
    assert lifter.given[0].image.xy == pytest.approx(rows["detected_33"][:FRAMES], nan_ok=True)
    assert sides_put_right(wrong, clips_of(wrong))["world_33"] == pytest.approx(
        rows["world_33"], nan_ok=True
    )


def test_arms_that_stay_swapped_are_told_by_the_network() -> None:
    rows = two_clips()
    wrong = exchanged(rows, slice(8, 14), ("Elbow", "Wrist"))

    def tells(one: Lifted) -> Lifted:
        sure = np.where((np.arange(FRAMES) >= 8) & (np.arange(FRAMES) < 12), 0.9, 0.1)
        return replace(one, swapped=sure)

    right, said = lift_pairs(wrong, Knowing(rows, tells))
    found = score_lifted_pairs(right, said)
    assert found["swapped"] == pytest.approx(6 / 48)
    # 4 of the 6 are told, and 4 of the other 42, in the second clip.
    assert found["swap"]["recall"] == pytest.approx(4 / 6)
    assert found["swap"]["false_rate"] == pytest.approx(4 / 42)
    above, level = 4 * 38 + 0, 4 * 4 + 2 * 38
    assert found["swap"]["auc"] == pytest.approx((above + level / 2) / (6 * 42))
    assert found["unswapped"]["angle"]["count"] == 42 * 14


def test_frames_without_a_person_have_no_answer() -> None:
    rows = two_clips()
    for name in ("detected_33", "world_33", "pose_2d"):
        rows[name][:FRAMES] = np.nan
    rows["score_33"][:FRAMES] = 0
    lifter = Knowing(rows)
    found = score_lifted_pairs(*lift_pairs(rows, lifter))
    assert len(lifter.given) == 1
    assert found["found"] == 0.5
    assert found["all"]["angle"]["missing"] == FRAMES * 14
    assert found["all"]["angle"]["max"] == pytest.approx(0, abs=EXACT)
    assert found["contact"]["count"] == FRAMES * 4


def of_view(truth: SceneTruth, found: PoseTrack, lifter: Knowing) -> tuple[PoseTrack, Scores]:
    right, said = lift_track(found, truth.view("cam01"), lifter)
    return right, score_lifted_track(right, said, truth, "cam01")


def standing(truth: SceneTruth) -> SceneTruth:
    """With made-up contacts."""
    return replace(truth, people=(replace(truth.people[0], contact=CONTACT == 1),))


def test_a_track_beside_its_scene() -> None:
    truth = standing(scene())
    rows = pair_rows() | {"contact": CONTACT}
    lifter = Knowing(rows, lambda one: replace(one, directions=turned(one.directions, 5.0)))
    right, said = lift_track(track(truth, "cam01"), truth.view("cam01"), lifter)
    found = score_lifted_track(right, said, truth, "cam01")
    assert found["all"]["angle"]["mean"] == pytest.approx(5)
    assert found["feet"]["angle"]["mean"] == pytest.approx(5)
    assert found["contact"] == {
        "count": FRAMES * 4, "true_share": pytest.approx(1 / 3), "recall": 1.0, "false_rate": 0.0
    }  # fmt: skip
    assert found["gravity_deg"]["max"] == pytest.approx(0, abs=EXACT)
    assert found["shift_pct"]["before"] == found["shift_pct"]["after"] == 0
    _, limbs = of_track(right, truth, "cam01", directions=said.directions)
    assert limbs.names == tuple(limb.name for limb in LIMBS)
    assert limbs.error == pytest.approx(5)
    assert np.unique(limbs.place) == pytest.approx((np.arange(FRAMES) + 0.5) / FRAMES)
    still = score_lifted_track(right, said, truth, "cam01", treadmill=True)
    assert still["contact"]["count"] == 0


def test_a_lens_is_undone_before_the_network_looks() -> None:
    truth = scene()
    plain_view = truth.view("cam01")
    lens = replace(plain_view.camera, distortion=np.array([0.2, -0.05, 0.003, -0.002]))
    xy = project(lens, truth.people[0].points.xyz)[None]
    bent = SceneTruth(truth.people, (replace(plain_view, camera=lens, xy=xy), *truth.views[1:]))
    lifter = Knowing(pair_rows())
    _, found = of_view(bent, track(bent, "cam01"), lifter)
    straight = track(truth, "cam01").image.xy
    bends = np.nanmax(np.abs(track(bent, "cam01").image.xy - straight))
    assert bends > 1
    assert lifter.given[0].image.xy == pytest.approx(straight, abs=1e-6, nan_ok=True)
    assert found["shift_pct"]["before"] == pytest.approx(0, abs=1e-9)
    assert found["all"]["angle"]["max"] == pytest.approx(0, abs=EXACT)


def test_a_slow_motion_is_seen_at_the_speed_of_life() -> None:
    truth = scene()
    view = truth.view("cam01")
    slow = Timeline(view.timeline.frame, 1.5 + 4 * view.timeline.time)
    filmed = SceneTruth(truth.people, (replace(view, timeline=slow), *truth.views[1:]))
    lifter = Knowing(pair_rows())
    _, found = of_view(filmed, at_times(track(truth, "cam01"), slow.time), lifter)
    assert np.diff(lifter.given[0].image.timeline.time) == pytest.approx(1 / RATE)
    assert found["frames"] == FRAMES


def test_limbs_in_another_order_and_more_of_them() -> None:
    def other(one: Lifted) -> Lifted:
        order = np.random.default_rng(0).permutation(16)
        return replace(
            one, limbs=tuple(LIMBS[i] for i in order), directions=one.directions[:, order],
            sd=one.sd[:, order], away=one.away[:, order],
        )  # fmt: skip

    assert scores_of(two_clips(), other)["all"]["angle"]["max"] == pytest.approx(0, abs=EXACT)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lifters")
    write_scene(root / "scene", scene())
    one_camera(root / "scene", scene(), root / "one", camera_pof=False)
    rows = two_clips()
    whole = {k: rows.get(k, np.zeros((2 * FRAMES, *shape))) for k, (shape, _) in FIELDS.items()}
    (root / "pairs").mkdir()
    np.savez(root / "pairs" / "pairs_00000.npz", **whole, key=np.array("made up"))
    return root


def test_folders_of_pairs_and_of_a_run(folders: Path, tmp_path: Path) -> None:
    scores = score_limbs(folders / "pairs", plots=tmp_path, lifter=Knowing(two_clips()))
    assert scores["pairs"]["all"]["angle"]["max"] == pytest.approx(0, abs=EXACT)
    assert {path.name for path in tmp_path.iterdir()} == {"points.png", "limbs.png"}
    lifter = Knowing(pair_rows())
    scores = score_limbs(folders / "one", folders / "scene", lifter=lifter)
    assert list(scores) == ["cam01"]
    assert scores["cam01"]["lifter"] == "knowing"
    # Stamps of the video's file are exact to a microsecond.
    assert scores["cam01"]["all"]["angle"]["max"] == pytest.approx(0, abs=0.01)


def test_a_scene_knows_its_treadmill(folders: Path, tmp_path: Path) -> None:
    assert not read_scene(folders / "scene").treadmill
    write_scene(tmp_path / "scene", scene())
    manifest = tmp_path / "scene" / "scene.json"
    manifest.write_text(
        json.dumps(json.loads(manifest.read_text()) | {"options": {"treadmill": True}})
    )
    assert read_scene(tmp_path / "scene").treadmill


def test_tables_tell_what_a_lifter_says() -> None:
    scores = {"pairs": {"lifter": "knowing", **scores_of(two_clips())}}
    directions, limbs, depth, answers = pof_tables(scores)
    assert "pairs, feet" in [row[0] for row in directions.rows]
    assert not any("MPJPE" in head for head in directions.columns)  # it gives no positions
    assert len(limbs.rows) == 14
    assert depth.rows == (("pairs", *["1.000"] * 4, *["100.0"] * 4),)
    assert answers.rows == (
        ("pairs", "100.0", "0.0", "0.0", "0.0", "0.00", "0.00", "-", "0.0", "-"),
    )
    assert any("network knowing" in note for note in pof_notes(scores))


def test_the_command_takes_a_network(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(model: str) -> Knowing:
        asked.append(model)
        return Knowing(two_clips(), name=model)

    monkeypatch.setattr("kinefit.lift.load_lifter", load)
    call = ["eval", "pof", str(folders / "pairs"), "--pof-model"]
    result = CliRunner().invoke(app, [*call, "gcn"])
    assert result.exit_code == 0, result.output
    assert asked == ["gcn"]
    assert "What else the network says" in result.stdout
    assert "Directions of the network gcn" in result.stdout
    monkeypatch.undo()
    refused = CliRunner().invoke(app, [*call, str(folders / "nothing.onnx")])
    assert refused.exit_code == 2
    assert "Next:" in refused.stderr


def test_a_network_of_fourteen_limbs_alone() -> None:
    """What it does not answer has no score; what it does is scored as before."""

    def few(said: Lifted) -> Lifted:
        return Lifted(said.timeline, LIMBS[:14], said.directions[:, :14], said.sd[:, :14])

    rows = two_clips(None)
    found = score_lifted_pairs(*lift_pairs(rows, Knowing(rows, few)))
    assert found["all"]["angle"]["max"] == pytest.approx(0, abs=EXACT)
    assert found["contact"]["count"] == 0
    assert found["swap"]["count"] == 0
    assert found["gravity_deg"]["count"] == 0
