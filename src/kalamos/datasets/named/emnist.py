"""EMNIST: digits and letters, 28x28, in six official arrangements (Cohen et al. 2017).

The official files hold every image transposed, and count the letters from 1; both are set right here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import DIGITS, LATIN_26, LATIN_47, LATIN_62, Alphabet
from kalamos.datasets.dataset import Split
from kalamos.datasets.idx import gunzip, parse_idx
from kalamos.datasets.named.entry import NamedDataset, Parts, register
from kalamos.datasets.named.layout import Layout
from kalamos.datasets.sources import open_source
from kalamos.errors import AlphabetError, DatasetError

__all__ = ["ARRANGEMENTS"]

ARRANGEMENTS: Final = {
    "balanced": (LATIN_47, 112_800, 18_800),
    "byclass": (LATIN_62, 697_932, 116_323),
    "bymerge": (LATIN_47, 697_932, 116_323),
    "letters": (LATIN_26, 124_800, 20_800),
    "digits": (DIGITS, 240_000, 40_000),
    "mnist": (DIGITS, 60_000, 10_000),
}
"""Alphabet, training and test images of each; letters of both cases are one class in `letters`, those
that look alike in `balanced` and `bymerge`."""

EMNIST_FOLDERS: Final = ("emnist", "EMNIST/raw", "emnist/gzip", "EMNIST/raw/gzip", "gzip", "")
EMNIST_ARCHIVE_FOLDERS: Final = ("emnist", "EMNIST/raw", "")
MAX_MEMBER_BYTES: Final = 1 << 30
"""The largest of the official files has 550 million bytes when unpacked."""

FileReader = Callable[[str], bytes | None]
"""Maps a file's name, without ".gz", to its bytes, unzipped; to None if there is no such file."""


def _read_emnist(arrangement: str, paths: tuple[Path, ...]) -> Parts:
    if paths[0].suffix != ".zip":
        return _emnist_parts(arrangement, partial(_from_folder, paths[0].parent), str(paths[0].parent))
    with open_source(paths[0]) as archive:
        members = {Path(member).name.removesuffix(".gz"): member for member in archive.members}

        def read(file: str) -> bytes | None:
            member = members.get(file)
            if member is None:
                return None
            return gunzip(archive.read(member, limit=MAX_MEMBER_BYTES), where=member)

        return _emnist_parts(arrangement, read, str(paths[0]))


def _from_folder(folder: Path, file: str) -> bytes | None:
    for path in (folder / f"{file}.gz", folder / file):
        if path.is_file():
            try:
                return gunzip(path.read_bytes(), where=str(path))
            except OSError as error:
                raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
    return None


def _emnist_parts(arrangement: str, read: FileReader, where: str) -> Parts:
    stem = f"emnist-{arrangement}"
    alphabet = ARRANGEMENTS[arrangement][0]
    mapping = read(f"{stem}-mapping.txt")
    codes = (
        _parse_mapping(mapping, f"{where}/{stem}-mapping.txt")
        if mapping
        else _usual_codes(arrangement, alphabet)
    )
    positions = np.full(256, -1, np.int64)
    for code, label in codes.items():
        try:
            positions[code] = alphabet.index(label)
        except AlphabetError as error:
            raise DatasetError(f"{where}/{stem}-mapping.txt: {code} is said to be {label!r}") from error

    def split(part: str) -> Split:
        images = _emnist_idx(read, f"{stem}-{part}-images-idx3-ubyte", where)
        codes = _emnist_idx(read, f"{stem}-{part}-labels-idx1-ubyte", where)
        labels = positions[codes]
        if (labels < 0).any():
            unknown = codes[labels < 0][0]
            raise DatasetError(f"{where}: {stem}-{part} has a label {unknown}, which stands for no character")
        return Split(np.ascontiguousarray(images.transpose(0, 2, 1)), labels)

    return Parts(split("train"), split("test"))


def _emnist_idx(read: FileReader, file: str, where: str) -> NDArray[Any]:
    content = read(file)
    if content is None:
        raise DatasetError(f"{where}: there is no {file}.gz in it", remedy="download it again")
    values = parse_idx(content, where=f"{where}: {file}")
    rank = 3 if "images" in file else 1
    if values.ndim != rank or values.dtype != np.uint8:
        raise DatasetError(f"{where}: {file} holds {values.dtype} {values.shape}, not EMNIST's")
    return values


def _parse_mapping(mapping: bytes, where: str) -> dict[int, str]:
    """A mapping file's lines: a label, the code point of its character, and perhaps of its small letter."""
    codes = {}
    for line in filter(bytes.strip, mapping.splitlines()):
        try:
            code, character = map(int, line.split()[:2])
            if not 0 <= code < 256:
                raise ValueError(code)  # noqa: TRY301
            codes[code] = chr(character)
        except (ValueError, OverflowError) as error:
            raise DatasetError(f"{where}: {line!r} is not a label and a code point") from error
    return codes


def _usual_codes(arrangement: str, alphabet: Alphabet) -> dict[int, str]:
    return dict(enumerate(alphabet.labels, start=1 if arrangement == "letters" else 0))


def _emnist_layouts(arrangement: str) -> tuple[Layout, ...]:
    files = tuple(
        f"emnist-{arrangement}-{part}-{kind}-ubyte"
        for part in ("train", "test")
        for kind in ("images-idx3", "labels-idx1")
    )
    return Layout(files, EMNIST_FOLDERS), Layout(("gzip.zip",), EMNIST_ARCHIVE_FOLDERS)


for _arrangement, (_alphabet, _train, _test) in ARRANGEMENTS.items():
    register(
        NamedDataset(
            name=f"emnist-{_arrangement}",
            alphabet=_alphabet,
            train=_train,
            test=_test,
            source="Cohen et al. 2017",
            layouts=_emnist_layouts(_arrangement),
            read=partial(_read_emnist, _arrangement),
            torchvision=("EMNIST", "emnist"),
        )
    )
