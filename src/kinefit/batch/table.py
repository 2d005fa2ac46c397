"""A table of trials: CSV with a line per trial, or TOML with `[defaults]` and `[[trial]]`."""

from __future__ import annotations

import csv
import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any

from kinefit.batch.trials import Draft, Trial, find_trials, named, videos_in
from kinefit.io.text import read_lines
from kinefit.io.toml import read_toml
from kinefit.pipeline.config import RunConfig, beside
from kinefit.pipeline.results import RIG_STEM
from kinefit.types import InputError

_NAME, _VIDEO = "name", "video"
_DECIMAL_COMMA = re.compile(r"^\s*(-?\d+),(\d+)\s*$")
_PLACES = ("person_at", "box")  # 640,360 is no decimal number
_SEPARATORS = ",;\t"
_NAME_BYTES = 255  # of a file or folder, on every disk
_Row = tuple[str, dict[str, Any]]  # what messages name, and its values


def read_trials(source: Path, options: Mapping[str, Any]) -> list[Trial]:
    """The trials of a folder or of a table (.csv, .tsv, .toml), sorted by name.

    options: of all trials; those of a trial's own line win over them, and they over the table's
    `[defaults]`. Raises InputError as `find_trials` and `read_table`, and for any other file.
    """
    if source.is_dir():
        return find_trials(source, options)
    return read_table(source, options)


def read_table(path: Path, options: Mapping[str, Any]) -> list[Trial]:
    """The trials of a table; paths count from its folder.

    `video` is a file, several (in CSV with ";" between), a folder of videos, or a pattern such as
    "P01/*.mp4"; `name` is where the results go, the video's path otherwise; every other column is
    an option of `kinefit run`, and an empty cell none. A video that is not there is found when the
    trial is run. Raises InputError, naming the line, for an unknown column (with the nearest
    option), a line without video, two lines of one name, and refused options.
    """
    shared: dict[str, Any] = {}
    match path.suffix.lower():
        case ".csv" | ".tsv" | ".txt":
            rows = list(_csv_rows(path))
        case ".toml":
            shared, rows = _toml_rows(path)
        case _:
            hint = "name a folder with videos, or a table (.csv, .toml) of trials"
            raise InputError(path, "is neither a folder nor a table of trials", hint)
    if not rows:
        raise InputError(path, "there is no trial in it", "give a line for each trial")
    drafts = [_draft(path, where, values) for where, values in rows]
    return named(drafts, {**shared, **options})


def _csv_rows(path: Path) -> Iterator[_Row]:
    lines = [line.text for line in read_lines(path)]
    separator = max(_SEPARATORS, key=lines[0].count)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        columns = [_option(path, name) for name in next(reader)]
        if len(set(columns)) < len(columns):
            raise InputError(path, "two columns have one name", "give each option once")
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if separator != ",":  # half of Europe's spreadsheets write 1,75
                    places = [i for i, name in enumerate(columns) if name in _PLACES]
                    cells = [
                        cell if i in places else _DECIMAL_COMMA.sub(r"\1.\2", cell)
                        for i, cell in enumerate(cells)
                    ]
                yield _csv_row(f"{path}, line {reader.line_num}", columns, cells)
    except csv.Error as error:
        raise InputError(path, f"line {reader.line_num}: {error}", "correct that line") from error


def _csv_row(where: str, columns: list[str], cells: list[str]) -> _Row:
    if len(cells) != len(columns):
        reason = f"has {len(cells)} cells, the header {len(columns)}"
        raise InputError(where, reason, "put a text with separators in it in quotes")
    values: dict[str, Any] = {
        n: c.strip() for n, c in zip(columns, cells, strict=True) if c.strip()
    }
    if ";" in values.get(_VIDEO, ""):
        values[_VIDEO] = [one.strip() for one in values[_VIDEO].split(";") if one.strip()]
    return where, values


def _toml_rows(path: Path) -> tuple[dict[str, Any], list[_Row]]:
    """([defaults], the rows)."""
    table = read_toml(path)
    defaults, rows = table.pop("defaults", {}), table.pop("trial", [])
    if table or not isinstance(defaults, dict) or not isinstance(rows, list):
        reason = f"`{next(iter(table), 'trial')}` does not belong there"
        raise InputError(path, reason, "give [defaults] and, for each trial, [[trial]]")
    found = []
    for number, row in enumerate(rows, start=1):
        where = f"{path}, trial {number}"
        if not isinstance(row, dict):
            raise InputError(where, "is no table", "write [[trial]] above its values")
        found.append((where, {_option(path, name): value for name, value in row.items()}))
    shared = beside(path, {_option(path, name): value for name, value in defaults.items()})
    return shared, found


def _option(path: Path, column: str) -> str:
    """The name of a column as an option; InputError for one that is none."""
    known = [_NAME, _VIDEO, *RunConfig.model_fields]
    name = column.strip().lower().replace("-", "_").replace(" ", "_")
    name = _VIDEO if name == "videos" else name
    if name not in known:
        near = get_close_matches(name, known, 1, 0.5)
        hint = f"call it `{near[0]}`, if that is meant" if near else "see kinefit run --help"
        raise InputError(path, f"there is no option `{column.strip()}`", hint)
    return name


def _draft(path: Path, where: str, row: Mapping[str, Any]) -> Draft:
    values = beside(path, row)
    name, given = values.pop(_NAME, None), values.pop(_VIDEO, None)
    if not given:
        raise InputError(where, "names no video", "fill in the column `video`")
    videos = tuple(_videos(path.parent, given if isinstance(given, list) else [given]))
    if name is not None:
        return Draft(str(name), "", videos, values, where)
    video = _below(path.parent, videos[0])
    if len(videos) == 1:
        return Draft(video.with_suffix("").as_posix(), video.as_posix(), videos, values, where)
    folder = video.parent.as_posix()
    short = folder if folder != "." else RIG_STEM
    return Draft(short, f"{folder}/{RIG_STEM}", videos, values, where)


def _videos(folder: Path, given: Iterable[Path]) -> Iterator[Path]:
    """Files as they are; of a folder its videos, of a pattern what fits (itself where nothing).

    In the name of the table's folder, `[`, `*` and `?` mean themselves.
    """
    for path in given:
        if max(len(os.fsencode(part)) for part in path.parts) > _NAME_BYTES:
            raise InputError(f"{str(path)[:60]}...", "a file has no such long name", "correct it")
        found: Iterable[Path] = ()
        if path.is_dir():
            found = videos_in(path)
        elif not path.exists():
            inside = path.relative_to(folder) if path.is_relative_to(folder) else path
            pattern = Path(glob.escape(str(folder))) / inside
            found = sorted(map(Path, glob.glob(str(pattern), recursive=True)))
        yield from (Path(os.path.abspath(one)) for one in (list(found) or [path]))


def _below(folder: Path, video: Path) -> PurePath:
    """The video's path from the folder; from the root of the disk where it is not below."""
    folder = Path(os.path.abspath(folder))
    if video.is_relative_to(folder):
        return video.relative_to(folder)
    return video.resolve().relative_to(video.resolve().anchor)
