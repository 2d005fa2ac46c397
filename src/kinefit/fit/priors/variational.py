"""A variational autoencoder of poses: how far a pose is from what it can be rebuilt into.

A small network of our own in the manner of VPoser (Pavlakos et al. 2019, CVPR, section 3.3): an
encoder gives a pose the mean of its latent code z, a decoder turns codes into poses. Evaluated in
numpy, with derivatives by the chain rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

import numpy as np

from kinefit.fit.priors.joints import PriorJoints
from kinefit.fit.priors.weights import read_weights
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.terms import Rows
from kinefit.geometry import rotations as so3
from kinefit.geometry.lie import log_jacobian, skew
from kinefit.geometry.robust import L2, Kernel
from kinefit.types import FloatArray, InvalidData

_AXES = np.eye(3)


@dataclass(frozen=True, eq=False)
class Network:
    """Dense layers with x sigmoid(x) between them (SiLU): smooth, as derivatives must be.

    layers: pairs of a matrix (out, in) and a vector (out,).
    """

    layers: tuple[tuple[FloatArray, FloatArray], ...]

    def __call__(self, x: FloatArray) -> FloatArray:
        """(T, out) of inputs (T, in)."""
        for W, b in self.layers[:-1]:
            y = x @ W.T + b
            x = y * _sigmoid(y)
        W, b = self.layers[-1]
        return np.asarray(x @ W.T + b)

    def derivative(self, x: FloatArray) -> FloatArray:
        """(T, out, in) derivative at `x` (T, in), multiplied up from the smaller end."""
        matrices, slopes = [W for W, _ in self.layers], self._slopes(x)
        if len(matrices[-1]) <= matrices[0].shape[1]:
            return _product(matrices[::-1], slopes[::-1])
        forward = _product([W.T for W in matrices], slopes)
        return np.swapaxes(forward, -1, -2)

    def _slopes(self, x: FloatArray) -> list[FloatArray]:
        """(T, hidden) of what lies between each two layers."""
        out = []
        for W, b in self.layers[:-1]:
            y = x @ W.T + b
            s = _sigmoid(y)
            x = y * s
            out.append(s + x * (1 - s))
        return out


def _product(matrices: list[FloatArray], slopes: list[FloatArray]) -> FloatArray:
    """(T, first, last) M1 diag(s1) M2 diag(s2) ...; one matrix product for all poses."""
    J = np.broadcast_to(matrices[0], (len(slopes[0]), *matrices[0].shape))
    for M, s in zip(matrices[1:], slopes, strict=True):
        T, n, hidden = J.shape
        J = ((J * s[:, None]).reshape(T * n, hidden) @ M).reshape(T, n, -1)
    return J


def _sigmoid(y: FloatArray) -> FloatArray:
    return np.asarray((1 + np.tanh(y / 2)) / 2)  # does not overflow


@dataclass(frozen=True, eq=False)
class PoseAutoencoder:
    """Poses of J joints as codes of Z numbers, each of unit variance among people's poses.

    names: J anatomical joints. A pose is the first two columns of each rotation of
    `PriorJoints.centred` (J x 6 numbers; Zhou et al. 2019, CVPR). spread: (J,) radians, one
    standard deviation of what the decoder leaves, per axis.
    """

    names: tuple[str, ...]
    encoder: Network
    decoder: Network
    spread: FloatArray

    @classmethod
    def load(cls) -> Self:
        """The network that comes with kinefit; its card is beside it."""
        arrays, about = read_weights("pose_autoencoder")
        return cls.of_arrays(tuple(about["joints"].split()), arrays)

    @classmethod
    def of_arrays(cls, names: tuple[str, ...], arrays: Mapping[str, FloatArray]) -> Self:
        """From arrays named as the file has them; raises InvalidData when layers do not fit."""
        networks = {}
        for part in ("encoder", "decoder"):
            keys = sorted(k for k in arrays if k.startswith(f"{part}.") and k.endswith(".weight"))
            layers = [(arrays[k], arrays[k.removesuffix("weight") + "bias"]) for k in keys]
            networks[part] = Network(tuple(layers))
        out = cls(names, **networks, spread=arrays["spread"])
        sizes = [W.shape for W, _ in (*out.encoder.layers, *out.decoder.layers)]
        fits = all(a[0] == b[1] for a, b in pairwise(sizes))
        if not fits or sizes[0][1] != 6 * len(names) or sizes[-1][0] != 6 * len(names):
            raise InvalidData("The layers of the pose autoencoder do not fit one another.")
        return out

    def encode(self, centred: FloatArray) -> FloatArray:
        """(T, Z) mean codes of rotations (T, J, 3, 3)."""
        return self.encoder(_six(centred))

    def decode(self, code: FloatArray) -> FloatArray:
        """(T, J, 3, 3) rotations of codes (T, Z)."""
        six = self.decoder(code).reshape(len(code), -1, 2, 3)
        return so3.frame("XY", six[..., 0, :], six[..., 1, :])

    def encode_derivative(self, centred: FloatArray) -> FloatArray:
        """(T, Z, 3J) derivative of `encode` by the rotations' increments in their own axes."""
        T, J = centred.shape[:2]
        # R exp(d) moves column i by R (d x e_i).
        six = np.concatenate([-centred @ skew(_AXES[i]) for i in (0, 1)], axis=-2)
        by_six = self.encoder.derivative(_six(centred)).reshape(T, -1, J, 6)
        by_turn = (by_six.swapaxes(1, 2) @ six).swapaxes(1, 2)
        return np.asarray(by_turn.reshape(T, -1, 3 * J))

    def decode_derivative(self, code: FloatArray) -> FloatArray:
        """(T, J, 3, Z) turns of the decoded rotations, in their own axes, per code."""
        T, J = len(code), len(self.names)
        six = self.decoder(code).reshape(T, J, 2, 3)
        by_first, by_second = so3.frame_derivative(six[..., 0, :], six[..., 1, :])
        R = so3.frame("XY", six[..., 0, :], six[..., 1, :])
        turn = np.swapaxes(R, -1, -2) @ np.concatenate([by_first, by_second], axis=-1)
        return np.asarray(turn @ self.decoder.derivative(code).reshape(T, J, 6, -1))


def _six(rotations: FloatArray) -> FloatArray:
    """(T, 6J): first and second columns of (T, J, 3, 3)."""
    return np.swapaxes(rotations[..., :2], -1, -2).reshape(len(rotations), -1)


@dataclass(frozen=True, eq=False)
class Variational:
    """A pose's mean code, and what its reconstruction leaves over, in standard deviations.

    Half the sum of squares approximates -log of the density that the autoencoder gives the pose,
    up to a constant. weight: of the residual.
    """

    joints: PriorJoints
    model: PoseAutoencoder
    weight: float = 1.0
    kernel: Kernel = field(default_factory=L2)

    @classmethod
    def of(cls, chain: Chain, weight: float = 1.0, model: PoseAutoencoder | None = None) -> Self:
        """Raises InvalidData when the chain does not move every joint of the model."""
        model = model or PoseAutoencoder.load()
        return cls(PriorJoints.of(chain, model.names), model, weight)

    def residual(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        """(T, 1, Z + 3J)."""
        centred = self.joints.centred(rotations)
        code = self.model.encode(centred)
        rebuilt = self.model.decode(code)
        off = so3.log(np.swapaxes(rebuilt, -1, -2) @ centred) / self.model.spread[:, None]
        return self.weight * np.concatenate([code, off.reshape(len(off), -1)], axis=1)[:, None]

    def jacobian(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        centred = self.joints.centred(rotations)
        T, J = centred.shape[:2]
        code = self.model.encode(centred)
        rebuilt = self.model.decode(code)
        by_code = self.model.encode_derivative(centred)
        turned = self.model.decode_derivative(code) @ by_code[:, None]  # (T, J, 3, 3J)
        # The remainder Q^T R turns by d - (Q^T R)^T e when R turns by d and Q by e.
        rest = np.swapaxes(rebuilt, -1, -2) @ centred
        moved = -np.swapaxes(rest, -1, -2) @ turned
        own = moved.reshape(T, J, 3, J, 3)
        each = np.arange(J)
        own[:, each, :, each] += _AXES
        off = log_jacobian(so3.log(rest)) @ moved / self.model.spread[:, None, None]
        whole = np.concatenate([by_code, off.reshape(T, 3 * J, 3 * J)], axis=1)
        blocks = whole.reshape(T, -1, J, 3).transpose(0, 2, 1, 3) @ self.joints.anatomy.increments
        return self.weight * self.joints.gathered(blocks)[:, None]
