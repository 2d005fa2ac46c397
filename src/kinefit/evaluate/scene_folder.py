"""A scene's folder, and whether a result was made from its videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kinefit.synth.manifest import TRUTH, read_manifest
from kinefit.synth.truth import PersonTruth, SceneTruth, read_truth
from kinefit.types import InputError


@dataclass(frozen=True, eq=False)
class SceneFolder:
    """A scene whose files are unchanged. videos: SHA-256 of each camera's video, by camera."""

    path: Path
    truth: SceneTruth
    videos: Mapping[str, str]

    def camera_of(self, sha256: str) -> str | None:
        """The camera whose video has this SHA-256; None for a video that is not of the scene."""
        return next((name for name, own in self.videos.items() if own == sha256), None)


def read_scene(path: Path) -> SceneFolder:
    """The scene in a folder, every file checked against its SHA-256.

    Raises InputError for another folder and for changed files.
    """
    folder = path.parent if path.name == TRUTH else path
    listed = read_manifest(folder)["sha256"]
    truth = read_truth(folder)
    videos = {
        name: str(listed[f"{name}.mp4"]) for name in truth.rig.names if f"{name}.mp4" in listed
    }
    return SceneFolder(folder, truth, videos)


def read_reference(path: Path, person: int = 0) -> PersonTruth:
    """A person of a scene's folder (checked) or of a truth.npz alone.

    Raises InputError for anything else, and for an unknown person.
    """
    truth = read_scene(path).truth if path.is_dir() else read_truth(path)
    check_person(truth, person, path)
    return truth.people[person]


def check_person(truth: SceneTruth, person: int, source: Path) -> None:
    """Raise InputError for a person that the scene does not have."""
    count = len(truth.people)
    if not 0 <= person < count:
        raise InputError(
            "--person", f"{source.name} has {count}, counted from 0", f"give 0 to {count - 1}"
        )
