"""One camera: the order of the stages, and what each leaves in the run folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from kinefit.biomech.cutoff import check_cutoff
from kinefit.detect import Detector, make_detector
from kinefit.io.packages import pose2sim_folder
from kinefit.io.tables import write_landmarks_csv
from kinefit.io.video import probe
from kinefit.pipeline.artifacts import save_track
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.provenance import code_version
from kinefit.pipeline.run import Run, SinkMaker, fan_out, sink_files
from kinefit.types import InputError


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
class Monocular(Run):
    """The stages of a single-camera run; each reads what the one before wrote.

    sinks: what to write while the frames are at hand: suffix of the file -> its writer.
    """

    video: Path
    sinks: Mapping[str, SinkMaker]

    def run(self) -> None:
        """All stages in order; a stage whose result is in the folder already is skipped."""
        self.prepare()
        self.finish()

    def prepare(self) -> None:
        """From the videos to the initial markers in the room."""
        detector = {"name": self.stem, **self.detection(self.sinks)}  # the name is in every file's
        self.stage("detect", self._detect, detector)
        from kinefit.pipeline import stages  # see `Run.finish`

        chosen = self.options(_INITIAL_OPTIONS)
        self.stage("initial", lambda: stages.initial(self), chosen, after=("detect",))

    def _detect(self) -> list[Path]:
        info = probe(self.video)
        detector = _detector(self.config)
        checkpoint = self.folder.internal(f"detect.partial/{code_version()[:16]}")
        with ExitStack() as opened:
            made = sink_files(self.sinks, self.file)
            sinks = [opened.enter_context(m(p, info, detector.names)) for p, m in made.items()]
            track = detector.track(
                self.video,
                on_frame=fan_out(sinks),
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


_INITIAL_OPTIONS = (
    *("height", "mass", "visibility_min", "repair_side_swaps", "estimate_missing"),
    *("focal_px", "fov", "tilt", "roll"),
)
