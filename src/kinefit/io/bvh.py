"""BVH: a skeleton and its motion as text, read by Blender, MotionBuilder and game engines.

    HIERARCHY
    ROOT pelvis {
      OFFSET 0.0 0.0 0.0
      CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
      JOINT knee { OFFSET 9.1 -42.3 0.5 ... End Site { OFFSET 0.0 -20.0 0.0 } } }
    MOTION
    Frames: 2
    Frame Time: 0.01666667
    9.1 91.0 0.0 1.5 -3.25 0.0 ...

Rotations are degrees about the axes in the order of the channels, each turning with those before:
R = Rz Rx Ry. With all of them zero the skeleton stands at rest, its joints' axes along the
world's, which is how `kinefit.types.BodyMotion` counts rotations too. Y is up in what is written;
what is read says neither its vertical nor its unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinefit.geometry.rotations import continuous, decompose, exp
from kinefit.io import limits
from kinefit.io.atomic import write_text
from kinefit.io.mocap import MocapClip, rest_joints, whole_and_even
from kinefit.io.text import (
    Line,
    check_writable,
    finite_numbers,
    format_rows,
    parse_rows,
    read_lines,
)
from kinefit.types import BodyMotion, FloatArray, InputError, IntArray, InvalidData

SEQUENCE = "ZXY"  # what motion capture software writes; a pitch (X) of 90 degrees is the rare one
PER_METRE = 100.0  # the files of most studios and engines are in centimetres
_DECIMALS = 6  # 10 nm in centimetres; a millionth of a degree moves a hand by 20 nm

_MOST_JOINTS = 1000
_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}
# Metres of a unit that files are in, and its name. The last is that of the CMU database's
# conversions: ASF files with length 0.45, whose numbers are inches times 0.45.
_UNITS = {"metres": 1.0, "centimetres": 0.01, "millimetres": 0.001, "inches": 0.0254,
          "CMU's units of 56.4 mm": 0.0254 / 0.45}  # fmt: skip
_HEIGHTS_M = (0.8, 2.3)  # from child to giant, without what is above the head's joint
_USUAL_HEIGHT_M = 1.65


def write_bvh(
    path: str | Path,
    motion: BodyMotion,
    parents: IntArray,
    rest_joints: FloatArray,
    ends: FloatArray,
    *,
    per_metre: float = PER_METRE,
) -> None:
    """Write the skeleton of a body and its motion.

    parents: (B,) index of each joint's parent, root -1 and first. rest_joints: (B, 3) metres.
    ends: (B, 3) metres, where the bone of each joint ends at rest; used of joints without
    children. per_metre: units of the file in a metre; the format itself does not say.

    The root's OFFSET is zero and its position channels are its place in the world: some readers
    add the two, others do not. Angles have no jumps of 360 degrees. The frame time is the mean
    interval; frame numbers have no place in the format.

    Raises InputError when a frame has no pose or the clock is not even, which the format cannot
    say, and for a joint whose name holds white space or a brace.
    """
    path = Path(path)
    check_writable(path, motion.timeline, motion.joint_names, " \t{}")
    B = len(motion.joint_names)
    if parents.shape != (B,) or rest_joints.shape != (B, 3) or ends.shape != (B, 3):
        raise InvalidData(f"A skeleton of {B} joints needs parents (B,) and places (B, 3).")
    step = whole_and_even(path, motion, "BVH")
    bones = (rest_joints - rest_joints[np.maximum(parents, 0)]) * per_metre
    lines = _hierarchy(motion.joint_names, parents, bones, (ends - rest_joints) * per_metre)
    place = (rest_joints[0] + motion.translation) * per_metre
    order = [b for b, _ in _depth_first(parents)]
    turns = (continuous(decompose(motion.rotations[:, b], SEQUENCE), SEQUENCE) for b in order)
    table = np.hstack([place, *(np.degrees(turn) for turn in turns)])
    template = " ".join([f"%.{_DECIMALS}f"] * table.shape[1]) + "\n"
    lines += ["MOTION", f"Frames: {len(table)}", f"Frame Time: {step:.10f}"]
    write_text(path, "\n".join(["HIERARCHY", *lines, format_rows(template, table)]))


def _depth_first(parents: IntArray) -> list[tuple[int, int]]:
    """Joints in the order of the file, where a branch ends before the next, and their depths."""
    order, todo = [], [(0, 0)]
    while todo:
        b, depth = todo.pop()
        order.append((b, depth))
        todo += [(child, depth + 1) for child in np.flatnonzero(parents == b)[::-1].tolist()]
    return order


def _hierarchy(
    names: tuple[str, ...], parents: IntArray, bones: FloatArray, tips: FloatArray
) -> list[str]:
    """Lines from ROOT on; bones, tips: (B, 3) offsets of joints and of what follows the last."""
    angles = " ".join(f"{axis}rotation" for axis in SEQUENCE)
    order = _depth_first(parents)
    lines = []
    for (b, depth), (_, following) in zip(order, [*order[1:], (-1, 0)], strict=True):
        kind, channels = "JOINT", f"3 {angles}"
        if not depth:
            kind, channels = "ROOT", f"6 Xposition Yposition Zposition {angles}"
        own = [f"{kind} {names[b]}", "{", f"  {_offset(bones[b])}", f"  CHANNELS {channels}"]
        leaf = following <= depth
        if leaf:
            own += ["  End Site", "  {", f"    {_offset(tips[b])}", "  }"]
        lines += ["  " * depth + line for line in own]
        if leaf:
            lines += ["  " * level + "}" for level in range(depth, following - 1, -1)]
    return lines


def _offset(vector: FloatArray) -> str:
    return "OFFSET " + " ".join(f"{v:.{_DECIMALS}f}" for v in vector.tolist())


@dataclass
class _Joint:
    """An end site is a joint without channels."""

    name: str
    parent: int
    offset: Sequence[float] | FloatArray = (0.0, 0.0, 0.0)
    channels: Sequence[str] = ()


def read_bvh(path: Path) -> MocapClip:
    """The skeleton and motion of a BVH file, in the file's axes.

    End sites are joints called NAMEEnd. Position channels stand for the joint's OFFSET, as in what
    MotionBuilder writes. The unit is the one in which the skeleton is of a person's height.

    Raises InputError, with the line, for another layout, a table that is cut off, and a skeleton
    of nobody's height in any unit.
    """
    lines = read_lines(path)
    starts = [i for i, line in enumerate(lines) if line.text.strip().upper() == "MOTION"]
    if not starts or lines[0].text.strip().upper() != "HIERARCHY":
        raise InputError(path, "is not a BVH file (no HIERARCHY, then MOTION)", "check the file")
    joints = _read_hierarchy(path, lines[1 : starts[0]])
    columns = sum(len(joint.channels) for joint in joints)
    rate, table = _read_motion(path, lines[starts[0] + 1 :], columns)
    if len(table) * len(joints) > limits.POSES:
        raise InputError(path, f"it has {len(table)} frames", "split it by time")
    names, parents = [joint.name for joint in joints], [joint.parent for joint in joints]
    at_rest = np.array([joint.offset for joint in joints])
    offsets, local = _moving(joints, at_rest, table)
    unit, metres = _unit(path, rest_joints(parents, at_rest))
    return MocapClip.posed(
        path, "bvh", rate, names, parents, at_rest * metres, local, offsets[:, 0] * metres,
        f"lengths are {unit}, by the skeleton's height", moving=offsets * metres,
    )  # fmt: skip


def _read_hierarchy(path: Path, lines: list[Line]) -> list[_Joint]:
    joints: list[_Joint] = []
    stack, opening = [-1], -1
    for line in lines:
        # Braces are statements of their own.
        spaced = line.text.replace("{", "\n{\n").replace("}", "\n}\n")
        for word, *rest in (part.split() for part in spaced.split("\n") if part.strip()):
            kind = word.upper()
            if kind in ("ROOT", "JOINT", "END"):
                joints.append(_joint(line, joints, kind, " ".join(rest), stack[-1]))
                opening = len(joints) - 1
            elif kind == "{" and opening > stack[-1]:
                stack.append(opening)
            elif kind == "}" and len(stack) > 1:
                stack.pop()
            elif kind == "OFFSET" and len(stack) > 1:
                if (offset := finite_numbers(rest, 3)) is None:
                    raise line.wrong("an OFFSET is three numbers")
                joints[stack[-1]].offset = offset
            elif kind == "CHANNELS" and len(stack) > 1:
                count, *names = map(str.lower, rest or [""])
                if count != str(len(names)) or not set(names) <= _CHANNELS:
                    said = "CHANNELS are their number, then Xposition, Yrotation and so on"
                    raise line.wrong(said)
                joints[stack[-1]].channels = names
            else:
                raise line.wrong(f"{line.text.strip()[:60]!r} is out of place")
    if len(stack) > 1 or not joints:
        raise InputError(path, "the HIERARCHY is cut off: a brace is open", "export it again")
    return joints


def _joint(line: Line, joints: Sequence[_Joint], kind: str, name: str, parent: int) -> _Joint:
    if (kind == "ROOT") != (parent < 0) or (kind == "ROOT" and joints):
        raise line.wrong("a file has one ROOT, and joints inside it")
    if len(joints) >= _MOST_JOINTS:
        raise line.wrong(f"over {_MOST_JOINTS} joints")
    name = f"{joints[parent].name}End" if kind == "END" else name
    taken = {joint.name for joint in joints}
    while not name or name in taken:  # two end sites of one joint, or a name twice
        name += "_"
    return _Joint(name, parent)


def _read_motion(path: Path, lines: list[Line], columns: int) -> tuple[float, FloatArray]:
    """Frames per second and (T, columns) numbers."""
    filled = [line for line in lines if line.text.strip()]
    header = {}
    for line in filled[:2]:
        key, _, value = line.text.partition(":")
        header[key.strip().lower()] = value.strip()
    rows = [line.tabbed() for line in filled[2:]]
    try:
        frames, step = int(header["frames"]), float(header["frame time"])
    except (KeyError, ValueError) as error:
        reason = "MOTION does not begin with Frames: and Frame Time:"
        raise InputError(path, reason, "export it again") from error
    if not 1e-5 < step < 1e3:
        raise InputError(path, f"its Frame Time is {step:g} s", "write the seconds of a frame")
    if not rows or frames != len(rows):
        hint = "the file is cut off or was edited: export it again"
        raise InputError(path, f"it states {frames} frames and has {len(rows)}", hint)
    table = parse_rows(path, rows, columns)
    if not np.isfinite(table).all():
        raise rows[int(np.argwhere(~np.isfinite(table))[0, 0])].wrong("no number")
    return 1 / step, table


def _moving(
    joints: Sequence[_Joint], at_rest: FloatArray, table: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Offsets (T, J, 3) and local rotations (T, J, 3, 3)."""
    T, J = len(table), len(joints)
    offsets = np.broadcast_to(at_rest, (T, J, 3)).copy()
    local = np.broadcast_to(np.eye(3), (T, J, 3, 3)).copy()
    columns = iter(table.T)
    for j, joint in enumerate(joints):
        for channel in joint.channels:
            axis, values = "xyz".index(channel[0]), next(columns)
            if channel.endswith("position"):
                offsets[:, j, axis] = values
            else:
                local[:, j] = local[:, j] @ exp(np.radians(values)[:, None] * np.eye(3)[axis])
    return offsets, local


def _unit(path: Path, rest: FloatArray) -> tuple[str, float]:
    """Name and metres of the unit in which the skeleton's longest extent is a person's height."""
    extent = float(np.ptp(rest, axis=0).max())
    likely = min(_UNITS, key=lambda name: abs(np.log(extent * _UNITS[name] / _USUAL_HEIGHT_M)))
    if not _HEIGHTS_M[0] < extent * _UNITS[likely] < _HEIGHTS_M[1]:
        reason = f"its skeleton is {extent:.4g} units tall, which no person is, in any unit"
        raise InputError(path, reason, "export it in centimetres")
    return likely, _UNITS[likely]
