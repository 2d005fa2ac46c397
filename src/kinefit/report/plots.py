"""Joint angles as PNG files for a paper: one per joint group, and one with all of them.

Lines and areas of a sheet are drawn by matplotlib's Agg renderer, words by Pillow. matplotlib's own
figures and axes take 110 ms for a page of three panels, most of it for ticks and their text; this
takes 12 ms. There is no global state, so that any thread may draw.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.path import Path as AggPath
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from kinefit.io.atomic import atomic_path
from kinefit.render.palette import rgb
from kinefit.report.charts import angle_panel, angle_range, legend
from kinefit.report.drawing import Area, Sheet, Text, strokes
from kinefit.report.joint_labels import (
    angle_words,
    angles_of_joint,
    group_title,
    groups_of,
    joint_of,
    joints_of,
)
from kinefit.types import InvalidData, JointAngles

_CSS_DPI = 96.0  # a sheet's unit is the CSS pixel
_INCH_M = 0.0254
_DEFLATE = 3  # 6 takes twice the time for a seventh less
_ANCHOR = {"start": "ls", "middle": "ms", "end": "rs"}  # left, middle, right of the base line


def write_png(sheet: Sheet, path: str | Path, scale: float = 2.0) -> None:
    """Write `sheet` as a PNG that prints at the sheet's size; equal sheets give equal bytes."""
    image = np.asarray(render(sheet, scale))
    with atomic_path(path) as temporary:
        temporary.write_bytes(_png(image, _CSS_DPI * scale))


def _png(image: NDArray[np.uint8], dots_per_inch: float) -> bytes:
    """(height, width, 3) RGB as a file of the PNG format (ISO/IEC 15948), its lines unfiltered.

    Pillow tries five filters on each line, which photos gain by; drawings of flat areas take a
    quarter of the time without, and a tenth less space.
    """
    height, width, _ = image.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with the filter's number
    lines[:, 1:] = image.reshape(height, -1)
    dots_per_metre = round(dots_per_inch / _INCH_M)
    chunks = (
        b"IHDR" + struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0),  # 8 bits, RGB
        b"pHYs" + struct.pack(">2IB", dots_per_metre, dots_per_metre, 1),
        b"IDAT" + zlib.compress(lines.data, _DEFLATE),
        b"IEND",
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks
    )


def render(sheet: Sheet, scale: float = 2.0) -> Image.Image:
    """`sheet` on white, `scale` pixels per unit of the sheet, RGB. Words lie above shapes."""
    # At 72 dpi a point is a pixel: line widths are in pixels.
    renderer: Any = RendererAgg(  # type: ignore[no-untyped-call]
        round(sheet.width * scale), round(sheet.height * scale), 72
    )
    np.asarray(renderer.buffer_rgba())[...] = 255
    flip = Affine2D().scale(scale, -scale).translate(0, renderer.height)
    for shape in sheet.shapes:
        if isinstance(shape, Text):
            continue
        gc = renderer.new_gc()
        gc.set_alpha(shape.opacity)
        if isinstance(shape, Area):
            gc.set_linewidth(0)
            renderer.draw_path(gc, AggPath(shape.points), flip, to_rgb(shape.color))
            continue
        gc.set_foreground(to_rgb(shape.color))
        gc.set_linewidth(shape.width * scale)
        gc.set_capstyle("round")
        gc.set_joinstyle("round")
        for run in strokes(shape.points):
            renderer.draw_path(gc, AggPath(run), flip)
    image = Image.fromarray(cv2.cvtColor(np.asarray(renderer.buffer_rgba()), cv2.COLOR_RGBA2RGB))
    for shape in sheet.shapes:
        if isinstance(shape, Text):
            _write(image, shape, scale)
    return image


def _write(image: Image.Image, text: Text, scale: float) -> None:
    font = _font(text.size * scale, text.bold)
    x, y, color = text.x * scale, text.y * scale, rgb(text.color)
    if not text.upright:
        place = ImageDraw.Draw(image)
        place.text((x, y), text.text, fill=color, font=font, anchor=_ANCHOR[text.anchor])
        return
    width, height = round(font.getlength(text.text)), round(2 * text.size * scale)
    stencil = Image.new("L", (width, height))
    ImageDraw.Draw(stencil).text((0, height / 2), text.text, fill=255, font=font, anchor="ls")
    ahead = width * {"start": 1.0, "middle": 0.5, "end": 0.0}[text.anchor]
    corner = (round(x - height / 2), round(y - ahead))
    image.paste(color, corner, stencil.transpose(Image.Transpose.ROTATE_90))


@cache
def _font(size_px: float, bold: bool) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib: every machine draws the same letters."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", name)
    return ImageFont.truetype(str(path), size_px, layout_engine=ImageFont.Layout.BASIC)


_WIDTH = 680.0  # 180 mm: two columns of a journal
_PANEL = 150.0
_SCALE = 2.0  # 192 dots per inch: text stays crisp at that size


def plot_all(angles: JointAngles, folder: str | Path, stem: str) -> list[Path]:
    """Write `<stem>_<group>.png` for each group and `<stem>_all.png`; the paths, in that order.

    Two threads: compressing the pixels, the larger half of the work, leaves Python's lock.
    """
    folder = Path(folder)
    jobs: list[tuple[Callable[[], Sheet], Path]] = [
        (lambda group=group: group_sheet(angles, group), folder / f"{stem}_{group}.png")  # type: ignore[misc]
        for group in groups_of(angles.names)
    ]
    jobs.append((lambda: overview_sheet(angles), folder / f"{stem}_all.png"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: write_png(job[0](), job[1], _SCALE), jobs))
    return [path for _, path in jobs]


def group_sheet(angles: JointAngles, group: str) -> Sheet:
    """The figure of one group ("knee_r"): a panel per angle, one above the other, times aligned.

    Right and left have the same axes, so that their two figures can be laid side by side. Raises
    InvalidData for a group without angles.
    """
    columns = [name for name in angles.names if name.rpartition("_")[0] == group]
    if not columns:
        raise InvalidData(f"No angles of {group!r}; there are: {', '.join(angles.names)}.")
    sheet = Sheet(_WIDTH, 50 + _PANEL * len(columns) + 14)
    sheet.text(46, 22, f"{group_title(group)} angles", size=14, bold=True)
    legend(sheet, 46, 41, _columns(angles, columns))
    both_sides = angles_of_joint(angles.names, joint_of(group))
    for row, column in enumerate(columns):
        pair = next(same for same in both_sides if column in same)
        last = row == len(columns) - 1
        box = (0.0, 50 + _PANEL * row, _WIDTH, _PANEL + (14 if last else 0))
        angle_panel(sheet, box, angles, [column], limits=angle_range(angles, pair), time_label=last)
    return sheet


def overview_sheet(angles: JointAngles) -> Sheet:
    """The figure of all joints: a row per joint, right and left overlaid."""
    rows = [
        (joint, pairs[i : i + 3])
        for joint in joints_of(angles.names)
        for pairs in [angles_of_joint(angles.names, joint)]
        for i in range(0, len(pairs), 3)
    ]
    width, height = 340.0, 132.0
    sheet = Sheet(3 * width, 50 + height * len(rows) + 14)
    sheet.text(46, 22, "Joint angles", size=14, bold=True)
    legend(sheet, 46, 41, angles)
    for row, (joint, pairs) in enumerate(rows):
        last = row == len(rows) - 1
        for column, pair in enumerate(pairs):
            box = (width * column, 50 + height * row, width, height + (14 if last else 0))
            title = f"{joint.capitalize()} {angle_words(pair[0]).name}"
            angle_panel(sheet, box, angles, pair, title=title, time_label=last)
    return sheet


def _columns(angles: JointAngles, names: list[str]) -> JointAngles:
    """Only the named columns of a table."""
    pick = [angles.names.index(name) for name in names]
    sd = None if angles.sd is None else angles.sd[:, pick]
    return JointAngles(
        angles.timeline, tuple(names), angles.degrees[:, pick], angles.gimbal[:, pick], sd
    )
