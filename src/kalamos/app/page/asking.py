"""Asking before a label is kept that the model does not have: a slip would become a class of its own."""

from __future__ import annotations

import html
import unicodedata
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from kalamos.alphabets import Alphabet

__all__ = [
    "NO_QUESTION",
    "SHOW_QUESTION_JS",
    "Question",
    "build_question",
    "known_label",
    "question",
    "question_text",
]

SHOW_QUESTION_JS: Final = """() => setTimeout(() => {
  const asked = [...document.querySelectorAll(".question")].find((each) => each.offsetParent !== null);
  asked?.scrollIntoView({ block: "nearest" });
}, 50)"""
"""Brings a question into view, which appears beneath what one types into."""

ZERO_WIDTH_JOINER = "\u200d"


@dataclass(frozen=True)
class Question:
    """The question's components; hidden while there is nothing to ask."""

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
        """What `question` and `NO_QUESTION` are for."""
        return [self.box, self.text, self.label]


NO_QUESTION: tuple[Any, ...] = (gr.update(visible=False), "", "")


def build_question(name: str) -> Question:
    """The place for a question; its components' ids begin with `name`."""
    with gr.Column(visible=False, elem_id=f"{name}-question", elem_classes="question") as box:
        text = gr.HTML("", elem_id=f"{name}-question-text")
        with gr.Row(elem_classes="tight"):
            keep = gr.Button("Keep it as a new character", elem_id=f"{name}-question-keep", min_width=120)
            nothing = gr.Button("Not a character", elem_id=f"{name}-question-nothing", min_width=120)
            cancel = gr.Button("Cancel", elem_id=f"{name}-question-cancel", min_width=80)
    label = gr.Textbox(visible="hidden", elem_id=f"{name}-question-label")
    return Question(box, text, label, keep, nothing, cancel)


def question(label: str, alphabet: Alphabet) -> tuple[Any, ...]:
    """Ask whether a label that the model lacks is to be kept; for `Question.outputs`."""
    said = html.escape(question_text(label, alphabet))
    return gr.update(visible=True), f'<p class="ask" role="alert">{said}</p>', label


def question_text(label: str, alphabet: Alphabet) -> str:
    """What to ask, and what may have been meant.

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


def known_label(label: str, alphabet: Alphabet) -> str | None:
    """The alphabet's own label for what was typed; None where it has none.

    >>> from kalamos.alphabets import LATIN_47
    >>> known_label("a", LATIN_47), known_label("c", LATIN_47), known_label("ß", LATIN_47)
    ('a', 'C', None)
    """
    position = alphabet.class_of(label)
    return None if position is None else alphabet.labels[position]


def _length(label: str) -> int:
    """Characters as people count them: marks, variants and what is joined belong to the one before."""
    count, joined = 0, False
    for each in label:
        follows = unicodedata.category(each)[0] == "M" or each == ZERO_WIDTH_JOINER or "🏻" <= each <= "🏿"
        count += not (follows or joined)
        joined = each == ZERO_WIDTH_JOINER
    flags = sum("🇦" <= each <= "🇿" for each in label)
    return max(1, count - flags // 2)


def _near(label: str, alphabet: Alphabet) -> str | None:
    """A label of the alphabet's that is the same character in another case, width or script's digits."""
    folded = unicodedata.normalize("NFKC", label)
    digit = str(unicodedata.decimal(label, "")) if len(label) == 1 else ""
    return next((each for each in (folded, label.upper(), label.lower(), digit) if each in alphabet), None)
