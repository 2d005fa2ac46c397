"""Several cameras: the order of the stages, and what each leaves in the run folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from kinefit.detect import Detector, PeopleDetector, make_detector
from kinefit.detect import Progress as FrameProgress
from kinefit.io.packages import pose2sim_folder
from kinefit.io.tables import write_landmarks_csv
from kinefit.io.video import probe
from kinefit.motion.cutoff import check_cutoff
from kinefit.pipeline.artifacts import save_people, save_track
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.provenance import code_version
from kinefit.pipeline.run import Run, SinkMaker, fan_out, option_hash, sink_files
from kinefit.types import CameraRig, FloatArray, InputError

STEM = "multiview"  # how the names of a run's files begin that are no single camera's


@dataclass(frozen=True, eq=False)
class Scene:
    """A result and the videos that it came from.

    videos: C files in the order of `rig`. moments: (C, T) seconds of each frame on each camera's
    own clock, from its first frame. names, xyz: J points, (T, J, 3) metres in the rig's world.
    """

    videos: tuple[Path, ...]
    rig: CameraRig
    moments: FloatArray
    names: tuple[str, ...]
    xyz: FloatArray


# (file to write, what to draw, called with frames done and in all)
SceneWriter = Callable[[Path, Scene, Callable[[int, int], None]], None]


def refuse_early(videos: Mapping[str, Path], config: RunConfig) -> None:
    """Raise what a stage would, before anything is written and hours of detection are lost.

    videos: camera name -> file.
    """
    if config.calibration is None:
        raise InputError(
            "several videos", "they need to know their cameras", "give --calibration FILE"
        )
    rates = []
    for video in videos.values():
        info = probe(video)
        if info.n_frames < 2:
            raise InputError(video, "one frame is not a motion", "give a video of a second or more")
        rates.append(info.rate_hz)
    check_cutoff(config.cutoff_hz, max(rates))
    pose2sim_folder("Marker augmentation")
    unknown = set(config.offset_s) - set(videos)
    if unknown:
        raise InputError(
            "--offsets", f"no camera {sorted(unknown)[0]!r}", f"there are {', '.join(videos)}"
        )
    from kinefit.pipeline.rig import rig_of

    rig_of(videos, config)
    for camera in videos:
        detector_of(camera, config)


def detector_of(camera: str, config: RunConfig) -> Detector:
    """The detector of one camera; keypoint files are looked up by the camera's name."""
    keypoints = None if config.keypoints is None else _keypoints_of(camera, config.keypoints)
    return make_detector(
        config.detector,
        model=config.detector_model,
        keypoints=keypoints,
        masks=config.save_mask,
    )


def _keypoints_of(camera: str, folder: Path) -> Path:
    """`folder`/<camera>, <camera>_json (Pose2Sim's layout) or <camera>.json, and nothing else."""
    choices = [folder / camera, folder / f"{camera}_json", folder / f"{camera}.json"]
    found = [path for path in choices if path.exists()]
    if len(found) != 1:
        raise InputError(
            folder,
            f"it has {'no' if not found else 'several'} keypoints of camera {camera!r}",
            f"name them {', '.join(path.name for path in choices[:2])} or {choices[2].name}",
        )
    return found[0]


@dataclass(frozen=True)
class Multiview(Run):
    """The stages of a run with several cameras; each reads what the ones before wrote.

    videos: camera name -> file. sinks: what to write of each video while its frames are at
    hand: suffix of the file -> its writer. overlay: draws the result on the videos, or None.
    """

    videos: Mapping[str, Path]
    sinks: Mapping[str, SinkMaker]
    overlay: SceneWriter | None

    def run(self) -> None:
        """All stages in order; a stage whose result is in the folder already is skipped."""
        detector = {
            "cameras": list(self.videos),
            "detector": self.config.detector,
            "model": option_hash(self.config.detector_model),
            "keypoints": option_hash(self.config.keypoints),
            "masks": self.config.save_mask,
            "sinks": sorted(self.sinks),
        }
        self.stage("detect", self._detect, detector)
        from kinefit.pipeline import view_stages  # see `Run.finish`

        chosen = self.options(_TRIANGULATE_OPTIONS)
        chosen["calibration"] = option_hash(self.config.calibration)
        self.stage("triangulate", lambda: view_stages.triangulate_views(self), chosen, ("detect",))
        chosen = self.options(_INITIAL_OPTIONS)
        self.stage("initial", lambda: view_stages.initial(self), chosen, ("triangulate",))
        if self.overlay is not None:
            self.stage("overlay", lambda: view_stages.overlay(self), {}, ("initial",))
        self.finish()

    def camera_file(self, camera: str, suffix: str) -> Path:
        """`<camera><suffix>` in the run folder."""
        return self.folder.path / f"{camera}{suffix}"

    def _detect(self) -> list[Path]:
        """All videos at once, as many at a time as there are cores: inference keeps one busy."""
        counts = dict.fromkeys(self.videos, 0)
        total = sum(probe(video).n_frames for video in self.videos.values())
        lock = Lock()
        checkpoint = self.folder.internal("detect.partial")

        def one(camera: str) -> list[Path]:
            def count(done: int, _: int) -> None:
                with lock:
                    counts[camera] = done
                    self.progress("detect", sum(counts.values()), total)

            return self._detect_one(camera, count, checkpoint / f"{code_version()[:16]}-{camera}")

        with ThreadPoolExecutor(min(len(self.videos), os.cpu_count() or 1)) as pool:
            written = [path for files in pool.map(one, self.videos) for path in files]
        shutil.rmtree(checkpoint, ignore_errors=True)
        return written

    def _detect_one(self, camera: str, count: FrameProgress, checkpoint: Path) -> list[Path]:
        video = self.videos[camera]
        info = probe(video)
        detector = detector_of(camera, self.config)
        if isinstance(detector, PeopleDetector):  # who it is, all views say together, later
            people = self.folder.internal(f"people_{camera}.npz")
            save_people(people, detector.people(video, progress=count))
            return [people]
        made = sink_files(self.sinks, lambda suffix: self.camera_file(camera, suffix))
        with ExitStack() as opened:
            sinks = [opened.enter_context(m(p, info, detector.names)) for p, m in made.items()]
            track = detector.track(
                video, on_frame=fan_out(sinks), progress=count, checkpoint=checkpoint
            )
        stored, table = (
            self.folder.internal(f"track_{camera}.npz"),
            self.camera_file(camera, "_raw_landmarks.csv"),
        )
        save_track(stored, track)
        write_landmarks_csv(table, track)
        return [stored, table, *made]


_TRIANGULATE_OPTIONS = (
    *("units", "world_up", "invert_extrinsics", "sync", "offsets", "person"),
    *("score_type", "huber_delta", "inlier_thresh", "min_views", "min_angle_deg", "max_pairs"),
    *("adaptive", "continuity", "reseed_from_inliers", "lm_iters", "lm_lambda", "lm_eps"),
    *("robust_lm", "robust_lm_delta", "repair_side_swaps", "visibility_min"),
)
_INITIAL_OPTIONS = ("height", "trajectory", "max_unseen", "lab_frame", "estimate_missing")
