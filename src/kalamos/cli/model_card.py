"""Lay out a model card for a terminal: the Markdown of `kalamos.zoo.card`, in aligned columns."""

from __future__ import annotations

import re
import textwrap
from itertools import groupby
from typing import Final

__all__ = ["lay_out_card"]

INDENT: Final = "  "
COLUMN_GAP: Final = "  "

_FACT = re.compile(r"- \*\*(.+?)\*\*: (.*)")
_CHECKSUM = re.compile(r",? ?\(?(?:[\w ]+: )?SHA-256 `[0-9a-f]{64}`\)?")
"""Checksums are left to programs: `--json` has them."""


def lay_out_card(card: str, width: int = 80) -> str:
    r"""Lay out a card for a terminal: without Markdown, checksums and the recipe.

    Args:
        card: what `kalamos.zoo.card.render_card` returns.
        width: columns of the terminal.

    >>> print(lay_out_card("# digits\n- **Reads**: 0 1\n- **Made by**: me\n| a | n |\n|---|---|\n| b | 10 |"))
    digits
      Reads    0 1
      Made by  me
      a   n
      b  10
    <BLANKLINE>
    """
    text = re.sub(r"\n```json\n.*?\n```\n", "\n", card, flags=re.DOTALL)
    lines: list[str] = []
    for kind, block in groupby(text.splitlines(), key=_kind):
        together = list(block)
        match kind:
            case "heading":
                lines += [line.lstrip("# ") for line in together]
            case "fact":
                lines += _facts(together, width)
            case "table":
                lines += _table(together, width)
            case "blank":
                lines.append("")
            case _:
                lines += textwrap.wrap(
                    _plain(" ".join(together)), width, initial_indent=INDENT, subsequent_indent=INDENT
                )
    return "\n".join(lines).rstrip("\n") + "\n"


def _kind(line: str) -> str:
    if not line.strip():
        return "blank"
    if line.startswith("#"):
        return "heading"
    if line.startswith("|"):
        return "table"
    return "fact" if _FACT.fullmatch(line) else "text"


def _plain(text: str) -> str:
    return _CHECKSUM.sub("", text).replace("`", "").replace("\\|", "|")


def _facts(lines: list[str], width: int) -> list[str]:
    facts = [(found[1], _plain(found[2])) for line in lines if (found := _FACT.fullmatch(line))]
    column = max(len(name) for name, _ in facts)
    laid_out = []
    for name, value in facts:
        begin = f"{INDENT}{name:<{column}}{COLUMN_GAP}"
        laid_out += textwrap.wrap(value, width, initial_indent=begin, subsequent_indent=" " * len(begin)) or [
            begin.rstrip()
        ]
    return laid_out


def _table(lines: list[str], width: int) -> list[str]:
    """Fit columns to their content and align numbers right; wrap a long table of short rows into columns."""
    table = [[_plain(cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    head, body = table[0], table[2:]  # between them is Markdown's rule
    shown = [i for i, name in enumerate(head) if "SHA-256" not in name]
    columns = [[row[i] if i < len(row) else "" for row in (head, *body)] for i in shown]
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(re.match(r"[\d.,]+%?$|$", cell) for cell in column[1:]) for column in columns]
    rows = [
        COLUMN_GAP.join(
            f"{cell:>{w}}" if right else f"{cell:<{w}}"
            for cell, w, right in zip(row, widths, numeric, strict=True)
        )
        for row in zip(*columns, strict=True)
    ]
    beside = max(1, (width - len(INDENT) + 2 * len(COLUMN_GAP)) // (len(rows[0]) + 2 * len(COLUMN_GAP)))
    if len(rows) < 16 or beside == 1:
        return [f"{INDENT}{row}".rstrip() for row in rows]
    high = -(-len(rows[1:]) // beside)
    parts = [rows[1:][start : start + high] for start in range(0, len(rows) - 1, high)]
    laid_out = [[rows[0], *part, *[""] * (high - len(part))] for part in parts]
    return [
        (INDENT + (2 * COLUMN_GAP).join(f"{row:<{len(rows[0])}}" for row in side)).rstrip()
        for side in zip(*laid_out, strict=True)
    ]
