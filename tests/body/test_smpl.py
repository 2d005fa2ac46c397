"""SMPL's family from files: exact against the paper's equations written another way."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.transform import Rotation

from kinefit.body.smpl import load_smpl, smpl_body
from kinefit.io.smpl import SmplData, write_smpl
from kinefit.skeletons import skeleton
from kinefit.types import InputError

from .synthetic import SMPL_NAMES

_ROOTED = {24: "smpl", 52: "smplh", 55: "smplx"}


def _model(seed=0, *, joints=24, vertices=60, shapes=12, pose_dirs=True) -> SmplData:
    """A random model with the number of joints of one of the family, in no way a person."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(joints, 0.02), vertices).round(3)
    weights[:, 0] += 1 - weights.sum(axis=1)
    directions = rng.standard_normal((vertices, 3, 9 * (joints - 1)))
    return SmplData(
        v_template=rng.standard_normal((vertices, 3)),
        shapedirs=0.1 * rng.standard_normal((vertices, 3, shapes)),
        posedirs=0.01 * directions * pose_dirs,
        J_regressor=sparse.csr_array(rng.dirichlet(np.full(vertices, 0.1), joints)),
        weights=weights,
        f=rng.integers(0, vertices, (20, 3)),
        parents=np.array([-1, *(rng.integers(0, b) for b in range(1, joints))]),
    )


def _by_the_paper(data: SmplData, betas, rotvecs, translation):
    """Vertices and joints by equations 2-10 of SMPL, a joint and a 4 x 4 matrix at a time."""
    shaped = data.v_template + data.shapedirs[:, :, : len(betas)] @ betas
    J = data.J_regressor.toarray() @ shaped
    R = Rotation.from_rotvec(rotvecs).as_matrix()
    posed = shaped + data.posedirs @ np.concatenate([(r - np.eye(3)).ravel() for r in R[1:]])
    world, from_rest = [], []
    for b, parent in enumerate(data.parents):
        local = np.eye(4)
        local[:3, :3] = R[b]
        local[:3, 3] = J[b] - (J[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
        undo = np.eye(4)
        undo[:3, 3] = -J[b]
        from_rest.append(world[b] @ undo)
    vertices = np.empty_like(posed)
    for i, (x, w) in enumerate(zip(posed, data.weights, strict=True)):
        blended = sum(w[b] * from_rest[b] for b in range(len(w)))
        vertices[i] = (blended @ [*x, 1])[:3]
    return vertices + translation, np.stack([T[:3, 3] for T in world]) + translation


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
@pytest.mark.parametrize("joints", [24, 52, 55])
@pytest.mark.parametrize("pose_dirs", [True, False])
def test_a_loaded_body_poses_as_the_paper_says(joints, suffix, pose_dirs, tmp_path):
    data = _model(joints, joints=joints, pose_dirs=pose_dirs)
    write_smpl(tmp_path / f"m{suffix}", data)
    body = load_smpl(tmp_path / f"m{suffix}")
    assert body.name == _ROOTED[joints]
    rng = np.random.default_rng(1)
    betas = rng.standard_normal((3, 10))
    rotvecs = rng.standard_normal((3, joints, 3))  # over half a turn now and then
    translation = rng.standard_normal((3, 3))
    rotations = Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix().reshape(3, joints, 3, 3)
    got = body.posed_vertices(rotations, translation, betas)
    _, places = body.pose(rotations, translation, body.rest_joints(betas))
    for t in range(3):
        vertices, J = _by_the_paper(data, betas[t], rotvecs[t], translation[t])
        # 1e-10: rounding of some fifty 4 x 4 products of numbers near one.
        np.testing.assert_allclose(got[t], vertices, atol=1e-10)
        np.testing.assert_allclose(places[t], J, atol=1e-10)


def test_the_comparison_sees_pose_directions_in_another_order():
    # Negative control: matrices read column by column, a usual mistake, differ by far more.
    data = _model()
    columns = data.posedirs.reshape(60, 3, 23, 3, 3).swapaxes(3, 4).reshape(60, 3, -1)
    wrong = replace(data, posedirs=columns)
    rotvecs = np.random.default_rng(0).standard_normal((24, 3))
    right, _ = _by_the_paper(data, np.zeros(3), rotvecs, np.zeros(3))
    body = smpl_body(wrong, "smpl", SMPL_NAMES, 3)
    rotations = Rotation.from_rotvec(rotvecs).as_matrix()
    got = body.posed_vertices(rotations, np.zeros(3), np.zeros(3))
    assert np.abs(got - right).max() > 1e-3


def test_joints_of_the_family_have_their_names(tmp_path):
    bodies = {}
    for joints in (24, 52, 55):
        write_smpl(tmp_path / "m.pkl", _model(joints=joints))
        bodies[joints] = load_smpl(tmp_path / "m.pkl")
        assert len(set(bodies[joints].joint_names)) == joints
        anatomy = bodies[joints].anatomy
        assert len(anatomy) == 22
        assert anatomy["LToes"] == "left_foot"
        assert anatomy["RClavicle"] == "right_collar"
        assert set(anatomy.values()) == set(bodies[joints].joint_names[:22])
    assert bodies[24].joint_names == SMPL_NAMES
    assert bodies[24].joint_names[:22] == bodies[52].joint_names[:22] == bodies[55].joint_names[:22]
    assert bodies[52].joint_names[22:] == bodies[55].joint_names[25:]
    assert bodies[55].joint_names[22:25] == ("jaw", "left_eye", "right_eye")
    assert bodies[52].joint_names[22:37:3] == (
        *("left_index1", "left_middle1", "left_pinky1", "left_ring1", "left_thumb1"),
    )
    assert bodies[52].regressor("LIndex1") == "left_index1"
    assert "LIndex1" not in bodies[24].regressors


@pytest.mark.parametrize("vertices", [6890, 10475])
def test_keypoints_of_the_known_meshes_are_those_of_the_skeletons(vertices):
    data = _model(joints=4, vertices=vertices, shapes=1, pose_dirs=False)
    names = ("pelvis", "left_hip", "right_hip", "neck")
    body = smpl_body(data, "smpl", names, 1)
    known = set(skeleton("halpe26").points) | set(skeleton("mhr70").points)
    assert set(body.regressors) <= known
    surface = {name for name, source in body.regressors.items() if not isinstance(source, str)}
    assert surface >= {"Nose", "LEye", "REar", "LBigToe", "RSmallToe", "RHeel", "LPinky4"}
    assert set(body.regressors) - surface == {"Hip", "LHip", "RHip", "Neck"}
    (index,) = {len(set(np.ravel([body.regressors[n][0] for n in surface])))}
    assert index == len(surface)  # no vertex stands for two
    nose = body.regress(data.v_template, body.joints, ["Nose"])[0]
    np.testing.assert_array_equal(nose, data.v_template[332 if vertices == 6890 else 9120])


def test_every_keypoint_of_body25_but_none_of_an_unknown_mesh(tmp_path):
    write_smpl(tmp_path / "m.pkl", _model(vertices=6890, shapes=10, pose_dirs=False))
    body = load_smpl(tmp_path / "m.pkl")
    for name in ("body25", "coco17"):
        assert set(skeleton(name).points) <= set(body.regressors)
    write_smpl(tmp_path / "other.pkl", _model())
    unknown = load_smpl(tmp_path / "other.pkl")
    assert all(isinstance(source, str) for source in unknown.regressors.values())


@pytest.mark.parametrize(
    ("joints", "stored", "available"),
    [(24, 10, 10), (24, 300, 300), (52, 16, 16), (55, 20, 10), (55, 400, 300)],
)
def test_expressions_are_no_shapes(joints, stored, available, tmp_path):
    write_smpl(tmp_path / "m.npz", _model(joints=joints, vertices=20, shapes=stored))
    body = load_smpl(tmp_path / "m.npz", shape_count=available)
    assert len(body.shape.names) == len(body.vertex_dirs) == available
    for wrong in (available + 1, 0):
        with pytest.raises(InputError, match=f"has {available} shape coefficients"):
            load_smpl(tmp_path / "m.npz", shape_count=wrong)


def test_another_number_of_joints_is_refused(tmp_path):
    write_smpl(tmp_path / "MANO_RIGHT.pkl", _model(joints=16))
    with pytest.raises(InputError, match="has 16 joints; known are: smpl 24, smplh 52, smplx 55"):
        load_smpl(tmp_path / "MANO_RIGHT.pkl")


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("content")
    for suffix in (".npz", ".pkl"):
        write_smpl(folder / f"m{suffix}", _model())
    return {suffix: (folder / f"m{suffix}").read_bytes() for suffix in (".npz", ".pkl")}


def _fill(folder: Path, content: dict[str, bytes], *files: str) -> None:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.get(path.suffix, b"text"))


@pytest.mark.parametrize(
    ("file", "gender"),
    [
        ("SMPL_NEUTRAL.pkl", "neutral"),
        ("smpl/SMPL_MALE.pkl", "male"),
        ("models/basicModel_neutral_lbs_10_207_0_v1.0.0.pkl", "neutral"),
        ("smpl/models/basicmodel_m_lbs_10_207_0_v1.1.0.pkl", "male"),
        ("basicModel_f_lbs_10_207_0_v1.0.0.pkl", "female"),
        ("body_models/smplh/female/model.npz", "female"),
        ("SMPLH_male.pkl", "male"),
        ("SMPLX_NEUTRAL_2020.npz", "neutral"),
    ],
)
def test_usual_names_are_found_in_a_folder(file, gender, content, tmp_path):
    _fill(tmp_path, content, file, "README.txt", "smpl_mean_params.npz", "model.pkl")
    for asked in (None, gender):
        assert load_smpl(tmp_path, gender=asked).name == f"smpl-{gender}"
        assert load_smpl(tmp_path / file, gender=asked).name == f"smpl-{gender}"
    other = "female" if gender == "male" else "male"
    with pytest.raises(InputError, match=f"no {other} SMPL") as refused:
        load_smpl(tmp_path, gender=other)
    assert Path(file).name in str(refused.value)
    with pytest.raises(InputError, match=f"is {gender} by its name, {other} was asked for"):
        load_smpl(tmp_path / file, gender=other)


def test_the_gender_decides_among_several(content, tmp_path):
    _fill(tmp_path, content, "SMPL_MALE.pkl", "SMPL_FEMALE.pkl", "SMPL_NEUTRAL.pkl")
    with pytest.raises(InputError, match=r"several models .*SMPL_FEMALE\.pkl, SMPL_MALE\.pkl"):
        load_smpl(tmp_path)
    assert load_smpl(tmp_path, gender="female").name == "smpl-female"
    _fill(tmp_path, content, "smplx/SMPLX_FEMALE.npz")
    with pytest.raises(InputError, match=r"several female models .*SMPLX_FEMALE\.npz"):
        load_smpl(tmp_path, gender="female")


def test_one_model_in_two_formats_is_read_from_the_archive(content, tmp_path):
    _fill(tmp_path, content, "SMPLX_MALE.npz")
    (tmp_path / "SMPLX_MALE.pkl").write_bytes(b"damaged")
    assert load_smpl(tmp_path).name == "smpl-male"


def test_folders_and_files_that_are_not_there(content, tmp_path):
    with pytest.raises(InputError, match=r"no SMPL, SMPL-H or SMPL-X model .*found: none"):
        load_smpl(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        load_smpl(tmp_path / "smpl")
    _fill(tmp_path, content, "my_body.pkl")
    assert load_smpl(tmp_path / "my_body.pkl").name == "smpl"
    assert load_smpl(tmp_path / "my_body.pkl", gender="male").name == "smpl-male"
