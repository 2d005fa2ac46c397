"""A body in single pictures: SMPLify, for any number of persons and pictures at once.

Bogo et al. 2016 (ECCV, "Keep it SMPL"): the depth by similar triangles, translation and orientation
by the torso, then pose and shape in four stages in which priors give way to the keypoints.

The published weights belong to pixels: residuals are squared, so that a weight of 404 means 404
pixels for each standard deviation of a pose. Here they belong to pixels of a person a thousand
pixels high ("standard pixels", by the depth that is found first), as SMPLify-X multiplies by
1000 / height of the picture: however large a person is in the picture, the result is the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.fit.priors import (
    AngleMagnitude,
    Bending,
    Capsules,
    Interpenetration,
    Mixture,
    PriorJoints,
)
from kinefit.fit.recipes.image_start import (
    FACE,
    FACING,
    TORSO,
    NormalizedKeypoints,
    align_torso,
    depth_spring,
    facing_away,
    image_chain,
    pixels,
    shoulders_apart,
    torso_depth,
)
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, Solution, cost, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import Objective, PoseTerm, ShapePrior
from kinefit.geometry.projection import project
from kinefit.types import (
    BodyMotion,
    BoolArray,
    Camera,
    FloatArray,
    IntArray,
    InvalidData,
    Keypoints2D,
    Timeline,
    all_finite,
)
from kinefit.types.arrays import check_names, freeze, frozen_array

DEFAULT_FOCAL_PX = 5000.0  # SMPLify's, where nothing is known of the camera
_FEWEST = 6  # points seen, for a pose to be more than its prior
_FEWEST_TORSO = 3  # of four
_FARTHEST = 10.0  # times the picture's longer side from its centre: no point of a person in it
_LEAST_TALL_PX = 10.0  # of a person, for a pose to be seen
_NEAREST_M = 0.5  # from a camera to a torso that is whole in its picture
_OTHERS_RAD = 0.3  # one standard deviation of joints that the mixture does not know
_TIE = 1e-6  # nats: of a pair's two Gaussians, which differ by the weights' 32 bits
_STEPS = Options(most_steps=40, least_fall=1e-4)


@dataclass(frozen=True)
class Stage:
    """Weights of one stage, in standard pixels.

    pose: per standard deviation of the pose prior. shape: of each shape parameter. collision: per
    metre of one limb in another. held: whether the translation stays where the torso has it; if
    not, a spring holds its depth.
    """

    pose: float
    shape: float
    collision: float = 1000.0
    held: bool = True

    @property
    def bending(self) -> float:
        """Of 10 exp(-flexion) at elbows and knees: SMPLify's share of the pose prior's."""
        return 0.317 * self.pose


# SMPLify never lets the translation go; here the last stage does, as the torso's depth comes from a
# neutral body. In 94 pictures of a real person the error falls from 75 to 72 mm (mean PA-MPJPE
# against triangulation). Without the spring, bodies from 1.45 to 2.07 m fit the same person.
SMPLIFY_STAGES = (
    Stage(404, 100),
    Stage(404, 50),
    Stage(57.4, 10),
    Stage(4.78, 5, held=False),
)


@dataclass(frozen=True)
class ImageOptions:
    """How a picture is fitted.

    stages: one after the other, each from where the last ended.
    orientation_ambiguity_px: shoulders nearer to each other than this do not say which way the
    person faces; both are fitted and the better one is kept. SMPLify's 25 pixels are a sixth of the
    height of its persons (LSP: about 150 pixels), so 167 standard ones. Of 60 made-up bodies seen
    from the side, 5 end facing the other way with 25 standard pixels, 1 with 75, none with 167.
    face_weight: how much keypoints of the face count (hair and hats deceive detectors).
    most_off_px, least_share: at least this share of the points seen must lie this near to the
    body, in standard pixels, or the fit is refused.
    """

    stages: tuple[Stage, ...] = SMPLIFY_STAGES
    orientation_ambiguity_px: float = 167.0
    face_weight: float = 0.3
    most_off_px: float = 50.0
    least_share: float = 0.5


@dataclass(frozen=True, eq=False)
class ImagePoints:
    """Keypoints of N persons, each in one picture; several may be in the same.

    names: J keypoints. xy: (N, J, 2) pixels, x right, y down, centres at integers; NaN where not
    seen. score: (N, J) confidence in 0..1; other values count as 0.
    image_size: (N, 2) width and height in pixels, or one (2,) for all.
    focal_px: (N,) or one for all, pixels; the principal point is the picture's centre.
    """

    names: tuple[str, ...]
    xy: FloatArray
    score: FloatArray
    image_size: FloatArray
    focal_px: FloatArray

    def __post_init__(self) -> None:
        names = check_names("ImagePoints", self.names)
        xy = np.array(self.xy, dtype=np.float64)
        N, J = len(xy), len(names)
        xy = frozen_array("ImagePoints", "xy", np.where(np.isfinite(xy), xy, np.nan), (N, J, 2))
        score = np.nan_to_num(np.array(self.score, np.float64), nan=0, posinf=0, neginf=0)
        score = frozen_array("ImagePoints", "score", np.clip(score, 0, 1), (N, J))
        size, focal = np.array(self.image_size, np.float64), np.array(self.focal_px, np.float64)
        if size.shape not in ((2,), (N, 2)) or focal.shape not in ((), (N,)):
            raise InvalidData("ImagePoints needs one image_size and focal_px for all, or for each.")
        for name, value in (("image_size", size), ("focal_px", focal)):
            if not (np.isfinite(value).all() and (value > 0).all()):
                raise InvalidData(f"ImagePoints.{name} must be positive, got {value.tolist()}.")
        size = frozen_array("ImagePoints", "image_size", np.broadcast_to(size, (N, 2)), (N, 2))
        focal = frozen_array("ImagePoints", "focal_px", np.broadcast_to(focal, N), (N,))
        freeze(self, names=names, xy=xy, score=score, image_size=size, focal_px=focal)

    @classmethod
    def of(cls, keypoints: Keypoints2D, focal_px: float | None = None) -> ImagePoints:
        """Each frame of a video as a picture by itself. focal_px None: 5000."""
        size = np.array(keypoints.image_size, dtype=np.float64)
        focal = np.array(DEFAULT_FOCAL_PX if focal_px is None else focal_px)
        return cls(keypoints.names, keypoints.xy, keypoints.score, size, focal)

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def centre(self) -> FloatArray:
        """(N, 2) pixels: the principal points."""
        return np.asarray((self.image_size - 1) / 2)


@dataclass(frozen=True, eq=False)
class ImageFit:
    """Bodies in pictures; N rows as in the points. NaN in rows that have a reason.

    body: the model. names: K keypoints that were fitted. image_size, focal_px: as given.
    rotations: (N, B, 3, 3) local. translation: (N, 3) metres, in a world with the camera at its
    origin that looks along -Z with Y up (x right, y up, -z ahead). shape: (N, S).
    residual_px: (N, K) from keypoints to the body, pixels of the picture; NaN where not seen.
    loss: (N, 2) what the last stage left, in squared standard pixels: of the orientation that the
    torso led to, and of it turned by half a turn about the body's vertical; NaN where not tried.
    converged: (N,) whether the last stage came to an end.
    reason: why there is no pose, "" where there is one.
    """

    body: BodyModel
    names: tuple[str, ...]
    image_size: FloatArray
    focal_px: FloatArray
    rotations: FloatArray
    translation: FloatArray
    shape: FloatArray
    residual_px: FloatArray
    loss: FloatArray
    converged: BoolArray
    reason: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.reason)

    @property
    def flipped(self) -> BoolArray:
        """(N,) whether the orientation turned by half a turn won."""
        return np.asarray(self.loss[:, 1] < self.loss[:, 0])

    @property
    def margin(self) -> FloatArray:
        """(N,) by how much the better orientation won, of the other's loss; NaN without another."""
        return np.asarray(1 - self.loss.min(axis=1) / self.loss.max(axis=1))

    def camera(self, i: int) -> Camera:
        """The camera of picture `i` in the world in which the body stands where it is at rest.

        This is SMPLify's result: a camera, and a body without translation. Raises InvalidData for
        a picture without a pose.
        """
        self._check(i)
        return replace(self.view(i), t=FACING @ self.translation[i])

    def view(self, i: int) -> Camera:
        """The camera of picture `i` at the origin of the world in which `motion` moves.

        Raises InvalidData for a picture without a pose.
        """
        self._check(i)
        return self._view(i)

    def motion(self, i: int) -> BodyMotion:
        """The pose of picture `i` as a motion of one frame; raises InvalidData without a pose."""
        self._check(i)
        space = self.body.shape
        return BodyMotion(
            self.body.name, Timeline.regular(1, 1.0), self.body.joint_names,
            self.rotations[i, None], self.translation[i, None], self.shape[i], space.names,
        )  # fmt: skip

    def project(self, i: int, xyz: FloatArray) -> FloatArray:
        """(..., 2) pixels in picture `i` of points (..., 3) metres of its world."""
        return project(self._view(i), xyz)

    def _view(self, i: int) -> Camera:
        width, height = (int(n) for n in self.image_size[i])
        x, y = (self.image_size[i] - 1) / 2
        f = self.focal_px[i]
        K = np.array([[f, 0, x], [0, f, y], [0, 0, 1]])
        return Camera(f"picture{i}", (width, height), K, FACING, np.zeros(3))

    def _check(self, i: int) -> None:
        if self.reason[i]:
            raise InvalidData(f"Picture {i} has no pose: {self.reason[i]}.")


@dataclass(frozen=True, eq=False)
class SmplifyPrior:
    """What is known of poses before a picture is seen: a mixture of poses, elbows and knees that
    do not bend back, limbs outside one another.

    Joints that the mixture does not know (toes) are drawn to where people stand with them.
    """

    chain: Chain
    mixture: Mixture
    bending: Bending
    capsules: Capsules

    @classmethod
    def of(cls, chain: Chain) -> SmplifyPrior:
        return cls(chain, Mixture.of(chain), Bending.of(chain), Capsules.of(chain))

    @property
    def mean(self) -> FloatArray:
        """(F, 3, 3) local rotations of the chain's joints while the body is being aligned."""
        density = self.mixture.density
        return self._pose(density.weights @ density.means)

    @property
    def starts(self) -> FloatArray:
        """(M, F, 3, 3) poses that stages may begin with: of each person, the one that is nearest
        to the keypoints. Means of the Gaussians that measure the mixture's mean, where SMPLify
        begins.

        There are two: Gaussians come in pairs that mirror each other, and the mean has no side.
        Starting there, rounding would choose the side, and the first stage would keep to it.
        """
        density = self.mixture.density
        off = density.distances((density.weights @ density.means)[None])[0]
        distance = (off**2).sum(axis=-1) / 2 - density.log_factors
        nearest = distance <= distance.min() + _TIE
        return np.stack([self._pose(mean) for mean in density.means[nearest]])

    def _pose(self, rotvecs: FloatArray) -> FloatArray:
        """(F, 3, 3) local rotations of a pose of the mixture."""
        joints = self.mixture.joints
        out = np.broadcast_to(np.eye(3), (len(self.chain.joint_names), 3, 3)).copy()
        out[joints.column] = joints.rotations(rotvecs.reshape(-1, 3))
        return out

    def terms(self, stage: Stage, shape: FloatArray) -> tuple[PoseTerm, ...]:
        """Of a stage that begins with shapes (n, S), one per row."""
        known = self.mixture.density.names
        others = dict.fromkeys(PriorJoints.of(self.chain).names, _OTHERS_RAD / stage.pose)
        others |= dict.fromkeys(known, np.inf)
        return (
            replace(self.mixture, weight=stage.pose),
            AngleMagnitude.of(self.chain, special=others),
            replace(self.bending, weight=stage.bending),
            Interpenetration(self.capsules, shape, 1 / stage.collision),
        )


def fit_image(
    body: BodyModel, points: ImagePoints, options: ImageOptions | None = None
) -> ImageFit:
    """A body for each person; see the module.

    Persons do not know of one another: one that cannot be fitted has a reason, and the others are
    what they would be without it. Raises InvalidData for a body without shoulders, hips or anatomy.
    """
    options = options or ImageOptions()
    names = tuple(name for name in points.names if name in body.regressors)
    names = (*names, *(name for name in TORSO if name not in names))
    chain = image_chain(body, names)
    keypoints = _normalized(chain, names, points, options)
    reason = _reasons(keypoints, points.focal_px)
    rows = np.flatnonzero([not why for why in reason])
    fit = _empty(chain, keypoints, points, reason)
    if len(rows):
        known = SmplifyPrior.of(chain)
        start = align_torso(chain, keypoints.at(rows), known.mean)
        apart = shoulders_apart(keypoints.at(rows))
        near = np.flatnonzero(apart < options.orientation_ambiguity_px)
        start = State.joined([start, facing_away(start.at(near))])
        rows_of = np.append(rows, rows[near])
        start = _nearest(chain, keypoints.at(rows_of), start, known.starts)
        found = _staged(chain, keypoints.at(rows_of), start, known, options)
        fit = _filled(fit, chain, keypoints, rows, near, found, options)
    return fit


def _normalized(
    chain: Chain, names: tuple[str, ...], points: ImagePoints, options: ImageOptions
) -> NormalizedKeypoints:
    """The points that are usable, on the plane z = 1; depth NaN where the torso shows none."""
    N, K = len(points), len(names)
    xy, weight = np.full((N, K, 2), np.nan), np.zeros((N, K))
    off = points.xy - points.centre[:, None]
    farthest = _FARTHEST * points.image_size.max(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        near = np.linalg.norm(off, axis=-1) <= farthest[:, None]
    used = near & (points.score > 0)
    plane = np.where(used[..., None], off, np.nan) / points.focal_px[:, None, None]
    for k, name in enumerate(names):
        if name in points.names:
            j = points.names.index(name)
            share = options.face_weight if name in FACE else 1.0
            xy[:, k] = plane[:, j]
            weight[:, k] = np.where(used[:, j], (share * points.score[:, j]) ** 2, 0)
    depth = torso_depth(chain, xy)
    tall = np.ptp(chain.body.rest_vertices(chain.shape.neutral)[:, 1])
    return NormalizedKeypoints(names, xy, weight, depth, tall / 1000 / depth)


def _reasons(keypoints: NormalizedKeypoints, focal_px: FloatArray) -> list[str]:
    """Why each row cannot be fitted; "" where it can."""
    seen = all_finite(keypoints.xy)
    torso = seen[:, [keypoints.names.index(name) for name in TORSO]].sum(axis=1)
    tall = 1000 * keypoints.pixel * focal_px

    def why(i: int) -> str:
        if torso[i] < _FEWEST_TORSO:
            return f"only {torso[i]} of shoulders and hips are visible; {_FEWEST_TORSO} are needed"
        if seen[i].sum() < _FEWEST:
            return f"only {seen[i].sum()} keypoints are visible; {_FEWEST} are needed"
        if not tall[i] >= _LEAST_TALL_PX:
            return f"the person is less than {_LEAST_TALL_PX:.0f} pixels tall"
        if keypoints.depth[i] < _NEAREST_M:
            return f"the person would be nearer than {_NEAREST_M} m to the camera"
        return ""

    return [why(i) for i in range(len(seen))]


def _nearest(
    chain: Chain, keypoints: NormalizedKeypoints, aligned: State, starts: FloatArray
) -> State:
    """Bodies as aligned, each in the one of the poses `starts` that lies nearest to its points."""
    objective = Objective((pixels(keypoints, np.arange(len(keypoints.names))),))
    tried = []
    for pose in starts:
        rotations = np.broadcast_to(pose, aligned.rotations.shape).copy()
        rotations[:, 0] = aligned.rotations[:, 0]
        tried.append(replace(aligned, rotations=rotations))
    losses = np.stack([cost(objective, chain, state)[0] for state in tried])
    rotations = np.stack([state.rotations for state in tried])
    best = rotations[losses.argmin(axis=0), np.arange(len(aligned))]
    return replace(aligned, rotations=best)


def _staged(
    chain: Chain,
    keypoints: NormalizedKeypoints,
    start: State,
    known: SmplifyPrior,
    options: ImageOptions,
) -> Solution:
    """All stages, of one body per row of `keypoints`."""
    space = chain.shape
    seen = pixels(keypoints, np.arange(len(keypoints.names)))
    everything = Variables.poses(chain, "each")
    state = start
    for stage in options.stages:
        objective = Objective(
            (seen,) if stage.held else (seen, depth_spring(chain, keypoints)),
            known.terms(stage, state.shape),
            (ShapePrior(space.neutral, space.spread, stage.shape),),
        )
        found = minimise(objective, replace(everything, translation=not stage.held), state, _STEPS)
        state = found.state
    return found


def _empty(
    chain: Chain, keypoints: NormalizedKeypoints, points: ImagePoints, reason: list[str]
) -> ImageFit:
    """Pictures before any fit."""
    body, N = chain.body, len(points)

    def lost(*shape: int) -> FloatArray:
        return np.full((N, *shape), np.nan)

    return ImageFit(
        body, keypoints.names, points.image_size, points.focal_px,
        lost(len(body.joint_names), 3, 3), lost(3), lost(len(body.shape.names)),
        lost(len(keypoints.names)), lost(2), np.zeros(N, dtype=bool), tuple(reason),
    )  # fmt: skip


def _filled(
    fit: ImageFit, chain: Chain, keypoints: NormalizedKeypoints, rows: IntArray, near: IntArray,
    found: Solution, options: ImageOptions,
) -> ImageFit:  # fmt: skip
    """With the better of the two orientations of each row, if it lies on its points.

    near: those of `rows` that were tried a second time, after all others.
    """
    n, best = len(rows), np.arange(len(rows))
    fit.loss[rows, 0], fit.loss[rows[near], 1] = 2 * found.cost[:n], 2 * found.cost[n:]
    second = np.flatnonzero(found.cost[n:] < found.cost[near])
    best[near[second]] = n + second
    state, here = found.state.at(best), keypoints.at(rows)
    off = _off(chain, state, here)
    fit.residual_px[rows] = off * (here.pixel * fit.focal_px[rows])[:, None]
    fit.converged[rows] = found.converged[best]
    reason = list(fit.reason)
    for i, row in enumerate(rows):
        reason[row] = _verdict(off[i], options)
    good = np.flatnonzero([not reason[row] for row in rows])
    fit.rotations[rows[good]] = state.at(good).body_rotations(chain)
    fit.translation[rows[good]] = state.translation[good]
    fit.shape[rows[good]] = state.shape[good]
    return replace(fit, reason=tuple(reason))


def _off(chain: Chain, state: State, keypoints: NormalizedKeypoints) -> FloatArray:
    """(n, K) standard pixels between points and body; NaN where not seen."""
    xyz = state.posed(chain).points[:, : len(keypoints.names)] @ FACING
    xyz = np.where(xyz[..., 2:] > 0, xyz, np.inf)
    with np.errstate(invalid="ignore"):
        plane = xyz[..., :2] / xyz[..., 2:]
    return np.asarray(np.linalg.norm(plane - keypoints.xy, axis=-1) / keypoints.pixel[:, None])


def _verdict(off: FloatArray, options: ImageOptions) -> str:
    """Why the body (K,) standard pixels off its points is not one to use; "" where it is."""
    seen = np.isfinite(off)
    near = int((off[seen] < options.most_off_px).sum())
    if near >= options.least_share * seen.sum():
        return ""
    return f"only {near} of {seen.sum()} keypoints lie near the fitted body"
