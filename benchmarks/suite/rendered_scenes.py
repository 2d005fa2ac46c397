"""Rendered scenes on disk, and kinefit's results on their videos: made once, used often.

All calls of `kinefit.api` by the suite are in this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from kinefit import api
from kinefit.io.calibration import read_calibration
from kinefit.pipeline.config import PictureOptions, RunConfig, checked, run_config
from kinefit.pipeline.image_fit import PictureResult
from kinefit.synth.scene_options import SynthOptions
from kinefit.synth.truth import PersonTruth, read_truth


@dataclass(frozen=True)
class SceneSetting:
    """scenes: how many. views: cameras of each. seconds, width, height: of the videos, 30 Hz."""

    scenes: int
    views: int
    seconds: float
    width: int
    height: int

    @property
    def frames(self) -> int:
        return self.options(None).frames

    def options(self, motion: Path | None) -> SynthOptions:
        size = {"width": self.width, "height": self.height}
        given = {"views": self.views, "seconds": self.seconds, **size, "motion": motion}
        return checked(SynthOptions, given)

    def render(self, folder: Path, motion: Path | None) -> list[Path]:
        """Folders of the scenes, rendered unless they are there."""
        return api.make_scenes(folder, self.options(motion), self.scenes)


@dataclass(frozen=True, eq=False)
class RenderedScene:
    """One scene. folder: of its videos and truth. runs: folder of the results on them."""

    folder: Path
    runs: Path

    @cached_property
    def person(self) -> PersonTruth:
        """The subject."""
        return read_truth(self.folder).people[0]

    @cached_property
    def cameras(self) -> tuple[str, ...]:
        return read_calibration(self.folder / "calibration.toml").rig.names

    def video(self, camera: str) -> Path:
        return self.folder / f"{camera}.mp4"

    def spread(self, count: int) -> list[str]:
        """`count` of the cameras, evenly around the scene; two stand a quarter turn apart."""
        names = self.cameras
        if count == 2 and len(names) >= 4:
            return [names[0], names[len(names) // 4]]
        return [names[i * len(names) // count] for i in range(count)]

    def config(self, cameras: Sequence[str], *, overlay: bool = True) -> RunConfig:
        """With the person's true height and mass, as a user measures them."""
        subject = {"height": self.person.stature_m, "mass": self.person.mass_kg}
        given = {"calibration": self.folder / "calibration.toml"} if len(cameras) > 1 else {}
        return run_config({**subject, "overlay": overlay, "export": "", **given})

    def run(self, cameras: Sequence[str], name: str = "run", *, overwrite: bool = False) -> Path:
        """`kinefit run` on one video or several; its folder."""
        out = self._out(name, cameras)
        videos = [self.video(camera) for camera in cameras]
        api.process(videos, out, self.config(cameras), overwrite=overwrite)
        return out

    def fit(self, cameras: Sequence[str]) -> Path:
        """`kinefit fit video` or `fit multiview`; its folder."""
        out = self._out("fit", cameras)
        videos = [self.video(camera) for camera in cameras]
        api.fit(videos, out, self.config(cameras, overlay=False))
        return out

    def _out(self, name: str, cameras: Sequence[str]) -> Path:
        which = cameras[0] if len(cameras) == 1 else f"{len(cameras)}_views"
        return self.runs / f"{name}_{which}"


def fit_pictures(pictures: Sequence[Path], out: Path, focal_px: float) -> list[PictureResult]:
    """`kinefit fit image` on pictures of known focal length."""
    return api.fit_pictures(pictures, out, checked(PictureOptions, {}), focal_px=focal_px)


@dataclass(frozen=True, eq=False)
class RenderedScenes:
    """The scenes of the suite. folder: theirs. motion: CMU's file; None: kinefit's own motions."""

    folder: Path
    motion: Path | None
    _made: dict[SceneSetting, list[RenderedScene]] = field(
        default_factory=dict, init=False, repr=False
    )

    def made(self, setting: SceneSetting) -> list[RenderedScene]:
        """The scenes of a setting, rendered unless they are there."""
        if setting not in self._made:
            s = setting
            name = f"{s.views}x{s.width}x{s.height}x{s.seconds:g}s"
            self._made[setting] = [
                RenderedScene(path, self.folder / f"{name}_runs" / path.name)
                for path in setting.render(self.folder / name, self.motion)
            ]
        return self._made[setting]
