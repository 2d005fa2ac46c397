"""Pose2Sim on data whose answer is known: it is asked the right thing, and read rightly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks.suite.known_subjects import NAMES, KnownSubject, SubjectSpec, known_subject, ring
from benchmarks.suite.noise_levels import Errors, detected
from benchmarks.suite.peers import POSE2SIM, Peers
from kinefit.types import CameraRig

if find_spec("Pose2Sim") is None:
    pytest.skip("Pose2Sim (the group oracles) is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    with Peers() as found:
        yield found


@pytest.fixture(scope="module")
def known() -> KnownSubject:
    return known_subject(SubjectSpec("walk", 1), 0.7)


@pytest.fixture(scope="module")
def rig(known: KnownSubject) -> CameraRig:
    """Without distortion, which Pose2Sim by default takes no notice of."""
    cameras = ring(known, 3)
    return CameraRig(tuple(replace(camera, distortion=np.zeros(0)) for camera in cameras))


def test_exact_points_come_back_in_their_frames(
    peers: Peers, known: KnownSubject, rig: CameraRig
) -> None:
    given = detected(known, rig, Errors(noise=0.0, tail=0.0))
    xy, score = given.xy.copy(), given.score.copy()
    xy[:, :3], score[:, :3] = np.nan, 0.0  # nobody at the start: it leaves such frames out
    found, took = peers.triangulated(replace(given, xy=xy, score=score), known.timeline)
    assert found is not None
    assert took is not None
    assert took > 0
    assert np.isnan(found[:3]).all()
    # Its TRC has 5 decimals at least; a frame's shift would be 40 mm of walking.
    assert np.abs(found[3:] - known.truth[3:]).max() < 1e-3


def test_augmented_markers_are_where_the_body_is(peers: Peers, known: KnownSubject) -> None:
    truth = known.markers()
    found, _ = peers.augmented(truth.select(NAMES), known.subject)
    assert found is not None
    assert set(truth.names) <= set(found.names)
    off = np.linalg.norm(found.select(truth.names).xyz - truth.xyz, axis=-1)
    assert np.nanmedian(off) < 0.1


def test_a_peer_that_fails_is_said_and_does_no_harm(known: KnownSubject) -> None:
    with Peers() as peers:
        markers = known.markers()
        headless = markers.select([name for name in markers.names if name == "Nose"])
        assert peers.augmented(headless, known.subject) == (None, None)
        assert "augmentation failed" in peers.versions[POSE2SIM]
