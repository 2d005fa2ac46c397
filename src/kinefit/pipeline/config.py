"""What a user can choose for one run: the command line, a TOML file and the API share it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from kinefit.fit.recipes.frames.frame_options import RigFitOptions, SequenceOptions
from kinefit.geometry.kernel_name import KernelName
from kinefit.multiview.triangulation_options import TriangulationOptions
from kinefit.types import InputError, InvalidData, Subject
from kinefit.types.subject import Clothing, check_height, check_mass

if TYPE_CHECKING:
    from kinefit.tracking.choose import Pointer

Model = TypeVar("Model", bound=BaseModel)
Positive = Annotated[float, Field(gt=0)]
POF_MODEL = "ensemble"


def _as_value_error(check: Callable[[float], float]) -> Callable[[float], float]:
    """The check as pydantic takes it."""

    def checked_value(value: float) -> float:
        try:
            return check(value)
        except InvalidData as error:
            raise ValueError(str(error)) from error

    return checked_value


def _field_of_view(degrees: float) -> float:
    if 5 <= degrees <= 170:
        return degrees
    hint = "give the degrees that the longer side of the picture spans, mostly 50 to 80"
    if 0.5 <= degrees <= 2.5:
        hint = f"give {math.degrees(degrees):.0f} if you mean {degrees:g} radians"
    raise ValueError(f"{degrees:g} degrees is not the field of view of a lens. Next: {hint}.")


Height = Annotated[float, AfterValidator(_as_value_error(check_height))]
Mass = Annotated[float, AfterValidator(_as_value_error(check_mass))]
FILES = (
    "keypoints",
    "detector_model",
    "calibration",
    "masks",
    "segmenter",
)  # options that name a file or folder
Detector = Literal["blazepose", "mediapipe", "rtmlib", "openpose", "mmpose", "alphapose", "coco"]


class Options(BaseModel):
    """What a user can choose: a field is a flag, and the text below it the flag's help."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        defer_build=True,
    )


class PersonChoice(Options):
    """Which of several people."""

    person: int | None = Field(None, ge=1)
    """Which of several people: 1 is who is seen longest, largest and by most cameras."""


class ViewOptions(PersonChoice):
    """How several cameras' points become points in space: flags of `run` and of `triangulate`.

    Defaults and meaning are those of
    `kinefit.multiview.triangulation_options.TriangulationOptions`; pixels are those of pictures
    that are 1,920 long.
    """

    calibration: Path | None = Field(
        None,
        description="Calibration of the cameras: Caliscope, aniposelib or Pose2Sim TOML, Qualisys "
        ".qca.txt, OpenCV YAML, OpenCap pickles, EasyMocap's folder.",
    )
    units: Literal["m", "cm", "mm"] | None = None
    """Unit of the calibration's positions, where the file does not say."""
    world_up: Literal["x", "-x", "y", "-y", "z", "-z"] | None = None
    """Axis of the calibration's world that points up; else from the person."""
    invert_extrinsics: bool = False
    """The calibration's poses are camera to world."""
    keep_names: bool = False
    """Go on where the pictures of cameras look exchanged, and report it."""
    score_type: Literal["median", "trimmed", "huber"] = "huber"
    """How a candidate's errors over the views become one score."""
    huber_delta: Positive = 10.0
    """Delta of the Huber score, px."""
    inlier_thresh: Positive = 27.0
    """A view further off than this is wrong, px."""
    min_views: int = Field(2, ge=2)
    """Fewest views that must agree on a point."""
    min_angle_deg: float = Field(3.0, gt=0, lt=90)
    """Least angle between the rays of a point, degrees."""
    max_pairs: int = Field(30, ge=1)
    """Camera pairs that give candidates; all where there are fewer."""
    adaptive: bool = True
    """Fit the inlier threshold to the noise and the calibration of the clip."""
    continuity: bool = True
    """Of equally good candidates take those that are continuous in time."""
    reseed_from_inliers: bool = True
    """Start the refinement from all agreeing views, not from the best pair."""
    lm_iters: int = Field(10, ge=0)
    """Most steps of the Levenberg-Marquardt refinement."""
    lm_lambda: Positive = 1e-3
    """First damping of the refinement."""
    lm_eps: Positive = 1e-4
    """Smallest step of the refinement that is worth taking, metres."""
    robust_lm: bool = True
    """Huber weights in the refinement."""
    robust_lm_delta: Positive = 10.0
    """Delta of these Huber weights, px."""
    repair_side_swaps: bool = True
    """Undo exchanges of left and right by the detector (always reported)."""
    visibility_min: float = Field(0.3, ge=0, le=1)
    """Landmarks less visible than this are missing."""

    @property
    def triangulation(self) -> TriangulationOptions:
        """The same choices as the type that the stage takes."""
        names = {f.name for f in fields(TriangulationOptions)} - {"score_min"}
        chosen = {name: getattr(self, name) for name in names}
        return TriangulationOptions(score_min=self.visibility_min, **chosen)


class BodyChoice(Options):
    """Which body is fitted."""

    body: str = "anny"
    """anny; or your SMPL, SMPL-H, SMPL-X file or folder, or mhr_model.pt."""
    gender: Literal["male", "female", "neutral"] | None = None
    """Of the body: of Anny, or which of several SMPL files."""


class MotionChoice(BodyChoice):
    """And as what its motion is written."""

    export: str = "glb,bvh"
    """Files beside .npz and .trc: glb, bvh, obj."""

    @field_validator("export")
    @classmethod
    def _known_kinds(cls, value: str) -> str:
        kinds = [kind.strip() for kind in value.split(",") if kind.strip()]
        for kind in kinds:
            if kind not in ("glb", "bvh", "obj"):
                raise ValueError(f"no such kind: {kind}; choose from glb, bvh, obj")
        return ",".join(kinds)

    @property
    def exports(self) -> tuple[str, ...]:
        """The kinds of files."""
        return tuple(filter(None, self.export.split(",")))


class WhoOptions(PersonChoice):
    """Which of several people: flags of all commands that look at pictures."""

    person_at: str | None = None
    """The person at a place in a picture: [CAMERA:]X,Y[,FRAME], pixels."""
    box: str | None = None
    """The person in a box drawn around them: [CAMERA:]X0,Y0,X1,Y1[,FRAME], pixels."""
    people: Literal["one", "all"] = "one"
    """all: everybody, each in a folder of their own (pictures: files of their own)."""

    @model_validator(mode="after")
    def _one_person(self) -> Self:
        who = [n for n in ("person", "person_at", "box") if getattr(self, n) is not None]
        who += ["people all"] if self.people == "all" else []
        if len(who) > 1:
            raise ValueError(f"give {flag(who[0])} or {flag(who[1])}, not both")
        return self

    @property
    def pointer(self) -> Pointer | None:
        """Who is pointed at in a picture; raises InputError for what is no place."""
        from kinefit.tracking.choose import Pointer  # numpy, which options alone do not need

        if self.person_at is not None:
            return Pointer.parse("--person-at", self.person_at, 1)
        return None if self.box is None else Pointer.parse("--box", self.box, 2)


class PictureOptions(BodyChoice, WhoOptions):
    """How a body is fitted to a picture: flags of `kinefit fit image`."""

    child: bool = False
    """The person is a child (Anny)."""
    head: bool = True
    """Use the landmarks of the face; hair and hats make them unreliable."""


class MarkerFileOptions(MotionChoice):
    """How a body is fitted to markers: flags of `kinefit fit markers`."""

    child: bool = False
    """The person is a child (Anny)."""
    height: Height | None = None
    """Height of the person in metres, if known."""
    up: str | None = None
    """Vertical axis of the file (Z, -Y, ...), whatever it says; else it is checked."""
    units: Literal["m", "cm", "mm"] | None = None
    """Unit of the file's numbers, whatever it says; else it is checked."""


class FitTerms(Options):
    """What the fit of a clip weighs; meaning and evidence: `kinefit.fit.recipes.clip.ClipOptions`.

    With other values than these no deviation of angles and markers is stated.
    """

    face_weight: float = Field(0.3, gt=0, le=1)
    """How much landmarks of the face count against others."""
    loss: KernelName = "cauchy"
    """How a landmark's distance counts: cauchy (logarithm of its square), huber, or log-huber
    (logarithm of Huber's)."""
    outlier_sd: Positive = 3.0
    """Standard deviations from which a landmark's pull falls off."""
    vertex_acceleration: float = Field(0.0, ge=0)
    """Smooth the skin, not the joints: one standard deviation of its vertices' accelerations,
    m/s^2; 0: smooth the joints."""
    joint_limits: Literal["anatomy", "euler", "none"] = "anatomy"
    """Ranges of healthy adults, or of Euler angles in SMPL's rest pose, or none."""
    pose_regularization_rad: Positive = 1.5
    """One standard deviation of joint angles from standing upright, radians."""
    pose_prior: Literal["auto", "mixture", "variational", "none"] = "auto"
    """What poses people take: a Gaussian mixture or a variational autoencoder; auto: the mixture
    with one camera, none with several."""
    interpenetration: bool = False
    """Keep limbs outside one another."""
    silhouettes: bool = False
    """Girths from masks of the person: chest, waist, hip and thigh, which landmarks do not show."""
    clothing: Clothing = "usual"
    """What the person wears, for girths from masks: tight is bare skin or sportswear."""


class FitOptions(MotionChoice, FitTerms):
    """How a body is fitted to a clip: flags of `kinefit fit video` and `multiview`."""

    child: bool = False
    """The person is a child (Anny)."""
    head: bool = True
    """Use the landmarks of the face; hair and hats make them unreliable."""
    hold_feet: bool = True
    """Hold heels and toes that stand on the floor."""


class FrameOptions(MotionChoice, RigFitOptions, SequenceOptions):
    """How a body is fitted frame by frame: flags of `kinefit fit frames`."""

    keypoint_mapping: Path | None = Field(
        None,
        description="With MHR: SAM 3D Body's table of that name as .npy (308, vertices + joints), "
        "for keypoints on the skin; without it joints stand for keypoints.",
    )
    cameras: str | None = None
    """Names of the bundle's cameras, in its order, where it has none: a,b,c."""
    rate: Positive | None = None
    """Frames per second, where the bundle's times are frame numbers."""
    meshes: bool = True
    """Write the mesh of every frame into its file."""


class RunConfig(ViewOptions, FitOptions, WhoOptions):
    """Parameters of the plan. Every field is a flag of `kinefit run`.

    Constructed through `run_config`, which turns a refused value into an InputError.
    """

    preset: Literal["refine-smpl"] | None = None
    """Several options of the fit at once (docs/body.md); those that are given win over it."""
    height: Height | None = None
    """Height of the subject in metres; sets the scale of everything."""
    mass: Mass | None = Field(
        None,
        description="Body mass of the subject in kilograms, an input of the marker augmenter; "
        "else that of a body mass index of 24.",
    )
    markers: Literal["lstm", "mesh"] = "lstm"
    """Anatomical markers from OpenCap's LSTM augmenter, or from the body's skin."""

    start: float = Field(0.0, ge=0)
    """Look at the video from this second on, as a player shows it."""
    end: Positive | None = None
    """Look at the video up to this second; else to its end."""
    every: int = Field(1, ge=1)
    """Look at every so many-th frame."""
    slowmo: Positive | None = None
    """Slow motion: how many times slower than life the video plays (240 frames per second saved at
    30: 8)."""
    fps_real: Positive | None = None
    """Slow motion: or the frames per second that were recorded (here: 240)."""
    rotate: str | None = None
    """Turn the pictures by 90, 180 or 270 degrees clockwise, where the file does not say how the
    camera was held; of several cameras, cam1=90,cam2=270 turns these."""

    detector: Detector = "blazepose"
    """Source of the 2D landmarks."""
    detector_model: Path | None = None
    """Model of the detector (blazepose: .tflite or .task; mediapipe: .task; rtmlib: .onnx or a
    folder)."""
    quality: Literal["fast", "normal", "best"] = "normal"
    """normal: the larger network for one camera, the smaller one for several. fast: the smaller
    one for one, too; detection takes 0.4 of the time, limbs are half a degree worse. best: the
    larger one for several, too (points are a fifth nearer to the truth), and a search for people
    down to 60 pixels; up to eight times the time."""
    keypoints: Path | None = None
    """Keypoint file or folder, for the detectors that read files."""
    keypoint_set: str | None = None
    """Whose keypoints these are, where their number does not tell: body25, body25b, coco17, ..."""
    save_mask: bool = False
    """Also write the person's masks, as a video and as arrays."""
    masks: Path | None = None
    """Your own masks of the video instead: a folder of PNG files, a video, or COCO's run lengths
    (.json); of several cameras a folder with these, named as the cameras."""
    segmenter: Path | None = None
    """MediaPipe's selfie segmenter (.tflite) for the masks, not the detector's own network."""
    head_mask: bool = False
    """Also masks of the head, with hair and headwear."""
    smooth_mask: bool = True
    """Smooth masks of networks over time, by optical flow."""
    overlay: bool = True
    """Write the video with the skeleton drawn on it."""

    estimate_missing: bool = False
    """Mirror missing limbs from the visible side (flagged as estimated)."""
    force_complete: bool = False
    """Estimate missing clusters and hip joint centres (flagged)."""

    sync: bool = False
    """Several cameras: find their time offsets from the motion."""
    offsets: str | None = None
    """Several cameras: seconds to add to a clock, e.g. cam2=0.033,cam3=-0.1."""
    trajectory: bool = True
    """Several cameras: constant bones and smooth motion over the clip."""
    max_unseen: float = Field(0.1, ge=0)
    """Seconds that the trajectory goes on for a point that no camera sees."""
    lab_frame: bool = False
    """Keep the calibration's origin and axes (turned to Y up)."""

    focal_px: Positive | None = None
    """Focal length in pixels."""
    fov: Annotated[float, AfterValidator(_field_of_view)] | None = None
    """Field of view across the longer image side in degrees."""
    tilt: float | None = Field(None, gt=-90, lt=90)
    """Camera tilt in degrees, positive looking down; else estimated."""
    roll: float | None = Field(None, gt=-90, lt=90)
    """Camera roll in degrees, positive clockwise; else estimated."""

    max_gap: float = Field(0.25, ge=0)
    """Longest gap that is filled (filled values are flagged)."""
    cutoff_hz: float = Field(6.0, ge=0)
    """Cut-off of the zero-phase Butterworth filter; 0: no filter."""
    augmentation_cycles: int = Field(20, ge=1, le=1000)
    """Perturbed passes (1 mm) averaged by the augmenter; their spread is reported."""
    seed: int = Field(0, ge=0)
    """Seed of everything random."""

    compute_all_joint_angles: bool = True
    """Compute the 12 joint groups."""
    plot_all_joint_angles: bool = False
    """Write a PNG per joint group."""

    camera_pof: bool = False
    """One camera: directions of limbs and gravity from a network (part orientation fields), not
    from the detector's own 3D."""
    pof_model: str = Field(
        POF_MODEL,
        description="Which network: ensemble (sequence, gcn, semgcn together), one of these, "
        "transformer, semgcn-temporal, or an .onnx file of `kinefit train pof`. Deviations of "
        "angles and markers are stated with ensemble only.",
    )
    pof_signs: bool = False
    """Mirror a limb in depth where the network's sign contradicts the network's direction."""
    joint_refinement: bool = False
    """One camera: correct the joint angles with a network that has seen how they err."""
    main_refiner: bool = False
    """One camera: run the fit a second time with the network for depth, and weigh the joint angles
    of both and their corrections."""

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, values: dict[str, Any]) -> dict[str, Any]:
        return presets().get(str(values.get("preset")), {}) | values

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        if (self.pof_model != POF_MODEL or self.pof_signs) and not self.camera_pof:
            raise ValueError("--pof-model and --pof-signs need --camera-pof")
        self._check_refinement()
        one = [n for n in ("focal_px", "fov", "tilt", "roll") if getattr(self, n) is not None]
        one += ["camera_pof"] * self.camera_pof
        if self.calibration is not None and one:
            raise ValueError(
                f"{flag(one[0])} is for one camera; the calibration of several says it"
            )
        several = [n for n in ("sync", "offsets", "lab_frame") if getattr(self, n)]
        if self.calibration is None and several:
            raise ValueError(f"{flag(several[0])} is for several cameras and needs --calibration")
        who = [n for n in ("person", "person_at", "box") if getattr(self, n) is not None]
        who += ["people all"] if self.people == "all" else []
        if who and self.detector == "mediapipe":
            raise ValueError(
                f"{flag(who[0])} needs a detector that finds everybody; MediaPipe finds one"
            )
        if self.detector != "blazepose" and self.quality != "normal":
            raise ValueError("--quality is for the detector blazepose only")
        if self.head_mask and self.detector not in ("blazepose", "mediapipe"):
            raise ValueError(
                "--head-mask needs points of the mouth, which only the detectors blazepose and "
                "mediapipe have"
            )
        if self.masks is not None and self.segmenter is not None:
            raise ValueError("give --masks or --segmenter, not both")
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"--end ({self.end:g} s) is not after --start ({self.start:g} s)")
        if self.slowmo is not None and self.fps_real is not None:
            raise ValueError("give --slowmo or --fps-real, not both: each says what the other is")
        if self.sync and self.offsets is not None:
            raise ValueError("give --sync or --offsets, not both")
        if self.focal_px is not None and self.fov is not None:
            raise ValueError("give --focal-px or --fov, not both")
        own_network = self.detector in ("blazepose", "mediapipe", "rtmlib")
        if self.detector_model is not None and not own_network:
            raise ValueError(
                f"--detector {self.detector} reads files and takes no --detector-model"
            )
        reads_files = self.detector not in ("blazepose", "mediapipe", "rtmlib")
        if reads_files != (self.keypoints is not None):
            wants = "needs --keypoints" if reads_files else "reads the video, not --keypoints"
            raise ValueError(f"--detector {self.detector} {wants}")
        if self.keypoint_set is not None and not reads_files:
            raise ValueError(f"--detector {self.detector} has its own points, no --keypoint-set")
        if self.plot_all_joint_angles and not self.compute_all_joint_angles:
            raise ValueError("--plot-all-joint-angles needs --compute-all-joint-angles")
        return self

    def _check_refinement(self) -> None:
        chosen = [n for n in ("joint_refinement", "main_refiner") if getattr(self, n)]
        if len(chosen) > 1:
            raise ValueError(
                "give --joint-refinement or --main-refiner, not both: the second contains the first"
            )
        if chosen and self.calibration is not None:
            raise ValueError(f"{flag(chosen[0])} knows the errors of one camera, not of several")
        if chosen and not self.compute_all_joint_angles:
            raise ValueError(f"{flag(chosen[0])} needs --compute-all-joint-angles")
        if chosen and self.markers == "mesh":
            raise ValueError(
                f"{flag(chosen[0])} needs the augmenter's markers: leave out --markers mesh"
            )
        if self.main_refiner and self.camera_pof:
            raise ValueError("--main-refiner does what --camera-pof does, too: leave that out")
        if chosen and (terms := _changed_terms(self)):
            reason = f"knows the errors of the usual fit: leave out {flag(terms[0])}"
            raise ValueError(f"{flag(chosen[0])} {reason}")

    @property
    def rotate_deg(self) -> dict[str, int]:
        """Camera name -> degrees clockwise, "" for all others; raises InputError for anything
        else."""
        found: dict[str, int] = {}
        for part in filter(None, (self.rotate or "").split(",")):
            name, _, degrees = (text.strip() for text in part.rpartition("="))
            if degrees not in ("0", "90", "180", "270") or name in found:
                reason = f"{part!r} is no quarter turn" + " of another camera" * (name in found)
                raise InputError("--rotate", reason, "give 90, 180 or 270, or e.g. cam2=90")
            found[name] = int(degrees)
        return found

    @property
    def offset_s(self) -> dict[str, float]:
        """Camera name -> seconds to add to its clock; raises InputError for anything else."""
        found: dict[str, float] = {}
        for part in (self.offsets or "").split(","):
            name, _, seconds = (text.strip() for text in part.rpartition("="))
            if not part.strip():
                continue
            try:
                value = float(seconds)
            except ValueError:
                value = math.nan
            if not name or name in found or not math.isfinite(value):
                again = " again" if name in found else ""
                reason = f"{part!r} is not NAME=SECONDS{again}"
                raise InputError("--offsets", reason, "give e.g. cam2=0.033")
            found[name] = value
        return found

    @property
    def wants_masks(self) -> bool:
        """Whether masks of the person are written."""
        own = self.masks is not None or self.segmenter is not None
        return self.save_mask or self.head_mask or own

    @property
    def stature_m(self) -> float:
        """The height; raises InputError where none is given."""
        if self.height is None:
            reason = (
                "is missing: video shows no lengths, so the height of the person sets the scale"
            )
            hint = "give the person's height in metres, e.g. --height 1.78"
            raise InputError("--height", f"{reason} of all distances", hint)
        return self.height

    @property
    def lifter(self) -> str | None:
        """The network for depth of one camera; None without one."""
        return self.pof_model if self.camera_pof else None

    @property
    def error_source(self) -> str | None:
        """What the errors of angles and markers depend on beside the cameras; None in a usual run,
        `lifter` in a usual run with a network for depth."""
        told = [self.lifter] if self.lifter else []
        told += ["signs turned"] * (self.lifter is not None and self.pof_signs)
        return ", ".join((*told, *_changed_terms(self))) or None

    @property
    def subject(self) -> Subject:
        """Height and mass as the type that the stages take; raises as `stature_m`."""
        return Subject(self.stature_m, self.mass or _MASS_INDEX * self.stature_m**2)


FIT_TERMS = tuple(FitTerms.model_fields)
# What a fit to triangulated points can be asked for; the rest is for videos.
OF_BUNDLES = {"height", "body", "gender", "child", "head", "hold_feet", "export", "preset",
              *FIT_TERMS} - {"silhouettes", "clothing"}  # fmt: skip


def _changed_terms(config: FitTerms) -> list[str]:
    """Names of the terms that are not the usual ones."""
    usual = FitTerms.model_fields
    return [name for name in FIT_TERMS if getattr(config, name) != usual[name].default]


@cache
def presets() -> dict[str, dict[str, Any]]:
    """Name -> the options of `presets.toml`, as RunConfig calls them."""
    text = (files("kinefit.pipeline") / "presets.toml").read_text("utf-8")
    return {
        name: {option.replace("-", "_"): value for option, value in table.items()}
        for name, table in tomllib.loads(text).items()
    }


# kg/m^2: about the mean of the people whom the augmenter was trained on (1.70 m, 67 kg: 23).
_MASS_INDEX = 24.0

OPTIONS = "options"  # the source of values that no file holds


def run_config(values: Mapping[str, Any], source: str = OPTIONS) -> RunConfig:
    """A RunConfig from plain values; InputError names each refused option and why."""
    return checked(RunConfig, values, source)


def checked(model: type[Model], values: Mapping[str, Any], source: str = OPTIONS) -> Model:
    """Any options model from plain values; InputError names each refused option and why."""
    try:
        return model(**values)
    except ValidationError as error:
        errors = [_reason(one, model.model_fields).partition(" Next: ") for one in error.errors()]
        hints = [hint for _, _, hint in errors if hint]
        hint = "; ".join(hints) or "see the command's --help-all for names, units and ranges"
        reasons = "; ".join(reason.rstrip(".") for reason, _, _ in errors)
        name, colon, reason = reasons.partition(": ")
        if source == OPTIONS and len(errors) == 1 and colon and name.startswith("--"):
            raise InputError(name, reason, hint) from error
        raise InputError(source, reasons, hint) from error


def is_network_file(pof_model: object) -> bool:
    """Whether a value of `pof_model` is a file, and no name of a network that kinefit has."""
    return isinstance(pof_model, str) and pof_model.endswith(".onnx")


def read_config(path: Path) -> dict[str, Any]:
    """The table of a TOML file, names with dashes or underscores; paths relative to the file.

    Raises InputError when the file is missing or is not TOML. Names and values are checked by
    `run_config`, together with the command line's.
    """
    from kinefit.io.toml import read_toml  # numpy, as above

    return beside(path, read_toml(path))


def beside(path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the file `path` has them: names with underscores, files relative to its folder.

    Raises InputError for a file's name that is no text.
    """
    values = {name.replace("-", "_"): value for name, value in values.items()}
    paths, texts = ["video", "out", *FILES], []
    if values.get("body") != "anny":
        texts.append("body")
    if is_network_file(values.get("pof_model")):
        texts.append("pof_model")
    for name in texts:
        if isinstance(file := values.get(name), str):
            values[name] = str(path.parent / file)
    for name in paths:
        match values.get(name):
            case None if name not in values:
                continue
            case str(file):
                values[name] = path.parent / file
            case [*files] if name == "video" and all(isinstance(file, str) for file in files):
                values[name] = [path.parent / file for file in files]
            case _:
                raise InputError(path, f"`{name}` is not a path in quotes", "correct that line")
    return values


def flag(option: str) -> str:
    """An option as the command line calls it.

    >>> flag("focal_px")
    '--focal-px'
    """
    return f"--{option.replace('_', '-')}"


_SHORT = {
    "extra_forbidden": "there is no such option",
    "float_parsing": "{input!r} is not a number",
    "float_type": "{input!r} is not a number",
    "finite_number": "it must be a finite number",
    "int_parsing": "{input!r} is not a whole number",
    "int_type": "{input!r} is not a whole number",
    "int_from_float": "{input!r} is not a whole number",
    "bool_parsing": "{input!r} is neither true nor false",
    "bool_type": "{input!r} is neither true nor false",
    "string_type": "{input!r} is not a text",
    "path_type": "{input!r} is not the name of a file",
    "literal_error": "{input!r} is none of {expected}",
}


def _reason(error: Any, names: Iterable[str]) -> str:
    """One validation error in a line: the option first, as the user types it."""
    name = flag(".".join(map(str, error["loc"]))) if error["loc"] else ""
    text = error["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    if short := _SHORT.get(error["type"]):
        text = short.format(input=error["input"], **error.get("ctx", {}))
    if error["type"] == "extra_forbidden" and error["loc"]:
        near = get_close_matches(str(error["loc"][-1]), list(names), 1)
        text += f" Next: did you mean {flag(near[0])}?" if near else ""
    return f"{name}: {text}" if name else text
