"""A bar chart in text."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter

from kalamos.writers.escape import one_line

__all__ = ["bar_chart"]

_BAR = 8
_INDENT, _GAP = "  ", "    "
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def bar_chart(counts: Counter[str], *, width: int = 78, most: int = 96) -> list[str]:
    r"""Lines of at most `width` columns, in as many columns of bars as they hold, read downwards.

    Labels come in the order of their code points. Of more than `most` labels the rarest are
    counted together, or an alphabet of thousands would fill pages.

    >>> print(*bar_chart(Counter({"a": 1200, "b": 600, "c": 1}), width=40), sep="\n")
      a 1,200 ████████    c     1 ▏
      b   600 ████
    """
    shown = sorted(counts.most_common(most))
    names = [one_line(label) for label, _ in shown]
    numbers = [f"{count:,}" for _, count in shown]
    name_width = max(map(_columns, names), default=0)
    number_width = max(map(len, numbers), default=0)
    largest = max((count for _, count in shown), default=0)
    cells = [
        f"{name}{' ' * (name_width - _columns(name))} {number:>{number_width}} {_bar(count / largest):{_BAR}}"
        for name, number, (_, count) in zip(names, numbers, shown, strict=True)
    ]
    cell_width = name_width + number_width + _BAR + 2
    across = max(1, (width - len(_INDENT) + len(_GAP)) // (cell_width + len(_GAP)))
    down = math.ceil(len(cells) / across)
    lines = [_INDENT + _GAP.join(cells[row::down]).rstrip() for row in range(down)]
    others = len(counts) - len(shown)
    if others:
        rest = counts.total() - sum(count for _, count in shown)
        lines.append(f"{_INDENT}and {rest:,} of {others:,} rarer labels")
    return lines


def _bar(share: float) -> str:
    """At least an eighth of a block, so that one is told from none."""
    full, eighths = divmod(max(1, round(share * _BAR * 8)), 8)
    return "█" * full + _EIGHTHS[eighths]


def _columns(text: str) -> int:
    """The columns that a terminal gives `text` (Unicode TR 11), short of its finer points."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
