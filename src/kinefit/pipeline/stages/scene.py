"""Stage `scene`: what the viewer shows, from the files that were written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from kinefit.body.load import load_body
from kinefit.body.model import BodyModel
from kinefit.export.motion_files import skinned_mesh
from kinefit.io.atomic import atomic_path
from kinefit.io.body_npz import read_motion
from kinefit.io.calibration import read_calibration
from kinefit.io.gltf import glb_bytes
from kinefit.io.observations import load_observations
from kinefit.pipeline.artifacts import load_arrays, load_markers
from kinefit.pipeline.context import CLIP_OPTIONS, Context
from kinefit.render.mannequin import mannequin
from kinefit.render.tiles import playing_slowmo
from kinefit.report.scene import Figure, Points, Scene, pack_scene
from kinefit.skeletons.limbs import limbs
from kinefit.types import BodyMotion, FloatArray, Markers, Observations, Timeline, all_finite

OPTIONS = ("body", "gender", "child", *CLIP_OPTIONS)
SCENE = "scene.bin"
_MOST_POSES = 10_000  # of a page: 17 MB before packing; of longer recordings every second, or fewer
_BONES = ("long", "girdle", "trunk", "foot")
_QUIET, PURPLE = "#8a94a0", "#7a3e9d"  # of what came before; of markers


def scene(context: Context) -> None:
    """`.kinefit/scene.bin`."""
    config, job = context.config, context.job
    body = load_body(config.body, config.gender, child=config.child)
    motion = read_motion(context.read_user("_body.npz"))
    observed = load_observations(context.read_internal("observations.npz"))
    keypoints = load_markers(context.read_internal("keypoints.npz"))
    skeleton = points_of("Skeleton", keypoints, shown=False)
    if context.has_internal("draws.npz"):
        _, correlation = _spread(_covariance(context.read_internal("draws.npz")))
        skeleton = replace(skeleton, correlation=correlation)
    points = [skeleton]
    if context.has_internal("final.npz"):
        final = load_markers(context.read_internal("final.npz"))
        points.append(points_of("Markers", final, but=keypoints.names, color=PURPLE, shown=False))
    points.append(_before(observed))
    slowmo = 1.0 if job.kind == "bundle" else playing_slowmo(tuple(context.clips.values()))
    shown = Scene(
        title=job.stem,
        timeline=keypoints.timeline,
        figures=[figure_of(body, motion)],
        points=points,
        cameras=read_calibration(context.read_internal("fitted_cameras.toml")).rig.cameras,
        standing={
            name: observed.contact[:, i]
            for i, name in enumerate(observed.contact_names)
            if name in keypoints.names
        },
        slowmo=slowmo,
    )
    with atomic_path(context.internal(SCENE)) as temporary:
        temporary.write_bytes(pack_scene(shown))


def figure_of(body: BodyModel, motion: BodyMotion, label: str = "Body") -> Figure:
    """The body as a dressed mannequin (`kinefit.render.mannequin`)."""
    vertices, colors = mannequin(body, motion.shape)
    mesh = replace(skinned_mesh(body, motion.shape, 4), vertices=vertices, colors=colors)
    return Figure(label, glb_bytes(mesh, _thinned(motion)), all_finite(motion.translation))


def _thinned(motion: BodyMotion) -> BodyMotion:
    every = slice(None, None, -(-len(motion.timeline) // _MOST_POSES))
    clock = Timeline(motion.timeline.frame[every], motion.timeline.time[every])
    rotations, translation = motion.rotations[every], motion.translation[every]
    return replace(motion, timeline=clock, rotations=rotations, translation=translation)


def points_of(
    label: str, markers: Markers, *, but: tuple[str, ...] = (), color: str = "#0072b2",
    shown: bool = True,
) -> Points:  # fmt: skip
    """A set of markers but for some, with the bones between those that have a point's name."""
    names = tuple(name for name in markers.names if name not in but)
    columns = [markers.names.index(name) for name in names]
    sd = None if markers.sd is None else markers.sd[:, columns]
    xyz = markers.xyz[:, columns]
    return Points(label, names, xyz, _bones(names), color, sd, shown=shown)


def _before(observed: Observations) -> Points:
    """What the fit began with: points as they were triangulated, with their covariance, or as one
    camera's detector has them."""
    sd, correlation, label = None, None, "Before the fit"
    if observed.covariance is not None:
        label = "Triangulated"
        sd, correlation = _spread(observed.covariance)
    names = observed.names
    return Points(label, names, observed.xyz, _bones(names), _QUIET, sd, correlation, shown=False)


def _covariance(draws_file: Path) -> FloatArray:
    """(T, K, 3, 3) square metres, of the keypoints' draws, whose mean is 0."""
    draws = load_arrays(draws_file)["draws"]
    return np.asarray(np.einsum("dtki,dtkj->tkij", draws, draws) / len(draws), np.float64)


def _spread(covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`sd` and `correlation` of `Points`, of (T, P, 3, 3) square metres; what has no spread has
    no correlation."""
    sd = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = covariance / (sd[..., :, None] * sd[..., None, :])
    pairs = np.stack([whole[..., 0, 1], whole[..., 0, 2], whole[..., 1, 2]], axis=-1)
    return sd, np.where(np.isfinite(pairs), np.clip(pairs, -1, 1), np.nan)


def _bones(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(b.start, b.end) for b in limbs(*_BONES) if b.start in names and b.end in names]
