"""Any body as a model of SMPL's format: its joints thinned out, its shapes as principal components.

So that software made for SMPL runs on a body whose licence allows it, and so that kinefit's own
reading of such files can be tried without a licensed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import nnls

from kinefit.body.model import BodyModel
from kinefit.io.smpl import SmplData
from kinefit.types import FloatArray, IntArray, InvalidData

# How many vertices, the nearest, may take part in a joint: more only where fewer leave it over a
# micrometre off (a joint of the spine lies far from the belly, and must lie between vertices).
_NEAREST = (16, 32, 64, 128, 256, 512, 1024)
_CLOSE = 1e-6
# A sum of weights that is off by 1e-3 counts like a joint that is off by 1 m: the sum is exact to
# the solver's rounding before the weights are normalised.
_SUM_ROW = 1e3


@dataclass(frozen=True, eq=False)
class SmplExport:
    """A body in SMPL's format, and how well it says what the body says.

    data: the model; its mean is the mean of the people that were drawn.
    joint_residual_mm: (B,) root mean square distance, over people, of the regressed joints from
        the body's own.
    shape_residual_mm: the same of its vertices from the body's own, all shape directions that
        were left out taken together.
    """

    data: SmplData
    joint_residual_mm: FloatArray
    shape_residual_mm: float


def as_smpl(
    body: BodyModel,
    joints: Sequence[str],
    shape_count: int = 10,
    *,
    people: int = 1000,
    seed: int = 0,
    signed: bool = False,
) -> SmplExport:
    """`body` in SMPL's format, with `joints` of it and `shape_count` shape directions.

    joints: names of the body's joints, parents before children, in the order of the file; 24 in
        SMPL's order for software that expects SMPL. Bones of other joints become part of the
        nearest joint above that is kept (above the first: of the first). A pose that leaves those
        other joints at rest is therefore the same in both.
    shape_count: principal components of the rest vertices of `people` drawn from the body's shape
        space (`neutral + spread * normal`, clipped to its bounds) with `seed`; each is scaled so
        that its coefficient has unit variance, and turned so that its largest entry is positive.
    signed: joints from weights of either sign. SMPL's own are not negative, and neither are these
        by default; but where a body's joints move otherwise than the skin about them, no such
        weights follow (Anny with 10 directions: knees 18 mm off, other joints 0.2-13 mm). Signed
        ones do, exactly, of 1,024 vertices each instead of ten.

    There are no pose blend shapes: those of `body`, if it has any, are left out.
    Raises InvalidData for a joint that the body does not have, an order that is no tree, and more
    shape directions than the body's shapes span.
    """
    kept, parents, owner = _thinned(body, joints)
    normal = np.random.default_rng(seed).standard_normal((people, len(body.shape.names)))
    space = body.shape
    shapes = np.clip(space.neutral + space.spread * normal, space.lower, space.upper)
    coefficients = np.asarray(space.coefficients(shapes))
    mean = coefficients.mean(axis=0)
    basis, left_out = _principal(body, coefficients - mean, shape_count)

    v_template = body.vertices + np.tensordot(mean, body.vertex_dirs, axes=1)
    shapedirs = np.tensordot(basis, body.vertex_dirs, axes=1)
    joint_mean = (body.joints + np.tensordot(mean, body.joint_dirs, axes=1))[kept]
    joint_dirs = np.tensordot(basis, body.joint_dirs, axes=1)[:, kept]
    regressor = _joint_regressor(v_template, shapedirs, joint_mean, joint_dirs, signed)
    data = SmplData(
        v_template=v_template,
        shapedirs=np.moveaxis(shapedirs, 0, -1),
        posedirs=np.zeros((len(v_template), 3, 9 * (len(kept) - 1))),
        J_regressor=regressor,
        weights=_merged_weights(body, owner, len(kept)),
        f=body.faces,
        parents=parents,
    )
    # With coefficients of unit variance, mean squares over people add up direction by direction.
    error = np.stack([regressor @ v for v in (v_template, *shapedirs)])
    error -= np.concatenate([joint_mean[None], joint_dirs])
    residual = 1000 * np.sqrt((error**2).sum(axis=(0, 2)))
    return SmplExport(data, residual, 1000 * float(np.sqrt(left_out / len(v_template))))


def _thinned(body: BodyModel, joints: Sequence[str]) -> tuple[IntArray, IntArray, IntArray]:
    """Kept joints (K,), their parents among the kept (K,), and the kept joint of each bone (B,)."""
    unknown = [name for name in joints if name not in body.joint_names]
    if unknown or not joints or len(set(joints)) != len(joints):
        said = ", ".join(unknown) or "none or one twice"
        raise InvalidData(f"Body {body.name} cannot keep joints: {said}.")
    kept = np.array([body.joint_names.index(name) for name in joints])
    place = {int(b): k for k, b in enumerate(kept)}
    nearest = np.full(len(body.joint_names), -1)
    parents = np.full(len(kept), -1)
    for b, above in enumerate(body.parents):
        inherited = nearest[above] if above >= 0 else -1
        nearest[b] = place.get(b, inherited)
        if b in place:
            parents[place[b]] = inherited
    if parents[0] != -1 or not ((parents >= 0) & (parents < np.arange(len(kept))))[1:].all():
        raise InvalidData(f"Body {body.name}: {', '.join(joints)} are not in the order of a tree.")
    return kept, parents, np.maximum(nearest, 0)


def _merged_weights(body: BodyModel, owner: IntArray, count: int) -> FloatArray:
    """(V, count) skinning weights, those of each bone given to the joint that owns it."""
    weights = np.zeros((len(body.vertices), count))
    rows = np.broadcast_to(np.arange(len(weights))[:, None], body.skin_joints.shape)
    np.add.at(weights, (rows, owner[body.skin_joints]), body.skin_weights)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _principal(
    body: BodyModel, deviations: FloatArray, shape_count: int
) -> tuple[FloatArray, float]:
    """(shape_count, C) coefficients of the principal directions, one standard deviation each.

    deviations: (N, C) from the mean. Also the variance (metres squared, summed over coordinates)
    of what the directions leave out. The vertices are linear in the C coefficients: their
    covariance has the non-zero eigenvalues of the C x C matrix that is decomposed here.
    """
    C = len(body.vertex_dirs)
    flat = body.vertex_dirs.reshape(C, -1)
    variance, axes = np.linalg.eigh(deviations.T @ deviations / len(deviations))
    spread = (axes * np.sqrt(variance.clip(0))) @ axes.T  # its symmetric square root
    variance, axes = np.linalg.eigh(spread @ (flat @ flat.T) @ spread)
    variance, axes = variance[::-1].clip(0), axes[:, ::-1]
    # Rounding leaves directions without variance at 1e-16 of the largest, or a little above.
    rank = int((variance > 1e-13 * variance[0]).sum()) if variance[0] > 0 else 0
    if not 1 <= shape_count <= rank:
        raise InvalidData(
            f"Body {body.name}: its shapes span {rank} directions, {shape_count} were asked for."
        )
    basis = (spread @ axes[:, :shape_count]).T
    moved = basis @ flat
    largest = np.take_along_axis(moved, np.abs(moved).argmax(axis=1)[:, None], axis=1)
    return basis * np.sign(largest), float(variance[shape_count:].sum())


def _joint_regressor(
    v_template: FloatArray,
    shapedirs: FloatArray,
    joints: FloatArray,
    joint_dirs: FloatArray,
    signed: bool,
) -> sparse.csr_array[np.float64]:
    """(B, V) weights of nearby vertices, rows summing to one, that give the joints at rest.

    v_template: (V, 3). shapedirs: (S, V, 3). joints: (B, 3). joint_dirs: (S, B, 3). Least mean
    square over people whose coefficients have unit variance: the mean and each direction are one
    block of equations.
    """
    rows = np.concatenate([v_template[None], shapedirs])
    wanted = np.concatenate([joints[None], joint_dirs])
    regressor = sparse.lil_array((len(joints), len(v_template)))
    for b in range(len(joints)):
        order = np.argsort(((v_template - joints[b]) ** 2).sum(axis=1), kind="stable")
        for count in _NEAREST[-1:] if signed else _NEAREST:
            near = order[:count]
            weights, error = _weights(rows[:, near], wanted[:, b], signed)
            if error < _CLOSE:
                break
        used = weights != 0
        regressor[[b], near[used]] = weights[used]
    return sparse.csr_array(regressor)


def _weights(rows: FloatArray, wanted: FloatArray, signed: bool) -> tuple[FloatArray, float]:
    """(N,) weights of sum one that make `wanted` (S, 3) of `rows` (S, N, 3); and their error.

    Non-negative least squares (few weights), or where `signed` the smallest ones.
    """
    # About the joint itself: a place far from the origin would cost digits.
    relative = rows - np.eye(len(rows), 1)[..., None] * wanted[0]
    target = np.vstack([np.zeros((1, 3)), wanted[1:]]).ravel()
    flat = relative.transpose(0, 2, 1).reshape(len(target), -1)
    A = np.vstack([flat, np.full((1, flat.shape[1]), _SUM_ROW)])
    right = np.append(target, _SUM_ROW)
    weights = np.linalg.lstsq(A, right, rcond=None)[0] if signed else nnls(A, right)[0]
    weights = weights / weights.sum()
    return weights, float(np.linalg.norm(flat @ weights - target))
