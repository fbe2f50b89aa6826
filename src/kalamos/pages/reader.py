"""Pictures of many characters in, pages out."""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.errors import ImageError, UsageError
from kalamos.images import MAX_PIXELS
from kalamos.images.documents import DocumentPage, read_pages
from kalamos.inputs.item import Item, NamedImage, load_item, name_of
from kalamos.pages.digit_lines import (
    DIRT,
    PUNCTUATION,
    are_digits,
    fused,
    score_lines,
    vouched,
    with_doubtful,
)
from kalamos.pages.grid import largest_grid, read_grid
from kalamos.pages.ink_map import PageInk, find_page_ink
from kalamos.pages.levelling import levelled, slant_of
from kalamos.pages.lines import TextLine, find_lines, single_line, word_gap
from kalamos.pages.looks import evidence_of, has_doubtful_lines, probability_of, with_lines_of_others
from kalamos.pages.page import Box, Cell, Character, LayoutOption, Line, Page, Word, check_layout, upright
from kalamos.pages.parts import (
    MIN_SKEW_DEGREES,
    Part,
    Sheet,
    find_parts,
    pen_width,
    profile_skew,
    skew_of,
    straighten,
    turn_quarters,
)
from kalamos.pages.punctuation import is_slash, punctuation_of
from kalamos.pages.ruling import Grid
from kalamos.pages.segmentation import (
    MIN_PROBABILITY,
    SIGN_PROBABILITY,
    best_path,
    candidates_of,
    pieces_of,
)
from kalamos.pages.segmentation import Candidate as Group
from kalamos.pages.writing import (
    LIKELY,
    MIN_SIGN_DARKNESS,
    MIN_VOTES,
    SURE,
    darkness,
    is_bar,
    parts_of_writing,
    typical_height,
)
from kalamos.parallel import default_jobs, ordered_map
from kalamos.postprocessing import AnswerRule, predictions_of
from kalamos.predict_options import PredictOptions
from kalamos.predictions import NOT_A_CHARACTER, Prediction
from kalamos.recognizer import CHUNK, Recognizer, load

if TYPE_CHECKING:
    from kalamos.images import ImageSource

__all__ = ["PageReader", "read"]

Grey = NDArray[np.uint8]

MARGIN_PX: Final = 4
"""Black around a part, so that it is a character alone on its ground."""

SAMPLE_PARTS: Final = 120
"""Parts that vote on which way up a page is, the largest ones."""

MIN_TURN_FACTOR, MIN_TURN_VOTES = 1.1, 0.8
"""A page is turned where so many times, and by so many, more characters are read: fewer are chance."""

FEW_CHARACTERS, MANY_CHARACTERS = 4, 8
"""Fewer characters are no evidence that a page was looked at in the right way; so many are,"""
MIN_EVIDENT_SHARE: Final = 0.7
"""if they are such a share of what was read."""
GOOD_SHARE: Final = 0.85
"""Likewise, at the first look."""

MIN_HELD_SHARE: Final = 0.7
"""Likewise of what the cells of a grid hold."""

LOOKS: Final = ((1.0, False), (1.0, True), (0.5, False), (0.25, False), (0.125, False), (2.0, False))
"""Else the page is looked at in even light, and as if its writing were so many times as high."""

MIN_SLASH_SHARE: Final = 0.02
"""The line recogniser's probability from which on a stroke with the shape of a slash is one, and no 1."""

LOOKS_AT_LINES: Final = 4
"""Looks at a page of digits of which single lines are in doubt."""

MIN_HEIGHT_RATIO: Final = 0.62
"""Of the characters' height to that of all parts, or the reverse: beyond it the page is looked at again."""


def read(
    source: ImageSource | NamedImage,
    model: str | os.PathLike[str] | Recognizer = "digits",
    *,
    layout: LayoutOption = "auto",
    charset: str | None = None,
    min_confidence: float | None = None,
    min_known: float | None = None,
    number: int = 1,
) -> Page:
    """Read a page of characters: a photograph, a scan or a screenshot.

    Args:
        source: a path, encoded bytes, an open binary file, a PIL image or an array, as for
            `Recognizer.predict`; or a PDF (with `kalamos[forms]`) or a TIFF of several pages.
        model: a shipped model's name, a model file, or a reader.
        layout: "line" takes all for one line, "page" finds lines, "grid" reads the cells of ruled lines;
            "auto" reads a grid where it sees one whose cells hold characters, else lines.
        charset: which characters may be answered, as for `predict`.
        min_confidence: answers less sure have no label.
        min_known: likewise, by the probability of being a character at all.
        number: which page of a document, from 1; `PageReader.read_document` reads all.

    Returns:
        The page; a blank one has no lines.

    Raises:
        ImageError: the picture cannot be read.
        UsageError: an option out of range, or unknown.

    >>> page = np.full((200, 400), 235, np.uint8)
    >>> page[60:140, 60:68] = page[60:140, 160:168] = page[60:140, 260:268] = 30
    >>> read(page).text
    '111'
    """
    reader = model if isinstance(model, Recognizer) else load(model)
    options = PredictOptions(charset=charset, min_known=min_known)
    if min_confidence is not None:
        options = replace(options, min_confidence=min_confidence)
    return PageReader(reader, options, layout=layout).read(source, number=number)


class PageReader:
    """Reads pages with one model and one set of options. Safe to share between threads.

    Args:
        reader: the model.
        options: charset, thresholds and limits as `Recognizer.predict` takes them.
        layout: see `read`.
    """

    def __init__(
        self,
        reader: Recognizer,
        options: PredictOptions = PredictOptions(),  # noqa: B008  (frozen)
        *,
        layout: LayoutOption = "auto",
    ) -> None:
        check_layout(layout)
        self._reader = reader
        self._options = options
        self._layout = layout
        self._rule: AnswerRule = reader.answer_rule(options)
        self._from_right = is_right_to_left(reader.labels)
        self._digits = are_digits(self._rule.labels)

    @property
    def model(self) -> str:
        """The model's name, and the first digits of its file's SHA-256."""
        return f"{self._reader.spec.name} {self._reader.model.sha256[:12]}"

    @property
    def alphabet(self) -> Alphabet:
        """What the model can answer."""
        return self._reader.spec.alphabet

    def read(self, source: ImageSource | NamedImage, *, number: int = 1) -> Page:
        """Read one page.

        Raises:
            ImageError: the picture cannot be read.
        """
        if isinstance(source, NamedImage):
            image = load_item(source, max_pixels=self._max_pixels, timeout=self._options.timeout)
            return self.read_image(image, path=source.name, number=number_of(source.name))
        if number < 1:
            raise UsageError(f"page {number} is none", remedy="pages count from 1")
        count = 0
        for page in self._pages_of(source):
            count = page.number
            if page.number == number:
                if isinstance(page.image, ImageError):
                    raise page.image
                return self.read_image(page.image, path=name_of(source), number=number)
        raise UsageError(f"page {number} of a document of {count}", remedy=f"read one of 1 to {count}")

    def read_document(self, source: ImageSource) -> Iterator[Page]:
        """Read all pages of a document, one after the other; a page that cannot be read has its error.

        Raises:
            ImageError: the document itself cannot be read.
        """
        for page in self._pages_of(source):
            if isinstance(page.image, ImageError):
                yield Page(path=name_of(source), number=page.number, error=page.image, model=self.model)
            else:
                yield self.read_image(page.image, path=name_of(source), number=page.number)

    @property
    def _max_pixels(self) -> int:
        limit = self._options.max_pixels
        return MAX_PIXELS if limit is None else int(limit)

    def _pages_of(self, source: ImageSource) -> Iterator[DocumentPage]:
        return read_pages(source, max_pixels=self._max_pixels, timeout=self._options.timeout)

    def try_read(self, source: ImageSource | NamedImage, *, number: int = 1) -> Page:
        """Do as `read`; a picture that cannot be read gives a page with the error."""
        try:
            return self.read(source, number=number)
        except ImageError as error:
            path = name_of(source)
            return Page(path=path, number=number_of(path or "", number), error=error, model=self.model)

    def read_files(self, items: Iterable[Item], *, jobs: int | None = None) -> Iterator[Page]:
        """Read any stream of paths and `kalamos.inputs.NamedImage`s, in its order.

        Args:
            items: see `kalamos.inputs`.
            jobs: pages read at once; None takes one for each available processor.

        Raises:
            UsageError: `jobs` is less than 1.
        """
        if jobs is not None and jobs < 1:
            raise UsageError(f"jobs = {jobs} leaves no worker", remedy="use 1 or more")
        return ordered_map(
            lambda chunk: [self.try_read(item) for item in chunk], items, chunk=1, jobs=jobs or default_jobs()
        )

    def read_image(self, image: Grey, *, path: str | None = None, number: int = 1) -> Page:
        """Read a page that is loaded: grey, uint8 [H, W]."""
        height, width = image.shape
        page = Page(
            path=path, number=number, width=width, height=height, model=self.model, image=image, layout="page"
        )
        if self._layout in {"auto", "grid"}:
            grid = largest_grid(image, sure=self._layout == "grid")
            if grid is not None:
                cells = self._read_grid(page, image, grid)
                return cells if self._layout == "grid" else self._grid_or_lines(cells, page, image)
        if self._layout in {"line", "grid"}:
            page = replace(page, layout=self._layout)
        return page if self._layout == "grid" else self._read_writing(page, image)

    def _grid_or_lines(self, cells: Page, page: Page, image: Grey) -> Page:
        """Take a grid that nobody asked for, unless its cells hold pieces of what is written across them.

        Squared paper is a grid, too.
        """
        held = [cell.character for cell in cells.cells if cell.character is not None]
        evident, worth = evidence_of(held)
        if held and evident >= MIN_HELD_SHARE * len(held):
            return cells
        lines = self._read_writing(page, image)
        across, across_worth = evidence_of(lines.characters)
        return lines if across >= FEW_CHARACTERS and across_worth > worth else cells

    def _read_writing(self, page: Page, image: Grey) -> Page:
        """Read a page's lines, whatever is ruled on it."""
        slant = slant_of(image)
        level, to_page = levelled(image, slant) if slant else (image, None)
        ink = find_page_ink(level)
        if ink is None:
            return page
        best: Page | None = None
        most, found = -math.inf, False
        looks: list[Page] = []
        for number, (sheet, parts, scores) in enumerate(self._looks(level, ink)):
            placed = sheet if to_page is None else sheet.placed(to_page, -slant)
            read = self._read_sheet(page, placed, parts, scores)
            looks.append(read)
            if not found:
                evident, worth = evidence_of(read.characters)
                if best is None or (evident >= FEW_CHARACTERS and worth > most):
                    best, most = read, worth
                share = MIN_EVIDENT_SHARE if number else GOOD_SHARE
                found = evident >= max(MANY_CHARACTERS, share * len(read.characters))
            again = self._digits and number + 1 < LOOKS_AT_LINES
            if found and best is not None and not (again and has_doubtful_lines(best)):
                break
        if best is None:
            return page
        return with_lines_of_others(best, looks) if self._digits else best

    def _read_sheet(self, page: Page, sheet: Sheet, parts: list[Part], scores: list[float]) -> Page:
        """Read a page's lines as one look at it shows them."""
        height = typical_height(parts, scores)
        for _ in range(2):  # the second look mends what the first saw steeply
            sure = [part for part, score in zip(parts, scores, strict=True) if score >= SURE]
            skew = skew_of(sure if len(sure) >= MIN_VOTES else parts, sheet.height)
            if self._digits:
                skew = profile_skew(parts, height or sheet.height, skew)
            if abs(skew) < MIN_SKEW_DEGREES:
                break
            level = straighten(sheet, -skew)
            turned = find_parts(level)
            levelled_scores = self._scores(turned)
            if self._layout == "line" and sum(levelled_scores) < sum(scores):
                break  # upright characters on a line that climbs
            sheet, parts, scores = level, turned, levelled_scores
        height = height or sheet.height
        dark = [darkness(part, sheet) for part in parts]
        writing = parts_of_writing(parts, scores, dark, height, sheet.mask.shape)
        group = single_line if self._layout == "line" else find_lines
        if self._digits:
            writing = with_doubtful(writing, parts, dark, height, sheet, group, self._rule.labels)
        lines = group(writing, height)
        return replace(
            page, lines=self._read_lines(lines, sheet, page.width, page.height), turned=upright(sheet.turned)
        )

    def _read_grid(self, page: Page, image: Grey, grid: Grid) -> Page:
        found = read_grid(
            self._reader,
            image,
            grid,
            self._rule,
            lambda cell: 0.0 if cell.answer is None else probability_of(cell.answer),
        )
        cells = []
        for (ruled, box), reading in zip(found.cells, found.readings, strict=True):
            blank = reading.answer is None or reading.blank >= 0.5
            character = None if blank or reading.answer is None else self._character(reading.answer, box)
            cells.append(Cell(ruled.row + 1, ruled.column + 1, box, character))
        return replace(page, layout="grid", cells=tuple(cells), turned=upright(90.0 * found.quarters))

    def _looks(self, image: Grey, ink: PageInk) -> Iterator[tuple[Sheet, list[Part], list[float]]]:
        """Look at a page from as far as its ink asks for, then in even light, then from nearer and farther.

        Edges of the paper may be all that the first look measured.
        """
        done: set[tuple[float, bool]] = set()
        for factor, even in LOOKS:
            if factor == 1:
                found = find_page_ink(image, even=True) if even else ink
            else:
                found = find_page_ink(image, factor * ink.height / ink.scale, even=even)
            if found is None or (found.scale, even) in done:
                continue
            done.add((found.scale, even))
            sheet, parts, scores = self._upright(Sheet.of(found))
            height = typical_height(parts, scores)
            if height is not None and not MIN_HEIGHT_RATIO < height / sheet.height < 1 / MIN_HEIGHT_RATIO:
                # Its characters say more than all of its parts did.
                again = find_page_ink(image, height / sheet.scale, even=even)
                if again is not None and (again.scale, even) in done:
                    continue
                if again is not None:
                    done.add((again.scale, even))
                    known = again._replace(height=height * again.scale / sheet.scale)
                    sheet, parts, scores = self._upright(Sheet.of(known))
            yield sheet, parts, scores

    def _upright(self, sheet: Sheet) -> tuple[Sheet, list[Part], list[float]]:
        """Turn a sheet by quarters until it stands upright; return its parts and how sure each is, too."""
        parts = find_parts(sheet)
        scores = self._scores(parts)
        single = [part for part in parts if not is_bar(part.box)]
        sample = sorted(single, key=lambda part: -part.box.width * part.box.height)[:SAMPLE_PARTS]
        if len(sample) < MIN_VOTES:
            return sheet, parts, scores
        votes = [
            sum(
                score
                for score in self._scores(
                    [Part(part.box, np.ascontiguousarray(np.rot90(part.ink, -quarters))) for part in sample]
                )
                if score >= SURE
            )
            for quarters in range(4)
        ]
        best = int(np.argmax(votes))
        if votes[best] < max(MIN_TURN_FACTOR * votes[0], votes[0] + MIN_TURN_VOTES):
            return sheet, parts, scores
        sheet = turn_quarters(sheet, best)
        parts = find_parts(sheet)
        return sheet, parts, self._scores(parts)

    def _scores(self, parts: Sequence[Part]) -> list[float]:
        return [probability_of(answer) for answer in self._answers(parts)]

    def _answers(self, parts: Sequence[Part]) -> list[Prediction]:
        """What the model says to each part, whatever the thresholds; blank ones are never characters."""
        answers = [Prediction(None, None)] * len(parts)
        rule = self._rule._replace(threshold=0.0, known_threshold=0.0, top_k=len(self._rule.labels))
        for start in range(0, len(parts), CHUNK):
            chunk = [np.pad(part.ink, MARGIN_PX) for part in parts[start : start + CHUNK]]
            found = self._reader.infer_ink(chunk, rule.class_mask)
            rows = found.rows.tolist()
            for row, answer in zip(rows, predictions_of(found, [None] * len(rows), rule), strict=True):
                answers[start + row] = answer
        return answers

    def _read_lines(
        self, lines: Sequence[TextLine], sheet: Sheet, width: int, height: int
    ) -> tuple[Line, ...]:
        """Read all lines' characters together, in few runs of the model."""
        pen = pen_width(sheet.mask)
        scores = score_lines(lines, sheet.strokes, self._rule.labels) if self._digits else [None] * len(lines)
        pieces = [
            pieces_of(line, pen, () if score is None else [spike.column for spike in score.spikes()])
            for line, score in zip(lines, scores, strict=True)
        ]
        groups = [candidates_of(row, line.band) for row, line in zip(pieces, lines, strict=True)]
        answers = iter(self._answers([group.part for row in groups for group in row]))
        decoded = []
        for row, line, own, score in zip(groups, lines, pieces, scores, strict=True):
            read = [next(answers) for _ in row]
            if score is None:
                losses = [
                    -math.log(
                        max(probability_of(answer), self._sign_probability(group, line), MIN_PROBABILITY)
                    )
                    for group, answer in zip(row, read, strict=True)
                ]
                chosen = best_path(row, losses, len(own))
                characters = [read[each] for each in chosen]
                slashes = [True] * len(chosen)
            else:
                judged = fused(line, own, row, read, score)
                chosen = best_path(row, [each.loss for each in judged], len(own))
                characters = vouched([judged[each] for each in chosen])
                slashes = [judged[each].slash >= MIN_SLASH_SHARE for each in chosen]
            pairs = list(zip([row[each] for each in chosen], characters, strict=True))
            decoded.append(self._told_signs(pairs, slashes, line, sheet))
        best = [
            max((probability_of(answer) for _, answer in line if answer.top), default=0.0) for line in decoded
        ]
        if max(best, default=0.0) >= SURE:  # beside writing, a line without a likely character is none
            decoded = [line for line, most in zip(decoded, best, strict=True) if most >= LIKELY]
        gaps = [
            after.part.box.x - before.part.right
            for line in decoded
            for (before, _), (after, _) in pairwise(line)
        ]
        least = word_gap([gap for gap in gaps if gap < 4 * sheet.height], sheet.height)
        made = []
        for told in decoded:
            words = self._words(told, sheet, least, width, height)
            if words:
                made.append(Line(words))
        return tuple(made)

    def _sign_probability(self, group: Group, line: TextLine) -> float:
        alone = group.whole and group.first == group.last and len(line.parts) > 1
        return SIGN_PROBABILITY if alone and punctuation_of(group.part, line.band) else 0.0

    def _told_signs(
        self, line: list[tuple[Group, Prediction]], slashes: Sequence[bool], text: TextLine, sheet: Sheet
    ) -> list[tuple[Group, Prediction]]:
        """Give punctuation its sign where it stands among characters; drop what is a speck there.

        Args:
            line: what was chosen, with the answers.
            slashes: which of it may be a slash, if it has the shape of one.
            text: the line.
            sheet: where it is.
        """
        own = set(self._reader.labels)
        dark = [darkness(group.part, sheet) for group, _ in line]
        least = MIN_SIGN_DARKNESS * float(np.median(dark)) if dark else 0.0
        digits = [answer.top[0].label.isdigit() if answer.top else False for _, answer in line]
        told = []
        for place, (group, answer) in enumerate(line):
            if answer is DIRT:
                continue
            sign = punctuation_of(group.part, text.band) if group.whole else None
            between = any(digits[:place]) and any(digits[place + 1 :])
            if sign is None and between and slashes[place] and is_slash(group.part, text.band):
                beside = digits[place - 1] and digits[place + 1] if 0 < place < len(line) - 1 else False
                sign = "/" if beside and _leans_alone(line, place, text) else None
            if sign is None and answer.label in PUNCTUATION and not answer.top:  # the line recogniser's
                sign = answer.label
            if sign is None or sign in own:
                told.append((group, answer))
            elif len(line) > 1 and dark[place] >= least:
                told.append((group, Prediction(sign, 1.0)))
        return told

    def _words(
        self, line: list[tuple[Group, Prediction]], sheet: Sheet, least: float, width: int, height: int
    ) -> tuple[Word, ...]:
        words: list[list[Character]] = []
        right = -math.inf
        for group, answer in line:
            character = self._character(answer, sheet.box_on_page(group.part.box, width, height))
            if not words or group.part.box.x - right >= least:
                words.append([])
            words[-1].append(character)
            right = max(right, group.part.right)
        if self._from_right:
            words = [word[::-1] for word in words[::-1]]
        return tuple(Word(tuple(word)) for word in words)

    def _character(self, answer: Prediction, box: Box) -> Character:
        if answer.confidence is None:
            return Character(None, 0.0, box, reason=NOT_A_CHARACTER)
        if not answer.top:  # punctuation
            return Character(answer.label, answer.confidence, box)
        reason = self._rule.reason(answer.confidence, answer.known)
        label = answer.label if reason is None else None
        return Character(label, answer.confidence, box, answer.top[: self._rule.top_k], answer.known, reason)


def number_of(name: str, otherwise: int = 1) -> int:
    """Return which page of a document an image's name says it is.

    >>> number_of("scan.pdf#2"), number_of("scan.png"), number_of("table.parquet#4")
    (2, 1, 1)
    """
    document, _, number = name.rpartition("#")
    is_page = document.lower().endswith((".pdf", ".tif", ".tiff")) and number.isdecimal()
    return int(number) if is_page else otherwise


def _leans_alone(line: list[tuple[Group, Prediction]], place: int, text: TextLine) -> bool:
    """Return whether a slanted stroke reaches farther up or down than the digits beside it."""
    box = line[place][0].part.box
    beside = [line[place - 1][0].part.box, line[place + 1][0].part.box]
    top, bottom = min(other.y for other in beside), max(other.y + other.height for other in beside)
    return (top - box.y) + (box.y + box.height - bottom) >= 0.12 * text.band.height


def is_right_to_left(labels: Sequence[str]) -> bool:
    r"""Return whether an alphabet is written from right to left; digits of any script are not.

    >>> is_right_to_left("abc"), is_right_to_left("\u0627\u0628"), is_right_to_left("\u0660\u0661")
    (False, True, False)
    """
    ways = [unicodedata.bidirectional(label[0]) for label in labels if label]
    return sum(way in {"R", "AL"} for way in ways) > len(ways) / 2
