"""The folder of cut characters: one sub-folder a class, a manifest, and beside it what is doubtful.

```
letters/manifest.csv              path, label, sheet, group, scan, box, digest
letters/α/class-3f2a1b9c-012.png
letters-doubtful/doubtful.csv     the same, and the reason
letters-doubtful/crossed out/α/class-3f2a1b9c-013.png
```

The label stands in the manifest; a folder's name is a safe one. A scan is known by its pixels' digest, so
that it is cut once, whatever it is called. An image that a person moves from the doubtful ones into its
class, or removes, is put right in the lists the next time.
"""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

from kalamos.datasets.local import folder_of
from kalamos.errors import OutputError, UsageError
from kalamos.images.files import read_file
from kalamos.utils.atomic_write import write_bytes, write_text

__all__ = ["DOUBTFUL", "MANIFEST", "LetterFolder", "class_folder"]

MANIFEST, DOUBTFUL = "manifest.csv", "doubtful.csv"

COLUMNS: Final = ("path", "label", "sheet", "group", "scan", "box", "digest")
"""`kalamos.datasets.local` reads path, label and group."""

MAX_NAME_BYTES: Final = 120
"""Of a class's folder: file systems allow 255, and paths are limited too."""

MAX_STEM_CHARACTERS: Final = 40

MAX_CODES: Final = 4
"""Characters of a label whose code points stand in its folder's name; of more, a checksum does."""

_ESCAPE: Final = re.compile("%[0-9A-F]{2}")


def class_folder(label: str) -> str:
    """Return the name of a class's folder: one that every file system takes, and keeps apart from others.

    Of labels that differ in case alone one has its code points behind it, since Windows and macOS take `A`
    and `a` for one folder.

    >>> [class_folder(label) for label in ("a", "A", "E:I", ".", "con", "ß")]
    ['a', 'A~41', 'E%3AI~45-3a-49', '%2E', '%63on', 'ß~df']
    """
    label = unicodedata.normalize("NFC", label)
    name = folder_of(label)
    if not all(map(_is_plain, _ESCAPE.sub("", name))) or unicodedata.category(label[0])[0] == "M":
        name += f"~{'-'.join(f'{ord(each):x}' for each in label)}" if len(label) <= MAX_CODES else _sum(label)
    return name if len(name.encode()) <= MAX_NAME_BYTES else f"label{_sum(label)}"


def _sum(label: str) -> str:
    return f"~{zlib.crc32(label.encode()):08x}"


def _is_plain(character: str) -> bool:
    """Whether no file system takes a character for another one."""
    if character == "~" or unicodedata.category(character) in ("Cf", "Co", "Cn"):
        return False
    return character == character.casefold() == character.upper().casefold()


class LetterFolder:
    """A folder of cut characters that is added to.

    Args:
        path: of the folder; it may be absent.
        doubtful: of the folder of doubtful ones; by default beside it, `letters-doubtful`.

    Attributes:
        taken_in: doubtful images that a person has moved to their class since the last time.
        dropped: images that a person has removed.

    Raises:
        UsageError: what is there is no such folder, so that adding to it would hide its images.
    """

    def __init__(self, path: str | os.PathLike[str], doubtful: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path)
        self.doubtful_path = (
            self.path.with_name(f"{self.path.name}-doubtful") if doubtful is None else Path(doubtful)
        )
        self.rows = _read(self.path / MANIFEST)
        self.doubtful = _read(self.doubtful_path / DOUBTFUL)
        if not (self.path / MANIFEST).exists() and _holds_files(self.path):
            raise UsageError(
                f"{self.path}: holds files, and no {MANIFEST} of kalamos",
                remedy="name another folder: a manifest would hide what is there",
            )
        self.known = {row["digest"] for row in (*self.rows, *self.doubtful)}
        self.groups = {(row["scan"], row["group"]) for row in (*self.rows, *self.doubtful)}
        self.taken_in = self.dropped = 0
        self._put_right()

    def _put_right(self) -> None:
        """Follow what a person did to the images."""
        there = [row for row in self.rows if (self.path / row["path"]).exists()]
        self.dropped = len(self.rows) - len(there)
        doubtful = []
        for row in self.doubtful:
            moved = f"{class_folder(row['label'])}/{PurePath(row['path']).name}"
            if (self.doubtful_path / row["path"]).exists():
                doubtful.append(row)
            elif (self.path / moved).exists():
                there.append({**{key: row[key] for key in COLUMNS}, "path": moved})
                self.taken_in += 1
            else:
                self.dropped += 1
        self.rows, self.doubtful = there, doubtful

    def add(
        self,
        image: bytes,
        *,
        label: str,
        sheet: str,
        group: str,
        scan: str,
        box: int,
        digest: str,
        doubt: str | None = None,
    ) -> None:
        """Write one character, a PNG; `save` writes the lists.

        Raises:
            OutputError: it cannot be written.
        """
        stem = re.sub(r"[^\w]+", "-", unicodedata.normalize("NFC", PurePath(scan).stem))[:MAX_STEM_CHARACTERS]
        name = f"{class_folder(label)}/{stem}-{digest[:8]}-{box:03}.png"
        row = {
            "label": label,
            "sheet": sheet,
            "group": group,
            "scan": scan,
            "box": str(box),
            "digest": digest,
        }
        if doubt is None:
            root = self.path
            self.rows.append({"path": name, **row})
        else:
            root, name = self.doubtful_path, f"{doubt}/{name}"
            self.doubtful.append({"path": name, **row, "reason": doubt})
        try:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{root / name}: cannot be written ({error.strerror or error})") from error
        write_bytes(root / name, image)

    def save(self) -> None:
        """Write the manifest, and the list of the doubtful ones if there are any.

        Raises:
            OutputError: one cannot be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        _write(self.path / MANIFEST, COLUMNS, self.rows)
        if self.doubtful or (self.doubtful_path / DOUBTFUL).exists():
            _write(self.doubtful_path / DOUBTFUL, (*COLUMNS, "reason"), self.doubtful)


def _holds_files(path: Path) -> bool:
    try:
        return any(not name.startswith(".") for name in os.listdir(path))  # noqa: PTH208  (names alone)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f"{path}: is no folder ({error.strerror or error})") from error


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    text = read_file(path).decode("utf-8-sig", "replace")
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise UsageError(
            f"{path}: is no list of cut characters: it has no column {' and no '.join(sorted(missing))}",
            remedy="name another folder",
        )
    return [dict(row) for row in reader]


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
