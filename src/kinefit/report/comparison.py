"""A page that shows joint angles before and after refinement: skeletons in space and on the video,
and what moved by how much, joint by joint."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from kinefit.io.atomic import write_text
from kinefit.io.video import Picture
from kinefit.report.page import Table, environment, jpeg_address
from kinefit.types import FloatArray


@dataclass(frozen=True, eq=False)
class Comparison:
    """F frames that are shown. title: the heading. names: P points. bones: pairs of these.
    time: (F,) seconds. skeletons: name ("before", "after", "truth") -> (F, P, 3) metres, Y up; NaN
    where unknown. moved: (F, P) degrees by which the angles of the joint that turns the bone to a
    point were changed. stills: F pictures, or none; in_image: as `skeletons`, (F, P, 2) pixels of
    these. tables, notes: figures and sentences about them.
    """

    title: str
    names: Sequence[str]
    bones: Sequence[tuple[str, str]]
    time: FloatArray
    skeletons: Mapping[str, FloatArray]
    moved: FloatArray
    stills: Sequence[Picture] = ()
    in_image: Mapping[str, FloatArray] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()


def write_comparison(path: Path, shown: Comparison) -> None:
    """Write the page, atomically; complete in itself, without a request."""
    loader = environment().loader
    assert loader is not None
    own = {
        name: loader.get_source(environment(), name)[0] for name in ("report.css", "comparison.js")
    }
    hashes = {name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
              for name, text in own.items()}  # fmt: skip
    page = (
        environment()
        .get_template("comparison.html")
        .render(
            shown=shown,
            style=Markup(own["report.css"]),  # noqa: S704 (the package's own files)
            script=Markup(own["comparison.js"]),  # noqa: S704
            style_hash=hashes["report.css"],
            script_hash=hashes["comparison.js"],
            data=json.dumps(_data(shown), separators=(",", ":"), allow_nan=False),
            stills=[jpeg_address(picture) for picture in shown.stills],
        )
    )
    write_text(path, page)


def _data(shown: Comparison) -> dict[str, Any]:
    at = {name: i for i, name in enumerate(shown.names)}
    return {
        "bones": [[at[a], at[b]] for a, b in shown.bones],
        "time": _listed(shown.time, 2),
        "skeletons": {name: _listed(xyz, 3) for name, xyz in shown.skeletons.items()},
        "inImage": {name: _listed(xy, 1) for name, xy in shown.in_image.items()},
        "moved": _listed(shown.moved, 1),
    }


def _listed(values: FloatArray, digits: int) -> Any:
    """Nested lists, None for NaN."""
    rounded = np.round(values, digits).astype(object)
    rounded[~np.isfinite(values)] = None
    return rounded.tolist()
