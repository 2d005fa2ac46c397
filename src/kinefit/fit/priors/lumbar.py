"""How people share out bending forward between hips and lumbar spine.

Hips and shoulders say how the trunk leans, but not how the pelvis below it does: a body can bend
in the hips or in the spine, and with no more than a weak pull to standing upright three joints of
a spine take six sevenths of a bend. People do it with the hips mostly, the spine a fifth to a
third (lumbopelvic rhythm; Esola et al. 1996, Spine 21(1):71).

Measured, as the spine's share of the angle between thighs and trunk: 0.2 in one person's walking,
squats, rising and jumps from optical markers (OpenCap's Subject4; a line through all of it leaves
3 degrees rms of pelvic tilt), 0.3 to 0.4 in CMU's motion capture (7 degrees rms over all trials).
What it does to pelvic tilt: docs/measurements/mesh_markers.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from kinefit.fit.priors.joints import PriorJoints
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.terms import Rows
from kinefit.geometry.robust import L2, Kernel
from kinefit.types import FloatArray

_SPINE = ("Spine1", "Spine2", "Spine3")
_HIPS = ("LHip", "RHip")
_SHARE = 0.2  # of the angle between thighs and trunk
_RHYTHM_RAD = float(np.radians(4))
# Without it, a trunk that keypoints say is short is folded: 40 degrees one way, 20 the other.
_EVEN_RAD = float(np.radians(5))


@dataclass(frozen=True, eq=False)
class LumbarRhythm:
    """Linear in the angles of spine and hips, in standard deviations: the spine's flexion less its
    share of that of the hips (their mean); and neighbouring joints of the spine less one another.

    Zero in the fundamental standing position, in which people's pelvis tilts by 11 degrees
    (Levine & Whittle 1996, JOSPT 24(3):130), as the places of its markers on the body do.

    factors: (M, J, 3) of each joint's angles about X, Y, Z, per radian.
    """

    joints: PriorJoints
    factors: FloatArray
    kernel: Kernel = field(default_factory=L2)

    @classmethod
    def of(cls, chain: Chain, share: float = _SHARE) -> Self:
        """For a chain that moves both hips; raises InvalidData for one that does not."""
        known = PriorJoints.of(chain).names
        spine = [name for name in _SPINE if name in known]
        joints = PriorJoints.of(chain, [*spine, *_HIPS])
        rhythm = np.zeros((1, len(joints.names), 3))
        # The spine's flexion is negative about Z, the hips' positive.
        rhythm[0, : len(spine), 2] = -1 / _RHYTHM_RAD
        rhythm[0, len(spine) :, 2] = -share / (1 - share) / len(_HIPS) / _RHYTHM_RAD
        even = np.zeros((max(len(spine) - 1, 0), 3, len(joints.names), 3))
        for i in range(len(even)):
            even[i, range(3), i, range(3)] = 1 / _EVEN_RAD
            even[i, range(3), i + 1, range(3)] = -1 / _EVEN_RAD
        return cls(joints, np.concatenate([rhythm, even.reshape(-1, len(joints.names), 3)]))

    def residual(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        """(T, M, 1)."""
        angles = self.joints.angles(rotations)
        return np.asarray(np.einsum("mja,tja->tm", self.factors, angles)[..., None])

    def jacobian(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        blocks = self.joints.angle_blocks(self.joints.angles(rotations))
        each = np.einsum("mja,tjab->tjmb", self.factors, blocks)
        return self.joints.gathered(each)[:, :, None]
