"""From motion to priors: reading, mirror images, balance, and a training run in small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kinefit.geometry import rotations as so3
from kinefit.train.poses import mirror_matrix, mirrored, read_poses
from kinefit.types import InputError, MissingDependency

TRIALS = (
    *("asf_01_01", "asf_01_04", "asf_02_03", "asf_03_01", "txt_train_running_1"),
    *("txt_test_running_2", "txt_train_walking_extra_12"),
)


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven made-up trials of Anny: slow swings of all joints about what they do standing."""
    try:
        from kinefit.body.anny import ANATOMY, load_anny

        body = load_anny()
    except MissingDependency as error:
        pytest.skip(str(error))
    joints = [name for name in body.joint_names if name in ANATOMY.values()]
    rng, count = np.random.default_rng(0), 60
    swing = rng.normal(0, 0.1, (len(TRIALS), 2, len(joints), 3))
    phase = np.linspace(0, 6, count)[:, None, None]
    vectors = [a * np.sin(phase) + b * np.cos(1.7 * phase) for a, b in swing]
    good = np.ones(count * len(TRIALS), bool)
    good[5] = False
    vectors[1][7, joints.index("lowerleg01.L"), 0] = -1.5  # a knee that bends forward
    path = tmp_path_factory.mktemp("motion") / "motion.npz"
    np.savez(
        path,
        rotations=so3.exp(np.concatenate(vectors)).astype(np.float32),
        joint_names=joints,
        trial=np.repeat(np.arange(len(TRIALS)), count),
        trial_names=TRIALS,
        good=good,
    )
    return path


def test_whole_trials_are_held_out_and_bad_frames_left_out(motion: Path) -> None:
    poses = read_poses(motion)
    kept = ~np.isin(np.arange(420), (5, 67))
    assert len(poses.x) == kept.sum()
    trial = np.repeat(np.arange(7), 60)[kept]
    held = {TRIALS[t] for t in trial[poses.held_out]}
    assert held == {"asf_01_04", "asf_03_01", "txt_test_running_2"}
    assert not {TRIALS[t] for t in trial[~poses.held_out]} & held


def test_a_group_weighs_the_root_of_its_length(motion: Path) -> None:
    poses = read_poses(motion)
    assert poses.weight.sum() == pytest.approx(1)
    total = np.bincount(poses.group, poses.weight)
    count = np.bincount(poses.group)
    np.testing.assert_allclose(total / total.sum(), np.sqrt(count) / np.sqrt(count).sum())


def test_mirrored_twice_is_the_same_and_sides_change(motion: Path) -> None:
    poses = read_poses(motion)
    names = poses.joints.names
    M = mirror_matrix(names)
    np.testing.assert_array_equal(M @ M, np.eye(len(M)))
    there = mirrored(poses.x, names)
    left, right = names.index("LElbow"), names.index("RElbow")
    np.testing.assert_array_equal(there[:, left], poses.x[:, right])
    head = names.index("Head")
    np.testing.assert_array_equal(there[:, head], poses.x[:, head] * [-1, -1, 1])


def test_the_mirror_image_of_a_pose_is_that_of_the_body(motion: Path) -> None:
    """Joints of the posed body, mirrored, are those of the mirrored pose."""
    from kinefit.body.anny import load_anny

    poses, body = read_poses(motion), load_anny()
    places = []
    for x in (poses.x[:5], mirrored(poses.x[:5], poses.joints.names)):
        local = np.tile(np.eye(3), (5, len(body.joint_names), 1, 1))
        local[:, poses.joints.anatomy.index] = poses.joints.rotations(x)
        _, c = body.pose(local, np.zeros((5, 3)), body.rest_joints(body.shape.neutral))
        places.append({n: c[:, body.joint_names.index(j)] for n, j in body.anatomy.items()})
    for name in ("Wrist", "Ankle", "Elbow"):
        # Anny's joints are their own mirror images to the last bits.
        np.testing.assert_allclose(
            places[0]["L" + name], places[1]["R" + name] * [-1, 1, 1], atol=1e-9
        )


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, rotations=np.zeros(3))
    with pytest.raises(InputError, match="joint_names"):
        read_poses(path)


def test_training_in_small_beats_the_mean_pose(motion: Path) -> None:
    pytest.importorskip("torch")
    from kinefit.fit.priors.variational import PoseAutoencoder
    from kinefit.train.variational import Training, reconstruction_error, train

    poses = read_poses(motion)
    x = poses.x[:59]  # one trial: a closed curve
    weight = np.full(59, 1 / 59)
    arrays = train(x, weight, Training(hidden=32, latent=4, steps=300, batch=64, rate=1e-2))
    model = PoseAutoencoder.of_arrays(poses.joints.names, arrays)
    mean = so3.exp(x.mean(axis=0))
    from_mean = so3.norm(so3.log(np.swapaxes(mean, -1, -2) @ so3.exp(x)))
    # A second of training comes to half; none, to many times as much.
    assert reconstruction_error(model, x).mean() < 0.7 * from_mean.mean()


def test_numpy_and_torch_agree(motion: Path) -> None:
    torch = pytest.importorskip("torch")
    from kinefit.fit.priors.variational import PoseAutoencoder
    from kinefit.train.variational import Training, _arrays, _Model, _rotations

    poses, training = read_poses(motion), Training(hidden=32, latent=8)
    torch.manual_seed(1)
    model = _Model(19, training)
    ours = PoseAutoencoder.of_arrays(poses.joints.names, _arrays(model, 8))
    R = so3.exp(poses.x[:4])
    six = torch.tensor(R[..., :2].swapaxes(-1, -2).reshape(4, -1), dtype=torch.float32)
    with torch.no_grad():
        code = model.encoder(six)[:, :8]
        rebuilt = _rotations(model.decoder(code)).numpy()
    # Single precision on one side.
    np.testing.assert_allclose(ours.encode(R), code.numpy(), atol=1e-5)
    np.testing.assert_allclose(ours.decode(code.double().numpy()), rebuilt, atol=1e-5)


def test_the_command_writes_weights_and_what_the_cards_report(
    motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from kinefit.train import pose_priors
    from kinefit.train.variational import Training

    monkeypatch.setattr(pose_priors, "_COUNTS", (1, 8))
    monkeypatch.setattr(pose_priors, "Training", lambda seed: Training(8, 4, 20, seed=seed))
    pose_priors.main([str(motion), "--into", str(tmp_path)])
    facts = json.loads((tmp_path / "pose_priors.json").read_text())
    assert set(facts) == {"data", "mixture", "autoencoder"}
    assert facts["data"]["held_out"] == 179
    for name in ("pose_mixture", "pose_autoencoder"):
        assert (tmp_path / f"{name}.safetensors").stat().st_size < 2**20
