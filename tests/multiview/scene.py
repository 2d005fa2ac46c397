"""Made-up scenes of several people before several cameras, with exact truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kinefit.geometry.projection import intrinsics, project_rig
from kinefit.skeletons import skeleton
from kinefit.tracking.identity import TrackedPerson
from kinefit.types import Camera, CameraRig

NAMES = skeleton("coco17").points
SIZE = (1280, 960)
MIRROR = skeleton("coco17").mirror()

# Half of a standing adult of 1.75 m: across (to their left), up, ahead; metres.
_HALF = {
    "Nose": (0, 1.62, 0.12), "Eye": (0.03, 1.65, 0.10), "Ear": (0.07, 1.63, 0.02),
    "Shoulder": (0.19, 1.43, 0), "Elbow": (0.24, 1.13, -0.02), "Wrist": (0.25, 0.88, 0.05),
    "Hip": (0.10, 0.93, 0), "Knee": (0.11, 0.50, 0.02), "Ankle": (0.11, 0.09, -0.02),
}  # fmt: skip
_SWING = {"Elbow": -0.12, "Wrist": -0.25, "Knee": 0.18, "Ankle": 0.33}  # metres at a full step


def ring(count: int, radius: float = 5.0, height: float = 1.6, focal: float = 900.0) -> CameraRig:
    """Cameras around the origin, looking at a point a metre above it; Y up."""
    cameras = []
    for i in range(count):
        # Not opposite one another: two cameras that look at each other see no depth.
        angle = 2 * np.pi * i / max(count, 4) + 0.3 * np.sin(2.0 * i)
        centre = np.array([radius * np.sin(angle), height + 0.3 * (i % 3), radius * np.cos(angle)])
        ahead = np.array([0, 1.0, 0]) - centre
        ahead /= np.linalg.norm(ahead)
        right = np.cross(ahead, [0, 1.0, 0])
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(ahead, right), ahead])
        cameras.append(Camera(f"cam{i + 1}", SIZE, intrinsics(focal, SIZE), R, -R @ centre))
    return CameraRig(tuple(cameras))


def walker(place: np.ndarray, time: np.ndarray, stature: float = 1.75) -> np.ndarray:
    """(T, 17, 3) metres of somebody whose floor point is `place` (T, 2) x, z; faces their way."""
    way = np.gradient(place, axis=0) if len(place) > 1 else np.zeros_like(place)
    way[np.linalg.norm(way, axis=1) < 1e-9] = (0, 1)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    ahead = np.stack([way[:, 0], np.zeros(len(way)), way[:, 1]], axis=-1)
    left = np.cross([0.0, 1.0, 0.0], ahead)
    step = np.sin(2 * np.pi * 0.9 * time)
    body = np.empty((len(time), len(NAMES), 3))
    for k, name in enumerate(NAMES):
        side = {"L": 1.0, "R": -1.0}.get(name[0], 0.0) if name != "Nose" else 0.0
        across, up, forward = _HALF[name if name == "Nose" else name[1:]]
        swing = forward + side * _SWING.get(name[1:], 0.0) * step
        body[:, k] = across * side * left + swing[:, None] * ahead
        body[:, k, 1] += up
    body *= stature / 1.75
    body[:, :, [0, 2]] += place[:, None]
    return body


@dataclass
class Scene:
    """People before cameras, and what detectors make of them.

    rig: C cameras. time: (T,) s. noise_px: of each coordinate.
    """

    rig: CameraRig
    time: np.ndarray
    noise_px: float = 3.0
    seed: int = 0
    bodies: list[np.ndarray] = field(default_factory=list)
    lists: list[list[list[tuple[int, np.ndarray]]]] = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.lists = [[[] for _ in self.time] for _ in self.rig]

    def add(
        self,
        body: np.ndarray,
        *,
        drop: float = 0.0,
        lose: float = 0.0,
        swap: float = 0.0,
        score: float = 0.8,
        cameras: Sequence[int] | None = None,
        frames: range | None = None,
    ) -> None:
        """A person (T, 17, 3) as every camera sees it.

        drop: how often the detector misses the person. lose: how often a point. swap: how often it
        exchanges left and right, in runs of 10 frames. cameras, frames: where it is seen at all.
        """
        number, count = len(self.bodies), len(self.time)
        self.bodies.append(body)
        pixels = project_rig(self.rig, body)
        for c in range(len(self.rig)) if cameras is None else cameras:
            swapped = np.repeat(self.random.random(count // 10 + 1) < swap, 10)
            for t in range(count) if frames is None else frames:
                if self.random.random() < drop:
                    continue
                xy = pixels[c, t] + self.random.normal(0, self.noise_px, (len(NAMES), 2))
                outside = ((xy < 0) | (xy > SIZE)).any(axis=1) | np.isnan(xy[:, 0])
                pose = np.column_stack([xy, np.full(len(xy), score)])
                pose[outside | (self.random.random(len(xy)) < lose)] = np.nan
                if np.isfinite(pose[:, 0]).sum() < 5:
                    continue
                self.lists[c][t].append((number, pose[MIRROR] if swapped[t] else pose))

    def add_false(self, rate: float) -> None:
        """Persons that are not there: a real pose elsewhere in the picture, squeezed."""
        for c, view in enumerate(self.lists):
            for t, found in enumerate(view):
                if found and self.random.random() < rate:
                    pose = found[0][1].copy()
                    middle = np.nanmean(pose[:, :2], axis=0)
                    place = self.random.uniform((0, 0), SIZE)
                    factor = self.random.uniform(0.3, 1.2)
                    pose[:, :2] = place + (pose[:, :2] - middle) * factor
                    pose[:, 2] *= 0.6
                    self.lists[c][t].append((-1, pose))

    def hide_overlapped(self, share: float, chimera: float = 0.0) -> None:
        """What a real detector does where two boxes overlap by more than `share` of the smaller.

        It finds one of the two only, the nearer one (the taller in the picture), and with a
        probability of `chimera` gives it the other's legs.
        """
        for view in self.lists:
            for t, found in enumerate(view):
                view[t] = kept = []
                for number, pose in sorted(found, key=lambda f: -np.ptp(_box(f[1])[:, 1])):
                    front = next((q for _, q in kept if _overlap(q, pose) > share), None)
                    if front is None:
                        kept.append((number, pose))
                    elif self.random.random() < chimera:
                        front[11:] = pose[11:]

    def views(self) -> list[list[np.ndarray]]:
        """What `find_people` takes, every list in random order."""
        for view in self.lists:
            for found in view:
                self.random.shuffle(found)
        return [
            [np.array([pose for _, pose in found]).reshape(-1, len(NAMES), 3) for found in view]
            for view in self.lists
        ]

    def number(self, camera: int, frame: int, place: int) -> int:
        """Who stands at that place of the last `views`; -1 for a false one."""
        return self.lists[camera][frame][place][0]

    def errors(self, path: TrackedPerson, number: int) -> tuple[float, float]:
        """Of 1,000 frames and views: how many show somebody else, and how many were missed."""
        wrong = missed = total = 0
        for c, view in enumerate(self.lists):
            for t, found in enumerate(view):
                place = path.place[c, t]
                there = any(n == number for n, _ in found)
                total += 1
                wrong += place >= 0 and found[place][0] != number
                missed += place < 0 and there
        return 1000 * wrong / total, 1000 * missed / total

    def shown(self, path: TrackedPerson) -> int:
        """The number of the person that the path mostly shows."""
        cells = zip(*np.nonzero(path.place >= 0), strict=True)
        numbers = [self.number(c, t, path.place[c, t]) for c, t in cells]
        return max(set(numbers), key=numbers.count)


def _box(pose: np.ndarray) -> np.ndarray:
    """(2, 2) the corners of the box around the points."""
    return np.stack([np.nanmin(pose[:, :2], axis=0), np.nanmax(pose[:, :2], axis=0)])


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """What two boxes share, as a part of the smaller one."""
    (low_a, high_a), (low_b, high_b) = _box(a), _box(b)
    common = np.prod(np.maximum(np.minimum(high_a, high_b) - np.maximum(low_a, low_b), 0))
    return float(common / min(np.prod(high_a - low_a), np.prod(high_b - low_b)))
