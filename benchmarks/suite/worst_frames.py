"""Where a run is furthest off: that frame, with the true skeleton and the one that was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from benchmarks.suite.skeleton_painter import SkeletonPainter
from kinefit.body.anny import load_anny
from kinefit.evaluate.body_scores import body_keypoints
from kinefit.evaluate.run_folder import RunData, read_run, read_scene
from kinefit.evaluate.truth_at_times import markers_at
from kinefit.geometry.projection import project, to_camera
from kinefit.io.atomic import atomic_path
from kinefit.io.video import Picture, frames
from kinefit.lift.windows import nearest
from kinefit.metrics.points import aligned_frames, point_errors
from kinefit.metrics.statistics import mean_of
from kinefit.skeletons import map_points, skeleton
from kinefit.synth.truth import SceneTruth
from kinefit.types import FloatArray, InvalidData

_TABLE = skeleton("markers22")
_HIGH, _SIDE = 480, 360  # pixels of what is written: height, and width of the view from the side
_BAND = 28  # pixels above each part, for its caption
_FILLED = 0.85  # of the view from the side


@dataclass(frozen=True)
class WorstFrame:
    """A frame of a camera, with the points of `markers22`.

    error_mm: mean over the points; after the best similarity for a run of one camera, which cannot
    know the place. true, found: (22, 2) pixels. true_xyz, found_xyz: (22, 3) metres in the axes of
    the true camera; found_xyz moved as for the error.
    """

    camera: str
    frame: int
    error_mm: float
    true: FloatArray
    found: FloatArray
    true_xyz: FloatArray
    found_xyz: FloatArray

    @property
    def caption(self) -> str:
        return f"{self.camera}, frame {self.frame}, {self.error_mm:.0f} mm on average"


@dataclass(frozen=True)
class Pictures:
    """The pictures of a bench: one per run. folder: theirs."""

    folder: Path
    _drawn: dict[str, list[tuple[float, str, str]]] = field(default_factory=dict)

    def add(self, run: Path, scene: Path, label: str) -> None:
        """Draw the worst frame of a run, one of those called `label`; see `draw_worst`."""
        name = f"{label}_{scene.name}_{run.name}.png".replace(" ", "_").replace(",", "")
        worst = draw_worst(run, scene, self.folder / name)
        caption = f"{label}, {scene.name}, {worst.caption}"
        self._drawn.setdefault(label, []).append((worst.error_mm, name, caption))

    @property
    def worst(self) -> dict[str, str]:
        """Name of the file -> what it shows, of the worst run of each label."""
        return {name: caption for _, name, caption in map(max, self._drawn.values())}


def draw_worst(run: Path, scene: Path, target: Path) -> WorstFrame:
    """Draw a run's worst frame into the file `target` (.png).

    The truth in the picture, the result in the picture, and both from the side: where one camera
    goes wrong, its own picture does not show it.
    Raises what `kinefit.evaluate.run_folder.read_run` raises, and InvalidData when the run has
    no points.
    """
    known = read_scene(scene)
    worst = worst_frame(read_run(run, known), known.truth)
    picture = _picture(known.path / f"{worst.camera}.mp4", worst.frame)
    parts = [
        _captioned(_drawn(picture, worst.true), "truth"),
        _captioned(_drawn(picture, worst.found), worst.caption),
        _captioned(_from_side(worst), "from the camera's right; truth pale"),
    ]
    with atomic_path(target) as temporary:
        if not cv2.imwrite(str(temporary), np.concatenate(parts, axis=1)[..., ::-1]):
            raise InvalidData(f"{target} could not be written.")
    return worst


def worst_frame(result: RunData, truth: SceneTruth, person: int = 0) -> WorstFrame:
    """The frame with the largest mean error, in the camera where result and truth differ most.

    Raises InvalidData for a run without points.
    """
    time, found = _points(result)
    someone, scene_time = truth.people[person], result.clock.to_scene(time)
    real = map_points(markers_at(someone, scene_time), someone.markers.names, _TABLE)
    if len(result.cameras) == 1:
        moved = aligned_frames(found, real)
    else:
        moved = result.transform.to_scene(found, scene_time)
    errors = mean_of(point_errors(moved, real), 1)
    if np.isnan(errors).all():
        raise InvalidData("A run without points has no worst frame.")
    t = int(np.nanargmax(errors))
    views = []
    for name, camera in result.cameras.items():
        view = truth.view(name)
        frame = int(nearest(view.time, scene_time[t : t + 1])[0])
        axes = view.at(frame)
        views.append(
            WorstFrame(
                name,
                frame,
                float(1000 * errors[t]),
                map_points(view.xy[person][frame], truth.point_names, _TABLE),
                project(camera, found[t]),
                to_camera(axes, real[t]),
                to_camera(axes, moved[t]),
            )
        )
    return max(views, key=_apart)


def _apart(view: WorstFrame) -> float:
    """Pixels between truth and result."""
    return float(np.nan_to_num(mean_of(point_errors(view.found, view.true))))


def _points(result: RunData) -> tuple[FloatArray, FloatArray]:
    """Times (T,) and places (T, 22, 3), run's world, of a fitted body, or else of markers."""
    if result.body is not None:
        names, xyz = body_keypoints(load_anny(), result.body)
        return result.body.timeline.time, map_points(xyz, names, _TABLE)
    markers = result.markers.get("final") or result.markers.get("initial")
    if markers is None:
        raise InvalidData("A run without points has no worst frame.")
    return markers.timeline.time, map_points(markers.xyz, markers.names, _TABLE)


def _picture(video: Path, index: int) -> Picture:
    for frame in frames(video):
        if frame.index == index and frame.rgb is not None:
            return frame.rgb
    raise InvalidData(f"{video} has no frame {index}.")


def _drawn(picture: Picture, xy: FloatArray) -> Picture:
    """The picture, `_HIGH` pixels high, with a skeleton."""
    ratio = _HIGH / picture.shape[0]
    size = (round(ratio * picture.shape[1]), _HIGH)
    out = np.ascontiguousarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    _painter().draw(out, (xy + 0.5) * ratio - 0.5, np.ones(len(xy)))
    return out


def _from_side(worst: WorstFrame) -> Picture:
    """Both skeletons in a parallel view from the camera's right: depth to the right."""
    both = np.stack([worst.true_xyz, worst.found_xyz])[..., [2, 1]]
    known = both[np.isfinite(both).all(axis=-1)]
    low, high = known.min(axis=0), known.max(axis=0)
    scale = _FILLED * float((np.array([_SIDE, _HIGH]) / np.maximum(high - low, 1e-3)).min())
    true, found = (both - (low + high) / 2) * scale + np.array([_SIDE, _HIGH]) / 2
    out = np.full((_HIGH, _SIDE, 3), 255, np.uint8)
    _painter().draw(out, true, np.zeros(len(true)))  # pale
    _painter().draw(out, found, np.ones(len(found)))
    return out


def _painter() -> SkeletonPainter:
    return SkeletonPainter(_TABLE.points, _HIGH)


def _captioned(picture: Picture, caption: str) -> Picture:
    band = np.zeros((_BAND, picture.shape[1], 3), np.uint8)
    at, font = (8, _BAND - 9), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(band, caption, at, font, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([band, picture])
