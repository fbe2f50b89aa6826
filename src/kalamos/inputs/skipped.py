"""Files that a search passes over, counted by what they are: "3 HEIC photos: convert them to JPEG or PNG"."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kalamos.images.decoding import looks_like
from kalamos.writers.base import one_line

__all__ = ["FileKind", "SkippedFiles", "file_kind", "foreign_files", "kind_of_content"]

MAX_NAMED_FILES = 3
"""Files of a kind that are named."""

MAX_OPENED_FILES = 200
"""Files without a telling name that are opened to see what they are."""

SKIPPED_HEAD_BYTES = 512
"""Bytes that tell."""

MAX_NAME_CHARACTERS = 60
"""Characters of a file's name that are shown."""

_CONVERT = "convert {} to JPEG or PNG"
_NAME_IT = "name {} to have what is inside read"
_UNPACK = "unpack {}"


class FileKind(NamedTuple):
    """What a file is, for people."""

    one: str
    many: str
    remedy: str = ""
    """What to do about it, with `{}` for "it" or "them"."""

    def counted(self, count: int) -> str:
        """How many there are, and what to do about them.

        >>> FileKind("PDF", "PDFs", "save the pages of {} as PNG").counted(1)
        '1 PDF: save the pages of it as PNG'
        """
        number = f"{count:,} {self.one if count == 1 else self.many}"
        return f"{number}: {self.remedy.format('it' if count == 1 else 'them')}" if self.remedy else number


def _kind(one: str, remedy: str = "", many: str = "") -> FileKind:
    return FileKind(one, many or f"{one}s", remedy)


_HEIC = _kind("HEIC photo", _CONVERT)
_PDF = _kind("PDF", "save the pages of {} as PNG")
_TEXT = _kind("text file")
_IMAGE_OTHER_NAME = _kind("image under another name", "let the name of {} end in .png or .jpg, as it is")
_OTHER = _kind("other file")

_BY_ENDING: Final[dict[str, FileKind]] = {
    ending: kind
    for endings, kind in (
        (".heic .heif .hif .heics", _HEIC),
        (".avif .avifs", _kind("AVIF image", _CONVERT)),
        (".jxl", _kind("JPEG XL image", _CONVERT)),
        (".jp2 .j2k .jpf .jpx .jpm .j2c", _kind("JPEG 2000 image", _CONVERT)),
        (".cr2 .cr3 .crw .nef .arw .dng .orf .rw2 .raf .pef .srw .raw", _kind("raw photo", _CONVERT)),
        (".svg .svgz .eps .ps .ai .wmf .emf", _kind("drawing", _CONVERT)),
        (".psd .psb .xcf .kra .procreate", _kind("layered image", _CONVERT)),
        (".pbm .pgm .ppm .pnm .pam .tga .ico .icns .exr .hdr .pcx .xbm .xpm .djvu .djv .dcm", _kind(
            "image of another format", _CONVERT, "images of other formats")),
        (".pdf", _PDF),
        (".doc .docx .odt .rtf .pages .ppt .pptx .odp .key .epub", _kind(
            "document", "save the images in {} as PNG or JPEG")),
        (".xls .xlsx .xlsm .ods .numbers", _kind("spreadsheet")),
        (".csv .tsv .parquet", _kind("table", _NAME_IT)),
        (".zip .tar .tgz .tbz2 .txz .gz .bz2 .xz", _kind("archive", _NAME_IT)),
        (".7z .rar .zst .lz4", _kind("archive of another format", _UNPACK, "archives of other formats")),
        (".txt .md .rst .log .json .jsonl .xml .html .htm .yaml .yml .toml .ini .tex .srt", _TEXT),
        (".mp4 .mov .avi .mkv .webm .m4v .mpg .mpeg .3gp", _kind("video")),
        (".mp3 .wav .m4a .ogg .flac .aac", _kind("sound file")),
        (".onnx .pt .pth .pt2 .safetensors .h5 .npz .npy .pkl", _kind("model or array file")),
        (".py .js .ts .c .cpp .h .java .rs .go .sh .ipynb .exe .dll .so", _kind("program")),
    )
    for ending in endings.split()
}  # fmt: skip

_BY_CONTENT: Final[dict[str, FileKind]] = {
    "HEIC": _HEIC,
    "a PDF": _PDF,
    "text": _TEXT,
    "AVIF": _BY_ENDING[".avif"],
    "JPEG XL": _BY_ENDING[".jxl"],
    "JPEG 2000": _BY_ENDING[".jp2"],
    "a Photoshop file": _BY_ENDING[".psd"],
    "SVG": _BY_ENDING[".svg"],
    "a ZIP archive": _BY_ENDING[".zip"],
    "a gzip file": _BY_ENDING[".gz"],
    "a Parquet file": _BY_ENDING[".parquet"],
    "a 7z archive": _BY_ENDING[".7z"],
    "a RAR archive": _BY_ENDING[".rar"],
    "a PNM image": _BY_ENDING[".pnm"],
    "a program": _BY_ENDING[".exe"],
    "HTML or XML": _TEXT,
}
_IMAGE_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"BM")


def file_kind(name: str) -> FileKind | None:
    """What a file is by its name's ending; None where that tells nothing.

    >>> file_kind("IMG_0042.HEIC").one, file_kind("IMG_0042")
    ('HEIC photo', None)
    """
    return _BY_ENDING.get(os.path.splitext(name)[1].lower())  # noqa: PTH122  (once a file)


def kind_of_content(head: bytes) -> FileKind:
    r"""What a file is by its first bytes.

    >>> kind_of_content(b"\0\0\0\x18ftypheic").one
    'HEIC photo'
    """
    if head.startswith(_IMAGE_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return _IMAGE_OTHER_NAME
    return _BY_CONTENT.get(looks_like(head), _OTHER) if head else _OTHER


def foreign_files(names: Iterable[str]) -> SkippedFiles:
    """Count the files among `names` that are no images and whose names tell what they are.

    >>> print(foreign_files(["a/1.png", "a/2.heic"]))
    1 HEIC photo: convert it to JPEG or PNG (a/2.heic)
    """
    passed_over = SkippedFiles()
    for name in names:
        if file_kind(name.strip("'")) is not None:  # an escaped name stands in quotes
            passed_over.add(name.strip("'"))
    return passed_over


@dataclass
class SkippedFiles:
    """Counts what was passed over, by kind, in memory that does not grow with the number of files.

    Attributes:
        counts: how many files of each kind.
        first: the names of the first few of each kind, as they came.

    >>> passed_over = SkippedFiles()
    >>> for name in ("a.heic", "b.HEIC", "notes.txt"):
    ...     passed_over.add(name)
    >>> print(passed_over)
    2 HEIC photos: convert them to JPEG or PNG (a.heic, b.HEIC); 1 text file (notes.txt)
    """

    counts: dict[FileKind, int] = field(default_factory=dict)
    first: dict[FileKind, list[str]] = field(default_factory=dict)
    _looked_into: int = field(default=0, compare=False)

    def add(self, name: str, head: Callable[[], bytes] | None = None) -> None:
        """Count one file.

        Args:
            name: the file's.
            head: gives its first bytes; called where the name tells nothing, for the first few such files.
        """
        kind = file_kind(name)
        if kind is None and head is not None and self._looked_into < MAX_OPENED_FILES:
            self._looked_into += 1
            kind = kind_of_content(head())
        self._count(kind or _OTHER, 1, [name])

    def add_file(self, path: str, name: str) -> None:
        """Count a file on the disk, to be called `name`; it is opened where its name tells nothing."""
        self.add(name, lambda: _head(path))

    def merge(self, other: SkippedFiles) -> None:
        """Count what another has counted too."""
        for kind, count in other.counts.items():
            self._count(kind, count, other.first[kind])

    @property
    def total(self) -> int:
        """How many files."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """A line for each kind, those that something can be done about first, then the most frequent."""
        ordered = sorted(self.counts.items(), key=lambda pair: (not pair[0].remedy, -pair[1]))
        return [f"{kind.counted(count)} ({self._names(kind)})" for kind, count in ordered]

    def __str__(self) -> str:
        return "; ".join(self.lines())

    def _count(self, kind: FileKind, count: int, names: Iterable[str]) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + count
        first = self.first.setdefault(kind, [])
        first.extend(list(names)[: MAX_NAMED_FILES - len(first)])

    def _names(self, kind: FileKind) -> str:
        first = self.first[kind]
        shown = [one_line(name) for name in first]
        shown = [
            f"…{name[-MAX_NAME_CHARACTERS:]}" if len(name) > MAX_NAME_CHARACTERS else name for name in shown
        ]
        return ", ".join(shown) + (", …" if self.counts[kind] > len(first) else "")


def _head(path: str) -> bytes:
    # A pipe is not waited for.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError):
        return b""
    try:
        return os.read(descriptor, SKIPPED_HEAD_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)
