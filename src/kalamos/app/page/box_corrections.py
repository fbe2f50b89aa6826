"""What a person puts right on pages and forms, kept as examples: single crops with their labels."""

from __future__ import annotations

from kalamos.alphabets import Alphabet
from kalamos.app.page.context import Context
from kalamos.app.page.corrections import known_label, save_correction, undo_correction
from kalamos.app.page.form_readings import Doubt, FormsRead
from kalamos.app.page.readings import Reading
from kalamos.app.page.session import Session

__all__ = ["correct_box", "keep_example", "reset_box", "settle_field"]


def correct_box(
    context: Context, visit: Session, reading: Reading, view: int, box: int, label: str | None
) -> Alphabet | None:
    """Note what is in a box, and keep its piece of the picture as an example.

    Args:
        context, visit: whose.
        reading: what was read.
        view, box: where.
        label: None for what is no character.

    Returns:
        The model's alphabet if it lacks the label: it is kept once a person has said that it is meant
        (`reading.asked`).

    Raises:
        KalamosError: the example cannot be kept. What is in the box is noted all the same.
    """
    _forget_example(context, visit, reading, view, box)
    reading.asked = None
    reading.correct(view, box, label)
    alphabet = reading.alphabet(view, box)
    if alphabet is None or (label is None and reading.blank_means_nothing(view, box)):
        return None
    known = None if label is None else known_label(label, alphabet)
    if label is not None and known is None:
        if isinstance(reading, FormsRead):  # its fields say which characters there are: nothing to learn
            return None
        if label not in {kept.label for kept in visit.examples(reading.model(view, box))}:
            reading.asked = view, box
            return alphabet
    keep_example(context, visit, reading, view, box, known or label)
    return None


def reset_box(context: Context, visit: Session, reading: Reading, view: int, box: int) -> None:
    """Forget what a person said of a box, and the example that was kept of it.

    Raises:
        KalamosError: the example cannot be taken away.
    """
    reading.asked = None
    reading.reset(view, box)
    _forget_example(context, visit, reading, view, box)


def keep_example(
    context: Context, visit: Session, reading: Reading, view: int, box: int, label: str | None
) -> None:
    """Keep a box's piece of the picture with its label, None for what is not a character.

    Raises:
        KalamosError: it cannot be kept.
    """
    crop = reading.crop(view, box)
    if crop is not None:
        place, model = _place(reading, view, box), reading.model(view, box)
        save_correction(context, visit, place, model, crop, label, reading.guess(view, box))
        reading.kept[view, box] = visit.kept[-1]


def settle_field(
    context: Context, visit: Session, reading: FormsRead, doubt: Doubt, text: str
) -> tuple[int, list[int]]:
    """Note a field's text, and keep the characters that it corrects as examples.

    Returns:
        The picture that the field is on, and its boxes there.

    Raises:
        KalamosError: an example cannot be kept. The text is noted all the same.
    """
    view, boxes = reading.boxes_of(doubt)
    for box in boxes:
        _forget_example(context, visit, reading, view, box)
    for box, label in reading.settle(doubt, text):
        alphabet = reading.alphabet(view, box)
        known = known_label(label, alphabet) if label and alphabet is not None else None
        if known is not None:
            keep_example(context, visit, reading, view, box, known)
    return view, boxes


def _forget_example(context: Context, visit: Session, reading: Reading, view: int, box: int) -> None:
    """Take back the example that was kept of a box, if there is one."""
    kept = reading.kept.pop((view, box), None)
    if kept is not None:
        undo_correction(context, visit, _place(reading, view, box), kept)


def _place(reading: Reading, view: int, box: int) -> str:
    """Return a name for a box, among all of a visit."""
    return f"{reading.number} {view} {box}"
