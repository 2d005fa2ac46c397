"""The Momentum Human Rig (MHR) as a `BodyModel`, from the user's own `mhr_model.pt`.

What is the rig's and what is the body's:

- The rig's first joint, the world, has no parameters; it is left out and `root` is the body's
  first joint. The rig's other joints keep their names and order.
- Rotations are about the axes of the world in which the body stands at rest. With W the frame of
  a joint at rest and E = Rz Ry Rx of its Euler angles, the local rotation is W E W^T.
- Shape is 45 identity coefficients, which move the mesh only, and 68 scales. Most are lengths in
  units of 5 to 10 cm that add to bones; `scale_r_hands` and `scale_l_hands` are powers of two
  that multiply a hand (`MhrShape` makes coefficients of both). Joints are exact for every shape.
  The mesh is exact while no scale is set. With scales it is exact at rest (but for what identity
  adds to a scaled hand: a tenth of it, hundredths of a centimetre), and bent, a vertex between
  two joints is off by its weights' share of how far the scales drive the two apart: up to 1 cm
  at half and half, 3 cm and 90 degrees. `MhrRig.mesh` has no such error.
- Pose correctives and expressions are left out (see `kinefit.body.mhr_rig`).

Not tried on the released file, which is not free to pass on: names and shapes of its tensors are
those that several public programs read from it. `benchmarks/mhr_against_script.py` compares a
loaded model with what the file's own program computes, on the machine of someone who has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinefit.body.mhr_params import (
    ANATOMY,
    KEYPOINT_JOINTS,
    LENGTH_PARAMETERS,
    PARAMETERS,
    POSE_COUNT,
    SCALE_PARAMETERS,
)
from kinefit.body.mhr_rig import MhrRig, read_rig
from kinefit.body.model import BodyModel, ShapeSpace
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray, IntArray, InvalidData

_LENGTHS = np.arange(POSE_COUNT - len(LENGTH_PARAMETERS), POSE_COUNT)
_SCALES = np.arange(POSE_COUNT, len(PARAMETERS))
_ANGLES = np.arange(6, POSE_COUNT - len(LENGTH_PARAMETERS))
# Of a parameter whose limits do not say it: a centimetre for most lengths. Locked parameters
# (both limits zero) get a tenth of it and no bounds, for SAM 3D Body moves them all the same.
_SPREAD, _LOCKED = 0.1, 0.01
# A keypoint is a joint when this much of its weight is; what is left moves it less than 1 mm.
_ONE_JOINT = 0.995


@dataclass(frozen=True, eq=False)
class MhrShape(ShapeSpace):
    """Identity coefficients and scales, and the shape directions that they add up to.

    A bone below joints that are scaled by s = 2^(row . scales) is s (o + t), with t linear in the
    scales: its directions have the coefficients s - 1 (of o) and s scale_q (of t). Rows that
    differ make classes; class 0 is not scaled.

    identity_count: I. rows: (K, 68) exponent of each class. lengths: (N, 2) scale q and class.
    Coefficients are the I identities, then N of lengths, then K - 1 of classes.
    """

    identity_count: int
    rows: FloatArray
    lengths: IntArray

    def coefficients(self, shape: FloatArray) -> FloatArray:
        identity, scales, factor = self._parts(shape)
        q, k = self.lengths.T
        return np.concatenate([identity, scales[..., q] * factor[..., k], factor[..., 1:] - 1], -1)

    def jacobian(self, shape: FloatArray) -> FloatArray:
        _, scales, factor = self._parts(shape)
        count, N, (q, k) = self.identity_count, len(self.lengths), self.lengths.T
        slope = np.log(2) * factor[..., None] * self.rows  # (..., K, 68)
        out = np.zeros((*shape.shape[:-1], count + N + len(self.rows) - 1, len(self.names)))
        out[..., np.arange(count), np.arange(count)] = 1
        out[..., count : count + N, count:] = scales[..., q, None] * slope[..., k, :]
        out[..., count + np.arange(N), count + q] += factor[..., k]
        out[..., count + N :, count:] = slope[..., 1:, :]
        return out

    def _parts(self, shape: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        identity, scales = np.split(shape, [self.identity_count], axis=-1)
        return identity, scales, np.exp2(scales @ self.rows.T)


@dataclass(frozen=True, eq=False)
class MhrModel:
    """A body, and the rig that it was made from.

    body: B joints without the world; its shape is (identity, scales).
    rig: evaluates the 204 parameters as they are.
    kept: (B,) index of the body's joints among the rig's.
    frames: (B, 3, 3) their frames at rest.
    length_scales: (68, 6) scales that stand for one unit of each of `LENGTH_PARAMETERS`, which
        SAM 3D Body sets anew in every frame.
    ignored: parameters that do what a body cannot follow: an angle that shifts a joint, or a
        length or scale that turns one. Empty for a rig as it is documented.
    """

    body: BodyModel
    rig: MhrRig
    kept: IntArray
    frames: FloatArray
    length_scales: FloatArray
    ignored: tuple[str, ...]

    def shape(self, parameters: FloatArray, identity: FloatArray) -> FloatArray:
        """(..., S) the body's shape of model parameters (..., 204) and identity (..., I)."""
        wanted = len(PARAMETERS), len(self.rig.identity)
        if (parameters.shape[-1:], identity.shape[-1:]) != (wanted[:1], wanted[1:]):
            raise InvalidData(
                f"MHR takes {wanted[0]} parameters and {wanted[1]} identity coefficients, "
                f"not {parameters.shape} and {identity.shape}."
            )
        lengths, scales = parameters[..., _LENGTHS], parameters[..., _SCALES]
        scales = scales + lengths @ self.length_scales.T
        identity = np.broadcast_to(identity, (*scales.shape[:-1], identity.shape[-1]))
        return np.concatenate([identity, scales], axis=-1)


def load_mhr(path: str | Path, keypoint_mapping: FloatArray | None = None) -> MhrModel:
    """The body in the user's `mhr_model.pt`; nothing in the file is executed, torch not needed.

    keypoint_mapping: (K, V + J) with K >= 70 and J joints of the rig: SAM 3D Body's table of that
        name (its checkpoint has it), for keypoints on the skin. Without it the 53 of mhr70 that
        have a joint are known, 48 of them exactly.

    Raises InputError for a file that is not such a rig (see `read_rig`), InvalidData for a
    mapping of another shape.
    """
    rig = read_rig(path)
    kept, parents = _without_world(rig)
    frames, joints, _ = rig.world(np.zeros(len(PARAMETERS)))
    W = frames[kept]
    shape, joint_dirs, vertex_dirs, skin_joints = _shape_space(rig, kept, parents, W)
    names = tuple(rig.joint_names[j] for j in kept)
    keypoints: dict[str, tuple[IntArray, FloatArray] | str] = {
        point: joint for point, joint in KEYPOINT_JOINTS.items() if joint in names
    }
    if keypoint_mapping is not None:
        keypoints |= _mapped_keypoints(rig, names, kept, keypoint_mapping)
    body = BodyModel(
        "mhr",
        names,
        parents,
        joints[kept],
        joint_dirs,
        rig.vertices,
        vertex_dirs,
        rig.faces,
        skin_joints,
        rig.skin_weights,
        shape,
        keypoints,
        {bone: joint for bone, joint in ANATOMY.items() if joint in names},
    )
    length_scales, lost = _length_scales(rig)
    return MhrModel(body, rig, kept, W, length_scales, (*_beyond_a_body(rig, kept), *lost))


def _without_world(rig: MhrRig) -> tuple[IntArray, IntArray]:
    """The rig's joints that the body has, and their parents among themselves."""
    first = int((rig.parents == 0).sum() == 1 and not rig.transform[0].any())
    kept = np.arange(first, len(rig.parents))
    return kept, np.maximum(rig.parents[kept] - first, -1)


def _shape_space(
    rig: MhrRig, kept: IntArray, parents: IntArray, W: FloatArray
) -> tuple[MhrShape, FloatArray, FloatArray, IntArray]:
    """Shape, joint_dirs (C, B, 3), vertex_dirs (C, V, 3) and skin joints (V, W) of the body."""
    skin = np.maximum(rig.skin_joints - kept[0], 0)  # what follows the world goes with the root
    exponent = rig.transform[kept, 6][:, _SCALES].copy()
    for b in range(1, len(parents)):
        exponent[b] += exponent[parents[b]]
    rows, group = np.unique(
        np.concatenate([np.zeros((1, len(_SCALES))), exponent]), axis=0, return_inverse=True
    )
    zero = int(np.flatnonzero(~rows.any(axis=1))[0])
    order = np.concatenate([[zero], np.delete(np.arange(len(rows)), zero)])
    rows, group = rows[order], np.argsort(order)[group.ravel()[1:]]
    above = np.where(parents >= 0, group[parents], 0)  # the class that scales a joint's bone
    shifts = _world_bones(rig.transform[kept, :3][..., _SCALES], parents, W)  # (B, 3, 68)
    every = ((q, k) for k in range(len(rows)) for q in range(len(_SCALES)))
    pairs = [(q, k) for q, k in every if shifts[above == k, :, q].any()]
    lengths = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    rest_bones = _world_bones(rig.offsets[kept][..., None], parents, W)  # (B, 3, 1)
    bones = [shifts[..., q] * (above == k)[:, None] for q, k in pairs]
    bones += [rest_bones[..., 0] * (above == k)[:, None] for k in range(1, len(rows))]
    joint_dirs = np.array(bones).reshape(-1, len(kept), 3)
    for b in range(1, len(parents)):
        joint_dirs[:, b] += joint_dirs[:, parents[b]]
    vertex_dirs = np.einsum("vw,cvwi->cvi", rig.skin_weights, joint_dirs[:, skin])
    heads = rig.bind_joints[kept][skin]  # (V, W, 3)
    for k in range(1, len(rows)):
        share = rig.skin_weights * (group[skin] == k)
        arms = rig.vertices[:, None] - heads
        vertex_dirs[len(pairs) + k - 1] += (share[..., None] * arms).sum(axis=1)
    identity = np.zeros((len(rig.identity), len(kept), 3))
    return (
        _named_shape(rig, rows, lengths),
        np.concatenate([identity, joint_dirs]),
        np.concatenate([rig.identity, vertex_dirs]),
        skin,
    )


def _world_bones(local: FloatArray, parents: IntArray, W: FloatArray) -> FloatArray:
    """(B, 3, N) in world axes at rest from bones (B, 3, N) in the parents' frames."""
    frames = np.where((parents >= 0)[:, None, None], W[parents], np.eye(3))
    return np.asarray(frames @ local)


def _named_shape(rig: MhrRig, rows: FloatArray, lengths: IntArray) -> MhrShape:
    count = len(rig.identity)
    low, high = rig.limits[_SCALES].T
    locked = high <= low
    width = np.where(np.isfinite(high - low), high - low, 4 * _SPREAD)
    free = np.full(count, np.inf)
    return MhrShape(
        (*(f"identity{i}" for i in range(count)), *SCALE_PARAMETERS),
        np.zeros(count + len(_SCALES)),
        np.concatenate([np.ones(count), np.where(locked, _LOCKED, width / 4)]),
        np.concatenate([-free, np.where(locked, -np.inf, low)]),
        np.concatenate([free, np.where(locked, np.inf, high)]),
        count,
        rows,
        lengths,
    )


def _length_scales(rig: MhrRig) -> tuple[FloatArray, tuple[str, ...]]:
    """(68, 6) scales equal to each length parameter, and the parameters that have no equal."""
    shifts = rig.transform[:, :3].reshape(-1, len(PARAMETERS))
    usable = ~np.asarray(rig.transform[:, 3:].any(axis=(0, 1)))[_SCALES]
    wanted, offered = shifts[:, _LENGTHS], shifts[:, _SCALES] * usable
    found = np.linalg.lstsq(offered, wanted, rcond=1e-6)[0]
    found[np.abs(found) < 1e-9] = 0
    # A micrometre per unit: the file's rounding, far below what a length does (millimetres).
    missed = np.abs(offered @ found - wanted).max(axis=0) > 1e-6
    return np.asarray(found, dtype=np.float64), tuple(
        n for n, lost in zip(LENGTH_PARAMETERS, missed, strict=True) if lost
    )


def _beyond_a_body(rig: MhrRig, kept: IntArray) -> tuple[str, ...]:
    transform = rig.transform[kept]
    shifts = np.asarray(transform[:, [0, 1, 2, 6]].any(axis=(0, 1)))
    turns = np.asarray(transform[:, 3:6].any(axis=(0, 1)))
    bad = [*_ANGLES[shifts[_ANGLES]], *_LENGTHS[turns[_LENGTHS]], *_SCALES[turns[_SCALES]]]
    return tuple(PARAMETERS[i] for i in bad)


def _mapped_keypoints(
    rig: MhrRig, names: tuple[str, ...], kept: IntArray, mapping: FloatArray
) -> Mapping[str, tuple[IntArray, FloatArray] | str]:
    """The keypoints of mhr70 as the user's table has them: a joint, or a mean of vertices.

    A keypoint that mixes joints and vertices is not taken: its joint stands for it, if any.
    """
    points, V = skeleton("mhr70").points, len(rig.vertices)
    width = V + len(rig.joint_names)
    if mapping.ndim != 2 or len(mapping) < len(points) or mapping.shape[1] != width:
        raise InvalidData(f"keypoint_mapping has shape {mapping.shape}, expected (>=70, {width}).")
    found: dict[str, tuple[IntArray, FloatArray] | str] = {}
    for name, row in zip(points, np.asarray(mapping, dtype=np.float64), strict=False):
        on_skin, on_joints = row[:V], row[V:]
        total = row.sum()
        joint = int(np.argmax(on_joints))
        if total > 0 and on_joints[joint] > _ONE_JOINT * total and joint in kept:
            found[name] = rig.joint_names[joint]
        elif on_skin.any() and np.abs(on_joints).sum() < (1 - _ONE_JOINT) * total:
            index = np.flatnonzero(on_skin)
            found[name] = (index, on_skin[index] / on_skin.sum())
    return found
