"""One camera: the order of the stages, and what each leaves in the run folder."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinefit.angles import GROUPS, group_names, joint_angles, to_opensim
from kinefit.detect import FrameResult, FrameSink, make_detector
from kinefit.detect.depth import with_depth
from kinefit.io.atomic import write_json
from kinefit.io.c3d import write_c3d
from kinefit.io.mot import write_mot
from kinefit.io.tables import write_angles_csv, write_landmarks_csv, write_uncertainty_csv
from kinefit.io.trc import write_trc
from kinefit.io.video import VideoInfo, probe
from kinefit.lift import WorldMotion, place_in_world
from kinefit.markers import augment, estimate_missing, force_complete, initial_markers
from kinefit.markers.augment import model_files
from kinefit.motion.filter import butterworth, check_cutoff
from kinefit.motion.gaps import fill_gaps
from kinefit.motion.sides import SideSwaps, find_side_swaps, undo_side_swaps
from kinefit.pipeline.artifacts import (
    load_markers,
    load_track,
    save_angles,
    save_markers,
    save_track,
)
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.provenance import sha256_path
from kinefit.pipeline.store import RunFolder
from kinefit.types import InputError, JointAngles, Markers, TooFewPoints

Progress = Callable[[str, int, int], None]
# (file to write, the video, names of the points) -> a sink that writes the file when it closes
SinkMaker = Callable[[Path, VideoInfo, tuple[str, ...]], AbstractContextManager[FrameSink]]


@dataclass(frozen=True)
class Monocular:
    """The stages of a single-camera run; each reads what the one before wrote.

    sinks: what to write while the frames are at hand: suffix of the file -> its writer.
    progress: called with (stage, done, total); total 0 while unknown.
    """

    folder: RunFolder
    video: Path
    config: RunConfig
    sinks: Mapping[str, SinkMaker]
    progress: Progress

    def run(self) -> None:
        """All stages in order; a stage whose result is in the folder already is skipped."""
        self._refuse_early()
        detector = {
            "detector": self.config.detector,
            "model": _hash(self.config.detector_model),
            "keypoints": _hash(self.config.keypoints),
            "masks": self.config.save_mask,
            "sinks": sorted(self.sinks),
        }
        self.stage("detect", self._detect, detector)
        self.stage("initial", self._initial, self._options(_INITIAL_OPTIONS), after=("detect",))
        self.stage("final", self._final, self._options(_FINAL_OPTIONS), after=("initial",))
        if self.config.compute_all_joint_angles:
            self.stage("angles", self._angles, {}, after=("final",))

    def file(self, suffix: str) -> Path:
        """`<video><suffix>` in the run folder."""
        return self.folder.path / f"{self.video.stem}{suffix}"

    def stage(
        self,
        name: str,
        work: Callable[[], list[Path]],
        parameters: dict[str, Any],
        after: tuple[str, ...] = (),
    ) -> None:
        """Do `work` unless its result is in the folder; see `RunFolder.stage`."""
        self.progress(name, 0, 0 if name == "detect" else 1)
        self.folder.stage(name, work, parameters=parameters, after=after)
        if name != "detect":
            self.progress(name, 1, 1)

    def _refuse_early(self) -> None:
        """Raise what a later stage would, before hours of detection."""
        model_files()
        rate = probe(self.video).rate_hz
        if not math.isnan(rate):
            check_cutoff(self.config.cutoff_hz, rate)

    def _options(self, names: tuple[str, ...]) -> dict[str, Any]:
        return self.config.model_dump(mode="json", include=set(names))

    def _detect(self) -> list[Path]:
        info = probe(self.video)
        detector = make_detector(
            self.config.detector,
            model=self.config.detector_model,
            keypoints=self.config.keypoints,
            masks=self.config.save_mask,
        )
        checkpoint = self.folder.internal("detect.partial")
        with ExitStack() as opened:
            made = {self.file(suffix): make for suffix, make in self.sinks.items()}
            sinks = [opened.enter_context(m(p, info, detector.names)) for p, m in made.items()]
            track = detector.track(
                self.video,
                on_frame=_fan_out(sinks),
                progress=lambda done, total: self.progress("detect", done, total),
                checkpoint=checkpoint,
            )
        if track.body is None:  # image points only: the embedded detector lends its depth
            depth = make_detector("mediapipe").track(
                self.video,
                progress=lambda done, total: self.progress("depth", done, total),
                checkpoint=checkpoint,
            )
            track = with_depth(track, depth)
        stored = self.folder.internal("track.npz")
        save_track(stored, track)
        write_landmarks_csv(self.file("_raw_landmarks.csv"), track)
        shutil.rmtree(checkpoint, ignore_errors=True)
        return [stored, self.file("_raw_landmarks.csv"), *made]

    def _initial(self) -> list[Path]:
        config = self.config
        track = load_track(self.folder.internal("track.npz"))
        swaps = find_side_swaps(track.image)
        if config.repair_side_swaps:
            track = undo_side_swaps(track, swaps)
        world = place_in_world(
            track,
            config.subject,
            focal_px=config.focal_px,
            fov_deg=config.fov,
            tilt_deg=config.tilt,
            roll_deg=config.roll,
            visibility_min=config.visibility_min,
        )
        markers = initial_markers(
            world.keypoints, track.image.score, visibility_min=config.visibility_min
        )
        if config.estimate_missing:
            markers = estimate_missing(markers)
        stored, facts = self.folder.internal("initial.npz"), self.folder.internal("world.json")
        save_markers(stored, markers)
        write_json(facts, world_facts(world, swaps))
        write_trc(self.file("_initial.trc"), markers)
        return [stored, facts, self.file("_initial.trc")]

    def _final(self) -> list[Path]:
        config = self.config
        markers = load_markers(self.folder.internal("initial.npz"))
        markers = butterworth(fill_gaps(markers, config.max_gap), config.cutoff_hz)
        markers = augment(
            markers, config.subject, cycles=config.augmentation_cycles, seed=config.seed
        )
        if config.force_complete:
            markers = force_complete(markers)
        stored = self.folder.internal("final.npz")
        save_markers(stored, markers)
        write_trc(self.file("_final.trc"), markers)
        write_uncertainty_csv(self.file("_final_uncertainty.csv"), markers)
        written = [stored, self.file("_final.trc"), self.file("_final_uncertainty.csv")]
        if markers.timeline.is_uniform:  # C3D has one clock
            write_c3d(self.file("_final.c3d"), markers)
            written.append(self.file("_final.c3d"))
        return written

    def _angles(self) -> list[Path]:
        markers = load_markers(self.folder.internal("final.npz"))
        angles = joint_angles(markers)
        save_angles(self.folder.internal("angles.npz"), angles)
        folder = self.folder.path
        tables = write_joint_angles(angles, markers, folder / "joint_angles", self.video.stem)
        return [self.folder.internal("angles.npz"), *tables]


def _fan_out(sinks: Sequence[FrameSink]) -> FrameSink | None:
    """One sink that feeds all of `sinks`; None without any."""

    def feed(frame: FrameResult) -> None:
        for sink in sinks:
            sink(frame)

    return feed if sinks else None


def write_joint_angles(
    angles: JointAngles, markers: Markers, folder: Path, stem: str
) -> list[Path]:
    """`<stem>_angles_<group>.csv` per joint group, `<stem>_angles_all.csv`, and `<stem>.mot`.

    The motion holds the longest stretch of frames in which every coordinate has a value, since
    OpenSim cannot read a missing one; it is left out when there is no such frame.
    """
    files = []
    for group in GROUPS:
        if names := [name for name in group_names(group) if name in angles.names]:
            files.append(folder / f"{stem}_angles_{group}.csv")
            write_angles_csv(files[-1], angles, names)
    files.append(folder / f"{stem}_angles_all.csv")
    write_angles_csv(files[-1], angles)
    try:
        motion = to_opensim(angles, markers).longest_complete()
    except TooFewPoints:
        return files
    files.append(folder / f"{stem}.mot")
    write_mot(files[-1], motion, stem)
    return files


def world_facts(world: WorldMotion, swaps: SideSwaps) -> dict[str, Any]:
    """What the lift assumed and found, as JSON values, for the report and `run.json`."""
    return {
        "camera": {
            "focal_px": round(float(world.camera.K[0, 0]), 3),
            "tilt_deg": round(world.tilt_deg, 3),
            "roll_deg": round(world.roll_deg, 3),
            "tilt_sd_deg": round(world.tilt_sd, 3),
            "R": world.camera.R.tolist(),
            "t_m": world.camera.t.tolist(),
        },
        "scale": round(world.scale, 5),
        "scale_sd": round(world.scale_sd, 5),
        "depth_sd_m": [None if math.isnan(v) else round(v, 4) for v in world.depth_sd.tolist()],
        "notes": list(world.notes),
        "side_swaps": {name: swaps.of(name).nonzero()[0].tolist() for name in swaps.groups},
    }


def _hash(path: Path | None) -> str | None:
    """SHA-256 of a file or folder that an option names; InputError when there is none."""
    if path is None:
        return None
    if not path.exists():
        raise InputError(path, "there is no such file or folder", "check the path")
    return sha256_path(path)


_INITIAL_OPTIONS = (
    *("height", "mass", "visibility_min", "repair_side_swaps", "estimate_missing"),
    *("focal_px", "fov", "tilt", "roll"),
)
_FINAL_OPTIONS = (
    *("height", "mass", "max_gap", "cutoff_hz", "augmentation_cycles", "seed", "force_complete"),
)
