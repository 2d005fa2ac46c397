"""Synthetic scenes on the disk, and kinefit's runs on their videos: made once, used often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from kinefit import api
from kinefit.io.calibration import read_calibration
from kinefit.pipeline.config import RunConfig, checked, run_config
from kinefit.synth.options import SynthOptions
from kinefit.synth.truth import PersonTruth, read_truth


@dataclass(frozen=True)
class FilmSetting:
    """scenes: how many. views: cameras of each. seconds, width, height: of the videos, 30 Hz."""

    scenes: int
    views: int
    seconds: float
    width: int
    height: int

    def options(self, motion: Path | None) -> SynthOptions:
        size = {"width": self.width, "height": self.height}
        given = {"views": self.views, "seconds": self.seconds, **size, "motion": motion}
        return checked(SynthOptions, given)


@dataclass(frozen=True, eq=False)
class Film:
    """One scene's folder, and where runs on it go."""

    scene: Path
    runs: Path

    @cached_property
    def person(self) -> PersonTruth:
        """The subject."""
        return read_truth(self.scene).people[0]

    @cached_property
    def cameras(self) -> tuple[str, ...]:
        return read_calibration(self.scene / "calibration.toml").rig.names

    def video(self, camera: str) -> Path:
        return self.scene / f"{camera}.mp4"

    def spread(self, count: int) -> list[str]:
        """So many of the cameras, evenly around the scene; two stand a quarter of a turn apart."""
        names = self.cameras
        if count == 2 and len(names) >= 4:
            return [names[0], names[len(names) // 4]]
        return [names[i * len(names) // count] for i in range(count)]

    def config(self, *, several: bool = False, overlay: bool = True) -> RunConfig:
        """With the person's true height and mass, as a user measures them."""
        subject = {"height": self.person.stature_m, "mass": self.person.mass_kg}
        given = {"calibration": self.scene / "calibration.toml"} if several else {}
        return run_config({**subject, "overlay": overlay, "export": "", **given})

    def run_one(self, camera: str) -> Path:
        """`kinefit run` on one video; its folder."""
        out = self.runs / f"run_{camera}"
        api.process(self.video(camera), out, self.config())
        return out

    def run_several(self, cameras: Sequence[str]) -> Path:
        """`kinefit run` on several videos; its folder."""
        out = self.runs / f"run_{len(cameras)}_views"
        api.process([self.video(n) for n in cameras], out, self.config(several=True))
        return out

    def fit_one(self, camera: str) -> Path:
        """`kinefit fit video`; its folder."""
        out = self.runs / f"fit_{camera}"
        api.fit(self.video(camera), out, self.config(overlay=False))
        return out

    def fit_several(self, cameras: Sequence[str]) -> Path:
        """`kinefit fit multiview`; its folder."""
        out = self.runs / f"fit_{len(cameras)}_views"
        videos = [self.video(name) for name in cameras]
        api.fit(videos, out, self.config(several=True, overlay=False))
        return out


@dataclass(frozen=True, eq=False)
class Films:
    """The scenes of the suite. folder: theirs. motion: CMU's file; None: kinefit's own."""

    folder: Path
    motion: Path | None
    _made: dict[FilmSetting, list[Film]] = field(default_factory=dict, init=False, repr=False)

    def made(self, setting: FilmSetting) -> list[Film]:
        """The scenes of a setting, filmed unless they are there."""
        if setting not in self._made:
            self._made[setting] = self._filmed(setting)
        return self._made[setting]

    def _filmed(self, setting: FilmSetting) -> list[Film]:
        name = f"{setting.views}x{setting.width}x{setting.height}x{setting.seconds:g}s"
        folder = self.folder / name
        paths = api.make_scenes(folder, setting.options(self.motion), setting.scenes)
        return [Film(path, self.folder / f"{name}_runs" / path.name) for path in paths]
