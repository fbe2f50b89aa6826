"""What people drop on the page: image files, and zip archives of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import gradio as gr

from kalamos.app.file_gate import base_name
from kalamos.app.limits import Limits
from kalamos.app.visits import current_visit
from kalamos.datasets.sources import Source, open_source
from kalamos.errors import DatasetError, ImageError, UsageError
from kalamos.folders import name_order
from kalamos.images import EXTENSIONS, read_file

__all__ = ["MAX_IMAGES", "Found", "UploadedFile", "files_input", "found_images", "picture_input"]

MAX_IMAGES = 10_000
"""In one folder. Their table, thumbnails included, has a few MB by then."""

FOLDER_SLASH: Final = "\u2044"
"""What `assets/folder.js` writes for the slashes in the path of a file of a folder: a name has none."""

UploadedFile = tuple[str, Path]
"""A file's own name, and where it lies."""


def files_input(**named: Any) -> gr.File:
    """A `gr.File` whose value is a list of `UploadedFile`.

    `gr.File` itself hands on the names of its copies, and leaves an empty temporary file behind for each.
    """
    component = gr.File(type="filepath", **named)
    # Not a subclass: for each, Gradio writes a stub file beside its source.
    component.preprocess = _uploads  # type: ignore[assignment, method-assign]
    return component


def picture_input(**named: Any) -> gr.Image:
    """A `gr.Image` whose value is the file's bytes: kalamos decodes them itself, within its limits."""
    component = gr.Image(type="filepath", image_mode=None, **named)
    component.preprocess = _picture_bytes  # type: ignore[assignment, method-assign]
    return component


def _uploads(payload: Any) -> list[UploadedFile]:
    given = payload.root if hasattr(payload, "root") else [payload] if payload else []
    # Only a name, which nothing is opened by: so it may have slashes.
    names = [base_name(file.orig_name or Path(file.path).name).replace(FOLDER_SLASH, "/") for file in given]
    return [(name, _own(file.path)) for name, file in zip(names, given, strict=True)]


def _picture_bytes(payload: Any) -> bytes | None:
    return None if payload is None or payload.path is None else read_file(_own(payload.path))


def _own(path: str) -> Path:
    """The path of a file that the visit at hand uploaded; asked again where its bytes are about to be read.

    Raises:
        gradio.Error: it is not, whatever let it come so far.
    """
    visit = current_visit.get()
    own = None if visit is None else visit.own_path(path)
    if own is None:
        raise gr.Error("this file is not one that was uploaded from this browser", print_exception=False)
    return Path(own)


class Found(NamedTuple):
    """An image that was found, not read yet."""

    name: str
    """Of the file, or inside its archive."""
    read: Callable[[], bytes]
    """Raises `ImageError` or `DatasetError`."""


def found_images(files: Sequence[UploadedFile], limits: Limits, stack: ExitStack) -> tuple[list[Found], int]:
    """All images of the uploads, in the order in which the command line lists a folder.

    Args:
        files: images, and zip archives of images.
        limits: what one image may have.
        stack: closes the archives, which are read through `Found.read`.

    Returns:
        The images, and how many members of archives were passed over, as their names are not an image's.

    Raises:
        DatasetError: an archive is damaged, encrypted or unsafe.
        UsageError: there is no image, or more than `MAX_IMAGES`.
    """
    found: list[Found] = []
    skipped = 0
    for name, path in files:
        if PurePosixPath(name).suffix.lower() != ".zip":
            found.append(Found(name, partial(_file_bytes, path, name)))
            continue
        source = stack.enter_context(_opened(name, path))
        images = [each for each in source.members if PurePosixPath(each).suffix.lower() in EXTENSIONS]
        skipped += len(source.members) - len(images)
        # Two archives may hold the same names.
        top = f"{PurePosixPath(name).stem}/" if len(files) > 1 else ""
        found += [
            Found(f"{top}{each}", partial(source.read, each, limit=limits.upload_bytes)) for each in images
        ]
    if not found:
        raise UsageError("no image found", remedy=f"looked for {', '.join(sorted(EXTENSIONS))}")
    if len(found) > MAX_IMAGES:
        raise UsageError(
            f"{len(found):,} images are more than the {MAX_IMAGES:,} that fit on a page",
            remedy="give fewer at a time, or use `kalamos predict`, which takes any number",
        )
    return sorted(found, key=lambda each: name_order(each.name)), skipped


def _opened(name: str, path: Path) -> Source:
    try:
        return open_source(path)
    except DatasetError as error:
        # The message names the server's copy, which is nobody's business.
        problem = error.problem.replace(path.as_posix(), name).replace(str(path), name)
        raise DatasetError(problem, remedy=error.remedy) from None


def _file_bytes(path: Path, name: str) -> bytes:
    try:
        return read_file(path)
    except ImageError as error:
        raise type(error)(error.problem.replace(str(path), name), remedy=error.remedy) from None
