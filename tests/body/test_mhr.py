"""The MHR loader and its converters, on a made-up rig in a real TorchScript file.

The truth comes from an implementation of its own: the quaternion chain of `mhr_file`, in torch
and double precision. The released model's file cannot be part of the tests.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.body.mhr import MhrModel, load_mhr
from kinefit.body.mhr_params import (
    ANATOMY,
    JOINTS,
    KEYPOINT_JOINTS,
    LENGTH_PARAMETERS,
    PARAMETERS,
    SCALE_PARAMETERS,
)
from kinefit.body.mhr_pose import initial_parameters, pose_of_parameters
from kinefit.types import InputError, InvalidData

torch = pytest.importorskip("torch")

from . import mhr_file  # noqa: E402 - needs torch

IDENTITY = 45
SCALES = slice(136, 204)
LENGTHS = slice(130, 136)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    path = tmp_path_factory.mktemp("mhr") / "mhr_model.pt"
    return path, mhr_file.save(path)


@pytest.fixture(scope="module")
def model(made: tuple[Path, Any]) -> MhrModel:
    return load_mhr(made[0])


def random_parameters(count: int, *, seed: int = 1, reach: float = 0.8) -> np.ndarray:
    """(N, 204) with every parameter moved."""
    rng = np.random.default_rng(seed)
    parameters = rng.uniform(-reach, reach, (count, len(PARAMETERS)))
    parameters[:, SCALES] *= 0.5
    return parameters


def by_torch(module: Any, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 127, 3) metres and frames (N, 127, 3, 3), in double precision."""
    double = copy.deepcopy(module.character_torch).double()
    turns = double.skeleton.joint_prerotations  # float32: of length one to 1e-7
    double.skeleton.joint_prerotations = turns / turns.norm(dim=-1, keepdim=True)
    padded = torch.tensor(np.concatenate([parameters, np.zeros((len(parameters), 45))], axis=1))
    joints = padded @ double.parameter_transform.parameter_transform.T
    state = double.skeleton(joints).numpy()
    frames = Rotation.from_quat(state[..., 3:7].reshape(-1, 4)).as_matrix()
    return state[..., :3] / 100, frames.reshape(len(state), -1, 3, 3)


def mesh_by_torch(module: Any, parameters: np.ndarray, identity: np.ndarray) -> np.ndarray:
    """(N, V, 3) metres by the file's own program, float32, without its pose correctives."""
    plain = copy.deepcopy(module)
    plain.pose_correctives_model.pose_dirs_predictor[2].weight.data.zero_()
    inputs = (np.broadcast_to(identity, (len(parameters), IDENTITY)), parameters,
              np.zeros((len(parameters), 72)))  # fmt: skip
    with torch.no_grad():
        return plain(*(torch.tensor(x).float() for x in inputs))[0].double().numpy() / 100


class TestRig:
    def test_joints_and_frames_are_momentums(self, made, model: MhrModel) -> None:
        parameters = random_parameters(20)
        joints, frames = by_torch(made[1], parameters)
        G, c, _ = model.rig.world(parameters)
        np.testing.assert_allclose(c, joints, atol=1e-9)
        np.testing.assert_allclose(G, frames, atol=1e-9)

    def test_another_order_of_angles_is_another_pose(self, made, model: MhrModel) -> None:
        """The control: the comparison above sees it."""
        parameters = random_parameters(5)
        joints, _ = by_torch(made[1], parameters)
        _, c, _ = model.rig.world(-parameters)
        assert np.abs(c - joints).max() > 0.05

    def test_mesh(self, made, model: MhrModel) -> None:
        parameters = random_parameters(6)
        identity = np.random.default_rng(2).normal(size=IDENTITY)
        expected = mesh_by_torch(made[1], parameters, identity)
        # 5e-6 m: float32 centimetres along a chain of ten joints.
        np.testing.assert_allclose(model.rig.mesh(parameters, identity), expected, atol=5e-6)

    def test_limits(self, model: MhrModel) -> None:
        limits = dict(zip(PARAMETERS, model.rig.limits.tolist(), strict=True))
        assert limits["root_tx"] == [-9, 9]
        assert limits["r_elbow_bend"] == [-np.inf, np.inf]


class TestBody:
    def test_joints_are_exact_for_every_shape(self, made, model: MhrModel) -> None:
        parameters = random_parameters(20)
        identity = np.random.default_rng(3).normal(size=(20, IDENTITY))
        joints, frames = by_torch(made[1], parameters)
        pose = pose_of_parameters(model, parameters, identity)
        G, c = model.body.pose(pose.rotations, pose.translation, model.body.rest_joints(pose.shape))
        np.testing.assert_allclose(c, joints[:, 1:], atol=1e-9)
        rest = by_torch(made[1], np.zeros((1, 204)))[1][0, 1:]
        np.testing.assert_allclose(G @ rest, frames[:, 1:], atol=1e-9)

    def test_the_mesh_without_scales_is_exact(self, made, model: MhrModel) -> None:
        parameters = random_parameters(5)
        parameters[:, SCALES] = parameters[:, LENGTHS] = 0
        identity = np.random.default_rng(4).normal(size=IDENTITY)
        pose = pose_of_parameters(model, parameters, identity)
        ours = model.body.posed_vertices(pose.rotations, pose.translation, pose.shape)
        np.testing.assert_allclose(ours, mesh_by_torch(made[1], parameters, identity), atol=5e-6)

    def test_the_mesh_at_rest_is_exact_with_scales(self, made, model: MhrModel) -> None:
        parameters = np.zeros((5, 204))
        parameters[:, 130:] = random_parameters(5)[:, 130:]
        shape = model.shape(parameters, np.zeros(IDENTITY))
        expected = mesh_by_torch(made[1], parameters, np.zeros(IDENTITY))
        np.testing.assert_allclose(model.body.rest_vertices(shape), expected, atol=5e-6)

    def test_bent_with_scales_the_mesh_is_near(self, made, model: MhrModel) -> None:
        parameters = random_parameters(10, reach=0.6)
        identity = np.zeros(IDENTITY)
        pose = pose_of_parameters(model, parameters, identity)
        ours = model.body.posed_vertices(pose.rotations, pose.translation, pose.shape)
        off = np.linalg.norm(ours - mesh_by_torch(made[1], parameters, identity), axis=-1)
        # Bones change by up to 6 cm here: more than people do. Half of the vertices sit between
        # joints that no length drives apart.
        assert np.median(off) < 1e-3
        assert np.quantile(off, 0.95) < 0.02
        assert off.max() > 1e-3  # what the docstring owns up to

    def test_rest_is_the_identity(self, model: MhrModel) -> None:
        pose = pose_of_parameters(model, np.zeros(204), np.zeros(IDENTITY))
        np.testing.assert_allclose(pose.rotations, np.broadcast_to(np.eye(3), (126, 3, 3)),
                                   atol=1e-15)  # fmt: skip
        np.testing.assert_array_equal(pose.translation, np.zeros(3))

    def test_names(self, model: MhrModel) -> None:
        body = model.body
        assert body.joint_names == JOINTS[1:]
        assert body.shape.names[IDENTITY:] == SCALE_PARAMETERS
        assert dict(body.anatomy) == ANATOMY
        assert body.regressors == KEYPOINT_JOINTS
        assert model.ignored == ()

    def test_the_shape_space(self, model: MhrModel) -> None:
        shape = model.body.shape
        at = np.random.default_rng(5).normal(0, 0.3, (3, len(shape.names)))
        step = 1e-6
        moves = step * np.eye(len(shape.names))
        above, below = (shape.coefficients(at[:, None] + s * moves) for s in (1, -1))
        numeric = np.swapaxes(above - below, 1, 2) / (2 * step)
        # 1e-8: rounding 1e-16 / 1e-6 of coefficients near one, and curvature 1e-12.
        np.testing.assert_allclose(shape.jacobian(at), numeric, atol=1e-8)
        assert (shape.coefficients(shape.neutral) == 0).all()

    def test_bounds_and_spread(self, model: MhrModel) -> None:
        shape = model.body.shape
        assert (shape.lower < shape.upper).all()
        spread = dict(zip(shape.names, shape.spread, strict=True))
        assert spread["identity0"] == 1
        assert spread["scale_spine_length"] == 0.5  # limits -1..1
        assert spread["scale_hip_height"] == 0.01  # locked: limits 0, 0
        assert spread["scale_uparms"] == 0.1  # no limits

    def test_lengths_of_a_frame_become_scales(self, model: MhrModel) -> None:
        """arm_length is half of each arm bone's scale, as measured on real outputs."""
        moved = dict(zip(SCALE_PARAMETERS, model.length_scales[:, 3], strict=True))
        assert LENGTH_PARAMETERS[3] == "arm_length_flexible"
        assert {k: round(v, 6) for k, v in moved.items() if abs(v) > 1e-6} == {
            "scale_uparms": 0.5, "scale_lowarms": 0.5
        }  # fmt: skip


class TestParameters:
    def test_shapes_that_do_not_fit(self, model: MhrModel) -> None:
        with pytest.raises(InvalidData, match="204"):
            pose_of_parameters(model, np.zeros(203), np.zeros(IDENTITY))
        with pytest.raises(InvalidData, match="126"):
            initial_parameters(model, np.zeros((1, 127, 3, 3)), np.zeros((1, 113)))
        with pytest.raises(InvalidData, match="113"):
            initial_parameters(model, np.zeros((1, 126, 3, 3)), np.zeros((1, 45)))


class TestKeypointMapping:
    def test_joints_vertices_and_mixtures(self, made, model: MhrModel) -> None:
        mapping = np.zeros((308, mhr_file.VERTICES + 127))
        mapping[0, [3, 8]] = 0.25, 0.75  # Nose: two vertices
        mapping[5, mhr_file.VERTICES + JOINTS.index("l_uparm")] = 1  # LShoulder
        mapping[7, [0, mhr_file.VERTICES + 76]] = 0.5  # LElbow: both
        body = load_mhr(made[0], mapping).body
        index, weights = body.regressors["Nose"]
        assert (index.tolist(), weights.tolist()) == ([3, 8], [0.25, 0.75])
        assert body.regressors["LShoulder"] == "l_uparm"
        assert body.regressors["LElbow"] == "l_lowarm"  # the joint stands in
        with pytest.raises(InvalidData, match=r"\(308, 500\)"):
            load_mhr(made[0], mapping[:, :500])


def _broken(path: Path, **changes: Any) -> Path:
    """The rig with buffers or attributes ("skeleton__joint_parents") replaced."""
    module = mhr_file.build()
    for name, value in changes.items():
        part, _, attribute = name.rpartition("__")
        owner = module.character_torch.get_submodule(part)
        new = value(getattr(owner, attribute)) if callable(value) else value
        setattr(owner, attribute, new)
    torch.jit.script(module).save(str(path))
    return path


def _changed(index: Any, value: float) -> Any:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        out = tensor.clone()
        out[index] = value
        return out

    return change


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skeleton__joint_parents": _changed(5, 90)}, "before its parent"),
        ({"skeleton__joint_parents": _changed(5, 127)}, "points outside"),
        ({"skeleton__joint_translation_offsets": lambda t: t[:-1]}, r"shape \(126, 3\)"),
        ({"skeleton__joint_translation_offsets": _changed((4, 1), np.nan)}, "not all numbers"),
        ({"skeleton__joint_prerotations": _changed((4, 1), 3.0)}, "of length one"),
        ({"skeleton__joint_names": ["root"] * 127}, "not distinct"),
        ({"parameter_transform__parameter_names": ["a", "b"]}, r"are others \(a\)"),
        ({"parameter_transform__parameter_transform": _changed((30, 230), 1.0)}, "its transform"),
        ({"linear_blend_skinning__skin_weights_flattened": _changed(0, 9.0)}, "sum to one"),
        ({"linear_blend_skinning__skin_indices_flattened": _changed(0, 500)}, "points outside"),
        ({"linear_blend_skinning__inverse_bind_pose": _changed((3, 7), 2.0)}, "are scaled"),
        ({"linear_blend_skinning__inverse_bind_pose": _changed((3, 0), 99.0)}, "its rest pose"),
        ({"mesh__faces": _changed((0, 0), 400)}, "points outside"),
        ({"blend_shape__shape_vectors": lambda t: t[:, :-1]}, "shape_vectors has shape"),
    ],
)  # fmt: skip
def test_rigs_that_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = _broken(tmp_path / "bad.pt", **changes)
    with pytest.raises(InputError, match=rf"bad\.pt: .*{message}"):
        load_mhr(path)


def test_another_script_is_refused(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 3)).save(str(tmp_path / "linear.pt"))
    with pytest.raises(InputError, match=r"linear\.pt: it has no list of names"):
        load_mhr(tmp_path / "linear.pt")


def test_parameters_that_a_body_cannot_follow_are_named(tmp_path: Path) -> None:
    column = PARAMETERS.index("r_clavicle_ry")
    row = 7 * JOINTS.index("r_clavicle")  # its x translation
    change = {"parameter_transform__parameter_transform": _changed((row, column), 1.0)}
    assert load_mhr(_broken(tmp_path / "odd.pt", **change)).ignored == ("r_clavicle_ry",)
