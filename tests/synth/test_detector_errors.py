"""The statistical model of the detector's error: fitted to made-up detections of known error."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from benchmarks.error_check import auc, drawn_by, energy_distance, held_out, tell_apart
from kinefit.cli.commands import app
from kinefit.synth.detector_error_fit import (
    Sample,
    fit_detector_errors,
    fit_logistic,
    swapped_sides,
)
from kinefit.synth.detector_errors import (
    BLAZE,
    CHANNELS,
    KNOWN,
    NAMES,
    SCORE,
    SWAP_GROUPS,
    WORLD,
    XY,
    DetectorErrors,
    Views,
    apply_errors,
    columns,
    detector_errors,
    draw,
    find_errors,
    logistic,
    read_detector_errors,
    scaled,
    swap_sides,
    twins,
)
from kinefit.synth.pairs import FIELDS
from kinefit.synth.truth import Visibility
from kinefit.types import FloatArray, InputError, InvalidData, TooFewPoints

N = 1500
K = np.array([[900.0, 0, 320], [0, 900, 240], [0, 0, 1]])
# A person in statures, y up, facing -z; left limbs, the others are mirror images.
_LEFT = {
    "Eye": (0.02, 0.40, -0.06), "Ear": (0.04, 0.39, 0.0), "Shoulder": (0.10, 0.28, 0.0),
    "Elbow": (0.14, 0.12, 0.02), "Wrist": (0.15, -0.02, -0.03), "Pinky": (0.16, -0.06, -0.02),
    "Index": (0.15, -0.07, -0.04), "Thumb": (0.14, -0.05, -0.05), "Hip": (0.05, 0.0, 0.0),
    "Knee": (0.06, -0.25, -0.02), "Ankle": (0.06, -0.48, 0.02), "Heel": (0.06, -0.50, 0.04),
    "BigToe": (0.07, -0.51, -0.08),
}  # fmt: skip
LEG = columns([side + name for name in SWAP_GROUPS["legs"] for side in "LR"])


def people(count: int, seed: int) -> Views:
    """Standing people turned in all directions, limbs moved about, some of them hidden."""
    rng = np.random.default_rng(seed)
    rest = np.array([
        (0.0, 0.38, -0.08) if name == "Nose"
        else np.multiply(_LEFT[name[1:]], (1 if name[0] == "L" else -1, 1, 1))
        for name in NAMES
    ])  # fmt: skip
    turn = rng.uniform(-np.pi, np.pi, count)
    c, s = np.cos(turn), np.sin(turn)
    about_y = np.stack([np.stack([c, 0 * c, s], -1), np.stack([0 * c, 1 + 0 * c, 0 * c], -1),
                        np.stack([-s, 0 * c, c], -1)], axis=1)  # fmt: skip
    stature = rng.uniform(1.2, 1.9, count)
    body = (rest + rng.normal(size=(count, *rest.shape)) * 0.03) * stature[:, None, None]
    xyz = np.einsum("nab,njb->nja", about_y, body) * (1, -1, 1)
    xyz += np.stack([rng.normal(size=count) * 0.3, rng.normal(size=count) * 0.1,
                     rng.uniform(3, 6, count)], axis=-1)[:, None]  # fmt: skip
    visibility = np.full(xyz.shape[:2], 3)
    for part in (
        ("Elbow", "Wrist", "Pinky", "Index", "Thumb"),
        ("Knee", "Ankle", "Heel", "BigToe"),
    ):
        for side in "LR":
            visibility[:, columns([side + name for name in part])] = rng.choice(
                [1, 2, 3], p=[0.15, 0.25, 0.6], size=(count, 1)
            )
    pixels = xyz @ K.T
    return views_of(pixels[..., :2] / pixels[..., 2:], xyz, visibility, stature)


def views_of(xy: FloatArray, xyz: FloatArray, visibility: FloatArray, stature: FloatArray) -> Views:
    return Views.of(full(xy), full(xyz), full(visibility), K, stature)


def full(values: FloatArray) -> FloatArray:
    """Over all 33 points, those without truth missing."""
    missing = np.nan if values.ndim == 3 else 0
    out = np.full((len(values), 33, *values.shape[2:]), missing, values.dtype)
    out[:, KNOWN] = values
    return out


def made_up(views: Views, seed: int) -> Sample:
    """A detector: hidden points err three times as much and score lower; knees lie to the right.

    Legs are exchanged in 10 % of those seen from behind, nobody is found in 20 % of small people.
    Errors have the tails of Student's t with three degrees of freedom, common to half to all points
    of a person.
    """
    rng = np.random.default_rng(seed)
    n, J = views.visibility.shape
    hidden = views.visibility != Visibility.VISIBLE
    common = rng.standard_t(3, (n, 1, CHANNELS))
    error = 0.01 * (common + rng.standard_t(3, (n, J, CHANNELS))) * (1 + 2 * hidden[..., None])
    error[:, columns(["LKnee", "RKnee"]), 0] += 0.05
    error[..., SCORE] = 2 - 3 * hidden + rng.normal(size=(n, J))
    behind = np.abs(views.azimuth) > np.pi / 2
    groups = np.zeros((n, len(SWAP_GROUPS)), bool)
    groups[:, 0] = behind & (rng.random(n) < 0.1)
    detected = swap_sides(apply_errors(views, error), groups)
    detected[(views.size < np.median(views.size)) & (rng.random(n) < 0.2)] = np.nan
    return Sample(views, detected, np.arange(n) // 4)


@cache
def sample() -> Sample:
    return made_up(people(N, 0), 1)


@cache
def model() -> DetectorErrors:
    return fit_detector_errors(sample())


@cache
def drawn() -> Sample:
    """Drawn for people that the model was not fitted to."""
    views = people(2 * N, 2)
    detected = drawn_by(model(), np.random.default_rng(3), views)
    return Sample(views, detected, np.arange(2 * N) // 4)


@cache
def fresh() -> Sample:
    """What the made-up detector says of the same people."""
    return made_up(people(2 * N, 2), 4)


def errors(of: Sample) -> FloatArray:
    """(n, J, C), sides put right, of those who were found."""
    some = of.rows(of.found)
    return find_errors(some.views, swap_sides(some.detected, swapped_sides(some)))


def arguments(views: Views) -> tuple[FloatArray, ...]:
    return full(views.xy), full(views.xyz), full(views.visibility), views.K, views.stature


def test_errors_applied_are_the_errors_found() -> None:
    views = people(50, 5)
    error = np.random.default_rng(6).normal(size=(50, len(NAMES), CHANNELS)) * 0.1
    assert np.abs(find_errors(views, apply_errors(views, error)) - error).max() < 1e-9  # rounding


def test_exchanging_sides_twice_changes_nothing_and_once_swaps_all_twins() -> None:
    detected = np.random.default_rng(7).normal(size=(3, len(NAMES), CHANNELS))
    groups = np.array([[True, True, True], [True, False, False], [False, False, False]])
    once = swap_sides(detected, groups)
    mirror = [NAMES.index({"L": "R", "R": "L"}.get(n[0], n[0]) + n[1:]) for n in NAMES]
    assert (once[0] == detected[0, mirror]).all()
    assert set(np.flatnonzero((once[1] != detected[1]).any(axis=1))) == set(LEG)
    assert (swap_sides(once, groups) == detected).all()


def test_scaling_is_the_symmetric_root_of_the_covariance_along_the_limb() -> None:
    along = np.array([[[0.6, 0.8]]])
    spread = np.array([[[3.0, 0.5, 1, 1, 1, 1]]])
    columns_of_root = [scaled(np.eye(CHANNELS)[None, [i]], spread, along)[0, 0] for i in range(2)]
    root = np.array(columns_of_root)[:, :2]
    assert np.allclose(root, root.T)
    turned = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert np.allclose(root @ root, turned @ np.diag([9.0, 0.25]) @ turned.T)


def test_size_is_that_of_a_standing_person_in_pixels() -> None:
    xyz = np.zeros((1, len(NAMES), 3))
    xyz[..., 2] = 3.0
    views = views_of(
        np.zeros((1, len(NAMES), 2)), xyz, np.full((1, len(NAMES)), 3), np.array([1.5])
    )
    assert views.size == pytest.approx(900 * 1.5 / 3)


@pytest.mark.parametrize(("turned", "azimuth"), [(0, 0), (90, 90), (-90, -90), (135, 135)])
def test_azimuth_is_zero_facing_us_and_grows_to_the_pictures_right(turned, azimuth) -> None:
    """Turned about the vertical so that the nose, towards us at first, goes to our right."""
    xyz = people(1, 8).xyz.copy()
    at = {name: i for i, name in enumerate(NAMES)}
    t = np.radians(turned)
    left, up = np.array([np.cos(t), 0, np.sin(t)]), np.array([0, -1.0, 0])
    for what, height in (("Hip", 0.0), ("Shoulder", 0.5)):
        for side, sign in (("L", 1), ("R", -1)):
            xyz[0, at[side + what]] = sign * 0.15 * left + height * up + (0, 0, 4)
    view = views_of(xyz[..., :2], xyz, np.full((1, len(NAMES)), 3), np.ones(1))
    assert np.degrees(view.azimuth[0]) == pytest.approx(azimuth, abs=1e-6)


def test_logistic_regression_recovers_its_coefficients() -> None:
    rng = np.random.default_rng(9)
    x = np.column_stack([np.ones(20_000), rng.normal(size=(20_000, 2))])
    true = np.array([-2.0, 1.0, -0.5])
    y = rng.random(len(x)) < logistic(x @ true)
    # Standard errors are about 0.025.
    assert np.abs(fit_logistic(x, y) - true).max() < 0.1


def test_exchanged_legs_are_found_where_they_were_made() -> None:
    views = people(400, 10)
    truth = np.zeros((400, len(SWAP_GROUPS)), bool)
    truth[::5, 0] = True
    small = apply_errors(views, np.zeros((400, len(NAMES), CHANNELS)))
    found = swapped_sides(Sample(views, swap_sides(small, truth), np.arange(400)))
    left, right = twins("legs")
    apart = np.linalg.norm(views.xy[:, left] - views.xy[:, right], axis=-1).mean(axis=1)
    clear = apart > 0.03 * views.size  # nearer legs cannot be told apart in the picture
    assert (found[clear] == truth[clear]).all()
    assert clear.mean() > 0.5


def test_bias_of_the_knees_comes_back() -> None:
    knee, ankle = columns(["LKnee", "RKnee"]), columns(["LAnkle", "RAnkle"])
    median = np.median(errors(drawn())[..., 0], axis=0)
    # Standard error of a median over 4000 people of spread 0.014, and of the fit: 0.0005.
    assert np.abs(median[knee] - 0.05).max() < 0.003
    assert np.abs(median[ankle]).max() < 0.003


@pytest.mark.parametrize("quantile", [0.25, 0.5, 0.75, 0.95])
@pytest.mark.parametrize("code", [Visibility.VISIBLE, Visibility.SELF_OCCLUDED])
def test_errors_of_seen_and_hidden_points_have_the_right_spread_and_tails(quantile, code) -> None:
    sizes = []
    for of in (fresh(), drawn()):
        visibility = of.views.visibility[of.found]
        off = np.linalg.norm(errors(of)[..., XY], axis=-1)
        sizes.append(np.quantile(off[visibility == code], quantile))
    assert sizes[1] / sizes[0] == pytest.approx(1, abs=0.15)  # chance 3 %, ridge 10 %


def test_scores_depend_on_what_is_seen_as_they_did() -> None:
    for code in (Visibility.VISIBLE, Visibility.SELF_OCCLUDED, Visibility.OCCLUDED):
        logits = [errors(of)[..., SCORE][of.views.visibility[of.found] == code] for of in
                  (fresh(), drawn())]  # fmt: skip
        # The fit draws coefficients towards 0: a difference of 3 gets smaller by some percent.
        assert logits[1].mean() == pytest.approx(logits[0].mean(), abs=0.2)
        assert logits[1].std() == pytest.approx(logits[0].std(), rel=0.1)


def test_errors_of_a_person_go_together_as_they_did() -> None:
    correlations = []
    for of in (fresh(), drawn()):
        e = np.arctan(errors(of)[..., 1] / 0.01)  # tails out of the way
        correlations.append(np.corrcoef(e.T)[np.triu_indices(len(NAMES), 1)])
    assert correlations[0].mean() > 0.3
    assert np.abs(correlations[1] - correlations[0]).mean() < 0.08  # each by chance 0.02


def test_legs_are_exchanged_as_often_as_they_were_and_only_from_behind() -> None:
    rates = []
    for of in (fresh(), drawn()):
        some = of.rows(of.found)
        behind = np.abs(some.views.azimuth) > np.pi / 2
        legs = swapped_sides(some)[:, 0]
        rates.append((legs[behind].mean(), legs[~behind].mean()))
    assert rates[1][0] == pytest.approx(rates[0][0], abs=0.03)
    assert rates[1][1] < 0.02 < rates[1][0]


def test_small_people_are_lost_as_often_as_they_were() -> None:
    small = fresh().views.size < np.median(fresh().views.size)
    for chosen in (small, ~small):
        lost = [1 - of.found[chosen].mean() for of in (fresh(), drawn())]
        assert lost[1] == pytest.approx(lost[0], abs=0.06)  # a step, fitted by a logistic curve


def test_two_draws_cannot_be_told_apart_but_a_wrong_spread_can() -> None:
    again = drawn_by(model(), np.random.default_rng(30), fresh().views)
    same = tell_apart(drawn(), Sample(fresh().views, again, fresh().scene), 0, picture_only=True)
    assert same.low < 0.5 < same.high + 0.02  # the interval holds 95 of 100 times
    spread = model().spread.copy()
    spread[:, 0, XY] += np.log(1.5)
    detected = drawn_by(replace(model(), spread=spread), np.random.default_rng(31), fresh().views)
    wider = tell_apart(
        drawn(), Sample(fresh().views, detected, fresh().scene), 0, picture_only=True
    )
    assert wider.low > 0.65


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    given = arguments(people(100, 11))
    a, b, c = (draw(model(), np.random.default_rng(seed), *given) for seed in (1, 1, 2))
    assert a.xy.tobytes() == b.xy.tobytes()
    assert a.score.tobytes() == b.score.tobytes()
    assert a.body.tobytes() == b.body.tobytes()
    assert a.xy.tobytes() != c.xy.tobytes()


def test_fitting_has_no_chance_in_it() -> None:
    some = sample().rows(np.arange(400))
    assert fit_detector_errors(some).bias.tobytes() == fit_detector_errors(some).bias.tobytes()


def test_nobody_found_is_missing_everywhere_and_unknown_points_always() -> None:
    out = draw(model(), np.random.default_rng(12), *arguments(people(1000, 13)))
    lost = np.isnan(out.xy).all(axis=(1, 2))
    assert 0 < lost.sum() < 300
    for values in (out.xy[lost], out.body[lost]):
        assert np.isnan(values).all()
    assert (out.score[lost] == 0).all()
    unknown = np.setdiff1d(np.arange(33), KNOWN)
    assert {BLAZE[i][1:] for i in unknown} == {"EyeInner", "EyeOuter", "Mouth"}
    assert np.isnan(out.xy[:, unknown]).all()
    kept = np.concatenate([out.xy, out.score[..., None], out.body], axis=-1)[~lost][:, KNOWN]
    assert np.isfinite(kept).all()
    assert ((kept[..., 2] > 0) & (kept[..., 2] < 1)).all()


def test_errors_in_pixels_grow_with_the_size_when_nothing_else_depends_on_it() -> None:
    views = people(200, 14)
    size = 12  # column of `Views.person` and `Views.point`
    assert np.allclose(views.person[:, size], np.log(views.size / 300))
    changed = {
        name: getattr(model(), name).copy() for name in ("bias", "spread", "exchange", "nobody")
    }
    for name in ("bias", "spread"):
        changed[name][:, size] = 0
    changed["exchange"][:, size] = changed["nobody"][size] = 0
    blind = replace(model(), **changed, alike_scale=np.r_[model().alike_scale[:11], 1e9])
    xy, xyz, visibility, camera, stature = arguments(views)
    zoom = np.diag([2.0, 2, 1]) @ camera
    small = draw(blind, np.random.default_rng(15), xy, xyz, visibility, camera, stature)
    large = draw(blind, np.random.default_rng(15), 2 * xy, xyz, visibility, zoom, stature)
    assert np.allclose(large.xy, 2 * small.xy, equal_nan=True)


def test_ten_thousand_people_take_under_two_seconds() -> None:
    given = arguments(people(10_000, 16))
    began = time.process_time()
    draw(model(), np.random.default_rng(17), *given)
    assert time.process_time() - began < 2


def test_a_written_model_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "errors.safetensors"
    model().write(path, {"seed": "0"})
    back = read_detector_errors(path)
    assert np.allclose(back.bias, model().bias, rtol=1e-6, atol=1e-7)
    # Half precision: 11 bits.
    assert np.allclose(back.residuals, model().residuals, rtol=2**-10, atol=1e-6)
    model().write(tmp_path / "again.safetensors", {"seed": "0"})
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def _damage(arrays: dict, what: str) -> dict:
    if what == "missing":
        return {k: v for k, v in arrays.items() if k != "spread"}
    if what == "shape":
        return arrays | {"bias": arrays["bias"][:3]}
    if what == "nan":
        return arrays | {"nobody": np.full_like(arrays["nobody"], np.nan)}
    return arrays | {"residuals": arrays["residuals"][:5]}


@pytest.mark.parametrize(
    ("what", "detected"),
    [("missing", "it lacks spread"), ("shape", "bias"), ("nan", "nobody"), ("lengths", "alike")],
)
def test_a_file_of_other_numbers_is_refused(tmp_path: Path, what: str, detected: str) -> None:
    path = tmp_path / "errors.safetensors"
    names = DetectorErrors.__dataclass_fields__
    arrays = {name: np.ascontiguousarray(getattr(model(), name), np.float32) for name in names}
    save_file(_damage(arrays, what), path)
    with pytest.raises(InputError, match=detected):
        read_detector_errors(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "errors.safetensors"
    path.write_bytes(b"not safetensors")
    with pytest.raises(InputError, match=r"errors\.safetensors"):
        read_detector_errors(path)


def test_bad_people_are_refused() -> None:
    xy, xyz, visibility, camera, stature = arguments(people(3, 18))
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidData, match="33"):
        draw(model(), rng, xy[:, :17], xyz, visibility, camera, stature)
    gone = xyz.copy()
    gone[1, KNOWN[4]] = np.nan
    with pytest.raises(InvalidData, match="Row 1"):
        draw(model(), rng, xy, gone, visibility, camera, stature)
    with pytest.raises(InvalidData, match="Row 0"):
        draw(model(), rng, xy, xyz * (1, 1, -1), visibility, camera, stature)


def _shard(of: Sample, folder: Path) -> None:
    """The rows as `kinefit synth pairs` leaves them; what the fit does not read is 0."""
    n = len(of.detected)
    arrays = {name: np.zeros((n, *shape)) for name, (shape, _) in FIELDS.items()} | {
        "detected_33": full(of.detected[..., XY]),
        "score_33": np.nan_to_num(full(of.detected)[..., SCORE]),
        "world_33": full(of.detected[..., WORLD]),
        "true_33": full(of.views.xy),
        "xyz_33": full(of.views.xyz),
        "sight_33": full(of.views.visibility),
        "K": of.views.K,
        "stature_m": of.views.stature,
        "scene": of.scene,
    }
    np.savez(folder / "pairs_00000.npz", **arrays, key=np.array("made up"))


def test_the_command_fits_a_folder_of_pairs(tmp_path: Path) -> None:
    some = sample().rows(np.arange(400))
    _shard(some, tmp_path)
    out = tmp_path / "errors.safetensors"
    done = CliRunner().invoke(app, ["synth", "errors", str(tmp_path), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "400 rows" in done.output
    assert np.allclose(read_detector_errors(out).bias, fit_detector_errors(some).bias, atol=1e-6)


def test_the_command_refuses_a_folder_without_pairs(tmp_path: Path) -> None:
    out = tmp_path / "errors.safetensors"
    done = CliRunner().invoke(app, ["synth", "errors", str(tmp_path), "--out", str(out)])
    assert done.exit_code != 0
    assert "holds no pairs" in " ".join(done.output.split())
    assert not out.exists()


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(TooFewPoints, match="200"):
        fit_detector_errors(sample().rows(np.arange(100)))


def test_each_scene_is_drawn_by_who_never_saw_it() -> None:
    some = sample().rows(np.arange(400))
    seen: list[set[int]] = []

    def drawer(known: Sample, _: np.random.Generator, asked: Sample) -> FloatArray:
        assert not set(known.scene) & set(asked.scene)
        seen.append(set(asked.scene))
        return asked.detected

    out = held_out(some, drawer, 0)
    assert np.array_equal(out.detected, some.detected, equal_nan=True)
    assert sum(len(part) for part in seen) == len(np.unique(some.scene)) == len(set().union(*seen))


def test_area_under_the_curve_of_a_textbook_case() -> None:
    score = np.array([0.1, 0.4, 0.35, 0.8])
    assert auc(score, np.array([False, False, True, True])) == pytest.approx(0.75)
    assert auc(np.zeros(4), np.array([False, False, True, True])) == pytest.approx(0.5)


def test_energy_distance_of_far_clusters_and_of_one_distribution() -> None:
    rng = np.random.default_rng(19)
    a, b = rng.normal(size=(500, 2)), rng.normal(size=(500, 2))
    # 2 * 1000 for clusters far apart, less what is within them (2 * 1.8); 0 within chance.
    assert energy_distance(a, b + np.array([1000.0, 0])) == pytest.approx(2000, rel=0.01)
    assert abs(energy_distance(a, b)) < 0.02  # standard deviation for 500 points: about 0.004


def test_the_model_that_comes_along_is_sound() -> None:
    """On people that it never saw: errors of a few percent, worse where hidden, few exchanged."""
    views = people(3000, 20)
    detected = drawn_by(detector_errors(), np.random.default_rng(21), views)
    out = Sample(views, detected, np.arange(3000))
    assert 0.8 < out.found.mean() <= 1
    off = np.linalg.norm(errors(out)[..., XY], axis=-1)
    visibility = views.visibility[out.found]
    assert 0.005 < np.median(off[visibility == Visibility.VISIBLE]) < 0.03
    wrist = columns(["LWrist", "RWrist"])
    hidden, seen = (np.median(off[:, wrist][visibility[:, wrist] == c]) for c in (1, 3))
    assert hidden > 1.5 * seen
    assert swapped_sides(out)[:, 0].mean() < 0.15
    own = np.linalg.norm(errors(out)[..., WORLD], axis=-1)
    assert 0.02 < np.median(own) < 0.15
