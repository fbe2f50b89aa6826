"""Pages without a form, by hands that nothing learnt from: lines of digits, an alphabet, words, numbers.

Usage: python benchmarks/drawn_pages.py [--kind KIND] [--content CONTENT] [--n 8] [--seed 0] [-o build/pages]
Writes each page's picture, NAME.png, and NAME-boxes.png with the true boxes of its characters drawn over it,
and truth.json. KIND is "scan", "photograph" or "all", which take turns, or one of their kinds.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from drawn_camera import PHOTOGRAPHS, SCANS, photograph, scan
from drawn_forms import overlay
from drawn_hands import (
    CAPITALS,
    DIGITS,
    MARKS,
    Hands,
    Pen,
    held_out_hands,
    random_pen,
    stamp,
    write,
    write_mark,
)
from drawn_paper import ink_in, paper, rule
from drawn_templates import MM
from numpy.typing import NDArray

__all__ = ["PAGES", "DrawnPage", "draw_page"]

PAGES: Final = ("spaced digits", "touching digits", "alphabet", "words", "numbers")
"""Lines of 4 to 12 digits, apart or joined; 26 capitals in rows; words in capitals; numbers with marks."""

PAPER_MM: Final = (148.0, 210.0)
"""A5, upright."""

MARGIN_MM: Final = 14.0

JOINED_SHARE: Final = 0.75
"""Of the pairs in a line of touching digits; the others come close."""

OVERHANG: Final = 0.2
"""How far a digit reaches under the one before it until it touches, at most, as a share of the height."""

WORDS: Final = (
    "APPLE", "BRIDGE", "CLOCK", "DOOR", "EAGLE", "FLUTE", "GARDEN", "HOUSE", "INK", "JACKET", "KETTLE",
    "LEMON", "MOUSE", "NORTH", "OPEN", "PAPER", "QUIET", "RIVER", "SILVER", "TABLE", "UNDER", "VIOLIN",
    "WINDOW", "XENON", "YELLOW", "ZEBRA", "AND", "OF", "TO", "MY",
)  # fmt: skip


@dataclass(frozen=True)
class DrawnPage:
    """A page and what is written on it.

    Attributes:
        image: uint8 [H, W].
        lines: their texts, from top to bottom; words apart by one space.
        labels: of every character in that order, without spaces.
        corners: of the ink of each, float32 [N, 4, 2]: top left, top right, bottom right, bottom left as
            the page is read, in px of the image.
        content: one of `PAGES`.
        kind: one of `SCANS` or `PHOTOGRAPHS`.
        pen: what it was written with.
    """

    image: NDArray[np.uint8]
    lines: tuple[str, ...]
    labels: tuple[str, ...]
    corners: NDArray[np.float32]
    content: str
    kind: str
    pen: Pen


@dataclass(frozen=True)
class _Style:
    """How a page is written: px at `DPI`, and shares of the characters' height.

    Attributes:
        height: of a digit or capital.
        pitch: between base lines.
        gap: between two characters' ink.
        space: between two words' ink.
        joined: share of the pairs that touch.
    """

    height: float
    pitch: float
    gap: float
    space: float = 0.0
    joined: float = 0.0


def _digit_lines(generator: np.random.Generator) -> list[str]:
    lines = int(generator.integers(4, 9))
    return ["".join(generator.choice(list(DIGITS), int(generator.integers(4, 13)))) for _ in range(lines)]


def _alphabet(generator: np.random.Generator) -> list[str]:
    letters = list(CAPITALS) if generator.random() < 0.6 else generator.permutation(list(CAPITALS)).tolist()
    row = int(generator.integers(5, 8))
    return ["".join(letters[start : start + row]) for start in range(0, 26, row)]


def _word_lines(generator: np.random.Generator) -> list[str]:
    lines = []
    for _ in range(int(generator.integers(3, 8))):
        words = generator.choice(WORDS, int(generator.integers(2, 5))).tolist()
        while len(" ".join(words)) > 16:
            words.pop()
        lines.append(" ".join(words))
    return lines


def _numbers(generator: np.random.Generator) -> list[str]:
    """Return decimals, times, dates, fractions and negative numbers."""

    def digits(least: int, most: int) -> str:
        return "".join(generator.choice(list(DIGITS), int(generator.integers(least, most + 1))))

    shapes: tuple[Callable[[], str], ...] = (
        lambda: f"{digits(1, 3)},{digits(1, 2)}",
        lambda: f"{digits(1, 3)}.{digits(1, 2)}",
        lambda: f"-{digits(1, 2)}.{digits(1, 1)}",
        lambda: f"{digits(1, 2)}/{digits(1, 2)}",
        lambda: f"{generator.integers(0, 24):02}:{generator.integers(0, 60):02}",
        lambda: f"{generator.integers(1, 29)}.{generator.integers(1, 13)}.{generator.integers(1950, 2030)}",
        lambda: f"{digits(2, 3)}-{digits(3, 4)}",
        lambda: f"{digits(1, 1)},{digits(3, 3)}.{digits(2, 2)}",
    )
    return [shapes[int(generator.integers(len(shapes)))]() for _ in range(int(generator.integers(5, 9)))]


_TEXTS: Final = {
    "spaced digits": _digit_lines,
    "touching digits": _digit_lines,
    "alphabet": _alphabet,
    "words": _word_lines,
    "numbers": _numbers,
}


def _random_style(content: str, lines: int, generator: np.random.Generator) -> _Style:
    room = (PAPER_MM[1] - 2 * MARGIN_MM) * MM / lines
    height = generator.uniform(*((8.0, 12.0) if content == "alphabet" else (5.0, 7.5))) * MM
    pitch = min(room, height * generator.uniform(1.6, 2.6))
    height = min(height, 0.7 * pitch)
    gap, space, joined = {
        "spaced digits": ((0.22, 0.45), (0, 0), 0.0),
        "touching digits": ((0.03, 0.1), (0, 0), JOINED_SHARE),
        "alphabet": ((0.4, 0.9), (0, 0), 0.0),
        "words": ((0.1, 0.26), (0.75, 1.1), 0.0),
        "numbers": ((0.12, 0.3), (0, 0), 0.0),
    }[content]
    return _Style(height, pitch, generator.uniform(*gap), generator.uniform(*space), joined)


class _Writer:
    """Writes lines on a page's layer with one pen, and keeps where each character's ink is."""

    def __init__(
        self, layer: NDArray[np.uint8], hands: Hands, pen: Pen, style: _Style, generator: np.random.Generator
    ) -> None:
        self.layer, self.hands, self.pen, self.style, self.generator = layer, hands, pen, style, generator
        self.pen_px = pen.width * MM
        self.slant, self.rise = generator.normal(0, 0.06), generator.normal(0, 0.012)
        self.boxes: list[tuple[float, float, float, float]] = []

    def write(self, text: str, x: float, base: float) -> None:
        """Write a line from x on, its base line at y = base there."""
        start, before = x, None
        generator, style = self.generator, self.style
        for character in text:
            if character == " ":
                x += (style.space - style.gap) * style.height * generator.uniform(0.9, 1.15)
                before = None
                continue
            cover, above = self._ink(character)
            bottom = base + self.rise * (x - start) - above + generator.normal(0, 0.03) * style.height
            top = round(bottom - cover.shape[0])
            if before is not None and generator.random() < style.joined:
                right = before[1] + before[0].shape[1]
                x = max(self._touching(before, cover, top), right - OVERHANG * style.height)
            left = round(x)
            stamp(self.layer, cover, left, top)
            self.boxes.append((left, top, left + cover.shape[1], top + cover.shape[0]))
            before = (cover, left, top)
            x = left + cover.shape[1] + style.gap * style.height * generator.uniform(0.75, 1.25)

    def _ink(self, character: str) -> tuple[NDArray[np.uint8], float]:
        """Return a character's cover, and how far above the base line it ends, in px."""
        generator, height = self.generator, self.style.height
        if character in MARKS:
            return write_mark(character, height, self.pen_px, generator)
        lean, turn = self.slant + generator.normal(0, 0.03), generator.normal(0, 2)
        glyph = self.hands.choose(character, generator)
        length = height * generator.normal(1, 0.06)
        cover = write(glyph, length, self.pen_px, self.pen, slant=lean, turn=turn)
        if cover.shape[1] > 1.15 * height:  # lies on its side in the dataset
            cover = write(
                glyph, length * 1.15 * height / cover.shape[1], self.pen_px, self.pen, slant=lean, turn=turn
            )
        return cover, 0.0

    @staticmethod
    def _touching(before: tuple[NDArray[np.uint8], int, int], cover: NDArray[np.uint8], top: int) -> float:
        """Return where a character begins that just touches the one before it."""
        other, left, other_top = before
        first, last = max(top, other_top), min(top + len(cover), other_top + len(other))
        if last <= first:
            return float(left + other.shape[1])
        there = other[first - other_top : last - other_top] > 100
        here = cover[first - top : last - top] > 100
        rows = there.any(axis=1) & here.any(axis=1)
        if not rows.any():
            return float(left + other.shape[1])
        ends = there.shape[1] - there[rows, ::-1].argmax(axis=1)
        begins = here[rows].argmax(axis=1)
        return left + float((ends - begins).max()) - 1.5


def draw_page(content: str, kind: str, seed: int, *, hands: Hands | None = None) -> DrawnPage:
    """Write a page of A5 and photograph or scan it at 200 dpi.

    Args:
        content: one of `PAGES`.
        kind: one of `SCANS` or `PHOTOGRAPHS`.
        hands: who writes it; by default, those of test splits.

    Raises:
        ValueError: no such kind or content.
        DatasetError: a dataset is absent.
    """
    if kind not in SCANS + PHOTOGRAPHS or content not in PAGES:
        raise ValueError(f"{kind!r} or {content!r} is none of the kinds or contents")
    generator = np.random.default_rng((3, zlib.crc32(f"{kind}/{content}".encode()), seed))
    lines = _TEXTS[content](generator)
    style, pen = _random_style(content, len(lines), generator), random_pen(generator)
    shape = (round(PAPER_MM[1] * MM), round(PAPER_MM[0] * MM))
    layer = np.zeros(shape, np.uint8)
    writer = _Writer(layer, hands or held_out_hands(), pen, style, generator)
    first = MARGIN_MM * MM + style.height
    for number, text in enumerate(lines):
        writer.write(text, MARGIN_MM * MM * generator.uniform(0.8, 1.3), first + number * style.pitch)
    page = paper(shape, generator.uniform(222, 250), generator.uniform(0.8, 3.0), generator)
    ruling = str(generator.choice(["plain", "ruled", "squared"], p=[0.5, 0.35, 0.15]))
    if ruling == "ruled":  # the lines rest on every one of its lines, or on every second
        spacing = style.pitch / (2 if style.pitch > 11 * MM else 1)
        rule(page, first % spacing, spacing, ruling, generator.uniform(165, 205), generator)
    elif ruling == "squared":
        rule(page, generator.uniform(0, 5) * MM, 5 * MM, ruling, generator.uniform(180, 212), generator)
    ink_in(page, layer, pen.level, pen.grain, generator)
    shot = (
        scan(page, kind, generator)
        if kind in SCANS
        else photograph(page, kind, generator, shorter=round(shape[1] * 1.09))
    )
    ends = np.array(writer.boxes, float).reshape(-1, 4) - 0.5
    corners = shot.place(ends[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)).reshape(-1, 4, 2)
    labels = tuple(character for text in lines for character in text if character != " ")
    return DrawnPage(shot.image, tuple(lines), labels, corners.astype(np.float32), content, kind, pen)


def main() -> None:
    groups = {"scan": SCANS, "photograph": PHOTOGRAPHS, "all": SCANS + PHOTOGRAPHS}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kind", choices=[*groups, *SCANS, *PHOTOGRAPHS], default="photograph")
    parser.add_argument("--content", choices=PAGES, default=PAGES[0])
    parser.add_argument("--n", type=int, default=8, help="pages")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/pages"))
    given = parser.parse_args()
    kinds = groups.get(given.kind, (given.kind,))
    given.output.mkdir(parents=True, exist_ok=True)
    truths = {}
    for number in range(given.seed, given.seed + given.n):
        page = draw_page(given.content, kinds[number % len(kinds)], number)
        name = f"{given.content.replace(' ', '-')}-{number}"
        cv2.imwrite(str(given.output / f"{name}.png"), page.image)
        cv2.imwrite(str(given.output / f"{name}-boxes.png"), overlay(page.image, [page.corners]))
        truths[f"{name}.png"] = {
            "kind": page.kind, "pen": page.pen.name, "lines": page.lines, "labels": page.labels,
            "boxes": page.corners.round(1).tolist(),
        }  # fmt: skip
        print(f"{name}.png: {page.kind}, {page.pen.name}", flush=True)
    (given.output / "truth.json").write_text(json.dumps(truths, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
