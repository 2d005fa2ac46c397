"""Hostile and absurd inputs for `benchmarks.hostile`: what reads them, and how files are spoilt."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parents[1] / "tests/io"
Content = bytes


@dataclass(frozen=True)
class Target:
    """Something that takes a file. kind: text, arrays (npz) or binary. make: writes a sound file.
    read: takes it, and writes what it writes below the second argument. whole: spoilt in every
    way; else, where one try takes seconds, in the ways that found something elsewhere."""

    name: str
    suffix: str
    kind: str
    make: Callable[[Path], Any]
    read: Callable[[Path, Path], Any]
    whole: bool = True


def _reader(module: str, function: str, *more: Any) -> Callable[[Path, Path], Any]:
    def read(path: Path, out: Path) -> Any:
        from importlib import import_module

        return getattr(import_module(module), function)(path, *more)

    return read


def _command(*words: str) -> Callable[[Path, Path], Any]:
    """The command line with the file for FILE, a folder for OUT; raises what it ends with."""

    def read(path: Path, folder: Path) -> None:
        from kinefit.cli import main

        trc = path.parent / "markers.trc"  # beside a model
        places = {
            "TRC": str(trc),
            "FILE": str(path),
            "OUT": str(folder),
            **{f"OUT{end}": str(folder / f"x{end}") for end in (".trc", ".npz", ".html")},
        }
        if "COPY" in words:  # the command writes beside its file
            places["COPY"] = shutil.copy(path, folder) if path.is_file() else str(path)
        said = io.TextIOWrapper(io.BytesIO(), "utf-8")
        sys.argv = ["kinefit", *(places.get(word, word) for word in words)]
        with redirect_stdout(said), redirect_stderr(said):
            try:
                main()
            except SystemExit as ended:
                if ended.code:
                    said.seek(0)
                    raise SystemExit(f"{ended.code}: {said.read().strip()[-200:]}") from None

    return read


def _all_frames(path: Path, out: Path) -> int:
    from kinefit.io.video import frames

    return sum(1 for _ in frames(path))


def _rig_points(path: Path, out: Path) -> Any:
    from kinefit.io.calibration import read_calibration
    from kinefit.io.points2d import read_points

    return read_points(path, read_calibration(GOLDEN / "calibration/golden/pose2sim.toml").rig)


@cache
def _person() -> Any:
    """A walking person of which everything is known: markers, motion, angles, a scene."""
    from kinefit.body.anny import load_anny
    from kinefit.synth.make import _person_truth
    from kinefit.synth.motion_library import motion_library
    from kinefit.synth.scene import sample_scene
    from kinefit.synth.scene_options import SynthOptions

    options = SynthOptions(seconds=2, views=1)
    body = load_anny()
    return _person_truth(sample_scene(options, 0, body, motion_library(None)), body, 0)


def _markers(path: Path) -> None:
    from kinefit.io.c3d import write_c3d
    from kinefit.io.trc import write_trc

    (write_trc if path.suffix == ".trc" else write_c3d)(path, _person().markers)


def _motion(path: Path) -> None:
    from kinefit.io.body_npz import write_motion

    write_motion(path, _person().motion)


def _model(path: Path) -> None:
    """A small OpenSim model with markers, and a recording of these."""
    import kinefit
    from kinefit.biomech.opensim.osim import read_model

    models = Path(kinefit.__file__).parent / "biomech/opensim/models"
    model = read_model(models / "Model_Pose2Sim_simple.osim", models / "Markers_LSTM.xml")
    model.printToXML(str(path))
    _markers(path.parent / "markers.trc")


def _angles(path: Path) -> None:
    from kinefit.io.tables import write_angles_csv

    write_angles_csv(path, _person().angles)


def _amass(path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(
        path, trans=rng.normal(0, 0.1, (30, 3)), poses=rng.normal(0, 0.1, (30, 156)),
        betas=np.zeros(16), gender="neutral", mocap_framerate=60.0,
    )  # fmt: skip


def _smpl(path: Path) -> None:
    from kinefit.api import export_smpl_body

    export_smpl_body(path)


def _video(path: Path) -> None:
    from kinefit.io.video import VideoWriter

    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    with VideoWriter(path, (96, 64)) as out:
        for i in range(20):
            out.add(np.roll(picture, 2 * i, axis=1), i / 30)


def _picture(path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)).save(path)


def _points_npz(path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(
        path, xy=rng.uniform(0, 500, (4, 10, 17, 2)), score=np.ones((4, 10, 17)),
        frame=np.arange(10), time=np.arange(10) / 30,
        cameras=np.array([f"cam0{i}" for i in range(1, 5)]),
        names=np.array([f"p{i}" for i in range(17)]), image_size=np.tile([1088, 1920], (4, 1)),
    )  # fmt: skip


def _text(text: str) -> Callable[[Path], Any]:
    return lambda path: path.write_text(text, "utf-8")


def _copy(source: Path) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(source.read_bytes())


def _calibration(layout: str) -> Callable[[Path], Any]:
    def make(path: Path) -> None:
        from kinefit.io.calibration import read_calibration, write_calibration

        rig = read_calibration(GOLDEN / "calibration/golden/pose2sim.toml").rig
        write_calibration(path, rig, layout)  # type: ignore[arg-type]

    return make


def _bundled(name: str) -> Callable[[Path], Any]:
    import kinefit

    return _copy(Path(kinefit.__file__).parent / name)


def _amc(path: Path) -> None:
    names = ["lowerback", "upperback", "thorax", "lowerneck", "upperneck", "head"]
    chains = [["root", *names]]
    for side in "lr":
        chains.append(
            ["root", *(f"{side}{n}" for n in ["hipjoint", "femur", "tibia", "foot", "toes"])]
        )
        arm = ["clavicle", "humerus", "radius", "wrist", "hand"]
        chains.append(["thorax", *(f"{side}{name}" for name in arm)])
    bones = [name for chain in chains for name in chain[1:]]
    data = "".join(
        f"begin\n id {i}\n name {name}\n direction {_direction(name)}\n length 4\n"
        " axis 0 0 0 XYZ\n dof rx\n limits (-160 160)\nend\n"
        for i, name in enumerate(bones)
    )
    tree = "".join(f"{a} {b}\n" for chain in chains for a, b in pairwise(chain))
    (path.parent / "subject.asf").write_text(
        ":version 1.10\n:name x\n:units\n mass 1.0\n length 0.45\n angle deg\n:root\n"
        " order TX TY TZ RX RY RZ\n axis XYZ\n position 0 0 0\n orientation 0 0 0\n"
        f":bonedata\n{data}:hierarchy\nbegin\n{tree}end\n"
    )
    frames = "".join(
        f"{i}\nroot 0 0 0 0 0 0\n" + "".join(f"{bone} 0\n" for bone in bones) for i in range(1, 20)
    )
    path.write_text(f"#!x\n:FULLY-SPECIFIED\n:DEGREES\n{frames}")


def _direction(bone: str) -> str:
    """Of a person who stands with the arms spread."""
    side = {"l": "1 0 0", "r": "-1 0 0"}.get(bone[0], "")
    if bone.endswith(("hipjoint", "clavicle", "humerus", "radius", "wrist", "hand")):
        return side
    if bone.endswith(("femur", "tibia")):
        return "0 -1 0"
    return "0 0 1" if bone.endswith(("foot", "toes")) else "0 1 0"


def _bvh(path: Path) -> None:
    """A skeleton of Mixamo's names that stands with its arms spread."""
    chains = {
        "Spine": [("Spine", (0, 20, 0)), ("Neck", (0, 30, 0)), ("Head", (0, 10, 0))],
        **{f"{side}Leg": [(f"{side}UpLeg", (x, 0, 0)), (f"{side}Leg", (0, -40, 0)),
                          (f"{side}Foot", (0, -40, 0)), (f"{side}ToeBase", (0, -5, 12))]
           for side, x in (("Left", 9), ("Right", -9))},
        **{f"{side}Arm": [(f"{side}Arm", (x, 48, 0)), (f"{side}ForeArm", (2 * x, 0, 0)),
                          (f"{side}Hand", (2 * x, 0, 0))]
           for side, x in (("Left", 14), ("Right", -14))},
    }  # fmt: skip
    rotation, joints = "CHANNELS 3 Zrotation Xrotation Yrotation\n", 1
    text = "HIERARCHY\nROOT Hips\n{ OFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition "
    text += "Zrotation Xrotation Yrotation\n"
    for chain in chains.values():
        for name, (x, y, z) in chain:
            text, joints = text + f"JOINT {name}\n{{ OFFSET {x} {y} {z}\n{rotation}", joints + 1
        text += "End Site\n{ OFFSET 0 1 5 }\n" + "}\n" * len(chain)
    frame = " ".join(["0 90 0", *["0 0 0"] * joints])
    path.write_text(f"{text}}}\nMOTION\nFrames: 20\nFrame Time: 0.0333\n" + f"{frame}\n" * 20)


def _bundle(path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(
        path, points3d_refined=rng.normal(0, 1, (10, 17, 3)), frame=np.arange(10),
        inlier_mask=np.ones((10, 17, 2), bool), time=np.arange(10) / 30,
        names=np.array([f"p{i}" for i in range(17)]), cameras=np.array(["a", "b"]),
    )  # fmt: skip


def _masks(path: Path) -> None:
    from kinefit.io.masks import MaskPacker

    packer = MaskPacker()
    for _ in range(5):
        packer.add(np.full((32, 32), 255, np.uint8))
    into = np.tile(np.eye(2, 3), (5, 1, 1))
    packer.write(path, np.arange(5), into, (64, 48), np.ones(5), [""] * 5)


def _truth(path: Path) -> None:
    from kinefit.synth.make import make_scenes
    from kinefit.synth.scene_options import SynthOptions

    options = SynthOptions(seconds=0.3, views=1, width=64, height=64)
    scene = make_scenes(path.parent / "scene", options, processes=1)[0]
    path.write_bytes((scene / "truth.npz").read_bytes())


OPENPOSE = json.dumps(
    {"people": [{"pose_keypoints_2d": [float(100 + i * 7 % 90) for i in range(75)]}]}
)
COCO = json.dumps(
    [{"image_id": i, "category_id": 1, "keypoints": [100 + k for k in range(51)], "score": 0.9}
     for i in range(10)]
)  # fmt: skip
MMPOSE = json.dumps(
    [{"frame_id": i, "instances": [{"keypoints": [[100 + k, 200 + k] for k in range(17)],
                                    "keypoint_scores": [0.9] * 17}]} for i in range(5)]
)  # fmt: skip
CONFIG = "[subject]\nheight = 1.75\nmass = 70\n[filter]\ncutoff_hz = 6\n"
TABLE = "video,height,mass\nwalk.mp4,1.75,70\nrun.mp4,1.8,80\n"
HISTORY = '{"stage": "a.fit", "key": "k", "seconds": 1.0, "files": {"a.txt": "0"}, "about": {}}'


def _record(path: Path, out: Path) -> None:
    """A results folder whose record of a stage is the file."""
    from kinefit.pipeline.store import open_folder

    stages = out / ".kinefit" / "stages"
    stages.mkdir(parents=True)
    (stages / "a.fit.json").symlink_to(path)
    with open_folder(out) as folder:
        folder.claim("a", {"a": "0"}, overwrite=True)


CAL = "kinefit.io.calibration"
POSES = "kinefit.io.pose_json"
TARGETS = {
    target.name: target
    for target in (
        Target("trc", ".trc", "text", _markers, _reader("kinefit.io.trc", "read_trc")),
        Target("c3d", ".c3d", "binary", _markers, _reader("kinefit.io.c3d", "read_c3d")),
        Target("mot", ".mot", "text", _copy(GOLDEN / "golden/walk.mot"),
               _reader("kinefit.io.mot", "read_mot")),
        Target("angles", ".csv", "text", _angles, _reader("kinefit.io.tables", "read_angles_csv")),
        Target("motion", ".npz", "arrays", _motion, _reader("kinefit.io.body_npz", "read_motion")),
        Target("amass", ".npz", "arrays", _amass, _reader("kinefit.io.mocap_files", "read_mocap")),
        Target("bvh", ".bvh", "text", _bvh, _reader("kinefit.io.mocap_files", "read_mocap")),
        Target("amc", ".amc", "text", _amc, _reader("kinefit.io.mocap_files", "read_mocap")),
        Target("openpose", ".json", "text", _text(OPENPOSE), _reader(POSES, "read_openpose")),
        Target("alphapose", ".json", "text", _text(COCO), _reader(POSES, "read_alphapose")),
        Target("coco", ".json", "text", _text(COCO), _reader(POSES, "read_coco")),
        Target("mmpose", ".json", "text", _text(MMPOSE), _reader(POSES, "read_mmpose")),
        Target("points", ".npz", "arrays", _points_npz, _rig_points),
        *(Target(f"calibration {layout}", suffix, "text", _calibration(layout),
                 _reader(CAL, "read_calibration"))
          for layout, suffix in (("caliscope", ".toml"), ("aniposelib", ".toml"),
                                 ("pose2sim", ".toml"))),
        Target("calibration qualisys", ".txt", "text", _bundled("demo/Calib.qca.txt"),
               _reader(CAL, "read_calibration")),
        Target("config", ".toml", "text", _text(CONFIG),
               _reader("kinefit.pipeline.config", "read_config")),
        Target("batch table", ".csv", "text", _text(TABLE),
               _reader("kinefit.batch.table", "read_trials", {})),
        Target("record", ".json", "text", _text(HISTORY), _record),
        Target("sam3d", ".npz", "arrays", _points_npz,
               _reader("kinefit.io.sam3d_outputs", "read_outputs")),
        Target("masks", ".npz", "arrays", _masks, _reader("kinefit.io.masks", "read_masks")),
        Target("bundle", ".npz", "arrays", _bundle,
               _reader("kinefit.multiview.bundle", "read_bundle")),
        Target("truth", ".npz", "arrays", _truth,
               _reader("kinefit.synth.truth", "read_truth")),
        Target("video", ".mp4", "binary", _video, _all_frames),
        Target("picture", ".png", "binary", _picture,
               _reader("kinefit.io.pictures", "check_picture")),
        Target("smpl", ".pkl", "binary", _smpl, _reader("kinefit.body.load", "load_body"), False),
        Target("smpl arrays", ".npz", "arrays", _smpl, _reader("kinefit.body.load", "load_body"),
               False),
        Target("pose networks", ".safetensors", "binary",
               lambda path: _safetensors(path),
               _reader("kinefit.fit.priors.weights", "read_safetensors")),
        Target("torch", ".pt", "binary", lambda path: _torch(path),
               _reader("kinefit.io.torchscript", "read_torchscript")),
        Target("kinefit angles", ".trc", "text", _markers,
               _command("angles", "FILE", "--out", "OUT"), False),
        Target("kinefit augment", ".trc", "text", _markers,
               _command("augment", "FILE", "--height", "1.7", "--mass", "70", "--out", "OUT.trc"),
               False),
        Target("kinefit fit markers", ".c3d", "binary", _markers,
               _command("fit", "markers", "FILE", "--height", "1.7", "--out", "OUT"), False),
        Target("kinefit ik", ".osim", "text", _model,
               _command("ik", "TRC", "--model", "FILE",
                        "--height", "1.7", "--mass", "70", "--out", "OUT"), False),
        Target("kinefit export motion", ".npz", "arrays", _motion,
               _command("export", "motion", "COPY", "--to", "glb"), False),
        Target("kinefit eval angles", ".mot", "text", _copy(GOLDEN / "golden/walk.mot"),
               _command("eval", "angles", "FILE", "--reference",
                        str(GOLDEN / "golden/walk.mot")), False),
        Target("kinefit run", ".mp4", "binary", _video,
               _command("run", "FILE", "--height", "1.7", "--mass", "70", "--out", "OUT"), False),
        Target("kinefit fit image", ".png", "binary", _picture,
               _command("fit", "image", "FILE", "--out", "OUT"), False),
    )
}  # fmt: skip


def _safetensors(path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))


def _torch(path: Path) -> None:
    import torch

    torch.jit.script(torch.nn.Linear(2, 3)).save(str(path))


def spoilt(target: Target, sound: bytes) -> Iterator[tuple[str, Content]]:
    """(what was done, content) of files that are not what they should be; the same in each run."""
    yield from _cut(sound)
    yield from _hit(sound, 12 if target.whole else 4)
    yield from _other(sound)
    if target.kind == "text":
        yield from _numbers(sound, 3 if target.whole else 1)
        yield from _nested()
        if target.suffix == ".json":
            yield from _leaves(json.loads(sound), 40 if target.whole else 12)
    if target.kind == "arrays":
        yield from _arrays(sound, target.whole)


def _cut(sound: bytes) -> Iterator[tuple[str, Content]]:
    for share in (0.0, 0.02, 0.1, 0.5, 0.9):
        yield f"cut at {share:.0%}", sound[: int(len(sound) * share)]
    yield "cut by a byte", sound[:-1]


def _hit(sound: bytes, times: int) -> Iterator[tuple[str, Content]]:
    rng = np.random.default_rng(len(sound))
    for i in range(times):
        bits = np.unpackbits(np.frombuffer(sound, np.uint8))
        within = min(len(bits), 16384) if i % 2 else len(bits)
        bits[rng.integers(0, within, 8)] ^= 1
        yield f"8 bits turned {i}", np.packbits(bits).tobytes()
    for i in range(times // 3):
        at = int(rng.integers(0, max(1, len(sound) - 64)))
        yield f"64 bytes of noise {i}", sound[:at] + rng.bytes(64) + sound[at + 64 :]
    for i, word in enumerate((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\x80")):
        for at in (4, 8, 16, 64):
            yield f"a huge count {i} at {at}", sound[:at] + word + sound[at + 4 :]


def _other(sound: bytes) -> Iterator[tuple[str, Content]]:
    rng = np.random.default_rng(1)
    yield "twice", sound * 2
    yield "noise", rng.bytes(4096)
    yield "zeros", bytes(1 << 20)
    yield "line ends", b"\n" * (20 << 20)
    yield "tabs", b"\t" * (20 << 20)
    yield "a ffconcat", b"ffconcat version 1.0\nfile /dev/zero\n"
    yield "a playlist", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    yield "a pickle", b"cposix\nsystem\n(S'touch hacked'\ntR."
    yield "a bomb", _zip_bomb()
    yield "a picture of gigapixels", _picture_bomb()
    yield "UTF-16", sound[:200_000].decode("latin-1").encode("utf-16")
    yield "surrogates", b"\xed\xa0\x80" * 1000 + sound


ABSURD = (
    "1e300", "-1e300", "nan", "inf", "-1", "0", "1e-300", "99999999999999999999", "9" * 5000, "",
    "[/red]", "\0", "0x10", "1_0", "\u0661",
)  # fmt: skip


def _numbers(sound: bytes, times: int) -> Iterator[tuple[str, Content]]:
    text = sound.decode("utf-8", "replace")
    found = [match.span() for match in re.finditer(r"-?\d+(\.\d+)?", text)]
    rng = np.random.default_rng(2)
    for word in ABSURD:
        for i in range(times):
            # Early ones are often counts, late ones values.
            among = found[: max(1, len(found) // 20)] if i == 1 else found
            first, last = among[int(rng.integers(len(among)))]
            yield f"{word[:12]!r} for a number {i}", (text[:first] + word + text[last:]).encode()
    lines = text.splitlines(keepends=True)
    yield "a line of a million words", (text + "1 " * 1_000_000).encode()
    yield "lines exchanged", "".join(lines[::-1]).encode()
    yield "the first line twice", "".join([lines[0], *lines]).encode()


def _nested() -> Iterator[tuple[str, Content]]:
    for word in ("[", '{"a":', "<a>", "a.", "a=[[", "{\n"):
        yield f"100,000 levels of {word!r}", word.encode() * 100_000
    yield (
        "an entity bomb",
        (
            b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">'
            + b"".join(
                b'<!ENTITY b%d "%s">' % (i, b"&b%d;" % (i - 1) * 10 if i else b"&b;" * 10)
                for i in range(12)
            )
            + b"]><a>&b11;</a>"
        ),
    )
    yield "a foreign entity", b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'


def _arrays(sound: bytes, whole: bool) -> Iterator[tuple[str, Content]]:
    with np.load(io.BytesIO(sound), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for name in list(arrays)[: None if whole else 4]:
        for how, change in CHANGES.items():
            try:
                changed = change(arrays[name])
            except (ValueError, TypeError, IndexError):  # there is no such change of these values
                continue
            yield f"{name}: {how}", _npz({**arrays, name: changed})
        yield f"{name}: absent", _npz({k: v for k, v in arrays.items() if k != name})
        yield f"{name}: a header of 2**50 values", _forged(arrays, name, (2**50,))
        yield f"{name}: a header of negative size", _forged(arrays, name, (-1, 3))


ODD: tuple[Any, ...] = (
    None, True, -1, 10**400, 1e300, "", "\ud800", "x" * 5000, "../../beside.txt", "/etc/passwd",
    "link/beside.txt", "a\0b", [], {}, [[[]]], {"a": {"a": 1}},
)  # fmt: skip


def _leaves(value: Any, most: int) -> Iterator[tuple[str, Content]]:
    """JSON with one of its values, or the name of one, exchanged for another kind of thing."""
    rng = np.random.default_rng(3)
    places = list(_places(value))
    for at in rng.permutation(len(places))[:most].tolist():
        for odd in ODD:
            changed = json.loads(json.dumps(value))
            *way, last = places[at]
            holder = changed
            for key in way:
                holder = holder[key]
            name = "/".join(map(str, places[at]))
            renamed = isinstance(odd, str) and isinstance(last, str)
            kept, holder[last] = holder[last], odd
            yield f"{name}: {str(odd)[:12]!r}", json.dumps(changed).encode()
            if renamed:
                del holder[last]
                holder[odd] = kept
                yield f"{name}: called {odd[:12]!r}", json.dumps(changed).encode()


def _places(value: Any) -> Iterator[tuple[Any, ...]]:
    """The way to every value; of lists only the first and last."""
    if isinstance(value, dict):
        keys: list[Any] = list(value)
    else:
        keys = sorted({0, len(value) - 1}) if isinstance(value, list) and value else []
    for key in keys:
        yield (key,)
        yield from ((key, *rest) for rest in _places(value[key]))


CHANGES: dict[str, Callable[[Any], Any]] = {
    "flat": lambda a: a.ravel(),
    "one row": lambda a: a[:1],
    "no rows": lambda a: a[:0],
    "an axis more": lambda a: a[None],
    "a scalar": lambda a: np.float64(3),
    "not numbers": lambda a: a * np.nan,
    "1e300": lambda a: a * 0 + 1e300,
    "one of 1e300": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 0, 1e300, a),
    "infinite": lambda a: a + np.inf,
    "negative": lambda a: -np.abs(a) - 1,
    "complex": lambda a: a.astype(complex),
    "text": lambda a: a.astype(str),
    "markup": lambda a: np.full(a.shape, "[/red]"),
    "objects": lambda a: a.astype(object),
    "whole numbers": lambda a: a.astype(np.int8),
    "dates": lambda a: np.zeros(a.shape, "M8[s]"),
}


def _npz(arrays: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def _forged(arrays: dict[str, Any], name: str, shape: tuple[int, ...]) -> bytes:
    """One array says that it is larger than it is."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for key, value in arrays.items():
            content = io.BytesIO()
            np.save(content, value)
            if key == name:
                header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
                padded = header.encode().ljust(117) + b"\n"
                content = io.BytesIO(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + padded)
            file.writestr(f"{key}.npy", content.getvalue())
    return out.getvalue()


_bomb = b""


def _zip_bomb() -> bytes:
    """Three gigabytes of zeros as an archive of arrays, in 13 MB."""
    global _bomb
    if not _bomb:
        out = io.BytesIO()
        zeros = bytes(1 << 24)
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f8", "fortran_order": False, "shape": (3 << 27,)}
        )
        with (
            zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
            file.open("a.npy", "w", force_zip64=True) as stream,
        ):
            stream.write(header.getvalue())
            for _ in range(192):
                stream.write(zeros)
        _bomb = out.getvalue()
    return _bomb


def _picture_bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">2I5B", 60_000, 60_000, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def strange_paths(folder: Path, suffix: str, sound: bytes) -> Iterator[tuple[str, Path]]:
    """(what it is, path) of things that are no file, and of sound files with strange names."""
    made = {
        "a folder": lambda p: p.mkdir(),
        "a pipe": lambda p: os.mkfifo(p),
        "a device of zeros": lambda p: p.symlink_to("/dev/zero"),
        "an empty device": lambda p: p.symlink_to("/dev/null"),
        "a link to itself": lambda p: p.symlink_to(p),
        "nothing": lambda p: None,
    }
    for i, (name, make) in enumerate(made.items()):
        path = folder / f"strange{i}{suffix}"
        make(path)
        yield name, path
    for name in ("[red]", "-rf", "a\nb", "a:b", "x" * (250 - len(suffix)), "a b\udcff", "..", "ä"):
        path = folder / f"{name}{suffix}"
        path.write_bytes(sound)
        yield f"a name of {name[:8]!r}", path
