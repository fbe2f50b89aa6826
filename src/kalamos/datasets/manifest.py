"""CSV manifests: one line per image, `path,label` and, if known, `group` and `split`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from kalamos.datasets.assembly import PART_OF_FOLDER, LabelledFile, Listing, Part
from kalamos.datasets.dataset import SkippedFile
from kalamos.datasets.folder import wrappers
from kalamos.datasets.sources import Source
from kalamos.errors import DatasetError, ImageError, suggest
from kalamos.images import read_file
from kalamos.images.files import display_name, native_separators
from kalamos.zip_entries import is_safe_path

__all__ = ["find_manifest", "list_archived_manifest", "list_manifest"]


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
    rows, problems = _parse(content, display_name(path))
    return Listing(path.stem, rows, read, problems)


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
) -> tuple[list[LabelledFile], list[SkippedFile]]:
    rows: list[LabelledFile] = []
    problems: list[SkippedFile] = []
    for line, values in _lines(content, where):
        path, label = values.get("path", ""), values.get("label", "").strip()
        if not path or not label:
            problems.append(SkippedFile(f"{where}:{line}", "no label" if path else "no path"))
            continue
        try:
            rows.append(LabelledFile(member(path), label, _part(values), values.get("group")))
        except DatasetError as error:
            raise DatasetError(f"{where}:{line}: {error.problem}", remedy=error.remedy) from None
    return rows, problems


def _lines(content: bytes, where: str) -> Iterator[tuple[int, dict[str, str]]]:
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


def _part(values: dict[str, str]) -> Part:
    if "split" not in values:
        return "train"
    name = values["split"].strip()
    if name.casefold() not in PART_OF_FOLDER:
        raise DatasetError(
            f"there is no split {name!r}", remedy=suggest(name.casefold(), ("train", "val", "test"))
        )
    return PART_OF_FOLDER[name.casefold()]
