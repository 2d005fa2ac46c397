"""Motions as tables of joint angles (`motions.toml`): read, checked, and as rotations."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from kinefit.body.anatomy import SIDED, Anatomy
from kinefit.body.model import BodyModel
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray, InvalidData

# Joints that share a row of the table equally.
_SHARED = {"Trunk": ("Spine1", "Spine2", "Spine3"), "Neck": ("Neck", "Head")}
_UNSIDED = ("Pelvis", *_SHARED)
_TRUNK = ("Pelvis", *(joint for shared in _SHARED.values() for joint in shared))
_MIRRORED = np.array([-1.0, -1.0, 1.0])  # the trunk's angles in a mirror: x and y change sign


@dataclass(frozen=True)
class Contact:
    """A point at `height_m` above the floor from `start_s` to `end_s`.

    slides: whether only its height is fixed.
    """

    point: str
    start_s: float
    end_s: float
    height_m: float
    slides: bool


@dataclass(frozen=True, eq=False)
class KeyframeMotion:
    """A motion of the table, sampled at times.

    joints: J of "Pelvis" and `kinefit.body.anatomy.JOINTS`. times: (T,) seconds from zero.
    angles: (T, J, 3) radians, swing about X and Z and twist about Y. cyclic: whether it repeats.
    in_place: whether it ends where it begins.
    """

    name: str
    about: str
    joints: tuple[str, ...]
    times: FloatArray
    angles: FloatArray
    contacts: tuple[Contact, ...]
    cyclic: bool
    in_place: bool

    def rotations(self, body: BodyModel) -> FloatArray:
        """(T, B, 3, 3) local rotations of a body; joints without a row stay at rest."""
        limbs = [name for name in self.joints if name != "Pelvis"]
        anatomy = Anatomy.of(body, limbs)
        turned = so3.from_swing_twist(self.angles)
        out = np.tile(np.eye(3), (len(self.times), len(body.joint_names), 1, 1))
        out[:, anatomy.index] = anatomy.local(turned[:, [self.joints.index(n) for n in limbs]])
        if "Pelvis" in self.joints:
            trunk = anatomy.proximal[limbs.index("Spine1")]  # the trunk's axes, as the pelvis's
            out[:, 0] = trunk @ turned[:, self.joints.index("Pelvis")] @ trunk.T
        return out


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads((files("kinefit.synth") / "motions.toml").read_text("utf-8"))


def motion_names() -> tuple[str, ...]:
    """The motions of the table."""
    return tuple(name for name in _tables() if name != "standing")


def _table(name: str) -> dict[str, Any]:
    table = _tables()[name]
    return _tables()[table["like"]] | table if "like" in table else dict(table)


def seat_height(name: str) -> float | None:
    """Height of the seat that a motion sits down on, metres, for hips 0.99 m high.

    None for other motions and for names that are not in the table.
    """
    seat = _table(name).get("seat") if name in motion_names() else None
    return None if seat is None else float(seat)


def motion(name: str, rate_hz: float) -> KeyframeMotion:
    """A motion of the table, sampled; raises InvalidData for one that it does not have."""
    if name not in motion_names():
        raise InvalidData(f"No motion {name!r}; there are: {', '.join(motion_names())}.")
    table = _table(name)
    return _cycle(name, table, rate_hz) if "cycle_s" in table else _sequence(name, table, rate_hz)


def sampled(name: str) -> KeyframeMotion:
    """A motion of the table at the rate at which it is fitted."""
    # A foot rests for 0.27 s in a run; sitting and lying down are slow.
    at_30 = motion(name, 30.0)
    return motion(name, 60.0) if at_30.cyclic else at_30


def _cycle(name: str, table: Mapping[str, Any], rate_hz: float) -> KeyframeMotion:
    """Whole cycles, one after the other; times of the table are percent of a cycle."""
    period, count = float(table["cycle_s"]), int(table["cycles"])
    steps = round(period * rate_hz)
    phase = np.arange(count * steps + 1) / steps * 100
    joints = _joints(table["angles"])
    angles = np.stack([_periodic(table, joint, phase) for joint in joints], axis=1)
    contacts = [
        replace(c, start_s=(c.start_s / 100 + k) * period, end_s=(c.end_s / 100 + k) * period)
        for c in _contacts(table)
        for k in range(-1, count + 1)
    ]
    times = phase / 100 * period
    contacts = [c for c in contacts if c.end_s > 0 and c.start_s < times[-1]]
    return KeyframeMotion(
        name, table["about"], joints, times, np.radians(angles), tuple(contacts),
        cyclic=True, in_place=bool(table.get("in_place")),
    )  # fmt: skip


def _periodic(table: Mapping[str, Any], joint: str, phase: FloatArray) -> FloatArray:
    """(T, 3) degrees of a joint at `phase` percent, along a periodic cubic spline."""
    at = np.array([*table["at"], table["at"][0] + 100.0])
    row, share, of_right = _row(table["angles"], joint)
    curve = CubicSpline(at, np.vstack([row, row[:1]]), bc_type="periodic")
    if not table.get("alternate"):
        return np.asarray(curve(phase) * share)
    if joint in _TRUNK:
        # The table describes the half of the cycle with the right leg; the other half mirrors it.
        return np.asarray((curve(phase) + curve(phase + 50) * _MIRRORED) / 2 * share)
    return np.asarray(curve(phase if of_right else phase + 50) * share)


def _sequence(name: str, table: Mapping[str, Any], rate_hz: float) -> KeyframeMotion:
    """Poses one after the other, at rest in each; with `back` in the table, also in reverse."""
    at, joints = np.array(table["at"], dtype=np.float64), _joints(table["angles"])
    contacts, end = _contacts(table), float(table["at"][-1])
    total = end
    if "back" in table:
        total = 2 * end + float(table["back"])
        contacts += [replace(c, start_s=total - c.end_s, end_s=total - c.start_s) for c in contacts]
    times = np.linspace(0, total, round(total * rate_hz) + 1)
    there = np.minimum(times, np.clip(total - times, 0, end) if "back" in table else end)
    rows = [_row(table["angles"], joint)[:2] for joint in joints]
    angles = np.stack([PchipInterpolator(at, row)(there) * share for row, share in rows], axis=1)
    return KeyframeMotion(
        name, table["about"], joints, times, np.radians(angles), _joined(contacts, end),
        cyclic=False, in_place=False,
    )  # fmt: skip


def _joined(contacts: Sequence[Contact], end: float) -> tuple[Contact, ...]:
    """Contacts of a motion that reverses at `end`: those at that time continue through it."""
    out: list[Contact] = []
    for contact in sorted(contacts, key=lambda c: (c.point, c.start_s)):
        if out and out[-1].point == contact.point and np.isclose(out[-1].end_s, end):
            out[-1] = replace(out[-1], end_s=contact.end_s)
        else:
            out.append(contact)
    return tuple(out)


def _contacts(table: Mapping[str, Any]) -> list[Contact]:
    """Contacts for both sides; those of an alternating left foot half a cycle later."""
    out = []
    for entry in table["contacts"]:
        height = table["seat"] if entry.get("height") == "seat" else entry.get("height", 0.0)
        slides = bool(entry.get("slides"))
        for name in entry["on"]:
            for side in (name[0],) if name[0] in "LR" else ("R", "L"):
                late = 50.0 if table.get("alternate") and side == "L" else 0.0
                point = side + (name[1:] if name[0] in "LR" else name)
                start, end = entry["from"] + late, entry["to"] + late
                out.append(Contact(point, start, end, float(height), slides))
    return out


def _joints(rows: Mapping[str, Any]) -> tuple[str, ...]:
    """All joints in the rows or the standing pose, and those of the trunk."""
    named = [name for name in (*_tables()["standing"], *rows) if name not in _UNSIDED]
    bare = dict.fromkeys(n[1:] if n[1:] in SIDED else n for n in named)
    unknown = [name for name in bare if name not in SIDED]
    if unknown:
        raise InvalidData(f"The table of motions has unknown joints: {', '.join(unknown)}.")
    return (*_TRUNK, *(side + name for name in bare for side in "RL"))


def _row(rows: Mapping[str, Any], joint: str) -> tuple[FloatArray, float, bool]:
    """(n, 3) degrees of a joint at the table's times, its share, and whether it is a right one."""
    count = len(next(iter(next(iter(rows.values())).values())))
    shared = next((name for name, parts in _SHARED.items() if joint in parts), None)
    share = 1 / len(_SHARED[shared]) if shared else 1.0
    bare = shared or (joint if joint in _UNSIDED else joint[1:])
    given = rows.get(joint, {}) if joint not in _TRUNK else {}
    both, rest = rows.get(bare, {}), _tables()["standing"].get(bare, {})
    out = np.zeros((count, 3))
    for i, axis in enumerate("xyz"):
        values = given.get(axis, both.get(axis, rest.get(axis, 0.0)))
        if np.ndim(values) and len(values) != count:
            raise InvalidData(f"The table of motions: {joint} has {len(values)} of {count} values.")
        out[:, i] = values
    return out, share, joint.startswith("R")
