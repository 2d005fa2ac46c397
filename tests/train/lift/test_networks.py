"""The networks: sizes as published, answers that are directions, and what they look at."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from kinefit.lift.inputs import LIMBS, PERSON_CHANNELS, POINT_CHANNELS, POINTS  # noqa: E402
from kinefit.lift.windows import WINDOW  # noqa: E402
from kinefit.skeletons import skeleton  # noqa: E402
from kinefit.skeletons.limbs import LIMBS as FIELDS  # noqa: E402
from kinefit.skeletons.limbs import twins  # noqa: E402
from kinefit.train.lift.batches import Disturbance, draw  # noqa: E402
from kinefit.train.lift.losses import WEIGHTS, losses, total  # noqa: E402
from kinefit.train.lift.networks import Answers  # noqa: E402
from kinefit.train.lift.published import EDGES, SemGCNTemporal  # noqa: E402
from kinefit.train.lift.registry import NETWORKS, make_network  # noqa: E402

from .swaying import clips  # noqa: E402

# What their authors say.
PUBLISHED = {"transformer": 3e6, "gcn": 350e3, "semgcn": 500e3, "semgcn-temporal": 1.7e6}
CONSTANT = ("contact", "up", "up_concentration", "shift", "log_sigma", "swapped")


@pytest.fixture(scope="module")
def networks() -> Mapping[str, torch.nn.Module]:
    torch.manual_seed(0)
    return {name: make_network(name).eval() for name in NETWORKS}


def _frames(name: str) -> int:
    return WINDOW if name == "sequence" else 6


def _inputs(batch: int, frames: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    points = torch.randn(batch, frames, len(POINTS), POINT_CHANNELS, generator=rng)
    known = torch.rand(batch, frames, len(POINTS), 2, generator=rng) > 0.2
    points[..., 6:] = known.float()
    points[..., :3] *= points[..., 6:7]
    points[..., 3:6] *= points[..., 7:]
    person = torch.randn(batch, frames, PERSON_CHANNELS, generator=rng)
    person[..., 3] = 1
    return points, person


def _asked(network: torch.nn.Module, points: torch.Tensor, person: torch.Tensor) -> Answers:
    with torch.inference_mode():
        answers: Answers = network(points, person)
    return answers


def test_sizes_are_the_published_ones(networks: Mapping[str, torch.nn.Module]) -> None:
    for name, network in networks.items():
        count = sum(p.numel() for p in network.parameters())
        print(f"{name}: {count:,} parameters")
        assert name not in PUBLISHED or count == pytest.approx(PUBLISHED[name], rel=0.15), name
    assert set(networks) == {"sequence", *PUBLISHED}


@pytest.mark.parametrize("name", NETWORKS)
def test_answers_are_whole(networks: Mapping[str, torch.nn.Module], name: str) -> None:
    T = _frames(name)
    answers = _asked(networks[name], *_inputs(2, T))
    L, J = len(LIMBS), len(POINTS)
    shapes = ((L, 3), (L,), (L,), (4,), (3,), (), (J, 2), (J,), ())
    for field, value, shape in zip(Answers._fields, answers, shapes, strict=True):
        assert value.shape == (2, T, *shape), field
        assert value.isfinite().all(), field
        assert value.dtype == torch.float32, field
    for unit in (answers.directions, answers.up):
        np.testing.assert_allclose(np.linalg.norm(unit, axis=-1), 1, atol=1e-3)
    for k in (answers.concentration, answers.up_concentration):
        assert (k >= 1).all()
        assert (k <= 5000).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_nobody_there_gives_numbers_all_the_same(
    networks: Mapping[str, torch.nn.Module], name: str
) -> None:
    points, person = (torch.zeros_like(values) for values in _inputs(1, _frames(name)))
    for value in _asked(networks[name], points, person):
        assert value.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_windows_do_not_see_each_other(networks: Mapping[str, torch.nn.Module], name: str) -> None:
    points, person = _inputs(3, _frames(name))
    order = [2, 0, 1]
    plain = _asked(networks[name], points, person)
    other = _asked(networks[name], points[order], person[order])
    for a, b in zip(plain, other, strict=True):
        np.testing.assert_allclose(a[order], b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_see_nothing_but_the_points_of_coco_in_the_image(
    networks: Mapping[str, torch.nn.Module], name: str
) -> None:
    points, person = _inputs(2, 6)
    coco = [POINTS.index(point) for point in skeleton("coco17").points]
    rest = [i for i in range(len(POINTS)) if i not in coco]
    other = points.clone()
    other[..., [3, 4, 5, 7]] += 1
    other[:, :, rest] += 1
    unknown = other[..., 6] < 0.5
    other[..., :3][unknown] = 7  # what is not known is not looked at
    plain = _asked(networks[name], points, person)
    for a, b in zip(plain, _asked(networks[name], other, person + 1), strict=True):
        assert torch.equal(a, b)
    points[..., 6] = 1
    each = points[:1, :1].repeat(len(coco) * 4, 1, 1, 1)
    for row, (point, channel) in enumerate(product(coco, (0, 1, 2, 6))):
        each[row, :, point, channel] -= 0.5
    before = _asked(networks[name], points[:1, :1], person[:1, :1]).directions
    after = _asked(networks[name], each, person[:1, :1].expand(len(each), -1, -1)).directions
    assert ((after - before).abs().amax(dim=(1, 2, 3)) > 1e-5).all()


def test_the_detector_s_own_3d_counts_for_the_others(
    networks: Mapping[str, torch.nn.Module],
) -> None:
    points, person = _inputs(1, WINDOW)
    other = points.clone()
    other[..., 3:6] *= 1.5
    plain, changed = (_asked(networks["sequence"], p, person) for p in (points, other))
    assert not torch.allclose(plain.directions, changed.directions, atol=1e-3)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_frame_is_seen_by_itself_or_by_the_next(
    networks: Mapping[str, torch.nn.Module], name: str
) -> None:
    points, person = _inputs(1, 8)
    other = points.clone()
    other[:, 4, :, :2] += 1.0
    plain, changed = (_asked(networks[name], p, person) for p in (points, other))
    off = (plain.directions - changed.directions).abs().amax(dim=(0, 2, 3)).numpy()
    touched = [4, 5] if name == "semgcn-temporal" else [4]
    np.testing.assert_array_equal(np.flatnonzero(off > 1e-5), touched)


def test_a_frame_after_one_without_a_person_is_as_a_first() -> None:
    network = SemGCNTemporal(32, 2).eval()
    points, person = _inputs(1, 6)
    points[:, 3] = 0
    answers = _asked(network, points, person)
    alone = _asked(network, points[:, 4:], person[:, 4:])
    np.testing.assert_allclose(answers.directions[:, 4:], alone.directions, atol=1e-5)
    points[:, 3] = _inputs(1, 6, seed=1)[0][:, 3]
    found = _asked(network, points, person)
    assert not torch.allclose(answers.directions[:, 4], found.directions[:, 4], atol=1e-5)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_the_published_do_not_say_is_neutral_and_learns_nothing(name: str) -> None:
    torch.manual_seed(0)
    network = make_network(name)
    drawn = draw(clips(1, 90), np.random.default_rng(0), np.arange(1), Disturbance())
    batch = {k: torch.as_tensor(v)[:, 30:36] for k, v in drawn._asdict().items()}
    answers = network(batch["points"], batch["person"])
    for field in CONSTANT:
        assert not getattr(answers, field).requires_grad
    for field in ("contact", "shift", "log_sigma", "swapped"):
        assert not getattr(answers, field).any()
    assert (answers.up == torch.tensor([0.0, -1.0, 0.0])).all()
    assert (answers.up_concentration == 1).all()
    feet = answers.directions[:, :, len(FIELDS) :]
    assert (feet == torch.tensor([0.0, 0.0, -1.0])).all()
    assert (answers.concentration[:, :, len(FIELDS) :] == 1).all()
    assert not answers.away[:, :, len(FIELDS) :].any()
    parts = losses(answers, batch)
    learned = {k for k, v in parts.items() if v.requires_grad and v.grad_fn is not None}
    with_sign = {"away"} if name == "semgcn-temporal" else set()
    assert {"directions", "velocity", "spread"} <= learned
    for field in set(WEIGHTS) - {"directions", "velocity", "spread"} - with_sign:
        assert not parts[field].requires_grad, field
    total(parts, getattr(network, "loss_weights", {})).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    assert all(key in WEIGHTS for key in getattr(network, "loss_weights", {}))


def test_edges_are_the_same_in_a_mirror() -> None:
    twin = twins(FIELDS)
    names = [limb.name for limb in FIELDS]
    for edges in EDGES:
        table = edges()
        np.testing.assert_array_equal(table[twin][:, twin], table)
        assert table.diagonal().all()
    sharing, below, symmetric = (edges() for edges in EDGES)
    np.testing.assert_array_equal(sharing, sharing.T)
    np.testing.assert_array_equal(symmetric, symmetric.T)
    assert not (below & below.T & ~np.eye(len(FIELDS), dtype=bool)).any()  # one way only
    assert not (below & ~sharing).any()
    arm, hand = names.index("left upper arm"), names.index("left forearm")
    assert below[hand, arm]
    assert sharing[arm].sum() == 5  # itself, forearm, shoulders, trunk, diagonal


def test_signs_of_depth_weigh_what_their_authors_say() -> None:
    parts = {"directions": torch.tensor(0.0), "away": torch.tensor(1.0)}
    assert float(total(parts, SemGCNTemporal.loss_weights)) == pytest.approx(0.2)
    assert float(total(parts)) == pytest.approx(WEIGHTS["away"])
