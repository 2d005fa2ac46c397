"""OpenSim's scaling and inverse kinematics of a marker file."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from kinefit.biomech import opensim
from kinefit.biomech.opensim import IkResult
from kinefit.pipeline.single_step import run_job
from kinefit.types import Subject


def inverse_kinematics_of_file(
    markers: str | Path, out: str | Path, *, subject: Subject | None = None, **options: Any
) -> IkResult:
    """Scale an OpenSim model to a TRC or C3D file and find its motion, as files in `out`.

    options: the other fields of `kinefit.biomech.opensim.Options` (model, static, scaled, setup,
    allow_missing, up, units). Raises as `kinefit.biomech.opensim.inverse_kinematics_of_file` does.
    """
    markers, out = Path(markers), Path(out)
    chosen = opensim.Options(subject, **options)
    read = {"markers": markers, "setup": chosen.setup, "static": chosen.static}
    read["model"] = Path(chosen.model) if Path(chosen.model).exists() else None
    inputs = {name: path for name, path in read.items() if path is not None}

    def work(folder: Path, _: Path) -> IkResult:
        return opensim.inverse_kinematics_of_file(markers, folder, chosen)

    record, found = run_job(out, "ik", inputs, asdict(chosen), work, stem=markers.stem)
    assert found is not None
    return replace(found, files=[out / name for name in record.files])
