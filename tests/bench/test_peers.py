"""Pose2Sim on data whose answer is known: it is asked the right thing, and read rightly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from kinefit.bench.ladders import Errors, detected
from kinefit.bench.peers import POSE2SIM, Peers
from kinefit.bench.subjects import NAMES, Performer, Role, perform, ring
from kinefit.types import CameraRig

if find_spec("Pose2Sim") is None:
    pytest.skip("Pose2Sim is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    with Peers() as found:
        yield found


@pytest.fixture(scope="module")
def performer() -> Performer:
    return perform(Role("walk", 1), 0.7)


@pytest.fixture(scope="module")
def rig(performer: Performer) -> CameraRig:
    """Without distortion, which Pose2Sim by default takes no notice of."""
    cameras = ring(performer, 3)
    return CameraRig(tuple(replace(camera, distortion=np.zeros(0)) for camera in cameras))


def test_exact_points_come_back_in_their_frames(
    peers: Peers, performer: Performer, rig: CameraRig
) -> None:
    given = detected(performer, rig, Errors(noise=0.0, tail=0.0))
    xy, score = given.xy.copy(), given.score.copy()
    xy[:, :3], score[:, :3] = np.nan, 0.0  # nobody at the start: it leaves such frames out
    found, took = peers.triangulated(replace(given, xy=xy, score=score), performer.timeline)
    assert found is not None
    assert took is not None
    assert took > 0
    assert np.isnan(found[:3]).all()
    # Its TRC has 5 decimals at least; a frame's shift would be 40 mm of walking.
    assert np.abs(found[3:] - performer.truth[3:]).max() < 1e-3


def test_augmented_markers_are_where_the_body_is(peers: Peers, performer: Performer) -> None:
    truth = performer.markers()
    found, _ = peers.augmented(truth.select(NAMES), performer.subject)
    assert found is not None
    assert set(truth.names) <= set(found.names)
    off = np.linalg.norm(found.select(truth.names).xyz - truth.xyz, axis=-1)
    assert np.nanmedian(off) < 0.1


def test_a_peer_that_fails_is_said_and_does_no_harm(performer: Performer) -> None:
    with Peers() as peers:
        markers = performer.markers()
        headless = markers.select([name for name in markers.names if name == "Nose"])
        assert peers.augmented(headless, performer.subject) == (None, None)
        assert "augmentation failed" in peers.versions[POSE2SIM]
