"""ASF and AMC: Acclaim's skeleton and its motion, as the CMU database has them.

    :units                        :bonedata                     :FULLY-SPECIFIED
      length 0.45                   begin                       :DEGREES
      angle deg                       id 1                      1
    :root                             name lfemur               root 9.4 17.9 -17.3 -2.0 0.5 -9.3
      order TX TY TZ RX RY RZ         direction 0.34 -0.93 0    lfemur -0.7 7.8 -5.0
      axis XYZ                        length 7.2                2
      position 0 0 0                  axis 0 0 20 XYZ           ...
      orientation 0 0 0               dof rx ry rz
    :hierarchy                      end
      begin
        root lfemur
      end

A bone goes from where its parent ends, `direction` (of the world, in the rest pose) times `length`.
Its own axes are turned by `axis` against the world; its angles turn it in those, about the first
axis of `dof` first (Lander 1998, Working with motion capture file formats, Game Developer). So its
rotation in the parent's is C M C^-1. Lengths times 0.0254 / `length` are metres: CMU's are inches
(mocap.cs.cmu.edu/faqs.php), and neither file states a rate: CMU's is 120 Hz.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kinefit.geometry.rotations import exp
from kinefit.io.mocap import MAX_POSES, MocapClip, posed, rest_joints
from kinefit.io.text import Line, read_lines, refused_as_input
from kinefit.types import FloatArray, InputError

RATE_HZ = 120.0
_INCH = 0.0254
_MOST_BONES = 1000
_HINT = "export it again"


class _Bone(NamedTuple):
    """direction: (3,) of the world times length, file's units. axis: (3, 3) its own axes in the
    world's. dof: names of its channels, as "rx"."""

    direction: FloatArray
    axis: FloatArray
    dof: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Skeleton:
    """An ASF file: bones by name with the root first, each one's parent, and the scale.

    metres: of a unit of length. radians: of a unit of angle.
    """

    path: Path
    bones: dict[str, _Bone]
    parents: dict[str, str]
    metres: float
    radians: float


def read_amc(path: Path, skeleton: Skeleton | None = None) -> MocapClip:
    """The recording in an AMC file, on the skeleton of an ASF file.

    skeleton: None: of the one ASF file in its folder, or the one whose name it begins with
    ("02.asf" of "02_01.amc").

    A joint is called as the bone that begins there; the last ones, where bones end, NAMEEnd.
    Raises InputError, with file and line, for what is not in the layout above.
    """
    skeleton = skeleton or read_asf(_asf_of(path))
    frames, degrees = _frames(path, skeleton)
    names = list(skeleton.bones)
    angle = np.pi / 180 if degrees else 1.0
    local = np.stack([_local(skeleton.bones[name], frames[name], angle) for name in names], axis=1)
    parents = [names.index(skeleton.parents[n]) if n in skeleton.parents else -1 for n in names]
    # A joint lies where its parent's bone ends; bones without children end in a joint of their own.
    leaves = [i for i in range(1, len(names)) if i not in parents]
    ends = np.array([b.direction for b in skeleton.bones.values()]) * skeleton.metres
    offsets = np.concatenate([ends[parents], ends[leaves]])
    offsets[0] = 0
    still = np.broadcast_to(np.eye(3), (len(local), len(leaves), 3, 3))
    root = _root_path(skeleton, frames["root"])
    whole = [*parents, *leaves]
    positions, rotations = posed(whole, offsets, np.concatenate([local, still], axis=1), root)
    with refused_as_input(path):
        return MocapClip(
            name=path.stem,
            format="asf",
            rate_hz=RATE_HZ,
            names=(*names, *(f"{names[i]}End" for i in leaves)),
            parents=np.array(whole),
            positions=positions,
            rotations=rotations,
            rest=rest_joints(whole, offsets),
            notes=(f"{RATE_HZ:g} frames per second, which the format does not state",),
        )


def _asf_of(path: Path) -> Path:
    found = sorted(p for p in path.parent.iterdir() if p.suffix.lower() == ".asf")
    named = [p for p in found if path.stem.startswith(p.stem)]
    chosen = named or (found if len(found) == 1 else [])
    if not chosen:
        raise InputError(
            path, "there is no ASF file with its skeleton beside it",
            "put the subject's .asf into the same folder",
        )  # fmt: skip
    return max(chosen, key=lambda p: len(p.stem))


def _local(bone: _Bone, values: FloatArray, angle: float) -> FloatArray:
    """(T, 3, 3) rotations in the parent's axes from channels (T, D)."""
    motion = np.broadcast_to(np.eye(3), (len(values), 3, 3))
    for k, name in enumerate(bone.dof):
        if name[0] == "r":
            turn = np.zeros((len(values), 3))
            turn[:, "xyz".index(name[1])] = angle * values[:, k]
            motion = exp(turn) @ motion  # the first of them turns first
    return np.asarray(bone.axis @ motion @ bone.axis.T)


def _root_path(skeleton: Skeleton, values: FloatArray) -> FloatArray:
    """(T, 3) metres."""
    dof = skeleton.bones["root"].dof
    path = np.zeros((len(values), 3))
    for k, name in enumerate(dof):
        if name[0] == "t":
            path[:, "xyz".index(name[1])] = values[:, k] * skeleton.metres
    return path


def read_asf(path: Path) -> Skeleton:
    """The skeleton in an ASF file; raises InputError, with the line."""
    sections = _sections(path)
    units = {line.text.split()[0]: line for line in sections.get("units", ())}
    radians = 1.0 if "rad" in units.get("angle", Line(0, "")).text else np.pi / 180
    scale = _numbers(path, units["length"], 1)[0] if "length" in units else 1.0
    if not scale > 0:
        raise InputError(path, f"line {units['length'].number}: length is {scale:g}", _HINT)
    bones = {"root": _root(path, sections.get("root", []), radians)}
    for block in _blocks(path, sections.get("bonedata", [])):
        name, bone = _bone(path, block, radians)
        if name in bones or len(bones) > _MOST_BONES:
            raise InputError(path, f"line {block[0].number}: bone {name} again", _HINT)
        bones[name] = bone
    parents = _hierarchy(path, sections.get("hierarchy", []), bones)
    order = ["root"]
    for name in order:
        order += [child for child, parent in parents.items() if parent == name]
    return Skeleton(path, {n: bones[n] for n in order}, parents, _INCH / scale, radians)


def _sections(path: Path) -> dict[str, list[Line]]:
    """Lines of an ASF file by the section that they are in, without comments and blanks."""
    sections: dict[str, list[Line]] = {}
    current: list[Line] = []
    for line in read_lines(path):
        text = line.text.split("#")[0].strip()
        if text.startswith(":"):
            current = sections.setdefault(text[1:].split()[0].lower() if text[1:] else "", [])
        elif text:
            current.append(Line(line.number, text))
    if "bonedata" not in sections or "root" not in sections:
        raise InputError(path, "is not an ASF file (no :root, :bonedata)", "check the file")
    return sections


def _blocks(path: Path, lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Lines between `begin` and `end`."""
    block: list[Line] | None = None
    for line in lines:
        word = line.text.lower()
        if word == "begin":
            block = []
        elif word == "end" and block:
            yield block
            block = None
        elif block is not None:
            block.append(line)
        else:
            raise InputError(path, f"line {line.number}: {line.text[:40]!r} is in no bone", _HINT)


def _bone(path: Path, block: Sequence[Line], radians: float) -> tuple[str, _Bone]:
    fields = {line.text.split()[0].lower(): line for line in block}
    for needed in ("name", "direction", "length", "axis"):
        if needed not in fields:
            raise InputError(path, f"line {block[0].number}: a bone has no {needed}", _HINT)
    words = fields["name"].text.split()
    direction = _numbers(path, fields["direction"], 3) * _numbers(path, fields["length"], 1)
    dof = tuple(w.lower() for w in fields["dof"].text.split()[1:]) if "dof" in fields else ()
    _check_dof(path, fields.get("dof"), dof)
    return words[-1], _Bone(direction, _axis(path, fields["axis"], radians), dof)


def _root(path: Path, lines: Sequence[Line], radians: float) -> _Bone:
    fields = {line.text.split()[0].lower(): line for line in lines}
    if "order" not in fields:
        raise InputError(path, "the root has no order of channels", _HINT)
    dof = tuple(word.lower() for word in fields["order"].text.split()[1:])
    _check_dof(path, fields["order"], dof)
    axis = np.eye(3)
    if "orientation" in fields:
        order = fields["axis"].text.split()[1] if "axis" in fields else "XYZ"
        angles = _numbers(path, fields["orientation"], 3)
        axis = _axis_rotation(path, fields["orientation"], angles * radians, order)
    return _Bone(np.zeros(3), axis, dof)


def _check_dof(path: Path, line: Line | None, dof: Sequence[str]) -> None:
    known = {"rx", "ry", "rz", "tx", "ty", "tz", "l"}
    if line is not None and (not set(dof) <= known or len(set(dof)) < len(dof)):
        raise InputError(path, f"line {line.number}: unknown channels {line.text[:60]!r}", _HINT)


def _axis(path: Path, line: Line, radians: float) -> FloatArray:
    words = line.text.split()
    if len(words) != 5:
        raise InputError(path, f"line {line.number}: axis needs three angles and XYZ", _HINT)
    angles = _numbers(path, Line(line.number, " ".join(words[:4])), 3)
    return _axis_rotation(path, line, angles * radians, words[4])


def _axis_rotation(path: Path, line: Line, angles: FloatArray, order: str) -> FloatArray:
    """(3, 3) the turns about fixed axes, the first letter's first."""
    if sorted(order.upper()) != ["X", "Y", "Z"]:
        raise InputError(path, f"line {line.number}: order of axes {order[:20]!r}", "write XYZ")
    out = np.eye(3)
    for letter in order.upper():
        k = "XYZ".index(letter)
        out = exp(angles[k] * np.eye(3)[k]) @ out
    return out


def _hierarchy(path: Path, lines: Sequence[Line], bones: dict[str, _Bone]) -> dict[str, str]:
    """Bone -> its parent."""
    parents: dict[str, str] = {}
    for line in lines:
        first, *children = line.text.split()
        if first.lower() in ("begin", "end") and not children:
            continue
        unknown = [name for name in (first, *children) if name not in bones]
        again = [name for name in children if name in parents or name == "root"]
        if unknown or again:
            what = f"no bone {unknown[0]}" if unknown else f"{again[0]} has two parents"
            raise InputError(path, f"line {line.number}: {what}", _HINT)
        parents.update(dict.fromkeys(children, first))
    loose = [name for name in bones if name != "root" and not _ends_in_root(name, parents)]
    if loose:
        raise InputError(path, f"bone {loose[0]} is not in the :hierarchy below the root", _HINT)
    return parents


def _ends_in_root(name: str, parents: dict[str, str]) -> bool:
    for _ in range(len(parents) + 1):
        if name == "root":
            return True
        name = parents.get(name, "")
    return False


def _frames(path: Path, skeleton: Skeleton) -> tuple[dict[str, FloatArray], bool]:
    """Channels (T, D) of each bone, in the file's units; and whether angles are degrees."""
    rows: dict[str, list[list[float]]] = {name: [] for name in skeleton.bones}
    degrees, count = abs(skeleton.radians - 1) > 1e-9, 0
    for line in read_lines(path):
        words = line.text.split("#")[0].split()
        if not words:
            continue
        if words[0].startswith(":"):
            degrees = {":DEGREES": True, ":RADIANS": False}.get(words[0].upper(), degrees)
        elif len(words) == 1 and words[0].isdigit():
            _refuse_short(path, line, rows, skeleton, count)
            count += 1
        elif words[0] not in rows or not count:
            raise InputError(path, f"line {line.number}: {words[0][:40]!r} is not a bone", _HINT)
        else:
            need = len(skeleton.bones[words[0]].dof)
            rows[words[0]].append(_numbers(path, line, need).tolist())
    _refuse_short(path, None, rows, skeleton, count)
    if not count or count * 2 * len(rows) > MAX_POSES:
        raise InputError(path, f"it has {count} frames", "give one to a hundred thousand or so")
    shaped = {
        name: np.array(values).reshape(count, len(skeleton.bones[name].dof))
        for name, values in rows.items()
    }
    return shaped, degrees


def _refuse_short(
    path: Path,
    line: Line | None,
    rows: dict[str, list[list[float]]],
    skeleton: Skeleton,
    count: int,
) -> None:
    """Raises InputError where the frame that ends lacks a bone, or has one twice."""
    for name, values in rows.items():
        if skeleton.bones[name].dof and len(values) != count:
            where = f"line {line.number}" if line else "the last line"
            what = "is missing" if len(values) < count else "stands twice"
            raise InputError(path, f"before {where}: {name} {what} in frame {count}", _HINT)


def _numbers(path: Path, line: Line, count: int) -> FloatArray:
    """The `count` numbers after the line's first word."""
    words = line.text.split()[1:]
    try:
        values = np.array([float(word) for word in words])
        if len(words) != count or not np.isfinite(values).all():
            raise ValueError(f"{len(words)} numbers")
    except ValueError as error:
        raise InputError(
            path, f"line {line.number}: {line.text[:60]!r} is not a name and {count} numbers", _HINT
        ) from error
    return values
