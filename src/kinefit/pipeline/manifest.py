"""run.json: what was asked for, and every stage that was ever finished in a results folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kinefit.io.atomic import write_json
from kinefit.io.text import read_json
from kinefit.pipeline.provenance import versions
from kinefit.pipeline.store import Folder
from kinefit.types import InputError


def write_manifest(folder: Folder, about: Mapping[str, Any]) -> None:
    """run.json: `about` what was asked for, and every stage that was ever finished here."""
    stages = {
        stage: {
            "seconds": record.seconds,
            "key": record.key,
            **record.about,
            "files": record.files,
            "stale": folder.is_stale(stage),
        }
        for stage, record in sorted(folder.records.items())
    }
    manifest = {**about, "versions": versions(), "stages": stages, "edited_copies": folder.kept}
    write_json(folder.path / "run.json", manifest)


def read_manifest(out: Path) -> dict[str, Any]:
    """run.json of a results folder; empty where there is none."""
    try:
        value = read_json(out / "run.json")
    except InputError:
        return {}
    return value if isinstance(value, dict) else {}
