"""The viewer: film, space and curves of a result under one clock, as a page for a browser.

three.js draws the space. Its bundle comes with the package trimesh (MIT), whose own viewer uses it:
all of three.js (release 140) and its reader of glTF, 0.7 MB. Tried: viser (its client plays a scene
by a clock of its own, which a film cannot drive), k3d (2.6 MB, its meshes are not skinned: every
frame's vertices would be in the page), meshcat (three.js of 2021, no glTF reader, not kept up).
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from markupsafe import Markup

from kinefit.io.atomic import write_text
from kinefit.quality.quantities import Quality
from kinefit.quality.verdict import VERDICT_WORDS, verdict
from kinefit.report.parts import (
    Table,
    angle_legend,
    angle_panels,
    environment,
    film,
    frames_figure,
)
from kinefit.types import Finding, InputError, JointAngles


@dataclass(frozen=True, eq=False)
class Recording:
    """What the viewer shows of one result.

    title: its heading. scenes: packed by `kinefit.report.scene.pack_scene`; several, of people in
    one recording, are shown in one space. film: a video of it.
    film_address: where the page finds a film that is too large for it; else beside it.
    angles: joint angles. quality: what the frames are worth. findings: of the report; None where
    nothing was judged.
    """

    title: str
    scenes: Sequence[bytes]
    film: Path | None = None
    angles: JointAngles | None = None
    quality: Quality | None = None
    findings: Sequence[Finding] | None = None
    film_address: str = ""


def write_viewer(
    path: Path, recordings: Sequence[Recording], *, title: str,
    notes: Sequence[str] = (), tables: Sequence[Table] = (), report: str = "",
) -> None:  # fmt: skip
    """Write the page, atomically; equal recordings give equal bytes.

    notes: sentences under the heading. report: the name of the report beside it. A film of up
    to 20 MB is in the page, a larger one is read from where it lies. Nothing is read from the
    network.
    """
    scripts = player_scripts()
    frames = [one.quality for one in recordings if one.quality is not None and one.quality.views]
    page = environment().get_template("viewer.html").render(
        title=title,
        policy=policy(scripts),
        style=style_sheet(),
        scripts=scripts,
        stages=[stage(one, beside=path.parent) for one in recordings],
        notes=[*(("", text) for text in notes), *_verdicts(recordings)],
        frames=frames_figure(frames[0]) if len(recordings) == 1 and frames else None,
        sheets=[
            {"title": one.title, "stage": i, "joints": angle_panels(one.angles),
             "legend": angle_legend(one.angles)}
            for i, one in enumerate(recordings) if one.angles is not None
        ],
        tables=tables,
        report=report,
    )  # fmt: skip
    write_text(path, page)


def _verdicts(recordings: Sequence[Recording]) -> list[tuple[str, str]]:
    """(level, sentence) of each verdict, and of what it rests on."""
    found: list[tuple[str, str]] = []
    for one in recordings:
        if one.findings is None:
            continue
        word, name = verdict(one.findings), f"{one.title}: " if len(recordings) > 1 else ""
        found.append((word, f"{name}{VERDICT_WORDS[word]}."))
        levels = {"refusal": "unusable", "caution": "caution"}
        found += [
            (levels[f.level], f"{name}{f.what} {f.where}".rstrip())
            for f in one.findings if f.level in levels
        ]  # fmt: skip
    return found


def stage(one: Recording, beside: Path | None = None) -> Mapping[str, Any]:
    """A recording as the template `player.html` takes it.

    beside: the folder of the page, from which a film that is too large for it is read; None: such
    a film is left out.
    """
    shown = None if one.film is None else film(one.film, beside, one.film_address)
    return {
        "title": one.title,
        "film": "" if shown is None else shown.video,
        "poster": "" if shown is None else shown.poster,
        "scenes": [base64.b64encode(scene).decode() for scene in one.scenes],
    }


def style_sheet() -> Markup:
    """The style of all pages."""
    return Markup(_source("report.css"))  # noqa: S704 (the package's own file)


def policy(scripts: Sequence[str]) -> str:
    """The page's Content-Security-Policy: its own style and scripts by their hashes, pictures and
    films in it or beside it, and no request."""
    allowed = " ".join(_hash(script) for script in scripts) or "'none'"
    return (
        f"default-src 'none'; style-src {_hash(style_sheet())}; script-src {allowed}; "
        "img-src data: blob:; media-src data: blob: file: 'self'; base-uri 'none'; "
        "form-action 'none'"
    )


def player_scripts() -> list[Markup]:
    """What `player.html` needs: three.js and kinefit's own."""
    own = [_source(name) for name in ("viewer_space.js", "viewer_player.js")]
    return [Markup(text) for text in (three_js(), *own)]  # noqa: S704 (own files)


@cache
def three_js() -> str:
    """three.js with its reader of glTF, out of the package trimesh.

    Raises InputError for a trimesh that has it no more.
    """
    package = find_spec("trimesh")  # only where it is: loading it takes a processor second
    folders = (package and package.submodule_search_locations) or [""]
    try:
        place = Path(folders[0]) / "resources" / "templates" / "viewer.zip"
        with zipfile.ZipFile(place) as archive:
            page = archive.read(archive.namelist()[0]).decode()
        text = page[page.index("<script>") + len("<script>") : page.index("var camera,controls")]
        if "GLTFLoader" not in text or "</script" in text:
            raise ValueError("no GLTFLoader")
    except (OSError, ValueError, IndexError, KeyError, zipfile.BadZipFile) as error:
        hint = "install the version of trimesh that kinefit asks for"
        raise InputError("trimesh", f"holds no three.js ({error})", hint) from error
    return text


@cache
def _source(name: str) -> str:
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
