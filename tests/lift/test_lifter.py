"""The network that kinefit ships, on people that are known exactly, and on files that are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.geometry.projection import intrinsics
from kinefit.lift import Lifted, OnnxLifter, load_lifter
from kinefit.skeletons import skeleton
from kinefit.skeletons.limbs import ends
from kinefit.types import (
    FloatArray,
    InputError,
    Keypoints2D,
    Keypoints3D,
    PoseTrack,
    Timeline,
    TooFewPoints,
)

NAMES = skeleton("blazepose33").points
SIZE = (1080, 1920)
K = intrinsics(1600.0, SIZE)
# A person who stands 4 m before the camera, arms a little away: metres, camera axes.
_HALF = {
    "Eye": (0.03, -0.70, -0.08), "Ear": (0.07, -0.68, 0.0), "Shoulder": (0.18, -0.50, 0.0),
    "Elbow": (0.28, -0.24, 0.02), "Wrist": (0.32, 0.0, -0.05), "Pinky": (0.33, 0.07, -0.05),
    "Index": (0.32, 0.09, -0.07), "Thumb": (0.30, 0.06, -0.08), "Hip": (0.10, 0.0, 0.0),
    "Knee": (0.11, 0.43, -0.02), "Ankle": (0.11, 0.84, 0.02), "Heel": (0.11, 0.89, 0.06),
    "BigToe": (0.13, 0.90, -0.14),
}  # fmt: skip


def person(count: int, rate: float, swing: float = 0.5) -> FloatArray:
    """(count, 33, 3) metres: thighs and shanks swing to and fro, once in 1.2 seconds."""
    out = np.full((count, len(NAMES), 3), np.nan)
    out[:, NAMES.index("Nose")] = (0.0, -0.67, -0.11)
    for name, (x, y, z) in _HALF.items():
        for side, sign in (("L", 1), ("R", -1)):
            out[:, NAMES.index(side + name)] = (sign * x, y, z)
    phase = 2 * np.pi * np.arange(count) / rate / 1.2
    for side, sign in (("L", 1), ("R", -1)):
        angle = sign * swing * np.sin(phase)
        leg = [NAMES.index(side + n) for n in ("Knee", "Ankle", "Heel", "BigToe")]
        hip = out[:, [NAMES.index(side + "Hip")]]
        off = out[:, leg] - hip
        c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
        turned = [off[..., 0], c * off[..., 1] + s * off[..., 2], c * off[..., 2] - s * off[..., 1]]
        out[:, leg] = hip + np.stack(turned, axis=-1)
    return np.asarray(out + np.array([0.0, 0.0, 4.0]))


def filmed(xyz: FloatArray, rate: float) -> PoseTrack:
    """A detector without errors, but for mouth and corners of the eyes, which it does not see."""
    timeline = Timeline.regular(len(xyz), rate)
    flat = xyz @ K.T
    image = Keypoints2D(timeline, NAMES, flat[..., :2] / flat[..., 2:],
                        np.full(xyz.shape[:2], 0.98), SIZE)  # fmt: skip
    hips = xyz[:, [NAMES.index("LHip"), NAMES.index("RHip")]].mean(axis=1, keepdims=True)
    return PoseTrack(image, Keypoints3D(timeline, NAMES, xyz - hips, "camera"), (), "exact")


def truth_of(xyz: FloatArray, lifted: Lifted) -> FloatArray:
    at = ends(NAMES, lifted.limbs)
    limb = xyz[:, at[:, 1]] - xyz[:, at[:, 0]]
    return np.asarray(limb / np.linalg.norm(limb, axis=-1, keepdims=True))


def degrees(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=-1), -1, 1)))


@pytest.fixture(scope="module")
def lifter() -> OnnxLifter:
    return load_lifter("sequence")


@pytest.mark.parametrize("count", [1, 2, 80, 81, 82, 200])
def test_every_frame_gets_unit_vectors_and_deviations(lifter: OnnxLifter, count: int) -> None:
    found = lifter.lift(filmed(person(count, 30.0), 30.0), K)
    assert found.directions.shape == (count, 16, 3)
    assert np.allclose(np.linalg.norm(found.directions, axis=-1), 1)
    assert (found.sd > np.radians(0.5)).all()
    assert (found.sd < 1.1).all()
    assert found.up is not None
    assert np.allclose(np.linalg.norm(found.up, axis=-1), 1)
    for p in (found.away, found.contact, found.swapped):
        assert p is not None
        assert ((p >= 0) & (p <= 1)).all()


def test_a_walker_without_errors_is_seen_as_he_is(lifter: OnnxLifter) -> None:
    """The network expects a detector's errors, so it is not exact where there are none."""
    xyz = person(150, 30.0)
    found = lifter.lift(filmed(xyz, 30.0), K)
    off = degrees(found.directions, truth_of(xyz, found))[:, :14]
    assert off.mean() < 8
    assert found.up is not None
    assert degrees(found.up, np.array([0.0, -1.0, 0.0])).mean() < 6


def test_the_frame_rate_does_not_matter(lifter: OnnxLifter) -> None:
    """120 frames a second, averaged to 30, against 30: what averaging does to a swing is left."""
    slow = lifter.lift(filmed(person(90, 30.0), 30.0), K)
    fast = lifter.lift(filmed(person(360, 120.0), 120.0), K)
    off = degrees(fast.directions[::4], slow.directions)[5:-5]
    assert off.mean() < 0.5
    assert off.max() < 4


def test_a_mirror_image_is_lifted_to_the_mirror_image(lifter: OnnxLifter) -> None:
    """Learned, not built in: within a few degrees."""
    xyz = person(90, 30.0)
    seen = lifter.lift(filmed(xyz, 30.0), K)
    mirror = skeleton("blazepose33").mirror()
    other = lifter.lift(filmed(xyz[:, mirror] * [-1, 1, 1], 30.0), K)
    names = [limb.name for limb in seen.limbs]
    for left in ("left thigh", "left shank", "left upper arm"):
        right = names.index(left.replace("left", "right"))
        both = seen.directions[:, names.index(left)], other.directions[:, right] * [-1, 1, 1]
        assert degrees(*both).mean() < 4


def test_missing_frames_are_answered_from_their_neighbours(lifter: OnnxLifter) -> None:
    xyz = person(90, 30.0)
    track = filmed(xyz, 30.0)
    whole = lifter.lift(track, K)
    xy = track.image.xy.copy()
    xy[40:46] = np.nan
    body = track.body
    assert body is not None
    own = body.xyz.copy()
    own[40:46] = np.nan
    holed = replace(track, image=replace(track.image, xy=xy), body=replace(body, xyz=own))
    found = lifter.lift(holed, K)
    off = degrees(found.directions, whole.directions)
    assert off[40:46].mean() < 10
    assert off[:30].mean() < 1.5
    assert found.sd[40:46].mean() > whole.sd[40:46].mean()
    assert (found.sd[42] > found.sd[40]).all()  # the further from a frame with a person


def test_points_of_coco_without_depth_are_enough(lifter: OnnxLifter) -> None:
    coco = skeleton("coco17").points
    xyz = person(90, 30.0)
    track = filmed(xyz, 30.0)
    image = track.image
    at = [NAMES.index(name) for name in coco]
    only = replace(image, names=coco, xy=image.xy[:, at], score=image.score[:, at])
    found = lifter.lift(PoseTrack(only, None, (), "coco"), K)
    assert found.shift is not None
    assert found.shift.shape == (90, 17, 2)
    off = degrees(found.directions, truth_of(xyz, found))[:, :14]
    assert off.mean() < 20


def test_the_same_points_give_the_same_bytes(lifter: OnnxLifter) -> None:
    track = filmed(person(130, 30.0), 30.0)
    one, two = lifter.lift(track, K), lifter.lift(track, K)
    assert one.directions.tobytes() == two.directions.tobytes()


def test_nobody_is_not_lifted(lifter: OnnxLifter) -> None:
    track = filmed(person(5, 30.0), 30.0)
    nobody = replace(track.image, xy=np.full_like(track.image.xy, np.nan))
    with pytest.raises(TooFewPoints):
        lifter.lift(PoseTrack(nobody, None, (), "none"), K)


def test_other_files_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    with pytest.raises(InputError, match="no network that can be run"):
        load_lifter(broken)
    with pytest.raises(InputError, match="cannot be read"):
        load_lifter(tmp_path / "absent.onnx")
    from importlib.resources import files

    other = tmp_path / "augmenter.onnx"
    other.write_bytes((files("kinefit") / "weights" / "augmenter_lower.onnx").read_bytes())
    with pytest.raises(InputError, match="no lifter"):
        load_lifter(other)
