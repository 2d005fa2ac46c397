"""Sheets as PNG files: lines and areas by matplotlib's Agg renderer, words by Pillow.

matplotlib's own figures and axes would do it in fewer lines, but take 110 ms for a page of three
panels, most of it for ticks and their text; this takes 12 ms. There is no global state, so that
any thread may draw.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.path import Path as AggPath
from matplotlib.transforms import Affine2D
from PIL import Image, ImageDraw, ImageFont

from kinefit.io.atomic import atomic_path
from kinefit.render.palette import rgb
from kinefit.report.drawing import Area, Line, Sheet, Text, strokes

_CSS_DPI = 96.0  # a sheet's unit is the CSS pixel
_ANCHOR = {"start": "ls", "middle": "ms", "end": "rs"}  # left, middle, right of the base line


def write_png(sheet: Sheet, path: str | Path, scale: float = 2.0) -> None:
    """Write `sheet` as a PNG that prints at the sheet's size; equal sheets give equal bytes."""
    image, dots_per_inch = render(sheet, scale), (_CSS_DPI * scale,) * 2
    with atomic_path(path) as temporary:
        image.save(temporary, "PNG", compress_level=3, dpi=dots_per_inch)


def render(sheet: Sheet, scale: float = 2.0) -> Image.Image:
    """`sheet` on white, `scale` pixels per unit of the sheet, RGB. Words lie above shapes."""
    # At 72 dpi a point is a pixel: line widths are in pixels.
    renderer: Any = RendererAgg(  # type: ignore[no-untyped-call]
        round(sheet.width * scale), round(sheet.height * scale), 72
    )
    np.asarray(renderer.buffer_rgba())[...] = 255
    flip = Affine2D().scale(scale, -scale).translate(0, renderer.height)
    for shape in sheet.shapes:
        if isinstance(shape, Area):
            _paint_area(renderer, shape, flip)
        elif isinstance(shape, Line):
            _paint_line(renderer, shape, flip, scale)
    image = Image.fromarray(cv2.cvtColor(np.asarray(renderer.buffer_rgba()), cv2.COLOR_RGBA2RGB))
    for shape in sheet.shapes:
        if isinstance(shape, Text):
            _write(image, shape, scale)
    return image


def _paint_area(renderer: Any, area: Area, flip: Affine2D) -> None:
    gc = renderer.new_gc()
    gc.set_linewidth(0)
    gc.set_alpha(area.opacity)
    renderer.draw_path(gc, AggPath(area.points), flip, _unit(area.color))


def _paint_line(renderer: Any, line: Line, flip: Affine2D, scale: float) -> None:
    gc = renderer.new_gc()
    gc.set_foreground(_unit(line.color))
    gc.set_alpha(line.opacity)
    gc.set_linewidth(line.width * scale)
    gc.set_capstyle("round")
    gc.set_joinstyle("round")
    for run in strokes(line.points):
        renderer.draw_path(gc, AggPath(run), flip)


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


def _unit(color: str) -> tuple[float, float, float]:
    red, green, blue = rgb(color)
    return red / 255, green / 255, blue / 255
