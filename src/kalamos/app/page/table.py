"""A sheet as an HTML table, a page at a time."""

from __future__ import annotations

import html
from collections.abc import Sequence

from kalamos.app.page.sheet import Row, Sheet
from kalamos.app.page.words import percent
from kalamos.errors import NoInkError
from kalamos.images.files import display_name

__all__ = ["ROWS_PER_PAGE", "pages", "table_html"]

ROWS_PER_PAGE = 100


def pages(rows: Sequence[Row]) -> int:
    """How many pages the rows fill, at least 1."""
    return max(1, -(-len(rows) // ROWS_PER_PAGE))


def table_html(sheet: Sheet, rows: Sequence[Row], page: int = 1) -> str:
    """One page of rows.

    Args:
        sheet: what they belong to.
        rows: a view of it.
        page: from 1; one that there is not is taken for the nearest.
    """
    page = min(max(1, page), pages(rows))
    shown = rows[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE]
    if not shown:
        return '<p class="hint">No image matches.</p>'
    body = "".join(_row_html(sheet, row) for row in shown)
    first = (page - 1) * ROWS_PER_PAGE + 1
    caption = f"{first:,} to {first + len(shown) - 1:,} of {len(rows):,} images"
    return (
        f'<div class="sheet"><table><caption>{caption}</caption>'
        "<thead><tr><th>Image</th><th>Character</th><th>Sure</th><th>File</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _row_html(sheet: Sheet, row: Row) -> str:
    prediction = row.prediction
    picture = f'<img src="{row.thumbnail}" alt="" loading="lazy">' if row.thumbnail else ""
    sure = "" if prediction.confidence is None else percent(prediction.confidence)
    answer = _label_html(sheet, row)
    if sheet.is_corrected(row):
        guess = f"<bdi>{html.escape(prediction.top[0].label)}</bdi>" if prediction.top else "nothing"
        answer += f' <span class="tag done">corrected</span> <small>the model read {guess}</small>'
    elif row.index in sheet.checked:
        answer += ' <span class="tag done">checked</span>'
    name = f"<bdi>{html.escape(display_name(prediction.path or ''))}</bdi>"
    if prediction.error is not None:
        name += f"<br><small>{html.escape(_printable(str(prediction.error)))}</small>"
    return f"<tr><td>{picture}</td><td>{answer}</td><td>{sure}</td><td>{name}</td></tr>"


def _label_html(sheet: Sheet, row: Row) -> str:
    """The label that counts, or why there is none."""
    prediction, label = row.prediction, sheet.label(row)
    if label is not None:
        return f'<bdi class="label">{html.escape(label)}</bdi>'
    if row.index in sheet.checked:
        return '<span class="tag">not a character</span>'
    if prediction.error is not None:
        summary = "no ink" if isinstance(prediction.error, NoInkError) else prediction.error.summary
        return f'<span class="tag error">{html.escape(summary)}</span>'
    best = prediction.top[0].label if prediction.top else "?"
    return f'<span class="tag">not sure: <bdi>{html.escape(best)}</bdi>?</span>'


def _printable(text: str) -> str:
    # Undecodable bytes of a name are lone surrogates, which no response can carry.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
