"""Arabic letters: AHCD, Hijja, the union of both, HMBD, and OCR-Arabic.

In Hijja nobody says who wrote which image, but the IDs rise sheet by sheet, in the sheet's own order of
letters and forms. Up to ID 34,452 a sheet has exactly 108 IDs (measured: 319 sheets in a row begin with an
alef at 1 modulo 108). After it a sheet has 120 to 133, and about every eleventh ID belongs to another sheet
that is threaded through a dozen of them.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import ARABIC_28, Alphabet
from kalamos.datasets.dataset import SkippedFile, Split
from kalamos.datasets.local import assemble, decode_members, find_manifest, list_archived_manifest
from kalamos.datasets.named.catalogue import Layout, NamedDataset, Parts, archive, register
from kalamos.datasets.sources import Source, open_source
from kalamos.datasets.splits import block_groups
from kalamos.errors import DatasetError

__all__ = ["ARABIC_32", "LETTERS", "PUNCTUATION_11", "font_of", "read_members"]


def read_members(
    path: Path, label_of: Callable[[str], int | None], *, dataset: str, example_folder: str
) -> tuple[Split, tuple[SkippedFile, ...]]:
    """Decode the images of a zip archive, or of a folder, in natural order.

    Args:
        path: the archive or folder.
        label_of: maps a member's name to its label; to None if it is not an image of the dataset.
        dataset: its name in messages.
        example_folder: a folder that it holds, for the remedy.

    Returns:
        The images with their labels and member names, without groups; and the members that are not images
        of the dataset or cannot be read.

    Raises:
        DatasetError: `path` cannot be opened, or none of its files is an image of the dataset.
    """
    with open_source(path) as source:
        labels = {member: label_of(member) for member in source.members}
        members = [member for member, label in labels.items() if label is not None]
        problems = [
            SkippedFile(member, f"not named like an image of {dataset}")
            for member, label in labels.items()
            if label is None
        ]
        images, kept, unreadable = decode_members(source.read, members)
    if not len(kept):
        raise DatasetError(
            f"{path}: no image of {dataset} in it", remedy=f"it holds folders such as {example_folder!r}"
        )
    names = tuple(members[position] for position in kept.tolist())
    split = Split(images, np.array([labels[name] for name in names], np.int64), names=names)
    return split, (*source.problems, *problems, *unreadable)


AHCD_SIDE_PX: Final = 32


def _read_ahcd(paths: tuple[Path, ...]) -> Parts:
    with open_source(paths[0]) as source:
        return Parts(_ahcd_split(source, "Train"), _ahcd_split(source, "Test"))


def _ahcd_split(source: Source, part: str) -> Split:
    rows = _ahcd_table(source, f"csv{part}Images")
    labels = _ahcd_table(source, f"csv{part}Label").reshape(-1)
    if rows.shape[1] != AHCD_SIDE_PX**2:
        raise DatasetError(
            f"{source.path}: rows of {rows.shape[1]} pixels, where {AHCD_SIDE_PX**2} are an AHCD image"
        )
    if labels.size and not 1 <= labels.min() <= labels.max() <= len(ARABIC_28):
        raise DatasetError(
            f"{source.path}: labels run from {labels.min()} to {labels.max()}, where AHCD has 1 to 28"
        )
    # The files hold every image transposed.
    images = np.ascontiguousarray(rows.reshape(-1, AHCD_SIDE_PX, AHCD_SIDE_PX).transpose(0, 2, 1))
    # One writer after the other writes alef to yaa, so a label that falls begins a new one.
    new_writer = labels[1:] < labels[:-1]
    writers = np.concatenate([np.zeros(min(len(labels), 1), np.int64), np.cumsum(new_writer)])
    return Split(images, labels.astype(np.int64) - 1, writers)


def _ahcd_table(source: Source, start: str) -> NDArray[np.uint8]:
    """The numbers uint8 [N, columns] of the CSV file whose name begins so ("csvTestLabel 3360x1.csv")."""
    found = [member for member in source.members if member.rpartition("/")[2].startswith(start)]
    if len(found) != 1:
        raise DatasetError(
            f"{source.path}: {len(found)} files are called {start}*.csv in it, where AHCD has one"
        )
    try:
        return np.loadtxt(io.BytesIO(source.read(found[0])), np.uint8, delimiter=",", ndmin=2)
    except (ValueError, UserWarning) as error:
        raise DatasetError(
            f"{source.path}: {found[0]} is damaged ({error})", remedy="copy the file again"
        ) from error


AHCD: Final = register(
    NamedDataset(
        name="ahcd",
        alphabet=ARABIC_28,
        train=13_440,
        test=3_360,
        source="El-Sawy, Loey, El-Bakry 2017",
        layouts=(
            *archive("ahcd", "ahcd-csv"),
            Layout(("Arabic Handwritten Characters Dataset CSV.zip",), ("", "ahcd")),
        ),
        read=_read_ahcd,
        grouped_by="writer",
        home="its author's project: github.com/mloey/Arabic-Handwritten-Characters-Dataset, the CSV archive",
    )
)
"""AHCD (El-Sawy, Loey and El-Bakry 2017): 28 letters by 60 writers, 32x32, bright on black; official split.

Its paper says that no writer is on both sides. In these files all are: both parts hold 60 blocks of alef to
yaa, eight of each letter for training and two for the test, and the nearest training image of the same
letter is of the same-numbered block for 39 % of the test images, as it is among the training images
themselves (1.7 % by chance). So its test measures new images by known writers; for new writers, split the
training images by group, or test on `hijja-28`."""

HIJJA_29: Final = Alphabet("hijja-29", (*ARABIC_28.labels, "ء"))

SHEET_IDS: Final = 108
"""IDs of a sheet: every letter in each of its forms."""

REGULAR_SHEETS: Final = 319
"""Sheets of exactly 108 IDs, which come first."""

LATE_BLOCK_IDS: Final = 1063
"""IDs of a block after them, a fifteenth of what is left: enough sheets that few are cut."""

TEST_ONE_IN: Final = 5
"""One of this many neighbouring blocks is for the test."""

TEST_SEED: Final = 1
"""The first from 0 with which no two byte-identical images fall on both sides."""

_HIJJA_MEMBER: Final = re.compile(r"(?:.*/)?(\d{1,2}) [^/]+/\1\.\d/(\d{1,9})\.png", re.IGNORECASE)
"""`NN name/NN.form/ID.png`; the names are ambiguous ("6 ha", "26 ha"), the numbers are not."""


def _hijja_label(member: str) -> int | None:
    match = _HIJJA_MEMBER.fullmatch(member)
    return int(match[1]) - 1 if match and 1 <= int(match[1]) <= len(HIJJA_29) else None


def _read_hijja_images(
    path: Path, group: Callable[[NDArray[np.int64]], NDArray[np.int64]]
) -> tuple[Split, tuple[SkippedFile, ...]]:
    split, problems = read_members(path, _hijja_label, dataset="Hijja", example_folder="1 alif/1.1")
    ids = np.array([int(Path(name).stem) for name in split.names or ()], np.int64)
    return replace(split, groups=group(ids)), problems


def _read_hijja(paths: tuple[Path, ...]) -> Parts:
    split, problems = _read_hijja_images(paths[0], partial(block_groups, size=SHEET_IDS))
    return Parts(split, problems=problems)


def _read_hijja_28(paths: tuple[Path, ...]) -> Parts:
    every, problems = _read_hijja_images(paths[0], _hijja_blocks)
    assert every.groups is not None  # noqa: S101  (`_read_hijja_images` sets them)
    letters, test = every.labels < len(ARABIC_28), _for_test(every.groups)
    return Parts(
        every.take(np.flatnonzero(letters & ~test)), every.take(np.flatnonzero(letters & test)), problems
    )


def _hijja_blocks(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sheet of each ID; in the later part, where sheets interleave, the block of IDs."""
    late = ids - REGULAR_SHEETS * SHEET_IDS - 1
    return np.where(late < 0, (ids - 1) // SHEET_IDS, REGULAR_SHEETS + late // LATE_BLOCK_IDS)


def _for_test(blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.array(
        [block % TEST_ONE_IN == _test_block(block // TEST_ONE_IN) for block in blocks.tolist()], bool
    )


@cache
def _test_block(fold: int) -> int:
    # A checksum, not a generator, whose stream may change with NumPy's version.
    return zlib.crc32(f"{TEST_SEED}/{fold}".encode()) % TEST_ONE_IN


HIJJA: Final = register(
    NamedDataset(
        name="hijja",
        alphabet=HIJJA_29,
        train=47_434,
        test=0,
        source="Altwaijry and Al-Turaiki 2020",
        layouts=archive("hijja", "hijja2"),
        read=_read_hijja,
        grouped_by="writer block",
        home="its authors' project: github.com/israksu/Hijja2",
    )
)
"""Hijja (Altwaijry and Al-Turaiki 2020): 28 letters and hamza in all their forms, by children aged 7 to 12,
32x32, black on white. No official split in this arrangement; blocks of 108 IDs stand for the writers, exactly
in the first 34,452 IDs, increasingly off after them."""

HIJJA_28: Final = register(
    replace(
        HIJJA,
        name="hijja-28",
        alphabet=ARABIC_28,
        train=36_525,
        test=9_201,
        source=f"{HIJJA.source}; divided by kalamos",
        read=_read_hijja_28,
    )
)
"""Hijja without its 1,708 images of hamza, so that its alphabet is AHCD's, with a test split of our own.

Of every five neighbouring blocks one is for the test, drawn by a fixed seed. A block is a sheet (a writer)
up to ID 34,452, and 1,063 IDs after it. In that last third a sheet may be cut where blocks meet, and about
one image in eleven is by a writer with images in several blocks; otherwise writers are apart. No test image
equals a training image byte for byte."""

HMBD_15: Final = Alphabet("hmbd-15", tuple("ابتجدرسصضعغفقكم"))

HMBD_19: Final = Alphabet("hmbd-19", (*HMBD_15.labels, "ء", "أ", "إ", "لأ"))


def _read_hmbd(alphabet: Alphabet, paths: tuple[Path, ...]) -> Parts:
    """Read the images whose label is of the alphabet, by the manifest among them."""
    [path] = paths
    with open_source(path) as source:
        manifest = find_manifest(source)
        if manifest is None:
            raise DatasetError(
                f"{path}: there is no table of its images in it",
                remedy="have manifest.csv with the columns path,label,group beside the folders",
            )
        every = assemble(list_archived_manifest(source, manifest))
    strangers = [label for label in every.alphabet.labels if label not in HMBD_19]
    if strangers:
        raise DatasetError(f"{path}: the label {strangers[0]!r} is not of HMBD's letters")
    known = [alphabet.class_of(label) for label in every.alphabet.labels]
    labels = np.array([-1 if position is None else position for position in known])[every.train.labels]
    kept = np.flatnonzero(labels >= 0)
    return Parts(replace(every.train.take(kept), labels=labels[kept]), problems=every.problems)


HMBD: Final = register(
    NamedDataset(
        name="hmbd",
        alphabet=HMBD_19,
        train=8_500,
        test=0,
        source="Balaha et al. 2021 (part of HMBD v1)",
        licence="MIT",
        layouts=archive("hmbd", "hmbd"),
        read=partial(_read_hmbd, HMBD_19),
        grouped_by="form",
        home="its authors' project, github.com/HossamBalaha/HMBD-v1: 22 folders of letters, at most 64 px, "
        "with a manifest.csv of path,label,group",
    )
)
"""Part of HMBD (Balaha et al. 2021): 15 letters, hamza, alef and lam-alef with hamza, on 99 scanned forms,
64x64, black on white. No official split: split by form, each of which has every letter up to eight times.

Letters stand alone, but for half of ب and ت (in the middle of a word) and of ج (at its beginning). Labels are
what a form's box was for. Thin strokes are broken, and some dots are one pixel: of the letters with one dot 3
to 6 % are in one piece (ب, ج, ض, غ, ف), their dot lost or touching them."""

HMBD_OF_28: Final = register(
    replace(HMBD, name="hmbd-15", alphabet=HMBD_15, train=7_018, read=partial(_read_hmbd, HMBD_15))
)
"""HMBD's 15 letters that are of `ARABIC_28`, so that a recipe for those can name it in `extra_datasets`.

An alef with hamza is left out, not counted as an alef: the forms ask for both, each in its own box, and a
model of the 28 that learns to overlook the hamza could not be taught to see it."""

ARABIC_32: Final = Alphabet("arabic-32", (*ARABIC_28.labels, "ء", "ئ", "ة", "لا"))

PUNCTUATION_11: Final = Alphabet("arabic-punctuation-11", tuple("()<>-:،!.؟؛"))

LETTERS: Final = {
    "Alif": "ا", "baa": "ب", "ta2": "ت", "thaa": "ث", "jim": "ج", "7aa": "ح", "khaa": "خ", "dal": "د",
    "zal": "ذ", "raa": "ر", "zay": "ز", "sin": "س", "shin": "ش", "sad": "ص", "dad": "ض", "taa": "ط",
    "za2": "ظ", "3ayn": "ع", "ghayn": "غ", "faa": "ف", "qaf": "ق", "kaf": "ك", "lam": "ل", "mim": "م",
    "non": "ن", "haa": "ه", "waw": "و", "yaa": "ي", "hamza": "ء", "hamzaLnbra": "ئ", "ta2marbota": "ة",
    "lamAlif": "لا",
}  # fmt: skip
"""What the class folders hold, checked by eye: "taa" is ط and "ta2" is ت."""

PUNCTUATION: Final = {
    "Brackets_left": "(", "brackets_right": ")", "left": "<", "right": ">", "Hyphen": "-", "colon": ":",
    "comma": "،", "exclamation_mark": "!", "full_stop": ".", "question_mark": "؟", "semicolon": "؛",
}  # fmt: skip

_LETTER_FONT = re.compile(r"(?:z\d+)?i?([A-Z][A-Za-z ]*?)_(\d+) size")
_PUNCTUATION_FONT = re.compile(r"\d+\s*([A-Za-z ]+?)\s*$")
_STYLE = re.compile(r" (?:Light|Semilight|Semibold|Bold|Italic|Regular)$")


def font_of(file: str) -> str:
    """Return the font family that a file's name holds, whatever the size and the style; "" if it holds none.

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
    """Number the fonts, int64 [N]. Twins under two names get the alphabetically last of them.

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
"""Printed letters (ahmedsaeedsaid/OCR-Arabic) in their forms, five fonts and many sizes, bright on black, up
to 59x70 px. No official split. A random one puts hundreds of byte-exact twins on both sides; split by font as
well."""

OCR_ARABIC_PUNCTUATION: Final = register(
    replace(
        OCR_ARABIC,
        name="ocr-arabic-punctuation",
        alphabet=PUNCTUATION_11,
        train=1_595,
        layouts=archive("ocr-arabic-punctuation", "ocr-arabic-punctuation"),
        read=partial(_read_ocr_arabic, PUNCTUATION, PUNCTUATION_11),
    )
)
"""The same source's punctuation: 11 classes in several fonts and sizes. No official split."""


def _read_arabic_letters(paths: tuple[Path, ...]) -> Parts:
    ahcd_path, hijja_path = paths
    ahcd, hijja = AHCD.read((ahcd_path,)), HIJJA_28.read((hijja_path,))
    assert ahcd.test is not None  # noqa: S101  (both have one)
    assert hijja.test is not None  # noqa: S101
    return Parts(_join(ahcd.train, hijja.train), _join(ahcd.test, hijja.test), hijja.problems)


def _join(ahcd: Split, hijja: Split) -> Split:
    assert ahcd.groups is not None  # noqa: S101  (both are grouped)
    assert hijja.groups is not None  # noqa: S101
    return Split(
        np.concatenate([ahcd.stack(), 255 - hijja.stack()]),
        np.concatenate([ahcd.labels, hijja.labels]),
        # One number for a writer in both parts: AHCD's writers count from 0, Hijja's blocks below it.
        np.concatenate([ahcd.groups, -1 - hijja.groups]),
    )


ARABIC_LETTERS: Final = register(
    NamedDataset(
        name="arabic-letters",
        alphabet=ARABIC_28,
        train=AHCD.train + HIJJA_28.train,
        test=AHCD.test + HIJJA_28.test,
        source=f"{AHCD.source}; {HIJJA_28.source}",
        layouts=(),
        read=_read_arabic_letters,
        grouped_by="writer or writer block",
        home=f"{AHCD.home}, and {HIJJA_28.home}",
        made_of=(AHCD, HIJJA_28),
    )
)
"""28 letters, 32x32, bright on black: AHCD with its official split, then `hijja-28` with its own.

Hijja's hamza, which AHCD lacks, is left out; its letters are in all their forms (alone, and at the beginning,
in the middle and at the end of a word). Evaluate on `ahcd` and on `hijja-28` for a figure of each. Groups are
AHCD's writers (0 and up; each has images in both parts, as there) and Hijja's blocks (-1 and down; each in
one part)."""
