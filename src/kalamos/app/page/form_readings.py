"""Forms that a visit has read, the queue of their doubtful fields, and what a person has said of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from kalamos.alphabets import Alphabet
from kalamos.app.page.readings import Reading, Shown, StoredPicture, View, guess_of
from kalamos.forms import FieldReading, FilledForm, FormTemplate
from kalamos.forms.decoding import BoxReading, decode
from kalamos.forms.table import FormTable
from kalamos.forms.template import Field
from kalamos.forms.ticks import TICK_SEPARATOR
from kalamos.predictions import Prediction

__all__ = ["Doubt", "FormsRead", "ticked"]


class Doubt(NamedTuple):
    """A field that a person is to look at."""

    form: int
    field: str


@dataclass
class _FormView:
    form: int
    scan: int
    places: list[tuple[str, int]] = field(default_factory=list)
    """Field and box of it, for each box on this picture."""


class FormsRead(Reading):
    """Filled forms, with a queue of the fields that say `check`.

    Args:
        template: of all of them.
        alphabets: what the model of each field can answer; None for boxes to tick.
    """

    def __init__(self, template: FormTemplate, alphabets: Mapping[str, Alphabet | None]) -> None:
        super().__init__(template.name)
        self.template = template
        self._alphabets = alphabets
        self._fields = {each.name: each for each in template.fields}
        self._forms: list[FilledForm] = []
        self._pictures: list[list[StoredPicture | None]] = []
        self._views: list[View] = []
        self._looks: list[_FormView] = []
        self._texts: dict[Doubt, str] = {}
        """What a person said, or agreed to."""
        self._labels: dict[tuple[Doubt, int], str] = {}
        """Of boxes that a person put right."""
        self.doubts: list[Doubt] = []
        """The queue: all fields that said `check` when they were read."""

    def add(self, form: FilledForm, pictures: Sequence[StoredPicture | None]) -> None:
        """Add a form with a picture of each scan; its own pictures are not kept."""
        number = len(self._forms)
        self._forms.append(form.without_pictures())
        self._pictures.append(list(pictures))
        self.doubts += [Doubt(number, name) for name, each in form.fields.items() if each.status == "check"]
        for at, scan in enumerate(form.scans):
            look = _FormView(number, at)
            for name, each in form.fields.items():
                if each.scan == at:
                    look.places += [(name, place) for place in range(len(each.corners))]
            self._looks.append(look)
            problem = "" if scan.error is None else str(scan.error)
            self._views.append(View(scan.path or "", pictures[at], problem))

    @property
    def views(self) -> Sequence[View]:
        return self._views

    def form_of(self, view: int) -> int:
        """Return which form a picture is of."""
        return self._looks[view].form

    def boxes_of(self, doubt: Doubt) -> tuple[int, list[int]]:
        """Return which picture a field is on, and which of its boxes there are the field's."""
        scan = self._forms[doubt.form].fields[doubt.field].scan or 0
        view = [(look.form, look.scan) for look in self._looks].index((doubt.form, scan))
        places = self._looks[view].places
        return view, [box for box, (name, _) in enumerate(places) if name == doubt.field]

    def queue_place(self, view: int, boxes: Sequence[int]) -> int | None:
        """Return the place in the queue of the field of some boxes of a picture; None if it has none."""
        look = self._looks[view]
        names = {look.places[box][0] for box in boxes}
        places = (
            at for at, doubt in enumerate(self.doubts) if doubt.form == look.form and doubt.field in names
        )
        return next(places, None)

    def field(self, doubt: Doubt) -> Field:
        """Return what the template says of a field."""
        return self._fields[doubt.field]

    def boxes(self, view: int) -> list[Shown]:
        look = self._looks[view]
        return [self._shown(look.form, name, place) for name, place in look.places]

    def _shown(self, form: int, name: str, place: int) -> Shown:
        doubt, reading = Doubt(form, name), self._forms[form].fields[name]
        character = reading.boxes[place] if place < len(reading.boxes) else None
        label, settled = "" if character is None else character.label, doubt in self._texts
        of = self._fields[name]
        where = f"{name}, {of.options[place]}" if of.kind == "tick" else f"{name}, box {place + 1}"
        return Shown(
            reading.corners[place],
            self._labels.get((doubt, place), label),
            reading.status == "check" and not settled,
            (doubt, place) in self._labels,
            None if character is None else character.confidence,
            () if character is None else character.candidates,
            where,
            may_be_blank=True,
            tick=of.kind == "tick",
        )

    def model(self, view: int, box: int) -> str:
        name, _ = self._looks[view].places[box]
        return self._fields[name].model or self.template.model

    def alphabet(self, view: int, box: int) -> Alphabet | None:
        return self._alphabets[self._looks[view].places[box][0]]

    def blank_means_nothing(self, view: int, box: int) -> bool:  # noqa: ARG002
        return True

    def guess(self, view: int, box: int) -> Prediction:
        look = self._looks[view]
        name, place = look.places[box]
        return guess_of(self._forms[look.form].fields[name].boxes[place])

    def correct(self, view: int, box: int, label: str | None) -> None:
        """Note what is in a box, and with it the field's text."""
        look = self._looks[view]
        name, place = look.places[box]
        doubt = Doubt(look.form, name)
        self._labels[doubt, place] = label or ""
        self._texts[doubt] = self._text_of_boxes(doubt)

    def reset(self, view: int, box: int) -> None:
        look = self._looks[view]
        name, place = look.places[box]
        doubt = Doubt(look.form, name)
        self._labels.pop((doubt, place), None)
        if any(other == doubt for other, _ in self._labels):
            self._texts[doubt] = self._text_of_boxes(doubt)
        else:
            self._texts.pop(doubt, None)

    def _text_of_boxes(self, doubt: Doubt) -> str:
        of, reading = self._fields[doubt.field], self._forms[doubt.form].fields[doubt.field]
        labels = [
            self._labels.get((doubt, place), (character.label or "") if character else "")
            for place, character in enumerate(reading.boxes)
        ]
        if of.kind == "tick":
            chosen = [option for option, label in zip(of.options, labels, strict=True) if label]
            return TICK_SEPARATOR.join(chosen)
        order = slice(None, None, -1) if of.direction == "rtl" else slice(None)
        return "".join(label or " " for label in labels[order]).strip()

    def settle(self, doubt: Doubt, text: str) -> list[tuple[int, str]]:
        """Note a field's text, which a person gave or agreed to.

        Returns:
            Boxes of the field's picture whose label it changes, and the new one; none where the text does not
            say which character is in which box.
        """
        self._texts[doubt] = text
        for place in [place for other, place in self._labels if other == doubt]:
            del self._labels[doubt, place]
        _, boxes = self.boxes_of(doubt)
        reading, changed = self.reading(doubt), []
        for place, label in self._aligned(doubt, text).items():
            character = reading.boxes[place]
            if label != ((character.label or "") if character else ""):
                self._labels[doubt, place] = label
                changed.append((boxes[place], label))
        return changed

    def _aligned(self, doubt: Doubt, text: str) -> dict[int, str]:
        """Return the label of each box that a text says; nothing where it may be one or another."""
        of, reading = self._fields[doubt.field], self._forms[doubt.form].fields[doubt.field]
        count = len(reading.boxes)
        if of.kind == "tick":
            chosen = ticked(of, text)
            return {place: "x" if of.options[place] in chosen else "" for place in range(count)}
        order = list(range(count))[::-1] if of.direction == "rtl" else list(range(count))
        inked = [place for place in order if reading.boxes[place] is not None]
        span = order[order.index(inked[0]) : order.index(inked[-1]) + 1] if inked else []
        for places in (order, span, inked):
            if len(text) == len(places):
                return {place: label.strip() for place, label in zip(places, text, strict=True)}
        return dict.fromkeys(order, "") if not text else {}

    def reading(self, doubt: Doubt) -> FieldReading:
        """Return what was read of a field."""
        return self._forms[doubt.form].fields[doubt.field]

    def is_settled(self, doubt: Doubt) -> bool:
        """Return whether a person said what is in a field, or agreed."""
        return doubt in self._texts

    def field_text(self, doubt: Doubt) -> str:
        """Return a field's text: a person's, else as it was read."""
        return self._texts.get(doubt, self.reading(doubt).text or "")

    def breach(self, doubt: Doubt, text: str) -> str:
        """Return which of its rules a text for a field breaks, in words; "" for none."""
        of = self._fields[doubt.field]
        if of.kind == "tick":
            unknown = [part for part in _parts(of, text) if part not in of.options]
            return f"{unknown[0]} is none of {', '.join(of.options)}" if unknown else ""
        if not text:
            return "" if of.may_be_blank else "this field is not to be blank"
        if len(text) > len(of.boxes):
            return f"{len(text)} characters are more than its {len(of.boxes)} boxes"
        boxes = [BoxReading({}, blank=1.0) if each == " " else BoxReading({each: 1.0}) for each in text]
        pattern, check = of.pattern or None, of.check or None
        if (pattern or check) and decode(boxes, pattern=pattern, check=check).text is None:
            return f"it breaks the field's rule ({of.check or of.pattern})"
        return ""

    def waiting(self) -> int:
        """Count the fields of the queue that nobody has looked at."""
        return sum(doubt not in self._texts for doubt in self.doubts)

    def counts(self) -> list[tuple[int, str]]:
        statuses = Counter(self.corrected(number).status for number in range(len(self._forms)))
        return [
            (len(self._forms), "form" if len(self._forms) == 1 else "forms"),
            (self.waiting(), "fields to check"),
            (statuses["incomplete"], "without all pages"),
            (statuses["unregistered"], "that do not show the form"),
            (statuses["error"], "that cannot be read"),
            (len(self._texts), "fields checked by you"),
        ]

    def text(self, view: int) -> str:
        form = self.corrected(self.form_of(view))
        return "\n".join(f"{name}: {reading.text or ''}" for name, reading in form.fields.items())

    def corrected(self, number: int) -> FilledForm:
        """Return a form with the texts that a person gave, which are sure, and a note that they are."""
        form = self._forms[number]
        said = {doubt.field: text for doubt, text in self._texts.items() if doubt.form == number}
        if not said:
            return form
        fields = {
            name: replace(reading, text=said[name], status="ok" if said[name] else "blank")
            if name in said
            else reading
            for name, reading in form.fields.items()
        }
        names = ", ".join(name for name in fields if name in said)
        return replace(form, fields=fields, made_by=f"{form.made_by}; checked by a person: {names}")

    def with_pictures(self, number: int, only: int | None = None) -> FilledForm:
        """Return a form as corrected, with all the pictures that are kept or one, and its corners there."""
        form = self.corrected(number)
        pictures = self._pictures[number]
        scans = [
            replace(scan, image=None if picture is None or only not in {None, at} else picture.load())
            for at, (scan, picture) in enumerate(zip(form.scans, pictures, strict=True))
        ]
        fields = {}
        for name, reading in form.fields.items():
            picture = None if reading.scan is None else pictures[reading.scan]
            scale = 1.0 if picture is None else picture.scale
            corners = tuple(tuple((x * scale, y * scale) for x, y in box) for box in reading.corners)
            fields[name] = replace(reading, corners=corners)
        return replace(form, fields=fields, scans=tuple(scans))

    def export(self, format_name: str, folder: Path) -> bytes:
        """Return what `kalamos forms read` writes: csv, xlsx or jsonl, with the texts that a person gave."""
        path = folder / f"{os.urandom(8).hex()}.{format_name}"
        table = FormTable(self.template, path)
        for number, form in enumerate(self._forms):
            shown = format_name == "xlsx" and any(each.status == "check" for each in form.fields.values())
            table.add(self.with_pictures(number) if shown else self.corrected(number))
        try:
            table.save()
            return path.read_bytes()
        finally:
            path.unlink(missing_ok=True)


def ticked(of: Field, text: str) -> set[str]:
    """Return the options that a text names, whatever else it says.

    >>> from kalamos.forms import Box
    >>> box = Box(0, 0, 1, 1)
    >>> sorted(ticked(Field("a", (box, box), kind="tick", options=("yes", "no")), "no, yes"))
    ['no', 'yes']
    """
    return set(_parts(of, text)) & set(of.options)


def _parts(of: Field, text: str) -> list[str]:
    """Return what a text for a field of ticks consists of; an option may have a comma in it."""
    if text in of.options:
        return [text]
    return [part for part in (each.strip() for each in text.split(TICK_SEPARATOR.strip())) if part]
