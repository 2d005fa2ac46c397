"""More that takes files of strangers, for `benchmarks.hostile`: calibrations of other programs,
masks, commands that read folders, and forged results folders."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.hostile_inputs import (
    CAL,
    GOLDEN,
    OPENPOSE,
    Target,
    _command,
    _person,
    _reader,
    _video,
)

RIG = GOLDEN / "calibration/golden/pose2sim.toml"


def _rig() -> Any:
    from kinefit.io.calibration import read_calibration

    return read_calibration(RIG).rig


def _written(layout: Callable[[Any], str]) -> Callable[[Path], Any]:
    """The golden rig in another program's layout."""
    return lambda path: path.write_text(layout(_rig()), "utf-8")


def _pose(camera: Any) -> Any:
    return np.vstack([np.column_stack([camera.R, camera.t]), [0, 0, 0, 1]])


def _panoptic(rig: Any) -> str:
    cameras = [
        {"name": c.name, "type": "hd", "resolution": list(c.size), "panel": 0, "node": i,
         "K": c.K.tolist(), "distCoef": c.distortion.tolist(), "R": c.R.tolist(),
         "t": (100 * c.t[:, None]).tolist()}
        for i, c in enumerate(rig)
    ]  # fmt: skip
    return json.dumps({"calibDataSource": "x", "cameras": cameras})


def _kalibr(rig: Any) -> str:
    cameras = {
        f"cam{i}": {
            "camera_model": "pinhole", "distortion_model": "radtan",
            "distortion_coeffs": c.distortion[:4].tolist(), "resolution": list(c.size),
            "intrinsics": [*np.diag(c.K)[:2].tolist(), *c.K[:2, 2].tolist()],
        }
        for i, c in enumerate(rig)
    }  # fmt: skip
    for (_, a), (j, b) in pairwise(enumerate(rig)):
        cameras[f"cam{j}"]["T_cn_cnm1"] = (_pose(b) @ np.linalg.inv(_pose(a))).tolist()
    return json.dumps(cameras)


def _matrix(name: str, array: Any, indent: str = "") -> str:
    array = np.atleast_2d(array)
    data = ", ".join(map(repr, array.ravel().tolist()))
    return (
        f"{indent}{name}: !!opencv-matrix\n{indent}   rows: {len(array)}\n"
        f"{indent}   cols: {array.shape[1]}\n{indent}   dt: d\n{indent}   data: [ {data} ]\n"
    )


def _mccalib(rig: Any) -> str:
    text = f"%YAML:1.0\n---\nnb_camera: {len(rig)}\n"
    for i, c in enumerate(rig):
        text += f"camera_{i}:\n" + _matrix("camera_matrix", c.K, "   ")
        text += _matrix("distortion_vector", c.distortion, "   ")
        text += _matrix("camera_pose_matrix", np.linalg.inv(_pose(c)), "   ")
        text += f"   distortion_type: 0\n   camera_group: 0\n   img_width: {c.size[0]}\n"
        text += f"   img_height: {c.size[1]}\n"
    return text


def _openpose_xml(rig: Any) -> str:
    c, parts = rig.cameras[0], ""
    for name, array in (
        ("CameraMatrix", _pose(c)[:3]), ("Intrinsics", c.K), ("Distortion", c.distortion[:, None])
    ):  # fmt: skip
        data = " ".join(map(repr, array.ravel().tolist()))
        parts += f'<{name} type_id="opencv-matrix"><rows>{len(array)}</rows><cols>'
        parts += f"{array.shape[1]}</cols><dt>d</dt><data>{data}</data></{name}>"
    size = f"<image_width>{c.size[0]}</image_width><image_height>{c.size[1]}</image_height>"
    return f'<?xml version="1.0"?><opencv_storage>{parts}{size}</opencv_storage>'


def _vicon(rig: Any) -> str:
    from scipy.spatial.transform import Rotation

    cameras = ""
    for i, c in enumerate(rig):
        q, place = Rotation.from_matrix(c.R).as_quat(), 1000 * c.centre
        words = [" ".join(map(str, v)) for v in (c.K[:2, 2], q, place)]
        cameras += (
            f'<Camera DEVICEID="{i}" SENSOR_SIZE="{c.size[0]} {c.size[1]}" ISDV="1"><KeyFrames>'
            f'<KeyFrame FRAME="0" FOCAL_LENGTH="{c.K[0, 0]}" PRINCIPAL_POINT="{words[0]}" '
            f'VICON_RADIAL2="ViconRadial2 0 0 0 1e-8 0" ORIENTATION="{words[1]}" '
            f'POSITION="{words[2]}" IMAGE_ERROR="0.2"/></KeyFrames></Camera>'
        )
    return f'<?xml version="1.0"?><Cameras>{cameras}</Cameras>'


def _freemocap(rig: Any) -> str:
    from scipy.spatial.transform import Rotation

    text = ""
    for i, c in enumerate(rig):
        vector, place = Rotation.from_matrix(c.R).as_rotvec(), 1000 * c.centre
        text += (
            f'[cam_{i}]\nname = "{c.name}"\nsize = {list(c.size)}\nmatrix = {c.K.tolist()}\n'
            f"distortions = {c.distortion.tolist()}\nrotation = {vector.tolist()}\n"
            f"translation = {(1000 * c.t).tolist()}\nworld_position = {place.tolist()}\n"
            f"world_orientation = {c.R.T.tolist()}\n"
        )
    return text + "[metadata]\nadjusted = false\nerror = 0.4\ncharuco_square_size = 39\n"


def _opencap(path: Path) -> None:
    c = _rig().cameras[0]
    path.write_bytes(
        pickle.dumps(
            {"intrinsicMat": c.K, "distortion": c.distortion[None], "rotation": c.R,
             "translation": 1000 * c.t[:, None], "imageSize": np.array(c.size[::-1])[:, None],
             "rotation_EulerAngles": np.zeros((3, 1))}
        )
    )  # fmt: skip


def _easymocap(rig: Any) -> tuple[str, str]:
    """intri.yml and extri.yml."""
    from scipy.spatial.transform import Rotation

    head = "%YAML:1.0\n---\nnames:\n" + "".join(f'   - "{c.name}"\n' for c in rig)
    intri, extri = head, head
    for c in rig:
        intri += _matrix(f"K_{c.name}", c.K) + _matrix(f"dist_{c.name}", c.distortion)
        intri += f"H_{c.name}: {c.size[1]}\nW_{c.name}: {c.size[0]}\n"
        extri += _matrix(f"R_{c.name}", Rotation.from_matrix(c.R).as_rotvec()[:, None])
        extri += _matrix(f"Rot_{c.name}", c.R) + _matrix(f"T_{c.name}", c.t[:, None])
    return intri, extri


def _of_easymocap(path: Path, out: Path) -> Any:
    """The file for the one half, the other half sound."""
    from kinefit.io.calibration import read_calibration

    (out / "extri.yml").write_text(_easymocap(_rig())[1])
    (out / "intri.yml").symlink_to(path)
    return read_calibration(out)


def _mask_video(path: Path) -> None:
    from kinefit.io.video import VideoWriter

    with VideoWriter(path, (96, 64)) as out:
        for i in range(20):
            picture = np.zeros((64, 96, 3), np.uint8)
            picture[10:50, 20 + i : 40 + i] = 255
            out.add(picture, i / 30)


def _mask_png(path: Path) -> None:
    from PIL import Image

    picture = np.zeros((64, 96), np.uint8)
    picture[10:50, 20:40] = 255
    Image.fromarray(picture).save(path)


RUNS = json.dumps(
    [{"image_id": i, "category_id": 1, "score": 0.9,
      "segmentation": {"size": [64, 96], "counts": [1000, 40, 24, 40, 24, 40, 4976]}}
     for i in range(20)]
)  # fmt: skip


def _of_masks(path: Path, out: Path) -> int:
    """As the masks of a video of noise; a PNG file as one of a folder."""
    from kinefit.io.mask_files import read_mask_files
    from kinefit.io.video import Clip

    _video(out / "clip.mp4")
    if path.suffix == ".png":
        (out / "masks").mkdir()
        _mask_png(out / "masks" / "frame_0001.png")
        (out / "masks" / "frame_0000.png").symlink_to(path)
        path = out / "masks"
    return sum(len(m.masks) for m in read_mask_files(path, Clip(out / "clip.mp4"), (96, 64)))


def _points_csv(path: Path) -> None:
    """A walking person in the golden cameras."""
    from kinefit.geometry.projection import project

    rig, markers = _rig(), _person().markers
    lines = ["frame,camera,point,x,y,score"]
    for c in rig:
        for t, xyz in enumerate(markers.xyz[:4, :17]):
            xy = project(c, xyz).tolist()
            lines += [
                f"{t},{c.name},{name},{x},{y},0.9"
                for name, (x, y) in zip(markers.names, xy, strict=False)
            ]
    path.write_text("\n".join(lines))


def _folder_of(*words: str) -> Callable[[Path, Path], Any]:
    """The command with a folder of OpenPose files for each golden camera in place of FILE, the
    file one of the first camera's."""
    run = _command(*words)

    def read(path: Path, out: Path) -> None:
        for camera in _rig().names:
            folder = out / "points" / camera
            folder.mkdir(parents=True)
            for i in range(3):
                (folder / f"{i:06d}_keypoints.json").write_text(OPENPOSE)
        first = out / "points" / _rig().names[0] / "000000_keypoints.json"
        first.unlink()
        first.symlink_to(path)
        run(out / "points", out)

    return read


def _bundle(path: Path) -> None:
    """Of a walking person, as `kinefit triangulate` writes it."""
    from kinefit.pipeline.config import ViewOptions
    from kinefit.pipeline.triangulation import triangulate_file

    table = path.with_name("points.csv")
    _points_csv(table)
    triangulate_file(table, path, ViewOptions(calibration=RIG), rate_hz=30)


def _run_folder(folder: Path) -> None:
    """What `view` and `refine` read of a run, without the fit."""
    from kinefit.io.body_npz import write_motion
    from kinefit.io.calibration import write_calibration
    from kinefit.io.tables import write_angles_csv
    from kinefit.io.trc import write_trc
    from kinefit.pipeline.artifacts import save_markers
    from kinefit.report.scene import Scene, pack_scene
    from kinefit.types import CameraRig

    person = _person()
    for name in (".kinefit", "joint_angles"):
        (folder / name).mkdir(parents=True)
    write_angles_csv(folder / "joint_angles/a_angles_all.csv", person.angles)
    write_trc(folder / "a_final.trc", person.markers)
    write_motion(folder / "a_body.npz", person.motion)
    one = CameraRig(_rig().cameras[:1])
    write_calibration(folder / ".kinefit/fitted_cameras.toml", one, "caliscope")
    save_markers(folder / ".kinefit/keypoints.npz", person.markers)
    pack = pack_scene(Scene("a", person.markers.timeline, ()))
    (folder / ".kinefit/scene.bin").write_bytes(pack)
    (folder / "run.json").write_text(MANIFEST)


MANIFEST = json.dumps(
    {"inputs": [{"name": "a", "file": "a.mp4", "sha256": "0" * 64, "part": {"slowmo": 1.0}}],
     "verdict": "good", "parameters": {"height": 1.7}, "versions": {"kinefit": "0"},
     "findings": [{"level": "caution", "what": "x", "where": "", "meaning": "", "action": ""}],
     "stages": {"a.angles": {"files": {"joint_angles/a_angles_all.csv": "0"}, "stale": False}}}
)  # fmt: skip


def _in_run(name: str, *words: str) -> Callable[[Path, Path], Any]:
    """The command with a results folder in place of FILE, the file one of its own."""
    run = _command(*words)

    def read(path: Path, out: Path) -> None:
        with TemporaryDirectory() as folder:  # not in `out`, where nothing may be absurd
            _run_folder(Path(folder))
            (Path(folder) / name).unlink()
            if path.is_symlink() or path.is_file():
                shutil.copy(path, Path(folder) / name, follow_symlinks=False)
            run(Path(folder), out)

    return read


def _made_in_run(name: str) -> Callable[[Path], Any]:
    def make(path: Path) -> None:
        folder = path.with_name(f"whole_{path.stem}")
        _run_folder(folder)
        path.write_bytes((folder / name).read_bytes())

    return make


RECORD = json.dumps(
    {"stage": "a.fit", "key": "k" * 16, "seconds": 1.0, "files": {"x/a.txt": "0" * 64},
     "after": {"a.detect": "0"}, "about": {"inputs": {"a": "0"}, "options": {"height": 1.7}},
     "left": {"b.txt": "0" * 64}}
)  # fmt: skip


def _forged(path: Path, out: Path) -> None:
    """A results folder whose record of a stage is the file: everything that is done with records,
    and what lies beside the folder is as before."""
    from kinefit.pipeline.execute import write_manifest
    from kinefit.pipeline.store import open_folder

    folder, beside = out / "run", out / "beside.txt"
    stages = folder / ".kinefit" / "stages"
    stages.mkdir(parents=True)
    beside.write_text("x")
    (folder / "x").mkdir()
    (folder / "x" / "link").symlink_to(out)
    (stages / "a.fit.json").symlink_to(path)
    with open_folder(folder) as held:
        for stage in held.records:
            held.is_stale(stage)
            held.valid(stage, held.records[stage].key)
        write_manifest(held, {})
        held.claim("a", {"a": "0"}, overwrite=True)
        (held.staging("a.fit", "k") / "b.txt").write_text("y")
        held.commit("a.fit", "k", 1.0, {}, {})
    assert beside.read_text() == "x"


PEOPLE = json.dumps(
    [{"image_id": i, "category_id": 1, "score": 0.9,
      "keypoints": [n for k in range(17) for n in (20.0 + 3 * (k % 5), 4.0 * k, 0.9)]}
     for i in range(20)]
)  # fmt: skip
TRIALS = "video,name,height,mass,start,end\nclip.mp4,a,1.75,70,0,1\nclip.mp4,b,1.8,80,,\n"


def _keypoints(path: Path, out: Path) -> Any:
    """As those of a video of noise."""
    from kinefit.detect.files import FileDetector
    from kinefit.io.video import Clip

    _video(out / "clip.mp4")
    return FileDetector("coco", path).people(Clip(out / "clip.mp4"))


CALIBRATIONS = (
    ("panoptic", ".json", _written(_panoptic)),
    ("kalibr", ".json", _written(_kalibr)),
    ("mc-calib", ".yml", _written(_mccalib)),
    ("openpose", ".xml", _written(_openpose_xml)),
    ("vicon", ".xcp", _written(_vicon)),
    ("freemocap", ".toml", _written(_freemocap)),
    ("opencap", ".pickle", _opencap),
)
TARGETS = {
    target.name: target
    for target in (
        *(Target(f"calibration {name}", suffix, "binary" if name == "opencap" else "text", make,
                 _reader(CAL, "read_calibration")) for name, suffix, make in CALIBRATIONS),
        Target("calibration easymocap", ".yml", "text", _written(lambda rig: _easymocap(rig)[0]),
               _of_easymocap),
        Target("masks png", ".png", "binary", _mask_png, _of_masks),
        Target("masks video", ".mp4", "binary", _mask_video, _of_masks),
        Target("masks coco", ".json", "text", lambda path: path.write_text(RUNS), _of_masks),
        Target("forged record", ".json", "text", lambda path: path.write_text(RECORD), _forged),
        Target("kinefit triangulate", ".csv", "text", _points_csv,
               _command("triangulate", "FILE", "--calibration", str(RIG), "--rate", "30",
                        "--out", "OUT.npz"), False),
        Target("kinefit triangulate openpose", ".json", "text",
               lambda path: path.write_text(OPENPOSE),
               _folder_of("triangulate", "FILE", "--calibration", str(RIG), "--rate", "30",
                          "--out", "OUT.npz"), False),
        Target("kinefit fit frames", ".npz", "arrays", _bundle,
               _command("fit", "frames", "FILE", "--out", "OUT"), False),
        Target("keypoints", ".json", "text", lambda path: path.write_text(PEOPLE), _keypoints),
        Target("kinefit refine", ".csv", "text", _made_in_run("joint_angles/a_angles_all.csv"),
               _command("refine", "FILE", "--out", "OUT"), False),
        Target("kinefit refine run", ".json", "text", lambda path: path.write_text(MANIFEST),
               _in_run("run.json", "refine", "FILE", "--out", "OUT"), False),
        Target("kinefit refine markers", ".npz", "arrays",
               _made_in_run(".kinefit/keypoints.npz"),
               _in_run(".kinefit/keypoints.npz", "refine", "FILE", "--out", "OUT"), False),
        Target("kinefit batch", ".csv", "text", lambda path: path.write_text(TRIALS),
               _command("batch", "FILE", "--dry-run", "--out", "OUT"), False),
        *(Target(f"kinefit view {what}", Path(name).suffix, kind, _made_in_run(name),
                 _in_run(name, "view", "FILE", "--no-open", "--out", "OUT.html"), False)
          for what, name, kind in (
              ("manifest", "run.json", "text"), ("scene", ".kinefit/scene.bin", "binary"),
              ("angles", "joint_angles/a_angles_all.csv", "text"))),
    )
}  # fmt: skip
