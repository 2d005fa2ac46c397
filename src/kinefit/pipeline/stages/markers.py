"""Stage `markers`: from the fitted body to the initial markers and the anatomical ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kinefit.biomech.angles.intervals import marker_deviations, setup_of
from kinefit.biomech.angles.spread import AngleSpread
from kinefit.biomech.filter import butterworth
from kinefit.biomech.gaps import at_constant_rate, fill_gaps
from kinefit.biomech.markers import augment, final_names, force_complete, standard_markers
from kinefit.body.load import load_body
from kinefit.fit.mesh_markers import mesh_markers
from kinefit.io.body_npz import read_motion
from kinefit.io.c3d import MAX_FRAMES, write_c3d
from kinefit.io.tables import write_uncertainty_csv
from kinefit.io.trc import write_trc
from kinefit.pipeline.artifacts import load_arrays, load_markers, save_arrays, save_markers
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.context import Context
from kinefit.types import BoolArray, FloatArray, Markers, true_runs

# A limb that no camera sees is where the body model puts it. Within an arm's swing that is an
# interpolation; beyond a second it is a guess, given only if asked for.
_LONGEST_UNSEEN_S = 1.0


def markers(context: Context) -> None:
    """The 22 initial markers of the body, and the 43 anatomical ones; C3D on a constant clock."""
    config = context.config
    keypoints = load_markers(context.read_internal("keypoints.npz"))
    if not config.estimate_missing:
        keypoints = without_guesses(keypoints)
    initial = standard_markers(keypoints)
    spread: dict[str, FloatArray] = {}
    if config.markers == "mesh":
        final = _with_mesh_markers(context, _smooth(initial, config))
    else:
        draws = load_arrays(context.read_internal("draws.npz"))["draws"]
        final, spread = augmented(keypoints, draws, config)
    save_arrays(context.internal("angle_spread.npz"), spread)
    if final.sd is not None:
        save_arrays(context.internal("marker_spread.npz"), {"spread": final.sd})
    setup = setup_of(len(context.job.inputs), context.config.error_source)
    initial, final = (replace(m, sd=marker_deviations(m, setup)) for m in (initial, final))
    if config.force_complete:
        final = force_complete(final)
    save_markers(context.internal("initial.npz"), initial)
    save_markers(context.internal("final.npz"), final)
    write_trc(context.new("_initial.trc"), initial)
    write_trc(context.new("_final.trc"), final)
    write_uncertainty_csv(context.new("_final_uncertainty.csv"), final)
    time = final.timeline.time  # a C3D file has one clock, from frame 1 on, pauses included
    if (time[-1] - time[0]) * final.timeline.rate_hz < MAX_FRAMES - 1:
        write_c3d(context.new("_final.c3d"), at_constant_rate(final, config.max_gap))


def augmented(
    keypoints: Markers, draws: FloatArray, config: RunConfig
) -> tuple[Markers, dict[str, FloatArray]]:
    """Low-passed and with the LSTM augmenter's 43; and the spread of joint angles, degrees, over
    bodies as probable as the fitted one.

    draws: (D, T, K, 3) metres, by how much these move the keypoints.
    """
    smooth = _smooth(standard_markers(keypoints), config)
    spread = AngleSpread(smooth.timeline, final_names())
    final = augment(
        smooth,
        config.subject,
        cycles=config.augmentation_cycles,
        seed=config.seed,
        draws=_of_initial(keypoints, draws),
        on_pass=spread.add,
    )
    return final, spread.sd


def _smooth(initial: Markers, config: RunConfig) -> Markers:
    return butterworth(fill_gaps(initial, config.max_gap), config.cutoff_hz)


def _with_mesh_markers(context: Context, smooth: Markers) -> Markers:
    """With the markers that a laboratory would stick onto the fitted body."""
    config = context.config
    body = load_body(config.body, config.gender, child=config.child)
    placed = mesh_markers(body, read_motion(context.read_user("_body.npz")))
    placed = butterworth(placed, config.cutoff_hz)
    both = np.concatenate([smooth.xyz, placed.xyz], axis=1)
    flags = np.zeros(both.shape[:2], dtype=bool)
    flags[:, : len(smooth.names)] = smooth.estimated
    return Markers(smooth.timeline, (*smooth.names, *placed.names), both, flags)


def _of_initial(keypoints: Markers, draws: FloatArray) -> FloatArray:
    """(D, T, 22, 3) metres: what draws (D, T, K, 3) of the keypoints move the initial markers."""
    bare = Markers(keypoints.timeline, keypoints.names, keypoints.xyz)
    here = standard_markers(bare).xyz
    moved = (standard_markers(replace(bare, xyz=bare.xyz + draw)).xyz for draw in draws)
    return np.stack([there - here for there in moved])


def without_guesses(keypoints: Markers) -> Markers:
    """Keypoints unseen for longer than `_LONGEST_UNSEEN_S`, or never seen, are missing."""
    xyz = keypoints.xyz.copy()
    for j in range(len(keypoints.names)):
        xyz[_guessed(keypoints.timeline.time, keypoints.estimated[:, j]), j] = np.nan
    return replace(keypoints, xyz=xyz)


def _guessed(time: FloatArray, unseen: BoolArray) -> BoolArray:
    """(T,) frames in stretches without sight of a point that are too long, or all there is."""
    out = np.zeros(len(time), dtype=bool)
    for first, last in true_runs(unseen):
        if time[last - 1] - time[first] > _LONGEST_UNSEEN_S or unseen.all():
            out[first:last] = True
    return out
