"""What the browser says of pages and forms: messages, done one after the other, and what is shown anew then.

Gradio reads a component's value some time after the browser said that it changed, and so may see only the
last of several. So a message is sent again with those after it until it is answered, and done once.
"""

from __future__ import annotations

import json
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from kalamos.app._gradio import gr
from kalamos.app.page.box_corrections import correct_box, keep_example, reset_box, settle_field
from kalamos.app.page.context import Context
from kalamos.app.page.corrections import NO_QUESTION, question
from kalamos.app.page.form_readings import FormsRead
from kalamos.app.page.html import problem_html
from kalamos.app.page.readings import Reading
from kalamos.app.page.session import Session, checked_label
from kalamos.app.page.shown import queue_update, summary_html, text_html, view_update, view_value
from kalamos.errors import KalamosError, UsageError

__all__ = ["Changes", "check_fields", "correct_boxes", "keep_asked", "shown_after"]

MAX_EVENT_CHARACTERS: Final = 50_000
"""Characters of what the browser sends at once."""

MAX_TEXT_CHARACTERS: Final = 1_000
"""Of one field."""

Message = dict[str, Any]


@dataclass
class Changes:
    """What is not as the browser has it."""

    boxes: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Picture -> its boxes."""
    doubts: set[int] = field(default_factory=set)
    """Places in the queue."""
    around: int | None = None
    """A place in the queue whose surroundings the browser lacks."""
    turned: bool = False
    """Whether another picture is to be shown."""
    problem: Message | None = None
    """A text that the queue did not take."""
    said: str = ""
    asked: tuple[Any, ...] = NO_QUESTION

    def add(self, reading: Reading, view: int, boxes: Sequence[int]) -> None:
        """Note boxes of a picture, and what is in the queue of them."""
        self.boxes[view].update(boxes)
        place = reading.queue_place(view, boxes) if isinstance(reading, FormsRead) else None
        self.doubts |= set() if place is None else {place}


def correct_boxes(context: Context, visit: Session, value: str) -> tuple[Any, ...]:
    """Do what the viewer's messages say: what is in boxes of a picture, or as it was read."""

    def correct(reading: Reading, message: Message, changes: Changes) -> None:
        view, box, do = (message.get(key) for key in ("view", "box", "do"))
        if not (_is_place(view, reading.views) and _is_place(box, reading.boxes(view))):
            raise _not_whole()
        # A question is about the last box alone.
        changes.asked = NO_QUESTION
        changes.add(reading, view, [box])
        if do == "reset":
            reset_box(context, visit, reading, view, box)
            return
        label = None if do == "nothing" else _label(message.get("label"))
        lacking = correct_box(context, visit, reading, view, box, label)
        if lacking is not None and label is not None:
            changes.asked = question(label, lacking)

    return _done(visit, value, correct, by_queue=False)


def check_fields(context: Context, visit: Session, value: str) -> tuple[Any, ...]:
    """Do what the queue's messages say: take a field's text, send more fields, show the whole form."""

    def check(reading: Reading, message: Message, changes: Changes) -> None:
        at: Any = message.get("item")
        if not (isinstance(reading, FormsRead) and _is_place(at, reading.doubts)):
            raise _not_whole()
        doubt = reading.doubts[at]
        if message.get("do") == "show":
            reading.shown, changes.turned = reading.boxes_of(doubt)[0], True
        elif message.get("do") == "want":
            changes.around = at
        else:
            changes.doubts.add(at)
            text = _field_text(message.get("text"))
            breach = reading.breach(doubt, text)
            if breach and message.get("anyway") is not True:
                told = f"{breach}: press Enter again to keep it as it is"
                changes.problem = {"item": at, "text": told, "typed": text}
            else:
                changes.add(reading, *settle_field(context, visit, reading, doubt, text))

    return _done(visit, value, check, by_queue=True)


def keep_asked(
    context: Context, visit: Session, label: str = "", *, nothing: bool = False
) -> tuple[Any, ...]:
    """Keep what was asked about as a new character, or as none."""
    reading, changes = visit.pages, Changes()
    if reading is not None and reading.asked is not None:
        (view, box), reading.asked = reading.asked, None
        changes.add(reading, view, [box])
        try:
            if nothing:
                correct_box(context, visit, reading, view, box, None)
            else:
                keep_example(context, visit, reading, view, box, checked_label(label))
        except KalamosError as error:
            changes.said = problem_html(error)
    return shown_after(visit, changes)


def _done(
    visit: Session, value: str, do: Callable[[Reading, Message, Changes], None], *, by_queue: bool
) -> tuple[Any, ...]:
    """Do the messages that have not been done yet; one that cannot be done stops no other."""
    reading, changes = visit.pages, Changes()
    sent = _sent(value)
    if reading is None or sent.get("reading") != reading.number:  # read in another tab since
        return shown_after(visit, changes)
    sender, last = str(sent.get("from"))[:40], 0
    for message in sent["messages"]:
        number = message.get("id")
        if type(number) is not int:
            continue
        last = max(last, number)
        if not reading.is_new(sender, number):
            continue
        try:
            do(reading, message, changes)
        except KalamosError as error:
            changes.said = problem_html(error)
    return shown_after(visit, changes, {"done": last}, by_queue=by_queue)


def shown_after(
    visit: Session, changes: Changes, answer: Message | None = None, *, by_queue: bool = False
) -> tuple[Any, ...]:
    """Return what is shown anew: summary, viewer, text, queue, what was downloaded, a problem, a question.

    Args:
        visit: whose.
        changes: what is not as it was.
        answer: added to what the sender of messages is told.
        by_queue: whether the queue sent them, and not the viewer.
    """
    reading = visit.pages
    if reading is None:
        return *[gr.skip()] * 5, changes.said, *changes.asked
    boxes = sorted(changes.boxes[reading.shown])
    view: Any = gr.skip()
    if changes.turned:
        view = view_value(reading, reading.shown)
    elif boxes or not by_queue:
        view = view_update(reading, reading.shown, boxes, {} if by_queue else answer or {})
    queue: Any = gr.skip()
    if isinstance(reading, FormsRead) and (changes.doubts or by_queue):
        more = dict(answer or {}) if by_queue else {}
        if changes.problem is not None:
            more["problem"] = changes.problem
        queue = queue_update(reading, changes.doubts, changes.around, more)
    return summary_html(reading), view, text_html(reading), queue, "", changes.said, *changes.asked


def _sent(value: Any) -> Message:
    """Return what the browser sent.

    Raises:
        gradio.Error: not what the page sends.
    """
    if isinstance(value, str) and len(value) <= MAX_EVENT_CHARACTERS:
        with suppress(ValueError, RecursionError):
            given: Any = json.loads(value)
            messages = given.get("messages") if isinstance(given, dict) else None
            if isinstance(messages, list) and all(isinstance(each, dict) for each in messages):
                return dict(given)
    raise gr.Error(str(_not_whole()), print_exception=False)


def _not_whole() -> UsageError:
    return UsageError("what was corrected did not arrive whole", remedy="do it again")


def _is_place(number: Any, among: Sequence[Any]) -> TypeGuard[int]:
    return type(number) is int and 0 <= number < len(among)


def _label(text: Any) -> str:
    label = checked_label(text if isinstance(text, str) else "")
    if not label:
        raise UsageError("the label is empty", remedy="type what is there")
    return label


def _field_text(text: Any) -> str:
    """Return a field's text as it is kept.

    Raises:
        UsageError: too long, or with control characters.

    >>> _field_text(" 12 ")
    '12'
    """
    kept = unicodedata.normalize("NFC", text).strip() if isinstance(text, str) else ""
    if len(kept) > MAX_TEXT_CHARACTERS or any(unicodedata.category(each) in {"Cc", "Cs"} for each in kept):
        raise UsageError("this text cannot be kept", remedy="type the field's characters alone")
    return kept
