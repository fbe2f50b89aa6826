"""Corrected characters: asking about a label that the model lacks, and saving at once what was checked.

They lie in a folder that `kalamos train` and `kalamos teach` take as it is.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kalamos.alphabets import Alphabet
from kalamos.app._gradio import gr
from kalamos.app.page.context import Context
from kalamos.app.page.html import render
from kalamos.app.page.session import SavedExample, Session, TaughtModelRegistry, checked_label
from kalamos.predictions import Prediction

if TYPE_CHECKING:
    from kalamos.finetune.corrections import Corrections

SHOW_QUESTION_JS: Final = """() => setTimeout(() => {
  const asked = [...document.querySelectorAll(".question")].find((each) => each.offsetParent !== null);
  asked?.scrollIntoView({ block: "nearest" });
}, 50)"""
"""Brings a question into view, which appears beneath the field that was typed into."""

NO_QUESTION: tuple[Any, ...] = (gr.update(visible=False), "", "")

ZERO_WIDTH_JOINER = "\u200d"


@dataclass(frozen=True)
class Question:
    """The components of a question whether to keep a label; hidden while there is nothing to ask."""

    box: gr.Column
    text: gr.HTML
    label: gr.Textbox
    """What was typed, as it would be kept."""
    keep: gr.Button
    nothing: gr.Button
    """Pressed for "not a character"."""
    cancel: gr.Button

    @property
    def outputs(self) -> list[Any]:
        """What `question` and `NO_QUESTION` are values for."""
        return [self.box, self.text, self.label]


def build_question(name: str, *, cancel: str = "Cancel") -> Question:
    """Build the place for a question; its components' ids begin with `name`."""
    with gr.Column(visible=False, elem_id=f"{name}-question", elem_classes="question") as box:
        text = gr.HTML("", elem_id=f"{name}-question-text")
        with gr.Row(elem_classes="tight"):
            keep = gr.Button("Keep it as a new character", elem_id=f"{name}-question-keep", min_width=120)
            nothing = gr.Button("Not a character", elem_id=f"{name}-question-nothing", min_width=120)
            cancelled = gr.Button(cancel, elem_id=f"{name}-question-cancel", min_width=80)
    label = gr.Textbox(visible="hidden", elem_id=f"{name}-question-label")
    return Question(box, text, label, keep, nothing, cancelled)


def question(label: str, alphabet: Alphabet) -> tuple[Any, ...]:
    """Ask whether to keep a label that the model lacks, as a slip would become a class of its own.

    Returns values for `Question.outputs`.
    """
    return gr.update(visible=True), render("question", text=question_text(label, alphabet)), label


def question_text(label: str, alphabet: Alphabet) -> str:
    """Return what to ask, and what may have been meant.

    >>> from kalamos.alphabets import DIGITS
    >>> question_text("Q", DIGITS)
    "The model has no 'Q': keep it as a new character?"
    >>> question_text("12", DIGITS)
    "The model has no '12', which is 2 characters, not one: keep it as one new character?"
    >>> question_text("٣", DIGITS)
    "The model has no '٣' (it has '3'): keep it as a new character?"
    """
    count = _length(label)
    if count > 1:
        return (
            f"The model has no '{label}', which is {count} characters, not one: keep it as one new character?"
        )
    near = _near(label, alphabet)
    meant = "" if near is None else f" (it has '{near}')"
    return f"The model has no '{label}'{meant}: keep it as a new character?"


def accepted_label(
    context: Context, visit: Session, model: str, text: str, *, asked: bool = False
) -> tuple[str, Alphabet | None]:
    """Return the label to keep for what was typed, and the model's alphabet if to ask about it first.

    Args:
        context, visit: whose.
        model: the model that gave the guess.
        text: as it was typed.
        asked: whether it was asked about. Nor is a label asked about of which an example is kept.

    Raises:
        KalamosError: no label can be like this, or the model cannot be opened.
    """
    label = checked_label(text)
    alphabet = visit.reader(context.registry, model).spec.alphabet
    known = known_label(label, alphabet)
    is_new = known is None and not asked and label not in {kept.label for kept in visit.examples(model)}
    return known or label, alphabet if is_new else None


def known_label(label: str, alphabet: Alphabet) -> str | None:
    """Return the alphabet's own label for what was typed; None if it has none.

    >>> from kalamos.alphabets import LATIN_47
    >>> known_label("a", LATIN_47), known_label("c", LATIN_47), known_label("ß", LATIN_47)
    ('a', 'C', None)
    """
    position = alphabet.class_of(label)
    return None if position is None else alphabet.labels[position]


def _length(label: str) -> int:
    """Count characters as people do: marks, variants and what is joined belong to the one before."""
    count, joined = 0, False
    for each in label:
        follows = unicodedata.category(each)[0] == "M" or each == ZERO_WIDTH_JOINER or "🏻" <= each <= "🏿"
        count += not (follows or joined)
        joined = each == ZERO_WIDTH_JOINER
    flags = sum("🇦" <= each <= "🇿" for each in label)
    return max(1, count - flags // 2)


def _near(label: str, alphabet: Alphabet) -> str | None:
    """Return the alphabet's label for the same character in another case, width or script's digits."""
    folded = unicodedata.normalize("NFKC", label)
    digit = str(unicodedata.decimal(label, "")) if len(label) == 1 else ""
    return next((each for each in (folded, label.upper(), label.lower(), digit) if each in alphabet), None)


def corrections_folder(context: Context, visit: Session, model: str) -> Path:
    """Return the folder of the corrections of a model's answers, and of models that were taught from it."""
    return context.corrections_dir / slug(visit.origin(model))


def taught_folder(corrections_dir: str | os.PathLike[str]) -> Path:
    """Return the folder of taught models, beside the corrections' folders, each of its model's name."""
    return Path(corrections_dir) / "taught models"


def shown_path(context: Context, path: Path) -> str:
    """Return a path as the page shows it: whole on this computer, its last part alone to others."""
    return str(path.absolute()) if context.local else path.name


def note_origin(context: Context, visit: Session, model: str) -> None:
    """Let a visit know what a model was taught from, if that was in another visit."""
    base = context.registry.taught_from(model) if isinstance(context.registry, TaughtModelRegistry) else None
    if base is not None:
        visit.taught_from.setdefault(model, base)


def save_correction(
    context: Context,
    visit: Session,
    place: str,
    model: str,
    image: bytes,
    label: str | None,
    guess: Prediction,
) -> None:
    """Save one at once, with the model's guess and the time.

    Args:
        place: the part of the page; `undo_correction` takes back the last one there.
        image: the bytes as they came.
        label: None for what is not a character.

    Raises:
        KalamosError: the label cannot be kept, or the disk does not take it.
    """
    note_origin(context, visit, model)
    copy = visit.folder("kept") / os.urandom(8).hex()
    _corrections(context, visit, place, model).add(image, label, guess, datetime.now(UTC))
    copy.write_bytes(image)
    visit.kept.append(SavedExample(model, label, copy))


def undo_correction(context: Context, visit: Session, place: str, kept: SavedExample) -> None:
    """Take back the last one that a part of the page saved."""
    _corrections(context, visit, place, kept.model).undo()
    visit.kept.remove(kept)
    kept.image.unlink(missing_ok=True)


def _corrections(context: Context, visit: Session, place: str, model: str) -> Corrections:
    from kalamos.finetune.corrections import Corrections

    key = visit.origin(model), place
    if key not in visit.corrections:
        visit.corrections[key] = Corrections(corrections_folder(context, visit, model))
    return visit.corrections[key]


def slug(model: str) -> str:
    """Return a model's name as a file's, on every system; uploaded files may be called anything."""
    return re.sub(r"[^\w-]+", "-", model).strip("-")[:60] or "model"
