"""Several networks as one: where one is far off, the others mostly are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kinefit.lift.lifter import Lifted, Lifter
from kinefit.types import FloatArray, PoseTrack

# Of the members' mean variance: held-out renders, squared error over spread; see `_together`.
_VARIANCE = 0.7


@dataclass(frozen=True)
class Ensemble:
    """The mean of the directions that `members` answer, weighted by their precision, of limbs that
    all know; all else is the first one's. It is asked twice: without the detector's own 3D, too,
    which can mislead it.

    Degrees, 14 limbs, on held-out renders (uneven ground, soccer) and two real people in four
    views: the first member alone 10.1, 10.5, 10.5, 15.1; with two others that see single frames, as
    shipped, 9.8, 10.4, 10.6, 12.2.
    """

    members: Sequence[Lifter]
    name: str = "ensemble"

    def lift(self, track: PoseTrack, K: FloatArray) -> Lifted:
        """As `Lifter.lift`; raises as the members do."""
        said = [member.lift(track, K) for member in self.members]
        if track.body is not None:
            said.append(self.members[0].lift(replace(track, body=None), K))
        count = min(one.directions.shape[1] for one in said)
        directions, sd = np.array(said[0].directions), np.array(said[0].sd)
        directions[:, :count], sd[:, :count] = _together(
            np.stack([one.directions[:, :count] for one in said]),
            np.stack([one.sd[:, :count] for one in said]),
        )
        return replace(said[0], directions=directions, sd=sd)


def _together(directions: FloatArray, sd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Unit vectors (T, L, 3) and radians (T, L) of M answers (M, T, L, 3), (M, T, L).

    Errors of networks that look at the same points are nearly the same: the mean's variance is
    nearly theirs, and grows where they disagree.
    """
    weight = sd**-2.0
    share = weight / weight.sum(axis=0)
    mean = (share[..., None] * directions).sum(axis=0)
    length = np.linalg.norm(mean, axis=-1)
    variance = _VARIANCE / weight.mean(axis=0) + (1 - length)
    return mean / np.maximum(length, 1e-9)[..., None], np.sqrt(variance)
