"""Which characters a sheet asks for: typed in a row, or listed in a file with names and pictures."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from kalamos.errors import FormError

__all__ = ["Caption", "clusters", "name_of_label", "parse_chars", "read_labels"]

MAX_FILE_BYTES: Final = 4 << 20

TABLE_SUFFIXES: Final = {".csv": ",", ".tsv": "\t"}


class Caption(NamedTuple):
    """How a label is shown on paper, where not by itself."""

    name: str = ""
    picture: Path | None = None


def parse_chars(text: str) -> tuple[str, ...]:
    """Split what was typed into characters with the marks that combine with them, composed (NFC).

    Blanks separate and are none. A label of several characters, such as `ch`, is for a file (`read_labels`).

    >>> parse_chars("ա բ գ"), parse_chars("ab c"), len(parse_chars("e\u0301x"))
    (('ա', 'բ', 'գ'), ('a', 'b', 'c'), 2)
    """
    words = unicodedata.normalize("NFC", text).split()
    return tuple(cluster for word in words for cluster in clusters(word))


def clusters(text: str) -> Iterator[str]:
    """Yield characters, each with the marks and joiners behind it and what a joiner binds to it.

    >>> [len(each) for each in clusters("कि ")]
    [2]
    """
    cluster = ""
    for character in text.strip():
        binds = unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf") or cluster.endswith("\u200d")
        if cluster and not binds:
            yield cluster
            cluster = ""
        cluster += character
    if cluster:
        yield cluster


def read_labels(path: str | os.PathLike[str]) -> tuple[tuple[str, ...], Mapping[str, Caption]]:
    """Read a list of labels.

    A text file has one label a line. A `.csv` or `.tsv` file begins with a line that names its columns:
    `label`, and as may be `name`, what is printed where no font has the label, and `picture`, an image beside
    the file that is printed instead.

    Returns:
        The labels, composed (NFC), and how those are shown that have a name or a picture.

    Raises:
        FormError: the file cannot be read, or names no label.
    """
    where = Path(path)
    try:
        with where.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormError(f"{where}: cannot be read as text in UTF-8 ({error})") from error
    if len(content) > MAX_FILE_BYTES:
        raise FormError(f"{where}: larger than {MAX_FILE_BYTES >> 20} MiB, so no list of labels")
    delimiter = TABLE_SUFFIXES.get(where.suffix.lower())
    rows = _table(text, delimiter, where) if delimiter else _lines(text.splitlines())
    labels, captions = [], {}
    for row in rows:
        label = unicodedata.normalize("NFC", row["label"].strip())
        if not label:
            continue
        labels.append(label)
        picture = (row.get("picture") or "").strip()
        caption = Caption((row.get("name") or "").strip(), where.parent / picture if picture else None)
        if caption != Caption():
            captions[label] = caption
    if not labels:
        raise FormError(f"{where}: names no label", remedy="write one a line")
    return tuple(labels), captions


def _lines(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    return ({"label": line} for line in lines)


def _table(text: str, delimiter: str, where: Path) -> Sequence[dict[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, restval="")
        reader.fieldnames = [name.strip().casefold() for name in reader.fieldnames or ()]
        if "label" not in reader.fieldnames:
            raise FormError(
                f"{where}: its first line names no column label", remedy="begin it with: label,name"
            )
        return list(reader)
    except csv.Error as error:
        raise FormError(f"{where}: {error}") from error


def name_of_label(label: str) -> str:
    """Return what a label's characters are called in Unicode, in small letters.

    >>> name_of_label("ᜊ"), name_of_label("k1")
    ('tagalog letter ba', 'latin small letter k + digit one')
    """
    return " + ".join(unicodedata.name(each, f"U+{ord(each):04X}").lower() for each in label)
