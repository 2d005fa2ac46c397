"""A made-up rig with MHR's joints and parameters, saved by torch as the released model is.

Joint names, parameter names and the modules' attributes are the released model's; bones, frames,
mesh, weights and what each parameter moves are made up (seeded). What the released file says
about the last, as far as it has been measured, is followed: lengths are translations, hand scales
are powers of two, pairs such as spine_twist0 and spine0_rx_flexible do the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from kinefit.body.mhr_params import JOINTS, PARAMETERS

from .mhr_tree import PARENTS

IDENTITY, EXPRESSION, VERTICES = 45, 72, 400


def _moves(name: str) -> list[tuple[str, str, float]]:
    """What a parameter does: joint, which of its seven numbers, how much."""
    axes = {"twist": "rx", "lean": "ry", "bend": "rz"}
    if name.startswith("root_"):
        return [("root", name[-2:], 10.0 if name[5] == "t" else 1.0)]
    if name.startswith("scale_"):
        return _scales(name.removeprefix("scale_"))
    if name.startswith("spine_") and name[6:10] in ("twis", "lean", "bend"):
        return [(f"c_spine{name[-1]}", axes[name[6:-1]], 1.0)]
    if name.startswith(("neck_", "head_")) and name[5:] in axes:
        return [(f"c_{name[:4]}", axes[name[5:]], 1.0)]
    bare = name.removesuffix("_flexible")
    if bare.startswith("spine") and bare[5].isdigit():
        return [(f"c_{bare[:6]}", bare[-2:], 1.0)]
    lengths = {
        "spine_length": [(f"c_spine{i}", "tx", 2.19) for i in (1, 2, 3)],
        "neck_length": [("c_head", "tx", 4.0)],
        "shoulder_width": [("l_uparm", "tx", 5.0), ("r_uparm", "tx", -5.0)],
        "arm_length": [(f"{s}_{j}", "tx", f) for s, f in (("l", 5.0), ("r", -5.0))
                       for j in ("lowarm", "wrist_twist")],
        "hip_width": [("l_upleg", "tx", 5.0), ("r_upleg", "tx", -5.0)],
        "leg_length": [(f"{s}_{j}", "tx", f) for s, f in (("l", 5.0), ("r", -5.0))
                       for j in ("lowleg", "foot")],
    }  # fmt: skip
    if bare in lengths:
        return lengths[bare]
    return _limb(bare[0], bare[2:])


def _limb(side: str, part: str) -> list[tuple[str, str, float]]:
    special = {
        "elbow_bend": ("lowarm", "ry"), "knee_bend": ("lowleg", "ry"), "foot_bend": ("foot", "rz"),
        "foot_lean0": ("subtalar", "rx"), "foot_lean1": ("transversetarsal", "rx"),
        "ball_bend": ("ball", "rz"),
    }  # fmt: skip
    if part in special:
        joint, number = special[part]
        return [(f"{side}_{joint}", number, 1.0)]
    if part.endswith("_twist"):  # shared with the joints that carry the skin along the limb
        limb = part.removesuffix("_twist")
        main = {"uparm": "uparm", "lowarm": "wrist_twist", "upleg": "upleg", "lowleg": "foot"}
        helpers = [j for j in JOINTS if j.startswith(f"{side}_{limb}_twist")]
        share = [(j, "rx", -0.2 * (i + 1)) for i, j in enumerate(helpers)]
        return [(f"{side}_{main[limb]}", "rx", 1.0), *share]
    return [(f"{side}_{part[:-3]}", part[-2:], 1.0)]


def _scales(part: str) -> list[tuple[str, str, float]]:
    both = {
        "eye_width": ("eye", "tx", 1.0), "eye_height": ("eye", "ty", 1.0),
        "eye_depth": ("eye", "tz", 1.0), "shoulder_width": ("uparm", "tx", 10.0),
        "uparms": ("lowarm", "tx", 10.0), "lowarms": ("wrist_twist", "tx", 10.0),
        "hip_width": ("upleg", "tx", 10.0), "hip_height": ("upleg", "ty", 5.0),
        "hip_depth": ("upleg", "tz", 5.0), "uplegs": ("lowleg", "tx", 10.0),
        "lowlegs": ("foot", "tx", 10.0), "knee_knock": ("lowleg", "ty", 3.0),
        "ankle_height": ("talocrural", "tx", 3.0), "foot_length": ("ball", "tx", 6.0),
    }  # fmt: skip
    if part in both:
        joint, number, much = both[part]
        return [(f"l_{joint}", number, much), (f"r_{joint}", number, -much)]
    if part == "spine_length":
        return [(f"c_spine{i}", "tx", 2.19) for i in (1, 2, 3)]
    if part == "neck_length":
        return [("c_head", "tx", 4.0)]
    if part in ("r_hands", "l_hands"):
        return [(f"{part[0]}_wrist", "sc", 1.0)]
    side, finger = part[0], part[2:]
    if finger.endswith("_null_tx"):
        return [(f"{side}_{finger.removesuffix('_tx')}", "tx", 2.0)]
    stem, kind = finger.rsplit("_", 1)
    return [(f"{side}_{stem}", "tx" if kind == "length" else "ty", 1.5)]


def transform() -> np.ndarray:
    """(7 x 127, 249): what the parameters do; the last 45 columns are zero, as in the model."""
    numbers = ("tx", "ty", "tz", "rx", "ry", "rz", "sc")
    out = np.zeros((len(JOINTS), 7, len(PARAMETERS) + IDENTITY))
    for p, name in enumerate(PARAMETERS):
        for joint, number, much in _moves(name):
            out[JOINTS.index(joint), numbers.index(number), p] += much
    return out.reshape(-1, out.shape[-1])


class Skeleton(torch.nn.Module):
    def __init__(self, offsets: torch.Tensor, prerotations: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("joint_translation_offsets", offsets)
        self.register_buffer("joint_prerotations", prerotations)
        self.register_buffer("joint_parents", torch.tensor(PARENTS, dtype=torch.int32))
        self.joint_names: list[str] = list(JOINTS)
        self.parents: list[int] = PARENTS.tolist()

    def forward(self, joint_parameters: torch.Tensor) -> torch.Tensor:
        """(N, 127, 8): position, quaternion x y z w, scale."""
        local = joint_parameters.reshape(joint_parameters.shape[0], -1, 7)
        states: list[torch.Tensor] = []
        for j, parent in enumerate(self.parents):
            step = local[:, j, :3] + self.joint_translation_offsets[j]
            turn = multiply(
                self.joint_prerotations[j].expand(len(local), 4), euler(local[:, j, 3:6])
            )
            scale = torch.exp2(local[:, j, 6:])
            if parent >= 0:
                above = states[parent]
                step = above[:, :3] + above[:, 7:] * rotate(above[:, 3:7], step)
                turn = multiply(above[:, 3:7], turn)
                scale = above[:, 7:] * scale
            turn = turn / turn.norm(2, dim=-1, keepdim=True)
            states.append(torch.cat([step, turn, scale], dim=-1))
        return torch.stack(states, dim=1)


def multiply(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Product of quaternions x, y, z, w."""
    va, vb, wa, wb = a[..., :3], b[..., :3], a[..., 3:], b[..., 3:]
    vector = wa * vb + wb * va + torch.cross(va, vb, dim=-1)
    return torch.cat([vector, wa * wb - (va * vb).sum(-1, keepdim=True)], dim=-1)


def rotate(q: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    t = 2 * torch.cross(q[..., :3], v, dim=-1)
    return v + q[..., 3:] * t + torch.cross(q[..., :3], t, dim=-1)


def euler(angles: torch.Tensor) -> torch.Tensor:
    """Quaternion of Rz Ry Rx."""
    zero = torch.zeros_like(angles[..., 0])
    s, c = torch.sin(angles / 2), torch.cos(angles / 2)
    x = torch.stack([s[..., 0], zero, zero, c[..., 0]], dim=-1)
    y = torch.stack([zero, s[..., 1], zero, c[..., 1]], dim=-1)
    z = torch.stack([zero, zero, s[..., 2], c[..., 2]], dim=-1)
    return multiply(z, multiply(y, x))


class Holder(torch.nn.Module):
    """A module that holds buffers, and names under `parameter_names`."""

    def __init__(self, names: list[str], buffers: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.parameter_names: list[str] = names
        for name, value in buffers.items():
            self.register_buffer(name, value)


class Character(torch.nn.Module):
    def __init__(self, skeleton: Skeleton, parts: dict[str, Holder]) -> None:
        super().__init__()
        self.skeleton = skeleton
        for name, part in parts.items():
            self.add_module(name, part)


class Correctives(torch.nn.Module):
    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        hidden, out = torch.nn.Linear(125 * 3, 8), torch.nn.Linear(8, VERTICES * 3, bias=False)
        self.pose_dirs_predictor = torch.nn.Sequential(hidden, torch.nn.ReLU(), out)
        for parameter in self.parameters():
            parameter.data = torch.tensor(0.05 * rng.normal(size=parameter.shape)).float()
            parameter.requires_grad = False

    def forward(self, joint_parameters: torch.Tensor) -> torch.Tensor:
        angles = joint_parameters.reshape(len(joint_parameters), -1, 7)[:, 2:, 3:6]
        return self.pose_dirs_predictor(angles.flatten(1)).reshape(len(angles), -1, 3)


class Mhr(torch.nn.Module):
    """The released model's interface: identity (N, 45), parameters (N, 204), face (N, 72)."""

    def __init__(self, character: Character, correctives: Correctives, face: Holder) -> None:
        super().__init__()
        self.pose_correctives_model = correctives
        self.character_torch = character
        self.face_expressions_model = face

    def forward(
        self, identity: torch.Tensor, parameters: torch.Tensor, face: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        c = self.character_torch
        rest = c.blend_shape.base_shape + torch.einsum(
            "nvd,bn->bvd", c.blend_shape.shape_vectors, identity
        )
        rest = rest + torch.einsum("nvd,bn->bvd", self.face_expressions_model.shape_vectors, face)
        padded = torch.cat([parameters, torch.zeros(len(parameters), 45).to(parameters)], dim=1)
        joints = torch.einsum("dn,bn->bd", c.parameter_transform.parameter_transform, padded)
        state = c.skeleton(joints)
        rest = rest + self.pose_correctives_model(joints)
        skin = c.linear_blend_skinning
        at, bind = state[:, skin.skin_indices_flattened.long()], skin.inverse_bind_pose
        bind = bind[skin.skin_indices_flattened.long()].unsqueeze(0)
        local = bind[..., :3] + rotate(bind[..., 3:7], rest[:, skin.vert_indices_flattened])
        placed = at[..., :3] + at[..., 7:] * rotate(at[..., 3:7], local)
        out = torch.zeros_like(rest)
        weighted = placed * skin.skin_weights_flattened[:, None]
        return out.index_add(1, skin.vert_indices_flattened, weighted), state

    @torch.jit.export
    def get_joint_names(self) -> list[str]:
        return self.character_torch.skeleton.joint_names

    @torch.jit.export
    def get_parameter_names(self) -> list[str]:
        return self.character_torch.parameter_transform.parameter_names


def build(seed: int = 0) -> Mhr:
    """The rig, in the released model's units (centimetres) and types (float32)."""
    rng = np.random.default_rng(seed)
    skeleton = Skeleton(*_bones(rng))
    bind = skeleton(torch.zeros(1, 7 * len(JOINTS)))[0].double()
    inverse = torch.cat([-rotate(_conjugate(bind[:, 3:7]), bind[:, :3]),
                         _conjugate(bind[:, 3:7]), torch.ones(len(JOINTS), 1)], dim=1)  # fmt: skip
    owner = torch.tensor(rng.integers(1, len(JOINTS), VERTICES))
    base = bind[owner, :3] + torch.tensor(rng.normal(0, 3, (VERTICES, 3)))
    names = [*PARAMETERS, *(f"blend_{i}" for i in range(IDENTITY))]
    limited = np.array([0, 30, 139, 140, 147])
    parts = {
        "parameter_transform": Holder(
            names, {"parameter_transform": torch.tensor(transform()).float()}
        ),
        "parameter_limits": Holder([], {
            "minmax_parameter_index": torch.tensor(limited, dtype=torch.int32),
            "minmax_min": torch.tensor([-9.0, 0.0, -1.0, -0.5, 0.0]),
            "minmax_max": torch.tensor([9.0, 0.0, 1.0, 0.5, 0.0]),
        }),
        "blend_shape": Holder([], {
            "base_shape": base.float(),
            "shape_vectors": torch.tensor(rng.normal(0, 0.5, (IDENTITY, VERTICES, 3))).float(),
        }),
        "mesh": Holder([], {
            "faces": torch.tensor(rng.integers(0, VERTICES, (700, 3)), dtype=torch.int32),
        }),
        "linear_blend_skinning": Holder([], {
            "inverse_bind_pose": inverse.float(), **_weights(rng, owner.numpy()),
        }),
    }  # fmt: skip
    face = torch.tensor(rng.normal(size=(EXPRESSION, VERTICES, 3))).float()
    return Mhr(Character(skeleton, parts), Correctives(rng), Holder([], {"shape_vectors": face}))


def save(path: Path, seed: int = 0) -> Mhr:
    """Write the rig to `path` as TorchScript."""
    model = build(seed)
    torch.jit.script(model).save(str(path))
    return model


def _bones(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    offsets = rng.normal(0, 6, (len(JOINTS), 3))
    offsets[0], offsets[1] = 0, (0, 92.4, 0)
    turns = rng.normal(size=(len(JOINTS), 4))
    turns[:2] = (0, 0, 0, 1)
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    return torch.tensor(offsets).float(), torch.tensor(turns).float()


def _weights(rng: np.random.Generator, owner: np.ndarray) -> dict[str, torch.Tensor]:
    """One to four joints per vertex: its own and those above it."""
    vertex, joint, weight = [], [], []
    for v, j in enumerate(owner):
        chain = [int(j)]
        while len(chain) < rng.integers(1, 5) and PARENTS[chain[-1]] > 0:
            chain.append(int(PARENTS[chain[-1]]))
        share = rng.dirichlet(np.ones(len(chain)))
        vertex += [v] * len(chain)
        joint += chain
        weight += share.tolist()
    return {
        "vert_indices_flattened": torch.tensor(vertex),
        "skin_indices_flattened": torch.tensor(joint, dtype=torch.int32),
        "skin_weights_flattened": torch.tensor(weight),
    }


def _conjugate(q: torch.Tensor) -> torch.Tensor:
    return q * torch.tensor([-1.0, -1.0, -1.0, 1.0]).to(q)
