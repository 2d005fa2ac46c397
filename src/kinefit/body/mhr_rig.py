"""The Momentum Human Rig as its file has it, and what the rig itself makes of its parameters.

A joint has seven numbers, linear in the 204 model parameters: a translation t, Euler angles and
a scale. With its constant offset o and pre-rotation P, its parent p, and E = Rz Ry Rx:

    G_j = G_p P_j E_j,    c_j = c_p + s_p G_p (o_j + t_j),    s_j = s_p 2^scale_j

(momentum, `pymomentum/torch/character.py`, MIT). A scale multiplies everything below its joint:
measured on real outputs, `scale_r_hands` does so with a whole hand, while lengths of limbs are
translations. The mesh follows by linear blend skinning from the bind pose.

Left out: the rig's pose correctives, a network of 660 MB that bulges the skin at bent joints, and
its 72 facial expressions, which SAM 3D Body sets to zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.body.mhr_params import CM, PARAMETERS
from kinefit.body.model import levels
from kinefit.geometry.rotations import compose
from kinefit.io.torchscript import ScriptArchive, read_torchscript
from kinefit.types import FloatArray, InputError, IntArray, InvalidData

_ROOT = "character_torch."
_MOST_JOINTS, _MOST_VERTICES, _MOST_WEIGHTS = 1000, 1_000_000, 64
_HINT = "give mhr_model.pt of the MHR release or of SAM 3D Body's assets"


@dataclass(frozen=True, eq=False)
class MhrRig:
    """The rig: B joints, P = 204 parameters, V vertices; metres, Y up, facing +Z.

    joint_names: B, parents before children. parents: (B,), -1 for the first.
    offsets: (B, 3) metres in the parent's frame. prerotations: (B, 3, 3).
    transform: (B, 7, P) from parameters to translation (metres), Euler angles x, y, z (radians)
        and scale (power of two) of each joint.
    limits: (P, 2) least and greatest value, infinite where the file has none. SAM 3D Body's
        outputs do not keep to them.
    vertices, identity: (V, 3) and (I, V, 3) metres: the mesh at rest, and what each identity
        coefficient adds. faces: (F, 3).
    skin_joints, skin_weights: (V, W).
    bind_rotations, bind_joints: (B, 3, 3) and (B, 3) metres: where joints are when the mesh is at
        rest.
    """

    joint_names: tuple[str, ...]
    parents: IntArray
    offsets: FloatArray
    prerotations: FloatArray
    transform: FloatArray
    limits: FloatArray
    vertices: FloatArray
    identity: FloatArray
    faces: IntArray
    skin_joints: IntArray
    skin_weights: FloatArray
    bind_rotations: FloatArray
    bind_joints: FloatArray

    def joint_parameters(self, parameters: FloatArray) -> FloatArray:
        """(..., B, 7) of model parameters (..., 204)."""
        if parameters.shape[-1:] != self.transform.shape[-1:]:
            raise InvalidData(f"MHR takes {len(PARAMETERS)} parameters, not {parameters.shape}.")
        return np.asarray(np.einsum("bcp,...p->...bc", self.transform, parameters))

    def world(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Joint frames G (..., B, 3, 3), joints c (..., B, 3) metres and scales s (..., B)."""
        local = self.joint_parameters(parameters)
        turn = self.prerotations @ compose(local[..., 5:2:-1], "ZYX")
        step, scale = self.offsets + local[..., :3], np.exp2(local[..., 6])
        G, c, s = turn.copy(), step.copy(), scale.copy()
        for level in levels(self.parents)[1:]:
            p = self.parents[level]
            G[..., level, :, :] = G[..., p, :, :] @ turn[..., level, :, :]
            bone = (G[..., p, :, :] @ step[..., level, :, None])[..., 0]
            c[..., level, :] = c[..., p, :] + s[..., p, None] * bone
            s[..., level] = s[..., p] * scale[..., level]
        return G, c, s

    def mesh(self, parameters: FloatArray, identity: FloatArray) -> FloatArray:
        """(..., V, 3) metres: the mesh of parameters (..., 204) and identity (..., I).

        What the rig makes of them without its pose correctives.
        """
        G, c, s = self.world(parameters)
        rest = self.vertices + np.tensordot(identity, self.identity, axes=1)
        turn = s[..., None, None] * (G @ np.swapaxes(self.bind_rotations, -1, -2))
        shift = c - (turn @ self.bind_joints[..., None])[..., 0]
        out = np.zeros(np.broadcast_shapes(rest.shape, (*c.shape[:-2], 1, 3)))
        for b, w in zip(self.skin_joints.T, self.skin_weights.T, strict=True):
            moved = np.einsum("...vij,...vj->...vi", turn[..., b, :, :], rest)
            out += w[:, None] * (moved + shift[..., b, :])
        return out


def read_rig(path: str | Path) -> MhrRig:
    """The rig in an `mhr_model.pt` (a TorchScript archive); nothing in the file is executed.

    The names of its tensors are those that public programs read from the released file. Raises
    InputError for another file, for one whose parameters are not the 204 known ones, whose
    tensors do not fit together, or whose rest pose is not the pose its mesh is bound in.
    """
    archive = read_torchscript(path)
    names = archive.names(_ROOT + "skeleton.joint_names")
    B = len(names)
    if not 2 <= B <= _MOST_JOINTS or len(set(names)) != B:
        raise InputError(archive.path, f"its {B} joint names are too many or not distinct", _HINT)
    parents = _integers(archive, "skeleton.joint_parents", (B,), -1, B)
    if parents[0] != -1 or not ((parents[1:] >= 0) & (parents[1:] < np.arange(1, B))).all():
        raise InputError(archive.path, "a joint comes before its parent", _HINT)
    vertices = _numbers(archive, "blend_shape.base_shape", (None, 3)) * CM
    V = len(vertices)
    if not 0 < V <= _MOST_VERTICES:
        raise InputError(archive.path, f"its mesh has {V} vertices", _HINT)
    identity = _numbers(archive, "blend_shape.shape_vectors", (None, V, 3)) * CM
    bind_rotations, bind_joints = _bind_pose(archive, B)
    rig = MhrRig(
        names,
        parents,
        _numbers(archive, "skeleton.joint_translation_offsets", (B, 3)) * CM,
        _turns(archive, _numbers(archive, "skeleton.joint_prerotations", (B, 4))),
        _transform(archive, B),
        _limits(archive),
        vertices,
        identity,
        _integers(archive, "mesh.faces", (None, 3), 0, V),
        *_skin(archive, V, B),
        bind_rotations,
        bind_joints,
    )
    _check_rest(archive, rig)
    return rig


def _check_rest(archive: ScriptArchive, rig: MhrRig) -> None:
    """The mesh must be at rest where the joints are when every parameter is zero."""
    G, c, _ = rig.world(np.zeros(len(PARAMETERS)))
    off, turned = np.abs(c - rig.bind_joints).max(), np.abs(G - rig.bind_rotations).max()
    # The file's numbers are float32 centimetres: rounding is 1e-7 of two metres, times the chain.
    if off > 1e-4 or turned > 1e-4:
        raise InputError(
            archive.path, f"its mesh is bound {off * 1000:.2f} mm from its rest pose", _HINT
        )


def _transform(archive: ScriptArchive, joints: int) -> FloatArray:
    """(B, 7, 204): the columns of the parameters that have names, in metres."""
    names = archive.names(_ROOT + "parameter_transform.parameter_names")
    if names[: len(PARAMETERS)] != PARAMETERS:
        differs = next((n for n, k in zip(names, PARAMETERS, strict=False) if n != k), "too few")
        raise InputError(archive.path, f"its parameters are others ({differs})", _HINT)
    matrix = _numbers(archive, "parameter_transform.parameter_transform", (7 * joints, None))
    if matrix.shape[1] < len(PARAMETERS) or matrix[:, len(PARAMETERS) :].any():
        raise InputError(archive.path, f"its transform has shape {matrix.shape}", _HINT)
    matrix = matrix[:, : len(PARAMETERS)].reshape(joints, 7, -1).copy()
    matrix[:, :3] *= CM
    return matrix


def _limits(archive: ScriptArchive) -> FloatArray:
    out = np.tile([-np.inf, np.inf], (len(PARAMETERS), 1))
    if archive.has_array(_ROOT + "parameter_limits.minmax_parameter_index"):
        index = _integers(archive, "parameter_limits.minmax_parameter_index", (None,), 0, 10**6)
        low = _numbers(archive, "parameter_limits.minmax_min", (len(index),))
        high = _numbers(archive, "parameter_limits.minmax_max", (len(index),))
        ours = index < len(PARAMETERS)
        out[index[ours]] = np.stack([low, high], axis=-1)[ours]
    return out


def _skin(archive: ScriptArchive, vertices: int, joints: int) -> tuple[IntArray, FloatArray]:
    """(V, W) joints and weights from one entry per pair of vertex and joint."""
    part = "linear_blend_skinning."
    vertex = _integers(archive, part + "vert_indices_flattened", (None,), 0, vertices)
    joint = _integers(archive, part + "skin_indices_flattened", (len(vertex),), 0, joints)
    weight = _numbers(archive, part + "skin_weights_flattened", (len(vertex),))
    total = np.bincount(vertex, weight, minlength=vertices)
    count = np.bincount(vertex, minlength=vertices)
    # The rig drops weights below 1e-5; more than a hundredth missing is damage.
    if (weight < 0).any() or (np.abs(total - 1) > 0.01).any() or count.max() > _MOST_WEIGHTS:
        raise InputError(archive.path, "its skinning weights do not sum to one", _HINT)
    order = np.argsort(vertex, kind="stable")
    vertex, joint, weight = vertex[order], joint[order], weight[order]
    slot = np.arange(len(vertex)) - (np.cumsum(count) - count)[vertex]
    out_joint = np.zeros((vertices, count.max()), dtype=np.int64)
    out_weight = np.zeros(out_joint.shape)
    out_joint[vertex, slot], out_weight[vertex, slot] = joint, weight / total[vertex]
    return out_joint, out_weight


def _bind_pose(archive: ScriptArchive, joints: int) -> tuple[FloatArray, FloatArray]:
    """Rotations and places of joints from the inverse: x_joint = scale R x + t, centimetres."""
    inverse = _numbers(archive, "linear_blend_skinning.inverse_bind_pose", (joints, 8))
    if (np.abs(inverse[:, 7] - 1) > 1e-4).any():
        raise InputError(archive.path, "its bind pose has joints that are scaled", _HINT)
    rotations = np.swapaxes(_turns(archive, inverse[:, 3:7]), -1, -2)
    return rotations, -(rotations @ inverse[:, :3, None])[..., 0] * CM


def _turns(archive: ScriptArchive, quaternions: FloatArray) -> FloatArray:
    """(N, 3, 3) of unit quaternions (N, 4), x, y, z, w."""
    length = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    if (np.abs(length - 1) > 1e-3).any():
        raise InputError(archive.path, "it has a quaternion that is not of length one", _HINT)
    x, y, z, w = (quaternions / length).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def _numbers(archive: ScriptArchive, name: str, shape: tuple[int | None, ...]) -> FloatArray:
    array = _shaped(archive, name, shape)
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise InputError(archive.path, f"{name} is not all numbers", _HINT)
    return np.asarray(array, dtype=np.float64)


def _integers(
    archive: ScriptArchive, name: str, shape: tuple[int | None, ...], low: int, high: int
) -> IntArray:
    """Integers in low <= n < high."""
    array = _shaped(archive, name, shape)
    if array.dtype.kind not in "iu" or ((array < low) | (array >= high)).any():
        raise InputError(archive.path, f"{name} points outside what there is", _HINT)
    return np.asarray(array, dtype=np.int64)


def _shaped(archive: ScriptArchive, name: str, shape: tuple[int | None, ...]) -> Any:
    array = archive.array(_ROOT + name)
    fits = len(array.shape) == len(shape) and all(
        want is None or got == want for got, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise InputError(archive.path, f"{name} has shape {array.shape}, not {shape}", _HINT)
    return array
