"""Answers in words and bars, as HTML. Every text that comes from outside is escaped here."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence
from typing import Final

from kalamos.app.page.pictures import data_uri
from kalamos.errors import ImageError, NoInkError
from kalamos.letter_names import letter_name
from kalamos.predictions import Prediction
from kalamos.preprocessing.steps import GreyImage

__all__ = [
    "MIN_EXAMPLES_FOR_PERCENT",
    "alphabet_summary",
    "answer_html",
    "correct_of",
    "glyph_html",
    "hint_html",
    "model_input_html",
    "percent",
    "problem_html",
    "verdict",
]

MIN_EXAMPLES_FOR_PERCENT: Final = 20
"""Examples of which a percentage may be told: one of fewer moves it by more than 5 points."""


def percent(share: float) -> str:
    """A share in [0, 1], never rounded up to certainty nor down to nothing; of two shares, the larger one
    never shows less.

    >>> percent(0.5), percent(0.99996), percent(0.004), percent(0.0004)
    ('50 %', 'over 99.9 %', '0.4 %', 'under 0.1 %')
    """
    if share > 0.999:
        return "over 99.9 %"
    if 0 < share < 0.001:
        return "under 0.1 %"
    # Rounded to tenths first, so that what is shown changes its precision where it changes nothing else.
    tenths = round(1000 * share)
    digits = 1 if 0 < tenths < 10 or tenths > 990 else 0
    return f"{100 * share:.{digits}f} %"


def correct_of(right: int, n: int) -> str:
    """How many of n examples were read right; with a percentage only where n is enough for one.

    >>> correct_of(1, 1), correct_of(38, 40)
    ('1 of 1', '38 of 40 (95 %)')
    """
    counts = f"{right:,} of {n:,}"
    return counts if n < MIN_EXAMPLES_FOR_PERCENT else f"{counts} ({right / n:.0%})".replace("%", " %")


def verdict(prediction: Prediction) -> str:
    """One sentence on a prediction, in plain words.

    >>> verdict(Prediction("7", 0.98))
    'Read as 7, 98 % sure.'
    """
    if isinstance(prediction.error, NoInkError):
        return "No ink: nothing is written here."
    if prediction.error is not None:
        return f"Cannot be read: {prediction.error}."
    confidence = percent(prediction.confidence or 0.0)
    if prediction.label is None:
        best = prediction.top[0].label if prediction.top else "?"
        return f"Not sure enough to say. The best guess is {best}, {confidence} sure."
    return f"Read as {prediction.label}, {confidence} sure."


def answer_html(prediction: Prediction, prepared: GreyImage | None) -> str:
    """The verdict, the label in large, a bar for each candidate, and what the model saw."""
    parts = [f'<p class="verdict">{html.escape(verdict(prediction))}</p>']
    if prediction.label is not None:
        parts.insert(0, glyph_html(prediction.label))
    elif prediction.error is None:
        parts.insert(0, '<div class="glyph unsure" aria-hidden="true">?</div>')
    if prediction.top:
        parts.append(_bars(prediction))
    if prediction.removed is not None:
        excluded = percent(prediction.removed)
        parts.append(f'<p class="aside">Without the restriction, other characters had {excluded}.</p>')
    if prepared is not None:
        parts.append(model_input_html(prepared))
    return f'<div class="answer" role="status" aria-live="polite">{"".join(parts)}</div>'


def glyph_html(label: str) -> str:
    """A label in large, in its own direction, with its name where it has one."""
    name = letter_name(label)
    shown = f'<div class="glyph" dir="{_direction(label)}">{html.escape(label)}</div>'
    if name is None:
        return shown
    native = f' <bdi lang="ar" dir="rtl">{html.escape(name.native)}</bdi>' if name.native else ""
    return f'{shown}<p class="name">{html.escape(name.latin)}{native}</p>'


def model_input_html(prepared: GreyImage) -> str:
    """The thumbnail of what the model is given."""
    size = f"{prepared.shape[1]}×{prepared.shape[0]}"
    return (
        f'<figure class="seen"><img src="{data_uri(prepared)}" alt="What the model saw, {size} pixels">'
        f"<figcaption>What the model saw<br><small>{size} pixels</small></figcaption></figure>"
    )


def problem_html(error: ImageError | Exception | str) -> str:
    """What went wrong, and how to mend it."""
    return f'<div class="problem" role="alert">{html.escape(str(error))}</div>'


def alphabet_summary(labels: Sequence[str]) -> str:
    """What a model's alphabet consists of, in a few words.

    >>> alphabet_summary("0123456789"), alphabet_summary(["a", "B", "7"]), alphabet_summary(["ا", "لا"])
    ('0-9', '3 letters and digits', '2 letters')
    """
    if len(labels) > 2 and all(len(each) == 1 for each in labels) and "".join(labels).isascii():
        points = [ord(each) for each in labels]
        if points == list(range(points[0], points[0] + len(points))):
            return f"{labels[0]}-{labels[-1]}"
    kinds = {_kind(each) for each in labels}
    names = [kind for kind in ("letters", "digits", "signs") if kind in kinds]
    return f"{len(labels):,} {' and '.join(names) if len(names) < 3 else 'characters'}"


def _kind(label: str) -> str:
    """Of the first character that is no mark above or below another."""
    categories = [unicodedata.category(each)[0] for each in label]
    first = next((each for each in categories if each != "M"), "M")
    return {"L": "letters", "N": "digits", "M": "letters"}.get(first, "signs")


def hint_html(text: str) -> str:
    """A quiet line that says what to do next."""
    return f'<p class="hint">{html.escape(text)}</p>'


def _bars(prediction: Prediction) -> str:
    rows = []
    for label, confidence in prediction.top[:5]:
        name = letter_name(label)
        spoken = f" <small>{html.escape(name.latin)}</small>" if name else ""
        rows.append(
            f'<tr><th scope="row"><bdi>{html.escape(label)}</bdi>{spoken}</th>'
            f'<td><div class="bar" style="--share:{confidence:.4f}"></div></td>'
            f"<td>{percent(confidence)}</td></tr>"
        )
    return f'<table class="bars"><caption>Most likely characters</caption>{"".join(rows)}</table>'


def _direction(label: str) -> str:
    return "rtl" if any(unicodedata.bidirectional(each) in ("R", "AL") for each in label) else "ltr"
