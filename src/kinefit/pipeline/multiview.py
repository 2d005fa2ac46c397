"""Several cameras: the order of the stages, and what each leaves in the run folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from kinefit.biomech.cutoff import check_cutoff
from kinefit.detect import Detector, PeopleDetector, make_detector
from kinefit.io.packages import pose2sim_folder
from kinefit.io.tables import write_landmarks_csv
from kinefit.io.video import probe
from kinefit.pipeline.artifacts import save_people, save_track
from kinefit.pipeline.config import RunConfig, ViewOptions
from kinefit.pipeline.provenance import code_version
from kinefit.pipeline.run import Run, SinkMaker, fan_out, option_hash, sink_files
from kinefit.pipeline.store import INTERNAL
from kinefit.render.rig_overlay import Scene
from kinefit.types import InputError

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import SynchronizedArray

STEM = "multiview"  # how the names of a run's files begin that are no single camera's


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
    check_views(config, len(videos))
    unknown = set(config.offset_s) - set(videos)
    if unknown:
        raise InputError(
            "--offsets", f"no camera {sorted(unknown)[0]!r}", f"there are {', '.join(videos)}"
        )
    from kinefit.pipeline.rig import rig_of

    rig_of(videos, config)
    for camera in videos:
        detector_of(camera, config)


def check_views(options: ViewOptions, cameras: int) -> None:
    """InputError when more views must agree than there are cameras."""
    if options.min_views > cameras:
        raise InputError(
            "--min-views",
            f"{options.min_views} views cannot agree where {cameras} cameras film",
            f"give {cameras} or less",
        )


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
        self.prepare()
        if self.overlay is not None:
            from kinefit.pipeline import view_stages  # see `Run.finish`

            self.stage("overlay", lambda: view_stages.overlay(self), {}, ("initial",))
        self.finish()

    def prepare(self) -> None:
        """From the videos to the initial markers in the room."""
        detector = {"cameras": list(self.videos), **self.detection(self.sinks)}
        self.stage("detect", self._detect, detector)
        from kinefit.pipeline import view_stages

        chosen = self.options(_TRIANGULATE_OPTIONS)
        chosen["calibration"] = option_hash(self.config.calibration)
        self.stage("triangulate", lambda: view_stages.triangulate_views(self), chosen, ("detect",))
        chosen = self.options(_INITIAL_OPTIONS)
        self.stage("initial", lambda: view_stages.initial(self), chosen, ("triangulate",))

    def _detect(self) -> list[Path]:
        """All videos at once, one process per core: inference keeps a core busy.

        (Threads would share Python's lock with each other and with what loads meanwhile: the four
        videos of the demo take twice as long.)
        """
        checkpoint = self.folder.internal("detect.partial")
        jobs = [
            _Job(camera, video, self.config, self.folder.path, self.sinks, checkpoint)
            for camera, video in self.videos.items()
        ]
        workers = min(len(jobs), os.cpu_count() or 1)
        context = get_context("spawn")  # a fork would copy the threads' locks
        done = context.Array("q", len(jobs))
        total = sum(probe(video).n_frames for video in self.videos.values())
        with ProcessPoolExecutor(workers, context, _share, (done,)) as pool:
            pending = {pool.submit(_detect_one, i, job) for i, job in enumerate(jobs)}
            written: list[Path] = []
            while pending:
                finished, pending = wait(pending, timeout=_POLL_S)
                self.progress("detect", sum(done[:]), total)
                for future in finished:
                    try:
                        written += future.result()
                    except BrokenProcessPool as error:
                        raise InputError(
                            "detection",
                            "a process that looks at a video has died",
                            "in a script of your own, call it under `if __name__ == '__main__':`; "
                            "else see whether the memory was full",
                        ) from error
                    except BaseException:
                        pool.shutdown(wait=False, cancel_futures=True)
                        raise
        shutil.rmtree(checkpoint, ignore_errors=True)
        return written


@dataclass(frozen=True)
class _Job:
    """One video to look at, as it goes to a worker process."""

    camera: str
    video: Path
    config: RunConfig
    folder: Path
    sinks: Mapping[str, SinkMaker]
    checkpoint: Path


_done: SynchronizedArray[int]  # frames done of each video; set in each worker


def _share(done: SynchronizedArray[int]) -> None:
    global _done
    _done = done


def _detect_one(index: int, job: _Job) -> list[Path]:
    """Look at one video and write what was found, in a worker process."""

    def count(done: int, _: int) -> None:
        _done[index] = done

    info, internal = probe(job.video), job.folder / INTERNAL
    detector = detector_of(job.camera, job.config)
    if isinstance(detector, PeopleDetector):  # who it is, all views say together, later
        everybody = internal / f"people_{job.camera}.npz"
        save_people(everybody, detector.people(job.video, progress=count))
        return [everybody]
    made = sink_files(job.sinks, lambda suffix: job.folder / f"{job.camera}{suffix}")
    with ExitStack() as opened:
        sinks = [opened.enter_context(m(p, info, detector.names)) for p, m in made.items()]
        track = detector.track(
            job.video,
            on_frame=fan_out(sinks),
            progress=count,
            checkpoint=job.checkpoint / f"{code_version()[:16]}-{job.camera}",
        )
    stored = internal / f"track_{job.camera}.npz"
    table = job.folder / f"{job.camera}_raw_landmarks.csv"
    save_track(stored, track)
    write_landmarks_csv(table, track)
    return [stored, table, *made]


_POLL_S = 0.1  # how often the progress is shown

_TRIANGULATE_OPTIONS = (
    *("units", "world_up", "invert_extrinsics", "sync", "offsets", "person"),
    *("score_type", "huber_delta", "inlier_thresh", "min_views", "min_angle_deg", "max_pairs"),
    *("adaptive", "continuity", "reseed_from_inliers", "lm_iters", "lm_lambda", "lm_eps"),
    *("robust_lm", "robust_lm_delta", "repair_side_swaps", "visibility_min"),
)
_INITIAL_OPTIONS = ("height", "trajectory", "max_unseen", "lab_frame", "estimate_missing")
