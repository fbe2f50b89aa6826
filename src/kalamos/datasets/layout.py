"""Folders within folders: which are the classes, the outer ones or the inner ones?

`a/anna/1.png` is a class that holds hands, `anna/a/1.png` a hand that holds classes, `upper/A/1.png` a kind
that holds classes. Only the first is a folder per class. Names and images tell; in doubt the user is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.class_names import list_names
from kalamos.datasets.near_duplicates import signatures
from kalamos.errors import DatasetError, KalamosError
from kalamos.images import decode_grey
from kalamos.images.files import display_name

__all__ = ["CLASS_FOLDERS", "ClassFolders", "Nested", "ask_about", "cased"]

ClassFolders: TypeAlias = Literal["outer", "inner", "both"]
"""Which folders name the classes: those at the top, the innermost ones, or both together."""

CLASS_FOLDERS: Final[tuple[ClassFolders, ...]] = get_args(ClassFolders)

MIN_NESTED_SHARE: Final = 0.5
"""Of the images lie in folders within folders: with fewer, those are odd ones out."""

COMPARED_IMAGES: Final = 300
"""Images that are compared where the names do not tell."""

CLEARLY: Final = 1.5
"""Images of one class are more alike than those of one hand by this factor, at least."""

_CLASS_NAME: Final = re.compile(
    r"(char|character|letter|class|glyph|digit|label|symbol|sign|syllable)s?[\W_]*\w{1,6}", re.IGNORECASE
)
_HAND_NAME: Final = re.compile(
    r"(w|u|p|s|writer|user|person|people|hand|subject|scribe|font|author|student|pupil|participant|volunteer"
    r"|form|sheet|page|scan|session|set|part|group|batch)s?[\W_]*\d+",
    re.IGNORECASE,
)
_CASE_NAME: Final = re.compile(
    r"(upper|lower|capital|small|big|little|majuscule|minuscule)s?([\W_]*(case|letter)s?)?", re.IGNORECASE
)
_SMALL: Final = re.compile(r"lower|small|little|minuscule", re.IGNORECASE)


@dataclass(frozen=True)
class Nested:
    """An image that lies in a folder within a folder.

    Attributes:
        member: its file.
        outer, inner: the labels of the folder at the top, and of the one that it lies in.
    """

    member: str
    outer: str
    inner: str


def cased(outer: str, inner: str) -> str:
    """Return an inner folder's label, in the case that the outer one is called by.

    On Windows and macOS `A` and `a` are one folder, so `lower/A` may stand for a.

    >>> cased("lower", "A"), cased("upper", "a"), cased("anna", "a")
    ('a', 'A', 'a')
    """
    if len(inner) != 1 or not _CASE_NAME.fullmatch(outer):
        return inner
    changed = inner.lower() if _SMALL.match(outer) else inner.upper()
    return changed if len(changed) == 1 else inner


def ask_about(name: str, total: int, nested: Sequence[Nested], read: Callable[[str], bytes]) -> None:
    """Raise `DatasetError` where the inner folders are, or may be, the classes.

    Args:
        name: of the dataset.
        total: images in all, those that are not nested too.
        nested: in the order of their files.
        read: returns a file's bytes.
    """
    outer = list(dict.fromkeys(each.outer for each in nested))
    inner = list(dict.fromkeys(each.inner for each in nested))
    paths = {(each.outer, each.inner) for each in nested}
    if len(nested) < MIN_NESTED_SHARE * total or len(inner) < 2 or len(paths) < 2 * len(outer):
        return
    if _are_classes(outer) and not _are_classes(inner):
        return
    named = _are_classes(inner) and not _are_classes(outer)
    if not named and not _are_hands(outer) and (_are_hands(inner) or _outer_alike(nested, read)):
        return
    shown = display_name(name)
    raise DatasetError(
        f"{shown}: its folders hold folders, and the inner ones may be the classes. "
        f"Outer: {_names(outer)}. Inner: {_names(inner)}",
        remedy="say which are the classes: --classes inner (the outer ones are then hands), --classes outer, "
        "or --classes both for their names together (classes= in Python)",
    )


def _names(labels: Sequence[str]) -> str:
    return list_names(labels).partition(": ")[2]


def _are_classes(labels: Sequence[str]) -> bool:
    return _share(labels, lambda label: len(label) == 1 or bool(_CLASS_NAME.fullmatch(label)))


def _are_hands(labels: Sequence[str]) -> bool:
    return _share(labels, lambda label: bool(_HAND_NAME.fullmatch(label) or _CASE_NAME.fullmatch(label)))


def _share(labels: Sequence[str], told: Callable[[str], bool]) -> bool:
    return sum(map(told, labels)) > len(labels) / 2


def _outer_alike(nested: Sequence[Nested], read: Callable[[str], bytes]) -> bool:
    """Whether images that share the outer folder alone are clearly more alike than other pairs are."""
    step = max(1, len(nested) // COMPARED_IMAGES)
    images: list[NDArray[np.uint8]] = []
    kept: list[Nested] = []
    for each in nested[::step]:
        try:
            images.append(decode_grey(read(each.member), where=each.member))
        except KalamosError:
            continue
        kept.append(each)
    described = signatures(images, len(images)).descriptors
    likeness = described @ described.T
    upper = np.triu(np.ones_like(likeness, dtype=bool), 1)
    outer, inner = (
        np.unique([getattr(each, key) for each in kept], return_inverse=True)[1] for key in ("outer", "inner")
    )
    same_outer, same_inner = (codes[:, None] == codes[None, :] for codes in (outer, inner))
    recurs = bool((same_inner & ~same_outer).any())

    def mean(pairs: NDArray[np.bool_]) -> float:
        return float(likeness[pairs & upper].mean()) if (pairs & upper).any() else float("nan")

    apart, by_outer = mean(~same_outer & ~same_inner), mean(same_outer & ~same_inner)
    # Where no inner name stands in two folders, the images of one inner folder have to be much alike.
    by_inner = mean(same_inner & ~same_outer if recurs else same_inner & same_outer)
    if np.isnan(by_inner):  # an image in each inner folder: those are no classes
        return by_outer > apart
    needed = max(by_inner - apart, 0.0) * (CLEARLY if recurs else 1 / CLEARLY)
    return by_outer - apart > needed
