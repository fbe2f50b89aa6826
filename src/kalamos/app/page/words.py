"""Answers in words and bars, as HTML. Every text that comes from outside is escaped here."""

from __future__ import annotations

import html
import unicodedata

from kalamos.app.page.pictures import data_uri
from kalamos.errors import ImageError, NoInkError
from kalamos.letter_names import letter_name
from kalamos.predictions import Prediction
from kalamos.preprocessing.steps import GreyImage

__all__ = ["answer_html", "glyph_html", "hint_html", "per_cent", "problem_html", "seen_html", "verdict"]


def per_cent(share: float) -> str:
    """A share in [0, 1], never rounded up to certainty.

    >>> per_cent(0.5), per_cent(0.99996), per_cent(0.0004)
    ('50 %', 'over 99.9 %', 'under 0.1 %')
    """
    if share > 0.999:
        return "over 99.9 %"
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{share:.0%}".replace("%", " %") if share < 0.99 else f"{share:.1%}".replace("%", " %")


def verdict(prediction: Prediction) -> str:
    """One sentence on a prediction, in plain words.

    >>> verdict(Prediction("7", 0.98))
    'Read as 7, 98 % sure.'
    """
    if isinstance(prediction.error, NoInkError):
        return "No ink: nothing is written here."
    if prediction.error is not None:
        return f"Cannot be read: {prediction.error}."
    confidence = per_cent(prediction.confidence or 0.0)
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
        parts.append(f'<p class="aside">Other characters had {per_cent(prediction.removed)} before that.</p>')
    if prepared is not None:
        parts.append(seen_html(prepared))
    return f'<div class="answer" role="status" aria-live="polite">{"".join(parts)}</div>'


def glyph_html(label: str) -> str:
    """A label in large, in its own direction, with its name where it has one."""
    name = letter_name(label)
    shown = f'<div class="glyph" dir="{_direction(label)}">{html.escape(label)}</div>'
    if name is None:
        return shown
    native = f' <bdi lang="ar" dir="rtl">{html.escape(name.native)}</bdi>' if name.native else ""
    return f'{shown}<p class="name">{html.escape(name.latin)}{native}</p>'


def seen_html(prepared: GreyImage) -> str:
    """The thumbnail of what the model is given."""
    size = f"{prepared.shape[1]}×{prepared.shape[0]}"
    return (
        f'<figure class="seen"><img src="{data_uri(prepared)}" alt="What the model saw, {size} pixels">'
        f"<figcaption>What the model saw<br><small>{size} pixels</small></figcaption></figure>"
    )


def problem_html(error: ImageError | Exception | str) -> str:
    """What went wrong, and how to mend it."""
    return f'<div class="problem" role="alert">{html.escape(str(error))}</div>'


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
            f"<td>{per_cent(confidence)}</td></tr>"
        )
    return f'<table class="bars"><caption>Most likely characters</caption>{"".join(rows)}</table>'


def _direction(label: str) -> str:
    return "rtl" if any(unicodedata.bidirectional(each) in ("R", "AL") for each in label) else "ltr"
