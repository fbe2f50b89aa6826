"""Pictures of many characters in, pages out."""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.errors import ImageError, UsageError
from kalamos.inputs.item import Item, NamedImage, load_item, name_of
from kalamos.pages.ink_map import find_page_ink
from kalamos.pages.lines import TextLine, find_lines, single_line, word_gap
from kalamos.pages.page import Box, Character, Line, Page, Word, check_layout, upright
from kalamos.pages.parts import (
    MIN_SKEW_DEGREES,
    Part,
    Sheet,
    find_parts,
    skew_of,
    straighten,
    turn_quarters,
)
from kalamos.pages.punctuation import is_slash, punctuation_of
from kalamos.pages.segmentation import Candidate as Group
from kalamos.pages.segmentation import best_path, candidates_of, pieces_of
from kalamos.parallel import default_jobs, ordered_map
from kalamos.postprocessing import AnswerRule, predictions_of
from kalamos.predict_options import PredictOptions
from kalamos.predictions import NOT_A_CHARACTER, Prediction
from kalamos.recognizer import Recognizer, load

if TYPE_CHECKING:
    from kalamos.images import ImageSource

__all__ = ["PageReader", "read"]

Grey = NDArray[np.uint8]

CHUNK: Final = 64
"""Characters a model run."""

MARGIN_PX: Final = 4
"""Black around a part, so that it is a character alone on its ground."""

SAMPLE_PARTS: Final = 48
"""Characters that vote on which way up a page is."""

MIN_VOTES: Final = 2
"""Fewer characters do not turn a page."""

MIN_TURN_GAIN, MIN_TURN_GAIN_IN_ALL = 0.12, 2.5
"""How much more sure a page must be read turned than as it lies: in nats a character, and in all."""

SIGN_PROBABILITY: Final = 0.9
"""Of a part that looks like punctuation being that, where parts are put together to characters."""

MAX_PIXELS: Final = 50_000_000
"""Of a page, height x width: an A3 scan at 600 dpi has 70 million, one at 400 dpi 31 million."""

SIGNS: Final = frozenset(".,:-/")


def read(
    source: ImageSource | NamedImage,
    model: str | os.PathLike[str] | Recognizer = "digits",
    *,
    layout: Literal["auto", "line", "page", "grid"] = "auto",
    charset: str | None = None,
    min_confidence: float | None = None,
    min_known: float | None = None,
) -> Page:
    """Read a page of characters: a photograph, a scan or a screenshot.

    Args:
        source: a path, encoded bytes, an open binary file, a PIL image or an array, as for
            `Recognizer.predict`.
        model: a shipped model's name, a model file, or a reader.
        layout: "line" takes all for one line, "page" finds lines, "grid" reads the cells of ruled lines;
            "auto" reads a grid where it sees one, else lines.
        charset: which characters may be answered, as for `predict`.
        min_confidence: answers less sure have no label.
        min_known: likewise, by the probability of being a character at all.

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
    return PageReader(reader, options, layout=layout).read(source)


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
        layout: Literal["auto", "line", "page", "grid"] = "auto",
    ) -> None:
        check_layout(layout)
        self._reader = reader
        self._options = options
        self._layout = layout
        self._rule: AnswerRule = reader.answer_rule(options)
        self._from_right = is_right_to_left(reader.labels)

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
        limit = self._options.max_pixels
        image = load_item(
            source, max_pixels=MAX_PIXELS if limit is None else int(limit), timeout=self._options.timeout
        )
        return self.read_image(image, path=name_of(source), number=number)

    def try_read(self, source: ImageSource | NamedImage, *, number: int = 1) -> Page:
        """Do as `read`; a picture that cannot be read gives a page with the error."""
        try:
            return self.read(source, number=number)
        except ImageError as error:
            return Page(path=name_of(source), number=number, error=error, model=self.model)

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
        if self._layout == "line":
            page = replace(page, layout="line")
        ink = find_page_ink(image)
        if ink is None:
            return page
        sheet = Sheet.of(ink)
        parts = find_parts(sheet)
        quarters = self._quarters(parts)
        if quarters:
            sheet = turn_quarters(sheet, quarters)
            parts = find_parts(sheet)
        for _ in range(2):  # the second look mends what the first saw steeply
            skew = skew_of(parts, sheet.height)
            if abs(skew) < MIN_SKEW_DEGREES:
                break
            sheet = straighten(sheet, -skew)
            parts = find_parts(sheet)
        lines = (single_line if self._layout == "line" else find_lines)(parts, sheet.height)
        return replace(
            page, lines=self._read_lines(lines, sheet, width, height), turned=upright(sheet.turned)
        )

    def _quarters(self, parts: Sequence[Part]) -> int:
        """By how many quarter turns, clockwise, the page stands upright."""
        sample = sorted(parts, key=lambda part: -part.box.width * part.box.height)[: 2 * SAMPLE_PARTS]
        sample = sample[len(sample) // 8 :][:SAMPLE_PARTS]  # the largest are drawings and words
        if len(sample) < MIN_VOTES:
            return 0
        turned = [
            Part(part.box, np.ascontiguousarray(np.rot90(part.ink, -quarters)))
            for quarters in range(4)
            for part in sample
        ]
        answers = self._answers(turned)
        scores = np.array([math.log(max(_probability(answer), 1e-3)) for answer in answers])
        means = scores.reshape(4, len(sample)).mean(axis=1)
        best = int(means.argmax())
        gain = float(means[best] - means[0])
        return best if gain >= MIN_TURN_GAIN and gain * len(sample) >= MIN_TURN_GAIN_IN_ALL else 0

    def _answers(self, parts: Sequence[Part]) -> list[Prediction]:
        """What the model says to each part, whatever the thresholds; blank ones are never characters."""
        answers = [Prediction(None, None)] * len(parts)
        rule = self._rule._replace(threshold=0.0, known_threshold=0.0)
        for start in range(0, len(parts), CHUNK):
            chunk = [np.pad(part.ink, MARGIN_PX) for part in parts[start : start + CHUNK]]
            found = self._reader.infer(chunk, rule.class_mask)
            rows = found.rows.tolist()
            for row, answer in zip(rows, predictions_of(found, [None] * len(rows), rule), strict=True):
                answers[start + row] = answer
        return answers

    def _read_lines(
        self, lines: Sequence[TextLine], sheet: Sheet, width: int, height: int
    ) -> tuple[Line, ...]:
        """Read all lines' characters together, in few runs of the model."""
        pen = _pen_width(sheet)
        pieces = [pieces_of(line, pen) for line in lines]
        groups = [candidates_of(row, line.band) for row, line in zip(pieces, lines, strict=True)]
        answers = iter(self._answers([group.part for row in groups for group in row]))
        decoded = []
        for row, line, own in zip(groups, lines, pieces, strict=True):
            read = [next(answers) for _ in row]
            chances = [
                max(_probability(answer), self._sign_probability(group, line))
                for group, answer in zip(row, read, strict=True)
            ]
            chosen = best_path(row, chances, len(own))
            decoded.append(self._told_signs([(row[each], read[each]) for each in chosen], line))
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
        alone = group.first == group.last and len(line.parts) > 1
        return SIGN_PROBABILITY if alone and punctuation_of(group.part, line.band) else 0.0

    def _told_signs(
        self, line: list[tuple[Group, Prediction]], text: TextLine
    ) -> list[tuple[Group, Prediction]]:
        """Give punctuation its sign where it stands among characters; drop what is a speck there."""
        own = set(self._reader.labels)
        digits = [answer.top[0].label.isdigit() if answer.top else False for _, answer in line]
        told = []
        for place, (group, answer) in enumerate(line):
            sign = punctuation_of(group.part, text.band)
            between = any(digits[:place]) and any(digits[place + 1 :])
            if sign is None and between and is_slash(group.part, text.band):
                beside = digits[place - 1] and digits[place + 1] if 0 < place < len(line) - 1 else False
                sign = "/" if beside and _leans_alone(line, place, text) else None
            if sign is None or sign in own:
                told.append((group, answer))
            elif len(line) > 1:
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
        rule, reason = self._rule, None
        if answer.known is not None and answer.known < rule.known_threshold:
            reason = NOT_A_CHARACTER
        elif answer.confidence < rule.threshold:
            reason = "not sure enough"
        label = answer.label if reason is None else None
        return Character(label, answer.confidence, box, answer.top, answer.known, reason)


def _probability(answer: Prediction) -> float:
    """How likely a part is a character that is read right."""
    if answer.confidence is None:
        return 0.0
    return answer.confidence * (1.0 if answer.known is None else answer.known)


def _leans_alone(line: list[tuple[Group, Prediction]], place: int, text: TextLine) -> bool:
    """Return whether a slanted stroke reaches farther up or down than the digits beside it."""
    box = line[place][0].part.box
    beside = [line[place - 1][0].part.box, line[place + 1][0].part.box]
    top, bottom = min(other.y for other in beside), max(other.y + other.height for other in beside)
    return (top - box.y) + (box.y + box.height - bottom) >= 0.12 * text.band.height


def _pen_width(sheet: Sheet) -> float:
    import cv2

    depths = cv2.distanceTransform(sheet.mask, cv2.DIST_L2, 3)
    inside = depths[depths > 0]
    return 2 * float(np.median(inside)) if inside.size else 1.0


def is_right_to_left(labels: Sequence[str]) -> bool:
    r"""Return whether an alphabet is written from right to left; digits of any script are not.

    >>> is_right_to_left("abc"), is_right_to_left("\u0627\u0628"), is_right_to_left("\u0660\u0661")
    (False, True, False)
    """
    ways = [unicodedata.bidirectional(label[0]) for label in labels if label]
    return sum(way in {"R", "AL"} for way in ways) > len(ways) / 2
