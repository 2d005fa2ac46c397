"""A Gaussian mixture of poses, as a density and as a term of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np

from kinefit.fit.priors.joints import PriorJoints
from kinefit.fit.priors.weights import read_weights
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.terms import Rows
from kinefit.geometry.robust import L2, Kernel
from kinefit.types import FloatArray, IntArray, InvalidData


@dataclass(frozen=True, eq=False)
class PoseMixture:
    """K Gaussians over the rotation vectors of J joints: `PriorJoints.rotvecs`, flattened.

    names: J anatomical joints. weights: (K,) sum 1. means: (K, 3J) radians.
    covariances: (K, 3J, 3J) radians squared, positive definite.
    """

    names: tuple[str, ...]
    weights: FloatArray
    means: FloatArray
    covariances: FloatArray

    def __post_init__(self) -> None:
        K, D = len(self.weights), 3 * len(self.names)
        if self.means.shape != (K, D) or self.covariances.shape != (K, D, D):
            raise InvalidData("PoseMixture: shapes of names, weights, means, covariances disagree.")
        if not (K and np.isclose(self.weights.sum(), 1) and (self.weights > 0).all()):
            raise InvalidData("PoseMixture: weights must be positive and sum to one.")

    @classmethod
    def load(cls) -> Self:
        """The mixture that comes with kinefit; its card is beside it."""
        arrays, about = read_weights("pose_mixture")
        weights = arrays["weights"] / arrays["weights"].sum()  # single precision leaves 1e-8
        names = tuple(about["joints"].split())
        return cls(names, weights, arrays["means"], arrays["covariances"])

    def of(self, names: Sequence[str]) -> PoseMixture:
        """The mixture of some of the joints, whatever the others do (its marginal).

        Raises InvalidData for a joint that it does not have.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise InvalidData(f"The mixture of poses has no joint {', '.join(unknown)}.")
        at = np.array([self.names.index(name) for name in names], dtype=np.int64)
        at = (3 * at[:, None] + np.arange(3)).ravel()
        parts = self.covariances[:, at[:, None], at]
        return PoseMixture(tuple(names), self.weights, self.means[:, at], parts)

    @cached_property
    def roots(self) -> FloatArray:
        """(K, D, D) U, upper triangular, with U^T U the precision of each Gaussian."""
        L = np.linalg.cholesky(self.covariances)
        # The inverse of L has the precision's square; QR makes its triangle the other one's.
        U = np.linalg.qr(np.linalg.inv(L), mode="r")
        return np.asarray(U * np.sign(np.diagonal(U, axis1=1, axis2=2))[..., None])

    @cached_property
    def log_factors(self) -> FloatArray:
        """(K,) log of each Gaussian's weight times its density's factor."""
        D = self.means.shape[1]
        log_root = np.log(np.diagonal(self.roots, axis1=1, axis2=2)).sum(axis=1)
        return np.asarray(np.log(self.weights) + log_root - D / 2 * np.log(2 * np.pi))

    def distances(self, poses: FloatArray) -> FloatArray:
        """(T, K, D) standard deviations of poses (T, D) from each mean."""
        off = poses[:, None] - self.means
        return np.asarray(np.einsum("kij,tkj->tki", self.roots, off, optimize=True))

    def log_density(self, poses: FloatArray) -> FloatArray:
        """(T,) natural logarithm of the density of poses (T, D)."""
        each = self.log_factors - (self.distances(poses) ** 2).sum(axis=-1) / 2
        return np.asarray(np.logaddexp.reduce(each, axis=1))


@dataclass(frozen=True, eq=False)
class Mixture:
    """Poses far from where people's are: SMPLify's prior (Bogo et al. 2016, equation 6).

    With the Gaussian of each pose that makes it least, and its weight divided by what makes the
    largest of them one (so that all are least at zero or above),

        E = (x - mean)^T precision (x - mean) / 2 - log(weight)

    is the squared residual (an objective has half of it), times weight^2: the distance over
    sqrt 2, then the root of the logarithm. x are `PriorJoints.rotvecs`.
    """

    joints: PriorJoints
    density: PoseMixture
    weight: float = 1.0
    kernel: Kernel = field(default_factory=L2)

    @classmethod
    def of(cls, chain: Chain, weight: float = 1.0, density: PoseMixture | None = None) -> Self:
        """For the joints that the chain moves, of `density` or of kinefit's own mixture.

        Raises InvalidData when they have no joint in common.
        """
        density = density or PoseMixture.load()
        shared = [name for name in PriorJoints.of(chain).names if name in density.names]
        if not shared:
            raise InvalidData("The mixture of poses and the chain have no joint in common.")
        return cls(PriorJoints.of(chain, shared), density.of(shared), weight)

    def residual(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        """(T, 1, D + 1)."""
        _, off, k = self._nearest(rotations)
        last = np.sqrt(self._penalties[k])[:, None]
        return self.weight * np.concatenate([off / np.sqrt(2), last], axis=1)[:, None]

    def jacobian(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        x, _, k = self._nearest(rotations)
        J, D = len(self.joints.names), self.density.means.shape[1]
        root = self.density.roots.reshape(-1, D, J, 3).transpose(0, 2, 1, 3)[k]  # (T, J, D, 3)
        blocks = root @ self.joints.rotvec_blocks(x)
        out = np.zeros((len(x), 1, D + 1, 3 * self.joints.count))
        out[:, 0, :D] = self.joints.gathered(blocks) * (self.weight / np.sqrt(2))
        return out

    @cached_property
    def _penalties(self) -> FloatArray:
        """(K,) -log(weight), zero for the largest."""
        return np.asarray(self.density.log_factors.max() - self.density.log_factors)

    def _nearest(self, rotations: FloatArray) -> tuple[FloatArray, FloatArray, IntArray]:
        """Poses (T, J, 3), their distances (T, D) in the Gaussian chosen for each, and which."""
        x = self.joints.rotvecs(rotations)
        off = self.density.distances(x.reshape(len(x), -1))
        k = ((off**2).sum(axis=-1) / 2 + self._penalties).argmin(axis=1)
        return x, off[np.arange(len(x)), k], k
