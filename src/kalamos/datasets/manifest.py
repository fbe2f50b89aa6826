"""CSV manifests: a line an image, `path,label` and, where they are known, `group` and `split`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from kalamos.datasets.assembly import PARTS, Listing, Part, Row, assemble
from kalamos.datasets.dataset import Dataset, SkippedFile
from kalamos.datasets.folder import wrappers
from kalamos.datasets.sources import Source, is_safe
from kalamos.errors import DatasetError, ImageError, suggest
from kalamos.images import read_file
from kalamos.images.files import display_name, native_separators

__all__ = [
    "find_manifest",
    "list_archived_manifest",
    "list_manifest",
    "load_archived_manifest",
    "load_manifest",
]


def load_manifest(path: Path) -> Dataset:
    """Read a manifest on disk; its paths are absolute or relative to its folder.

    UTF-8, separated by commas, semicolons or tabs; backslashes separate folders too, where no file is called
    so; the columns `path` and `label`, optionally `group`
    (whatever one side of a split should keep: a writer, a font; blank is one group too) and `split` (`train`,
    `val`, `test`), in any order; others are ignored. Labels are in natural order. Lines without a path or a
    label, and images that cannot be read, become `problems`.

    Raises:
        DatasetError: not such a file, an unknown split, fewer than two classes, or nothing to train on.
    """
    return assemble(list_manifest(path))


def list_manifest(path: Path) -> Listing:
    """What `load_manifest` decodes."""

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
    rows, problems = _parse(content, display_name(path))
    return Listing(path.stem, rows, read, problems)


def find_manifest(source: Source) -> str | None:
    """The one CSV file at an archive's top, if it has the columns of a manifest."""
    for top in wrappers(source):
        tables = [
            member
            for member in source.members
            if member.startswith(top) and "/" not in member[len(top) :] and member.lower().endswith(".csv")
        ]
        if len(tables) == 1:
            return tables[0] if _is_manifest(source.read(tables[0])) else None
    return None


def load_archived_manifest(source: Source, manifest: str) -> Dataset:
    """Read a manifest in an archive; its paths are relative to its folder there.

    Raises:
        DatasetError: as `load_manifest`, or a path that points outside the archive.
    """
    return assemble(list_archived_manifest(source, manifest))


def list_archived_manifest(source: Source, manifest: str) -> Listing:
    """What `load_archived_manifest` decodes."""
    top = manifest[: manifest.rfind("/") + 1]

    members = frozenset(source.members)

    def member(path: str) -> str:
        # A list that was written on Windows has backslashes.
        if top + path in members:
            return top + path
        turned = path.replace("\\", "/")
        if not is_safe(turned):
            raise DatasetError(f"the path {path!r} points outside the archive", remedy="name its members")
        return top + "/".join(part for part in turned.split("/") if part not in ("", "."))

    rows, problems = _parse(source.read(manifest), manifest, member)
    listed = {row.name for row in rows} | {manifest}
    unlisted = [
        SkippedFile(display_name(name), "not in the manifest")
        for name in source.members
        if name not in listed
    ]
    return Listing(source.name or "dataset", rows, source.read, [*source.problems, *problems, *unlisted])


def _parse(
    content: bytes, where: str, member: Callable[[str], str] = lambda path: path
) -> tuple[list[Row], list[SkippedFile]]:
    rows: list[Row] = []
    problems: list[SkippedFile] = []
    for line, values in _lines(content, where):
        path, label = values.get("path", ""), values.get("label", "").strip()
        if not path or not label:
            problems.append(SkippedFile(f"{where}:{line}", "no label" if path else "no path"))
            continue
        try:
            rows.append(Row(member(path), label, _part(values), values.get("group")))
        except DatasetError as error:
            raise DatasetError(f"{where}:{line}: {error.problem}", remedy=error.remedy) from None
    return rows, problems


def _lines(content: bytes, where: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and values by column, for every line below the header that is not empty."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{where}: not UTF-8 ({error})", remedy="save it as UTF-8") from error
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=_delimiter(text), skipinitialspace=True, strict=True
    )
    try:
        columns = [column.strip().casefold() for column in next(reader, [])]
        missing = {"path", "label"} - set(columns)
        if missing:
            raise DatasetError(
                f"{where}: its first line has no column {' and no '.join(sorted(missing))}",
                remedy="begin it with: path,label or path,label,group,split",
            )
        for values in reader:
            if any(values):
                padded = [*values, *[""] * len(columns)]
                yield reader.line_num, dict(zip(columns, padded, strict=False))
    except csv.Error as error:
        raise DatasetError(f"{where}:{reader.line_num}: {error}", remedy="mend that line") from error


def _is_manifest(content: bytes) -> bool:
    header = _header(content.decode("utf-8-sig", "replace"))
    columns = {column.strip(' "').casefold() for column in header.split(_delimiter(header))}
    return {"path", "label"} <= columns


def _delimiter(text: str) -> str:
    return max(",;\t", key=_header(text).count)


def _header(text: str) -> str:
    return re.split("[\r\n]", text, maxsplit=1)[0]


def _part(values: dict[str, str]) -> Part:
    if "split" not in values:
        return "train"
    name = values["split"].strip()
    if name.casefold() not in PARTS:
        raise DatasetError(
            f"there is no split {name!r}", remedy=suggest(name.casefold(), ("train", "val", "test"))
        )
    return PARTS[name.casefold()]
