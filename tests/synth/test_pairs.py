"""Rows of what the detector says beside what is true: complete, true, kept, and checked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinefit.io.atomic import PARTIAL
from kinefit.pipeline.config import checked
from kinefit.skeletons import skeleton
from kinefit.synth import pairs
from kinefit.synth.pairs import FIELDS, Shard, make_pairs, read_pairs, unit_torso
from kinefit.synth.scene_options import PairOptions
from kinefit.synth.truth import Visibility
from kinefit.types import InputError

ROWS = 8  # two scenes' worth: 1 camera, 4 moments
OPTIONS = PairOptions(
    views=1, seconds=0.5, rate=20, width=216, height=288, count=ROWS, seed=5, distance=1.2,
    children=0, clip="squat", noise=0.5, lens=False, props=0,
)  # fmt: skip
COCO, BLAZE = skeleton("coco17").points, skeleton("blazepose33").points


def made_here(out: Path, options: PairOptions = OPTIONS) -> list[Path]:
    """`make_pairs` without other processes: they would not know of the smaller shards."""

    def in_process(shards: list[Shard], options: PairOptions, processes: int) -> Any:
        if shards:
            pairs._open(options)
        for shard in shards:
            yield pairs._make_shard(shard)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_ROWS", ROWS)
        patch.setattr(pairs, "_made", in_process)
        return make_pairs(out, options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pairs")
    assert made_here(out) == [out / "pairs_00000.npz"]
    return out


@pytest.fixture(scope="module")
def rows(folder: Path) -> dict[str, np.ndarray]:
    return read_pairs(folder)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_every_array_is_there_in_its_shape(rows: dict[str, np.ndarray]) -> None:
    assert set(rows) == set(FIELDS)
    for name, (shape, _) in FIELDS.items():
        assert rows[name].shape == (ROWS, *shape), name


def test_the_detector_saw_real_people(rows: dict[str, np.ndarray]) -> None:
    found = np.isfinite(rows["pose_2d"]).all(axis=(1, 2))
    assert found.sum() >= ROWS / 2
    away = np.linalg.norm(rows["pose_2d"] - rows["projected_2d"], axis=-1)[found]
    span = np.ptp(rows["projected_2d"][..., 1], axis=1)[found, None]
    # A detector that works is within 5 % of the person's height; at random it would be 30 %.
    assert np.median(away / span) < 0.05
    assert ((rows["visibility"] >= 0) & (rows["visibility"] <= 1)).all()
    assert rows["visibility"][found].mean() > 0.5


def test_truth_is_in_lengths_of_the_torso_from_the_mid_hip(rows: dict[str, np.ndarray]) -> None:
    true = rows["ground_truth"]
    hips, shoulders = (
        (true[:, COCO.index("L" + what)] + true[:, COCO.index("R" + what)]) / 2
        for what in ("Hip", "Shoulder")
    )
    np.testing.assert_allclose(hips, 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(shoulders - hips, axis=-1), 1, atol=1e-9)
    assert ((rows["gt_scale"] > 0.35) & (rows["gt_scale"] < 0.65)).all()  # metres, adults
    # The same points in metres from the camera, mid-hip taken away.
    xyz = rows["xyz_33"][:, [BLAZE.index(name) for name in COCO]]
    back = true * rows["gt_scale"][:, None, None]
    np.testing.assert_allclose(xyz - xyz[:, 11:13].mean(axis=1, keepdims=True), back, atol=1e-4)


def test_pixels_are_the_projections_of_the_points(rows: dict[str, np.ndarray]) -> None:
    xyz = rows["xyz_33"][:, [BLAZE.index(name) for name in COCO]]
    uvw = np.einsum("nij,nkj->nki", rows["K"], xyz)
    np.testing.assert_allclose(uvw[..., :2] / uvw[..., 2:], rows["projected_2d"], atol=0.1)
    from_33 = rows["true_33"][:, [BLAZE.index(name) for name in COCO]]
    np.testing.assert_array_equal(from_33, rows["projected_2d"])
    seen = rows["sight_33"] == Visibility.VISIBLE
    assert seen.mean() > 0.3
    inside = (rows["true_33"] > -0.5).all(axis=-1) & (rows["true_33"] < [215.5, 287.5]).all(axis=-1)
    assert inside[seen].all()


def test_camera_axes_turn_into_the_upright_world(rows: dict[str, np.ndarray]) -> None:
    R = rows["camera_R"]
    np.testing.assert_allclose(
        R @ R.transpose(0, 2, 1), np.tile(np.eye(3), (ROWS, 1, 1)), atol=1e-9
    )
    head = np.einsum("nji,nj->ni", R, rows["ground_truth"][:, COCO.index("Nose")])
    ankle = np.einsum("nji,nj->ni", R, rows["ground_truth"][:, COCO.index("LAnkle")])
    assert (head[:, 1] > ankle[:, 1] + 0.5).all()  # who squats has the head above the feet


def test_the_detector_s_fields_are_one_another(rows: dict[str, np.ndarray]) -> None:
    index = [BLAZE.index(name) for name in COCO]
    np.testing.assert_array_equal(rows["pose_2d"], rows["detected_33"][:, index])
    np.testing.assert_array_equal(rows["visibility"], rows["score_33"][:, index])
    for corrupted, world in zip(rows["corrupted"], rows["world_33"][:, index], strict=True):
        if np.isfinite(world).all():
            np.testing.assert_allclose(corrupted, unit_torso(world)[0], atol=1e-6)


def test_rows_are_of_several_scenes(rows: dict[str, np.ndarray]) -> None:
    assert rows["scene"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert len(np.unique(rows["stature_m"])) == 2
    assert len({row.tobytes() for row in rows["ground_truth"]}) == ROWS


def test_the_same_seed_gives_the_same_arrays(rows: dict[str, np.ndarray], tmp_path: Path) -> None:
    made_here(tmp_path)
    again = read_pairs(tmp_path)
    for name in FIELDS:
        np.testing.assert_array_equal(again[name], rows[name], err_msg=name)


def test_shards_that_are_there_stay_and_lacking_ones_are_made(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setattr(pairs, "_open", lambda options: None)
    monkeypatch.setattr(pairs, "_make_shard", lambda shard: made.append(shard.number))
    before = (copy / "pairs_00000.npz").stat().st_mtime_ns
    made_here(copy)
    assert made == []
    assert (copy / "pairs_00000.npz").stat().st_mtime_ns == before
    # More rows of the same options: only the new shards.
    made_here(copy, OPTIONS.model_copy(update={"count": 3 * ROWS}))
    assert made == [1, 2]
    made.clear()
    made_here(copy, OPTIONS.model_copy(update={"noise": 0.7}))  # others: all
    assert made == [0]
    made.clear()
    (copy / "pairs_00000.npz").write_bytes(b"cut off")
    (copy / f"{PARTIAL}x.npz").write_bytes(b"cut off")
    made_here(copy)
    assert made == [0]


def test_nothing_and_damage_are_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no pairs"):
        read_pairs(tmp_path / "empty")
    file = copy / "pairs_00000.npz"
    stored: dict[str, Any] = dict(np.load(file, allow_pickle=False))
    np.savez(file, **{name: value for name, value in stored.items() if name != "K"})
    with pytest.raises(InputError, match="lacks K"):
        read_pairs(copy)
    np.savez(file, **{**stored, "K": stored["K"][:3]})
    with pytest.raises(InputError, match="K has another shape"):
        read_pairs(copy)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(InputError, match=r"pairs_00000\.npz"):
        read_pairs(copy)


def test_a_person_nobody_found_has_no_pixels_and_no_score() -> None:
    nothing = pairs._NOTHING
    assert np.isnan(nothing.xy).all()
    assert (nothing.score == 0).all()
    assert np.isnan(unit_torso(nothing.body[[BLAZE.index(name) for name in COCO]])[0]).all()


def test_a_torso_s_length() -> None:
    xyz = np.random.default_rng(0).normal(size=(17, 3))
    unit, length = unit_torso(xyz)
    np.testing.assert_allclose(unit_torso(3 * xyz + 1)[0], unit, atol=1e-12)  # scale and place
    assert unit_torso(3 * xyz + 1)[1] == pytest.approx(3 * length)


def test_rows_can_be_drawn_without_pictures(tmp_path: Path, rows: dict[str, np.ndarray]) -> None:
    """The truth is that of the same scene rendered; what is detected is drawn, and differs."""
    drawn = OPTIONS.model_copy(update={"drawn": True})
    made_here(tmp_path / "a", drawn)
    made_here(tmp_path / "b", drawn)
    one, two = read_pairs(tmp_path / "a"), read_pairs(tmp_path / "b")
    assert all(np.array_equal(one[name], two[name], equal_nan=True) for name in FIELDS)
    assert set(one) == set(FIELDS)
    first = one["scene"][0]
    shape = one["stature_m"][one["scene"] == first]
    assert shape[0] == rows["stature_m"][rows["scene"] == first][0]
    found = np.isfinite(one["pose_2d"]).all(axis=(1, 2))
    assert found.sum() >= ROWS / 2
    away = np.linalg.norm(one["pose_2d"] - one["projected_2d"], axis=-1)[found]
    span = np.ptp(one["projected_2d"][..., 1], axis=1)[found, None]
    # As for real detections: within 5 % of the person's height, and never exact.
    assert 0.001 < np.median(away / span) < 0.05


def test_shards_of_different_options_are_not_mixed(copy: Path, tmp_path: Path) -> None:
    made_here(tmp_path / "drawn", OPTIONS.model_copy(update={"drawn": True}))
    shutil.copy(tmp_path / "drawn" / "pairs_00000.npz", copy / "pairs_00001.npz")
    with pytest.raises(InputError, match="different options"):
        read_pairs(copy)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    out = tmp_path_factory.mktemp("clips")
    options = OPTIONS.model_copy(
        update={"consecutive": True, "views": 2, "treadmill": False, "count": 1}
    )
    assert made_here(out, options) == [out / "pairs_00000.npz"]
    return read_pairs(out)


def test_consecutive_rows_are_the_frames_of_each_view(clips: dict[str, np.ndarray]) -> None:
    assert clips["view"].tolist() == [0] * 10 + [1] * 10
    assert np.allclose(clips["time_s"], np.tile(np.arange(10) / 20, 2))
    for view in (0, 1):
        mine = clips["view"] == view
        assert (clips["camera_R"][mine] == clips["camera_R"][mine][0]).all()
        # A squat: the hips sink or rise from frame to frame, in the picture too.
        hips = clips["true_33"][mine][:, BLAZE.index("LHip"), 1]
        assert np.abs(np.diff(hips)).max() > 0


def test_the_detector_follows_through_a_clip(clips: dict[str, np.ndarray]) -> None:
    """What it says hangs together as the truth does: within a few percent of a small picture."""
    found = np.isfinite(clips["detected_33"]).all(axis=(1, 2))
    assert found.mean() > 0.9
    knees = [BLAZE.index("LKnee"), BLAZE.index("RKnee")]
    off = np.linalg.norm(clips["detected_33"] - clips["true_33"], axis=-1)[found][:, knees]
    assert np.median(off) < 0.05 * OPTIONS.height


def test_contacts_are_known_where_the_floor_is(
    clips: dict[str, np.ndarray], rows: dict[str, np.ndarray]
) -> None:
    assert clips["contact"].mean() > 0.8  # heels and toes of a squat stand
    assert np.isnan(rows["contact"]).all()  # OPTIONS is on a treadmill


def test_drawn_rows_have_no_clips() -> None:
    with pytest.raises(InputError, match="--drawn or --consecutive, not both"):
        checked(PairOptions, {"drawn": True, "consecutive": True})
    with pytest.raises(InputError, match="lens"):
        checked(PairOptions, {"lens": True, "consecutive": True})
