"""Scans of a form in, filled forms out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos._version import __version__
from kalamos.alphabets import Alphabet, restrict
from kalamos.capital_shapes import labels_without_small_l
from kalamos.errors import FormError, ImageError, KalamosError
from kalamos.forms.boxes import READ_AS_BLANK
from kalamos.forms.cutting import MARGIN, cut_boxes, without_lines
from kalamos.forms.decoding import (
    CHECK_DIGIT_CERTAINTY,
    DEFAULT_CERTAINTY,
    BoxReading,
    Decoded,
    decode,
)
from kalamos.forms.filled import FieldReading, FilledForm, Scan
from kalamos.forms.placing import place_fields
from kalamos.forms.registration import Registrar, Registration
from kalamos.forms.template import Field, FormTemplate
from kalamos.forms.ticks import read_ticks, stroke_lengths
from kalamos.images import MAX_PIXELS
from kalamos.inputs.item import Item, NamedImage, load_item, name_of
from kalamos.pages import Box, Character
from kalamos.pages.cells import CellReading, read_cells
from kalamos.parallel import default_jobs, ordered_map
from kalamos.postprocessing import AnswerRule
from kalamos.predict_options import PredictOptions
from kalamos.predictions import NOT_SURE
from kalamos.recognizer import Recognizer, load

if TYPE_CHECKING:
    from kalamos.images import ImageSource

__all__ = ["FormReader"]

Grey = NDArray[np.uint8]

RUNNERS_UP: Final = 5

BOX_PX: Final = 48
"""The longer side that boxes are cut out at, without what is around them."""

SHOWN_FRACTION: Final = MARGIN / (1 + 2 * MARGIN)
"""Of a cut box's width: what is shown around the box itself."""

BOX_ODDS: Final = 200.0
"""By how much likelier, than among the images that models learn from, what is in a form's box is one
character: half of those are outliers. On drawn forms of other seeds than the benchmark's, nearly all boxes
whose ink has a `known` of 0.1 held one, and about half of those with 0.01."""

SURELY_BLANK, LINE_FRACTION, MOST_KNOWN_LINE = 0.998, 0.5, 0.9
"""How likely a box is blank whose ink lies along its lines, is as long as the second says, as a share of the
box's side, and is less likely a character than the third says: it is left of a line. Specks and commas are
shorter."""

MOST_BLANK: Final = 0.9
"""How likely a box with ink in it is blank at most: it may be crossed out."""


TURNED_NATS: Final = 4.0
"""How much less likely a page is turned than upright: one in fifty."""

TELLING_NATS: Final = 3.0
"""By how much one way in which a page may lie must be likelier than the others, or its fields are to be
checked. A digit on its head counts about as much; one on its feet, where it is clear, next to nothing."""

LEAST_SHARE: Final = 1e-3
"""A box counts against a way as if it were no less likely than that: one stain is no evidence."""


PlacedScan = tuple[Scan, Registration | None]
"""A scan, and where the form lies on it; None where it does not show the form."""


@dataclass(frozen=True)
class _Model:
    """A model, and how it answers for one field."""

    reader: Recognizer
    rule: AnswerRule
    allowed: tuple[frozenset[str] | None, ...]
    """The labels that may be in each box; None for all."""
    capitals: tuple[tuple[str, ...] | None, ...]
    """Likewise, of boxes that may have an L and no l; None for others."""

    @property
    def name(self) -> str:
        return f"{self.reader.spec.name} {self.reader.model.sha256[:12]}"


class _PageReading(NamedTuple):
    """A page's fields, read as it may lie."""

    readings: dict[str, FieldReading]
    evidence: float
    """How well they explain what is in the boxes, in nats."""


class FormReader:
    """Reads scans of one form. Safe to share between threads.

    Args:
        template: the form.
        certainty: how sure a field's text must be to be `ok`, in (0, 1]; None takes 0.98, and 0.95 beside a
            check digit: see `kalamos.forms.decoding`.
        max_pixels: of a scan, height x width; None takes 50 million.
        timeout: the seconds that decoding one scan may take; None takes 30.

    Raises:
        FormError: a field's charset is not of its model's alphabet, or its pattern or check does not exist.
        ModelError: a model that a field names cannot be opened.
    """

    def __init__(
        self,
        template: FormTemplate,
        *,
        certainty: float | None = None,
        max_pixels: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self.template = template
        self._certainty = certainty
        self._max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
        self._timeout = timeout
        self._readers: dict[str, Recognizer] = {}
        self._models = {
            field.name: self._model_of(field) for field in template.fields if field.kind == "text"
        }
        self._registrar = Registrar(template)
        for field in template.fields:
            _check_rules(field)

    @property
    def made_by(self) -> str:
        """What makes its answers: kalamos's version, the models, and how sure `ok` is."""
        names = sorted({model.name for model in self._models.values()})
        sure = f"{self._certainty or DEFAULT_CERTAINTY:g}"
        sure += "" if self._certainty else f", beside a check digit {CHECK_DIGIT_CERTAINTY:g}"
        return "; ".join([f"kalamos {__version__}", *names, f"ok from {sure}"])

    def alphabet(self, field: str) -> Alphabet | None:
        """Return what the model of a field can answer; None for boxes to tick."""
        model = self._models.get(field)
        return None if model is None else model.reader.spec.alphabet

    def _model_of(self, field: Field) -> _Model:
        name = field.model or self.template.model
        if name not in self._readers:
            beside = Path(self.template.folder, name)
            self._readers[name] = load(beside if name.endswith(".onnx") and beside.is_file() else name)
        reader = self._readers[name]
        charsets = (field.charset,) * len(field.boxes) if isinstance(field.charset, str) else field.charset
        try:
            masks = [restrict(reader.spec.alphabet, charset) if charset else None for charset in charsets]
        except KalamosError as error:
            raise FormError(f"field {field.name!r}: {error.problem}", remedy=error.remedy) from error
        rule = reader.answer_rule(PredictOptions())._replace(top_k=len(reader.labels))
        allowed = tuple(None if mask is None else frozenset(mask.labels) for mask in masks)
        return _Model(reader, rule, allowed, tuple(map(labels_without_small_l, masks)))

    def read(self, *scans: ImageSource | NamedImage) -> FilledForm:
        """Read one form: a scan for each of its pages, in any order.

        A scan that cannot be read, or does not show the form, is told in the result.
        """
        return self._filled([self._place(scan) for scan in scans])

    def read_all(self, items: Iterable[Item], *, jobs: int | None = None) -> Iterator[FilledForm]:
        """Read a stream of scans, in its order; those of a form's pages follow each other.

        Args:
            items: paths and `kalamos.inputs.NamedImage`s.
            jobs: forms read at once; None takes one for each available processor.
        """
        read = ordered_map(
            lambda chunk: [self.read(item) for item in chunk], items, chunk=1, jobs=jobs or default_jobs()
        )
        return join_sheets(read, len(self.template.pages))

    def _place(self, source: ImageSource | NamedImage) -> PlacedScan:
        """Load a scan and find the form on it; what goes wrong is told in it."""
        path, image = name_of(source), None
        try:
            image = load_item(source, max_pixels=self._max_pixels, timeout=self._timeout)
            found = self._registrar.register(image)
        except ImageError as error:
            return Scan(path, error=error, image=image), None
        return Scan(path, found.page, found.method, found.error, found.sheet, image=image), found

    def _filled(self, placed: Sequence[PlacedScan]) -> FilledForm:
        scans = tuple(scan for scan, _ in placed)
        where: dict[int, tuple[int, Registration]] = {}
        for number, (_, found) in enumerate(placed):
            if found is not None:
                where.setdefault(found.page, (number, found))
        fields: dict[str, FieldReading] = {}
        for number, registration in where.values():
            image = scans[number].image
            assert image is not None  # noqa: S101  (what was registered has one)
            fields |= self._read_page(image, registration, number)
        ordered = {
            field.name: fields.get(field.name, FieldReading(None, "missing"))
            for field in self.template.fields
        }
        return FilledForm(ordered, scans, self.made_by)

    def _read_page(self, image: Grey, registration: Registration, scan: int) -> dict[str, FieldReading]:
        """Read a page's fields. Where it may lie in several ways, what is written tells which is right."""
        fields = [field for field in self.template.fields if field.page == registration.page]
        places, ways = (registration, *registration.others), []
        fewest = min(way.quarter_turns for way in places)
        for way in places:
            read = self._read_fields(image, way, fields, scan)
            turned = way.quarter_turns > fewest
            ways.append(read._replace(evidence=read.evidence - TURNED_NATS * turned))
        best, *others = sorted(ways, key=lambda way: -way.evidence)
        if all(best.evidence - other.evidence >= TELLING_NATS for other in others):
            return best.readings
        return {name: replace(reading, status="check") for name, reading in best.readings.items()}

    def _read_fields(
        self, image: Grey, registration: Registration, fields: Sequence[Field], scan: int
    ) -> _PageReading:
        """Read a page's fields; those that one model reads share its runs."""
        places = place_fields(image, registration, fields)
        corners = {field.name: where.corners for field, where in zip(fields, places, strict=True)}
        sure = {field.name: where.sure for field, where in zip(fields, places, strict=True)}
        crops = {name: cut_boxes(image, where, side=BOX_PX) for name, where in corners.items()}
        readings: dict[str, FieldReading] = {}
        evidence = 0.0
        for field in fields:
            if field.kind == "tick":
                lengths = stroke_lengths(crops[field.name], SHOWN_FRACTION)
                boxes, outlines = _on_scan(corners[field.name], image.shape)
                readings[field.name] = read_ticks(field, lengths, boxes, outlines, scan)
        for model, group in self._groups(fields):
            every = [crop for field in group for crop in crops[field.name]]
            # With their lines, which the ink finder tells from writing, and without: the bar of a 7 that
            # lies on a line is seen in the one, and no piece of line in the other.
            bare = [without_lines(crop) for crop in every]
            capitals = [labels for field in group for labels in self._models[field.name].capitals]
            cells = read_cells(
                model.reader, every, model.rule, margin=SHOWN_FRACTION, capitals=capitals, again=bare
            )
            of_box = iter(cells)
            for field in group:
                own = [next(of_box) for _ in field.boxes]
                readings[field.name] = self._reading(field, own, corners[field.name], scan, image.shape)
            evidence += sum(map(evidence_of, cells))
        told = {
            name: reading if sure[name] else replace(reading, status="check")
            for name, reading in readings.items()
        }
        return _PageReading(told, evidence)

    def _groups(self, fields: Sequence[Field]) -> list[tuple[_Model, list[Field]]]:
        """Put fields with text together by the model that reads them."""
        groups: dict[str, list[Field]] = {}
        for field in fields:
            if field.kind == "text":
                groups.setdefault(self._models[field.name].name, []).append(field)
        return [(self._models[group[0].name], group) for group in groups.values()]

    def _reading(
        self,
        field: Field,
        cells: Sequence[CellReading],
        corners: NDArray[np.float32],
        scan: int,
        shape: tuple[int, ...],
    ) -> FieldReading:
        """Tell what a field with text says, of what is in each of its boxes."""
        boxes, places = _on_scan(corners, shape)
        model = self._models[field.name]
        order = slice(None, None, -1) if field.direction == "rtl" else slice(None)
        decoded = decode(
            [box_reading(cell) for cell in cells][order],
            pattern=field.pattern or None,
            check=field.check or None,
            may_be_blank=field.may_be_blank,
            case=field.case or None,
            allowed=model.allowed[order],
            merged=model.reader.spec.alphabet.merged,
            certainty=self._certainty,
            top_k=RUNNERS_UP,
        )
        chosen = decoded.boxes[order]
        characters = tuple(
            _character(cell, label, box, decoded)
            for cell, label, box in zip(cells, chosen, boxes, strict=True)
        )
        # Where nothing satisfies pattern and check, a person wants to see what is written.
        text = decoded.text if decoded.text is not None else decoded.as_read
        return FieldReading(
            text, decoded.status, decoded.certainty, decoded.runners_up, characters, places, scan
        )


def join_sheets(forms: Iterable[FilledForm], pages: int) -> Iterator[FilledForm]:
    """Put scans that follow each other and show different pages of one sheet together.

    Args:
        forms: each read from one scan.
        pages: of the form.

    >>> scans = [Scan("a", 1), Scan("b", 2), Scan("c", 1), Scan("d")]
    >>> [form.path for form in join_sheets([FilledForm({}, (scan,)) for scan in scans], 2)]
    ['a; b', 'c', 'd']
    """
    group: list[FilledForm] = []
    for form in forms:
        [scan] = form.scans
        before = [other for one in group for other in one.scans]
        sheets = {other.sheet for other in before} | {scan.sheet}
        unlike = scan.page in {other.page for other in before} or len(sheets - {None}) > 1
        if group and (scan.page is None or unlike):
            yield _joined(group)
            group = []
        group.append(form)
        if scan.page is None or len(group) == pages:
            yield _joined(group)
            group = []
    if group:
        yield _joined(group)


def _joined(forms: Sequence[FilledForm]) -> FilledForm:
    """One form of several, each read from one scan with another page."""
    if len(forms) == 1:
        return forms[0]
    fields = dict(forms[0].fields)
    for number, form in enumerate(forms):
        fields |= {
            name: replace(reading, scan=number)
            for name, reading in form.fields.items()
            if reading.status != "missing"
        }
    return replace(forms[0], fields=fields, scans=tuple(scan for form in forms for scan in form.scans))


def box_reading(cell: CellReading) -> BoxReading:
    """Return what decoding wants to know of a box.

    What is no character is mostly a speck, or left of a line: the box is blank.
    """
    if cell.answer is None:
        return BoxReading({}, known=1.0, blank=cell.blank)
    told = cell.answer.known
    blank = cell.blank
    known = 1.0
    if told is not None:
        # What is no character looks a little like several.
        odds = BOX_ODDS * (cell.answer.confidence or 0.0) ** 2
        known = odds * told / (odds * told + 1 - told)
        if blank >= READ_AS_BLANK and cell.ink >= LINE_FRACTION and told < MOST_KNOWN_LINE:
            blank = SURELY_BLANK
    return BoxReading(dict(cell.answer.top), known=known, blank=max(blank, min(1 - known, MOST_BLANK)))


def evidence_of(cell: CellReading) -> float:
    """Return how well the likeliest thing in a box explains it: the logarithm of its probability, in nats.

    Unlike for `box_reading`, ink that is no character is no blank: characters on their heads are such ink.
    """
    if cell.answer is None:
        return 0.0
    known = 1.0 if cell.answer.known is None else cell.answer.known
    written = (1 - cell.blank) * known * (cell.answer.confidence or 0.0)
    return math.log(max(cell.blank, written, LEAST_SHARE))


def _character(cell: CellReading, label: str | None, box: Box, decoded: Decoded) -> Character | None:
    if cell.answer is None or label is None:
        return None
    shares = dict(cell.answer.top)
    share = shares.get(label, shares.get(label.upper(), shares.get(label.lower(), 0.0)))
    return Character(
        label,
        share,
        box,
        cell.answer.top[:RUNNERS_UP],
        cell.answer.known,
        None if decoded.status == "ok" else NOT_SURE,
    )


def _on_scan(
    corners: NDArray[np.float32], shape: tuple[int, ...]
) -> tuple[list[Box], tuple[tuple[tuple[float, float], ...], ...]]:
    """Return the upright boxes around N boxes, and their corners, as results have them."""
    outlines = tuple(tuple((float(x), float(y)) for x, y in box) for box in corners)
    return [_box_of(box, shape) for box in corners], outlines


def _box_of(corners: NDArray[np.float32], shape: tuple[int, ...]) -> Box:
    low = np.clip(np.floor(corners.min(axis=0)), 0, [shape[1] - 1, shape[0] - 1]).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), low + 1, [shape[1], shape[0]]).astype(int)
    return Box(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))


def _check_rules(field: Field) -> None:
    """Try a field's pattern and check once, before any scan is read.

    Raises:
        FormError: one does not exist.
    """
    if field.kind == "tick":
        return
    try:
        decode(
            [BoxReading({}, blank=1.0)] * len(field.boxes),
            pattern=field.pattern or None,
            check=field.check or None,
            may_be_blank=True,
        )
    except KalamosError as error:
        raise FormError(f"field {field.name!r}: {error.problem}", remedy=error.remedy) from error
