"""Cases on true markers: the augmenter's 43, and OpenSim's joint angles, with nothing before them.

The markers are those of a body's skin, exact, so that errors are those of one stage alone. SD: of
angles about their mean difference, which definitions of axes always leave.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.suite.known_subjects import NAMES, KnownSubject, SubjectSpec, known_subject
from benchmarks.suite.measure import Measurement, Tolerance, mean_lines, seconds
from benchmarks.suite.peers import Peers
from kinefit.biomech.angles import joint_angles
from kinefit.biomech.angles.compare import compare
from kinefit.biomech.angles.coordinates import to_opensim
from kinefit.biomech.markers import augment
from kinefit.biomech.opensim import Options, inverse_kinematics_of_file
from kinefit.io.mot import MotTable, read_mot
from kinefit.io.trc import write_trc
from kinefit.metrics.points import point_errors
from kinefit.metrics.statistics import mean_of
from kinefit.types import FloatArray, Markers

_RATE_HZ = 60.0  # that of the augmenter's training: Pose2Sim does not resample
_LEGS = ("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle")
# Not the shoulder's: arms that are raised pass gimbal lock, where its three coordinates are noise.
_ELBOWS = ("elbow_flex", "pro_sup")
_NETWORK = Tolerance(
    "network", 0.02, 0.2, "onnxruntime's kernels round differently on other processors"
)
_OPTIMISER = Tolerance("optimiser", 0.05, 0.2, "OpenSim's optimiser stops within its own tolerance")


def augment_case(
    specs: Sequence[SubjectSpec], length_s: float, peers: Peers
) -> tuple[Measurement, ...]:
    """The 43 markers from the true 22, against those on the skin."""
    return mean_lines(_augment_lines(known_subject(s, length_s, _RATE_HZ), peers) for s in specs)


def _augment_lines(known: KnownSubject, peers: Peers) -> tuple[Measurement, ...]:
    truth = known.markers()
    initial = truth.select(NAMES)
    start = time.perf_counter()
    own = augment(initial, known.subject)
    took = time.perf_counter() - start
    theirs, their_s = peers.augmented(initial, known.subject)
    added = [name for name in truth.names if name not in NAMES]
    angles = to_opensim(joint_angles(truth))
    far, peer_far = (_error_mm(m, truth, added) for m in (own, theirs))
    legs, peer_legs = (_spread(_motion_of(m), angles, _LEGS) for m in (own, theirs))
    elbows, their_elbows = (_spread(_motion_of(m), angles, _ELBOWS) for m in (own, theirs))
    peer = peers.augmentation
    return (
        Measurement("markers, mean error", far, "mm", "lower", _NETWORK, {peer: peer_far}),
        Measurement("leg angles, SD", legs, "°", "lower", _NETWORK, {peer: peer_legs}),
        Measurement("elbow angles, SD", elbows, "°", "lower", _NETWORK, {peer: their_elbows}),
        seconds("augmentation", took, **{peer: their_s}),
    )


def kinematics_case(
    specs: Sequence[SubjectSpec], length_s: float, peers: Peers
) -> tuple[Measurement, ...]:
    """Scaling and inverse kinematics on the true 65 markers, against their ISB angles."""
    return mean_lines(_kinematics_lines(known_subject(s, length_s, _RATE_HZ), peers) for s in specs)


def _kinematics_lines(known: KnownSubject, peers: Peers) -> tuple[Measurement, ...]:
    truth = known.markers()
    start = time.perf_counter()
    own = _own_motion(known, truth)
    took = time.perf_counter() - start
    theirs, their_s = peers.moved(truth, known.subject)
    angles = to_opensim(joint_angles(truth))
    peer = peers.kinematics
    lines = [
        Measurement(
            f"{limbs} angles, {word}", measure(own, angles, names), "°", "lower", _OPTIMISER,
            {peer: measure(theirs, angles, names)},
        )
        for limbs, names in (("leg", _LEGS), ("elbow", _ELBOWS))
        for word, measure in (("RMSE", _rmse), ("SD", _spread))
    ]  # fmt: skip
    return (*lines, seconds("scaling and inverse kinematics", took, **{peer: their_s}))


def _own_motion(known: KnownSubject, markers: Markers) -> MotTable:
    with tempfile.TemporaryDirectory() as folder:
        trc = Path(folder) / "clip.trc"
        write_trc(trc, markers)
        options = Options(known.subject, model="simple")
        found = inverse_kinematics_of_file(trc, Path(folder) / "ik", options)
        (mot,) = (path for path in found.files if path.suffix == ".mot")
        return read_mot(mot)


def _motion_of(markers: Markers | None) -> MotTable | None:
    return None if markers is None else to_opensim(joint_angles(markers))


def _error_mm(markers: Markers | None, truth: Markers, names: Sequence[str]) -> float | None:
    if markers is None:
        return None
    found, true = (m.select(names).xyz for m in (markers, truth))
    return float(1000 * mean_of(point_errors(found, true)))


def _rmse(motion: MotTable | None, truth: MotTable, names: Sequence[str]) -> float | None:
    return _mean_over_joints(motion, truth, names, "rmse")


def _spread(motion: MotTable | None, truth: MotTable, names: Sequence[str]) -> float | None:
    return _mean_over_joints(motion, truth, names, "sd")


def _mean_over_joints(
    motion: MotTable | None, truth: MotTable, names: Sequence[str], what: str
) -> float | None:
    """Mean over both sides' coordinates; None as soon as one is missing: NaN never helps."""
    if motion is None:
        return None
    errors = compare(motion, truth)
    wanted = [f"{name}_{side}" for name in names for side in "rl"]
    values: FloatArray = np.array(
        [getattr(errors[n], what) if n in errors else None for n in wanted], np.float64
    )
    return float(values.mean())
