"""What every run is, whatever it was filmed with: a folder, options, named stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinefit.detect import FrameResult, FrameSink
from kinefit.io.video import VideoInfo
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.provenance import sha256_path
from kinefit.pipeline.store import RunFolder
from kinefit.types import InputError

Progress = Callable[[str, int, int], None]
# (file to write, the video, names of the points) -> a sink that writes the file when it closes
SinkMaker = Callable[[Path, VideoInfo, tuple[str, ...]], AbstractContextManager[FrameSink]]


@dataclass(frozen=True)
class Run:
    """The part of a run that its later stages know.

    stem: how the names of its files begin. sources: (name, SHA-256) of the input files.
    progress: called with (stage, done, total); total 0 while unknown.
    """

    folder: RunFolder
    config: RunConfig
    stem: str
    sources: tuple[tuple[str, str], ...]
    progress: Progress

    def file(self, suffix: str) -> Path:
        """`<stem><suffix>` in the run folder."""
        return self.folder.path / f"{self.stem}{suffix}"

    def stage(
        self,
        name: str,
        work: Callable[[], list[Path]],
        parameters: dict[str, Any],
        after: tuple[str, ...] = (),
    ) -> None:
        """Do `work` unless its result is in the folder; see `RunFolder.stage`."""
        counted = name in ("detect", "overlay")
        self.progress(name, 0, 0 if counted else 1)
        self.folder.stage(name, work, parameters=parameters, after=after)
        if not counted:
            self.progress(name, 1, 1)

    def options(self, names: Sequence[str]) -> dict[str, Any]:
        """The named options as JSON values, for a stage's parameters."""
        return self.config.model_dump(mode="json", include=set(names))

    def detection(self, sinks: Mapping[str, SinkMaker]) -> dict[str, Any]:
        """What detection depends on beside the videos, for the stage's parameters."""
        return {
            "detector": self.config.detector,
            "model": option_hash(self.config.detector_model),
            "keypoints": option_hash(self.config.keypoints),
            "masks": self.config.save_mask,
            "sinks": sorted(sinks),
        }

    def finish(self) -> None:
        """From initial markers to all markers and joint angles."""
        # Imported here: the numerical libraries behind it take as long to load as a second of
        # video takes to look at, and `kinefit.api` loads them while the detector works.
        from kinefit.pipeline import stages

        chosen = self.options(_FINAL_OPTIONS)
        self.stage("final", lambda: stages.final(self), chosen, after=("initial",))
        if self.config.compute_all_joint_angles:
            self.stage("angles", lambda: stages.angles(self), {}, after=("final",))


def fan_out(sinks: Sequence[FrameSink]) -> FrameSink | None:
    """One sink that feeds all of `sinks`; None without any."""

    def feed(frame: FrameResult) -> None:
        for sink in sinks:
            sink(frame)

    return feed if sinks else None


def option_hash(path: Path | None) -> str | None:
    """SHA-256 of a file or folder that an option names; InputError when there is none."""
    if path is None:
        return None
    if not path.exists():
        raise InputError(path, "there is no such file or folder", "check the path")
    return sha256_path(path)


def sink_files(
    sinks: Mapping[str, SinkMaker], file: Callable[[str], Path]
) -> dict[Path, SinkMaker]:
    """The file of each sink -> what makes it; `file` turns a suffix into a path."""
    return {file(suffix): make for suffix, make in sinks.items()}


_FINAL_OPTIONS = (
    *("height", "mass", "max_gap", "cutoff_hz", "augmentation_cycles", "seed", "force_complete"),
)
