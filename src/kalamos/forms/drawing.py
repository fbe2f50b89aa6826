"""What is drawn into a PDF: texts in a font that has their characters, markers, codes and pictures."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import FormError, ImageError, first_line
from kalamos.forms.layout import QUIET_ZONE
from kalamos.forms.template import Box
from kalamos.images import load_grey

if TYPE_CHECKING:
    from fpdf import FPDF

__all__ = [
    "MM_A_POINT",
    "Align",
    "Writer",
    "can_write",
    "draw_code",
    "draw_marker",
    "font_for",
    "grey_png",
    "installed_fonts",
    "is_rtl",
]

MIN_PT: Final = 5.0
"""Texts that do not fit are made smaller, down to this size."""

MM_A_POINT: Final = 25.4 / 72

ELLIPSIS: Final = "..."
"""Of dots, which every font has."""

CODE_QUIET_MODULES: Final = 4
"""Of white around a QR code."""

FONT_FILES: Final = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoNaskhArabic-Regular.ttf",
    "NotoSansArabic-Regular.ttf",
    "arial.ttf",
    "Arial.ttf",
    "Arial Unicode.ttf",
    "tahoma.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "msyh.ttc",
    "PingFang.ttc",
)
"""Looked for first where systems keep their fonts: those that suit a form, with most scripts first."""

FONT_SUFFIXES: Final = (".ttf", ".otf", ".ttc")

Align = Literal["L", "C", "R"]


def draw_marker(pdf: FPDF, number: int, place: Box) -> None:
    """Draw an ArUco marker of the dictionary 4x4_50 at a place in mm."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    _draw_modules(pdf, cv2.aruco.generateImageMarker(dictionary, number, 6) == 0, place, QUIET_ZONE)


def draw_code(pdf: FPDF, text: str, place: Box) -> None:
    """Draw a QR code at a place in mm, which its quiet zone surrounds."""
    import segno

    qr = segno.make_qr(text, error="m", boost_error=False)
    modules = np.array([[bool(value) for value in row] for row in qr.matrix])
    _draw_modules(pdf, modules, place, CODE_QUIET_MODULES * place.width / len(modules))


def grey_png(path: Path, what: str) -> bytes:
    """Return a picture as a grey PNG: what kalamos does not read does not go into a PDF.

    Args:
        path: of the picture.
        what: it is called in errors.

    Raises:
        FormError: it cannot be read, or is too large for PNG.
    """
    try:
        grey = load_grey(path)
    except ImageError as error:
        raise FormError(f"{what}: {error.problem}", remedy=error.remedy) from error
    done, content = cv2.imencode(".png", grey)
    if not done:
        raise FormError(f"{what}: {path.name!r} cannot be kept as PNG")
    return content.tobytes()


def _draw_modules(pdf: FPDF, modules: NDArray[np.bool_], place: Box, quiet: float) -> None:
    """Draw a square of modules, [N, N], where they are black, and white around it."""
    step = place.width / len(modules)
    pdf.set_fill_color(255)
    pdf.rect(place.x - quiet, place.y - quiet, place.width + 2 * quiet, place.height + 2 * quiet, "F")
    pdf.set_fill_color(0)
    for number, row in enumerate(modules):
        for start, stop in _runs(row):
            # A hair over the edge, or viewers leave a bright line between two modules.
            pdf.rect(
                place.x + start * step,
                place.y + number * step,
                (stop - start) * step,
                step + (0.02 if number + 1 < len(modules) else 0),
                "F",
            )


def _runs(row: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(np.int8), [0]))))
    return ((int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True))


@dataclass
class Writer:
    """Writes texts of any script into a PDF, each in a font that has its characters."""

    pdf: FPDF
    font: Path | None

    def write(
        self, text: str, place: Box, size: float, *, align: Align | None = None, bold: bool = False
    ) -> None:
        """Write one line, smaller where it does not fit, and cut where it cannot."""
        text = " ".join(text.split())
        if not text or place.width <= 0:
            return
        self.choose_font(text, bold=bold)
        size = min(size, place.height / MM_A_POINT)
        self.pdf.set_font_size(size)
        width = self.pdf.get_string_width(text)
        if width > place.width:
            self.pdf.set_font_size(max(MIN_PT, size * place.width / width))
            width = self.pdf.get_string_width(text)
        if width > place.width + 0.1:
            kept = int(len(text) * place.width / width) - len(ELLIPSIS)
            text = f"{text[: max(kept, 1)]}{ELLIPSIS}"
        self.pdf.c_margin = 0
        self.pdf.set_xy(place.x, place.y)
        self.pdf.cell(place.width, place.height, text, align=align or ("R" if is_rtl(text) else "L"))

    def choose_font(self, text: str, *, bold: bool = False) -> None:
        """Write what comes in a font that has a text's characters.

        Raises:
            FormError: there is none, or the one that was named lacks some.
        """
        if self.font is None and _needed(text) <= _LATIN_1:
            self.pdf.set_text_shaping(False)
            self.pdf.set_font("helvetica", "B" if bold else "")
            return
        needed = _needed(text)
        path = self.font or font_for(needed)
        if path is None:
            raise FormError(
                f"no font is found with the characters of {text!r}",
                remedy="name a font file that has them, or install one such as DejaVu Sans or Noto",
            )
        missing = needed - _characters_of(path)
        if missing:
            raise FormError(
                f"the font {path.name} has no {' '.join(map(chr, sorted(missing)[:8]))}",
                remedy=f"name one that has all characters of {text!r}",
            )
        family = str(path).lower()
        if family not in self.pdf.fonts:
            self.pdf.add_font(family, fname=path)
        self.pdf.set_text_shaping(True)
        self.pdf.set_font(family)


_LATIN_1: Final = frozenset([*range(32, 127), *range(160, 256)])


def _needed(text: str) -> frozenset[int]:
    """Return the code points that a font must have, which joiners and direction marks are not of."""
    return frozenset(ord(each) for each in text if unicodedata.category(each) != "Cf")


def can_write(text: str, font: Path | None = None) -> bool:
    """Whether a font has all characters of a text: one that is named, or any other.

    Raises:
        FormError: the one that is named cannot be read.

    >>> can_write("abc")
    True
    """
    needed = _needed(text)
    if font is not None:
        return needed <= _characters_of(font)
    return needed <= _LATIN_1 or font_for(needed) is not None


def is_rtl(text: str) -> bool:
    """Whether a text's first letter is of a script that is written from the right.

    >>> is_rtl("12 \u0631\u0642\u0645"), is_rtl("mark")
    (True, False)
    """
    strong = (unicodedata.bidirectional(each) for each in text)
    return next((each for each in strong if each in ("L", "R", "AL")), "L") != "L"


@cache
def _characters_of(path: Path) -> frozenset[int]:
    from fontTools.ttLib import TTFont, TTLibError  # type: ignore[import-untyped]

    try:
        # Opened here: a file that is no font stays open in there.
        with path.open("rb") as file, TTFont(file, fontNumber=0, lazy=True) as font:
            return frozenset(font.getBestCmap() or ())
    except (OSError, TTLibError, AssertionError, ValueError, KeyError) as error:
        raise FormError(
            f"{path}: cannot be read as a font ({first_line(error)})", remedy="name a .ttf or .otf file"
        ) from error


@cache
def font_for(needed: frozenset[int]) -> Path | None:
    """Find an installed font that has all of some code points; None without."""
    for path in installed_fonts():
        try:
            if needed <= _characters_of(path):
                return path
        except FormError:  # a damaged file among the system's fonts is no reason to stop
            continue
    return None


@cache
def installed_fonts() -> tuple[Path, ...]:
    """Find the fonts where systems keep theirs: those of `FONT_FILES` first, then the regular ones."""
    home = Path.home()
    folders = {
        "win32": [Path(os.environ.get("WINDIR", "C:/Windows"), "Fonts")],
        "darwin": [home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")],
    }.get(
        sys.platform,
        [
            home / ".fonts",
            home / ".local/share/fonts",
            Path("/usr/local/share/fonts"),
            Path("/usr/share/fonts"),
        ],
    )
    found: dict[str, Path] = {}
    for folder in folders:
        for where, _, names in os.walk(folder):
            for name in names:
                if name.lower().endswith(FONT_SUFFIXES):
                    found.setdefault(name, Path(where, name))
    others = sorted(found.keys() - set(FONT_FILES), key=lambda name: ("regular" not in name.lower(), name))
    return tuple(found[name] for name in [*FONT_FILES, *others] if name in found)
