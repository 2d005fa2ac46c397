"""Rig poses frame by frame, from files to files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kinefit.api import fit_frames
from kinefit.body.load import load_body
from kinefit.body.mhr import load_mhr
from kinefit.body.mhr_params import POSE_COUNT, flip_axes
from kinefit.fit.recipes.frames.rigfit import RigFit
from kinefit.io.body_npz import read_motion
from kinefit.io.sam3d_outputs import Sam3dPerson, read_outputs
from kinefit.io.trc import read_trc
from kinefit.pipeline.config import FrameOptions, checked
from kinefit.pipeline.rig_fit import FramesResult
from kinefit.pipeline.rig_views import POINTS, read_views
from kinefit.skeletons import skeleton
from kinefit.types import InputError, Timeline

from .rig_clip import FIRST, NAMES, Clip, T, mhr_clip, real_clip, tube_clip

DATA = Path(__file__).parents[3] / "shared" / "data" / "sam3d"
QUIET = {"export": "", "meshes": False}


@pytest.fixture(scope="module")
def tubes(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return tube_clip(tmp_path_factory.mktemp("tubes"))


@pytest.fixture(scope="module")
def rig_of_mhr(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, Path, FramesResult]:
    pytest.importorskip("torch", reason="a file of MHR's kind is made with PyTorch")
    clip = mhr_clip(tmp_path_factory.mktemp("mhr"))
    out = clip.folder / "out"
    return clip, out, fit_frames(clip.bundle, out, FrameOptions(body=str(clip.body)), clip.views)


def run(clip: Clip, out: Path, views: Path | None = None, **options: object) -> FramesResult:
    chosen = checked(FrameOptions, {"body": str(clip.body)} | QUIET | options)
    return fit_frames(clip.bundle, out, chosen, views)


def frames(out: Path) -> list[Sam3dPerson]:
    files = [out / "frames" / f"{FIRST + t:06d}.npz" for t in range(T)]
    return [person for file in files for person in read_outputs(file)]


def aligned(person: Sam3dPerson) -> np.ndarray:
    """(J, 3) metres, world: keypoints of an output."""
    points = person.pred_keypoints_3d + person.pred_cam_t
    return flip_axes(points) * float(person.extra["opt_scale"])


def off(clip: Clip, out: Path, names: tuple[str, ...]) -> np.ndarray:
    """(T, M) metres of the keypoints in the files, called `names`, from the true points."""
    at = [names.index(name) for name in clip.names]
    points = np.stack([aligned(person)[at] for person in frames(out)])
    return np.linalg.norm(points - clip.xyz, axis=-1)


# ---- MHR ----


def test_a_clip_of_mhr_is_fitted(rig_of_mhr: tuple[Clip, Path, FramesResult]) -> None:
    clip, out, result = rig_of_mhr
    assert result.report["status"] == {"good": T}
    assert set(result.report["cameras"]) <= {"cam0", "cam1", "cam2"}  # and not the bystander's
    # The cameras' poses, a tenth of a radian off per joint, pull by a millimetre.
    assert off(clip, out, NAMES).max() < 0.002
    assert {p.name for p in out.iterdir() if p.is_file()} == {
        *("run.json", "walk_frames_report.html", "walk_frames_viewer.html"),
        *(f"walk_frames.{kind}" for kind in ("npz", "trc", "json", "glb", "bvh")),
    }
    assert json.loads((out / "walk_frames.json").read_text("utf-8")) == result.report


def test_outputs_of_mhr_are_what_the_rig_makes_of_their_parameters(
    rig_of_mhr: tuple[Clip, Path, FramesResult],
) -> None:
    clip, out, _ = rig_of_mhr
    model = load_mhr(clip.body)
    for person in frames(out):
        parameters = person.mhr_model_params
        assert not parameters[:3].any()  # as SAM 3D Body: the place is in pred_cam_t
        G, joints, _ = model.rig.world(parameters)
        mesh = model.rig.mesh(parameters, person.shape_params)
        np.testing.assert_allclose(person.pred_joint_coords, flip_axes(joints), atol=1e-12)
        np.testing.assert_allclose(person.pred_global_rots, G, atol=1e-12)
        # Vertices are written in single precision: 1e-7 of a metre or two.
        np.testing.assert_allclose(person.pred_vertices, flip_axes(mesh), atol=1e-6)
        np.testing.assert_array_equal(person.global_rot, parameters[3:6])
        pose = person.body_pose_params
        np.testing.assert_array_equal(pose[:130], parameters[6:POSE_COUNT])
        assert pose.shape == (133,)
        assert not pose[130:].any()
        np.testing.assert_array_equal(joints[1], model.rig.offsets[1])  # the root's one place
        shoulder = NAMES.index("LShoulder")
        at = model.rig.joint_names.index("l_uparm")
        np.testing.assert_allclose(
            person.pred_keypoints_3d[shoulder], person.pred_joint_coords[at], atol=1e-9
        )


def test_losses_are_those_of_the_written_pose(
    rig_of_mhr: tuple[Clip, Path, FramesResult],
) -> None:
    clip, out, result = rig_of_mhr
    for person, report in zip(frames(out), result.report["per_frame"], strict=True):
        extra = person.extra
        names = extra["opt_points"].tolist()
        at = [NAMES.index(name) for name in names]
        points = [clip.names.index(name) for name in names]
        left = np.linalg.norm(
            aligned(person)[at] - clip.xyz[report["frame"] - FIRST][points], axis=1
        )
        # Triangulated without noise: 1e-6 m is what its refinement stops at.
        np.testing.assert_allclose(extra["opt_residual_m"], left, atol=1e-5)
        assert float(extra["opt_final_data_loss"]) == report["losses"]["data"]
        assert float(extra["opt_final_loss"]) == pytest.approx(sum(report["losses"].values()))
        assert str(extra["opt_best_cam"]) == report["camera"]
        assert not bool(extra["opt_is_unusable"])
        # Points of equal weight that are all nearer than `huber_m`: half the mean square,
        # give or take a metric that counts directions up to three times as much.
        ratio = float(extra["opt_final_data_loss"]) / (0.5 * (left**2).mean())
        assert 0.1 < ratio < 10


def test_the_motion_of_mhr_is_that_of_its_parameters(
    rig_of_mhr: tuple[Clip, Path, FramesResult],
) -> None:
    clip, out, _ = rig_of_mhr
    model, motion = load_mhr(clip.body), read_motion(out / "walk_frames.npz")
    body = model.body
    _, joints = body.pose(motion.rotations, motion.translation, body.rest_joints(motion.shape))
    for t, person in enumerate(frames(out)):
        world = flip_axes(person.pred_joint_coords + person.pred_cam_t)
        np.testing.assert_allclose(joints[t], world[model.kept], atol=1e-9)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"one_shape": False}, {"good": T}),
        ({"with_scale": True}, {"good": T}),
        ({"huber_m": 1e-7, "bad_near_share": 1.0}, {"unusable": T}),
    ],
)
def test_mhr_with_other_options(
    rig_of_mhr: tuple[Clip, Path, FramesResult],
    tmp_path: Path,
    options: dict[str, object],
    status: dict[str, int],
) -> None:
    clip, _, _ = rig_of_mhr
    result = run(clip, tmp_path, clip.views, **options)
    assert result.report["status"] == status
    if "unusable" not in status:
        assert off(clip, tmp_path, NAMES).max() < 0.005


def test_mhr_needs_its_parameters(
    rig_of_mhr: tuple[Clip, Path, FramesResult], tubes: Clip, tmp_path: Path
) -> None:
    clip, _, _ = rig_of_mhr
    with pytest.raises(InputError, match="has no mhr_model_params"):
        fit_frames(clip.bundle, tmp_path / "out", FrameOptions(body=str(clip.body)), tubes.views)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="MHR has none"):
        run(clip, tmp_path / "out", gender="female")


# ---- Any body ----


def test_keypoints_of_each_camera_begin_the_poses_of_any_body(tubes: Clip, tmp_path: Path) -> None:
    result = run(tubes, tmp_path, tubes.views, export="glb,bvh", meshes=True)
    assert result.report["status"] == {"good": T}
    assert set(result.report["cameras"]) <= {"cam0", "cam1", "cam2"}
    body = load_body(tubes.body)
    names = tuple(body.regressors)
    # Exact points: what is left is the shape's (a prior, few points) and the cameras' pull.
    assert off(tubes, tmp_path, names).mean() < 0.005
    motion = read_motion(tmp_path / "walk_frames.npz")
    mesh = body.motion_vertices(motion)
    for t, person in enumerate(frames(tmp_path)):
        assert person.extra["keypoint_names"].tolist() == list(names)
        world = flip_axes(person.pred_vertices + person.pred_cam_t)
        np.testing.assert_allclose(world, mesh[t], atol=1e-6)  # single precision
    trc = read_trc(tmp_path / "walk_frames.trc")
    at = [trc.names.index(name) for name in tubes.names]
    assert np.linalg.norm(trc.xyz[:, at] - tubes.xyz, axis=-1).mean() < 0.005


def test_without_views_the_points_themselves_begin(tubes: Clip, tmp_path: Path) -> None:
    result = run(tubes, tmp_path)
    assert result.report["status"] == {"good": T}
    assert set(result.report["cameras"]) <= {POINTS}
    names = tuple(load_body(tubes.body).regressors)
    assert off(tubes, tmp_path, names).mean() < 0.005
    assert all(person.pred_vertices is None for person in frames(tmp_path))


def test_a_scaled_body_has_no_motion_and_says_so(tubes: Clip, tmp_path: Path) -> None:
    result = run(tubes, tmp_path, with_scale=True, export="glb")
    assert result.report["status"] == {"good": T}
    assert any("several shapes or scales" in note for note in result.warnings)
    assert not (tmp_path / "walk_frames.npz").exists()
    names = tuple(load_body(tubes.body).regressors)
    assert off(tubes, tmp_path, names).mean() < 0.005  # times opt_scale


def test_a_frame_without_points_has_diagnostics_only(tubes: Clip, tmp_path: Path) -> None:
    arrays = dict(np.load(tubes.bundle))
    for name in ("points3d_refined", "points3d_init", "covariance"):
        arrays[name][0] = np.nan
    arrays["inlier_mask"][0] = False
    clip = Clip(tmp_path, tubes.body, tubes.names, tubes.xyz, tubes.persons)
    np.savez(clip.bundle, **arrays)
    result = run(clip, tmp_path / "out", tubes.views)
    assert result.report["status"] == {"unusable": 1, "good": T - 1}
    first, *others = frames(tmp_path / "out")
    assert first.pred_joint_coords is None
    assert bool(first.extra["opt_is_unusable"])
    assert "no triangulated point" in str(first.extra["opt_reason"])
    assert not any(bool(person.extra["opt_is_unusable"]) for person in others)
    motion = read_motion(tmp_path / "out" / "walk_frames.npz")
    np.testing.assert_array_equal(
        np.isnan(motion.translation).any(axis=1), [True] + [False] * (T - 1)
    )


# ---- Reuse ----


def stamps(folder: Path) -> dict[str, int]:
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*.npz")}


def test_a_killed_run_goes_on_from_its_finished_frames(
    tubes: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, options = tmp_path / "out", FrameOptions(body=str(tubes.body), **QUIET)
    fitted: list[int] = []
    fit = RigFit.fit
    monkeypatch.setattr(RigFit, "fit", lambda *a: fitted.append(int(a[2][0])) or fit(*a))

    def killed(stage: str, done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_frames(tubes.bundle, out, options, tubes.views, progress=killed)
    assert len(stamps(out)) == 5
    assert set(fitted) == set(range(5))
    fitted.clear()
    again = fit_frames(tubes.bundle, out, options, tubes.views)
    assert set(fitted) == set(range(5, T))  # the others were read
    assert not list((out / ".kinefit").rglob("*.npz"))  # what was kept for this is gone
    fresh = fit_frames(tubes.bundle, tmp_path / "fresh", options, tubes.views)
    assert again.report == fresh.report
    for one, other in zip(frames(out), frames(tmp_path / "fresh"), strict=True):
        np.testing.assert_array_equal(one.pred_joint_coords, other.pred_joint_coords)


def test_what_is_there_is_reused_unless_something_changed(tubes: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run(tubes, out, tubes.views)
    before = stamps(out)
    assert run(tubes, out, tubes.views).report == first.report
    assert stamps(out) == before
    loose = run(tubes, out, tubes.views, w_pose_reg=1e-2)
    assert loose.report["options"]["w_pose_reg"] == 1e-2
    assert loose.report["per_frame"] != first.report["per_frame"]
    changed = stamps(out)
    assert all(changed[n] != before[n] for n in before if n.startswith("frames/"))
    # Other pictures' poses under the same names are other poses.
    views = shutil.copytree(tubes.views, tmp_path / "sam3d")
    for file in (views / "cam0").iterdir():
        shutil.copy(tubes.views / "cam1" / file.name, file)
    assert run(tubes, out, views).report["per_frame"] != first.report["per_frame"]


def test_a_folder_of_another_bundle_is_refused(tubes: Clip, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(tubes, out)
    other = tmp_path / "run.npz"
    arrays = dict(np.load(tubes.bundle))
    np.savez(other, **arrays | {"points3d_refined": arrays["points3d_refined"] + 0.01})
    options = FrameOptions(body=str(tubes.body), **QUIET)
    before = stamps(out)
    with pytest.raises(InputError, match=r"was written by 'walk\.frames'"):
        fit_frames(other, out, options)
    assert {n: at for n, at in stamps(out).items() if n in before} == before


# ---- What is refused, and files of other programs ----


def test_cameras_are_known_by_their_exact_names(tubes: Clip, tmp_path: Path) -> None:
    views = shutil.copytree(tubes.views, tmp_path / "sam3d")
    (views / "cam2").rename(views / "cam20")
    with pytest.raises(InputError, match=r"camera cam2; it has cam20"):
        run(tubes, tmp_path / "out", views)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="nowhere: is no folder"):
        run(tubes, tmp_path / "out", tmp_path / "nowhere")


def test_pictures_of_other_frames_are_refused(tubes: Clip, tmp_path: Path) -> None:
    views = tmp_path / "sam3d"
    for camera in ("cam0", "cam1", "cam2"):
        (views / camera).mkdir(parents=True)
        shutil.copy(tubes.views / camera / "img_000003.npy", views / camera / "img_000100.npy")
    with pytest.raises(InputError, match=r"no file is of a frame.*3\.\.10, not \[100"):
        run(tubes, tmp_path / "out", views)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"huber_m": -1.0}, "--huber-m"),
        ({"smooth": -0.1}, "--smooth"),
        ({"cameras": "a,b,c"}, "--cameras"),
        ({"rate": 30.0}, "--rate"),
        ({"keypoint_mapping": Path("table.npy")}, "--keypoint-mapping"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    tubes: Clip, tmp_path: Path, options: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        run(tubes, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_bundle_of_an_earlier_program(
    rig_of_mhr: tuple[Clip, Path, FramesResult], tmp_path: Path
) -> None:
    """One frame, no names: hands and arms of mhr46, and the cameras' names by an option."""
    clip, _, _ = rig_of_mhr
    points = np.full((46, 3), np.nan)
    points[[skeleton("mhr46").points.index(name) for name in clip.names]] = clip.xyz[0]
    bundle, views = tmp_path / "frame.npz", tmp_path / "sam3d"
    np.savez(bundle, points3d_refined=points, inlier_mask=np.ones((46, 3)))
    views.mkdir()
    for camera in ("cam0", "cam1", "cam2"):
        shutil.copy(clip.views / camera / f"img_{FIRST:06d}.npy", views / f"{camera}.npy")
    options = FrameOptions(body=str(clip.body), **QUIET)
    with pytest.raises(InputError, match="nothing in it is named like camera 0, 1, 2"):
        fit_frames(bundle, tmp_path / "out", options, views)
    options = options.model_copy(update={"cameras": "cam0,cam1,cam2"})
    result = fit_frames(bundle, tmp_path / "out", options, views)
    assert result.report["status"] == {"good": 1}
    (person,) = read_outputs(tmp_path / "out" / "frames" / "000000.npz")
    at = [NAMES.index(name) for name in clip.names]
    assert np.linalg.norm(aligned(person)[at] - clip.xyz[0], axis=-1).max() < 0.01


# ---- Real outputs ----


@pytest.fixture(scope="module")
def real() -> list[Path]:
    files = sorted(DATA.glob("img_subj*.npz"))
    if len(files) < 4:
        pytest.skip("the four real outputs (../shared/data/sam3d) are not here")
    return files


def test_real_outputs_are_read(real: list[Path]) -> None:
    """Four outputs of one photo stand for four cameras: the same person is in one of them."""
    seen = read_views(DATA, [file.stem for file in real], Timeline.regular(1, 30.0))
    (shown,) = seen.values()
    assert shown.values("mhr_model_params").shape == (1, 204)
    assert np.isfinite(shown.values("pred_keypoints_3d")).all()


def test_anny_takes_a_real_pose(real: list[Path], tmp_path: Path) -> None:
    """SAM 3D Body's keypoints of a person in a photo, on another body of another shape."""
    clip = real_clip(tmp_path, read_outputs(real[0])[0])
    result = run(clip, tmp_path / "out", clip.views)
    assert result.report["status"] == {"good": T}
    left = np.stack([person.extra["opt_residual_m"] for person in frames(tmp_path / "out")])
    # 23 keypoints from nose to toes; two bodies' ears and toes differ by up to 16 mm. Where the
    # joints between those of the anatomy are not at rest, 40 mm are left.
    assert left.mean() < 0.008
