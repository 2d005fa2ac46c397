"""One camera: the order of the stages, and what each leaves in the run folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinefit.detect import Detector, FrameResult, FrameSink, make_detector
from kinefit.io.packages import pose2sim_folder
from kinefit.io.tables import write_landmarks_csv
from kinefit.io.video import VideoInfo, probe
from kinefit.motion.cutoff import check_cutoff
from kinefit.pipeline.artifacts import save_track
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.provenance import code_version, sha256_path
from kinefit.pipeline.store import RunFolder
from kinefit.types import InputError

Progress = Callable[[str, int, int], None]
# (file to write, the video, names of the points) -> a sink that writes the file when it closes
SinkMaker = Callable[[Path, VideoInfo, tuple[str, ...]], AbstractContextManager[FrameSink]]


def refuse_early(video: Path, config: RunConfig) -> None:
    """Raise what a stage would, before anything is written and hours of detection are lost."""
    info = probe(video)
    if info.n_frames < 2:
        raise InputError(video, "one frame is not a motion", "give a video of a second or more")
    check_cutoff(config.cutoff_hz, info.rate_hz)
    longer = max(info.size)
    if config.focal_px is not None and not 0.05 < config.focal_px / longer < 12:
        raise InputError(
            "--focal-px",
            f"{config.focal_px:g} px is no focal length for a picture of {longer} px",
            "give it in pixels, mostly 0.6 to 1.5 times the longer side, or give --fov",
        )
    pose2sim_folder("Marker augmentation")
    _detector(config)


def _detector(config: RunConfig) -> Detector:
    return make_detector(
        config.detector,
        model=config.detector_model,
        keypoints=config.keypoints,
        masks=config.save_mask,
    )


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
        detector = {
            "name": self.video.stem,  # part of every file's name
            "detector": self.config.detector,
            "model": _hash(self.config.detector_model),
            "keypoints": _hash(self.config.keypoints),
            "masks": self.config.save_mask,
            "sinks": sorted(self.sinks),
        }
        self.stage("detect", self._detect, detector)
        # Imported here: the numerical libraries behind it take as long to load as a second of
        # video takes to look at, and `kinefit.api` loads them while the detector works.
        from kinefit.pipeline import stages

        chosen = self._options(_INITIAL_OPTIONS)
        self.stage("initial", lambda: stages.initial(self), chosen, after=("detect",))
        chosen = self._options(_FINAL_OPTIONS)
        self.stage("final", lambda: stages.final(self), chosen, after=("initial",))
        if self.config.compute_all_joint_angles:
            self.stage("angles", lambda: stages.angles(self), {}, after=("final",))

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

    def _options(self, names: tuple[str, ...]) -> dict[str, Any]:
        return self.config.model_dump(mode="json", include=set(names))

    def _detect(self) -> list[Path]:
        info = probe(self.video)
        detector = _detector(self.config)
        checkpoint = self.folder.internal(f"detect.partial/{code_version()[:16]}")
        with ExitStack() as opened:
            made = {self.file(suffix): make for suffix, make in self.sinks.items()}
            sinks = [opened.enter_context(m(p, info, detector.names)) for p, m in made.items()]
            track = detector.track(
                self.video,
                on_frame=_fan_out(sinks),
                progress=lambda done, total: self.progress("detect", done, total),
                checkpoint=checkpoint,
            )
        extra: list[Path] = []
        if track.body is None:  # image points only: the embedded detector lends its depth
            depth = make_detector("mediapipe").track(
                self.video,
                progress=lambda done, total: self.progress("depth", done, total),
                checkpoint=checkpoint,
            )
            extra.append(self.folder.internal("depth.npz"))
            save_track(extra[0], depth)
        stored = self.folder.internal("track.npz")
        save_track(stored, track)
        write_landmarks_csv(self.file("_raw_landmarks.csv"), track)
        shutil.rmtree(checkpoint.parent, ignore_errors=True)
        return [stored, *extra, self.file("_raw_landmarks.csv"), *made]


def _fan_out(sinks: Sequence[FrameSink]) -> FrameSink | None:
    """One sink that feeds all of `sinks`; None without any."""

    def feed(frame: FrameResult) -> None:
        for sink in sinks:
            sink(frame)

    return feed if sinks else None


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
