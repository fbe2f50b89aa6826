"""OCR-Arabic (ahmedsaeedsaid/OCR-Arabic): printed Arabic letters and punctuation in several fonts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import ARABIC_28, Alphabet
from kalamos.datasets.named.entry import NamedDataset, Parts, register
from kalamos.datasets.named.layout import archive
from kalamos.datasets.named.members import read_members

__all__ = ["ARABIC_32", "LETTERS", "OCR_ARABIC", "OCR_ARABIC_PUNCTUATION", "PUNCTUATION_11", "font_of"]

ARABIC_32: Final = Alphabet("arabic-32", (*ARABIC_28.labels, "ء", "ئ", "ة", "لا"))

PUNCTUATION_11: Final = Alphabet("arabic-punctuation-11", tuple("()<>-:،!.؟؛"))

LETTERS: Final = {
    "Alif": "ا", "baa": "ب", "ta2": "ت", "thaa": "ث", "jim": "ج", "7aa": "ح", "khaa": "خ", "dal": "د",
    "zal": "ذ", "raa": "ر", "zay": "ز", "sin": "س", "shin": "ش", "sad": "ص", "dad": "ض", "taa": "ط",
    "za2": "ظ", "3ayn": "ع", "ghayn": "غ", "faa": "ف", "qaf": "ق", "kaf": "ك", "lam": "ل", "mim": "م",
    "non": "ن", "haa": "ه", "waw": "و", "yaa": "ي", "hamza": "ء", "hamzaLnbra": "ئ", "ta2marbota": "ة",
    "lamAlif": "لا",
}  # fmt: skip
"""What the class folders hold, by looking at them: "taa" is ط and "ta2" is ت."""

PUNCTUATION: Final = {
    "Brackets_left": "(", "brackets_right": ")", "left": "<", "right": ">", "Hyphen": "-", "colon": ":",
    "comma": "،", "exclamation_mark": "!", "full_stop": ".", "question_mark": "؟", "semicolon": "؛",
}  # fmt: skip

_LETTER_FONT = re.compile(r"(?:z\d+)?i?([A-Z][A-Za-z ]*?)_(\d+) size")
_PUNCTUATION_FONT = re.compile(r"\d+\s*([A-Za-z ]+?)\s*$")
_STYLE = re.compile(r" (?:Light|Semilight|Semibold|Bold|Italic|Regular)$")


def font_of(file: str) -> str:
    """The font family that a file's name holds, whatever the size and the style; "" if it holds none.

    Small sizes of "Unicode" are called "Typesetting" in part. All of size 12 are that, seen by eye and by
    their nearest neighbours; those of size 13 have twins, which `_font_groups` looks for.

    >>> font_of("iArial_12 size47.jpg"), font_of("z6Typesetting_12 size.jpg")
    ('Arial', 'Unicode')
    >>> font_of("10 Segoe UI Semilight.jpg"), font_of("11 Calibri Light.jpg")
    ('Segoe UI', 'Calibri')
    """
    letter = _LETTER_FONT.match(file)
    if letter:
        return "Unicode" if letter.groups() == ("Typesetting", "12") else letter[1]
    punctuation = _PUNCTUATION_FONT.match(file.rpartition(".")[0])
    return _STYLE.sub("", punctuation[1]) if punctuation else ""


def _read_ocr_arabic(folders: Mapping[str, str], alphabet: Alphabet, paths: tuple[Path, ...]) -> Parts:
    def label_of(member: str) -> int | None:
        label = folders.get(PurePosixPath(member).parent.name)
        return None if label is None else alphabet.index(label)

    split, problems = read_members(paths[0], label_of, dataset="OCR-Arabic", example_folder=min(folders))
    digests = [
        hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest() for image in split.images
    ]
    groups = _font_groups(digests, [font_of(PurePosixPath(name).name) for name in split.names or ()])
    return Parts(replace(split, groups=groups), problems=problems)


def _font_groups(digests: list[bytes], fonts: list[str]) -> NDArray[np.int64]:
    """A number for each font, int64 [N]. Twins under two names are in the alphabetically last of them.

    That is "Unicode" for all of those in the published files; and twins on both sides of a split would
    leak in any case.
    """
    last: dict[bytes, str] = {}
    for digest, font in zip(digests, fonts, strict=True):
        last[digest] = max(font, last.get(digest, ""))
    _, groups = np.unique([last[digest] for digest in digests], return_inverse=True)
    return groups.astype(np.int64)


OCR_ARABIC: Final = register(
    NamedDataset(
        name="ocr-arabic",
        alphabet=ARABIC_32,
        train=15_288,
        test=0,
        source="ahmedsaeedsaid/OCR-Arabic",
        layouts=archive("ocr-arabic", "ocr-arabic"),
        read=partial(_read_ocr_arabic, LETTERS, ARABIC_32),
        grouped_by="font",
        home="its project: github.com/ahmedsaeedsaid/OCR-Arabic",
    )
)
"""Printed letters in their forms, five fonts and many sizes, bright on black, up to 59x70 px. No official
split. A random one puts hundreds of byte-exact twins on both sides; split by font as well."""

OCR_ARABIC_PUNCTUATION: Final = register(
    NamedDataset(
        name="ocr-arabic-punctuation",
        alphabet=PUNCTUATION_11,
        train=1_595,
        test=0,
        source="ahmedsaeedsaid/OCR-Arabic",
        layouts=archive("ocr-arabic-punctuation", "ocr-arabic-punctuation"),
        read=partial(_read_ocr_arabic, PUNCTUATION, PUNCTUATION_11),
        grouped_by="font",
        home="its project: github.com/ahmedsaeedsaid/OCR-Arabic",
    )
)
"""The same source's punctuation: 11 classes in several fonts and sizes. No official split."""
