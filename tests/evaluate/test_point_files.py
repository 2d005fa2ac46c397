"""Points of any two files against one another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.evaluate.point_files import (
    ALIGNMENTS,
    Points,
    compare_points,
    read_points,
    score_poses,
)
from kinefit.geometry import rotations as so3
from kinefit.io.body_npz import write_motion
from kinefit.io.c3d import write_c3d
from kinefit.io.calibration import write_calibration
from kinefit.io.trc import write_trc
from kinefit.pipeline.config import ViewOptions
from kinefit.pipeline.triangulation import triangulate_file
from kinefit.synth.truth import write_truth
from kinefit.types import InputError, Markers, Timeline

from .scenes import RATE, Moved, person, scene


def truth() -> Points:
    markers = scene().people[0].markers
    return Points(markers.timeline.time, markers.names, markers.xyz)


def moved(by: Moved) -> Points:
    return truth()._replace(xyz=by(truth().xyz))


@pytest.mark.parametrize("align", ALIGNMENTS)
def test_points_against_themselves(align: str) -> None:
    found = compare_points(truth(), truth(), align)  # type: ignore[arg-type]
    assert found["aligned"]["by"] == align
    assert found["aligned"]["error_mm"]["max"] == pytest.approx(0, abs=1e-6)
    assert found["aligned"]["acceleration_m_s2"]["max"] == pytest.approx(0, abs=1e-6)


def test_each_alignment_takes_away_what_it_may() -> None:
    turn = so3.exp(np.array([0.1, 0.3, -0.2]))
    shift, turned, larger = (
        moved(Moved(np.eye(3), np.array([0.1, 0, 0]))),
        moved(Moved(turn, np.array([0.1, 0, 0]))),
        moved(Moved(turn, np.array([0.1, 0, 0]), 1.05)),
    )
    gone = {
        ("none", "shift"): False, ("root", "shift"): True, ("rigid", "shift"): True,
        ("root", "turned"): False, ("rigid", "turned"): True, ("similarity", "turned"): True,
        ("rigid", "larger"): False, ("similarity", "larger"): True,
    }  # fmt: skip
    for (align, name), is_gone in gone.items():
        points = {"shift": shift, "turned": turned, "larger": larger}[name]
        error = compare_points(points, truth(), align)["aligned"]["error_mm"]["mean"]  # type: ignore[arg-type]
        assert (error < 1e-6) is is_gone, (align, name, error)


def test_other_moments_are_interpolated() -> None:
    time = (np.arange(2, 20) + 0.37) / RATE
    markers = person(time).markers
    found = compare_points(Points(time, markers.names, markers.xyz), truth())
    # Cubic splines through 30 Hz; the nearest frame would be 10 mm off.
    assert found["aligned"]["error_mm"]["max"] < 0.1
    assert found["frames"] == 18


def test_a_gap_of_the_reference_is_not_bridged() -> None:
    holed = truth().xyz.copy()
    holed[8:10, 3] = np.nan
    found = compare_points(truth(), truth()._replace(xyz=holed))
    assert found["aligned"]["error_mm"]["missing"] == 2
    assert found["aligned"]["error_mm"]["max"] == pytest.approx(0, abs=1e-9)


def write_all(folder: Path) -> dict[str, Path]:
    """The same points in files of every kind."""
    known = scene(views=3)
    someone = known.people[0]
    paths = {k: folder / f"a.{k}" for k in ("trc", "c3d")}
    paths |= {k: folder / f"{k}.npz" for k in ("bundle", "motion", "truth")}
    write_trc(paths["trc"], someone.markers)
    write_c3d(paths["c3d"], someone.markers)
    write_motion(paths["motion"], someone.motion)
    write_truth(paths["truth"], known)
    write_calibration(folder / "rig.toml", known.rig, "aniposelib")
    rows = ["frame,camera,point,x,y"]
    for view in known.views:
        for k, frame in enumerate(view.xy[0]):
            rows += [
                f"{k},{view.camera.name},{name},{x:.9f},{y:.9f}"
                for name, (x, y) in zip(known.point_names, frame, strict=True)
            ]
    (folder / "points.csv").write_text("\n".join(rows))
    triangulate_file(
        folder / "points.csv", paths["bundle"], ViewOptions(calibration=folder / "rig.toml"),
        rate_hz=RATE,
    )  # fmt: skip
    return paths


def test_files_of_every_kind(tmp_path: Path) -> None:
    paths = write_all(tmp_path)
    for kind, path in paths.items():
        found = score_poses(path, paths["truth"])
        # A TRC file holds micrometres, a C3D file millimetres in single precision.
        assert found["aligned"]["error_mm"]["max"] < 0.01, kind
        assert found["points"] >= 29, kind
    nothing = tmp_path / "x.npz"
    np.savez(nothing, a=np.zeros(3))
    for wrong in (nothing, tmp_path / "x.txt"):
        with pytest.raises(InputError) as caught:
            read_points(wrong)
        assert caught.value.hint


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    markers = scene().people[0].markers
    path, other, late = (tmp_path / f"{n}.trc" for n in ("a", "other", "late"))
    write_trc(path, markers)
    write_trc(other, Markers(markers.timeline, ("x", "y", "z"), markers.xyz[:, :3]))
    write_trc(late, Markers(Timeline.regular(24, RATE, 900), markers.names, markers.xyz))
    with pytest.raises(InputError, match="No common point"):
        score_poses(path, other)
    with pytest.raises(
        InputError, match=r"No common times: .* s against 30 to .* s of the reference"
    ):
        score_poses(path, late)
    without = markers.select([n for n in markers.names if "Hip" not in n])
    write_trc(other, without)
    with pytest.raises(InputError, match="No hips"):
        score_poses(other, path, "root")


def test_a_wrong_unit_is_an_error_like_another(tmp_path: Path) -> None:
    markers = scene().people[0].markers
    write_trc(tmp_path / "a.trc", markers)
    write_trc(tmp_path / "b.trc", Markers(markers.timeline, markers.names, 100 * markers.xyz))
    found = score_poses(tmp_path / "b.trc", tmp_path / "a.trc")
    assert found["aligned"]["error_mm"]["mean"] > 10_000
