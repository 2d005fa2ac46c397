"""Offsets between four simulated cameras from real motion: how many are claimed, how far off.

    python -m benchmarks.synchronise PATH/cmu_30fps.npz [--unrelated]

Windows of CMU motion capture are filmed by cameras at random places (3.5-6 m away, 0.8-2.6 m high,
rolled by up to 5 degrees, 25, 30, 59.94 or 60 Hz, starts up to 12 % of the window or 1 s apart, any
first stamp). Points: 3 px of white noise, 2 px that lasts 0.15 s, 2 % outliers of 60 px, 5 %
missing, 1 % of the frames lost, left and right swapped in 15 % of the frames. All is seeded.

--unrelated: the last camera sees another trial; margins of its pairs.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import lfilter

from kinefit.multiview.sync import Synchronisation, find_offsets
from kinefit.synth.cameras import looking
from kinefit.types import Keypoints2D, Timeline

JOINTS = ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
NAMES = ("Nose", *("L" + j for j in JOINTS), *("R" + j for j in JOINTS))
MIRROR = [0, *range(7, 13), *range(1, 7)]
RATES = (30.0, 60.0, 59.94, 25.0)
CAMERAS = 4
WINDOWS = {1.5: 25, 2.5: 40, 4: 60, 6: 60, 8: 60, 12: 50, 20: 40, 30: 20}  # seconds: trials


class Trials:
    """The trials of a file as functions from seconds to joints (T, 13, 3) in metres."""

    def __init__(self, path: str) -> None:
        data = np.load(path, allow_pickle=False)
        joints = [str(j) for j in data["joints"]]
        column = [joints.index("head" if n == "Nose" else n.lower()) for n in NAMES]
        raw = data["pos_i16"][:, column]
        self.xyz = np.where(raw == -32768, np.nan, raw * float(data["pos_scale"]))
        self.start = data["start"]
        self.seconds = np.diff(self.start) / 30

    def motion(self, trial: int) -> CubicSpline:
        xyz = self.xyz[self.start[trial] : self.start[trial + 1]].copy()
        time = np.arange(len(xyz)) / 30
        for series in np.moveaxis(xyz.reshape(len(xyz), -1), 1, 0):
            known = np.isfinite(series)
            series[~known] = np.interp(time[~known], time[known], series[known])
        return CubicSpline(time, xyz)


def camera(rng: np.random.Generator, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation, place and focal length of a camera that looks at `target`."""
    azimuth, away = rng.uniform(0, 2 * np.pi), rng.uniform(3.5, 6)
    place = target + np.array([away * np.cos(azimuth), 0, away * np.sin(azimuth)])
    place[1] = rng.uniform(0.8, 2.6)
    a = np.radians(rng.uniform(-5, 5))
    roll = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return roll @ looking(target - place), place, 1000 * rng.uniform(0.8, 1.6)


def film(rng, motion, start, seconds, rate, target, first_stamp) -> Keypoints2D:
    """What a poor detector sees from a random place."""
    frame = np.flatnonzero(np.append(True, rng.random(int(seconds * rate) - 1) > 0.01))
    R, place, focal = camera(rng, target)
    seen = (motion(start + frame / rate) - place) @ R.T
    xy = focal * seen[..., :2] / np.maximum(seen[..., 2:], 0.3) + [960, 540]
    keep = np.exp(-1 / rate / 0.15)
    slow = rng.normal(0, 2 * np.sqrt(1 - keep**2), xy.shape)
    slow[0] = rng.normal(0, 2, slow[0].shape)
    xy += rng.normal(0, 3, xy.shape) + lfilter([1], [1, -keep], slow, axis=0)
    off = rng.random(xy.shape[:2]) < 0.02
    xy[off] += rng.normal(0, 60, (off.sum(), 2))
    swapped, draws = np.zeros(len(xy), bool), rng.random(len(xy))
    for t in range(1, len(xy)):  # runs of 0.4 s, 2.3 s apart
        change = draws[t] < 1 / rate / (0.4 if swapped[t - 1] else 2.27)
        swapped[t] = swapped[t - 1] ^ change
    xy[swapped] = xy[swapped][:, MIRROR]
    xy[rng.random(xy.shape[:2]) < 0.05] = np.nan
    timeline = Timeline(frame, frame / rate + first_stamp)
    return Keypoints2D(timeline, NAMES, xy, np.full(xy.shape[:2], 0.9), (1920, 1080))


def choose(rng, trials: Trials, seconds: float, count: int) -> list[int]:
    """Different trials that are long enough."""
    enough = np.flatnonzero(trials.seconds > 1.25 * seconds + 0.1)
    return [int(i) for i in rng.choice(enough, count, replace=False)]


def rig(rng, trials: Trials, trial: int, seconds: float):
    """Tracks of all cameras, the true offset of each, and their rates."""
    apart = min(1.0, 0.12 * seconds)
    motion = trials.motion(trial)
    begin = rng.uniform(apart, motion.x[-1] - seconds - apart)
    target = motion(begin + seconds / 2)[[4, 10]].mean(axis=0)  # the hips
    offset, rate = rng.uniform(-apart, apart, CAMERAS), rng.choice(RATES, CAMERAS)
    stamp = rng.choice([0, 0, 0.5, 12.3], CAMERAS)
    tracks = [
        film(rng, motion, begin + offset[c], seconds, rate[c], target, stamp[c])
        for c in range(CAMERAS)
    ]
    return tracks, offset, rate


def synchronise(tracks) -> Synchronisation:
    return find_offsets(tracks, [f"cam{c + 1}" for c in range(CAMERAS)])


def related(trials: Trials) -> None:
    print(
        "seconds  offsets  determined  error in frames: 50 % 90 % most  beyond 1/4  |err|/sd 95 %"
    )
    for seconds, count in WINDOWS.items():
        rng = np.random.default_rng(11)
        claims, asked = [], 0
        for _ in range(count):
            tracks, offset, rate = rig(rng, trials, *choose(rng, trials, seconds, 1), seconds)
            sync = synchronise(tracks)
            ref = sync.reference
            error = sync.offset_s - (offset - offset[ref])
            frames = error * np.minimum(rate, rate[ref])
            for c in np.flatnonzero(sync.determined & (np.arange(CAMERAS) != ref)):
                claims.append((abs(frames[c]), abs(error[c]) / sync.sd_s[c]))
            asked += CAMERAS - 1
        line = f"{seconds:7} {asked:8} {len(claims) / asked:11.2f}"
        if claims:
            frames, ratio = np.array(claims).T
            line += "".join(f" {q:.3f}" for q in np.quantile(frames, [0.5, 0.9, 1]))
            line += f"  {int((frames > 0.25).sum())}  {np.quantile(ratio, 0.95):.2f}"
        print(line, flush=True)


def unrelated(trials: Trials) -> None:
    print("seconds  pairs  margin: 50 % 99 % most  claimed")
    for seconds, count in WINDOWS.items():
        rng = np.random.default_rng(23)
        margins, claimed = [], 0
        for _ in range(count):
            some, other = (
                rig(rng, trials, trial, seconds)[0] for trial in choose(rng, trials, seconds, 2)
            )
            tracks = [*some[:-1], other[-1]]
            sync = synchronise(tracks)
            last = [p for p in sync.pairs if f"cam{CAMERAS}" in p.cameras]
            margins += [p.margin for p in last if np.isfinite(p.lag_s)]
            claimed += sum(not p.reason for p in last)
        line = f"{seconds:7} {3 * count:6}"
        if margins:
            line += "".join(f" {q:.1f}" for q in np.quantile(margins, [0.5, 0.99, 1]))
        print(f"{line}  {claimed}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cmu", help="cmu_30fps.npz")
    parser.add_argument("--unrelated", action="store_true")
    options = parser.parse_args()
    (unrelated if options.unrelated else related)(Trials(options.cmu))
