"""Columns for counts, as HTML.

Gradio's own plot shows data that came while it was still being drawn, or behind another tab, at times only
in part: the title of the new and the columns of the old.
"""

from __future__ import annotations

import html
from collections.abc import Mapping

__all__ = ["columns_html"]


def columns_html(title: str, counts: Mapping[str, int]) -> str:
    """A column for each label, with its count above and its label beneath.

    >>> columns_html("How often", {"7": 2, "1": 1}).count('class="column"')
    2
    """
    most = max(counts.values(), default=0) or 1
    columns = "".join(
        f'<li title="{html.escape(label)}: {count:,}"><span class="count">{count:,}</span>'
        f'<span class="column" style="--share:{count / most:.4f}"></span>'
        f"<bdi>{html.escape(label)}</bdi></li>"
        for label, count in counts.items()
    )
    return f'<figure class="columns"><figcaption>{html.escape(title)}</figcaption><ul>{columns}</ul></figure>'
