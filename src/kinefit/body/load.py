"""A body by name or by file."""

from __future__ import annotations

from pathlib import Path

from kinefit.body.anny import load_anny
from kinefit.body.mhr import load_mhr
from kinefit.body.model import BodyModel
from kinefit.body.smpl import Gender, load_smpl
from kinefit.types import InputError

_ANNY_GENDER = {"male": 0.0, "neutral": 0.5, "female": 1.0}


def load_body(which: str | Path, gender: Gender | None = None, *, child: bool = False) -> BodyModel:
    """`anny`, MHR from an `mhr_model.pt`, or SMPL, SMPL-H or SMPL-X from a file or folder.

    gender: of an SMPL model, where the folder has several, or what is known of a person as Anny;
    MHR has none. child: whether the person is one (Anny alone knows children).
    Raises InputError for a file that is not there or not a body.
    """
    path = Path(which)
    if str(which) == "anny":
        return load_anny(_ANNY_GENDER[gender] if gender else None, child)
    if child:
        raise InputError(str(which), "this body is an adult's", "leave --child out, or use anny")
    if path.suffix == ".pt":
        if gender is not None:
            raise InputError(path, "MHR has no gender to choose", "leave --gender out")
        return load_mhr(path).body
    if not path.exists():
        hint = "give anny, an SMPL .pkl or .npz or its folder, or mhr_model.pt"
        raise InputError(str(which), "there is no such body or file", hint)
    return load_smpl(path, gender)
