"""Four published designs that lift 2D points to Part Orientation Fields, 14 unit vectors a frame.

They look at COCO's 17 points in the image (x, y, score, and whether a point is known) and at
nothing else: not at the detector's own 3D, nor at who stands where. Limbs are their tokens, or the
nodes of their graphs. Of `Answers` they say `directions`, their `concentration` (an output of ours;
it trains with the rest) and `away`; the others are constants without a gradient: feet point towards
the camera and up is up in the image, both with the least concentration; points stay where they are.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from kinefit.lift.inputs import LIMBS, POINTS
from kinefit.skeletons import skeleton
from kinefit.skeletons.limbs import LIMBS as FIELDS
from kinefit.skeletons.limbs import Limb, ends, twins
from kinefit.train.lift.networks import Answers, concentration, mlp, unit

_COCO = skeleton("coco17").points
_COLUMNS = [POINTS.index(name) for name in _COCO]
_ENDS = ends(_COCO, FIELDS)
_POINT = 4  # x, y, score, known
_LOCAL = 2 * _POINT + 3  # of a limb: its two points, its vector in the image, its length there
_N, _FEET = len(FIELDS), len(LIMBS) - len(FIELDS)
_NO_RAW = -1e4  # of which `concentration` makes its least
_TOWARDS, _UP = (0.0, 0.0, -1.0), (0.0, -1.0, 0.0)
_ACROSS = frozenset(("shoulders", "hips"))


def joint_sharing() -> NDArray[np.bool_]:
    """(14, 14) True where two limbs have a point in common, and on the diagonal."""
    return np.array([[bool({a.start, a.end} & {b.start, b.end}) for a in FIELDS] for b in FIELDS])


def kinematic() -> NDArray[np.bool_]:
    """(14, 14) True where a limb (row) begins where its parent (column) ends, and on the diagonal.

    Shoulders and hips lie across: both of their points are where they begin and where they end.
    """

    def points(limb: Limb, end: str) -> set[str]:
        return {limb.start, limb.end} if limb.name in _ACROSS else {end}

    below = [[bool(points(p, p.end) & points(c, c.start)) for p in FIELDS] for c in FIELDS]
    return np.array(below) | np.eye(_N, dtype=bool)


def symmetry() -> NDArray[np.bool_]:
    """(14, 14) True between a limb and the same one of the other side, and on the diagonal."""
    eye = np.eye(_N, dtype=bool)
    return np.asarray(eye | eye[twins(FIELDS)])


EDGES = (joint_sharing, kinematic, symmetry)


class _Pose2D(nn.Module):
    """Points in the image to a vector of `width` for each limb: what is near it, the whole pose,
    and which limb it is. A foreshortened limb points to or from the camera, so lengths are told."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("columns", torch.as_tensor(_COLUMNS), persistent=False)
        self.register_buffer("first", torch.as_tensor(_ENDS[:, 0]), persistent=False)
        self.register_buffer("second", torch.as_tensor(_ENDS[:, 1]), persistent=False)
        self.local = nn.Linear(_LOCAL, width)
        self.whole = nn.Linear(_POINT * len(_COCO) + 3 * _N, width)
        self.limb = nn.Parameter(0.02 * torch.randn(_N, width))

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """(14, B, T, width), limbs first so that a graph mixes them in one product of matrices; and
        (B, T, 1) 1 where any point is known."""
        points = points.index_select(2, self.columns).permute(2, 0, 1, 3)
        known = points[..., 6:7]
        pose = torch.cat([points[..., :3] * known, known], -1)
        a, b = pose.index_select(0, self.first), pose.index_select(0, self.second)
        vector = (b - a)[..., :2] * a[..., 3:] * b[..., 3:]
        length = (vector.pow(2).sum(-1, keepdim=True) + 1e-8).sqrt()
        seen = torch.cat([vector, length], -1)
        whole = self.whole(torch.cat([*pose.unbind(), *seen.unbind()], -1))
        near = self.local(torch.cat([a, b, seen], -1))
        tokens = functional.relu(near + whole + self.limb[:, None, None])
        return tokens, known.amax(0)


def _answers(raw: Tensor, away: Tensor | None = None) -> Answers:
    """Of vectors and spreads (14, B, T, 4), and logits (14, B, T).

    Without logits: the log odds, by the spread, of a limb as answered against its mirror image in
    depth; without a gradient, so that no loss of `away` trains the directions.
    """
    raw = raw.permute(1, 2, 0, 3)
    d, k = unit(raw[..., :3]), concentration(raw[..., 3])
    if away is not None:
        away = away.permute(1, 2, 0)
    else:
        z = d[..., 2].detach()
        away = 2 * k.detach() * z * z.abs()
    B, T = d.shape[:2]
    feet = d.new_tensor(_TOWARDS).expand(B, T, _FEET, 3)
    nothing = d.new_zeros(B, T, _FEET)
    least = concentration(nothing + _NO_RAW)
    points = d.new_zeros(B, T, len(POINTS))
    return Answers(
        directions=torch.cat([d, feet], -2),
        concentration=torch.cat([k, least], -1),
        away=torch.cat([away, nothing], -1),
        contact=d.new_zeros(B, T, 4),
        up=d.new_tensor(_UP).expand(B, T, 3),
        up_concentration=least[..., 0],
        shift=torch.stack([points, points], -1),
        log_sigma=points,
        swapped=d.new_zeros(B, T),
    )


class _Published(nn.Module):
    """What these networks have learned, which is all that their ONNX files answer."""

    answers: ClassVar[tuple[str, ...]] = ("directions", "concentration", "away")
    limb_count: ClassVar[int] = _N
    # Of a window, to learn from: a frame looks like its neighbours, and each costs as much.
    learned_frames: ClassVar[int] = 3


class LimbTransformer(_Published):
    """Attention between the limbs of a frame; each limb has a head of its own."""

    def __init__(
        self, width: int = 128, layers: int = 6, heads: int = 8, dense: int = 1024, head: int = 256
    ) -> None:
        super().__init__()
        self.encode = _Pose2D(width)
        self.blocks = nn.ModuleList(_Attention(width, heads, dense) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        sizes = (width, head, head // 2, 4)
        self.weights = nn.ParameterList(torch.randn(_N, a, b) / a**0.5 for a, b in pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(_N, b) for b in sizes[1:])

    def forward(self, points: Tensor, person: Tensor) -> Answers:
        x, _ = self.encode(points)
        frames = x.shape[1:3]
        x = x.flatten(1, 2).transpose(0, 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x).transpose(0, 1)  # limbs first: a head for each
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias[:, None], functional.gelu(x) if i else x, weight)
        return _answers(x.unflatten(1, frames))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, dense: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_a, self.norm_b = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dense = nn.Sequential(nn.Linear(width, dense), nn.GELU(), nn.Linear(dense, width))

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm_a(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        x = x + self.out(seen.transpose(1, 2).flatten(-2))
        out: Tensor = x + self.dense(self.norm_b(x))
        return out


class GCN(_Published):
    """Plain graph convolutions over limbs that share a joint (Kipf & Welling 2017, ICLR)."""

    def __init__(self, width: int = 256, layers: int = 4) -> None:
        super().__init__()
        self.encode = _Pose2D(width)
        self.layers = nn.ModuleList(_Plain(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = mlp(width, width // 2, 4)

    def forward(self, points: Tensor, person: Tensor) -> Answers:
        x, _ = self.encode(points)
        for layer in self.layers:
            x = layer(x)
        return _answers(self.head(self.norm(x)))


class _Plain(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        edges = joint_sharing().astype(np.float32)
        degree = edges.sum(axis=1)
        edges /= np.sqrt(degree * degree[:, None])
        self.register_buffer("edges", torch.as_tensor(edges), persistent=False)
        self.norm = nn.LayerNorm(width)
        self.dense = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + functional.relu(_mixed(self.edges, self.dense(self.norm(x))))


def _mixed(weight: Tensor, x: Tensor) -> Tensor:
    return (weight @ x.flatten(1)).view(x.shape)


class _Semantic(nn.Module):
    """A graph convolution with a learned weight for each edge, a softmax over a node's neighbours
    and itself, which has a matrix of its own (Zhao et al. 2019, CVPR, "Semantic graph convolutional
    networks for 3D human pose regression")."""

    def __init__(self, width: int, edges: NDArray[np.bool_]) -> None:
        super().__init__()
        closed = torch.as_tensor(np.where(edges, 0.0, -np.inf).astype(np.float32))
        self.register_buffer("closed", closed, persistent=False)
        self.edge = nn.Parameter(torch.zeros(_N, _N))
        self.norm = nn.LayerNorm(width)
        self.own, self.others = nn.Linear(width, width), nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        near = self.norm(x)
        weight = (self.edge + self.closed).softmax(-1)
        own = weight.diagonal()
        others = _mixed(weight - own.diag(), self.others(near))
        return x + functional.relu(own[:, None, None, None] * self.own(near) + others)


class _Stacks(nn.Module):
    """A stack of convolutions for each kind of edge, side by side, and a layer that fuses them."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.stacks = nn.ModuleList(
            nn.Sequential(*(_Semantic(width, edges()) for _ in range(layers))) for edges in EDGES
        )
        self.norm = nn.LayerNorm(len(EDGES) * width)
        self.fuse = nn.Linear(len(EDGES) * width, width)

    def forward(self, x: Tensor) -> Tensor:
        each = torch.cat([stack(x) for stack in self.stacks], -1)
        return functional.relu(self.fuse(self.norm(each)))


class SemGCN(_Published):
    """Semantic graph convolutions over three kinds of edges: `EDGES`."""

    def __init__(self, width: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.encode = _Pose2D(width)
        self.stacks = _Stacks(width, layers)
        self.head = mlp(width, width // 2, 4)

    def forward(self, points: Tensor, person: Tensor) -> Answers:
        x, _ = self.encode(points)
        return _answers(self.head(self.stacks(x)))


class SemGCNTemporal(_Published):
    """`SemGCN`, wider, that also knows the field of the frame before and learns signs of depth.

    At run time nobody tells the field of the frame before, so it is never the true one: the network
    looks at each frame twice, first without a frame before, then with what the first look said of
    it. That is the same in training, parallel over frames, and a graph of 2 looks instead of one of
    81 in a file. The first look is an input, without a gradient, as the true field of the published
    training is; what it needs is learned where windows begin and after frames without a person.
    """

    loss_weights: ClassVar[dict[str, float]] = {"away": 0.2}

    def __init__(self, width: int = 256, layers: int = 4) -> None:
        super().__init__()
        self.encode = _Pose2D(width)
        self.before = nn.Linear(4, width)
        self.stacks = _Stacks(width, layers)
        self.head = mlp(width, width // 2, 4)
        self.away = nn.Linear(width, 1)

    def forward(self, points: Tensor, person: Tensor) -> Answers:
        x, found = self.encode(points)
        # Errors of small ones (width 48, 250 steps, made-up clips): 18.5 degrees; with a gradient
        # through the first look 19.0; trained frame after frame 18.9, in four times the time.
        # With the weights of the 18.5 and frame after frame: 18.7.
        with torch.no_grad():
            field = unit(self._look(x, torch.zeros_like(x[..., :4]))[0][..., :3])
        told = torch.cat([field * found, found.expand(_N, -1, -1, -1)], -1)
        return _answers(*self._look(x, functional.pad(told, (0, 0, 1, -1))))

    def _look(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """before: (14, B, T, 4) the field one frame earlier, and 1 where there is one."""
        x = self.stacks(x + self.before(before))
        return self.head(x), self.away(x)[..., 0]
