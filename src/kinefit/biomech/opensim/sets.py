"""Which marker set a file has, on which model, and what each marker weighs."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from kinefit.io.text import read_bytes
from kinefit.io.xml import parse_xml
from kinefit.skeletons.marker_names import same_places
from kinefit.types import InputError, Markers

SHIPPED = ("simple", "muscles")  # Pose2Sim's models
_MAX_BYTES = 1 << 24  # setups and marker sets have kilobytes
_MIN_SHARE = 0.5  # of a model's own markers, to take a table of weights for that marker set


@dataclass(frozen=True)
class MarkerSet:
    """A model with markers on it, and their weights.

    name: of the set, or "own" for a model's own markers.
    model, markers: the .osim file, and the file with its markers where they are apart.
    weights: marker -> weight; a marker that is not in it has none.
    goals: coordinate -> weight of its pull to the model's default.
    weights_from: where the weights are from, for the summary.
    """

    name: str
    about: str
    model: Path
    markers: Path | None
    weights: Mapping[str, float]
    goals: Mapping[str, float]
    weights_from: str


@cache
def table() -> dict[str, Any]:
    """The marker sets, aliases and joint lists of `sets.toml`."""
    return tomllib.loads((files("kinefit.biomech.opensim") / "sets.toml").read_text("utf-8"))


KEYPOINTS = tuple(name for name in table()["sets"] if name != "augmented")


def setup_folder() -> Path:
    """The folder of models and setups; its README.md says where they are from."""
    return Path(str(files("kinefit.biomech.opensim"))) / "models"


def shipped_sets(names: Sequence[str], model: str) -> Iterator[MarkerSet]:
    """The sets that a file with markers `names` could have, the likeliest first.

    The augmented markers come first when any is there; then the keypoint set that shares most
    with the file (number shared, times the set's share of it: all 14 of COCO's are also in 22).
    """
    folder, found = setup_folder(), []
    for name, entry in table()["sets"].items():
        placed = set(markers_of(folder / entry["markers"]))
        have = {*names, *_other_names(names, list(placed)).values()}
        weights, _ = read_weights(folder / entry["weights"])
        used = {k: w for k, w in weights.items() if k in placed}
        matches = len(set(used) & have)
        found.append(((name not in KEYPOINTS, matches**2 / len(used)), name, entry, used))
    likely = sorted((f for f in found if f[0][1]), key=lambda item: item[0], reverse=True)
    for _, name, entry, used in likely[:2]:
        # Pose2Sim's files also pull L5_S1_Flex_Ext to zero with a weight of 0.1 against markers
        # whose weights are normalised to one: 10 degrees of bending then cost as much as 55 mm of
        # error in every marker, so that a bending trunk ends up in the hips. Left out.
        yield MarkerSet(
            name, entry["about"], folder / table()["models"][model], folder / entry["markers"],
            used, {}, f"Pose2Sim's {entry['weights']}",
        )  # fmt: skip


def own_set(model: Path, names: Sequence[str], setup: Path | None) -> MarkerSet:
    """A model of the user's own, with its markers `names`, weighted by a setup or a known table."""
    if setup is not None:
        weights, goals = read_weights(setup)
        return MarkerSet("own", "the model's own markers", model, None, weights, goals, setup.name)
    own = set(names)
    for name, weights in table()["weights"].items():
        if len(own & set(weights)) >= _MIN_SHARE * len(own):
            about = "OpenCap's laboratory markers"
            return MarkerSet(name, about, model, None, weights, {}, "OpenCap's Setup_IK_Mocap.xml")
    equal = dict.fromkeys(names, 1.0)
    return MarkerSet("own", "the model's own markers", model, None, equal, {}, "all equal")


def without_clusters(chosen: MarkerSet) -> MarkerSet:
    """`chosen` without the markers that a generic model cannot place (see `sets.toml`)."""
    if chosen.name != "opencap_laboratory":
        return chosen
    kept = {name: weight for name, weight in chosen.weights.items() if not _is_cluster(name)}
    # Then the thigh needs its computed hip centre, with the weight of the pelvis's markers.
    return replace(chosen, weights=kept | {"R_HJC": 25.0, "L_HJC": 25.0})


def renamed(markers: Markers, wanted: Sequence[str]) -> tuple[Markers, dict[str, str]]:
    """`markers` under the names that a set wants, and what was renamed to what."""
    taken = _other_names(markers.names, wanted)
    return replace(markers, names=tuple(taken.get(n, n) for n in markers.names)), taken


def _other_names(names: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """Name -> the one of `wanted` that means the same; a name that is there is not given away.

    Keypoints by the aliases of `sets.toml`, laboratory markers by their places. Not clusters,
    which a model cannot place.
    """
    have, taken = set(names), {}
    for name in names:
        target = table()["aliases"].get(name, name)
        if name not in wanted and target in wanted and target not in have:
            taken[name] = target
            have.add(target)
    fixed = [name for name in wanted if not _is_cluster(name)]
    return taken | same_places([n for n in names if n not in taken], fixed)


def _is_cluster(name: str) -> bool:
    return name.partition("_")[2].startswith(tuple(table()["scaling"]["clusters"]))


def keypoint_bodies() -> dict[str, str]:
    """Keypoint -> body, over all shipped sets: what could determine a body without markers."""
    folder = setup_folder()
    result: dict[str, str] = {}
    for set_name in KEYPOINTS:
        for name, body in markers_of(folder / table()["sets"][set_name]["markers"]).items():
            result.setdefault(name, body)
    return result


@cache
def markers_of(path: Path) -> dict[str, str]:
    """Marker -> body of an OpenSim marker set file."""
    return {
        marker.get("name", ""): (marker.findtext("socket_parent_frame") or "").rpartition("/")[2]
        for marker in parse_xml(path, read_bytes(path, _MAX_BYTES)).iter("Marker")
    }


@cache
def read_weights(path: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Weights of markers, and of coordinates pulled to their defaults, in an OpenSim IK setup.

    Tasks that are not applied, or weigh nothing, are left out. Raises InputError for a file that
    is no such setup, for weights that are not numbers of zero or more, and for coordinates that
    are to follow a value or a file, which is not supported.
    """
    markers: dict[str, float] = {}
    goals: dict[str, float] = {}
    root = parse_xml(path, read_bytes(path, _MAX_BYTES))
    for kind, found in (("IKMarkerTask", markers), ("IKCoordinateTask", goals)):
        for task in root.iter(kind):
            name, text = task.get("name", ""), task.findtext("weight") or "0"
            try:
                weight = float(text)
            except ValueError:
                weight = -1.0
            if not 0 <= weight < float("inf"):
                raise InputError(path, f"the weight of {name} is {text!r}", "give zero or more")
            if (task.findtext("apply") or "true").strip() != "true" or not weight:
                continue
            if kind == "IKCoordinateTask" and "default" not in task.findtext(
                "value_type", "default_value"
            ):
                raise InputError(
                    path, f"{name} is to follow a value other than its default", "leave it out"
                )
            found[name] = weight
    if not markers:
        raise InputError(path, "has no marker with a weight", "name an OpenSim IK setup file")
    return markers, goals
