"""Many images read into a `Sheet`, a chunk at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from kalamos.app.limits import Limits
from kalamos.app.page.pictures import data_uri, fit_within
from kalamos.app.page.sheet import Row, Sheet
from kalamos.app.page.uploads import Found, UploadedFile, found_images
from kalamos.errors import CorruptImageError, DatasetError, ImageError, ImageTooLargeError
from kalamos.images import decode_grey
from kalamos.predictions import Prediction
from kalamos.preprocessing.steps import GreyImage
from kalamos.recognizer import Recognizer

__all__ = ["read_sheet"]

READ_BATCH_IMAGES = 64
THUMBNAIL_PX = 40
"""In px."""

MAX_UNPACKED_RATIO = 10
"""All images together may have so many times the bytes that may be uploaded at once."""


def read_sheet(
    reader: Recognizer,
    model: str,
    files: Sequence[UploadedFile],
    folder: Path,
    limits: Limits,
    *,
    min_confidence: float | None = None,
    charset: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sheet:
    """Read uploads as `kalamos predict` reads a folder: one row an image, errors kept.

    Args:
        reader: the model; `model` is what the page calls it.
        files: images and zip archives of images.
        folder: where to keep the images' bytes, so that they can be looked at again.
        limits: bytes and pixels of one image.
        min_confidence, charset: as for `Recognizer.predict`.
        progress: told how many are done, of how many.

    Raises:
        DatasetError, UsageError: from `found_images`, and for a charset that the model lacks.
    """
    rows: list[Row] = []
    left = MAX_UNPACKED_RATIO * limits.upload_bytes
    with ExitStack() as stack:
        found, skipped = found_images(files, limits, stack)
        for start in range(0, len(found), READ_BATCH_IMAGES):
            chunk = found[start : start + READ_BATCH_IMAGES]
            read: list[tuple[bytes, GreyImage] | ImageError] = []
            for each in chunk:
                outcome = _read_found(each, left, limits, reader.min_decode_pixels)
                left -= 0 if isinstance(outcome, ImageError) else len(outcome[0])
                read.append(outcome)
            greys = [outcome[1] for outcome in read if not isinstance(outcome, ImageError)]
            answers = iter(reader.predict_batch(greys, min_confidence=min_confidence, charset=charset))
            for each, outcome in zip(chunk, read, strict=True):
                if isinstance(outcome, ImageError):
                    rows.append(Row(len(rows), Prediction(None, None, (), each.name, outcome), "", None))
                    continue
                data, grey = outcome
                stored = folder / f"{len(rows):05d}-{os.urandom(4).hex()}"
                stored.write_bytes(data)
                answer = replace(next(answers), path=each.name)
                rows.append(Row(len(rows), answer, data_uri(fit_within(grey, THUMBNAIL_PX)), stored))
            progress(len(rows), len(found))
    return Sheet(model, reader.labels, rows, skipped)


def _read_found(
    found: Found, left: int, limits: Limits, min_decode_pixels: int | None
) -> tuple[bytes, GreyImage] | ImageError:
    try:
        data = found.read()
        if len(data) > left:
            return ImageTooLargeError(
                f"{found.name}: too much for one page together with those before it",
                remedy="read it with the next folder",
            )
        grey = decode_grey(
            data, where=found.name, max_pixels=limits.pixels, min_decode_pixels=min_decode_pixels
        )
    except ImageError as error:
        error.__traceback__ = None  # it holds the image's bytes
        return error
    except DatasetError as error:
        return CorruptImageError(error.problem, remedy=error.remedy)
    else:
        return data, grey
