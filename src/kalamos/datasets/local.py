"""Datasets of the user: a folder per class, a CSV manifest, or a zip archive of either.

Both kinds are listed first (`list_folder`, `list_manifest`), then decoded and labelled (`assemble`).
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.datasets.dataset import Dataset, SkippedFile, Split, problems_hint
from kalamos.datasets.layout import ClassFolders, Nested, ask_about, cased
from kalamos.datasets.ragged import ImagesBuilder, RaggedImages
from kalamos.datasets.sources import Source
from kalamos.errors import DatasetError, ImageError, KalamosError, suggest
from kalamos.images import EXTENSIONS, decode_grey, read_file
from kalamos.images.files import display_name, native_separators
from kalamos.inputs.files import is_safe_path, natural_order
from kalamos.parallel import GilGate, default_jobs, ordered_map
from kalamos.preprocessing.steps import MAX_WORKING_PIXELS, limit_size

__all__ = [
    "Listing",
    "assemble",
    "decode_members",
    "find_manifest",
    "folder_of",
    "label_of",
    "list_archived_manifest",
    "list_folder",
    "list_manifest",
    "list_own_manifest",
    "wrappers",
]

OWN_MANIFEST: Final = "manifest.csv"
"""In a folder with this file, it says what the labels are, and not the names of sub-folders."""

DECODE_CHUNK_FILES: Final = 32
"""Files that a thread decodes at a time."""

Part: TypeAlias = Literal["train", "val", "test"]
PART_OF_FOLDER: Final[dict[str, Part]] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""The names of official splits, in lower case, and which part each is."""


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """A file that should hold an image: `name` is what `Listing.read` takes; labels are compared in NFC."""

    name: str
    label: str
    part: Part = "train"
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a dataset before they are decoded: with labels, how to read one, and what was skipped."""

    name: str
    rows: Sequence[LabelledFile]
    read: Callable[[str], bytes]
    """Maps a row's name to its bytes; raises `KalamosError`, and may be called from several threads."""
    problems: Sequence[SkippedFile] = ()


def decode_members(
    read: Callable[[str], bytes], members: Sequence[str], *, jobs: int | None = None
) -> tuple[NDArray[np.uint8] | RaggedImages, NDArray[np.int64], tuple[SkippedFile, ...]]:
    """Decode files in parallel, in order; those over `steps.MAX_WORKING_PIXELS` are scaled down to it.

    Args:
        read: returns a file's bytes, or raises a `KalamosError`; called from several threads.
        members: their names.
        jobs: threads; by default one per processor.

    Returns:
        The images (uint8 [M, H, W] if all have one size), the indices int64 [M] in `members` that they
        came from, and the files that cannot be read, with the reasons.
    """
    turns = GilGate()

    def decode(names: list[str]) -> list[NDArray[np.uint8] | SkippedFile]:
        with turns.take() as done:
            return [_decode(read, name, done) for name in names]

    builder = ImagesBuilder()
    kept, problems = [], []
    decoded = ordered_map(decode, members, chunk=DECODE_CHUNK_FILES, jobs=jobs or default_jobs())
    for position, image in enumerate(decoded):
        if isinstance(image, SkippedFile):
            problems.append(image)
        else:
            builder.append(image)
            kept.append(position)
    return builder.finish(), np.array(kept, np.int64), tuple(problems)


def assemble(listing: Listing) -> Dataset:
    """Decode and label all rows. Classes are those with an image that can be read, in natural order.

    Raises:
        DatasetError: fewer than two such classes, or none of their images is for training.
        AlphabetError: a blank label or one with control characters.
    """
    name, rows, skipped = listing.name, listing.rows, list(listing.problems)
    parts = []
    # Validation after train, in the same arrays.
    for wanted in (("train", "val"), ("test",)):
        chosen = [row for part in wanted for row in rows if row.part == part]
        images, kept, failed = decode_members(listing.read, [row.name for row in chosen])
        skipped += failed
        parts.append((images, [chosen[position] for position in kept.tolist()]))
    read_rows = [row for _, part in parts for row in part]
    labels = _numbered(unicodedata.normalize("NFC", row.label) for row in read_rows)
    for label in _numbered(unicodedata.normalize("NFC", row.label) for row in rows):
        if label not in labels:
            skipped.append(SkippedFile(display_name(label), "no image of this class can be read"))
    (images, for_training), (test_images, for_test) = parts
    official = [position for position, row in enumerate(for_training) if row.part == "val"]
    _check_trainable(name, list(labels), len(for_training) - len(official), skipped)
    groups = _numbered(row.group for row in read_rows if row.group is not None)
    return Dataset(
        name,
        Alphabet(name, tuple(labels)),
        _labelled_split(images, for_training, labels, groups),
        _labelled_split(test_images, for_test, labels, groups) if for_test else None,
        source=f"local files: {name}",
        grouped_by="group" if groups else None,
        problems=tuple(skipped),
        val_rows=np.array(official, np.int64) if official else None,
        local=True,
    )


def _decode(
    read: Callable[[str], bytes], name: str, done: Callable[[], None]
) -> NDArray[np.uint8] | SkippedFile:
    where = display_name(name)
    try:
        image = decode_grey(read(name), where=where, min_decode_pixels=MAX_WORKING_PIXELS)
        # As `predict` sees it, byte for byte; and so a thousand 12-megapixel photographs fit into memory.
        return limit_size(image)
    except KalamosError as error:
        return SkippedFile(where, str(error).removeprefix(f"{where}: "))
    finally:
        done()


def _numbered(texts: Iterable[str]) -> dict[str, int]:
    return {text: code for code, text in enumerate(sorted(set(texts), key=natural_order))}


def _labelled_split(
    images: NDArray[np.uint8] | RaggedImages,
    rows: list[LabelledFile],
    labels: dict[str, int],
    groups: dict[str, int],
) -> Split:
    return Split(
        images,
        np.array([labels[unicodedata.normalize("NFC", row.label)] for row in rows], np.int64),
        np.array([groups[row.group or ""] for row in rows], np.int64) if groups else None,
        # Names go into reports, which cannot be written with bytes that are not text.
        tuple(row.name.encode("utf-8", "backslashreplace").decode() for row in rows),
    )


def _check_trainable(name: str, labels: list[str], for_training: int, problems: list[SkippedFile]) -> None:
    hint = problems_hint(problems)
    if len(labels) < 2:
        found = f"one class with images, {labels[0]!r}" if labels else "no class with images"
        raise DatasetError(
            f"{display_name(name)}: {found}{hint}",
            remedy="have one sub-folder for each of two or more classes, or a CSV file with path,label",
        )
    if not for_training:
        raise DatasetError(f"{display_name(name)}: none of its images is for training{hint}")


# Names of class folders: the label itself, with escapes for what no folder name can hold. An escape is a
# percent sign and two hexadecimal digits per byte of UTF-8, as in URLs (RFC 3986). `urllib.parse.quote` would
# escape every letter outside ASCII, and cannot escape "." or "con".

_IMPOSSIBLE_CHARACTERS: Final = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]|^\.|[. ]$')
"""On Linux, macOS or Windows; a name that begins with a dot is hidden."""

_RESERVED_NAMES: Final = re.compile(
    r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|thumbs\.db|desktop\.ini|__macosx"
    # Folders with these names may be taken for the splits of a dataset.
    r"|train|training|val|valid|validation|test|testing",
    re.IGNORECASE,
)
_ESCAPE: Final = re.compile("%[0-9A-F]{2}")


def folder_of(label: str) -> str:
    """Return the name of the folder for a class.

    >>> [folder_of(label) for label in ("ß", "/", ".", "a.b", "con", "100%")]
    ['ß', '%2F', '%2E', 'a.b', '%63on', '100%']
    """
    composed = unicodedata.normalize("NFC", label)
    name = _ESCAPE.sub(lambda found: f"%25{found[0][1:]}", composed)
    name = _IMPOSSIBLE_CHARACTERS.sub(lambda found: _escaped(found[0]), name)
    return _escaped(name[0]) + name[1:] if _RESERVED_NAMES.fullmatch(name) else name


def label_of(folder: str) -> str:
    """Return the label of a name from `folder_of`; any other name is the label itself.

    >>> [label_of(name) for name in ("ß", "%2F", "%2E", "50%", "%41")]
    ['ß', '/', '.', '50%', '%41']
    """
    if not _ESCAPE.search(folder):
        return folder
    label = unquote(folder, errors="replace")
    return label if folder_of(label) == unicodedata.normalize("NFC", folder) else folder


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def list_folder(source: Source, *, top: str = "", classes: ClassFolders | None = None) -> Listing:
    """List a folder, or an archive of one, whose sub-folders are the classes.

    - The name of a class is that of its folder, composed (NFC); classes are in natural order: 1, 2, 10.
      A label that no folder can have is written as by `folder_of`: `%2F` is "/".
    - All images below a class folder belong to it, however deep they lie; unless `classes` says that the
      inner folders are the classes.
    - If there is a folder `train` with the classes inside it, alone or beside `test`, `val`, `valid`
      or `validation`, these are the official splits. The classes are those of all of them together.
    - Other files, and images outside the classes, become `problems`.

    Args:
        source: an open folder or archive.
        top: the folder inside it to look in, ending with a slash; see `wrappers`.
        classes: which folders name the classes. `inner`: those that the images lie in, and then the outer
            ones are their groups; `both`: outer and inner names together, with a slash between; None: the
            outer ones, where that is no question.

    Raises:
        DatasetError: folders hold folders, and `classes` does not say which are the classes.
    """
    problems = list(source.problems)
    rows: list[LabelledFile] = []
    parts = _official_splits(source, top)
    roots: dict[str, Part] = {f"{top}{folder}/": part for folder, part in parts.items()} or {top: "train"}
    used: set[str] = set()
    nested: list[Nested] = []
    for member in source.members:
        root = next((root for root in roots if member.startswith(root)), None)
        problem = _why_skipped(member, root)
        if problem or root is None:
            problems.append(SkippedFile(display_name(member), problem))
            continue
        folder, *deeper = map(label_of, member[len(root) :].split("/")[:-1])
        used.add(root + member[len(root) :].partition("/")[0])
        label, group = folder, None
        if deeper:
            nested.append(Nested(member, folder, deeper[-1]))
        if classes == "inner":
            label, group = (cased(folder, deeper[-1]), folder) if deeper else (folder, "")
        elif classes == "both":
            label = "/".join((folder, *deeper))
        rows.append(LabelledFile(member, label, roots[root], group))
    if classes is None and nested:
        ask_about(source.name or "dataset", len(rows), nested, source.read)
    problems += [
        SkippedFile(display_name(root + label), "a class folder without any image")
        for root in roots
        for label in _folders(source, root)
        if root + label not in used
    ]
    return Listing(source.name or "dataset", rows, source.read, problems)


def wrappers(source: Source) -> Iterator[str]:
    """Yield where the data of an archive may begin: its top, then inside the one folder that wraps it all.

    Each ends with a slash, except the top, which is empty.
    """
    top = ""
    while True:
        yield top
        folders = _folders(source, top)
        if len(folders) != 1 or not _folders(source, f"{top}{folders[0]}/"):
            return
        top += f"{folders[0]}/"


def _folders(source: Source, top: str) -> list[str]:
    """The names of the folders right below `top`, in natural order."""
    return [
        folder[len(top) :]
        for folder in source.folders
        if folder.startswith(top) and "/" not in folder[len(top) :]
    ]


def _official_splits(source: Source, top: str) -> dict[str, Part]:
    """The folders that are splits; none if they are classes, even if one is called "train"."""
    folders = _folders(source, top)
    parts = {
        folder: PART_OF_FOLDER[folder.casefold()] for folder in folders if folder.casefold() in PART_OF_FOLDER
    }
    training = [folder for folder, part in parts.items() if part == "train"]
    split = len(parts) > 1 or len(folders) == 1
    return parts if split and any(_folders(source, f"{top}{folder}/") for folder in training) else {}


def _why_skipped(member: str, root: str | None) -> str:
    """Why a file is skipped; empty for an image in a class folder."""
    if PurePosixPath(member).suffix.lower() not in EXTENSIONS:
        return "not named like an image"
    if root is None or "/" not in member[len(root) :]:
        return "an image outside the class folders"
    return ""


def list_manifest(path: Path) -> Listing:
    """List a manifest on disk; its paths are absolute or relative to its folder.

    UTF-8, separated by commas, semicolons or tabs; backslashes separate folders too, unless a file has that
    name. The columns are `path` and `label`, optionally `group` (whatever should stay on one side of a split:
    a writer, a font; blank is one group too) and `split` (`train`, `val`, `test`), in any order; others are
    ignored. Lines without a path or a label become `problems`.

    Raises:
        DatasetError: not such a file, or an unknown split.
    """

    def read(name: str) -> bytes:
        image = path.parent / name
        if "\\" in name:
            image = Path(native_separators(str(image)))
        try:
            return read_file(image)
        except ImageError as error:
            reason = error.problem.removeprefix(f"{display_name(image)}: ")
            raise DatasetError(reason, remedy=error.remedy) from error

    try:
        content = read_file(path)
    except ImageError as error:
        raise DatasetError(error.problem, remedy=error.remedy) from error
    rows, problems = _parse_manifest(content, display_name(path))
    return Listing(path.stem, rows, read, problems)


def list_own_manifest(source: Source) -> Listing | None:
    """List a folder by the `manifest.csv` in it, if it has one with the columns of a manifest.

    Images below the folder that are not in it become `problems`.
    """
    if OWN_MANIFEST not in source.members or not _is_manifest(source.read(OWN_MANIFEST)):
        return None
    listing = list_manifest(source.path / OWN_MANIFEST)
    listed = {PurePosixPath(row.name.replace("\\", "/")).as_posix() for row in listing.rows}
    unlisted = [
        SkippedFile(display_name(name), f"not in {OWN_MANIFEST}")
        for name in source.members
        if name not in listed and PurePosixPath(name).suffix.lower() in EXTENSIONS
    ]
    problems = [*source.problems, *listing.problems, *unlisted]
    return replace(listing, name=source.name or "dataset", problems=problems)


def find_manifest(source: Source) -> str | None:
    """Find the one CSV file at an archive's top, if it has the columns of a manifest."""
    for top in wrappers(source):
        tables = [
            member
            for member in source.members
            if member.startswith(top) and "/" not in member[len(top) :] and member.lower().endswith(".csv")
        ]
        if len(tables) == 1:
            return tables[0] if _is_manifest(source.read(tables[0])) else None
    return None


def list_archived_manifest(source: Source, manifest: str) -> Listing:
    """List a manifest in an archive; its paths are relative to its folder there.

    Raises:
        DatasetError: as `list_manifest`, or a path points outside the archive.
    """
    top = manifest[: manifest.rfind("/") + 1]
    members = frozenset(source.members)

    def member(path: str) -> str:
        # A list that was written on Windows has backslashes.
        if top + path in members:
            return top + path
        turned = path.replace("\\", "/")
        if not is_safe_path(turned):
            raise DatasetError(f"the path {path!r} points outside the archive", remedy="name its members")
        return top + "/".join(part for part in turned.split("/") if part not in ("", "."))

    rows, problems = _parse_manifest(source.read(manifest), manifest, member)
    listed = {row.name for row in rows} | {manifest}
    unlisted = [
        SkippedFile(display_name(name), "not in the manifest")
        for name in source.members
        if name not in listed
    ]
    return Listing(source.name or "dataset", rows, source.read, [*source.problems, *problems, *unlisted])


def _parse_manifest(
    content: bytes, where: str, member: Callable[[str], str] = lambda path: path
) -> tuple[list[LabelledFile], list[SkippedFile]]:
    rows: list[LabelledFile] = []
    problems: list[SkippedFile] = []
    for line, values in _manifest_lines(content, where):
        path, label = values.get("path", ""), values.get("label", "").strip()
        if not path or not label:
            problems.append(SkippedFile(f"{where}:{line}", "no label" if path else "no path"))
            continue
        try:
            rows.append(LabelledFile(member(path), label, _part_of_line(values), values.get("group")))
        except DatasetError as error:
            raise DatasetError(f"{where}:{line}: {error.problem}", remedy=error.remedy) from None
    return rows, problems


def _manifest_lines(content: bytes, where: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the values by column of every line below the header that is not empty."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{where}: not UTF-8 ({error})", remedy="save it as UTF-8") from error
    reader = csv.DictReader(
        io.StringIO(text, newline=""),
        delimiter=_delimiter(text),
        skipinitialspace=True,
        strict=True,
        restval="",
    )
    try:
        reader.fieldnames = columns = [name.strip().casefold() for name in reader.fieldnames or ()]
        missing = {"path", "label"} - set(columns)
        if missing:
            raise DatasetError(
                f"{where}: its first line has no column {' and no '.join(sorted(missing))}",
                remedy="begin it with: path,label or path,label,group,split",
            )
        for values in reader:
            if any(values.values()):
                yield reader.reader.line_num, values
    except csv.Error as error:
        line = reader.reader.line_num
        raise DatasetError(f"{where}:{line}: {error}", remedy=f"fix line {line}") from error


def _is_manifest(content: bytes) -> bool:
    header = _header(content.decode("utf-8-sig", "replace"))
    columns = {column.strip(' "').casefold() for column in header.split(_delimiter(header))}
    return {"path", "label"} <= columns


def _delimiter(text: str) -> str:
    return max(",;\t", key=_header(text).count)


def _header(text: str) -> str:
    return re.split("[\r\n]", text, maxsplit=1)[0]


def _part_of_line(values: dict[str, str]) -> Part:
    if "split" not in values:
        return "train"
    name = values["split"].strip()
    if name.casefold() not in PART_OF_FOLDER:
        raise DatasetError(
            f"unknown split {name!r}", remedy=suggest(name.casefold(), ("train", "val", "test"))
        )
    return PART_OF_FOLDER[name.casefold()]
