"""BVH: a skeleton and its motion as text, read by Blender, MotionBuilder and game engines.

HIERARCHY
ROOT pelvis
{
  OFFSET 0.0 0.0 0.0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT knee
  {
    OFFSET 9.1 -42.3 0.5
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0.0 -20.0 0.0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.01666667
9.1 91.0 0.0 1.5 -3.25 0.0 0.0 12.0 0.0

Rotations are degrees about the axes in the order of the channels, each turning with those before:
R = Rz Rx Ry. With all of them zero the skeleton stands at rest, its joints' axes along the
world's, which is how `kinefit.types.BodyMotion` counts rotations too. Y is up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinefit.geometry.rotations import continuous, decompose
from kinefit.io.atomic import write_text
from kinefit.io.text import check_writable, format_rows
from kinefit.types import BodyMotion, FloatArray, InputError, IntArray, InvalidData, Timeline

SEQUENCE = "ZXY"  # what motion capture software writes; a pitch (X) of 90 degrees is the rare one
PER_METRE = 100.0  # the files of most studios and engines are in centimetres
_DECIMALS = 6  # 10 nm in centimetres; a millionth of a degree moves a hand by 20 nm


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
    step = _frame_time(path, motion.timeline)
    missing = np.isnan(motion.translation).any(axis=1)
    if missing.any():
        frame = motion.timeline.frame[np.argmax(missing)]
        raise InputError(
            path, f"frame {frame} has no pose, which BVH cannot say", "fill the gaps first"
        )
    bones = (rest_joints - rest_joints[np.maximum(parents, 0)]) * per_metre
    lines = _hierarchy(motion.joint_names, parents, bones, (ends - rest_joints) * per_metre)
    place = (rest_joints[0] + motion.translation) * per_metre
    turns = [np.degrees(_angles(motion.rotations[:, b])) for b in _depth_first(parents)[0]]
    table = np.hstack([place, *turns])
    template = " ".join([f"%.{_DECIMALS}f"] * table.shape[1]) + "\n"
    lines += ["MOTION", f"Frames: {len(table)}", f"Frame Time: {step:.10f}"]
    write_text(path, "\n".join(["HIERARCHY", *lines, format_rows(template, table)]))


def _angles(rotations: FloatArray) -> FloatArray:
    return continuous(decompose(rotations, SEQUENCE), SEQUENCE)


def _frame_time(path: Path, timeline: Timeline) -> float:
    if len(timeline) < 2:
        raise InputError(path, "one frame has no frame time, which BVH must state", "give two")
    if not timeline.is_uniform:
        raise InputError(
            path, "the frames are not evenly spaced in time, which BVH cannot say",
            "bring the motion to a constant rate first",
        )  # fmt: skip
    return float((timeline.time[-1] - timeline.time[0]) / (len(timeline) - 1))


def _depth_first(parents: IntArray) -> tuple[list[int], list[int]]:
    """Joints in the order of the file, where a branch ends before the next, and their depths."""
    children = _children(parents)
    order, depths, todo = [], [], [(0, 0)]
    while todo:
        b, depth = todo.pop()
        order.append(b)
        depths.append(depth)
        todo += [(child, depth + 1) for child in reversed(children[b])]
    return order, depths


def _children(parents: IntArray) -> list[list[int]]:
    return [np.flatnonzero(parents == b).tolist() for b in range(len(parents))]


def _hierarchy(
    names: tuple[str, ...], parents: IntArray, bones: FloatArray, tips: FloatArray
) -> list[str]:
    """Lines from ROOT on; bones, tips: (B, 3) offsets of joints and of what follows the last."""
    angles = " ".join(f"{axis}rotation" for axis in SEQUENCE)
    leaf = [not below for below in _children(parents)]
    order, depths = _depth_first(parents)
    lines = []
    for b, depth, following in zip(order, depths, [*depths[1:], 0], strict=True):
        channels = f"3 {angles}" if depth else f"6 Xposition Yposition Zposition {angles}"
        own = ["{", f"  {_offset(bones[b])}", f"  CHANNELS {channels}"]
        if leaf[b]:
            own += ["  End Site", "  {", f"    {_offset(tips[b])}", "  }"]
        lines += ["  " * depth + line for line in [f"{_kind(depth)} {names[b]}", *own]]
        if leaf[b]:
            lines += ["  " * level + "}" for level in range(depth, following - 1, -1)]
    return lines


def _kind(depth: int) -> str:
    return "JOINT" if depth else "ROOT"


def _offset(vector: FloatArray) -> str:
    return "OFFSET " + " ".join(f"{v:.{_DECIMALS}f}" for v in vector.tolist())
