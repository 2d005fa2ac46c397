"""ASF and AMC: Acclaim's skeleton and its motion, as the CMU database has them.

    :units                  :bonedata                  :hierarchy
      length 0.45             begin                      begin
      angle deg                 name lfemur                root lfemur
    :root                       direction 0.34 -0.93 0   end
      order TX TY TZ RX ...     length 7.2             and the motion:
      axis XYZ                  axis 0 0 20 XYZ        :DEGREES
      position 0 0 0            dof rx ry rz           1
      orientation 0 0 0       end                      root 9.4 17.9 -17.3 -2.0 0.5 -9.3 ...

A bone goes from where its parent ends, `direction` (of the world, in the rest pose) times `length`.
Its own axes are turned by `axis` against the world; its angles turn it in those, about the first
axis of `dof` first (Lander 1998, Working with motion capture file formats, Game Developer). So its
rotation in the parent's is C M C^-1. Lengths times 0.0254 / `length` are metres: CMU's are inches
(mocap.cs.cmu.edu/faqs.php), and neither file states a rate: CMU's is 120 Hz.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kinefit.geometry.rotations import exp
from kinefit.io import limits
from kinefit.io.mocap import MocapClip
from kinefit.io.text import Line, finite_numbers, read_lines
from kinefit.types import FloatArray, InputError

RATE_HZ = 120.0
_INCH = 0.0254
_MOST_BONES = 1000
_CHANNELS = {"rx", "ry", "rz", "tx", "ty", "tz", "l"}
_HINT = "export it again"


class _Bone(NamedTuple):
    """direction: (3,) of the world times length, file's units. axis: (3, 3) its own axes in the
    world's. dof: names of its channels, as "rx"."""

    direction: FloatArray
    axis: FloatArray
    dof: tuple[str, ...]

    def turned(self, values: FloatArray, angle: float) -> FloatArray:
        """(T, 3, 3) rotations in the parent's axes from channels (T, D)."""
        motion = np.broadcast_to(np.eye(3), (len(values), 3, 3))
        for k, name in enumerate(self.dof):
            if name[0] == "r":
                axis = np.eye(3)["xyz".index(name[1])]
                motion = exp(angle * values[:, k, None] * axis) @ motion  # the first turns first
        return np.asarray(self.axis @ motion @ self.axis.T)


class Skeleton(NamedTuple):
    """An ASF file: bones by name with the root first, each one's parent, metres in a unit of
    length and radians in a unit of angle."""

    bones: dict[str, _Bone]
    parents: dict[str, str]
    metres: float
    radians: float


def read_amc(path: Path) -> MocapClip:
    """The recording in an AMC file, on the skeleton of the one ASF file in its folder, or the one
    whose name it begins with ("02.asf" of "02_01.amc").

    A joint is called as the bone that begins there; the last ones, where bones end, NAMEEnd.
    Raises InputError, with file and line, for what is not in the layout above.
    """
    skeleton = read_asf(_asf_of(path))
    frames, degrees = _frames(path, skeleton)
    names, bones = list(skeleton.bones), skeleton.bones
    angle = np.pi / 180 if degrees else 1.0
    local = np.stack([bones[name].turned(frames[name], angle) for name in names], axis=1)
    parents = [names.index(skeleton.parents[n]) if n in skeleton.parents else -1 for n in names]
    # A joint lies where its parent's bone ends; bones without children end in a joint of their own.
    leaves = [i for i in range(1, len(names)) if i not in parents]
    ends = np.array([b.direction for b in bones.values()]) * skeleton.metres
    offsets = np.concatenate([ends[parents], ends[leaves]])
    offsets[0] = 0
    still = np.broadcast_to(np.eye(3), (len(local), len(leaves), 3, 3))
    root = np.zeros((len(local), 3))
    for k, name in enumerate(bones["root"].dof):
        if name[0] == "t":
            root[:, "xyz".index(name[1])] = frames["root"][:, k] * skeleton.metres
    return MocapClip.posed(
        path, "asf", RATE_HZ, [*names, *(f"{names[i]}End" for i in leaves)], [*parents, *leaves],
        offsets, np.concatenate([local, still], axis=1), root,
        f"{RATE_HZ:g} frames per second, which the format does not state",
    )  # fmt: skip


def _asf_of(path: Path) -> Path:
    found = sorted(p for p in path.parent.iterdir() if p.suffix.lower() == ".asf")
    named = [p for p in found if path.stem.startswith(p.stem)]
    chosen = named or (found if len(found) == 1 else [])
    if not chosen:
        reason = "there is no ASF file with its skeleton beside it"
        raise InputError(path, reason, "put the subject's .asf into the same folder")
    return max(chosen, key=lambda p: len(p.stem))


def read_asf(path: Path) -> Skeleton:
    """The skeleton in an ASF file; raises InputError, with the line."""
    sections = _sections(path)
    units = _fields(sections.get("units", ()))
    radians = 1.0 if "angle" in units and "rad" in units["angle"].text else np.pi / 180
    scale = _numbers(units["length"], 1)[0] if "length" in units else 1.0
    if not scale > 0:
        raise units["length"].wrong(f"length is {scale:g}")
    bones = {"root": _root(path, sections["root"], radians)}
    for block in _blocks(sections["bonedata"]):
        name, bone = _bone(block, radians)
        if name in bones or len(bones) > _MOST_BONES:
            raise block[0].wrong(f"bone {name} again")
        bones[name] = bone
    parents = _hierarchy(path, sections.get("hierarchy", ()), bones)
    order = ["root"]
    for name in order:
        order += [child for child, parent in parents.items() if parent == name]
    if len(order) < len(bones):
        loose = next(name for name in bones if name not in order)
        raise InputError(path, f"bone {loose} is not in the :hierarchy below the root", _HINT)
    return Skeleton({n: bones[n] for n in order}, parents, _INCH / scale, radians)


def _sections(path: Path) -> dict[str, list[Line]]:
    """Lines of an ASF file by the section that they are in, without comments and blanks."""
    sections: dict[str, list[Line]] = {}
    current: list[Line] = []
    for line in read_lines(path):
        text = line.text.split("#")[0].strip()
        if text.startswith(":"):
            current = sections.setdefault(text[1:].split()[0].lower() if text[1:] else "", [])
        elif text:
            current.append(line._replace(text=text))
    if "bonedata" not in sections or "root" not in sections:
        raise InputError(path, "is not an ASF file (no :root, :bonedata)", "check the file")
    return sections


def _fields(lines: Iterable[Line]) -> dict[str, Line]:
    """Lines by their first words."""
    return {line.text.split()[0].lower(): line for line in lines}


def _blocks(lines: Sequence[Line]) -> Iterator[list[Line]]:
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
            raise line.wrong(f"{line.text[:40]!r} is in no bone")


def _bone(block: Sequence[Line], radians: float) -> tuple[str, _Bone]:
    fields = _fields(block)
    for needed in ("name", "direction", "length", "axis"):
        if needed not in fields:
            raise block[0].wrong(f"a bone has no {needed}")
    direction = _numbers(fields["direction"], 3) * _numbers(fields["length"], 1)
    line = fields["axis"]
    *words, order = line.text.split()
    if len(words) != 4:
        raise line.wrong("axis needs three angles and XYZ")
    angles = _numbers(line._replace(text=" ".join(words)), 3) * radians
    dof = _channels(fields["dof"]) if "dof" in fields else ()
    return fields["name"].text.split()[-1], _Bone(direction, _axes(line, angles, order), dof)


def _root(path: Path, lines: Sequence[Line], radians: float) -> _Bone:
    fields = _fields(lines)
    if "order" not in fields:
        raise InputError(path, "the root has no order of channels", _HINT)
    axes = np.eye(3)
    if "orientation" in fields:
        order = fields["axis"].text.split()[1] if "axis" in fields else "XYZ"
        angles = _numbers(fields["orientation"], 3) * radians
        axes = _axes(fields["orientation"], angles, order)
    return _Bone(np.zeros(3), axes, _channels(fields["order"]))


def _channels(line: Line) -> tuple[str, ...]:
    """Names of the channels in a line, each once."""
    names = tuple(word.lower() for word in line.text.split()[1:])
    if not set(names) <= _CHANNELS or len(set(names)) < len(names):
        raise line.wrong(f"unknown channels {line.text[:60]!r}")
    return names


def _axes(line: Line, angles: FloatArray, order: str) -> FloatArray:
    """(3, 3) the turns about fixed axes, the first letter's first."""
    if sorted(order.upper()) != ["X", "Y", "Z"]:
        raise line.wrong(f"order of axes {order[:20]!r}", "write XYZ")
    out = np.eye(3)
    for k in ("XYZ".index(letter) for letter in order.upper()):
        out = exp(angles[k] * np.eye(3)[k]) @ out
    return out


def _hierarchy(path: Path, lines: Sequence[Line], bones: dict[str, _Bone]) -> dict[str, str]:
    """Bone -> its parent."""
    parents: dict[str, str] = {}
    for line in lines:
        first, *children = line.text.split()
        if first.lower() in ("begin", "end") and not children:
            continue
        if unknown := [name for name in (first, *children) if name not in bones]:
            raise line.wrong(f"no bone {unknown[0]}")
        if again := [name for name in children if name in parents or name == "root"]:
            raise line.wrong(f"{again[0]} has two parents")
        parents.update(dict.fromkeys(children, first))
    return parents


def _frames(path: Path, skeleton: Skeleton) -> tuple[dict[str, FloatArray], bool]:
    """Channels (T, D) of each bone, in the file's units; and whether angles are degrees."""
    rows: dict[str, list[FloatArray]] = {name: [] for name in skeleton.bones}
    width = {name: len(bone.dof) for name, bone in skeleton.bones.items()}
    degrees, count = abs(skeleton.radians - 1) > 1e-9, 0

    def end_frame(where: str) -> None:
        for name, values in rows.items():
            if width[name] and len(values) != count:
                what = "is missing" if len(values) < count else "stands twice"
                raise InputError(path, f"before {where}: {name} {what} in frame {count}", _HINT)

    for line in read_lines(path):
        words = line.text.split("#")[0].split()
        if not words:
            continue
        if words[0].startswith(":"):
            degrees = {":DEGREES": True, ":RADIANS": False}.get(words[0].upper(), degrees)
        elif len(words) == 1 and words[0].isdigit():
            end_frame(f"line {line.number}")
            count += 1
        elif words[0] not in rows or not count:
            raise line.wrong(f"{words[0][:40]!r} is not a bone")
        else:
            rows[words[0]].append(_numbers(line, width[words[0]]))
    end_frame("the last line")
    if not count or count * 2 * len(rows) > limits.POSES:
        raise InputError(path, f"it has {count} frames", "give one to a hundred thousand or so")
    return {n: np.array(v).reshape(count, width[n]) for n, v in rows.items()}, degrees


def _numbers(line: Line, count: int) -> FloatArray:
    """The `count` numbers after the line's first word."""
    values = finite_numbers(line.text.split()[1:], count)
    if values is None:
        raise line.wrong(f"{line.text[:60]!r} is not a name and {count} numbers")
    return values
