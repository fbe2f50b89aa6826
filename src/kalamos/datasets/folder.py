"""Folders of images, one sub-folder per class, with or without official splits above the classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from kalamos.datasets.assembly import PART_OF_FOLDER, LabelledFile, Listing, Part
from kalamos.datasets.class_folders import label_of
from kalamos.datasets.dataset import SkippedFile
from kalamos.datasets.sources import Source
from kalamos.images import EXTENSIONS
from kalamos.images.files import display_name

__all__ = ["list_folder", "wrappers"]


def list_folder(source: Source, *, top: str = "") -> Listing:
    """List a folder, or an archive of one, whose sub-folders are the classes.

    - The name of a class is that of its folder, composed (NFC); classes are in natural order: 1, 2, 10.
      A label that no folder can have is written as in `kalamos.datasets.class_folders`: `%2F` is "/".
    - All images below a class folder belong to it, however deep they lie.
    - If there is a folder `train` with the classes inside it, alone or beside `test`, `val`, `valid`
      or `validation`, these are the official splits. The classes are those of all of them together.
    - Other files, and images outside the classes, become `problems`.

    Args:
        source: an open folder or archive.
        top: the folder inside it to look in, ending with a slash; see `wrappers`.
    """
    problems = list(source.problems)
    rows: list[LabelledFile] = []
    parts = _official(source, top)
    roots: dict[str, Part] = {f"{top}{folder}/": part for folder, part in parts.items()} or {top: "train"}
    used: set[str] = set()
    for member in source.members:
        root = next((root for root in roots if member.startswith(root)), None)
        problem = _problem(member, root)
        if problem or root is None:
            problems.append(SkippedFile(display_name(member), problem))
            continue
        folder = member[len(root) :].partition("/")[0]
        used.add(root + folder)
        rows.append(LabelledFile(member, label_of(folder), roots[root]))
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


def _official(source: Source, top: str) -> dict[str, Part]:
    """The folders that are splits; none if they are classes, even if one is called "train"."""
    folders = _folders(source, top)
    parts = {
        folder: PART_OF_FOLDER[folder.casefold()] for folder in folders if folder.casefold() in PART_OF_FOLDER
    }
    training = [folder for folder, part in parts.items() if part == "train"]
    split = len(parts) > 1 or len(folders) == 1
    return parts if split and any(_folders(source, f"{top}{folder}/") for folder in training) else {}


def _problem(member: str, root: str | None) -> str:
    """Why a file is skipped; empty for an image in a class folder."""
    if PurePosixPath(member).suffix.lower() not in EXTENSIONS:
        return "not named like an image"
    if root is None or "/" not in member[len(root) :]:
        return "an image outside the class folders"
    return ""
