"""Where a person in one picture is and which way they face, by the torso's four points.

SMPLify's first steps (Bogo et al. 2016, ECCV, section 3.4). Nothing depends on the order of rows.

Pictures are on the plane z = 1: pixels from the principal point over the focal length, y down.
There, pictures of any size and lens have one camera: at the origin of the world, looking along -Z
with Y up, R = diag(1, -1, -1). The body at rest faces +Z, so it faces the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.fit.solver.chain import Chain, PointSum
from kinefit.fit.solver.minimise import Options, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import Objective, Position, Reprojection
from kinefit.geometry import rotations as so3
from kinefit.geometry.robust import GemanMcClure
from kinefit.types import Camera, CameraRig, FloatArray, IntArray, InvalidData

FACE = ("Nose", "LEye", "REye", "LEar", "REar")
TORSO = ("LShoulder", "RShoulder", "LHip", "RHip")
# Any two of four points: foreshortened edges are short in the picture and make a body seem far,
# wrong points make them anything. The median of six outlives two of the first or one of the second.
_EDGES = tuple((a, b) for i, a in enumerate(TORSO) for b in TORSO[i + 1 :])
_MIDDLE = "Torso"  # the mean of the four: the point whose depth similar triangles tell

FACING = np.diag([1.0, -1.0, -1.0])
_PICTURE = CameraRig((Camera("picture", (1, 1), np.eye(3), FACING, np.zeros(3)),))

# Four points in a plane, seen from afar, can be read several ways: the start that leads to the
# best of them is one of these turns from facing the camera.
_TURNS = np.radians([0.0, 90.0, 180.0, -90.0])
_STEPS = Options(most_steps=30, least_fall=1e-4)
# The spring of SMPLify and SMPLify-X: (100 (z - z0))^2 in pixels and metres.
_SPRING_PX_PER_M = 100.0
# Pixels beyond which a point is rather wrong than a reason to turn the body.
GEMAN_MCCLURE_PX = 100.0


@dataclass(frozen=True, eq=False)
class NormalizedKeypoints:
    """The keypoints of n persons in normalized image coordinates, ready to be fitted.

    names: K keypoints, the torso's among them. xy: (n, K, 2) on the plane z = 1, y down; NaN where
    not seen. weight: (n, K) of squared residuals. depth: (n,) metres to the middle of the torso.
    pixel: (n,) one standard pixel on the plane z = 1: a thousandth of the person's height.
    """

    names: tuple[str, ...]
    xy: FloatArray
    weight: FloatArray
    depth: FloatArray
    pixel: FloatArray

    def at(self, rows: IntArray) -> NormalizedKeypoints:
        return NormalizedKeypoints(
            self.names, self.xy[rows], self.weight[rows], self.depth[rows], self.pixel[rows]
        )


def pixels(keypoints: NormalizedKeypoints, columns: IntArray) -> Reprojection:
    """The keypoints in `columns`, which are also their places in the chain, in standard pixels.

    weight x Geman-McClure of the distance: the weight stands outside the kernel, so that a point
    that counts little costs little at most.
    """
    xy = keypoints.xy[:, None, columns]
    sigma = np.broadcast_to(keypoints.pixel[:, None, None], xy.shape[:3])
    kernel = GemanMcClure(GEMAN_MCCLURE_PX)
    return Reprojection(_PICTURE, xy, sigma, columns, kernel, keypoints.weight[:, None, columns])


def image_chain(body: BodyModel, names: Sequence[str]) -> Chain:
    """The body's anatomical joints, the keypoints `names`, and last the middle of the torso.

    Raises InvalidData for a body without anatomy, or without shoulders and hips.
    """
    if not body.anatomy or any(name not in body.regressors for name in TORSO):
        raise InvalidData(
            f"Body {body.name} cannot be fitted to pictures: it needs an anatomy map and the "
            f"keypoints {', '.join(TORSO)}."
        )
    points: dict[str, PointSum] = {name: {name: 1.0} for name in names}
    points[_MIDDLE] = dict.fromkeys(TORSO, 0.25)
    return Chain.of(body, [body.joint_names[0], *body.anatomy.values()], points)


def torso_depth(chain: Chain, xy: FloatArray) -> FloatArray:
    """(n,) metres to the torso by similar triangles, of points `xy` (n, K, 2) on the plane z = 1.

    The median over the torso's edges of 3D length / 2D length; NaN without an edge.
    """
    rest = State.rest(chain, 1).posed(chain).points[0]
    a, b = ([chain.column(edge[i]) for edge in _EDGES] for i in (0, 1))
    real = so3.norm(rest[a] - rest[b])
    seen = np.linalg.norm(xy[:, a] - xy[:, b], axis=-1)
    ratio = real / np.where(seen > 0, seen, np.nan)
    depth = np.full(len(xy), np.nan)
    some = np.isfinite(ratio).any(axis=1)
    depth[some] = np.nanmedian(ratio[some], axis=1)
    return depth


def shoulders_apart(keypoints: NormalizedKeypoints) -> FloatArray:
    """(n,) standard pixels between the shoulders; zero where one is not seen."""
    left, right = (keypoints.names.index(name) for name in TORSO[:2])
    apart = (
        np.linalg.norm(keypoints.xy[:, left] - keypoints.xy[:, right], axis=-1) / keypoints.pixel
    )
    return np.asarray(np.nan_to_num(apart))


def facing_away(state: State) -> State:
    """The bodies turned by half a turn about their own vertical."""
    rotations = state.rotations.copy()
    rotations[:, 0] = rotations[:, 0] @ so3.exp(np.array([0, np.pi, 0]))
    return replace(state, rotations=rotations)


def align_torso(chain: Chain, keypoints: NormalizedKeypoints, pose: FloatArray) -> State:
    """Translation and orientation by the torso, its depth held by a spring; one shape per pose.

    pose: (F, 3, 3) local rotations of the free joints; the root's is found here.
    """
    n, m = len(keypoints.xy), len(_TURNS)
    rows = np.repeat(np.arange(n), m)
    torso = np.array([chain.column(name) for name in TORSO])
    objective = Objective(points=(pixels(keypoints, torso), depth_spring(chain, keypoints)))
    root = np.arange(len(chain.joint_names)) == 0
    found = minimise(
        objective, Variables(chain, root), _starts(chain, keypoints, pose), _STEPS, rows
    )
    best = found.cost.reshape(n, m).argmin(axis=1) + m * np.arange(n)
    return found.state.at(best)


def depth_spring(chain: Chain, keypoints: NormalizedKeypoints) -> Position:
    """The torso's middle towards the depth that similar triangles tell: see `_SPRING_PX_PER_M`."""
    xyz = np.zeros((len(keypoints.xy), 1, 3))
    xyz[:, 0, 2] = -keypoints.depth
    along = np.diag([0.0, 0.0, _SPRING_PX_PER_M])
    return Position(xyz, along, np.array([chain.column(_MIDDLE)]))


def _starts(chain: Chain, keypoints: NormalizedKeypoints, pose: FloatArray) -> State:
    """Upright along the torso, in each of the turns, where the torso's middle is seen."""
    rows = np.repeat(np.arange(len(keypoints.xy)), len(_TURNS))
    turn = np.zeros((len(rows), 3))
    turn[:, 1] = np.tile(_TURNS, len(keypoints.xy))
    roll = np.zeros((len(rows), 3))
    roll[:, 2] = _lean(keypoints)[rows]
    state = State.rest(chain, len(rows), shape_each=True)
    rotations = state.rotations
    rotations[:] = pose
    rotations[:, 0] = so3.exp(roll) @ so3.exp(turn)
    middle = state.posed(chain).points[:, chain.column(_MIDDLE)]
    xy = np.nanmean(keypoints.xy[:, [keypoints.names.index(name) for name in TORSO]], axis=1)
    aim = np.stack([xy[:, 0], -xy[:, 1], -np.ones(len(xy))], axis=-1) * keypoints.depth[:, None]
    return State(rotations, aim[rows] - middle, state.shape, state.offset)


def _lean(keypoints: NormalizedKeypoints) -> FloatArray:
    """(n,) radians, anticlockwise in the picture, from upright to the line hips - shoulders."""
    shoulder, hip = (
        np.nanmean(keypoints.xy[:, [keypoints.names.index(name) for name in pair]], axis=1)
        for pair in (TORSO[:2], TORSO[2:])
    )
    right, down = np.moveaxis(shoulder - hip, -1, 0)
    return np.asarray(np.arctan2(-right, -down))
