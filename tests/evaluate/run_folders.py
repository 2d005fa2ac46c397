"""Folders of runs whose detector made no error: all later stages are the real ones."""

from __future__ import annotations

from pathlib import Path

from kinefit.pipeline import stages, view_stages
from kinefit.pipeline.artifacts import save_track
from kinefit.pipeline.config import run_config
from kinefit.pipeline.monocular import Monocular
from kinefit.pipeline.multiview import Multiview
from kinefit.pipeline.provenance import sha256_file, sha256_json
from kinefit.pipeline.publish import publish
from kinefit.pipeline.run import Run
from kinefit.pipeline.store import open_run
from kinefit.synth.truth import SceneTruth

from .scenes import track


def silent(stage: str, done: int, total: int) -> None:
    pass


def one_camera(scene: Path, truth: SceneTruth, out: Path, camera: str = "cam01") -> Path:
    """As `kinefit run cam01.mp4` leaves it."""
    video = scene / f"{camera}.mp4"
    sha256 = sha256_file(video)
    someone = truth.people[0]
    config = run_config({"height": someone.stature_m, "mass": someone.mass_kg, "overlay": False})
    with open_run(out, source=video, input_sha256=sha256, overwrite=False) as folder:
        run = Monocular(folder, config, camera, ((video.name, sha256),), silent, video, {})

        def detect() -> list[Path]:
            stored = folder.internal("track.npz")
            save_track(stored, track(truth, camera))
            return [stored]

        run.stage("detect", detect, {})
        run.stage("initial", lambda: stages.initial(run), {}, ("detect",))
        run.finish()
        publish(run)
    return out


def several_cameras(
    scene: Path,
    truth: SceneTruth,
    out: Path,
    *,
    whole: bool = True,
    offsets: str | None = None,
) -> Path:
    """As `kinefit run *.mp4 --calibration ...` leaves it; not `whole`: as a fit does."""
    videos = {name: scene / f"{name}.mp4" for name in truth.rig.names}
    hashes = {name: sha256_file(path) for name, path in videos.items()}
    sources = tuple((path.name, hashes[name]) for name, path in videos.items())
    someone = truth.people[0]
    config = run_config(
        {
            "height": someone.stature_m,
            "mass": someone.mass_kg,
            "overlay": False,
            "calibration": scene / "calibration.toml",
            "offsets": offsets,
        }
    )
    key = sha256_json(hashes)
    with open_run(out, source=scene, input_sha256=key, overwrite=False) as folder:
        run = Multiview(folder, config, "multiview", sources, silent, videos, {}, None)

        def detect() -> list[Path]:
            files = []
            for name in videos:
                files.append(folder.internal(f"track_{name}.npz"))
                save_track(files[-1], track(truth, name))
            return files

        run.stage("detect", detect, {})
        run.stage("triangulate", lambda: view_stages.triangulate_views(run), {}, ("detect",))
        run.stage("initial", lambda: view_stages.initial(run), {}, ("triangulate",))
        if whole:
            _finish(run)
    return out


def _finish(run: Run) -> None:
    run.finish()
    publish(run)
