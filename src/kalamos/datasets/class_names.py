"""Names of classes: a few words that name them all, and which of them nobody can tell apart by eye."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

__all__ = ["alike_names", "describe_alike", "list_names"]

HOMOGLYPHS: Final = (
    "AАΑ", "BВΒ", "CСϹ", "EЕΕ", "HНΗ", "IІΙӀ", "JЈͿ", "KКΚ", "MМΜ", "NΝ", "OОΟ", "PРΡ", "SЅ", "TТΤ", "XХΧ",
    "YΥҮ", "ZΖ", "aа", "cсϲ", "eе", "iі", "jјϳ", "oоο", "pр", "sѕ", "vν", "xх", "yу",
)  # fmt: skip
"""Letters of Latin, Cyrillic and Greek that fonts draw alike; the first stands for all."""

_FIRST_OF_ALIKE: Final = str.maketrans({each: group[0] for group in HOMOGLYPHS for each in group[1:]})

SHOWN_NAMES: Final = 12
"""Names that `list_names` writes out."""


def list_names(labels: Sequence[str]) -> str:
    """Name a few classes and count them all.

    >>> list_names("abc")
    '3 classes: a b c'
    >>> list_names([str(number) for number in range(100)])
    '100 classes: 0 1 2 3 4 5 6 7 8 9 10 … 99'
    """
    names = list(labels)
    if len(names) > SHOWN_NAMES:
        names = [*names[: SHOWN_NAMES - 1], "…", names[-1]]
    return f"{len(labels):,} {'class' if len(labels) == 1 else 'classes'}: {' '.join(names)}"


def alike_names(labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    r"""Find the names that print alike: by characters without width, white space, widths, or homoglyphs.

    Returns:
        The groups of such names, in their order.

    >>> alike_names(["A", "\u0410", "b", "b\u200b", "c"])
    (('A', 'А'), ('b', 'b\u200b'))
    """
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(_printed(label), []).append(label)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def describe_alike(group: Sequence[str]) -> str:
    r"""Tell names that print alike apart by their code points.

    >>> describe_alike(["A", "\u0410"])
    'A (U+0041), А (U+0410)'
    """
    return ", ".join(f"{name} ({' '.join(f'U+{ord(each):04X}' for each in name)})" for name in group)


def _printed(label: str) -> str:
    """The name as an eye sees it: compatibility forms composed, without what has no width."""
    composed = unicodedata.normalize("NFKC", label)
    seen = "".join(each for each in composed if unicodedata.category(each) not in {"Cf", "Cc"})
    return unicodedata.normalize("NFC", " ".join(seen.split()).translate(_FIRST_OF_ALIKE))
