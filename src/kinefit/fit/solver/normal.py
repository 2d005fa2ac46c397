"""Normal equations of poses in a row: block-banded over time, with a border of what they share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy.linalg import cho_factor, cho_solve, lapack

from kinefit.types import BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class Normal:
    """H dx = -g with dx = (frames, shared), in blocks.

    frame: (T, N, N), gradient: (T, N). Neighbours: near[r - 1] (T - r, B, 3, 3) couples block b of
    pose t (rows) with block b of pose t + r (columns); blocks of three, in the order of the
    frame's variables. Or all (T - r, N, N) where points couple joints with others across time.
    shared: (S, S), shared_gradient: (S,). cross: (T, N, S).
    """

    frame: FloatArray
    gradient: FloatArray
    near: tuple[FloatArray, ...]
    shared: FloatArray
    shared_gradient: FloatArray
    cross: FloatArray

    def without(self, frame: BoolArray, shared: BoolArray) -> Normal:
        """The same where these variables (T, N) and (S,) do not move.

        Variables that are coupled with neighbours in time are never among them.
        """
        if not (frame.any() or shared.any()):
            return self
        go, go_s = ~frame, ~shared
        H = self.frame * (go[:, :, None] & go[:, None, :])
        T, i = np.nonzero(frame)
        H[T, i, i] = 1.0
        border = self.shared * np.outer(go_s, go_s) + np.diag(shared.astype(np.float64))
        cross = self.cross * go[:, :, None] * go_s
        return Normal(H, self.gradient * go, self.near, border, self.shared_gradient * go_s, cross)

    def solve_each(self, damping: FloatArray) -> FloatArray:
        """(T, N) steps of poses on their own, each with its damping (T,)."""
        H = self.frame + damping[:, None, None] * _scaling(self.frame)
        return -np.asarray(np.linalg.solve(H, self.gradient[..., None])[..., 0])

    def solve(self, damping: float) -> tuple[FloatArray, FloatArray] | None:
        """Steps (T, N) and (S,); None where the damped matrix is not positive definite."""
        T, N = self.gradient.shape
        H = self.frame + damping * _scaling(self.frame)
        S = len(self.shared)
        right = np.concatenate([self.gradient[..., None], self.cross], axis=-1)
        if any(block.size for block in self.near):
            factor = _Band.factor(H, self.near)
            if factor is None:
                return None
            solved = factor.solve(right.reshape(T * N, 1 + S)).reshape(T, N, 1 + S)
        else:  # poses that only share: a hundred, 17 columns: 8 instead of 13 ms
            try:
                solved = np.linalg.solve(H, right)
            except np.linalg.LinAlgError:
                return None
        if not S:
            return -solved[..., 0], np.zeros(0)
        border = self.shared + damping * _scaling(self.shared)
        border = border - np.tensordot(self.cross, solved[..., 1:], axes=([0, 1], [0, 1]))
        eliminated = np.einsum("tis,ti->s", self.cross, solved[..., 0])
        gradient = self.shared_gradient - eliminated
        try:
            step = -cho_solve(cho_factor(border), gradient)
        except np.linalg.LinAlgError:
            return None
        return -solved[..., 0] - solved[..., 1:] @ step, step

    def predicted(self, frame: FloatArray, shared: FloatArray) -> float:
        """By how much the quadratic model falls along a step: -(g dx + dx H dx / 2)."""
        curved = np.einsum("ti,tij,tj->", frame, self.frame, frame, optimize=True)
        for r, block in enumerate(self.near, start=1):
            if block.ndim == 3:
                curved += 2 * np.einsum("ti,tij,tj->", frame[:-r], block, frame[r:], optimize=True)
                continue
            B = block.shape[1]
            split = frame[:, : 3 * B].reshape(len(frame), B, 3)
            curved += 2 * np.einsum("tbi,tbij,tbj->", split[:-r], block, split[r:], optimize=True)
        curved += shared @ self.shared @ shared
        curved += 2 * np.einsum("ti,tis,s->", frame, self.cross, shared, optimize=True)
        linear = (self.gradient * frame).sum() + self.shared_gradient @ shared
        return float(-(linear + curved / 2))


def _diagonal(H: FloatArray) -> FloatArray:
    return np.diagonal(H, axis1=-2, axis2=-1)


def _scaling(H: FloatArray) -> FloatArray:
    """Marquardt's (1963) diagonal, never less than a millionth of the largest: unseen stays put."""
    d = _diagonal(H)
    floor = np.maximum(1e-6 * d.max(axis=-1, keepdims=True, initial=0), 1e-9)
    return np.asarray(np.maximum(d, floor)[..., None] * np.eye(d.shape[-1]))


@dataclass(frozen=True, eq=False)
class _Band:
    """Cholesky factor of a block-banded matrix in LAPACK's lower band storage."""

    storage: FloatArray

    @classmethod
    def factor(cls, frame: FloatArray, near: tuple[FloatArray, ...]) -> _Band | None:
        T, N, _ = frame.shape
        reach = min(len(near), T - 1)
        whole = bool(reach) and near[0].ndim == 3
        # A block of three couples entries at most two apart from its own place.
        width = (N - 1) if not reach else reach * N + (N - 1 if whole else 2)
        # In Fortran order entry (i, j) of the matrix is at i + j (rows - 1): blocks are strided
        # views. Entries above the diagonal land in the previous column's last rows, which are
        # there for that and are not read.
        rows = width + 1 + N
        band = np.zeros(T * N * rows + rows)
        item, one = band.itemsize, rows - 1
        blocks = as_strided(band, (T, N, N), (item * N * rows, item, item * one))
        blocks[...] = frame
        for r in range(1, reach + 1):
            block = near[r - 1]
            between = () if whole else (item * 3 * rows,)  # blocks of three
            steps = (item * N * rows, *between, item, item * one)
            view = as_strided(band[r * N :], block.shape, steps)
            view[...] = np.swapaxes(block, -1, -2)
        stored = band[: T * N * rows].reshape(T * N, rows).T
        factored, info = lapack.dpbtrf(stored[: width + 1], lower=1, overwrite_ab=0)
        return cls(factored) if info == 0 else None

    def solve(self, right: FloatArray) -> FloatArray:
        solution, _ = lapack.dpbtrs(self.storage, right, lower=1)
        return np.asarray(solution)
