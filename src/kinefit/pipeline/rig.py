"""The cameras of a run: from the calibration file, matched to the videos by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kinefit.io.calibration import Calibration, read_calibration
from kinefit.io.video import probe
from kinefit.multiview.rig_checks import fit_rig_to_videos
from kinefit.pipeline.config import RunConfig
from kinefit.types import CameraRig, InputError


@dataclass(frozen=True, eq=False)
class RunRig:
    """calibration: as read. rig: the cameras in the order of the videos, for pictures of their
    size. notes: what was assumed, doubts: what may be wrong about it, in plain words.
    """

    calibration: Calibration
    rig: CameraRig
    notes: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def up_known(self) -> bool:
        return self.calibration.up is not None


def rig_of(videos: Mapping[str, Path], config: RunConfig) -> RunRig:
    """The cameras of `videos` (camera name -> file); raises InputError where one is missing."""
    assert config.calibration is not None  # refused before
    sizes = {name: probe(video).size for name, video in videos.items()}
    calibration = read_calibration(
        config.calibration,
        units=config.units,
        up=config.world_up,
        invert_extrinsics=config.invert_extrinsics,
        image_sizes=sizes,
    )
    rig = match_cameras(calibration.rig, tuple(videos), config.calibration)
    rig, doubts = fit_rig_to_videos(rig, sizes)
    return RunRig(calibration, rig, calibration.assumptions, doubts)


def match_cameras(rig: CameraRig, names: tuple[str, ...], source: Path) -> CameraRig:
    """The cameras of these names in this order; InputError lists both sides where one is absent."""
    absent = [name for name in names if name not in rig.names]
    if absent:
        raise InputError(
            source,
            f"it has no camera {absent[0]!r}; it has {', '.join(rig.names)}",
            "name the videos as the cameras are named: cameras are never matched by order",
        )
    return rig.select(names)
