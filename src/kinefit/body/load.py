"""A body by name or by file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from kinefit.body.anny import load_anny
from kinefit.body.mhr import load_mhr
from kinefit.body.model import BodyModel
from kinefit.body.smpl import load_smpl
from kinefit.types import InputError

Gender = Literal["male", "female", "neutral"]


def load_body(which: str | Path, gender: Gender | None = None) -> BodyModel:
    """`anny`, MHR from an `mhr_model.pt`, or SMPL, SMPL-H or SMPL-X from a file or folder.

    gender: of an SMPL model, where the folder has several; the other bodies have none.
    Raises InputError for a file that is not there or not a body.
    """
    path = Path(which)
    if str(which) == "anny" or path.suffix == ".pt":
        if gender is not None:
            raise InputError(str(which), "this body has no gender to choose", "leave --gender out")
        return load_anny() if str(which) == "anny" else load_mhr(path).body
    if not path.exists():
        hint = "give anny, an SMPL .pkl or .npz or its folder, or mhr_model.pt"
        raise InputError(str(which), "there is no such body or file", hint)
    return load_smpl(path, gender)
