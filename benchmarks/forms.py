"""How well drawn forms and pages are read: scans and photographs, lines, an alphabet, words, numbers.

Usage: python benchmarks/forms.py [--write | --development] [--sheets] [--n 20] [--only NAME ...]
Needs MNIST, EMNIST and AHCD in the data folder: the hands are those of their test splits, and papers and
cameras are drawn by code that no training uses (`drawn_forms`, `drawn_pages`). Prints what is read of each
kind, and the figures that are wanted; `--write` keeps them in docs/forms.json and in docs/results.md;
`--sheets` draws what was misread to build/forms-read. `--n` are the sheets or pages of each kind, of forms
with check digits three times as many; `--only` names contents. `--development` draws other forms and pages,
by the hands of the validation parts: for looking and choosing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, Self, TypeVar

import cv2
import numpy as np
from drawn_camera import PHOTOGRAPHS, SCANS
from drawn_forms import SHEETS_A_FORM, FilledSheet, box_labels, draw_sheet, overlay
from drawn_hands import (
    ARABIC,
    CAPITALS,
    DIGITS,
    Hands,
    development_hands,
    held_out_hands,
    random_pen,
    write,
)
from drawn_pages import PAGES, DrawnPage, draw_page
from drawn_templates import CONTENTS, MM
from numpy.typing import NDArray

import kalamos
from kalamos.evaluation.metrics import wilson_interval
from kalamos.forms.reader import FormReader

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

KEPT, PAGE, SHEETS = ROOT / "docs" / "forms.json", ROOT / "docs" / "results.md", ROOT / "build" / "forms-read"

OVERLAP: Final = 0.5
"""Of a character's true box and the one that was found, shared by what either covers, to count as found."""

CHECKED_TIMES: Final = 3
"""As many forms with check digits: few of their answers are wrong, and how few is wanted."""

ALONE: Final = (
    ("digits", DIGITS, "digits", ""),
    ("capitals", CAPITALS, "latin-large", "upper"),
    ("arabic", ARABIC, "arabic-large", ""),
)
"""A content, its characters, and the model and charset that read it: for crops of the same ink."""

CROPS: Final = 2_000

CROP_PX: Final = 36.0, 56.0
"""The longer side of a character's ink, in px: as in the boxes at 200 dpi."""


@dataclass(frozen=True)
class FieldAnswer:
    """What was read of a field.

    Attributes:
        text: as `FilledSheet.truth` has it.
        status: "ok", "check", "blank" or "missing".
        labels: of each box, from the left; "" for a blank. Of a tick field, "x" where it is ticked.
    """

    text: str
    status: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class PageAnswer:
    """What was read of a page.

    Attributes:
        lines: in reading order; words apart by one space.
        labels: of every character.
        boxes: x, y, width and height of every character, float [N, 4], in px of the image.
    """

    lines: tuple[str, ...]
    labels: tuple[str, ...]
    boxes: NDArray[np.float64]


Tally = TypeVar("Tally", "SheetTally", "PageTally")

SheetReader = Callable[[FilledSheet], Mapping[str, FieldAnswer] | None]
"""Returns what is in each field; None where the sheet could not be registered."""

PageReader = Callable[[DrawnPage], PageAnswer]


def read_sheet(sheet: FilledSheet) -> Mapping[str, FieldAnswer] | None:
    """Read a filled form with `kalamos.forms`."""
    filled = _reader_of(sheet).read(sheet.image)
    if filled.status in {"unregistered", "error"}:
        return None
    return {
        name: FieldAnswer(
            reading.text or "",
            reading.status,
            tuple(box.label or "" if box else "" for box in reading.boxes),
        )
        for name, reading in filled.fields.items()
    }


_readers: dict[str, FormReader] = {}
"""Of the last form: sheets of one form follow each other, and share what the form alone gives."""


def _reader_of(sheet: FilledSheet) -> FormReader:
    key = sheet.template.to_toml()
    if key not in _readers:
        _readers.clear()
        folder = tempfile.mkdtemp(prefix="kalamos-forms-")
        for page in sheet.template.pages:
            if page.image:
                cv2.imwrite(str(Path(folder, page.image)), sheet.empty)
        _readers[key] = FormReader(replace(sheet.template, folder=folder))
    return _readers[key]


def read_page(page: DrawnPage) -> PageAnswer:
    """Read a page with `kalamos.read`."""
    model, charset = ("digits", None) if page.content in DIGIT_PAGES else ("latin-large", "upper")
    answer = kalamos.read(page.image, model=_model(model), layout="page", charset=charset)
    characters = [each for each in answer.characters if each.label is not None]
    return PageAnswer(
        tuple(line.text for line in answer.lines),
        tuple(each.label or "" for each in characters),
        np.array([each.box for each in characters], np.float64).reshape(-1, 4),
    )


_model = lru_cache(kalamos.load)

DIGIT_PAGES: Final = frozenset({"spaced digits", "touching digits", "numbers"})


# --------------------------------------------------------------------------------------------- scoring


@dataclass(frozen=True)
class SheetTally:
    """Counts over filled forms; a sheet that is not registered has everything wrong.

    Attributes:
        characters, characters_right: filled boxes of text fields.
        blanks, blanks_read: blank boxes of text fields, and those that something was read in.
        ticks, ticks_right: boxes to tick, ticked or not.
        fields, fields_right, ok, ok_wrong: text fields with something in them.
        blank_fields, blank_told: text fields with nothing in them, and those whose status is "blank".
    """

    sheets: int = 0
    unregistered: int = 0
    characters: int = 0
    characters_right: int = 0
    blanks: int = 0
    blanks_read: int = 0
    ticks: int = 0
    ticks_right: int = 0
    fields: int = 0
    fields_right: int = 0
    ok: int = 0
    ok_wrong: int = 0
    blank_fields: int = 0
    blank_told: int = 0

    def __add__(self, other: Self) -> Self:
        mine, theirs = asdict(self), asdict(other)
        return type(self)(**{name: count + theirs[name] for name, count in mine.items()})


@dataclass(frozen=True)
class PageTally:
    """Counts over pages.

    Attributes:
        lines, lines_right: in order, and right if spaces are left out.
        lines_exact: right with their spaces.
        characters, found, characters_right: true boxes, those found (`OVERLAP`), and of these, with the
            right label.
        wholly: pages with every character found and right.
    """

    pages: int = 0
    lines: int = 0
    lines_right: int = 0
    lines_exact: int = 0
    characters: int = 0
    found: int = 0
    characters_right: int = 0
    wholly: int = 0

    def __add__(self, other: Self) -> Self:
        mine, theirs = asdict(self), asdict(other)
        return type(self)(**{name: count + theirs[name] for name, count in mine.items()})


def score_sheet(sheet: FilledSheet, answers: Mapping[str, FieldAnswer] | None) -> SheetTally:
    """Count what is right of one form."""
    tally = SheetTally(sheets=1, unregistered=int(answers is None))
    for field in sheet.template.fields:
        truth = sheet.truth[field.name]
        expected = box_labels(field, truth)
        answer = None if answers is None else answers.get(field.name)
        got = ("",) * len(expected) if answer is None else answer.labels
        pairs = list(zip(expected, got, strict=True))
        if field.kind == "tick":
            right = sum(bool(box) == bool(label) for box, label in pairs) if answer else 0
            tally += SheetTally(ticks=len(pairs), ticks_right=right)
            continue
        tally += SheetTally(
            characters=sum(bool(box) for box in expected),
            characters_right=sum(bool(box) and box == label for box, label in pairs),
            blanks=sum(not box for box in expected),
            blanks_read=sum(not box and bool(label) for box, label in pairs),
        )
        if not truth:
            told = answer is not None and answer.status == "blank"
            tally += SheetTally(blank_fields=1, blank_told=int(told))
            continue
        right = answer is not None and answer.text == truth
        ok = answer is not None and answer.status == "ok"
        tally += SheetTally(fields=1, fields_right=int(right), ok=int(ok), ok_wrong=int(ok and not right))
    return tally


def score_sheets(read: SheetReader, sheets: Iterable[FilledSheet], *, seen: Path | None = None) -> SheetTally:
    """Read forms and count what is right; draw those with a mistake into a folder if one is given."""
    tally = SheetTally()
    for number, sheet in enumerate(sheets):
        answers = read(sheet)
        one = score_sheet(sheet, answers)
        tally += one
        wrong = one.characters_right < one.characters or one.blanks_read or one.ticks_right < one.ticks
        if seen is not None and wrong:
            seen.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(
                str(seen / f"{sheet.template.name}-{sheet.kind}-{number}.png"), _marked(sheet, answers)
            )
    return tally


def _marked(sheet: FilledSheet, answers: Mapping[str, FieldAnswer] | None) -> NDArray[np.uint8]:
    """Return a sheet with its true boxes, and in red above each one that was misread what was read."""
    seen = overlay(sheet.image, sheet.corners.values())
    for field in sheet.template.fields:
        expected = box_labels(field, sheet.truth[field.name])
        answer = None if answers is None else answers.get(field.name)
        got = ("?",) * len(expected) if answer is None else answer.labels
        for box, label, corners in zip(expected, got, sheet.corners[field.name], strict=True):
            if box != label:
                place = corners.min(axis=0).round().astype(int).tolist()
                text = f"{_plain(box)}>{_plain(label)}"
                cv2.putText(seen, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 230), 2, cv2.LINE_AA)
    return seen


def _plain(label: str) -> str:
    """Return what OpenCV's font has for a label: an Arabic letter's number in the alphabet."""
    return label if label.isascii() else str(ARABIC.find(label))


def score_page(page: DrawnPage, answer: PageAnswer) -> PageTally:
    """Count what is right of one page."""
    matches = matched(page.corners, answer.boxes)
    right = sum(page.labels[true] == answer.labels[got] for true, got in matches)
    count = len(page.labels)
    expected, got = ([line.replace(" ", "") for line in lines] for lines in (page.lines, answer.lines))
    return PageTally(
        pages=1,
        lines=len(page.lines),
        lines_right=_common(expected, got),
        lines_exact=_common(page.lines, answer.lines),
        characters=count,
        found=len(matches),
        characters_right=right,
        wholly=int(right == count == len(answer.labels)),
    )


def score_pages(read: PageReader, pages: Iterable[DrawnPage], *, seen: Path | None = None) -> PageTally:
    """Read pages and count what is right; draw those with a mistake into a folder if one is given."""
    tally = PageTally()
    for number, page in enumerate(pages):
        answer = read(page)
        one = score_page(page, answer)
        tally += one
        if seen is not None and not one.wholly:
            seen.mkdir(parents=True, exist_ok=True)
            drawn = overlay(page.image, [page.corners])
            for label, (x, y, _, height) in zip(answer.labels, answer.boxes, strict=True):
                place = round(x), round(y + height + 20)
                text = _plain(label)
                cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 230), 2, cv2.LINE_AA)
            cv2.imwrite(str(seen / f"{page.content}-{page.kind}-{number}.png"), drawn)
    return tally


def _common(expected: Iterable[str], got: Iterable[str]) -> int:
    """Count the lines that both have, in order.

    >>> _common(["12", "34", "56"], ["12", "3", "56"])
    2
    """
    blocks = SequenceMatcher(None, list(expected), list(got), autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)


def matched(corners: NDArray[np.float32], boxes: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pair true boxes with found ones that overlap them enough, the closest first, each at most once.

    Args:
        corners: float32 [N, 4, 2].
        boxes: x, y, width, height, [M, 4].

    >>> square = np.array([[[0, 0], [10, 0], [10, 10], [0, 10]]], np.float32)
    >>> matched(square, np.array([[20.0, 0, 10, 10], [1, 0, 10, 10]]))
    [(0, 1)]
    """
    if not len(corners) or not len(boxes):
        return []
    low, high = corners.min(axis=1)[:, None], corners.max(axis=1)[:, None]
    starts, ends = boxes[None, :, :2], boxes[None, :, :2] + boxes[None, :, 2:]
    shared = np.clip(np.minimum(high, ends) - np.maximum(low, starts), 0, None).prod(axis=2)
    overlaps = shared / ((high - low).prod(axis=2) + (ends - starts).prod(axis=2) - shared)
    pairs: list[tuple[int, int]] = []
    for place in np.argsort(-overlaps, axis=None):
        true, got = divmod(int(place), len(boxes))
        if overlaps[true, got] < OVERLAP:
            break
        if all(true != one and got != other for one, other in pairs):
            pairs.append((true, got))
    return sorted(pairs)


# ------------------------------------------------------------------------------------------- measuring


class Figure(NamedTuple):
    """A share of something, and what it should be; `most` where less is better."""

    what: str
    hits: int
    n: int
    wanted: float | None = None
    most: bool = False


class Drawing(NamedTuple):
    """Who fills forms and writes pages, and from which numbers on they are drawn."""

    hands: Hands
    first_sheet: int = 0
    first_page: int = 0

    def sheets(self, content: str, kinds: Iterable[str], each: int) -> Iterator[FilledSheet]:
        for kind in kinds:
            for number in range(each * (CHECKED_TIMES if content == "checked" else 1)):
                # Twenty numbers share a form: take two of each.
                seed = self.first_sheet + number // 2 * SHEETS_A_FORM + number % 2
                yield draw_sheet(kind, content, seed, hands=self.hands)

    def pages(self, content: str, kinds: Iterable[str], each: int) -> Iterator[DrawnPage]:
        for kind in kinds:
            for number in range(self.first_page, self.first_page + each):
                yield draw_page(content, kind, number, hands=self.hands)


def score_alone(model: str, labels: str, charset: str, hands: Hands) -> Figure:
    """Read the same hands' ink, cut out, with nothing around it: what the recogniser alone can do."""
    generator = np.random.default_rng(23)
    truth = [labels[number % len(labels)] for number in range(CROPS)]
    crops = []
    for label in truth:
        pen = random_pen(generator)
        slant, turn = generator.normal(0, 0.07), generator.normal(0, 2)
        glyph = hands.choose(label, generator)
        ink = write(glyph, generator.uniform(*CROP_PX), pen.width * MM, pen, slant=slant, turn=turn)
        crops.append(255 - np.pad(ink, 8))
    answers = kalamos.load(model).predict_batch(crops, min_confidence=0, min_known=0, charset=charset or None)
    right = sum(answer.label == label for answer, label in zip(answers, truth, strict=True))
    return Figure(f"the same ink, each character cut out, on white ({model})", right, CROPS)


def sheet_figures(forms: Mapping[tuple[str, str], SheetTally]) -> Iterator[Figure]:
    """Yield what is wanted of forms, by content and kind."""
    for medium, kinds, digits, capitals, ok in (
        ("scans", SCANS, 0.993, 0.97, 0.95), ("photographs", PHOTOGRAPHS, 0.985, 0.95, 0.90),
    ):  # fmt: skip
        for content, wanted in (("digits", digits), ("capitals", capitals), ("arabic", None)):
            tally = _sum(SheetTally(), forms, content, kinds)
            yield Figure(
                f"{content} in boxes, {medium}: right", tally.characters_right, tally.characters, wanted
            )
        checked = _sum(SheetTally(), forms, "checked", kinds)
        yield Figure(f"8 digits with a check digit, {medium}: ok", checked.ok, checked.fields, ok)
        yield Figure(f"wrong among these, {medium}", checked.ok_wrong, checked.ok, 0.001, most=True)
        every = _sum(SheetTally(), forms, None, kinds)
        yield Figure(f"forms unregistered, {medium}", every.unregistered, every.sheets, 0.01, most=True)
        yield Figure(
            f"blank boxes read as something, {medium}", every.blanks_read, every.blanks, 0.003, most=True
        )
        yield Figure(f"boxes to tick, {medium}: right", every.ticks_right, every.ticks)


def page_figures(pages: Mapping[tuple[str, str], PageTally]) -> Iterator[Figure]:
    """Yield what is wanted of pages, by content and kind."""
    for content, wanted in (
        ("spaced digits", 0.95),
        ("touching digits", 0.85),
        ("words", None),
        ("numbers", None),
    ):
        tally = _sum(PageTally(), pages, content, PHOTOGRAPHS)
        yield Figure(f"{content}, photographed: lines wholly right", tally.lines_right, tally.lines, wanted)
        yield Figure(f"{content}, photographed: with their spaces", tally.lines_exact, tally.lines)
    tally = _sum(PageTally(), pages, "alphabet", PHOTOGRAPHS)
    yield Figure("26 capitals on a page, photographed: found", tally.found, tally.characters)
    yield Figure(
        "26 capitals on a page, photographed: right", tally.characters_right, tally.characters, 24 / 26
    )


def _sum(
    nothing: Tally, tallies: Mapping[tuple[str, str], Tally], content: str | None, kinds: Iterable[str]
) -> Tally:
    """Add up the tallies of a content, or of all, for some kinds."""
    chosen = set(kinds)
    found = (one for (what, kind), one in tallies.items() if content in {None, what} and kind in chosen)
    return sum(found, nothing)


# -------------------------------------------------------------------------------------------- printing


def share(count: int, n: int) -> str:
    """Return a share with its interval, or a dash."""
    if not n:
        return "–"
    low, high = wilson_interval(count, n)
    return f"{count / n:.2%} ({low:.2%} to {high:.2%})"


def figures_table(figures: Iterable[Figure]) -> str:
    lines = ["| what | n | share (95 % interval) | wanted |", "|---|---|---|---|"]
    for each in figures:
        told = ""
        if each.wanted is not None and each.n:
            reached = each.hits / each.n <= each.wanted if each.most else each.hits / each.n >= each.wanted
            bound = "at most" if each.most else "at least"
            told = f"{bound} {each.wanted:.1%}: {'reached' if reached else '**not reached**'}"
        if each.n:
            lines.append(f"| {each.what} | {each.n:,} | {share(each.hits, each.n)} | {told} |")
    return "\n".join(lines)


def forms_table(forms: Mapping[tuple[str, str], SheetTally]) -> str:
    heads = (
        "form", "kind", "sheets", "unregistered", "characters right", "blank boxes read", "blank fields told",
        "fields right", "ok", "wrong among ok",
    )  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for (content, kind), one in forms.items():
        cells = (
            content,
            kind,
            one.sheets,
            one.unregistered,
            share(one.characters_right, one.characters),
            f"{one.blanks_read} of {one.blanks:,}",
            f"{one.blank_told} of {one.blank_fields:,}",
            share(one.fields_right, one.fields),
            f"{one.ok} of {one.fields:,}",
            one.ok_wrong,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def pages_table(pages: Mapping[tuple[str, str], PageTally]) -> str:
    lines = [
        "| page | kind | pages | lines right | with their spaces | characters found | characters right |"
    ]
    lines.append("|---" * 7 + "|")
    for (content, kind), one in pages.items():
        shares = (
            share(one.lines_right, one.lines),
            share(one.lines_exact, one.lines),
            share(one.found, one.characters),
            share(one.characters_right, one.characters),
        )
        lines.append(f"| {content} | {kind} | {one.pages} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    use = parser.add_mutually_exclusive_group()
    use.add_argument("--write", action="store_true", help="keep the tables in docs/")
    use.add_argument("--development", action="store_true", help="other forms and pages, by validation hands")
    parser.add_argument("--sheets", action="store_true", help="draw what was misread to build/forms-read")
    parser.add_argument("--n", type=int, default=20, help="sheets or pages of each kind")
    parser.add_argument(
        "--only", nargs="+", choices=CONTENTS + PAGES, default=CONTENTS + PAGES, metavar="NAME"
    )
    given = parser.parse_args()
    seen = SHEETS if given.sheets else None
    drawing = Drawing(held_out_hands())
    page_kinds = PHOTOGRAPHS
    if given.development:
        drawing = Drawing(development_hands(), first_sheet=10_000, first_page=500)
        page_kinds = SCANS + PHOTOGRAPHS
    forms: dict[tuple[str, str], SheetTally] = {}
    pages: dict[tuple[str, str], PageTally] = {}
    for content in given.only:
        for kind in SCANS + PHOTOGRAPHS if content in CONTENTS else page_kinds:
            if content in CONTENTS:
                drawn = drawing.sheets(content, [kind], given.n)
                forms[content, kind] = score_sheets(read_sheet, drawn, seen=seen)
                row = forms_table({(content, kind): forms[content, kind]})
            else:
                written = drawing.pages(content, [kind], given.n)
                pages[content, kind] = score_pages(read_page, written, seen=seen)
                row = pages_table({(content, kind): pages[content, kind]})
            print(row.splitlines()[-1], flush=True)
    figures = [*sheet_figures(forms), *page_figures(pages)]
    figures += [
        score_alone(model, labels, charset, drawing.hands)
        for content, labels, model, charset in ALONE
        if content in given.only
    ]
    print(figures_table(figures))
    if given.write:
        date = datetime.now(UTC).date().isoformat()
        kept = {
            "date": date,
            "figures": [each._asdict() for each in figures],
            "forms": [
                {"form": content, "kind": kind, **asdict(one)} for (content, kind), one in forms.items()
            ],
            "pages": [
                {"page": content, "kind": kind, **asdict(one)} for (content, kind), one in pages.items()
            ],
        }
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
        parts = (
            figures_table(figures),
            forms_table(forms),
            pages_table(pages),
            f"Measured by `make forms` on {date}.",
        )
        PAGE.write_text(replace_part(PAGE.read_text("utf-8"), "forms", "\n\n".join(parts)), "utf-8")


if __name__ == "__main__":
    main()
