"""Images in folders and by globs, in name order; what containers are; counts of skipped files."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final, Literal, NamedTuple, TypeAlias

from kalamos.errors import ImageError, UsageError
from kalamos.images import EXTENSIONS
from kalamos.images.decoding import PDF, image_format, is_pdf, looks_like
from kalamos.images.documents import holds_pages
from kalamos.images.files import display_name, perhaps_meant
from kalamos.images.headers import TIFF_SIGNATURES
from kalamos.writers.base import one_line

__all__ = [
    "HEAD_BYTES",
    "ContainerKind",
    "FileKind",
    "ImageSearch",
    "SkippedFiles",
    "container_kind",
    "container_kind_of_bytes",
    "file_kind",
    "find_images",
    "foreign_files",
    "is_hidden",
    "is_image_name",
    "is_safe_path",
    "name_order",
    "natural_order",
]

ContainerKind: TypeAlias = Literal["zip", "tar", "parquet", "csv", "document"]

HEAD_BYTES: Final = 512
"""Bytes by which a file's content is told: one block of a tar archive."""

MAX_NAMED_FILES: Final = 3
"""Skipped files of a kind that are named."""

MAX_OPENED_FILES: Final = 200
"""Skipped files without a telling name that are opened to see what they are."""

MAX_NAME_CHARACTERS: Final = 60
"""Characters of a skipped file's name that are shown."""

_STDIN: Final = "-"
_DRIVE = re.compile("[A-Za-z]:")
_DIGITS = re.compile(r"(\d+)")
# Without O_NONBLOCK, opening a pipe would wait for a writer for ever; not every system has these.
_OPEN_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)

_OpenFolders: TypeAlias = dict[tuple[int, int], Iterator[tuple[str, bool]]]
"""The folders that a search is in, outermost first: device and inode -> the paths that are left to look at,
and whether they are folders."""


class ImageSearch:
    """The images under some paths, found lazily, in case-insensitive name order.

    - A file that is named is always taken, whatever its name: reading it tells.
    - A folder is searched with its sub-folders for names with an image extension; hidden entries are ignored,
      other files are counted in `skipped`.
    - A name with `*`, `?` or `[` that does not exist is a glob (`**` crosses folders).
    - A path that does not exist, or a folder that cannot be listed, is passed on, to become a row with its
      error;
      so is a folder or a glob without any image, unless it is the only path given.

    Paths come with POSIX separators and begin as they were given.

    Args:
        paths: files, folders and globs.
        refuse_absent: whether it is an error if none of the paths exists.
        pdfs: whether PDFs are taken from folders too.
    """

    def __init__(self, paths: Sequence[str], *, refuse_absent: bool = False, pdfs: bool = False) -> None:
        self._paths = paths
        self._refuse_absent = refuse_absent
        self._extensions = EXTENSIONS | {".pdf"} if pdfs else EXTENSIONS
        self.skipped = SkippedFiles()
        """Files in searched folders without an image extension, counted as the search goes."""
        self.reasons: dict[str, UsageError] = {}
        """Why a given path has no image, by the path as it is passed on, where reading the path would say
        less."""

    def __iter__(self) -> Iterator[str]:
        """Raises `UsageError` if the only path given is a folder or a glob without any image."""
        return (path for path, _ in self.entries())

    def entries(self) -> Iterator[tuple[str, bool]]:
        """Yield the same paths, each with whether it was named (itself or by a glob), not found in a
        folder.
        """
        self.skipped = SkippedFiles()
        self.reasons = {}
        absent: list[UsageError] = []
        named = [path for given in self._paths for path in self._expand_glob(given, absent)]
        if self._refuse_absent and absent and len(absent) == len(self._paths):
            raise _none_exists(absent)
        for path in sorted(named, key=_argument_order):
            if os.path.isdir(path) and path != _STDIN:  # whatever lies there under its name
                for found in self._search_folder(path):
                    yield found, False
            else:
                yield _posix(path), True

    def _expand_glob(self, path: str, absent: list[UsageError]) -> list[str]:
        if path == _STDIN or os.path.lexists(path):
            return [path]
        remedy = perhaps_meant(path)
        if not glob.has_magic(path):
            error = UsageError(f"{display_name(path)}: no such file or folder", remedy=remedy)
            absent.append(error)
            if remedy:
                self.reasons[_posix(path)] = error
            return [path]
        files = [match for match in glob.iglob(path, recursive=True) if not os.path.isdir(match)]
        if files:
            return files
        absent.append(UsageError(f"{display_name(path)}: matches no file", remedy=remedy))
        return [self._without_images(path, absent[-1])]

    def _search_folder(self, folder: str) -> Iterator[str]:
        count = 0
        skipped = SkippedFiles()
        try:
            for path in self._walk(folder, skipped):
                count += 1
                yield _posix(path)
        finally:
            self.skipped.merge(skipped)
        if not count:
            problem = f"{display_name(folder)}: no image in this folder"
            problem += f", but {skipped}" if skipped.total else ""
            looked_for = f"looked for {', '.join(sorted(self._extensions))}"
            yield self._without_images(folder, UsageError(problem, remedy=looked_for))

    def _without_images(self, path: str, error: UsageError) -> str:
        if len(self._paths) == 1:
            raise error
        self.reasons[_posix(path)] = error
        return _posix(path)

    def _walk(self, top: str, skipped: SkippedFiles) -> Iterator[str]:
        # Not by recursion: folders may be nested deeper than calls may.
        inside: _OpenFolders = {}
        if not _enter(top, inside):
            yield top
        while inside:
            entry = next(inside[next(reversed(inside))], None)
            if entry is None:
                inside.popitem()
                continue
            path, is_folder = entry
            if is_folder:
                if not _enter(path, inside):
                    yield path
            elif os.path.splitext(path)[1].lower() in self._extensions:
                yield path
            else:
                skipped.add_file(path, path.removeprefix(top).lstrip("/\\"))


def find_images(paths: Sequence[str]) -> Iterator[str]:
    """Find the images under `paths`; see `ImageSearch`.

    >>> list(find_images(["b.png", "A.png", "a.png"]))
    ['A.png', 'a.png', 'b.png']
    """
    return iter(ImageSearch(paths))


def _none_exists(absent: list[UsageError]) -> UsageError:
    if len(absent) == 1:
        return absent[0]
    shown = "; ".join(map(str, absent[:5])) + (f"; and {len(absent) - 5:,} more" if absent[5:] else "")
    return UsageError(f"none of these {len(absent):,} is there: {shown}")


def _enter(folder: str, inside: _OpenFolders) -> bool:
    """Whether the folder could be listed; a link back to a folder that we are in changes nothing."""
    try:
        status = os.stat(folder)
        identity = status.st_dev, status.st_ino
        if identity not in inside:
            inside[identity] = _listed(folder)
    except OSError:
        return False
    return True


def _listed(folder: str) -> Iterator[tuple[str, bool]]:
    """List what is not hidden, in order. Only names and kinds are kept: a folder may hold a million files."""
    with os.scandir(folder) as entries:
        listing = [(entry.name, _is_folder(entry)) for entry in entries if not entry.name.startswith(".")]
    listing.sort(key=lambda each: (each[0].casefold(), each[0]))
    return ((os.path.join(folder, name), is_folder) for name, is_folder in listing)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _argument_order(path: str) -> tuple[tuple[str, ...], str]:
    return tuple(part.casefold() for part in PurePath(path).parts), path


def _posix(path: str) -> str:
    return path.replace(os.sep, "/") if os.sep != "/" else path


def is_image_name(name: str) -> bool:
    """Whether a file's name has an image extension.

    >>> is_image_name("forms/7.PNG"), is_image_name("png")
    (True, False)
    """
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def is_hidden(name: str) -> bool:
    """Whether a searched folder ignores a file of this name, relative to it.

    >>> is_hidden(".git/x.png"), is_hidden("__MACOSX/._x.png"), is_hidden("./../x.png")
    (True, True, False)
    """
    return any(part.startswith(".") and part not in {".", ".."} for part in name.split("/"))


def is_safe_path(member: str) -> bool:
    r"""Whether a name stays below the folder that it is relative to, on every system.

    >>> [is_safe_path(name) for name in ("a/b.png", "../b", "/b", "C:/b", "a\\b", "a/../../b")]
    [True, False, False, False, False, False]
    """
    outside = member.startswith("/") or _DRIVE.match(member) or "\\" in member or "\0" in member
    return not outside and ".." not in member.split("/")


def name_order(name: str) -> str:
    """Sort key of names with forward slashes, for rows of `predict`: ignores case, path part by path part.

    Datasets are in `natural_order`, on which the splits of every published model depend.

    >>> sorted(["sub.png", "B.png", "sub/z.png", "a.png"], key=name_order)
    ['a.png', 'B.png', 'sub/z.png', 'sub.png']
    """
    # Tuples of pairs would say the same in four times the memory, and an archive may have a million names.
    return "\0".join(f"{part.casefold()}\1{part}" for part in name.split("/"))


def natural_order(text: str) -> tuple[object, ...]:
    """Sort key of datasets: 2 comes before 10, and everything else in the order of its code points.

    For paths take it of each part: `[natural_order(part) for part in path.split("/")]`.

    >>> sorted(["10", "a", "2", "B", "٣"], key=natural_order)
    ['2', '٣', '10', 'B', 'a']
    """
    # Text and digits take turns, so that the keys' places hold one type each. Not int(), whose time grows
    # with the square of the digits and which refuses thousands of them.
    pieces = _DIGITS.split(text)
    pieces[1::2] = [piece.lstrip("0") for piece in pieces[1::2]]
    key = tuple((len(piece), piece) if place % 2 else piece for place, piece in enumerate(pieces))
    return key, text


_CONTAINER_MAGIC: Final[tuple[tuple[int, bytes, ContainerKind], ...]] = (
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"PAR1\x15", "parquet"),
    (0, b"\x1f\x8b\x08", "tar"),
    (4, b"1AY&SY", "tar"),  # bzip2, behind the size of its blocks
    (0, b"\xfd7zXZ\x00", "tar"),
    (257, b"ustar", "tar"),
)
_TABLE_SUFFIXES: Final = (".csv", ".tsv")
_TAR_CHECKSUM: Final = slice(148, 156)


def container_kind(path: str) -> ContainerKind | None:
    """Tell the kind of container that a file is, by its first bytes; a text table by its name too.

    A PDF and a TIFF of several pages are documents. None for an image, and for what does not exist or is not
    a regular file.

    >>> container_kind("no-such-file.zip") is None
    True
    """
    if (head := _read_head(path)) is None:
        return None
    kind = container_kind_of_bytes(head)
    if head.startswith(TIFF_SIGNATURES):
        return "document" if holds_pages(path) else None
    if kind is None and path.lower().endswith(_TABLE_SUFFIXES):
        # Headers of images hold sizes: so many NULs are in no text.
        return None if _is_image(head) or b"\0\0\0" in head else "csv"
    return kind


def container_kind_of_bytes(head: bytes) -> ContainerKind | None:
    r"""Tell the kind of container that begins with `head` (`HEAD_BYTES` of it); None for others.

    A gzip, bzip2 or xz file counts as a tar archive: nothing else that is compressed so is read. Whether a
    TIFF is a document of several pages, more of it tells.

    >>> container_kind_of_bytes(b"PK\x03\x04..."), container_kind_of_bytes(b"\x89PNG\r\n\x1a\n")
    ('zip', None)
    """
    for offset, magic, kind in _CONTAINER_MAGIC:
        if head.startswith(magic, offset):
            return kind
    if is_pdf(head):
        return "document"
    return "tar" if _is_old_tar(head) else None


def _is_old_tar(head: bytes) -> bool:
    """Whether this is the first block of a tar from before 1988, which has a checksum but no signature."""
    if len(head) < HEAD_BYTES:
        return False
    digits = head[_TAR_CHECKSUM].strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        return False
    blanked = head[: _TAR_CHECKSUM.start] + b" " * 8 + head[_TAR_CHECKSUM.stop : HEAD_BYTES]
    return sum(blanked) == int(digits, 8)


def _is_image(head: bytes) -> bool:
    try:
        return bool(image_format(head))
    except ImageError:
        return False


def _read_head(path: str) -> bytes | None:
    """Read the first `HEAD_BYTES` of a regular file; None if it is not one, or cannot be read."""
    # By system calls: for a glob of small images this runs once an image, and costs as much as reading one.
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError):
        return None
    try:
        return os.read(descriptor, HEAD_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


class FileKind(NamedTuple):
    """What a skipped file is, in words."""

    one: str
    many: str
    remedy: str = ""
    """What to do about it, with `{}` for "it" or "them"."""

    @property
    def is_convertible(self) -> bool:
        """Whether it is an image, of a format that is not read."""
        return self.remedy == _CONVERT

    def counted(self, count: int) -> str:
        """Say how many there are, and what to do about them.

        >>> FileKind("raw photo", "raw photos", "convert {} to JPEG or PNG").counted(1)
        '1 raw photo: convert it to JPEG or PNG'
        """
        number = f"{count:,} {self.one if count == 1 else self.many}"
        return f"{number}: {self.remedy.format('it' if count == 1 else 'them')}" if self.remedy else number


def _kind(one: str, remedy: str = "", many: str = "") -> FileKind:
    return FileKind(one, many or f"{one}s", remedy)


_CONVERT = "convert {} to JPEG or PNG"
_NAME_IT = "name {} to have what is inside read"
_UNPACK = "unpack {}"
_MISNAMED_IMAGE = _kind("image under another name", "let the name of {} end in .png or .jpg, as it is")
_OTHER = _kind("other file")

_KIND_BY_SUFFIX: Final[dict[str, FileKind]] = {
    ending: kind
    for endings, kind in (
        (".heics .avifs", _kind("sequence of images", _CONVERT, "sequences of images")),
        (".jxl", _kind("JPEG XL image", _CONVERT)),
        (".jp2 .j2k .jpf .jpx .jpm .j2c", _kind("JPEG 2000 image", _CONVERT)),
        (".cr2 .cr3 .crw .nef .arw .dng .orf .rw2 .raf .pef .srw .raw", _kind("raw photo", _CONVERT)),
        (".svg .svgz .eps .ps .ai .wmf .emf", _kind("drawing", _CONVERT)),
        (".psd .psb .xcf .kra .procreate", _kind("layered image", _CONVERT)),
        (".pbm .pgm .ppm .pnm .pam .tga .ico .icns .exr .hdr .pcx .xbm .xpm .djvu .djv .dcm", _kind(
            "image of another format", _CONVERT, "images of other formats")),
        (".pdf", _kind("PDF", "name {} to have the pages read")),
        (".doc .docx .odt .rtf .pages .ppt .pptx .odp .key .epub", _kind(
            "document", "save the images in {} as PNG or JPEG")),
        (".xls .xlsx .xlsm .ods .numbers", _kind("spreadsheet")),
        (".csv .tsv .parquet", _kind("table", _NAME_IT)),
        (".zip .tar .tgz .tbz2 .txz .gz .bz2 .xz", _kind("archive", _NAME_IT)),
        (".7z .rar .zst .lz4", _kind("archive of another format", _UNPACK, "archives of other formats")),
        (".txt .md .rst .log .json .jsonl .xml .html .htm .yaml .yml .toml .ini .tex .srt", _kind(
            "text file")),
        (".mp4 .mov .avi .mkv .webm .m4v .mpg .mpeg .3gp", _kind("video")),
        (".mp3 .wav .m4a .ogg .flac .aac", _kind("sound file")),
        (".onnx .pt .pth .pt2 .safetensors .h5 .npz .npy .pkl", _kind("model or array file")),
        (".py .js .ts .c .cpp .h .java .rs .go .sh .ipynb .exe .dll .so", _kind("program")),
    )
    for ending in endings.split()
}  # fmt: skip

_KIND_BY_CONTENT: Final = {
    what: _KIND_BY_SUFFIX[suffix]
    for what, suffix in (
        (PDF, ".pdf"), ("text", ".txt"), ("HTML or XML", ".html"),
        ("JPEG XL", ".jxl"), ("JPEG 2000", ".jp2"), ("a Photoshop file", ".psd"), ("SVG", ".svg"),
        ("a ZIP archive", ".zip"), ("a gzip file", ".gz"), ("a 7z archive", ".7z"), ("a RAR archive", ".rar"),
        ("a Parquet file", ".parquet"), ("a PNM image", ".pnm"), ("a program", ".exe"),
    )
}  # fmt: skip
"""By what `kalamos.images.decoding.looks_like` answers."""


def file_kind(name: str) -> FileKind | None:
    """Tell what a file is by the extension of its name; None if that tells nothing.

    >>> file_kind("IMG_0042.CR2").one, file_kind("IMG_0042")
    ('raw photo', None)
    """
    return _KIND_BY_SUFFIX.get(os.path.splitext(name)[1].lower())


def kind_of_content(head: bytes) -> FileKind:
    """Tell what a file is by its first bytes.

    >>> kind_of_content(b"%PDF-1.7").one
    'PDF'
    """
    if _is_image(head):
        return _MISNAMED_IMAGE
    return _KIND_BY_CONTENT.get(looks_like(head), _OTHER) if head else _OTHER


def foreign_files(names: Iterable[str]) -> SkippedFiles:
    """Count those of `names` whose extensions tell that they are something else than images.

    >>> print(foreign_files(["a/1.png", "a/2.pdf"]))
    1 PDF: name it to have the pages read (a/2.pdf)
    """
    skipped = SkippedFiles()
    for name in names:
        if file_kind(name.strip("'")) is not None:  # an escaped name stands in quotes
            skipped.add(name.strip("'"))
    return skipped


@dataclass
class SkippedFiles:
    """Counts of skipped files by kind, in memory that does not grow with the number of files.

    Attributes:
        counts: how many files of each kind.
        first: the names of the first few of each kind, as they came.

    >>> skipped = SkippedFiles()
    >>> for name in ("a.jxl", "b.JXL", "notes.txt"):
    ...     skipped.add(name)
    >>> print(skipped)
    2 JPEG XL images: convert them to JPEG or PNG (a.jxl, b.JXL); 1 text file (notes.txt)
    """

    counts: dict[FileKind, int] = field(default_factory=dict)
    first: dict[FileKind, list[str]] = field(default_factory=dict)
    _opened: int = field(default=0, compare=False)

    def add(self, name: str, head: Callable[[], bytes | None] | None = None) -> None:
        """Count one file.

        Args:
            name: the file's.
            head: gives its first bytes; called if the name tells nothing, for the first few such files.
        """
        kind = file_kind(name)
        if kind is None and head is not None and self._opened < MAX_OPENED_FILES:
            self._opened += 1
            kind = kind_of_content(head() or b"")
        self._count(kind or _OTHER, 1, [name])

    def add_file(self, path: str, name: str) -> None:
        """Count a file on the disk under `name`; it is opened if its name tells nothing."""
        self.add(name, lambda: _read_head(path))

    def merge(self, other: SkippedFiles) -> None:
        """Add the counts of another."""
        for kind, count in other.counts.items():
            self._count(kind, count, other.first[kind])

    @property
    def total(self) -> int:
        """How many files."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """Give a line for each kind: first what something can be done about, then the most frequent."""
        ordered = sorted(self.counts.items(), key=lambda pair: (not pair[0].remedy, -pair[1]))
        return [f"{kind.counted(count)} ({self._names(kind)})" for kind, count in ordered]

    def __str__(self) -> str:
        return "; ".join(self.lines())

    def _count(self, kind: FileKind, count: int, names: Iterable[str]) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + count
        first = self.first.setdefault(kind, [])
        first.extend(list(names)[: MAX_NAMED_FILES - len(first)])

    def _names(self, kind: FileKind) -> str:
        names = [one_line(name) for name in self.first[kind]]
        shown = [f"…{name[-MAX_NAME_CHARACTERS:]}" if name[MAX_NAME_CHARACTERS:] else name for name in names]
        return ", ".join(shown) + (", …" if self.counts[kind] > len(names) else "")
